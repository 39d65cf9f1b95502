//! Valid entries: what NT puts into the hardware bits and the three software bits beside them (SPEC I4, I5, I6).

use vadose_facts::addr::Pfn;
use vadose_facts::ntdef::{PageModifier, Protection, WriteTracking};
use vadose_facts::x86::{Access, EntryBits, NoExecute};

/// NT's copy-on-write bit in a valid entry (SPEC I4).
pub(super) const COPY_ON_WRITE: u64 = 1 << 9;
/// NT's logical write bit, where the handler tracks first stores (SPEC I4).
pub(super) const LOGICAL_WRITE: u64 = 1 << 11;

/// A valid entry, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValidPte {
    /// The frame.
    pub pfn: Pfn,
    /// All hardware bits.
    pub bits: EntryBits,
    /// A store makes a private copy first.
    pub copy_on_write: bool,
    /// The page may be written, whatever the hardware bit says now.
    pub write: bool,
}

/// What decides the bits of a new valid entry besides the protection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights {
    /// Whether bit 63 may be used.
    pub no_execute: NoExecute,
    /// Who notices first stores.
    pub tracking: WriteTracking,
}

impl ValidPte {
    /// Reads the flags of a valid entry whose frame is known.
    #[inline]
    pub(super) fn read(raw: u64, pfn: Pfn, tracking: WriteTracking) -> Self {
        let bits = EntryBits::of(raw);
        let write = match tracking {
            WriteTracking::Hardware => bits.contains(EntryBits::WRITABLE),
            WriteTracking::Software => raw & LOGICAL_WRITE != 0,
        };
        Self { pfn, bits, copy_on_write: raw & COPY_ON_WRITE != 0, write }
    }

    /// Whether the processor has stored through the entry.
    #[inline]
    pub const fn is_dirty(self) -> bool {
        self.bits.contains(EntryBits::DIRTY)
    }
}

impl Rights {
    /// The bits of a user page made valid for `access`. A page that is touched by a store starts dirty (SPEC I5).
    #[inline]
    pub(crate) fn user_bits(self, protection: Protection, access: Access) -> u64 {
        let dirty = match access {
            Access::Write => EntryBits::DIRTY,
            Access::Read | Access::Execute => EntryBits::empty(),
        };
        let always = EntryBits::PRESENT | EntryBits::USER | EntryBits::ACCESSED;
        always.bits() | self.protection_bits(protection, dirty)
    }

    /// The bits that follow from a protection, for a page that is or is not dirty yet.
    #[inline]
    pub(crate) fn protection_bits(self, protection: Protection, dirty: EntryBits) -> u64 {
        let base = protection.base();
        let mut bits = dirty.bits();
        if base.is_write_copy() {
            bits = COPY_ON_WRITE;
        } else if base.allows_write() {
            bits |= self.write_bits(dirty);
        }
        if self.no_execute == NoExecute::Enforced && !base.allows_execute() {
            bits |= EntryBits::NO_EXECUTE.bits();
        }
        bits | caching_bits(protection.modifier())
    }

    #[inline]
    fn write_bits(self, dirty: EntryBits) -> u64 {
        match (self.tracking, dirty.contains(EntryBits::DIRTY)) {
            (WriteTracking::Hardware, _) => EntryBits::WRITABLE.bits(),
            (WriteTracking::Software, true) => EntryBits::WRITABLE.bits() | LOGICAL_WRITE,
            (WriteTracking::Software, false) => LOGICAL_WRITE,
        }
    }
}

#[inline]
fn caching_bits(modifier: PageModifier) -> u64 {
    match modifier {
        PageModifier::Plain | PageModifier::Guard => 0,
        PageModifier::NoCache => EntryBits::CACHE_DISABLE.bits(),
        PageModifier::WriteCombine => EntryBits::WRITE_THROUGH.bits(),
    }
}
