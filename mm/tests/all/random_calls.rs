//! Random calls from a seed, against a plain model: every answer, every region, every charge and every byte must be the
//! model's, and the records agree after every step. `cargo xtask sim` runs the same for as long as wanted.

use crate::simulator::Setting;
use vadose_facts::ntdef::editions;

/// Runs of each edition.
const SEEDS: u64 = 8;
/// Steps of a run.
const STEPS: usize = 2000;

/// SPEC A18 A22 A28 A29 A30 A31 A38 A53 A54 A56 A63 B4 B5 B7 B14 B15 B19 B20 B21 B23 C4 C5 C6 C17 C18 C19 D4 D8 E5 E11 E13
/// E15 E17 E18 E29 F44 G21 I24 I29 J5 J6 J7 J8 J10 J12 J21 J31
/// J33 J34 J36: the answer, the regions, the charges and the bytes are the
/// plain model's after each of thousands of calls by three processes, and the end of a process leaves nothing charged.
#[test]
fn no_sequence_of_calls_tells_the_memory_manager_from_the_model() {
    std::thread::scope(|scope| {
        for edition in editions() {
            scope.spawn(move || {
                for seed in 0..SEEDS {
                    if let Err(failure) = Setting::drawn(edition, seed).simulate(STEPS) {
                        panic!("{failure}");
                    }
                }
            });
        }
    });
}
