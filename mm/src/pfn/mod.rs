//! The PFN database: one entry for every frame of guest RAM, and the lists that frames wait on.

mod contiguous;
mod database;
mod entry;
mod list;

pub(crate) use database::{FIRST_SYSTEM_FRAME, LastShare, Taken};
pub use database::{FrameCounts, PfnDatabase};
pub(crate) use entry::NORMAL_PRIORITY;
pub use entry::{PageLocation, PfnEntry, PfnFlags};
pub(crate) use list::ListName;
