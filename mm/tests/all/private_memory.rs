//! Private memory through the one door: reserve, commit, decommit, release, protect, query and touch.

use crate::door::{World, check, check_on};

/// SPEC A20 A33 A34 H20: reserve, commit and touch are three steps; committed pages read as zero.
#[test]
fn reserve_commit_and_touch() {
    check(
        "reserve 64K; query 0; commit 1p 2p; query 0; query 1p; read 1p; write 1fff; read 1fff; read 0",
        "ok reserve/16p ok reserve/1p commit/rw/2p =0 ok =41 access-violation(0)+0",
    );
}

/// SPEC A18: base down to the allocation unit, end up to a page.
#[test]
fn an_explicit_base_is_rounded_down_and_the_end_up() {
    for (base, size, want) in [
        ("@50008000", "1", "reserve/9p"),
        ("@50000010", "1000", "reserve/2p"),
        ("@5000ffff", "3000", "reserve/19p"),
        ("@50001010", "7000", "reserve/9p"),
        ("@50001010", "c000", "reserve/14p"),
    ] {
        let scenario = format!("reserve {size} at {base}; query @50000000; owner @50000000");
        check(&scenario, &format!("ok {want} +0/rw/private"));
    }
}

/// SPEC A19: reserve and commit in one call commits from the rounded base.
#[test]
fn reserve_and_commit_covers_the_rounded_range() {
    check("alloc 1000 at @50004080; query @50000000", "ok commit/rw/6p");
}

/// SPEC A21 X1: the rest of the last allocation unit is free but cannot be reserved by address.
#[test]
fn the_tail_of_a_unit_is_free_and_not_to_be_had() {
    check(
        "reserve 12345 at @50000000; query 0; query 13000; reserve 1p at 14000; reserve 1p at @50020000",
        "ok reserve/19p free conflicting-addresses ok",
    );
}

/// SPEC A22 X2: a commit touches every page it has a byte in.
#[test]
fn a_commit_rounds_outwards_to_pages() {
    check(
        "reserve 12345; commit 1fff 2; query 0; query 1p; query 2p",
        "ok ok reserve/1p commit/rw/2p commit/rw/1p",
    );
}

/// SPEC A23 E7: nothing lives in the first 64 KiB.
#[test]
fn the_first_64_kib_stay_free() {
    check_on(
        "win7-x86",
        "reserve 1p at @f000; read @0; query @0",
        "invalid-parameter-2 access-violation(0)+0 free",
    );
    check_on(
        "win10-x64",
        "reserve 1p at @f000; alloc 1p at @10000; query @ffff",
        "invalid-parameter ok free",
    );
}

/// SPEC A28 A29 A30: overlaps, free space and borders are refused with nothing changed.
#[test]
fn a_range_that_is_not_one_regions_own_is_refused() {
    check(
        "reserve 64K at @50000000; reserve 64K at @50010000; alloc 1p at @5001f000; base @50000000; commit f000 2p; \
         query f000; commit @60000000 1p; commit 1p 1p; query 1p",
        "ok ok conflicting-addresses ok conflicting-addresses reserve/1p conflicting-addresses ok commit/rw/1p",
    );
}

/// SPEC A31 A32: commit again keeps content and sets the protection; after decommit pages are zero again.
#[test]
fn commit_again_keeps_content_and_decommit_loses_it() {
    check(
        "reserve 64K na; commit 0 1p; write 5 7; commit 0 2p r; read 5; write 5; query 0; owner 0; \
         decommit 0 1p; read 5; query 0; commit 0 1p; read 5",
        "ok ok ok ok =7 access-violation(1)+5 commit/r/2p +0/na/private \
         ok access-violation(0)+5 reserve/1p ok =0",
    );
}

/// SPEC A35 C12: a committed page that nobody may touch, and content that survives.
#[test]
fn no_access_is_committed_and_untouchable() {
    check(
        "alloc 2p; write 0 9; protect 0 1p na; read 0; query 0; protect 0 1p r; read 0; write 0; commit 1p 1p na; read 1p",
        "ok ok was-rw access-violation(0)+0 commit/na/1p was-na =9 access-violation(1)+0 ok access-violation(0)+1000",
    );
}

/// SPEC C12 C25 I14 I35: a page with content leaves its mapping while nobody may touch it, and comes back from its frame
/// with the protection that it has then.
#[test]
fn content_waits_in_its_frame_while_nobody_may_touch_it() {
    check(
        "alloc 2p; write 0 9; write 1p 8; protect 0 1p na; protect 0 1p r; query 0; read 0; query 0; write 0; \
         protect 1p 1p xrw+g; read 1p; query 1p; read 1p; query 1p; protect 0 2p na; protect 0 2p rw; read 0; write 1p 7; read 1p",
        "ok ok ok was-rw was-na commit/r/1p =9 commit/r/1p access-violation(1)+0 \
         was-rw guard-page-violation(0)+1000 commit/xrw/1p =8 commit/xrw/1p was-r was-na =9 ok =7",
    );
    for edition in vadose_facts::ntdef::editions() {
        let mut world = World::new(edition.name);
        for step in ["alloc 1p", "write 0 9"] {
            assert_eq!(world.step(step), "ok");
        }
        let frames = world.mm.frame_counts();
        assert_eq!(world.step("protect 0 1p na"), "was-rw");
        assert_eq!(world.mm.frame_counts().modified, frames.modified + 1);
        let (_, raw, state) = world.mm.page_entry(world.process, world.origin).expect("a table");
        assert!(matches!(state, vadose_mm::pte::PteState::Transition { .. }));
        assert_eq!(raw & 0xc01, 0x800, "on {}", edition.name);
        assert_eq!(world.step("protect 0 1p rw"), "was-na");
        assert_eq!(world.step("read 0"), "=9");
        assert_eq!(world.mm.frame_counts(), frames);
        let counts = world.mm.process_counters(world.process).faults;
        assert_eq!(counts.of(vadose_mm::FaultKind::Transition), 1);
    }
}

/// SPEC A38 A39: bottom-up takes the lowest hole that fits, top-down the highest.
#[test]
fn placement_goes_up_or_down() {
    check_on(
        "win7-x86",
        "reserve 64K; owner @10000; alloc 64K top; query @7ffd0000",
        "ok +0/rw/private ok commit/rw/16p",
    );
    check_on("win10-x64", "alloc 64K top; query @7ffffffd0000", "ok commit/rw/16p");
}

/// SPEC A36: more than the whole space.
#[test]
fn no_range_is_no_memory() {
    check_on("winxp-x86", "reserve 1024M; reserve 1024M", "ok no-memory");
    check_on("win7-x64", "reserve 4096G; reserve 4096G", "ok no-memory");
}

/// SPEC A37: over the limit nothing is reserved either.
#[test]
fn over_the_commit_limit_nothing_happens() {
    check("alloc 64M at @50000000; query @50000000", "commitment-limit free");
    check(
        "reserve 64M at @50000000; commit 0 64M; query 0; commit 0 1M; query 0",
        "ok commitment-limit reserve/16384p ok commit/rw/256p",
    );
}

/// SPEC A24 A25 A26: leading zero bits of a 32-bit address, or a mask.
#[test]
fn zero_bits_bound_the_address() {
    check_on("win7-x86", "reserve 64K top zero 1; owner @7ffd0000", "ok +0/rw/private");
    check_on("win7-x64", "reserve 64K top zero 1; owner @7fff0000", "ok +0/rw/private");
    check("reserve 64K top zero c; owner @f0000", "ok +0/rw/private");
    check("reserve 64K zero 15", "no-memory");
    check_on(
        "winxp-x86",
        "reserve 64K zero 16; reserve 64K zero 20",
        "invalid-parameter-3 invalid-parameter-3",
    );
    check_on(
        "win10-x64",
        "reserve 64K zero 1f; reserve 64K top zero 12345678; owner @1fff0000",
        "invalid-parameter ok +0/rw/private",
    );
}

/// SPEC A2 A3 A5 A6: type bits that do not go together.
#[test]
fn allocation_types_that_make_no_sense() {
    for kind in
        ["0", "100000", "200000", "400000", "81000", "82000", "180000", "201000", "403000", "80000000"]
    {
        let scenario = format!("raw {kind} rw @50000000 1p");
        check_on("win7-x64", &scenario, "invalid-parameter-5");
        check_on("win10-x64", &scenario, "invalid-parameter");
    }
    check_on("win7-x64", "raw 402000 r @50000000 1p", "invalid-parameter-6");
}

/// SPEC A4: large pages need commit.
#[test]
fn large_pages_need_commit() {
    check_on(
        "win7-x64",
        "raw 20002000 rw @50000000 2M; raw 20403000 rw @50000000 2M",
        "invalid-parameter-5 invalid-parameter-5",
    );
}

/// SPEC A9: private memory has no write-copy.
#[test]
fn private_memory_is_never_write_copy() {
    check("reserve 64K wc; reserve 64K xwc", "invalid-page-protection invalid-page-protection");
}

/// SPEC A11 A12: bases and sizes past the end.
#[test]
fn ranges_past_the_end_are_parameter_errors() {
    check_on(
        "win7-x86",
        "raw 2000 rw @7ffef000 1p; raw 2000 rw @7ffd0000 20p; raw 2000 rw @50000000 0; raw 2000 rw @50000000 ffffffff",
        "invalid-parameter-2 invalid-parameter-4 invalid-parameter-4 invalid-parameter-4",
    );
}

/// SPEC A48 A3: reset needs a region and a legal protection.
#[test]
fn reset_keeps_to_one_region() {
    check(
        "alloc 4p; write 0 5; raw 80000 na 0 4p; query 0; raw 80000 na 0 5p; raw 80000 0 0 1p",
        "ok ok ok commit/rw/4p conflicting-addresses invalid-page-protection",
    );
}

/// SPEC B1 B3 B4: what cannot be freed.
#[test]
fn frees_that_make_no_sense() {
    check(
        "free 0 @50000000 0; free c000 @50000000 0; free 1 @50000000 0; release @50000000 0; decommit @50000000 1p; \
         alloc 4p at @50000000; release 2p 4p; decommit 2p 4p; query 0",
        "invalid-parameter-4 invalid-parameter-4 invalid-parameter-4 memory-not-allocated memory-not-allocated \
         ok unable-to-free-vm unable-to-free-vm commit/rw/4p",
    );
}

/// SPEC B6 X5: release of size 0 wants the first page of the region.
#[test]
fn release_all_wants_the_base() {
    check(
        "reserve 64K; release 1001 0; query 0; release fff 0; query 0",
        "ok free-vm-not-at-base reserve/16p ok free",
    );
}

/// SPEC B7 B8 B9 X6: a release in the middle leaves two regions, each with its own base.
#[test]
fn a_partial_release_splits_the_region() {
    check(
        "alloc 64K at @50000000; write 9p 3; release 4p 4p; query 0; owner 0; query 4p; query 8p; owner 8p; read 9p; \
         release 8p 1p; owner 9p; release f000 1p; query 9p; read 9p",
        "ok ok ok commit/rw/4p +0/rw/private free commit/rw/8p +8000/rw/private =3 \
         ok +9000/rw/private ok commit/rw/6p =3",
    );
}

/// SPEC B10 B12: the hole can be had again, and no release crosses it.
#[test]
fn a_hole_is_free_space() {
    check(
        "reserve 128K at @50000000; release 0 64K; reserve 64K at @50000000; query 0; base @50000000; release 0 20p; query 0",
        "ok ok ok reserve/16p ok unable-to-free-vm reserve/16p",
    );
}

/// SPEC B13 B14: decommit by pages, over reserved ones too, and of everything.
#[test]
fn decommit_returns_pages_to_reserved() {
    check(
        "reserve 64K; commit 2p 4p; decommit 2fff 2; query 0; query 4p; decommit 0 16p; query 0; decommit 1p 0; decommit 0 0; query 0",
        "ok ok ok reserve/4p commit/rw/2p ok reserve/16p free-vm-not-at-base ok reserve/16p",
    );
}

/// SPEC C3 C4 X3: the old protection is that of the first page.
#[test]
fn protect_reports_the_first_pages_old_protection() {
    check(
        "alloc 4p; protect 1p 1p r; protect 1p 2p rw; protect 1fff 2 r; query 0; query 1p",
        "ok was-rw was-r was-rw commit/rw/1p commit/r/2p",
    );
}

/// SPEC C5 C6 X4: all or nothing, within one region.
#[test]
fn protect_is_all_or_nothing() {
    check(
        "reserve 64K at @50000000; commit 1p 1p; protect 0 2p r; query 1p; protect 1p 64K r; protect @60000000 1p r; \
         alloc 64K at @50010000; protect @50001000 16p r; query @50001000",
        "ok ok not-committed commit/rw/1p conflicting-addresses conflicting-addresses ok conflicting-addresses commit/rw/1p",
    );
}

/// SPEC C1 C7: bad protections first, and write-copy never on private memory.
#[test]
fn protect_checks_its_arguments() {
    check("alloc 1p; protect 0 1p 0; protect 0 0 30", "ok invalid-page-protection invalid-page-protection");
    check("alloc 1p; protect 0 1p wc; protect 0 1p xwc", "ok invalid-parameter-4 invalid-parameter-4");
    check_on("win7-x64", "alloc 1p; protect 0 0 r", "ok invalid-parameter-3");
}

/// SPEC D3 D4 D5 D8 D9: runs start at the page asked for and end where anything changes.
#[test]
fn a_query_reports_one_run() {
    check(
        "alloc 4p at @50000000; alloc 4p at @50010000; base @50000000; write 1p; query 0; query 1fff; query 4p; owner 4p",
        "ok ok ok ok commit/rw/4p commit/rw/3p free none",
    );
}

/// SPEC D2 D16 H5: the last addresses, and the page that every process shares.
#[test]
fn the_shared_page_is_there_and_fixed() {
    check(
        "query @7ffe0000; owner @7ffe0000; base @7ffe0000; read 0; write 0; release 0 0; protect 0 1p rw",
        "commit/r/1p +7ffe0000/r/private ok =0 access-violation(1)+0 invalid-page-protection invalid-page-protection",
    );
    check_on("win7-x86", "reserve 1p at @7ffe0000", "invalid-parameter-2");
    check_on("win10-x64", "reserve 1p at @7ffe0000; reserve 1p at @7fff0000", "conflicting-addresses ok");
    check_on("win7-x86", "query @7ffeffff; query @7fff0000", "reserve/1p invalid-parameter");
    check_on("win10-x64", "query @7ffffffeffff; query @7fffffff0000", "free invalid-parameter");
}

/// SPEC E1 E2 E5 I34: rights by protection, and execution where no-execute is in force.
#[test]
fn each_protection_allows_what_windows_allows() {
    for (protection, read, write, exec, exec_without_nx) in [
        ("r", "=0", "access-violation(1)+0", "access-violation(8)+0", "ok"),
        ("rw", "=0", "ok", "access-violation(8)+0", "ok"),
        ("x", "=0", "access-violation(1)+0", "ok", "ok"),
        ("xr", "=0", "access-violation(1)+0", "ok", "ok"),
        ("xrw", "=0", "ok", "ok", "ok"),
        (
            "na",
            "access-violation(0)+0",
            "access-violation(1)+0",
            "access-violation(8)+0",
            "access-violation(0)+0",
        ),
    ] {
        for touched in ["", "read 0; "] {
            let scenario = format!("alloc 1p {protection}; {touched}read 0; write 0; exec 0");
            let first = if touched.is_empty() { String::new() } else { format!("{read} ") };
            for edition in ["win7-x86", "win7-x64", "win10-x64", "winxp-x86-pae"] {
                check_on(edition, &scenario, &format!("ok {first}{read} {write} {exec}"));
            }
            check_on("winxp-x86", &scenario, &format!("ok {first}{read} {write} {exec_without_nx}"));
        }
    }
}

/// SPEC E6: the kernel half is there and says nothing of itself.
#[test]
fn kernel_addresses_are_violations() {
    check_on(
        "win7-x86",
        "read @ffdf0000; write @c0000000",
        "access-violation(0)+ffdf0000 access-violation(1)+c0000000",
    );
    check_on("win10-x64", "read @fffff78000000000", "access-violation(0)+fffff78000000000");
}

/// SPEC E11 E12 D18 X9: a guard fires once a page and then is gone.
#[test]
fn a_guard_page_fires_once() {
    check(
        "alloc 2p rw+g; query 0; read 12; query 0; query 1p; read 12; write 1005; write 1005",
        "ok commit/rw+g/2p guard-page-violation(0)+12 commit/rw/1p commit/rw+g/1p =0 guard-page-violation(1)+1005 ok",
    );
}

/// SPEC E13: the guard first, then the protection.
#[test]
fn a_guarded_read_only_page_fires_then_refuses() {
    check("alloc 1p r+g; write 0; write 0; read 0", "ok guard-page-violation(1)+0 access-violation(1)+0 =0");
}

/// SPEC C11 C25: a guard can be set on a page with content, and taken off again.
#[test]
fn a_guard_keeps_the_content() {
    check(
        "alloc 1p; write 0 6; protect 0 1p rw+g; read 0; read 0; protect 0 1p rw+g; protect 0 1p rw; read 0",
        "ok ok was-rw guard-page-violation(0)+0 =6 was-rw was-rw+g =6",
    );
}
