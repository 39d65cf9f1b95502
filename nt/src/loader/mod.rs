//! Starts a process: images mapped, moved and bound, environment blocks and stack made, initialisers queued.

mod bind;
mod blocks;
mod error;
mod exports;
mod images;
mod initialise;
mod lists;
mod places;
mod pool;
mod reader;
mod relocate;
mod start;
mod tls;

pub use error::{LoadError, MissingDll};
pub use start::{InheritHandles, Lenience, Loaded, Parent, StartOptions};

pub(crate) use blocks::StackMemory;
pub(crate) use exports::Wanted;
pub(crate) use images::with_extension;
