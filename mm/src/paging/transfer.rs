//! Transfers between frames and page files: asked for here, made by the machine, reported back (SPEC I35, J15).

use super::{Slot, SlotState};
use crate::id::{PagingId, ProcessId};
use crate::pfn::{PageLocation, PfnFlags};
use crate::request::TransferDirection;
use crate::section::IN_TRANSFER;
use crate::state::Mm;
use crate::trace::{TraceEvent, TracedTransfer};
use vadose_facts::addr::{Pfn, Vpn};
use vadose_facts::ntdef::NtStatus;
use vadose_facts::x86::{PhysicalMemory, Stale};

/// Pages to move between a page file and frames. The same read may be asked for again while it is under way: it is to be
/// done once.
#[must_use = "pages wait for this transfer"]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PagingTransfer {
    /// Names the transfer in `complete_paging`.
    pub id: PagingId,
    /// Which way.
    pub direction: TransferDirection,
    /// Number of the page file.
    pub file: u8,
    /// First page in it.
    pub first_page: u32,
    /// The frames, one for each page from the first one on.
    pub frames: Vec<Pfn>,
}

/// A transfer that was asked for.
#[derive(Clone, Debug)]
pub(crate) struct PendingPaging {
    pub(crate) first: Slot,
    pub(crate) frames: Vec<Pfn>,
    pub(crate) purpose: PagingPurpose,
}

/// What a transfer is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PagingPurpose {
    /// A fault waits for the first page.
    Read {
        /// Whose.
        process: ProcessId,
        /// Where.
        vpn: Vpn,
    },
    /// Modified pages are written.
    Write,
}

impl PendingPaging {
    /// The page that a fault waits for.
    pub(crate) const fn wanted(&self) -> Option<(ProcessId, Vpn)> {
        match self.purpose {
            PagingPurpose::Read { process, vpn } => Some((process, vpn)),
            PagingPurpose::Write => None,
        }
    }

    fn slots(&self) -> impl Iterator<Item = (Slot, Pfn)> + '_ {
        (self.first.page..).zip(&self.frames).map(|(page, pfn)| (Slot { file: self.first.file, page }, *pfn))
    }
}

impl<R: PhysicalMemory> Mm<R> {
    pub(super) fn start_paging(&mut self, pending: PendingPaging) -> PagingTransfer {
        let id = self.paging.insert(pending);
        self.note_paging(id);
        self.describe_paging(id)
    }

    fn describe_paging(&self, id: PagingId) -> PagingTransfer {
        let pending = self.paging.get(id).expect("the transfer is under way");
        let direction = match pending.purpose {
            PagingPurpose::Read { .. } => TransferDirection::Read,
            PagingPurpose::Write => TransferDirection::Write,
        };
        let Slot { file, page } = pending.first;
        PagingTransfer { id, direction, file, first_page: page, frames: pending.frames.clone() }
    }

    /// The transfer that reads into a frame, if it comes from a page file.
    pub(crate) fn paging_of(&self, pfn: Pfn) -> PagingTransfer {
        let mut under_way = self.paging.iter();
        let found = under_way.find(|(_, pending)| pending.frames.contains(&pfn));
        let (id, _) = found.expect("a frame in transfer has a transfer");
        self.describe_paging(id)
    }

    /// Reports the end of a transfer with a page file. After a read the pages wait in their frames for the fault to be
    /// raised again; after a failed one the next fault of the process that asked raises `STATUS_IN_PAGE_ERROR` with the
    /// cause (SPEC E27), and the pages read along with it are read again when they are needed. A page that could not be
    /// written stays in its frame. A transfer that is not under way changes nothing.
    pub fn complete_paging(&mut self, id: PagingId, result: Result<(), NtStatus>) -> Stale {
        let mut stale = Stale::none();
        let Some(pending) = self.paging.remove(id) else { return stale };
        self.note(|_| TraceEvent::TransferEnd { id: TracedTransfer::Paging(id), result });
        for (slot, pfn) in pending.slots() {
            let entry = self.pfn.get_mut(pfn);
            assert!(entry.flags.intersects(IN_TRANSFER), "a transfer's frame knows of it");
            entry.flags.remove(IN_TRANSFER);
            entry.reference_count -= 1;
            match pending.purpose {
                PagingPurpose::Read { .. } => {
                    stale.add_frame(pfn);
                    self.end_page_read(pfn, result);
                }
                PagingPurpose::Write => self.end_page_write(slot, pfn, result, pending.frames.len()),
            }
        }
        match (pending.purpose, result) {
            (PagingPurpose::Read { process, vpn }, Err(cause)) => {
                let alone = pending.frames.len() == 1;
                self.note_failed_read(process, vpn, pending.first, alone.then_some(cause));
            }
            (PagingPurpose::Write, Err(_)) if pending.frames.len() > 1 => {
                self.write_alone = u32::try_from(pending.frames.len()).expect("a cluster is small");
            }
            (PagingPurpose::Read { .. }, Ok(())) => self.mark_just_read(&pending),
            (PagingPurpose::Write, _) => {}
        }
        self.news = true;
        stale
    }

    fn end_page_read(&mut self, pfn: Pfn, result: Result<(), NtStatus>) {
        let entry = self.pfn.get(pfn);
        if entry.flags.contains(PfnFlags::DELETED) {
            self.pfn.get_mut(pfn).flags.remove(PfnFlags::DELETED);
            self.free_frame(pfn);
        } else if result.is_ok() {
            self.retire(pfn);
        } else {
            self.restore_owner(pfn);
            // The copy in the page file is the owner's again, not the frame's.
            self.pfn.get_mut(pfn).original_pte = 0;
            self.free_frame(pfn);
        }
    }

    /// The page that the fault waits for is known when it comes back, and those that came along with it when they are
    /// used.
    fn mark_just_read(&mut self, pending: &PendingPaging) {
        self.movements.read_along += pending.frames.len() as u64 - 1;
        for (index, pfn) in pending.frames.iter().enumerate() {
            let entry = self.pfn.get_mut(*pfn);
            if entry.location == PageLocation::Standby {
                entry.flags.insert(if index == 0 { PfnFlags::JUST_READ } else { PfnFlags::READ_ALONG });
            }
        }
    }

    fn end_page_write(&mut self, slot: Slot, pfn: Pfn, result: Result<(), NtStatus>, cluster: usize) {
        let entry = self.pfn.get(pfn);
        assert!(self.slot_in(entry.original_pte) == Some(slot), "a page is written to where it says");
        if entry.flags.contains(PfnFlags::DELETED) {
            self.pfn.get_mut(pfn).flags.remove(PfnFlags::DELETED);
            self.free_frame(pfn);
            return;
        }
        if result.is_err() {
            // One page alone that fails shows that it is bad; of several, nobody knows which.
            let state = if cluster == 1 { SlotState::Bad } else { SlotState::Good };
            self.take_write_back(slot, pfn, state);
        }
        if self.pfn.get(pfn).location == PageLocation::Transition {
            self.retire(pfn);
        }
    }

    fn take_write_back(&mut self, slot: Slot, pfn: Pfn, state: SlotState) {
        let entry = self.pfn.get_mut(pfn);
        entry.flags.insert(PfnFlags::MODIFIED);
        let protection = self.format.stored_protection(entry.original_pte);
        entry.original_pte = self.format.demand_zero(protection);
        match state {
            SlotState::Good => {
                self.page_files.free(slot);
                self.note_slot_freed(slot);
            }
            SlotState::Bad => {
                self.page_files.spoil(slot);
                self.note(|_| TraceEvent::SlotBad { slot });
                self.commit.lose(1);
            }
        }
    }
}
