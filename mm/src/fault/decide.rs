//! What a fault asks for: a pure reading of entry, VAD and section, in the order of SPEC I30.

use crate::id::{AreaId, ProcessId};
use crate::paging::Slot;
use crate::pte::{PrototypeLink, PrototypeState, PteState, ValidPte};
use crate::request::FaultRequest;
use crate::state::Mm;
use crate::trace::{Arrival, TracedPlan};
use crate::vad::{Vad, VadKind};
use vadose_facts::addr::{Pfn, Vpn};
use vadose_facts::ntdef::{BaseProtection, MemoryState, NtStatus, Protection};
use vadose_facts::pe::Sharing;
use vadose_facts::x86::{Access, EntryBits, NoExecute, PhysicalMemory};

/// The answer to a fault, decided and not yet applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// Nothing is wrong any more.
    Spurious,
    /// The access is not allowed.
    Violation,
    /// The page came in with an error.
    Failed { cause: NtStatus },
    /// A guard page: one shot, or a stack that grows.
    Guard { protection: Protection },
    /// A clean writable page gets its first store.
    FirstStore { valid: ValidPte },
    /// A store to a shared page.
    CopyOnWrite { source: ValidPte, protection: Protection },
    /// A first touch.
    DemandZero { protection: Protection },
    /// A private page that is still in its frame.
    Transition { pfn: Pfn, protection: Protection },
    /// A private page that is in a page file, or in the compressed store.
    PageFile { slot: Slot, protection: Protection },
    /// A page of a section.
    Shared { page: SharedPage, protection: Protection },
}

/// A page of a section, seen from one view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SharedPage {
    pub(super) area: AreaId,
    /// Its number within the control area.
    pub(super) number: u32,
    /// What the view gives it unless its protection was changed.
    pub(super) unchanged: Protection,
}

impl Plan {
    /// The same for a trace.
    pub(super) const fn traced(self) -> TracedPlan {
        match self {
            Self::Spurious => TracedPlan::Spurious,
            Self::Violation => TracedPlan::Violation,
            Self::Failed { cause } => TracedPlan::Failed { cause },
            Self::Guard { .. } => TracedPlan::Guard,
            Self::FirstStore { .. } => TracedPlan::FirstStore,
            Self::CopyOnWrite { source, .. } => TracedPlan::CopyOnWrite { source: source.pfn },
            Self::DemandZero { protection } => TracedPlan::DemandZero { protection },
            Self::Transition { pfn, .. } => TracedPlan::Transition { frame: pfn, arrival: Arrival::Stayed },
            Self::PageFile { slot, protection: _ } => TracedPlan::PageFile { slot },
            Self::Shared { page, .. } => TracedPlan::Section { page: page.number },
        }
    }
}

impl<R: PhysicalMemory> Mm<R> {
    pub(super) fn decide(&self, id: ProcessId, request: &FaultRequest) -> Plan {
        let process = self.process(id);
        let vpn = request.address.vpn();
        if request.address > process.max_user {
            return Plan::Violation;
        }
        let pte = self.pte(process.root, vpn);
        if let PteState::Valid(valid) = pte {
            return self.decide_valid(id, vpn, valid, request.access);
        }
        if let Some(failed) = self.failed_read(id, vpn) {
            return Plan::Failed { cause: failed };
        }
        let Some(vad) = process.vads.find(vpn).map(|vad| *process.vads.get(vad)) else {
            return Plan::Violation;
        };
        let view = self.page_view(process, &vad, vpn, pte);
        match (view.state, view.protection) {
            (MemoryState::Committed, Some(protection)) => {
                self.decide_committed(&vad, vpn, pte, protection, request.access)
            }
            (MemoryState::Committed | MemoryState::Reserved | MemoryState::Free, _) => Plan::Violation,
        }
    }

    /// The processor refused a valid entry (SPEC I33, I34).
    fn decide_valid(&self, id: ProcessId, vpn: Vpn, valid: ValidPte, access: Access) -> Plan {
        let hardware_write = valid.bits.contains(EntryBits::WRITABLE);
        match access {
            _ if !valid.bits.contains(EntryBits::USER) => Plan::Violation,
            Access::Read => Plan::Spurious,
            Access::Execute if valid.bits.contains(EntryBits::NO_EXECUTE) => Plan::Violation,
            Access::Execute => Plan::Spurious,
            Access::Write if hardware_write => Plan::Spurious,
            Access::Write if valid.copy_on_write => {
                let protection = self.protection_of(id, vpn);
                Plan::CopyOnWrite { source: valid, protection }
            }
            Access::Write if valid.write => Plan::FirstStore { valid },
            Access::Write => Plan::Violation,
        }
    }

    fn protection_of(&self, id: ProcessId, vpn: Vpn) -> Protection {
        let process = self.process(id);
        let vad = process.vads.find(vpn).expect("a valid user page has a VAD");
        let vad = process.vads.get(vad);
        let view = self.page_view(process, vad, vpn, self.pte(process.root, vpn));
        view.protection.expect("a valid page is committed")
    }

    /// A committed page that is not valid: guard first, then rights, then where the content is (SPEC E13, I30).
    fn decide_committed(
        &self,
        vad: &Vad,
        vpn: Vpn,
        pte: PteState,
        protection: Protection,
        access: Access,
    ) -> Plan {
        if protection.is_guard() {
            return Plan::Guard { protection };
        }
        if !self.allows(protection.base(), access) {
            return Plan::Violation;
        }
        match pte {
            PteState::Transition { pfn, .. } => Plan::Transition { pfn, protection },
            PteState::DemandZero { .. } => Plan::DemandZero { protection },
            PteState::PageFile { file, slot, .. } => {
                Plan::PageFile { slot: Slot { file, page: slot }, protection }
            }
            PteState::Zero | PteState::Prototype(PrototypeLink::ThroughVad { .. }) => {
                self.decide_by_vad(vad, vpn, protection, access)
            }
            PteState::Prototype(PrototypeLink::At { .. }) => {
                unreachable!("no entry of this form is ever written into a process's table")
            }
            PteState::Valid(_) | PteState::Decommitted => unreachable!("committed and not valid"),
        }
    }

    fn decide_by_vad(&self, vad: &Vad, vpn: Vpn, protection: Protection, access: Access) -> Plan {
        match vad.kind {
            VadKind::Private { .. } => Plan::DemandZero { protection },
            VadKind::SharedUserData => unreachable!("the shared page is always valid"),
            VadKind::Placeholder | VadKind::PhysicalWindow | VadKind::LargePages => {
                unreachable!("a page that is committed is valid there")
            }
            VadKind::Image { view } | VadKind::Mapped { view } => {
                let number = Self::view_page(vad, vpn);
                let unchanged = self.mapped_protection(vad, view, vpn);
                self.decide_view(SharedPage { area: view.area, number, unchanged }, protection, access)
            }
        }
    }

    /// A page of zeros that is stored to becomes private at once; every other page is shared first (SPEC I33). A page
    /// past the end of its file cannot come in (SPEC E28).
    fn decide_view(&self, page: SharedPage, protection: Protection, access: Access) -> Plan {
        let area = self.area(page.area);
        let state = self.prototype_state(area, page.number);
        let private = area.sharing(page.number) == Sharing::Private && protection.base().is_write_copy();
        // Zeros of a moved image may have a fix-up too: the shared page is patched first.
        let private = private && area.as_image().is_none_or(|image| !image.patches(page.number));
        match state {
            PrototypeState::DemandZero { .. } if private && access == Access::Write => {
                Plan::DemandZero { protection: protection.with_base(protection.base().after_copy()) }
            }
            PrototypeState::Subsection { .. } if area.file_place(page.number).is_none() => {
                Plan::Failed { cause: NtStatus::END_OF_FILE }
            }
            PrototypeState::Absent
            | PrototypeState::Active { .. }
            | PrototypeState::Transition { .. }
            | PrototypeState::Subsection { .. }
            | PrototypeState::DemandZero { .. }
            | PrototypeState::PageFile { .. } => Plan::Shared { page, protection },
        }
    }

    /// Whether a protection allows an access. Without no-execute, what can be read can be fetched (SPEC E5).
    fn allows(&self, base: BaseProtection, access: Access) -> bool {
        match access {
            Access::Read => base.allows_read(),
            Access::Write => base.allows_write(),
            Access::Execute => match self.edition.no_execute {
                NoExecute::Enforced => base.allows_execute(),
                NoExecute::Off => base.allows_read(),
            },
        }
    }

    fn failed_read(&self, id: ProcessId, vpn: Vpn) -> Option<NtStatus> {
        self.failed_reads.iter().find(|read| read.process == id && read.vpn == vpn).map(|read| read.cause)
    }
}
