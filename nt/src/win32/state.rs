//! What the Win32 functions remember of a process between calls.

use super::console::ConsoleState;
use super::heap::Heaps;
use super::local::Movable;
use super::tls::LocalStorage;
use crate::claim::UserPtr;

/// State of the Win32 functions: one field per group, each with its own type in that group's file.
#[derive(Debug, Default)]
pub struct Win32State {
    /// The command line as `GetCommandLineA` returns it, once it was asked for.
    pub command_line_ansi: Option<UserPtr>,
    /// The process's error mode.
    pub error_mode: u32,
    /// The process's flags for error reports.
    pub(crate) report_flags: u32,
    /// Starts of Winsock without a clean-up.
    pub(crate) socket_starts: u32,
    /// Whether priority boosts are off: told back, and nothing else.
    pub(crate) boosts_disabled: bool,
    /// Heaps.
    pub(crate) heaps: Heaps,
    /// Movable local and global memory.
    pub(crate) movable: Movable,
    /// Dynamic thread-local and fiber-local slots.
    pub(crate) storage: LocalStorage,
    /// The console.
    pub(crate) console: ConsoleState,
    /// What encoded pointers are hidden with, once one was.
    pub(crate) pointer_cookie: Option<u64>,
}
