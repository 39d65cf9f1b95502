//! What memory there is and what becomes of it: every number is the memory manager's (SPEC J11 to J25).

use crate::executive::record::Record;
use crate::executive::time::TICK_UNITS;
use crate::service::Call;
use vadose_facts::addr::{GRANULARITY_BYTES, PAGE_BYTES};
use vadose_facts::ntdef::{Edition, WindowsVersion};
use vadose_mm::{Counters, FaultKind};

/// `SYSTEM_BASIC_INFORMATION`: 44 or 64 bytes.
pub(super) fn basic(call: &Call<'_>) -> Vec<u8> {
    let frames = call.mm.ram().frames() as u32;
    let numbers = [0, TICK_UNITS as u32, PAGE_BYTES as u32, frames, 1, frames - 1, GRANULARITY_BYTES as u32];
    let record = numbers.into_iter().fold(Record::new(call.nt.edition), Record::u32);
    // The ends of user space, the mask of processors, and how many there are.
    let limits = [Edition::MIN_USER_ADDRESS.raw(), call.nt.user_limit().raw(), 1];
    limits.into_iter().fold(record, Record::word).u8(1).finish()
}

/// Bytes of the oldest form: Wine's DLLs ask for it on every edition.
pub(super) const LEAST_PERFORMANCE_BYTES: usize = 312;

/// Bytes of `SYSTEM_PERFORMANCE_INFORMATION`: Windows 7 and Windows 8 each added to its end.
const fn performance_bytes(version: WindowsVersion) -> usize {
    match (version.major, version.minor) {
        (0..=5, _) | (6, 0) => LEAST_PERFORMANCE_BYTES,
        (6, 1) => 328,
        (6.., _) => 344,
    }
}

/// `SYSTEM_PERFORMANCE_INFORMATION`: what memory did since boot; what was read and written is not counted.
pub(super) fn performance(call: &Call<'_>) -> Vec<u8> {
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

/// `SYSTEM_FILECACHE_INFORMATION`: files are cached by the host, and nothing of that is the guest's.
pub(super) fn file_cache(edition: &Edition) -> Vec<u8> {
    let record = Record::new(edition).word(0).word(0).u32(0);
    (0..4).fold(record, |record, _| record.word(0)).u32(0).u32(0).finish()
}

/// `SYSTEM_REGISTRY_QUOTA_INFORMATION`: the most that keys and values can take, what they take, and the paged pool.
pub(super) fn registry_quota(call: &Call<'_>) -> Vec<u8> {
    let (used, most) = call.nt.registry.usage();
    let pool = call.mm.counters().kernel.paged_pages * PAGE_BYTES;
    Record::new(call.nt.edition).u32(most as u32).u32(used as u32).word(pool).finish()
}

/// Where the system's half of the address space begins.
pub(super) fn range_start(call: &Call<'_>) -> Vec<u8> {
    Record::new(call.nt.edition).word(call.nt.edition.system.base.raw()).finish()
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
