//! Random programs that share little RAM, from a seed: what the guest wrote is what it reads, whatever becomes of the
//! transfers. `cargo xtask sim --paging` runs the same for as long as wanted.

use crate::paging_simulator::{Setting, Sums};
use std::sync::Mutex;
use vadose_facts::ntdef::editions;

/// Runs of each edition.
const SEEDS: u64 = 14;
/// Steps of a run.
const STEPS: usize = 12_000;
/// Runs at the same time.
const THREADS: usize = 2;

/// SPEC A37 A47 A50 E13 E27 F46 F48 I24 I28 I29 I32 I33 I35 I40 J3 J5 J7 J8 J10 J11 J14 J15 J16 J27 J28 J29 J33 J36 J40:
/// two to four processes with more data than RAM, transfers that end late and in any order, reads and writes that fail.
/// Every page holds what was stored last, every frame is in one place, and nothing is left behind.
#[test]
fn whatever_becomes_of_the_transfers_a_page_holds_what_was_stored_last() {
    let wanted: Vec<Setting> = (0..SEEDS)
        .flat_map(|seed| editions().iter().map(move |edition| Setting::drawn(edition, seed)))
        .collect();
    let sums = Mutex::new(Sums::default());
    std::thread::scope(|scope| {
        for first in 0..THREADS {
            let (wanted, sums) = (&wanted, &sums);
            scope.spawn(move || {
                for setting in wanted.iter().skip(first).step_by(THREADS) {
                    match setting.simulate(STEPS) {
                        Ok(run) => sums.lock().expect("no run panics").add(&run),
                        Err(failure) => panic!("{failure}"),
                    }
                }
            });
        }
    });
    let sums = sums.into_inner().expect("no run panicked");
    assert_eq!(sums.missing(), Vec::<&str>::new(), "everything that a run is for happened: {sums}");
    assert!(sums.steps >= 1_000_000, "{sums}");
}
