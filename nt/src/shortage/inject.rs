//! Failures that were ordered: where requests are counted and refused, and what is told of each refusal.

use super::plan::{FailKind, FailPlan};
use crate::kernel::{Kernel, Nt};
use crate::memory::Memory;
use vadose_cpu::Vcpu;
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::{Bitness, NtStatus};
use vadose_mm::Charges;

/// Failures that are told of one by one; later ones are only counted.
pub const MAX_LISTED_FAILURES: usize = 1000;
/// Services that only guest code of the built-in DLLs calls have this in front of the function's name.
const HIDDEN_PREFIX: &str = "Vds";

/// A plan at work.
#[derive(Debug, Default)]
pub(crate) struct Shortage {
    plan: FailPlan,
    site: Option<Site>,
    failures: Vec<InjectedFailure>,
    count: u64,
}

/// Where the guest stopped for what the kernel does now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Site {
    /// The function that was called; none for an access that faulted.
    pub(super) call: Option<&'static str>,
    /// General registers in encoding order.
    pub(super) gpr: [u64; 16],
    /// The faulting instruction, or the one behind the system call.
    pub(super) ip: u64,
}

/// A request that failed because it was ordered to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InjectedFailure {
    /// What was asked for.
    pub kind: FailKind,
    /// Which request of its kind it was, from 1 on.
    pub number: u64,
    /// What it failed with.
    pub status: NtStatus,
    /// The function that the program called; none for an access to memory.
    pub call: Option<&'static str>,
    /// What was to be read or written: `page 0x3000 of C:\work\app.exe`. Empty where the call says all.
    pub subject: String,
    /// The thread that asked; none if nobody did.
    pub tid: Option<u32>,
    /// Code addresses, the innermost first: where the call returns to, or the instruction that faulted, and then its
    /// callers as far as they can be told.
    pub stack: Vec<Caller>,
}

/// A code address, and the image that was there at the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The address.
    pub address: VirtAddr,
    /// Image and offset: `app.exe+0x1234`; `None` if it is in no image.
    pub place: Option<String>,
}

impl Nt {
    /// Orders failures. Requests are counted from now on.
    pub fn set_fail_plan(&mut self, plan: FailPlan) {
        self.shortage = Shortage { plan, ..Shortage::default() };
    }

    /// The plan, with what was counted so far.
    pub fn fail_plan(&self) -> &FailPlan {
        &self.shortage.plan
    }

    /// The first [`MAX_LISTED_FAILURES`] that were injected, in order.
    pub fn injected_failures(&self) -> &[InjectedFailure] {
        &self.shortage.failures
    }

    /// How many were injected.
    pub fn injected_count(&self) -> u64 {
        self.shortage.count
    }
}

impl Kernel<'_> {
    /// What follows is done for the guest, which stopped here: at a call, or at an access.
    pub(crate) fn enter_site(&mut self, cpu: &dyn Vcpu, call: Option<&'static str>) {
        if self.nt.shortage.plan.is_empty() {
            return;
        }
        let call = call.map(|name| name.strip_prefix(HIDDEN_PREFIX).unwrap_or(name));
        let registers = match self.nt.edition.bitness {
            Bitness::Bits32 => 8,
            Bitness::Bits64 => 16,
        };
        let gpr = std::array::from_fn(|index| if index < registers { cpu.gpr(index) } else { 0 });
        self.nt.shortage.site = Some(Site { call, gpr, ip: cpu.ip().raw() });
    }

    /// What follows is done for the kernel's own sake.
    pub(crate) fn leave_site(&mut self) {
        self.nt.shortage.site = None;
    }

    /// Whether requests of a kind are counted now: a program's only while something is done for it.
    fn counts(&self, kind: FailKind) -> bool {
        let anybodys = match kind {
            FailKind::Alloc | FailKind::Commit | FailKind::ImageRead => false,
            FailKind::PagefileRead | FailKind::PagefileWrite => true,
        };
        let shortage = &self.nt.shortage;
        shortage.plan.watches(kind) && (anybodys || shortage.site.is_some())
    }

    /// Counts a request, and says whether it is to fail. A failure is noted with its subject and the guest's call stack.
    pub fn fails(&mut self, kind: FailKind, status: NtStatus, subject: impl FnOnce(&Nt) -> String) -> bool {
        if !self.counts(kind) || !self.nt.shortage.plan.should_fail(kind) {
            return false;
        }
        self.nt.shortage.count += 1;
        if self.nt.shortage.failures.len() < MAX_LISTED_FAILURES {
            let site = self.nt.shortage.site.clone();
            let failure = InjectedFailure {
                kind,
                number: self.nt.shortage.plan.asked(kind),
                status,
                call: site.as_ref().and_then(|site| site.call),
                subject: subject(self.nt),
                tid: site.as_ref().and_then(|_| self.nt.threads.current()).map(|thread| thread.tid),
                stack: site.map_or_else(Vec::new, |site| self.callers(&site)),
            };
            self.nt.shortage.failures.push(failure);
        }
        true
    }

    fn callers(&mut self, site: &Site) -> Vec<Caller> {
        let stack = self.call_stack(site);
        let process = self.nt.process();
        stack.into_iter().map(|address| Caller { address, place: process.place_of(address) }).collect()
    }

    /// The call under way asks for memory on behalf of the program: fails it if that was ordered. Called once a call,
    /// where the service has found its arguments good.
    ///
    /// # Errors
    ///
    /// `refusal`, which is how Windows fails the call for lack of what it asks for.
    pub(crate) fn ask_for_memory(&mut self, refusal: NtStatus) -> Result<(), NtStatus> {
        if self.fails(FailKind::Alloc, refusal, |_| String::new()) { Err(refusal) } else { Ok(()) }
    }

    /// Has the memory manager do something for the program that may need commit. Whether it does is found out by
    /// refusing every charge, which changes nothing; a verb that then fails for want of one counts as a request.
    ///
    /// # Errors
    ///
    /// The verb's own; `refusal`, which is the verb's answer at the limit, also if that was ordered.
    pub(crate) fn charging<T>(
        &mut self,
        refusal: NtStatus,
        mut verb: impl FnMut(&mut dyn Memory) -> Result<T, NtStatus>,
    ) -> Result<T, NtStatus> {
        if !self.counts(FailKind::Commit) {
            return verb(self.mm);
        }
        self.mm.set_commit_charges(Charges::Refused);
        let tried = verb(self.mm);
        self.mm.set_commit_charges(Charges::Granted);
        match tried {
            Err(status) if status == refusal => {
                if self.fails(FailKind::Commit, refusal, |_| String::new()) {
                    Err(refusal)
                } else {
                    verb(self.mm)
                }
            }
            done => done,
        }
    }
}
