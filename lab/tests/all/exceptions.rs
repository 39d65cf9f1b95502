//! Exceptions on the built-in DLLs: a guest that tells what its handlers see, and the ends that exceptions lead to.

use crate::support::{Told, bits_of, check_guest, finish, on_each_edition, tell};
use vadose_facts::ntdef::{Bitness, Edition};
use vadose_lab::guest::{Run, sample};
use vadose_machine::report::{CrashReport, RunEnding};

/// SPEC E1 E5 E18: records, contexts, order and nesting as handlers see them.
#[test]
fn handlers_see_exact_records_and_their_contexts_count() {
    on_each_edition(|edition| {
        // 32-bit kernels add ECX and EDX to a breakpoint's record: what the guest called with.
        let more = match edition.bitness {
            Bitness::Bits32 => " 0x33 0x0",
            Bitness::Bits64 => "",
        };
        check_guest(edition, "exceptions", &[], 0, &EXCEPTIONS.replace("MORE", more));
    });
}

const EXCEPTIONS: &str = "\
order
  handlers: first second last after after-all
  a handler is not in the other list
  nor the other way round
  not removed twice
  fewer: second last
  changing: changes late
  changed: late
edited contexts
  code 0xc0000005, flags 0, 0x0 0x10
  at the instruction
  read 42
  code 0xc0000094, flags 0,
  at the instruction
  divided by 7
  code 0x80000003, flags 0, 0x0MORE
  at the instruction
  broke with 51
  there was no filter
  code 0xc0000005, flags 0, 0x0 0x20
  at the instruction
  read with the filter 42
  the filter is taken back
single steps
    code 0x80000004, flags 0,
    behind popf: 1
    code 0x80000004, flags 0,
    behind popf: 2
    code 0x80000004, flags 0,
    behind popf: 4
  steps 3
nested
  5 4 3 2 1 0 0 1 2 3 4 5
  calls 6
stack overflow in a handler
  handler: using up the stack
  overflows 1
noncontinuable
  code 0xe0000001, flags 1,
  a vectored handler went on
  code 0xe0000001, flags 1,
  filter: go on
  code 0xc0000025, flags 1, nested,
  the nested record is the first one
the end
";

/// Runs the guest to the end that its argument asks for, which must be a crash after these words.
#[track_caller]
fn crash(edition: &'static Edition, how: &str, words: &str) -> (CrashReport, Told) {
    let program = sample(bits_of(edition), "exceptions");
    let outcome = finish(Run::new(&program, edition.name).arguments(&[how]));
    let told = tell(edition, "exceptions", outcome, words);
    let RunEnding::Crash(crash) = told.outcome.report.ending.clone() else {
        panic!("{} ended otherwise: {:?}", edition.name, told.outcome.report.ending);
    };
    (crash, told)
}

/// The stack ends, the overflow is met by the same handler, and the last fault that cannot be told is the end.
#[test]
fn a_handler_that_faults_without_end_ends_with_its_fault() {
    on_each_edition(|edition| {
        let (crash, told) = crash(edition, "1", "raising\n");
        assert_eq!(
            (crash.code, crash.parameters.as_slice()),
            (0xc000_0005, &[0, 0x10][..]),
            "{}",
            edition.name
        );
        let access = crash.access.expect("a memory exception has an access");
        assert_eq!((access.verb, access.address), ("read", 0x10), "{}", edition.name);
        // A mebibyte of stack has room for some hundred frames.
        let exceptions = told.outcome.report.activity.exceptions;
        assert!((300..3000).contains(&exceptions), "{}: {exceptions}", edition.name);
    });
}

/// x64 calls the continue handlers also when nobody handled the exception, x86 does not.
#[test]
fn an_exception_that_the_filter_declines_ends_the_process() {
    on_each_edition(|edition| {
        let words = match edition.bitness {
            Bitness::Bits32 => "raising\nfilter: search on\n",
            Bitness::Bits64 => "raising\nfilter: search on\ncontinue handler\n",
        };
        let (crash, _) = crash(edition, "2", words);
        assert_eq!(crash.code, 0xe000_0001, "{}", edition.name);
    });
}

#[test]
fn a_filter_that_takes_the_exception_ends_the_process_at_once() {
    on_each_edition(|edition| {
        let (crash, _) = crash(edition, "3", "raising\nfilter: end\n");
        assert_eq!(crash.code, 0xe000_0001, "{}", edition.name);
    });
}

#[test]
fn failing_fast_asks_no_handler() {
    on_each_edition(|edition| {
        let (crash, _) = crash(edition, "4", "");
        assert_eq!((crash.code, crash.name.as_str()), (0xc000_0602, "STATUS_FAIL_FAST_EXCEPTION"));
        assert!(crash.place.is_some_and(|place| place.starts_with("exceptions.exe+")), "{}", edition.name);
    });
}

#[test]
fn the_filter_of_windows_asks_the_programs_own() {
    let words = "  without a filter 1\n  filter: go on\n  its own answer\nfilter: search on\n  a filter that searches 1\n";
    on_each_edition(|edition| {
        check_guest(edition, "exceptions", &["5"], 0, words);
    });
}
