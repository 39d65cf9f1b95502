//! Guard pages: an exception that disarms itself, or the growth of the thread's own stack (SPEC E11 to E21).

use crate::id::ProcessId;
use crate::request::{
    ExceptionParameters, FaultKind, FaultOutcome, FaultRequest, Raise, Resume, ThreadStack,
};
use crate::state::Mm;
use crate::vad::VadKind;
use vadose_facts::addr::{PageRange, VirtAddr, Vpn, pages_for};
use vadose_facts::ntdef::{BaseProtection, Bitness, NtStatus, Protection};
use vadose_facts::x86::{PhysicalMemory, Stale};

impl<R: PhysicalMemory> Mm<R> {
    pub(super) fn hit_guard(
        &mut self,
        id: ProcessId,
        request: &FaultRequest,
        protection: Protection,
    ) -> FaultOutcome {
        self.disarm(id, request.address.vpn(), protection);
        match request.stack {
            Some(stack) if stack.holds(request.address) => self.grow_stack(id, request, stack),
            Some(_) | None => self.raise_access(NtStatus::GUARD_PAGE_VIOLATION, request),
        }
    }

    /// Takes the guard off one page, whatever form its entry has (SPEC E12).
    fn disarm(&mut self, id: ProcessId, vpn: Vpn, protection: Protection) {
        let process = self.process(id);
        let vad = *process.vads.get(process.vads.find(vpn).expect("a guarded page has a VAD"));
        let plain = self.scoped(&vad, protection.without_guard());
        let at = self.make_leaf(id, vpn);
        self.protect_page(id, &vad, vpn, at, plain, &mut Stale::none());
    }

    /// The guard moves down; at the bottom the last usable page is committed and the overflow raised (SPEC E17, E18).
    fn grow_stack(&mut self, id: ProcessId, request: &FaultRequest, stack: ThreadStack) -> FaultOutcome {
        let hit = request.address.vpn();
        let bottom = stack.reserve_base.vpn();
        let guard_pages = 1 + self.guaranteed_pages(stack);
        let lowest_guard = bottom.raw() + 2;
        let next = hit.raw().checked_sub(guard_pages).filter(|next| *next >= lowest_guard);
        let mut stale = Stale::none();
        let grown = next.is_some_and(|next| {
            let range =
                PageRange::new(Vpn::new(next), guard_pages).expect("a stack lies in the address space");
            self.commit_stack(id, range, GUARDED, &mut stale).is_ok()
        });
        if grown {
            let stack_limit = Some(hit.base());
            return FaultOutcome::Resume(Resume { kind: FaultKind::StackGrowth, stack_limit, stale });
        }
        let limit = self.commit_last_pages(id, bottom, hit, &mut stale);
        let parameters = ExceptionParameters::access(self.access_code(request.access), request.address);
        let status = NtStatus::STACK_OVERFLOW;
        FaultOutcome::Raise(Raise { status, parameters, stack_limit: Some(limit), stale })
    }

    /// Pages that a handler of a stack overflow is sure of (SPEC E22).
    pub(super) fn guaranteed_pages(&self, stack: ThreadStack) -> u64 {
        let least = match self.edition.bitness {
            Bitness::Bits32 => 0,
            Bitness::Bits64 => LEAST_GUARANTEE_64,
        };
        pages_for(stack.guarantee_bytes).max(least)
    }

    /// Commits what is left above the lowest page, without a guard. The new stack limit comes back.
    fn commit_last_pages(&mut self, id: ProcessId, bottom: Vpn, hit: Vpn, stale: &mut Stale) -> VirtAddr {
        let last_usable = bottom.next();
        let Some(range) = hit.pages_above(last_usable).and_then(|pages| PageRange::new(last_usable, pages))
        else {
            return hit.base();
        };
        match self.commit_stack(id, range, Protection::plain(BaseProtection::ReadWrite), stale) {
            Ok(()) => last_usable.base(),
            Err(_) => hit.base(),
        }
    }

    fn commit_stack(
        &mut self,
        id: ProcessId,
        range: PageRange,
        protection: Protection,
        stale: &mut Stale,
    ) -> Result<(), NtStatus> {
        let process = self.process(id);
        let vad = process.vads.find(range.start()).ok_or(NtStatus::CONFLICTING_ADDRESSES)?;
        let private = matches!(process.vads.get(vad).kind, VadKind::Private { .. });
        if !private || !process.vads.get(vad).range.covers(range) {
            return Err(NtStatus::CONFLICTING_ADDRESSES);
        }
        self.commit_range(id, vad, range, protection, stale)
    }
}

/// Pages that a 64-bit thread is guaranteed when it asked for none.
const LEAST_GUARANTEE_64: u64 = 2;

/// `PAGE_READWRITE | PAGE_GUARD`.
const GUARDED: Protection = Protection::guarded(BaseProtection::ReadWrite);

impl ThreadStack {
    /// Whether an address lies in the stack's reserve.
    pub(crate) fn holds(self, address: VirtAddr) -> bool {
        address >= self.reserve_base && address < self.top
    }
}
