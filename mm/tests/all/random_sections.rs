//! Random processes that share files, images and page-file memory, from a seed, against a plain model of every byte.
//! `cargo xtask sim --sections` runs the same for as long as wanted.

use crate::section_simulator::{Setting, Sums};
use std::sync::Mutex;
use vadose_facts::ntdef::editions;

/// Runs of each edition.
const SEEDS: u64 = 3;
/// Steps of a run.
const STEPS: usize = 2500;
/// Runs at the same time.
const THREADS: usize = 2;

/// SPEC A9 A42 A43 A44 A45 C4 C5 C6 C11 C12 C13 C14 C16 C17 C18 C19 C20 C21 E27 E29 E31 F8 F9 F10 F11 F13 F18 F20
/// SPEC F24 F25 F27 F30 F32 F33 F34 F35 F36 F37 F44 F46 F47 F48 F50 F51 G13 G21 G24 G25 G28 G29 G36 I24 I25 I32 I33 I37 I38 I39 J12
/// SPEC J13: two to four processes that come and go map, change, grow, flush and close sections, with transfers
/// that end late or fail. Every page that is touched is compared with the model, whole; after every step the page tables
/// are walked, and no frame is in two processes unless a section says so.
#[test]
fn whoever_maps_a_page_sees_its_one_content_and_nobody_sees_a_copy() {
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
}
