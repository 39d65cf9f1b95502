//! Placeholders and extended parameters: what Windows 10 has, and that older editions know nothing of it.

use crate::door::{World, check_on};
use vadose_facts::ntdef::{AllocationPreference, ExtendedMemory, editions};

const TEN: &str = "win10-x64";

/// `MEM_RESERVE | MEM_RESERVE_PLACEHOLDER` of 64 KiB.
const PLACEHOLDER: &str = "extended 42000 na @50000000 64K; ";

#[track_caller]
fn with_placeholder(scenario: &str, answers: &str) {
    check_on(TEN, &format!("{PLACEHOLDER}{scenario}"), &format!("ok {answers}"));
}

/// SPEC A51: the plain call knows no placeholders, and neither call does before Windows 10 1803.
#[test]
fn only_the_extended_call_of_windows_10_takes_placeholders() {
    for edition in editions() {
        let bad = if edition.name == TEN { "invalid-parameter" } else { "invalid-parameter-5" };
        for bits in ["42000", "6000", "7000", "40000", "4000"] {
            check_on(edition.name, &format!("raw {bits} na - 64K"), bad);
        }
        let extended = match edition.extended_memory {
            ExtendedMemory::Present => "ok",
            ExtendedMemory::Absent => bad,
        };
        check_on(edition.name, "extended 42000 na - 64K", extended);
    }
}

/// SPEC A52: only with `PAGE_NOACCESS` and `MEM_RESERVE`; reported as reserved private memory.
#[test]
fn a_placeholder_is_reserved_without_access_only() {
    for word in ["r", "rw", "x", "xr", "xrw", "rw+g", "rw+nc"] {
        check_on(TEN, &format!("extended 42000 {word} - 64K"), "invalid-parameter");
    }
    for bits in ["40000", "41000", "43000", "262000", "442000", "2004200", "46000"] {
        check_on(TEN, &format!("extended {bits} na - 64K"), "invalid-parameter");
    }
    with_placeholder(
        "query 0; owner 4000; query 4000; query 64K",
        "reserve/16p +0/na/private reserve/12p free",
    );
    check_on(TEN, "extended 142000 na - 64K; query 0", "ok reserve/16p");
}

/// SPEC A53: `MEM_RESERVE` is needed, and base and size must be one placeholder's.
#[test]
fn a_replacement_is_exactly_one_placeholder() {
    let wrong = [
        ("4000 rw 0 64K", "invalid-parameter"),
        ("5000 rw 0 64K", "invalid-parameter"),
        ("406000 rw 0 64K", "invalid-parameter"),
        ("20007000 rw 0 64K", "invalid-parameter"),
        ("6000 rw 0 1000", "conflicting-addresses"),
        ("6000 rw 1000 F000", "conflicting-addresses"),
        ("6000 rw 0 11000", "conflicting-addresses"),
        ("6000 rw - 64K", "conflicting-addresses"),
        ("6000 rw @60000000 64K", "conflicting-addresses"),
    ];
    for (step, answer) in wrong {
        with_placeholder(&format!("extended {step}; query 0"), &format!("{answer} reserve/16p"));
    }
    check_on(TEN, "reserve 64K; extended 6000 rw 0 64K; query 0", "ok conflicting-addresses reserve/16p");
    with_placeholder("extended 6000 r 0 64K; commit 0 64K rw; owner 0; write 0", "ok ok +0/r/private ok");
    with_placeholder("extended 7000 rw 0 64K; query 0; write FFFF; read FFFF", "ok commit/rw/16p ok =41");
    with_placeholder("extended 6000 rw 0 64K; extended 6000 rw 0 64K", "ok conflicting-addresses");
}

/// SPEC A54 A46: nothing else may be put over a placeholder, and its pages cannot be committed or touched.
#[test]
fn a_placeholder_keeps_everything_else_away() {
    with_placeholder(
        "extended 2000 na 0 64K; extended 42000 na 0 64K; extended 1000 rw 0 64K; commit 0 1000; raw 2000 rw 0 1000",
        "conflicting-addresses conflicting-addresses conflicting-addresses conflicting-addresses \
         conflicting-addresses",
    );
    with_placeholder(
        "raw 80000 na 0 1000; protect 0 1000 rw; read 0; write 1000; decommit 0 0; query 0",
        "conflicting-addresses not-committed access-violation(0)+0 access-violation(1)+1000 ok reserve/16p",
    );
}

/// SPEC A53 J12: memory that is only reserved charges nothing, whatever the placeholder's size.
#[test]
fn a_large_reserve_replaces_a_placeholder_without_a_charge() {
    check_on(TEN, "extended 42000 na - 4G; extended 6000 rw 0 4G; query 0", "ok ok reserve/1048576p");
}

/// SPEC C7: a placeholder is private memory, which has no write-copy.
#[test]
fn a_placeholder_refuses_write_copy_as_private_memory_does() {
    with_placeholder("protect 0 1000 wc; protect 0 1000 r", "invalid-parameter-4 not-committed");
}

/// SPEC A55 B20: memory that replaced a placeholder can be turned back into it, and starts with zeros the next time.
#[test]
fn what_replaced_a_placeholder_turns_back_into_one() {
    with_placeholder(
        "extended 7000 rw 0 64K; write 0 cc; write 8000 cc; free 8002 0 64K; query 0; owner 0; read 0; \
         extended 7000 r 0 64K; read 0; read 8000; owner 0",
        "ok ok ok ok reserve/16p +0/na/private access-violation(0)+0 ok =0 =0 +0/r/private",
    );
    with_placeholder(
        "extended 7000 rw 0 64K; free 8002 0 8000; free 8002 1000 F000; free 8002 0 11000; query 0",
        "ok conflicting-addresses conflicting-addresses unable-to-free-vm commit/rw/16p",
    );
    with_placeholder(
        "extended 7000 rw 0 64K; release 0 4000; free 8002 4000 C000; owner 4000; query 0",
        "ok ok ok +4000/na/private free",
    );
}

/// SPEC A56 B19: head, middle and tail, at pages; a replacement may start at a page.
#[test]
fn a_placeholder_splits_at_pages() {
    with_placeholder(
        "free 8002 0 3000; query 0; query 3000; owner 3000; extended 7000 rw 3000 D000; write 0; query 0",
        "ok reserve/3p reserve/13p +3000/na/private ok ok commit/rw/13p",
    );
    with_placeholder(
        "free 8002 8000 4000; query 0; query 8000; query C000; owner 8000; owner C000",
        "ok reserve/8p reserve/4p reserve/4p +8000/na/private +c000/na/private",
    );
    with_placeholder("free 8002 D000 3000; query 0; query D000", "ok reserve/13p reserve/3p");
    with_placeholder(
        "free 8002 1fff 2; query 0; query 1000; query 3000",
        "ok reserve/1p reserve/2p reserve/13p",
    );
    with_placeholder("free 8002 0 64K; query 0", "conflicting-addresses reserve/16p");
    check_on(
        TEN,
        "reserve 64K; free 8002 0 64K; free 8002 0 1000",
        "ok conflicting-addresses conflicting-addresses",
    );
}

/// SPEC B18: both need a size.
#[test]
fn preserve_and_coalesce_need_a_size() {
    with_placeholder("free 8002 0 0; free 8001 0 0", "invalid-parameter-3 invalid-parameter-3");
}

/// SPEC B21: two or more, border to border, and nothing else in between.
#[test]
fn placeholders_join_border_to_border() {
    let parts = "free 8002 0 4000; free 8002 4000 4000; ";
    let wrong = ["0 4000", "0 C000", "0 11000", "0 F000", "1000 F000", "1000 3000", "4000 3000"];
    for range in wrong {
        with_placeholder(
            &format!("{parts}free 8001 {range}; query 0"),
            "ok ok conflicting-addresses reserve/4p",
        );
    }
    with_placeholder(
        &format!("{parts}free 8001 0 64K; query 0; owner F000"),
        "ok ok ok reserve/16p +0/na/private",
    );
    with_placeholder(
        &format!("{parts}free 8001 4000 C000; query 0; query 4000"),
        "ok ok ok reserve/4p reserve/12p",
    );
    with_placeholder("free 8001 0 64K", "conflicting-addresses");
    with_placeholder(
        "free 8002 4000 4000; extended 6000 rw 4000 4000; free 8001 @50000000 64K; query @50000000",
        "ok ok conflicting-addresses reserve/4p",
    );
    with_placeholder(
        "free 8002 4000 4000; release 4000 4000; free 8001 0 64K; free 8001 4000 C000; query 0",
        "ok ok conflicting-addresses memory-not-allocated reserve/4p",
    );
}

/// SPEC B22 B23: a plain release takes one placeholder, all of it or a part.
#[test]
fn a_plain_release_takes_one_placeholder() {
    with_placeholder("free 8002 0 4000; release 0 64K; query 0", "ok unable-to-free-vm reserve/4p");
    with_placeholder("release 0 0; query 0", "ok free");
    with_placeholder("release 0 64K; query 0", "ok free");
    with_placeholder(
        "release 0 4000; query 0; query 4000; extended 6000 rw 4000 C000",
        "ok free reserve/12p ok",
    );
}

/// SPEC B1: placeholder bits of a free call are unknown where there are none, and never go together.
#[test]
fn free_knows_placeholder_bits_where_there_are_placeholders() {
    for edition in editions() {
        for bits in ["1", "2", "3", "8003", "4001", "4002", "c001"] {
            let scenario = format!("reserve 64K; free {bits} 0 64K");
            check_on(edition.name, &scenario, "ok invalid-parameter-4");
        }
        if edition.extended_memory == ExtendedMemory::Absent {
            let scenario = "reserve 64K; free 8001 0 64K; free 8002 0 64K";
            check_on(edition.name, scenario, "ok invalid-parameter-4 invalid-parameter-4");
        }
    }
}

/// SPEC A60: none is none, whatever the base; any needs the base open, even to commit.
#[test]
fn requirements_leave_the_base_open() {
    check_on(TEN, "extended 2000 rw @50000000 64K align 0", "ok");
    for one in ["low 10000", "high 7fffffff", "align 10000"] {
        check_on(TEN, &format!("extended 2000 rw @50000000 64K {one}"), "invalid-parameter");
        check_on(TEN, &format!("reserve 64K; extended 1000 rw 0 64K {one}"), "ok invalid-parameter");
    }
}

/// SPEC A61 A62: what is malformed, and what is well-formed and cannot be met.
#[test]
fn requirements_are_checked_by_themselves() {
    let malformed = [
        "align 8000",
        "align 30000",
        "align 1000",
        "align 18000",
        "low 1000",
        "low 18000",
        "high 20001001",
        "high 20000ffe",
        "high 200007ff",
        "high 7ffffffeffff1",
        "high 7fffffff0fff",
        "low 20000000 high 1fffffff",
        "low 20000000 high 10000fff",
    ];
    for words in malformed {
        check_on(TEN, &format!("extended 2000 rw - 1000 {words}"), "invalid-parameter");
    }
    let impossible = [
        "high 20000fff align 20000000 low 20000000",
        "low 20000000 high 20000fff",
        "low 7ffe0000 high 7ffeffff",
        "high ffff",
        "align 4000000000000",
        "low 7ffffffe0000",
    ];
    for words in impossible {
        check_on(TEN, &format!("extended 2000 rw - 2000 {words}"), "no-memory");
    }
    check_on(
        TEN,
        "extended 2000 rw - 64K high 7fffffffefff; extended 2000 rw - 64K high 7ffffffeffff",
        "invalid-parameter ok",
    );
}

/// SPEC A63: the place meets every requirement, from both ends.
#[test]
fn the_place_meets_every_requirement() {
    let found = |world: &mut World, words: &str| {
        assert_eq!(world.step(&format!("extended {words}")), "ok", "{words}");
        world.origin.raw()
    };
    let mut world = World::new(TEN);
    let low = "low 20000000 high 2fffffff";
    assert_eq!(found(&mut world, &format!("2000 rw - 10000 {low}")), 0x2000_0000);
    assert_eq!(found(&mut world, &format!("2000 rw - 10000 {low} align 1000000")), 0x2100_0000);
    assert_eq!(found(&mut world, &format!("102000 rw - 10000 {low}")), 0x2fff_0000);
    assert_eq!(found(&mut world, &format!("102000 rw - 10000 {low} align 1000000")), 0x2f00_0000);
    assert_eq!(found(&mut world, &format!("102000 rw - 10000 {low} align 8000000")), 0x2800_0000);
    assert_eq!(found(&mut world, "2000 rw - 10000 align 10000000"), 0x1000_0000);
    assert_eq!(found(&mut world, "2000 rw - 40000 high 20000fff"), 0x1_0000);
    // A hole that is large enough has no aligned start: the search goes on behind it.
    assert_eq!(found(&mut world, "2000 rw - 2000000 low 21000000 align 2000000"), 0x2200_0000);
}

/// SPEC A64: a node is a preference, and must exist.
#[test]
fn a_node_that_does_not_exist_is_refused() {
    check_on(
        TEN,
        "extended 3000 rw - 64K node 0; write 0; extended 3000 rw - 64K node 1",
        "ok ok invalid-parameter",
    );
}

/// SPEC A40: the setting makes every open address come from the top.
#[test]
fn the_allocation_preference_is_top_down_for_every_call() {
    for edition in editions() {
        let mut world = World::new(edition.name);
        assert_eq!(world.step("reserve 64K"), "ok");
        assert_eq!(world.origin.raw(), 0x1_0000);
        assert_eq!(world.step("reserve 64K top"), "ok");
        let top = world.origin.raw();
        world.mm.set_allocation_preference(AllocationPreference::TopDown);
        assert_eq!(world.step("reserve 64K"), "ok");
        assert!(world.origin.raw() < top && world.origin.raw() > top - 0x10_0000, "{}", edition.name);
        assert_eq!(world.step("reserve 64K at @50000000"), "ok");
        assert_eq!(world.origin.raw(), 0x5000_0000);
    }
}
