//! `vadose sysroot`: the system DLLs of a Windows, got from where this machine gets its packages, and kept for `--sysroot`.

mod arch;
mod arguments;
mod build;
mod choose;
mod client;
mod install;
mod list;
mod package;
mod progress;
mod record;
mod remove;
mod sources;
mod store;
mod strip;
mod tool;

pub(crate) use arguments::SysrootArguments;
pub(crate) use choose::choose;

use crate::failure::{Failure, VADOSE_FAILED};
use arguments::SysrootCommand;

/// Does what is asked for.
pub(crate) fn sysroot(arguments: SysrootArguments) -> Result<u8, Failure> {
    match arguments.command {
        SysrootCommand::Install(arguments) => install::install(&arguments)?,
        SysrootCommand::List(arguments) => list::list(&arguments)?,
        SysrootCommand::Remove(arguments) => remove::remove(&arguments)?,
    }
    Ok(0)
}

/// A failure of Vadose's own.
fn refuse(reason: impl Into<String>) -> Failure {
    Failure::new(VADOSE_FAILED, reason)
}
