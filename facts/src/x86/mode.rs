//! The paging modes as level tables: which address bits select an entry at each step of a walk.

use crate::addr::VirtAddr;

/// How a guest's page tables are shaped (SPEC H21). A value, not a type parameter: one build runs every mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PagingMode {
    /// 32-bit, two levels of 4-byte entries: 10+10+12.
    Legacy,
    /// 32-bit with physical address extension, three levels of 8-byte entries: 2+9+9+12.
    Pae,
    /// 64-bit, four levels: 9+9+9+9+12.
    Long4,
    /// 64-bit with LA57, five levels: 9+9+9+9+9+12.
    Long5,
}

/// One step of a page walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// Lowest address bit that selects the entry.
    pub shift: u32,
    /// How many address bits do.
    pub bits: u32,
    /// Whether an entry here may map a large page of `1 << shift` bytes (SPEC H19).
    pub large: LargePage,
    /// Whether entries here carry rights and an Accessed bit. The four PAE directory pointers do not (SPEC I2).
    pub rights: EntryRights,
}

/// Whether a level's entries may map a large page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LargePage {
    /// Bit 7 set maps `1 << shift` bytes.
    Allowed,
    /// Bit 7 is reserved, or means something else.
    Never,
}

/// Whether a level's entries take part in access checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryRights {
    /// R/W, U/S, NX and A are in force.
    Checked,
    /// The entry has none of them.
    None,
}

impl PagingMode {
    /// The walk, root first.
    #[inline]
    pub const fn levels(self) -> &'static [Level] {
        const LEGACY: [Level; 2] = [Level::dir(22, 10), Level::leaf(10)];
        const PAE: [Level; 3] = [Level::pae_root(), Level::dir(21, 9), Level::leaf(9)];
        const LONG4: [Level; 4] = [Level::table(39), Level::dir(30, 9), Level::dir(21, 9), Level::leaf(9)];
        const LONG5: [Level; 5] =
            [Level::table(48), Level::table(39), Level::dir(30, 9), Level::dir(21, 9), Level::leaf(9)];
        match self {
            Self::Legacy => &LEGACY,
            Self::Pae => &PAE,
            Self::Long4 => &LONG4,
            Self::Long5 => &LONG5,
        }
    }

    /// Bytes in one entry: 4 or 8.
    #[inline]
    pub const fn entry_bytes(self) -> u64 {
        match self {
            Self::Legacy => 4,
            Self::Pae | Self::Long4 | Self::Long5 => 8,
        }
    }

    /// Entries in a page of entries: 1,024 or 512.
    #[inline]
    pub const fn entries_per_page(self) -> u64 {
        crate::addr::PAGE_BYTES / self.entry_bytes()
    }

    /// How many low address bits the walk consumes: 32, 48 or 57.
    #[inline]
    pub const fn address_bits(self) -> u32 {
        match self {
            Self::Legacy | Self::Pae => 32,
            Self::Long4 => 48,
            Self::Long5 => 57,
        }
    }

    /// Whether the processor accepts the address: 32-bit modes take 32 bits, 64-bit modes take a sign-extended
    /// address (SPEC H10).
    #[inline]
    pub const fn is_canonical(self, va: VirtAddr) -> bool {
        match self {
            Self::Legacy | Self::Pae => va.raw() >> 32 == 0,
            Self::Long4 | Self::Long5 => self.canonical(va.raw()).raw() == va.raw(),
        }
    }

    /// Makes an address of the low bits that the walk consumes: cut to 32 bits, or sign-extended.
    #[inline]
    pub const fn canonical(self, raw: u64) -> VirtAddr {
        match self {
            Self::Legacy | Self::Pae => VirtAddr::new(raw & 0xffff_ffff),
            Self::Long4 | Self::Long5 => {
                let spare = 64 - self.address_bits();
                VirtAddr::new((((raw << spare) as i64) >> spare) as u64)
            }
        }
    }
}

impl Level {
    #[inline]
    const fn new(shift: u32, bits: u32, large: LargePage, rights: EntryRights) -> Self {
        Self { shift, bits, large, rights }
    }

    #[inline]
    const fn leaf(bits: u32) -> Self {
        Self::new(12, bits, LargePage::Never, EntryRights::Checked)
    }

    #[inline]
    const fn dir(shift: u32, bits: u32) -> Self {
        Self::new(shift, bits, LargePage::Allowed, EntryRights::Checked)
    }

    #[inline]
    const fn table(shift: u32) -> Self {
        Self::new(shift, 9, LargePage::Never, EntryRights::Checked)
    }

    #[inline]
    const fn pae_root() -> Self {
        Self::new(30, 2, LargePage::Never, EntryRights::None)
    }

    /// The table index that `va` selects at this level.
    #[inline]
    pub const fn index(self, va: VirtAddr) -> u64 {
        (va.raw() >> self.shift) & ((1 << self.bits) - 1)
    }

    /// Bytes that one entry of this level spans.
    #[inline]
    pub const fn span_bytes(self) -> u64 {
        1 << self.shift
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SPEC H21: each mode consumes every address bit once.
    #[test]
    fn each_paging_mode_covers_its_address_exactly_once() {
        for mode in [PagingMode::Legacy, PagingMode::Pae, PagingMode::Long4, PagingMode::Long5] {
            let mut next = mode.address_bits();
            for level in mode.levels() {
                assert_eq!(level.shift + level.bits, next, "{mode:?}");
                next = level.shift;
            }
            assert_eq!(next, 12, "{mode:?}");
        }
        let va = VirtAddr::new(0x0000_7fff_1234_5000);
        let path: Vec<u64> = PagingMode::Long4.levels().iter().map(|l| l.index(va)).collect();
        assert_eq!(path, [0xff, 0x1fc, 0x91, 0x145]);
    }

    /// SPEC H10: bits 63 to 47 of a 48-bit address are equal.
    #[test]
    fn a_64_bit_address_is_canonical_when_sign_extended() {
        let ok = |raw| PagingMode::Long4.is_canonical(VirtAddr::new(raw));
        assert!(ok(0x7fff_ffff_ffff) && ok(0xffff_8000_0000_0000) && ok(u64::MAX));
        assert!(!ok(0x8000_0000_0000) && !ok(0xffff_7fff_ffff_ffff));
        assert!(!PagingMode::Pae.is_canonical(VirtAddr::new(1 << 32)));
    }
}
