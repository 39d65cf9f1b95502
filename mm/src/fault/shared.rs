//! Pages of sections: the prototype entry says whether the page is in a frame, in its file, or zeros (SPEC I32).

use super::answer::resume;
use super::decide::SharedPage;
use crate::id::ProcessId;
use crate::paging::{PagedOut, Slot};
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
            PrototypeState::PageFile { file, slot, protection: own } => {
                let slot = Slot { file, page: slot };
                if Self::is_stored(slot) {
                    self.decompress_prototype(id, request, page, slot, (protection, own))
                } else {
                    self.paged_prototype(id, request, page, slot)
                }
            }
        }
    }

    /// A page of a section comes back from the compressed store (SPEC J17). It has one protection in this view, and one
    /// in its prototype entry.
    fn decompress_prototype(
        &mut self,
        id: ProcessId,
        request: &FaultRequest,
        page: SharedPage,
        slot: Slot,
        (protection, own): (Protection, PteProtection),
    ) -> FaultOutcome {
        let mut stale = Stale::none();
        let Some(pfn) = self.load_stored(slot, &mut stale) else {
            return self.out_of_frames(request);
        };
        let at = self.area(page.area).prototype(page.number);
        let flags = PfnFlags::PROTOTYPE | PfnFlags::MODIFIED;
        self.pfn.activate(pfn, at, self.format.demand_zero(own), flags);
        self.set_prototype(at, self.format.active_prototype(pfn));
        self.map_shared(id, request, page, pfn, protection, FaultKind::Decompressed, stale)
    }

    /// A page of a section comes back from a page file (SPEC I32, I35).
    fn paged_prototype(
        &mut self,
        id: ProcessId,
        request: &FaultRequest,
        page: SharedPage,
        slot: Slot,
    ) -> FaultOutcome {
        let area = self.area(page.area);
        let entries = area.pages_in_part(page.number);
        let paged = PagedOut { at: area.prototype(page.number), slot, entries, owner: PfnFlags::PROTOTYPE };
        match self.read_page(id, request.address.vpn(), paged) {
            Ok(outcome) => outcome,
            Err(cause) => self.in_page_error(request, cause),
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
            return self.wait_for_read(pfn);
        }
        let paged = self.slot_in(self.pfn.get(pfn).original_pte).is_some();
        let kind = match (flags.contains(PfnFlags::JUST_READ), paged) {
            (true, true) => FaultKind::PageFileRead,
            (true, false) => FaultKind::ImagePageRead,
            (false, _) => FaultKind::ImagePageShared,
        };
        if !flags.contains(PfnFlags::WRITE_IN_PROGRESS) {
            self.pfn.leave_list(pfn);
        }
        self.pfn.reactivate(pfn);
        self.note_frame(pfn);
        self.note_use(pfn);
        self.forget_stored(pfn);
        self.news = true;
        let entry = self.pfn.get_mut(pfn);
        entry.flags.remove(PfnFlags::JUST_READ);
        let prototype = entry.pte;
        self.set_prototype(prototype, self.format.active_prototype(pfn));
        self.map_shared(id, request, page, pfn, protection, kind, Stale::none())
    }

    /// The read that brings a page in, from its file or from a page file.
    fn wait_for_read(&self, pfn: Pfn) -> FaultOutcome {
        if self.slot_in(self.pfn.get(pfn).original_pte).is_some() {
            FaultOutcome::Page(self.paging_of(pfn))
        } else {
            FaultOutcome::Wait(self.transfer_of(pfn))
        }
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
        self.patch_page(page.area, page.number, pfn);
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
        let at = self.make_leaf(id, vpn);
        self.make_valid(id, vpn, at, pfn, protection, request.access);
        if protection != page.unchanged {
            self.note_protection(id, vpn, protection.to_pte());
        }
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
        self.pfn.own(pfn, at, original, PfnFlags::PROTOTYPE | PfnFlags::READ_IN_PROGRESS, 1);
        self.set_prototype(at, self.format.transition(pfn, protection));
        let vpn = request.address.vpn();
        let purpose = Purpose::Read { process: id, vpn };
        let place = self.area(page.area).file_place(page.number).expect("the page is in a file");
        let pending = PendingTransfer { area: page.area, page: page.number, frame: pfn, place, purpose };
        let transfer = self.add_transfer(pending);
        self.note_transfer(transfer, pfn, Some((id, vpn)));
        FaultOutcome::Wait(self.transfer_of(pfn))
    }
}
