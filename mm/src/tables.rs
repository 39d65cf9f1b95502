//! A process's page tables: finding the entry of a page, making the tables above it, and letting empty ones go.

use crate::id::ProcessId;
use crate::pfn::{LastShare, ListName, PfnFlags, Taken};
use crate::pte::PteState;
use crate::state::Mm;
use crate::system::{frame_base, read_entry, write_entry};
use vadose_facts::addr::{PageRange, Pfn, PhysAddr, Vpn};
use vadose_facts::ntdef::NtStatus;
use vadose_facts::x86::{EntryRights, Level, PhysicalMemory, Stale};

/// Bits of a user table's entry in its parent: present, writable, user, accessed, dirty.
const USER_TABLE: u64 = 0x67;

/// Where the entry of a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaf {
    /// At this address in RAM.
    At(PhysAddr),
    /// Nowhere: there is no table for any page up to this one.
    Absent {
        /// First page that may have a table again.
        until: Vpn,
    },
}

impl<R: PhysicalMemory> Mm<R> {
    pub(crate) fn read(&self, at: PhysAddr) -> u64 {
        read_entry(&self.ram, self.edition.paging, at)
    }

    fn write(&self, at: PhysAddr, value: u64) {
        write_entry(&self.ram, self.edition.paging, at, value);
    }

    /// Finds the entry of a page.
    pub(crate) fn leaf(&self, root: PhysAddr, vpn: Vpn) -> Leaf {
        let mode = self.edition.paging;
        let mut table = root;
        for level in mode.levels() {
            let at = table.offset(level.index(vpn.base()) * mode.entry_bytes());
            if level.shift == 12 {
                return Leaf::At(at);
            }
            let entry = self.read(at);
            if entry & 1 == 0 {
                let span = level.span_bytes() >> 12;
                return Leaf::Absent { until: Vpn::new((vpn.raw() / span + 1) * span) };
            }
            table = frame_base(entry);
        }
        unreachable!("the last level ends at bit 12")
    }

    /// What a process's page-table entry says; no table is the same as an entry of zero.
    pub(crate) fn pte(&self, root: PhysAddr, vpn: Vpn) -> PteState {
        match self.leaf(root, vpn) {
            Leaf::At(at) => self.format.decode(self.read(at)),
            Leaf::Absent { .. } => PteState::Zero,
        }
    }

    /// Finds the entry of a page, making the tables above it. Each new table is charged (SPEC J12).
    ///
    /// # Errors
    ///
    /// `STATUS_COMMITMENT_LIMIT` or `STATUS_NO_MEMORY`; tables made before the failure stay until their range is
    /// tidied.
    pub(crate) fn ensure_leaf(&mut self, id: ProcessId, vpn: Vpn) -> Result<PhysAddr, NtStatus> {
        let mode = self.edition.paging;
        let mut table = self.process(id).root;
        for level in mode.levels() {
            let at = table.offset(level.index(vpn.base()) * mode.entry_bytes());
            if level.shift == 12 {
                return Ok(at);
            }
            let mut entry = self.read(at);
            if entry & 1 == 0 {
                entry = self.add_table(id, at, *level)?;
            }
            table = frame_base(entry);
        }
        unreachable!("the last level ends at bit 12")
    }

    fn add_table(&mut self, id: ProcessId, at: PhysAddr, level: Level) -> Result<u64, NtStatus> {
        assert!(level.rights == EntryRights::Checked, "PAE page directories exist from the start");
        self.need_frames(1)?;
        self.commit.charge(1)?;
        let pfn = self.take_table(at);
        let entry = pfn.base().raw() | USER_TABLE;
        self.write(at, entry);
        let parent = self.pfn.get_mut(at.pfn());
        parent.used_entries += 1;
        parent.share_count += 1;
        self.process_mut(id).table_pages += 1;
        Ok(entry)
    }

    /// How many tables must be made before every page of the range has an entry.
    pub(crate) fn missing_tables(&self, root: PhysAddr, range: PageRange) -> u64 {
        self.missing_below(Some(root), self.edition.paging.levels(), range)
    }

    fn missing_below(&self, table: Option<PhysAddr>, levels: &[Level], range: PageRange) -> u64 {
        let [level, below @ ..] = levels else { return 0 };
        if below.is_empty() {
            return 0;
        }
        let span = level.span_bytes() >> 12;
        let (first, last) = (range.start().raw() / span, range.last().raw() / span);
        (first..=last)
            .map(|slot| {
                let start = Vpn::new((slot * span).max(range.start().raw()));
                let end = ((slot + 1) * span - 1).min(range.last().raw());
                let part = PageRange::inclusive(start, Vpn::new(end));
                let child = table.and_then(|table| self.child(table, *level, start));
                u64::from(child.is_none()) + self.missing_below(child, below, part)
            })
            .sum()
    }

    fn child(&self, table: PhysAddr, level: Level, vpn: Vpn) -> Option<PhysAddr> {
        let entry = self.read(table.offset(level.index(vpn.base()) * self.edition.paging.entry_bytes()));
        (entry & 1 != 0).then(|| frame_base(entry))
    }

    /// Writes a user entry and keeps the counts of its table and of the process (SPEC I24).
    pub(crate) fn set_leaf(&mut self, id: ProcessId, at: PhysAddr, raw: u64) {
        let old = self.read(at);
        self.write(at, raw);
        let table = self.pfn.get_mut(at.pfn());
        match (old != 0, raw != 0) {
            (false, true) => table.used_entries += 1,
            (true, false) => table.used_entries -= 1,
            (true, true) | (false, false) => {}
        }
        match (self.format.pins_table(old), self.format.pins_table(raw)) {
            (false, true) => table.share_count += 1,
            (true, false) => table.share_count -= 1,
            (true, true) | (false, false) => {}
        }
        let process = self.process_mut(id);
        match (old & 1 != 0, raw & 1 != 0) {
            (false, true) => process.resident_pages += 1,
            (true, false) => process.resident_pages -= 1,
            (true, true) | (false, false) => {}
        }
        process.peak_resident_pages = process.peak_resident_pages.max(process.resident_pages);
    }

    /// Frees the tables of a range that have become empty.
    pub(crate) fn tidy_tables(&mut self, id: ProcessId, range: PageRange) {
        let root = self.process(id).root;
        self.tidy_below(id, root, self.edition.paging.levels(), range);
    }

    fn tidy_below(&mut self, id: ProcessId, table: PhysAddr, levels: &'static [Level], range: PageRange) {
        let [level, below @ ..] = levels else { return };
        if below.is_empty() {
            return;
        }
        let span = level.span_bytes() >> 12;
        for slot in range.start().raw() / span..=range.last().raw() / span {
            let start = Vpn::new((slot * span).max(range.start().raw()));
            let Some(child) = self.child(table, *level, start) else { continue };
            let end = ((slot + 1) * span - 1).min(range.last().raw());
            self.tidy_below(id, child, below, PageRange::inclusive(start, Vpn::new(end)));
            if self.pfn.get(child.pfn()).used_entries == 0 && level.rights == EntryRights::Checked {
                self.drop_table(id, table, *level, start, child.pfn());
            }
        }
    }

    fn drop_table(&mut self, id: ProcessId, parent: PhysAddr, level: Level, vpn: Vpn, table: Pfn) {
        self.write(parent.offset(level.index(vpn.base()) * self.edition.paging.entry_bytes()), 0);
        let entry = self.pfn.get_mut(parent.pfn());
        entry.used_entries -= 1;
        entry.share_count -= 1;
        self.free_table(table);
        self.process_mut(id).table_pages -= 1;
        self.commit.give_back(1);
    }

    pub(crate) fn free_table(&mut self, table: Pfn) {
        assert!(self.pfn.get(table).flags.contains(PfnFlags::PAGE_TABLE), "a page table's frame");
        assert!(self.pfn.unshare(table) == LastShare::Yes, "an empty table has one user, its parent");
        self.pfn.enter(table, ListName::Free);
    }

    /// Makes sure that `count` frames can be taken in a row.
    ///
    /// # Errors
    ///
    /// `STATUS_NO_MEMORY`.
    pub(crate) fn need_frames(&self, count: u64) -> Result<(), NtStatus> {
        if self.pfn.counts().available() < count { Err(NtStatus::NO_MEMORY) } else { Ok(()) }
    }

    /// Takes a frame and fills it with zeros.
    pub(crate) fn take_zeroed(&mut self, stale: &mut Stale) -> Option<Pfn> {
        match self.pfn.take()? {
            Taken::Zeroed(pfn) => Some(pfn),
            Taken::Dirty(pfn) => {
                self.ram.zero_frame(pfn);
                stale.add_frame(pfn);
                Some(pfn)
            }
            Taken::Standby(pfn) => {
                self.restore_owner(pfn);
                self.ram.zero_frame(pfn);
                stale.add_frame(pfn);
                Some(pfn)
            }
        }
    }

    /// Takes a frame whose bytes will all be replaced.
    pub(crate) fn take_any(&mut self, stale: &mut Stale) -> Option<Pfn> {
        let pfn = match self.pfn.take()? {
            Taken::Zeroed(pfn) | Taken::Dirty(pfn) => pfn,
            Taken::Standby(pfn) => {
                self.restore_owner(pfn);
                pfn
            }
        };
        stale.add_frame(pfn);
        Some(pfn)
    }

    /// The frame of a page on standby is taken for something else: its owner's entry says again where the content
    /// lives (SPEC I25, I27).
    fn restore_owner(&mut self, pfn: Pfn) {
        let entry = self.pfn.get(pfn);
        assert!(entry.flags.contains(PfnFlags::PROTOTYPE), "only section pages go to standby");
        self.write(entry.pte, entry.original_pte);
    }

    /// Writes a prototype entry.
    pub(crate) fn set_prototype(&self, at: PhysAddr, raw: u64) {
        self.write(at, raw);
    }
}
