//! Loads and stores: what the guest wrote is what it reads.

use super::machine::CAUSE;
use super::model::{Kind, Rights, Verdict, ZEROS};
use super::run::{Progress, Run};
use vadose_facts::addr::{PAGE_BYTES, PhysAddr, VirtAddr};
use vadose_facts::ntdef::NtStatus;
use vadose_facts::x86::Access;
use vadose_mm::{FaultOutcome, FaultRequest, LimitKind, LockKinds, LockOutcome, Raise};

/// Most faults of one access in a row, without a wait.
const MOST_FAULTS: usize = 32;

impl Run<'_> {
    /// A load, or a store of a token.
    pub(super) fn touch(
        &mut self,
        number: usize,
        address: VirtAddr,
        token: Option<u64>,
    ) -> Result<Progress, String> {
        let process = self.process(number);
        let access = if token.is_some() { Access::Write } else { Access::Read };
        for _ in 0..MOST_FAULTS {
            let machine = &mut self.machine;
            if let Some(frame) = machine.processor.translate(&machine.mm, process, address, access)? {
                self.arrive(number, address.vpn().raw(), frame, token)?;
                return Ok(Progress::Done);
            }
            match machine.mm.fault(process, FaultRequest { address, access, stack: None }) {
                FaultOutcome::Resume(resume) => {
                    machine.processor.drop_stale(resume.stale);
                    self.check_hard_maximum(number)?;
                }
                FaultOutcome::Page(transfer) => {
                    machine.page(transfer, Some(process));
                    return Ok(Progress::Waits);
                }
                FaultOutcome::Wait(transfer) => {
                    machine.file(transfer, Some(process));
                    return Ok(Progress::Waits);
                }
                FaultOutcome::Short => {
                    machine.work(256)?;
                    return Ok(Progress::Waits);
                }
                FaultOutcome::Raise(raise) => return self.raised(number, address, access, raise),
            }
        }
        Err(format!("{access:?} at {address:?} of process {number} faults for ever"))
    }

    /// The processor found the page.
    fn arrive(&mut self, number: usize, vpn: u64, frame: PhysAddr, token: Option<u64>) -> Result<(), String> {
        let verdict = self.model.space(number).verdict(vpn, token.is_some());
        let ram = self.machine.mm.ram();
        let found = self.machine.processor.load(ram, frame)?;
        match verdict {
            Verdict::Allowed => {}
            Verdict::Unknown => return Ok(()),
            Verdict::Violation | Verdict::Guard => {
                return Err(format!(
                    "page {vpn:#x} of process {number} can be touched: {verdict:?} is right"
                ));
            }
        }
        let content = self.model.content(number, vpn);
        let seen = content.seen(found).ok_or_else(|| {
            let where_from = self.tokens_at(found);
            format!("page {vpn:#x} of process {number} holds {found:#x}, and should {content:?}{where_from}")
        })?;
        if seen != content && seen == ZEROS {
            self.sums.lost_given += 1;
        } else if content.token() != 0 && seen == content && seen != super::model::Content::Exactly(found) {
            self.sums.kept_given += 1;
        }
        self.model.note_content(number, vpn, seen);
        self.sums.loads += 1;
        if let Some(token) = token {
            self.machine.processor.store(ram, frame, token)?;
            self.model.store(number, vpn, token);
            self.sums.stores += 1;
        }
        Ok(())
    }

    /// Whose a token is that was found elsewhere.
    fn tokens_at(&self, token: u64) -> String {
        for (number, space) in self.model.spaces.iter().enumerate() {
            for region in space.iter().flat_map(|space| &space.regions) {
                let own = region.own.iter().find(|(_, page)| page.content.token() == token && token != 0);
                if let Some((page, _)) = own {
                    return format!(", which is page {:#x} of process {number}", region.first + page);
                }
            }
        }
        String::new()
    }

    fn raised(
        &mut self,
        number: usize,
        address: VirtAddr,
        access: Access,
        raise: Raise,
    ) -> Result<Progress, String> {
        self.machine.processor.drop_stale(raise.stale);
        let vpn = address.vpn().raw();
        let verdict = self.model.space(number).verdict(vpn, access == Access::Write);
        let right = match raise.status {
            NtStatus::ACCESS_VIOLATION => verdict == Verdict::Violation || verdict == Verdict::Unknown,
            NtStatus::GUARD_PAGE_VIOLATION => {
                let space = self.model.space_mut(number);
                if let Some((index, page)) = space.find(vpn).filter(|_| verdict == Verdict::Guard) {
                    space.regions[index].page(page).rights = Some(Rights::ReadWrite);
                }
                verdict == Verdict::Guard || verdict == Verdict::Unknown
            }
            NtStatus::IN_PAGE_ERROR => {
                let cause = raise.parameters.as_slice()[2];
                self.sums.in_page_errors += 1;
                self.may_fail(number, cause)
            }
            _ => false,
        };
        if right {
            return Ok(Progress::Raised);
        }
        Err(format!(
            "{access:?} at {address:?} of process {number} raises {:?} {:x?}; {verdict:?} is right",
            raise.status, raise.parameters
        ))
    }

    /// Whether a page may fail to come in for this cause: a read that was made to fail, or there is no memory at all.
    pub(super) fn may_fail(&mut self, number: usize, cause: u64) -> bool {
        if cause == u64::from(NtStatus::NO_MEMORY.raw()) {
            return self.is_out_of_memory();
        }
        let space = self.model.space_mut(number);
        let owed = space.failed_reads > 0 && cause == u64::from(CAUSE.raw());
        space.failed_reads = space.failed_reads.saturating_sub(1);
        owed
    }

    /// SPEC J3: however few pages a hard maximum allows, no fault leaves more.
    fn check_hard_maximum(&self, number: usize) -> Result<(), String> {
        let counters = self.machine.mm.process_counters(self.process(number));
        // The page that all processes share with the kernel is in no working set.
        let count = counters.resident_pages - 1;
        let hard = counters.limits.maximum == LimitKind::Hard;
        if hard && count > counters.limits.maximum_pages {
            return Err(format!(
                "{count} pages of process {number} are in its working set, and {} are the hard maximum",
                counters.limits.maximum_pages
            ));
        }
        Ok(())
    }

    /// Locks pages, and touches those that are not there.
    pub(super) fn lock(&mut self, number: usize, vpn: u64, pages: u64) -> Result<Progress, String> {
        let process = self.process(number);
        let base = VirtAddr::new(vpn * PAGE_BYTES);
        match self.machine.mm.lock(process, base, pages * PAGE_BYTES, LockKinds::PROCESS) {
            Ok(LockOutcome::Touch(range)) => self.touch_for_lock(number, range.base()),
            Ok(LockOutcome::Done(_)) => {
                let space = self.model.space_mut(number);
                if (vpn..vpn + pages).any(|vpn| space.verdict(vpn, false) == Verdict::Violation) {
                    return Err(format!("{pages} pages at {vpn:#x} of process {number} were locked"));
                }
                space.locked.extend(vpn..vpn + pages);
                self.check_locks(number)?;
                Ok(Progress::Done)
            }
            Err(NtStatus::ACCESS_VIOLATION) if !self.all_readable(number, vpn, pages) => Ok(Progress::Done),
            Err(NtStatus::WORKING_SET_QUOTA) if self.is_over_quota(number, vpn, pages) => Ok(Progress::Done),
            Err(_) if self.machine.mm.take_wanted().is_some() => {
                let address = VirtAddr::new(base.raw());
                self.touch_for_lock(number, address)
            }
            Err(status) => Err(format!("{pages} pages at {vpn:#x} of process {number} not locked: {status}")),
        }
    }

    /// The page is looked at as well, for a touch settles what a page that was given up holds.
    fn touch_for_lock(&mut self, number: usize, at: VirtAddr) -> Result<Progress, String> {
        match self.touch(number, at, None)? {
            Progress::Done | Progress::Waits => Ok(Progress::Waits),
            Progress::Raised => Ok(Progress::Done),
        }
    }

    fn all_readable(&self, number: usize, vpn: u64, pages: u64) -> bool {
        let space = self.model.space(number);
        let in_window = space.find(vpn).is_some_and(|(index, _)| space.regions[index].kind == Kind::Window);
        let readable = |vpn| space.verdict(vpn, false) == Verdict::Allowed;
        !in_window && (vpn..vpn + pages).all(readable)
    }

    fn is_over_quota(&self, number: usize, vpn: u64, pages: u64) -> bool {
        const FLUID_PAGES: u64 = 8;
        let space = self.model.space(number);
        let held = space.locked.iter().filter(|locked| !(vpn..vpn + pages).contains(locked)).count() as u64;
        let minimum = self.machine.mm.working_set_limits(space.process).minimum_pages;
        held + pages > minimum - FLUID_PAGES
    }

    /// The manager's count of locked pages is the model's, and one of them is there.
    pub(super) fn check_locks(&self, number: usize) -> Result<(), String> {
        let space = self.model.space(number);
        let kept = self.machine.mm.process_counters(space.process).locked_pages;
        let wanted = space.locked.len() as u64;
        if kept == wanted {
            return Ok(());
        }
        Err(format!("{kept} pages of process {number} are locked, and {wanted} should be"))
    }
}
