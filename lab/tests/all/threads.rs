//! Guests with several threads on every edition: their words do not depend on the seed, nor on where slices end.

use crate::support::{bits_of, check_guest, finish, on_each_edition, tell};
use vadose_facts::ntdef::Bitness;
use vadose_lab::guest::{Run, sample};
use vadose_machine::report::RunEnding;

#[test]
fn threads_have_lives_slots_registers_priorities_and_time_of_their_own() {
    on_each_edition(|edition| {
        check_guest(edition, "threads", &[], 0, THREADS);
    });
}

const THREADS: &str = "\
how threads end
  it has an id of its own
  it is still active
  a wait for it ends by time
  it was suspended so often: 1
  it returned 42
  another left with 77
  one that never ends was ended
  it ended with 99
slots
  values mixed up: 0
  the first thread's own: 5
registers
  sums that differ when made side by side: 0
priorities
  it is as it was set
  it is as it was set
  it is as it was set
  places taken at once: 1
  place taken by 1
  place taken by 2
  place taken by 0
  there is no such priority
time
  half a second is half a second
  a wait for nothing ends by time
  and takes as long as it should
";

#[test]
fn locks_keep_threads_apart_and_wake_them() {
    on_each_edition(|edition| {
        check_guest(edition, "locks", &[], 0, LOCKS);
    });
}

const LOCKS: &str = "\
critical section
  counted 20000
  it is free again
  another thread tries it: 0
  it is this thread's
slim lock
  counted 1667
  readers and writers met: 0
  it is free again
producers and consumers
  taken 2000
  what was made was taken
condition variable with a slim lock
  all were woken: 35
  a sleep that nobody ends: 0
  its last error 1460
  the lock is held again
initialise once
  runs 1
  contexts 1280
waits on an address
  threads that saw it change: 3
  another value: 1
  the same value for 20 ms: 0
  its last error 1460
";

#[test]
fn waits_end_as_the_objects_say() {
    on_each_edition(|edition| {
        check_guest(edition, "waits", &[], 0, WAITS);
    });
}

const WAITS: &str = "\
events
  passed an event that resets itself: 1
  passed an event that resets itself: 2
  passed after two at once: 4
  it is not set now: timeout
  set: object 0
  and taken: timeout
  passed a pulse: 4
  after the pulse: timeout
  an event that stays set: object 0
  once more: object 0
mutexes
  its owner again: object 0
  another thread lets it go: error 288
  the other thread waits still: timeout
  the other thread got it and ended: 0
  it did not let it go: abandoned 0
  now it is as any other: object 0
  let go once too often: 0
  one of an event and one abandoned: abandoned 1
  all of them: abandoned 0
semaphores
  most at one time: 2
  one more: 1
  before that there were 2
  past its maximum: 0
  error 298
several objects
  the first that is set: object 1
  then the next: object 2
  then none: timeout
  two of three do not do: timeout
  and are not taken: object 0
  one is missing again: timeout
  all three: 0
  all are taken: timeout
  one object twice: failed 87
  no object: failed 87
  a closed one: failed 6
signal and wait
  rounds 10
  wrong: 0
timers
  not yet: timeout
  once: object 0
  after 50 ms
  and not again: timeout
  periods 10
  10 of them in 230 ms
  stopped: timeout
  asleep: apc
  asleep: apc
  asleep: apc
  asleep: apc
  asleep: apc
  its handle is closed: timeout
  a moment long past: object 0
  it stays set: object 0
APCs
  a wait that is not alertable: timeout
  sum 0
  one that is: apc
  sum 12
  and then: timeout
  an APC comes before the thread begins: 123
  and one when it sleeps: 123
  sum 1234
";

#[test]
fn suspended_threads_stand_still_and_can_be_sent_elsewhere() {
    on_each_edition(|edition| {
        check_guest(edition, "suspend", &[], 0, SUSPEND);
    });
}

const SUSPEND: &str = "\
counts
  suspended before: 0
  and once more: 1
  it does not run
  resumed: 2
  it does not run yet
  resumed: 1
  it runs
  resumed once too often: 0
  suspended so often at most: 127
  error 156
  ended while suspended: 5
a thread that suspends itself
  done: 0
  resumed: 1
  it ended with 3
registers
  the instruction is in the loop
  it has a stack
  asked for a part, the part is there
  and the rest is as it was
  sent elsewhere, it ended with 1234
  escaped: 1
suspended in a wait
  its wait took the event
  but it does not run
  then it ended with 0
";

/// SPEC E16 to E22 and E24: each thread's stack is made by the sizes asked for, grows and overflows by itself, and is
/// ordinary guarded memory for another thread.
#[test]
fn every_thread_has_a_stack_of_its_own() {
    on_each_edition(|edition| {
        let last = match edition.bitness {
            Bitness::Bits32 => "2",
            Bitness::Bits64 => "4",
        };
        check_guest(edition, "thread_stacks", &[], 0, &THREAD_STACKS.replace("LAST", last));
    });
}

const THREAD_STACKS: &str = "\
sizes
  nothing asked for: 1024 KiB
    reserve none 1016 KiB
    commit readwrite+guard 4 KiB
    commit readwrite
  a commit of 3f00h: 1024 KiB
    reserve none 1004 KiB
    commit readwrite+guard 4 KiB
    commit readwrite
  a commit of 180000h: 2048 KiB
    reserve none 508 KiB
    commit readwrite+guard 4 KiB
    commit readwrite
  a reserve of 3ff000h: 4096 KiB
    reserve none 4088 KiB
    commit readwrite+guard 4 KiB
    commit readwrite
  a reserve of 1000h: 1024 KiB
    reserve none 1016 KiB
    commit readwrite+guard 4 KiB
    commit readwrite
growth in turn
  the limit moved down as it should: 1
  the limit moved down as it should: 1
  by the same in both
overflow in two threads
  overflows 2
  at page LAST
  and at page LAST
another thread's guard
  guard exceptions 1
  the guard is gone
  nothing grew
  the owner's limit is where it was: 1
a guarantee of 5 pages
  guard pages and whether they are, as one number: 61
afterwards
  a stack goes with its thread
  and its place is used again, of 20 times: 20
";

#[test]
fn dlls_callbacks_and_slots_hear_of_threads_and_the_last_one_ends_the_process() {
    on_each_edition(|edition| {
        check_guest(edition, "thread_calls", &[], 21, THREAD_CALLS);
    });
}

const THREAD_CALLS: &str = "\
all hear
  threads that had words of their own: 3
  the DLL heard of starts 3
  the DLL heard of ends 3
  the program heard of starts 3
  the program heard of ends 3
  in the thread itself: 3
  sum of the slots freed: 6
the DLL does not want to hear
  threads that had words of their own: 3
  the DLL heard of starts 3
  the DLL heard of ends 3
  the program heard of starts 6
  the program heard of ends 6
  in the thread itself: 6
  sum of the slots freed: 12
a thread that is terminated says nothing
  the program heard of ends 6
the first thread is gone, the process is not
";

/// What nothing can end is told at once, with who waits for what, and is no crash.
#[test]
fn a_deadlock_ends_the_run_and_names_every_thread() {
    on_each_edition(|edition| {
        let outcome = finish(Run::new(&sample(bits_of(edition), "deadlock"), edition.name));
        let told = tell(edition, "deadlock", outcome, "waiting\n");
        let RunEnding::Deadlock { threads } = &told.outcome.report.ending else {
            panic!("{} ended otherwise: {:?}", edition.name, told.outcome.report.ending);
        };
        let waits: Vec<(u32, &str)> =
            threads.iter().map(|thread| (thread.id, thread.waits_for.as_str())).collect();
        let (first, second) = (0x5cc, 0x5d0);
        let wanted = [
            (first, format!("a mutex \"second\" of thread {second:#x}")),
            (second, format!("a mutex \"first\" of thread {first:#x}")),
        ];
        assert_eq!(waits, wanted.each_ref().map(|(id, words)| (*id, words.as_str())), "{}", edition.name);
        let places: Vec<&str> = threads.iter().filter_map(|thread| thread.place.as_deref()).collect();
        assert!(
            places.len() == 2 && places.iter().all(|place| place.starts_with("deadlock.exe+")),
            "{places:?}"
        );
    });
}

/// Another seed ends slices elsewhere; what the programs say stays. The same seed gives the same run to the last count.
#[test]
fn a_seed_decides_the_schedule_and_nothing_else() {
    on_each_edition(|edition| {
        for guest in ["threads", "locks"] {
            let program = sample(bits_of(edition), guest);
            let run = |seed| finish(Run::new(&program, edition.name).seed(seed));
            let (one, again, other) = (run(7), run(7), run(8));
            assert_eq!(one, again, "{guest} on {}", edition.name);
            assert_eq!(one.output, other.output, "{guest} on {}", edition.name);
        }
    });
}
