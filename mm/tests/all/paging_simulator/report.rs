//! How a failure is told: the machine, the seed, and the few steps that still fail.

use super::machine::Tally;
use super::{Setting, Step};
use std::fmt;

/// Most runs that are tried to find a shorter one.
const MOST_TRIALS: usize = 150;
/// Most steps that are told: the last ones.
const MOST_TOLD: usize = 40;

/// What one or many runs did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sums {
    pub(super) tally: Tally,
    pub(crate) steps: u64,
    /// Calls that were made and succeeded, or were refused as they must be.
    pub(super) calls: u64,
    pub(super) loads: u64,
    pub(super) stores: u64,
    pub(super) in_page_errors: u64,
    /// Pages that were given up and read as zeros.
    pub(super) lost_given: u64,
    /// Pages that were given up and still had their content.
    pub(super) kept_given: u64,
    pub(super) over_commit: u64,
    pub(super) deaths: u64,
}

impl Sums {
    /// Adds another run's.
    pub(crate) fn add(&mut self, other: &Self) {
        let mine = self.all_mut();
        for (mine, other) in mine.into_iter().zip(other.all()) {
            *mine += other.1;
        }
    }

    /// What never happened at all, though a run is for it.
    pub(crate) fn missing(&self) -> Vec<&'static str> {
        self.all().into_iter().filter(|(_, count)| *count == 0).map(|(what, _)| what).collect()
    }

    fn all(&self) -> [(&'static str, u64); 15] {
        let mut copy = *self;
        let values = copy.all_mut().map(|value| *value);
        std::array::from_fn(|index| (NAMES[index], values[index]))
    }

    fn all_mut(&mut self) -> [&mut u64; 15] {
        [
            &mut self.steps,
            &mut self.calls,
            &mut self.loads,
            &mut self.stores,
            &mut self.in_page_errors,
            &mut self.lost_given,
            &mut self.kept_given,
            &mut self.over_commit,
            &mut self.deaths,
            &mut self.tally.reads,
            &mut self.tally.writes,
            &mut self.tally.file_reads,
            &mut self.tally.file_writes,
            &mut self.tally.failed_reads,
            &mut self.tally.failed_writes,
        ]
    }
}

const NAMES: [&str; 15] = [
    "steps",
    "calls",
    "loads",
    "stores",
    "in-page errors",
    "given pages that were lost",
    "given pages that were kept",
    "refused charges",
    "processes that ended",
    "pages read from page files",
    "pages written to page files",
    "pages read from the file",
    "pages written to the file",
    "failed reads",
    "failed writes",
];

impl fmt::Display for Sums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.all().iter().enumerate().try_for_each(|(index, (what, count))| {
            write!(f, "{}{count} {what}", if index == 0 { "" } else { ", " })
        })
    }
}

/// A run in which something differs from the model.
#[derive(Debug)]
pub(crate) struct Failure {
    setting: Setting,
    steps: Vec<Step>,
    of: usize,
    what: String,
    /// What was told before steps were left out.
    first: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seed, edition) = (self.setting.seed, self.setting.edition.name);
        writeln!(f, "seed {seed} fails on {edition} after {} steps: {}", self.of, self.first)?;
        writeln!(f, "{:?}", Machine(&self.setting))?;
        writeln!(f, "{} steps are enough for: {}; the last ones are", self.steps.len(), self.what)?;
        let told = self.steps.len().saturating_sub(MOST_TOLD);
        self.steps[told..].iter().try_for_each(|step| writeln!(f, "    {step}"))?;
        write!(f, "again: cargo xtask sim --paging --steps {} --seed {seed} --edition {edition}", self.of)
    }
}

/// The machine of a setting, without its edition's many facts.
struct Machine<'a>(&'a Setting);

impl fmt::Debug for Machine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let setting = self.0;
        write!(
            f,
            "{} frames, {} processes, page files of {:?} pages, one read in {} and one write in {} fail, compression {:?}",
            setting.frames,
            setting.processes,
            setting.page_files,
            setting.failed_reads,
            setting.failed_writes,
            setting.compression
        )
    }
}

/// The shortest run found that fails: steps are left out, many at a time and then one by one.
pub(super) fn shortest(setting: &Setting, steps: Vec<Step>, what: String) -> Failure {
    let of = steps.len();
    let mut found = Failure { setting: setting.clone(), steps, of, first: what.clone(), what };
    let mut trials = 0;
    let mut chunk = found.steps.len().div_ceil(2);
    while chunk > 0 && trials < MOST_TRIALS {
        let mut from = 0;
        while from < found.steps.len() && trials < MOST_TRIALS {
            let mut fewer = found.steps.clone();
            fewer.drain(from..(from + chunk).min(fewer.len()));
            trials += 1;
            match setting.replay(&fewer) {
                Ok(()) => from += chunk,
                Err((begun, what)) => {
                    fewer.truncate(begun);
                    (found.steps, found.what) = (fewer, what);
                }
            }
        }
        chunk /= 2;
    }
    found
}
