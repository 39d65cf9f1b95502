//! What tests and benches run on Vadose: sample guests, programs that others wrote, and a door to run them by.
#![forbid(unsafe_code)]

pub mod download;
pub mod guest;
pub mod programs;
pub mod scenario;
pub mod sysroot;
