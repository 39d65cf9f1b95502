//! How long threads and processes have lived and run, and how long the processor had nothing to do.

use super::process::Process;
use super::thread::Thread;
use crate::host::Moment;
use crate::kernel::Kernel;

/// When something began and ended, and how long it ran meanwhile, in units of 100 ns. No time is told to be the kernel's:
/// services take none of the virtual time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    /// Since 1601.
    pub(crate) created: u64,
    /// Since 1601, 0 while it lives.
    pub(crate) exited: u64,
    pub(crate) kernel: u64,
    pub(crate) user: u64,
}

impl Times {
    fn new(lifetime: (Moment, Option<Moment>), ran_units: u64) -> Self {
        let exited = lifetime.1.map_or(0, Moment::units);
        Self { created: lifetime.0.units(), exited, kernel: 0, user: ran_units }
    }

    /// The four of them as the arguments behind the first.
    pub(crate) fn by_argument(self) -> [(usize, u64); 4] {
        [(1, self.created), (2, self.exited), (3, self.kernel), (4, self.user)]
    }
}

impl Kernel<'_> {
    /// What has become of the processor's time: idle, and busy.
    pub(crate) fn processor_times(&self) -> (u64, u64) {
        let busy = self.nt.scheduler.busy_units();
        (self.running_units().saturating_sub(busy), busy)
    }

    /// The times of a process.
    pub(crate) fn process_times(&self, process: &Process) -> Times {
        Times::new(process.lifetime, process.ran_units)
    }

    /// The times of a thread.
    pub(crate) fn thread_times(&self, thread: &Thread) -> Times {
        Times::new(thread.lifetime, thread.ran_units)
    }

    /// The time since the last look was the running thread's.
    pub(crate) fn note_time_run(&mut self) {
        let ran = self.nt.scheduler.take_elapsed(self.nt.now);
        let nt = &mut *self.nt;
        let Some(thread) = nt.threads.current_mut() else { return };
        thread.ran_units += ran;
        let pid = thread.pid;
        nt.scheduler.note_busy(ran);
        if let Some(process) = nt.process_by_id_mut(pid) {
            process.ran_units += ran;
        }
    }
}
