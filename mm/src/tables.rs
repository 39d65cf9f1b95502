//! A process's page tables: finding the entry of a page, making the tables above it, and letting empty ones go.

use crate::id::ProcessId;
use crate::pfn::{LastShare, ListName, PfnFlags, Taken};
use crate::pte::{PteState, ValidPte};
use crate::state::Mm;
use crate::system::{frame_base, read_entry, write_entry};
use vadose_facts::addr::{PAGE_SHIFT, PageRange, Pfn, PhysAddr, Vpn};
use vadose_facts::ntdef::NtStatus;
use vadose_facts::x86::{EntryBits, EntryRights, LargePage, Level, PhysicalMemory, Stale};

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
    /// A large page: one level up.
    Large {
        /// Its directory entry.
        at: PhysAddr,
        /// First page after it.
        until: Vpn,
    },
}

/// Levels of the deepest paging mode.
const MOST_LEVELS: usize = 5;

/// The tables on the way to a page's entry: the top one, and as many below it as there are.
pub(crate) struct Way {
    tables: [PhysAddr; MOST_LEVELS],
    count: usize,
}

impl<R: PhysicalMemory> Mm<R> {
    pub(crate) fn read(&self, at: PhysAddr) -> u64 {
        read_entry(&self.ram, self.edition.paging, at)
    }

    pub(crate) fn write(&self, at: PhysAddr, value: u64) {
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
                return Leaf::Absent { until: after(vpn, *level) };
            }
            if is_large(entry, *level) {
                return Leaf::Large { at, until: after(vpn, *level) };
            }
            table = frame_base(entry);
        }
        unreachable!("the last level ends at bit 12")
    }

    /// Calls `each` for every page of a range whose entry has a table. Costs what the tables that exist are.
    pub(crate) fn each_entry(
        &self,
        root: PhysAddr,
        range: PageRange,
        mut each: impl FnMut(Vpn, PhysAddr, u64),
    ) {
        self.each_below(root, self.edition.paging.levels(), range, &mut each);
    }

    fn each_below<F>(&self, table: PhysAddr, levels: &[Level], range: PageRange, each: &mut F)
    where
        F: FnMut(Vpn, PhysAddr, u64),
    {
        let [level, below @ ..] = levels else { return };
        let (shift, bytes) = (page_shift(*level), self.edition.paging.entry_bytes());
        let first_slot = range.start().raw() >> shift;
        let first = table.offset(level.index(range.start().base()) * bytes);
        for slot in first_slot..=range.last().raw() >> shift {
            let at = first.offset((slot - first_slot) * bytes);
            let entry = self.read(at);
            if below.is_empty() {
                each(Vpn::new(slot), at, entry);
            } else if entry & 1 != 0 && !is_large(entry, *level) {
                self.each_below(frame_base(entry), below, part_in(range, slot, shift), each);
            }
        }
    }

    /// What a process's page-table entry says; no table is the same as an entry of zero.
    pub(crate) fn pte(&self, root: PhysAddr, vpn: Vpn) -> PteState {
        match self.leaf(root, vpn) {
            Leaf::At(at) => self.format.decode(self.read(at)),
            Leaf::Large { at, .. } => PteState::Valid(self.large_part(at, vpn)),
            Leaf::Absent { .. } => PteState::Zero,
        }
    }

    /// One page of a large page, as if it had an entry of its own.
    fn large_part(&self, at: PhysAddr, vpn: Vpn) -> ValidPte {
        let PteState::Valid(whole) = self.format.decode(self.read(at)) else {
            unreachable!("a large page is mapped")
        };
        let pages = crate::verb::large_page_bytes(self.edition.paging) >> PAGE_SHIFT;
        ValidPte { pfn: Pfn::new(whole.pfn.raw() + vpn.raw() % pages), ..whole }
    }

    /// The entry of a page whose tables exist: every committed page's do (see [`hold_tables`](Self::hold_tables)).
    ///
    /// # Panics
    ///
    /// If there is no table for the page.
    pub(crate) fn entry_at(&self, id: ProcessId, vpn: Vpn) -> PhysAddr {
        match self.leaf(self.process(id).root, vpn) {
            Leaf::At(at) => at,
            Leaf::Absent { .. } | Leaf::Large { .. } => panic!("a committed page has its tables: {vpn:?}"),
        }
    }

    /// Finds the entry of a page, making the tables above it. Each new table is charged (SPEC J12).
    ///
    /// # Panics
    ///
    /// If there is no charge or frame for a table: callers ask [`room_for`](Self::room_for) first.
    pub(crate) fn make_leaf(&mut self, id: ProcessId, vpn: Vpn) -> PhysAddr {
        self.make_entry(id, vpn, PAGE_SHIFT)
    }

    /// Finds the directory entry that maps a large page, making the tables above it.
    ///
    /// # Panics
    ///
    /// As [`make_leaf`](Self::make_leaf); callers ask [`missing_directories`](Self::missing_directories) first.
    pub(crate) fn make_directory(&mut self, id: ProcessId, vpn: Vpn) -> PhysAddr {
        let levels = self.edition.paging.levels();
        self.make_entry(id, vpn, levels[levels.len() - 2].shift)
    }

    /// The entry at the level of a shift, with the tables above it made.
    fn make_entry(&mut self, id: ProcessId, vpn: Vpn, shift: u32) -> PhysAddr {
        let mode = self.edition.paging;
        let mut table = self.process(id).root;
        for level in mode.levels() {
            let at = table.offset(level.index(vpn.base()) * mode.entry_bytes());
            if level.shift == shift {
                return at;
            }
            let mut entry = self.read(at);
            if entry & 1 == 0 {
                entry = self.add_table(id, at, *level);
            }
            table = frame_base(entry);
        }
        unreachable!("the mode has a level of that shift")
    }

    fn add_table(&mut self, id: ProcessId, at: PhysAddr, level: Level) -> u64 {
        assert!(level.rights == EntryRights::Checked, "PAE page directories exist from the start");
        self.commit.charge(1).expect("room for the table was made sure of");
        let pfn = self.take_table(at);
        let entry = pfn.base().raw() | USER_TABLE;
        self.write(at, entry);
        let parent = self.pfn.get_mut(at.pfn());
        parent.used_entries += 1;
        parent.share_count += 1;
        self.process_mut(id).table_pages += 1;
        entry
    }

    /// Makes sure that a number of pages, and the tables that a range lacks, can be charged and given frames. Nothing
    /// is taken yet.
    ///
    /// # Errors
    ///
    /// `STATUS_COMMITMENT_LIMIT`, or `STATUS_NO_MEMORY` if the tables find no frames.
    pub(crate) fn room_for(&self, root: PhysAddr, range: PageRange, pages: u64) -> Result<(), NtStatus> {
        let tables = self.missing_tables(root, range);
        let mut trial = self.commit;
        trial.charge(tables.saturating_add(pages))?;
        self.need_frames(tables)
    }

    /// Makes the tables of a range, and keeps each last-level one until [`let_tables_go`](Self::let_tables_go), even
    /// while it is empty. A region whose pages are committed without an entry of their own holds its tables, so that a
    /// touch never lacks one: their charge is part of the promise (SPEC J12).
    ///
    /// # Panics
    ///
    /// If there is no charge or frame for a table: callers ask [`room_for`](Self::room_for) first.
    pub(crate) fn hold_tables(&mut self, id: ProcessId, range: PageRange) {
        for vpn in self.table_starts(range) {
            let table = self.make_leaf(id, vpn).pfn();
            self.pfn.get_mut(table).used_entries += 1;
        }
    }

    /// Ends [`hold_tables`](Self::hold_tables). Tables that are empty now go when the range is tidied.
    pub(crate) fn let_tables_go(&mut self, id: ProcessId, range: PageRange) {
        for vpn in self.table_starts(range) {
            let table = self.entry_at(id, vpn).pfn();
            self.pfn.get_mut(table).used_entries -= 1;
        }
    }

    /// The first page of the range in each last-level table.
    pub(crate) fn table_starts(&self, range: PageRange) -> impl Iterator<Item = Vpn> + use<R> {
        let shift = self.edition.paging.entries_per_page().trailing_zeros();
        let (first, last) = (range.start().raw() >> shift, range.last().raw() >> shift);
        (first..=last).map(move |table| Vpn::new((table << shift).max(range.start().raw())))
    }

    /// Whether all entries of a range belong in one last-level table.
    pub(crate) fn is_in_one_table(&self, range: PageRange) -> bool {
        let shift = self.edition.paging.entries_per_page().trailing_zeros();
        range.start().raw() >> shift == range.last().raw() >> shift
    }

    /// The tables on the way to a page's entry, as far as there are any.
    pub(crate) fn way(&self, root: PhysAddr, vpn: Vpn) -> Way {
        let levels = self.edition.paging.levels();
        let mut way = Way { tables: [root; MOST_LEVELS], count: 1 };
        for level in &levels[..levels.len() - 1] {
            let Some(child) = self.child(way.tables[way.count - 1], *level, vpn) else { break };
            way.tables[way.count] = child;
            way.count += 1;
        }
        way
    }

    /// Whether the last-level table at the end of a way may have an entry that is not zero, told by its count alone.
    pub(crate) fn may_have_entries(&self, way: &Way) -> bool {
        let there = way.count == self.edition.paging.levels().len();
        there && self.pfn.get(way.tables[way.count - 1].pfn()).used_entries > 0
    }

    /// How many tables must be made before every page of the range has an entry. Costs what the tables that exist are,
    /// not what the range is.
    pub(crate) fn missing_tables(&self, root: PhysAddr, range: PageRange) -> u64 {
        if self.is_in_one_table(range) {
            let levels = self.edition.paging.levels().len();
            return (levels - self.way(root, range.start()).count) as u64;
        }
        self.missing_below(Some(root), self.edition.paging.levels(), range)
    }

    /// How many tables must be made before every large page of the range has a directory entry.
    pub(crate) fn missing_directories(&self, root: PhysAddr, range: PageRange) -> u64 {
        let levels = self.edition.paging.levels();
        self.missing_below(Some(root), &levels[..levels.len() - 1], range)
    }

    fn missing_below(&self, table: Option<PhysAddr>, levels: &[Level], range: PageRange) -> u64 {
        let [level, below @ ..] = levels else { return 0 };
        if below.is_empty() {
            return 0;
        }
        let shift = page_shift(*level);
        let (first, last) = (range.start().raw() >> shift, range.last().raw() >> shift);
        let Some(table) = table else {
            return last - first + 1 + self.missing_below(None, below, range);
        };
        (first..=last)
            .map(|slot| {
                let part = part_in(range, slot, shift);
                let child = self.child(table, *level, part.start());
                u64::from(child.is_none()) + self.missing_below(child, below, part)
            })
            .sum()
    }

    fn child(&self, table: PhysAddr, level: Level, vpn: Vpn) -> Option<PhysAddr> {
        let entry = self.read(table.offset(level.index(vpn.base()) * self.edition.paging.entry_bytes()));
        (entry & 1 != 0 && !is_large(entry, level)).then(|| frame_base(entry))
    }

    /// Writes a user entry and keeps the counts of its table and of the process (SPEC I24).
    pub(crate) fn set_leaf(&mut self, id: ProcessId, at: PhysAddr, raw: u64) {
        let old = self.set_entry(at, raw);
        let process = self.process_mut(id);
        match (old & 1 != 0, raw & 1 != 0) {
            (false, true) => process.resident_pages += 1,
            (true, false) => process.resident_pages -= 1,
            (true, true) | (false, false) => {}
        }
        process.peak_resident_pages = process.peak_resident_pages.max(process.resident_pages);
    }

    /// Writes a user entry that is in no working set, and keeps the counts of its table. The old entry comes back.
    pub(crate) fn set_entry(&mut self, at: PhysAddr, raw: u64) -> u64 {
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
        old
    }

    /// Frees the tables of a range that have become empty.
    pub(crate) fn tidy_tables(&mut self, id: ProcessId, range: PageRange) {
        let root = self.process(id).root;
        if self.is_in_one_table(range) {
            self.tidy_way(id, &self.way(root, range.start()), range.start());
        } else {
            self.tidy_below(id, root, self.edition.paging.levels(), range);
        }
    }

    /// Frees the tables on the way to a page that have become empty, the lowest first.
    pub(crate) fn tidy_way(&mut self, id: ProcessId, way: &Way, vpn: Vpn) {
        for (depth, level) in self.edition.paging.levels()[..way.count - 1].iter().enumerate().rev() {
            let table = way.tables[depth + 1].pfn();
            if self.pfn.get(table).used_entries > 0 || level.rights == EntryRights::None {
                return;
            }
            self.drop_table(id, way.tables[depth], *level, vpn, table);
        }
    }

    fn tidy_below(&mut self, id: ProcessId, table: PhysAddr, levels: &'static [Level], range: PageRange) {
        let [level, below @ ..] = levels else { return };
        if below.is_empty() {
            return;
        }
        let shift = page_shift(*level);
        for slot in range.start().raw() >> shift..=range.last().raw() >> shift {
            let part = part_in(range, slot, shift);
            let Some(child) = self.child(table, *level, part.start()) else { continue };
            self.tidy_below(id, child, below, part);
            if self.pfn.get(child.pfn()).used_entries == 0 && level.rights == EntryRights::Checked {
                self.drop_table(id, table, *level, part.start(), child.pfn());
            }
        }
    }

    fn drop_table(&mut self, id: ProcessId, parent: PhysAddr, level: Level, vpn: Vpn, table: Pfn) {
        self.write(parent.offset(level.index(vpn.base()) * self.edition.paging.entry_bytes()), 0);
        let entry = self.pfn.get_mut(parent.pfn());
        entry.used_entries -= 1;
        entry.share_count -= 1;
        self.free_table(table, ListName::Zeroed);
        self.process_mut(id).table_pages -= 1;
        self.commit.give_back(1);
    }

    /// Frees a table's frame: an empty table is a frame of zeros.
    pub(crate) fn free_table(&mut self, table: Pfn, list: ListName) {
        assert!(self.pfn.get(table).flags.contains(PfnFlags::PAGE_TABLE), "a page table's frame");
        assert!(self.pfn.unshare(table) == LastShare::Yes, "an empty table has one user, its parent");
        self.pfn.enter(table, list);
    }

    /// Takes a frame for a page table, zeroed and active. What the processor remembers of the frame's old bytes is
    /// noted on the frame, for whoever gets it next: nobody runs a table's bytes.
    ///
    /// # Panics
    ///
    /// If there is none: callers look first.
    pub(crate) fn take_table(&mut self, parent: PhysAddr) -> Pfn {
        let mut stale = Stale::none();
        let pfn = self.take_zeroed(&mut stale).expect("the caller made sure of a frame");
        let old = if stale.frames().is_empty() { PfnFlags::empty() } else { PfnFlags::REWRITTEN };
        self.pfn.activate(pfn, parent, 0, PfnFlags::PAGE_TABLE | old);
        pfn
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
            Taken::Zeroed(pfn) => {
                if self.pfn.get(pfn).flags.contains(PfnFlags::REWRITTEN) {
                    stale.add_frame(pfn);
                }
                Some(pfn)
            }
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
    pub(crate) fn restore_owner(&mut self, pfn: Pfn) {
        let entry = self.pfn.get(pfn);
        if entry.flags.contains(PfnFlags::PROTOTYPE) {
            self.write(entry.pte, entry.original_pte);
            return;
        }
        // A private page on standby was given up: its entry keeps the protection, and says that the content is gone.
        let protection = self.format.stored_protection(self.read(entry.pte));
        self.write(entry.pte, self.format.lost(protection));
        self.pfn.get_mut(entry.pte_frame()).share_count -= 1;
    }

    /// Writes a prototype entry.
    pub(crate) fn set_prototype(&self, at: PhysAddr, raw: u64) {
        self.write(at, raw);
    }
}

/// First page after what one entry of a level spans.
const fn after(vpn: Vpn, level: Level) -> Vpn {
    let shift = page_shift(level);
    Vpn::new(((vpn.raw() >> shift) + 1) << shift)
}

/// Whether a present entry maps a large page and names no table.
fn is_large(entry: u64, level: Level) -> bool {
    level.large == LargePage::Allowed && entry & EntryBits::LARGE.bits() != 0
}

/// Base-2 logarithm of the pages that one entry of a level spans.
const fn page_shift(level: Level) -> u32 {
    level.shift - PAGE_SHIFT
}

/// The part of a range that lies in one slot of `1 << shift` pages.
fn part_in(range: PageRange, slot: u64, shift: u32) -> PageRange {
    let start = (slot << shift).max(range.start().raw());
    let end = (((slot + 1) << shift) - 1).min(range.last().raw());
    PageRange::inclusive(Vpn::new(start), Vpn::new(end))
}
