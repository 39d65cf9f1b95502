//! An address space in pieces: blocks that are reserved before the program runs, so that no free range is larger than asked.

use crate::kernel::Kernel;
use vadose_facts::addr::{GRANULARITY_BYTES, PageRange, VirtAddr};
use vadose_facts::ntdef::{AllocationType, Edition, NtStatus};
use vadose_mm::AllocateRequest;

/// Blocks of one process at most: each is a region of its own.
const MAX_BLOCKS: u64 = 1 << 16;
/// `PAGE_NOACCESS`.
const NO_ACCESS: u32 = 0x01;

/// How an address space is broken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentPattern {
    /// Bytes of the largest free range that is left: a multiple of 64 KiB and not 0.
    pub largest_bytes: u64,
    /// How far apart the blocks are.
    pub spacing: Spacing,
}

/// How far apart the blocks are that break up an address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spacing {
    /// As far as allowed, so that all of them but the last in a range leave as much.
    Even,
    /// Half as far to as far as allowed, drawn from a seed.
    Random,
}

/// Why an address space was not broken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FragmentError {
    /// It takes more blocks than are made.
    #[error("{blocks} blocks would be needed, and at most {MAX_BLOCKS} are made")]
    TooManyBlocks {
        /// As many as are needed, at the most.
        blocks: u64,
        /// Size of the user's address space.
        space_bytes: u64,
        /// A size of the largest free range that would do.
        enough_bytes: u64,
    },
    /// A block was refused.
    #[error("a block could not be reserved: {0}")]
    Refused(NtStatus),
}

/// A range that is free, as addresses of its first byte and of the first behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hole {
    start: u64,
    end: u64,
}

impl Hole {
    /// The blocks that leave nothing larger than the pattern allows: base and size. A block is 64 KiB, or what is left of
    /// the hole.
    fn blocks(self, pattern: FragmentPattern, draw: &mut Draw) -> Vec<(u64, u64)> {
        let mut blocks = Vec::new();
        let mut from = self.start;
        while self.end - from > pattern.largest_bytes {
            let gap = match pattern.spacing {
                Spacing::Even => pattern.largest_bytes,
                // The first gap is whole: the largest free range is as large as was asked for.
                Spacing::Random if blocks.is_empty() => pattern.largest_bytes,
                Spacing::Random => draw.gap(pattern.largest_bytes),
            };
            let base = (from + gap) / GRANULARITY_BYTES * GRANULARITY_BYTES;
            let size = GRANULARITY_BYTES.min(self.end - base);
            blocks.push((base, size));
            from = base + size;
        }
        blocks
    }

    /// No fewer blocks than [`blocks`](Self::blocks) makes.
    fn most_blocks(self, pattern: FragmentPattern) -> u64 {
        let size = self.end - self.start;
        let least = match pattern.spacing {
            Spacing::Even => pattern.largest_bytes,
            Spacing::Random => Draw::least(pattern.largest_bytes),
        };
        if size > pattern.largest_bytes { size / (least + GRANULARITY_BYTES) + 1 } else { 0 }
    }
}

/// Random numbers of a seed (SplitMix64).
struct Draw(u64);

impl Draw {
    /// The least gap under a largest one.
    const fn least(largest: u64) -> u64 {
        (largest / 2).next_multiple_of(GRANULARITY_BYTES)
    }

    /// A gap, in whole units of 64 KiB.
    fn gap(&mut self, largest: u64) -> u64 {
        let least = Self::least(largest);
        let choices = (largest - least) / GRANULARITY_BYTES + 1;
        least + self.next() % choices * GRANULARITY_BYTES
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

impl Kernel<'_> {
    /// Reserves blocks in the process so that no free range is larger than the pattern says; answers how many. They are
    /// regions like any other, reserved and without access, and the program can find and release them.
    ///
    /// # Errors
    ///
    /// [`FragmentError`]; nothing has changed if it takes too many blocks.
    pub fn fragment(&mut self, pattern: FragmentPattern, seed: u64) -> Result<u64, FragmentError> {
        let holes = self.holes();
        let blocks: u64 = holes.iter().map(|hole| hole.most_blocks(pattern)).sum();
        if blocks > MAX_BLOCKS {
            let space_bytes = self.nt.user_limit().raw() + 1;
            let least = (space_bytes / MAX_BLOCKS).next_power_of_two().max(GRANULARITY_BYTES);
            let enough_bytes = match pattern.spacing {
                Spacing::Even => least,
                Spacing::Random => 2 * least,
            };
            return Err(FragmentError::TooManyBlocks { blocks, space_bytes, enough_bytes });
        }
        let mut draw = Draw(seed);
        let blocks: Vec<_> = holes.iter().flat_map(|hole| hole.blocks(pattern, &mut draw)).collect();
        for &(base, size) in &blocks {
            self.reserve_block(VirtAddr::new(base), size).map_err(FragmentError::Refused)?;
        }
        Ok(blocks.len() as u64)
    }

    fn reserve_block(&mut self, base: VirtAddr, size: u64) -> Result<(), NtStatus> {
        let request = AllocateRequest {
            base: Some(base),
            size,
            zero_bits: 0,
            kind: AllocationType::RESERVE,
            protection: NO_ACCESS,
        };
        let (base, _) = self.allocate(request)?;
        self.nt.process_mut().fragments.insert(base);
        Ok(())
    }

    /// Where a program could allocate: user space without its first and last 64 KiB, and without what is there.
    fn holes(&mut self) -> Vec<Hole> {
        let end = self.nt.user_limit().raw() + 1 - GRANULARITY_BYTES;
        let regions = self.mm.regions(self.nt.process().id);
        holes_between(regions.iter().map(|region| region.range), end)
    }
}

/// What regions leave free below an end; they are sorted.
fn holes_between(regions: impl Iterator<Item = PageRange>, end: u64) -> Vec<Hole> {
    let mut holes = Vec::new();
    let mut start = Edition::MIN_USER_ADDRESS.raw();
    let ends = [(end, end)];
    let taken = regions.map(|range| (range.base().raw(), range.base().raw() + range.bytes()));
    for (base, behind) in taken.chain(ends) {
        let base = base.min(end);
        if start < base {
            holes.push(Hole { start, end: base });
        }
        start = start.max(behind);
    }
    holes
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: u64 = GRANULARITY_BYTES;

    fn pattern(units: u64, spacing: Spacing) -> FragmentPattern {
        FragmentPattern { largest_bytes: units * UNIT, spacing }
    }

    /// The sizes of what the blocks leave free.
    fn left(hole: Hole, blocks: &[(u64, u64)]) -> Vec<u64> {
        let mut from = hole.start;
        let mut left = Vec::new();
        for &(base, size) in blocks.iter().chain([&(hole.end, 0)]) {
            assert!(base >= from && base + size <= hole.end && size <= UNIT, "{base:#x} in {hole:x?}");
            left.push(base - from);
            from = base + size;
        }
        left
    }

    #[test]
    fn even_blocks_leave_gaps_of_the_size_asked_for() {
        let hole = Hole { start: UNIT, end: 30 * UNIT };
        let blocks = hole.blocks(pattern(9, Spacing::Even), &mut Draw(0));
        assert_eq!(blocks, [(10 * UNIT, UNIT), (20 * UNIT, UNIT)]);
        assert_eq!(left(hole, &blocks), [9 * UNIT, 9 * UNIT, 9 * UNIT]);
        assert_eq!(hole.blocks(pattern(29, Spacing::Even), &mut Draw(0)), [], "it is small enough");
        assert_eq!(hole.blocks(pattern(28, Spacing::Even), &mut Draw(0)).len(), 1);
    }

    #[test]
    fn no_gap_is_larger_than_asked_whatever_the_hole_and_the_seed() {
        for start in [UNIT, UNIT + 0x1000, 2 * UNIT - 0x1000] {
            for end in (2..40).flat_map(|units| [units * UNIT, units * UNIT + 0x1000, units * UNIT - 0x1000])
            {
                for units in [1, 2, 3, 7] {
                    for spacing in [Spacing::Even, Spacing::Random] {
                        let (hole, pattern) = (Hole { start, end: end.max(start) }, pattern(units, spacing));
                        let blocks = hole.blocks(pattern, &mut Draw(end));
                        let gaps = left(hole, &blocks);
                        let largest = gaps.iter().max().copied().unwrap_or_default();
                        assert!(largest <= pattern.largest_bytes, "{hole:x?} {pattern:?}: {gaps:x?}");
                        assert!(blocks.len() as u64 <= hole.most_blocks(pattern), "{hole:x?} {pattern:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn random_blocks_differ_by_seed_and_keep_one_gap_of_the_size() {
        let hole = Hole { start: UNIT, end: 10_000 * UNIT };
        let pattern = pattern(64, Spacing::Random);
        let gaps = |seed| left(hole, &hole.blocks(pattern, &mut Draw(seed)));
        assert_eq!(gaps(1), gaps(1));
        assert_ne!(gaps(1), gaps(2));
        assert_eq!(gaps(1)[0], 64 * UNIT);
        let inner = &gaps(1)[1..];
        assert!(inner[..inner.len() - 1].iter().all(|gap| (32 * UNIT..=64 * UNIT).contains(gap)));
    }

    #[test]
    fn holes_are_what_regions_leave_below_the_end() {
        let range = |first, pages| {
            PageRange::new(VirtAddr::new(first).vpn(), pages).expect("a range of the address space")
        };
        let regions = [range(UNIT, 1), range(3 * UNIT, 16), range(4 * UNIT, 16), range(9 * UNIT, 16)];
        let holes = holes_between(regions.into_iter(), 9 * UNIT);
        let expected =
            [(UNIT + 0x1000, 3 * UNIT), (5 * UNIT, 9 * UNIT)].map(|(start, end)| Hole { start, end });
        assert_eq!(holes, expected);
        assert_eq!(holes_between([].into_iter(), 2 * UNIT), [Hole { start: UNIT, end: 2 * UNIT }]);
    }
}
