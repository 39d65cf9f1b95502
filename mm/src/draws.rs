//! Numbers drawn from the boot's seed: the same seed gives the same numbers in the same order.

/// A stream of random numbers. Streams of one seed that have different names say nothing of each other.
#[derive(Clone, Debug)]
pub struct Draws {
    key: u64,
    drawn: u64,
}

impl Draws {
    /// The stream of a seed and a name.
    pub fn new(seed: u64, name: &str) -> Self {
        let name = name.bytes().fold(0, |key, byte| scramble(key ^ u64::from(byte)));
        Self { key: scramble(scramble(seed) ^ name), drawn: 0 }
    }

    /// A number of so many bits, 63 at most.
    pub fn bits(&mut self, bits: u32) -> u64 {
        self.next() & ((1 << bits.min(63)) - 1)
    }

    /// A number below a limit, 0 if that is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next().checked_rem(limit).unwrap_or(0)
    }

    fn next(&mut self) -> u64 {
        self.drawn += 1;
        scramble(self.key.wrapping_add(self.drawn))
    }
}

/// Mixes a counter into a pseudo-random number: the finaliser of the SplitMix64 generator (public domain).
pub(crate) const fn scramble(counter: u64) -> u64 {
    let a = counter.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let b = (a ^ (a >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let c = (b ^ (b >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    c ^ (c >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_repeats_and_differs_from_others() {
        let first = |seed, name| Draws::new(seed, name).bits(63);
        assert_eq!(first(1, "a"), first(1, "a"));
        assert_ne!(first(1, "a"), first(2, "a"));
        assert_ne!(first(1, "a"), first(1, "b"));
        let mut draws = Draws::new(7, "a");
        assert!((0..1000).all(|_| draws.below(254) < 254));
        assert_eq!((draws.bits(0), draws.below(0)), (0, 0));
    }
}
