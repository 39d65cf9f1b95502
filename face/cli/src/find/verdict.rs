//! What became of a program when one of its requests failed, and the sum over all that were tried.

use crate::quantity::grouped;
use crate::shortage::{place, what};
use crate::table::{Side, Table};
use serde::Serialize;
use vadose_machine::report::{CrashReport, FailureReport, RunEnding, RunReport};

/// Everything that was found out.
#[derive(Debug, Serialize)]
pub(super) struct Findings {
    pub(super) vadose: &'static str,
    pub(super) edition: &'static str,
    pub(super) program: String,
    pub(super) seed: u64,
    /// What failed: `alloc`.
    pub(super) kind: &'static str,
    /// Requests of that kind without a failure.
    pub(super) requests: u64,
    /// The program's exit code without a failure.
    pub(super) exit_code: u32,
    pub(super) summary: Summary,
    pub(super) trials: Vec<Trial>,
}

/// How many runs ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Summary {
    /// All of them.
    pub(super) runs: u64,
    /// The program ended by itself: the next three together.
    pub(super) survived: u64,
    /// With its usual exit code and output.
    pub(super) same: u64,
    /// With its usual exit code and other output.
    pub(super) other_output: u64,
    /// With another exit code.
    pub(super) other_exit_code: u64,
    /// It died of an exception.
    pub(super) crashed: u64,
    /// It reached the time limit, or waits for ever.
    pub(super) hung: u64,
    /// It called a function that Vadose lacks.
    pub(super) stopped: u64,
    /// The request did not come up: the runs were not alike.
    pub(super) not_reached: u64,
}

/// One request that failed, and what became of the program.
#[derive(Debug, Serialize)]
pub(super) struct Trial {
    /// Which request, from 1 on.
    number: u64,
    outcome: Outcome,
    /// Whether it wrote what it writes without a failure.
    same_output: bool,
    /// How it ended.
    ending: RunEnding,
    /// The request: call, status, stack.
    failure: Option<FailureReport>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    Same,
    OtherOutput,
    OtherExitCode,
    Crashed,
    Hung,
    Stopped,
    NotReached,
}

/// Compares a run with the one without a failure.
pub(super) fn judge(number: u64, clean: &RunReport, same_output: bool, report: RunReport) -> Trial {
    let failure = report.shortage.failures.into_iter().next();
    let outcome = match (&report.ending, &failure) {
        (_, None) => Outcome::NotReached,
        (ending @ RunEnding::Exit { .. }, _) if *ending != clean.ending => Outcome::OtherExitCode,
        (RunEnding::Exit { .. }, _) if !same_output => Outcome::OtherOutput,
        (RunEnding::Exit { .. }, _) => Outcome::Same,
        (RunEnding::Crash(_), _) => Outcome::Crashed,
        (RunEnding::TimedOut | RunEnding::Deadlock { .. }, _) => Outcome::Hung,
        (
            RunEnding::MissingFunction { .. }
            | RunEnding::UnimplementedService { .. }
            | RunEnding::NotLoaded { .. },
            _,
        ) => Outcome::Stopped,
    };
    Trial { number, outcome, same_output, ending: report.ending, failure }
}

/// Counts the outcomes.
pub(super) fn sum(trials: &[Trial]) -> Summary {
    let mut sum = Summary { runs: trials.len() as u64, ..Summary::default() };
    for trial in trials {
        let counter = match trial.outcome {
            Outcome::Same => &mut sum.same,
            Outcome::OtherOutput => &mut sum.other_output,
            Outcome::OtherExitCode => &mut sum.other_exit_code,
            Outcome::Crashed => &mut sum.crashed,
            Outcome::Hung => &mut sum.hung,
            Outcome::Stopped => &mut sum.stopped,
            Outcome::NotReached => &mut sum.not_reached,
        };
        *counter += 1;
    }
    sum.survived = sum.same + sum.other_output + sum.other_exit_code;
    sum
}

impl Findings {
    /// The table and the sum, for people.
    pub(super) fn text(&self, name: &str) -> String {
        let Self { requests, kind, edition, exit_code, .. } = self;
        let mut text = format!(
            "{name} on {edition}: requests ({kind}) {}, exit code without a failure {exit_code}\n\n",
            grouped(*requests)
        );
        if self.trials.is_empty() {
            text.push_str("there is no request to fail\n");
        } else {
            text.push_str(&format!("{}\n{}", self.table(), self.summary.text()));
        }
        text
    }

    fn table(&self) -> String {
        let columns =
            [("Request", Side::Right), ("What", Side::Left), ("Where", Side::Left), ("Outcome", Side::Left)];
        let mut table = Table::new(&columns);
        for trial in &self.trials {
            let failure = trial.failure.as_ref();
            table.add([
                trial.number.to_string(),
                failure.map_or_else(String::new, what),
                failure.and_then(|failure| failure.stack.first()).map_or_else(String::new, place),
                trial.words(),
            ]);
        }
        table.text()
    }
}

impl Summary {
    fn text(&self) -> String {
        let mut text = format!("survived {} of {}", grouped(self.survived), grouped(self.runs));
        let parts = [
            (self.same, "as ever"),
            (self.other_exit_code, "with another exit code"),
            (self.other_output, "with other output"),
        ];
        let parts: Vec<String> = parts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, how)| format!("{} {how}", grouped(*count)))
            .collect();
        if !parts.is_empty() {
            text.push_str(&format!(" ({})", parts.join(", ")));
        }
        let rest = [
            (self.crashed, "crashed"),
            (self.hung, "hung"),
            (self.stopped, "stopped at a function that Vadose lacks"),
            (self.not_reached, "not reached"),
        ];
        for (count, how) in rest.into_iter().filter(|(count, _)| *count > 0) {
            text.push_str(&format!(", {} {how}", grouped(count)));
        }
        text.push('\n');
        text
    }
}

impl Trial {
    /// The outcome in words that are the same every time.
    fn words(&self) -> String {
        match (&self.ending, self.outcome) {
            (_, Outcome::Same) => "survived".to_owned(),
            (_, Outcome::OtherOutput) => "survived, with other output".to_owned(),
            (_, Outcome::NotReached) => "the request did not come up".to_owned(),
            (RunEnding::Exit { code }, _) => format!("ended with exit code {code}"),
            (RunEnding::Crash(crash), _) => crashed(crash),
            (RunEnding::TimedOut, _) => "hung: the time limit was reached".to_owned(),
            (RunEnding::Deadlock { .. }, _) => "hung: all threads wait for ever".to_owned(),
            (RunEnding::MissingFunction { dll, function }, _) => format!("called {function} of {dll}"),
            (RunEnding::UnimplementedService { service }, _) => format!("called {service}"),
            (RunEnding::NotLoaded { status, .. }, _) => format!("was not loaded: {status}"),
        }
    }
}

/// `crashed: STATUS_ACCESS_VIOLATION at app.exe+0x1456, write of 0x0`.
fn crashed(crash: &CrashReport) -> String {
    let place = crash.place.clone().unwrap_or_else(|| format!("{:#x}", crash.address));
    let access = crash.access.as_ref().map(|access| format!(", {} of {:#x}", access.verb, access.address));
    format!("crashed: {} at {place}{}", crash.name, access.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use vadose_machine::report::{Activity, AddressSpaceMap, MemoryReport, ShortageReport};

    fn report(ending: RunEnding, failures: usize) -> RunReport {
        let failure = FailureReport {
            kind: "alloc",
            number: 1,
            code: 0xc000_0017,
            name: "STATUS_NO_MEMORY".to_owned(),
            call: Some("HeapAlloc"),
            subject: String::new(),
            thread: Some(4),
            stack: Vec::new(),
        };
        RunReport {
            edition: "win10-x64",
            program: r"C:\work\a.exe".to_owned(),
            ending,
            activity: Activity::default(),
            memory: MemoryReport::default(),
            shortage: ShortageReport { failures: vec![failure; failures], ..ShortageReport::default() },
            map: AddressSpaceMap::default(),
            others: Vec::new(),
            unimplemented: Vec::new(),
            refused: Default::default(),
        }
    }

    fn trial(ending: RunEnding, same_output: bool) -> Trial {
        judge(1, &report(RunEnding::Exit { code: 0 }, 0), same_output, report(ending, 1))
    }

    fn crash() -> RunEnding {
        RunEnding::Crash(CrashReport {
            code: 0xc000_0005,
            name: "STATUS_ACCESS_VIOLATION".to_owned(),
            address: 0x1234,
            place: Some("a.exe+0x34".to_owned()),
            access: None,
            parameters: Vec::new(),
        })
    }

    #[test]
    fn a_run_is_judged_by_its_end_first_and_its_output_second() {
        let exit = |code| RunEnding::Exit { code };
        let missing = RunEnding::MissingFunction { dll: "a.dll".to_owned(), function: "F".to_owned() };
        for (ending, same_output, outcome, words) in [
            (exit(0), true, Outcome::Same, "survived"),
            (exit(0), false, Outcome::OtherOutput, "survived, with other output"),
            (exit(3), true, Outcome::OtherExitCode, "ended with exit code 3"),
            (exit(3), false, Outcome::OtherExitCode, "ended with exit code 3"),
            (crash(), false, Outcome::Crashed, "crashed: STATUS_ACCESS_VIOLATION at a.exe+0x34"),
            (RunEnding::TimedOut, true, Outcome::Hung, "hung: the time limit was reached"),
            (
                RunEnding::Deadlock { threads: Vec::new() },
                true,
                Outcome::Hung,
                "hung: all threads wait for ever",
            ),
            (missing, true, Outcome::Stopped, "called F of a.dll"),
        ] {
            let trial = trial(ending, same_output);
            assert_eq!((trial.outcome, trial.words().as_str()), (outcome, words));
        }
        let clean = report(RunEnding::Exit { code: 0 }, 0);
        let unreached = judge(1, &clean, true, report(RunEnding::Exit { code: 0 }, 0));
        assert_eq!(unreached.outcome, Outcome::NotReached);
    }

    #[test]
    fn the_sum_tells_survivors_from_the_rest() {
        let exit = |code| RunEnding::Exit { code };
        let ends = [
            (exit(0), true),
            (exit(0), false),
            (exit(1), true),
            (crash(), true),
            (RunEnding::TimedOut, true),
        ];
        let trials: Vec<Trial> = ends.into_iter().map(|(ending, same)| trial(ending, same)).collect();
        let sum = sum(&trials);
        assert_eq!((sum.runs, sum.survived, sum.crashed, sum.hung), (5, 3, 1, 1));
        let words =
            "survived 3 of 5 (1 as ever, 1 with another exit code, 1 with other output), 1 crashed, 1 hung\n";
        assert_eq!(sum.text(), words);
        assert_eq!(Summary::default().text(), "survived 0 of 0\n");
    }
}
