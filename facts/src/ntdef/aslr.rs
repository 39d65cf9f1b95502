//! Address-space layout randomisation: what each edition places at random, and how widely (SPEC G28 to G35).

use super::{Bitness, Edition};
use crate::addr::{GRANULARITY_BYTES, VirtAddr};
use crate::pe::DllCharacteristics;
use bitflags::bitflags;

/// Whether places are drawn at random.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Aslr {
    /// Nothing is: every place is the first that fits, and images are where their headers want them.
    Off,
    /// What the edition does by itself.
    #[default]
    On,
    /// That, and images move that do not ask for it, where the edition can do that (SPEC G35).
    Force,
}

/// What an edition places at random.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Randomization {
    /// Process environment blocks alone: Windows XP since its second service pack.
    Environment,
    /// Images by 8 bits, stacks and heaps by 5 bits: Windows Vista and 7 (SPEC G32).
    Images,
    /// Images by up to 19 bits, and the start of every search for free space: since Windows 8 (SPEC G33, G34).
    HighEntropy,
}

bitflags! {
    /// `PROCESS_MITIGATION_ASLR_POLICY` of a process (SPEC G35).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct AslrMitigations: u32 {
        /// The search for free space starts at a place of the process's own (SPEC G34).
        const BOTTOM_UP_RANDOMIZATION = 1 << 0;
        /// Images that do not ask for randomisation are mapped as if their base were taken.
        const FORCE_RELOCATE_IMAGES = 1 << 1;
        /// That start is drawn from 24 bits.
        const HIGH_ENTROPY = 1 << 2;
        /// Images that cannot move are refused where they would have to.
        const DISALLOW_STRIPPED_IMAGES = 1 << 3;
    }
}

/// What an image is for, as its header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ImageRole {
    /// An executable.
    Program,
    /// A DLL.
    Library,
}

/// How the base of an image is drawn that randomisation moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BaseDraw {
    /// Images follow each other downwards from `high` less a bias of so many bits of 64 KiB steps, drawn once per boot,
    /// and from `high` again when `low` is reached.
    Biased {
        /// Lowest base.
        low: VirtAddr,
        /// End of the highest image.
        high: VirtAddr,
        /// Random bits of the bias.
        bits: u32,
    },
    /// Any multiple of 64 KiB from `low` on, for an image that ends at `high` at the latest.
    Within {
        /// Lowest base.
        low: VirtAddr,
        /// End of the highest image.
        high: VirtAddr,
    },
    /// 1 to 254 steps of 64 KiB from the preferred base.
    NearPreferred,
}

/// Random bits of the bias of 32-bit DLLs, and of all DLLs before Windows 8.
const SMALL_BITS: u32 = 8;
/// Random bits of the bias of 64-bit DLLs that want to be below 4 GiB, since Windows 8.
const LOW_LIBRARY_BITS: u32 = 14;
/// Random bits of the bias of other 64-bit DLLs, since Windows 8.
const LIBRARY_BITS: u32 = 19;
/// Random bits of the base of 64-bit programs, since Windows 8.
const PROGRAM_BITS: u32 = 17;
/// Bytes below the top of 64-bit user space for DLLs on Windows 7.
const WINDOWS7_LIBRARY_BYTES: u64 = 1 << 32;
const FOUR_GIB: u64 = 1 << 32;

impl Edition {
    /// How the base of an image is drawn, `None` where none is (SPEC G32, G33).
    pub const fn base_draw(&self, role: ImageRole, width: Bitness, preferred: VirtAddr) -> Option<BaseDraw> {
        let high = matches!(width, Bitness::Bits64) && preferred.raw() >= FOUR_GIB;
        match (self.randomization, role, width) {
            (Randomization::Environment, _, _) => None,
            (Randomization::HighEntropy, ImageRole::Program, _) if high => Some(self.program_range()),
            (_, ImageRole::Program, _) => Some(BaseDraw::NearPreferred),
            (Randomization::HighEntropy, ImageRole::Library, _) if high => Some(self.library_range()),
            (Randomization::HighEntropy, ImageRole::Library, Bitness::Bits64) => Some(LOW_LIBRARIES),
            (Randomization::Images, ImageRole::Library, _) if high => Some(self.windows7_library_range()),
            (_, ImageRole::Library, _) => Some(CLASSIC_LIBRARIES),
        }
    }

    /// The policy of a new process, by what its program's header says (SPEC G34, G35). Editions before Windows 8 have none.
    pub const fn aslr_mitigations(&self, aslr: Aslr, program: DllCharacteristics) -> AslrMitigations {
        let dynamic = program.contains(DllCharacteristics::DYNAMIC_BASE);
        let forced = matches!(aslr, Aslr::Force);
        let applies = matches!(self.randomization, Randomization::HighEntropy);
        if !applies || matches!(aslr, Aslr::Off) || !(dynamic || forced) {
            return AslrMitigations::empty();
        }
        let mut policy = AslrMitigations::BOTTOM_UP_RANDOMIZATION;
        if forced {
            policy = policy.union(AslrMitigations::FORCE_RELOCATE_IMAGES);
        }
        if matches!(self.bitness, Bitness::Bits64) && program.contains(DllCharacteristics::HIGH_ENTROPY_VA) {
            policy = policy.union(AslrMitigations::HIGH_ENTROPY);
        }
        policy
    }

    /// First address after 64-bit user space, the last 64 KiB that nobody may use included.
    const fn user_end(&self) -> u64 {
        self.max_user_address.raw() + 1 + GRANULARITY_BYTES
    }

    const fn library_range(&self) -> BaseDraw {
        let end = self.user_end();
        let low = VirtAddr::new(end - (GRANULARITY_BYTES << LIBRARY_BITS));
        BaseDraw::Biased { low, high: VirtAddr::new(end - 2 * GRANULARITY_BYTES), bits: LIBRARY_BITS }
    }

    /// Just below the DLLs.
    const fn program_range(&self) -> BaseDraw {
        let high = self.user_end() - (GRANULARITY_BYTES << LIBRARY_BITS);
        let low = high - (GRANULARITY_BYTES << PROGRAM_BITS);
        BaseDraw::Within { low: VirtAddr::new(low), high: VirtAddr::new(high) }
    }

    /// The 4 GiB that end 4 GiB below the end of user space, near where its DLLs are seen.
    const fn windows7_library_range(&self) -> BaseDraw {
        let high = self.user_end() - WINDOWS7_LIBRARY_BYTES;
        let low = high - WINDOWS7_LIBRARY_BYTES;
        BaseDraw::Biased { low: VirtAddr::new(low), high: VirtAddr::new(high), bits: SMALL_BITS }
    }
}

/// 32-bit DLLs, and 64-bit ones before Windows 8 that want to be below 4 GiB (SPEC G32).
const CLASSIC_LIBRARIES: BaseDraw =
    BaseDraw::Biased { low: VirtAddr::new(0x5000_0000), high: VirtAddr::new(0x7800_0000), bits: SMALL_BITS };

/// 2^14 places below `KUSER_SHARED_DATA` (SPEC G33).
const LOW_LIBRARIES: BaseDraw = BaseDraw::Biased {
    low: VirtAddr::new(Edition::SHARED_USER_DATA.raw() - (GRANULARITY_BYTES << LOW_LIBRARY_BITS)),
    high: Edition::SHARED_USER_DATA,
    bits: LOW_LIBRARY_BITS,
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ntdef::{edition, editions};

    fn draw(name: &str, role: ImageRole, preferred: u64) -> Option<BaseDraw> {
        let edition = edition(name).expect("an edition");
        edition.base_draw(role, edition.bitness, VirtAddr::new(preferred))
    }

    /// SPEC G32 G33: the bias of DLLs by edition, width and preferred base; Windows XP moves nothing.
    #[test]
    fn editions_draw_bases_from_so_many_bits() {
        let bits = |name, preferred| match draw(name, ImageRole::Library, preferred) {
            Some(BaseDraw::Biased { bits, .. }) => bits,
            Some(BaseDraw::Within { .. } | BaseDraw::NearPreferred) | None => 0,
        };
        assert_eq!([bits("winxp-x86", 0x1000_0000), bits("winxp-x86-pae", 0x1000_0000)], [0, 0]);
        assert_eq!([bits("win7-x86", 0x1000_0000), bits("win7-x64", 0x1_8000_0000)], [8, 8]);
        for name in ["win8-x64", "win10-x64"] {
            assert_eq!([bits(name, 0x1_8000_0000), bits(name, 0x1000_0000)], [19, 14]);
            let edition = edition(name).expect("an edition");
            let small = edition.base_draw(ImageRole::Library, Bitness::Bits32, VirtAddr::new(0x1000_0000));
            assert_eq!(small, Some(CLASSIC_LIBRARIES), "32-bit images have 8 bits");
        }
    }

    /// SPEC G32 G33: what is drawn lies in user space, whole, with room for the bias.
    #[test]
    fn ranges_lie_in_user_space() {
        for edition in editions() {
            for role in [ImageRole::Program, ImageRole::Library] {
                for preferred in [0x40_0000, 0x1_4000_0000] {
                    let preferred = VirtAddr::new(preferred);
                    let (low, high, room) = match edition.base_draw(role, edition.bitness, preferred) {
                        Some(BaseDraw::Biased { low, high, bits }) => (low, high, GRANULARITY_BYTES << bits),
                        Some(BaseDraw::Within { low, high }) => {
                            (low, high, GRANULARITY_BYTES << PROGRAM_BITS)
                        }
                        Some(BaseDraw::NearPreferred) | None => continue,
                    };
                    assert!(high.raw() <= edition.max_user_address.raw() - GRANULARITY_BYTES + 1, "{role:?}");
                    assert!(high.raw() - low.raw() + 2 * GRANULARITY_BYTES >= room, "{role:?}");
                }
            }
        }
    }

    /// SPEC G34 G35: a process is randomised from below if its program moves, by 24 bits if it asks for them.
    #[test]
    fn the_programs_header_decides_the_policy() {
        use AslrMitigations as M;
        use DllCharacteristics as D;
        let of = |name, aslr, flags| edition(name).expect("an edition").aslr_mitigations(aslr, flags);
        let wide = D::DYNAMIC_BASE | D::HIGH_ENTROPY_VA;
        assert_eq!(of("win10-x64", Aslr::On, wide), M::BOTTOM_UP_RANDOMIZATION | M::HIGH_ENTROPY);
        assert_eq!(of("win10-x64", Aslr::On, D::DYNAMIC_BASE), M::BOTTOM_UP_RANDOMIZATION);
        assert_eq!(of("win8-x64", Aslr::On, D::HIGH_ENTROPY_VA), M::empty());
        assert_eq!(of("win10-x64", Aslr::Off, wide), M::empty());
        assert_eq!(of("win7-x64", Aslr::Force, wide), M::empty());
        let forced = of("win8-x64", Aslr::Force, D::empty());
        assert_eq!(forced, M::BOTTOM_UP_RANDOMIZATION | M::FORCE_RELOCATE_IMAGES);
    }
}
