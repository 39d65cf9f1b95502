//! The reserve: frames that cannot leave RAM never take all of it, so that a page that was promised can always come in
//! (SPEC J11, J12).

use crate::state::Mm;
use vadose_facts::ntdef::NtStatus;
use vadose_facts::x86::PhysicalMemory;

/// Frames that stay free for pages that come and go. One instruction touches at most six pages (it lies across two,
/// reads across two and writes across two), each with up to four tables below the top one; a cluster that is read
/// takes 32 more, and nothing else has to be in RAM for a fault to end.
pub(crate) const RESERVE_FRAMES: u64 = 64;

impl<R: PhysicalMemory> Mm<R> {
    /// Frames whose content has to stay in RAM: the kernel's, top page tables, physical and large pages, locked pages.
    pub(crate) fn nonpaged_pages(&self) -> u64 {
        // The page that all processes share with the kernel is always valid, and so are the tables above it.
        let pinned = self.edition.paging.levels().len() as u64 - 1;
        let own_tables = crate::process::root_frames(self.edition.paging) + pinned;
        let of_processes = self.processes.iter().map(|(_, process)| {
            let locked = process.working_set.locks.len() as u64;
            own_tables + process.physical.len() as u64 + locked + process.large_pages
        });
        // What remembered images take is given up when it is needed.
        let pool = self.pool.pages_taken() - self.unused.pool_pages() + self.pool.table_pages;
        self.boot_pages + pool + of_processes.sum::<u64>()
    }

    /// Frames whose content can leave, or that hold none.
    pub(crate) fn pageable_frames(&self) -> u64 {
        let usable = self.pfn.frames() - self.pfn.counts().bad;
        usable.saturating_sub(self.nonpaged_pages())
    }

    /// Frames that may still be given to what has to stay in RAM.
    pub(crate) fn nonpaged_room(&self) -> u64 {
        self.pageable_frames().saturating_sub(RESERVE_FRAMES)
    }

    /// Makes sure that `count` frames can be given to what has to stay in RAM.
    ///
    /// # Errors
    ///
    /// `STATUS_INSUFFICIENT_RESOURCES` if that would touch the reserve.
    pub(crate) fn need_nonpaged(&self, count: u64) -> Result<(), NtStatus> {
        if count > self.nonpaged_room() { Err(NtStatus::INSUFFICIENT_RESOURCES) } else { Ok(()) }
    }
}
