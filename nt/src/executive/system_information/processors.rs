//! The one processor, as the system describes it.

use crate::executive::record::Record;
use vadose_facts::ntdef::{Bitness, Edition};

/// Nominal speed.
pub(crate) const PROCESSOR_MHZ: u32 = 1000;
/// Westmere: family 6, model 2Ch, stepping 1, as the instruction says that describes the processor.
pub(crate) const PROCESSOR_FAMILY: u16 = 6;
pub(crate) const PROCESSOR_REVISION: u16 = 0x2c01;
/// What the processor describes itself as.
pub(crate) const PROCESSOR_NAME: &str = "Westmere E56xx/L56xx/X56xx (Nehalem-C)";
/// Bytes of a cache line, by which data that processors share is best kept apart.
pub(super) const LINE_BYTES: u32 = 64;
/// `RelationProcessorCore`, `RelationNumaNode`, `RelationProcessorPackage`, `RelationGroup`, `RelationAll`.
const CORE: u32 = 0;
const NODE: u32 = 1;
const CACHE: u32 = 2;
const PACKAGE: u32 = 3;
const GROUP: u32 = 4;
const ALL: u32 = 0xffff;
/// Groups that `NUMA` records name.
const NODES: usize = 64;

/// `PROCESSOR_ARCHITECTURE_*`: x86 or x64.
pub(crate) const fn architecture(bitness: Bitness) -> u16 {
    match bitness {
        Bitness::Bits32 => 0,
        Bitness::Bits64 => 9,
    }
}

/// `IMAGE_FILE_MACHINE_*`.
const fn machine(bitness: Bitness) -> u32 {
    match bitness {
        Bitness::Bits32 => 0x14c,
        Bitness::Bits64 => 0x8664,
    }
}

/// `SYSTEM_CPU_INFORMATION`. The feature bits: time stamps, PSE, CMPXCHG8B, MMX, FXSR, SSE, SSE2, SSE3.
pub(super) fn cpu(edition: &Edition) -> Vec<u8> {
    const FEATURES: u32 = 0x0008_3ddf;
    let record = Record::new(edition).u16(architecture(edition.bitness)).u16(PROCESSOR_FAMILY);
    // Behind them the number of processors, which Windows 8 began to tell.
    let several = (edition.version.major, edition.version.minor) >= (6, 2);
    record.u16(PROCESSOR_REVISION).u16(u16::from(several)).u32(FEATURES).finish()
}

/// `SYSTEM_LOGICAL_PROCESSOR_INFORMATION`: a core, a memory node, a package.
pub(crate) fn logical(edition: &Edition) -> Vec<u8> {
    let record = |kind: u32| Record::new(edition).word(1).u32(kind).u64(0).u64(0).finish();
    [CORE, NODE, PACKAGE].into_iter().flat_map(record).collect()
}

/// `SYSTEM_LOGICAL_PROCESSOR_INFORMATION_EX` of a relation, `None` if there is no such one.
pub(crate) fn logical_ex(edition: &Edition, relation: u32) -> Option<Vec<u8>> {
    let kinds = [CORE, NODE, PACKAGE, GROUP].into_iter().filter(|kind| relation == *kind || relation == ALL);
    let records: Vec<u8> = kinds.flat_map(|kind| relation_record(edition, kind)).collect();
    (!records.is_empty() || relation == CACHE).then_some(records)
}

fn relation_record(edition: &Edition, relation: u32) -> Vec<u8> {
    let head = Record::new(edition).u32(relation);
    let body = if relation == GROUP {
        // Groups at most and now; then each with its most and its present processors, and their mask.
        Record::new(edition).u16(1).u16(1).zeros(20).u8(1).u8(1).zeros(38).word(1)
    } else {
        // One group: its number of processors, then its mask and number.
        Record::new(edition).zeros(22).u16(1).word(1).u16(0).zeros(6)
    };
    let body = body.finish();
    head.u32(body.len() as u32 + 8).raw(&body).finish()
}

/// `SYSTEM_NUMA_INFORMATION`: one node. Groups came with Windows 7; before them there were plain masks.
pub(super) fn numa_map(edition: &Edition) -> Vec<u8> {
    let record = Record::new(edition).u32(0).u32(0);
    if (edition.version.major, edition.version.minor) < (6, 1) {
        return record.u64(1).zeros(15 * 8).finish();
    }
    let record = record.word(1).u16(0).zeros(6);
    (1..NODES).fold(record, |record, _| record.word(0).u16(0).zeros(6)).finish()
}

/// `SYSTEM_CPU_SET_INFORMATION`: one set, of the one processor.
pub(super) fn cpu_sets(edition: &Edition) -> Vec<u8> {
    const FIRST_SET: u32 = 0x100;
    let record = Record::new(edition).u32(32).u32(0).u32(FIRST_SET).u16(0);
    record.zeros(6).u32(0).u64(0).finish()
}

/// `SYSTEM_SUPPORTED_PROCESSOR_ARCHITECTURES_INFORMATION`: the machine's own, for kernel and programs alike, and the
/// process's; then the end of the list.
pub(super) fn supported_architectures(edition: &Edition) -> Vec<u8> {
    const KERNEL_USER_NATIVE_PROCESS: u32 = 0xf << 16;
    let own = machine(edition.bitness) | KERNEL_USER_NATIVE_PROCESS;
    Record::new(edition).u32(own).u32(0).finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use vadose_facts::ntdef::edition;

    #[test]
    fn processor_records_have_the_sizes_of_the_structures() {
        let [x86, x64] = ["win7-x86", "win10-x64"].map(|name| edition(name).expect("an edition"));
        for (relation, bytes32, bytes64) in [(0, 44, 48), (1, 44, 48), (3, 44, 48), (4, 76, 80)] {
            assert_eq!(logical_ex(x86, relation).map(|record| record.len()), Some(bytes32));
            assert_eq!(logical_ex(x64, relation).map(|record| record.len()), Some(bytes64));
        }
        assert_eq!((logical_ex(x64, 2), logical_ex(x64, 5)), (Some(Vec::new()), None));
        assert_eq!((logical(x86).len(), logical(x64).len()), (3 * 24, 3 * 32));
        assert_eq!((numa_map(x86).len(), numa_map(x64).len()), (8 + 64 * 12, 8 + 64 * 16));
        assert_eq!((cpu_sets(x64).len(), cpu(x86).len()), (32, 12));
    }
}
