//! Page tables as others read them: the self-map, the shared kernel half, and the formats of entries in RAM.

use crate::door::World;
use vadose_facts::addr::{PAGE_BYTES, VirtAddr};
use vadose_facts::ntdef::{Aslr, Edition, LargeAddressAware, SelfMap, WriteTracking, edition, editions};
use vadose_facts::x86::{Access, HeapRam, PagingMode, PhysicalMemory, Privilege, probe, walk};
use vadose_mm::pfn::PageLocation;
use vadose_mm::pte::PteState;
use vadose_mm::{MINIMUM_RAM_BYTES, Mm, MmConfig, StartError};

const PAGE: VirtAddr = VirtAddr::new(0x5000_0000);

fn kernel_bytes(world: &World, va: u64, bytes: u64) -> u64 {
    let space = world.mm.translation(world.process);
    let found =
        walk(world.mm.ram(), space, VirtAddr::new(va), Access::Read, Privilege::Kernel).expect("mapped");
    match bytes {
        4 => u64::from(world.mm.ram().read_u32(found.phys)),
        _ => world.mm.ram().read_u64(found.phys),
    }
}

fn self_map_entry(world: &World, va: VirtAddr) -> u64 {
    let mode = world.mm.edition().paging;
    let pages = va.raw() >> 12 & ((1 << (mode.address_bits() - 12)) - 1);
    let at = world.mm.self_map().raw() + pages * mode.entry_bytes();
    kernel_bytes(world, at, mode.entry_bytes())
}

/// SPEC H11 H12 H14 H16 H17 H18: an entry read through the self-map is the entry in RAM.
#[test]
fn the_page_tables_appear_in_the_address_space() {
    for edition in editions() {
        let mut world = World::new(edition.name);
        for step in ["alloc 4p at @50000000", "write 0 1", "read 1p"] {
            world.step(step);
        }
        for page in 0..2 {
            let va = VirtAddr::new(PAGE.raw() + page * PAGE_BYTES);
            let (_, raw, state) = world.mm.page_entry(world.process, va).expect("a table");
            assert!(matches!(state, PteState::Valid(_)));
            assert_eq!(self_map_entry(&world, va), raw, "on {}", edition.name);
        }
        match edition.system.self_map {
            SelfMap::At(address) => assert_eq!(world.mm.self_map(), address),
            SelfMap::Drawn => {
                let slot = world.mm.self_map().raw() >> 39 & 0x1ff;
                assert!((0x100..0x1ff).contains(&slot) && world.mm.self_map().raw().trailing_zeros() >= 39);
            }
        }
    }
}

/// SPEC X10 H14: worked addresses of the fixed x64 self-map.
#[test]
fn the_classic_self_map_has_its_known_addresses() {
    let world = World::new("win7-x64");
    let entry_of = |va: u64| world.mm.self_map().raw() + ((va >> 12) & ((1 << 36) - 1)) * 8;
    assert_eq!(entry_of(0x7ffe_0000), 0xffff_f680_003f_ff00);
    assert_eq!(entry_of(0xffff_f680_0000_0000), 0xffff_f6fb_4000_0000);
    assert_eq!(self_map_entry(&world, Edition::SHARED_USER_DATA) & 0x25, 0x25, "present, user, accessed");
}

/// SPEC H5: one frame at 7FFE0000 of every process and at its kernel address.
#[test]
fn the_shared_page_is_one_frame() {
    for edition in editions() {
        let mut world = World::new(edition.name);
        let other = world.mm.create_process(LargeAddressAware::No).expect("room for a process");
        let frame = world.mm.shared_user_data();
        for process in [world.process, other] {
            let space = world.mm.translation(process);
            for va in [Edition::SHARED_USER_DATA, edition.system.shared_data] {
                let found = probe(world.mm.ram(), space, va).expect("mapped");
                assert_eq!(found.phys.pfn(), frame, "{va:?} on {}", edition.name);
            }
            let user = probe(world.mm.ram(), space, Edition::SHARED_USER_DATA).expect("mapped");
            assert!(user.permissions.user && !user.permissions.write);
            let kernel = probe(world.mm.ram(), space, edition.system.shared_data).expect("mapped");
            assert!(!kernel.permissions.user);
        }
    }
}

/// SPEC I4 I5 I6: where the handler tracks stores, a clean writable page has R/W clear and bit 11 set.
#[test]
fn a_clean_writable_page_looks_as_the_kernel_writes_it() {
    for edition in editions() {
        let mut world = World::new(edition.name);
        for step in ["alloc 2p at @50000000", "read 0", "write 1p"] {
            world.step(step);
        }
        let entry = |world: &World, page: u64| {
            let va = VirtAddr::new(PAGE.raw() + page * PAGE_BYTES);
            world.mm.page_entry(world.process, va).expect("a table").1 & 0xfff
        };
        let (clean, dirty) = match edition.write_tracking {
            WriteTracking::Hardware => (0x027, 0x067),
            WriteTracking::Software => (0x825, 0x867),
        };
        assert_eq!((entry(&world, 0), entry(&world, 1)), (clean, dirty), "on {}", edition.name);
        assert_eq!(world.step("write 0"), "ok");
        assert_eq!(entry(&world, 0), dirty, "on {}", edition.name);
    }
}

/// SPEC I19 I31: committed pages of a reservation say so before they are touched; those of one call need no entry.
#[test]
fn a_commit_writes_demand_zero_entries() {
    for edition in editions() {
        let mut world = World::new(edition.name);
        world.step("reserve 64K at @50000000");
        assert_eq!(world.mm.page_entry(world.process, PAGE), None);
        world.step("commit 0 1p");
        assert_eq!(world.mm.page_entry(world.process, PAGE).expect("a table").1, 0x80);
        world.step("alloc 1p at @60000000");
        let raw = world.mm.page_entry(world.process, VirtAddr::new(0x6000_0000)).map_or(0, |entry| entry.1);
        assert_eq!(raw, 0);
    }
}

/// SPEC I18 B15: a decommitted page of a committed region is marked.
#[test]
fn a_decommitted_page_is_marked() {
    let mut world = World::new("win7-x64");
    for step in ["alloc 2p at @50000000", "write 0", "decommit 0 1p"] {
        assert_eq!(world.step(step), "ok");
    }
    assert_eq!(world.mm.page_entry(world.process, PAGE).expect("a table").1, 0x200);
}

/// SPEC I28 J12 J21: what a process used is free when it is gone, tables and charge included.
#[test]
fn a_process_leaves_nothing_behind() {
    for edition in editions() {
        let mut world = World::new(edition.name);
        let before = world.mm.counters();
        let first = world.process;
        world.start_process(LargeAddressAware::Yes);
        for step in ["alloc 1M", "write 0", "write ff000", "reserve 64K top", "commit 0 1p", "write 0"] {
            assert_eq!(world.step(step), "ok");
        }
        let held = world.mm.process_counters(world.process);
        assert_eq!(
            (held.commit_pages, held.resident_pages),
            (257, 4),
            "three touched pages and the shared one"
        );
        world.end_process();
        world.process = first;
        world.mm.audit().expect("agreement");
        let after = world.mm.counters();
        assert_eq!(after.commit.charged_pages(), before.commit.charged_pages());
        assert_eq!(after.frames.available(), before.frames.available());
        assert_eq!(after.frames.active, before.frames.active);
    }
}

/// SPEC I20 I25 I28: a private page's frame names its entry; freed memory goes to the free list at once.
#[test]
fn a_frame_knows_its_owner_and_is_free_after_it() {
    for edition in editions() {
        let mut world = World::new(edition.name);
        world.step("alloc 1p at @50000000");
        world.step("write 0");
        let (at, raw, _) = world.mm.page_entry(world.process, PAGE).expect("a table");
        let pfn = world.mm.pte_format().frame(raw);
        let frame = world.mm.frame(pfn);
        assert_eq!((frame.location, frame.pte, frame.original_pte), (PageLocation::Active, at, 0x80));
        world.step("release 0 0");
        assert_eq!(world.mm.frame(pfn).location, PageLocation::Free, "on {}", edition.name);
    }
}

/// The top table lies where tools look for one, with exactly one entry that points at itself.
#[test]
fn sixty_four_bit_top_tables_can_be_found_by_scanning() {
    for name in ["win7-x64", "win8-x64", "win10-x64"] {
        let world = World::new(name);
        let ram = world.mm.ram();
        let tables: Vec<u64> = (0x150..0x2a0)
            .filter(|frame| {
                let own = frame << 12;
                let entries = (0x100..0x1ff)
                    .map(|slot| ram.read_u64(vadose_facts::addr::PhysAddr::new(own + slot * 8)));
                entries.filter(|entry| entry & 1 != 0 && entry & 0x000f_ffff_ffff_f000 == own).count() == 1
            })
            .collect();
        assert_eq!(tables, [0x1a0], "{name}: the system's own");
    }
}

/// SPEC H16: the drawn self-map follows the seed.
#[test]
fn the_self_map_is_drawn_from_the_seed() {
    let place = |seed| {
        let config = MmConfig {
            edition: edition("win10-x64").expect("known"),
            page_file_bytes: 0,
            commit_limit_bytes: None,
            seed,
            aslr: Aslr::Off,
        };
        Mm::new(config, HeapRam::new(MINIMUM_RAM_BYTES / PAGE_BYTES)).expect("RAM enough").self_map()
    };
    assert_eq!(place(1), place(1));
    assert!((2..20).any(|seed| place(seed) != place(1)));
}

#[test]
fn ram_that_is_too_small_or_too_large_is_refused() {
    let start = |name, frames| {
        let config = MmConfig {
            edition: edition(name).expect("known"),
            page_file_bytes: 0,
            commit_limit_bytes: None,
            seed: 0,
            aslr: Aslr::Off,
        };
        Mm::new(config, HeapRam::new(frames)).map(|_| ())
    };
    let minimum = MINIMUM_RAM_BYTES / PAGE_BYTES;
    for edition in editions() {
        assert_eq!(start(edition.name, minimum), Ok(()));
    }
    assert!(matches!(start("win7-x86", minimum - 1), Err(StartError::TooLittleRam { .. })));
    assert_eq!(edition("winxp-x86").map(|e| e.paging), Some(PagingMode::Legacy));
}
