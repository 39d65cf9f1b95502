//! Where events come from: each function notes one kind, and does nothing while nobody wants to know.

use super::{
    AddressSide, Arrival, Content, FaultTrace, FrameSource, PrototypeTrace, RegionTrace, TraceEvent,
    TracedOutcome, TracedPlan, TracedTransfer, Tracing, TransferPlace, TransferTrace, TrimReason, WalkStep,
};
use crate::id::{PagingId, ProcessId, TransferId};
use crate::paging::Slot;
use crate::pfn::{PfnFlags, Taken};
use crate::pte::ValidPte;
use crate::request::{FaultOutcome, FaultRequest, TransferDirection};
use crate::state::Mm;
use crate::system::frame_base;
use vadose_facts::addr::{PAGE_SHIFT, Pfn, Vpn};
use vadose_facts::x86::{EntryBits, LargePage, PhysicalMemory};

impl<R: PhysicalMemory> Mm<R> {
    /// Begins to keep events, or ends it and forgets those that nobody took.
    pub fn set_tracing(&mut self, tracing: Tracing) {
        self.trace.set(tracing);
    }

    /// Takes the events since the last time, in order. The recorder holds a million; what comes after them is dropped and
    /// counted by a last [`TraceEvent::Lost`].
    pub fn take_trace(&mut self) -> Vec<TraceEvent> {
        self.trace.take()
    }

    /// Notes an event, which is not even made while tracing is off.
    #[inline]
    pub(crate) fn note(&mut self, event: impl FnOnce(&Self) -> TraceEvent) {
        if self.trace.is_on() {
            self.keep(event);
        }
    }

    /// Out of the way of the callers, which mostly find tracing off.
    #[cold]
    #[inline(never)]
    fn keep(&mut self, event: impl FnOnce(&Self) -> TraceEvent) {
        let event = event(self);
        self.trace.push(event);
    }

    /// A fault begins. Until it is [decided](Self::note_plan) a page table is all that it waits for.
    pub(crate) fn note_fault(&mut self, process: ProcessId, request: &FaultRequest) {
        self.note(|mm| TraceEvent::Fault(Box::new(mm.trace_fault(process, request))));
    }

    fn trace_fault(&self, id: ProcessId, request: &FaultRequest) -> FaultTrace {
        let user = request.address <= self.process(id).max_user;
        FaultTrace {
            process: id,
            access: request.access,
            address: request.address,
            side: if user { AddressSide::User } else { AddressSide::Beyond },
            walk: self.trace_walk(id, request),
            region: None,
            prototype: None,
            plan: TracedPlan::Table,
        }
    }

    /// The entries that a processor reads: down to the first one that is not present, or that maps the page.
    fn trace_walk(&self, id: ProcessId, request: &FaultRequest) -> Vec<WalkStep> {
        let process = self.process(id);
        let (mode, user) = (self.edition.paging, request.address <= process.max_user);
        let (mut steps, mut table) = (Vec::new(), process.root);
        if !mode.is_canonical(request.address) {
            return steps;
        }
        for level in mode.levels() {
            let at = table.offset(level.index(request.address) * mode.entry_bytes());
            let raw = self.read(at);
            let state = user.then(|| self.format.decode(raw));
            steps.push(WalkStep { shift: level.shift, at, raw, state });
            let large = level.large == LargePage::Allowed && EntryBits::of(raw).contains(EntryBits::LARGE);
            if !EntryBits::of(raw).contains(EntryBits::PRESENT) || large || level.shift == PAGE_SHIFT {
                break;
            }
            table = frame_base(raw);
        }
        steps
    }

    /// What was read for a fault's decision, and the decision. The tables are there.
    pub(crate) fn note_plan(&mut self, id: ProcessId, request: &FaultRequest, plan: TracedPlan) {
        if !self.trace.is_on() {
            return;
        }
        let (region, prototype) = self.trace_region(id, request.address.vpn());
        let plan = match plan {
            TracedPlan::Transition { frame, .. } => {
                TracedPlan::Transition { frame, arrival: self.arrival_in(frame) }
            }
            other => other,
        };
        let walk = self.trace_walk(id, request);
        if let Some(fault) = self.trace.open_fault() {
            let seen = fault.walk.len();
            fault.walk.extend(walk.into_iter().skip(seen));
            (fault.region, fault.prototype, fault.plan) = (region, prototype, plan);
        }
    }

    fn arrival_in(&self, frame: Pfn) -> Arrival {
        let flags = self.pfn.get(frame).flags;
        if flags.contains(PfnFlags::READ_IN_PROGRESS) {
            Arrival::Underway
        } else if flags.contains(PfnFlags::JUST_READ) {
            Arrival::JustRead
        } else if flags.contains(PfnFlags::READ_ALONG) {
            Arrival::ReadAlong
        } else {
            Arrival::Stayed
        }
    }

    fn trace_region(&self, id: ProcessId, vpn: Vpn) -> (Option<RegionTrace>, Option<PrototypeTrace>) {
        let process = self.process(id);
        let Some(vad) = process.vads.find(vpn).map(|vad| *process.vads.get(vad)) else { return (None, None) };
        let page = self.page_view(process, &vad, vpn, self.pte(process.root, vpn));
        let region = RegionTrace {
            range: vad.range,
            backing: self.backing(&vad),
            protection: vad.protection,
            page_state: page.state,
            page_protection: page.protection,
        };
        let prototype = vad.kind.view().and_then(|view| {
            let (area, page) = (self.area(view.area), Self::view_page(&vad, vpn));
            let at = (page < area.pages()).then(|| area.prototype(page))?;
            let raw = self.read(at);
            Some(PrototypeTrace { at, raw, state: self.format.decode_prototype(raw) })
        });
        (Some(region), prototype)
    }

    pub(crate) fn note_fault_end(
        &mut self,
        process: ProcessId,
        request: &FaultRequest,
        outcome: &FaultOutcome,
    ) {
        self.note(|_| TraceEvent::FaultEnd {
            process,
            address: request.address,
            outcome: match outcome {
                FaultOutcome::Resume(resume) => {
                    TracedOutcome::Resumed { kind: resume.kind, stack_limit: resume.stack_limit }
                }
                FaultOutcome::Wait(transfer) => {
                    TracedOutcome::Waits { id: TracedTransfer::File(transfer.id) }
                }
                FaultOutcome::Page(transfer) => {
                    TracedOutcome::Waits { id: TracedTransfer::Paging(transfer.id) }
                }
                FaultOutcome::Short => TracedOutcome::Short,
                FaultOutcome::Raise(raise) => {
                    TracedOutcome::Raised { status: raise.status, parameters: raise.parameters }
                }
            },
        });
    }

    /// Takes a frame, and notes where from. The owner of a page on standby is [restored](Self::restore_owner) by the
    /// caller.
    #[inline]
    pub(crate) fn take_frame(&mut self) -> Option<Taken> {
        let never_used = self.pfn.never_used();
        let taken = self.pfn.take()?;
        self.note_taken(taken, never_used);
        Some(taken)
    }

    /// A frame was taken; frames from `never_used` on had never been.
    #[inline]
    pub(crate) fn note_taken(&mut self, taken: Taken, never_used: Pfn) {
        if let Taken::Standby(_) = taken {
            self.movements.repurposed += 1;
        }
        self.note(|mm| match taken {
            Taken::Zeroed(frame) if frame >= never_used => {
                TraceEvent::FrameTaken { frame, from: FrameSource::NeverUsed }
            }
            Taken::Zeroed(frame) => TraceEvent::FrameTaken { frame, from: FrameSource::Zeroed },
            Taken::Dirty(frame) => TraceEvent::FrameTaken { frame, from: FrameSource::Free },
            Taken::Standby(frame) => {
                let entry = mm.pfn.get(frame);
                let (page, copy) = (mm.page_name(frame), mm.slot_in(entry.original_pte));
                let from = FrameSource::Standby { priority: entry.priority, page, copy };
                TraceEvent::FrameTaken { frame, from }
            }
        });
    }

    /// A frame is somewhere else than before.
    #[inline]
    pub(crate) fn note_frame(&mut self, frame: Pfn) {
        self.note(|mm| {
            let entry = mm.pfn.get(frame);
            let (to, priority) = (entry.location, entry.priority);
            TraceEvent::FrameMoved { frame, to, priority, page: mm.page_name(frame) }
        });
    }

    /// A page is about to leave a working set.
    #[inline]
    pub(crate) fn note_trim(&mut self, process: ProcessId, vpn: Vpn, valid: ValidPte, reason: TrimReason) {
        self.movements.count_trim(reason);
        self.note(|mm| {
            let modified = valid.is_dirty() || mm.pfn.get(valid.pfn).flags.contains(PfnFlags::MODIFIED);
            let content = if modified { Content::Modified } else { Content::Clean };
            TraceEvent::PageTrimmed { process, vpn, frame: valid.pfn, reason, content }
        });
    }

    /// A transfer with a page file begins.
    pub(crate) fn note_paging(&mut self, id: PagingId) {
        self.note(|mm| {
            let pending = mm.paging.get(id).expect("the transfer has begun");
            let wanted = pending.wanted();
            let direction = if wanted.is_some() { TransferDirection::Read } else { TransferDirection::Write };
            TraceEvent::TransferBegin(Box::new(TransferTrace {
                id: TracedTransfer::Paging(id),
                direction,
                place: TransferPlace::PageFile(pending.first),
                frames: pending.frames.iter().map(|frame| (*frame, mm.page_name(*frame))).collect(),
                wanted,
            }))
        });
    }

    /// A transfer with a mapped file begins.
    pub(crate) fn note_transfer(&mut self, id: TransferId, frame: Pfn, wanted: Option<(ProcessId, Vpn)>) {
        self.note(|mm| {
            let transfer = mm.transfer_of(frame);
            let place =
                TransferPlace::File { file: transfer.file, offset: transfer.offset, bytes: transfer.bytes };
            TraceEvent::TransferBegin(Box::new(TransferTrace {
                id: TracedTransfer::File(id),
                direction: transfer.direction,
                place,
                frames: vec![(frame, mm.page_name(frame))],
                wanted,
            }))
        });
    }

    /// A page of a page file holds nothing any more.
    #[inline]
    pub(crate) fn note_slot_freed(&mut self, slot: Slot) {
        self.note(|_| TraceEvent::SlotFreed { slot });
    }

    /// A page that came along with another one is used: it was worth reading.
    #[inline]
    pub(crate) fn note_use(&mut self, frame: Pfn) {
        let flags = &mut self.pfn.get_mut(frame).flags;
        if flags.contains(PfnFlags::READ_ALONG) {
            flags.remove(PfnFlags::READ_ALONG);
            self.movements.read_along_used += 1;
        }
    }
}
