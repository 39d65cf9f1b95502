//! Jobs through the system-call door, on every edition: who is in one, its limits, and its end.

use crate::world::{World, guest};
use vadose_facts::ntdef::{Edition, editions};
use vadose_nt::{Lenience, ProcessState, UserPtr};

const SUCCESS: u32 = 0;
const INVALID_INFO_CLASS: u32 = 0xc000_0003;
const INFO_LENGTH_MISMATCH: u32 = 0xc000_0004;
const ACCESS_DENIED: u32 = 0xc000_0022;
const TYPE_MISMATCH: u32 = 0xc000_0024;
const NOT_SUPPORTED: u32 = 0xc000_00bb;
const NOT_IN_JOB: u32 = 0x123;
const IN_JOB: u32 = 0x124;

const SELF: u64 = u64::MAX;
const ALL: u64 = 0x1f_001f;
const HANDLE: u64 = 0x0;
const BUFFER: u64 = 0x200;
const EXTENDED: u64 = 9;
const KILL_ON_CLOSE: u32 = 0x2000;
const ACTIVE_PROCESS: u32 = 0x8;

/// A world whose program has started another one, which has yet to run: its process's handle.
fn each(check: impl Fn(&mut World, &'static Edition, u64)) {
    for edition in editions() {
        let mut world = World::with_files(edition.name, &[("work\\guest.exe", guest(edition, "hello"))]);
        world.start("work\\guest.exe", Lenience::Strict).expect("a sample guest starts");
        let child = started(&mut world);
        check(&mut world, edition, child);
        world.mm.audit().unwrap_or_else(|error| panic!("{}: {error}", edition.name));
    }
}

/// Starts the program again, suspended; 0 if that is refused.
fn started(world: &mut World) -> u64 {
    let line = world.scratch(0x100);
    world.kernel().write(UserPtr::new(line), b"guest.exe\0").expect("scratch memory");
    let startup = world.scratch(0x400);
    world.kernel().write(UserPtr::new(startup), &[0; 104]).expect("scratch memory");
    let bytes = if world.nt.edition().pointer_bytes() == 8 { 104_u32 } else { 68 };
    world.kernel().write_u32(UserPtr::new(startup), bytes).expect("scratch memory");
    let information = world.store(0x480, 0);
    world.call("CreateProcessA", &[0, line, 0, 0, 0, 4, 0, 0, startup, information]);
    world.load(0x480)
}

fn job(world: &mut World) -> u64 {
    let to = world.store(HANDLE, 0);
    assert_eq!(world.call("NtCreateJobObject", &[to, ALL, 0]), 0);
    world.load(HANDLE)
}

/// Sets flags and the number of processes, in the extended form.
fn limit(world: &mut World, job: u64, flags: u32, most: u32) -> u32 {
    let width = world.nt.edition().pointer_bytes();
    let (bytes, most_at) = if width == 8 { (144, 40) } else { (112, 28) };
    let at = world.scratch(BUFFER);
    world.kernel().write(UserPtr::new(at), &vec![0; bytes as usize]).expect("scratch memory");
    world.kernel().write_u32(UserPtr::new(at + 16), flags).expect("scratch memory");
    world.kernel().write_u32(UserPtr::new(at + most_at), most).expect("scratch memory");
    let set = world.call("NtSetInformationJobObject", &[job, EXTENDED, at, bytes]) as u32;
    let short = world.call("NtSetInformationJobObject", &[job, EXTENDED, at, bytes - 1]) as u32;
    assert_eq!(short, INFO_LENGTH_MISMATCH);
    set
}

fn query(world: &mut World, job: u64, class: u64, room: u64) -> (u32, Vec<u8>) {
    let (to, returned) = (world.scratch(BUFFER), world.store(0x20, 0));
    let status = world.call("NtQueryInformationJobObject", &[job, class, to, room, returned]) as u32;
    (status, world.kernel().read_vec(UserPtr::new(to), 0x100).expect("scratch memory"))
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn is_running(world: &World, pid: u32) -> bool {
    world.nt.process_by_id(pid).is_some_and(|process| process.state == ProcessState::Running)
}

#[test]
fn a_process_is_in_one_job_and_stays_there() {
    each(|world, edition, child| {
        let is_in = |world: &mut World, process: u64, job: u64| {
            world.call("NtIsProcessInJob", &[process, job]) as u32
        };
        assert_eq!(is_in(world, child, 0), NOT_IN_JOB, "{}", edition.name);
        assert_eq!(query(world, 0, 1, 48).0, ACCESS_DENIED, "{}: there is none to ask", edition.name);
        let (first, second) = (job(world), job(world));
        let assign =
            |world: &mut World, job: u64| world.call("NtAssignProcessToJobObject", &[job, child]) as u32;
        assert_eq!(assign(world, SELF), TYPE_MISMATCH);
        assert_eq!(assign(world, first), SUCCESS, "{}", edition.name);
        assert_eq!(assign(world, second), ACCESS_DENIED, "{}", edition.name);
        assert_eq!([0, first, second].map(|job| is_in(world, child, job)), [IN_JOB, IN_JOB, NOT_IN_JOB]);
        assert_eq!(is_in(world, SELF, 0), NOT_IN_JOB);
        let result = world.store(0x40, 7);
        assert_eq!(world.call("IsProcessInJob", &[child, first, result]), 1);
        assert_eq!(world.load(0x40) & 0xffff_ffff, 1, "{}", edition.name);
        let (status, told) = query(world, first, 1, 48);
        assert_eq!((status, number(&told, 36), number(&told, 40)), (SUCCESS, 1, 1), "{}", edition.name);
        let pid = world.call("GetProcessId", &[child]) as u32;
        let (status, ids) = query(world, first, 3, 16);
        assert_eq!((status, number(&ids, 0), number(&ids, 4), number(&ids, 8)), (SUCCESS, 1, 1, pid));
        assert_eq!(query(world, first, 99, 4).0, INVALID_INFO_CLASS);
    });
}

#[test]
fn a_job_ends_its_processes() {
    each(|world, edition, child| {
        let pid = world.call("GetProcessId", &[child]) as u32;
        let job = job(world);
        assert_eq!(world.call("NtAssignProcessToJobObject", &[job, child]), 0);
        assert_eq!(world.call("NtTerminateJobObject", &[job, 0x77]), 0);
        assert!(!is_running(world, pid), "{}", edition.name);
        world.kernel().end_process(pid);
        let code = world.store(0x40, 0);
        assert_eq!(world.call("GetExitCodeProcess", &[child, code]), 1);
        assert_eq!(world.load(0x40) & 0xffff_ffff, 0x77, "{}", edition.name);
        let (_, told) = query(world, job, 1, 48);
        assert_eq!([36, 40, 44].map(|at| number(&told, at)), [1, 0, 1], "{}", edition.name);
    });
}

#[test]
fn the_last_handle_takes_the_processes_along_if_the_job_says_so() {
    each(|world, edition, child| {
        let pid = world.call("GetProcessId", &[child]) as u32;
        let (calm, killing) = (job(world), job(world));
        assert_eq!(limit(world, killing, 0x100, 0), NOT_SUPPORTED, "{}: memory", edition.name);
        assert_eq!(limit(world, killing, KILL_ON_CLOSE, 0), SUCCESS, "{}", edition.name);
        assert_eq!(world.call("NtAssignProcessToJobObject", &[killing, child]), 0);
        assert_eq!(world.call("NtClose", &[calm]), 0);
        assert!(is_running(world, pid), "{}", edition.name);
        assert_eq!(world.call("NtClose", &[killing]), 0);
        assert!(!is_running(world, pid), "{}", edition.name);
        world.kernel().end_process(pid);
    });
}

#[test]
fn what_a_process_in_a_job_starts_is_in_it_as_long_as_there_is_room() {
    each(|world, edition, _| {
        let job = job(world);
        assert_eq!(limit(world, job, ACTIVE_PROCESS, 2), SUCCESS, "{}", edition.name);
        assert_eq!(world.call("NtAssignProcessToJobObject", &[job, SELF]), 0);
        let second = started(world);
        assert_ne!(second, 0, "{}", edition.name);
        assert_eq!(world.call("NtIsProcessInJob", &[second, job]) as u32, IN_JOB, "{}", edition.name);
        let before = world.nt.processes().count();
        assert_eq!(started(world), 0, "{}: a third one", edition.name);
        assert_eq!(world.nt.processes().count(), before, "{}", edition.name);
        let pid = world.call("GetProcessId", &[second]) as u32;
        assert_eq!(world.call("TerminateProcess", &[second, 1]), 1);
        world.kernel().end_process(pid);
        assert_ne!(started(world), 0, "{}: there is room again", edition.name);
        let other = self::job(world);
        assert_eq!(limit(world, other, ACTIVE_PROCESS, 0), 0xc000_000d);
        assert_eq!(limit(world, other, ACTIVE_PROCESS, 1), SUCCESS);
        assert_eq!(world.call("NtAssignProcessToJobObject", &[other, second]) as u32, 0xc000_010a);
    });
}
