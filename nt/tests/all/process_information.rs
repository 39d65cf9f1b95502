//! What is told and set of processes and threads, by class, on every edition.

use crate::world::World;
use vadose_facts::ntdef::{Bitness, Edition, editions};
use vadose_nt::UserPtr;

const SUCCESS: u32 = 0;
const INVALID_INFO_CLASS: u32 = 0xc000_0003;
const INFO_LENGTH_MISMATCH: u32 = 0xc000_0004;
const INVALID_HANDLE: u32 = 0xc000_0008;
const INVALID_PARAMETER: u32 = 0xc000_000d;
const NO_MORE_ENTRIES: u32 = 0x8000_001a;
const PRIVILEGE_NOT_HELD: u32 = 0xc000_0061;
const PORT_NOT_SET: u32 = 0xc000_0353;

const SELF: u64 = u64::MAX;
const THREAD: u64 = u64::MAX - 1;
const HANDLE: u64 = 0x0;
const LENGTH: u64 = 0x10;
const VALUE: u64 = 0x20;
const BUFFER: u64 = 0x200;
const ROOM: u64 = 0x400;

fn each(check: impl Fn(&mut World, &'static Edition)) {
    for edition in editions() {
        check(&mut World::running(edition.name, "hello"), edition);
    }
}

fn since(edition: &Edition, version: (u32, u32)) -> bool {
    (edition.version.major, edition.version.minor) >= version
}

fn number(bytes: &[u8], at: usize, width: usize) -> u64 {
    bytes[at..at + width].iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

fn query(world: &mut World, what: &str, handle: u64, class: u64, room: u64) -> (u32, Vec<u8>) {
    let (to, returned) = (world.scratch(BUFFER), world.store(LENGTH, 0));
    world.kernel().write(UserPtr::new(to), &[0xa5; ROOM as usize]).expect("scratch memory");
    let name = format!("NtQueryInformation{what}");
    let status = world.call(&name, &[handle, class, to, room, returned]) as u32;
    (status, world.kernel().read_vec(UserPtr::new(to), ROOM).expect("scratch memory"))
}

fn set(world: &mut World, what: &str, handle: u64, class: u64, value: u64, bytes: u64) -> u32 {
    let at = world.store(VALUE, value);
    world.call(&format!("NtSetInformation{what}"), &[handle, class, at, bytes]) as u32
}

/// Classes of processes with one length: number, bytes on x86 and x64, since when.
const PROCESS: [(u64, u64, u64, (u32, u32)); 18] = [
    (0, 24, 48, (0, 0)),
    (4, 32, 32, (0, 0)),
    (7, 4, 8, (0, 0)),
    (12, 4, 4, (0, 0)),
    (18, 2, 2, (0, 0)),
    (20, 4, 4, (0, 0)),
    (21, 4, 8, (0, 0)),
    (22, 4, 4, (0, 0)),
    (23, 36, 36, (0, 0)),
    (24, 4, 4, (0, 0)),
    (26, 4, 8, (0, 0)),
    (29, 4, 4, (5, 1)),
    (31, 4, 4, (5, 1)),
    (36, 4, 4, (5, 1)),
    (37, 48, 64, (6, 0)),
    (38, 16, 16, (6, 0)),
    (47, 2, 2, (6, 1)),
    (61, 1, 1, (6, 3)),
];

/// The same of threads.
const OF_THREAD: [(u64, u64, u64); 12] = [
    (0, 28, 48),
    (1, 32, 32),
    (9, 4, 8),
    (12, 4, 4),
    (16, 4, 4),
    (17, 1, 1),
    (20, 4, 4),
    (23, 16, 16),
    (25, 4, 4),
    (30, 12, 16),
    (33, 4, 4),
    (35, 4, 4),
];

#[test]
fn every_class_has_its_length() {
    each(|world, edition| {
        let wide = edition.bitness == Bitness::Bits64;
        for (class, bytes32, bytes64, version) in PROCESS {
            let bytes = if wide { bytes64 } else { bytes32 };
            let what = format!("class {class} on {}", edition.name);
            let (status, answer) = query(world, "Process", SELF, class, bytes);
            if !since(edition, version) {
                assert_eq!(status, INVALID_INFO_CLASS, "{what}");
                continue;
            }
            assert_eq!((status, answer[bytes as usize]), (SUCCESS, 0xa5), "{what}");
            assert_eq!(world.load(LENGTH) & 0xffff_ffff, bytes, "{what}");
            assert_eq!(query(world, "Process", SELF, class, bytes + 1).0, INFO_LENGTH_MISMATCH, "{what}");
            assert_eq!(query(world, "Process", 0x7000, class, bytes).0, INVALID_HANDLE, "{what}");
        }
        for (class, bytes32, bytes64) in OF_THREAD {
            let bytes = if wide { bytes64 } else { bytes32 };
            let what = format!("class {class} of a thread on {}", edition.name);
            let (status, answer) = query(world, "Thread", THREAD, class, bytes);
            assert_eq!((status, answer[bytes as usize]), (SUCCESS, 0xa5), "{what}");
            assert_eq!(query(world, "Thread", THREAD, class, bytes + 1).0, INFO_LENGTH_MISMATCH, "{what}");
        }
        assert_eq!(query(world, "Process", SELF, 999, 4).0, INVALID_INFO_CLASS);
        assert_eq!(query(world, "Thread", THREAD, 999, 4).0, INVALID_INFO_CLASS);
    });
}

#[test]
fn a_process_tells_who_it_is() {
    each(|world, edition| {
        let width = edition.pointer_bytes() as usize;
        let basic_bytes = if width == 8 { 48 } else { 24 };
        let (_, basic) = query(world, "Process", SELF, 0, basic_bytes);
        let process = world.nt.process();
        let expected = [0x103, process.peb.raw(), 1, 8, process.pid.into(), 0];
        let told: Vec<u64> = (0..6).map(|index| number(&basic, index * width, width)).collect();
        assert_eq!(told, expected, "{}", edition.name);
        let (_, times) = query(world, "Process", SELF, 4, 32);
        assert!(number(&times, 0, 8) > 132_000_000_000_000_000, "{}: it began at a time", edition.name);
        assert_eq!(number(&times, 8, 8), 0, "{}: and goes on", edition.name);
        if since(edition, (5, 1)) {
            let (status, object) = query(world, "Process", SELF, 30, width as u64);
            assert_eq!((status, number(&object, 0, width)), (PORT_NOT_SET, 0), "{}", edition.name);
        }
        let (status, name) = query(world, "Process", SELF, 27, ROOM);
        assert_eq!(status, SUCCESS, "{}", edition.name);
        let bytes = number(&name, 0, 2) as usize;
        let units = name[2 * width..2 * width + bytes].chunks_exact(2);
        let units: Vec<u16> = units.map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
        assert_eq!(String::from_utf16_lossy(&units), "\\Device\\HarddiskVolume1\\work\\guest.exe");
        let whole = 2 * width + bytes + 2;
        assert_eq!(query(world, "Process", SELF, 27, whole as u64 - 1).0, INFO_LENGTH_MISMATCH);
        assert_eq!(world.load(LENGTH) & 0xffff_ffff, whole as u64, "{}", edition.name);
    });
}

#[test]
fn a_priority_class_moves_the_threads_of_a_process() {
    each(|world, edition| {
        let thread = |world: &mut World| world.nt.threads().current().expect("a thread").priority;
        assert_eq!(set(world, "Thread", THREAD, 3, 1, 4), SUCCESS);
        assert_eq!(thread(world), 9, "{}", edition.name);
        assert_eq!(set(world, "Process", SELF, 18, 0x0500, 2), SUCCESS);
        assert_eq!(thread(world), 7, "{}: below normal, and one above that", edition.name);
        assert_eq!(world.call("GetPriorityClass", &[SELF]), 0x4000, "{}", edition.name);
        assert_eq!(world.call("GetThreadPriority", &[THREAD]), 1, "{}", edition.name);
        assert_eq!(set(world, "Process", SELF, 18, 0x0400, 2), PRIVILEGE_NOT_HELD);
        assert_eq!(set(world, "Process", SELF, 18, 0x0900, 2), INVALID_PARAMETER);
        assert_eq!(query(world, "Process", SELF, 18, 2).1[..2], [0, 5]);
    });
}

#[test]
fn what_is_set_of_a_process_is_told_again() {
    each(|world, edition| {
        for (class, value, version) in [(12, 5, (0, 0)), (22, 1, (0, 0)), (33, 1, (6, 0)), (39, 3, (6, 0))] {
            if since(edition, version) {
                assert_eq!(
                    set(world, "Process", SELF, class, value, 4),
                    SUCCESS,
                    "{class} on {}",
                    edition.name
                );
                let (_, told) = query(world, "Process", SELF, class, 4);
                assert_eq!(number(&told, 0, 4), value, "{class} on {}", edition.name);
            }
        }
        assert_eq!(
            world.call("GetErrorMode", &[]),
            4,
            "{}: the lowest bit is the other way round",
            edition.name
        );
        let width = edition.pointer_bytes();
        assert_eq!(set(world, "Process", SELF, 21, 1, width), SUCCESS);
        assert_eq!(set(world, "Process", SELF, 21, 2, width), INVALID_PARAMETER);
        assert_eq!(set(world, "Process", SELF, 24, 2, 4), PRIVILEGE_NOT_HELD);
        assert_eq!(set(world, "Process", SELF, 7, 2, width), INVALID_INFO_CLASS);
    });
}

#[test]
fn threads_and_processes_are_gone_through_one_by_one() {
    each(|world, edition| {
        if !since(edition, (6, 0)) {
            return;
        }
        let to = world.store(HANDLE, 0);
        let next_thread = |world: &mut World, after: u64| {
            world.call("NtGetNextThread", &[SELF, after, 0x1f_ffff, 0, 0, to]) as u32
        };
        assert_eq!(next_thread(world, 0), SUCCESS, "{}", edition.name);
        let first = world.load(HANDLE);
        assert_eq!(world.call("GetThreadId", &[first]), world.call("GetCurrentThreadId", &[]));
        assert_eq!(next_thread(world, first), NO_MORE_ENTRIES, "{}", edition.name);
        let next =
            |world: &mut World, after: u64| world.call("NtGetNextProcess", &[after, 0x400, 0, 0, to]) as u32;
        assert_eq!(next(world, 0), SUCCESS, "{}", edition.name);
        let first = world.load(HANDLE);
        assert_eq!(world.call("GetProcessId", &[first]), world.call("GetCurrentProcessId", &[]));
        assert_eq!(next(world, first), NO_MORE_ENTRIES, "{}", edition.name);
    });
}

#[test]
fn static_storage_of_all_threads_is_replaced_at_once() {
    each(|world, edition| {
        if !since(edition, (6, 0)) {
            return;
        }
        let width = edition.pointer_bytes();
        let entry_bytes = if width == 8 { 24 } else { 12 };
        let (array, other) = (world.scratch(0x800), world.scratch(0x880));
        world.store(0x808, 0x1111);
        let teb = world.nt.threads().current().expect("a thread").teb.raw();
        let field = UserPtr::new(teb + if width == 8 { 0x58 } else { 0x2c });
        world.kernel().write_word(field, array).expect("the TEB is there");
        let slot = 8 / width;
        let call = |world: &mut World, what: u32, number: u64, new: u64| {
            let header = [0, what, 1, number as u32].map(u32::to_le_bytes).concat();
            let at = world.scratch(0x900);
            world.kernel().write(UserPtr::new(at), &header).expect("scratch memory");
            world.store(0x910, 0);
            world.store(0x910 + width, new);
            let length = 16 + entry_bytes;
            let status = world.call("NtSetInformationProcess", &[SELF, 35, at, length]) as u32;
            (status, world.load(0x910 + width))
        };
        assert_eq!(call(world, 0, slot, 0x2222), (SUCCESS, 0x1111), "{}: one slot", edition.name);
        assert_eq!(world.load(0x808), 0x2222, "{}", edition.name);
        assert_eq!(call(world, 1, slot + 1, other), (SUCCESS, array), "{}: the array", edition.name);
        assert_eq!(world.load(0x888), 0x2222, "{}: what was in it goes along", edition.name);
        assert_eq!(world.kernel().read_word(field), Ok(other), "{}", edition.name);
        assert_eq!(call(world, 2, 0, 0).0, INVALID_PARAMETER, "{}", edition.name);
    });
}

#[test]
fn a_selector_has_its_descriptor_in_32_bit_programs() {
    each(|world, edition| {
        world.store(BUFFER, 0);
        let (to, returned) = (world.scratch(BUFFER), world.store(LENGTH, 0));
        world.kernel().write(UserPtr::new(to), &0x3b_u32.to_le_bytes()).expect("scratch memory");
        let status = world.call("NtQueryInformationThread", &[THREAD, 6, to, 12, returned]) as u32;
        if edition.bitness == Bitness::Bits64 {
            assert_eq!(status, 0xc000_0002);
            return;
        }
        assert_eq!(status, SUCCESS, "{}", edition.name);
        let entry = world.kernel().read_u64(UserPtr::new(to + 4)).expect("scratch memory");
        let base = entry >> 16 & 0xff_ffff | (entry >> 56) << 24;
        assert_eq!(base, world.nt.threads().current().expect("a thread").teb.raw(), "{}", edition.name);
    });
}
