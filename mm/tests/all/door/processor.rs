//! A processor that forgets nothing unless it is told to: translations and the bytes of frames that it has seen.
//!
//! A memory manager that changes an entry or a frame and does not say so is caught here: the next access goes where the
//! old translation led, or finds a frame's bytes changed behind its back.

use super::world::SharedRam;
use std::collections::BTreeMap;
use vadose_facts::addr::{PAGE_BYTES, Pfn, PhysAddr, VirtAddr, Vpn};
use vadose_facts::x86::{
    Access, AddressSpace, Miss, PhysicalMemory, Privilege, Stale, StaleTranslations, Translation, walk,
};
use vadose_mm::ProcessId;

type Page = Vec<u8>;

/// Everything that it remembers.
#[derive(Default)]
pub(crate) struct Processor {
    translations: BTreeMap<(ProcessId, Vpn), Translation>,
    frames: BTreeMap<Pfn, Page>,
    /// Whose address space is loaded: loading another one forgets all translations.
    loaded: Option<ProcessId>,
}

impl Processor {
    /// Drops what a change made wrong.
    pub(crate) fn drop_stale(&mut self, process: ProcessId, stale: Stale) {
        match stale.translations() {
            StaleTranslations::None => {}
            StaleTranslations::Page(vpn) => {
                self.translations.remove(&(process, vpn));
            }
            StaleTranslations::All => self.forget_process(process),
        }
        for frame in stale.frames() {
            self.frames.remove(frame);
        }
        stale.nothing_cached();
    }

    /// A process is gone, or all its translations are.
    pub(crate) fn forget_process(&mut self, process: ProcessId) {
        self.translations.retain(|(owner, _), _| *owner != process);
    }

    /// Translates, from memory if it can.
    pub(crate) fn translate(
        &mut self,
        ram: &SharedRam,
        process: ProcessId,
        space: AddressSpace,
        at: VirtAddr,
        access: Access,
    ) -> Result<PhysAddr, Miss> {
        if self.loaded != Some(process) {
            self.translations.clear();
            self.loaded = Some(process);
        }
        let key = (process, at.vpn());
        let found = match self.translations.get(&key) {
            Some(known) if allows(known, access) => *known,
            Some(_) | None => walk(ram, space, at, access, Privilege::User)?,
        };
        self.translations.insert(key, found);
        Ok(found.phys.pfn().base().offset(at.page_offset()))
    }

    /// Uses a byte, and checks that nobody changed the frame unseen.
    pub(crate) fn byte(&mut self, ram: &SharedRam, at: PhysAddr, stored: Option<u8>) -> u8 {
        let frame = at.pfn();
        let now = read_frame(ram, frame);
        let seen = self.frames.entry(frame).or_insert_with(|| now.clone());
        assert!(*seen == now, "the bytes of {frame:?} changed and nobody said so");
        let offset = usize::try_from(at.frame_offset()).expect("within a page");
        if let Some(byte) = stored {
            ram.write_bytes(at, &[byte]);
            seen[offset] = byte;
        }
        seen[offset]
    }
}

fn allows(known: &Translation, access: Access) -> bool {
    match access {
        Access::Read => true,
        Access::Write => known.permissions.write && known.dirty,
        Access::Execute => known.permissions.execute,
    }
}

fn read_frame(ram: &SharedRam, frame: Pfn) -> Page {
    let words = (0..PAGE_BYTES / 8).map(|word| ram.read_u64(frame.base().offset(word * 8)));
    words.flat_map(u64::to_le_bytes).collect()
}
