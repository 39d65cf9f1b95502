//! Memory counters of the process and of the machine (SPEC J11 to J25).

use vadose_facts::addr::PAGE_BYTES;
use vadose_mm::{Counters, FaultCounts, FaultKind, ProcessCounters};

/// What one process uses, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MemoryUsage {
    pub(crate) peak_virtual_bytes: u64,
    pub(crate) virtual_bytes: u64,
    pub(crate) page_faults: u32,
    pub(crate) peak_working_set_bytes: u64,
    pub(crate) working_set_bytes: u64,
    pub(crate) commit_bytes: u64,
    pub(crate) peak_commit_bytes: u64,
}

impl MemoryUsage {
    /// The counters in the order of `PROCESS_MEMORY_COUNTERS_EX` from the peak working set on: two of the working set,
    /// four of pools, of which a process has none here, page-file usage and its peak, private usage. Page-file usage
    /// is the commit charge (SPEC J20).
    pub(crate) const fn counters(self) -> [u64; 9] {
        [
            self.peak_working_set_bytes,
            self.working_set_bytes,
            0,
            0,
            0,
            0,
            self.commit_bytes,
            self.peak_commit_bytes,
            self.commit_bytes,
        ]
    }
}

/// Faults that made a page valid, soft and hard ones (SPEC I35, J19).
fn page_faults(faults: FaultCounts) -> u64 {
    [FaultKind::DemandZero, FaultKind::ImagePageShared, FaultKind::ImagePageRead, FaultKind::Transition]
        .into_iter()
        .map(|kind| faults.of(kind))
        .sum()
}

impl From<ProcessCounters> for MemoryUsage {
    /// What a process uses (SPEC J19, J20, J21).
    fn from(own: ProcessCounters) -> Self {
        Self {
            peak_virtual_bytes: own.peak_virtual_pages * PAGE_BYTES,
            virtual_bytes: own.virtual_pages * PAGE_BYTES,
            page_faults: page_faults(own.faults) as u32,
            peak_working_set_bytes: own.peak_resident_pages * PAGE_BYTES,
            working_set_bytes: own.resident_pages * PAGE_BYTES,
            commit_bytes: own.commit_pages * PAGE_BYTES,
            peak_commit_bytes: own.peak_commit_pages * PAGE_BYTES,
        }
    }
}

/// What `GetPerformanceInfo` tells, in pages (SPEC J25).
pub(crate) fn performance_pages(counters: Counters, physical_pages: u64) -> [u64; 10] {
    let Counters { frames, commit, kernel, .. } = counters;
    [
        commit.charged_pages(),
        commit.limit_pages(),
        commit.peak_pages(),
        physical_pages,
        frames.available(),
        frames.standby + frames.modified,
        kernel.paged_pages + kernel.nonpaged_pages,
        kernel.paged_pages,
        kernel.nonpaged_pages,
        PAGE_BYTES,
    ]
}
