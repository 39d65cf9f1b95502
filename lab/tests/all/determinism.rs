//! A run is a function of program, edition and seed; machines in one process know nothing of each other.

use crate::support::{bits_of, finish, on_each_edition};
use vadose_facts::ntdef::{Bitness, editions};
use vadose_lab::guest::{Outcome, Run, sample};
use vadose_machine::trace::TraceFormat;

/// Guests that between them use every part of the machine.
const GUESTS: [&str; 5] = ["page_states", "guard_page", "write_copy", "stack_growth", "crash"];

fn run(bits: &str, guest: &str, edition: &str, seed: u64) -> Outcome {
    finish(Run::new(&sample(bits, guest), edition).seed(seed))
}

#[test]
fn the_same_seed_gives_the_same_report() {
    on_each_edition(|edition| {
        for guest in GUESTS {
            let (one, two) = (
                run(bits_of(edition), guest, edition.name, 5),
                run(bits_of(edition), guest, edition.name, 5),
            );
            assert_eq!(one, two, "{guest} on {}", edition.name);
            let json =
                |outcome: &Outcome| serde_json::to_string(&outcome.report).expect("a report is plain data");
            assert_eq!(json(&one), json(&two));
        }
    });
}

/// With more memory in use than there is: what is trimmed, written, read back and taken is the same, step by step, and
/// watching it changes nothing.
#[test]
fn the_same_seed_gives_the_same_trace_while_pages_come_and_go() {
    on_each_edition(|edition| {
        let run = || {
            let guest = sample(bits_of(edition), "big_data");
            Run::new(&guest, edition.name).arguments(&["10"]).small_machine(8 << 20, 64 << 20).seed(5)
        };
        let traced = || run().finish_traced(TraceFormat::Lines).unwrap_or_else(|error| panic!("{error}"));
        let ((one, first), (two, second)) = (traced(), traced());
        assert!(first.contains("\"plan\":\"page-file\""), "{}: pages came back", edition.name);
        assert!(first == second, "{}: two traces", edition.name);
        assert_eq!(one, two, "{}", edition.name);
        assert_eq!(one, finish(run()), "{}: untraced", edition.name);
    });
}

/// Another seed gives other random numbers and other kernel addresses: nothing that these guests could see.
#[test]
fn another_seed_changes_no_words() {
    on_each_edition(|edition| {
        for guest in GUESTS {
            let runs = [1, u64::MAX].map(|seed| run(bits_of(edition), guest, edition.name, seed));
            assert_eq!(runs[0].output, runs[1].output, "{guest} on {}", edition.name);
            assert_eq!(runs[0].report.ending, runs[1].report.ending, "{guest} on {}", edition.name);
        }
    });
}

/// Two machines take turns in one thread, then four run at the same time.
#[test]
fn machines_in_one_process_do_not_disturb_each_other() {
    let alone: Vec<Outcome> = cases().map(|(bits, guest, edition)| run(bits, guest, edition, 9)).collect();
    let start = |(bits, guest, edition): Case| {
        Run::new(&sample(bits, guest), edition).seed(9).start().unwrap_or_else(|error| panic!("{error}"))
    };
    let started: Vec<_> = cases().map(start).collect();
    let mut together: Vec<_> =
        started.into_iter().rev().map(|one| one.finish().unwrap_or_else(|error| panic!("{error}"))).collect();
    together.reverse();
    assert_eq!(alone, together, "booted side by side");
    let beside: Vec<Outcome> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            cases().map(|(bits, guest, edition)| scope.spawn(move || run(bits, guest, edition, 9))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    assert_eq!(alone, beside, "run at the same time");
}

type Case = (&'static str, &'static str, &'static str);

/// One guest an edition.
fn cases() -> impl Iterator<Item = Case> {
    editions().iter().zip(GUESTS.iter().cycle()).map(|(edition, guest)| {
        let bits = match edition.bitness {
            Bitness::Bits32 => "x86",
            Bitness::Bits64 => "x64",
        };
        (bits, *guest, edition.name)
    })
}
