//! Applying a decision: a zeroed frame, a private copy, a first store.

use super::decide::Plan;
use crate::id::ProcessId;
use crate::paging::{PagedOut, Slot};
use crate::pfn::{NORMAL_PRIORITY, PfnFlags};
use crate::pte::ValidPte;
use crate::request::{FaultKind, FaultOutcome, FaultRequest, Resume};
use crate::state::Mm;
use vadose_facts::addr::{PageRange, Pfn, PhysAddr, Vpn};
use vadose_facts::ntdef::Protection;
use vadose_facts::x86::{Access, EntryBits, PhysicalMemory, Stale};

impl<R: PhysicalMemory> Mm<R> {
    pub(super) fn apply(&mut self, id: ProcessId, request: &FaultRequest, plan: Plan) -> FaultOutcome {
        match plan {
            Plan::Spurious => resume(FaultKind::Spurious, Stale::page(request.address.vpn())),
            Plan::Violation => self.violation(request),
            Plan::Failed { cause } => {
                let vpn = request.address.vpn();
                self.forget_failures(id, PageRange::inclusive(vpn, vpn));
                self.in_page_error(request, cause)
            }
            Plan::Guard { protection } => self.hit_guard(id, request, protection),
            Plan::FirstStore { valid } => self.first_store(id, request, valid),
            Plan::CopyOnWrite { source, protection } => self.copy_on_write(id, request, source, protection),
            Plan::DemandZero { protection } => self.demand_zero(id, request, protection),
            Plan::Transition { pfn, protection } => self.soft_fault(id, request, pfn, protection),
            Plan::PageFile { slot, protection } if Self::is_stored(slot) => {
                self.decompress(id, request, slot, protection)
            }
            Plan::PageFile { slot, .. } => self.hard_fault(id, request, slot),
            Plan::Shared { page, protection } => self.shared_page(id, request, page, protection),
        }
    }

    /// A first touch gets a zeroed frame (SPEC E26).
    fn demand_zero(&mut self, id: ProcessId, request: &FaultRequest, protection: Protection) -> FaultOutcome {
        let mut stale = Stale::none();
        let at = self.make_leaf(id, request.address.vpn());
        let Some(pfn) = self.take_zeroed(&mut stale) else {
            return self.out_of_frames(request);
        };
        let original = self.format.demand_zero(protection.to_pte());
        // No page file has the page: it must be kept when it leaves the working set, written or not.
        self.pfn.activate(pfn, at, original, PfnFlags::MODIFIED);
        self.make_valid(id, request.address.vpn(), at, pfn, protection, request.access);
        resume(FaultKind::DemandZero, stale)
    }

    /// A private page comes back from its frame (SPEC I35).
    fn soft_fault(
        &mut self,
        id: ProcessId,
        request: &FaultRequest,
        pfn: Pfn,
        protection: Protection,
    ) -> FaultOutcome {
        let vpn = request.address.vpn();
        let at = self.make_leaf(id, vpn);
        let flags = self.pfn.get(pfn).flags;
        if flags.contains(PfnFlags::READ_IN_PROGRESS) {
            return FaultOutcome::Page(self.paging_of(pfn));
        }
        if !flags.contains(PfnFlags::WRITE_IN_PROGRESS) {
            self.pfn.leave_list(pfn);
        }
        self.pfn.reactivate(pfn);
        self.note_frame(pfn);
        self.note_use(pfn);
        self.forget_stored(pfn);
        self.news = true;
        let entry = self.pfn.get_mut(pfn);
        entry.priority = NORMAL_PRIORITY;
        entry.flags.remove(PfnFlags::JUST_READ);
        entry.original_pte = self.format.with_protection(entry.original_pte, protection.to_pte());
        self.make_valid(id, request.address.vpn(), at, pfn, protection, request.access);
        if self.process_mut(id).working_set.stored.remove(&vpn) {
            self.mark_dirty(id, at, protection);
        }
        let hard = flags.contains(PfnFlags::JUST_READ);
        resume(if hard { FaultKind::PageFileRead } else { FaultKind::Transition }, Stale::none())
    }

    /// A private page comes back from the compressed store: no read, and so no wait (SPEC J17).
    fn decompress(
        &mut self,
        id: ProcessId,
        request: &FaultRequest,
        slot: Slot,
        protection: Protection,
    ) -> FaultOutcome {
        let vpn = request.address.vpn();
        let at = self.make_leaf(id, vpn);
        let mut stale = Stale::none();
        let Some(pfn) = self.load_stored(slot, &mut stale) else {
            return self.out_of_frames(request);
        };
        self.pfn.activate(pfn, at, self.format.demand_zero(protection.to_pte()), PfnFlags::MODIFIED);
        self.make_valid(id, vpn, at, pfn, protection, request.access);
        if self.process_mut(id).working_set.stored.remove(&vpn) {
            self.mark_dirty(id, at, protection);
        }
        resume(FaultKind::Decompressed, stale)
    }

    /// A private page comes back from a page file (SPEC I35).
    fn hard_fault(&mut self, id: ProcessId, request: &FaultRequest, slot: Slot) -> FaultOutcome {
        let vpn = request.address.vpn();
        let at = self.make_leaf(id, vpn);
        let page = PagedOut { at, slot, entries: u64::MAX, owner: PfnFlags::empty() };
        match self.read_page(id, vpn, page) {
            Ok(outcome) => outcome,
            Err(cause) => self.in_page_error(request, cause),
        }
    }

    /// The first store to a clean writable page: hardware write and Dirty go on together (SPEC I5).
    fn first_store(&mut self, id: ProcessId, request: &FaultRequest, valid: ValidPte) -> FaultOutcome {
        let at = self.make_leaf(id, request.address.vpn());
        assert!(valid.write && !valid.copy_on_write, "only a writable page gets a first store");
        let raw = self.read(at) | (EntryBits::WRITABLE | EntryBits::DIRTY | EntryBits::ACCESSED).bits();
        self.set_leaf(id, at, raw);
        resume(FaultKind::FirstStore, Stale::page(request.address.vpn()))
    }

    /// A store to a shared page: the process gets its own copy (SPEC I33, E29), locked as the shared page was in its
    /// working set.
    fn copy_on_write(
        &mut self,
        id: ProcessId,
        request: &FaultRequest,
        source: ValidPte,
        protection: Protection,
    ) -> FaultOutcome {
        let vpn = request.address.vpn();
        let at = self.make_leaf(id, vpn);
        let mut stale = Stale::page(vpn);
        let Some(copy) = self.take_any(&mut stale) else {
            return self.out_of_frames(request);
        };
        self.ram.copy_frame(source.pfn, copy);
        let lock = self.process(id).working_set.locks.get(&vpn).copied();
        self.leave_working_set(id, vpn, source.pfn);
        self.unmap_frame(source);
        let own = protection.with_base(protection.base().after_copy());
        let original = self.format.demand_zero(own.to_pte());
        self.pfn.activate(copy, at, original, PfnFlags::MODIFIED);
        self.make_valid(id, vpn, at, copy, own, Access::Write);
        if let Some(lock) = lock {
            self.process_mut(id).working_set.locks.insert(vpn, lock);
        }
        resume(FaultKind::CopyOnWrite, stale)
    }

    /// Writes the valid entry of a page that was touched by `access`: it is in the working set from now on.
    pub(super) fn make_valid(
        &mut self,
        id: ProcessId,
        vpn: Vpn,
        at: PhysAddr,
        pfn: Pfn,
        protection: Protection,
        access: Access,
    ) {
        let raw = pfn.base().raw() | self.rights.user_bits(protection, access);
        self.set_leaf(id, at, raw);
        self.enter_working_set(id, vpn, pfn);
    }

    /// A page that was stored to is dirty again when it becomes valid again, whatever its protection is by now.
    fn mark_dirty(&mut self, id: ProcessId, at: PhysAddr, protection: Protection) {
        let raw = self.read(at) | self.rights.protection_bits(protection, EntryBits::DIRTY);
        self.set_leaf(id, at, raw);
    }
}

pub(super) fn resume(kind: FaultKind, stale: Stale) -> FaultOutcome {
    FaultOutcome::Resume(Resume { kind, stack_limit: None, stale })
}
