//! Random calls from a seed: whatever a guest asks, nothing panics and the records agree after every step.

mod door;

use door::World;
use vadose_facts::ntdef::{LargeAddressAware, editions};

/// The SplitMix64 generator.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let a = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let b = (a ^ (a >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        b ^ (b >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn pick<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[usize::try_from(self.below(words.len() as u64)).expect("a small index")]
    }
}

const PROTECTIONS: [&str; 12] = ["na", "r", "rw", "rw", "rw", "x", "xr", "xrw", "wc", "r+g", "rw+g", "rw+nc"];

/// Addresses cluster in 32 pages, so that calls meet; a few lie at the edges.
fn address(random: &mut Random) -> String {
    match random.below(20) {
        0 => random
            .pick(&["@0", "@ffff", "@7ffe0000", "@7ffdffff", "@7ffeffff", "@80000000", "@ffffffff"])
            .to_owned(),
        _ => format!("@{:x}", 0x5000_0000 + random.below(32) * 0x1000 + random.below(3)),
    }
}

fn size(random: &mut Random) -> String {
    match random.below(16) {
        0 => "0".to_owned(),
        1 => "ffffffff".to_owned(),
        2 => "8M".to_owned(),
        _ => format!("{:x}", random.below(12 * 0x1000)),
    }
}

fn step(random: &mut Random) -> String {
    let (at, bytes) = (address(random), size(random));
    let protection = random.pick(&PROTECTIONS);
    match random.below(12) {
        0 => format!("reserve {bytes} {protection} at {at}"),
        1 => format!("alloc {bytes} {protection} at {at}"),
        2 => format!("alloc {bytes} {protection} {}", random.pick(&["", "top", "zero 1", "top zero c"])),
        3 | 4 => format!("commit {at} {bytes} {protection}"),
        5 => format!("decommit {at} {bytes}"),
        6 => format!("release {at} {}", if random.below(2) == 0 { "0".to_owned() } else { bytes }),
        7 => format!("protect {at} {bytes} {protection}"),
        8 => format!("query {at}"),
        9 => format!("raw {:x} {protection} {at} {bytes}", random.next() as u32 & 0x2078_f000),
        _ => format!("{} {at}", random.pick(&["read", "write", "exec"])),
    }
}

fn run(edition: &str, seed: u64, steps: usize) {
    let mut random = Random(seed);
    let mut world = World::new(edition);
    let mut done: Vec<String> = Vec::new();
    for _ in 0..steps {
        let next = step(&mut random);
        done.push(next.clone());
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.step(&next)));
        assert!(outcome.is_ok(), "seed {seed} on {edition}: {}", done.join("; "));
        if random.below(64) == 0 {
            world.end_process();
            world.start_process(LargeAddressAware::Yes);
        }
    }
}

/// SPEC I24 I29 J12: counts of frames, shares, tables and charges are recomputed after every one of thousands of calls.
#[test]
fn no_sequence_of_calls_breaks_the_records() {
    for edition in editions() {
        for seed in 0..6 {
            run(edition.name, seed, 250);
        }
    }
}
