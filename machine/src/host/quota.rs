//! How much a guest may write to the host's disk in all, whatever it removes again.

use super::status::DISK_FULL;
use vadose_facts::ntdef::NtStatus;

/// What a new file or folder counts for: its name takes room too.
const NAME_BYTES: u64 = 4096;

/// Bytes that may yet be written.
#[derive(Debug)]
pub(super) struct Quota {
    left: u64,
}

impl Quota {
    /// So many bytes, `None` for no limit.
    pub(super) const fn new(limit: Option<u64>) -> Self {
        match limit {
            Some(left) => Self { left },
            None => Self { left: u64::MAX },
        }
    }

    /// What is left.
    pub(super) const fn left(&self) -> u64 {
        self.left
    }

    /// Takes bytes that are about to be written.
    ///
    /// # Errors
    ///
    /// `DISK_FULL`: nothing is taken then.
    pub(super) fn charge(&mut self, bytes: u64) -> Result<(), NtStatus> {
        if self.left == u64::MAX {
            return Ok(());
        }
        self.left = self.left.checked_sub(bytes).ok_or(DISK_FULL)?;
        Ok(())
    }

    /// Takes what a new file or folder counts for.
    ///
    /// # Errors
    ///
    /// As [`charge`](Self::charge).
    pub(super) fn charge_name(&mut self) -> Result<(), NtStatus> {
        self.charge(NAME_BYTES)
    }
}
