//! What a commit promises is kept: every page of it can be touched, tables included; and huge ranges cost what is in them.

use crate::builder::{READ, SHARED, Sample, WRITE, Width};
use crate::door::World;
use std::time::{Duration, Instant};
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::{
    AllocationType, Aslr, Bitness, FreeType, LargeAddressAware, NtStatus, edition, editions,
};
use vadose_facts::pe::PeImage;
use vadose_facts::x86::{Access, HeapRam};
use vadose_mm::{
    AllocateRequest, FaultOutcome, FaultRequest, FileId, ImageRequest, MAX_PAGE_FILES, Mm, MmConfig,
};

const PAGE: u64 = 0x1000;

/// SPEC A34 A37 J12: what was committed up to the limit can all be touched, for its page tables were promised with it.
#[test]
fn every_committed_page_can_be_touched_at_the_limit() {
    for edition in editions() {
        for (size, step) in [("1M", 1 << 20), ("64K", 1 << 16)] {
            let mut world = World::new(edition.name);
            let mut bases = Vec::new();
            while world.quietly(&format!("alloc {size}")) == "ok" {
                bases.push(world.origin);
            }
            assert!(bases.len() as u64 * step > 14 << 20, "nearly all of 16 MiB on {}", edition.name);
            for base in bases {
                for page in 0..step / PAGE {
                    touch(&mut world.mm, world.process, base.raw() + page * PAGE);
                }
            }
            world.mm.audit().expect("agreement");
        }
    }
}

/// SPEC A37 J12: pages far apart need a table each, and a commit that leaves no room for its tables is refused.
#[test]
fn far_pages_are_promised_with_their_tables() {
    for edition in editions() {
        let mut world = World::new(edition.name);
        let both = AllocationType::RESERVE | AllocationType::COMMIT;
        let mut bases = Vec::new();
        for base in (1..).map(|slot| slot * 0x40_0000_u64) {
            match world.mm.allocate(world.process, request(Some(base), PAGE, both)) {
                Ok(made) => {
                    bases.push(made.base);
                    made.stale.nothing_cached();
                }
                Err(_) => break,
            }
        }
        world.mm.audit().expect("agreement");
        let unused = world.mm.counters().commit.limit_pages() - world.mm.counters().commit.charged_pages();
        let space_ended = edition.bitness == Bitness::Bits32;
        assert!(space_ended || unused < 8, "{} pages are left on {}", unused, edition.name);
        for base in bases {
            touch(&mut world.mm, world.process, base.raw());
        }
    }
}

fn touch<R: vadose_facts::x86::PhysicalMemory>(mm: &mut Mm<R>, process: vadose_mm::ProcessId, address: u64) {
    let request = FaultRequest { address: VirtAddr::new(address), access: Access::Write, stack: None };
    match mm.fault(process, request) {
        FaultOutcome::Resume(resume) => resume.stale.nothing_cached(),
        other => panic!("{address:#x}: {other:?}"),
    }
}

/// SPEC B13 A37: with nothing left to charge, any part of a region can still be decommitted, and the whole of it.
#[test]
fn decommit_needs_no_memory() {
    for edition in editions() {
        let mut world = World::new(edition.name);
        for step in ["alloc 4M at @50000000", "base @50000000"] {
            assert_eq!(world.step(step), "ok");
        }
        for size in ["1M", "64K", "1p"] {
            while world.quietly(&format!("alloc {size}")) == "ok" {}
        }
        let full = world.mm.counters().commit.charged_pages();
        for step in ["base @50000000", "decommit 200p 1p", "decommit 0 1p", "decommit 1p 1p"] {
            assert_eq!(world.step(step), "ok", "on {}", edition.name);
        }
        assert_eq!(world.mm.counters().commit.charged_pages(), full - 3);
        assert_eq!(world.step("query 2p"), "commit/rw/198p");
        assert_eq!(world.step("decommit 0 0"), "ok");
        assert_eq!(world.step("query 0"), "reserve/1024p");
        assert_eq!(world.step("commit 5p 1p r"), "ok");
        assert_eq!(world.step("query 5p"), "commit/r/1p");
    }
}

fn request(base: Option<u64>, size: u64, kind: AllocationType) -> AllocateRequest {
    AllocateRequest { base: base.map(VirtAddr::new), size, zero_bits: 0, kind, protection: 0x04 }
}

/// Far beyond what the guest could touch, and far less than a page at a time would take.
const PATIENCE: Duration = Duration::from_secs(2);

/// SPEC A36 A37 B14 C6 D4: calls over 100 TiB cost what is in them, not what they span.
#[test]
fn huge_ranges_cost_what_is_in_them() {
    const BASE: u64 = 0x1000_0000_0000;
    const HUGE: u64 = 100 << 40;
    let config = MmConfig {
        edition: edition("win10-x64").expect("known"),
        page_file_bytes: 0,
        commit_limit_bytes: None,
        seed: 1,
        aslr: Aslr::Off,
    };
    let mut mm = Mm::new(config, HeapRam::new(8192)).expect("RAM enough");
    for _ in 0..MAX_PAGE_FILES {
        let most = u64::from(u32::MAX - 1) << 12;
        mm.add_page_file(most, most).expect("a size that entries can name");
    }
    let process = mm.create_process(LargeAddressAware::Yes).expect("room");
    let start = Instant::now();
    let made = mm.allocate(process, request(Some(BASE), HUGE, AllocationType::RESERVE)).expect("space");
    made.stale.nothing_cached();
    let some = request(Some(BASE + (50 << 40)), 1 << 20, AllocationType::COMMIT);
    mm.allocate(process, some).expect("room").stale.nothing_cached();
    for _ in 0..20 {
        let all = mm.allocate(process, request(Some(BASE), HUGE, AllocationType::COMMIT));
        assert_eq!(all.map(|_| ()), Err(NtStatus::NO_MEMORY), "no frames for the tables");
    }
    let reset = mm.allocate(process, request(Some(BASE), HUGE, AllocationType::RESET));
    reset.expect("reset keeps everything").stale.nothing_cached();
    let base = VirtAddr::new(BASE);
    assert_eq!(mm.protect(process, base, HUGE, 0x02).map(|_| ()), Err(NtStatus::NOT_COMMITTED));
    let info = mm.query(process, base).expect("a user address");
    assert_eq!(info.size, 50 << 40);
    assert_eq!(mm.regions(process).len(), 4);
    mm.audit().expect("agreement");
    mm.free(process, base, HUGE, FreeType::DECOMMIT).expect("reserved pages too").stale.nothing_cached();
    assert_eq!(mm.query(process, base).map(|info| info.size), Ok(HUGE));
    mm.free(process, base, 0, FreeType::RELEASE).expect("the region").stale.nothing_cached();
    assert!(start.elapsed() < PATIENCE, "took {:?}", start.elapsed());
}

/// SPEC C4 C6: a protection of one page does not look at the rest of a large region, nor does its decommit.
#[test]
fn one_page_of_a_large_region_costs_one_page() {
    let config = MmConfig {
        edition: edition("win10-x64").expect("known"),
        page_file_bytes: 4 << 30,
        commit_limit_bytes: None,
        seed: 1,
        aslr: Aslr::Off,
    };
    let mut mm = Mm::new(config, HeapRam::new(16384)).expect("RAM enough");
    let process = mm.create_process(LargeAddressAware::Yes).expect("room");
    let both = AllocationType::RESERVE | AllocationType::COMMIT;
    let made = mm.allocate(process, request(None, 3 << 30, both)).expect("room");
    let base = made.base;
    made.stale.nothing_cached();
    mm.protect(process, base, 1 << 29, 0x02).expect("committed").stale.nothing_cached();
    assert_eq!(mm.query(process, base).map(|info| info.size), Ok(1 << 29));
    let middle = VirtAddr::new(base.raw() + (1 << 20));
    let start = Instant::now();
    for protection in (0..2000).map(|turn| if turn % 2 == 0 { 0x02 } else { 0x04 }) {
        mm.protect(process, middle, PAGE, protection).expect("committed").stale.nothing_cached();
    }
    mm.free(process, middle, PAGE, FreeType::DECOMMIT).expect("committed").stale.nothing_cached();
    assert!(start.elapsed() < PATIENCE, "took {:?}", start.elapsed());
    mm.audit().expect("agreement");
}

/// SPEC J12: an address space that finds no room leaves nothing behind.
#[test]
fn a_process_that_cannot_be_made_leaves_nothing() {
    for edition in editions() {
        let mut world = World::new(edition.name);
        while world.quietly("alloc 64K") == "ok" {}
        loop {
            let before = world.mm.counters();
            match world.mm.create_process(LargeAddressAware::Yes) {
                Ok(id) => world.processes.push(id),
                Err(status) => {
                    assert!([NtStatus::COMMITMENT_LIMIT, NtStatus::NO_MEMORY].contains(&status));
                    assert_eq!(world.mm.counters(), before, "on {}", edition.name);
                    break;
                }
            }
        }
        world.mm.audit().expect("agreement");
    }
}

fn image(width: Width, flags: u32, pages: u32) -> Vec<u8> {
    Sample::new(width).with(".data", flags, vec![7; pages as usize * 0x1000], pages * 0x1000).build()
}

fn width_of(world: &World) -> Width {
    match world.mm.edition().bitness {
        Bitness::Bits32 => Width::X86,
        Bitness::Bits64 => Width::X64,
    }
}

/// SPEC I27 J12: when only standby pages are left, sections and their kernel tables are made of those.
#[test]
fn a_section_can_be_made_of_standby_frames() {
    for edition in editions() {
        let mut world = World::new(edition.name);
        let bytes = image(width_of(&world), READ, 3000);
        world = world.with_image(bytes);
        assert_eq!(world.step("map"), "ok");
        for page in 0..3001 {
            world.quietly(&format!("read {page}p"));
        }
        assert_eq!(world.step("unmap 0"), "ok");
        assert!(world.mm.frame_counts().standby >= 3000);
        let rest = world.mm.frame_counts().available() - world.mm.frame_counts().standby;
        let size = (rest - 8).min(1000) * PAGE;
        assert_eq!(world.step(&format!("alloc {size:x} at @50000000")), "ok");
        for page in 0..size / PAGE {
            assert_eq!(world.quietly(&format!("write {page}p")), "ok");
        }
        let small = image(width_of(&world), READ, 1);
        let parsed = PeImage::parse(small.as_slice()).expect("well formed");
        let mut files = (9..).map(FileId::new);
        let mut make = |world: &mut World| {
            let request = ImageRequest::new(files.next().expect("endless"), &parsed);
            world.mm.create_image_section(&request).expect("room for a section");
        };
        while world.mm.frame_counts().available() > world.mm.frame_counts().standby {
            make(&mut world);
        }
        for _ in 0..600 {
            make(&mut world);
        }
        world.mm.audit().expect("agreement");
    }
}

/// SPEC G21 G24 J12: pages that all processes write in place are promised when the section is made.
#[test]
fn shared_writable_pages_are_charged_to_the_section() {
    for edition in editions() {
        let mut world = World::new(edition.name);
        let before = world.mm.counters().commit.charged_pages();
        let bytes = image(width_of(&world), READ | WRITE | SHARED, 100);
        let section = world
            .mm
            .create_image_section(&ImageRequest::new(
                FileId::new(3),
                &PeImage::parse(bytes.as_slice()).expect("well formed"),
            ))
            .expect("room");
        let charged = world.mm.counters().commit.charged_pages() - before;
        assert!((101..110).contains(&charged), "{charged} on {}", edition.name);
        world.mm.close_section(section);
        let tables = world.mm.counters().commit.charged_pages() - before;
        assert!(tables < 4, "kernel tables stay, {tables} on {}", edition.name);
        let huge = image(width_of(&world), READ | WRITE | SHARED, 4200);
        let parsed = PeImage::parse(huge.as_slice()).expect("well formed");
        let refused = world.mm.create_image_section(&ImageRequest::new(FileId::new(3), &parsed)).map(|_| ());
        assert_eq!(refused, Err(NtStatus::COMMITMENT_LIMIT));
        world.mm.audit().expect("agreement");
    }
}

/// SPEC E27: a read that fails after its view is gone says nothing of what is there afterwards.
#[test]
fn a_late_failure_belongs_to_nobody() {
    let mut world = World::new("win10-x64");
    world = world.with_image(image(Width::X64, READ, 2));
    assert_eq!(world.step("map"), "ok");
    let (base, process) = (world.origin, world.process);
    let address = VirtAddr::new(base.raw() + PAGE);
    let request = FaultRequest { address, access: Access::Read, stack: None };
    for ends_before in [true, false] {
        let FaultOutcome::Wait(transfer) = world.mm.fault(process, request) else { panic!("a read") };
        if ends_before {
            world.mm.unmap_view(process, base).expect("the view").stale.nothing_cached();
        }
        world.mm.complete_transfer(transfer.id, Err(NtStatus::END_OF_FILE)).stale.nothing_cached();
        if !ends_before {
            world.mm.unmap_view(process, base).expect("the view").stale.nothing_cached();
        }
        assert_eq!(world.step(&format!("alloc 4p at @{:x}", base.raw())), "ok");
        assert_eq!(world.step("read 1p"), "=0", "unmapped first: {ends_before}");
        assert_eq!(world.step("release 0 0"), "ok");
        assert_eq!(world.step("map"), "ok");
    }
}
