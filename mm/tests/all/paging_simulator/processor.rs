//! A processor that forgets nothing unless it is told to: translations of the loaded address space, and a word of every
//! frame that it has seen.

use super::model::WORDS;
use crate::simulator::random::Random;
use std::collections::HashMap;
use vadose_facts::addr::{PAGE_BYTES, Pfn, PhysAddr, VirtAddr, Vpn};
use vadose_facts::x86::{
    Access, EntryBits, HeapRam, PhysicalMemory, Privilege, Stale, StaleTranslations, Translation, walk,
};
use vadose_mm::pte::PteState;
use vadose_mm::{Mm, ProcessId};

/// Everything that it remembers.
#[derive(Default)]
pub(super) struct Processor {
    loaded: Option<ProcessId>,
    known: HashMap<Vpn, Translation>,
    seen: HashMap<Pfn, u64>,
}

impl Processor {
    /// Drops what a change made wrong.
    pub(super) fn drop_stale(&mut self, stale: Stale) {
        match stale.translations() {
            StaleTranslations::None => {}
            StaleTranslations::Page(vpn) => {
                self.known.remove(&vpn);
            }
            StaleTranslations::All => self.known.clear(),
        }
        for frame in stale.frames() {
            self.seen.remove(frame);
        }
        stale.nothing_cached();
    }

    /// Translates, from memory if it can; nothing if the access faults. Another address space is loaded first: that
    /// forgets all translations.
    pub(super) fn translate(
        &mut self,
        mm: &Mm<HeapRam>,
        process: ProcessId,
        at: VirtAddr,
        access: Access,
    ) -> Result<Option<PhysAddr>, String> {
        if self.loaded != Some(process) {
            self.known.clear();
            self.loaded = Some(process);
        }
        if let Some(known) = self.known.get(&at.vpn()).filter(|known| allows(known, access)) {
            let frame = known.phys.pfn();
            if !still_says(mm, process, at, frame, access) {
                return Err(format!("{at:?} went from {frame:?}, or is clean again, and nobody said so"));
            }
            return Ok(Some(frame.base()));
        }
        let Ok(found) = walk(mm.ram(), mm.translation(process), at, access, Privilege::User) else {
            return Ok(None);
        };
        self.known.insert(at.vpn(), found);
        Ok(Some(found.phys.pfn().base()))
    }

    /// Reads the words of a page; they are the same in all of it that is looked at.
    pub(super) fn load(&mut self, ram: &HeapRam, frame: PhysAddr) -> Result<u64, String> {
        let [first, last] = WORDS.map(|offset| ram.read_u64(frame.offset(offset)));
        if first != last {
            return Err(format!("{frame:?} holds {first:#x} and {last:#x}: parts of two pages"));
        }
        let seen = *self.seen.entry(frame.pfn()).or_insert(first);
        if seen != first {
            return Err(format!("{:?} changed from {seen:#x} to {first:#x} and nobody said so", frame.pfn()));
        }
        Ok(first)
    }

    /// Stores the words of a page.
    pub(super) fn store(&mut self, ram: &HeapRam, frame: PhysAddr, token: u64) -> Result<(), String> {
        let _before = self.load(ram, frame)?;
        if token.is_multiple_of(4) {
            fill(ram, frame, token);
        }
        for offset in WORDS {
            ram.write_u64(frame.offset(offset), token);
        }
        self.seen.insert(frame.pfn(), token);
        Ok(())
    }
}

/// Some pages do not compress.
fn fill(ram: &HeapRam, frame: PhysAddr, token: u64) {
    let mut noise = Random::new(token);
    for offset in (0..PAGE_BYTES).step_by(8) {
        ram.write_u64(frame.offset(offset), noise.next());
    }
}

/// Whether the entry says what the processor remembers of it: the frame, and that it was accessed and stored to.
fn still_says(mm: &Mm<HeapRam>, process: ProcessId, at: VirtAddr, frame: Pfn, access: Access) -> bool {
    let Some((_, raw, PteState::Valid(valid))) = mm.page_entry(process, at) else { return false };
    let noted = match access {
        Access::Read | Access::Execute => EntryBits::ACCESSED,
        Access::Write => EntryBits::ACCESSED | EntryBits::DIRTY | EntryBits::WRITABLE,
    };
    valid.pfn == frame && raw & noted.bits() == noted.bits()
}

fn allows(known: &Translation, access: Access) -> bool {
    match access {
        Access::Read => true,
        Access::Write => known.permissions.write && known.dirty,
        Access::Execute => known.permissions.execute,
    }
}
