//! Where regions may be: the ends of user space, explicit bases, limits, and what belongs to an allocation as a whole.

use crate::door::{World, check, check_on};
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::{Bitness, LargeAddressAware, MemoryState, MemoryType, NtStatus, editions};

/// SPEC A1: zero bits are judged before the type, the protection and the base.
#[test]
fn zero_bits_come_first() {
    check_on(
        "win7-x64",
        "raw 0 0 @0 0 zero 16; raw 0 0 @0 0 zero 15",
        "invalid-parameter-3 invalid-parameter-5",
    );
    check_on("win7-x86", "raw 0 0 @0 0 zero 20", "invalid-parameter-3");
    check_on(
        "win10-x64",
        "raw 1000 0 @0 0 zero 16; raw 1000 0 @0 0 zero 15",
        "invalid-parameter invalid-page-protection",
    );
}

/// SPEC A27: an explicit base is where the region goes, whatever the zero bits say.
#[test]
fn zero_bits_do_not_move_an_explicit_base() {
    check(
        "raw 2000 rw @50000000 1p zero c; owner 0; raw 2000 rw @50000000 1p zero 1",
        "ok +0/rw/private conflicting-addresses",
    );
}

/// SPEC A51: the older call knows no placeholders.
#[test]
fn placeholder_bits_are_unknown_to_the_older_call() {
    check_on(
        "win10-x64",
        "raw 42000 na @50000000 64K; raw 6000 rw @50000000 64K; raw 7000 rw @50000000 64K; query @50000000",
        "invalid-parameter invalid-parameter invalid-parameter free",
    );
}

/// SPEC A50: `MEM_RESET_UNDO` came with Windows 8, and says that nothing was lost.
#[test]
fn reset_can_be_undone_since_windows_8() {
    let scenario = "alloc 2p; write 0 5; raw 80000 na 0 2p; raw 1000000 na 0 2p; read 0; query 0";
    check_on("win7-x64", scenario, "ok ok ok invalid-parameter-5 =5 commit/rw/2p");
    for edition in ["win8-x64", "win10-x64"] {
        check_on(edition, scenario, "ok ok ok ok =5 commit/rw/2p");
    }
}

/// SPEC A47 A48: a reset changes neither state nor protection, committed or not.
#[test]
fn reset_changes_no_state() {
    check(
        "reserve 64K; commit 2p 2p r; raw 80000 na 0 16p; query 0; query 2p; query 4p; read 2p; write 2p",
        "ok ok ok reserve/2p commit/r/2p reserve/12p =0 access-violation(1)+2000",
    );
}

/// SPEC A41: caching is a page's own on old kernels, and the allocation's on new ones.
#[test]
fn uncached_memory_stays_uncached_where_the_allocation_says_so() {
    let uncached = "alloc 2p rw+nc; protect 0 1p rw; query 0; protect 0 1p r; query 0; protect 0 1p na; query 0; \
                    protect 0 1p rw; query 0; owner 0";
    let cached = "alloc 2p; protect 0 1p r+nc; query 0; reserve 1p r; commit 0 1p rw+nc; query 0";
    for edition in editions() {
        let (first, second) = if edition.name == "win10-x64" {
            (
                "ok was-rw+nc commit/rw+nc/2p was-rw+nc commit/r+nc/1p was-r+nc commit/na/1p \
                 was-na commit/rw+nc/2p +0/rw+nc/private",
                "ok was-rw commit/r/1p ok ok commit/rw/1p",
            )
        } else {
            (
                "ok was-rw+nc commit/rw/1p was-rw commit/r/1p was-r commit/na/1p \
                 was-na commit/rw/1p +0/rw+nc/private",
                "ok was-rw commit/r+nc/1p ok ok commit/rw+nc/1p",
            )
        };
        check_on(edition.name, uncached, first);
        check_on(edition.name, cached, second);
    }
}

/// SPEC C26: write-combining is a protection of private memory like no-cache, and reported.
#[test]
fn write_combining_is_reported() {
    check(
        "alloc 2p rw+cb; query 0; read 0; protect 0 1p r+cb; query 0; query 1p; protect 0 1p rw+g; read 0; query 0",
        "ok commit/rw+cb/2p =0 was-rw+cb commit/r+cb/1p commit/rw+cb/1p was-r+cb guard-page-violation(0)+0 commit/rw/1p",
    );
}

/// SPEC B2 B1: flags, then the base, then the size, on every edition by number.
#[test]
fn free_judges_its_arguments_in_order() {
    for edition in editions() {
        let above = edition.max_user_address.raw() + 1;
        let answers =
            format!("free c000 @{above:x} 1; free 8000 @{above:x} 1; free 4000 @50000000 {above:x}");
        check_on(edition.name, &answers, "invalid-parameter-4 invalid-parameter-2 invalid-parameter-3");
    }
}

/// SPEC C1: the protection, then the base, then the size, on every edition by number.
#[test]
fn protect_judges_its_arguments_in_order() {
    for edition in editions() {
        let above = edition.max_user_address.raw() + 1;
        let scenario = format!(
            "protect @{above:x} 0 0; protect @{above:x} 0 r; protect @50000000 0 r; protect @50000000 {above:x} r"
        );
        let answers = "invalid-page-protection invalid-parameter-2 invalid-parameter-3 invalid-parameter-3";
        check_on(edition.name, &scenario, answers);
    }
}

/// SPEC H6: on x86 the rest of the shared page's unit is not to be had; on x64 what follows it is ordinary memory.
#[test]
fn the_unit_of_the_shared_page_is_taken() {
    for edition in editions() {
        let (inside, after) = match (edition.bitness, edition.name) {
            (Bitness::Bits32, _) => ("invalid-parameter-2", "invalid-parameter-2"),
            (Bitness::Bits64, _) => ("conflicting-addresses", "ok"),
        };
        let scenario = "reserve 1p at @7ffe1000; reserve 1p at @7ffef000; reserve 1p at @7fff0000";
        check_on(edition.name, scenario, &format!("{inside} {inside} {after}"));
    }
}

/// SPEC H7: a program that is not large-address aware stays below 2 GiB, and its first region from the top ends below
/// the shared page.
#[test]
fn a_small_address_space_ends_below_the_shared_page() {
    for edition in editions() {
        let mut world = World::new(edition.name);
        world.start_process(LargeAddressAware::No);
        assert_eq!(world.mm.user_limit(world.process).raw(), 0x7ffe_ffff);
        assert_eq!(world.step("alloc 64K top"), "ok");
        assert_eq!(world.origin, VirtAddr::new(0x7ffd_0000), "on {}", edition.name);
        assert_ne!(world.step("reserve 64K at @7fff0000"), "ok");
        assert_eq!(world.step("reserve 7ffd0000"), "no-memory");
        assert_eq!(world.step("read @80000000"), "access-violation(0)+30000");
    }
}

/// SPEC E8: the 64 KiB below 2 GiB are nobody's on x86.
#[test]
fn nothing_lives_below_the_2_gib_line_of_x86() {
    for edition in ["winxp-x86", "winxp-x86-pae", "win7-x86"] {
        check_on(
            edition,
            "read @7fff0000; write @7fffffff; exec @7fff8000; reserve 1p at @7fff0000; commit @7fff0000 1p",
            &format!(
                "access-violation(0)+7fff0000 access-violation(1)+7fffffff access-violation({})+7fff8000 \
                 invalid-parameter-2 invalid-parameter-2",
                if edition == "winxp-x86" { 0 } else { 8 }
            ),
        );
    }
}

/// SPEC D6 D7 D5: every field of an answer about free, reserved and committed pages.
#[test]
fn a_query_fills_every_field() {
    for edition in editions() {
        let mut world = World::new(edition.name);
        for step in ["reserve 64K xr at @50000000", "commit 4p 2p rw+g"] {
            assert_eq!(world.step(step), "ok");
        }
        let ask = |at: u64| world.mm.query(world.process, VirtAddr::new(at)).expect("a user address");
        let (reserved, committed, free) = (ask(0x5000_1234), ask(0x5000_5000), ask(0x5001_0fff));
        assert_eq!((reserved.state, reserved.protection), (MemoryState::Reserved, None));
        assert_eq!((committed.state, committed.size), (MemoryState::Committed, 0x1000));
        assert_eq!(committed.protection.map(|protection| protection.raw()), Some(0x104));
        for info in [reserved, committed] {
            assert_eq!(info.allocation_base, Some(VirtAddr::new(0x5000_0000)));
            assert_eq!(info.allocation_protection.map(|protection| protection.raw()), Some(0x20));
            assert_eq!(info.kind, Some(MemoryType::Private));
        }
        assert_eq!((reserved.base.raw(), reserved.size), (0x5000_1000, 0x3000));
        assert_eq!((free.state, free.allocation_base, free.kind), (MemoryState::Free, None, None));
        assert_eq!((free.allocation_protection, free.base.raw()), (None, 0x5001_0000));
        assert_eq!(free.protection.map(|protection| protection.raw()), Some(0x01));
        assert_eq!(free.base.raw() + free.size, 0x7ffe_0000, "up to the shared page");
    }
}

/// SPEC D17 D2: what x86 says of the pages after the shared one.
#[test]
fn the_tail_of_user_space_reads_as_reserved_on_x86() {
    for edition in editions().iter().filter(|edition| edition.bitness == Bitness::Bits32) {
        let world = World::new(edition.name);
        let info = world.mm.query(world.process, VirtAddr::new(0x7ffe_1800)).expect("a user address");
        assert_eq!((info.base.raw(), info.size), (0x7ffe_1000, 0xf000));
        assert_eq!((info.state, info.kind), (MemoryState::Reserved, Some(MemoryType::Private)));
        assert_eq!(info.protection.map(|protection| protection.raw()), Some(0x01));
        assert_eq!(info.allocation_protection.map(|protection| protection.raw()), Some(0x02));
        let above = world.mm.query(world.process, VirtAddr::new(0x7fff_0000));
        assert_eq!(above, Err(NtStatus::INVALID_PARAMETER));
    }
}

/// SPEC X11 J21: reserve costs nothing, commit its bytes at once, a touch a resident page, decommit gives all back.
#[test]
fn commit_is_charged_when_it_is_made() {
    for edition in editions() {
        let mut world = World::new(edition.name);
        let start = world.mm.process_counters(world.process);
        let since = |world: &World| {
            let now = world.mm.process_counters(world.process);
            (now.commit_pages - start.commit_pages, now.resident_pages - start.resident_pages)
        };
        assert_eq!((world.step("reserve 1M").as_str(), since(&world)), ("ok", (0, 0)));
        assert_eq!((world.step("commit 0 64K").as_str(), since(&world)), ("ok", (16, 0)));
        for page in 0..16 {
            assert_eq!(world.step(&format!("write {page}p")), "ok");
        }
        assert_eq!(since(&world), (16, 16));
        assert_eq!((world.step("decommit 0 64K").as_str(), since(&world)), ("ok", (0, 0)));
        assert_eq!(world.mm.process_counters(world.process).peak_commit_pages, start.commit_pages + 16);
    }
}
