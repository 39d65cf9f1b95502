//! How many processes and threads there may be, and how often one was refused for that.

/// Processes or threads of a machine that live at one time, unless the machine says otherwise.
const DEFAULT_MOST: usize = 4096;

/// The most there may be at one time. What would be one more is refused, and the guest goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Processes: `STATUS_QUOTA_EXCEEDED`, as in a job that has no more.
    pub processes: usize,
    /// Threads of all processes: `STATUS_INSUFFICIENT_RESOURCES`.
    pub threads: usize,
}

/// How often a limit was met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refusals {
    /// Processes that were refused.
    pub processes: u64,
    /// Threads that were refused.
    pub threads: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { processes: DEFAULT_MOST, threads: DEFAULT_MOST }
    }
}
