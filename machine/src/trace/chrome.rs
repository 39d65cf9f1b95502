//! The trace event format of browsers' tracing pages: calls, faults and transfers as spans that nest, everything else as
//! moments, and counters. An event takes a microsecond: virtual time stands still while memory is managed.

use super::fields::{Transfers, fields, name};
use super::object::Object;
use super::{Cause, Levels, Names, words};
use vadose_facts::addr::{PAGE_BYTES, VirtAddr};
use vadose_mm::trace::{TraceEvent, TracedTransfer};
use vadose_mm::{ProcessId, TransferDirection};

/// What is written besides the events themselves.
#[derive(Debug, Default)]
pub(super) struct Chrome {
    begun: bool,
    named: bool,
    /// Spans that are open in the thread, outermost first.
    open: Vec<Span>,
    last: Option<[u64; COUNTED]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Span {
    Call,
    Fault { process: ProcessId, address: VirtAddr },
    Transfer(TracedTransfer),
}

/// Numbers of all counters.
const COUNTED: usize = 8;

/// How one event is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Begin,
    End,
    Instant,
    AsyncBegin(u64),
    AsyncEnd(u64),
}

/// Where events are written to.
struct Page<'a, 'b> {
    out: &'a mut String,
    sequence: &'a mut u64,
    names: &'a Names<'b>,
    transfers: &'a mut Transfers,
}

impl Chrome {
    /// Writes events that belong together; no span stays open.
    pub(super) fn record(
        &mut self,
        out: &mut String,
        sequence: &mut u64,
        events: &[TraceEvent],
        cause: Cause,
        names: &Names<'_>,
        transfers: &mut Transfers,
    ) {
        let mut page = Page { out, sequence, names, transfers };
        if !std::mem::replace(&mut self.named, true) {
            self.emit(&mut page, "process_name", "M", |to, _| {
                to.object("args", |to| to.text("name", "guest"));
            });
        }
        match cause {
            Cause::Call(function) => self.begin(&mut page, Span::Call, function),
            Cause::Loading => self.begin(&mut page, Span::Call, "loading"),
            Cause::Other => {}
        }
        for (index, event) in events.iter().enumerate() {
            self.event(&mut page, event, &events[index + 1..]);
        }
        self.close_to(&mut page, 0);
    }

    fn event(&mut self, page: &mut Page<'_, '_>, event: &TraceEvent, later: &[TraceEvent]) {
        match event {
            TraceEvent::Fault(fault) => {
                let span = Span::Fault { process: fault.process, address: fault.address };
                if self.open.last() == Some(&span) {
                    return self.show(page, event, "fault again", Phase::Instant);
                }
                while matches!(self.open.last(), Some(Span::Fault { .. } | Span::Transfer(_))) {
                    self.close_to(page, self.open.len() - 1);
                }
                self.open.push(span);
                self.show(page, event, &format!("fault: {}", words::plan(fault.plan)), Phase::Begin);
            }
            TraceEvent::FaultEnd { process, address, outcome } => {
                let span = Span::Fault { process: *process, address: *address };
                if outcome.is_final() && self.open.last() == Some(&span) {
                    self.open.pop();
                    self.show(page, event, name(event), Phase::End);
                } else {
                    self.show(page, event, name(event), Phase::Instant);
                }
            }
            TraceEvent::TransferBegin(begun) => {
                let what = match begun.direction {
                    TransferDirection::Read => "read",
                    TransferDirection::Write => "write",
                };
                if ends_first(begun.id, later) {
                    self.open.push(Span::Transfer(begun.id));
                    self.show(page, event, what, Phase::Begin);
                } else {
                    let number = page.transfers.next();
                    self.show(page, event, what, Phase::AsyncBegin(number));
                }
            }
            TraceEvent::TransferEnd { id, .. } => {
                if self.open.last() == Some(&Span::Transfer(*id)) {
                    self.open.pop();
                    self.show(page, event, name(event), Phase::End);
                } else {
                    let number = page.transfers.number(*id);
                    self.show(page, event, "transfer", Phase::AsyncEnd(number));
                }
            }
            TraceEvent::FrameTaken { .. }
            | TraceEvent::FrameMoved { .. }
            | TraceEvent::PageTrimmed { .. }
            | TraceEvent::TableTrimmed { .. }
            | TraceEvent::TableBack { .. }
            | TraceEvent::SlotsTaken { .. }
            | TraceEvent::SlotFreed { .. }
            | TraceEvent::SlotBad { .. }
            | TraceEvent::Compressed { .. }
            | TraceEvent::CompressionRefused { .. }
            | TraceEvent::Decompressed { .. }
            | TraceEvent::Charged { .. }
            | TraceEvent::GivenBack { .. }
            | TraceEvent::Lost { .. } => self.show(page, event, name(event), Phase::Instant),
        }
    }

    fn begin(&mut self, page: &mut Page<'_, '_>, span: Span, title: &str) {
        self.open.push(span);
        self.emit(page, title, "B", |_, _| {});
    }

    /// Ends spans until so many are left.
    fn close_to(&mut self, page: &mut Page<'_, '_>, left: usize) {
        while self.open.len() > left {
            self.open.pop();
            self.emit(page, "end", "E", |_, _| {});
        }
    }

    fn show(&mut self, page: &mut Page<'_, '_>, event: &TraceEvent, title: &str, phase: Phase) {
        let (letter, id) = match phase {
            Phase::Begin => ("B", None),
            Phase::End => ("E", None),
            Phase::Instant => ("i", None),
            Phase::AsyncBegin(id) => ("b", Some(id)),
            Phase::AsyncEnd(id) => ("e", Some(id)),
        };
        let names = page.names;
        self.emit(page, title, letter, |to, transfers| {
            if let Some(id) = id {
                to.number("id", id);
            }
            if phase == Phase::Instant {
                to.text("s", "t");
            }
            to.object("args", |to| {
                to.number("time_us", names.time_us);
                fields(event, names, transfers, to);
            });
        });
    }

    fn emit(
        &mut self,
        page: &mut Page<'_, '_>,
        title: &str,
        phase: &str,
        fill: impl FnOnce(&mut Object<'_>, &mut Transfers),
    ) {
        if std::mem::replace(&mut self.begun, true) {
            page.out.push_str(",\n");
        }
        *page.sequence += 1;
        let (sequence, transfers, names) = (*page.sequence, &mut *page.transfers, page.names);
        Object::write(page.out, |to| {
            to.text("name", title);
            to.text("cat", "memory");
            to.text("ph", phase);
            to.number("ts", sequence);
            to.number("pid", names.pid());
            to.number("tid", names.thread);
            fill(to, transfers);
        });
    }

    /// Counters, when one of them has changed.
    pub(super) fn levels(
        &mut self,
        out: &mut String,
        sequence: &mut u64,
        names: &Names<'_>,
        transfers: &mut Transfers,
        levels: &Levels,
    ) {
        let (frames, process) = (levels.system.frames, &levels.process);
        let bytes = |pages: u64| pages * PAGE_BYTES;
        let counted = [
            frames.active,
            frames.modified,
            frames.transition,
            frames.standby,
            frames.free,
            frames.zeroed,
            bytes(process.resident_pages),
            bytes(levels.system.commit.charged_pages()),
        ];
        if self.last.replace(counted) == Some(counted) {
            return;
        }
        let lists = ["active", "modified", "in-transfer", "standby", "free", "zeroed"];
        let mut page = Page { out, sequence, names, transfers };
        self.emit(&mut page, "frames", "C", |to, _| {
            to.object("args", |to| {
                lists.iter().zip(counted).for_each(|(list, count)| to.number(list, count))
            });
        });
        for (title, value) in [("working set", counted[6]), ("commit", counted[7])] {
            self.emit(&mut page, title, "C", |to, _| to.object("args", |to| to.number("bytes", value)));
        }
    }
}

/// Whether a transfer ends before anything else begins or ends that is shown as a span.
fn ends_first(id: TracedTransfer, later: &[TraceEvent]) -> bool {
    let shown = |event: &&TraceEvent| {
        let over = matches!(event, TraceEvent::FaultEnd { outcome, .. } if outcome.is_final());
        let moves = matches!(event, TraceEvent::TransferBegin(_) | TraceEvent::TransferEnd { .. });
        over || moves || matches!(event, TraceEvent::Fault(_))
    };
    let next = later.iter().find(shown);
    matches!(next, Some(TraceEvent::TransferEnd { id: ended, .. }) if *ended == id)
}
