//! The one door of guest tests: a guest on an edition, what it must print, and how it must end.

mod template;

pub(crate) use template::Facts;

use std::io::Write as _;
use std::path::PathBuf;
use vadose_facts::ntdef::{Bitness, Edition, editions};
use vadose_lab::download::{DownloadError, Pin, fetch};
use vadose_lab::guest::{Outcome, Run, sample};
use vadose_machine::report::{AddressSpaceMap, MapRegion, RunEnding};

/// A finished guest and the numbers that it told.
pub(crate) struct Told {
    pub(crate) outcome: Outcome,
    pub(crate) facts: Facts,
}

/// The folder of sample guests that an edition runs.
pub(crate) fn bits_of(edition: &Edition) -> &'static str {
    match edition.bitness {
        Bitness::Bits32 => "x86",
        Bitness::Bits64 => "x64",
    }
}

/// Runs a sample guest and checks its exit code and its words. `{name}` in the words stands for a number that the guest
/// tells, the same at each place; `{name+1f}` for one that is so much more.
#[track_caller]
pub(crate) fn check_guest(
    edition: &Edition,
    guest: &str,
    arguments: &[&str],
    code: u32,
    words: &str,
) -> Told {
    let program = sample(bits_of(edition), guest);
    let outcome = finish(Run::new(&program, edition.name).arguments(arguments));
    assert_eq!(
        outcome.report.ending,
        RunEnding::Exit { code },
        "{guest} on {}: {}",
        edition.name,
        outcome.output
    );
    tell(edition, guest, outcome, words)
}

/// Compares what a guest said with the words.
#[track_caller]
pub(crate) fn tell(edition: &Edition, guest: &str, outcome: Outcome, words: &str) -> Told {
    assert_eq!(outcome.error, "", "{guest} on {} complained", edition.name);
    match Facts::read(words, &outcome.output) {
        Ok(facts) => Told { outcome, facts },
        Err(difference) => panic!("{guest} on {}: {difference}", edition.name),
    }
}

/// Runs to the end; loading must succeed.
#[track_caller]
pub(crate) fn finish(run: Run) -> Outcome {
    match run.finish() {
        Ok(outcome) => outcome,
        Err(error) => panic!("the guest did not start: {error}"),
    }
}

/// Runs a check on every edition.
pub(crate) fn on_each_edition(mut check: impl FnMut(&'static Edition)) {
    for edition in editions() {
        check(edition);
    }
}

/// The region of a map that holds an address.
#[track_caller]
pub(crate) fn region_at(map: &AddressSpaceMap, address: u64) -> &MapRegion {
    let holds = |region: &&MapRegion| (region.address..region.address + region.size).contains(&address);
    map.regions.iter().find(holds).unwrap_or_else(|| panic!("no region at {address:#x}"))
}

/// A downloaded file, or `None` where the network is forbidden and it is not there.
#[track_caller]
pub(crate) fn downloaded(pin: &Pin) -> Option<PathBuf> {
    match fetch(pin) {
        Ok(path) => Some(path),
        Err(error @ DownloadError::Offline { .. }) => {
            skipped(&error.to_string());
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// Past the test harness, which would swallow it: a test that checked nothing must say so.
pub(crate) fn skipped(why: &str) {
    writeln!(std::io::stderr(), "skipped: {why}").expect("standard error is there");
}
