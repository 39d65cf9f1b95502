//! What runs did, and how a failure is told: the machine, the seed, and the few steps that still fail.

use super::{Setting, Step};
use std::fmt;

/// Most runs that are tried to find a shorter one.
const MOST_TRIALS: usize = 400;
/// Most steps that are told: the last ones.
const MOST_TOLD: usize = 40;

macro_rules! sums {
    ($($field:ident $name:literal,)*) => {
        /// What one or many runs did.
        #[derive(Clone, Copy, Debug, Default)]
        pub(crate) struct Sums {
            $(pub(crate) $field: u64,)*
        }

        impl Sums {
            /// Adds another run's.
            pub(crate) fn add(&mut self, other: &Self) {
                $(self.$field += other.$field;)*
            }

            fn all(&self) -> Vec<(&'static str, u64)> {
                vec![$(($name, self.$field),)*]
            }
        }
    };
}

sums! {
    steps "steps",
    loads "loads",
    stores "stores",
    copies "private copies",
    violations "violations",
    guards "guard pages",
    in_page_errors "in-page errors",
    views "views",
    far_images "images away from their base",
    refusals "refused calls",
    protections "changed protections",
    commits "commits in views",
    extensions "extensions",
    flushes "flushes",
    file_writes "writes to files",
    resizes "resized files",
    deaths "processes that ended",
    gone "areas that ended",
    file_transfers "transfers with files",
    shared_frames "frames seen in several processes",
}

impl Sums {
    /// What never happened at all, though a run is for it.
    pub(crate) fn missing(&self) -> Vec<&'static str> {
        self.all().into_iter().filter(|(_, count)| *count == 0).map(|(what, _)| what).collect()
    }
}

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
        let Setting { edition, seed, frames, processes, aslr, failed_reads, private_pages } = self.setting;
        let edition = edition.name;
        writeln!(f, "seed {seed} fails on {edition} after {} steps: {}", self.of, self.first)?;
        writeln!(
            f,
            "{frames} frames, {processes} processes, ASLR {aslr:?}, one read in {failed_reads} fails, {private_pages} private pages at once"
        )?;
        writeln!(f, "{} steps are enough for: {}; the last ones are", self.steps.len(), self.what)?;
        let told = self.steps.len().saturating_sub(MOST_TOLD);
        self.steps[told..].iter().try_for_each(|step| writeln!(f, "    {step}"))?;
        write!(f, "again: cargo xtask sim --sections --steps {} --seed {seed} --edition {edition}", self.of)
    }
}

/// The shortest run found that fails: steps are left out, many at a time and then one by one.
pub(super) fn shortest(setting: &Setting, steps: Vec<Step>, what: String) -> Failure {
    let of = steps.len();
    let mut found = Failure { setting: *setting, steps, of, first: what.clone(), what };
    let mut trials = 0;
    let mut chunk = found.steps.len().div_ceil(2);
    while chunk > 0 && trials < MOST_TRIALS {
        let mut from = 0;
        while from < found.steps.len() && trials < MOST_TRIALS {
            let mut fewer = found.steps.clone();
            fewer.drain(from..(from + chunk).min(fewer.len()));
            trials += 1;
            match setting.replay(&fewer) {
                Ok(_) => from += chunk,
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
