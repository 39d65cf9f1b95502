//! The store's frames by how much room they have: the best one for a piece is found without a search.

use super::{FRAME_UNITS, FrameKey, StoreFrame};
use crate::compression::table::Table;

const BINS: usize = FRAME_UNITS as usize + 1;

type Frames = Table<FrameKey, StoreFrame>;

/// A list of frames for each number of free units, threaded through the frames, and a bit for each list that has any.
#[derive(Debug)]
pub(super) struct Bins {
    heads: [Option<FrameKey>; BINS],
    occupied: [u64; BINS.div_ceil(64)],
}

/// A frame's neighbours in its bin.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BinLinks {
    previous: Option<FrameKey>,
    next: Option<FrameKey>,
}

impl Bins {
    pub(super) const fn new() -> Self {
        Self { heads: [None; BINS], occupied: [0; BINS.div_ceil(64)] }
    }

    /// Enters a frame by its free units.
    pub(super) fn enter(&mut self, frames: &mut Frames, key: FrameKey) {
        let bin = usize::from(frames.get(key).free_units());
        let next = self.heads[bin].replace(key);
        self.occupied[bin / 64] |= 1 << (bin % 64);
        frames.get_mut(key).links = BinLinks { previous: None, next };
        if let Some(next) = next {
            frames.get_mut(next).links.previous = Some(key);
        }
    }

    /// Takes a frame out; its free units are still those it was entered by.
    pub(super) fn leave(&mut self, frames: &mut Frames, key: FrameKey) {
        let bin = usize::from(frames.get(key).free_units());
        let BinLinks { previous, next } = std::mem::take(&mut frames.get_mut(key).links);
        match previous {
            Some(previous) => frames.get_mut(previous).links.next = next,
            None => {
                assert!(self.heads[bin] == Some(key), "a frame is in the bin of its free units");
                self.heads[bin] = next;
            }
        }
        if let Some(next) = next {
            frames.get_mut(next).links.previous = previous;
        }
        if self.heads[bin].is_none() {
            self.occupied[bin / 64] &= !(1 << (bin % 64));
        }
    }

    /// A frame with room for so many units, and the least of such.
    pub(super) fn tightest(&self, units: u16) -> Option<FrameKey> {
        let first = usize::from(units);
        let mut word = first / 64;
        let mut bits = self.occupied.get(word)? & (u64::MAX << (first % 64));
        while bits == 0 {
            word += 1;
            bits = *self.occupied.get(word)?;
        }
        self.heads[word * 64 + bits.trailing_zeros() as usize]
    }

    /// A frame with the most room of all.
    pub(super) fn roomiest(&self) -> Option<FrameKey> {
        let word = self.occupied.iter().rposition(|bits| *bits != 0)?;
        self.heads[word * 64 + self.occupied[word].ilog2() as usize]
    }

    /// All frames that are in bins, each with its bin.
    pub(super) fn walk<'a>(&'a self, frames: &'a Frames) -> impl Iterator<Item = (usize, FrameKey)> + 'a {
        (0..BINS).flat_map(move |bin| {
            let chain = std::iter::successors(self.heads[bin], |key| frames.get(*key).links.next);
            chain.map(move |key| (bin, key))
        })
    }

    /// Whether the bits say which lists have frames.
    pub(super) fn bits_are_right(&self) -> bool {
        (0..BINS).all(|bin| (self.occupied[bin / 64] >> (bin % 64) & 1 != 0) == self.heads[bin].is_some())
    }
}
