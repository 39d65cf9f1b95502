//! Letting go of tables that have become empty.

use super::{Child, TABLE_PROTECTION, Way, page_shift, part_in};
use crate::id::ProcessId;
use crate::pfn::{LastShare, ListName, PfnFlags};
use crate::section::IN_TRANSFER;
use crate::state::Mm;
use vadose_facts::addr::{PageRange, Pfn, PhysAddr, Vpn};
use vadose_facts::x86::{EntryRights, Level, PhysicalMemory};

impl<R: PhysicalMemory> Mm<R> {
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
        let levels = self.edition.paging.levels();
        let directories = &levels[..levels.len() - 1];
        for (depth, level) in directories.iter().enumerate().take(way.count).rev() {
            let at = self.slot_of(way.tables[depth], *level, vpn);
            if !self.tidy_entry(id, vpn, at, *level, depth + 1 == directories.len()) {
                return;
            }
        }
    }

    /// Lets go of the table below a directory's entry, if it is empty; one that a region holds keeps its charge. Whether
    /// the entry is zero now.
    fn tidy_entry(&mut self, id: ProcessId, vpn: Vpn, at: PhysAddr, level: Level, above_leaf: bool) -> bool {
        let entry = self.read(at);
        let child = self.child_in(entry, level);
        let held = || above_leaf && self.is_held(id, vpn);
        match child {
            Child::None => return true,
            Child::Large | Child::Waiting(_) | Child::Out => return false,
            Child::Table(_) if level.rights == EntryRights::None => return false,
            Child::Table(table) if self.pfn.get(table.pfn()).used_entries > 0 => return false,
            Child::Promised if held() => return false,
            Child::Table(_) if held() => {
                self.set_entry(at, self.format.demand_zero(TABLE_PROTECTION));
            }
            Child::Table(_) | Child::Promised => {
                self.set_entry(at, 0);
                self.process_mut(id).table_pages -= 1;
                self.commit.give_back(1);
            }
        }
        if let Child::Table(table) = child {
            self.leave_tables(id, table.pfn());
            self.free_table(table.pfn(), ListName::Zeroed);
        }
        self.read(at) == 0
    }

    fn tidy_below(&mut self, id: ProcessId, table: PhysAddr, levels: &'static [Level], range: PageRange) {
        let [level, below @ ..] = levels else { return };
        if below.is_empty() {
            return;
        }
        let shift = page_shift(*level);
        for slot in range.start().raw() >> shift..=range.last().raw() >> shift {
            let part = part_in(range, slot, shift);
            let at = self.slot_of(table, *level, part.start());
            if let Child::Table(child) = self.child_in(self.read(at), *level) {
                self.tidy_below(id, child, below, part);
            }
            self.tidy_entry(id, part.start(), at, *level, below.len() == 1);
        }
    }

    /// Frees a table's frame: an empty table is a frame of zeros.
    pub(crate) fn free_table(&mut self, table: Pfn, list: ListName) {
        assert!(self.pfn.get(table).flags.contains(PfnFlags::PAGE_TABLE), "a page table's frame");
        assert!(self.pfn.unshare(table) == LastShare::Yes, "an empty table has one user, its parent");
        if self.pfn.get(table).flags.intersects(IN_TRANSFER) {
            self.give_up_unmapped(table);
            return;
        }
        self.forget_copy(table);
        self.pfn.enter(table, list);
        self.note_frame(table);
    }
}
