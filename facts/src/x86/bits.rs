//! The bits of a page-table entry as the processor reads them.

use crate::addr::Pfn;
use bitflags::bitflags;

bitflags! {
    /// Hardware bits of a page-table entry, at every level and in every paging mode (SPEC I1, I2, I3).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct EntryBits: u64 {
        /// P: the processor may use the entry.
        const PRESENT = 1 << 0;
        /// R/W: stores are allowed.
        const WRITABLE = 1 << 1;
        /// U/S: ring 3 may use the page.
        const USER = 1 << 2;
        /// PWT: write-through caching.
        const WRITE_THROUGH = 1 << 3;
        /// PCD: no caching.
        const CACHE_DISABLE = 1 << 4;
        /// A: the processor has used the entry.
        const ACCESSED = 1 << 5;
        /// D: the processor has stored through the entry.
        const DIRTY = 1 << 6;
        /// PS: the entry maps a large page (PAT in a last-level entry).
        const LARGE = 1 << 7;
        /// G: the translation survives an address-space switch.
        const GLOBAL = 1 << 8;
        /// NX: no instruction fetch (8-byte entries with EFER.NXE only).
        const NO_EXECUTE = 1 << 63;
    }
}

/// Frame bits of an 8-byte entry, bits 12 to 51.
pub(super) const FRAME_MASK_64: u64 = 0x000f_ffff_ffff_f000;
/// Frame bits of a 4-byte entry, bits 12 to 31.
pub(super) const FRAME_MASK_32: u64 = 0xffff_f000;

impl EntryBits {
    /// Reads the flags off a raw entry; frame and software bits are dropped.
    pub const fn of(raw: u64) -> Self {
        Self::from_bits_truncate(raw)
    }

    /// The frame of an 8-byte entry that maps a small page or names a table.
    pub const fn frame(raw: u64) -> Pfn {
        Pfn::new((raw & FRAME_MASK_64) >> 12)
    }
}
