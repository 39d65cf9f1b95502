//! Who does the steps of a scenario: the library with the software MMU, the library with an engine that walks by itself,
//! and a program inside the machine.

mod oracle;
mod soft;

use crate::door::World;
use crate::support::{bits_of, finish};
use std::sync::Arc;
use vadose_cpu::GuestRam;
use vadose_facts::ntdef::Edition;
use vadose_lab::guest::{Run, sample};
use vadose_lab::scenario::{Driver, Scenario};
use vadose_machine::report::RunEnding;

/// RAM of the library's drivers: 16 MiB.
const FRAMES: u64 = 4096;

/// The answers of a driver, one a step; fewer if it stopped before.
pub(crate) fn answers(driver: Driver, scenario: &Scenario, edition: &'static Edition) -> Vec<String> {
    let steps = |mut world: World| scenario.steps.iter().map(|step| world.step(&step.words)).collect();
    let ram = || Arc::new(GuestRam::new(FRAMES).expect("16 MiB"));
    match driver {
        Driver::Library => steps(soft::world(edition, ram())),
        Driver::Oracle => steps(oracle::world(edition, ram())),
        Driver::Guest => by_guest(scenario, edition),
    }
}

fn by_guest(scenario: &Scenario, edition: &Edition) -> Vec<String> {
    let steps: String = scenario.steps.iter().map(|step| format!(" {}\n", step.words)).collect();
    let run = Run::new(&sample(bits_of(edition), "scenario"), edition.name).input(steps.as_bytes());
    let outcome = finish(run);
    let mut answers: Vec<String> = outcome.output.lines().map(str::to_owned).collect();
    if outcome.report.ending != (RunEnding::Exit { code: 0 }) {
        answers.push(format!("an end of {:?}", outcome.report.ending));
    }
    answers
}
