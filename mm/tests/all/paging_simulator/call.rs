//! Calls: made again while they lack frames or page tables, and allowed exactly when the model says so.

use super::model::Rights;
use super::run::{Progress, Run};
use vadose_facts::addr::{PAGE_BYTES, VirtAddr};
use vadose_facts::ntdef::{AllocationType, FreeType, NtStatus};
use vadose_facts::x86::Stale;
use vadose_mm::{
    AllocateRequest, BasicInformation, LimitFlags, LockKinds, LockMemory, OfferPriority, Reclaimed,
    ViewRequest, Wanted, WatchReset,
};

/// Attempts after which a call is given up that lacks frames still, though nothing is under way.
const MOST_TRIES: u32 = 192;

/// A run of pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) vpn: u64,
    pub(super) pages: u64,
}

/// A call with its arguments.
#[derive(Clone, Copy, Debug)]
pub(super) enum Call {
    Allocate { pages: u64, stride: u64, kind: AllocationType, rights: Rights },
    Commit { at: Span, rights: Rights },
    Decommit { at: Span },
    Release { vpn: u64 },
    Protect { at: Span, rights: Rights },
    Query { vpn: u64 },
    Map { section: usize, first: u64, pages: u64, rights: Rights },
    Unmap { vpn: u64 },
    Remake { section: usize },
    Flush { at: Span },
    Empty,
    Limits { minimum: u64, maximum: u64, flags: LimitFlags },
    Unlock { at: Span },
    Reset { at: Span },
    Undo { at: Span },
    Offer { at: Span, priority: OfferPriority },
    Reclaim { at: Span },
    Discard { at: Span },
    Watch { at: Span, reset: WatchReset },
    Own { count: u64 },
    Disown { frame: usize },
    Show { vpn: u64, frame: Option<usize> },
}

/// What a call that succeeded says.
#[derive(Debug)]
pub(super) enum Answer {
    Nothing,
    Base(VirtAddr),
    Status(NtStatus),
    Information(BasicInformation),
    Reclaimed(Reclaimed),
    Written(Vec<VirtAddr>),
    Frames(Vec<u64>),
    Section(vadose_mm::SectionId),
}

/// Charges that a failing call leaves as they were: of the machine, of the process, and pages of its regions.
type Charges = (u64, u64, u64);

impl Run<'_> {
    pub(super) fn call(&mut self, number: usize, call: Call, tries: u32) -> Result<Progress, String> {
        let before = self.charges(number);
        let _earlier = self.machine.mm.take_wanted();
        let answer = self.make(number, call);
        let wanted = self.machine.mm.take_wanted();
        match (answer, wanted) {
            (Ok(Answer::Information(_)), Some(wanted)) if wants_first(wanted, call) => {
                self.provide(number, call, wanted, tries)
            }
            (Ok(answer), _) => {
                self.sums.calls += 1;
                let known = wanted.is_none();
                self.apply(number, call, answer, known)
                    .map_err(|what| format!("{call:?} of process {number}: {what}"))?;
                Ok(Progress::Done)
            }
            (Err(_), Some(wanted)) => {
                self.doom(number, call);
                self.provide(number, call, wanted, tries)
            }
            (Err(status), None) => {
                self.check_refusal(number, call, status)?;
                self.sums.calls += 1;
                self.sums.over_commit += u64::from(status == NtStatus::COMMITMENT_LIMIT);
                self.check_unchanged(number, call, before)?;
                Ok(Progress::Done)
            }
        }
    }

    fn charges(&self, number: usize) -> Charges {
        let charged = self.machine.mm.counters().commit.charged_pages();
        let counters = self.machine.mm.process_counters(self.process(number));
        (charged, counters.commit_pages, counters.virtual_pages)
    }

    fn check_unchanged(&self, number: usize, call: Call, before: Charges) -> Result<(), String> {
        let after = self.charges(number);
        if before == after {
            return Ok(());
        }
        Err(format!("{call:?} of process {number} failed, and charges went from {before:?} to {after:?}"))
    }

    /// Makes the call once.
    fn make(&mut self, number: usize, call: Call) -> Result<Answer, NtStatus> {
        let process = self.process(number);
        match call {
            Call::Allocate { pages, kind, rights, .. } => {
                let request = allocation(None, pages, kind, rights);
                let done = self.machine.mm.allocate(process, request)?;
                self.stale(done.stale);
                Ok(Answer::Base(done.base))
            }
            Call::Commit { at, rights } => self.allocate_at(number, at, AllocationType::COMMIT, rights),
            Call::Reset { at } => self.allocate_at(number, at, AllocationType::RESET, Rights::NoAccess),
            Call::Undo { at } => self.allocate_at(number, at, AllocationType::RESET_UNDO, Rights::NoAccess),
            Call::Decommit { at } => self.free(number, at.base(), at.bytes(), FreeType::DECOMMIT),
            Call::Release { vpn } => self.free(number, base(vpn), 0, FreeType::RELEASE),
            Call::Protect { at, rights } => {
                let done = self.machine.mm.protect(process, at.base(), at.bytes(), rights.raw())?;
                self.stale(done.stale);
                Ok(Answer::Status(done.status))
            }
            Call::Query { vpn } => Ok(Answer::Information(self.machine.mm.query(process, base(vpn))?)),
            Call::Empty => {
                let stale = self.machine.mm.empty_working_set(process)?;
                self.stale(stale);
                Ok(Answer::Nothing)
            }
            Call::Limits { minimum, maximum, flags } => {
                self.machine.mm.set_working_set_limits(process, minimum, maximum, flags)?;
                Ok(Answer::Nothing)
            }
            Call::Unlock { at } => {
                let done = self.machine.mm.unlock(process, at.base(), at.bytes(), LockKinds::PROCESS)?;
                self.stale(done.stale);
                Ok(Answer::Status(done.status))
            }
            Call::Offer { at, priority } => {
                let stale = self.machine.mm.offer(process, at.base(), at.bytes(), priority)?;
                self.stale(stale);
                Ok(Answer::Nothing)
            }
            Call::Reclaim { at } => {
                Ok(Answer::Reclaimed(self.machine.mm.reclaim(process, at.base(), at.bytes())?))
            }
            Call::Discard { at } => {
                let stale = self.machine.mm.discard(process, at.base(), at.bytes())?;
                self.stale(stale);
                Ok(Answer::Nothing)
            }
            Call::Watch { at, reset } => {
                let most = at.pages;
                let done = self.machine.mm.written_pages(process, at.base(), at.bytes(), most, reset)?;
                self.stale(done.stale);
                Ok(Answer::Written(done.pages))
            }
            Call::Map { .. } | Call::Unmap { .. } | Call::Remake { .. } | Call::Flush { .. } => {
                self.make_shared(number, call)
            }
            Call::Own { .. } | Call::Disown { .. } | Call::Show { .. } => self.make_physical(number, call),
        }
    }

    fn make_shared(&mut self, number: usize, call: Call) -> Result<Answer, NtStatus> {
        let process = self.process(number);
        match call {
            Call::Map { section, first, pages, rights } => {
                let id = self.model.sections[section].id.ok_or(NtStatus::INVALID_HANDLE)?;
                let all = self.model.areas[self.model.sections[section].area].pages;
                let request = ViewRequest {
                    offset: first * PAGE_BYTES,
                    size: if first + pages == all { 0 } else { pages * PAGE_BYTES },
                    ..ViewRequest::whole(rights.raw())
                };
                Ok(Answer::Base(self.machine.mm.map_view(process, id, request)?.base))
            }
            Call::Unmap { vpn } => {
                let done = self.machine.mm.unmap_view(process, base(vpn))?;
                self.stale(done.stale);
                done.writes.into_iter().for_each(|write| self.machine.file(write, None));
                Ok(Answer::Nothing)
            }
            Call::Remake { section } => {
                if let Some(id) = self.model.sections[section].id.take() {
                    self.machine.mm.close_section(id);
                }
                Ok(Answer::Section(self.machine.mm.create_section(self.section_request(section))?))
            }
            Call::Flush { at } => {
                let done = self.machine.mm.flush_view(process, at.base(), at.bytes())?;
                self.stale(done.stale);
                done.writes.into_iter().for_each(|write| self.machine.file(write, None));
                Ok(Answer::Nothing)
            }
            other => unreachable!("{other:?} is about private memory"),
        }
    }

    fn make_physical(&mut self, number: usize, call: Call) -> Result<Answer, NtStatus> {
        let process = self.process(number);
        match call {
            Call::Own { count } => {
                let done = self.machine.mm.allocate_physical(process, count, LockMemory::Enabled)?;
                self.stale(done.stale);
                Ok(Answer::Frames(done.frames.iter().map(|frame| frame.raw()).collect()))
            }
            Call::Disown { frame } => {
                let frame = self.owned(number, frame).ok_or(NtStatus::INVALID_PARAMETER)?;
                let done = self.machine.mm.free_physical(process, &[frame])?;
                self.stale(done.stale);
                Ok(Answer::Status(done.status))
            }
            Call::Show { vpn, frame } => {
                let frames = match frame {
                    Some(frame) => vec![self.owned(number, frame).ok_or(NtStatus::INVALID_PARAMETER)?],
                    None => Vec::new(),
                };
                let shown = frame.map(|_| frames.as_slice());
                let stale = self.machine.mm.map_physical(process, base(vpn), 1, shown)?;
                self.stale(stale);
                Ok(Answer::Nothing)
            }
            other => unreachable!("{other:?} is not about frames"),
        }
    }

    pub(super) fn owned(&self, number: usize, frame: usize) -> Option<u64> {
        self.model.space(number).frames.get(frame).copied().flatten().map(|(frame, _)| frame)
    }

    fn allocate_at(
        &mut self,
        number: usize,
        at: Span,
        kind: AllocationType,
        rights: Rights,
    ) -> Result<Answer, NtStatus> {
        let request = allocation(Some(at.base()), at.pages, kind, rights);
        let done = self.machine.mm.allocate(self.process(number), request)?;
        self.stale(done.stale);
        Ok(Answer::Nothing)
    }

    fn free(
        &mut self,
        number: usize,
        base: VirtAddr,
        bytes: u64,
        kind: FreeType,
    ) -> Result<Answer, NtStatus> {
        let done = self.machine.mm.free(self.process(number), base, bytes, kind)?;
        self.stale(done.stale);
        Ok(Answer::Nothing)
    }

    fn stale(&mut self, stale: Stale) {
        self.machine.processor.drop_stale(stale);
    }

    /// Gets what a call lacked; a call that lacks it still after many attempts has failed.
    fn provide(&mut self, number: usize, call: Call, wanted: Wanted, tries: u32) -> Result<Progress, String> {
        let process = self.process(number);
        let mut failed = tries > MOST_TRIES;
        match wanted {
            Wanted::Frames(frames) => {
                self.machine.mm.ask_for_frames(frames);
                self.machine.work(256)?;
            }
            Wanted::Table(table) => match self.machine.mm.read_table(table) {
                Ok(Some(transfer)) => self.machine.page(transfer, Some(process)),
                Ok(None) => {}
                Err(NtStatus::NO_MEMORY) => {
                    self.machine.mm.ask_for_frames(8);
                    self.machine.work(256)?;
                }
                Err(cause) => {
                    failed = true;
                    if !self.may_fail(number, u64::from(cause.raw())) {
                        return Err(format!("a table of process {number} cannot be read: {cause}"));
                    }
                }
            },
        }
        let doomed = matches!(call, Call::Release { .. } | Call::Unmap { .. });
        if tries > MOST_TRIES && !self.is_out_of_memory() {
            return Err(format!("{call:?} of process {number} lacks {wanted:?} for ever"));
        }
        Ok(if failed && !doomed { Progress::Done } else { Progress::Waits })
    }

    /// A region that is being given back piece by piece has lost pieces.
    fn doom(&mut self, number: usize, call: Call) {
        let (Call::Release { vpn } | Call::Unmap { vpn }) = call else { return };
        let space = self.model.space_mut(number);
        let Some((index, _)) = space.find(vpn) else { return };
        let region = &mut space.regions[index];
        // The pages of a section stay what they are.
        region.doomed = !region.is_view() || region.copies();
        let (first, pages) = (region.first, region.pages);
        if region.doomed {
            space.forget_locks(first, pages);
        }
    }
}

/// Whether a query found the table of its very first page missing: then it knows nothing.
fn wants_first(wanted: Wanted, call: Call) -> bool {
    let Call::Query { vpn } = call else { return false };
    matches!(wanted, Wanted::Table(table) if table.page().raw() == vpn)
}

fn allocation(base: Option<VirtAddr>, pages: u64, kind: AllocationType, rights: Rights) -> AllocateRequest {
    AllocateRequest { base, size: pages * PAGE_BYTES, zero_bits: 0, kind, protection: rights.raw() }
}

pub(super) fn base(vpn: u64) -> VirtAddr {
    VirtAddr::new(vpn * PAGE_BYTES)
}

impl Span {
    pub(super) fn base(self) -> VirtAddr {
        base(self.vpn)
    }

    pub(super) fn bytes(self) -> u64 {
        self.pages * PAGE_BYTES
    }
}
