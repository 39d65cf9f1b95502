//! Who runs next and for how long: strict priority, equals in turn, slices in basic blocks, virtual time.
//!
//! The same program, seed and options give the same schedule: slices are counted in blocks that the processor executed,
//! their lengths are drawn from the seed, and time is the host's virtual clock.

use super::clock::{Clock, Due};
use super::table::{Thread, ThreadState};
use super::wait::{Alertable, KeyRole, Keyed, WaitFor};
use crate::claim::UserPtr;
use crate::executive::ObjectId;
use crate::executive::process::Ending;
use crate::host::Moment;
use crate::kernel::Kernel;
use std::collections::{BTreeMap, VecDeque};
use vadose_cpu::Vcpu;
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::NtStatus;

/// Priorities of Windows.
const LEVELS: usize = 32;
/// Blocks of a slice, before the seed makes it up to half as long or half as long again.
const SLICE_BLOCKS: u64 = 100_000;
/// What a block takes of virtual time while threads run in slices: 100 ns, which makes a slice about 10 ms.
const UNITS_PER_BLOCK: u64 = 1;
/// Steps of time in one call while no thread can run.
const MAX_IDLE_STEPS: u32 = 1000;
/// A slice is never cut shorter than this to meet a deadline.
const LEAST_BLOCKS: u64 = 100;

/// The scheduler's queues.
#[derive(Debug)]
pub(crate) struct Scheduler {
    ready: [VecDeque<u32>; LEVELS],
    /// Threads that wait for an object, in the order they came.
    at_objects: BTreeMap<(ObjectId, u64), u32>,
    /// Threads that wait at an address of a process, in the order they came.
    at_addresses: BTreeMap<(u32, u64, u64), u32>,
    /// Threads that wait at a side of a key, in the order they came.
    at_keys: BTreeMap<(Keyed, u64), u32>,
    arrivals: u64,
    /// What is due at which time.
    pub(crate) clock: Clock,
    /// Whose registers the processor has.
    loaded: Option<u32>,
    /// Whose address space the processor has: a process's id.
    space: u32,
    /// Blocks left of the slice.
    left: u64,
    /// The processor's count at the last look.
    blocks: u64,
    slicing: Slicing,
    random: u64,
    /// When the running thread's time was last noted, and what all threads have run, in units of 100 ns.
    noted: Moment,
    busy_units: u64,
}

/// Whether the last run was a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slicing {
    On,
    Off,
}

/// What the scheduler decided.
#[must_use = "the processor runs or does not"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The processor has a thread: it may run so many blocks, `None` for no limit.
    Run(Option<u64>),
    /// Timers come and go and no thread can run yet: look at the host's limits and ask again.
    Idle,
    /// A process has ended, and has yet to be [taken apart](Kernel::end_process).
    Ended,
}

/// A thread that nothing can wake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// Its id.
    pub tid: u32,
    /// What it waits for, in words.
    pub waits_for: String,
    /// Where its wait was called from.
    pub address: VirtAddr,
}

impl Scheduler {
    /// Empty queues; slices are drawn from the seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            ready: Default::default(),
            at_objects: BTreeMap::new(),
            at_addresses: BTreeMap::new(),
            at_keys: BTreeMap::new(),
            arrivals: 0,
            clock: Clock::default(),
            loaded: None,
            space: 0,
            left: SLICE_BLOCKS,
            blocks: 0,
            slicing: Slicing::Off,
            random: seed,
            noted: Moment::default(),
            busy_units: 0,
        }
    }

    /// Puts a thread that can run behind its equals.
    pub(crate) fn make_ready(&mut self, thread: &Thread) {
        if thread.can_run() {
            self.ready[usize::from(thread.priority)].push_back(thread.tid);
        }
    }

    /// Takes a thread out of the ready queues.
    pub(crate) fn not_ready(&mut self, tid: u32) {
        self.ready.iter_mut().for_each(|level| level.retain(|one| *one != tid));
    }

    /// The processor has no thread's registers any more: they are saved, or nobody needs them.
    pub(crate) fn unload(&mut self) {
        self.loaded = None;
    }

    /// Whether the processor has this thread's registers.
    pub(crate) fn is_loaded(&self, tid: u32) -> bool {
        self.loaded == Some(tid)
    }

    /// The first thread is in the processor, with its process's address space.
    pub(crate) fn begin(&mut self, tid: u32, pid: u32) {
        (self.loaded, self.space) = (Some(tid), pid);
    }

    /// The running thread gives the rest of its slice away.
    pub(crate) fn yield_turn(&mut self) {
        self.left = 0;
    }

    /// Units of 100 ns that threads have run.
    pub(crate) const fn busy_units(&self) -> u64 {
        self.busy_units
    }

    pub(crate) const fn note_busy(&mut self, units: u64) {
        self.busy_units += units;
    }

    /// Units of 100 ns since this was asked last; none the first time.
    pub(crate) fn take_elapsed(&mut self, now: Moment) -> u64 {
        let before = std::mem::replace(&mut self.noted, now);
        if before == Moment::default() { 0 } else { now.units().saturating_sub(before.units()) }
    }

    /// A timer is no more.
    pub(crate) fn timer_is_gone(&mut self, id: ObjectId) {
        self.clock.remove(Due::Timer(id));
    }

    /// Whether another thread of at least that priority is ready.
    pub(crate) fn has_ready(&self, priority: u8) -> bool {
        self.ready[usize::from(priority)..].iter().any(|level| !level.is_empty())
    }

    pub(super) fn enter_queues(&mut self, tid: u32, what: &WaitFor) {
        self.arrivals += 1;
        match what {
            WaitFor::Objects { objects, .. } => {
                self.at_objects.extend(objects.iter().map(|id| ((*id, self.arrivals), tid)));
            }
            WaitFor::Address(pid, at) => {
                self.at_addresses.insert((*pid, *at, self.arrivals), tid);
            }
            WaitFor::Key(keyed) => {
                self.at_keys.insert((*keyed, self.arrivals), tid);
            }
            WaitFor::Alert(_) | WaitFor::Loader | WaitFor::File | WaitFor::Time => {}
        }
    }

    pub(super) fn leave_queues(&mut self, tid: u32) {
        self.at_objects.retain(|_, one| *one != tid);
        self.at_addresses.retain(|_, one| *one != tid);
        self.at_keys.retain(|_, one| *one != tid);
    }

    /// Who waits at a side of a key, the first that came.
    pub(super) fn first_at_key(&self, keyed: Keyed) -> Option<u32> {
        self.at_keys.range((keyed, 0)..=(keyed, u64::MAX)).next().map(|(_, tid)| *tid)
    }

    /// Who waits for an object, first come first.
    pub(super) fn waiters_of(&self, id: ObjectId) -> Vec<u32> {
        self.at_objects.range((id, 0)..=(id, u64::MAX)).map(|(_, tid)| *tid).collect()
    }

    /// Who waits at an address of a process, first come first.
    pub(super) fn waiters_at(&self, pid: u32, address: u64) -> impl Iterator<Item = u32> {
        self.at_addresses.range((pid, address, 0)..=(pid, address, u64::MAX)).map(|(_, tid)| *tid)
    }

    /// A new slice: half of [`SLICE_BLOCKS`] up to half as much again, by SplitMix64 (Steele, Lea and Flood 2014).
    fn draw_slice(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        SLICE_BLOCKS / 2 + (mixed ^ (mixed >> 31)) % SLICE_BLOCKS
    }

    /// The thread to run instead of `current`, which is `None` if it cannot run.
    fn successor(&mut self, current: Option<&Thread>) -> Option<u32> {
        let best = self.ready.iter().rposition(|level| !level.is_empty())?;
        if let Some(thread) = current {
            let own = usize::from(thread.priority);
            match best.cmp(&own) {
                std::cmp::Ordering::Less => return None,
                std::cmp::Ordering::Equal if self.left > 0 => return None,
                std::cmp::Ordering::Equal => self.ready[own].push_back(thread.tid),
                // Whoever is pushed aside goes on before its equals.
                std::cmp::Ordering::Greater => self.ready[own].push_front(thread.tid),
            }
        }
        self.ready[best].pop_front()
    }
}

impl Kernel<'_> {
    /// Loads the thread that runs next into the processor. If none can run, time passes to the next thing that is due; if
    /// nothing that is due can wake one, every process [ends](Ending::Deadlock).
    pub fn schedule(&mut self, cpu: &mut dyn Vcpu) -> Turn {
        self.leave_site();
        if self.nt.has_ending_process() {
            return Turn::Ended;
        }
        self.charge(cpu.blocks_executed());
        self.note_time_run();
        self.do_what_is_due();
        for _ in 0..MAX_IDLE_STEPS {
            let threads = &self.nt.threads;
            // A thread that was woken is in a queue, as all others are, even if it ran last.
            let current = threads.current().filter(|thread| thread.is_running());
            match (self.nt.scheduler.successor(current), current.map(|thread| thread.tid)) {
                (Some(next), _) => return self.run_next(cpu, next),
                (None, Some(same)) => return self.run_next(cpu, same),
                (None, None) => {}
            }
            if !self.pass_time() {
                return Turn::Ended;
            }
        }
        Turn::Idle
    }

    fn run_next(&mut self, cpu: &mut dyn Vcpu, tid: u32) -> Turn {
        if !self.nt.scheduler.is_loaded(tid) {
            self.switch_to(cpu, tid);
        }
        self.deliver_apc(cpu);
        Turn::Run(self.slice())
    }

    /// What the last run took of the slice, and of time.
    fn charge(&mut self, blocks: u64) {
        let scheduler = &mut self.nt.scheduler;
        let ran = blocks.saturating_sub(std::mem::replace(&mut scheduler.blocks, blocks));
        scheduler.left = scheduler.left.saturating_sub(ran);
        if scheduler.slicing == Slicing::On && ran > 0 {
            self.host.advance(ran * UNITS_PER_BLOCK);
            self.refresh_clock();
        }
    }

    /// Wakes whose time is over.
    fn do_what_is_due(&mut self) {
        while let Some(due) = self.nt.scheduler.clock.take_due(self.nt.now) {
            match due {
                Due::Wait(tid) => self.wake(tid, NtStatus::TIMEOUT),
                Due::Timer(id) => self.timer_is_due(id),
            }
        }
    }

    /// All threads wait: lets time pass to what is due next. `false` if nothing is, and every process has ended.
    fn pass_time(&mut self) -> bool {
        let useful = self.nt.scheduler.clock.all().any(|due| self.can_wake(due));
        let Some(next) = self.nt.scheduler.clock.next().filter(|_| useful) else {
            self.end_stuck_processes();
            return false;
        };
        self.host.advance(next.units().saturating_sub(self.nt.now.units()));
        self.refresh_clock();
        // The host's clock may count less finely.
        self.nt.now = self.nt.now.max(next);
        self.nt.scheduler.take_elapsed(self.nt.now);
        self.do_what_is_due();
        true
    }

    fn switch_to(&mut self, cpu: &mut dyn Vcpu, tid: u32) {
        let nt = &mut *self.nt;
        if let Some(old) = nt.scheduler.loaded.take().and_then(|old| nt.threads.get_mut(old)) {
            old.registers = cpu.registers();
            if old.state == ThreadState::Running {
                old.state = ThreadState::Ready;
            }
        }
        let thread = nt.threads.known(tid);
        thread.state = ThreadState::Running;
        cpu.set_teb(thread.teb);
        cpu.set_registers(&thread.registers);
        let pid = thread.pid;
        nt.threads.set_current(tid);
        nt.attach(pid);
        if std::mem::replace(&mut nt.scheduler.space, pid) != pid {
            cpu.set_address_space(self.mm.translation(nt.process().id));
        }
        nt.scheduler.loaded = Some(tid);
        nt.scheduler.left = nt.scheduler.draw_slice();
    }

    /// How long the current thread may run: without a limit if nobody else could want the processor meanwhile.
    fn slice(&mut self) -> Option<u64> {
        let scheduler = &mut self.nt.scheduler;
        let due = scheduler.clock.next();
        if due.is_none() && !scheduler.has_ready(0) {
            scheduler.slicing = Slicing::Off;
            return None;
        }
        scheduler.slicing = Slicing::On;
        if scheduler.left == 0 {
            scheduler.left = scheduler.draw_slice();
        }
        let until_due = |at: Moment| at.units().saturating_sub(self.nt.now.units()) / UNITS_PER_BLOCK;
        let limit = due.map_or(u64::MAX, until_due).max(LEAST_BLOCKS);
        Some(scheduler.left.min(limit))
    }

    /// Ends every process that is left: nothing can wake a thread of theirs.
    fn end_stuck_processes(&mut self) {
        let left: Vec<u32> = self.nt.living_processes().map(|process| process.pid).collect();
        for pid in left {
            self.attached(pid, |kernel| {
                let stuck = kernel.stuck_threads(pid);
                kernel.nt.end(Ending::Deadlock(stuck));
            });
        }
    }

    /// Every living thread of the process, what it waits for and from where.
    fn stuck_threads(&mut self, pid: u32) -> Vec<Stuck> {
        let waits: Vec<(u32, String, u64)> = self
            .nt
            .threads
            .living_of(pid)
            .map(|thread| (thread.tid, self.waits_for(thread), thread.registers.gpr[4]))
            .collect();
        waits
            .into_iter()
            .map(|(tid, waits_for, stack)| {
                // A stub's return address is on top of the stack.
                let address = VirtAddr::new(self.read_word(UserPtr::new(stack)).unwrap_or(0));
                Stuck { tid, waits_for, address }
            })
            .collect()
    }

    fn waits_for(&self, thread: &Thread) -> String {
        let all = &self.nt.objects;
        match &thread.wait {
            Some(wait) => match &wait.what {
                WaitFor::Objects { objects, .. } => {
                    let names: Vec<String> = objects.iter().map(|id| all.in_words(*id)).collect();
                    names.join(", ")
                }
                WaitFor::Address(_, at) => format!("a lock or an address, {at:#x}"),
                WaitFor::Key(Keyed { key, role: KeyRole::Wait, .. }) => {
                    format!("a release of key {key:#x} of a keyed event")
                }
                WaitFor::Key(Keyed { key, role: KeyRole::Release, .. }) => {
                    format!("a wait for key {key:#x} of a keyed event, to release it")
                }
                WaitFor::Alert(at) => format!("an alert by its number, at {at:#x}"),
                WaitFor::File => "the other end of a pipe, or a lock of a file".to_owned(),
                WaitFor::Loader => "the loading of a DLL by another thread".to_owned(),
                WaitFor::Time if wait.alertable != Alertable::No => "an APC".to_owned(),
                WaitFor::Time => "nothing: it sleeps for ever".to_owned(),
            },
            None => "a thread to resume it: it is suspended".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thread(tid: u32, priority: u8) -> Thread {
        let object = crate::executive::Objects::default().create(crate::executive::Object::Thread(tid));
        Thread { priority, ..Thread::new(tid, 1, object) }
    }

    #[test]
    fn higher_priority_first_and_equals_in_turn() {
        let mut scheduler = Scheduler::new(0);
        let threads = [thread(1, 8), thread(2, 8), thread(3, 10), thread(4, 7)];
        threads.iter().for_each(|one| scheduler.make_ready(one));
        assert_eq!(scheduler.successor(None), Some(3));
        assert_eq!(scheduler.successor(Some(&threads[2])), None, "nobody above or equal");
        assert_eq!(scheduler.successor(None), Some(1));
        assert_eq!(scheduler.successor(Some(&threads[0])), None, "its slice is not over");
        scheduler.yield_turn();
        assert_eq!(scheduler.successor(Some(&threads[0])), Some(2));
        assert_eq!(scheduler.successor(Some(&threads[1])), Some(1));
        scheduler.make_ready(&threads[2]);
        assert_eq!(scheduler.successor(Some(&threads[0])), Some(3));
        assert_eq!(scheduler.successor(None), Some(1), "the one pushed aside goes on first");
    }

    #[test]
    fn a_suspended_thread_is_in_no_queue() {
        let mut scheduler = Scheduler::new(0);
        scheduler.make_ready(&Thread { suspend_count: 1, ..thread(1, 8) });
        scheduler.make_ready(&thread(2, 8));
        scheduler.not_ready(2);
        assert_eq!(scheduler.successor(None), None);
    }

    #[test]
    fn slices_differ_by_seed_and_are_the_same_for_one_seed() {
        let draw = |seed| {
            let mut scheduler = Scheduler::new(seed);
            [0; 8].map(|_| scheduler.draw_slice())
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert!(draw(3).iter().all(|blocks| (SLICE_BLOCKS / 2..SLICE_BLOCKS * 3 / 2).contains(blocks)));
    }
}
