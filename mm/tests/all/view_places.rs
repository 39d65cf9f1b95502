//! Where views lie: in place of placeholders, within limits, at the one address of a based section, and on page borders.

use crate::door::{World, check, check_on};
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::{Bitness, ExtendedMemory, ParameterStatus, editions};

const TEN: &str = "win10-x64";

/// Two placeholders, of 64 KiB and of one page, beside each other.
const PLACEHOLDERS: &str = "extended 42000 na @50000000 11000; free 8002 10000 1000; section 20p commit rw; ";

#[track_caller]
fn with_placeholders(scenario: &str, answers: &str) {
    check_on(TEN, &format!("{PLACEHOLDERS}{scenario}"), &format!("ok ok ok {answers}"));
}

/// SPEC F42: a view takes the place of exactly one placeholder; base and offset need to be whole pages only.
#[test]
fn a_view_replaces_exactly_one_placeholder() {
    with_placeholders(
        "view rw at @50010000 size 1000 from 3000 replace; write 0 7; query 0; owner 0; view r; read 3000; \
         view rw at @50000000 size 10000 replace; query 0; read 3000",
        "ok ok commit/rw/1p +0/rw/mapped ok =7 ok commit/rw/16p =7",
    );
    let wrong = [
        "at @50000000 size f000",
        "at @50000000 size 11000",
        "at @50001000 size f000",
        "at @60000000 size 10000",
        "size 10000",
    ];
    for place in wrong {
        with_placeholders(&format!("view rw {place} replace"), "conflicting-addresses");
    }
    with_placeholders("view rw at @50000800 size 10000 replace", "mapped-alignment");
    with_placeholders("view rw at @50010000 size 1000 from 3800 replace", "mapped-alignment");
    with_placeholders("view rw at @50000000 size 10000", "conflicting-addresses");
    with_placeholders(
        "view rw at @50000000 size 10000 low @50000000 replace; view rw at @50000000 size 10000 high @5fffffff replace",
        "invalid-parameter invalid-parameter",
    );
}

/// SPEC F45: a view that took a placeholder's place turns back into it, and what was stored stays in the section.
#[test]
fn a_view_turns_back_into_its_placeholder() {
    with_placeholders(
        "view rw at @50000000 size 10000 replace; write 5000 9; unmap 3000 preserve; query 0; owner 0; read 5000; \
         view rw at @50000000 size 10000 replace; read 5000; unmap 0; query 0; unmap 0 preserve; \
         view rw; unmap 0 preserve; query 0; reserve 64K; unmap 0 preserve",
        "ok ok ok reserve/16p +0/na/private access-violation(0)+5000 ok =9 ok free not-mapped-view \
         ok conflicting-addresses commit/rw/20p ok not-mapped-view",
    );
}

/// SPEC F42 F25: only the extended call knows placeholders, from Windows 10 1803 on.
#[test]
fn only_the_extended_call_replaces_placeholders() {
    for edition in editions() {
        let bad = match edition.parameter_status {
            ParameterStatus::Numbered => "invalid-parameter-9",
            ParameterStatus::Plain => "invalid-parameter",
        };
        let extended = match edition.extended_memory {
            ExtendedMemory::Present => "conflicting-addresses",
            ExtendedMemory::Absent => bad,
        };
        check_on(
            edition.name,
            "section 1p commit rw; view rw at @50000000 4000; view rw at @50000000 replace",
            &format!("ok {bad} {extended}"),
        );
    }
}

/// SPEC F42: a view lies within the limits that its caller gives; there is no alignment to ask for, and no limit for a view
/// whose base is given.
#[test]
fn a_view_lies_within_its_limits() {
    check_on(
        TEN,
        "section 3p commit rw; view rw extended low @70000000; base 0; view rw extended low @70000000 high @7001ffff; \
         view rw extended low @70000000 high @7001ffff; view rw extended top high @6fffffff; query 0; \
         view rw extended align 10000; view rw extended low @70001000; view rw extended high @7001fff0; \
         view rw extended at @50000000 low @40000000; view rw extended low @70010000 high @70000fff",
        "ok ok ok ok no-memory ok commit/rw/3p invalid-parameter invalid-parameter invalid-parameter \
         invalid-parameter invalid-parameter",
    );
    let mut world = World::new(TEN);
    for step in ["section 3p commit rw", "view rw extended low @70000000"] {
        assert_eq!(world.step(step), "ok");
    }
    assert_eq!(world.origin, VirtAddr::new(0x7000_0000));
    assert_eq!(world.step("view rw extended top high @6fffffff"), "ok");
    assert_eq!(world.origin, VirtAddr::new(0x6fff_0000));
}

/// SPEC F28: 32-bit kernels round base and offset down to pages if they are asked to; 64-bit kernels do not know the bit.
#[test]
fn rounding_to_pages_is_for_32_bit_kernels() {
    for edition in editions() {
        let scenario = "section 20p commit rw; view rw; write 3000 6; view rw at @50001800 from 3800 size 1000 round; \
                        base 0; read 0; query 0; view rw at @50002000 from 3000 size 1000";
        let bad = match edition.parameter_status {
            ParameterStatus::Numbered => "invalid-parameter-9",
            ParameterStatus::Plain => "invalid-parameter",
        };
        let mut world = World::new(edition.name);
        let answers: Vec<String> = scenario.split(';').map(|step| world.step(step.trim())).collect();
        match edition.bitness {
            Bitness::Bits32 => {
                assert_eq!(world.origin, VirtAddr::new(0x5000_1000), "on {}", edition.name);
                let want = ["ok", "ok", "ok", "ok", "ok", "=6", "commit/rw/1p", "mapped-alignment"];
                assert_eq!(answers, want, "on {}", edition.name);
            }
            Bitness::Bits64 => assert_eq!(answers[3], bad, "on {}", edition.name),
        }
    }
}

/// SPEC F40: a based section lies at one address in every process, the next one below it; another base or an offset is
/// refused, and so is a place that is taken.
#[test]
fn a_based_section_lies_at_one_address_everywhere() {
    for edition in editions() {
        let mut world = World::new(edition.name);
        assert_eq!(world.step("section 11000 commit rw based"), "ok");
        assert_eq!(world.step("view rw"), "ok");
        let first = world.origin;
        let top = edition.max_user_address.raw() - 0x80_0000;
        assert_eq!(first.raw(), (top & !0xffff) - 0x2_0000, "on {}", edition.name);
        assert_eq!(world.step("write 0 5"), "ok");
        assert_eq!(world.step("view rw"), "conflicting-addresses", "on {}", edition.name);
        assert_eq!(world.step("view rw at @50000000"), "conflicting-addresses");
        assert_eq!(world.step("view rw from 10000"), "conflicting-addresses");
        assert_eq!(world.step("section 1p commit rw based"), "ok");
        assert_eq!(world.step("view rw"), "ok");
        assert_eq!(world.origin.raw(), first.raw() - 0x1_0000, "on {}", edition.name);
        world.enter_process(1);
        assert_eq!(world.step("use 0"), "ok");
        assert_eq!(world.step("view rw"), "ok");
        assert_eq!(world.origin, first, "on {}", edition.name);
        assert_eq!(world.step("read 0"), "=5");
        // Given by its own base it is the same view.
        assert_eq!(world.step("unmap 0"), "ok");
        assert_eq!(world.step(&format!("view rw at @{:x}", first.raw())), "ok");
        // The place is free again when the section is gone.
        assert_eq!(world.step("close"), "ok");
        assert_eq!(world.step("section 2p commit rw based"), "ok");
        assert_eq!(world.step("unmap 0"), "ok");
        assert_eq!(world.step("view rw"), "ok");
        assert_eq!(world.origin.raw(), first.raw() + 0x1_0000, "on {}", edition.name);
    }
}

/// SPEC F40: there are as many based sections as there is room.
#[test]
fn a_based_section_needs_a_place() {
    check_on("winxp-x86", "section 3000p reserve rw based; section 524200p reserve rw based", "ok no-memory");
}

/// SPEC F38 A21: the next view begins on an allocation unit, whatever a view's size is.
#[test]
fn the_next_view_begins_on_an_allocation_unit() {
    check(
        "section 20p commit rw; view rw size 1; base 0; view rw at @50000000 size 10001; base 0; view rw at @50010000; view rw at @50020000",
        "ok ok ok ok ok conflicting-addresses ok",
    );
}
