//! `vadose run --find-failures`: which of its failing requests does a program survive? Once without a failure, then once
//! for each request with that one failing.

mod progress;
mod streams;
mod verdict;

use crate::arguments::{Format, RunArguments};
use crate::failure::Failure;
use crate::map::short_name;
use crate::report::{ReportFile, json};
use crate::shortage::FindOrder;
use crate::{engine, output, run};
use progress::Progress;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{available_parallelism, scope};
use std::time::{Duration, Instant};
use streams::{Digest, Input, Said};
use vadose_machine::host::{Deadline, FolderHost};
use vadose_machine::report::{RunEnding, RunReport};
use vadose_machine::{FailKind, FailPlan, FailRule, FailTurn, Machine, MachineOptions};
use verdict::{Findings, Trial};

/// Exit code when a failure crashed the program or hung it.
const FOUND: u8 = 1;
/// A run may take this long at the least before it hangs, and this many times as long as the one without a failure.
const LEAST_LIMIT: Duration = Duration::from_secs(10);
const LIMIT_FACTOR: u32 = 10;
/// Runs at the same time, at the most.
const MAX_WORKERS: usize = 16;

/// A run and what it wrote.
struct Ran {
    report: RunReport,
    said: Said,
    took: Duration,
}

/// What every run has in common.
struct Plan<'a> {
    options: &'a MachineOptions,
    input: &'a Input,
    kind: FailKind,
}

/// Runs, judges and reports; answers the exit code.
pub(crate) fn find(arguments: &RunArguments, order: FindOrder) -> Result<u8, Failure> {
    let options = run::options(arguments)?;
    let file = arguments.report.as_deref().map(ReportFile::prepare).transpose()?;
    let name = short_name(&options.program);
    let input = Input::default();
    let plan = Plan { options: &options, input: &input, kind: order.kind };
    let clean = plan.run(FailPlan::counting(order.kind), arguments.timeout)?;
    let RunEnding::Exit { code } = clean.report.ending else {
        let (code, words) = run::ending(&name, &clean.report.ending, arguments.timeout);
        output::tell(&format!("{words}vadose: no failure was tried, for {name} does this without any\n"));
        return Ok(code);
    };
    input.complete()?;
    let requests = clean.report.shortage.requests.iter().map(|one| one.count).sum();
    let limit = arguments.timeout.unwrap_or_else(|| LEAST_LIMIT.max(clean.took * LIMIT_FACTOR));
    let trials = plan.try_each(&numbers(order.turn, requests), &clean, limit)?;
    let found = Findings {
        vadose: env!("CARGO_PKG_VERSION"),
        edition: clean.report.edition,
        program: clean.report.program.clone(),
        seed: options.seed,
        kind: order.kind.name(),
        requests,
        exit_code: code,
        summary: verdict::sum(&trials),
        trials,
    };
    match (file, arguments.format) {
        (Some(file), _) => file.write(&json(&found)?)?,
        (None, Format::Json) => output::print(&json(&found)?)?,
        (None, Format::Text) => {}
    }
    if arguments.format == Format::Text {
        output::print(found.text(&name).as_bytes())?;
    }
    Ok(if found.summary.survived == found.summary.runs { 0 } else { FOUND })
}

/// The requests that are tried.
fn numbers(turn: Option<FailTurn>, requests: u64) -> Vec<u64> {
    (1..=requests).filter(|number| turn.is_none_or(|turn| turn.hits(*number))).collect()
}

impl Plan<'_> {
    fn run(&self, failures: FailPlan, limit: Option<Duration>) -> Result<Ran, Failure> {
        let options = MachineOptions { failures, ..self.options.clone() };
        let deadline = Deadline::default();
        let (digest, streams) = Digest::over(self.input.reader(&deadline));
        let host = FolderHost::new(&options, streams)?;
        let mut machine = Machine::load(&options, host)?;
        let mut cpu = engine::new(&machine)?;
        let start = Instant::now();
        run::set_deadline(&deadline, limit);
        let report = machine.run(&mut *cpu, limit)?;
        Ok(Ran { report, said: digest.said(), took: start.elapsed() })
    }

    /// Fails each of the requests in a run of its own. Runs beside each other know nothing of each other, unless they
    /// write to the same folders: then one follows the other.
    fn try_each(&self, numbers: &[u64], clean: &Ran, limit: Duration) -> Result<Vec<Trial>, Failure> {
        let workers = match self.options.writable.len() {
            0 => available_parallelism().map_or(1, usize::from).min(MAX_WORKERS),
            _ => 1,
        };
        let next = AtomicUsize::new(0);
        let (sender, done) = channel();
        scope(|scope| {
            for _ in 0..workers.min(numbers.len()) {
                let (sender, next) = (sender.clone(), &next);
                scope.spawn(move || self.work(numbers, next, clean, limit, &sender));
            }
            drop(sender);
            collect(numbers.len(), &done)
        })
    }

    /// Takes one request after another until none is left, or nobody wants to know any more.
    fn work(
        &self,
        numbers: &[u64],
        next: &AtomicUsize,
        clean: &Ran,
        limit: Duration,
        sender: &Sender<(usize, Result<Trial, Failure>)>,
    ) {
        while let Some((index, number)) = {
            let index = next.fetch_add(1, Ordering::Relaxed);
            numbers.get(index).map(|number| (index, *number))
        } {
            let rule = FailRule { kind: self.kind, turn: FailTurn::Nth(number) };
            let ran = self.run(FailPlan::new(vec![rule]), Some(limit));
            let trial =
                ran.map(|ran| verdict::judge(number, &clean.report, ran.said == clean.said, ran.report));
            if sender.send((index, trial)).is_err() {
                return;
            }
        }
    }
}

/// Puts what comes in into order. The first run that could not be made ends it all.
fn collect(count: usize, done: &Receiver<(usize, Result<Trial, Failure>)>) -> Result<Vec<Trial>, Failure> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let mut progress = Progress::start(count);
    let mut trials: Vec<Option<Trial>> = (0..count).map(|_| None).collect();
    for (index, trial) in done {
        trials[index] = Some(trial?);
        progress.step();
    }
    progress.end();
    Ok(trials.into_iter().map(|trial| trial.expect("every request was tried")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_requests_are_tried_unless_some_are_named() {
        for (turn, requests, tried) in [
            (None, 3, &[1, 2, 3][..]),
            (None, 0, &[]),
            (Some(FailTurn::Nth(2)), 3, &[2]),
            (Some(FailTurn::Nth(4)), 3, &[]),
            (Some(FailTurn::Every(2)), 7, &[2, 4, 6]),
        ] {
            assert_eq!(numbers(turn, requests), tried, "{turn:?} of {requests}");
        }
    }
}
