//! Entries, protections and marks in words.

use super::Inspector;
use vadose_facts::addr::Pfn;
use vadose_facts::ntdef::PteProtection;
use vadose_facts::x86::EntryBits;
use vadose_mm::Slot;
use vadose_mm::pfn::{PageLocation, PfnEntry, PfnFlags};
use vadose_mm::pte::{PrototypeLink, PrototypeState, PteState, ValidPte};

/// A protection as an entry holds it.
pub(super) fn protection(bits: PteProtection) -> String {
    match bits.decode() {
        Some(protection) => protection.to_string(),
        None if bits == PteProtection::DECOMMITTED => "decommitted".to_owned(),
        None => format!("protection {:#x}", bits.bits()),
    }
}

/// The list that a frame is on, or what else it is doing.
pub(super) const fn location(location: PageLocation) -> &'static str {
    match location {
        PageLocation::Zeroed => "zeroed",
        PageLocation::Free => "free",
        PageLocation::Standby => "standby",
        PageLocation::Modified => "modified",
        PageLocation::ModifiedNoWrite => "modified-no-write",
        PageLocation::Bad => "bad",
        PageLocation::Active => "active",
        PageLocation::Transition => "transition",
    }
}

/// The marks of a frame that are set.
pub(super) fn frame_flags(entry: &PfnEntry) -> Vec<&'static str> {
    let known = [
        (PfnFlags::MODIFIED, "modified"),
        (PfnFlags::READ_IN_PROGRESS, "read in progress"),
        (PfnFlags::WRITE_IN_PROGRESS, "write in progress"),
        (PfnFlags::IN_PAGE_ERROR, "in-page error"),
        (PfnFlags::PROTOTYPE, "prototype"),
        (PfnFlags::PAGE_TABLE, "page table"),
        (PfnFlags::DELETED, "deleted"),
        (PfnFlags::PHYSICAL, "physical page"),
        (PfnFlags::LARGE, "large page"),
        (PfnFlags::READ_ALONG, "read along"),
        (PfnFlags::STORE, "compressed store"),
    ];
    let set = known.into_iter().filter(|(flag, _)| entry.flags.contains(*flag));
    set.map(|(_, words)| words).collect()
}

/// The flags of a valid entry as WinDbg's `!pte` shows them: a place for each, `-` where it is not set. The places are
/// copy-on-write, global, large, dirty, accessed, no caching, write-through, user or kernel, writable or read-only,
/// executable, valid.
pub(super) fn letters(raw: u64, large: bool, executable: bool) -> String {
    const COPY_ON_WRITE: u64 = 1 << 9;
    let bits = EntryBits::of(raw);
    let mark = |set: bool, letter: char| if set { letter } else { '-' };
    [
        mark(raw & COPY_ON_WRITE != 0, 'C'),
        mark(bits.contains(EntryBits::GLOBAL), 'G'),
        mark(large, 'L'),
        mark(bits.contains(EntryBits::DIRTY), 'D'),
        mark(bits.contains(EntryBits::ACCESSED), 'A'),
        mark(bits.contains(EntryBits::CACHE_DISABLE), 'N'),
        mark(bits.contains(EntryBits::WRITE_THROUGH), 'T'),
        if bits.contains(EntryBits::USER) { 'U' } else { 'K' },
        if bits.contains(EntryBits::WRITABLE) { 'W' } else { 'R' },
        mark(executable, 'E'),
        'V',
    ]
    .into_iter()
    .collect()
}

/// The same in words, those that are set.
pub(super) fn valid_flags(valid: ValidPte, large: bool, executable: bool) -> Vec<&'static str> {
    let bits = valid.bits;
    let tells = |flag| bits.contains(flag);
    let clean = valid.write && !tells(EntryBits::WRITABLE);
    let known = [
        (large, "large page"),
        (true, if tells(EntryBits::USER) { "user" } else { "kernel" }),
        (tells(EntryBits::WRITABLE), "writable"),
        (clean, "writable from the first store on"),
        (!tells(EntryBits::WRITABLE) && !clean && !valid.copy_on_write, "read-only"),
        (valid.copy_on_write, "copy-on-write"),
        (executable, "executable"),
        (!executable, "no-execute"),
        (tells(EntryBits::ACCESSED), "accessed"),
        (tells(EntryBits::DIRTY), "dirty"),
        (tells(EntryBits::GLOBAL), "global"),
        (tells(EntryBits::CACHE_DISABLE), "not cached"),
        (tells(EntryBits::WRITE_THROUGH), "write-through"),
    ];
    known.into_iter().filter(|(set, _)| *set).map(|(_, words)| words).collect()
}

/// A place in a page file, or in the compressed store.
pub(super) fn page_file(file: u8, slot: u32) -> String {
    if (Slot { file, page: slot }).is_compressed() {
        format!("compressed store, page {slot:#x}")
    } else {
        format!("page file {file}, offset {slot:#x}")
    }
}

impl Inspector<'_> {
    /// A frame with the list that it is on.
    pub(super) fn frame_words(&self, pfn: Pfn) -> String {
        format!("frame {:#x} ({})", pfn.raw(), location(self.mm.frame(pfn).location))
    }

    /// An entry of a process that is not valid.
    pub(super) fn software_entry(&self, raw: u64, state: PteState) -> String {
        match state {
            PteState::Zero => "zero".to_owned(),
            PteState::Valid(valid) => self.frame_words(valid.pfn),
            PteState::DemandZero { protection: bits } if self.mm.pte_format().is_lost(raw) => {
                format!("content dropped: demand zero, {}", protection(bits))
            }
            PteState::DemandZero { protection: bits } => format!("demand zero, {}", protection(bits)),
            PteState::Decommitted => "decommitted".to_owned(),
            PteState::Transition { pfn, protection: bits } => {
                format!("transition, {}, {}", self.frame_words(pfn), protection(bits))
            }
            PteState::PageFile { file, slot, protection: bits } => {
                format!("{}, {}", page_file(file, slot), protection(bits))
            }
            PteState::Prototype(PrototypeLink::ThroughVad { protection: bits }) => {
                format!("prototype, found through the VAD, {}", protection(bits))
            }
            PteState::Prototype(PrototypeLink::At { address }) => {
                format!("prototype at {:#x}", address.raw())
            }
        }
    }

    /// A prototype entry.
    pub(super) fn prototype_words(&self, state: PrototypeState) -> String {
        match state {
            PrototypeState::Absent => "zero: no such page".to_owned(),
            PrototypeState::Active { pfn } => format!("valid, {}", self.frame_words(pfn)),
            PrototypeState::Transition { pfn, protection: bits } => {
                format!("transition, {}, {}", self.frame_words(pfn), protection(bits))
            }
            PrototypeState::Subsection { address, protection: bits } => {
                format!("in the file, subsection {:#x}, {}", address.raw(), protection(bits))
            }
            PrototypeState::DemandZero { protection: bits } => format!("demand zero, {}", protection(bits)),
            PrototypeState::PageFile { file, slot, protection: bits } => {
                format!("{}, {}", page_file(file, slot), protection(bits))
            }
        }
    }
}
