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

    /// The first thing that a later snapshot shows otherwise.
    pub(crate) fn change(&self, later: &Self) -> Option<String> {
        for (old, new) in self.processes.iter().zip(&later.processes) {
            let id = old.id;
            if old.counters != new.counters {
                return Some(format!("the counters of {id:?} from {:?} to {:?}", old.counters, new.counters));
            }
            let parts = [first_change(&old.regions, &new.regions), first_change(&old.entries, &new.entries)];
            if let Some(change) = parts.into_iter().flatten().next() {
                return Some(format!("{id:?}: {change}"));
            }
        }
        (self != later)
            .then(|| format!("the machine's counts from {:?} to {:?}", self.machine, later.machine))
    }
}

fn first_change<T: std::fmt::Debug + PartialEq>(old: &[T], new: &[T]) -> Option<String> {
    let alike = old.iter().zip(new).take_while(|(one, other)| one == other).count();
    (old != new).then(|| format!("from {:?} to {:?}", old.get(alike), new.get(alike)))
}
