//! Images of several processes: one copy of what nobody wrote, at one place that the boot drew.

use crate::world::{World, guest, path};
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::{AllocationType, Aslr, Edition, Randomization, edition, editions};
use vadose_facts::pe::PeImage;
use vadose_mm::{AllocateRequest, FaultKind};
use vadose_nt::{Lenience, StartOptions, UserPtr};

/// Starts the guest once more; answers its id.
fn start_again(world: &mut World, program: &str) -> u32 {
    let options = StartOptions {
        program: path(program),
        command_line: "guest.exe".to_owned(),
        current_directory: path("work"),
        environment: Vec::new(),
        lenience: Lenience::Strict,
        large_address_aware: None,
        parent: None,
    };
    world.kernel().start(&options).expect("it started before").pid
}

fn bases(world: &World, pid: u32) -> Vec<(String, VirtAddr)> {
    let process = world.nt.process_by_id(pid).expect("it lives");
    process.modules.iter().map(|module| (module.name.clone(), module.base)).collect()
}

fn moving() -> impl Iterator<Item = &'static Edition> {
    editions().iter().filter(|edition| edition.randomization != Randomization::Environment)
}

fn files(edition: &Edition) -> [(&'static str, Vec<u8>); 2] {
    let bytes = guest(edition, "hello");
    [("work\\guest.exe", bytes.clone()), ("work\\again.exe", bytes)]
}

/// SPEC G28 G29 G32 G33: programs and DLLs, built-in ones too, are where the boot's seed put them; the same seed puts them
/// there again, in every process.
#[test]
fn processes_share_the_bases_that_the_boot_drew() {
    for edition in moving() {
        let boot = |seed| {
            let mut world = World::randomised(edition.name, Aslr::On, seed, &files(edition));
            let first = world.start("work\\guest.exe", Lenience::Strict).expect("it starts").pid;
            let second = start_again(&mut world, "work\\guest.exe");
            let (one, other) = (bases(&world, first), bases(&world, second));
            assert_eq!(one, other, "on {}", edition.name);
            world.mm.audit().expect("agreement");
            one
        };
        let (here, there) = (boot(1), boot(2));
        assert_eq!(here, boot(1), "on {}", edition.name);
        for ((name, base), (_, other)) in here.iter().zip(&there) {
            assert_ne!(base, other, "{name} on {}", edition.name);
        }
    }
}

/// SPEC F18 G29: a second process of a program reads no page of any file, while the first lives and after its end.
#[test]
fn a_second_process_reads_nothing() {
    for edition in editions() {
        let mut world = World::randomised(edition.name, Aslr::On, 1, &files(edition));
        let first = world.start("work\\guest.exe", Lenience::Strict).expect("it starts").pid;
        let read = |world: &World, pid| {
            let process = world.nt.process_by_id(pid).expect("it lives").id;
            world.mm.process_counters(process).faults.of(FaultKind::ImagePageRead)
        };
        assert!(read(&world, first) > 0);
        let host_reads = world.host.reads;
        let second = start_again(&mut world, "work\\guest.exe");
        assert_eq!((read(&world, second), world.host.reads), (0, host_reads), "on {}", edition.name);
        for pid in [second, first] {
            world.kernel().end_process(pid);
        }
        let third = start_again(&mut world, "work\\guest.exe");
        assert_eq!((read(&world, third), world.host.reads), (0, host_reads), "on {}", edition.name);
        world.kernel().end_process(third);
        world.kernel().drop_unused_images();
        assert_eq!(world.host.open_files(), 0, "on {}", edition.name);
        let fourth = start_again(&mut world, "work\\guest.exe");
        assert!(read(&world, fourth) > 0 && world.host.reads > host_reads);
    }
}

/// SPEC G30: where the drawn base is taken in one process the loader moves the image there alone, from the base that its
/// shared pages are right for.
#[test]
fn a_taken_base_is_moved_from_privately() {
    for edition in moving() {
        let bytes = guest(edition, "tls_callbacks");
        let twin = [("work\\guest.exe", bytes.clone()), ("work\\twin.dll", bytes.clone())];
        let boot = || {
            let mut world = World::randomised(edition.name, Aslr::On, 3, &twin);
            world.start("work\\guest.exe", Lenience::Strict).expect("it starts");
            world
        };
        let image = PeImage::parse(&bytes).expect("an image");
        if !image.is_moved_by_kernel() {
            continue;
        }
        let load = |world: &mut World| {
            let text = world.scratch(0x200);
            world.kernel().write(UserPtr::new(text), b"twin.dll\0").expect("writable");
            let at = world.call("VdsLoadLibraryA", &[text]);
            assert_ne!(at, 0, "on {}", edition.name);
            at
        };
        let chosen = load(&mut boot());
        let mut world = boot();
        let taken = AllocateRequest {
            base: Some(VirtAddr::new(chosen)),
            size: 0x1_0000,
            zero_bits: 0,
            kind: AllocationType::RESERVE,
            protection: 0x04,
        };
        world.kernel().allocate(taken).expect("the DLL's place is free");
        let moved = load(&mut world);
        assert_ne!(moved, chosen, "on {}", edition.name);
        let fixups = image.relocations(&mut image.file_view(&bytes)).expect("readable");
        for fixup in fixups.fixups() {
            let width = u64::from(fixup.kind.bytes());
            let mut raw = [0; 8];
            let there = &mut raw[..width as usize];
            vadose_facts::pe::RvaReader::read_rva(&mut image.file_view(&bytes), fixup.rva, there)
                .expect("in the file");
            let at = UserPtr::new(moved).offset(u64::from(fixup.rva));
            let found = world.kernel().read_number(at, width).expect("readable");
            let wanted = u64::from_le_bytes(raw).wrapping_add(moved.wrapping_sub(image.image_base()));
            assert_eq!(found, wanted & u64::MAX >> (64 - 8 * width), "{} {:#x}", edition.name, fixup.rva);
        }
    }
}

/// SPEC H8 G34: stacks, heaps and environment blocks are elsewhere in other boots, where the edition randomises them, and
/// where they always were without randomisation.
#[test]
fn blocks_of_a_process_are_placed_as_the_edition_does() {
    for edition in editions() {
        let places = |aslr, seed| {
            let mut world = World::randomised(edition.name, aslr, seed, &files(edition));
            world.start("work\\guest.exe", Lenience::Strict).expect("it starts");
            let stack = world.kernel().thread_stack().expect("a TEB").reserve_base;
            let process = world.nt.process();
            (process.peb, process.heap, stack)
        };
        let seeds = 1..12;
        let fixed = places(Aslr::Off, 0);
        assert!(seeds.clone().all(|seed| places(Aslr::Off, seed) == fixed), "on {}", edition.name);
        let drawn: Vec<_> = seeds.map(|seed| places(Aslr::On, seed)).collect();
        let varies = |part: fn(&(VirtAddr, VirtAddr, VirtAddr)) -> VirtAddr| {
            drawn.iter().any(|place| part(place) != part(&drawn[0]))
        };
        let images = edition.randomization != Randomization::Environment;
        let expected = (edition.name != "win7-x64", images, images);
        assert_eq!((varies(|p| p.0), varies(|p| p.1), varies(|p| p.2)), expected, "on {}", edition.name);
        if edition.pointer_bytes() == 4 {
            let block = 0x7ffd_1000..=0x7ffd_e000;
            assert!(drawn.iter().all(|place| block.contains(&place.0.raw())), "{drawn:?}");
        }
    }
}

/// SPEC G12 G23 G35: a section says where its image is, that it was moved and from where; the process says by what policy.
#[test]
fn queries_tell_of_the_move() {
    let edition = edition("win10-x64").expect("known");
    let mut world = World::randomised("win10-x64", Aslr::On, 5, &files(edition));
    world.start("work\\guest.exe", Lenience::Strict).expect("it starts");
    let image = PeImage::parse(&guest(edition, "hello")).expect("an image");
    let dynamic = image.is_moved_by_kernel();
    let policy = world.mm.aslr_mitigations(world.nt.process().id).bits();
    let asked = image.dll_characteristics().bits();
    assert_eq!(policy & 1, u32::from(asked >> 6 & 1), "bottom-up randomisation follows DYNAMIC_BASE");
    let flags = world.store(0x300, 0);
    assert_eq!(world.call("GetProcessMitigationPolicy", &[u64::MAX, 1, flags, 4]), 1);
    assert_eq!(world.load(0x300), u64::from(policy));
    let forced = u64::from(policy) | 2;
    world.store(0x300, forced);
    assert_eq!(world.call("SetProcessMitigationPolicy", &[1, flags, 4]), 1);
    world.store(0x300, 0);
    assert_eq!(world.call("GetProcessMitigationPolicy", &[u64::MAX, 1, flags, 4]), 1);
    assert_eq!(world.load(0x300), forced);
    world.store(0x300, 0);
    assert_eq!(world.call("SetProcessMitigationPolicy", &[1, flags, 4]), 0, "nothing is taken back");
    assert_eq!(world.last_error(), 5);
    let moved = world.nt.process().program().base.raw() != image.image_base();
    assert_eq!(moved, dynamic);
}
