//! What the system tells of itself, on every edition: classes and their lengths, time, the locale.

use crate::world::World;
use vadose_facts::ntdef::{Bitness, Edition, editions};
use vadose_nt::UserPtr;

const SUCCESS: u32 = 0;
const INVALID_INFO_CLASS: u32 = 0xc000_0003;
const INFO_LENGTH_MISMATCH: u32 = 0xc000_0004;
const INVALID_PARAMETER: u32 = 0xc000_000d;
const INVALID_CID: u32 = 0xc000_000b;
const PRIVILEGE_NOT_HELD: u32 = 0xc000_0061;

const RETURNED: u64 = 0x0;
const QUESTION: u64 = 0x10;
const SMALL: u64 = 0x40;
/// Room for every answer.
const ROOM: u64 = 0x4000;

fn each(check: impl Fn(&mut World, &'static Edition)) {
    for edition in editions() {
        check(&mut World::running(edition.name, "hello"), edition);
    }
}

fn since(edition: &Edition, major: u32, minor: u32) -> bool {
    (edition.version.major, edition.version.minor) >= (major, minor)
}

/// A buffer for answers, filled with a pattern.
fn buffer(world: &mut World) -> u64 {
    let at = world.call("VirtualAlloc", &[0, ROOM, 0x3000, 4]);
    world.kernel().write(UserPtr::new(at), &[0xa5; ROOM as usize]).expect("committed");
    at
}

fn query(world: &mut World, class: u64, to: u64, room: u64) -> (u32, u64) {
    let returned = world.store(RETURNED, 0);
    let status = world.call("NtQuerySystemInformation", &[class, to, room, returned]) as u32;
    (status, world.load(RETURNED) & 0xffff_ffff)
}

fn read(world: &mut World, at: u64, bytes: u64) -> Vec<u8> {
    world.kernel().read_vec(UserPtr::new(at), bytes).expect("readable")
}

fn number(bytes: &[u8], at: usize, width: usize) -> u64 {
    bytes[at..at + width].iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// Classes of one length, by the sizes of their structures: number, bytes on x86 and on x64, since when.
const FIXED: [(u64, u64, u64, (u32, u32)); 18] = [
    (0, 44, 64, (0, 0)),
    (1, 12, 12, (0, 0)),
    (8, 48, 48, (0, 0)),
    (9, 4, 4, (0, 0)),
    (21, 36, 64, (0, 0)),
    (23, 24, 24, (0, 0)),
    (28, 12, 12, (0, 0)),
    (35, 2, 2, (0, 0)),
    (37, 12, 16, (0, 0)),
    (44, 172, 172, (0, 0)),
    (50, 4, 8, (0, 0)),
    (58, 4, 4, (5, 1)),
    (62, 44, 64, (5, 1)),
    (73, 72, 96, (5, 1)),
    (77, 2, 2, (6, 0)),
    (102, 432, 432, (6, 0)),
    (145, 2, 2, (6, 2)),
    (149, 3, 3, (6, 2)),
];

#[test]
fn every_class_has_its_length_and_tells_it() {
    each(|world, edition| {
        let to = buffer(world);
        let wide = edition.bitness == Bitness::Bits64;
        for (class, bytes32, bytes64, (major, minor)) in FIXED {
            let bytes = if wide { bytes64 } else { bytes32 };
            let what = format!("class {class} on {}", edition.name);
            if !since(edition, major, minor) {
                assert_eq!(query(world, class, to, bytes), (INVALID_INFO_CLASS, 0), "{what}");
                continue;
            }
            assert_eq!(query(world, class, to, bytes), (SUCCESS, bytes), "{what}");
            assert_eq!(query(world, class, to, bytes - 1), (INFO_LENGTH_MISMATCH, bytes), "{what}");
            assert_eq!(read(world, to + bytes, 1), [0xa5], "{what}: nothing behind it");
            world.kernel().write(UserPtr::new(to), &[0xa5; 0x200]).expect("committed");
        }
        for class in [4, 7, 1000, u64::from(u32::MAX)] {
            assert_eq!(query(world, class, to, ROOM), (INVALID_INFO_CLASS, 0), "{class}");
        }
        let set = world.call("NtSetSystemInformation", &[0, to, 44]) as u32;
        assert_eq!(set, PRIVILEGE_NOT_HELD);
    });
}

#[test]
fn the_time_of_day_is_told_as_far_as_there_is_room() {
    each(|world, edition| {
        let to = buffer(world);
        for room in [0, 8, 32, 48] {
            assert_eq!(query(world, 3, to, room), (SUCCESS, room), "{}", edition.name);
        }
        assert_eq!(query(world, 3, to, 49).0, INFO_LENGTH_MISMATCH);
        let day = read(world, to, 16);
        let running = number(&day, 8, 8) - number(&day, 0, 8);
        let counter = world.store(SMALL, 0);
        assert_eq!(world.call("NtQueryPerformanceCounter", &[counter, 0]), 0);
        let counted = number(&read(world, counter, 8), 0, 8);
        assert!(counted >= running, "{}: one clock", edition.name);
        let ticks = world.call("NtGetTickCount", &[]);
        assert_eq!(ticks, counted / 10_000 - counted / 10_000 % 1000 + ticks % 1000, "{}", edition.name);
    });
}

#[test]
fn the_list_of_processes_names_this_one_with_its_threads_and_its_memory() {
    each(|world, edition| {
        let to = buffer(world);
        let (status, needed) = query(world, 5, to, 8);
        assert_eq!(status, INFO_LENGTH_MISMATCH);
        assert_eq!(query(world, 5, to, needed), (SUCCESS, needed), "{}", edition.name);
        let list = read(world, to, needed);
        let width = edition.pointer_bytes() as usize;
        let (pid_at, head, thread) = if width == 8 { (80, 256, 80) } else { (68, 184, 64) };
        let process = world.nt.process();
        let (pid, handles) = (process.pid, process.handles.count());
        let tid = world.nt.threads().current().expect("a thread").tid;
        assert_eq!((number(&list, 0, 4), number(&list, 4, 4)), (0, 1), "{}", edition.name);
        assert_eq!(number(&list, pid_at, width), pid.into(), "{}", edition.name);
        assert_eq!(number(&list, pid_at + 2 * width, 4), handles as u64, "{}", edition.name);
        let client = head + 28 + if width == 8 { 12 } else { 4 };
        assert_eq!(number(&list, client, width), pid.into(), "{}", edition.name);
        assert_eq!(number(&list, client + width, width), tid.into(), "{}", edition.name);
        let name_at = number(&list, 56 + width, width) - to;
        assert_eq!(name_at as usize, head + thread, "{}", edition.name);
        let text = world.kernel().read_wide(UserPtr::new(to + name_at), 9).expect("a name");
        assert_eq!(String::from_utf16_lossy(&text), "guest.exe");
        let commit = world.mm.process_counters(world.nt.process().id).commit_pages << 12;
        let usage_at = pid_at + 2 * width + 8 + 10 * width;
        assert_eq!(number(&list, usage_at + width, width), commit, "{}", edition.name);
    });
}

#[test]
fn handles_are_listed_with_what_they_allow() {
    each(|world, edition| {
        let to = buffer(world);
        let (status, needed) = query(world, 64, to, ROOM);
        assert_eq!(status, SUCCESS);
        let list = read(world, to, needed);
        let width = edition.pointer_bytes() as usize;
        let count = world.nt.process().handles.count() as u64;
        assert_eq!(number(&list, 0, width), count, "{}", edition.name);
        let entry = 3 * width + 16;
        assert_eq!(needed, (2 * width) as u64 + count * entry as u64, "{}", edition.name);
        assert_eq!(number(&list, 2 * width + 2 * width, width), 4, "the first handle");
        let short = 8 + width + 4;
        let (_, needed) = query(world, 16, to, ROOM);
        let list = read(world, to, needed);
        assert_eq!(number(&list, 0, 4), count, "{}", edition.name);
        assert_eq!(needed as usize, width + count as usize * short.next_multiple_of(width));
    });
}

#[test]
fn a_number_of_a_process_gives_its_programs_name() {
    each(|world, edition| {
        if !since(edition, 6, 0) {
            return;
        }
        let width = edition.pointer_bytes();
        let (to, text) = (buffer(world), world.scratch(0x400));
        let pid = world.nt.process().pid;
        let mut ask = |pid: u64, most: u64| {
            let kernel = &mut world.kernel();
            kernel.write_word(UserPtr::new(to), pid).expect("committed");
            kernel.write_word(UserPtr::new(to + width), most << 16).expect("committed");
            kernel.write_word(UserPtr::new(to + 2 * width), text).expect("committed");
            let status = query(world, 88, to, 3 * width).0;
            (status, number(&read(world, to + width, 4), 0, 4))
        };
        let (_, lengths) = ask(pid.into(), 4);
        let most = lengths >> 16;
        assert_eq!(ask(pid.into(), most), (SUCCESS, most << 16 | (most - 2)));
        assert_eq!(ask(3, most).0, INVALID_CID);
        let name = world.kernel().read_wide_string(UserPtr::new(text)).expect("a name");
        assert_eq!(String::from_utf16_lossy(&name), "\\Device\\HarddiskVolume1\\work\\guest.exe");
    });
}

#[test]
fn processors_are_told_by_relation_where_an_edition_has_groups() {
    each(|world, edition| {
        if !since(edition, 6, 1) {
            return;
        }
        let (to, question) = (buffer(world), world.store(QUESTION, 0xffff));
        let returned = world.store(RETURNED, 0);
        let ask = |world: &mut World, class: u64, bytes: u64, room: u64| {
            let arguments = [class, question, bytes, to, room, returned];
            world.call("NtQuerySystemInformationEx", &arguments) as u32
        };
        let all = if edition.bitness == Bitness::Bits64 { 3 * 48 + 80 } else { 3 * 44 + 76 };
        assert_eq!(ask(world, 107, 4, 0), INFO_LENGTH_MISMATCH, "{}", edition.name);
        assert_eq!(world.load(RETURNED) & 0xffff_ffff, all, "{}", edition.name);
        assert_eq!(ask(world, 107, 4, all), SUCCESS, "{}", edition.name);
        assert_eq!(ask(world, 107, 0, all), INVALID_PARAMETER);
        assert_eq!(ask(world, 5, 4, all), INVALID_INFO_CLASS);
        let sets = ask(world, 175, 8, all);
        assert_eq!(sets == SUCCESS, edition.version.major >= 10, "{}", edition.name);
    });
}

#[test]
fn a_clock_tick_is_asked_for_and_taken_back() {
    each(|world, edition| {
        let places = [0x40, 0x44, 0x48].map(|offset| world.scratch(offset));
        let ticks = |world: &mut World| {
            assert_eq!(world.call("NtQueryTimerResolution", &places), 0);
            places.map(|at| number(&read(world, at, 4), 0, 4))
        };
        assert_eq!(ticks(world), [156_250, 5_000, 156_250], "{}", edition.name);
        let at = world.scratch(0x50);
        assert_eq!(world.call("NtSetTimerResolution", &[10_000, 0, at]) as u32, 0xc000_0245);
        assert_eq!(world.call("NtSetTimerResolution", &[10_000, 1, at]), 0);
        assert_eq!(ticks(world)[2], 10_000, "{}", edition.name);
        assert_eq!(world.call("NtSetTimerResolution", &[10_000, 0, at]), 0);
        assert_eq!(ticks(world)[2], 156_250, "{}", edition.name);
    });
}

#[test]
fn the_locale_is_what_the_library_functions_say_it_is() {
    each(|world, edition| {
        let at = world.store(SMALL, 0);
        for user in [0, 1] {
            assert_eq!(world.call("NtQueryDefaultLocale", &[user, at]), 0);
            assert_eq!(
                world.load(SMALL) & 0xffff_ffff,
                world.call("GetUserDefaultLCID", &[]),
                "{}",
                edition.name
            );
        }
        assert_eq!(world.call("NtQueryInstallUILanguage", &[at]), 0);
        assert_eq!(world.load(SMALL) & 0xffff, 0x409);
        assert_eq!(world.call("NtSetDefaultLocale", &[1, 0x409]), 0);
        assert_eq!(world.call("NtSetDefaultLocale", &[1, 0x407]) as u32, INVALID_PARAMETER);
        assert_eq!(world.call("NtSetSystemTime", &[at, 0]) as u32, PRIVILEGE_NOT_HELD);
    });
}
