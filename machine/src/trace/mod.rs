//! The trace of a run: the memory manager's events as they come, written as JSON lines or for a browser's tracing page.

mod chrome;
mod fields;
mod object;
mod words;

use chrome::Chrome;
use fields::{Transfers, fields, name};
use object::Object;
use std::fmt;
use std::io::{self, Write};
use vadose_mm::trace::TraceEvent;
use vadose_mm::{Counters, FileId, ProcessCounters, ProcessId};
use vadose_nt::Nt;

/// How a trace is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceFormat {
    /// A JSON object a line.
    Lines,
    /// The trace event format of `chrome://tracing` and Perfetto: one array.
    Chrome,
}

/// Where the events of a run go. The same program, seed and options give the same bytes.
pub struct Trace {
    to: Box<dyn Write + Send>,
    buffer: String,
    failed: Option<io::Error>,
    sequence: u64,
    transfers: Transfers,
    chrome: Option<Chrome>,
}

/// What made events: it is told with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The program is loaded.
    Loading,
    /// A function of Windows was called.
    Call(&'static str),
    /// A fault of the program, or work in the background.
    Other,
}

/// Names of what events only number, and when and for whom they happened.
pub(crate) struct Names<'a> {
    nt: &'a Nt,
    /// Microseconds of virtual time since the machine was switched on.
    time_us: u64,
    /// The thread that ran.
    thread: u32,
}

/// Counts after some events.
pub(crate) struct Levels {
    pub(crate) system: Counters,
    pub(crate) process: ProcessCounters,
}

impl<'a> Names<'a> {
    pub(crate) fn new(nt: &'a Nt, time_us: u64) -> Self {
        Self { nt, time_us, thread: nt.threads().current().map_or(0, |thread| thread.tid) }
    }

    fn process(&self, id: ProcessId) -> u32 {
        let known = self.nt.processes().find(|process| process.id == id);
        known.map_or(id.slot(), |process| process.pid)
    }

    fn pid(&self) -> u32 {
        if self.nt.has_process() { self.nt.process().pid } else { 0 }
    }

    fn file(&self, file: FileId) -> String {
        self.nt.files().path(file).map_or_else(|| format!("file {}", file.raw()), ToString::to_string)
    }
}

impl Trace {
    /// A trace that is written as it grows.
    pub fn new(to: Box<dyn Write + Send>, format: TraceFormat) -> Self {
        let chrome = match format {
            TraceFormat::Lines => None,
            TraceFormat::Chrome => Some(Chrome::default()),
        };
        let buffer = if chrome.is_some() { "[\n".to_owned() } else { String::new() };
        Self { to, buffer, failed: None, sequence: 0, transfers: Transfers::default(), chrome }
    }

    /// Writes events that belong together, whole lines at once: what a killed run leaves can be read.
    pub(crate) fn record(&mut self, events: &[TraceEvent], cause: Cause, names: &Names<'_>, levels: &Levels) {
        if self.failed.is_some() || events.is_empty() {
            return;
        }
        match &mut self.chrome {
            None => self.lines(events, cause, names),
            Some(chrome) => {
                let out = &mut self.buffer;
                chrome.record(out, &mut self.sequence, events, cause, names, &mut self.transfers);
                chrome.levels(out, &mut self.sequence, names, &mut self.transfers, levels);
            }
        }
        self.hand_on();
    }

    fn lines(&mut self, events: &[TraceEvent], cause: Cause, names: &Names<'_>) {
        match cause {
            Cause::Call(function) => self.line("call", names, |to, _| to.text("function", function)),
            Cause::Loading => self.line("loading", names, |_, _| {}),
            Cause::Other => {}
        }
        for event in events {
            self.line(name(event), names, |to, transfers| fields(event, names, transfers, to));
        }
    }

    fn line(&mut self, event: &str, names: &Names<'_>, fill: impl FnOnce(&mut Object<'_>, &mut Transfers)) {
        self.sequence += 1;
        let (sequence, transfers) = (self.sequence, &mut self.transfers);
        Object::write(&mut self.buffer, |to| {
            to.number("seq", sequence);
            to.number("time_us", names.time_us);
            to.number("thread", names.thread);
            to.text("event", event);
            fill(to, transfers);
        });
        self.buffer.push('\n');
    }

    fn hand_on(&mut self) {
        let written = self.to.write_all(self.buffer.as_bytes());
        self.buffer.clear();
        if let Err(error) = written {
            self.failed = Some(error);
        }
    }

    /// Writes what is left.
    ///
    /// # Errors
    ///
    /// Why the trace could not be written, now or earlier: it ends there.
    pub fn finish(mut self) -> io::Result<()> {
        if self.failed.is_none() {
            if self.chrome.is_some() {
                self.buffer.push_str("\n]\n");
            }
            self.hand_on();
        }
        match self.failed {
            Some(error) => Err(error),
            None => self.to.flush(),
        }
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace").field("events", &self.sequence).field("failed", &self.failed).finish()
    }
}
