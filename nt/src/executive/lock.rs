//! Native services that lock and unlock pages (SPEC J6 to J10).

use super::memory::{read_range, write_range};
use super::token::Privilege;
use crate::claim::UserPtr;
use crate::executive::PROCESS_VM_OPERATION;
use crate::kernel::Kernel;
use crate::service::{Answer, Arg, Call, Export, Failure};
use vadose_facts::addr::{PageRange, VirtAddr};
use vadose_facts::ntdef::NtStatus;
use vadose_mm::{LockKinds, LockOutcome, Locked};

use Arg::{U32, Word};

/// The services of this file.
pub(crate) const EXPORTS: &[Export] = &[
    Export::native("NtLockVirtualMemory", &[Word, Word, Word, U32], nt_lock),
    Export::native("NtUnlockVirtualMemory", &[Word, Word, Word, U32], nt_unlock),
];

/// How often pages are touched for one lock: a touch brings in all of them, so that a second round finds nothing to do.
const MAX_ROUNDS: u32 = 8;

impl Kernel<'_> {
    /// Locks pages of the current process; pages that are not there are touched for reading first.
    ///
    /// # Errors
    ///
    /// The statuses of SPEC J6 to J9, or what the touch of a page raised (SPEC E14, E15).
    pub(crate) fn lock(&mut self, base: VirtAddr, size: u64, kinds: LockKinds) -> Result<Locked, Failure> {
        for _ in 0..MAX_ROUNDS {
            match self.mm.lock(self.nt.process().id, base, size, kinds)? {
                LockOutcome::Done(locked) => return Ok(locked),
                LockOutcome::Touch(pages) => self.touch(pages)?,
            }
        }
        Err(NtStatus::INSUFFICIENT_RESOURCES.into())
    }

    fn touch(&mut self, pages: PageRange) -> Result<(), Failure> {
        for vpn in pages.iter() {
            self.read(UserPtr::new(vpn.base().raw()), &mut [0])?;
        }
        Ok(())
    }

    /// Unlocks pages of the current process; answers what was unlocked, rounded to pages.
    ///
    /// # Errors
    ///
    /// `STATUS_INVALID_PARAMETER`, `STATUS_NOT_LOCKED` (SPEC J10).
    pub(crate) fn unlock(
        &mut self,
        base: VirtAddr,
        size: u64,
        kinds: LockKinds,
    ) -> Result<(VirtAddr, u64), NtStatus> {
        let unlocked = self.mm.unlock(self.nt.process().id, base, size, kinds)?;
        self.nt.stale.absorb(unlocked.stale);
        match unlocked.status {
            NtStatus::SUCCESS => Ok((unlocked.base, unlocked.size)),
            status => Err(status),
        }
    }
}

/// The checks before the process handle: kinds, both pointers, the range; then the handle, then the privilege that
/// locking in memory needs (SPEC J9).
fn check(call: &mut Call<'_>) -> Result<(u32, VirtAddr, u64, LockKinds), Failure> {
    let (base_at, size_at, kinds) = (call.ptr(1), call.ptr(2), LockKinds::from_bits_retain(call.u32(3)));
    if kinds.is_empty() || !LockKinds::all().contains(kinds) {
        return Err(NtStatus::INVALID_PARAMETER.into());
    }
    let (base, size) = read_range(call, base_at, size_at)?;
    let limit = call.nt.user_limit().raw();
    if base > limit || size == 0 || limit - base < size {
        return Err(NtStatus::INVALID_PARAMETER.into());
    }
    let target = call.require_living(call.handle(0), PROCESS_VM_OPERATION)?;
    if kinds.contains(LockKinds::SYSTEM) {
        call.require_privilege(Privilege::LockMemory)?;
    }
    Ok((target, VirtAddr::new(base), size, kinds))
}

/// `NtLockVirtualMemory(process, *base, *size, kinds)`.
fn nt_lock(call: &mut Call<'_>) -> Answer {
    let (base_at, size_at) = (call.ptr(1), call.ptr(2));
    let (target, base, size, kinds) = check(call)?;
    let locked = call.attached(target, |kernel| kernel.lock(base, size, kinds))?;
    write_range(call, base_at, size_at, locked.base, locked.size)?;
    Ok(u64::from(locked.status.raw()))
}

/// `NtUnlockVirtualMemory(process, *base, *size, kinds)`.
fn nt_unlock(call: &mut Call<'_>) -> Answer {
    let (base_at, size_at) = (call.ptr(1), call.ptr(2));
    let (target, base, size, kinds) = check(call)?;
    let (base, size) = call.attached(target, |kernel| kernel.unlock(base, size, kinds))?;
    write_range(call, base_at, size_at, base, size)
}
