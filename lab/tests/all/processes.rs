//! Guests of several processes on every edition.

use crate::support::{bits_of, check_guest, finish, on_each_edition};
use vadose_facts::ntdef::edition;
use vadose_lab::guest::{Outcome, Run, sample};
use vadose_machine::report::RunEnding;

/// Programs with an argument, of which each has more data than there is RAM for all.
const PROGRAMS: [(&str, &str); 3] = [("sort", "4096"), ("hash_map", "4096"), ("matrix", "4096")];
const RAM_BYTES: u64 = 6 << 20;
const PAGE_FILE_BYTES: u64 = 64 << 20;
const EDITIONS: [&str; 3] = ["winxp-x86", "win7-x86", "win10-x64"];

fn alone(edition_name: &str, (name, argument): (&str, &str)) -> String {
    let bits = bits_of(edition(edition_name).expect("an edition of the table"));
    finish(Run::new(&sample(bits, name), edition_name).arguments(&[argument])).output
}

/// All of them in one small machine.
fn together(edition_name: &str, seed: u64) -> Outcome {
    let bits = bits_of(edition(edition_name).expect("an edition of the table"));
    let [(first, argument), others @ ..] = PROGRAMS;
    let run = Run::new(&sample(bits, first), edition_name).arguments(&[argument]).seed(seed);
    let run = run.small_machine(RAM_BYTES, PAGE_FILE_BYTES);
    let beside = |run: Run, (name, argument): (&str, &str)| run.beside(&format!("{name}.exe"), &[argument]);
    finish(others.into_iter().fold(run, beside))
}

fn lines(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn programs_that_share_a_small_machine_compute_what_each_does_alone() {
    for name in EDITIONS {
        let expected = PROGRAMS.map(|program| alone(name, program)).concat();
        let outcome = together(name, 0);
        assert_eq!(lines(&outcome.output), lines(&expected), "{name}");
        assert_eq!(outcome.report.ending, RunEnding::Exit { code: 0 }, "{name}");
        let others = &outcome.report.others;
        assert_eq!(others.len(), 2, "{name}");
        for other in others {
            assert_eq!((&other.ending, other.parent), (&RunEnding::Exit { code: 0 }, 0), "{name}");
        }
        let paged = outcome.report.memory.paging;
        assert!(paged.pages_written > 0, "{name}: they have more data than RAM");
    }
}

#[test]
fn time_is_shared_as_the_seed_says_and_the_same_on_every_run() {
    let runs = [1, 1, 2].map(|seed| together("win10-x64", seed).report);
    assert_eq!(runs[0], runs[1], "one seed, one run");
    assert_ne!(runs[0].activity, runs[2].activity, "another seed, other slices");
}

#[test]
fn processes_start_each_other_inherit_share_and_reach_into_each_other() {
    on_each_edition(|edition| {
        check_guest(edition, "processes", &[], 0, PROCESSES);
    });
}

const PROCESSES: &str = "\
how processes start and end
  it has an id of its own
  it ended with 42
  and its thread with 42
  its number is its own while there is a handle
  and nobody's after that
  a suspended one is active
  a wait for it ends by time
  it was suspended so often: 1
  it was ended
  it ended with 13
  it cannot be ended twice
  a file that is not there is no program
handles
  one that inherits sets the event: 0
  it is set here too
  one that does not has no such handle: 6
  nor is any other handle inherited: 6
  a handle is made in another process
  and taken back
  they name one event
  the other process has none any more
  nor can an ended one get one
what is shared
  the other process saw 321
  and this one sees 322
  but the global of each is its own: 7
memory of another process
  memory was allocated there
  written
  and read
  it can be asked about
  its protection was changed
  a read-only page is not written
  it was released
  and is gone
  a handle without the right does not allocate
  nor read
  a thread there left 42
  its global was read
  it is 42
  and this process's own is 7
  the process ended with 42
  an ended process gets no memory
";
