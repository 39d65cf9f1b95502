//! What the Win32 functions remember of a process between calls.

use crate::claim::UserPtr;

/// State of the Win32 functions: one field per group, each with its own type in that group's file.
#[derive(Debug, Default)]
pub struct Win32State {
    /// The command line as `GetCommandLineA` returns it, once it was asked for.
    pub command_line_ansi: Option<UserPtr>,
    /// The process's error mode.
    pub error_mode: u32,
}
