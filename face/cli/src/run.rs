//! `vadose run`: a program from its first instruction to its end, and the report of it.

use crate::arguments::{Format, RunArguments};
use crate::engine;
use crate::failure::{CRASHED, Failure, NOT_FOUND, NOT_RUNNABLE, OUT_OF_TIME, VADOSE_FAILED};
use crate::map::{machine_options, short_name};
use crate::program::{Purpose, choose_edition};
use crate::report::{ReportFile, json};
use crate::trace_file::{self, TraceFile};
use crate::{crash, find, inspect, listing, output, shortage, stats};
use serde::Serialize;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use vadose_machine::host::{Deadline, FolderHost, Streams};
use vadose_machine::report::{ProcessReport, RunEnding, RunReport, WaitingThread};
use vadose_machine::trace::Trace;
use vadose_machine::{FailPlan, Limits, Machine, MachineOptions, ProgramOptions};

/// What stands between programs that run together.
const NEXT_PROGRAM: &str = "--and";
/// The console gives up a little later than the machine, which then knows why.
const CONSOLE_MARGIN: Duration = Duration::from_millis(100);

/// The report for tools.
#[derive(Serialize)]
struct JsonReport<'a> {
    vadose: &'static str,
    exit_code: u8,
    seed: u64,
    #[serde(flatten)]
    run: &'a RunReport,
}

/// What is shown when the run is over.
struct Show {
    name: String,
    map: bool,
    stats: bool,
    format: Format,
    seed: u64,
    limits: Limits,
    file: Option<ReportFile>,
}

/// Runs the program and reports; answers the exit code.
pub(crate) fn run(arguments: RunArguments) -> Result<u8, Failure> {
    if let Some(order) = arguments.find_failures {
        return find::find(&arguments, order);
    }
    if let Some(stop) = arguments.break_at.clone() {
        return inspect::inspect_run(&arguments, stop);
    }
    let options = options(&arguments)?;
    let show = Show {
        name: short_name(&options.program),
        map: arguments.map,
        stats: arguments.stats,
        format: arguments.format,
        seed: options.seed,
        limits: options.limits,
        file: arguments.report.as_deref().map(ReportFile::prepare).transpose()?,
    };
    let asked = arguments.trace.as_deref();
    let trace = asked.map(|asked| TraceFile::prepare(asked, &options.program)).transpose()?;
    let trace = trace.map(|file| Trace::new(Box::new(file), arguments.trace_format.format()));
    let (report, traced) = execute(&options, arguments.timeout, trace)?;
    let code = show.finish(&report, arguments.timeout)?;
    trace_file::ended(traced, asked)?;
    Ok(code)
}

/// The machine that the command line asks for.
pub(crate) fn options(arguments: &RunArguments) -> Result<MachineOptions, Failure> {
    let (ProgramOptions { path: program, arguments: own }, beside) = programs(&arguments.command)?;
    let edition = choose_edition(&program, arguments.machine.edition, Purpose::Run)?;
    Ok(MachineOptions {
        arguments: own,
        beside,
        writable: arguments.writable.clone(),
        disk_limit_bytes: arguments.disk_limit,
        failures: FailPlan::new(arguments.fail.clone()),
        privileges: arguments.privilege.iter().map(|held| held.privilege()).collect(),
        limits: Limits { processes: arguments.max_processes, threads: arguments.max_threads },
        ..machine_options(edition, &arguments.machine, program)?
    })
}

/// The first program of a command line, and those that start together with it.
pub(crate) fn programs(command: &[OsString]) -> Result<(ProgramOptions, Vec<ProgramOptions>), Failure> {
    let mut programs = command.split(|word| word == NEXT_PROGRAM).map(program_options);
    let first = programs.next().expect("there is a part")?;
    Ok((first, programs.collect::<Result<_, _>>()?))
}

/// A program's arguments, without its name.
fn guest_arguments(rest: &[OsString]) -> Result<Vec<String>, Failure> {
    rest.iter().enumerate().map(guest_argument).collect()
}

/// A program and its arguments, from a part of the command line.
pub(crate) fn program_options(words: &[OsString]) -> Result<ProgramOptions, Failure> {
    let Some((program, rest)) = words.split_first() else {
        let reason = format!("a program is missing before or after {NEXT_PROGRAM}");
        return Err(Failure::new(VADOSE_FAILED, reason));
    };
    let arguments = guest_arguments(rest)?;
    Ok(ProgramOptions { path: PathBuf::from(program), arguments })
}

/// A Windows program gets its arguments as Unicode.
fn guest_argument((index, argument): (usize, &OsString)) -> Result<String, Failure> {
    argument.to_str().map(str::to_owned).ok_or_else(|| {
        let reason =
            format!("argument {} of the program is not valid UTF-8: {}", index + 1, argument.display());
        Failure::new(VADOSE_FAILED, reason)
    })
}

/// Runs the program; what became of the trace is told beside the report.
fn execute(
    options: &MachineOptions,
    limit: Option<Duration>,
    trace: Option<Trace>,
) -> Result<(RunReport, io::Result<()>), Failure> {
    let deadline = Deadline::default();
    let host = FolderHost::new(options, Streams::inherited_until(&deadline))?;
    let mut machine = match trace {
        Some(trace) => Machine::load_traced(options, host, trace)?,
        None => Machine::load(options, host)?,
    };
    let mut cpu = engine::new(&machine)?;
    set_deadline(&deadline, limit);
    let report = machine.run(&mut *cpu, limit);
    let traced = machine.end_trace();
    Ok((report?, traced))
}

/// The console's waits end a little after a time limit that begins now.
pub(crate) fn set_deadline(deadline: &Deadline, limit: Option<Duration>) {
    if let Some(end) = limit.and_then(|limit| Instant::now().checked_add(limit + CONSOLE_MARGIN)) {
        deadline.set(end);
    }
}

impl Show {
    fn finish(self, report: &RunReport, limit: Option<Duration>) -> Result<u8, Failure> {
        let (own, words) = ending(&self.name, &report.ending, limit);
        let timed_out = report.others.iter().any(|other| other.ending == RunEnding::TimedOut);
        let code = if timed_out { OUT_OF_TIME } else { own };
        output::tell(&words);
        for other in &report.others {
            output::tell(&other_ending(other, limit));
        }
        output::tell(&shortage::text(&self.name, &report.shortage));
        output::tell(&unimplemented(&self.name, report));
        output::tell(&refused(&self.name, report, self.limits));
        if self.map {
            output::tell(&format!("\nThe address space at the end\n\n{}", listing::text(&report.map)));
        }
        if self.stats {
            output::tell(&format!("\n{}", stats::text(report)));
        }
        let vadose = env!("CARGO_PKG_VERSION");
        let full = JsonReport { vadose, exit_code: code, seed: self.seed, run: report };
        match (self.file, self.format) {
            (Some(file), _) => file.write(&json(&full)?)?,
            (None, Format::Json) => output::print(&json(&full)?)?,
            (None, Format::Text) => {}
        }
        Ok(code)
    }
}

/// The exit code, and what there is to say about it.
pub(crate) fn ending(name: &str, ending: &RunEnding, limit: Option<Duration>) -> (u8, String) {
    match ending {
        RunEnding::Exit { code } => exit(name, *code),
        RunEnding::Crash(report) => (CRASHED, crash::text(name, report)),
        RunEnding::MissingFunction { dll, function } => {
            let words = format!(
                "vadose: {name} called {function} of {dll}, which Vadose does not have yet; the run ends here\n"
            );
            (VADOSE_FAILED, words)
        }
        RunEnding::NotLoaded { status, missing } if missing.is_empty() => (
            NOT_RUNNABLE,
            format!("vadose: {name}: its loader gave up before its first instruction: {status}\n"),
        ),
        RunEnding::NotLoaded { missing, .. } => {
            let each = missing.iter().map(|one| format!("{} (needed by {})", one.dll, one.needed_by));
            let each: Vec<String> = each.collect();
            let words = format!(
                "vadose: {name}: these DLLs were not found, in its folder or among the system DLLs: {}\n",
                each.join(", ")
            );
            (NOT_FOUND, words)
        }
        RunEnding::UnimplementedService { service } => {
            let words = format!(
                "vadose: {name} called the system service {service}, which Vadose does not have; with --strict the run \
                 ends here\n"
            );
            (VADOSE_FAILED, words)
        }
        RunEnding::Deadlock { threads } => (OUT_OF_TIME, deadlock(name, threads)),
        RunEnding::TimedOut => {
            let seconds = limit.unwrap_or_default().as_secs_f64();
            (OUT_OF_TIME, format!("vadose: {name} was stopped after {seconds} seconds (--timeout)\n"))
        }
    }
}

/// What there is to say of a process beside the first program: how it ended, unless it was well. An exit code is its
/// parent's to know, if it has one.
fn other_ending(other: &ProcessReport, limit: Option<Duration>) -> String {
    let name = other.program.rsplit('\\').next().unwrap_or(&other.program);
    let name = format!("{name} (process {})", other.id);
    match &other.ending {
        RunEnding::Exit { code } if *code == 0 || other.parent != 0 => String::new(),
        RunEnding::Exit { code } => format!("vadose: {name} ended with exit code {code}\n"),
        ended => ending(&name, ended, limit).1,
    }
}

/// What services the program asked for that are not there.
fn unimplemented(name: &str, report: &RunReport) -> String {
    if report.unimplemented.is_empty() {
        return String::new();
    }
    let mut words =
        format!("vadose: {name} called system services that Vadose does not have; each call failed:\n");
    for met in &report.unimplemented {
        let times = if met.calls == 1 { "once".to_owned() } else { format!("{} times", met.calls) };
        words.push_str(&format!("  {} {times}\n", met.service));
    }
    words
}

/// What was refused because there was as much of it as there may be.
fn refused(name: &str, report: &RunReport, limits: Limits) -> String {
    let rows = [
        (report.refused.processes, limits.processes, "process", "processes"),
        (report.refused.threads, limits.threads, "thread", "threads"),
    ];
    let told = rows.into_iter().filter(|(refused, ..)| *refused > 0);
    told.map(|(refused, most, one, several)| {
        let what = if refused == 1 { one } else { several };
        format!("vadose: {name} was refused {refused} {what}, for there were {most} (--max-{several})\n")
    })
    .collect()
}

/// Every thread on a line of its own: what it waits for is what there is to know of a deadlock.
fn deadlock(name: &str, threads: &[WaitingThread]) -> String {
    let mut words =
        format!("vadose: {name} hangs: all of its threads wait for something that can never happen\n");
    for thread in threads {
        let place = thread.place.as_deref().map(|place| format!(", called from {place}")).unwrap_or_default();
        words.push_str(&format!("  thread {:#x} waits for {}{place}\n", thread.id, thread.waits_for));
    }
    words
}

/// A shell sees the low 8 bits only, which is worth a word when that is not all.
fn exit(name: &str, code: u32) -> (u8, String) {
    let [low, ..] = code.to_le_bytes();
    if u32::from(low) == code {
        return (low, String::new());
    }
    (low, format!("vadose: {name} ended with exit code {code} ({code:#x}), of which a shell sees {low}\n"))
}
