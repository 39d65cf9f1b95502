//! Images that nobody has open any more, and what a thousand processes of one image take.

use crate::builder::{EXECUTE, READ, SHARED, Sample, WRITE, Width, at, put16};
use crate::door::World;
use vadose_facts::ntdef::{Aslr, Bitness, LargeAddressAware, edition, editions};
use vadose_mm::{FaultKind, FileId, ImageExecution};

fn width_on(name: &str) -> Width {
    match edition(name).expect("an edition").bitness {
        Bitness::Bits32 => Width::X86,
        Bitness::Bits64 => Width::X64,
    }
}

/// Code, data and, if asked for, a shared section.
fn sample(width: Width, shared: bool) -> Vec<u8> {
    let plain = Sample::new(width).with(".text", READ | EXECUTE, vec![0xc3; 0x3000], 0x3000).with(
        ".data",
        READ | WRITE,
        vec![0x22; 0x1000],
        0x1000,
    );
    let all =
        if shared { plain.with(".shared", READ | WRITE | SHARED, vec![1; 0x200], 0x1000) } else { plain };
    all.build()
}

fn reads(world: &World) -> u64 {
    world.mm.process_counters(world.process).faults.of(FaultKind::ImagePageRead)
}

/// Starts a process, maps the image's file and touches its pages; answers how many were read from the file.
fn start(world: &mut World, file: &[u8]) -> u64 {
    world.start_process(LargeAddressAware::Yes);
    let known = world.mm.open_image_section(FileId::new(2), ImageExecution::Allowed);
    let section = known.unwrap_or_else(|| world.new_image(2, file.to_vec()));
    let _view = world.map_section(section).expect("room");
    world.mm.close_section(section);
    for page in 0..5 {
        world.page(page);
    }
    assert_eq!(world.step("write 4p 9"), "ok");
    reads(world)
}

/// SPEC F18 G29 I24: the second start of a program reads no byte of its file, also when the first one has ended; what the
/// first one stored is not seen.
#[test]
fn a_second_start_reads_nothing() {
    for edition in editions() {
        let mut world = World::randomised(edition.name, Aslr::On, 1);
        let file = sample(width_on(edition.name), false);
        assert_eq!(start(&mut world, &file), 5);
        let base = world.origin;
        let charged = world.mm.counters().commit.charged_pages();
        assert_eq!(start(&mut world, &file), 0, "beside the first, on {}", edition.name);
        assert_eq!(world.origin, base);
        world.end_process();
        world.process = world.processes[1];
        world.end_process();
        assert!(world.mm.is_file_mapped(FileId::new(2)), "it is remembered");
        assert!(!world.mm.is_file_in_use(FileId::new(2)));
        assert_eq!(start(&mut world, &file), 0, "after the first, on {}", edition.name);
        assert_eq!((world.step("read 4001"), world.origin), ("=22".to_owned(), base));
        assert_eq!(world.mm.counters().commit.charged_pages(), charged);
        world.mm.audit().expect("agreement");
    }
}

/// What is remembered is charged to nobody, and goes when the file does or everything is asked to go.
#[test]
fn a_remembered_image_costs_no_charge_and_can_be_dropped() {
    for edition in editions() {
        let mut world = World::new(edition.name);
        let file = sample(width_on(edition.name), false);
        let idle = |world: &World| world.mm.counters().commit.charged_pages();
        start(&mut world, &file);
        world.end_process();
        world.mm.drop_unused_images();
        let (before, frames) = (idle(&world), world.mm.frame_counts());
        for of_file in [true, false] {
            start(&mut world, &file);
            world.end_process();
            assert_eq!(idle(&world), before);
            assert!(world.mm.frame_counts().standby > frames.standby);
            world.mm.audit().expect("agreement");
            if of_file {
                world.mm.drop_unused_image_of(FileId::new(3));
                assert!(world.mm.is_file_mapped(FileId::new(2)), "another file is not meant");
                world.mm.drop_unused_image_of(FileId::new(2));
            } else {
                world.mm.drop_unused_images();
            }
            assert!(!world.mm.is_file_mapped(FileId::new(2)));
            assert_eq!((world.mm.frame_counts().standby, idle(&world)), (frames.standby, before));
            world.mm.audit().expect("agreement");
        }
    }
}

/// SPEC G21 G24: an image that processes wrote in place is not remembered: its file has other bytes.
#[test]
fn an_image_with_shared_data_is_forgotten_with_its_last_view() {
    for edition in editions() {
        let mut world = World::new(edition.name);
        let file = sample(width_on(edition.name), true);
        start(&mut world, &file);
        assert_eq!(world.step("write 5p 7"), "ok");
        world.end_process();
        assert!(!world.mm.is_file_mapped(FileId::new(2)));
        start(&mut world, &file);
        assert_eq!(world.step("read 5p"), "=1", "on {}", edition.name);
    }
}

/// Remembered images never make a call fail: what they take is given up first.
#[test]
fn remembered_images_give_way() {
    for edition in editions() {
        let room = |remember: bool| {
            let mut world = World::new(edition.name);
            let process = world.process;
            for file in 2..60 {
                let section = world.new_image(file, sample(width_on(edition.name), false));
                let _view = world.map_section(section).expect("room");
                world.mm.close_section(section);
                world.page(1);
                assert_eq!(world.step("unmap 0"), "ok");
                if !remember {
                    world.mm.drop_unused_images();
                }
            }
            assert_eq!(world.process, process);
            let most = world.mm.counters().commit.limit_pages();
            let fits = |pages: &u64| world.quietly(&format!("alloc {pages}p")) == "ok";
            let pages = (0..most).rev().find(fits).expect("something fits");
            for page in 0..pages {
                assert_eq!(world.quietly(&format!("write {page}p")), "ok", "page {page} of {pages}");
            }
            world.mm.audit().expect("agreement");
            pages
        };
        assert_eq!(room(true), room(false), "on {}", edition.name);
    }
}

/// A thousand processes of one 1 MiB DLL share one copy of its clean pages, and take less than 100 KiB of RAM each.
#[test]
fn a_thousand_processes_share_one_dll() {
    const PROCESSES: u64 = 1000;
    const PAGES: u64 = 256;
    for name in ["win7-x86", "win10-x64"] {
        let mut world = World::with_frames(name, 1 << 15);
        let width = width_on(name);
        let content = vec![0x5a; (PAGES as usize) << 12];
        let mut file =
            Sample::new(width).with(".text", READ | EXECUTE, content, (PAGES as u32) << 12).build();
        put16(&mut file, at::CHARACTERISTICS, 0x2022);
        let section = world.new_image(2, file);
        let before = world.mm.frame_counts().available();
        let mut read = 0;
        for _ in 0..PROCESSES {
            world.start_process(LargeAddressAware::Yes);
            let _view = world.map_section(section).expect("room");
            for page in 1..=PAGES {
                assert_eq!(world.quietly(&format!("read {page}p")), "=5a");
            }
            read += reads(&world);
        }
        assert_eq!(read, PAGES, "each page came in once");
        let taken = before - world.mm.frame_counts().available() - PAGES;
        let each = taken * 4096 / PROCESSES;
        assert!(each < 100 << 10, "{each} bytes a process on {name}");
        world.mm.audit().expect("agreement");
    }
}
