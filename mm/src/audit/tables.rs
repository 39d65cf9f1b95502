//! A process's page tables: their counts, their charge, and that every region has what it holds.

use super::AuditError;
use crate::id::ProcessId;
use crate::pfn::{PageLocation, PfnFlags};
use crate::process::{Process, root_frames};
use crate::state::Mm;
use crate::tables::{Child, part_in};
use std::collections::BTreeSet;
use vadose_facts::addr::{PAGE_SHIFT, PageRange, Pfn, PhysAddr, Vpn};
use vadose_facts::x86::{EntryRights, Level, PhysicalMemory};

/// What the tables of a process come to.
#[derive(Default)]
struct Found {
    charged: u64,
    out: u64,
    valid: BTreeSet<Pfn>,
    /// A directory is in a page file: what is below it nobody sees.
    unseen: bool,
    wrong: Vec<String>,
}

impl<R: PhysicalMemory> Mm<R> {
    pub(super) fn audit_directories(&self, id: ProcessId, process: &Process) -> Result<(), AuditError> {
        let mut found = Found { charged: root_frames(self.edition.paging), ..Found::default() };
        self.each_directory_entry(process, |vpn, at, raw, level| {
            if level.rights != EntryRights::None {
                self.audit_directory_entry(process, vpn, at, raw, level, &mut found);
            }
        });
        agree!(found.wrong, Vec::<String>::new(), "tables of {id:?}");
        if found.unseen || process.lost_directories {
            agree!(process.table_pages >= found.charged, true, "charged tables of {id:?}");
            agree!(process.tables_out >= found.out, true, "tables of {id:?} that left the working set");
        } else {
            agree!(process.table_pages, found.charged, "charged tables of {id:?}");
            agree!(process.tables_out, found.out, "tables of {id:?} that left the working set");
        }
        let listed: BTreeSet<Pfn> = process.working_set.tables.iter().map(|(_, entry)| entry.pfn()).collect();
        agree!(listed, found.valid, "tables in the working set of {id:?}");
        for (_, vad) in process.vads.iter().filter(|(_, vad)| vad.holds_tables()) {
            for vpn in self.table_starts(vad.range) {
                let missing = self.missing_tables(process.root, PageRange::inclusive(vpn, vpn)).charges;
                agree!(missing, 0, "tables of {id:?} that are not charged at {vpn:?} in {:?}", vad.range);
            }
        }
        Ok(())
    }

    fn audit_directory_entry(
        &self,
        process: &Process,
        vpn: Vpn,
        at: PhysAddr,
        raw: u64,
        level: Level,
        found: &mut Found,
    ) {
        let child = self.child_in(raw, level);
        let (table, parent) = match child {
            Child::None | Child::Large => return,
            Child::Promised => {
                found.charged += 1;
                return;
            }
            Child::Out => {
                found.charged += 1;
                found.out += 1;
                found.unseen |= level.shift > self.last_directory_shift();
                return;
            }
            Child::Waiting(pfn) => {
                found.out += 1;
                (pfn, 0)
            }
            Child::Table(table) => {
                found.valid.insert(table.pfn());
                (table.pfn(), 1)
            }
        };
        found.charged += 1;
        let frame = self.pfn.get(table);
        let (used, pinned) = self.counts_of(process, vpn, table, level);
        let kept = (u64::from(frame.used_entries), frame.share_count, frame.pte, parent == 1);
        // A table read back says how many entries it uses when it is valid again.
        let used = if parent == 0 { kept.0 } else { used };
        let counted = (used, pinned + parent, at, frame.location == PageLocation::Active);
        if kept != counted || !frame.flags.contains(PfnFlags::PAGE_TABLE) {
            found.wrong.push(format!("{table:?} at {vpn:?}: kept {kept:?}, counted {counted:?}"));
        }
    }

    fn last_directory_shift(&self) -> u32 {
        let levels = self.edition.paging.levels();
        levels[levels.len() - 2].shift
    }

    /// Entries of a table that are not zero, and that pin it: of its user part.
    fn counts_of(&self, process: &Process, vpn: Vpn, table: Pfn, parent: Level) -> (u64, u32) {
        let bytes = self.edition.paging.entry_bytes();
        let pages = 1 << (parent.shift - PAGE_SHIFT);
        let below = pages / self.edition.paging.entries_per_page();
        let first = vpn.raw() & !(pages - 1);
        let (mut used, mut pinned) = (0, 0);
        for index in 0..self.edition.paging.entries_per_page() {
            if first + index * below <= process.max_user.vpn().raw() {
                let raw = self.read(table.base().offset(index * bytes));
                used += u64::from(raw != 0);
                pinned += u32::from(self.format.pins_table(raw));
            }
        }
        (used, pinned)
    }

    /// Calls `each` for every entry of a directory of a process's user half that is not zero.
    pub(super) fn each_directory_entry(
        &self,
        process: &Process,
        mut each: impl FnMut(Vpn, PhysAddr, u64, Level),
    ) {
        let user = PageRange::inclusive(Vpn::new(0), process.max_user.vpn());
        self.each_directory_below(process.root, self.edition.paging.levels(), user, &mut each);
    }

    fn each_directory_below(
        &self,
        table: PhysAddr,
        levels: &[Level],
        range: PageRange,
        each: &mut impl FnMut(Vpn, PhysAddr, u64, Level),
    ) {
        let [level, below @ ..] = levels else { return };
        if below.is_empty() {
            return;
        }
        let shift = level.shift - PAGE_SHIFT;
        for slot in range.start().raw() >> shift..=range.last().raw() >> shift {
            let part = part_in(range, slot, shift);
            let at = self.slot_of(table, *level, part.start());
            let raw = self.read(at);
            if raw == 0 {
                continue;
            }
            each(part.start(), at, raw, *level);
            match self.child_in(raw, *level) {
                Child::Table(child) => self.each_directory_below(child, below, part, each),
                Child::Waiting(pfn) => self.each_directory_below(pfn.base(), below, part, each),
                Child::None | Child::Large | Child::Promised | Child::Out => {}
            }
        }
    }

    /// Whether a table of a range is in a page file.
    pub(super) fn has_tables_out(&self, process: &Process, range: PageRange) -> bool {
        let mut out = false;
        self.each_directory_entry(process, |vpn, _, raw, level| {
            let pages = 1 << (level.shift - PAGE_SHIFT);
            let first = vpn.raw() & !(pages - 1);
            let overlaps = first < range.end().raw() && range.start().raw() < first + pages;
            out |= overlaps && self.child_in(raw, level) == Child::Out;
        });
        out
    }
}
