//! A started process as the program finds it: blocks, lists, stack, imports, moved images, and files that do not do.

use crate::world::{World, guest};
use vadose_facts::addr::{PAGE_BYTES, VirtAddr};
use vadose_facts::ntdef::{MemoryState, Protection, edition};
use vadose_facts::pe::PeImage;
use vadose_nt::{Ending, Lenience, LoadError, MissingDll, ModuleKind, RegionUse, UserPtr};

const EDITIONS: [&str; 6] = ["winxp-x86", "winxp-x86-pae", "win7-x86", "win7-x64", "win8-x64", "win10-x64"];
const READ_WRITE: u32 = 0x04;

fn each(guest: &str, check: impl Fn(&mut World, &str)) {
    for edition in EDITIONS {
        check(&mut World::running(edition, guest), edition);
    }
}

fn word(world: &mut World, base: VirtAddr, offset: u32) -> u64 {
    let at = UserPtr::new(base.raw()).offset(u64::from(offset));
    world.kernel().read_word(at).expect("readable")
}

fn text(world: &mut World, base: u64, offset: u32) -> String {
    let at = UserPtr::new(base).offset(u64::from(offset));
    let units = world.kernel().read_unicode_string(at).expect("readable");
    String::from_utf16(&units).expect("text")
}

/// The modules of a list of `PEB_LDR_DATA`: base and name.
fn walk(world: &mut World, head_offset: u32, link_offset: u32) -> Vec<(u64, String)> {
    let layouts = world.nt.layouts();
    let peb = world.nt.process().peb;
    let data = VirtAddr::new(word(world, peb, layouts.peb.loader_data));
    let head = data.raw() + u64::from(head_offset);
    let mut modules = Vec::new();
    let mut link = word(world, data, head_offset);
    while link != head {
        assert!(modules.len() < 16, "the list is circular");
        let entry = VirtAddr::new(link - u64::from(link_offset));
        let base = word(world, entry, layouts.loader_entry.base);
        modules.push((base, text(world, entry.raw(), layouts.loader_entry.base_name)));
        link = word(world, VirtAddr::new(link), 0);
    }
    modules
}

#[test]
fn the_loaders_lists_name_every_module_in_its_order() {
    each("hello", |world, edition| {
        let (heads, links) = (world.nt.layouts().loader_data, world.nt.layouts().loader_entry);
        let known: Vec<(u64, String)> =
            world.nt.process().modules.iter().map(|m| (m.base.raw(), m.name.clone())).collect();
        assert_eq!(known[0].1, "guest.exe");
        assert_eq!(walk(world, heads.in_load_order, links.in_load_order), known, "{edition}");
        assert_eq!(walk(world, heads.in_memory_order, links.in_memory_order), known, "{edition}");
        let initialised = walk(world, heads.in_initialization_order, links.in_initialization_order);
        assert_eq!(initialised, known[1..], "{edition}");
    });
}

#[test]
fn peb_and_parameters_tell_the_program_who_it_is() {
    each("hello", |world, edition| {
        let layouts = world.nt.layouts();
        let (peb, base) = (world.nt.process().peb, world.nt.process().program().base);
        assert_eq!(word(world, peb, layouts.peb.image_base), base.raw(), "{edition}");
        let parameters = word(world, peb, layouts.peb.process_parameters);
        let line = text(world, parameters, layouts.parameters.command_line);
        assert_eq!(line, "\"C:\\work\\guest.exe\" one \"two three\"", "{edition}");
        assert_eq!(text(world, parameters, layouts.parameters.image_path), "C:\\work\\guest.exe");
        assert_eq!(text(world, parameters, layouts.parameters.current_directory), "C:\\work\\");
        let environment = word(world, VirtAddr::new(parameters), layouts.parameters.environment);
        let units = world.kernel().read_wide(UserPtr::new(environment), 14).expect("readable");
        assert_eq!(String::from_utf16_lossy(&units), "A=1\0Path=C:\\\0\0", "{edition}");
        let version = world.nt.edition().version;
        assert_eq!(word(world, peb, layouts.peb.os_major) & 0xffff_ffff, u64::from(version.major));
    });
}

/// SPEC H8: on x86 from XP to 7, PEB and TEB are between 7FFD0000 and 7FFDFFFF; elsewhere they are ordinary allocations.
#[test]
fn peb_and_teb_are_where_the_edition_has_them() {
    each("hello", |world, edition| {
        let peb = world.nt.process().peb.raw();
        let teb = world.nt.threads().current().expect("a thread").teb.raw();
        let classic = 0x7ffd_0000..0x7ffe_0000;
        let expected = edition.ends_with("x86") || edition.ends_with("pae");
        assert_eq!((classic.contains(&peb), classic.contains(&teb)), (expected, expected), "{edition}");
        assert_eq!(world.cpu.teb.raw(), teb);
    });
}

/// SPEC E16: from low to high reserved, guard, committed; one allocation; the TEB tells its ends.
#[test]
fn the_stack_is_reserved_guarded_and_committed_from_low_to_high() {
    each("hello", |world, edition| {
        let uses = &world.nt.process().uses;
        let (base, _) = *uses.iter().find(|(_, what)| *what == RegionUse::Stack).expect("a stack");
        let mut runs = Vec::new();
        let mut at = base;
        loop {
            let run = world.kernel().query(at).expect("user space");
            if run.allocation_base != Some(base) {
                break;
            }
            assert_eq!(run.allocation_protection.map(Protection::raw), Some(READ_WRITE), "{edition}");
            runs.push((run.state, run.protection.map(Protection::raw)));
            at = VirtAddr::new(run.base.raw() + run.size);
        }
        let expected = [
            (MemoryState::Reserved, None),
            (MemoryState::Committed, Some(READ_WRITE | 0x100)),
            (MemoryState::Committed, Some(READ_WRITE)),
        ];
        assert_eq!(runs, expected, "{edition}");
        let stack = world.kernel().thread_stack().expect("a TEB");
        assert_eq!((stack.reserve_base, stack.top), (base, at), "{edition}");
        assert_eq!(at.raw() - base.raw(), 0x10_0000, "{edition}");
    });
}

/// SPEC G25: the second image of one base is mapped elsewhere and patched by the loader, as the file's own fix-ups say.
#[test]
fn an_image_that_is_not_at_its_base_is_patched_through_its_pages() {
    for name in ["winxp-x86", "win7-x86", "win10-x64"] {
        let edition = edition(name).expect("an edition");
        let bytes = guest(edition, "tls_callbacks");
        let files = [("work\\guest.exe", bytes.clone()), ("work\\twin.dll", bytes.clone())];
        let mut world = World::with_files(name, &files);
        world.start("work\\guest.exe", Lenience::Strict).expect("starts");
        let text = world.scratch(0x200);
        world.kernel().write(UserPtr::new(text), b"twin.dll\0").expect("writable");
        let twin = world.call("VdsLoadLibraryA", &[text]);
        let image = PeImage::parse(&bytes).expect("an image");
        assert!(twin != 0 && twin != image.image_base(), "{name}: {twin:#x}");
        let delta = twin.wrapping_sub(image.image_base());
        let fixups = image.relocations(&mut image.file_view(&bytes)).expect("readable");
        assert!(!fixups.is_empty(), "{name}");
        for fixup in fixups.fixups() {
            let mut raw = [0; 8];
            let bytes_there = &mut raw[..fixup.kind.bytes() as usize];
            vadose_facts::pe::RvaReader::read_rva(&mut image.file_view(&bytes), fixup.rva, bytes_there)
                .expect("in the file");
            let width = u64::from(fixup.kind.bytes());
            let at = UserPtr::new(twin).offset(u64::from(fixup.rva));
            let found = world.kernel().read_number(at, width).expect("readable");
            let expected = u64::from_le_bytes(raw).wrapping_add(delta) & (u64::MAX >> (64 - 8 * width));
            assert_eq!(found, expected, "{name} {:#x}", fixup.rva);
        }
        let text_page = VirtAddr::new(twin + PAGE_BYTES);
        let protection = world.kernel().query(text_page).expect("user").protection.map(Protection::raw);
        assert_eq!(protection, Some(0x20), "{name}: code is not writable afterwards");
    }
}

/// A copy of a guest with one text in it replaced by another of the same length.
fn patched(edition_name: &str, from: &str, to: &str) -> Vec<u8> {
    let mut bytes = guest(edition(edition_name).expect("an edition"), "hello");
    let places: Vec<usize> =
        (0..bytes.len() - from.len()).filter(|at| bytes[*at..].starts_with(from.as_bytes())).collect();
    assert!(!places.is_empty(), "{from} is in the file");
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    bytes
}

#[test]
fn an_import_that_no_built_in_dll_has_ends_the_run_with_its_name_when_it_is_called() {
    for name in ["win7-x86", "win10-x64"] {
        let bytes = patched(name, "GetStdHandle", "HasLostError");
        let mut world = World::with_files(name, &[("work\\guest.exe", bytes)]);
        let started = world.start("work\\guest.exe", Lenience::Strict);
        assert!(started.is_ok(), "{name}: {started:?}");
        let missing = world.nt.process().missing.clone();
        let index = missing.iter().position(|m| m.name == "HasLostError").expect("noted");
        world.cpu.registers.gpr[0] = 0x2000 + index as u64;
        world.service();
        let Some(Ending::MissingFunction(function)) = world.nt.ending() else { panic!("{name}: it ends") };
        assert_eq!((function.dll.as_str(), function.name.as_str()), ("kernel32.dll", "HasLostError"));
    }
}

#[test]
fn a_missing_dll_stops_the_start_and_is_listed_by_a_lenient_one() {
    for name in ["win7-x86", "win10-x64"] {
        let bytes = patched(name, "KERNEL32.dll", "NERKEL64.dll");
        let mut world = World::with_files(name, &[("work\\guest.exe", bytes)]);
        let wanted = MissingDll { name: "NERKEL64.dll".to_owned(), wanted_by: "guest.exe".to_owned() };
        let error = world.start("work\\guest.exe", Lenience::Strict).expect_err("a DLL is missing");
        assert_eq!(error, LoadError::MissingDlls(vec![wanted.clone()]), "{name}");
        let bytes = patched(name, "KERNEL32.dll", "NERKEL64.dll");
        let mut world = World::with_files(name, &[("work\\guest.exe", bytes)]);
        let loaded = world.start("work\\guest.exe", Lenience::ListMissing).expect("lenient");
        assert_eq!(loaded.missing_dlls, [wanted], "{name}");
        assert!(world.nt.process().modules.iter().any(|module| module.kind == ModuleKind::BuiltIn));
    }
}

#[test]
fn files_that_are_no_programs_for_the_edition_are_refused_by_name() {
    let refuse = |edition: &str, bytes: Vec<u8>| {
        let mut world = World::with_files(edition, &[("work\\guest.exe", bytes)]);
        world.start("work\\guest.exe", Lenience::Strict).expect_err("no program")
    };
    let narrow = guest(edition("win7-x86").expect("an edition"), "hello");
    assert!(matches!(refuse("win10-x64", narrow.clone()), LoadError::WrongMachine { .. }));
    assert!(matches!(refuse("win7-x86", narrow[..100].to_vec()), LoadError::NotRunnable { .. }));
    assert!(matches!(refuse("win7-x86", Vec::new()), LoadError::NotRunnable { .. }));
    let mut world = World::with_files("win7-x86", &[]);
    let error = world.start("work\\none.exe", Lenience::Strict).expect_err("no file");
    assert!(error.to_string().contains("C:\\work\\none.exe"), "{error}");
}

#[test]
fn a_function_that_a_dll_does_not_have_is_null_and_an_error() {
    each("hello", |world, edition| {
        let name = world.scratch(0x200);
        world.kernel().write(UserPtr::new(name), b"NoSuchThing\0VirtualAlloc\0").expect("writable");
        let kernel32 = world.nt.process().module_named("KERNEL32.DLL").expect("loaded").base.raw();
        assert_eq!(world.call("GetProcAddress", &[kernel32, name]), 0, "{edition}");
        assert_eq!(world.last_error(), 127, "{edition}");
        let found = world.call("GetProcAddress", &[kernel32, name + 12]);
        let module = world.nt.process().module_at(VirtAddr::new(found)).expect("in a module");
        assert!(module.name.starts_with("kernel"), "{edition}: {}", module.name);
    });
}

#[test]
fn loading_and_unloading_leaves_no_file_open_and_no_memory_behind() {
    for name in ["win7-x86", "win10-x64"] {
        let bytes = guest(edition(name).expect("an edition"), "tls_callbacks");
        let broken = bytes[..bytes.len() / 3].to_vec();
        let files =
            [("work\\guest.exe", bytes.clone()), ("work\\twin.dll", bytes), ("work\\broken.dll", broken)];
        let mut world = World::with_files(name, &files);
        world.start("work\\guest.exe", Lenience::Strict).expect("starts");
        let text = world.scratch(0x200);
        world.kernel().write(UserPtr::new(text), b"twin.dll\0broken.dll\0").expect("writable");
        let round = |world: &mut World| {
            let twin = world.call("VdsLoadLibraryA", &[text]);
            assert_ne!(twin, 0, "{name}");
            // No guest code runs here to call the initialisers.
            world.nt.current_thread_mut().initialisers.clear();
            assert_eq!(world.call("VdsFreeLibrary", &[twin]), twin, "{name}");
            world.nt.current_thread_mut().initialisers.clear();
            assert_eq!(world.call("VdsFreeLibraryDone", &[twin]), 1, "{name}");
            assert_eq!(world.call("VdsLoadLibraryA", &[text + 9]), 0, "{name}");
            let process = world.nt.process().id;
            (world.host.open_files(), world.mm.regions(process).len(), world.nt.process().modules.len())
        };
        let before = round(&mut world);
        for _ in 0..8 {
            round(&mut world);
        }
        assert_eq!(round(&mut world), before, "{name}");
        world.mm.audit().expect("the records agree");
    }
}

/// An initialiser may load a DLL itself: what is handed out inside is the next in the queue, never the one that runs.
#[test]
fn an_initialiser_that_is_running_is_not_handed_out_again() {
    each("tls_callbacks", |world, edition| {
        let place = world.scratch(0x800);
        let first = world.call("VdsNextInitialiser", &[place]);
        let inner = world.call("VdsNextInitialiser", &[place]);
        assert!(first != 0 && inner != 0 && first != inner, "two callbacks on {edition}");
        assert_eq!(world.call("VdsNextInitialiser", &[place]), 0, "{edition}");
        for _ in 0..3 {
            world.call("VdsInitialiserDone", &[1]);
        }
        assert_eq!(world.call("VdsNextInitialiser", &[place]), 0, "{edition}");
    });
}
