//! The calls of the Virtual API, one file each: allocate, commit, free, lock, protect, query.

mod allocate;
mod awe;
mod commit;
mod commit_view;
mod describe;
mod free;
mod large;
mod lock;
mod offer;
mod place;
mod placeholder;
mod protect;
mod query;
mod reset;
mod write_watch;

pub(crate) use allocate::{bad_parameter, highest_address};
pub(crate) use awe::UNMAPPED;
pub use awe::{FreedPages, PhysicalPages};
pub use large::large_page_bytes;
pub use offer::OfferPriority;
pub(crate) use placeholder::placeholder;
pub use write_watch::{WatchReset, WrittenPages, check_watch};
