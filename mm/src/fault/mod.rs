//! Faults: a pure decision from VAD, entry and frame, then one answer per file.

mod answer;
mod decide;
mod guard;
mod prefetch;
mod shared;

use crate::id::ProcessId;
use crate::request::{ExceptionParameters, FaultOutcome, FaultRequest, Raise};
use crate::state::Mm;
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
        let plan = self.decide(process, &request);
        let outcome = self.apply(process, &request, plan);
        let counts = &mut self.process_mut(process).faults;
        match &outcome {
            FaultOutcome::Resume(resume) => counts.count(resume.kind),
            FaultOutcome::Raise(_) => counts.raised += 1,
            FaultOutcome::Wait(_) => {}
        }
        outcome
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
