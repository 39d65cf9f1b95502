//! Write watch: what counts as a store, how the answer is given, and what forgets it, on every edition.

use crate::door::{World, check, check_on};
use vadose_facts::ntdef::editions;

/// 64 KiB with write watch, committed, at an address below every edition's end.
const WATCHED: &str = "raw 203000 rw @50000000 64K; ";

#[track_caller]
fn watched(scenario: &str, answers: &str) {
    check(&format!("{WATCHED}{scenario}"), &format!("ok {answers}"));
}

/// SPEC A5: with every legal private protection, reserved or committed; never without `MEM_RESERVE`.
#[test]
fn a_region_is_watched_from_its_reservation_on() {
    for protection in ["na", "r", "rw", "x", "xr", "xrw", "rw+g", "rw+nc", "rw+cb"] {
        for bits in ["202000", "203000", "302000"] {
            check(&format!("raw {bits} {protection} - 64K; watch 0 64K"), "ok none");
        }
    }
    for edition in editions() {
        let bad = if edition.version.major >= 10 { "invalid-parameter" } else { "invalid-parameter-5" };
        for bits in ["200000", "201000", "280000", "300000", "20202000"] {
            check_on(edition.name, &format!("raw {bits} rw - 64K"), bad);
        }
    }
}

/// SPEC J31 J32: only inside one watched region.
#[test]
fn other_memory_is_not_watched() {
    check("alloc 64K; write 0; watch 0 64K; unwatch 0 64K", "ok ok invalid-parameter invalid-parameter");
    check("watch @50000000 64K; unwatch @50000000 64K", "invalid-parameter invalid-parameter");
    watched("watch 0 11000; unwatch F000 1001", "invalid-parameter invalid-parameter");
    watched(
        "raw 203000 rw @50010000 64K; watch @50000000 11000; unwatch @5000F000 2000",
        "ok invalid-parameter invalid-parameter",
    );
    watched(
        "watch 0 0; unwatch 0 0; watch 0 64K 0",
        "invalid-parameter-3 invalid-parameter-3 invalid-parameter-5",
    );
    for edition in editions() {
        let beyond = edition.max_user_address.raw() + 1;
        let scenario = format!("watch @{beyond:x} 1000; watch @10000 {beyond:x}; unwatch @{beyond:x} 1000");
        check_on(edition.name, &scenario, "invalid-parameter-2 invalid-parameter-3 invalid-parameter-2");
    }
}

/// SPEC J34: the first store counts, once; reads and fetches do not.
#[test]
fn a_page_counts_from_its_first_store_to_the_reset() {
    watched("watch 0 64K; read 0; read 5000; watch 0 64K", "none =0 =0 none");
    watched("write 2345; write 2346; read 3000; watch 0 64K; write 2000; watch 0 64K", "ok ok =0 2 ok 2");
    watched(
        "write 1000; take 0 64K; watch 0 64K; read 1000; watch 0 64K; write 1000; watch 0 64K",
        "ok 1 none =41 none ok 1",
    );
    watched("write 1000; unwatch 0 64K; watch 0 64K; write 1fff; watch 0 64K", "ok ok none ok 1");
    watched("read 1000; write 1000; take 0 64K; write 1000; take 0 64K; take 0 64K", "=0 ok 1 ok 1 none");
    check(
        "raw 202000 rw - 64K; commit 3000 2000; write 4000; watch 0 64K; watch 3000 1000",
        "ok ok ok 4 none",
    );
}

/// SPEC J33: ascending, as many as there is room for, and only what is reported is reset.
#[test]
fn what_is_not_reported_stays_pending() {
    watched(
        "write 9000; write 1000; write 4000; write 2000; watch 0 64K; watch 1001 2000; take 0 64K 2; watch 0 64K; \
         take 3000 2000; watch 0 64K; take 0 64K 1; take 0 64K 1",
        "ok ok ok ok 1,2,4,9 1,2 1,2 4,9 4 9 9 none",
    );
}

/// SPEC J36 C12: no protection loses the state; what a reset forgot stays forgotten.
#[test]
fn protections_keep_the_state() {
    for word in ["r", "na", "rw+g", "xr", "xrw", "rw+cb"] {
        watched(
            &format!(
                "write 1000; read 2000; protect 0 64K {word}; watch 0 64K; protect 0 64K rw; watch 0 64K; read 1000; read 2000; watch 0 64K"
            ),
            "ok =0 was-rw 1 was-$ 1 =41 =0 1".replace('$', kept(word)).as_str(),
        );
        watched(
            &format!(
                "write 1000; take 0 64K; protect 0 64K {word}; watch 0 64K; protect 0 64K rw; read 1000; watch 0 64K; write 1000; watch 0 64K"
            ),
            "ok 1 was-rw none was-$ =41 none ok 1".replace('$', kept(word)).as_str(),
        );
        watched(
            &format!(
                "write 1000; protect 0 64K {word}; take 0 64K; protect 0 64K rw; read 1000; watch 0 64K"
            ),
            "ok was-rw 1 was-$ =41 none".replace('$', kept(word)).as_str(),
        );
    }
    watched(
        "write 1000; protect 0 64K na; protect 0 64K r; read 1000; watch 0 64K",
        "ok was-rw was-na =41 1",
    );
}

/// What is told of a protection that was set, where every edition tells the same.
fn kept(word: &str) -> &str {
    word
}

/// SPEC J36: decommit forgets, and so does a new commit after it; a commit of what is committed does not.
#[test]
fn a_decommit_forgets() {
    watched(
        "write 1000; write 5000; decommit 1000 1000; watch 0 64K; commit 1000 1000; watch 0 64K; write 1000; watch 0 64K",
        "ok ok ok 5 ok 5 ok 1,5",
    );
    watched(
        "write 1000; commit 0 64K; watch 0 64K; decommit 0 0; commit 0 64K; watch 0 64K",
        "ok ok 1 ok ok none",
    );
}

/// SPEC B8 A57: the parts of a region stay watched, and what replaces a placeholder can be.
#[test]
fn a_part_of_a_watched_region_is_watched() {
    watched(
        "write 1000; write 5000; release 2000 1000; watch 0 2000; watch 3000 D000; watch 0 64K",
        "ok ok ok 1 5 invalid-parameter",
    );
    check_on(
        "win10-x64",
        "extended 42000 na - 64K; extended 206000 r 0 64K; commit 0 64K; take 0 64K; write 1000; take 0 64K; \
         free 8002 0 64K; watch 0 64K",
        "ok ok ok none ok 1 ok invalid-parameter",
    );
}

/// SPEC J33 J34: thousands of pages over several tables, against a list of what was stored to.
#[test]
fn every_second_or_third_page_of_many_tables() {
    for edition in editions() {
        let mut world = World::new(edition.name);
        assert_eq!(world.quietly("raw 203000 rw @50000000 8M"), "ok");
        let stored: Vec<u64> = (0..2048).filter(|page| page % 2 == 0 || page % 3 == 0).collect();
        for page in &stored {
            assert_eq!(world.quietly(&format!("write {:x}", page * 0x1000)), "ok");
        }
        let told = |list: &[u64]| list.iter().map(|page| format!("{page:x}")).collect::<Vec<_>>().join(",");
        assert_eq!(world.step("watch 0 8M"), told(&stored), "{}", edition.name);
        assert_eq!(world.step("take 0 8M 100"), told(&stored[..256]), "{}", edition.name);
        assert_eq!(world.step("take 0 8M"), told(&stored[256..]), "{}", edition.name);
        assert_eq!(world.step("watch 0 8M"), "none", "{}", edition.name);
    }
}
