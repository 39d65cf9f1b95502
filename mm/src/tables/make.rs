//! Making tables and writing their entries, with the counts that go along (SPEC I24, J12).

use super::{Child, TABLE_PROTECTION, USER_TABLE};
use crate::id::ProcessId;
use crate::pfn::{PageLocation, PfnFlags};
use crate::state::Mm;
use vadose_facts::addr::{PAGE_SHIFT, PageRange, PhysAddr, Vpn};
use vadose_facts::x86::{EntryRights, Level, PhysicalMemory};

impl<R: PhysicalMemory> Mm<R> {
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
            table = match self.child_in(self.read(at), *level) {
                Child::Table(table) => table,
                Child::None => {
                    self.charge_table(id, *level);
                    self.add_table(id, vpn, at)
                }
                Child::Promised => self.add_table(id, vpn, at),
                Child::Waiting(_) | Child::Out => panic!("tables are brought back before they are written"),
                Child::Large => panic!("a large page has no table"),
            };
        }
        unreachable!("the mode has a level of that shift")
    }

    fn charge_table(&mut self, id: ProcessId, level: Level) {
        assert!(level.rights == EntryRights::Checked, "PAE page directories exist from the start");
        self.commit.charge(1).expect("room for the table was made sure of");
        self.process_mut(id).table_pages += 1;
    }

    /// Gives a charged table a frame.
    fn add_table(&mut self, id: ProcessId, vpn: Vpn, at: PhysAddr) -> PhysAddr {
        let pfn = self.take_table(at);
        self.set_entry(at, pfn.base().raw() | USER_TABLE);
        self.enter_tables(id, vpn, pfn);
        pfn.base()
    }

    /// Charges the tables of a range. A region whose pages are committed without an entry of their own holds its tables,
    /// so that a touch never lacks one: their charge is part of the promise (SPEC J12). They go when no region holds
    /// them and the range is tidied.
    ///
    /// # Panics
    ///
    /// If there is no charge or frame for a table: callers ask [`room_for`](Self::room_for) first.
    pub(crate) fn hold_tables(&mut self, id: ProcessId, range: PageRange) {
        let levels = self.edition.paging.levels();
        let above = levels[levels.len() - 2];
        for vpn in self.table_starts(range) {
            let at = self.make_entry(id, vpn, above.shift);
            if self.read(at) == 0 {
                self.charge_table(id, above);
                self.set_entry(at, self.format.demand_zero(TABLE_PROTECTION));
            }
        }
    }

    /// Whether a region holds the table that has a page's entry.
    pub(super) fn is_held(&self, id: ProcessId, vpn: Vpn) -> bool {
        let vads = &self.process(id).vads;
        let pages = self.edition.paging.entries_per_page();
        let first = vpn.raw() & !(pages - 1);
        let last = Vpn::new(first + pages - 1);
        let mut at = Vpn::new(first);
        while at <= last {
            let Some(vad) = vads.overlapping(PageRange::inclusive(at, last)) else { return false };
            let vad = vads.get(vad);
            if vad.holds_tables() {
                return true;
            }
            at = vad.range.end();
        }
        false
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
        debug_assert!(table.location == PageLocation::Active, "only a table that is there is written");
        table.flags.insert(PfnFlags::MODIFIED);
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
}
