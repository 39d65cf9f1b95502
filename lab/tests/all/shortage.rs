//! Shortage on demand: a guest that is good and bad at it, fails what it is told to, and says who asked.

use crate::support::{bits_of, check_guest, finish, on_each_edition};
use std::time::Duration;
use vadose_facts::ntdef::{Edition, LargeAddressAware, edition};
use vadose_lab::guest::{Outcome, Run, sample};
use vadose_machine::Compression;
use vadose_machine::report::{FailureReport, RunEnding};

/// A guest that hangs is stopped after this.
const PATIENCE: Duration = Duration::from_secs(2);

fn scarce(edition: &Edition, arguments: &[&str]) -> Run {
    Run::new(&sample(bits_of(edition), "scarce"), edition.name).arguments(arguments)
}

/// The one failure of a run.
#[track_caller]
fn the_failure(outcome: &Outcome) -> &FailureReport {
    let [failure] = &outcome.report.shortage.failures[..] else {
        panic!("one failure: {:?}", outcome.report.shortage)
    };
    failure
}

const ALL_DONE: &str = "\
careful: done
careless: done
naive: done
lossy: room for 4096
stubborn: done
patient: done
";

#[test]
fn nothing_fails_unless_it_is_ordered_to() {
    on_each_edition(|edition| {
        let told = check_guest(edition, "scarce", &[], 0, ALL_DONE);
        assert_eq!(told.outcome.report.shortage, Default::default());
        let counted = finish(scarce(edition, &[]).failing(&["alloc:1000"]));
        assert_eq!((counted.output.as_str(), counted.report.shortage.failed), (ALL_DONE, 0));
        assert_eq!(counted.report.shortage.unused, ["alloc:1000"]);
        assert_eq!(counted.report.shortage.requests[0].count, 8);
    });
}

/// What becomes of the guest when one of its eight requests fails.
#[derive(Clone, Copy, Debug)]
enum End {
    Exit(u32),
    Crash,
    Hang,
}

const ENDS: [(&str, &str, End, &str); 8] = [
    ("HeapAlloc", "STATUS_NO_MEMORY", End::Exit(0), "patient: done"),
    ("VirtualAlloc", "STATUS_NO_MEMORY", End::Exit(3), "honest: no table, last error 8"),
    ("VirtualAlloc", "STATUS_COMMITMENT_LIMIT", End::Crash, "careful: done"),
    ("HeapAlloc", "STATUS_NO_MEMORY", End::Crash, "careless: done"),
    ("HeapAlloc", "STATUS_NO_MEMORY", End::Exit(1), "lossy: HeapAlloc failed, last error 8"),
    ("HeapReAlloc", "STATUS_NO_MEMORY", End::Exit(0), "lossy: room for 8"),
    ("HeapAlloc", "STATUS_NO_MEMORY", End::Exit(0), "patient: done"),
    ("VirtualAlloc", "STATUS_NO_MEMORY", End::Hang, "stubborn: done"),
];

#[test]
fn each_request_fails_by_itself_and_the_guest_fares_as_it_was_written() {
    on_each_edition(|edition| {
        for (number, (call, status, end, words)) in (1..).zip(ENDS) {
            let rule = format!("alloc:{number}");
            let outcome = finish(scarce(edition, &[]).failing(&[&rule]).time_limit(PATIENCE));
            let failure = the_failure(&outcome);
            assert_eq!(
                (failure.call, failure.name.as_str()),
                (Some(call), status),
                "{rule} on {}",
                edition.name
            );
            let as_expected = match (end, &outcome.report.ending) {
                (End::Exit(code), RunEnding::Exit { code: own }) => code == *own,
                (End::Crash, RunEnding::Crash(crash)) => crash.name == "STATUS_ACCESS_VIOLATION",
                (End::Hang, RunEnding::TimedOut) => true,
                _ => false,
            };
            assert!(as_expected, "{rule} on {}: {:?} and not {end:?}", edition.name, outcome.report.ending);
            assert!(outcome.output.contains(words), "{rule} on {}: {}", edition.name, outcome.output);
        }
    });
}

/// The guest prints where each of its functions returns to; the report tells the same: by unwind tables on x64, by
/// frames on x86.
#[test]
fn the_call_stack_of_a_failure_is_the_guests_own() {
    on_each_edition(|edition| {
        let outcome = finish(scarce(edition, &["1"]).failing(&["alloc:1"]));
        // Outermost first, as they were called.
        let mut printed: Vec<String> = outcome
            .output
            .lines()
            .map(|line| format!("scarce.exe+{}", line.strip_prefix("returns to ").expect("an address")))
            .collect();
        printed.reverse();
        let stack: Vec<String> = the_failure(&outcome)
            .stack
            .iter()
            .map(|code| code.place.clone().expect("every caller is in an image"))
            .collect();
        assert_eq!(printed.len(), 3, "{}", outcome.output);
        assert_eq!(stack[1..4], printed, "on {}: {stack:?}", edition.name);
        assert!(stack[0].starts_with("scarce.exe+0x"), "the innermost function asked: {stack:?}");
    });
}

/// SPEC E27: a page of the program that cannot be read is an exception where it is touched, with the device's status; the
/// program goes on when it is read after all, and nothing else is any different.
#[test]
fn an_unreadable_page_hits_the_one_that_touches_it() {
    on_each_edition(|edition| {
        let good = finish(scarce(edition, &["2"]).failing(&["image-read:1000"]));
        assert_eq!(good.output, "the sum is 10\n");
        let reads = good.report.shortage.requests[0].count;
        let hit = |number: u64| finish(scarce(edition, &["2"]).failing(&[&format!("image-read:{number}")]));
        let first = hit(1);
        let RunEnding::Crash(crash) = &first.report.ending else { panic!("{:?}", first.report.ending) };
        assert_eq!(crash.name, "STATUS_IN_PAGE_ERROR", "the entry point on {}", edition.name);
        assert_eq!(crash.parameters[2], 0xc000_009c);
        for page in 0..4 {
            let outcome = hit(reads - 3 + page);
            let words = format!(
                "in-page error: 3 parameters, access 0, page {page}, status 0xc000009c\nthe sum is 10\n"
            );
            assert_eq!(outcome.output, words, "on {}", edition.name);
            assert_eq!(outcome.report.ending, good.report.ending);
            assert!(the_failure(&outcome).subject.starts_with(r"C:\work\scarce.exe at 0x"));
        }
    });
}

/// A request of 1 MiB fails where no free range is as large, and is met where one is.
#[test]
fn an_address_space_in_pieces_is_seen_by_the_guest() {
    on_each_edition(|edition| {
        let run = |largest| finish(scarce(edition, &[]).in_pieces(largest, LargeAddressAware::No));
        let small = run(1 << 19);
        assert_eq!(small.report.ending, RunEnding::Exit { code: 3 }, "{}", small.output);
        assert!(small.output.ends_with("honest: no table, last error 8\n"));
        let blocks = small.report.map.regions.iter().filter(|region| region.purpose == "fragment");
        assert!(blocks.clone().count() > 3000 && blocks.clone().all(|block| block.size <= 0x1_0000));
        assert_eq!(run(2 << 20).output, ALL_DONE, "on {}", edition.name);
    });
}

/// Loading, threads and heaps with each of their charges refused and each of their pages unreadable once: whatever the
/// guest makes of it, the memory manager's records agree at the end, as the door of these runs sees to.
#[test]
fn whatever_fails_the_records_agree() {
    for name in ["winxp-x86", "win10-x64"] {
        let edition = edition(name).expect("known");
        for guest in ["load_library", "thread_calls", "callbacks", "scarce"] {
            for kind in ["alloc", "commit", "image-read"] {
                let run = |rule: String| {
                    let program = sample(bits_of(edition), guest);
                    finish(Run::new(&program, name).failing(&[&rule]).time_limit(PATIENCE))
                };
                let requests = run(format!("{kind}:1000000")).report.shortage.requests[0].count;
                for number in 1..=requests {
                    let outcome = run(format!("{kind}:{number}"));
                    assert_eq!(outcome.report.shortage.failed, 1, "{kind}:{number} of {guest} on {name}");
                }
                run(format!("{kind}:every=1"));
            }
        }
    }
}

/// Under pressure, with transfers of page files that fail here and there: a program prints what it always prints, or dies
/// of an in-page error; what it reads is never wrong, and it leaves nothing behind.
#[test]
fn a_page_that_cannot_be_moved_is_never_a_wrong_one() {
    const KIB: &str = "9000";
    for name in ["winxp-x86", "win7-x86", "win10-x64"] {
        let program = sample(bits_of(edition(name).expect("known")), "sort");
        let run = |rules: &[&str]| {
            let short = Run::new(&program, name).arguments(&[KIB]).small_machine(5 << 20, 64 << 20);
            finish(short.compression(Compression::Off).failing(rules))
        };
        let counted = run(&["pagefile-read:1000000", "pagefile-write:1000000"]);
        assert_eq!(counted.report.ending, RunEnding::Exit { code: 0 }, "{}", counted.output);
        let count = |index: usize| counted.report.shortage.requests[index].count;
        let mut rules: Vec<String> =
            ["pagefile-write:1", "pagefile-write:every=2"].map(str::to_owned).to_vec();
        for part in [1, 4, 7] {
            rules.push(format!("pagefile-read:{}", count(0) * part / 8));
            rules.push(format!("pagefile-write:{}", count(1) * part / 8));
        }
        rules.push(format!("pagefile-read:every={}", count(0) / 3));
        for rule in rules {
            let outcome = run(&[&rule]);
            assert!(outcome.report.shortage.failed > 0, "{rule} on {name}");
            match &outcome.report.ending {
                RunEnding::Exit { code: 0 } => assert_eq!(outcome.output, counted.output, "{rule} on {name}"),
                RunEnding::Crash(crash) => assert_eq!(crash.name, "STATUS_IN_PAGE_ERROR", "{rule} on {name}"),
                other => panic!("{rule} on {name}: {other:?}: {}", outcome.output),
            }
        }
    }
}

#[test]
fn the_same_failures_give_the_same_report() {
    on_each_edition(|edition| {
        let run = || finish(scarce(edition, &[]).failing(&["alloc:every=3", "commit:2", "image-read:2"]));
        assert_eq!(run(), run());
    });
}
