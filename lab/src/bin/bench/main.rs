//! What Vadose costs beside its peers, measured in turns in one run: `cargo run --release -p vadose-lab --bin bench`.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a measuring program")]

mod bare;
mod engine;
mod library;
mod machine;
mod memory;
mod page_file;
mod paging;
mod real;
mod regions;
mod report;
mod service;
mod views;

use report::Row;
use std::process::ExitCode;

/// What measures some rows.
type Measure = fn() -> Vec<Row>;

/// What is measured, by name.
const GROUPS: [(&str, Measure); 10] = [
    ("memory", memory::rows),
    ("loop", machine::rows),
    ("service", service::rows),
    ("engine", engine::rows),
    ("library", library::rows),
    ("views", views::rows),
    ("regions", regions::rows),
    ("pagefile", page_file::rows),
    ("paging", paging::rows),
    ("real", real::rows),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (show, groups): (fn(&[Row]), &[&str]) = match &arguments[..] {
        [memory::PEAK, vadose] => return peak_of(vadose),
        ["--json", groups @ ..] => (report::json, groups),
        groups => (report::text, groups),
    };
    if let Some(unknown) = groups.iter().find(|name| GROUPS.iter().all(|(known, _)| known != *name)) {
        let known = GROUPS.map(|(name, _)| name).join(" ");
        eprintln!("bench: no group `{unknown}`\nusage: bench [--json] [{known}]...");
        return ExitCode::FAILURE;
    }
    show(&measure(groups));
    ExitCode::SUCCESS
}

fn peak_of(vadose: &str) -> ExitCode {
    match memory::peak_of(vadose) {
        Ok(mib) => println!("{mib}"),
        Err(reason) => eprintln!("{reason}"),
    }
    ExitCode::SUCCESS
}

/// The rows of some groups, or of all.
fn measure(wanted: &[&str]) -> Vec<Row> {
    let is_wanted = |name: &str| wanted.is_empty() || wanted.contains(&name);
    GROUPS.iter().filter(|(name, _)| is_wanted(name)).flat_map(|(_, rows)| rows()).collect()
}
