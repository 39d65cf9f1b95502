//! The software MMU as the processor of a scenario: it remembers translations until it is told.

use crate::door::World;
use crate::door::mmu::{Memory, Mmu, Refused, Touch, increment};
use crate::door::world::SharedRam;
use std::sync::Arc;
use vadose_cpu::{GuestRam, Refusal, SoftMmu};
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::Edition;
use vadose_facts::x86::{Privilege, Stale};
use vadose_mm::ProcessId;

const USER: Privilege = Privilege::User;

/// A world whose memory is reached through it.
pub(super) fn world(edition: &Edition, ram: Arc<GuestRam>) -> World {
    World::with_mmu(edition.name, SharedRam::new(Arc::clone(&ram)), Box::new(Soft { ram, mmu: None }))
}

struct Soft {
    ram: Arc<GuestRam>,
    /// The process whose tables are loaded, and what is remembered of them.
    mmu: Option<(ProcessId, SoftMmu<Arc<GuestRam>>)>,
}

impl Mmu for Soft {
    fn touch(
        &mut self,
        memory: Memory<'_>,
        at: VirtAddr,
        touch: Touch,
        bytes: &mut [u8],
    ) -> Result<(), Refused> {
        if self.mmu.as_ref().is_none_or(|(process, _)| *process != memory.process) {
            self.mmu = Some((memory.process, SoftMmu::new(Arc::clone(&self.ram), memory.space)));
        }
        let (_, mmu) = self.mmu.as_ref().expect("just made");
        let result = match touch {
            Touch::Load => mmu.load(at, bytes, USER),
            Touch::Store => mmu.store(at, bytes, USER),
            // Leave to store comes before anything is read.
            Touch::Increment => mmu.translate(at, touch.access(), USER).and_then(|_| {
                let mut old = vec![0; bytes.len()];
                mmu.load(at, &mut old, USER).ok();
                increment(&mut old);
                mmu.store(at, &old, USER)
            }),
            Touch::Execute => mmu.translate(at, touch.access(), USER).map(|_| ()),
        };
        result.map_err(|refusal| match refusal {
            Refusal::Fault(fault) => Refused::Fault(fault.address, fault.access),
            Refusal::NotCanonical { .. } => Refused::NotCanonical,
        })
    }

    fn drop_stale(&mut self, process: ProcessId, stale: Stale) {
        if let Some((_, mmu)) = self.mmu.as_mut().filter(|(loaded, _)| *loaded == process) {
            mmu.drop_stale(&stale);
        }
        stale.nothing_cached();
    }

    fn forget_process(&mut self, process: ProcessId) {
        self.mmu = self.mmu.take().filter(|(loaded, _)| *loaded != process);
    }
}
