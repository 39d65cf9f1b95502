//! Sizes of sections: huge ones, those of images, and those that grow.

use crate::builder::{READ, Sample, Width};
use crate::door::{World, check, check_on};
use vadose_facts::ntdef::{Bitness, editions};

/// SPEC F12: what cannot be is too big, what finds no room for its records lacks resources, and what is committed meets the
/// commit limit first.
#[test]
fn huge_sections_are_refused_by_what_they_lack() {
    for edition in editions() {
        let terabyte = 1_u64 << 40;
        let mut world = World::new(edition.name);
        for (size, kind, answer) in [
            (u64::MAX, "commit", "section-too-big"),
            (u64::MAX, "reserve", "section-too-big"),
            (128 * terabyte, "reserve", "section-too-big"),
            (8 * terabyte, "reserve", "insufficient-resources"),
            (terabyte / 2, "commit", "commitment-limit"),
        ] {
            assert_eq!(
                world.step(&format!("section {size:x} {kind} rw")),
                answer,
                "{size:x} on {}",
                edition.name
            );
        }
    }
}

/// SPEC F17: an image section reports a smaller size if its maker gave one, and shows all of the image all the same.
#[test]
fn an_image_section_reports_the_size_that_was_asked_for() {
    for edition in editions() {
        let width = match edition.bitness {
            Bitness::Bits32 => Width::X86,
            Bitness::Bits64 => Width::X64,
        };
        let image = Sample::new(width).with(".rdata", READ, vec![5; 0x2000], 0x2000).build();
        let mut world = World::new(edition.name).with_image(image);
        let pages = 3;
        for (step, answer) in [
            ("useimage".to_owned(), "ok".to_owned()),
            ("size".to_owned(), format!("={:x}", pages * 0x1000)),
            (format!("limit {:x}", pages * 0x1000 + 1), "section-too-big".to_owned()),
            ("limit 1234".to_owned(), "ok".to_owned()),
            ("size".to_owned(), "=1234".to_owned()),
            ("map".to_owned(), "ok".to_owned()),
            ("read 2fff".to_owned(), "=5".to_owned()),
            ("section 1p commit rw".to_owned(), "ok".to_owned()),
            ("limit 1".to_owned(), "section-not-image".to_owned()),
        ] {
            assert_eq!(world.step(&step), answer, "{step} on {}", edition.name);
        }
    }
}

/// SPEC F24: a section of a file that may be stored to grows, and its file with it; others do not.
#[test]
fn a_section_of_a_file_grows() {
    check(
        "file 2 1800; filesection 2 0 rw; extend 1000; size; extend 1800; extend 3001; size; filebyte 2 3000; \
         filebyte 2 3001; view rw; query 0; write 3000 8; read 3000; unmap 0; filebyte 2 3000; \
         section 1p commit rw; extend 2p; filesection 2 0 r; extend 1; extend 4p; size",
        "ok ok =1800 =1800 =1800 =3001 =3001 =0 end ok commit/rw/4p ok =8 ok =8 \
         ok section-not-extended ok =3001 section-not-extended =3001",
    );
    check(
        "file 2 1p; filesection 2 0 rw; extend ffffffffffffffff; filebyte 2 1000",
        "ok ok section-too-big end",
    );
}

/// SPEC F35 F24: a view of a file may be longer than its section; what lies past its end is reserved until the section has
/// grown, for every view at once.
#[test]
fn a_view_past_the_end_shows_what_the_section_grows_to() {
    check(
        "file 2 1800; filesection 2 0 rw; view rw size 6p reserve; query 0; query 2p; owner 0; read 1p; read 2p; write 5p; \
         commit 2p 1p; protect 2p 1p r; protect 1p 2p r; extend 3p; query 0; query 3p; write 2p 7; read 2p; read 3p; \
         process 1; view rw; read 2000; process 0; view r",
        "ok ok ok commit/rw/2p reserve/4p +0/rw/mapped =2 access-violation(0)+2000 access-violation(1)+5000 \
         already-committed not-committed not-committed =3000 commit/rw/3p reserve/3p ok =7 \
         access-violation(0)+3000 ok ok =7 ok ok",
    );
    // What was stored reaches the file when the view goes, and the reserved rest is nothing.
    check(
        "file 2 1p; filesection 2 0 rw; view rw size 40p reserve; write 0 6; extend 2p; write 1p 7; unmap 20p; \
         filebyte 2 0; filebyte 2 1000; query 0",
        "ok ok ok ok =2000 ok ok =6 =7 free",
    );
}

/// SPEC F35: the view must have pages that can be numbered, and the section must be one that is stored to.
#[test]
fn a_view_past_the_end_needs_a_section_that_can_grow() {
    check(
        "file 2 1p; filesection 2 0 r; view r size 4p reserve; section 1p commit rw",
        "ok ok section-protection ok",
    );
    check_on(
        "win10-x64",
        "file 2 1p; filesection 2 0 rw; view rw size 7f0000000000 reserve; view rw size 4p; view rw size 100000p reserve; \
         query 0",
        "ok ok invalid-view-size invalid-view-size ok commit/rw/1p",
    );
}

/// SPEC F35 E31: a write-copy view past the end is charged for the pages that may come.
#[test]
fn a_copying_view_past_the_end_is_charged_for_what_may_come() {
    for edition in editions() {
        let mut world = World::new(edition.name);
        for step in ["file 2 1p", "filesection 2 0 rw", "view wc size 5p reserve"] {
            assert_eq!(world.step(step), "ok", "{step} on {}", edition.name);
        }
        assert_eq!(world.mm.process_counters(world.process).commit_pages, 5, "on {}", edition.name);
        assert_eq!(world.step("extend 3p"), "=3000");
        assert_eq!(world.step("write 2p 9"), "ok");
        assert_eq!(world.step("unmap 0"), "ok");
        assert_eq!(world.step("filebyte 2 2000"), "=0");
        assert_eq!(world.mm.process_counters(world.process).commit_pages, 0, "on {}", edition.name);
    }
}
