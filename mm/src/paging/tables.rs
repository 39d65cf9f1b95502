//! Page tables leave RAM as well: a table without a valid or waiting entry is trimmed, written and read back like a page
//! of the process (SPEC I24).

use super::Slot;
use super::read::PagedOut;
use crate::id::ProcessId;
use crate::pfn::{LastShare, PfnFlags};
use crate::pte::PteState;
use crate::request::FaultOutcome;
use crate::state::Mm;
use crate::tables::{Child, TABLE_PROTECTION, USER_TABLE};
use crate::trace::TraceEvent;
use crate::working_set::NO_ENTRY;
use std::ops::ControlFlow;
use vadose_facts::addr::{PAGE_SHIFT, PageRange, Pfn, PhysAddr, Vpn};
use vadose_facts::ntdef::NtStatus;
use vadose_facts::x86::{Level, PhysicalMemory, Stale};

use super::PagingTransfer;

/// What a call lacked: after that is there, it is to be made again.
#[must_use = "the call is to be made again"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// So many available frames: [`Mm::ask_for_frames`], then work until it is idle.
    Frames(u64),
    /// A page table that is in a page file: [`Mm::read_table`], then make the transfer.
    Table(WantedTable),
}

/// A page table that is in a page file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WantedTable {
    root: PhysAddr,
    vpn: Vpn,
}

impl WantedTable {
    /// A page whose entry is in it: the one that was looked for.
    pub const fn page(self) -> Vpn {
        self.vpn
    }
}

/// Why the way to a page's entry is not there.
#[derive(Debug)]
pub(crate) enum TableWait {
    /// A table is being read.
    Page(PagingTransfer),
    /// There is no frame to read it into.
    Short,
    /// It cannot be read.
    Failed(NtStatus),
}

impl<R: PhysicalMemory> Mm<R> {
    /// What the last call lacked, if it failed for want of frames or of a page table. A call that only looks may have
    /// succeeded, and does not know all then.
    pub fn take_wanted(&mut self) -> Option<Wanted> {
        self.wanted.take()
    }

    pub(crate) fn want_table(&self, root: PhysAddr, vpn: Vpn) {
        self.wanted.set(Some(Wanted::Table(WantedTable { root, vpn })));
    }

    /// Asks for a page table that a call lacked. `None` if there is nothing to wait for.
    ///
    /// # Errors
    ///
    /// `STATUS_NO_MEMORY` without a frame for it: [`ask_for_frames`](Self::ask_for_frames) for one; and the status of its
    /// last read, if that failed.
    pub fn read_table(&mut self, wanted: WantedTable) -> Result<Option<PagingTransfer>, NtStatus> {
        let owner = self.processes.iter().find(|(_, process)| process.root == wanted.root);
        let Some((id, _)) = owner else { return Ok(None) };
        match self.bring_way(id, wanted.vpn) {
            Ok(()) => Ok(None),
            Err(TableWait::Page(transfer)) => Ok(Some(transfer)),
            Err(TableWait::Short) => Err(NtStatus::NO_MEMORY),
            Err(TableWait::Failed(cause)) => Err(cause),
        }
    }

    /// Makes the tables on the way to a page's entry valid, as far as they are not zero.
    pub(crate) fn bring_way(&mut self, id: ProcessId, vpn: Vpn) -> Result<(), TableWait> {
        if self.process(id).tables_out == 0 {
            return Ok(());
        }
        let levels = self.edition.paging.levels();
        let mut table = self.process(id).root;
        for level in &levels[..levels.len() - 1] {
            let at = self.slot_of(table, *level, vpn);
            table = match self.child_in(self.read(at), *level) {
                Child::Table(table) => table,
                Child::Waiting(pfn) => self.revalidate(id, vpn, at, pfn),
                Child::Out => match self.start_table_read(id, vpn, at) {
                    Some(wait) => return Err(wait),
                    None => {
                        let Child::Waiting(pfn) = self.child_in(self.read(at), *level) else {
                            unreachable!("the table came out of the store")
                        };
                        self.revalidate(id, vpn, at, pfn)
                    }
                },
                Child::None | Child::Promised | Child::Large => return Ok(()),
            };
        }
        Ok(())
    }

    /// `None` if the table is in a frame now.
    fn start_table_read(&mut self, id: ProcessId, vpn: Vpn, at: PhysAddr) -> Option<TableWait> {
        let raw = self.read(at);
        if let PteState::Transition { pfn, .. } = self.format.decode(raw) {
            return Some(TableWait::Page(self.paging_of(pfn)));
        }
        let slot = self.slot_in(raw).expect("a table that is out is in a page file");
        if Self::is_stored(slot) {
            return self.load_table(at, slot);
        }
        if self.pfn.counts().available() == 0 {
            self.working = true;
            return Some(TableWait::Short);
        }
        let page = PagedOut { at, slot, entries: 1, owner: PfnFlags::PAGE_TABLE };
        Some(match self.read_page(id, vpn, page) {
            Ok(FaultOutcome::Page(transfer)) => TableWait::Page(transfer),
            Ok(other) => unreachable!("a read starts a transfer: {other:?}"),
            Err(cause) => TableWait::Failed(cause),
        })
    }

    /// A table comes out of the compressed store: from then on it waits in a frame.
    fn load_table(&mut self, at: PhysAddr, slot: Slot) -> Option<TableWait> {
        let mut stale = Stale::none();
        let Some(pfn) = self.load_stored(slot, &mut stale) else {
            self.working = true;
            return Some(TableWait::Short);
        };
        // What a processor remembers of the frame's old bytes is noted on it: nobody runs a table's bytes.
        let old = if stale.frames().is_empty() { PfnFlags::empty() } else { PfnFlags::REWRITTEN };
        stale.nothing_cached();
        let original = self.format.demand_zero(TABLE_PROTECTION);
        let flags = PfnFlags::PAGE_TABLE | PfnFlags::MODIFIED | old;
        self.pfn.own(pfn, at, original, flags, 0);
        self.set_entry(at, self.format.transition(pfn, TABLE_PROTECTION));
        self.retire(pfn);
        None
    }

    /// A table comes back from its frame.
    fn revalidate(&mut self, id: ProcessId, vpn: Vpn, at: PhysAddr, pfn: Pfn) -> PhysAddr {
        if !self.pfn.get(pfn).flags.contains(PfnFlags::WRITE_IN_PROGRESS) {
            self.pfn.leave_list(pfn);
        }
        self.pfn.reactivate(pfn);
        self.forget_stored(pfn);
        self.news = true;
        self.note(|_| TraceEvent::TableBack { process: id, vpn, frame: pfn });
        let used = self.used_entries(pfn);
        let entry = self.pfn.get_mut(pfn);
        entry.flags.remove(PfnFlags::JUST_READ);
        entry.used_entries = used;
        let modified = self.pfn.get(at.pfn()).flags & PfnFlags::MODIFIED;
        self.set_entry(at, pfn.base().raw() | USER_TABLE);
        // The parent says the same as before, in another form: that alone is nothing to write.
        let parent = self.pfn.get_mut(at.pfn());
        parent.flags.set(PfnFlags::MODIFIED, modified.contains(PfnFlags::MODIFIED) || parent.share_count > 1);
        self.enter_tables(id, vpn, pfn);
        self.process_mut(id).tables_out -= 1;
        pfn.base()
    }

    fn used_entries(&self, table: Pfn) -> u16 {
        let bytes = self.edition.paging.entry_bytes();
        let entries = 0..self.edition.paging.entries_per_page();
        let used = entries.filter(|index| self.read(table.base().offset(index * bytes)) != 0).count();
        u16::try_from(used).expect("a table has at most 1024 entries")
    }

    /// Makes all tables of a range valid that are not zero.
    ///
    /// # Errors
    ///
    /// `STATUS_NO_MEMORY` if one is in a page file: [`take_wanted`](Self::take_wanted) says which.
    pub(crate) fn need_tables(&mut self, id: ProcessId, range: PageRange) -> Result<(), NtStatus> {
        if self.process(id).tables_out == 0 {
            return Ok(());
        }
        let root = self.process(id).root;
        match self.bring_below(id, root, self.edition.paging.levels(), range) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(vpn) => {
                self.want_table(root, vpn);
                Err(NtStatus::NO_MEMORY)
            }
        }
    }

    /// The same for a range whose content is about to go: what is out of RAM goes at once, table by table, so that no more
    /// tables have to be in RAM than pages in RAM need anyway. A table that cannot be read and that nothing else uses is
    /// given up with what its entries had in page files, as at a process's end.
    ///
    /// # Errors
    ///
    /// As [`need_tables`](Self::need_tables). A table at an end of the range that cannot be read, and that another
    /// region needs, fails the call before anything is gone.
    pub(crate) fn need_tables_of_the_gone(
        &mut self,
        id: ProcessId,
        range: PageRange,
    ) -> Result<(), NtStatus> {
        if self.process(id).tables_out == 0 {
            return Ok(());
        }
        let root = self.process(id).root;
        for end in [range.start(), range.last()] {
            let way =
                self.bring_below(id, root, self.edition.paging.levels(), PageRange::inclusive(end, end));
            if let ControlFlow::Break(vpn) = way
                && !self.is_alone(id, vpn, range)
            {
                return self.lacks(id, vpn);
            }
        }
        let Err(vpn) = self.bring_or_give_up(id, range) else { return Ok(()) };
        if let Some(before) =
            vpn.pages_above(range.start()).and_then(|pages| PageRange::new(range.start(), pages))
        {
            for (vpn, at) in self.entries_in(self.process(id), before) {
                let raw = self.read(at);
                if !self.format.pins_table(raw) {
                    self.drop_content(id, vpn, self.format.decode(raw), &mut Stale::none());
                    self.set_leaf(id, at, 0);
                }
            }
            self.tidy_tables(id, before);
        }
        self.lacks(id, vpn)
    }

    fn lacks(&self, id: ProcessId, vpn: Vpn) -> Result<(), NtStatus> {
        self.want_table(self.process(id).root, vpn);
        Err(NtStatus::NO_MEMORY)
    }

    /// Makes the tables of a range valid, and gives those up that cannot be read and hold nothing else. A page whose table
    /// is to be read comes back.
    fn bring_or_give_up(&mut self, id: ProcessId, range: PageRange) -> Result<(), Vpn> {
        let root = self.process(id).root;
        while let ControlFlow::Break(vpn) = self.bring_below(id, root, self.edition.paging.levels(), range) {
            if !self.is_alone(id, vpn, range) || !self.cannot_be_read(id, vpn) {
                return Err(vpn);
            }
            self.abandon_table(id, vpn);
        }
        Ok(())
    }

    /// Whether the table that is missing on the way to a page of a range holds nothing but the range.
    fn is_alone(&self, id: ProcessId, vpn: Vpn, range: PageRange) -> bool {
        let Some((_, level)) = self.table_out(id, vpn) else { return true };
        let pages = 1 << (level.shift - PAGE_SHIFT);
        let first = Vpn::new(vpn.raw() & !(pages - 1));
        let end = Vpn::new(first.raw() + pages);
        let below = range.start().pages_above(first).and_then(|pages| PageRange::new(first, pages));
        let above = end.pages_above(range.end()).and_then(|pages| PageRange::new(range.end(), pages));
        let vads = &self.process(id).vads;
        [below, above].into_iter().flatten().all(|rest| vads.overlapping(rest).is_none())
    }

    fn cannot_be_read(&self, id: ProcessId, vpn: Vpn) -> bool {
        let slot = self.table_out(id, vpn).and_then(|(at, _)| self.slot_in(self.read(at)));
        slot.is_some_and(|slot| self.has_failed(id, vpn, slot))
    }

    /// The directory entry of the table that is missing on the way to a page.
    fn table_out(&self, id: ProcessId, vpn: Vpn) -> Option<(PhysAddr, Level)> {
        let levels = self.edition.paging.levels();
        let mut table = self.process(id).root;
        for level in &levels[..levels.len() - 1] {
            let at = self.slot_of(table, *level, vpn);
            match self.child_in(self.read(at), *level) {
                Child::Table(child) => table = child,
                Child::Out => return Some((at, *level)),
                Child::None | Child::Promised | Child::Large | Child::Waiting(_) => return None,
            }
        }
        None
    }

    fn bring_below(
        &mut self,
        id: ProcessId,
        table: PhysAddr,
        levels: &'static [Level],
        range: PageRange,
    ) -> ControlFlow<Vpn> {
        let [level, below @ ..] = levels else { return ControlFlow::Continue(()) };
        if below.is_empty() {
            return ControlFlow::Continue(());
        }
        let shift = level.shift - PAGE_SHIFT;
        for slot in range.start().raw() >> shift..=range.last().raw() >> shift {
            let part = crate::tables::part_in(range, slot, shift);
            let at = self.slot_of(table, *level, part.start());
            let child = match self.child_in(self.read(at), *level) {
                Child::Table(child) => child,
                Child::Waiting(pfn) => self.revalidate(id, part.start(), at, pfn),
                Child::Out => return ControlFlow::Break(part.start()),
                Child::None | Child::Promised | Child::Large => continue,
            };
            self.bring_below(id, child, below, part)?;
        }
        ControlFlow::Continue(())
    }

    /// A table has got a frame, or is valid again.
    pub(crate) fn enter_tables(&mut self, id: ProcessId, vpn: Vpn, table: Pfn) {
        let index = self.process_mut(id).working_set.tables.push(vpn, table);
        self.pfn.get_mut(table).ws_index = index;
    }

    /// A table goes, or leaves the working set.
    pub(crate) fn leave_tables(&mut self, id: ProcessId, table: Pfn) {
        let index = std::mem::replace(&mut self.pfn.get_mut(table).ws_index, NO_ENTRY);
        let entry = self.process_mut(id).working_set.tables.remove(index);
        assert!(entry.pfn() == table, "an entry names its table");
    }

    /// Looks at the oldest tables of a process, and trims those that nothing in RAM needs. Whether one left.
    pub(crate) fn trim_tables(&mut self, id: ProcessId, most: u64) -> bool {
        let mut trimmed = false;
        for _ in 0..most.min(self.process(id).working_set.tables.count()) {
            let Some((index, entry)) = self.process(id).working_set.tables.oldest() else { break };
            self.process_mut(id).working_set.tables.make_youngest(index);
            let frame = self.pfn.get(entry.pfn());
            let has_place =
                self.slot_in(frame.original_pte).is_some() || self.paging_room() > self.modified_pages();
            if frame.share_count == 1 && has_place {
                self.trim_table(id, entry.vpn, entry.pfn());
                trimmed = true;
            }
        }
        trimmed
    }

    fn trim_table(&mut self, id: ProcessId, vpn: Vpn, table: Pfn) {
        let at = self.pfn.get(table).pte;
        self.movements.tables_trimmed += 1;
        self.note(|_| TraceEvent::TableTrimmed { process: id, vpn, frame: table });
        self.leave_tables(id, table);
        self.set_entry(at, self.format.transition(table, TABLE_PROTECTION));
        assert!(self.pfn.unshare(table) == LastShare::Yes, "nothing in the table needs it");
        self.process_mut(id).tables_out += 1;
        self.retire(table);
    }

    /// Brings back the tables of a process that is about to be deleted, one after the other, and empties them. Call it
    /// until it answers `None`, make the transfers, and then delete the process.
    ///
    /// # Errors
    ///
    /// `STATUS_NO_MEMORY` without a frame: do some work first. A table that cannot be read is given up, and what its
    /// entries had in page files stays unused for good.
    pub fn prepare_deletion(&mut self, id: ProcessId) -> Result<Option<PagingTransfer>, NtStatus> {
        if self.processes.get(id).is_none() || self.process(id).tables_out == 0 {
            return Ok(None);
        }
        let user = PageRange::inclusive(Vpn::new(0), self.process(id).max_user.vpn());
        loop {
            let root = self.process(id).root;
            let ControlFlow::Break(vpn) = self.bring_below(id, root, self.edition.paging.levels(), user)
            else {
                return Ok(None);
            };
            match self.bring_way(id, vpn) {
                Ok(()) => {}
                Err(TableWait::Page(transfer)) => return Ok(Some(transfer)),
                Err(TableWait::Short) => return Err(NtStatus::NO_MEMORY),
                Err(TableWait::Failed(_)) => self.abandon_table(id, vpn),
            }
        }
    }

    /// A table that cannot be read is as good as empty. How many tables were below a directory nobody knows.
    fn abandon_table(&mut self, id: ProcessId, vpn: Vpn) {
        let Some((at, level)) = self.table_out(id, vpn) else { return };
        let slot: Slot = self.slot_in(self.read(at)).expect("the read ended");
        self.free_slot(slot);
        self.lost_tables += 1;
        let levels = self.edition.paging.levels();
        let is_directory = level.shift > levels[levels.len() - 2].shift;
        self.set_entry(at, if is_directory { 0 } else { self.format.demand_zero(TABLE_PROTECTION) });
        let shift = level.shift - PAGE_SHIFT;
        let first = vpn.raw() >> shift << shift;
        let process = self.process_mut(id);
        process.tables_out -= 1;
        process.lost_directories |= is_directory;
        process.working_set.stored.retain(|stored| stored.raw() >> shift << shift != first);
        self.failed_pages.retain(|failed| (failed.process, failed.vpn) != (id, vpn));
    }
}
