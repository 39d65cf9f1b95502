//! Threads and processes started by the native services, with their attribute lists, and the limits on both.

use crate::native::{ALL, BAD, OUT, SELF, THREAD, status};
use crate::world::{World, guest};
use vadose_facts::ntdef::editions;
use vadose_nt::{Lenience, Limits, ProcessState, ThreadState, UserPtr};

/// Numbers of attributes.
const CLIENT_ID: u64 = 0x1_0003;
const TEB: u64 = 0x1_0004;
const IMAGE_NAME: u64 = 0x2_0005;
const IMAGE: u64 = 0x6;
const HANDLE_LIST: u64 = 0x2_000b;
const PARENT: u64 = 0x6_0000;
const TOKEN: u64 = 0x6_0002;
const SUSPENDED: u64 = 1;
const INHERIT_HANDLES: u64 = 4;
/// Places among the test's variables.
const LIST: u64 = 0x100;
const TOLD: u64 = 0x240;
const QUOTA_EXCEEDED: u32 = 0xc000_0044;
const INSUFFICIENT_RESOURCES: u32 = 0xc000_009a;

/// Every edition that has `NtCreateUserProcess`.
fn each(check: impl Fn(&mut World, &str)) {
    for edition in editions().iter().filter(|edition| edition.version.major >= 6) {
        let mut world = World::with_files(
            edition.name,
            &[("work\\guest.exe", guest(edition, "hello")), ("work\\x.txt", vec![1])],
        );
        world.start("work\\guest.exe", Lenience::Strict).expect("a sample guest starts");
        check(&mut world, edition.name);
    }
}

/// An attribute list at its place: number, bytes, value of each.
fn list(world: &mut World, rows: &[[u64; 3]]) -> u64 {
    let width = world.nt.edition().pointer_bytes();
    world.store(LIST, width + 4 * width * rows.len() as u64);
    for (index, row) in (0..).zip(rows) {
        for (slot, value) in (0..).zip([row[0], row[1], row[2], 0]) {
            world.store(LIST + width + (4 * index + slot) * width, value);
        }
    }
    world.scratch(LIST)
}

/// Parameters of a process in memory of their own: answers where they are.
struct Block {
    at: u64,
    next: u64,
}

impl Block {
    fn new(world: &mut World) -> Self {
        let (base, size) = (world.store(0x20, 0), world.store(0x28, 0x1_0000));
        assert_eq!(world.nt("NtAllocateVirtualMemory", &[SELF, base, 0, size, 0x3000, 4]), 0);
        let at = world.load(0x20);
        let layout = world.nt.layouts().parameters;
        let flags = UserPtr::new(at + u64::from(layout.flags));
        world.kernel().write_u32(flags, 1).expect("committed");
        Self { at, next: at + u64::from(layout.size) }
    }

    /// Puts text behind the block; answers where.
    fn text(&mut self, world: &mut World, text: &str) -> (u64, u64) {
        let units: Vec<u16> = text.encode_utf16().collect();
        let at = self.next;
        world.kernel().write_wide(UserPtr::new(at), &units).expect("committed");
        self.next += 2 * units.len() as u64;
        (at, 2 * units.len() as u64)
    }

    fn string(&mut self, world: &mut World, field: u32, text: &str) {
        let (at, bytes) = self.text(world, text);
        let width = world.nt.edition().pointer_bytes();
        let string = UserPtr::new(self.at + u64::from(field));
        world.kernel().write_word(string, bytes | bytes << 16).expect("committed");
        world.kernel().write_word(string.offset(width), at).expect("committed");
    }

    fn word(&self, world: &mut World, field: u32, value: u64) {
        world.kernel().write_word(UserPtr::new(self.at + u64::from(field)), value).expect("committed");
    }
}

/// A block for the sample program, and the name of the program's file: where, and its bytes.
fn block(world: &mut World) -> (Block, u64, u64) {
    let mut block = Block::new(world);
    let layout = world.nt.layouts().parameters;
    block.string(world, layout.command_line, "guest.exe  \"a b\"");
    block.string(world, layout.current_directory, "C:\\work\\");
    let (environment, _) = block.text(world, "=C:=C:\\work\0A=1\0B=\0\0");
    block.word(world, layout.environment, environment);
    let (name, bytes) = block.text(world, "\\??\\C:\\work\\guest.exe");
    (block, name, bytes)
}

/// The service; answers status and the two handles.
fn create(world: &mut World, flags: [u64; 2], block: u64, list: u64) -> (u32, u64, u64) {
    let (process_at, thread_at) = (world.store(OUT, 0), world.store(OUT + 8, 0));
    let arguments = [process_at, thread_at, ALL, ALL, 0, 0, flags[0], flags[1], block, 0, list];
    let status = world.nt("NtCreateUserProcess", &arguments);
    (status, world.load(OUT), world.load(OUT + 8))
}

#[test]
fn a_process_is_started_by_a_block_of_parameters() {
    each(|world, edition| {
        let (block, name, bytes) = block(world);
        let layout = world.nt.layouts().parameters;
        let event = world.unnamed("NtCreateEvent", &[0, 0]);
        block.word(world, layout.standard_output, event);
        let output = world.call("GetStdHandle", &[0xffff_fff5]);
        block.word(world, layout.standard_input, output);
        let told = world.scratch(TOLD);
        let width = world.nt.edition().pointer_bytes();
        let rows = [[IMAGE_NAME, bytes, name], [CLIENT_ID, 2 * width, told], [IMAGE, 64, told + 0x20]];
        let list = list(world, &rows);
        let (made, process, thread) = create(world, [0, SUSPENDED], block.at, list);
        assert_eq!(made, 0, "{edition}");
        let pid = world.load(TOLD) as u32;
        let child = world.nt.process_by_id(pid).expect("it lives");
        assert_eq!(child.command_line, "guest.exe  \"a b\"", "{edition}");
        assert_eq!(child.image_path.as_str(), "C:\\work\\guest.exe", "{edition}");
        assert_eq!(child.current_directory.as_str(), "C:\\work", "{edition}");
        assert_eq!(child.parent, world.nt.process().pid, "{edition}");
        assert_eq!(child.handles.count(), 1, "{edition} one stream of its own, and no event");
        let tid = world.load(TOLD + width) as u32;
        let first = world.nt.threads().get(tid).expect("it lives");
        assert_eq!((first.pid, first.suspend_count), (pid, 1), "{edition}");
        assert_ne!(world.load(TOLD + 0x20), 0, "{edition} where the program begins");
        assert_eq!(world.nt("NtTerminateProcess", &[process, 7]), 0, "{edition}");
        world.kernel().end_process(pid);
        for handle in [process, thread] {
            assert_eq!(world.nt("NtClose", &[handle]), 0, "{edition}");
        }
        assert!(world.nt.process_by_id(pid).is_none(), "{edition}");
        world.mm.audit().expect("the records agree");
    });
}

#[test]
fn of_the_handles_that_can_be_inherited_only_those_of_the_list_are() {
    each(|world, edition| {
        let (block, name, bytes) = block(world);
        let width = world.nt.edition().pointer_bytes();
        let flags = world.scratch(0x40);
        world.kernel().write(UserPtr::new(flags), &[1, 1]).expect("the stack is there");
        let events = [0; 3].map(|_| world.unnamed("NtCreateEvent", &[0, 0]));
        for event in &events[..2] {
            assert_eq!(world.nt("NtSetInformationObject", &[*event, 4, flags, 2]), 0, "{edition}");
        }
        let listed = world.store(TOLD, events[0]);
        world.store(TOLD + width, events[2]);
        let id = world.scratch(TOLD + 0x40);
        let image = [IMAGE_NAME, bytes, name];
        for (rows, expected) in [
            (vec![image, [CLIENT_ID, 2 * width, id]], vec![events[0], events[1]]),
            (vec![image, [CLIENT_ID, 2 * width, id], [HANDLE_LIST, 2 * width, listed]], vec![events[0]]),
        ] {
            let list = list(world, &rows);
            let (made, ..) = create(world, [INHERIT_HANDLES, SUSPENDED], block.at, list);
            assert_eq!(made, 0, "{edition}");
            let pid = world.load(TOLD + 0x40) as u32;
            let child = world.nt.process_by_id(pid).expect("it lives");
            assert_eq!(child.handles.count(), expected.len(), "{edition}");
        }
    });
}

#[test]
fn attributes_and_parameters_that_are_none_are_refused_and_nothing_is_left() {
    each(|world, edition| {
        let (block, name, bytes) = block(world);
        let width = world.nt.edition().pointer_bytes();
        let image = [IMAGE_NAME, bytes, name];
        let before = world.nt.processes().count();
        let cases: [(&[[u64; 3]], u32); 11] = [
            (&[], status::INVALID_PARAMETER),
            (&[image, image], status::INVALID_PARAMETER),
            (&[image, [0x7777, 0, 0]], status::INVALID_PARAMETER),
            (&[[IMAGE_NAME, bytes, BAD]], status::ACCESS_VIOLATION),
            (&[[IMAGE_NAME, 3, name]], status::INVALID_PARAMETER),
            (&[image, [CLIENT_ID, width, name]], status::LENGTH_MISMATCH),
            (&[image, [CLIENT_ID, 2 * width, BAD]], status::ACCESS_VIOLATION),
            (&[image, [HANDLE_LIST, 3, name]], status::INVALID_PARAMETER),
            (&[image, [PARENT, width, 0x7770]], status::INVALID_HANDLE),
            (&[image, [TOKEN, width, 0x7770]], status::NOT_IMPLEMENTED),
            (&[[IMAGE_NAME, bytes - 2, name]], status::NAME_NOT_FOUND),
        ];
        for (rows, refusal) in cases {
            let list = list(world, rows);
            assert_eq!(create(world, [0, 0], block.at, list).0, refusal, "{edition} {rows:x?}");
        }
        let good = list(world, &[image]);
        assert_eq!(create(world, [0x8000_0000, 0], block.at, good).0, status::INVALID_PARAMETER, "{edition}");
        assert_eq!(create(world, [0, 4], block.at, good).0, status::INVALID_PARAMETER, "{edition}");
        assert_eq!(create(world, [0, 0], BAD, good).0, status::ACCESS_VIOLATION, "{edition}");
        for total in [0, width - 1, width + 1, u64::MAX >> 1] {
            world.store(LIST, total);
            let (refused, ..) = create(world, [0, 0], block.at, good);
            assert_eq!(refused, status::INVALID_PARAMETER, "{edition} {total:#x}");
        }
        let list = list(world, &[image]);
        let endless: Vec<u8> = [b'x', 0].repeat(0x200);
        let layout = world.nt.layouts().parameters;
        world.kernel().write(UserPtr::new(block.at + 0xfc00), &endless).expect("committed");
        block.word(world, layout.environment, block.at + 0xfc00);
        assert_eq!(create(world, [0, 0], block.at, list).0, status::ACCESS_VIOLATION, "{edition}");
        assert_eq!(world.nt.processes().count(), before, "{edition}");
    });
}

#[test]
fn what_is_no_program_is_not_started() {
    each(|world, edition| {
        let (mut block, ..) = block(world);
        for (name, refusal) in [
            ("\\??\\C:\\work\\x.txt", 0xc000_012f_u32),
            ("\\??\\C:\\work\\", status::NAME_INVALID),
            ("\\Device\\Null", 0xc000_0020),
            ("guest.exe", status::PATH_SYNTAX_BAD),
        ] {
            let (at, bytes) = block.text(world, name);
            let list = list(world, &[[IMAGE_NAME, bytes, at]]);
            assert_eq!(create(world, [0, 0], block.at, list).0, refusal, "{edition} {name}");
        }
    });
}

#[test]
fn a_thread_tells_its_numbers_and_its_block_and_knows_its_flags() {
    each(|world, edition| {
        let width = world.nt.edition().pointer_bytes();
        let told = world.scratch(TOLD);
        let list = list(world, &[[CLIENT_ID, 2 * width, told], [TEB, width, told + 0x20]]);
        let to = world.store(OUT, 0);
        let thread = |world: &mut World, access, flags, list| {
            world.nt("NtCreateThreadEx", &[to, access, 0, SELF, 0x40_1000, 5, flags, 0, 0, 0, list])
        };
        assert_eq!(thread(world, ALL, SUSPENDED, list), 0, "{edition}");
        let (pid, tid, teb) = (world.load(TOLD), world.load(TOLD + width), world.load(TOLD + 0x20));
        let made = world.nt.threads().get(tid as u32).expect("it lives");
        assert_eq!((u64::from(made.pid), made.teb.raw()), (pid, teb), "{edition}");
        assert_eq!(thread(world, ALL, 0x100, 0), 0xc000_00f5, "{edition} no such flag");
        assert_eq!(thread(world, ALL, SUSPENDED, BAD), status::ACCESS_VIOLATION, "{edition}");
        assert_eq!(thread(world, 0x100_0000, SUSPENDED, 0), status::PRIVILEGE_NOT_HELD, "{edition}");
        let living = world.nt.threads().living().count();
        assert_eq!(living, 2, "{edition} nothing is left of what was refused");
    });
}

#[test]
fn a_whole_process_is_suspended_and_resumed() {
    each(|world, edition| {
        let (block, name, bytes) = block(world);
        let list = list(world, &[[IMAGE_NAME, bytes, name]]);
        let (_, process, thread) = create(world, [0, SUSPENDED], block.at, list);
        let count = world.scratch(TOLD);
        assert_eq!(world.nt("NtSuspendProcess", &[process]), 0, "{edition}");
        assert_eq!(world.nt("NtResumeThread", &[thread, count]), 0, "{edition}");
        assert_eq!(world.numbers::<1>(TOLD), [2], "{edition}");
        assert_eq!(world.nt("NtSuspendProcess", &[THREAD]), status::TYPE_MISMATCH, "{edition}");
        assert_eq!(world.nt("NtResumeProcess", &[0x7770]), status::INVALID_HANDLE, "{edition}");
        let to = world.scratch(OUT);
        let weak = world.nt("NtDuplicateObject", &[SELF, process, SELF, to, 0x400, 0, 0]);
        assert_eq!(weak, 0, "{edition}");
        let weak = world.load(OUT);
        assert_eq!(world.nt("NtResumeProcess", &[weak]), status::ACCESS_DENIED, "{edition}");
        assert_eq!(world.nt("NtResumeProcess", &[process]), 0, "{edition}");
        let last = world.nt.threads().iter().last().expect("it lives");
        assert_eq!((last.suspend_count, last.state), (0, ThreadState::Ready), "{edition}");
    });
}

#[test]
fn no_more_processes_and_threads_are_started_than_there_may_be() {
    each(|world, edition| {
        world.nt.set_limits(Limits { processes: 2, threads: 3 });
        let (block, name, bytes) = block(world);
        let list = list(world, &[[IMAGE_NAME, bytes, name]]);
        let (made, process, _) = create(world, [0, SUSPENDED], block.at, list);
        assert_eq!(made, 0, "{edition}");
        assert_eq!(create(world, [0, SUSPENDED], block.at, list).0, QUOTA_EXCEEDED, "{edition}");
        world.second_thread();
        let to = world.scratch(OUT);
        let refused = world.nt("NtCreateThreadEx", &[to, ALL, 0, SELF, 0x40_1000, 0, 1, 0, 0, 0, 0]);
        assert_eq!(refused, INSUFFICIENT_RESOURCES, "{edition}");
        let refusals = world.nt.refusals();
        assert_eq!((refusals.processes, refusals.threads), (1, 1), "{edition}");
        assert_eq!(world.nt("NtTerminateProcess", &[process, 0]), 0, "{edition}");
        let ending: Vec<u32> = world.nt.ending_processes().map(|process| process.pid).collect();
        assert_eq!(ending.len(), 1, "{edition}");
        world.kernel().end_process(ending[0]);
        let child = world.nt.process_by_id(ending[0]).map(|process| process.state);
        assert_eq!(child, Some(ProcessState::Ended), "{edition}");
        assert_eq!(create(world, [0, SUSPENDED], block.at, list).0, 0, "{edition} there is room again");
    });
}
