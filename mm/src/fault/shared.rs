//! Pages of sections: the prototype entry says whether the page is in a frame, in its file, or zeros (SPEC I32).

use super::answer::resume;
use super::decide::SharedPage;
use crate::id::ProcessId;
use crate::pfn::PfnFlags;
use crate::pte::PrototypeState;
use crate::request::{FaultKind, FaultOutcome, FaultRequest};
use crate::section::{PendingTransfer, Purpose};
use crate::state::Mm;
use vadose_facts::addr::Pfn;
use vadose_facts::ntdef::{Protection, PteProtection};
use vadose_facts::x86::{PhysicalMemory, Stale};

impl<R: PhysicalMemory> Mm<R> {
    pub(super) fn shared_page(
        &mut self,
        id: ProcessId,
        request: &FaultRequest,
        page: SharedPage,
        protection: Protection,
    ) -> FaultOutcome {
        let at = self.area(page.area).prototype(page.number);
        let raw = self.read(at);
        match self.format.decode_prototype(raw) {
            PrototypeState::Active { pfn } => {
                self.pfn.share(pfn);
                self.map_shared(id, request, page, pfn, protection, FaultKind::ImagePageShared, Stale::none())
            }
            PrototypeState::Transition { pfn, .. } => {
                self.shared_in_frame(id, request, page, pfn, protection)
            }
            PrototypeState::Subsection { .. } => self.start_read(id, request, page),
            PrototypeState::DemandZero { protection: own } => {
                self.zero_prototype(id, request, page, protection, own)
            }
            PrototypeState::Absent => self.violation(request),
            PrototypeState::PageFile { .. } => unreachable!("no section page is written to a page file"),
        }
    }

    /// In a frame, mapped by nobody: on a list, or still being read.
    fn shared_in_frame(
        &mut self,
        id: ProcessId,
        request: &FaultRequest,
        page: SharedPage,
        pfn: Pfn,
        protection: Protection,
    ) -> FaultOutcome {
        let flags = self.pfn.get(pfn).flags;
        if flags.contains(PfnFlags::READ_IN_PROGRESS) {
            return FaultOutcome::Wait(self.transfer_of(pfn));
        }
        let kind = if flags.contains(PfnFlags::JUST_READ) {
            FaultKind::ImagePageRead
        } else {
            FaultKind::ImagePageShared
        };
        if !flags.contains(PfnFlags::WRITE_IN_PROGRESS) {
            self.pfn.leave_list(pfn);
        }
        self.pfn.reactivate(pfn);
        let entry = self.pfn.get_mut(pfn);
        entry.flags.remove(PfnFlags::JUST_READ);
        let prototype = entry.pte;
        self.set_prototype(prototype, self.format.active_prototype(pfn));
        self.map_shared(id, request, page, pfn, protection, kind, Stale::none())
    }

    /// A page of zeros that is only read, or that all processes share.
    fn zero_prototype(
        &mut self,
        id: ProcessId,
        request: &FaultRequest,
        page: SharedPage,
        protection: Protection,
        own: PteProtection,
    ) -> FaultOutcome {
        let mut stale = Stale::none();
        let Some(pfn) = self.take_zeroed(&mut stale) else {
            return self.out_of_frames(request);
        };
        let at = self.area(page.area).prototype(page.number);
        self.pfn.activate(pfn, at, self.format.demand_zero(own), PfnFlags::PROTOTYPE);
        self.set_prototype(at, self.format.active_prototype(pfn));
        self.map_shared(id, request, page, pfn, protection, FaultKind::DemandZero, stale)
    }

    /// Maps a frame that the prototype entry already counts this mapping of.
    #[expect(clippy::too_many_arguments, reason = "the parts of one mapping")]
    fn map_shared(
        &mut self,
        id: ProcessId,
        request: &FaultRequest,
        page: SharedPage,
        pfn: Pfn,
        protection: Protection,
        kind: FaultKind,
        stale: Stale,
    ) -> FaultOutcome {
        let vpn = request.address.vpn();
        let at = self.entry_at(id, vpn);
        if protection != page.unchanged {
            self.process_mut(id).view_protections.insert(vpn, protection.to_pte());
        }
        self.make_valid(id, at, pfn, protection, request.access);
        resume(kind, stale)
    }

    /// Asks for a page of the file (SPEC I35). The frame is in transfer until the answer comes.
    pub(super) fn start_read(
        &mut self,
        id: ProcessId,
        request: &FaultRequest,
        page: SharedPage,
    ) -> FaultOutcome {
        let mut stale = Stale::none();
        let Some(pfn) = self.take_zeroed(&mut stale) else {
            return self.out_of_frames(request);
        };
        stale.nothing_cached();
        let at = self.area(page.area).prototype(page.number);
        let original = self.read(at);
        let protection = self.format.stored_protection(original);
        let entry = self.pfn.get_mut(pfn);
        entry.flags = PfnFlags::PROTOTYPE | PfnFlags::READ_IN_PROGRESS;
        entry.reference_count = 1;
        entry.pte = at;
        entry.original_pte = original;
        self.set_prototype(at, self.format.transition(pfn, protection));
        let vpn = request.address.vpn();
        let purpose = Purpose::Read { process: id, vpn };
        self.transfers.insert(PendingTransfer { area: page.area, page: page.number, frame: pfn, purpose });
        FaultOutcome::Wait(self.transfer_of(pfn))
    }
}
