//! Working sets: limits, locks, and pages that leave and come back.

use crate::builder::{READ, SHARED, Sample, WRITE, Width};
use crate::door::{World, check};
use vadose_facts::ntdef::{Bitness, editions};
use vadose_mm::{FaultKind, LimitKind};

/// SPEC J6: what is not committed or not accessible cannot be locked, nor can nothing; parts of pages count whole.
#[test]
fn only_committed_accessible_pages_can_be_locked() {
    check(
        "alloc 4p; lock 0 0; lock fff 2; unlock 0 2p; decommit 2p 1p; lock 1p 2p; unlock 1p 1p; protect 1p 1p na; \
         lock 0 2p; lock @70000000 1p; lock @0 ffffffffffffffff; unlock @70000000 1p",
        "ok invalid-parameter ok ok ok access-violation not-locked was-rw access-violation access-violation \
         invalid-parameter not-locked",
    );
}

/// SPEC E14 E15: the first lock of a guard page meets the guard and consumes it, the second succeeds.
#[test]
fn locking_a_guard_page_fails_once() {
    check(
        "alloc 4p; protect 2p 1p rw+g; lock 0 4p; query 2p; lock 0 4p; unlock 0 4p",
        "ok was-rw guard-page-violation(0)+2000 commit/rw/2p ok ok",
    );
}

/// SPEC J7 X12: as many pages as the minimum working set has, but for eight.
#[test]
fn locks_end_at_the_minimum_working_set() {
    check(
        "alloc 400p; lock 0 30p; lock 0 400p; lock 30p 12p; lock 42p 1p; lock 0 42p; unlock 0 42p; lock 0 43p; \
         limits 500 1000; lock 0 400p; unlock 0 400p",
        "ok ok working-set-quota ok working-set-quota was-locked ok working-set-quota ok ok ok",
    );
}

/// SPEC J7: a lock that is refused locks nothing.
#[test]
fn a_refused_lock_leaves_nothing_locked() {
    for edition in editions() {
        let mut world = World::new(edition.name);
        for (step, answer) in [("alloc 400p", "ok"), ("lock 0 400p", "working-set-quota")] {
            assert_eq!(world.step(step), answer);
        }
        assert_eq!(world.resident_and_locked(), (1, 0), "on {}", edition.name);
        assert_eq!(world.step("lock 0 10p"), "ok");
        assert_eq!(world.resident_and_locked(), (11, 10), "on {}", edition.name);
    }
}

/// SPEC J8: locks do not nest.
#[test]
fn one_unlock_undoes_any_number_of_locks() {
    check(
        "alloc 4p; lock 0 2p; lock 0 2p; lock 1p 2p; unlock 0 3p; unlock 0 1p; lock 0 1p",
        "ok ok was-locked was-locked ok not-locked ok",
    );
}

/// SPEC J9: locks of both kinds are apart, and there are no others.
#[test]
fn the_kinds_of_locks_are_apart() {
    check(
        "alloc 100p; lock 0 1p 0; lock 0 1p 4; lock 0 1p 7; lock 0 90p 2; lock 0 2p 1; unlock 0 2p 2; unlock 0 1p 2; \
         unlock 0 2p 3; unlock 0 2p 1; unlock 2p 88p 2; lock 0 1p 3; unlock 0 1p 3",
        "ok invalid-parameter invalid-parameter invalid-parameter ok ok ok not-locked not-locked ok ok ok ok",
    );
}

/// SPEC J10: an unlock of pages that are not locked unlocks none, and trims those.
#[test]
fn unlocking_what_is_not_locked_trims_it() {
    for edition in editions() {
        let mut world = World::new(edition.name);
        for step in ["alloc 4p", "write 0", "write 1p", "write 2p", "lock 1p 1p"] {
            assert_eq!(world.step(step), "ok");
        }
        assert_eq!(world.step("unlock 0 4p"), "not-locked");
        assert_eq!(world.resident_and_locked(), (2, 1), "on {}", edition.name);
        assert_eq!(world.step("read 2p"), "=41");
        assert_eq!(world.step("unlock 1p 1p"), "ok");
    }
}

/// SPEC B15: decommit, release and a protection that forbids every touch unlock without an error.
#[test]
fn what_takes_a_page_away_unlocks_it() {
    for edition in editions() {
        for (step, answer) in [
            ("decommit 0 2p", "ok"),
            ("decommit 0 0", "ok"),
            ("release 0 0", "ok"),
            ("release 0 1p", "ok"),
            ("protect 0 2p na", "was-rw"),
            ("protect 0 2p rw+g", "was-rw"),
        ] {
            let mut world = World::new(edition.name);
            for step in ["alloc 4p", "lock 0 2p"] {
                assert_eq!(world.step(step), "ok");
            }
            assert_eq!(world.step(step), answer, "on {}", edition.name);
            let left = u64::from(step == "release 0 1p");
            assert_eq!(world.resident_and_locked().1, left, "{step} on {}", edition.name);
        }
    }
}

/// SPEC J5 I35 I40: trimmed pages keep their content and come back by soft faults; locked ones stay.
#[test]
fn an_emptied_working_set_comes_back_page_by_page() {
    for edition in editions() {
        let mut world = World::new(edition.name);
        for step in ["alloc 8p", "write 0 11", "write 1p 22", "write 2p 33", "protect 1p 1p r", "lock 2p 1p"]
        {
            assert!(["ok", "was-rw"].contains(&world.step(step).as_str()));
        }
        assert_eq!(world.step("read 3p"), "=0");
        assert_eq!(world.step("trim"), "ok");
        assert_eq!(world.resident_and_locked(), (2, 1), "on {}", edition.name);
        assert_eq!(world.mm.frame_counts().modified, 3, "no page file has them, on {}", edition.name);
        for (step, answer) in [
            ("query 0", "commit/rw/1p"),
            ("query 1p", "commit/r/1p"),
            ("read 0", "=11"),
            ("write 1p", "access-violation(1)+1000"),
            ("read 1p", "=22"),
            ("read 2p", "=33"),
            ("write 3p 44", "ok"),
            ("read 3p", "=44"),
        ] {
            assert_eq!(world.step(step), answer, "{step} on {}", edition.name);
        }
        let faults = world.mm.process_counters(world.process).faults;
        assert_eq!(faults.of(FaultKind::Transition), 3, "on {}", edition.name);
        assert_eq!(world.mm.frame_counts().modified, 0);
    }
}

/// SPEC C25 J5: a trimmed page can be protected, decommitted and released like any other.
#[test]
fn trimmed_pages_take_part_in_everything() {
    check(
        "alloc 4p; write 0; write 1p; write 2p; trim; protect 0 2p na; query 0; protect 0 2p rw+g; trim; read 0; read 0; \
         decommit 1p 1p; query 1p; release 0 0; query 0",
        "ok ok ok ok ok was-rw commit/na/2p was-na ok guard-page-violation(0)+0 =41 ok reserve/1p ok free",
    );
}

/// SPEC J5 I24: a section's page is shared by one less when it is trimmed, and stays with whoever else maps it.
#[test]
fn a_trimmed_view_page_is_shared_by_one_less() {
    for edition in editions() {
        let width = match edition.bitness {
            Bitness::Bits32 => Width::X86,
            Bitness::Bits64 => Width::X64,
        };
        let bytes = Sample::new(width)
            .with(".rdata", READ, vec![5; 0x1000], 0x1000)
            .with(".shared", READ | WRITE | SHARED, vec![6; 0x1000], 0x1000)
            .build();
        let mut world = World::new(edition.name).with_image(bytes);
        for process in [0, 1] {
            world.enter_process(process);
            assert_eq!(world.step("map"), "ok");
            assert_eq!(world.step("read 1p"), "=5");
        }
        assert_eq!(world.step("write 2p 77"), "ok");
        let standby = world.mm.frame_counts().standby;
        assert_eq!(world.step("protect 1p 1p na"), "was-r");
        assert_eq!(world.step("protect 1p 1p r"), "was-na");
        assert_eq!(world.step("read 1p"), "=5");
        assert_eq!(world.step("trim"), "ok");
        assert_eq!(world.mm.frame_counts().standby, standby, "the other process maps it, {}", edition.name);
        assert_eq!(world.mm.frame_counts().modified, 1, "nobody else maps what was written");
        assert_eq!(world.step("query 1p"), "commit/r/1p");
        world.enter_process(0);
        assert_eq!(world.step("trim"), "ok");
        assert_eq!(world.mm.frame_counts().standby, standby + 1, "on {}", edition.name);
        for (step, answer) in [("read 1p", "=5"), ("read 2p", "=77")] {
            assert_eq!(world.step(step), answer, "on {}", edition.name);
        }
    }
}

/// SPEC J8: locks are each process's own, also of one page that both map.
#[test]
fn a_shared_page_is_locked_by_each_process_for_itself() {
    let bytes = Sample::new(Width::X64).with(".rdata", READ, vec![5; 0x1000], 0x1000).build();
    let mut world = World::new("win10-x64").with_image(bytes);
    for process in [0, 1] {
        world.enter_process(process);
        assert_eq!(world.step("map"), "ok");
        assert_eq!(world.step("read 1p"), "=5");
    }
    assert_eq!(world.step("lock 1p 1p"), "ok");
    world.enter_process(0);
    assert_eq!(world.step("unlock 1p 1p"), "not-locked");
    assert_eq!(world.step("lock 0 2p"), "ok");
    assert_eq!(world.step("unmap 0"), "ok");
    world.enter_process(1);
    assert_eq!(world.step("trim"), "ok");
    assert_eq!(world.resident_and_locked(), (2, 1));
}

/// SPEC J1: 50 and 345 pages, both soft.
#[test]
fn a_process_starts_with_the_default_limits() {
    for edition in editions() {
        let world = World::new(edition.name);
        let limits = world.mm.working_set_limits(world.process);
        assert_eq!((limits.minimum_pages * 4096, limits.maximum_pages * 4096), (204_800, 1_413_120));
        assert_eq!((limits.minimum, limits.maximum), (LimitKind::Soft, LimitKind::Soft));
    }
}

/// SPEC J2 J4: crossed limits, limits of nothing, small ones, and ones that the machine does not have.
#[test]
fn limits_are_checked_and_raised() {
    for edition in editions() {
        let mut world = World::new(edition.name);
        for (step, answer, want) in [
            ("limits 100 99", "bad-working-set-limit", (50, 345)),
            ("limits 0 99", "invalid-parameter", (50, 345)),
            ("limits 99 0", "invalid-parameter", (50, 345)),
            ("limits 1 12", "bad-working-set-limit", (50, 345)),
            ("limits 1 100", "ok", (20, 100)),
            ("limits 1 13", "ok", (20, 20)),
            ("limits 3000 4000", "ok", (3000, 3584)),
            ("limits 3800 4000", "insufficient-resources", (3000, 3584)),
            ("limits 50 99999999", "ok", (50, 3584)),
        ] {
            assert_eq!(world.step(step), answer, "{step} on {}", edition.name);
            let limits = world.mm.working_set_limits(world.process);
            assert_eq!((limits.minimum_pages, limits.maximum_pages), want, "{step} on {}", edition.name);
        }
        world.enter_process(1);
        assert_eq!(world.step("limits 3500 4000"), "ok");
        world.enter_process(0);
        assert_eq!(world.step("limits 100 4000"), "insufficient-resources", "on {}", edition.name);
    }
}

/// SPEC J3: each limit is hard or soft by its own flags, and contradictions are refused.
#[test]
fn flags_make_limits_hard_and_soft() {
    let mut world = World::new("win10-x64");
    for (flags, answer, want) in [
        ("1", "ok", 0x9),
        ("4", "ok", 0x5),
        ("3", "invalid-parameter", 0x5),
        ("c", "invalid-parameter", 0x5),
        ("10", "invalid-parameter", 0x5),
        ("2", "ok", 0x6),
        ("8", "ok", 0xa),
        ("5", "ok", 0x5),
        ("0", "ok", 0x5),
    ] {
        assert_eq!(world.step(&format!("limits 50 345 {flags}")), answer, "{flags}");
        assert_eq!(world.mm.working_set_limits(world.process).flags().bits(), want, "{flags}");
    }
}
