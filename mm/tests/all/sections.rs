//! Sections over page files and files: what views show, allow and keep, and what reaches the file.

use crate::door::{World, check, check_on};
use vadose_facts::ntdef::{MemoryType, NtStatus, ParameterStatus, ViewCommitCheck, editions};
use vadose_facts::x86::{PhysicalMemory, Stale};
use vadose_mm::FileId;

/// Runs steps on a world and compares each answer.
#[track_caller]
fn steps(world: &mut World, scenario: &str, answers: &str) {
    let name = world.mm.edition().name;
    let got: Vec<String> = scenario.split(';').map(|step| world.step(step.trim())).collect();
    let want: Vec<&str> = answers.split_whitespace().collect();
    assert_eq!(got, want, "on {name}: {scenario}");
}

/// SPEC X8 D15 E29 C18: a store through a write-copy view copies that page alone, and no other view sees it.
#[test]
fn a_write_copy_view_keeps_its_stores_to_itself() {
    check(
        "section 3p commit rw; view rw; write 1001 7; view rw; read 1001; write 1002 8; view wc; read 1002; \
         write 1001 9; read 1001; query 0; query 1p; query 2p; owner 1p; view r; read 1001; read 1002; write 0 1",
        "ok ok ok ok =7 ok ok =8 ok =9 commit/wc/1p commit/rw/1p commit/wc/1p +0/wc/mapped ok =7 =8 \
         access-violation(1)+0",
    );
}

/// SPEC D10 D12 F32 F33 F34 F44: a view is one region of whole pages with the protection that it was mapped with.
#[test]
fn a_view_is_one_region_of_whole_pages() {
    check(
        "section 3452 commit rw; view r size 1234; query 0; owner 0; view rw; query 0; query 1p; unmap 1p; query 0; \
         view rw size 4000; view rw size 4001; view rw from 10000",
        "ok ok commit/r/2p +0/r/mapped ok commit/rw/4p commit/rw/3p ok free ok invalid-view-size \
         invalid-view-size",
    );
}

/// SPEC A43 A45 D13 F13: what one view commits is committed for all, each with its own protection; a second commit
/// changes the protection alone.
#[test]
fn pages_of_a_reserved_section_are_committed_for_all_views() {
    check(
        "section 4p reserve rw; view rw; base 0; query 0; owner 0; read 1p; commit 1p 2p r; query 0; query 1p; query 3p; \
         write 1p; commit 1p 1p rw; query 1p; query 2p; write 1001 5; protect 0 1p r; \
         view r; query 1p; read 1001; query 0; unmap 0; view wc; query 1p; read 1001",
        "ok ok ok reserve/4p +0/rw/mapped access-violation(0)+1000 ok reserve/1p commit/r/2p reserve/1p \
         access-violation(1)+1000 ok commit/rw/1p commit/r/1p ok not-committed \
         ok commit/r/2p =5 reserve/1p ok ok commit/wc/2p =5",
    );
}

/// SPEC A44: a commit that the view does not allow is refused, but for the oldest editions.
#[test]
fn a_commit_asks_the_view() {
    for edition in editions() {
        let (answer, seen) = match edition.view_commit_check {
            ViewCommitCheck::Compatible => ("section-protection", "reserve/4p"),
            ViewCommitCheck::Absent => ("ok", "commit/rw/1p"),
        };
        let answers = format!("ok ok {answer} {seen}");
        check_on(edition.name, "section 4p reserve rw; view r; commit 0 1p rw; query 0", &answers);
    }
}

/// SPEC A42 F14: the pages of a file are committed by being there.
#[test]
fn a_view_of_a_file_takes_no_commit() {
    check(
        "file 2 3p; filesection 2 0 rw; view rw; commit 0 1p; decommit 0 1p; release 0 0; query 0",
        "ok ok ok already-committed unable-to-delete-section unable-to-delete-section commit/rw/3p",
    );
}

/// SPEC C13 C14 C15 C16: what a view may become is what its own protection covers, whatever its section allows.
#[test]
fn a_view_is_changed_within_what_it_was_mapped_for() {
    const ALL: [&str; 8] = ["na", "r", "rw", "wc", "x", "xr", "xrw", "xwc"];
    let views: [(&str, &[&str]); 7] = [
        ("na", &["na"]),
        ("r", &["na", "r", "wc"]),
        ("wc", &["na", "r", "wc"]),
        ("rw", &["na", "r", "wc", "rw"]),
        ("x", &["na", "x"]),
        ("xr", &["na", "r", "wc", "x", "xr", "xwc"]),
        ("xrw", &ALL),
    ];
    for edition in editions() {
        for backing in ["section 2p commit xrw", "filesection 2 0 xrw"] {
            let mut world = World::new(edition.name);
            steps(&mut world, &format!("file 2 2p; {backing}"), "ok ok");
            for (view, allowed) in views {
                assert_eq!(world.step(&format!("view {view}")), "ok", "{backing} {view}");
                let mut old = view;
                for target in ALL {
                    let done = world.step(&format!("protect 1p 1p {target}"));
                    if allowed.contains(&target) {
                        assert_eq!(done, format!("was-{old}"), "{backing}: {view} to {target}");
                        old = target;
                    } else {
                        assert_eq!(done, "section-protection", "{backing}: {view} to {target}");
                    }
                    assert_eq!(world.step("query 1p"), format!("commit/{old}/{}p", 1), "{backing}");
                }
                world.step(&format!("protect 1p 1p {view}"));
            }
        }
    }
}

/// SPEC C16: a read-only view of a writable section becomes write-copy, and its stores are its own.
#[test]
fn a_read_only_view_may_copy() {
    check(
        "section 2p commit rw; view r; base 0; protect 0 1p wc; write 0 6; read 0; query 0; query 1p; view r; read 0",
        "ok ok ok was-r ok =6 commit/rw/1p commit/r/1p ok =0",
    );
}

/// SPEC C9: a view that was mapped for good refuses every change, also one to what it has.
#[test]
fn a_view_that_may_not_change_does_not() {
    check(
        "section 2p commit rw; view rw fixed; protect 0 1p r; protect 0 1p rw; query 0; \
         section 2p commit rw fixed; view rw; protect 0 1p r; write 0 1",
        "ok ok invalid-page-protection invalid-page-protection commit/rw/2p ok ok invalid-page-protection ok",
    );
}

/// SPEC C10 D14: caching belongs to the section.
#[test]
fn a_section_that_is_not_cached_says_so_in_its_views() {
    check(
        "section 2p commit rw nc; view rw; query 0; owner 0; write 0 3; read 0; protect 0 1p r; query 0; \
         protect 0 1p rw+nc; section 2p commit rw; view rw; protect 0 1p rw+nc; protect 0 1p rw+cb; query 0",
        "ok ok commit/rw+nc/2p +0/rw+nc/mapped ok =3 was-rw+nc commit/r+nc/1p invalid-parameter-4 \
         ok ok invalid-parameter-4 invalid-parameter-4 commit/rw/2p",
    );
}

/// SPEC F30: a view takes no more than its section allows.
#[test]
fn a_view_is_mapped_within_what_its_section_allows() {
    check(
        "section 1p commit r; view rw; view wc; view x; section 1p commit xr; view rw; view xr; view xwc; \
         section 1p commit rw; view x; view na; read 0; view r+g; view 0",
        "ok section-protection ok section-protection ok section-protection ok ok \
         ok section-protection ok access-violation(0)+0 invalid-page-protection invalid-page-protection",
    );
}

/// SPEC F25 F27 F37 F38: base and offset lie on their units, and a base that is taken is refused.
#[test]
fn a_view_lies_where_it_was_asked_to() {
    check(
        "section 20p commit rw; view rw at @50000000; view rw at @50000000; view rw at @50010000; view rw at @50018000; \
         view rw from 1000; view rw at @50020000 from 10000; query 0; view rw top; unmap 0; view rw at @1000",
        "ok ok conflicting-addresses conflicting-addresses mapped-alignment \
         mapped-alignment ok commit/rw/4p ok ok mapped-alignment",
    );
}

/// SPEC F1 F2: attributes first, then the protection.
#[test]
fn a_section_is_asked_for_in_the_words_that_there_are() {
    check(
        "section 1p 0 rw; section 1p c000000 rw; section 1p 10000000 rw; section 1p 9000000 rw; section 1p 8000001 rw; \
         section 1p commit na; section 1p commit rw+g; section 1p commit rw+nc; section 1p commit 0; section 0 commit rw; \
         section 1p 18000000 rw; section 1p 14000000 rw",
        "invalid-parameter-6 invalid-parameter-6 invalid-parameter-6 invalid-parameter-6 invalid-parameter-6 \
         invalid-page-protection invalid-page-protection invalid-page-protection invalid-page-protection \
         invalid-parameter-4 ok ok",
    );
}

/// SPEC F13 J22 F20 I39: page-file memory is charged to the machine when it is committed, until nothing shows it.
#[test]
fn page_file_memory_is_charged_to_the_machine() {
    for edition in editions() {
        let mut world = World::new(edition.name);
        let charged = |world: &World| world.mm.counters().commit.charged_pages();
        let own = |world: &World| world.mm.process_counters(world.process).commit_pages;
        steps(&mut world, "section 5p commit rw; close", "ok ok");
        let idle = charged(&world);
        steps(&mut world, "section 5p commit rw", "ok");
        let made = charged(&world) - idle;
        steps(&mut world, "section 9p commit rw", "ok");
        assert_eq!(charged(&world) - idle - made, made + 4, "on {}: the pool is alike", edition.name);
        steps(&mut world, "close; use 1; view rw; write 0 1; close", "ok ok ok ok ok");
        assert_eq!(own(&world), 0, "on {}", edition.name);
        assert!(charged(&world) - idle >= made, "the view keeps its pages, on {}", edition.name);
        steps(&mut world, "unmap 0", "ok");
        assert_eq!(charged(&world), idle, "on {}", edition.name);
        steps(&mut world, "section 5p reserve rw; view rw", "ok ok");
        let before = charged(&world);
        steps(&mut world, "commit 1p 2p; commit 1p 3p", "ok ok");
        assert_eq!((charged(&world) - before, own(&world)), (3, 0), "on {}", edition.name);
    }
}

/// SPEC E31 J12 C21: a view whose stores are copied is charged when it is mapped, and a change to it when it is made.
#[test]
fn a_write_copy_view_is_charged_when_it_is_mapped() {
    for edition in editions() {
        let mut world = World::new(edition.name);
        let own = |world: &World| world.mm.process_counters(world.process).commit_pages;
        steps(&mut world, "file 2 5p; filesection 2 0 rw; view wc", "ok ok ok");
        assert_eq!(own(&world), 5, "on {}", edition.name);
        steps(&mut world, "write 1p; protect 0 4p r", "ok was-wc");
        assert_eq!(own(&world), 2, "the copy and the page that still copies, on {}", edition.name);
        steps(&mut world, "unmap 0; view r; protect 2p 2p wc", "ok ok was-r");
        assert_eq!(own(&world), 2, "on {}", edition.name);
        steps(&mut world, "unmap 0", "ok");
        assert_eq!(own(&world), 0, "on {}", edition.name);
    }
}

/// SPEC E31 A37: without charge there is no view, and no commit in one.
#[test]
fn a_view_that_cannot_be_charged_is_refused() {
    for edition in editions() {
        let mut world = World::new(edition.name);
        let left = |world: &World| {
            let commit = world.mm.counters().commit;
            commit.limit_pages() - commit.charged_pages()
        };
        steps(&mut world, "section 100p commit rw; section 100p reserve rw; view rw", "ok ok ok");
        let room = left(&world);
        steps(&mut world, &format!("section {room}p commit rw"), "commitment-limit");
        steps(&mut world, &format!("alloc {}p at @50000000", room - 80), "ok");
        steps(&mut world, "use 0; view wc; use 1; view rw", "ok commitment-limit ok ok");
        steps(&mut world, "commit 0 100p; query 0", "commitment-limit reserve/100p");
    }
}

/// SPEC X7 F9 F33 F10 F51 E28: a view of a file ends with the file's last page, which is zero behind the file's end.
#[test]
fn a_view_of_a_file_ends_where_the_file_does() {
    check(
        "file 2 1388; filesection 2 0 r; view r; query 0; read 1387; read 1388; read 1fff; view r size 1388; \
         view r size 1389; filesection 2 1770 r; filebyte 2 1388; filesection 2 1770 rw; filebyte 2 176f; filebyte 2 1770",
        "ok ok ok commit/r/2p =2 =0 =0 ok invalid-view-size section-too-big end ok =0 end",
    );
}

/// SPEC F8: an empty file shows nothing.
#[test]
fn an_empty_file_is_not_mapped() {
    check("file 2 0; filesection 2 0 rw; filesection 2 1 rw", "ok mapped-file-size-zero ok");
}

/// SPEC F18 F48: all data sections of one file show the same pages, also when the file has grown.
#[test]
fn sections_of_one_file_show_the_same_pages() {
    check(
        "file 2 2p; filesection 2 0 rw; view rw; write 1001 7; filesection 2 3p rw; view rw; read 1001; \
         write 2001 8; write 1002 9; use 0; view rw; read 1002; query 0; use 1; view r; read 2001; read 0",
        "ok ok ok ok ok ok =7 ok ok ok ok =9 commit/rw/2p ok ok =8 =2",
    );
}

/// SPEC F46 F47 E29: stores reach the file when they are flushed or when their last view goes; copies never do.
#[test]
fn stores_reach_the_file_when_they_are_flushed_or_unmapped() {
    check(
        "file 2 3p; filesection 2 0 rw; view rw; write 0 5; write 2p 6; filebyte 2 0; flush 0 1p; filebyte 2 0; \
         filebyte 2 2000; write 1 7; filebyte 2 1; flush 1 0; filebyte 2 1; filebyte 2 2000; write 1p 8; unmap 1p; \
         filebyte 2 1000; view wc; write 0 9; flush 0 0; unmap 0; filebyte 2 0; view r; read 0; read 1p",
        "ok ok ok ok ok =2 ok =5 =2 ok =2 ok =7 =6 ok ok =8 ok ok ok ok =5 ok =5 =8",
    );
}

/// SPEC J6 I33: a locked page that is copied because it was stored to stays locked.
#[test]
fn a_copy_of_a_locked_page_is_locked() {
    check(
        "section 2p commit rw; view wc; lock 0 2p; write 0 5; trim; lock 0 1p; unlock 0 2p; trim; unlock 0 1p",
        "ok ok ok ok ok was-locked ok ok not-locked",
    );
}

/// SPEC F46: what is stored while its page is on its way to the file is written after that, though the view and the section
/// are gone by then.
#[test]
fn a_store_during_a_write_is_written_after_it() {
    for edition in editions() {
        let mut world = World::new(edition.name);
        steps(&mut world, "file 2 2p; filesection 2 0 rw; view rw; write 0 5", "ok ok ok ok");
        let mut flushed = world.mm.flush_view(world.process, world.origin, 0).expect("a view");
        world.drop_stale(std::mem::replace(&mut flushed.stale, Stale::none()));
        let write = flushed.writes.pop().expect("a page to write");
        assert!(flushed.writes.is_empty());
        let mut old = vec![0; write.bytes as usize];
        world.mm.ram().read_bytes(write.frame.base(), &mut old);
        steps(&mut world, "write 0 6; unmap 0; close", "ok ok ok");
        world.store_file_part(&write, &old);
        let end = world.mm.complete_transfer(write.id, Ok(()));
        assert!(world.mm.is_file_mapped(FileId::new(2)), "on {}", edition.name);
        world.mm.audit().expect("agreement");
        world.transfer(end.write.expect("the page is written once more"));
        assert_eq!(world.step("filebyte 2 0"), "=6", "on {}", edition.name);
        assert!(!world.mm.is_file_mapped(FileId::new(2)), "on {}", edition.name);
        world.mm.audit().expect("agreement");
    }
}

/// SPEC F47: a flush during a write of the same page is done when the page was written once more.
#[test]
fn a_flush_during_a_write_writes_once_more() {
    for edition in editions() {
        let mut world = World::new(edition.name);
        steps(&mut world, "file 2 2p; filesection 2 0 rw; view rw; write 0 5", "ok ok ok ok");
        let mut flushed = world.mm.flush_view(world.process, world.origin, 0).expect("a view");
        world.drop_stale(std::mem::replace(&mut flushed.stale, Stale::none()));
        let write = flushed.writes.pop().expect("a page to write");
        let mut old = vec![0; write.bytes as usize];
        world.mm.ram().read_bytes(write.frame.base(), &mut old);
        steps(&mut world, "write 0 6; flush 0 0", "ok ok");
        world.store_file_part(&write, &old);
        let end = world.mm.complete_transfer(write.id, Ok(()));
        world.transfer(end.write.expect("the page is written once more"));
        steps(&mut world, "filebyte 2 0; write 0 7; filebyte 2 0", "=6 ok =6");
    }
}

/// SPEC F46: what a process leaves behind is written from each file's start on, whatever order its views lie in.
#[test]
fn the_end_of_a_process_writes_each_file_from_its_start() {
    for edition in editions() {
        let mut world = World::new(edition.name);
        let scenario = "file 2 48p; file 3 20p; filesection 2 0 rw; view rw from 20000 size 10000; write 0; write 3p; \
                        filesection 3 0 rw; view rw; write 7p; write 2p; use 0; view rw size 10000; write 5p; write 1p";
        for step in scenario.split(';') {
            assert_eq!(world.step(step.trim()), "ok", "{step}");
        }
        let ended = world.mm.delete_process(world.process);
        let writes: Vec<(u32, u64)> =
            ended.writes.iter().map(|write| (write.file.raw(), write.offset / 0x1000)).collect();
        assert_eq!(writes, [(2, 1), (2, 5), (2, 32), (2, 35), (3, 2), (3, 7)], "on {}", edition.name);
    }
}

/// SPEC F48 F18: two processes with views of one file, and whoever reads and writes the file itself, see the same bytes at
/// once.
#[test]
fn processes_and_the_file_agree_at_once() {
    check(
        "file 2 20p; filesection 2 0 rw; view rw at @50000000; write 3 5; process 1; filesection 2 0 rw; \
         view rw at @60000000 from 10000; view rw at @50000000; read 3; write 4 6; write @60000007 9; process 0; read 4; \
         read 10007; store 2 5 7; read 5; process 1; read 5; write 5 8; process 0; read 5; flush 0 0; filebyte 2 3; \
         filebyte 2 4; filebyte 2 5; filebyte 2 10007",
        "ok ok ok ok ok ok ok ok =5 ok ok ok =6 =9 ok =7 ok =7 ok ok =8 ok =5 =6 =8 =9",
    );
}

/// SPEC F48 E29: two processes with views of page-file memory see the same bytes, but for what one of them copied.
#[test]
fn processes_share_page_file_memory() {
    check(
        "section 3p commit rw; view rw at @50000000; write 1p 5; process 1; view wc at @60000000; view rw at @50000000; \
         read 1p; write 1p 6; read @60001000; write @60001000 7; process 0; read 1p; restart; view rw at @50000000; \
         read 1p; process 1; read 1p; read @60001000",
        "ok ok ok ok ok ok =5 ok =6 ok ok =6 ok ok =6 ok =6 =7",
    );
}

/// SPEC F48: bytes that a program writes to the file itself while a page is on its way there win.
#[test]
fn a_write_to_the_file_during_a_transfer_wins() {
    for edition in editions() {
        let mut world = World::new(edition.name);
        steps(&mut world, "file 2 2p; filesection 2 0 rw; view rw; write 0 5", "ok ok ok ok");
        let mut flushed = world.mm.flush_view(world.process, world.origin, 0).expect("a view");
        world.drop_stale(std::mem::replace(&mut flushed.stale, Stale::none()));
        let write = flushed.writes.pop().expect("a page to write");
        let mut old = vec![0; write.bytes as usize];
        world.mm.ram().read_bytes(write.frame.base(), &mut old);
        assert_eq!(world.step("store 2 0 7"), "ok");
        world.store_file_part(&write, &old);
        let _end = world.mm.complete_transfer(write.id, Ok(()));
        steps(&mut world, "read 0; unmap 0; filebyte 2 0", "=7 ok =7");
    }
}

/// SPEC F47: a flush needs a view, and page-file memory has nothing to write.
#[test]
fn a_flush_needs_a_view() {
    check(
        "alloc 1p; flush 0 1p; flush @10000000 1p; section 2p commit rw; view rw; write 0; flush 0 0; flush 0 2p; flush 0 3p; \
         flush 1p 1p; flush @fffffffffffff000 1",
        "ok not-mapped-view not-mapped-view ok ok ok ok ok not-mapped-view ok invalid-parameter",
    );
}

/// SPEC F46 F48: a page that another view still shows is written when that view goes, or when its process ends.
#[test]
fn the_last_view_writes_the_file() {
    for edition in editions() {
        let mut world = World::new(edition.name);
        steps(&mut world, "file 2 2p; filesection 2 0 rw; view rw; write 0 5; close", "ok ok ok ok ok");
        let first = world.process;
        world.enter_process(1);
        steps(&mut world, "file 3 1p; filesection 3 0 rw; view rw; write 0 4", "ok ok ok ok");
        world.end_process();
        steps_in(&mut world, first, "filebyte 3 0; filebyte 2 0; read 0", "=4 =2 =5");
        world.end_process();
        assert_eq!(world.mm.counters().frames.modified, 0, "on {}", edition.name);
        world.enter_process(0);
        steps(&mut world, "filebyte 2 0", "=5");
    }
}

fn steps_in(world: &mut World, process: vadose_mm::ProcessId, scenario: &str, answers: &str) {
    world.process = process;
    let regions = world.mm.regions(process);
    let view = regions.iter().find(|region| region.kind == MemoryType::Mapped);
    world.origin = view.expect("a view").range.base();
    steps(world, scenario, answers);
}

/// SPEC F48: what is written to the file shows in its views, and nothing that was stored beside it is lost.
#[test]
fn a_write_to_the_file_shows_in_its_views() {
    check(
        "file 2 1800; filesection 2 0 rw; view rw; read 0; write 1 6; store 2 0 9; read 0; read 1; flush 0 0; filebyte 2 0; \
         filebyte 2 1; read 1fff; store 2 1900 7; read 1900; read 1801; write 1800 3; flush 0 0; filebyte 2 1800; store 2 4000 1",
        "ok ok ok =2 ok ok =9 =6 ok =9 =6 =0 ok =7 =0 ok ok =3 ok",
    );
}

/// SPEC E28 E27: a page past the end of a file that was cut by another route is an in-page error; the rest can be read.
#[test]
fn a_page_past_the_end_of_its_file_cannot_come_in() {
    check(
        "file 2 3p; filesection 2 0 rw; view rw; cut 2 1100; read 10ff; read 1100; read 2p; write 2004; read 0; unmap 0",
        "ok ok ok ok =2 =0 in-page-error(0)+2000/end-of-file in-page-error(1)+2004/end-of-file =2 ok",
    );
}

/// SPEC E27: a file's page that cannot be read raises an error where it is touched, and can be read later.
#[test]
fn a_failed_read_of_a_file_is_an_in_page_error() {
    for edition in editions() {
        let mut world = World::new(edition.name);
        steps(&mut world, "file 2 2p; filesection 2 0 rw; view rw", "ok ok ok");
        world.failing_reads = Some(NtStatus::INSUFFICIENT_RESOURCES);
        steps(&mut world, "write 1005", "in-page-error(1)+1005/insufficient-resources");
        world.failing_reads = None;
        steps(&mut world, "write 1005 1; read 1005; read 1006", "ok =1 =2");
    }
}

/// SPEC E27 F46: a file that takes no writes keeps its pages in RAM until there is none left: a touch fails then, nothing is
/// lost, and all goes on when the file takes them again.
#[test]
fn a_file_that_takes_no_writes_ends_memory_and_nothing_else() {
    for edition in editions() {
        let mut world = World::with_frames(edition.name, 1200);
        steps(&mut world, "file 2 3000p; filesection 2 0 rw; view rw", "ok ok ok");
        world.failing_writes = Some(NtStatus::DISK_FULL);
        let write = |world: &mut World, page: u32| {
            world.quietly(&format!("write {:x} {:x}", page * 0x1000, page % 251))
        };
        let full =
            (0..3000).find(|page| write(&mut world, *page) != "ok").expect("RAM is smaller than the file");
        assert!((300..1200).contains(&full), "{full} on {}", edition.name);
        let raised = write(&mut world, full);
        assert_eq!(raised, format!("in-page-error(1)+{:x}/no-memory", full * 0x1000), "on {}", edition.name);
        world.mm.audit().expect("agreement");
        world.failing_writes = None;
        assert_eq!(write(&mut world, full), "ok", "on {}", edition.name);
        assert_eq!(world.step("unmap 0"), "ok");
        for page in (0..=full).step_by(37) {
            assert_eq!(world.step(&format!("filebyte 2 {:x}", page * 0x1000)), format!("={:x}", page % 251));
        }
    }
}

/// SPEC F36 F35: the leading pages of a view of a reserved section may be committed with it.
#[test]
fn a_view_may_commit_its_first_pages() {
    for edition in editions() {
        let parameter = |n: u32| match edition.parameter_status {
            ParameterStatus::Numbered => format!("invalid-parameter-{n}"),
            ParameterStatus::Plain => "invalid-parameter".to_owned(),
        };
        let (five, nine) = (parameter(5), parameter(9));
        check_on(
            edition.name,
            "section 4p reserve rw; view rw commit 1001; query 0; query 2p; view rw commit 4p; query 0; \
             view rw size 1p commit 2p; view rw reserve; file 2 1p; filesection 2 0 rw; view rw commit 1; \
             view rw reserve; filesection 2 0 r; view r reserve",
            &format!(
                "ok ok commit/rw/2p reserve/2p ok commit/rw/4p {five} {nine} ok ok {five} ok ok section-protection"
            ),
        );
    }
}
