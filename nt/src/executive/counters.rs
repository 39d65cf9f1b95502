//! Memory counters of the process and of the machine, and `NtQuerySystemInformation` for them (SPEC J11 to J25).

use crate::service::{Answer, Arg, Call, Export};
use vadose_facts::addr::{GRANULARITY_BYTES, PAGE_BYTES};
use vadose_facts::ntdef::{Edition, NtStatus, WindowsVersion};
use vadose_mm::{Counters, FaultCounts, FaultKind, ProcessCounters};

use Arg::{U32, Word};

/// The services of this file.
pub(crate) const EXPORTS: &[Export] =
    &[Export::native("NtQuerySystemInformation", &[U32, Word, U32, Word], nt_query_system)];

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

/// `NtQuerySystemInformation(class, buffer, length, *returned)`: the classes about memory.
fn nt_query_system(call: &mut Call<'_>) -> Answer {
    let (class, buffer, length, returned) = (call.u32(0), call.ptr(1), u64::from(call.u32(2)), call.ptr(3));
    let (bytes, fits) = match class {
        0 => {
            let bytes = basic_information(call);
            let exact = bytes.len() as u64 == length;
            (bytes, exact)
        }
        2 => {
            let bytes = performance_information(call);
            let enough = bytes.len() as u64 <= length;
            (bytes, enough)
        }
        _ => return Err(NtStatus::INVALID_INFO_CLASS.into()),
    };
    call.probe_write(buffer, length)?;
    if !returned.is_null() {
        call.write_u32(returned, bytes.len() as u32)?;
    }
    if !fits {
        return Err(NtStatus::INFO_LENGTH_MISMATCH.into());
    }
    call.write(buffer, &bytes)?;
    Ok(0)
}

/// `SYSTEM_BASIC_INFORMATION`: 44 or 64 bytes.
fn basic_information(call: &Call<'_>) -> Vec<u8> {
    /// Hundred-nanosecond units of a clock tick.
    const TICK_UNITS: u32 = 156_250;
    let frames = call.mm.ram().frames() as u32;
    let words = [0, TICK_UNITS, PAGE_BYTES as u32, frames, 1, frames - 1, GRANULARITY_BYTES as u32];
    let mut bytes: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
    let width = call.pointer_bytes() as usize;
    bytes.resize(bytes.len().next_multiple_of(width), 0);
    for word in [Edition::MIN_USER_ADDRESS.raw(), call.nt.user_limit().raw(), 1] {
        bytes.extend_from_slice(&word.to_le_bytes()[..width]);
    }
    // One processor.
    bytes.push(1);
    bytes.resize(bytes.len().next_multiple_of(width), 0);
    bytes
}

/// Bytes of `SYSTEM_PERFORMANCE_INFORMATION`: Windows 7 and Windows 8 each added to its end.
const fn performance_bytes(version: WindowsVersion) -> usize {
    match (version.major, version.minor) {
        (0..=5, _) | (6, 0) => 312,
        (6, 1) => 328,
        (6.., _) => 344,
    }
}

/// `SYSTEM_PERFORMANCE_INFORMATION`: what memory did since boot; what was read and written is not counted.
fn performance_information(call: &Call<'_>) -> Vec<u8> {
    let Counters { frames, commit, kernel, .. } = call.mm.counters();
    let faults = call.mm.process_counters(call.nt.process().id).faults;
    let mut bytes = vec![0; performance_bytes(call.nt.edition.version)];
    for (at, value) in [
        (44, frames.available()),
        (48, commit.charged_pages()),
        (52, commit.limit_pages()),
        (56, commit.peak_pages()),
        (60, faults.resolved()),
        (64, faults.of(FaultKind::CopyOnWrite)),
        (68, faults.of(FaultKind::Transition) + faults.of(FaultKind::ImagePageShared)),
        (76, faults.of(FaultKind::DemandZero)),
        (80, faults.of(FaultKind::ImagePageRead)),
        (84, faults.of(FaultKind::ImagePageRead)),
        (112, kernel.paged_pages),
        (116, kernel.nonpaged_pages),
        (168, kernel.paged_pages),
    ] {
        bytes[at..at + 4].copy_from_slice(&(value as u32).to_le_bytes());
    }
    bytes
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_performance_structure_grew_twice() {
        let bytes =
            |major, minor| performance_bytes(WindowsVersion { major, minor, build: 0, service_pack: 0 });
        assert_eq!([bytes(5, 1), bytes(6, 1), bytes(6, 2), bytes(10, 0)], [312, 328, 344, 344]);
    }
}
