//! Stacks: a reserve with a guard that moves down until there is no more room.

use crate::door::World;
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::{Bitness, editions};
use vadose_mm::ThreadStack;

const STACK: u64 = 0x5000_0000;

/// A 64 KiB stack with its two top pages committed and a guard below them.
fn with_stack(edition: &str, guarantee_bytes: u64) -> World {
    let mut world = World::new(edition);
    let scenario = "reserve 64K at @50000000; commit 14p 2p; commit 13p 1p rw+g";
    for step in scenario.split(';') {
        assert_eq!(world.step(step), "ok");
    }
    let stack = ThreadStack {
        reserve_base: VirtAddr::new(STACK),
        top: VirtAddr::new(STACK + 0x1_0000),
        guarantee_bytes,
    };
    world.stack = Some(stack);
    world
}

#[track_caller]
fn check(scenario: &str, answers: &str) {
    for edition in editions() {
        let mut world = with_stack(edition.name, 0);
        let got: Vec<String> = scenario.split(';').map(|step| world.step(step.trim())).collect();
        let want: Vec<&str> = answers.split_whitespace().collect();
        assert_eq!(got, want, "on {}: {scenario}", edition.name);
    }
}

/// SPEC E17 E22: the guard page becomes plain and the next one guards; 64-bit kernels guard two more below it.
#[test]
fn the_guard_moves_down_with_the_stack() {
    for edition in editions() {
        let (reserved, guard) = match edition.bitness {
            Bitness::Bits32 => ("reserve/12p", "commit/rw+g/1p"),
            Bitness::Bits64 => ("reserve/10p", "commit/rw+g/3p"),
        };
        let lowest = if edition.bitness == Bitness::Bits32 { 12 } else { 10 };
        let mut world = with_stack(edition.name, 0);
        for (step, answer) in [
            ("query 0", "reserve/13p"),
            ("query 13p", "commit/rw+g/1p"),
            ("write d004", "ok"),
            ("query 0", reserved),
            (&format!("query {lowest}p"), guard),
            ("query 13p", "commit/rw/3p"),
            ("read d004", "=41"),
            ("write c000", "ok"),
            (&format!("query {}p", lowest - 1), guard),
        ] {
            assert_eq!(world.step(step), answer, "{step} on {}", edition.name);
        }
    }
}

/// SPEC E17: the new stack limit is the page that was touched.
#[test]
fn the_stack_limit_follows() {
    let mut world = with_stack("win10-x64", 0);
    assert_eq!(world.step("write d004"), "ok");
    assert_eq!(world.stack_limit, Some(VirtAddr::new(STACK + 0xd000)));
}

/// SPEC E20: a touch below the guard does not grow the stack.
#[test]
fn skipping_the_guard_is_a_violation() {
    check("write c000; query 13p", "access-violation(1)+c000 commit/rw+g/1p");
}

/// SPEC E18 E19: at the bottom the last usable page is committed and the overflow raised; the lowest page never is.
#[test]
fn the_bottom_raises_the_overflow_once() {
    for edition in editions() {
        let mut world = with_stack(edition.name, 0);
        let last = if edition.bitness == Bitness::Bits32 { 2 } else { 4 };
        for page in (last + 1..14).rev() {
            assert_eq!(world.step(&format!("write {page}p")), "ok", "page {page} on {}", edition.name);
        }
        assert_eq!(world.step("query 2p"), format!("commit/rw+g/{}p", last - 1));
        let touch = format!("{last}008");
        assert_eq!(world.step(&format!("write {touch}")), format!("stack-overflow(1)+{touch}"));
        assert_eq!(world.stack_limit, Some(VirtAddr::new(STACK + 0x1000)));
        for (step, answer) in [
            ("query 0", "reserve/1p"),
            ("query 1p", "commit/rw/15p"),
            ("write 1000", "ok"),
            ("write 0", "access-violation(1)+0"),
        ] {
            assert_eq!(world.step(step), answer);
        }
    }
}

/// SPEC E21: somebody else's stack is plain guarded memory.
#[test]
fn another_threads_guard_is_an_ordinary_one() {
    let mut world = with_stack("win7-x86", 0);
    world.stack = None;
    assert_eq!(world.step("write d000"), "guard-page-violation(1)+d000");
    assert_eq!(world.step("query 12p"), "reserve/1p");
}

/// SPEC E22: a guarantee makes the guard region larger.
#[test]
fn a_guarantee_guards_several_pages() {
    for edition in editions() {
        let mut world = with_stack(edition.name, 0x2800);
        assert_eq!(world.step("write d000"), "ok");
        assert_eq!(world.step("query 9p"), "commit/rw+g/4p");
    }
}

/// SPEC E20: a reservation made with a guard guards nothing until it is committed.
#[test]
fn a_reserved_page_is_no_guard() {
    let mut world = World::new("win10-x64");
    assert_eq!(world.step("reserve 64K rw+g at @50000000"), "ok");
    assert!(!world.mm.is_guarded(world.process, VirtAddr::new(STACK)));
    assert_eq!(world.step("read 0"), "access-violation(0)+0");
}

/// SPEC E17: whoever raises a fault can tell beforehand whether a guard will be hit.
#[test]
fn a_guard_can_be_foreseen() {
    for edition in editions() {
        let world = with_stack(edition.name, 0);
        let guarded = |offset| world.mm.is_guarded(world.process, VirtAddr::new(STACK + offset));
        let seen = [guarded(0xd004), guarded(0xc000), guarded(0xe000), guarded(0x1_0000)];
        assert_eq!(seen, [true, false, false, false], "on {}", edition.name);
    }
}
