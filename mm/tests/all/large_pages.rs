//! Large pages: what they need, what maps them, and that nothing less than a whole region is changed.

use crate::door::{World, check_on};
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::{Edition, editions};
use vadose_facts::x86::{Access, PagingMode, Privilege, walk};
use vadose_mm::large_page_bytes;

fn each(check: impl Fn(&mut World, &'static Edition, u64)) {
    for edition in editions() {
        check(&mut World::new(edition.name), edition, large_page_bytes(edition.paging));
    }
}

fn bad(edition: &Edition, n: u32) -> String {
    if edition.version.major >= 10 {
        "invalid-parameter".to_owned()
    } else {
        format!("invalid-parameter-{n}")
    }
}

/// A step of the plain call by a caller who may lock memory.
fn large(rest: &str) -> String {
    format!("privileged {rest}")
}

/// SPEC A4: with `MEM_COMMIT`, and without what cannot be large.
#[test]
fn large_pages_are_committed_at_once() {
    for edition in editions() {
        for bits in ["20002000", "20000000", "20403000", "20202000", "20203000", "20081000", "20080000"] {
            check_on(edition.name, &format!("privileged {bits} rw - 4M"), &bad(edition, 5));
        }
    }
}

/// SPEC A14 J43: the privilege, and whole large pages.
#[test]
fn large_pages_need_the_privilege_and_whole_sizes() {
    each(|world, edition, unit| {
        assert_eq!(world.step(&format!("raw 20003000 rw - {unit:x}")), "privilege-not-held");
        for size in [0x1000, unit - 0x1000, unit + 0x1000] {
            assert_eq!(world.step(&large(&format!("20003000 rw - {size:x}"))), bad(edition, 4), "{size:x}");
        }
        for base in [0x5001_0000, 0x5000_0000 + unit / 2] {
            let step = large(&format!("20003000 rw @{base:x} {unit:x}"));
            assert_eq!(world.step(&step), bad(edition, 2), "{base:x}");
        }
        assert_eq!(world.step(&large(&format!("20001000 rw @50000000 {unit:x}"))), "conflicting-addresses");
        for protection in ["na", "rw+g", "r+g"] {
            let step = large(&format!("20003000 {protection} - {unit:x}"));
            assert_eq!(world.step(&step), "invalid-page-protection", "{protection}");
        }
    });
}

/// SPEC J43 J44 H19: one entry of the directory maps each large page, over contiguous frames that hold zeros; private bytes,
/// and not in the working set.
#[test]
fn a_directory_entry_maps_each_large_page() {
    each(|world, edition, unit| {
        let before = world.mm.process_counters(world.process);
        assert_eq!(world.step(&large(&format!("20003000 rw @50000000 {unit:x}"))), "ok", "{}", edition.name);
        let pages = unit / 0x1000;
        assert_eq!(world.step("query 0"), format!("commit/rw/{pages}p"));
        for offset in [0, 0x1000, unit / 2 + 5, unit - 1] {
            assert_eq!(world.step(&format!("read {offset:x}")), "=0");
            assert_eq!(world.step(&format!("write {offset:x} 77")), "ok");
            assert_eq!(world.step(&format!("read {offset:x}")), "=77");
        }
        let space = world.mm.translation(world.process);
        let at = |offset| {
            let va = VirtAddr::new(0x5000_0000 + offset);
            walk(world.mm.ram(), space, va, Access::Read, Privilege::User).expect("mapped")
        };
        assert_eq!(at(0).page_bytes, unit);
        assert_eq!(at(unit - 1).phys.raw(), at(0).phys.raw() + unit - 1);
        assert!(at(0).phys.raw().is_multiple_of(unit));
        let after = world.mm.process_counters(world.process);
        assert_eq!(after.commit_pages, before.commit_pages + pages);
        assert_eq!(after.resident_pages, before.resident_pages);
        assert_eq!(world.step("release 0 0"), "ok");
        assert_eq!(world.step("read 0"), "access-violation(0)+0");
        assert_eq!(world.mm.process_counters(world.process).commit_pages, before.commit_pages);
    });
}

/// SPEC J43: used again, the frames hold zeros again; a base is found at a multiple of a large page, from either end.
#[test]
fn a_large_page_is_placed_at_a_multiple_of_itself() {
    each(|world, edition, unit| {
        assert_eq!(world.step("reserve 64K"), "ok");
        for bits in ["20003000", "20001000", "20103000"] {
            assert_eq!(world.step(&large(&format!("{bits} rw - {unit:x}"))), "ok", "{bits} {}", edition.name);
            assert!(world.origin.is_aligned(unit), "{:?}", world.origin);
            assert_eq!(world.step(&format!("read {:x}", unit - 1)), "=0");
            assert_eq!(world.step(&format!("write {:x}", unit - 1)), "ok");
            assert_eq!(world.step(&format!("release 0 {unit:x}")), "ok");
        }
    });
}

/// SPEC J44: the region's protection is the processor's.
#[test]
fn protections_are_a_whole_regions() {
    each(|world, edition, unit| {
        let answers = |protection: &str| match protection {
            "r" => ["=0", "access-violation(1)+1234"],
            _ => ["=0", "ok"],
        };
        for protection in ["r", "rw", "xr", "xrw", "x", "rw+nc", "rw+cb"] {
            assert_eq!(world.step(&large(&format!("20003000 {protection} @50000000 {unit:x}"))), "ok");
            let [read, write] = match protection {
                "xr" | "x" => answers("r"),
                other => answers(other),
            };
            assert_eq!(world.step("read 1234"), read, "{protection} on {}", edition.name);
            assert_eq!(world.step("write 1234"), write, "{protection} on {}", edition.name);
            assert_eq!(world.step("query 0"), format!("commit/{protection}/{}p", unit / 0x1000));
            assert_eq!(world.step("release 0 0"), "ok");
        }
    });
}

/// SPEC B17 C8 A46 J9 J44: no part of a region is released, and none of it is decommitted, reset, committed or protected.
#[test]
fn only_all_of_a_region_is_released() {
    each(|world, edition, unit| {
        let name = edition.name;
        assert_eq!(world.step(&large(&format!("20003000 rw @50000000 {unit:x}"))), "ok");
        assert_eq!(world.step("write 1000 55"), "ok");
        for step in ["release 0 1000", "release 1000 1000", "decommit 0 0", "decommit 0 1000"] {
            assert_eq!(world.step(step), "unable-to-free-vm", "{step} on {name}");
        }
        for step in ["commit 0 1000", "raw 80000 na 0 1000", "protect 0 1000 r", "protect 1000 1000 xrw"] {
            assert_eq!(world.step(step), "conflicting-addresses", "{step} on {name}");
        }
        assert_eq!(world.step("lock 0 1000"), "incompatible-file-map", "{name}");
        assert_eq!(world.step("release 1000 0"), "free-vm-not-at-base");
        assert_eq!(world.step("read 1000"), "=55", "{name}");
    });
}

/// SPEC J43: where enough frames are left and no run of them, nothing is allocated; when some run is free again, it is.
#[test]
fn fragmented_memory_has_no_large_pages() {
    each(|world, edition, unit| {
        let name = edition.name;
        let step = large(&format!("20003000 rw - {unit:x}"));
        let mut bases = Vec::new();
        while world.step(&step) == "ok" {
            bases.push(world.origin.raw());
        }
        assert!((2..8).contains(&bases.len()), "{} on {name}", bases.len());
        let answer = world.step(&step);
        assert!(
            ["insufficient-resources", "no-memory", "commitment-limit"].contains(&answer.as_str()),
            "{answer}"
        );
        // All other frames go to physical pages, and one frame of each run that comes free.
        assert!(world.step("own 100000").starts_with("own/"));
        for (base, taken) in [(bases[0], "own 46"), (bases[1], "own 6")] {
            assert_eq!(world.step(&format!("release @{base:x} 0")), "ok");
            assert!(world.step(taken).starts_with("own/"), "{name}");
        }
        assert_eq!(world.step(&step), "insufficient-resources", "{name}");
        let all: Vec<String> = (0..world.frames.len()).map(|index| index.to_string()).collect();
        assert_eq!(world.step(&format!("disown {}", all.join(","))), format!("freed/{}", all.len()));
        assert_eq!(world.step(&step), "ok", "{name}");
    });
}

/// SPEC J44: a process that ends gives its large pages back.
#[test]
fn the_end_of_a_process_frees_its_large_pages() {
    each(|world, edition, unit| {
        let before = world.mm.frame_counts();
        assert_eq!(world.step(&large(&format!("20003000 rw - {unit:x}"))), "ok", "{}", edition.name);
        world.restart_process();
        world.mm.audit().expect("nothing is left behind");
        assert_eq!(world.mm.frame_counts().available(), before.available(), "{}", edition.name);
    });
}

/// SPEC H19: the size of a large page, by the shape of the tables.
#[test]
fn a_large_page_is_what_a_directory_entry_spans() {
    assert_eq!(large_page_bytes(PagingMode::Legacy), 4 << 20);
    assert_eq!(large_page_bytes(PagingMode::Pae), 2 << 20);
    assert_eq!(large_page_bytes(PagingMode::Long4), 2 << 20);
}
