//! How the processes of a run end: each is reported and taken apart, and the last one stays to be looked at.

use crate::machine::Machine;
use crate::report::{ProcessReport, Refused, RunEnding, RunReport, UnimplementedReport};
use crate::summary;
use vadose_nt::Refusals;

/// What became of processes that have ended.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    /// The report of the first program, if that is one of them.
    first: Option<RunReport>,
    /// The others, in the order of their ends.
    others: Vec<ProcessReport>,
}

/// Whether a process is left to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    Some,
    None,
}

impl Machine {
    /// Takes processes apart that have ended, but the last one: it stays as it is, to be looked at.
    pub(crate) fn end_processes(&mut self) -> Left {
        if !self.nt.has_ending_process() {
            return Left::Some;
        }
        let ending: Vec<u32> = self.nt.ending_processes().map(|process| process.pid).collect();
        for pid in ending {
            if self.nt.living_processes().count() == 1 {
                self.kernel().write_mapped_files();
                return Left::None;
            }
            self.note_end(pid, None);
            self.kernel().end_process(pid);
        }
        Left::Some
    }

    /// The report of the first program, wherever it is in its life, with a word on each of the other processes.
    pub(crate) fn final_report(&mut self, ending: Option<RunEnding>) -> RunReport {
        self.kernel().note_page_failures();
        let living: Vec<u32> = self.nt.living_processes().map(|process| process.pid).collect();
        for pid in living {
            self.note_end(pid, ending.clone());
        }
        let Ended { first, others } = std::mem::take(&mut self.ended);
        let report = first.expect("the first program lived until now, or has ended before");
        let Refusals { processes, threads } = self.nt.refusals();
        let unimplemented = self.nt.unimplemented().into_iter();
        let unimplemented =
            unimplemented.map(|met| UnimplementedReport { service: met.name, calls: met.calls });
        RunReport {
            others,
            shortage: summary::shortage(&self.nt, self.mm.orders()),
            unimplemented: unimplemented.collect(),
            refused: Refused { processes, threads },
            ..report
        }
    }

    fn note_end(&mut self, pid: u32, ending: Option<RunEnding>) {
        let report = self.report_of(pid, ending);
        if self.programs.first() == Some(&pid) {
            self.ended.first = Some(report);
            return;
        }
        let parent = self.nt.process_by_id(pid).map_or(0, |process| process.parent);
        self.ended.others.push(ProcessReport::of(pid, parent, report));
    }

    /// What a process was, as it is now; `ending` for one that still runs.
    fn report_of(&mut self, pid: u32, ending: Option<RunEnding>) -> RunReport {
        let before = self.nt.look_at(pid);
        self.kernel().see_images();
        let process = self.nt.process();
        let (id, own) = (process.id, process.ending.clone());
        let (regions, last) = (self.mm.regions(id), self.mm.user_limit(id).raw());
        let own = own.map(|ending| summary::ending(&regions, last, self.nt.process(), &ending));
        let own = self.kernel().failed_load().map(|failed| summary::failed_load(&failed)).or(own);
        let report = self.report(own.or(ending).unwrap_or(RunEnding::TimedOut));
        self.nt.look_at(before);
        report
    }
}
