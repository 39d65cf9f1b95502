//! Joins memory manager, processor and NT services into one machine that runs a Windows program on the host.
#![forbid(unsafe_code)]

mod error;
pub mod host;
mod options;
pub mod report;

pub use error::MachineError;
pub use options::MachineOptions;
