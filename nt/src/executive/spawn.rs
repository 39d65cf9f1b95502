//! A process that another one starts: its program found and loaded, its handles, and handles to it for the parent.

use super::handle::Handle;
use super::process::Ending;
use super::thread::Suspended;
use crate::loader::{Lenience, LoadError, Loaded, Parent, StartOptions};
use crate::path::GuestPath;
use crate::service::{Call, Failure};
use vadose_facts::ntdef::NtStatus;

/// A process to be started by the caller.
#[derive(Clone, Debug)]
pub(crate) struct NewProcess {
    /// The program.
    pub(crate) program: GuestPath,
    /// The command line, program name included.
    pub(crate) command_line: String,
    /// The current folder.
    pub(crate) current_directory: GuestPath,
    /// Environment variables, `NAME=value`.
    pub(crate) environment: Vec<(String, String)>,
    /// What it gets of the caller's handles.
    pub(crate) parent: Parent,
    /// Whether its first thread has to be resumed before it runs.
    pub(crate) suspended: Suspended,
}

/// A process that was started, with the caller's handles to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spawned {
    pub(crate) process: Handle,
    pub(crate) thread: Handle,
    pub(crate) pid: u32,
    pub(crate) tid: u32,
}

impl Call<'_> {
    /// Starts a process. One whose DLLs are missing is started all the same and ends at once with the status that says
    /// so, as in Windows, where the loader finds out in the new process.
    ///
    /// # Errors
    ///
    /// What keeps the program from being mapped, `QUOTA_EXCEEDED` for one more than there may be, or
    /// `INSUFFICIENT_RESOURCES`; nothing is left of the process then.
    pub(crate) fn spawn(&mut self, new: NewProcess, access: (u32, u32)) -> Result<Spawned, Failure> {
        if self.nt.living_processes().count() >= self.nt.limits.processes {
            self.nt.refusals.processes += 1;
            return Err(NtStatus::QUOTA_EXCEEDED.into());
        }
        self.job_allows_start()?;
        let NewProcess { program, command_line, current_directory, environment, parent, suspended } = new;
        let options = StartOptions {
            program,
            command_line,
            current_directory,
            environment,
            lenience: Lenience::LeaveToProcess,
            large_address_aware: None,
            parent: Some(parent),
        };
        let Loaded { pid, tid, failed, .. } =
            self.start(&options).map_err(|error| Failure::Status(error.status()))?;
        let like = self.cpu.registers();
        match failed {
            None => {
                self.prepare_first_thread(pid, tid, &like);
                let nt = &mut *self.nt;
                let thread = nt.threads.known(tid);
                thread.suspend_count = u32::from(suspended == Suspended::Yes);
                nt.scheduler.make_ready(thread);
            }
            Some(error) => self.fail_process(pid, &error),
        }
        self.hand_out_process(pid, tid, access).map_err(|status| {
            self.end_process(pid);
            Failure::Status(status)
        })
    }

    /// A process whose loader gives up before its first instruction.
    fn fail_process(&mut self, pid: u32, error: &LoadError) {
        let code = error.status().raw();
        self.attached(pid, |kernel| kernel.nt.end(Ending::Exit(code)));
    }

    fn hand_out_process(&mut self, pid: u32, tid: u32, access: (u32, u32)) -> Result<Spawned, NtStatus> {
        let object = self.nt.process_by_id(pid).expect("it was just started").object;
        let first = self.nt.threads.known(tid).object;
        let process = self.nt.handles_mut().refer(object, access.0)?;
        match self.nt.handles_mut().refer(first, access.1) {
            Ok(thread) => Ok(Spawned { process, thread, pid, tid }),
            Err(status) => {
                self.close_handle(process)?;
                Err(status)
            }
        }
    }
}
