//! Endings that are Vadose's own: an exit code by the convention of `timeout` and `docker run`, and one line of why.

use std::fmt;
use vadose_machine::MachineError;

/// The time limit was reached, or the program hangs so that no time would be enough.
pub(crate) const OUT_OF_TIME: u8 = 124;
/// Vadose itself could not do its work.
pub(crate) const VADOSE_FAILED: u8 = 125;
/// The file is not a program that can run here.
pub(crate) const NOT_RUNNABLE: u8 = 126;
/// The program or a DLL is not there.
pub(crate) const NOT_FOUND: u8 = 127;
/// The program died of an exception that nobody handled: 128 and the number of `SIGSEGV`.
pub(crate) const CRASHED: u8 = 139;

/// Why nothing was run or listed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: u8,
    message: String,
}

impl Failure {
    pub(crate) fn new(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl fmt::Display for Failure {
    /// One line, whatever a file's name holds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.message.chars() {
            if letter.is_control() {
                write!(f, "{}", letter.escape_default())?;
            } else {
                write!(f, "{letter}")?;
            }
        }
        Ok(())
    }
}

impl From<MachineError> for Failure {
    fn from(error: MachineError) -> Self {
        let code = match error {
            MachineError::ProgramNotFound(_) | MachineError::MissingDlls(_) => NOT_FOUND,
            MachineError::Unreadable { .. } | MachineError::NotRunnable { .. } => NOT_RUNNABLE,
            MachineError::Start { .. }
            | MachineError::Ram(_)
            | MachineError::HostMemory { .. }
            | MachineError::PageFile(_)
            | MachineError::Fragment(_)
            | MachineError::Folder { .. }
            | MachineError::Cpu(_) => VADOSE_FAILED,
        };
        Self::new(code, error.to_string())
    }
}
