//! Content that a program gives up: reset, offered and discarded pages, with memory to spare and without.

use crate::builder::{EXECUTE, READ, Sample, Width};
use crate::door::{World, check, check_on};
use vadose_facts::ntdef::{Bitness, CallTargets, Edition, editions};
use vadose_mm::FaultKind;

/// Pages of an image that, all read, take every frame of the test machine.
const IMAGE_PAGES: u32 = 4100;

fn width(edition: &Edition) -> Width {
    match edition.bitness {
        Bitness::Bits32 => Width::X86,
        Bitness::Bits64 => Width::X64,
    }
}

/// A world with a region at the origin and an image elsewhere whose pages can take all memory.
struct Shortage {
    world: World,
    next: u32,
    image: u64,
}

impl Shortage {
    fn new(edition: &Edition) -> Self {
        let bytes = vec![5; IMAGE_PAGES as usize * 0x1000];
        let image = Sample::new(width(edition)).with(".rdata", READ, bytes, IMAGE_PAGES * 0x1000).build();
        let mut world = World::new(edition.name).with_image(image);
        assert_eq!(world.step("map"), "ok");
        let image = world.origin.raw();
        assert_eq!(world.step("alloc 16p at @50000000"), "ok");
        Self { world, next: 1, image }
    }

    fn steps(&mut self, steps: &[(&str, &str)]) {
        for (step, answer) in steps {
            assert_eq!(self.world.step(step), *answer, "{step}");
        }
    }

    /// Reads pages of the image until a page of the region is no longer in memory.
    fn until_gone(&mut self, page: &str) {
        while self.world.quietly(&format!("wsex {page}")) != "absent/private/nowhere" {
            assert!(self.next < IMAGE_PAGES, "{page} stays in memory");
            let at = self.image + u64::from(self.next) * 0x1000;
            assert_eq!(self.world.quietly(&format!("read @{at:x}")), "=5");
            self.next += 1;
        }
        self.world.mm.audit().expect("agreement");
    }
}

/// SPEC A47 A48: a reset changes neither state nor protection, and while memory is plentiful no content; a part of a
/// page is not given up.
#[test]
fn a_reset_keeps_state_protection_and_what_lies_outside() {
    check(
        "alloc 4p; write 0 11; write 1p 22; write 2p 33; protect 2p 1p r; reset 800 2000; trim; wsex 0; wsex 1p; wsex 2p; \
         query 0; query 2p; read 0; read 1p; read 2p; reset 0 5p; reset 4p 1p",
        "ok ok ok ok was-rw ok ok absent/private/modified absent/private/frame5 absent/private/modified commit/rw/2p \
         commit/r/1p =11 =22 =33 conflicting-addresses conflicting-addresses",
    );
}

/// SPEC A47: a page that is written after its reset is kept again, on every kind of processor.
#[test]
fn a_store_after_the_reset_counts() {
    check(
        "alloc 2p; write 0 11; write 1p 22; reset 0 2p; write 0 44; trim; wsex 0; wsex 1p; read 0; read 1p",
        "ok ok ok ok ok ok absent/private/modified absent/private/frame5 =44 =22",
    );
}

/// SPEC A47 A48: pages on the modified list, reserved pages and pages never touched can be reset as well.
#[test]
fn a_reset_reaches_pages_outside_of_the_working_set() {
    check(
        "reserve 4p; commit 0 2p; write 0 11; trim; reset 0 4p; wsex 0; wsex 1p; query 2p; read 0; read 1p",
        "ok ok ok ok ok absent/private/frame5 absent/private/nowhere reserve/2p =11 =0",
    );
}

/// SPEC A47 A50: when memory is short, reset pages become pages of zeros, and an undo says so.
#[test]
fn reset_pages_are_dropped_when_memory_is_short() {
    for edition in editions() {
        let undo = edition.version.build >= 9200;
        let mut shortage = Shortage::new(edition);
        let charged = shortage.world.mm.counters().commit.charged_pages();
        shortage.steps(&[
            ("write 0 11", "ok"),
            ("write 1p 22", "ok"),
            ("write 2p 33", "ok"),
            ("reset 0 2p", "ok"),
        ]);
        if undo {
            shortage.steps(&[("undo 0 2p", "ok"), ("trim", "ok"), ("wsex 0", "absent/private/modified")]);
            shortage.steps(&[("reset 0 2p", "ok"), ("undo 1p 1p", "ok")]);
        } else {
            shortage.steps(&[("write 1p 22", "ok"), ("trim", "ok")]);
        }
        shortage.until_gone("0");
        if undo {
            shortage.steps(&[("undo 0 2p", "unsuccessful"), ("undo 1p 15p", "ok")]);
        }
        shortage.steps(&[
            ("query 0", "commit/rw/16p"),
            ("protect 0 1p r", "was-rw"),
            ("query 0", "commit/r/1p"),
        ]);
        shortage.steps(&[("read 1p", "=22"), ("read 2p", "=33")]);
        let now = shortage.world.mm.counters().commit.charged_pages();
        assert_eq!(now, charged, "a dropped page is still committed, {}", edition.name);
        shortage.steps(&[("base @50000000", "ok"), ("release 0 0", "ok")]);
    }
}

/// SPEC A50: before Windows 8 there is no undo.
#[test]
fn an_undo_came_with_windows_8() {
    for (edition, answer) in [("win7-x64", "invalid-parameter-5"), ("win8-x64", "ok"), ("win10-x64", "ok")] {
        check_on(edition, "alloc 1p; reset 0 1p; undo 0 1p", &format!("ok ok {answer}"));
    }
}

/// SPEC J26 J29: whole committed read-write pages of one private region.
#[test]
fn only_committed_read_write_pages_can_be_offered() {
    for verb in ["offer", "discard"] {
        let priority = if verb == "offer" { " 1" } else { "" };
        let mut world = World::new("win10-x64");
        for step in ["reserve 8p", "commit 0 5p"] {
            assert_eq!(world.step(step), "ok");
        }
        assert_eq!(world.step("protect 4p 1p r"), "was-rw");
        for (range, answer) in [
            ("800 1p", "invalid-parameter"),
            ("0 800", "invalid-parameter"),
            ("0 0", "invalid-parameter"),
            ("4p 1p", "invalid-page-protection"),
            ("3p 2p", "invalid-page-protection"),
            ("5p 1p", "not-committed"),
            ("7p 2p", "conflicting-addresses"),
            ("@70000000 1p", "conflicting-addresses"),
            ("@7ffe0000 1p", "conflicting-addresses"),
            ("0 4p", "ok"),
        ] {
            assert_eq!(world.step(&format!("{verb} {range}{priority}")), answer, "{verb} {range}");
        }
        assert_eq!(world.step("reclaim 0 4p"), "ok");
        assert_eq!(world.step("reclaim 0 5p"), "invalid-page-protection");
    }
}

/// SPEC J27 J28: offered pages are unlocked and leave the working set; reclaimed in time they are whole.
#[test]
fn offered_pages_are_unlocked_and_come_back_whole() {
    check(
        "alloc 4p; write 0 11; write 1p 22; lock 0 2p; wsex 0; offer 0 4p 3; wsex 0; wsex 2p; unlock 0 2p; query 0; \
         reclaim 0 4p; wsex 0; read 0; read 1p; read 2p",
        "ok ok ok ok rw/private/0/locked ok absent/private/frame3 absent/private/nowhere not-locked commit/rw/4p ok \
         absent/private/modified =11 =22 =0",
    );
}

/// SPEC J26 J27 J28: under pressure the lowest priority goes first, and a reclaim tells of the loss once.
#[test]
fn offered_pages_are_dropped_by_priority() {
    for edition in editions() {
        let mut shortage = Shortage::new(edition);
        for page in 0..5 {
            shortage.steps(&[(&format!("write {page}p {}", page + 1), "ok")]);
        }
        shortage.steps(&[("reset 4p 1p", "ok"), ("trim", "ok")]);
        for (page, priority) in [(0, 4), (1, 2), (2, 1), (3, 3)] {
            shortage.steps(&[(&format!("offer {page}p 1p {priority}"), "ok")]);
        }
        for (gone, left) in [("2p", "1p"), ("1p", "3p"), ("3p", "0"), ("0", "4p")] {
            shortage.until_gone(gone);
            let still = shortage.world.step(&format!("wsex {left}"));
            assert!(still.starts_with("absent/private/frame"), "{left} is {still} on {}", edition.name);
        }
        shortage.steps(&[("reclaim 4p 1p", "ok"), ("reclaim 0 5p", "lost"), ("reclaim 0 5p", "ok")]);
        shortage.steps(&[("base @50000000", "ok"), ("query 0", "commit/rw/16p"), ("release 0 0", "ok")]);
    }
}

/// SPEC J29: discarded pages read as zeros and stay committed, wherever their content was.
#[test]
fn discarded_pages_are_zeros_and_stay_committed() {
    for edition in editions() {
        let mut world = World::new(edition.name);
        for step in ["alloc 4p", "write 0 11", "write 1p 22", "trim", "write 2p 33", "lock 2p 1p"] {
            assert_eq!(world.step(step), "ok");
        }
        let charged = world.mm.counters().commit.charged_pages();
        assert_eq!(world.step("discard 0 4p"), "ok");
        assert_eq!(world.resident_and_locked(), (1, 0), "the shared page is left, on {}", edition.name);
        assert_eq!(world.mm.counters().commit.charged_pages(), charged);
        for (step, answer) in
            [("query 0", "commit/rw/4p"), ("read 0", "=0"), ("read 1p", "=0"), ("read 2p", "=0")]
        {
            assert_eq!(world.step(step), answer, "on {}", edition.name);
        }
    }
}

/// SPEC J30 I36: a prefetched page is in memory and not in the working set; what is no file's is passed over.
#[test]
fn a_prefetched_page_waits_on_standby() {
    for edition in editions() {
        let image = Sample::new(width(edition)).with(".rdata", READ, vec![5; 0x2000], 0x2000).build();
        let mut world = World::new(edition.name).with_image(image);
        for (step, answer) in [
            ("map", "ok"),
            ("wsex 1p", "absent/section/nowhere"),
            ("prefetch 1p", "read"),
            ("wsex 1p", "absent/section/frame5"),
            ("prefetch 1p", "there"),
            ("read 1p", "=5"),
            ("wsex 1p", "r/section/1"),
            ("prefetch 1p", "there"),
            ("prefetch @70000000", "there"),
            ("prefetch @7ffe0000", "there"),
        ] {
            assert_eq!(world.step(step), answer, "{step} on {}", edition.name);
        }
        let faults = world.mm.process_counters(world.process).faults;
        assert_eq!(faults.of(FaultKind::ImagePageShared) + faults.of(FaultKind::ImagePageRead), 1);
    }
}

/// SPEC D30 D31 D32 D33: attributes of pages that two processes map, and of pages that are nowhere.
#[test]
fn attributes_count_the_sharers_of_a_page() {
    for edition in editions() {
        let image = Sample::new(width(edition)).with(".rdata", READ, vec![5; 0x2000], 0x2000).build();
        let mut world = World::new(edition.name).with_image(image);
        for process in [0, 1] {
            world.enter_process(process);
            assert_eq!(world.step("map"), "ok");
            assert_eq!(world.step("read 1p"), "=5");
        }
        for (step, answer) in [
            ("wsex 1p", "r/section/2"),
            ("trim", "ok"),
            ("wsex 1p", "absent/section/frame5"),
            ("wsex 2p", "absent/section/nowhere"),
            ("wsex @0", "absent/private/nowhere"),
            ("wsex @ffffffffffffffff", "absent/private/nowhere"),
            ("alloc 2p", "ok"),
            ("wsex 0", "absent/private/nowhere"),
            ("read 0", "=0"),
            ("wsex 0", "rw/private/0"),
        ] {
            assert_eq!(world.step(step), answer, "{step} on {}", edition.name);
        }
        world.enter_process(0);
        let pages = world.mm.working_set_pages(world.process);
        let (resident, _) = world.resident_and_locked();
        assert_eq!(pages.len() as u64, resident);
        assert!(pages.is_sorted_by_key(|page| page.vpn));
    }
}

/// SPEC A15: a process whose end has begun gets no memory, and keeps what it has until it is gone.
#[test]
fn an_ending_process_is_refused_everything() {
    for edition in editions() {
        let mut world = World::new(edition.name);
        assert_eq!(world.step("alloc 4p"), "ok");
        assert_eq!(world.step("write 0"), "ok");
        assert_eq!(world.step("rundown"), "ok");
        for step in [
            "rundown",
            "reserve 1p",
            "alloc 1p",
            "commit 0 1p",
            "decommit 0 1p",
            "release 0 0",
            "protect 0 1p r",
            "reset 0 1p",
            "lock 0 1p",
            "limits 100 200",
            "offer 0 1p 1",
            "discard 0 1p",
            "trim",
            "query 0",
        ] {
            assert_eq!(world.step(step), "process-is-terminating", "{step} on {}", edition.name);
        }
        world.end_process();
        world.mm.audit().expect("agreement");
    }
}

/// SPEC C28: where code may not be made, no private page becomes executable and no code writable.
#[test]
fn without_dynamic_code_pages_do_not_become_executable() {
    let image = Sample::new(Width::X64)
        .with(".code", READ | EXECUTE, vec![0x90; 0x1000], 0x1000)
        .with(".rdata", READ, vec![5; 0x1000], 0x1000)
        .build();
    let mut world = World::new("win10-x64").with_image(image);
    for (step, answer) in [
        ("alloc 2p xrw at @50000000", "ok"),
        ("no-code", "ok"),
        ("alloc 1p xr", "dynamic-code-blocked"),
        ("reserve 1p x", "dynamic-code-blocked"),
        ("alloc 1p rw", "ok"),
        ("base @50000000", "ok"),
        ("protect 0 1p xr", "dynamic-code-blocked"),
        ("commit 0 1p xrw", "dynamic-code-blocked"),
        ("protect 0 1p rw", "was-xrw"),
        ("protect 0 1p x", "dynamic-code-blocked"),
        ("map", "ok"),
        ("exec 1p", "ok"),
        ("protect 1p 1p xrw", "dynamic-code-blocked"),
        ("protect 1p 1p rw", "dynamic-code-blocked"),
        ("protect 1p 2p r", "was-xr"),
        ("protect 1p 1p xr", "dynamic-code-blocked"),
        ("protect 2p 1p rw", "was-r"),
        ("protect 2p 1p xr", "dynamic-code-blocked"),
    ] {
        assert_eq!(world.step(step), answer, "{step}");
    }
}

/// SPEC C22: the flags of call targets go with executable protections, are not reported, and are unknown to old kernels.
#[test]
fn call_target_flags_go_with_executable_protections() {
    for edition in editions() {
        let mut world = World::new(edition.name);
        let known = edition.call_targets == CallTargets::Known;
        let told = |answer: &'static str| if known { answer } else { "invalid-page-protection" };
        for (step, answer) in [
            ("alloc 2p 40000040 at @50000000", told("ok")),
            ("alloc 2p 40000004", "invalid-page-protection"),
            ("alloc 2p 40000000", "invalid-page-protection"),
            ("alloc 2p xrw at @60000000", "ok"),
            ("protect 0 1p 40000020", told("was-xrw")),
            ("query 0", if known { "commit/xr/1p" } else { "commit/xrw/2p" }),
            ("protect 0 1p 40000002", "invalid-page-protection"),
            ("protect 0 1p 40000080", if known { "invalid-parameter-4" } else { "invalid-page-protection" }),
        ] {
            assert_eq!(world.step(step), answer, "{step} on {}", edition.name);
        }
    }
}
