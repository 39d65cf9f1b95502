//! `vadose inspect`: a program up to a chosen place, and what its memory looks like there.

mod session;
mod stop;
mod text;

pub(crate) use text::text;

use crate::arguments::{Format, InspectArguments, RunArguments};
use crate::engine;
use crate::failure::{Failure, NOT_RUNNABLE, OUT_OF_TIME, VADOSE_FAILED};
use crate::map::{machine_options, short_name};
use crate::output;
use crate::program::{Purpose, choose_edition};
use crate::run;
use std::time::Duration;
use vadose_machine::host::{Deadline, FolderHost, Streams};
use vadose_machine::inspect::Query;
use vadose_machine::report::RunEnding;
use vadose_machine::{BreakAt, Machine, MachineOptions, ProgramOptions, Stop};

/// What is to be run, how far, and what is asked then.
struct Order {
    options: MachineOptions,
    limit: Option<Duration>,
    stop: BreakAt,
    /// Without any they are read from standard input.
    queries: Vec<Query>,
    pid: Option<u32>,
    format: Format,
}

/// Runs the program to where it is to be looked at, and answers queries.
pub(crate) fn inspect(arguments: InspectArguments) -> Result<u8, Failure> {
    let (ProgramOptions { path: program, arguments: own }, beside) = run::programs(&arguments.command)?;
    let edition = choose_edition(&program, arguments.machine.edition, Purpose::Run)?;
    let options = MachineOptions {
        arguments: own,
        beside,
        writable: arguments.writable,
        privileges: arguments.privilege.iter().map(|held| held.privilege()).collect(),
        ..machine_options(edition, &arguments.machine, program)?
    };
    obey(Order {
        options,
        limit: arguments.timeout,
        stop: arguments.break_at,
        queries: arguments.query,
        pid: arguments.process,
        format: if arguments.json { Format::Json } else { Format::Text },
    })
}

/// The same for `vadose run --break-at`.
pub(crate) fn inspect_run(arguments: &RunArguments, stop: BreakAt) -> Result<u8, Failure> {
    obey(Order {
        options: run::options(arguments)?,
        limit: arguments.timeout,
        stop,
        queries: arguments.query.clone(),
        pid: arguments.process,
        format: arguments.format,
    })
}

fn obey(order: Order) -> Result<u8, Failure> {
    let name = short_name(&order.options.program);
    let deadline = Deadline::default();
    let mut streams = Streams::inherited_until(&deadline);
    if order.queries.is_empty() {
        // Standard input is for the queries then.
        streams.input = Box::new(std::io::empty());
    }
    let host = FolderHost::new(&order.options, streams)?;
    let mut machine = Machine::load(&order.options, host)?;
    let mut cpu = engine::new(&machine)?;
    run::set_deadline(&deadline, order.limit);
    let stopped = machine.run_until(&mut *cpu, order.limit, &order.stop)?;
    output::tell(&stop::text(&name, &stopped, &order.stop, order.limit));
    let answered = session::answer(&mut machine, &order.queries, order.pid, order.format)?;
    Ok(exit_code(&stopped, answered))
}

/// How the program ended is told in words; the exit code is about the queries, unless time ran out or Vadose lacks
/// something.
fn exit_code(stop: &Stop, answered: session::Answered) -> u8 {
    let ended = match stop {
        Stop::Ended(report) => match report.ending {
            RunEnding::TimedOut | RunEnding::Deadlock { .. } => OUT_OF_TIME,
            RunEnding::MissingFunction { .. } | RunEnding::UnimplementedService { .. } => VADOSE_FAILED,
            RunEnding::NotLoaded { .. } => NOT_RUNNABLE,
            RunEnding::Exit { .. } | RunEnding::Crash(_) => 0,
        },
        Stop::Fault(_) | Stop::Calls(_) | Stop::DebugText(_) => 0,
    };
    match (ended, answered) {
        (0, session::Answered::NotAll) => VADOSE_FAILED,
        (code, _) => code,
    }
}
