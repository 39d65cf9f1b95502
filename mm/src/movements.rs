//! Counts of pages that moved: out of working sets, out of frames, and back ahead of being asked for.

use crate::trace::TrimReason;

/// Pages that moved since the machine started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Movements {
    trimmed: [u64; TrimReason::ALL.len()],
    /// Page tables that left.
    pub tables_trimmed: u64,
    /// Frames that were taken from a page on standby.
    pub repurposed: u64,
    /// Pages that came along when another one was read from a page file.
    pub read_along: u64,
    /// Those of them that were used before their frame was taken.
    pub read_along_used: u64,
}

impl Movements {
    /// Pages that left a working set for this reason.
    pub const fn trimmed(&self, reason: TrimReason) -> u64 {
        self.trimmed[reason as usize]
    }

    /// Pages that left working sets.
    pub fn trimmed_in_all(&self) -> u64 {
        self.trimmed.iter().sum()
    }

    pub(crate) const fn count_trim(&mut self, reason: TrimReason) {
        self.trimmed[reason as usize] += 1;
    }
}
