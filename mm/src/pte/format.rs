//! The formats of invalid entries, one per family of kernels: encoding and decoding (SPEC I7 to I19).

use super::valid::ValidPte;
use super::{PrototypeLink, PrototypeState, PteState};
use vadose_facts::addr::{Pfn, VirtAddr};
use vadose_facts::ntdef::{PteProtection, SoftwarePteFormat, WriteTracking};
use vadose_facts::x86::EntryBits;

const PROTECTION_SHIFT: u32 = 5;
const PROTOTYPE: u64 = 1 << 10;
const TRANSITION: u64 = 1 << 11;
/// "The stored frame or offset is used as it is" (SPEC I13).
const SWIZZLE: u64 = 1 << 4;
/// How many eights a 4-byte subsection entry can count.
const SHORT_SUBSECTION_UNITS: u64 = 1 << 24;
/// A page-file number beside a page of 0: the content was dropped.
const LOST: u64 = 1;
const FRAME_MASK_64: u64 = 0x000f_ffff_ffff_f000;
const FRAME_MASK_32: u64 = 0xffff_f000;

/// How one edition's kernel writes and reads its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PteFormat {
    /// The family.
    pub layout: SoftwarePteFormat,
    /// Who notices first stores, for valid entries.
    pub tracking: WriteTracking,
    /// Kernel address that 4-byte subsection pointers count from.
    pub pool: VirtAddr,
}

impl PteFormat {
    /// Reads a process's entry. The order of the tests is part of the format (SPEC I7).
    #[inline]
    pub fn decode(self, raw: u64) -> PteState {
        if raw & EntryBits::PRESENT.bits() != 0 {
            return PteState::Valid(ValidPte::read(raw, self.frame(raw), self.tracking));
        }
        if raw == 0 {
            return PteState::Zero;
        }
        let protection = protection(raw);
        if raw & PROTOTYPE != 0 {
            return PteState::Prototype(self.prototype_link(raw, protection));
        }
        if raw & TRANSITION != 0 {
            return PteState::Transition { pfn: self.frame(raw), protection };
        }
        match self.page_file_slot(raw) {
            0 if protection == PteProtection::DECOMMITTED => PteState::Decommitted,
            0 => PteState::DemandZero { protection },
            slot => PteState::PageFile { file: self.page_file_number(raw), slot, protection },
        }
    }

    /// Reads a prototype entry: there bit 10 means a subsection (SPEC I17).
    #[inline]
    pub fn decode_prototype(self, raw: u64) -> PrototypeState {
        if raw & EntryBits::PRESENT.bits() != 0 {
            return PrototypeState::Active { pfn: self.frame(raw) };
        }
        if raw == 0 {
            return PrototypeState::Absent;
        }
        let protection = protection(raw);
        if raw & PROTOTYPE != 0 {
            return PrototypeState::Subsection { address: self.subsection_address(raw), protection };
        }
        if raw & TRANSITION != 0 {
            return PrototypeState::Transition { pfn: self.frame(raw), protection };
        }
        match self.page_file_slot(raw) {
            0 => PrototypeState::DemandZero { protection },
            slot => PrototypeState::PageFile { file: self.page_file_number(raw), slot, protection },
        }
    }

    /// A page whose first touch gets zeros: the protection and nothing else, so 80h for read-write (SPEC I19).
    #[inline]
    pub fn demand_zero(self, protection: PteProtection) -> u64 {
        shifted(protection)
    }

    /// A page of zeros whose content was given up and dropped: the number of a page file, and no page of it
    /// (SPEC A50, J28). A touch takes it like any page of zeros.
    pub fn lost(self, protection: PteProtection) -> u64 {
        let (number_shift, _) = self.page_file_shifts();
        shifted(protection) | LOST << number_shift
    }

    /// Whether an entry is that of a page whose content was dropped.
    pub fn is_lost(self, raw: u64) -> bool {
        match self.decode(raw) {
            PteState::DemandZero { .. } => self.page_file_number(raw) != 0,
            PteState::Zero
            | PteState::Valid(_)
            | PteState::Decommitted
            | PteState::Transition { .. }
            | PteState::PageFile { .. }
            | PteState::Prototype(_) => false,
        }
    }

    /// A decommitted page: exactly 200h (SPEC I18).
    #[inline]
    pub fn decommitted(self) -> u64 {
        shifted(PteProtection::DECOMMITTED)
    }

    /// A page that left the working set and is still in its frame (SPEC I14).
    #[inline]
    pub fn transition(self, pfn: Pfn, protection: PteProtection) -> u64 {
        pfn.base().raw() | TRANSITION | shifted(protection) | self.swizzle()
    }

    /// A page in a page file. `slot` 0 is not one (SPEC I7).
    ///
    /// # Panics
    ///
    /// If the slot is 0, or the file number or slot does not fit the format.
    #[inline]
    pub fn page_file(self, file: u8, slot: u32, protection: PteProtection) -> u64 {
        assert!(slot != 0 && file < 16, "a page-file entry names a slot");
        let (number_shift, slot_shift) = self.page_file_shifts();
        assert!(slot_shift == 32 || slot < 1 << 20, "a 4-byte entry has 20 bits of offset");
        u64::from(file) << number_shift | u64::from(slot) << slot_shift | shifted(protection) | self.swizzle()
    }

    /// The page file and the page in it that an invalid entry names, whoever's entry it is (SPEC I7, I10 to I12).
    #[inline]
    pub fn page_file_place(self, raw: u64) -> Option<(u8, u32)> {
        if raw & (EntryBits::PRESENT.bits() | PROTOTYPE | TRANSITION) != 0 {
            return None;
        }
        match self.page_file_slot(raw) {
            0 => None,
            slot => Some((self.page_file_number(raw), slot)),
        }
    }

    /// A shared page that is found through the VAD (SPEC I16).
    #[inline]
    pub fn prototype_through_vad(self, protection: PteProtection) -> u64 {
        let ones = match self.layout {
            SoftwarePteFormat::X86 => 0xffff_f000,
            SoftwarePteFormat::Wide | SoftwarePteFormat::Wide1803 => 0xffff_ffff_0000_0000,
        };
        ones | PROTOTYPE | shifted(protection) | self.swizzle()
    }

    /// A section's page that is in the mapped file; `address` is the subsection's record (SPEC I17).
    ///
    /// # Panics
    ///
    /// If a 4-byte entry cannot name the address: it counts eights from the pool, in 24 bits.
    #[inline]
    pub fn subsection(self, address: VirtAddr, protection: PteProtection) -> u64 {
        let pointer = match self.layout {
            SoftwarePteFormat::X86 => {
                let eights = address.bytes_above(self.pool).expect("a subsection is in the pool") / 8;
                assert!(eights < SHORT_SUBSECTION_UNITS, "the pool ends where entries no longer reach");
                (eights & 0xf) << 1 | (eights >> 4) << 12
            }
            SoftwarePteFormat::Wide if self.is_32_bit() => address.raw() << 32,
            SoftwarePteFormat::Wide | SoftwarePteFormat::Wide1803 => address.raw() << 16,
        };
        pointer | PROTOTYPE | shifted(protection) | self.swizzle()
    }

    /// A section's page in a frame and mapped: the form of a prototype entry while some process uses the page.
    #[inline]
    pub fn active_prototype(self, pfn: Pfn) -> u64 {
        pfn.base().raw() | (EntryBits::PRESENT | EntryBits::ACCESSED).bits()
    }

    /// Bytes of the pool that a prototype entry can name a subsection in: a 4-byte entry counts eights in 24 bits.
    #[inline]
    pub(crate) const fn subsection_reach(self) -> u64 {
        match self.layout {
            SoftwarePteFormat::X86 => SHORT_SUBSECTION_UNITS * 8,
            SoftwarePteFormat::Wide | SoftwarePteFormat::Wide1803 => u64::MAX,
        }
    }

    /// The five bits of protection in an invalid entry (SPEC I9).
    #[inline]
    pub(crate) fn stored_protection(self, raw: u64) -> PteProtection {
        protection(raw)
    }

    /// The same invalid entry with another protection.
    #[inline]
    pub(crate) fn with_protection(self, raw: u64, new: PteProtection) -> u64 {
        raw & !shifted(PteProtection::from_bits(0x1f)) | shifted(new)
    }

    /// Whether an entry keeps its page table in memory: valid and transition entries do (SPEC I24).
    #[inline]
    pub(crate) const fn pins_table(self, raw: u64) -> bool {
        raw & EntryBits::PRESENT.bits() != 0 || raw & (PROTOTYPE | TRANSITION) == TRANSITION
    }

    /// The frame in a valid or transition entry.
    #[inline]
    pub fn frame(self, raw: u64) -> Pfn {
        let mask = match self.layout {
            SoftwarePteFormat::X86 => FRAME_MASK_32,
            SoftwarePteFormat::Wide | SoftwarePteFormat::Wide1803 => FRAME_MASK_64,
        };
        Pfn::new((raw & mask) >> 12)
    }

    #[inline]
    fn is_32_bit(self) -> bool {
        self.pool.raw() >> 32 == 0
    }

    #[inline]
    fn subsection_address(self, raw: u64) -> VirtAddr {
        match self.layout {
            SoftwarePteFormat::X86 => {
                let eights = (raw >> 1) & 0xf | (raw >> 12) << 4;
                VirtAddr::new(self.pool.raw() + eights * 8)
            }
            SoftwarePteFormat::Wide if self.is_32_bit() => VirtAddr::new(raw >> 32),
            SoftwarePteFormat::Wide | SoftwarePteFormat::Wide1803 => sign_extended_48(raw),
        }
    }

    #[inline]
    fn prototype_link(self, raw: u64, protection: PteProtection) -> PrototypeLink {
        let (through_vad, address) = match self.layout {
            SoftwarePteFormat::X86 => (raw >> 12 == 0xf_ffff, self.short_prototype_address(raw)),
            SoftwarePteFormat::Wide if self.is_32_bit() => {
                (raw >> 32 == 0xffff_ffff, VirtAddr::new(raw >> 32))
            }
            SoftwarePteFormat::Wide | SoftwarePteFormat::Wide1803 => {
                (raw >> 32 == 0xffff_ffff, sign_extended_48(raw))
            }
        };
        if through_vad { PrototypeLink::ThroughVad { protection } } else { PrototypeLink::At { address } }
    }

    /// A 4-byte prototype pointer counts fours from the pool: seven bits from bit 1 up, the rest from bit 11 up.
    #[inline]
    fn short_prototype_address(self, raw: u64) -> VirtAddr {
        let fours = (raw >> 1) & 0x7f | (raw >> 11) << 7;
        VirtAddr::new(self.pool.raw() + fours * 4)
    }

    #[inline]
    fn page_file_number(self, raw: u64) -> u8 {
        let (shift, _) = self.page_file_shifts();
        ((raw >> shift) & 0xf) as u8
    }

    #[inline]
    fn page_file_slot(self, raw: u64) -> u32 {
        let (_, shift) = self.page_file_shifts();
        (raw >> shift) as u32
    }

    #[inline]
    const fn page_file_shifts(self) -> (u32, u32) {
        match self.layout {
            SoftwarePteFormat::X86 => (1, 12),
            SoftwarePteFormat::Wide => (1, 32),
            SoftwarePteFormat::Wide1803 => (12, 32),
        }
    }

    #[inline]
    const fn swizzle(self) -> u64 {
        match self.layout {
            SoftwarePteFormat::X86 | SoftwarePteFormat::Wide => 0,
            SoftwarePteFormat::Wide1803 => SWIZZLE,
        }
    }
}

#[inline]
fn protection(raw: u64) -> PteProtection {
    PteProtection::from_bits((raw >> PROTECTION_SHIFT) as u8)
}

#[inline]
const fn shifted(protection: PteProtection) -> u64 {
    (protection.bits() as u64) << PROTECTION_SHIFT
}

#[inline]
const fn sign_extended_48(raw: u64) -> VirtAddr {
    VirtAddr::new(((raw as i64) >> 16) as u64)
}

#[cfg(test)]
#[path = "format_tests.rs"]
mod tests;
