//! Processes that are started by another: what they are given, what refuses them, and that a refusal leaves nothing.

use crate::world::{World, guest};
use vadose_facts::ntdef::{edition, editions};
use vadose_nt::{Ending, Lenience, ProcessState, UserPtr};

const SELF: u64 = u64::MAX;
/// `CREATE_SUSPENDED`: the paper processor runs nothing.
const SUSPENDED: u64 = 4;
const UNICODE_ENVIRONMENT: u64 = 0x400;
const READ_WRITE: u64 = 0x04;

fn each(check: impl Fn(&mut World, &str)) {
    for edition in editions() {
        check(&mut World::running(edition.name, "hello"), edition.name);
    }
}

/// Puts text into the test's own page.
fn text(world: &mut World, offset: u64, text: &str) -> u64 {
    let at = world.scratch(offset);
    let bytes: Vec<u8> = text.bytes().chain([0]).collect();
    world.kernel().write(UserPtr::new(at), &bytes).expect("the stack is there");
    at
}

/// An empty `STARTUPINFO`, with the standard handles that are given.
fn startup(world: &mut World, offset: u64, standard: Option<[u64; 3]>) -> u64 {
    let width = world.nt.edition().pointer_bytes();
    let (size, flags_at, handles_at) = if width == 8 { (104, 60, 80) } else { (68, 44, 56) };
    let mut bytes = vec![0; size];
    if let Some(handles) = standard {
        bytes[flags_at + 1] = 1;
        for (place, handle) in bytes[handles_at..].chunks_exact_mut(width as usize).zip(handles) {
            place.copy_from_slice(&handle.to_le_bytes()[..width as usize]);
        }
    }
    let at = world.scratch(offset);
    world.kernel().write(UserPtr::new(at), &bytes).expect("the stack is there");
    at
}

/// `CreateProcessA` with what differs; answers its result.
fn create(world: &mut World, name: u64, line: u64, flags: u64, environment: u64, folder: u64) -> u64 {
    let (startup, made) = (startup(world, 0x400, None), world.scratch(0x500));
    world.call("CreateProcessA", &[name, line, 0, 0, 0, flags, environment, folder, startup, made])
}

/// The process, its handle and its first thread's, after a call that succeeded.
fn made(world: &mut World) -> (u32, u64, u64) {
    let width = world.nt.edition().pointer_bytes();
    let (process, thread) = (world.load(0x500), world.load(0x500 + width));
    let pid = world.load(0x500 + 2 * width) as u32;
    (pid, process, thread)
}

#[test]
fn a_process_gets_its_line_its_folder_its_environment_and_its_handles() {
    each(|world, edition| {
        let line = text(world, 0x100, "guest.exe  \"a b\" c");
        let environment: Vec<u8> =
            "B=2\0A=1\0=C:=C:\\work\0\0".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let environment_at = world.scratch(0x200);
        world.kernel().write(UserPtr::new(environment_at), &environment).expect("the stack is there");
        let (startup, information) = (startup(world, 0x400, Some([0x44, 0x48, 0x4c])), world.scratch(0x500));
        let flags = SUSPENDED | UNICODE_ENVIRONMENT;
        let arguments = [0, line, 0, 0, 0, flags, environment_at, 0, startup, information];
        assert_eq!(world.call("CreateProcessA", &arguments), 1, "{edition}");
        let (pid, process, _) = made(world);
        let child = world.nt.process_by_id(pid).expect("it lives");
        assert_eq!(child.command_line, "guest.exe  \"a b\" c", "{edition}");
        assert_eq!(child.image_path.as_str(), "C:\\work\\guest.exe", "{edition}");
        assert_eq!(child.current_directory.as_str(), "C:\\work", "{edition}");
        assert_eq!(child.parent, world.nt.process().pid, "{edition}");
        let (parameters, layout) = (child.parameters.raw(), world.nt.layouts().parameters);
        let mut read = |from: u64, bytes: u64| {
            let to = world.scratch(0x600);
            assert_eq!(world.call("ReadProcessMemory", &[process, from, to, bytes, 0]), 1, "{edition}");
            world.kernel().read_vec(UserPtr::new(to), bytes).expect("the stack is there")
        };
        let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
        let width = u64::from(layout.standard_output - layout.standard_input);
        assert_eq!(number(&read(parameters + u64::from(layout.standard_output), width)), 0x48, "{edition}");
        let block = number(&read(parameters + u64::from(layout.environment), width));
        assert_eq!(read(block, environment.len() as u64), environment, "{edition}");
        world.mm.audit().unwrap_or_else(|error| panic!("{edition}: {error}"));
    });
}

#[test]
fn what_cannot_be_started_is_refused_and_leaves_nothing() {
    for name in ["winxp-x86", "win7-x86", "win10-x64"] {
        let edition = edition(name).expect("an edition");
        let files = [
            ("work\\guest.exe", guest(edition, "hello")),
            ("work\\text.exe", b"this is no program at all, only text".to_vec()),
        ];
        let mut world = World::with_files(name, &files);
        world.start("work\\guest.exe", Lenience::Strict).expect("a sample guest starts");
        let world = &mut world;
        let good = text(world, 0x100, "C:\\work\\guest.exe");
        let missing = text(world, 0x140, "C:\\work\\nothing.exe");
        let words = text(world, 0x180, "C:\\work\\text.exe");
        let folder = text(world, 0x1c0, "C:\\nowhere");
        let frames = world.mm.counters().frames.available();
        let (handles, files) = (world.nt.process().handles.count(), world.host.open_files());
        let cases = [
            ("neither name nor line", 0, 0, SUSPENDED, 0, 87),
            ("no such file", missing, 0, SUSPENDED, 0, 2),
            ("no such file by its line", 0, missing, SUSPENDED, 0, 2),
            ("a text", words, 0, SUSPENDED, 0, 193),
            ("no such folder", good, 0, SUSPENDED, folder, 267),
            ("two consoles", good, 0, SUSPENDED | 0x18, 0, 87),
        ];
        for (what, program, line, flags, folder, error) in cases {
            assert_eq!(create(world, program, line, flags, 0, folder), 0, "{what} on {name}");
            assert_eq!(world.last_error(), error, "{what} on {name}");
            assert_eq!(world.nt.processes().count(), 1, "{what} on {name}");
            assert_eq!(world.nt.process().handles.count(), handles, "{what} on {name}");
            assert_eq!(world.host.open_files(), files, "{what} on {name}");
            world.mm.audit().unwrap_or_else(|error| panic!("{what} on {name}: {error}"));
        }
        let lost = frames - world.mm.counters().frames.available();
        assert!(lost < 16, "{name}: {lost} frames are gone beside the caller's own pages");
    }
}

/// As in Windows, whose loader finds out in the new process.
#[test]
fn a_program_whose_dll_is_missing_is_started_and_ends_with_its_status() {
    for name in ["winxp-x86", "win7-x86", "win10-x64"] {
        let edition = edition(name).expect("an edition");
        let mut lost = guest(edition, "hello");
        let at = lost.windows(8).position(|text| text.eq_ignore_ascii_case(b"kernel32")).expect("imported");
        lost[at..at + 8].copy_from_slice(b"nerkel32");
        let files = [("work\\guest.exe", guest(edition, "hello")), ("work\\lost.exe", lost)];
        let mut world = World::with_files(name, &files);
        world.start("work\\guest.exe", Lenience::Strict).expect("a sample guest starts");
        let program = text(&mut world, 0x100, "C:\\work\\lost.exe");
        assert_eq!(create(&mut world, program, 0, 0, 0, 0), 1, "{name}");
        let (pid, process, thread) = made(&mut world);
        let child = world.nt.process_by_id(pid).expect("there are handles to it");
        assert_eq!(
            (child.state, child.ending.clone()),
            (ProcessState::Ending, Some(Ending::Exit(0xc000_0135)))
        );
        world.kernel().end_process(pid);
        let code = world.store(0x600, 0);
        assert_eq!(world.call("GetExitCodeProcess", &[process, code]), 1);
        assert_eq!(world.load(0x600) as u32, 0xc000_0135, "{name}");
        for handle in [process, thread] {
            assert_eq!(world.call("WaitForSingleObject", &[handle, 0]), 0, "{name}: it has ended");
            assert_eq!(world.call("CloseHandle", &[handle]), 1, "{name}");
        }
        assert!(world.nt.process_by_id(pid).is_none(), "{name}: nobody knows it any more");
        world.mm.audit().unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

/// Calls into another process, each with good arguments but for the handle: refused with an error.
fn refused(world: &mut World, process: u64, error: u32, why: &str) {
    let scratch = world.scratch(0x700);
    let calls = [
        ("VirtualAllocEx", vec![process, 0, 0x1000, 0x2000, READ_WRITE]),
        ("VirtualFreeEx", vec![process, 0x10_0000, 0, 0x8000]),
        ("VirtualProtectEx", vec![process, 0x10_0000, 0x1000, READ_WRITE, scratch]),
        ("ReadProcessMemory", vec![process, 0x10_0000, scratch, 8, 0]),
        ("WriteProcessMemory", vec![process, 0x10_0000, scratch, 8, 0]),
        ("CreateRemoteThread", vec![process, 0, 0, 0x40_1000, 0, SUSPENDED, 0]),
        ("TerminateProcess", vec![process, 1]),
    ];
    for (name, arguments) in calls {
        assert_eq!(world.call(name, &arguments), 0, "{name}, {why}");
        assert_eq!(world.last_error(), error, "{name}, {why}");
    }
}

/// SPEC A13 A15 C27 D19 D38: handles without the right, of another kind, closed, and of a process that has ended.
#[test]
fn every_call_into_another_process_asks_for_its_right_and_for_its_life() {
    each(|world, edition| {
        let program = text(world, 0x100, "C:\\work\\guest.exe");
        assert_eq!(create(world, program, 0, SUSPENDED, 0, 0), 1, "{edition}");
        let (pid, process, thread) = made(world);
        let query_only = world.call("OpenProcess", &[0x400, 0, u64::from(pid)]);
        refused(world, query_only, 5, "a handle that may only ask");
        refused(world, thread, 6, "a thread's handle");
        refused(world, 0x7000, 6, "no handle");
        assert_eq!(world.call("TerminateProcess", &[process, 3]), 1, "{edition}");
        refused(world, process, 5, "an ending process");
        world.kernel().end_process(pid);
        refused(world, process, 5, "an ended process");
        assert_eq!(world.call("GetProcessId", &[process]), u64::from(pid), "{edition}");
        world.mm.audit().unwrap_or_else(|error| panic!("{edition}: {error}"));
    });
}

/// What another process maps into a process is there, and what it unmaps is gone: `NtMapViewOfSection` with its handle.
#[test]
fn a_view_can_be_mapped_into_another_process() {
    each(|world, edition| {
        let program = text(world, 0x100, "C:\\work\\guest.exe");
        assert_eq!(create(world, program, 0, SUSPENDED, 0, 0), 1, "{edition}");
        let (_, process, _) = made(world);
        let section = world.call("CreateFileMappingA", &[SELF, 0, READ_WRITE, 0, 0x2000, 0]);
        let own = world.call("MapViewOfFile", &[section, 2, 0, 0, 0]);
        world.kernel().write_word(UserPtr::new(own), 0x1234).expect("mapped");
        let (base, size) = (world.store(0x600, 0), world.store(0x608, 0));
        let arguments = [section, process, base, 0, 0, 0, size, 2, 0, READ_WRITE];
        assert_eq!(world.call("NtMapViewOfSection", &arguments), 0, "{edition}");
        let (there, to) = (world.load(0x600), world.store(0x700, 0));
        assert_eq!(world.call("ReadProcessMemory", &[process, there, to, 4, 0]), 1, "{edition}");
        assert_eq!(world.load(0x700) as u32, 0x1234, "{edition}: one memory");
        world.mm.audit().unwrap_or_else(|error| panic!("{edition}: {error}"));
        assert_eq!(world.call("NtUnmapViewOfSection", &[process, there]), 0, "{edition}");
        assert_eq!(world.call("ReadProcessMemory", &[process, there, to, 4, 0]), 0, "{edition}");
        assert_eq!(world.kernel().read_u32(UserPtr::new(own)).expect("its own stays"), 0x1234, "{edition}");
    });
}

/// SPEC F41: a process that a Win32 call starts inherits no view, whatever disposition the view was mapped with.
#[test]
fn a_started_process_inherits_no_view() {
    each(|world, edition| {
        let mapping = world.call("CreateFileMappingA", &[SELF, 0, READ_WRITE, 0, 0x1000, 0]);
        assert_ne!(mapping, 0, "{edition}");
        let views = [1, 2].map(|disposition| {
            let (base_at, size_at) = (world.store(0, 0), world.store(8, 0));
            let arguments = [mapping, SELF, base_at, 0, 0, 0, size_at, disposition, 0, READ_WRITE];
            assert_eq!(world.call("NtMapViewOfSection", &arguments), 0, "{edition}");
            world.load(0)
        });
        let line = text(world, 0x100, "guest.exe");
        assert_eq!(create(world, 0, line, SUSPENDED, 0, 0), 1, "{edition}");
        let (pid, _, _) = made(world);
        let (own, child) =
            (world.nt.process().id, world.nt.process_by_id(pid).expect("a process was started").id);
        let mapped = |world: &mut World, process| {
            let regions = world.kernel().mm.regions(process).into_iter();
            let shared = regions.filter(|region| region.backing == vadose_mm::RegionBacking::PageFile);
            shared.map(|region| region.range.base().raw()).collect::<Vec<u64>>()
        };
        assert!(views.iter().all(|view| mapped(world, own).contains(view)), "{edition}");
        assert!(mapped(world, child).iter().all(|base| !views.contains(base)), "{edition}");
        world.mm.audit().unwrap_or_else(|error| panic!("{edition}: {error}"));
    });
}
