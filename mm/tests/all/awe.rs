//! Address windows: physical pages of a program's own, where they are shown, and that nothing else can be done to a
//! window.

use crate::door::{World, check, check_on};
use vadose_facts::ntdef::editions;

/// A window of 64 KiB, and three pages.
const WINDOW: &str = "raw 402000 rw @50000000 64K; own 3; ";

#[track_caller]
fn with_window(scenario: &str, answers: &str) {
    check(&format!("{WINDOW}{scenario}"), &format!("ok own/3 {answers}"));
}

/// SPEC A6: `MEM_PHYSICAL` goes with `MEM_RESERVE` and `MEM_TOP_DOWN`, and is `PAGE_READWRITE`.
#[test]
fn a_window_is_reserved_read_write() {
    check("raw 402000 rw - 64K; raw 502000 rw - 64K; owner 0", "ok ok +0/rw/private");
    for edition in editions() {
        let plain = edition.version.major >= 10;
        let five = if plain { "invalid-parameter" } else { "invalid-parameter-5" };
        let six = if plain { "invalid-parameter" } else { "invalid-parameter-6" };
        for bits in ["400000", "403000", "602000", "401000", "480000", "20402000"] {
            check_on(edition.name, &format!("raw {bits} rw - 64K"), five);
        }
        for protection in ["na", "r", "x", "xr", "xrw", "rw+g", "rw+nc", "rw+cb"] {
            check_on(edition.name, &format!("raw 402000 {protection} - 64K"), six);
        }
    }
}

/// SPEC J38: without the privilege none; with it at most what there is, and zeros.
#[test]
fn pages_need_the_privilege_and_are_as_many_as_there_are() {
    check("own-unprivileged 1", "privilege-not-held");
    for edition in editions() {
        let mut world = World::new(edition.name);
        let answer = world.step("own 1000000");
        let given: u64 = answer.strip_prefix("own/").expect("some were given").parse().expect("a number");
        assert!((1000..4096).contains(&given), "{given} of 4096 frames on {}", edition.name);
        assert_eq!(world.step("own 1"), "insufficient-resources");
        assert_eq!(world.step("disown 0"), "freed/1");
        assert_eq!(world.step("own 5"), "own/1");
        world.restart_process();
        world.mm.audit().expect("nothing is left behind");
        assert_eq!(world.step("own 1000000"), format!("own/{given}"), "{}", edition.name);
    }
}

/// SPEC J38 J41: zeroed at first, and what was stored moves with the page.
#[test]
fn a_page_shows_its_content_wherever_it_is_mapped() {
    with_window(
        "show 0 0,1,2; read 0; write 0 aa; write 1000 bb; write 2fff cc; hide 0 3; read 0; \
         show 8000 2,0; read 8fff; read 9000; read 0",
        "ok =0 ok ok ok ok access-violation(0)+0 ok =cc =aa access-violation(0)+0",
    );
    with_window(
        "show 0 0; write 0 aa; show 0 1; read 0; write 0 bb; show 1000 0; read 1000",
        "ok ok ok =0 ok ok =aa",
    );
    with_window("show 0 0; write 0 aa; disown 0; own 1; show 0 3; read 0", "ok ok freed/1 own/1 ok =0");
}

/// SPEC J39: where nothing is mapped there is nothing to touch, and it reads as reserved.
#[test]
fn an_unmapped_part_of_a_window_is_an_access_violation() {
    with_window(
        "read 0; write 1234; query 0; show 1000 0,1; query 0; query 1000; query 3000; read 3000; owner 1000",
        "access-violation(0)+0 access-violation(1)+1234 reserve/16p ok reserve/1p commit/rw/2p \
         reserve/13p access-violation(0)+3000 +0/rw/private",
    );
}

/// SPEC J40: a page is the process's own, in one place, and named once; nothing changes otherwise.
#[test]
fn a_page_is_mapped_once() {
    let bad = "invalid-parameter";
    with_window(
        "show 0 0; show 1000 0; show 0 0; show 1000 1,0; query 1000",
        &format!("ok {bad} {bad} {bad} reserve/15p"),
    );
    with_window(
        "show 0 0,0; show 0 1,2,1; show 0 none; show 0 0,none; query 0",
        &format!("{bad} {bad} {bad} {bad} reserve/16p"),
    );
    with_window(
        "show F000 0,1; show 10000 0; show @60000000 0; hide F000 2",
        &format!("{bad} {bad} {bad} {bad}"),
    );
    with_window("alloc 64K; show 0 0; hide 0 1; scatter 0:0", &format!("ok {bad} {bad} {bad}"));
    with_window("disown 0; show 0 0; disown 0", &format!("freed/1 {bad} freed/0/{bad}"));
}

/// SPEC J40: another process's page is foreign.
#[test]
fn another_processes_page_is_foreign() {
    for edition in editions() {
        let mut world = World::new(edition.name);
        assert_eq!(world.step("own 1"), "own/1");
        world.enter_process(1);
        assert_eq!(world.step("raw 402000 rw @50000000 64K"), "ok");
        assert_eq!(world.step("show 0 0"), "invalid-parameter");
        assert_eq!(world.step("disown 0"), "freed/0/invalid-parameter");
    }
}

/// SPEC J40: scattered pages of several windows; an entry without a page unmaps.
#[test]
fn scattered_pages_go_to_several_windows() {
    with_window(
        "raw 402000 rw @50010000 64K; scatter @50000000:0,@50011000:1,@5000F000:2; write @50000000 1; \
         write @50011000 2; write @5000F000 3; scatter @50011000:-,@5000F000:-; scatter @50012000:1,@50013000:2; \
         read @50012000; read @50013000; read @50000000; read @50011000",
        "ok ok ok ok ok ok ok =2 =3 =1 access-violation(0)+1000",
    );
    with_window(
        "scatter 0:0,1000:0; scatter 0:0,1000:none; scatter 0:0,@60000000:1; query 0",
        "invalid-parameter invalid-parameter invalid-parameter reserve/16p",
    );
}

/// SPEC J42 B16: pages outlive their window, and leave it when they are freed.
#[test]
fn pages_outlive_their_window() {
    with_window(
        "show 0 0,1; write 0 aa; release 0 0; query 0; raw 402000 rw @50000000 64K; show 4000 0; read 4000",
        "ok ok ok free ok ok =aa",
    );
    with_window(
        "show 0 0,1,2; disown 1,0; query 0; query 2000; read 0",
        "ok freed/2 reserve/2p commit/rw/1p access-violation(0)+0",
    );
}

/// SPEC B16 C8 A46 J9: a window goes as a whole, and is not committed, decommitted, reset or protected.
#[test]
fn a_window_is_released_as_a_whole_and_nothing_else() {
    let (part, other) = ("unable-to-free-vm", "conflicting-addresses");
    with_window(
        "show 0 0; release 0 1000; release 1000 F000; release 0 F000; decommit 0 0; decommit 0 64K; decommit 0 1000; read 0",
        &format!("ok {part} {part} {part} {part} {part} {part} =0"),
    );
    with_window(
        "show 0 0; commit 0 1000; commit 0 64K; raw 80000 na 0 64K; protect 0 1000 r; protect 0 64K rw; read 0",
        &format!("ok {other} {other} {other} {other} {other} =0"),
    );
    with_window("show 0 0; lock 0 1000; lock 1000 1000", "ok incompatible-file-map incompatible-file-map");
    with_window("release 1000 0; release 0 64K; query 0", "free-vm-not-at-base ok free");
    check_on(
        "win10-x64",
        "raw 402000 rw - 64K; free 8002 0 64K; free 8001 0 64K; query 0",
        "ok conflicting-addresses conflicting-addresses reserve/16p",
    );
}

/// SPEC J42 J12: physical pages are charged, and are in no working set.
#[test]
fn physical_pages_are_charged_and_not_resident() {
    for edition in editions() {
        let mut world = World::new(edition.name);
        assert_eq!(world.step("raw 402000 rw @50000000 64K"), "ok");
        let before = world.mm.process_counters(world.process);
        assert_eq!(world.step("own 4"), "own/4");
        assert_eq!(world.step("show 0 0,1,2,3"), "ok");
        assert_eq!(world.step("write 0"), "ok");
        let after = world.mm.process_counters(world.process);
        assert_eq!(after.commit_pages, before.commit_pages + 4, "{}", edition.name);
        assert_eq!(after.resident_pages, before.resident_pages, "{}", edition.name);
    }
}
