//! The Windows NT virtual memory manager as one owned value: VADs say what a range is, page-table entries in guest RAM
//! say where a page is, frame entries say who owns a frame. It does no I/O, reads no clock and starts no thread.
#![forbid(unsafe_code)]

pub mod commit;
pub mod id;
pub mod pfn;
pub mod pte;
pub mod request;
pub mod vad;

mod audit;
mod fault;
mod look;
mod page;
mod process;
mod section;
mod state;
mod system;
mod tables;
mod verb;

pub use audit::AuditError;
pub use id::{FileId, ProcessId, SectionId, TransferId};
pub use look::{Counters, ProcessCounters, Region};
pub use process::FaultCounts;
pub use request::{
    AllocateRequest, Allocated, BasicInformation, ExceptionParameters, FaultKind, FaultOutcome, FaultRequest,
    Freed, MappedView, Protected, Raise, RegionBacking, Resume, ThreadStack, Transfer,
};
pub use state::{MINIMUM_RAM_BYTES, Mm, MmConfig, StartError};
