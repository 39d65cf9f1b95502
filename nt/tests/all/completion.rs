//! Completion ports and what ties files to them, through the system-call door.

use crate::world::{World, guest};
use vadose_nt::UserPtr;

const EDITIONS: [&str; 3] = ["winxp-x86", "win7-x86", "win10-x64"];
const GENERIC_READ: u64 = 0x8000_0000;
const OPEN_EXISTING: u64 = 3;
const OVERLAPPED: u64 = 0x4000_0000;
/// `ERROR_INVALID_PARAMETER`, `ERROR_HANDLE_EOF`, `WAIT_TIMEOUT`.
const INVALID_PARAMETER: u32 = 87;
const END_OF_FILE: u32 = 38;
const TIMED_OUT: u32 = 258;

/// Places among the test's variables.
const COUNT: u64 = 0x10;
const KEY: u64 = 0x20;
const OVERLAPPED_OUT: u64 = 0x30;
const ENTRIES: u64 = 0x40;
const OPERATION: u64 = 0x140;
const BUFFER: u64 = 0x180;
const NAME: u64 = 0x200;

fn each(check: impl Fn(&mut World)) {
    for edition in EDITIONS {
        let edition_row = vadose_facts::ntdef::edition(edition).expect("an edition");
        let bytes = guest(edition_row, "hello");
        let files = [("work\\guest.exe", bytes), ("work\\five.txt", b"12345".to_vec())];
        let mut world = World::with_files(edition, &files);
        world.start("work\\guest.exe", vadose_nt::Lenience::Strict).expect("a sample guest starts");
        check(&mut world);
    }
}

fn minus_one(world: &World) -> u64 {
    if world.nt.edition().pointer_bytes() == 8 { u64::MAX } else { 0xffff_ffff }
}

fn new_port(world: &mut World) -> u64 {
    let nothing = minus_one(world);
    let port = world.call("CreateIoCompletionPort", &[nothing, 0, 0, 0]);
    assert_ne!(port, 0);
    port
}

/// What one look at a port gives: whether a packet came, bytes, key, `OVERLAPPED`.
fn take(world: &mut World, port: u64) -> (u64, u64, u64, u64) {
    let [count, key, overlapped] = [COUNT, KEY, OVERLAPPED_OUT].map(|at| world.store(at, 0xdead));
    let came = world.call("GetQueuedCompletionStatus", &[port, count, key, overlapped, 0]);
    (came, world.load(COUNT) & 0xffff_ffff, world.load(KEY), world.load(OVERLAPPED_OUT))
}

fn open(world: &mut World, name: &str, flags: u64) -> u64 {
    let at = world.scratch(NAME);
    let text: Vec<u8> = name.bytes().chain([0]).collect();
    world.kernel().write(UserPtr::new(at), &text).expect("the stack is there");
    let file = world.call("CreateFileA", &[at, GENERIC_READ, 7, 0, OPEN_EXISTING, flags, 0]);
    assert_ne!(file, minus_one(world), "{name}");
    file
}

/// Reads up to 8 bytes at an offset with an `OVERLAPPED` that has this event.
fn read_at(world: &mut World, file: u64, offset: u32, event: u64) -> u64 {
    let width = world.nt.edition().pointer_bytes();
    let operation = world.scratch(OPERATION);
    world.kernel().write(UserPtr::new(operation), &[0; 32]).expect("the stack is there");
    world.kernel().write_u32(UserPtr::new(operation + 2 * width), offset).expect("the stack is there");
    world.kernel().write_word(UserPtr::new(operation + 2 * width + 8), event).expect("the stack is there");
    let buffer = world.scratch(BUFFER);
    world.call("ReadFile", &[file, buffer, 8, 0, operation])
}

#[test]
fn packets_come_in_the_order_they_were_posted() {
    each(|world| {
        let port = new_port(world);
        assert_eq!(take(world, port), (0, 0xdead, 0xdead, 0), "nothing yet");
        assert_eq!(world.last_error(), TIMED_OUT);
        for number in 1..=3 {
            assert_eq!(
                world.call("PostQueuedCompletionStatus", &[port, number, 10 * number, 100 * number]),
                1
            );
        }
        assert_eq!(take(world, port), (1, 1, 10, 100));
        assert_eq!(take(world, port), (1, 2, 20, 200));
        assert_eq!(world.call("WaitForSingleObject", &[port, 0]), 0, "a port can be waited for");
        assert_eq!(take(world, port), (1, 3, 30, 300));
        assert_eq!(world.call("WaitForSingleObject", &[port, 0]), u64::from(TIMED_OUT));
        assert_eq!(world.call("CloseHandle", &[port]), 1);
    });
}

#[test]
fn several_packets_are_taken_at_once() {
    each(|world| {
        let (port, width) = (new_port(world), world.nt.edition().pointer_bytes());
        let (entries, count) = (world.scratch(ENTRIES), world.scratch(COUNT));
        let ex = |world: &mut World, room| {
            world.call("GetQueuedCompletionStatusEx", &[port, entries, room, count, 0, 0])
        };
        assert_eq!((ex(world, 0), world.last_error()), (0, INVALID_PARAMETER));
        assert_eq!((ex(world, 4), world.last_error()), (0, TIMED_OUT));
        for number in 1..=5 {
            world.call("PostQueuedCompletionStatus", &[port, number, 10 * number, 100 * number]);
        }
        assert_eq!((ex(world, 4), world.load(COUNT) & 0xffff_ffff), (1, 4));
        for number in 1..=4 {
            let entry = ENTRIES + (number - 1) * 4 * width;
            let fields = [0, 1, 2].map(|field| world.load(entry + field * width));
            assert_eq!(fields, [10 * number, 100 * number, 0]);
            assert_eq!(world.load(entry + 3 * width) & 0xffff_ffff, number);
        }
        assert_eq!((ex(world, 4), world.load(COUNT) & 0xffff_ffff), (1, 1));
        assert_eq!(world.load(ENTRIES), 50);
    });
}

#[test]
fn only_what_is_opened_for_overlapped_operations_is_tied_and_once() {
    each(|world| {
        let port = new_port(world);
        let nothing = minus_one(world);
        let output = world.call("GetStdHandle", &[0xffff_fff5]);
        let plain = open(world, "C:\\work\\five.txt", 0);
        let overlapped = open(world, "C:\\work\\five.txt", OVERLAPPED);
        let tie = |world: &mut World, file, to| {
            let port = world.call("CreateIoCompletionPort", &[file, to, 7, 0]);
            (port, if port == 0 { world.last_error() } else { 0 })
        };
        for wrong in [nothing, output, plain] {
            assert_eq!(tie(world, wrong, port), (0, INVALID_PARAMETER));
        }
        assert_eq!(tie(world, plain, 0), (0, INVALID_PARAMETER), "and no port is left behind");
        assert_eq!(tie(world, overlapped, plain), (0, 6), "a file is no port");
        assert_eq!(tie(world, overlapped, port), (port, 0));
        assert_eq!(tie(world, overlapped, port), (0, INVALID_PARAMETER));
        let (other, error) = {
            let another = open(world, "C:\\work\\five.txt", OVERLAPPED);
            tie(world, another, 0)
        };
        assert!(other != 0 && other != port && error == 0, "a port of its own");
    });
}

#[test]
fn an_operation_that_is_done_sends_a_packet_and_sets_its_event() {
    each(|world| {
        let port = new_port(world);
        let file = open(world, "C:\\work\\five.txt", OVERLAPPED);
        world.call("CreateIoCompletionPort", &[file, port, 7, 0]);
        let event = world.call("CreateEventA", &[0, 1, 0, 0]);
        let operation = world.scratch(OPERATION);
        assert_eq!(read_at(world, file, 2, event), 1);
        let buffer = UserPtr::new(world.scratch(BUFFER));
        let read = world.kernel().read_vec(buffer, 3).expect("readable");
        assert_eq!(read, b"345");
        assert_eq!(world.call("WaitForSingleObject", &[event, 0]), 0, "set");
        assert_eq!(take(world, port), (1, 3, 7, operation));
        assert_eq!(read_at(world, file, 0, event | 1), 1, "the low bit asks for no packet");
        assert_eq!(take(world, port).0, 0);
        assert_eq!(read_at(world, file, 5, 0), 0);
        assert_eq!(world.last_error(), END_OF_FILE);
        assert_eq!(take(world, port).0, 0, "what failed at once sends none");
        assert_eq!(read_at(world, file, 0, file), 0, "a file is no event");
    });
}

#[test]
fn a_port_lives_as_long_as_a_file_that_is_tied_to_it() {
    each(|world| {
        let file = open(world, "C:\\work\\five.txt", OVERLAPPED);
        let port = new_port(world);
        world.call("CreateIoCompletionPort", &[file, port, 7, 0]);
        assert_eq!(world.call("CloseHandle", &[port]), 1);
        assert_eq!(read_at(world, file, 0, 0), 1, "the packet goes where nobody can take it");
        assert_eq!(world.call("CloseHandle", &[file]), 1);
        let again = new_port(world);
        assert_eq!(take(world, again).0, 0);
    });
}

#[test]
fn open_files_are_described_by_class() {
    each(|world| {
        let file = open(world, "C:\\work\\five.txt", OVERLAPPED);
        let plain = open(world, "C:\\work\\five.txt", 0);
        let output = world.call("GetStdHandle", &[0xffff_fff5]);
        let (block, buffer) = (world.scratch(KEY), world.scratch(BUFFER));
        let query = |world: &mut World, handle, bytes, class| {
            world.call("NtQueryInformationFile", &[handle, block, buffer, bytes, class]) as u32
        };
        for (handle, mode) in [(file, 0), (plain, 0x20), (output, 0x20)] {
            assert_eq!((query(world, handle, 4, 16), world.load(BUFFER) & 0xffff_ffff), (0, mode));
        }
        assert_eq!(query(world, file, 24, 5), 0);
        let standard = world.kernel().read_vec(UserPtr::new(buffer), 24).expect("readable");
        assert_eq!(standard[..16], [4096_u64, 5].map(u64::to_le_bytes).concat());
        assert_eq!(standard[16..], [1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(query(world, file, 23, 5), 0xc000_0004);
        assert_eq!(query(world, file, 8, 999), 0xc000_0003);
        assert_eq!(query(world, 0x7770, 4, 16), 0xc000_0008);
    });
}
