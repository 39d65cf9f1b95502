//! Every check and every test of the project, in one run that says at its end what failed.

use std::time::Instant;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use crate::command::cargo;
use crate::workspace::Workspace;
use crate::{guests, programs, setup, tidy};

/// What `cargo xtask test` takes.
#[derive(Args)]
pub(crate) struct Options {
    /// Leave a part out; may be given more than once
    #[arg(long, value_enum, value_name = "PART")]
    skip: Vec<Part>,
    /// Run this part only; may be given more than once
    #[arg(long, value_enum, value_name = "PART", conflicts_with = "skip")]
    only: Vec<Part>,
    /// Instead of all that: run every real program on real system DLLs, with ample RAM and with a quarter of what it used (6M at least),
    /// and print a table of what came of it
    #[arg(long, conflicts_with_all = ["skip", "only"])]
    all_programs: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Part {
    /// Install what is missing
    Setup,
    /// The source is formatted
    Format,
    /// The source keeps the project's own rules
    Tidy,
    /// The sample guests match their sources
    Guests,
    /// The compiler's and clippy's lints
    Lint,
    /// The tests themselves
    Tests,
}

/// The tests come last, so that their results are what is seen last.
const ORDER: [Part; 6] = [Part::Setup, Part::Format, Part::Tidy, Part::Guests, Part::Lint, Part::Tests];

/// Runs the parts in order; only a failed set-up keeps the rest from running.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    if options.all_programs {
        return programs::run(workspace);
    }
    let begun = Instant::now();
    let mut failed = Vec::new();
    for part in ORDER.into_iter().filter(|part| options.wants(*part)) {
        println!("== {}", part.title());
        if let Err(error) = part.run(workspace) {
            if part == Part::Setup {
                return Err(error);
            }
            println!("failed: {error:#}");
            failed.push(part.title());
        }
    }
    let seconds = begun.elapsed().as_secs();
    if !failed.is_empty() {
        bail!("after {seconds} s, failed: {}", failed.join(", "));
    }
    println!("== everything passed in {seconds} s");
    Ok(())
}

impl Options {
    fn wants(&self, part: Part) -> bool {
        if self.only.is_empty() { !self.skip.contains(&part) } else { self.only.contains(&part) }
    }
}

impl Part {
    fn title(self) -> &'static str {
        match self {
            Part::Setup => "setup",
            Part::Format => "format",
            Part::Tidy => "tidy",
            Part::Guests => "guests",
            Part::Lint => "lint",
            Part::Tests => "tests",
        }
    }

    fn run(self, workspace: &Workspace) -> Result<()> {
        let root = workspace.root();
        match self {
            Part::Setup => setup::run(),
            Part::Format => cargo(root).args(["fmt", "--all", "--check"]).run(),
            Part::Tidy => tidy::run(workspace),
            Part::Guests => guests::check(workspace),
            Part::Lint => {
                cargo(root).args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]).run()
            }
            // One crate's failure must not hide another's.
            Part::Tests => cargo(root).args(["test", "--workspace", "--no-fail-fast"]).run(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ORDER, Options, Part};

    fn chosen(skip: &[Part], only: &[Part]) -> Vec<Part> {
        let options = Options { skip: skip.to_vec(), only: only.to_vec(), all_programs: false };
        ORDER.into_iter().filter(|part| options.wants(*part)).collect()
    }

    /// Without options all parts run, and the tests come last.
    #[test]
    fn all_parts_run_and_tests_come_last() {
        let parts = chosen(&[], &[]);
        assert_eq!(parts.len(), ORDER.len());
        assert_eq!(parts.last(), Some(&Part::Tests));
    }

    /// Parts can be left out or picked.
    #[test]
    fn parts_are_left_out_or_picked() {
        assert!(!chosen(&[Part::Lint], &[]).contains(&Part::Lint));
        assert_eq!(chosen(&[], &[Part::Tidy]), [Part::Tidy]);
    }
}
