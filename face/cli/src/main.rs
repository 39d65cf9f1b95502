//! The command line of Vadose: runs Windows programs, lists their address spaces, and says what it can be.
#![forbid(unsafe_code)]

mod arguments;
mod crash;
mod editions;
mod engine;
mod failure;
mod find;
mod inspect;
mod lab;
mod listing;
mod map;
mod output;
mod page_file;
mod program;
mod quantity;
mod report;
mod run;
mod screen;
mod shortage;
mod stats;
mod sysroot;
mod table;
mod trace_file;

use arguments::{Arguments, Command};
use clap::{CommandFactory as _, Parser as _};
use failure::{Failure, VADOSE_FAILED};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(message) => return tell_usage(&message),
    };
    match obey(arguments.command) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            output::tell(&format!("vadose: {failure}\n"));
            ExitCode::from(failure.code)
        }
    }
}

/// Help that was asked for is a success; a wrong command line is a failure of Vadose, not of a guest.
fn tell_usage(message: &clap::Error) -> ExitCode {
    // Nobody is left to tell when the terminal is gone.
    let _told = message.print();
    if message.use_stderr() { ExitCode::from(VADOSE_FAILED) } else { ExitCode::SUCCESS }
}

fn obey(command: Command) -> Result<u8, Failure> {
    match command {
        Command::Run(arguments) => run::run(arguments),
        Command::Inspect(arguments) => inspect::inspect(arguments),
        Command::Lab(arguments) => lab::lab(&arguments),
        Command::Map(arguments) => map::map(arguments),
        Command::Editions(arguments) => editions::editions(&arguments),
        Command::Sysroot(arguments) => sysroot::sysroot(arguments),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "vadose", &mut script);
            output::print(&script).map(|()| 0)
        }
    }
}
