//! Every scenario file on every edition, done by the library alone, by an engine over its page tables, and by a program
//! inside the machine: all answer as the file says.

use crate::drivers;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use vadose_facts::ntdef::{Edition, editions};
use vadose_lab::scenario::{Driver, Scenario, parse};

#[test]
fn allocate() {
    check_file("allocate.txt");
}

#[test]
fn free() {
    check_file("free.txt");
}

#[test]
fn protect() {
    check_file("protect.txt");
}

#[test]
fn query() {
    check_file("query.txt");
}

#[test]
fn faults() {
    check_file("faults.txt");
}

#[test]
fn instructions() {
    check_file("instructions.txt");
}

#[test]
fn win32() {
    check_file("win32.txt");
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
fn compare(file: &str, scenario: &Scenario, edition: &'static Edition, differences: &mut String) {
    let drivers = [Driver::Library, Driver::Oracle, Driver::Guest];
    for driver in drivers.into_iter().filter(|driver| scenario.is_by(*driver)) {
        let got = drivers::answers(driver, scenario, edition);
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
