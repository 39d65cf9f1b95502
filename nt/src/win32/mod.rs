//! kernel32's and kernelbase's functions, one file per group; each file declares its exports in a table.

mod error;
mod exception;
// file, fileattr and find are being written by the files' developer: leave them alone.
mod file;
mod fileattr;
mod find;
mod memory;
mod module;
mod process;
mod state;
mod stream;

pub use state::Win32State;

use crate::service::Export;

/// The tables of Win32 functions. A new file adds its `EXPORTS` here.
pub(crate) const TABLES: &[&[Export]] = &[
    memory::EXPORTS,
    module::EXPORTS,
    process::EXPORTS,
    exception::EXPORTS,
    error::EXPORTS,
    stream::EXPORTS,
    file::EXPORTS,
    fileattr::EXPORTS,
    find::EXPORTS,
];
