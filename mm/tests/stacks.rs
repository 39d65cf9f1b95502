//! Stacks: a reserve with a guard that moves down until there is no more room.

mod door;

use door::World;
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::editions;
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

/// SPEC E17: the guard page becomes plain and the next one guards.
#[test]
fn the_guard_moves_down_with_the_stack() {
    check(
        "query 0; query 13p; write d004; query 0; query 12p; query 13p; read d004; write c000; query 11p",
        "reserve/13p commit/rw+g/1p ok reserve/12p commit/rw+g/1p commit/rw/3p =41 ok commit/rw+g/1p",
    );
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
        for page in (3..14).rev() {
            assert_eq!(world.step(&format!("write {page}p")), "ok", "page {page} on {}", edition.name);
        }
        assert_eq!(world.step("query 2p"), "commit/rw+g/1p");
        assert_eq!(world.step("write 2008"), "stack-overflow(1)+2008");
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
    let mut world = with_stack("win10-x64", 0x2000);
    assert_eq!(world.step("write d000"), "ok");
    assert_eq!(world.step("query 10p"), "commit/rw+g/3p");
}
