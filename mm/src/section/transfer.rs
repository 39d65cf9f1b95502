//! Page reads under way: asked for by a fault, done by the machine, reported back here.

use crate::id::{ProcessId, SectionId, TransferId};
use crate::pfn::{ListName, PfnFlags};
use crate::state::Mm;
use crate::vad::VadKind;
use vadose_facts::addr::{Pfn, Vpn};
use vadose_facts::ntdef::NtStatus;
use vadose_facts::x86::{PhysicalMemory, Stale};

/// A read that was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PendingTransfer {
    pub(crate) section: SectionId,
    pub(crate) frame: Pfn,
    /// Who asked: told if the read fails.
    pub(crate) process: ProcessId,
    pub(crate) vpn: Vpn,
}

impl<R: PhysicalMemory> Mm<R> {
    /// Reports a transfer's end. After a success the page waits in its frame for the fault to be raised again; after a
    /// failure the next fault of the process that asked, at that page, raises `STATUS_IN_PAGE_ERROR` with the given
    /// cause (SPEC E27). A transfer that is not under way changes nothing.
    pub fn complete_transfer(&mut self, id: TransferId, result: Result<(), NtStatus>) -> Stale {
        let Some(transfer) = self.transfers.remove(id) else {
            return Stale::none();
        };
        let entry = self.pfn.get_mut(transfer.frame);
        assert!(entry.flags.contains(PfnFlags::READ_IN_PROGRESS), "a transfer's frame knows of it");
        entry.flags.remove(PfnFlags::READ_IN_PROGRESS);
        entry.reference_count -= 1;
        match result {
            Ok(()) => {
                entry.flags.insert(PfnFlags::JUST_READ);
                self.pfn.retire(transfer.frame);
            }
            Err(cause) => {
                let (at, original) = (entry.pte, entry.original_pte);
                self.set_prototype(at, original);
                self.pfn.enter(transfer.frame, ListName::Free);
                if self.maps(transfer) {
                    self.remember_failure(transfer.process, transfer.vpn, cause);
                }
            }
        }
        if self.sections.get(transfer.section).is_some() {
            self.delete_section_if_unused(transfer.section);
        }
        Stale::frame(transfer.frame)
    }

    /// Whether the process that asked for a page still has the section there.
    fn maps(&self, transfer: PendingTransfer) -> bool {
        self.processes.get(transfer.process).is_some_and(|process| {
            let vad = process.vads.find(transfer.vpn);
            vad.is_some_and(|vad| process.vads.get(vad).kind == VadKind::Image { section: transfer.section })
        })
    }
}
