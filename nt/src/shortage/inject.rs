//! Failures that were ordered: where requests are counted and refused, and what is told of each refusal.

use super::pages::PageFailure;
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
    /// The plan, with what was counted so far. Transfers of page files are counted by
    /// [`PageOrders`](crate::PageOrders).
    pub fn fail_plan(&self) -> &FailPlan {
        &self.shortage.plan
    }

    /// The first [`MAX_LISTED_FAILURES`] that were injected, in order.
    pub fn injected_failures(&self) -> &[InjectedFailure] {
        &self.shortage.failures
    }

    /// How many were injected, beside transfers of page files.
    pub fn injected_count(&self) -> u64 {
        self.shortage.count
    }
}

impl Kernel<'_> {
    /// Orders failures. Requests are counted from now on.
    pub fn order_failures(&mut self, plan: FailPlan) {
        self.mm.order_page_failures(plan.about(FailKind::is_of_page_files));
        self.nt.shortage = Shortage { plan, ..Shortage::default() };
    }

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
        self.note_page_failures();
        self.nt.shortage.site = None;
    }

    /// Takes note of transfers of page files that failed, on behalf of whatever the guest is stopped for.
    pub fn note_page_failures(&mut self) {
        for PageFailure { kind, number, status, subject } in self.mm.take_page_failures() {
            self.list(InjectedFailure {
                kind,
                number,
                status,
                call: None,
                subject,
                tid: None,
                stack: Vec::new(),
            });
        }
    }

    /// Whether requests of a kind are counted now: a program's only while something is done for it.
    fn counts(&self, kind: FailKind) -> bool {
        let shortage = &self.nt.shortage;
        shortage.plan.watches(kind) && shortage.site.is_some()
    }

    /// Counts a request, and says whether it is to fail. A failure is noted with its subject and the guest's call stack.
    pub(crate) fn fails(
        &mut self,
        kind: FailKind,
        status: NtStatus,
        subject: impl FnOnce(&Nt) -> String,
    ) -> bool {
        if !self.counts(kind) || !self.nt.shortage.plan.should_fail(kind) {
            return false;
        }
        self.nt.shortage.count += 1;
        let number = self.nt.shortage.plan.asked(kind);
        let subject = subject(self.nt);
        self.list(InjectedFailure {
            kind,
            number,
            status,
            call: None,
            subject,
            tid: None,
            stack: Vec::new(),
        });
        true
    }

    /// Adds who asked, and keeps the failure if there are not too many.
    fn list(&mut self, failure: InjectedFailure) {
        if self.nt.shortage.failures.len() >= MAX_LISTED_FAILURES {
            return;
        }
        let listed = match self.nt.shortage.site.clone() {
            None => failure,
            Some(site) => InjectedFailure {
                call: site.call,
                tid: self.nt.threads.current().map(|thread| thread.tid),
                stack: self.callers(&site),
                ..failure
            },
        };
        self.nt.shortage.failures.push(listed);
    }

    fn callers(&mut self, site: &Site) -> Vec<Caller> {
        self.see_images();
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
