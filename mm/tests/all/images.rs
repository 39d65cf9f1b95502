//! Image views: one protection a section, pages read from the file when touched, private copies when written.

use crate::builder::{EXECUTE, READ, SHARED, Sample, WRITE, Width};
use crate::door::World;
use vadose_facts::ntdef::{Bitness, LargeAddressAware, NtStatus, editions};
use vadose_mm::FaultKind;

/// Headers, code, read-only data, two pages of data and one of zeros, and shared data.
fn sample(width: Width) -> Vec<u8> {
    let filled = |byte: u8, bytes: usize| vec![byte; bytes];
    Sample::new(width)
        .with(".text", READ | EXECUTE, filled(0xc3, 0x1800), 0x1800)
        .with(".rdata", READ, filled(0x11, 0x200), 0x200)
        .with(".data", READ | WRITE, filled(0x22, 0x1200), 0x3000)
        .with(".shared", READ | WRITE | SHARED, filled(0x33, 0x200), 0x1000)
        .build()
}

#[track_caller]
fn check_on(edition: &str, scenario: &str, answers: &str) {
    let mut world = world(edition);
    let got: Vec<String> = scenario.split(';').map(|step| world.step(step.trim())).collect();
    let want: Vec<&str> = answers.split_whitespace().collect();
    assert_eq!(got, want, "on {edition}: {scenario}");
}

#[track_caller]
fn check(scenario: &str, answers: &str) {
    for edition in editions() {
        check_on(edition.name, scenario, answers);
    }
}

fn world(edition: &str) -> World {
    let world = World::new(edition);
    let width = match world.mm.edition().bitness {
        Bitness::Bits32 => Width::X86,
        Bitness::Bits64 => Width::X64,
    };
    world.with_image(sample(width))
}

/// SPEC G13 G14 G19 D10 D11: one region for the image, a run for each section with its own protection.
#[test]
fn each_section_has_the_protection_of_its_flags() {
    check(
        "map; query 0; query 1p; query 3p; query 4p; query 7p; query 8p; owner 4p",
        "ok commit/r/1p commit/xr/2p commit/r/1p commit/wc/3p commit/rw/1p free +0/xwc/image",
    );
}

/// SPEC G14 G15 G16: bytes of the file up to its end, zeros after it.
#[test]
fn pages_hold_the_files_bytes_and_then_zeros() {
    check(
        "map; read 0; read 1p; read 27ff; read 2800; read 3p; read 4p; read 51ff; read 5200; read 6p",
        "ok =4d =c3 =c3 =0 =11 =22 =22 =0 =0",
    );
}

/// SPEC E5 E29 D15 G20: the first store to a page copies that page, and only that page.
#[test]
fn a_store_makes_a_private_copy_of_one_page() {
    check(
        "map; read 5000; write 5001 7; query 4p; query 5p; query 6p; read 5001; read 5000; owner 5p; write 1p; write 3p",
        "ok =22 ok commit/wc/1p commit/rw/1p commit/wc/1p =7 =22 +0/xwc/image \
         access-violation(1)+1000 access-violation(1)+3000",
    );
}

/// SPEC G15: the untouched zero page of a section becomes private at its first store.
#[test]
fn zero_pages_of_a_section_can_be_written() {
    check(
        "map; write 6010 5; read 6010; read 6011; query 6p; query 5p",
        "ok ok =5 =0 commit/rw/2p commit/wc/1p",
    );
}

/// SPEC C17 C18 C20: read-write asked of an image is write-copy until written; write-copy of a copy is read-write.
#[test]
fn protect_on_an_image_speaks_of_copies() {
    check(
        "map; protect 3p 1p rw; query 3p; write 3000 1; query 3p; protect 3p 1p wc; query 3p; protect 3p 1p xwc; query 3p; \
         protect 1p 2p xrw; query 1p; read 1p; write 1000 9; query 1p; read 1001; protect 1p 4p r; query 1p",
        "ok was-r commit/wc/4p ok commit/rw/1p was-rw commit/rw/1p was-rw commit/xrw/1p \
         was-xr commit/xwc/2p =c3 ok commit/xrw/1p =c3 was-xrw commit/r/4p",
    );
}

/// SPEC C23: on Windows 10 an image's private copies go back to the file's content, their charge with them; nothing else
/// does, and older editions do not know the word.
#[test]
fn private_copies_of_an_image_are_dropped_when_asked() {
    check_on(
        "win10-x64",
        "map; read 3000; protect 3p 1p rw; write 3000 7; query 3p; read 3000; protect 3p 1p 80000004; query 3p; read 3000; write 3000 8; \
         read 3000; protect 3p 1p 80000002; query 3p; read 3000; protect 3p 2p 80000000; alloc 1p; protect 0 1p 80000004",
        "ok =11 was-r ok commit/rw/1p =7 was-rw commit/wc/4p =11 ok \
         =8 was-rw commit/r/1p =11 invalid-page-protection ok invalid-page-protection",
    );
    for edition in ["winxp-x86", "win7-x64", "win8-x64"] {
        check_on(edition, "map; protect 3p 1p 80000004", "ok invalid-page-protection");
    }
}

/// SPEC C10 A42 B5: what an image view refuses.
#[test]
fn an_image_view_refuses_private_memorys_calls() {
    check(
        "map; commit 4p 1p; decommit 4p 1p; release 0 0; protect 4p 1p rw+nc; query 4p",
        "ok already-committed unable-to-delete-section unable-to-delete-section invalid-parameter-4 commit/wc/3p",
    );
}

/// SPEC G25 G26 F44: preferred base, elsewhere, and a base that is taken.
#[test]
fn a_second_view_goes_elsewhere() {
    check(
        "map; map; read 4p; map at 0; unmap 5123; query 0; unmap 0; read 0",
        "ok image-not-at-base =22 conflicting-addresses ok free not-mapped-view access-violation(0)+0",
    );
}

/// SPEC E11 C25: a guard on an image page fires once, and its content is still the file's.
#[test]
fn a_guard_works_on_an_image_page() {
    check(
        "map; read 3p; protect 3p 1p r+g; query 3p; read 3004; read 3004; query 3p; protect 4p 1p na; read 4p; protect 4p 1p wc; read 4p",
        "ok =11 was-r commit/r+g/1p guard-page-violation(0)+3004 =11 commit/r/1p was-wc access-violation(0)+4000 was-na =22",
    );
}

/// SPEC E27: a page that cannot be read raises an in-page error where it is touched, and can be read later.
#[test]
fn a_failed_read_is_an_in_page_error() {
    for edition in editions() {
        let mut world = world(edition.name);
        assert_eq!(world.step("map"), "ok");
        world.failing_reads = Some(NtStatus::END_OF_FILE);
        assert_eq!(world.step("read 3010"), "in-page-error(0)+3010/end-of-file");
        assert_eq!(world.step("write 4010"), "in-page-error(1)+4010/end-of-file");
        world.failing_reads = None;
        assert_eq!(world.step("read 3010"), "=11");
    }
}

/// SPEC G21 G24 D33 I24: two processes share clean pages and shared sections, and nothing that one has copied.
#[test]
fn two_processes_share_what_neither_wrote() {
    for edition in editions() {
        let mut world = world(edition.name);
        let first = world.process;
        assert_eq!(world.step("map"), "ok");
        assert_eq!(world.step("read 3p"), "=11");
        assert_eq!(world.step("write 4000 1"), "ok");
        assert_eq!(world.step("write 7000 5"), "ok");
        world.start_process(LargeAddressAware::Yes);
        assert_eq!(world.step("map"), "ok");
        for (step, answer) in
            [("read 3p", "=11"), ("read 4000", "=22"), ("read 7000", "=5"), ("write 7001 6", "ok")]
        {
            assert_eq!(world.step(step), answer, "on {}", edition.name);
        }
        let faults = world.mm.process_counters(world.process).faults;
        assert_eq!(faults.of(FaultKind::ImagePageRead), 0, "every page but the copied one was in a frame");
        assert_eq!(faults.of(FaultKind::ImagePageShared), 3, "page 4 went to standby when it was copied");
        world.end_process();
        world.process = first;
        assert_eq!(world.step("read 7001"), "=6");
        assert_eq!(world.step("read 4000"), "=1");
    }
}

/// SPEC G21 G24 I24: what was stored into a shared section outlives its views, also when frames are taken for other
/// things, and dies with the section.
#[test]
fn a_store_to_a_shared_section_survives_its_views() {
    for edition in editions() {
        let mut world = world(edition.name);
        for (step, answer) in [("map", "ok"), ("write 7001 6", "ok"), ("read 3p", "=11"), ("unmap 0", "ok")] {
            assert_eq!(world.step(step), answer);
        }
        assert_eq!((world.mm.frame_counts().modified, world.mm.frame_counts().standby), (1, 1));
        use_all_frames(&mut world);
        let read =
            |world: &World| world.mm.process_counters(world.process).faults.of(FaultKind::ImagePageRead);
        let before = read(&world);
        for (step, answer) in [("map", "ok"), ("read 7001", "=6"), ("read 7000", "=33"), ("read 3p", "=11")] {
            assert_eq!(world.step(step), answer, "on {}", edition.name);
        }
        assert_eq!(read(&world), before + 1, "the clean page's frame was taken, on {}", edition.name);
    }
}

/// Touches pages of a file, which are not charged, and as much private memory as can be committed, then gives that back.
fn use_all_frames(world: &mut World) {
    for step in ["file 9 80000", "filesection 9 0 r", "view r"] {
        assert_eq!(world.step(step), "ok");
    }
    for page in 0..0x80 {
        assert_eq!(world.quietly(&format!("read {page}p")), "=9");
    }
    let most = world.mm.counters().commit.limit_pages();
    let fits = |pages: &u64| world.quietly(&format!("alloc {pages}p at @50000000")) == "ok";
    let pages = (0..most).rev().find(fits).expect("something fits");
    for page in 0..pages {
        assert_eq!(world.quietly(&format!("write {page}p")), "ok");
    }
    assert_eq!(world.step("query 0"), format!("commit/rw/{pages}p"));
    world.quietly("release 0 0");
}

/// SPEC E31 J13: what may become private is charged when the image is mapped, and given back with it.
#[test]
fn writable_pages_of_an_image_are_charged() {
    for edition in editions() {
        let mut world = world(edition.name);
        let commit = |world: &World| world.mm.process_counters(world.process).commit_pages;
        assert_eq!((world.step("map"), commit(&world)), ("ok".to_owned(), 3));
        assert_eq!((world.step("write 4p"), commit(&world)), ("ok".to_owned(), 3));
        assert_eq!((world.step("protect 1p 2p xrw"), commit(&world)), ("was-xr".to_owned(), 5));
        assert_eq!((world.step("protect 1p 2p xr"), commit(&world)), ("was-xwc".to_owned(), 3));
        assert_eq!((world.step("unmap 0"), commit(&world)), ("ok".to_owned(), 0));
    }
}
