//! What the host refused of a page file.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// A page file could not be made, resized, written or read.
#[derive(Debug, thiserror::Error)]
#[error("page file {file} in {} {operation}: {source}", .folder.display())]
pub struct PageFileError {
    /// Which one, by its order, from 0.
    pub file: usize,
    /// The folder of the host that holds it, or was to.
    pub folder: PathBuf,
    /// What was being done.
    pub operation: PageFileOperation,
    /// What the host said.
    pub source: io::Error,
}

/// What was being done with a page file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageFileOperation {
    /// It was being made.
    Make,
    /// Its size was being set.
    Resize {
        /// The size wanted.
        size_bytes: u64,
    },
    /// Pages were being read: those before the offset have come.
    Read {
        /// The first byte that did not come.
        offset_bytes: u64,
    },
    /// Pages were being written: those before the offset are there.
    Write {
        /// The first byte that was not taken.
        offset_bytes: u64,
    },
    /// Slots' blocks were being given back.
    Punch {
        /// First byte of the slots.
        offset_bytes: u64,
    },
    /// The file was being looked at.
    Look,
}

impl PageFileError {
    /// Whether the host has no room, or lets this user have no more: what is freed elsewhere may help.
    pub fn is_disk_full(&self) -> bool {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        matches!(self.source.kind(), StorageFull | QuotaExceeded | FileTooLarge)
    }
}

impl fmt::Display for PageFileOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Make => write!(f, "cannot be made"),
            Self::Resize { size_bytes } => write!(f, "cannot be {size_bytes} bytes long"),
            Self::Read { offset_bytes } => write!(f, "cannot be read at byte {offset_bytes}"),
            Self::Write { offset_bytes } => write!(f, "cannot be written at byte {offset_bytes}"),
            Self::Punch { offset_bytes } => write!(f, "cannot give back blocks at byte {offset_bytes}"),
            Self::Look => write!(f, "cannot be looked at"),
        }
    }
}
