//! The calls of the Virtual API, one file each: allocate, commit, free, lock, protect, query.

mod allocate;
mod commit;
mod commit_view;
mod describe;
mod free;
mod lock;
mod place;
mod placeholder;
mod protect;
mod query;
mod write_watch;

pub(crate) use allocate::{bad_parameter, highest_address};
pub use write_watch::{WatchReset, WrittenPages, check_watch};
