//! Where an image is mapped: the base that its header prefers, or one that randomisation drew (SPEC G25, G28 to G33).

use crate::draws::Draws;
use crate::state::Mm;
use vadose_facts::addr::{GRANULARITY_BYTES, PAGE_BYTES, VirtAddr};
use vadose_facts::ntdef::{Aslr, BaseDraw, Bitness, Edition, ImageRole};
use vadose_facts::pe::{FileCharacteristics, Magic, PeImage};
use vadose_facts::x86::PhysicalMemory;

/// Places near the preferred base (SPEC G32).
const NEAR_PLACES: u64 = 254;
/// Random bits of the start of a search (SPEC G34).
const BOTTOM_UP_BITS: u32 = 8;
/// The same of a process that asks for high entropy.
const HIGH_ENTROPY_BITS: u32 = 24;

/// What is placed at random in one boot.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    pub(crate) aslr: Aslr,
    /// The bias of DLLs: as many low bits of it as the edition has.
    library_bias: u64,
    programs: Draws,
    processes: Draws,
}

impl Places {
    pub(crate) fn new(aslr: Aslr, seed: u64) -> Self {
        Self {
            aslr,
            library_bias: Draws::new(seed, "library bias").bits(63),
            programs: Draws::new(seed, "programs"),
            processes: Draws::new(seed, "processes"),
        }
    }

    /// Bytes above the lowest address where the searches of a new process start.
    pub(crate) fn bottom_up_offset(&mut self, high_entropy: bool) -> u64 {
        let bits = if high_entropy { HIGH_ENTROPY_BITS } else { BOTTOM_UP_BITS };
        self.processes.bits(bits) * GRANULARITY_BYTES
    }
}

impl<R: PhysicalMemory> Mm<R> {
    /// The base for a new image that may be moved; the preferred one if nothing is drawn for it.
    pub(super) fn choose_base(&mut self, image: &PeImage) -> VirtAddr {
        let preferred = VirtAddr::new(image.image_base());
        let bytes = (u64::from(image.layout().pages()) * PAGE_BYTES).next_multiple_of(GRANULARITY_BYTES);
        let width = match image.magic() {
            Magic::Pe32 => Bitness::Bits32,
            Magic::Pe32Plus => Bitness::Bits64,
        };
        let library = image.characteristics().contains(FileCharacteristics::DLL);
        let role = if library { ImageRole::Library } else { ImageRole::Program };
        let drawn = match self.edition.base_draw(role, width, preferred) {
            None => None,
            Some(BaseDraw::Biased { low, high, bits }) => {
                let bias = (self.places.library_bias & ((1 << bits) - 1)) * GRANULARITY_BYTES;
                let taken = self.image_places();
                let below_bias = high.raw().checked_sub(bias);
                below_bias
                    .and_then(|end| highest_free(&taken, low.raw(), end, bytes))
                    .or_else(|| highest_free(&taken, low.raw(), high.raw(), bytes))
                    .or_else(|| self.draw_near(preferred, bytes))
            }
            Some(BaseDraw::Within { low, high }) => {
                let room = (high.raw() - low.raw()).checked_sub(bytes);
                room.map(|room| {
                    let slot = self.places.programs.below(room / GRANULARITY_BYTES + 1);
                    low.raw() + slot * GRANULARITY_BYTES
                })
            }
            Some(BaseDraw::NearPreferred) => self.draw_near(preferred, bytes),
        };
        drawn.map_or(preferred, VirtAddr::new)
    }

    /// Some steps above the preferred base, or below it where there is no room above (SPEC G32). What wants to be below
    /// 2 GiB stays there: any process can have it then.
    fn draw_near(&mut self, preferred: VirtAddr, bytes: u64) -> Option<u64> {
        let step = (1 + self.places.programs.below(NEAR_PLACES)) * GRANULARITY_BYTES;
        let end = if preferred < Edition::SHARED_USER_DATA {
            Edition::SHARED_USER_DATA.raw()
        } else {
            self.edition.max_user_address.raw() - GRANULARITY_BYTES + 1
        };
        let fits = |base: &u64| base.checked_add(bytes).is_some_and(|last| last <= end);
        let above = preferred.raw().checked_add(step).filter(fits);
        let below = || preferred.raw().checked_sub(step).filter(|base| *base >= GRANULARITY_BYTES);
        above.or_else(|| below().filter(fits))
    }

    /// Where the images are that live, highest first: base and end, whole allocation units.
    fn image_places(&self) -> Vec<(u64, u64)> {
        let images = self.areas.iter().filter_map(|(_, area)| area.as_image());
        let mut taken: Vec<(u64, u64)> = images
            .map(|image| {
                let bytes = u64::from(image.layout.pages()) * PAGE_BYTES;
                (image.base.raw(), image.base.raw().saturating_add(bytes.next_multiple_of(GRANULARITY_BYTES)))
            })
            .collect();
        taken.sort_unstable_by(|one, other| other.cmp(one));
        taken
    }
}

/// The highest base for so many bytes below `end` that nothing of `taken`, highest base first, overlaps.
fn highest_free(taken: &[(u64, u64)], low: u64, mut end: u64, bytes: u64) -> Option<u64> {
    for &(base, after) in taken {
        let start = end.checked_sub(bytes)?;
        if base < end && after > start {
            end = base;
        }
    }
    end.checked_sub(bytes).filter(|base| *base >= low)
}

#[cfg(test)]
mod tests {
    use super::highest_free;

    #[test]
    fn the_highest_free_place_is_below_what_is_taken() {
        let taken = [(0x90, 0xa0), (0x70, 0x80), (0x60, 0x68), (0x10, 0x100)];
        assert_eq!(highest_free(&taken[..3], 0, 0xa0, 0x10), Some(0x80));
        assert_eq!(highest_free(&taken[..3], 0, 0xa0, 0x11), Some(0x4f));
        assert_eq!(highest_free(&taken[..3], 0x50, 0xa0, 0x11), None);
        assert_eq!(highest_free(&taken, 0, 0xa0, 0x10), Some(0));
        assert_eq!(highest_free(&taken, 0, 0x8, 0x10), None);
    }
}
