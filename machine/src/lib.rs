//! Joins memory manager, processor and NT services into one machine that runs a Windows program on the host.
#![forbid(unsafe_code)]

mod breakpoint;
mod endings;
mod error;
pub mod host;
pub mod inspect;
mod machine;
mod map;
mod options;
pub mod page_file;
mod paging;
pub mod report;
mod shut_down;
mod summary;
pub mod trace;
mod watchdog;

pub use breakpoint::{BadBreak, BreakAt, Stop, StoppedFault};
pub use error::MachineError;
pub use machine::Machine;
pub use options::{MachineOptions, ProgramOptions, Sysroot};
pub use shut_down::{ShutDownError, Usage};
pub use vadose_mm::Compression;
pub use vadose_nt::DebugText;
pub use vadose_nt::{
    BadRule, FailKind, FailPlan, FailRule, FailTurn, FragmentPattern, Limits, MAX_LISTED_FAILURES, Privilege,
    Spacing, Unimplemented,
};
