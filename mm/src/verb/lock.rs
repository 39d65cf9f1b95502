//! Lock and unlock: pages that stay valid until they are unlocked (SPEC J6 to J10).

use crate::id::ProcessId;
use crate::process::Process;
use crate::pte::PteState;
use crate::request::{LockOutcome, Locked, Unlocked};
use crate::state::Mm;
use crate::trace::TrimReason;
use crate::vad::VadKind;
use crate::working_set::LockKinds;
use vadose_facts::addr::{PageRange, VirtAddr, Vpn};
use vadose_facts::ntdef::{BaseProtection, Edition, MemoryState, NtStatus, Protection};
use vadose_facts::x86::{PhysicalMemory, Stale};

/// Pages of the minimum working set that cannot be locked (SPEC J7).
const FLUID_PAGES: u64 = 8;

/// The kinds that a lock call names: one or both, and nothing else (SPEC J9).
///
/// # Errors
///
/// `STATUS_INVALID_PARAMETER`.
fn check_kinds(kinds: LockKinds) -> Result<LockKinds, NtStatus> {
    if kinds.is_empty() || !LockKinds::all().contains(kinds) {
        return Err(NtStatus::INVALID_PARAMETER);
    }
    Ok(kinds)
}

/// The pages that a call touches (SPEC J6).
///
/// # Errors
///
/// `STATUS_INVALID_PARAMETER` for no bytes, or bytes past user space.
fn check_range(edition: &Edition, base: VirtAddr, size: u64) -> Result<PageRange, NtStatus> {
    let room = edition.max_user_address.raw().checked_sub(base.raw()).ok_or(NtStatus::INVALID_PARAMETER)?;
    if size == 0 || size > room {
        return Err(NtStatus::INVALID_PARAMETER);
    }
    PageRange::touching(base, size).ok_or(NtStatus::INVALID_PARAMETER)
}

impl<R: PhysicalMemory> Mm<R> {
    /// Locks pages in a working set. Pages that are not there have to be touched first, by whoever can wait: then the
    /// answer is [`LockOutcome::Touch`], and the call is to be made again.
    ///
    /// # Errors
    ///
    /// `STATUS_INVALID_PARAMETER`; `STATUS_WORKING_SET_QUOTA` for more than the minimum working set allows, or than the
    /// machine can keep in RAM;
    /// `STATUS_ACCESS_VIOLATION` if a page is not committed or not accessible. Nothing is locked then.
    pub fn lock(
        &mut self,
        process: ProcessId,
        base: VirtAddr,
        size: u64,
        kinds: LockKinds,
    ) -> Result<LockOutcome, NtStatus> {
        let kinds = check_kinds(kinds)?;
        let range = check_range(self.edition, base, size)?;
        let owner = self.live(process)?;
        if kinds.contains(LockKinds::PROCESS) {
            check_quota(owner, range)?;
        }
        self.check_accessible(owner, range)?;
        if let Some(absent) = range.iter().find(|vpn| !self.is_valid(owner, *vpn)) {
            return Ok(LockOutcome::Touch(PageRange::inclusive(absent, range.last())));
        }
        let new = range.pages() - locks_in(owner, range).count() as u64;
        self.need_nonpaged(new).map_err(|_| NtStatus::WORKING_SET_QUOTA)?;
        let locks = &mut self.process_mut(process).working_set.locks;
        let mut status = NtStatus::SUCCESS;
        for vpn in range.iter() {
            let lock = locks.entry(vpn).or_insert(LockKinds::empty());
            if lock.intersects(kinds) {
                status = NtStatus::WAS_LOCKED;
            }
            lock.insert(kinds);
        }
        Ok(LockOutcome::Done(Locked { base: range.base(), size: range.bytes(), status }))
    }

    /// Unlocks pages. If one of them is not locked, none is unlocked, the status is `STATUS_NOT_LOCKED`, and those that
    /// are not locked leave the working set (SPEC J8, J10).
    ///
    /// # Errors
    ///
    /// `STATUS_INVALID_PARAMETER`.
    pub fn unlock(
        &mut self,
        process: ProcessId,
        base: VirtAddr,
        size: u64,
        kinds: LockKinds,
    ) -> Result<Unlocked, NtStatus> {
        let kinds = check_kinds(kinds)?;
        let range = check_range(self.edition, base, size)?;
        let owner = self.live(process)?;
        let mut stale = Stale::none();
        let locked = locks_in(owner, range).filter(|(_, lock)| lock.contains(kinds)).count() as u64;
        let status = if locked == range.pages() {
            self.drop_locks(process, range, kinds);
            NtStatus::SUCCESS
        } else {
            self.trim_range(process, range, TrimReason::Unlocked, &mut stale);
            NtStatus::NOT_LOCKED
        };
        Ok(Unlocked { base: range.base(), size: range.bytes(), status, stale })
    }

    /// Takes locks of these kinds off a range.
    pub(crate) fn drop_locks(&mut self, id: ProcessId, range: PageRange, kinds: LockKinds) {
        let locks = &mut self.process_mut(id).working_set.locks;
        let held: Vec<Vpn> = locks.range(range.start()..range.end()).map(|(vpn, _)| *vpn).collect();
        for vpn in held {
            let lock = locks.get_mut(&vpn).expect("the lock was found");
            lock.remove(kinds);
            if lock.is_empty() {
                locks.remove(&vpn);
            }
        }
    }

    /// Every page up to the first guard must be committed and accessible; the touch of a guard is what fails there
    /// (SPEC E15, J6). What is in no working set cannot be locked into one (SPEC J9).
    fn check_accessible(&self, owner: &Process, range: PageRange) -> Result<(), NtStatus> {
        let mut at = range.start();
        while at < range.end() {
            let vad = owner.vads.find(at).ok_or(NtStatus::ACCESS_VIOLATION)?;
            let vad = owner.vads.get(vad);
            match vad.kind {
                VadKind::PhysicalWindow | VadKind::LargePages => return Err(NtStatus::INCOMPATIBLE_FILE_MAP),
                VadKind::Private { .. }
                | VadKind::Image { .. }
                | VadKind::Mapped { .. }
                | VadKind::SharedUserData
                | VadKind::Placeholder => {}
            }
            let rest = PageRange::inclusive(at, range.last().min(vad.range.last()));
            let (view, end) = self.page_run(owner, vad, rest);
            match (view.state, view.protection) {
                (MemoryState::Committed, Some(protection)) if protection.is_guard() => return Ok(()),
                (MemoryState::Committed, Some(protection)) if is_accessible(protection) => at = end,
                (MemoryState::Committed | MemoryState::Reserved | MemoryState::Free, _) => {
                    return Err(NtStatus::ACCESS_VIOLATION);
                }
            }
        }
        Ok(())
    }

    fn is_valid(&self, owner: &Process, vpn: Vpn) -> bool {
        matches!(self.pte(owner.root, vpn), PteState::Valid(_))
    }
}

fn is_accessible(protection: Protection) -> bool {
    protection.base() != BaseProtection::NoAccess
}

/// Locks of a process may take its minimum working set but for a small rest (SPEC J7).
fn check_quota(owner: &Process, range: PageRange) -> Result<(), NtStatus> {
    let process_locks = |lock: &LockKinds| lock.contains(LockKinds::PROCESS);
    let held = owner.working_set.locks.values().filter(|lock| process_locks(lock)).count() as u64;
    let again = locks_in(owner, range).filter(|(_, lock)| process_locks(lock)).count() as u64;
    if held - again + range.pages() > owner.working_set.limits.minimum_pages - FLUID_PAGES {
        return Err(NtStatus::WORKING_SET_QUOTA);
    }
    Ok(())
}

fn locks_in(owner: &Process, range: PageRange) -> impl Iterator<Item = (&Vpn, &LockKinds)> {
    owner.working_set.locks.range(range.start()..range.end())
}
