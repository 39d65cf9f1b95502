//! What a call that fails must leave as it was: everything that can be seen from outside.

use super::world::SharedRam;
use vadose_facts::addr::Vpn;
use vadose_mm::{Counters, Mm, ProcessCounters, ProcessId, Region};

/// Every process, and the counts of the machine.
#[derive(Debug, PartialEq)]
pub(crate) struct Snapshot {
    processes: Vec<ProcessSeen>,
    machine: Counters,
}

#[derive(Debug, PartialEq)]
struct ProcessSeen {
    id: ProcessId,
    regions: Vec<Region>,
    entries: Vec<(Vpn, u64)>,
    counters: ProcessCounters,
}

impl Snapshot {
    pub(crate) fn of(mm: &Mm<SharedRam>, processes: &[ProcessId]) -> Self {
        let seen = |&id: &ProcessId| ProcessSeen {
            id,
            regions: mm.regions(id),
            entries: mm.page_entries(id),
            counters: mm.process_counters(id),
        };
        Self { processes: processes.iter().map(seen).collect(), machine: mm.counters() }
    }
}
