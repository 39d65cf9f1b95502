//! Processes, threads, handles and the native services, one file per group.

mod context;
mod exception;
mod files;
mod handle;
mod initialisers;
mod io;
mod memory;
mod memory_ex;
mod process;
mod services;

pub(crate) use context::to_bytes as context_bytes;
pub(crate) use exception::{NONCONTINUABLE, RECORD_ABOVE_CONTEXT, VectoredList};
pub use files::ImageFiles;
pub use handle::{Event, Handle, HandleTable, Mutex, Object, OpenFile, Search, Semaphore};
pub(crate) use initialisers::Initialisers;
pub use io::Place;
pub(crate) use memory::{PROCESS_QUERY_INFORMATION, PROCESS_VM_OPERATION, basic_information_size};
pub(crate) use memory_ex::{ExtendedParameters, NO_PREFERRED_NODE};
pub(crate) use process::Pool;
pub use process::{
    Crash, Ending, Initialiser, Missing, Module, ModuleKind, Process, RegionUse, Thread, TlsTemplate,
    processor_features,
};

use crate::service::Export;

/// The tables of native services.
pub(crate) const TABLES: &[&[Export]] = &[
    memory::EXPORTS,
    memory_ex::EXPORTS,
    services::EXPORTS,
    io::EXPORTS,
    exception::EXPORTS,
    crate::builtin::NTDLL_CODE,
];
