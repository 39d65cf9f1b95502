//! Objects that threads wait for, through the native services: what changes them, what tells of them, who goes on.

use crate::native::{BAD, SELF, THREAD, status};
use crate::world::World;
use vadose_facts::ntdef::editions;
use vadose_nt::{Ending, UserPtr};

/// Where previous states and answers go.
const STATE: u64 = 0x20;
const ANSWER: u64 = 0x100;

fn each(check: impl Fn(&mut World, &str)) {
    for edition in editions() {
        check(&mut World::running(edition.name, "hello"), edition.name);
    }
}

/// Status and previous state of a service that tells it.
fn previous(world: &mut World, service: &str, handle: u64, before: &[u64]) -> (u32, i32) {
    let at = world.store(STATE, 0x55);
    let arguments: Vec<u64> = [handle].iter().chain(before).copied().chain([at]).collect();
    let status = world.nt(service, &arguments);
    (status, world.numbers::<1>(STATE)[0].cast_signed())
}

/// Status and two numbers of the only class of a kind, and how many bytes were told.
fn query(world: &mut World, service: &str, handle: u64, bytes: u64) -> (u32, [u32; 2]) {
    let (to, returned) = (world.scratch(ANSWER), world.scratch(STATE));
    let status = world.nt(service, &[handle, 0, to, bytes, returned]);
    if status == 0 {
        assert_eq!(u64::from(world.numbers::<1>(STATE)[0]), bytes, "{service}");
    }
    (status, world.numbers(ANSWER))
}

/// A wait for one object that does not take time.
fn poll(world: &mut World, handle: u64) -> u32 {
    let now = world.time(0);
    world.nt("NtWaitForSingleObject", &[handle, 0, now])
}

/// The result that a thread which is not in the processor will find.
fn result_of_first_thread(world: &mut World, first: u32) -> u32 {
    while world.running_thread() != first {
        world.nt("NtYieldExecution", &[]);
    }
    world.cpu.registers.gpr[0] as u32
}

#[test]
fn an_event_tells_its_state_before_each_change() {
    each(|world, edition| {
        for (kind, after_wait) in [(0, 1), (1, 0)] {
            let event = world.unnamed("NtCreateEvent", &[kind, 0]);
            assert_eq!(previous(world, "NtPulseEvent", event, &[]), (0, 0), "{edition}");
            assert_eq!(query(world, "NtQueryEvent", event, 8), (0, [kind as u32, 0]), "{edition}");
            assert_eq!(previous(world, "NtSetEvent", event, &[]), (0, 0), "{edition}");
            assert_eq!(previous(world, "NtSetEvent", event, &[]), (0, 1), "{edition}");
            assert_eq!(poll(world, event), 0, "{edition}");
            assert_eq!(query(world, "NtQueryEvent", event, 8), (0, [kind as u32, after_wait]), "{edition}");
            assert_eq!(
                previous(world, "NtResetEvent", event, &[]),
                (0, after_wait.cast_signed()),
                "{edition}"
            );
            assert_eq!(world.nt("NtSetEvent", &[event, 0]), 0, "{edition} nobody asks");
            assert_eq!(world.nt("NtClearEvent", &[event]), 0, "{edition}");
            assert_eq!(poll(world, event), status::TIMEOUT, "{edition}");
            let boost = if kind == 0 { status::TYPE_MISMATCH } else { 0 };
            assert_eq!(world.nt("NtSetEventBoostPriority", &[event]), boost, "{edition}");
        }
    });
}

#[test]
fn events_refuse_kinds_classes_lengths_and_rights_that_are_none() {
    each(|world, edition| {
        assert_eq!(world.make_with("NtCreateEvent", 0, &[2, 0]).0, status::INVALID_PARAMETER, "{edition}");
        let event = world.unnamed("NtCreateEvent", &[0, 0]);
        assert_eq!(query(world, "NtQueryEvent", event, 4).0, status::LENGTH_MISMATCH, "{edition}");
        assert_eq!(world.nt("NtQueryEvent", &[event, 1, 0, 8, 0]), status::INVALID_CLASS, "{edition}");
        assert_eq!(world.nt("NtQueryEvent", &[event, 0, BAD, 8, 0]), status::ACCESS_VIOLATION, "{edition}");
        assert_eq!(query(world, "NtQueryEvent", SELF, 8).0, status::TYPE_MISMATCH, "{edition}");
        assert_eq!(world.nt("NtSetEvent", &[0x7770, 0]), status::INVALID_HANDLE, "{edition}");
        assert_eq!(world.nt("NtSetEvent", &[event, BAD]), status::ACCESS_VIOLATION, "{edition}");
        assert_eq!(poll(world, event), status::TIMEOUT, "{edition} a call that fails changes nothing");
        let to = world.scratch(STATE);
        assert_eq!(world.nt("NtDuplicateObject", &[SELF, event, SELF, to, 0x2_0000, 0, 0]), 0, "{edition}");
        let weak = world.load(STATE);
        assert_eq!(query(world, "NtQueryEvent", weak, 8).0, status::ACCESS_DENIED, "{edition}");
        assert_eq!(world.nt("NtResetEvent", &[weak, 0]), status::ACCESS_DENIED, "{edition}");
        assert_eq!(poll(world, weak), status::ACCESS_DENIED, "{edition}");
    });
}

#[test]
fn a_mutant_counts_down_from_one_with_every_time_it_is_entered() {
    each(|world, edition| {
        let mutant = world.unnamed("NtCreateMutant", &[1]);
        let owned = |count: i32| (0, [count.cast_unsigned(), 1]);
        assert_eq!(query(world, "NtQueryMutant", mutant, 8), owned(0), "{edition}");
        assert_eq!(poll(world, mutant), 0, "{edition}");
        assert_eq!(query(world, "NtQueryMutant", mutant, 8), owned(-1), "{edition}");
        assert_eq!(previous(world, "NtReleaseMutant", mutant, &[]), (0, -1), "{edition}");
        assert_eq!(previous(world, "NtReleaseMutant", mutant, &[]), (0, 0), "{edition}");
        assert_eq!(previous(world, "NtReleaseMutant", mutant, &[]), (status::NOT_OWNED, 0x55), "{edition}");
        assert_eq!(query(world, "NtQueryMutant", mutant, 8), (0, [1, 0]), "{edition}");
        let class = world.nt("NtQueryMutant", &[mutant, 0x42, BAD, 8, 0]);
        assert_eq!(class, status::INVALID_CLASS, "{edition}");
    });
}

#[test]
fn since_windows_vista_a_mutant_tells_its_owner() {
    each(|world, edition| {
        let mutant = world.unnamed("NtCreateMutant", &[1]);
        let (to, width) = (world.scratch(ANSWER), world.nt.edition().pointer_bytes());
        let answer = world.nt("NtQueryMutant", &[mutant, 1, to, 2 * width, 0]);
        if world.nt.edition().version.major < 6 {
            assert_eq!(answer, status::INVALID_CLASS, "{edition}");
            return;
        }
        assert_eq!(answer, 0, "{edition}");
        let (pid, tid) = (world.load(ANSWER), world.load(ANSWER + width));
        let thread = world.nt.threads().current().expect("a thread");
        assert_eq!((pid, tid), (u64::from(thread.pid), u64::from(thread.tid)), "{edition}");
    });
}

#[test]
fn a_mutant_whose_owner_ends_is_abandoned_to_the_next() {
    each(|world, edition| {
        let first = world.running_thread();
        let mutant = world.unnamed("NtCreateMutant", &[0]);
        let (thread, tid) = world.second_thread();
        assert_eq!(world.nt("NtResumeThread", &[thread, 0]), 0, "{edition}");
        let gate = world.unnamed("NtCreateEvent", &[0, 0]);
        world.nt("NtWaitForSingleObject", &[gate, 0, 0]);
        assert_eq!(world.running_thread(), tid, "{edition}");
        assert_eq!(poll(world, mutant), 0, "{edition}");
        world.nt("NtSetEvent", &[gate, 0]);
        world.nt("NtTerminateThread", &[THREAD, 0]);
        assert_eq!(world.running_thread(), first, "{edition}");
        assert_eq!(query(world, "NtQueryMutant", mutant, 8), (0, [1, 0x100]), "{edition}");
        assert_eq!(poll(world, mutant), status::ABANDONED, "{edition}");
        assert_eq!(query(world, "NtQueryMutant", mutant, 8), (0, [0, 1]), "{edition}");
    });
}

#[test]
fn a_semaphore_never_passes_its_maximum() {
    each(|world, edition| {
        for (count, maximum) in [(2, 1), (0, 0), (0xffff_ffff, 1), (0, 0xffff_ffff)] {
            let refused = world.make_with("NtCreateSemaphore", 0, &[count, maximum]).0;
            assert_eq!(refused, status::INVALID_PARAMETER, "{edition} {count} of {maximum}");
        }
        let semaphore = world.unnamed("NtCreateSemaphore", &[1, 2]);
        assert_eq!(query(world, "NtQuerySemaphore", semaphore, 8), (0, [1, 2]), "{edition}");
        assert_eq!(poll(world, semaphore), 0, "{edition}");
        assert_eq!(poll(world, semaphore), status::TIMEOUT, "{edition}");
        let release = |world: &mut World, add| previous(world, "NtReleaseSemaphore", semaphore, &[add]);
        assert_eq!(release(world, 3), (status::LIMIT_EXCEEDED, 0x55), "{edition}");
        assert_eq!(release(world, 0), (status::INVALID_PARAMETER, 0x55), "{edition}");
        assert_eq!(release(world, 0xffff_ffff), (status::INVALID_PARAMETER, 0x55), "{edition}");
        assert_eq!(release(world, 1), (0, 0), "{edition}");
        assert_eq!(release(world, 1), (0, 1), "{edition}");
        assert_eq!(release(world, 1), (status::LIMIT_EXCEEDED, 0x55), "{edition}");
        let event = world.unnamed("NtCreateEvent", &[0, 0]);
        let other = world.nt("NtReleaseSemaphore", &[event, 1, 0]);
        assert_eq!(other, status::TYPE_MISMATCH, "{edition}");
    });
}

#[test]
fn a_timer_comes_once_or_again_and_tells_its_state() {
    each(|world, edition| {
        assert_eq!(world.make_with("NtCreateTimer", 0, &[2]).0, status::PARAMETER_4, "{edition}");
        let timer = world.unnamed("NtCreateTimer", &[1]);
        let state = world.store(STATE, 0x55);
        let due = world.time(-10_000_000);
        let set = |world: &mut World, resume, period| {
            world.nt("NtSetTimer", &[timer, due, 0, 0, resume, period, state])
        };
        assert_eq!(set(world, 0, 0xffff_ffff), status::PARAMETER_6, "{edition}");
        assert_eq!(set(world, 1, 0), status::RESUME_IGNORED, "{edition}");
        assert_eq!(set(world, 0, 1000), 0, "{edition}");
        let (queried, [left, _]) = query(world, "NtQueryTimer", timer, 16);
        assert_eq!(queried, 0, "{edition}");
        assert!((1..=10_000_000).contains(&left), "{edition} {left}");
        for _ in 0..3 {
            assert_eq!(world.nt("NtWaitForSingleObject", &[timer, 0, 0]), 0, "{edition}");
        }
        assert_eq!(previous(world, "NtCancelTimer", timer, &[]).0, 0, "{edition}");
        assert_eq!(query(world, "NtQueryTimer", timer, 16).1, [0, 0], "{edition}");
        assert_eq!(poll(world, timer), status::TIMEOUT, "{edition}");
    });
}

#[test]
fn a_timer_is_set_by_a_structure_too() {
    let mut world = World::running("win10-x64", "hello");
    let timer = world.unnamed("NtCreateTimer", &[0]);
    let information: [u64; 6] = [(-5_i64).cast_unsigned(), 0, 0, 0, 0, 0];
    for (slot, value) in (0..).zip(information) {
        world.store(ANSWER + 8 * slot, value);
    }
    let at = world.scratch(ANSWER);
    assert_eq!(world.nt("NtSetTimerEx", &[timer, 1, at, 48]), status::INVALID_CLASS);
    assert_eq!(world.nt("NtSetTimerEx", &[timer, 0, at, 40]), status::LENGTH_MISMATCH);
    assert_eq!(world.nt("NtSetTimerEx", &[timer, 0, at, 48]), 0);
    assert_eq!(world.nt("NtWaitForSingleObject", &[timer, 0, 0]), 0);
}

#[test]
fn a_wait_and_a_release_of_one_key_meet_whichever_comes_first() {
    each(|world, edition| {
        let first = world.running_thread();
        let event = world.unnamed("NtCreateKeyedEvent", &[0]);
        let (thread, second) = world.second_thread();
        assert_eq!(world.nt("NtResumeThread", &[thread, 0]), 0, "{edition}");
        for (comes, meets) in
            [("NtWaitForKeyedEvent", "NtReleaseKeyedEvent"), ("NtReleaseKeyedEvent", "NtWaitForKeyedEvent")]
        {
            assert_eq!(world.running_thread(), first, "{edition}");
            world.nt(comes, &[event, 0x1234, 0, 0]);
            assert_eq!(world.running_thread(), second, "{edition} {comes}");
            let now = world.time(0);
            assert_eq!(
                world.nt(comes, &[event, 0x1234, 0, now]),
                status::TIMEOUT,
                "{edition} one side alone"
            );
            assert_eq!(world.nt(meets, &[event, 0x1236, 0, now]), status::TIMEOUT, "{edition} another key");
            assert_eq!(world.nt(meets, &[event, 0x1234, 0, 0]), 0, "{edition} {meets}");
            assert_eq!(result_of_first_thread(world, first), 0, "{edition} {comes}");
        }
    });
}

#[test]
fn keys_are_even_and_rights_count_for_each_side() {
    each(|world, edition| {
        let now = world.time(0);
        let event = world.unnamed("NtCreateKeyedEvent", &[0]);
        for service in ["NtWaitForKeyedEvent", "NtReleaseKeyedEvent"] {
            assert_eq!(world.nt(service, &[0x7770, 255, 0, now]), status::PARAMETER_1, "{edition} {service}");
            assert_eq!(
                world.nt(service, &[0x7770, 254, 0, now]),
                status::INVALID_HANDLE,
                "{edition} {service}"
            );
            assert_eq!(world.nt(service, &[event, 0, 0, now]), status::TIMEOUT, "{edition} {service}");
            assert_eq!(
                world.nt(service, &[event, 8, 0, BAD]),
                status::ACCESS_VIOLATION,
                "{edition} {service}"
            );
            assert_eq!(world.nt(service, &[SELF, 8, 0, now]), status::TYPE_MISMATCH, "{edition} {service}");
            let null =
                if world.nt.edition().version.major < 6 { status::INVALID_HANDLE } else { status::TIMEOUT };
            assert_eq!(world.nt(service, &[0, 8, 0, now]), null, "{edition} {service}");
        }
        let to = world.scratch(STATE);
        for (access, wait, release) in [
            (0x8000_0000, status::TIMEOUT, status::ACCESS_DENIED),
            (0x4000_0000, status::ACCESS_DENIED, status::TIMEOUT),
        ] {
            assert_eq!(world.nt("NtCreateKeyedEvent", &[to, access, 0, 0]), 0, "{edition}");
            let handle = world.load(STATE);
            assert_eq!(world.nt("NtWaitForKeyedEvent", &[handle, 8, 0, now]), wait, "{edition}");
            assert_eq!(world.nt("NtReleaseKeyedEvent", &[handle, 8, 0, now]), release, "{edition}");
        }
        assert_eq!(
            poll(world, event),
            status::ACCESS_DENIED,
            "{edition} all rights have no SYNCHRONIZE here"
        );
    });
}

#[test]
fn threads_that_wait_for_a_key_or_an_alert_that_nobody_gives_are_named_as_stuck() {
    let stuck = |service: &str, arguments: &[u64]| {
        let mut world = World::running("win10-x64", "hello");
        let event = world.unnamed("NtCreateKeyedEvent", &[0]);
        let arguments: Vec<u64> =
            arguments.iter().map(|argument| if *argument == SELF { event } else { *argument }).collect();
        world.nt(service, &arguments);
        match world.nt.ending() {
            Some(Ending::Deadlock(stuck)) => stuck[0].waits_for.clone(),
            other => panic!("{service}: {other:?}"),
        }
    };
    assert_eq!(stuck("NtWaitForKeyedEvent", &[SELF, 0x40, 0, 0]), "a release of key 0x40 of a keyed event");
    assert_eq!(
        stuck("NtReleaseKeyedEvent", &[SELF, 0x40, 0, 0]),
        "a wait for key 0x40 of a keyed event, to release it"
    );
    assert_eq!(stuck("NtWaitForAlertByThreadId", &[0x50, 0]), "an alert by its number, at 0x50");
}

#[test]
fn an_alert_by_number_counts_whether_it_comes_before_the_wait_or_in_it() {
    for edition in
        editions().iter().filter(|edition| (edition.version.major, edition.version.minor) >= (6, 2))
    {
        let mut world = World::running(edition.name, "hello");
        let (first, name) = (world.running_thread(), edition.name);
        let own = u64::from(first);
        let alert = |world: &mut World, id: u64| world.nt("NtAlertThreadByThreadId", &[id]);
        let now = world.time(0);
        assert_eq!(world.nt("NtWaitForAlertByThreadId", &[0, now]), status::TIMEOUT, "{name}");
        assert_eq!((alert(&mut world, own), alert(&mut world, own)), (0, 0), "{name}");
        assert_eq!(world.nt("NtWaitForAlertByThreadId", &[0, 0]), status::ALERTED, "{name}");
        assert_eq!(world.nt("NtWaitForAlertByThreadId", &[0, now]), status::TIMEOUT, "{name} once");
        let (thread, second) = world.second_thread();
        assert_eq!(world.nt("NtResumeThread", &[thread, 0]), 0, "{name}");
        world.nt("NtWaitForAlertByThreadId", &[0x1000, 0]);
        assert_eq!(world.running_thread(), second, "{name}");
        assert_eq!(alert(&mut world, own), 0, "{name}");
        assert_eq!(result_of_first_thread(&mut world, first), status::ALERTED, "{name}");
        for id in [0, 3, u64::from(first) + 0x1000, u64::MAX] {
            assert_eq!(alert(&mut world, id), status::INVALID_CID, "{name} {id:#x}");
        }
        let tiny = world.time(-10);
        assert_eq!(world.nt("NtWaitForAlertByThreadId", &[0, BAD]), status::ACCESS_VIOLATION, "{name}");
        world.nt("NtSuspendThread", &[thread, 0]);
        assert_eq!(world.nt("NtWaitForAlertByThreadId", &[0, tiny]), status::TIMEOUT, "{name}");
    }
}

#[test]
fn several_threads_are_alerted_at_once_up_to_a_number_that_is_none() {
    let mut world = World::running("win10-x64", "hello");
    let (_, second) = world.second_thread();
    let ids = world.scratch(ANSWER);
    let tids = [u64::from(world.running_thread()), u64::from(second), 0x7777_0000];
    for (slot, tid) in (0..).zip(tids) {
        world.store(ANSWER + 8 * slot, tid);
    }
    let alert = |world: &mut World, count| world.nt("NtAlertMultipleThreadByThreadId", &[ids, count, 0, 0]);
    assert_eq!(alert(&mut world, 2), 0);
    assert_eq!(alert(&mut world, 3), status::INVALID_CID);
    assert_eq!(alert(&mut world, 0xffff_ffff), status::INVALID_PARAMETER);
    assert_eq!(world.nt("NtAlertMultipleThreadByThreadId", &[BAD, 1, 0, 0]), status::ACCESS_VIOLATION);
    assert_eq!(world.nt("NtWaitForAlertByThreadId", &[0, 0]), status::ALERTED);
}

#[test]
fn an_alert_ends_an_alertable_wait_and_no_other() {
    each(|world, edition| {
        let (first, now) = (world.running_thread(), world.time(0));
        let event = world.unnamed("NtCreateEvent", &[0, 0]);
        assert_eq!(world.nt("NtAlertThread", &[THREAD]), 0, "{edition}");
        assert_eq!(world.nt("NtWaitForSingleObject", &[event, 0, now]), status::TIMEOUT, "{edition}");
        assert_eq!(world.nt("NtWaitForSingleObject", &[event, 1, now]), status::ALERTED, "{edition}");
        assert_eq!(world.nt("NtWaitForSingleObject", &[event, 1, now]), status::TIMEOUT, "{edition} once");
        assert_eq!(world.nt("NtAlertThread", &[THREAD]), 0, "{edition}");
        assert_eq!(
            (world.nt("NtTestAlert", &[]), world.nt("NtTestAlert", &[])),
            (status::ALERTED, 0),
            "{edition}"
        );
        let (thread, second) = world.second_thread();
        let to = world.scratch(STATE);
        assert_eq!(world.nt("NtDuplicateObject", &[SELF, THREAD, SELF, to, 0x1f_ffff, 0, 0]), 0, "{edition}");
        let own = world.load(STATE);
        assert_eq!(previous(world, "NtAlertResumeThread", thread, &[]), (0, 1), "{edition}");
        world.nt("NtWaitForSingleObject", &[event, 1, 0]);
        assert_eq!(world.running_thread(), second, "{edition}");
        assert_eq!(
            world.nt("NtTestAlert", &[]),
            status::ALERTED,
            "{edition} it was alerted as it was resumed"
        );
        assert_eq!(world.nt("NtAlertThread", &[own]), 0, "{edition}");
        assert_eq!(result_of_first_thread(world, first), status::ALERTED, "{edition}");
    });
}

#[test]
fn an_apc_ends_an_alertable_delay_and_special_ones_are_not_there() {
    each(|world, edition| {
        let routine = 0x40_1000;
        assert_eq!(world.nt("NtQueueApcThread", &[THREAD, routine, 1, 2, 3]), 0, "{edition}");
        let (now, before) = (world.time(-100), world.cpu.registers.clone());
        assert_eq!(world.nt("NtDelayExecution", &[0, now]), 0, "{edition}");
        world.nt("NtDelayExecution", &[1, now]);
        assert_ne!(world.cpu.registers.ip, before.ip, "{edition} the function is called");
        world.cpu.registers = before;
        if world.nt.edition().version.major >= 10 {
            let special = world.nt("NtQueueApcThreadEx", &[THREAD, 1, routine, 1, 2, 3]);
            assert_eq!(special, status::NOT_IMPLEMENTED, "{edition}");
            let reserve = world.nt("NtQueueApcThreadEx", &[THREAD, 0x7770, routine, 1, 2, 3]);
            assert_eq!(reserve, status::INVALID_HANDLE, "{edition}");
            let flags = world.nt("NtQueueApcThreadEx2", &[THREAD, 0, 2, routine, 1, 2, 3]);
            assert_eq!(flags, status::INVALID_PARAMETER, "{edition}");
            assert_eq!(world.nt("NtQueueApcThreadEx2", &[THREAD, 0, 0, routine, 1, 2, 3]), 0, "{edition}");
            assert_eq!(world.nt("NtQueueApcThreadEx", &[THREAD, 0, routine, 1, 2, 3]), 0, "{edition}");
        }
    });
}

#[test]
fn one_object_is_signalled_and_another_waited_for_in_one_call() {
    each(|world, edition| {
        let (now, event) = (world.time(0), world.unnamed("NtCreateEvent", &[1, 0]));
        let mutant = world.unnamed("NtCreateMutant", &[1]);
        let call = |world: &mut World, signal, wait, timeout| {
            world.nt("NtSignalAndWaitForSingleObject", &[signal, wait, 0, timeout])
        };
        assert_eq!(call(world, event, event, now), 0, "{edition}");
        assert_eq!(call(world, mutant, event, now), status::TIMEOUT, "{edition}");
        assert_eq!(
            call(world, mutant, event, now),
            status::NOT_OWNED,
            "{edition} it was left before the wait"
        );
        assert_eq!(call(world, THREAD, event, now), status::TYPE_MISMATCH, "{edition}");
        assert_eq!(call(world, 0x7770, event, now), status::INVALID_HANDLE, "{edition}");
        assert_eq!(call(world, event, 0x7770, now), status::INVALID_HANDLE, "{edition}");
        assert_eq!(poll(world, event), status::TIMEOUT, "{edition} nothing was signalled");
        assert_eq!(call(world, event, event, BAD), status::ACCESS_VIOLATION, "{edition}");
    });
}

#[test]
fn a_port_gives_packets_in_their_order_and_tells_how_many_there_are() {
    each(|world, edition| {
        let width = world.nt.edition().pointer_bytes();
        let port = world.unnamed("NtCreateIoCompletion", &[0]);
        let (now, count) = (world.time(0), world.scratch(STATE));
        let entries = world.scratch(ANSWER);
        let [key, value, block] = [0, 1, 2].map(|slot| entries + slot * width);
        let remove = |world: &mut World| world.nt("NtRemoveIoCompletion", &[port, key, value, block, now]);
        assert_eq!(remove(world), status::TIMEOUT, "{edition}");
        for number in 1..=4 {
            let packet = [port, number, 10 * number, 0xc000_0000 + number, 100 * number];
            assert_eq!(world.nt("NtSetIoCompletion", &packet), 0, "{edition}");
        }
        assert_eq!(world.nt("NtQueryIoCompletion", &[port, 0, count, 4, 0]), 0, "{edition}");
        assert_eq!(world.numbers(STATE), [4], "{edition}");
        assert_eq!(
            world.nt("NtQueryIoCompletion", &[port, 0, count, 8, 0]),
            status::LENGTH_MISMATCH,
            "{edition}"
        );
        assert_eq!(
            world.nt("NtQueryIoCompletion", &[port, 1, count, 4, 0]),
            status::INVALID_CLASS,
            "{edition}"
        );
        assert_eq!(remove(world), 0, "{edition}");
        let fields = |world: &mut World, entry: u64| -> [u64; 4] {
            let at = UserPtr::new(entries + entry * 4 * width);
            std::array::from_fn(|slot| {
                world.kernel().read_word(at.offset(slot as u64 * width)).expect("the stack is there")
            })
        };
        assert_eq!(fields(world, 0), [1, 10, 0xc000_0001, 100], "{edition}");
        if world.nt.edition().version.major < 6 {
            return;
        }
        let several = |world: &mut World, room, alertable| {
            world.nt("NtRemoveIoCompletionEx", &[port, entries, room, count, now, alertable])
        };
        assert_eq!(several(world, 0, 0), status::INVALID_PARAMETER, "{edition}");
        assert_eq!(several(world, 2, 0), 0, "{edition}");
        assert_eq!(world.numbers(STATE), [2], "{edition}");
        assert_eq!(fields(world, 1), [3, 30, 0xc000_0003, 300], "{edition}");
        assert_eq!((several(world, 2, 0), world.numbers(STATE)), (0, [1]), "{edition}");
        assert_eq!((several(world, 2, 0), world.numbers(STATE)), (status::TIMEOUT, [0]), "{edition}");
        world.nt("NtAlertThread", &[THREAD]);
        assert_eq!(several(world, 2, 1), status::ALERTED, "{edition}");
        let (event, number) = (world.unnamed("NtCreateEvent", &[0, 0]), 5);
        let other = world.nt("NtSetIoCompletion", &[event, number, 0, 0, 0]);
        assert_eq!(other, status::TYPE_MISMATCH, "{edition}");
    });
}
