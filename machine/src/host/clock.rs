//! The guest's time and entropy: both come from the run's options alone, so that every run sees the same.

use std::cell::Cell;
use vadose_nt::Moment;

/// 2022-01-01 00:00 UTC: a date that every edition's programs accept.
const BOOT: u64 = 132_854_688_000_000_000;
/// A machine that runs programs has been on for a while: ten minutes.
const UNITS_BEFORE_START: u64 = 10 * 60 * 1_000 * Moment::PER_MILLISECOND;
/// What one look at the clock costs: a microsecond, so that a program that waits in a loop gets through.
const UNITS_PER_LOOK: u64 = 10;

/// Virtual time: it passes when the guest looks at it or sleeps, never by itself.
#[derive(Debug)]
pub(super) struct VirtualClock {
    now: Cell<u64>,
}

impl VirtualClock {
    pub(super) const fn new() -> Self {
        Self { now: Cell::new(BOOT + UNITS_BEFORE_START) }
    }

    /// When the machine was switched on. Files that the guest has not touched carry this time.
    pub(super) const fn boot() -> Moment {
        Moment::new(BOOT)
    }

    /// The time; looking takes a little of it.
    pub(super) fn now(&self) -> Moment {
        self.advance(UNITS_PER_LOOK);
        Moment::new(self.now.get())
    }

    pub(super) fn advance(&self, units: u64) {
        self.now.set(self.now.get().saturating_add(units));
    }
}

/// Random bytes from a seed, by SplitMix64 (Steele, Lea and Flood 2014).
#[derive(Debug)]
pub(super) struct Entropy {
    state: u64,
}

impl Entropy {
    /// The seed also places images and stacks; another start keeps what the guest reads apart from where it lies.
    const DOMAIN: u64 = 0x656e_7472_6f70_7921;

    pub(super) const fn new(seed: u64) -> Self {
        Self { state: seed ^ Self::DOMAIN }
    }

    pub(super) fn fill(&mut self, into: &mut [u8]) {
        for chunk in into.chunks_mut(8) {
            let bytes = self.next().to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
    }

    const fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitmix64_gives_its_published_numbers() {
        let mut entropy = Entropy { state: 1_234_567 };
        let drawn: Vec<u64> = (0..3).map(|_| entropy.next()).collect();
        assert_eq!(drawn, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
        let bytes = |seed| {
            let mut into = [0; 19];
            Entropy::new(seed).fill(&mut into);
            into
        };
        assert_eq!(bytes(7), bytes(7));
        assert_ne!(bytes(7), bytes(8));
        assert_ne!(bytes(7)[16..], [0; 3]);
    }

    #[test]
    fn time_passes_by_looking_and_sleeping_and_does_not_wrap() {
        let clock = VirtualClock::new();
        let first = clock.now();
        assert!(first > VirtualClock::boot() && clock.now() > first);
        clock.advance(5 * Moment::PER_MILLISECOND);
        assert_eq!(clock.now().milliseconds_since(first), 5);
        clock.advance(u64::MAX);
        assert_eq!(clock.now(), Moment::new(u64::MAX));
    }
}
