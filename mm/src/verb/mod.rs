//! The calls of the Virtual API, one file each: allocate, commit, free, protect, query.

mod allocate;
mod commit;
mod free;
mod protect;
mod query;
