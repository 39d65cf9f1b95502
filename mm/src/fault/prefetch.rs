//! Prefetch: a page of a file is read before anybody touches it, and waits outside of the working set (SPEC I36, J30).

use super::decide::Plan;
use crate::id::ProcessId;
use crate::paging::PagingTransfer;
use crate::pte::PrototypeState;
use crate::request::{FaultOutcome, FaultRequest, Transfer};
use crate::state::Mm;
use vadose_facts::addr::VirtAddr;
use vadose_facts::x86::{Access, PhysicalMemory};

impl<R: PhysicalMemory> Mm<R> {
    /// The read that would bring in the page at an address; `None` if it is in memory, is in no file, may not be read,
    /// or finds no frame.
    ///
    /// # Panics
    ///
    /// If the process is gone.
    pub fn prefetch(&mut self, process: ProcessId, address: VirtAddr) -> Option<Transfer> {
        let request = FaultRequest { address, access: Access::Read, stack: None };
        let Plan::Shared { page, .. } = self.decide(process, &request) else { return None };
        let prototype = self.read(self.area(page.area).prototype(page.number));
        match self.format.decode_prototype(prototype) {
            PrototypeState::Subsection { .. } => match self.start_read(process, &request, page) {
                FaultOutcome::Wait(transfer) => Some(transfer),
                FaultOutcome::Resume(_)
                | FaultOutcome::Raise(_)
                | FaultOutcome::Page(_)
                | FaultOutcome::Short => None,
            },
            PrototypeState::Absent
            | PrototypeState::Active { .. }
            | PrototypeState::Transition { .. }
            | PrototypeState::DemandZero { .. }
            | PrototypeState::PageFile { .. } => None,
        }
    }

    /// The same for a page in a page file. `None` also for one that is compressed in RAM, and for one whose page table is
    /// in a page file: a prefetch is a hint.
    ///
    /// # Panics
    ///
    /// If the process is gone.
    pub fn prefetch_paged(&mut self, process: ProcessId, address: VirtAddr) -> Option<PagingTransfer> {
        let request = FaultRequest { address, access: Access::Read, stack: None };
        let plan = self.decide(process, &request);
        let paged = match plan {
            Plan::PageFile { slot, .. } => !Self::is_stored(slot),
            Plan::Shared { page, .. } => {
                let slot = self.slot_in(self.read(self.area(page.area).prototype(page.number)));
                slot.is_some_and(|slot| !Self::is_stored(slot))
            }
            Plan::Spurious
            | Plan::Violation
            | Plan::Failed { .. }
            | Plan::Guard { .. }
            | Plan::FirstStore { .. }
            | Plan::CopyOnWrite { .. }
            | Plan::DemandZero { .. }
            | Plan::Transition { .. } => false,
        };
        if !paged || self.pfn.counts().available() == 0 {
            return None;
        }
        match self.apply(process, &request, plan) {
            FaultOutcome::Page(transfer) => Some(transfer),
            FaultOutcome::Resume(_)
            | FaultOutcome::Raise(_)
            | FaultOutcome::Wait(_)
            | FaultOutcome::Short => None,
        }
    }
}
