//! The records of threads, by id, and which of them the processor works for.

use super::apc::Apc;
use super::wait::{Resumed, Wait, WaitFor};
use crate::executive::ObjectId;
use crate::executive::initialisers::Initialisers;
use crate::host::Moment;
use std::collections::{BTreeMap, VecDeque};
use vadose_cpu::Registers;
use vadose_facts::addr::VirtAddr;

/// `STATUS_PENDING`, which is also `STILL_ACTIVE`: the exit code of a thread that runs.
pub(crate) const STILL_ACTIVE: u32 = 0x103;
/// Priority of a normal thread in a process of the normal class.
pub(crate) const DEFAULT_PRIORITY: u8 = 8;

/// A thread.
#[derive(Debug)]
pub struct Thread {
    /// The number that programs know it by.
    pub tid: u32,
    /// Its process's.
    pub pid: u32,
    /// Its environment block.
    pub teb: VirtAddr,
    /// Its array of static TLS blocks.
    pub tls_array: VirtAddr,
    /// Whether it runs, could run, waits, or is gone.
    pub state: ThreadState,
    /// How often it was suspended and not resumed.
    pub suspend_count: u32,
    /// Its priority, 0 to 31.
    pub priority: u8,
    /// What it ended with.
    pub exit_code: u32,
    /// When it began, and when it ended.
    pub(crate) lifetime: (Moment, Option<Moment>),
    /// How long it has run, units of 100 ns.
    pub(crate) ran_units: u64,
    /// The function it began with, as `CreateThread` was given it.
    pub start_address: u64,
    /// Initialisers and terminators that it has yet to call.
    pub initialisers: Initialisers,
    /// What it asked the power to stay on for (`ES_*`), for as long as it says nothing else.
    pub(crate) execution_state: u32,
    /// Whether it asked that no debugger hears of it. There is none.
    pub(crate) hidden_from_debugger: bool,
    /// What it is called, in UTF-16.
    pub name: Vec<u16>,
    /// Its kernel object.
    pub(crate) object: ObjectId,
    /// Its registers while the processor does not have them.
    pub(crate) registers: Registers,
    /// The token that it acts with, if not its process's.
    pub(crate) impersonation: Option<ObjectId>,
    /// What it waits for.
    pub(crate) wait: Option<Wait>,
    /// What a system call that runs again has to know of its first run.
    pub(crate) resumed: Option<Resumed>,
    /// User APCs that it has yet to call.
    pub(crate) apcs: VecDeque<Apc>,
    /// Whether it calls the next of them before it goes on.
    pub(crate) apcs_wanted: bool,
    /// Whether another thread alerted it, for its next alertable wait.
    pub(crate) alerted: bool,
    /// Whether it was alerted by number, for its next wait for that.
    pub(crate) alerted_by_id: bool,
    /// Whether DLLs have yet to hear that it starts.
    pub(crate) attaching: bool,
    /// Its values of fiber-local slots.
    pub(crate) fiber_values: Vec<u64>,
    /// The static TLS area that it was started with, and its bytes.
    pub(crate) tls_area: Option<(u64, u64)>,
    /// The allocation that is its stack, if the kernel made it.
    pub(crate) stack: Option<VirtAddr>,
    /// The lowest committed byte that its stack has when its own code begins, if it has more until then.
    pub(crate) stack_limit_later: Option<VirtAddr>,
}

/// What a thread is doing. Suspension is beside it: a suspended thread can be ready, and does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThreadState {
    /// It could run.
    Ready,
    /// It has the processor.
    Running,
    /// It waits.
    Waiting,
    /// It has ended; its object lives as long as there are handles to it.
    Terminated,
}

/// All threads.
#[derive(Debug, Default)]
pub struct ThreadTable {
    threads: BTreeMap<u32, Thread>,
    current: u32,
}

impl Thread {
    /// A ready thread without memory of its own yet.
    pub(crate) fn new(tid: u32, pid: u32, object: ObjectId) -> Self {
        let nowhere = VirtAddr::new(0);
        Self {
            tid,
            pid,
            teb: nowhere,
            tls_array: nowhere,
            state: ThreadState::Ready,
            suspend_count: 0,
            priority: DEFAULT_PRIORITY,
            exit_code: STILL_ACTIVE,
            lifetime: (Moment::default(), None),
            ran_units: 0,
            start_address: 0,
            execution_state: 0,
            hidden_from_debugger: false,
            name: Vec::new(),
            initialisers: Initialisers::default(),
            object,
            registers: Registers::default(),
            impersonation: None,
            wait: None,
            resumed: None,
            apcs: VecDeque::new(),
            apcs_wanted: false,
            alerted: false,
            alerted_by_id: false,
            attaching: false,
            fiber_values: Vec::new(),
            tls_area: None,
            stack: None,
            stack_limit_later: None,
        }
    }

    /// Whether the scheduler may pick it.
    pub fn can_run(&self) -> bool {
        self.suspend_count == 0 && matches!(self.state, ThreadState::Ready | ThreadState::Running)
    }

    /// Whether it has the processor and may keep it.
    pub fn is_running(&self) -> bool {
        self.suspend_count == 0 && self.state == ThreadState::Running
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.state == ThreadState::Terminated
    }
}

impl ThreadTable {
    pub(crate) fn insert(&mut self, thread: Thread) {
        self.threads.insert(thread.tid, thread);
    }

    pub(crate) fn remove(&mut self, tid: u32) {
        self.threads.remove(&tid);
    }

    /// The thread that the processor works for, or last worked for.
    pub fn current(&self) -> Option<&Thread> {
        self.get(self.current)
    }

    /// The same, to change it.
    pub fn current_mut(&mut self) -> Option<&mut Thread> {
        self.threads.get_mut(&self.current)
    }

    /// The processor works for that thread from now on; answers the one before.
    pub(crate) fn set_current(&mut self, tid: u32) -> u32 {
        std::mem::replace(&mut self.current, tid)
    }

    /// A thread by id, also one that has ended while there are handles to it.
    pub fn get(&self, tid: u32) -> Option<&Thread> {
        self.threads.get(&tid)
    }

    /// The same, to change it.
    pub(crate) fn get_mut(&mut self, tid: u32) -> Option<&mut Thread> {
        self.threads.get_mut(&tid)
    }

    /// A thread that must be there.
    pub(crate) fn known(&mut self, tid: u32) -> &mut Thread {
        self.threads.get_mut(&tid).expect("ids that the kernel keeps are of threads that exist")
    }

    /// All of them, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Thread> {
        self.threads.values()
    }

    /// All of them, oldest first, to change them.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Thread> {
        self.threads.values_mut()
    }

    /// Those of a process that have not ended, oldest first.
    pub fn living_of(&self, pid: u32) -> impl Iterator<Item = &Thread> {
        self.living().filter(move |thread| thread.pid == pid)
    }

    /// Those that wait for something, oldest first.
    pub(super) fn waiting_for(&self, what: &WaitFor) -> Vec<u32> {
        let waits = |thread: &&Thread| thread.wait.as_ref().is_some_and(|wait| wait.what == *what);
        self.iter().filter(waits).map(|thread| thread.tid).collect()
    }

    /// Those that have not ended, oldest first.
    pub fn living(&self) -> impl Iterator<Item = &Thread> {
        self.iter().filter(|thread| !thread.has_ended())
    }
}
