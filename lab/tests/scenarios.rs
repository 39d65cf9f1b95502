//! Every scenario file on every edition, done by the library alone and by a program inside the machine: both answer as
//! the file says.

#[path = "../../mm/tests/door/mod.rs"]
mod door;
mod support;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use support::{bits_of, finish};
use vadose_facts::ntdef::{Edition, editions};
use vadose_lab::guest::{Run, sample};
use vadose_lab::scenario::{Driver, Scenario, parse};
use vadose_machine::report::RunEnding;

#[test]
fn allocate() {
    check_file("allocate.txt");
}

/// No file is left out.
#[test]
fn every_scenario_file_has_its_test() {
    let tests = include_str!("scenarios.rs");
    for entry in fs::read_dir(folder()).expect("the folder of scenarios") {
        let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
        if name.ends_with(".txt") {
            assert!(tests.contains(&format!("check_file(\"{name}\")")), "{name} has no test");
        }
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

#[track_caller]
fn check_file(name: &str) {
    let text = fs::read_to_string(folder().join(name)).expect("a scenario file");
    let scenarios = parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(!scenarios.is_empty(), "{name} has no scenarios");
    let mut differences = String::new();
    for scenario in &scenarios {
        for edition in editions().iter().filter(|edition| scenario.is_for(edition)) {
            compare(name, scenario, edition, &mut differences);
        }
    }
    assert!(differences.is_empty(), "\n{differences}");
}

/// Adds a line for each step whose answer is another than the file's, and says by whom.
fn compare(file: &str, scenario: &Scenario, edition: &Edition, differences: &mut String) {
    for driver in [Driver::Library, Driver::Guest].into_iter().filter(|driver| scenario.is_by(*driver)) {
        let got = match driver {
            Driver::Library => by_library(scenario, edition),
            Driver::Guest => by_guest(scenario, edition),
        };
        for (index, step) in scenario.steps.iter().enumerate() {
            let (want, got) = (step.answer(edition), got.get(index).map_or("nothing", String::as_str));
            if want != got {
                let (line, words) = (step.line, &step.words);
                writeln!(
                    differences,
                    "{file}:{line}: `{words}` on {}: {driver:?} says {got}, not {want}",
                    edition.name
                )
                .expect("a string takes every write");
            }
        }
    }
}

fn by_library(scenario: &Scenario, edition: &Edition) -> Vec<String> {
    let mut world = door::World::new(edition.name);
    scenario.steps.iter().map(|step| world.step(&step.words)).collect()
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
