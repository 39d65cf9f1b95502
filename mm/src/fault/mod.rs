//! Faults: a pure decision from VAD, entry and frame, then one answer per file.

mod answer;
mod decide;
mod guard;
mod prefetch;
mod shared;

use crate::id::ProcessId;
use crate::paging::TableWait;
use crate::request::{ExceptionParameters, FaultOutcome, FaultRequest, Raise};
use crate::state::Mm;
use decide::Plan;
use vadose_facts::addr::{PageRange, Vpn};
use vadose_facts::ntdef::NtStatus;
use vadose_facts::x86::{Access, NoExecute, PhysicalMemory, Stale};

/// A read that failed, for the thread that asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FailedRead {
    process: ProcessId,
    vpn: Vpn,
    cause: NtStatus,
}

impl<R: PhysicalMemory> Mm<R> {
    /// Resolves an access that the processor could not do (SPEC I30 to I36), or says which exception it is (SPEC E1 to
    /// E21).
    ///
    /// # Panics
    ///
    /// If the process is gone.
    pub fn fault(&mut self, process: ProcessId, request: FaultRequest) -> FaultOutcome {
        self.note_fault(process, &request);
        let outcome = self.answer(process, &request);
        self.note_fault_end(process, &request, &outcome);
        outcome
    }

    fn answer(&mut self, process: ProcessId, request: &FaultRequest) -> FaultOutcome {
        if let Err(wait) = self.bring_tables(process, request) {
            return self.wait_for_table(process, request, wait);
        }
        let plan = self.decide(process, request);
        self.note_plan(process, request, plan.traced());
        if self.is_short(process, request, &plan) {
            return FaultOutcome::Short;
        }
        let mut outcome = if self.lacks_table_frames(process, request, &plan) {
            self.out_of_frames(request)
        } else {
            self.apply(process, request, plan)
        };
        self.looked = 0;
        if let FaultOutcome::Resume(resume) = &mut outcome {
            self.keep_hard_maximum(process, &mut resume.stale);
        }
        let counts = &mut self.process_mut(process).faults;
        match &outcome {
            FaultOutcome::Resume(resume) => counts.count(resume.kind),
            FaultOutcome::Raise(_) => counts.raised += 1,
            FaultOutcome::Wait(_) | FaultOutcome::Page(_) | FaultOutcome::Short => {}
        }
        outcome
    }

    /// The tables of the page, and of the pages below it that a stack may grow by.
    fn bring_tables(&mut self, id: ProcessId, request: &FaultRequest) -> Result<(), TableWait> {
        if self.process(id).tables_out == 0 || request.address > self.process(id).max_user {
            return Ok(());
        }
        for vpn in self.table_starts(self.growth_range(request)) {
            self.bring_way(id, vpn)?;
        }
        Ok(())
    }

    /// The page of a fault, with the pages below it that its stack may grow by: the guaranteed ones, and one more guard
    /// (SPEC E22).
    fn growth_range(&self, request: &FaultRequest) -> PageRange {
        let vpn = request.address.vpn();
        let lowest = match request.stack {
            Some(stack) if stack.holds(request.address) => {
                let below = vpn.raw().saturating_sub(1 + self.guaranteed_pages(stack));
                Vpn::new(below).max(stack.reserve_base.vpn())
            }
            Some(_) | None => vpn,
        };
        PageRange::inclusive(lowest, vpn)
    }

    fn wait_for_table(&mut self, id: ProcessId, request: &FaultRequest, wait: TableWait) -> FaultOutcome {
        match wait {
            TableWait::Page(transfer) => FaultOutcome::Page(transfer),
            TableWait::Short if !std::mem::take(&mut self.exhausted) => FaultOutcome::Short,
            TableWait::Short => self.failed_table(id, request, NtStatus::NO_MEMORY),
            TableWait::Failed(cause) => self.failed_table(id, request, cause),
        }
    }

    fn failed_table(&mut self, id: ProcessId, request: &FaultRequest, cause: NtStatus) -> FaultOutcome {
        self.process_mut(id).faults.raised += 1;
        self.in_page_error(request, cause)
    }

    /// Whether a first touch would need tables that there are no frames for, and none will be: whoever makes tables has
    /// made sure of them.
    fn lacks_table_frames(&self, id: ProcessId, request: &FaultRequest, plan: &Plan) -> bool {
        if !matches!(plan, Plan::DemandZero { .. } | Plan::Shared { .. }) {
            return false;
        }
        let page = PageRange::inclusive(request.address.vpn(), request.address.vpn());
        let tables = self.missing_tables(self.process(id).root, page).frames();
        tables > 0 && self.pfn.counts().available() < 1 + tables
    }

    /// Whether a plan needs a frame, none is available, and background work may yet make one so.
    fn is_short(&mut self, id: ProcessId, request: &FaultRequest, plan: &Plan) -> bool {
        let page = PageRange::inclusive(request.address.vpn(), request.address.vpn());
        let tables = || self.missing_tables(self.process(id).root, page).frames();
        let frames = match plan {
            Plan::DemandZero { .. } | Plan::Shared { .. } => 1 + tables(),
            Plan::CopyOnWrite { .. } | Plan::PageFile { .. } => 1,
            Plan::Guard { .. } => {
                self.missing_tables(self.process(id).root, self.growth_range(request)).frames()
            }
            Plan::Spurious
            | Plan::Violation
            | Plan::Failed { .. }
            | Plan::FirstStore { .. }
            | Plan::Transition { .. } => 0,
        };
        if self.pfn.counts().available() >= frames {
            return false;
        }
        self.working = true;
        !std::mem::take(&mut self.exhausted)
    }

    /// The first parameter of an exception record: without no-execute a fetch reports as a read (SPEC E1, E2).
    pub(crate) const fn access_code(&self, access: Access) -> u64 {
        match (access, self.edition.no_execute) {
            (Access::Read, _) | (Access::Execute, NoExecute::Off) => 0,
            (Access::Write, _) => 1,
            (Access::Execute, NoExecute::Enforced) => 8,
        }
    }

    pub(crate) fn remember_failure(&mut self, process: ProcessId, vpn: Vpn, cause: NtStatus) {
        self.failed_reads.push(FailedRead { process, vpn, cause });
    }

    /// Failures of pages that are raised now, or that are no longer there.
    pub(crate) fn forget_failures(&mut self, process: ProcessId, range: PageRange) {
        self.failed_reads.retain(|read| read.process != process || !range.contains(read.vpn));
        self.failed_pages.retain(|page| page.process != process || !range.contains(page.vpn));
    }

    fn violation(&self, request: &FaultRequest) -> FaultOutcome {
        self.raise_access(NtStatus::ACCESS_VIOLATION, request)
    }

    fn raise_access(&self, status: NtStatus, request: &FaultRequest) -> FaultOutcome {
        let parameters = ExceptionParameters::access(self.access_code(request.access), request.address);
        FaultOutcome::Raise(Raise { status, parameters, stack_limit: None, stale: Stale::none() })
    }

    fn in_page_error(&self, request: &FaultRequest, cause: NtStatus) -> FaultOutcome {
        let parameters =
            ExceptionParameters::in_page(self.access_code(request.access), request.address, cause);
        FaultOutcome::Raise(Raise {
            status: NtStatus::IN_PAGE_ERROR,
            parameters,
            stack_limit: None,
            stale: Stale::none(),
        })
    }

    /// No frame is left for an access that is allowed: the page cannot come in.
    fn out_of_frames(&self, request: &FaultRequest) -> FaultOutcome {
        self.in_page_error(request, NtStatus::NO_MEMORY)
    }
}
