//! Page transfers under way: reads that a fault asked for, and writes of pages that were stored to; done by the machine,
//! reported back here.

use crate::id::{AreaId, FileId, ProcessId, TransferId};
use crate::pfn::{ListName, PageLocation, PfnFlags};
use crate::pte::PrototypeState;
use crate::request::{Transfer, TransferDirection, TransferEnd};
use crate::state::Mm;
use crate::trace::{TraceEvent, TracedTransfer};
use vadose_facts::addr::{Pfn, Vpn};
use vadose_facts::ntdef::NtStatus;
use vadose_facts::x86::{PhysicalMemory, Stale};

use super::IN_TRANSFER;

/// A transfer that was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PendingTransfer {
    pub(crate) area: AreaId,
    /// Which page of the area.
    pub(crate) page: u32,
    pub(crate) frame: Pfn,
    /// Where in which file, as it was when the transfer began: offset and bytes.
    pub(crate) place: (FileId, u64, u32),
    pub(crate) purpose: Purpose,
}

/// What a transfer is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    /// A fault waits for the page: who asked is told if the read fails.
    Read { process: ProcessId, vpn: Vpn },
    /// The page was stored to.
    Write {
        /// Whether it was stored to again and is to be on its way as well before somebody goes on.
        again: bool,
    },
}

impl Purpose {
    fn ask_again(&mut self) {
        match self {
            Self::Write { again } => *again = true,
            Self::Read { .. } => unreachable!("a page that is read was not stored to"),
        }
    }
}

impl<R: PhysicalMemory> Mm<R> {
    /// Reports a transfer's end. After a read the page waits in its frame for the fault to be raised again; after a
    /// failed one the next fault of the process that asked, at that page, raises `STATUS_IN_PAGE_ERROR` with the given
    /// cause (SPEC E27). A page that could not be written counts as stored to again; one that was stored to while it was
    /// written, and that nobody maps any more, is to be written once more (SPEC F46). A transfer that is not under way
    /// changes nothing.
    pub fn complete_transfer(&mut self, id: TransferId, result: Result<(), NtStatus>) -> TransferEnd {
        let Some(transfer) = self.transfers.remove(id) else {
            return TransferEnd { stale: Stale::none(), write: None };
        };
        self.area_mut(transfer.area).moving_pages -= 1;
        self.note(|_| TraceEvent::TransferEnd { id: TracedTransfer::File(id), result });
        let entry = self.pfn.get_mut(transfer.frame);
        assert!(entry.flags.intersects(IN_TRANSFER), "a transfer's frame knows of it");
        entry.flags.remove(IN_TRANSFER);
        entry.reference_count -= 1;
        let end = match transfer.purpose {
            Purpose::Read { process, vpn } => {
                self.end_read(&transfer, process, vpn, result);
                TransferEnd { stale: Stale::frame(transfer.frame), write: None }
            }
            Purpose::Write { again } => {
                let write = self.end_write(&transfer, again, result);
                TransferEnd { stale: Stale::none(), write }
            }
        };
        self.delete_area_if_unused(transfer.area);
        end
    }

    fn end_read(
        &mut self,
        transfer: &PendingTransfer,
        process: ProcessId,
        vpn: Vpn,
        result: Result<(), NtStatus>,
    ) {
        let frame = transfer.frame;
        match result {
            Ok(()) => {
                self.patch_page(transfer.area, transfer.page, frame);
                self.pfn.get_mut(frame).flags.insert(PfnFlags::JUST_READ);
                self.retire(frame);
            }
            Err(cause) => {
                let entry = self.pfn.get(frame);
                self.set_prototype(entry.pte, entry.original_pte);
                self.pfn.enter(frame, ListName::Free);
                self.note_frame(frame);
                if self.maps(process, vpn, transfer.area) {
                    self.remember_failure(process, vpn, cause);
                }
            }
        }
    }

    fn end_write(
        &mut self,
        transfer: &PendingTransfer,
        again: bool,
        result: Result<(), NtStatus>,
    ) -> Option<Transfer> {
        let entry = self.pfn.get_mut(transfer.frame);
        self.failed_file_writes = match result {
            Ok(()) => 0,
            Err(_) => self.failed_file_writes + 1,
        };
        if result.is_err() {
            entry.flags.insert(PfnFlags::MODIFIED);
        }
        let unmapped = entry.location == PageLocation::Transition;
        if unmapped {
            let news = self.news;
            self.retire(transfer.frame);
            // A page that is back on its list is nothing new.
            self.news = news || result.is_ok();
        }
        let written = result.is_ok() && (unmapped || again);
        written.then(|| self.start_write(transfer.area, transfer.page)).flatten()
    }

    /// Whether the process that asked for a page still has a view of the area there.
    fn maps(&self, process: ProcessId, vpn: Vpn, area: AreaId) -> bool {
        self.processes.get(process).is_some_and(|process| {
            let vad = process.vads.find(vpn).map(|vad| process.vads.get(vad));
            vad.and_then(|vad| vad.kind.view()).is_some_and(|view| view.area == area)
        })
    }

    /// Notes a transfer that is asked for.
    pub(crate) fn add_transfer(&mut self, pending: PendingTransfer) -> TransferId {
        self.area_mut(pending.area).moving_pages += 1;
        self.transfers.insert(pending)
    }

    /// The transfer that is under way for a frame.
    pub(crate) fn transfer_of(&self, pfn: Pfn) -> Transfer {
        let (id, pending) = self.pending_of(pfn);
        let (file, offset, bytes) = pending.place;
        let direction = match pending.purpose {
            Purpose::Read { .. } => TransferDirection::Read,
            Purpose::Write { .. } => TransferDirection::Write,
        };
        Transfer { id, direction, frame: pending.frame, file, offset, bytes }
    }

    fn pending_of(&self, pfn: Pfn) -> (TransferId, &PendingTransfer) {
        let mut under_way = self.transfers.iter();
        under_way.find(|(_, transfer)| transfer.frame == pfn).expect("a frame in transfer has one")
    }

    /// Starts to write a page that was stored to and that no transfer moves yet; one that is being written is written again
    /// after that. A page past the end of its file is clean from now on: it has no place to go (SPEC F51).
    pub(crate) fn start_write(&mut self, area: AreaId, page: u32) -> Option<Transfer> {
        let (pfn, listed) = match self.prototype_state(self.area(area), page) {
            PrototypeState::Active { pfn } => (pfn, false),
            PrototypeState::Transition { pfn, .. } => (pfn, true),
            PrototypeState::Absent
            | PrototypeState::Subsection { .. }
            | PrototypeState::DemandZero { .. }
            | PrototypeState::PageFile { .. } => return None,
        };
        let flags = self.pfn.get(pfn).flags;
        if !flags.contains(PfnFlags::MODIFIED) {
            return None;
        }
        if flags.intersects(IN_TRANSFER) {
            let (id, _) = self.pending_of(pfn);
            self.transfers.get_mut(id).expect("the transfer was found").purpose.ask_again();
            return None;
        }
        if listed {
            self.pfn.leave_list(pfn);
        }
        let entry = self.pfn.get_mut(pfn);
        entry.flags.remove(PfnFlags::MODIFIED);
        let Some(place) = self.area(area).file_place(page) else {
            if listed {
                self.retire(pfn);
            }
            return None;
        };
        let entry = self.pfn.get_mut(pfn);
        entry.flags.insert(PfnFlags::WRITE_IN_PROGRESS);
        entry.reference_count += 1;
        let id = self.add_transfer(PendingTransfer {
            area,
            page,
            frame: pfn,
            place,
            purpose: Purpose::Write { again: false },
        });
        self.note_transfer(id, pfn, None);
        Some(self.transfer_of(pfn))
    }
}
