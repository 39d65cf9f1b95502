//! What Vadose costs beside its peers, measured in turns in one run: `cargo run --release -p vadose-lab --bin bench`.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a measuring program")]

mod bare;
mod engine;
mod library;
mod machine;
mod memory;
mod report;
mod service;

use report::Row;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let show: fn(&[Row]) = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => report::text,
        ["--json"] => report::json,
        [memory::PEAK, vadose] => return peak_of(vadose),
        _ => {
            eprintln!("usage: bench [--json]");
            return ExitCode::FAILURE;
        }
    };
    show(&measure());
    ExitCode::SUCCESS
}

fn peak_of(vadose: &str) -> ExitCode {
    match memory::peak_of(vadose) {
        Ok(mib) => println!("{mib}"),
        Err(reason) => eprintln!("{reason}"),
    }
    ExitCode::SUCCESS
}

/// Every row.
fn measure() -> Vec<Row> {
    let mut rows = memory::rows();
    rows.extend(machine::rows());
    rows.push(service::row());
    rows.extend(engine::rows());
    rows.extend(library::rows());
    rows
}
