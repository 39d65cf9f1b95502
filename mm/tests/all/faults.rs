//! How a touch is resolved: the order of the questions, where a page comes from, and what a copy leaves behind.

use crate::builder::{EXECUTE, READ, SHARED, Sample, WRITE, Width};
use crate::door::{World, check};
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::{Bitness, LargeAddressAware, editions};
use vadose_mm::FaultKind;
use vadose_mm::pfn::{PageLocation, PfnEntry};
use vadose_mm::pte::{PrototypeLink, PteState};

/// Headers, two pages of code, two of data and one of zeros, one shared.
fn world(edition: &vadose_facts::ntdef::Edition, width: Width) -> World {
    let filled = |byte: u8, pages: usize| vec![byte; pages * 0x1000];
    let file = Sample::new(width)
        .with(".text", READ | EXECUTE, filled(0xc3, 2), 0x2000)
        .with(".data", READ | WRITE, filled(0x22, 2), 0x3000)
        .with(".shared", READ | WRITE | SHARED, filled(0x33, 1), 0x1000)
        .build();
    World::new(edition.name).with_image(file)
}

fn own_width(edition: &vadose_facts::ntdef::Edition) -> Width {
    match edition.bitness {
        Bitness::Bits32 => Width::X86,
        Bitness::Bits64 => Width::X64,
    }
}

fn state(world: &World, offset: u64) -> PteState {
    let address = VirtAddr::new(world.origin.raw() + offset);
    world.mm.page_entry(world.process, address).expect("a table").2
}

fn frame(world: &World, offset: u64) -> PfnEntry {
    match state(world, offset) {
        PteState::Valid(valid) => world.mm.frame(valid.pfn),
        other => panic!("not valid: {other:?}"),
    }
}

fn count(world: &World, kind: FaultKind) -> u64 {
    world.mm.process_counters(world.process).faults.of(kind)
}

/// SPEC I30: beyond user space, no region, reserved, decommitted, no access, guard, and only then the page.
#[test]
fn the_questions_of_a_fault_come_in_order() {
    check(
        "read @ffff0000; read @50000000; reserve 64K at @50000000; read 0; commit 0 4p na; read 0; commit 1p 1p r+g; \
         write 1p; write 1p; commit 2p 1p; read 2p; decommit 2p 1p; read 2p",
        "access-violation(0)+ffff0000 access-violation(0)+50000000 ok access-violation(0)+0 ok access-violation(0)+0 ok \
         guard-page-violation(1)+1000 access-violation(1)+1000 ok =0 ok access-violation(0)+2000",
    );
}

/// SPEC E26: the first touch gets a frame of its own, by a read as by a write.
#[test]
fn a_read_gets_a_private_page_too() {
    for edition in editions() {
        let mut world = World::new(edition.name);
        for (step, answer) in [("alloc 3p", "ok"), ("read 0", "=0"), ("read 1p", "=0"), ("write 2p", "ok")] {
            assert_eq!(world.step(step), answer);
        }
        let owners: Vec<_> = (0..3).map(|page| frame(&world, page * 0x1000).pte).collect();
        assert!(owners[0] != owners[1] && owners[1] != owners[2], "each frame names its own entry");
        assert_eq!(count(&world, FaultKind::DemandZero), 3);
    }
}

/// SPEC I32 I35 G24: a page of an image comes from its file, from the frame that others use, from the frame that waits
/// for a user, or from nothing.
#[test]
fn an_image_page_comes_from_where_it_is() {
    for edition in editions() {
        let mut world = world(edition, own_width(edition));
        assert_eq!((world.step("map"), world.step("read 1p")), ("ok".to_owned(), "=c3".to_owned()));
        assert_eq!(count(&world, FaultKind::ImagePageRead), 1, "from the file");
        assert_eq!(world.step("read 5p"), "=0");
        assert_eq!(count(&world, FaultKind::DemandZero), 1, "from nothing");
        world.start_process(LargeAddressAware::Yes);
        assert_eq!((world.step("map"), world.step("read 1p")), ("ok".to_owned(), "=c3".to_owned()));
        assert_eq!(count(&world, FaultKind::ImagePageShared), 1, "from the frame in use");
        assert_eq!(frame(&world, 0x1000).share_count, 2);
        for process in [0, 1] {
            world.enter_process(process);
            assert_eq!(world.step("unmap 0"), "ok");
        }
        assert_eq!(world.mm.frame_counts().standby, 2);
        assert_eq!((world.step("map"), world.step("read 1p")), ("ok".to_owned(), "=c3".to_owned()));
        assert_eq!(count(&world, FaultKind::ImagePageShared), 2, "from the frame that waited");
    }
}

/// SPEC I26 I23 I28: a clean page of a file that loses its last user waits on the standby list of priority 5.
#[test]
fn a_clean_file_page_waits_at_normal_priority() {
    for edition in editions() {
        let mut world = world(edition, own_width(edition));
        assert_eq!((world.step("map"), world.step("read 1p")), ("ok".to_owned(), "=c3".to_owned()));
        let PteState::Valid(valid) = state(&world, 0x1000) else { panic!("just read") };
        assert_eq!(world.step("unmap 0"), "ok");
        let waiting = world.mm.frame(valid.pfn);
        assert_eq!((waiting.location, waiting.priority), (PageLocation::Standby, 5));
        assert_eq!(
            (waiting.location as u8, PageLocation::Active as u8, PageLocation::Modified as u8),
            (2, 6, 3)
        );
    }
}

/// SPEC I33 E29 E30: a copy takes a private frame and one share off the old one, and is charged already.
#[test]
fn a_copy_leaves_the_original_to_the_others() {
    for edition in editions() {
        let mut world = world(edition, own_width(edition));
        for process in [0, 1] {
            world.enter_process(process);
            assert_eq!((world.step("map"), world.step("read 3p")), ("ok".to_owned(), "=22".to_owned()));
        }
        let PteState::Valid(shared) = state(&world, 0x3000) else { panic!("just read") };
        assert!(shared.copy_on_write && world.mm.frame(shared.pfn).share_count == 2);
        let before = (world.mm.counters().commit, world.mm.process_counters(world.process));
        assert_eq!(world.step("write 3000 9"), "ok");
        let PteState::Valid(own) = state(&world, 0x3000) else { panic!("just written") };
        assert!(own.pfn != shared.pfn && own.write && !own.copy_on_write);
        assert_eq!(world.mm.frame(shared.pfn).share_count, 1);
        let after = (world.mm.counters().commit, world.mm.process_counters(world.process));
        assert_eq!((before.0, before.1.commit_pages), (after.0, after.1.commit_pages));
        assert_eq!(before.1.resident_pages, after.1.resident_pages);
        assert_eq!(count(&world, FaultKind::CopyOnWrite), 1);
    }
}

/// SPEC I16 C25: a section's page that nobody may touch leaves its frame to the section, and its entry remembers the
/// protection alone.
#[test]
fn an_untouchable_image_page_is_found_through_the_vad() {
    for edition in editions() {
        let mut world = world(edition, own_width(edition));
        for (step, answer) in [("map", "ok"), ("read 1p", "=c3"), ("protect 1p 1p na", "was-xr")] {
            assert_eq!(world.step(step), answer);
        }
        let PteState::Prototype(PrototypeLink::ThroughVad { protection }) = state(&world, 0x1000) else {
            panic!("through the VAD")
        };
        assert_eq!(protection.decode().map(|protection| protection.raw()), Some(0x01));
        assert_eq!(world.mm.frame_counts().standby, 1);
    }
}

/// SPEC C19: shared data of an image stays read-write, whichever way it is asked for.
#[test]
fn shared_data_is_never_copied() {
    check_image(
        "map; protect 6p 1p r; query 6p; write 6p; protect 6p 1p wc; query 6p; write 6000 5; query 6p; \
         protect 6p 1p xrw; query 6p; protect 6p 1p rw+g; read 6p; query 6p",
        "ok was-rw commit/r/1p access-violation(1)+6000 was-r commit/rw/1p ok commit/rw/1p \
         was-rw commit/xrw/1p was-xrw guard-page-violation(0)+6000 commit/rw/1p",
    );
}

#[track_caller]
fn check_image(scenario: &str, answers: &str) {
    for edition in editions() {
        let mut world = world(edition, own_width(edition));
        let got: Vec<String> = scenario.split(';').map(|step| world.step(step.trim())).collect();
        let want: Vec<&str> = answers.split_whitespace().collect();
        assert_eq!(got, want, "on {}: {scenario}", edition.name);
    }
}

/// SPEC C21 J13: code made writable is charged, and refused with nothing changed where the charge does not fit.
#[test]
fn a_charge_for_copies_may_be_refused() {
    for edition in editions() {
        let mut world = world(edition, own_width(edition));
        assert_eq!(world.step("map"), "ok");
        let image = world.origin;
        for size in ["1M", "64K", "1p"] {
            while world.quietly(&format!("alloc {size}")) == "ok" {}
        }
        let base = format!("base @{:x}", image.raw());
        assert_eq!(world.step(&base), "ok");
        assert_eq!(world.step("protect 1p 2p xrw"), "commitment-limit", "on {}", edition.name);
        assert_eq!(world.step("query 1p"), "commit/xr/2p");
        assert_eq!(world.step("protect 3p 3p r"), "was-wc");
        assert_eq!(world.step("protect 1p 2p xrw"), "was-xr", "what was given back is enough");
    }
}

/// SPEC G27: an image for another processor is mapped, and the status says so whatever its base.
#[test]
fn an_image_for_another_processor_is_told_apart() {
    for edition in editions() {
        let other = match own_width(edition) {
            Width::X86 => Width::X64,
            Width::X64 => Width::X86,
        };
        let mut world = world(edition, other);
        for _ in 0..2 {
            assert_eq!(world.step("map"), "image-machine-type-mismatch", "on {}", edition.name);
            assert_eq!(world.step("read 1p"), "=c3");
        }
    }
}

/// SPEC A42 A49 B5: calls for private memory say what they found in the middle of a view.
#[test]
fn a_view_is_told_before_its_base() {
    check_image(
        "map; release 2p 0; decommit 2p 0; release 6p 2p; raw 80000 na 1p 1p; commit 1p 1p",
        "ok unable-to-delete-section unable-to-delete-section unable-to-free-vm user-mapped-file already-committed",
    );
}
