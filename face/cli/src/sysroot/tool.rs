//! Other programs that do a part of the work: started, watched, and ended when the user does not want it any more.

use super::refuse;
use crate::failure::Failure;
use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::io::{self, Read};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often a program is looked after.
const BEAT: Duration = Duration::from_millis(50);
/// How long a program has to end by itself.
const GRACE: Duration = Duration::from_secs(3);
/// The most of what a program says that is kept.
const MAX_SAID: u64 = 1 << 20;
/// Exit codes of a program that a signal ended begin behind this one.
const SIGNALLED: usize = 128;

/// Whether the user has had enough.
#[derive(Clone, Debug)]
pub(super) struct Interrupt(Arc<AtomicUsize>);

impl Interrupt {
    /// From here on the signals that ask a program to end are noted only.
    pub(super) fn watch() -> Result<Self, Failure> {
        let noted = Arc::new(AtomicUsize::new(0));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register_usize(signal, Arc::clone(&noted), signal as usize)
                .map_err(|error| refuse(format!("signals cannot be watched: {error}")))?;
        }
        Ok(Self(noted))
    }

    /// Fails once a signal has come.
    pub(super) fn check(&self) -> Result<(), Failure> {
        match self.0.load(Ordering::Relaxed) {
            0 => Ok(()),
            signal => {
                let code = u8::try_from(SIGNALLED + signal).expect("signals are below 65");
                Err(Failure::new(code, "stopped; nothing of it is left"))
            }
        }
    }
}

/// Why a program did not do its work.
#[derive(Debug)]
pub(super) enum ToolError {
    /// It is not on this machine, or cannot be started.
    NotThere(Failure),
    /// It said no; in its own words.
    Refused(String),
    /// The user has had enough.
    Interrupted(Failure),
}

impl ToolError {
    /// The failure of a step that has no other way.
    pub(super) fn into_failure(self, step: &str) -> Failure {
        match self {
            Self::NotThere(failure) | Self::Interrupted(failure) => failure,
            Self::Refused(words) => refuse(format!("{step}: {words}")),
        }
    }
}

/// A program that runs, in a process group of its own.
#[derive(Debug)]
pub(super) struct Running {
    name: String,
    child: Child,
    said: Option<JoinHandle<String>>,
}

impl Running {
    /// Starts a program that reads nothing, is heard on its standard error, and speaks English.
    pub(super) fn start(command: &mut Command, hint: &str) -> Result<Self, ToolError> {
        let name = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.env("LC_ALL", "C").process_group(0).spawn().map_err(|error| {
            ToolError::NotThere(match error.kind() {
                io::ErrorKind::NotFound => refuse(format!("{name} is not on this machine; {hint}")),
                _ => refuse(format!("{name} cannot be started: {error}")),
            })
        })?;
        let stderr = child.stderr.take().expect("it was asked for");
        Ok(Self { name, child, said: Some(std::thread::spawn(move || listen(stderr))) })
    }

    /// What it writes to standard output.
    pub(super) fn output(&mut self) -> ChildStdout {
        self.child.stdout.take().expect("it is taken once")
    }

    /// Waits for its end, looking after it from time to time.
    pub(super) fn end(mut self, interrupt: &Interrupt, mut look: impl FnMut()) -> Result<(), ToolError> {
        let status = loop {
            if let Some(status) =
                self.child.try_wait().map_err(|error| ToolError::Refused(error.to_string()))?
            {
                break status;
            }
            interrupt.check().map_err(ToolError::Interrupted)?;
            look();
            std::thread::sleep(BEAT);
        };
        // It may be the same signal that ended it.
        interrupt.check().map_err(ToolError::Interrupted)?;
        let said = self.said.take().and_then(|said| said.join().ok()).unwrap_or_default();
        if status.success() { Ok(()) } else { Err(ToolError::Refused(self.reason(&said, status))) }
    }

    fn reason(&self, said: &str, status: ExitStatus) -> String {
        format!("{} said: {}", self.name, first_reason(said).unwrap_or(&status.to_string()))
    }
}

impl Drop for Running {
    /// Whatever is still at work is asked to end, then made to.
    fn drop(&mut self) {
        let group = Pid::from_child(&self.child);
        let asked = Instant::now();
        let mut signal = Signal::TERM;
        while let Ok(None) = self.child.try_wait() {
            // A group that is gone needs no signal.
            let _sent = kill_process_group(group, signal);
            if asked.elapsed() > GRACE {
                signal = Signal::KILL;
            }
            std::thread::sleep(BEAT);
        }
    }
}

/// Runs a program to its end; what it wrote to standard output.
pub(super) fn run(
    command: &mut Command,
    hint: &str,
    interrupt: &Interrupt,
    look: impl FnMut(),
) -> Result<String, ToolError> {
    let mut running = Running::start(command, hint)?;
    let output = running.output();
    let written = std::thread::spawn(move || listen(output));
    running.end(interrupt, look)?;
    Ok(written.join().unwrap_or_default())
}

/// All that is said, of which the beginning is kept.
fn listen(mut from: impl Read) -> String {
    let mut said = Vec::new();
    let _heard = from.by_ref().take(MAX_SAID).read_to_end(&mut said);
    let _rest = io::copy(&mut from, &mut io::sink());
    String::from_utf8_lossy(&said).into_owned()
}

/// The line that says why: an error of the package client, or else its first warning, or its first line.
fn first_reason(said: &str) -> Option<&str> {
    let lines = || said.lines().map(str::trim).filter(|line| !line.is_empty());
    let of = |mark: &str| lines().find_map(|line| line.strip_prefix(mark)).map(str::trim);
    of("E:").or_else(|| of("W:")).or_else(|| lines().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_the_first_error_or_warning_or_line() {
        assert_eq!(first_reason("W: old\nE: no such suite\nE: more\n"), Some("no such suite"));
        assert_eq!(first_reason("N: note\nW: old\n"), Some("old"));
        assert_eq!(first_reason("\ndpkg-deb: error: cut short\n"), Some("dpkg-deb: error: cut short"));
        assert_eq!(first_reason("\n"), None);
    }
}
