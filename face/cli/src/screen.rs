//! Where messages go: a terminal, where a line can be written over, or something else.

use std::io::{IsTerminal as _, stderr};

/// Takes the cursor to the start of its line and clears it.
pub(crate) const CLEAR_LINE: &str = "\r\x1b[K";

/// What standard error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Screen {
    /// Lines can be written over.
    Terminal,
    /// A file or a pipe.
    Plain,
}

impl Screen {
    pub(crate) fn of_stderr() -> Self {
        if stderr().is_terminal() { Self::Terminal } else { Self::Plain }
    }
}
