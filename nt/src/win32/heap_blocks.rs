//! Which pieces of a heap's memory are blocks and which are free: addresses only, so that a guest that overwrites its
//! heap spoils its own data and nothing else.

use std::collections::{BTreeMap, BTreeSet};

/// The pieces of one heap.
#[derive(Clone, Debug)]
pub(super) struct Blocks {
    granule: u64,
    used: BTreeMap<u64, Block>,
    free_by_place: BTreeMap<u64, u64>,
    free_by_size: BTreeSet<(u64, u64)>,
}

/// A block in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// Bytes that the program asked for.
    pub(super) size: u64,
    /// Bytes that it takes, with the granule in front of it.
    span: u64,
}

impl Blocks {
    /// No memory yet. Blocks are aligned to `granule` bytes, a power of two, and have as many in front of them (SPEC
    /// K15).
    pub(super) fn new(granule: u64) -> Self {
        assert!(granule.is_power_of_two(), "alignment is a power of two");
        Self { granule, used: BTreeMap::new(), free_by_place: BTreeMap::new(), free_by_size: BTreeSet::new() }
    }

    /// Bytes that a block of `size` takes; `None` if that is more than there are.
    pub(super) fn span(&self, size: u64) -> Option<u64> {
        let needed = size.max(1).checked_add(self.granule)?;
        needed.checked_next_multiple_of(self.granule)
    }

    /// Takes memory in: `bytes` from `start` on are free now.
    pub(super) fn add(&mut self, start: u64, bytes: u64) {
        assert!(start.is_multiple_of(self.granule) && bytes.is_multiple_of(self.granule));
        let (mut start, mut bytes) = (start, bytes);
        if bytes == 0 {
            return;
        }
        if let Some((before, span)) = self.free_by_place.range(..start).next_back().map(|(a, b)| (*a, *b)) {
            assert!(before + span <= start, "memory is given back once");
            if before + span == start {
                self.forget(before, span);
                (start, bytes) = (before, span + bytes);
            }
        }
        if let Some(span) = self.free_by_place.get(&(start + bytes)).copied() {
            self.forget(start + bytes, span);
            bytes += span;
        }
        self.remember(start, bytes);
    }

    /// A block from the smallest free piece that has room; `None` if there is none.
    pub(super) fn take(&mut self, size: u64) -> Option<u64> {
        let span = self.span(size)?;
        let (bytes, start) = self.free_by_size.range((span, 0)..).next().copied()?;
        self.forget(start, bytes);
        let rest = bytes - span;
        let span = if rest < 2 * self.granule { bytes } else { span };
        self.remember(start + span, bytes - span);
        let address = start + self.granule;
        let old = self.used.insert(address, Block { size, span });
        assert!(old.is_none(), "free memory holds no block");
        Some(address)
    }

    /// The block at exactly this address.
    pub(super) fn get(&self, address: u64) -> Option<Block> {
        self.used.get(&address).copied()
    }

    /// Gives a block's memory back.
    pub(super) fn give_back(&mut self, address: u64) -> Option<Block> {
        let block = self.used.remove(&address)?;
        self.add(address - self.granule, block.span);
        Some(block)
    }

    /// Changes a block's size without moving it, into free memory behind it if need be; whether that was possible.
    pub(super) fn resize(&mut self, address: u64, size: u64) -> bool {
        let (Some(block), Some(span)) = (self.get(address), self.span(size)) else { return false };
        let start = address - self.granule;
        let behind = self.free_by_place.get(&(start + block.span)).copied().unwrap_or(0);
        let room = block.span + behind;
        if span > room {
            return false;
        }
        if behind > 0 {
            self.forget(start + block.span, behind);
        }
        let span = if room - span < 2 * self.granule { room } else { span };
        self.used.insert(address, Block { size, span });
        self.remember(start + span, room - span);
        true
    }

    /// Bytes of the largest block that fits without more memory.
    pub(super) fn largest_free(&self) -> u64 {
        self.free_by_size.last().map_or(0, |(bytes, _)| bytes - self.granule)
    }

    fn remember(&mut self, start: u64, bytes: u64) {
        if bytes > 0 {
            self.free_by_place.insert(start, bytes);
            self.free_by_size.insert((bytes, start));
        }
    }

    fn forget(&mut self, start: u64, bytes: u64) {
        let known = self.free_by_place.remove(&start);
        assert_eq!(known, Some(bytes), "both indexes have the same pieces");
        assert!(self.free_by_size.remove(&(bytes, start)), "both indexes have the same pieces");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A generator of numbers that is the same every time.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, limit: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % limit
        }
    }

    fn check_whole(blocks: &Blocks, memory: &[(u64, u64)]) {
        let mut pieces: Vec<(u64, u64)> = blocks.free_by_place.iter().map(|(a, b)| (*a, *b)).collect();
        pieces.extend(blocks.used.iter().map(|(a, b)| (a - blocks.granule, b.span)));
        pieces.sort_unstable();
        let sum: u64 = pieces.iter().map(|(_, bytes)| bytes).sum();
        assert_eq!(sum, memory.iter().map(|(_, bytes)| bytes).sum::<u64>(), "every byte is in one piece");
        assert!(pieces.windows(2).all(|w| w[0].0 + w[0].1 <= w[1].0), "no two pieces overlap");
        assert_eq!(blocks.free_by_place.len(), blocks.free_by_size.len());
        let ends: Vec<u64> = blocks.free_by_place.iter().map(|(a, b)| a + b).collect();
        assert!(ends.iter().all(|end| !blocks.free_by_place.contains_key(end)), "free neighbours are joined");
    }

    /// SPEC K15: alignment of 8 and 16 bytes.
    #[test]
    fn random_blocks_never_overlap_and_all_memory_comes_back() {
        for granule in [8, 16] {
            let mut dice = Dice(granule);
            let mut blocks = Blocks::new(granule);
            let memory = [(0x1_0000, 0x8000), (0x4_0000, 0x2_0000)];
            for (start, bytes) in memory {
                blocks.add(start, bytes);
            }
            let mut live: Vec<(u64, u64)> = Vec::new();
            for step in 0..20_000 {
                let size = dice.below(2000);
                match dice.below(5) {
                    0 | 1 => live.extend(blocks.take(size).map(|at| (at, size))),
                    2 | 3 if !live.is_empty() => {
                        let (at, size) = live.swap_remove(dice.below(live.len() as u64) as usize);
                        assert_eq!(blocks.give_back(at).map(|b| b.size), Some(size));
                        assert_eq!(blocks.give_back(at), None);
                    }
                    _ if !live.is_empty() => {
                        let index = dice.below(live.len() as u64) as usize;
                        if blocks.resize(live[index].0, size) {
                            live[index].1 = size;
                        }
                    }
                    _ => {}
                }
                if step % 50 == 0 {
                    check_whole(&blocks, &memory);
                }
                for (at, size) in &live {
                    assert!(at.is_multiple_of(granule));
                    assert_eq!(blocks.get(*at).map(|b| b.size), Some(*size));
                }
            }
            for (at, _) in live {
                blocks.give_back(at).expect("a live block");
            }
            let whole: Vec<(u64, u64)> = blocks.free_by_place.into_iter().collect();
            assert_eq!(whole, memory);
        }
    }

    #[test]
    fn sizes_that_no_memory_has_are_refused() {
        let mut blocks = Blocks::new(16);
        blocks.add(0x1000, 0x1000);
        for size in [u64::MAX, u64::MAX - 16, u64::MAX - 31, 0xff1] {
            assert_eq!(blocks.take(size), None, "{size:#x}");
        }
        let whole = blocks.take(0xff0).expect("all of it");
        assert!(!blocks.resize(whole, u64::MAX));
        assert!(blocks.resize(whole, 0));
        assert_eq!(blocks.largest_free(), 0xfd0);
    }
}
