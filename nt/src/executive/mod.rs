//! Processes, threads, handles and the native services, one file per group.

mod atoms;
mod attributes;
mod buffer;
mod completion;
mod context;
mod copy;
mod counters;
mod create_process;
mod exception;
mod file;
mod files;
mod handle;
mod information;
mod initialisers;
mod job;
mod limits;
mod locale;
mod lock;
mod memory;
mod memory_ex;
mod object_manager;
mod objects;
mod open;
mod physical;
mod pipe;
mod power;
mod prefetch;
mod process;
mod process_information;
mod query;
mod record;
mod registry;
mod rundown;
mod section;
mod security;
mod services;
mod sid;
mod spawn;
mod start_attributes;
mod sync;
mod system_information;
mod system_services;
mod thread;
mod time;
mod times;
mod token;
mod unique;
mod watch;
mod working_set;
mod write_watch;

pub(crate) use atoms::Atoms;
pub(crate) use completion::Dequeued;
pub use completion::{CompletionPort, Packet};
pub(crate) use context::to_bytes as context_bytes;
pub(crate) use counters::{MemoryUsage, performance_pages};
pub(crate) use exception::{NONCONTINUABLE, RECORD_ABOVE_CONTEXT, VectoredList};
pub use file::Place;
pub(crate) use file::{
    Disposition, Done, Element, FileNotes, Options, Request, VOLUME_SERIAL, file_index, fits, specific,
};
pub use files::SectionFiles;
pub use handle::{Handle, HandleTable, Handles};
pub(crate) use information::{
    NewLimits, PROCESS_QUERY_LIMITED_INFORMATION, PROCESS_SET_INFORMATION, PROCESS_SET_QUOTA,
};
pub use job::Job;
pub(crate) use job::nt_query_job;
pub use limits::{Limits, Refusals};
pub(crate) use locale::ENGLISH_US;
pub(crate) use memory::{PROCESS_QUERY_INFORMATION, PROCESS_VM_OPERATION, PROCESS_VM_READ, PROCESS_VM_WRITE};
pub(crate) use memory_ex::{ExtendedParameters, NO_PREFERRED_NODE};
pub(crate) use object_manager::{
    CLOSE_SOURCE, Duplicate, INHERIT, Kind, Made, Naming, OPEN_IF, PROGRAMS, SAME_ACCESS,
};
pub use object_manager::{Directory, SymbolicLink};
pub use objects::{Event, FileIo, Mutex, Object, ObjectId, Objects, OpenFile, Search, Semaphore, Uses};
pub(crate) use pipe::Pipes;
pub use pipe::{PipeEnd, PipeId};
pub(crate) use prefetch::prefetch;
pub use process::{
    Crash, Ending, Initialiser, Missing, Module, ModuleKind, Process, ProcessState, RegionUse, TlsTemplate,
    processor_features,
};
pub(crate) use process::{Entries, LoaderStart, Pool, ThreadCalls};
pub(crate) use query::basic_information_size;
pub use registry::{KeyId, Registry};
pub use section::SectionObject;
pub(crate) use section::{ImageFailure, ImageSection, MAP_EXECUTE, MAP_READ, MAP_WRITE, Wanted};
pub(crate) use spawn::{NewProcess, Spawned};
pub(crate) use sync::{leave_mutex, release_semaphore};
pub(crate) use system_information::{
    PROCESSOR_FAMILY, PROCESSOR_REVISION, SESSION, ZONE_NAME, architecture, logical, logical_ex,
};
pub(crate) use thread::{
    Alertable, Apc, DEFAULT_PRIORITY, NewThread, Resumed, Scheduler, StackSizes, Suspended,
    THREAD_SET_CONTEXT, Timeout, WaitMode, end_thread, get_context, native_due, native_timeout, read_handles,
    set_context,
};
pub use thread::{Stuck, Thread, ThreadState, ThreadTable, Timer, Turn};
pub(crate) use time::{COUNTER_FREQUENCY, TICK_UNITS};
pub(crate) use token::{
    NO_TOKEN, NOT_ALL_ASSIGNED, nt_adjust_privileges, nt_open_process_token, nt_open_thread_token,
    nt_query_token,
};
pub use token::{Privilege, Token, TokenObject};
pub(crate) use watch::Watch;
pub use watch::{DebugText, FaultDelivery, HeldFault};
pub(crate) use working_set::{working_set_attributes, working_set_list};

use crate::service::Export;

/// The tables of native services.
pub(crate) const TABLES: &[&[Export]] = &[
    memory::EXPORTS,
    memory_ex::EXPORTS,
    completion::EXPORTS,
    copy::EXPORTS,
    create_process::EXPORTS,
    lock::EXPORTS,
    open::EXPORTS,
    object_manager::EXPORTS,
    physical::EXPORTS,
    query::EXPORTS,
    registry::KEY_EXPORTS,
    registry::VALUE_EXPORTS,
    registry::REFUSED_EXPORTS,
    registry::NOTIFY_EXPORTS,
    system_information::EXPORTS,
    time::EXPORTS,
    process_information::EXPORTS,
    atoms::EXPORTS,
    job::EXPORTS,
    power::EXPORTS,
    system_services::EXPORTS,
    security::EXPORTS,
    unique::EXPORTS,
    locale::EXPORTS,
    section::EXPORTS,
    write_watch::EXPORTS,
    prefetch::EXPORTS,
    services::EXPORTS,
    sync::EXPORTS,
    thread::EXPORTS,
    thread::APC_EXPORTS,
    thread::CREATION_EXPORTS,
    thread::INFORMATION_EXPORTS,
    thread::REGISTER_EXPORTS,
    token::EXPORTS,
    token::INFORMATION_EXPORTS,
    crate::system_dlls::NLS_EXPORTS,
    crate::system_dlls::UNIX_EXPORTS,
    file::EXPORTS,
    exception::EXPORTS,
    crate::builtin::NTDLL_CODE,
];
