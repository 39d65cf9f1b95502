//! Runs real programs on real system DLLs and prints a table of what came of each: `cargo xtask test --all-programs`.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that reports")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use vadose_lab::programs::{Figures, PROGRAMS, ProgramError, RealProgram, Room};

/// How to call it.
const USAGE: &str = "usage: programs --x64 FOLDER --x86 FOLDER [--only NAME]...";
/// A quarter of what a program had in RAM at once is what it gets the second time.
const SHARE: u64 = 4;
/// Less RAM than this boots no edition.
const LEAST_RAM: u64 = 6 << 20;

/// What the command line asks for.
#[derive(Default)]
struct Wanted {
    x64: Option<PathBuf>,
    x86: Option<PathBuf>,
    only: Vec<String>,
}

fn main() -> ExitCode {
    let Some(wanted) = parse(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    println!(
        "{:<15} {:<10} {:<18} {:>8} {:>10} {:>11} {:>11}  unimplemented services met",
        "program", "edition", "result", "time", "faults", "peak commit", "peak WS"
    );
    let mut failed = Vec::new();
    for program in PROGRAMS.iter().filter(|program| wanted.names(program.name)) {
        let folder = if program.is_x64() { &wanted.x64 } else { &wanted.x86 };
        let Some(folder) = folder else { continue };
        failed.extend(show(program, folder));
    }
    for (what, error) in &failed {
        println!("\n{what}: {error}");
    }
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn parse(mut words: impl Iterator<Item = String>) -> Option<Wanted> {
    let mut wanted = Wanted::default();
    while let Some(word) = words.next() {
        match (word.as_str(), words.next()?) {
            ("--x64", folder) => wanted.x64 = Some(PathBuf::from(folder)),
            ("--x86", folder) => wanted.x86 = Some(PathBuf::from(folder)),
            ("--only", name) => wanted.only.push(name),
            _ => return None,
        }
    }
    (wanted.x64.is_some() || wanted.x86.is_some()).then_some(wanted)
}

impl Wanted {
    fn names(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|one| one == name)
    }
}

/// A line for the program with ample RAM and, if that went well, one with a quarter of what it used. Answers what failed.
fn show(program: &RealProgram, sysroot: &Path) -> Vec<(String, ProgramError)> {
    let ample = program.run(sysroot, Room::Ample);
    row(program, "right", &ample);
    let figures = match ample {
        Ok(figures) => figures,
        Err(error) => return vec![(program.name.to_owned(), error)],
    };
    let bytes = (figures.peak_working_set / SHARE).next_multiple_of(1 << 20).max(LEAST_RAM);
    let scarce = program.run(sysroot, Room::Ram(bytes));
    row(program, &format!("right, RAM {} MiB", bytes >> 20), &scarce);
    scarce
        .err()
        .map(|error| (format!("{} in {} MiB", program.name, bytes >> 20), error))
        .into_iter()
        .collect()
}

fn row(program: &RealProgram, right: &str, done: &Result<Figures, ProgramError>) {
    let start = format!("{:<15} {:<10} ", program.name, program.edition());
    match done {
        Ok(figures) => {
            let met: Vec<String> =
                figures.unimplemented.iter().map(|met| format!("{} ({})", met.service, met.calls)).collect();
            let met = if met.is_empty() { "-".to_owned() } else { met.join(" ") };
            println!(
                "{start}{right:<18} {:>6.2} s {:>10} {:>7} MiB {:>7} MiB  {met}",
                figures.time.as_secs_f64(),
                figures.faults,
                figures.peak_commit >> 20,
                figures.peak_working_set >> 20,
            );
        }
        Err(_) => println!("{start}FAILED"),
    }
    std::io::stdout().flush().unwrap_or_default();
}
