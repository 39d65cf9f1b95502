//! The project's own chores, run as `cargo xtask <chore>`: set-up, demo, tests, checks of the source, and reports.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this program talks to the person who runs it")]
#![forbid(unsafe_code)]

mod check;
mod command;
mod demo;
mod guests;
mod lab;
mod programs;
mod setup;
mod source;
mod spec;
mod tidy;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use workspace::Workspace;

/// The project's own chores.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Install what a build needs and is missing: cmake, make, a C compiler, libclang, Python 3 with pip
    ///
    /// Works on Debian and its relatives as root or with a sudo that asks no password. Elsewhere it names the
    /// packages and stops. Does nothing, quickly, when everything is there.
    Setup,
    /// Build Vadose and run a Windows program on it that shows what the memory manager does
    Demo,
    /// Run every check and every test: format, lints, tidy, sample guests, tests
    Test(check::Options),
    /// Check the source: tiers, licences, unsafe code, sizes, opening sentences, leftovers
    Tidy,
    /// Rebuild the sample Windows programs in lab/guests with mingw-w64
    Guests(guests::Options),
    /// Tell which rules of the specification the tests check, and which not yet
    Spec(spec::Options),
    /// Measure Vadose against its peers and print a table of ratios
    Bench,
    /// Try random calls of programs against a plain model of Windows' rules, and shrink what differs
    Sim(lab::SimOptions),
    /// Feed random input to the parsers, with cargo-fuzz and the nightly toolchain
    Fuzz(lab::FuzzOptions),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match Workspace::find().and_then(|workspace| run(&arguments.chore, &workspace)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(chore: &Chore, workspace: &Workspace) -> Result<()> {
    match chore {
        Chore::Setup => setup::run(),
        Chore::Demo => demo::run(workspace),
        Chore::Test(options) => check::run(workspace, options),
        Chore::Tidy => tidy::run(workspace),
        Chore::Guests(options) => guests::run(workspace, options),
        Chore::Spec(options) => spec::run(workspace, options),
        Chore::Bench => lab::bench(workspace),
        Chore::Sim(options) => lab::sim(workspace, options),
        Chore::Fuzz(options) => lab::fuzz(workspace, options),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Arguments;

    /// The command line holds together: no clashing names, no option without a meaning.
    #[test]
    fn command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
