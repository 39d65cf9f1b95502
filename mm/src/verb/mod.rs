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

pub(crate) use allocate::{bad_parameter, highest_address};
