//! Real programs on real system DLLs: what each is given to do, and how its answer is known to be right.

mod check;
mod table;

pub use table::{PROGRAMS, RealProgram, Step};

use crate::download::{DownloadError, fetch, fetch_folder};
use crate::guest::{Outcome, Run};
use std::path::Path;
use std::time::{Duration, Instant};
use vadose_machine::MachineError;
use vadose_machine::page_file::PageFileSpec;
use vadose_machine::report::{RunEnding, UnimplementedReport};

/// Longest run of one step.
const TIME_LIMIT: Duration = Duration::from_secs(300);
/// Guest RAM where nothing is said: so much that no program here is ever trimmed.
pub const AMPLE_RAM: u64 = 2 << 30;
/// Page file of a machine with little RAM.
const PAGE_FILE_BYTES: u64 = 2 << 30;

/// The machine that a program gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// More RAM than it uses, and no page file.
    Ample,
    /// So many bytes of RAM, and a large page file.
    Ram(u64),
}

/// What a program's run came to: the sums of its steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figures {
    /// The host's time.
    pub time: Duration,
    /// Faults of all kinds.
    pub faults: u64,
    /// The most that was committed for the process at once, bytes.
    pub peak_commit: u64,
    /// The most of it that was in RAM at once, bytes.
    pub peak_working_set: u64,
    /// Services that were called and are not there.
    pub unimplemented: Vec<UnimplementedReport>,
}

/// Why a program's run is no success.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It is not here and could not be had.
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// The machine did not start.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// A file of the test could not be written or read.
    #[error("{what}: {reason}")]
    Host {
        /// What was done.
        what: String,
        /// What the host said.
        reason: std::io::Error,
    },
    /// It ended in another way than it should.
    #[error(
        "`{command}` ended with {ending:?} instead of exit code {code}; it said {output:?} and {error:?}"
    )]
    Ending {
        /// The command.
        command: String,
        /// How it ended.
        ending: Box<RunEnding>,
        /// The exit code that is right.
        code: u32,
        /// What it wrote to standard output.
        output: String,
        /// What it wrote to standard error.
        error: String,
    },
    /// Its answer is wrong.
    #[error("`{command}`: {what}")]
    Answer {
        /// The command.
        command: String,
        /// What is wrong.
        what: String,
    },
}

impl RealProgram {
    /// Runs all steps in a new folder on these system DLLs and checks every answer.
    ///
    /// # Errors
    ///
    /// [`ProgramError`]: it cannot be had, does not start, ends in another way, or answers wrongly.
    pub fn run(&self, sysroot: &Path, room: Room) -> Result<Figures, ProgramError> {
        let program = fetch(self.pin())?;
        let folder = tempfile::tempdir().map_err(|reason| host(Path::new("a temporary folder"), reason))?;
        (self.prepare)(folder.path()).map_err(|reason| host(folder.path(), reason))?;
        let mut figures = Figures {
            time: Duration::ZERO,
            faults: 0,
            peak_commit: 0,
            peak_working_set: 0,
            unimplemented: Vec::new(),
        };
        for step in self.steps {
            let begun = Instant::now();
            let outcome = self.run_step(step, &program, folder.path(), sysroot, room)?;
            figures.add(begun.elapsed(), &outcome);
            self.check(step, folder.path(), &outcome)?;
        }
        Ok(figures)
    }

    fn run_step(
        &self,
        step: &Step,
        program: &Path,
        folder: &Path,
        sysroot: &Path,
        room: Room,
    ) -> Result<Outcome, ProgramError> {
        let readable = if self.reads.is_empty() {
            folder.to_owned()
        } else {
            fetch_folder(self.pin())?.join(self.reads)
        };
        let run = Run::new(program, self.edition()).folder(&readable).writable(folder).sysroot(sysroot);
        let run = run.arguments(step.arguments).time_limit(TIME_LIMIT);
        let run = match room {
            Room::Ample => run.ram(AMPLE_RAM),
            Room::Ram(bytes) => {
                let file = PageFileSpec::new(PAGE_FILE_BYTES, PAGE_FILE_BYTES, None).expect("whole pages");
                run.ram(bytes).page_file(file)
            }
        };
        Ok(run.finish()?)
    }

    fn check(&self, step: &Step, folder: &Path, outcome: &Outcome) -> Result<(), ProgramError> {
        let command = format!("{} {}", self.name, step.arguments.join(" "));
        if outcome.report.ending != (RunEnding::Exit { code: step.exit_code }) {
            return Err(ProgramError::Ending {
                command,
                ending: Box::new(outcome.report.ending.clone()),
                code: step.exit_code,
                output: outcome.output.clone(),
                error: outcome.error.clone(),
            });
        }
        (step.check)(folder, outcome).map_err(|what| ProgramError::Answer { command, what })
    }
}

impl Figures {
    fn add(&mut self, time: Duration, outcome: &Outcome) {
        let report = &outcome.report;
        self.time += time;
        self.faults += report.activity.faults.iter().map(|fault| fault.count).sum::<u64>();
        self.peak_commit = self.peak_commit.max(report.memory.private_peak);
        self.peak_working_set = self.peak_working_set.max(report.memory.working_set_peak);
        for met in &report.unimplemented {
            match self.unimplemented.iter_mut().find(|known| known.service == met.service) {
                Some(known) => known.calls += met.calls,
                None => self.unimplemented.push(met.clone()),
            }
        }
    }
}

fn host(path: &Path, reason: std::io::Error) -> ProgramError {
    ProgramError::Host { what: path.display().to_string(), reason }
}
