//! What a range lacks before its entries can be written: charge, and frames for tables (SPEC J12).

use super::{Child, page_shift, part_in};
use crate::id::ProcessId;
use crate::paging::Wanted;
use crate::state::Mm;
use vadose_facts::addr::{PageRange, PhysAddr, Vpn};
use vadose_facts::ntdef::NtStatus;
use vadose_facts::x86::{Level, PhysicalMemory};

/// Tables that a range lacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Missing {
    /// Tables that are not charged.
    pub(crate) charges: u64,
    /// Tables above the last level that have no frame.
    pub(crate) upper_frames: u64,
    /// Last-level tables that have no frame.
    pub(crate) leaf_frames: u64,
}

impl Missing {
    pub(crate) const fn frames(self) -> u64 {
        self.upper_frames.saturating_add(self.leaf_frames)
    }

    fn add(&mut self, other: Self) {
        self.charges = self.charges.saturating_add(other.charges);
        self.upper_frames = self.upper_frames.saturating_add(other.upper_frames);
        self.leaf_frames = self.leaf_frames.saturating_add(other.leaf_frames);
    }
}

/// Whether a call writes entries of its range, or only makes sure that they can be written later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Entries are written.
    Entries,
    /// The charge will do.
    Promise,
}

impl<R: PhysicalMemory> Mm<R> {
    /// Makes sure that a number of pages, and the tables that a range lacks, can be charged and given frames. Nothing
    /// is taken yet.
    ///
    /// # Errors
    ///
    /// `STATUS_COMMITMENT_LIMIT`, or `STATUS_NO_MEMORY` if the tables find no frames.
    pub(crate) fn room_for(
        &self,
        root: PhysAddr,
        range: PageRange,
        pages: u64,
        need: Need,
    ) -> Result<(), NtStatus> {
        let missing = self.missing_tables(root, range);
        let mut trial = self.commit;
        trial.charge(missing.charges.saturating_add(pages))?;
        self.need_frames(match need {
            Need::Entries => missing.frames(),
            Need::Promise => missing.upper_frames,
        })
    }

    /// The same, once the tables that the range has are there.
    ///
    /// # Errors
    ///
    /// Those of [`room_for`](Self::room_for), and `STATUS_NO_MEMORY` while a table is in a page file.
    pub(crate) fn make_room(
        &mut self,
        id: ProcessId,
        range: PageRange,
        pages: u64,
        need: Need,
    ) -> Result<(), NtStatus> {
        self.need_tables(id, range)?;
        self.room_for(self.process(id).root, range, pages, need)
    }

    /// Makes sure that entries of a range whose tables are charged can be written.
    ///
    /// # Errors
    ///
    /// `STATUS_NO_MEMORY` if the tables find no frames.
    pub(crate) fn need_entries(&self, id: ProcessId, range: PageRange) -> Result<(), NtStatus> {
        self.need_frames(self.missing_tables(self.process(id).root, range).frames())
    }

    /// Which tables must be charged, and given frames, before every page of the range has an entry. Costs what the tables
    /// that exist are, not what the range is.
    pub(crate) fn missing_tables(&self, root: PhysAddr, range: PageRange) -> Missing {
        if self.is_in_one_table(range) {
            return self.missing_on_way(root, range.start());
        }
        self.missing_below(Some(root), self.edition.paging.levels(), range)
    }

    fn missing_on_way(&self, root: PhysAddr, vpn: Vpn) -> Missing {
        let levels = self.edition.paging.levels();
        let way = self.way(root, vpn);
        let below = (levels.len() - way.count) as u64;
        if below == 0 {
            return Missing::default();
        }
        let level = levels[way.count - 1];
        let entry = self.read(self.slot_of(way.tables[way.count - 1], level, vpn));
        let charged = match self.child_in(entry, level) {
            Child::Promised => 1,
            Child::None => 0,
            // A table that is there in another way is not missing.
            Child::Out | Child::Large | Child::Table(_) | Child::Waiting(_) => return Missing::default(),
        };
        Missing { charges: below - charged, upper_frames: below - 1, leaf_frames: 1 }
    }

    /// How many tables must be made before every large page of the range has a directory entry.
    pub(crate) fn missing_directories(&self, root: PhysAddr, range: PageRange) -> u64 {
        let levels = self.edition.paging.levels();
        self.missing_below(Some(root), &levels[..levels.len() - 1], range).charges
    }

    fn missing_below(&self, table: Option<PhysAddr>, levels: &[Level], range: PageRange) -> Missing {
        let [level, below @ ..] = levels else { return Missing::default() };
        let mut missing = Missing::default();
        if below.is_empty() {
            return missing;
        }
        let leaf = u64::from(below.len() == 1);
        let shift = page_shift(*level);
        let (first, last) = (range.start().raw() >> shift, range.last().raw() >> shift);
        let Some(table) = table else {
            let count = last - first + 1;
            missing.add(Missing {
                charges: count,
                upper_frames: count * (1 - leaf),
                leaf_frames: count * leaf,
            });
            missing.add(self.missing_below(None, below, range));
            return missing;
        };
        for slot in first..=last {
            let part = part_in(range, slot, shift);
            let entry = self.read(self.slot_of(table, *level, part.start()));
            let frame = Missing { charges: 0, upper_frames: 1 - leaf, leaf_frames: leaf };
            match self.child_in(entry, *level) {
                Child::Table(child) => missing.add(self.missing_below(Some(child), below, part)),
                Child::Waiting(pfn) => missing.add(self.missing_below(Some(pfn.base()), below, part)),
                Child::Promised => missing.add(frame),
                Child::None => {
                    missing.add(Missing { charges: 1, ..frame });
                    missing.add(self.missing_below(None, below, part));
                }
                Child::Large | Child::Out => {}
            }
        }
        missing
    }

    /// Makes sure that `count` frames can be taken in a row.
    ///
    /// # Errors
    ///
    /// `STATUS_NO_MEMORY`.
    pub(crate) fn need_frames(&self, count: u64) -> Result<(), NtStatus> {
        if self.pfn.counts().available() < count {
            self.wanted.set(Some(Wanted::Frames(count)));
            return Err(NtStatus::NO_MEMORY);
        }
        Ok(())
    }
}
