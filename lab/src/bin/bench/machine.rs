//! Whole machines: the speed of a guest's own code, and what a service costs a program.

use crate::bare::Bare;
use crate::report::{Goal, Row, in_turns};
use std::time::Instant;
use vadose_facts::ntdef::Bitness;
use vadose_lab::guest::{Run, sample};

/// Turns of the guest's loop, eight instructions each.
const TURNS: u64 = 60_000_000;

/// Instructions of a turn.
const TURN_INSTRUCTIONS: u64 = 8;

/// The guest's loop on each width, beside the same loop in bare Unicorn.
pub(crate) fn rows() -> Vec<Row> {
    [("x64", "win10-x64", Bitness::Bits64), ("x86", "win7-x86", Bitness::Bits32)]
        .map(|(bits, edition, bitness)| {
            let (ours, theirs) = in_turns(|| guest_loop(bits, edition), || bare_loop(bitness));
            let work = format!("int_loop.exe on {edition}");
            Row::new(work, "MIPS", ours, "the same loop, Unicorn, flat memory", theirs, Goal::AtLeast(0.95))
        })
        .into()
}

fn guest_loop(bits: &str, edition: &str) -> f64 {
    let time = |turns: u64| {
        let run = Run::new(&sample(bits, "int_loop"), edition).arguments(&[&turns.to_string()]);
        let started = run.start().unwrap_or_else(|error| panic!("the sample guest starts: {error}"));
        let began = Instant::now();
        started.finish().unwrap_or_else(|error| panic!("the sample guest runs: {error}"));
        began.elapsed().as_secs_f64()
    };
    // Start and end of the program are not of the loop.
    let rest = time(1);
    mips(time(TURNS) - rest)
}

fn bare_loop(bitness: Bitness) -> f64 {
    let mut bare = Bare::flat(bitness);
    bare.load_integer_loop(TURNS);
    let began = Instant::now();
    bare.run_to_end();
    mips(began.elapsed().as_secs_f64())
}

fn mips(seconds: f64) -> f64 {
    (TURNS * TURN_INSTRUCTIONS) as f64 / seconds / 1e6
}
