//! Every sample guest on every edition that runs it: its words, its exit code, and the machine's map beside its words.

use crate::support::{Told, bits_of, check_guest, finish, on_each_edition, region_at, tell};
use vadose_facts::ntdef::{Bitness, Edition, LargeAddressAware};
use vadose_lab::guest::{Run, sample};
use vadose_machine::report::{MapRegion, RunEnding};

fn state_and_protection(region: &MapRegion) -> (&str, &str) {
    (region.state, region.protection.as_str())
}

#[test]
fn hello_prints_a_line_and_ends_with_0() {
    on_each_edition(|edition| {
        check_guest(edition, "hello", &[], 0, "Hello from a Windows program.\n");
    });
}

#[test]
fn exit_code_ends_with_its_argument() {
    on_each_edition(|edition| {
        for code in [0, 1, 0x1234_5678, u32::MAX] {
            check_guest(edition, "exit_code", &[&code.to_string()], code, "");
        }
    });
}

#[test]
fn cat_copies_its_input_to_the_last_byte() {
    let text = "a line\nand another\r\n\0\x1a\nwithout an end".repeat(3000);
    on_each_edition(|edition| {
        let program = sample(bits_of(edition), "cat");
        let outcome = finish(Run::new(&program, edition.name).input(text.as_bytes()));
        assert!(outcome.output == text, "{} copies other bytes", edition.name);
        assert_eq!(outcome.report.ending, RunEnding::Exit { code: 0 });
    });
}

/// SPEC H1 H2 D5 D6: the sizes that rule memory, and each state of a range as a query tells it.
#[test]
fn page_states_shows_each_state_of_a_range() {
    on_each_edition(|edition| {
        let told = check_guest(edition, "page_states", &[], 0, PAGE_STATES);
        assert_eq!(told.facts.get("low"), 0x1_0000);
        assert_eq!(
            told.facts.get("high"),
            edition.max_user_address(LargeAddressAware::Yes).raw().min(told.top(edition))
        );
        assert_eq!(told.outcome.report.map.user_space.1, told.facts.get("high"));
    });
}

impl Told {
    /// The end of user space of a program that is large-address-aware only where it is 64-bit.
    fn top(&self, edition: &Edition) -> u64 {
        match edition.bitness {
            Bitness::Bits32 => edition.max_user_address(LargeAddressAware::No).raw(),
            Bitness::Bits64 => u64::MAX,
        }
    }
}

const PAGE_STATES: &str = "\
pages of 4096 bytes, allocated by 65536, from {low} to {high}
reserved
  page 0 +16: reserve none, allocated as readwrite, private
6 pages committed
  page 0 +4: reserve none, allocated as readwrite, private
  page 4 +6: commit readwrite, allocated as readwrite, private
  page 10 +6: reserve none, allocated as readwrite, private
one of them written
  page 0 +4: reserve none, allocated as readwrite, private
  page 4 +6: commit readwrite, allocated as readwrite, private
  page 10 +6: reserve none, allocated as readwrite, private
one of them read-only
  page 0 +4: reserve none, allocated as readwrite, private
  page 4 +2: commit readwrite, allocated as readwrite, private
  page 6 +1: commit readonly, allocated as readwrite, private
  page 7 +3: commit readwrite, allocated as readwrite, private
  page 10 +6: reserve none, allocated as readwrite, private
2 pages decommitted
  page 0 +6: reserve none, allocated as readwrite, private
  page 6 +1: commit readonly, allocated as readwrite, private
  page 7 +3: commit readwrite, allocated as readwrite, private
  page 10 +6: reserve none, allocated as readwrite, private
the page committed again is zero
released
  page 0 +16: free noaccess, allocated as none, none
";

/// SPEC E1 E11 E12: a handler sees the exact byte, the guard is gone for one page, and the map at the end agrees.
#[test]
fn guard_page_repairs_two_pages_from_a_handler() {
    on_each_edition(|edition| {
        let told = check_guest(edition, "guard_page", &[], 0, GUARD_PAGE);
        let report = &told.outcome.report;
        let (guarded, read_only) = (told.facts.get("guarded"), told.facts.get("readonly"));
        let at = |address| state_and_protection(region_at(&report.map, address));
        assert_eq!(at(guarded), ("commit", "READWRITE"));
        assert_eq!(at(guarded + 0x1000), ("commit", "READWRITE|GUARD"));
        assert_eq!(at(read_only), ("commit", "READWRITE"));
        assert_eq!(region_at(&report.map, read_only).allocation_protection, "READONLY");
        assert_eq!(report.activity.exceptions, 2);
    });
}

const GUARD_PAGE: &str = "\
guarded page {guarded}: readwrite+guard
first touch of {guarded+345}
  handler: code 0x80000001, 2 parameters, write of {guarded+345}
  wrote 0x77 after 1 exceptions
guarded page {guarded}: readwrite
second touch of {guarded+346}
  wrote 0x77 after 0 exceptions
its neighbour {guarded+1000}: readwrite+guard
read-only page {readonly}: readonly
write to {readonly+abc}
  handler: code 0xc0000005, 2 parameters, write of {readonly+abc}
  wrote 0x77 after 1 exceptions
read-only page {readonly}: readwrite
handler removed
";

/// SPEC G13 G19 G20 E29: write-copy until written, then read-write and private to the process; the map shows both.
#[test]
fn write_copy_shows_a_page_before_and_after_its_copy() {
    on_each_edition(|edition| {
        let told = check_guest(edition, "write_copy", &[], 0, WRITE_COPY);
        let regions = &told.outcome.report.map.regions;
        let protection_of = |section: &str| {
            let purpose = format!("write_copy.exe {section}");
            let region = regions.iter().find(|region| region.purpose.starts_with(&purpose));
            region.map(|region| {
                (region.kind, region.protection.as_str(), region.allocation_protection.as_str())
            })
        };
        assert_eq!(protection_of(".data"), Some(("image", "READWRITE", "EXECUTE_WRITECOPY")));
        assert_eq!(protection_of(".rdata"), Some(("image", "READONLY", "EXECUTE_WRITECOPY")));
    });
}

const WRITE_COPY: &str = "\
variable holds 0x11223344 on a page that is writecopy, allocated as execute_writecopy, image
constant holds 0x55667788 on a page that is readonly, allocated as execute_writecopy, image
variable written
variable holds 0x99aabbcc on a page that is readwrite, allocated as execute_writecopy, image
constant holds 0x55667788 on a page that is readonly, allocated as execute_writecopy, image
";

/// SPEC E26: far more is reserved than there is RAM; what is touched is counted page by page.
#[test]
fn big_data_touches_a_part_of_what_it_reserves() {
    on_each_edition(|edition| {
        let reserved = match edition.bitness {
            Bitness::Bits32 => 1024,
            Bitness::Bits64 => 65536,
        };
        let words = format!("reserved {reserved} MiB\ncommitted 32 MiB\nchecksum {{sum}}\nwrong words 0\n");
        let told = check_guest(edition, "big_data", &["32"], 0, &words);
        let memory = &told.outcome.report.memory;
        assert!(memory.private_peak > 32 << 20 && memory.private_peak < 34 << 20, "{memory:?}");
        assert!(memory.working_set_peak > 32 << 20, "{memory:?}");
        let zeroed = told.outcome.report.activity.faults.iter().find(|fault| fault.kind == "demand-zero");
        let zeroed = zeroed.expect("the list has every kind").count;
        assert!((0x2000..0x2100).contains(&zeroed), "{zeroed} pages of zeros");
    });
}

#[test]
fn checksums_do_not_depend_on_the_edition() {
    let mut sums = Vec::new();
    on_each_edition(|edition| {
        let program = sample(bits_of(edition), "big_data");
        let outcome = finish(Run::new(&program, edition.name).arguments(&["1"]));
        sums.push(outcome.output.lines().find(|line| line.starts_with("checksum")).map(str::to_owned));
    });
    sums.dedup();
    assert!(sums.len() == 1 && sums[0].is_some(), "{sums:?}");
}

/// SPEC E16 E17 E22: the guard moves down with the stack, one page on x86 and three on x64, and the TEB knows.
#[test]
fn stack_growth_moves_guard_and_limit() {
    on_each_edition(|edition| {
        let guard = match edition.bitness {
            Bitness::Bits32 => 4,
            Bitness::Bits64 => 12,
        };
        let words = STACK_GROWTH.replace("GUARD", &guard.to_string());
        let told = check_guest(edition, "stack_growth", &[], 0, &words);
        let map = &told.outcome.report.map;
        let guards: Vec<_> =
            map.regions.iter().filter(|region| region.protection.contains("GUARD")).collect();
        assert_eq!(guards.iter().map(|region| region.size).collect::<Vec<_>>(), [guard << 10]);
        assert_eq!(guards[0].purpose, "stack");
    });
}

const STACK_GROWTH: &str = "\
before
  reserve none
  commit readwrite+guard 4 KiB
  commit readwrite
  StackLimit is the first committed page
went 200 KiB down
after
  reserve none
  commit readwrite+guard GUARD KiB
  commit readwrite
  StackLimit is the first committed page
the limit moved past the depth
limit moved by 200 KiB
";

#[test]
fn tls_callbacks_run_before_the_entry_point() {
    let words =
        "1: first callback\n2: second callback\n3: entry point\nthread-local words 0xfeedf00d 0xbadcafe\n";
    on_each_edition(|edition| {
        check_guest(edition, "tls_callbacks", &[], 0, words);
    });
}

#[test]
fn int_loop_counts_its_turns() {
    on_each_edition(|edition| {
        check_guest(edition, "int_loop", &["1000000"], 0, "1000000 turns\nresult {sum}\n");
    });
}

/// SPEC E1 E5: the report tells code, place, access and region as the guest and the map know them.
#[test]
fn crash_reports_what_the_guest_announced() {
    on_each_edition(|edition| {
        let program = sample(bits_of(edition), "crash");
        let outcome = finish(Run::new(&program, edition.name));
        let told = tell(edition, "crash", outcome, "writing to the read-only byte at {page+123}\n");
        let RunEnding::Crash(crash) = &told.outcome.report.ending else {
            panic!("{} ended otherwise: {:?}", edition.name, told.outcome.report.ending);
        };
        let byte = told.facts.get("page") + 0x123;
        assert_eq!((crash.code, crash.name.as_str()), (0xc000_0005, "STATUS_ACCESS_VIOLATION"));
        assert_eq!(crash.parameters, [1, byte]);
        let access = crash.access.as_ref().expect("a memory exception has an access");
        assert_eq!((access.verb, access.address), ("write", byte));
        assert_eq!(access.region, "committed READONLY, private");
        let map = &told.outcome.report.map;
        assert_eq!(state_and_protection(region_at(map, byte)), ("commit", "READONLY"));
        let module =
            map.modules.iter().find(|module| module.origin == "program").expect("the program is listed");
        let place = format!("crash.exe+{:#x}", crash.address - module.base);
        assert_eq!(crash.place.as_deref(), Some(place.as_str()));
        assert_eq!(region_at(map, crash.address).purpose, "crash.exe .text");
    });
}

#[test]
fn spin_ends_at_its_time_limit() {
    on_each_edition(|edition| {
        let run = Run::new(&sample(bits_of(edition), "spin"), edition.name);
        let outcome = finish(run.time_limit(std::time::Duration::from_millis(200)));
        assert_eq!(outcome.report.ending, RunEnding::TimedOut);
    });
}

#[test]
fn demo_ends_well() {
    on_each_edition(|edition| {
        let outcome = finish(Run::new(&sample(bits_of(edition), "demo"), edition.name));
        assert_eq!(outcome.report.ending, RunEnding::Exit { code: 0 }, "{}", outcome.output);
        assert!(
            outcome.output.ends_with("The program ends by itself with exit code 0.\n"),
            "{}",
            outcome.output
        );
        let steps = outcome.output.lines().filter(|line| line.contains(" of 6. ")).count();
        assert_eq!(steps, 6);
    });
}
