//! Waits: what a thread waits for, how long, and how the system call that blocked gets its result.

use super::clock::Due;
use super::table::ThreadState;
use crate::executive::{Handle, ObjectId};
use crate::host::Moment;
use crate::kernel::Kernel;
use crate::service::{Answer, Call, SYSTEM_CALL_BYTES, set_result};
use vadose_facts::ntdef::NtStatus;

/// A thread's wait.
#[derive(Clone, Debug)]
pub(crate) struct Wait {
    /// For what.
    pub(crate) what: WaitFor,
    /// When it ends by time, `None` for never.
    pub(crate) deadline: Option<Moment>,
    /// Whether a user APC ends it.
    pub(crate) alertable: Alertable,
    /// How the result reaches the thread.
    pub(crate) resume: Resume,
}

/// What a thread waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WaitFor {
    /// Objects.
    Objects {
        /// Which.
        objects: Vec<ObjectId>,
        /// One of them or all.
        mode: WaitMode,
    },
    /// Somebody wakes this address of this process: locks, condition variables, `WaitOnAddress`.
    Address(u32, u64),
    /// The other side of a key of a keyed event.
    Key(Keyed),
    /// An alert by its number; the address is what it says that it waits at.
    Alert(u64),
    /// Another thread is done with loading or unloading DLLs.
    Loader,
    /// Something happens to a pipe or to a lock of a file.
    File,
    /// Only time.
    Time,
}

/// One side of a key of a keyed event. Keys are a process's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Keyed {
    /// The event.
    pub(crate) event: ObjectId,
    /// The process.
    pub(crate) pid: u32,
    /// The key, usually an address.
    pub(crate) key: u64,
    /// The side.
    pub(crate) role: KeyRole,
}

/// The sides of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum KeyRole {
    /// Waits to be released.
    Wait,
    /// Waits for somebody to release.
    Release,
}

impl Keyed {
    /// The side that it meets.
    pub(crate) fn other(self) -> Self {
        let role = match self.role {
            KeyRole::Wait => KeyRole::Release,
            KeyRole::Release => KeyRole::Wait,
        };
        Self { role, ..self }
    }
}

impl WaitFor {
    /// Objects that live as long as the wait.
    fn held(&self) -> &[ObjectId] {
        match self {
            Self::Objects { objects, .. } => objects,
            Self::Key(keyed) => std::slice::from_ref(&keyed.event),
            Self::Address(..) | Self::Alert(_) | Self::Loader | Self::File | Self::Time => &[],
        }
    }
}

/// How many of the objects a wait needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitMode {
    /// One.
    Any,
    /// All, at one moment.
    All,
}

/// What ends a wait beside what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alertable {
    /// A user APC, and another thread's alert.
    Yes,
    /// A user APC: Win32 functions begin again after an alert.
    Apcs,
    /// Nothing.
    No,
}

impl Alertable {
    /// From a `BOOL` of a Win32 function.
    pub(crate) fn from_guest(raw: u32) -> Self {
        if raw == 0 { Self::No } else { Self::Apcs }
    }

    /// From a `BOOLEAN` of a native service.
    pub(crate) fn from_native(raw: u32) -> Self {
        if raw & 0xff == 0 { Self::No } else { Self::Yes }
    }
}

/// How the result of a wait reaches the thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resume {
    /// The status is the system call's result.
    Status {
        /// What it is if the time ran out.
        on_timeout: NtStatus,
    },
    /// The system call runs again and finds the status in [`Resumed`].
    Retry,
    /// The system call runs again and finds what an earlier wait of it ended with.
    RetryKnowing(Resumed),
}

/// What a system call that runs again knows of its first run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resumed {
    /// Its deadline, `None` for never.
    pub(crate) deadline: Option<Moment>,
    /// How the wait ended.
    pub(crate) status: NtStatus,
}

/// How long a wait may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timeout {
    /// It passes at once or not at all.
    Poll,
    /// Until this moment.
    At(Moment),
    /// For ever.
    Never,
}

/// `INFINITE`.
const INFINITE: u32 = u32::MAX;

impl Timeout {
    /// When it is over.
    pub(crate) fn deadline(self, now: Moment) -> Option<Moment> {
        match self {
            Self::Poll => Some(now),
            Self::At(at) => Some(at),
            Self::Never => None,
        }
    }
}

impl Kernel<'_> {
    /// A Win32 time limit in milliseconds from now.
    pub(crate) fn timeout_after(&self, milliseconds: u32) -> Timeout {
        match milliseconds {
            0 => Timeout::Poll,
            INFINITE => Timeout::Never,
            some => Timeout::At(self.later(u64::from(some) * Moment::PER_MILLISECOND)),
        }
    }

    /// The moment so many 100 ns units from now.
    pub(crate) fn later(&self, units: u64) -> Moment {
        Moment::new(self.nt.now.units().saturating_add(units))
    }

    /// Ends a thread's wait with a status.
    pub(crate) fn wake(&mut self, tid: u32, status: NtStatus) {
        let bitness = self.nt.edition.bitness;
        let thread = self.nt.threads.known(tid);
        let wait = thread.wait.take().expect("only a thread that waits is woken");
        thread.state = ThreadState::Ready;
        match wait.resume {
            Resume::Status { on_timeout } => {
                let status = if status == NtStatus::TIMEOUT { on_timeout } else { status };
                set_result(&mut thread.registers, bitness, u64::from(status.raw()));
            }
            Resume::Retry => thread.resumed = Some(Resumed { deadline: wait.deadline, status }),
            Resume::RetryKnowing(known) => thread.resumed = Some(known),
        }
        self.forget_wait(tid, &wait);
        self.nt.scheduler.make_ready(self.nt.threads.known(tid));
    }

    /// Takes a wait out of the queues and gives back what it held.
    pub(super) fn forget_wait(&mut self, tid: u32, wait: &Wait) {
        if wait.deadline.is_some() {
            self.nt.scheduler.clock.remove(Due::Wait(tid));
        }
        self.nt.scheduler.leave_queues(tid);
        for id in wait.what.held() {
            self.release_object(*id);
        }
    }

    /// Who waits at an address of the process, first come first.
    pub(crate) fn waiters_at(&self, address: u64) -> impl Iterator<Item = u32> {
        self.nt.scheduler.waiters_at(self.nt.process().pid, address)
    }

    /// Wakes the thread that waits at one side of a key, the first that came; `false` if there is none.
    pub(crate) fn wake_keyed(&mut self, keyed: Keyed) -> bool {
        let first = self.nt.scheduler.first_at_key(keyed);
        if let Some(tid) = first {
            self.wake(tid, NtStatus::SUCCESS);
        }
        first.is_some()
    }

    /// Alerts a thread: an alertable wait of it ends, now or at its beginning.
    pub(crate) fn alert_thread(&mut self, tid: u32) {
        let thread = self.nt.threads.known(tid);
        match thread.wait {
            Some(Wait { alertable: Alertable::Yes, .. }) => self.wake(tid, NtStatus::ALERTED),
            Some(Wait { alertable: Alertable::Apcs | Alertable::No, .. }) | None => thread.alerted = true,
        }
    }

    /// Alerts a thread of the process by its number: a wait for just that ends, now or at its beginning.
    ///
    /// # Errors
    ///
    /// `INVALID_CID` for a number that no living thread has, `ACCESS_DENIED` for another process's thread.
    pub(crate) fn alert_by_id(&mut self, id: u64) -> Result<(), NtStatus> {
        let pid = self.nt.process().pid;
        let thread = u32::try_from(id).ok().and_then(|id| self.nt.threads.get_mut(id & !3));
        let thread = thread.filter(|thread| !thread.has_ended()).ok_or(NtStatus::INVALID_CID)?;
        if thread.pid != pid {
            return Err(NtStatus::ACCESS_DENIED);
        }
        let tid = thread.tid;
        if matches!(&thread.wait, Some(Wait { what: WaitFor::Alert(_), .. })) {
            self.wake(tid, NtStatus::ALERTED);
        } else {
            thread.alerted_by_id = true;
        }
        Ok(())
    }

    /// Wakes threads that wait at an address, first come, first served; answers how many.
    pub(crate) fn wake_address(&mut self, address: u64, most: usize) -> usize {
        let woken: Vec<u32> = self.waiters_at(address).take(most).collect();
        for tid in &woken {
            self.wake(*tid, NtStatus::SUCCESS);
        }
        woken.len()
    }

    /// Lets the threads go on that wait for the loader, if it is free now.
    pub(crate) fn loader_changed(&mut self) {
        let pid = self.nt.process().pid;
        if self.nt.threads.living_of(pid).any(|thread| thread.initialisers.is_busy()) {
            return;
        }
        let waits =
            |thread: &&super::Thread| thread.wait.as_ref().is_some_and(|wait| wait.what == WaitFor::Loader);
        let woken: Vec<u32> = self.nt.threads.living_of(pid).filter(waits).map(|thread| thread.tid).collect();
        for tid in woken {
            self.wake(tid, NtStatus::SUCCESS);
        }
    }

    /// Something happened to a pipe or to a lock of a file: who waits for such a thing looks again.
    pub(crate) fn file_changed(&mut self) {
        for tid in self.nt.threads.waiting_for(&WaitFor::File) {
            self.wake(tid, NtStatus::SUCCESS);
        }
    }

    /// Calls a thread's wait in an operation of a file off; whether there was one.
    pub(crate) fn cancel_file_wait(&mut self, tid: u32) -> bool {
        let waits = self.nt.threads.waiting_for(&WaitFor::File).contains(&tid);
        if waits {
            self.wake(tid, NtStatus::CANCELLED);
        }
        waits
    }

    /// Whether another thread is in the loader: calling entry points, or about to.
    pub(crate) fn loader_is_taken(&self) -> bool {
        let (me, pid) = (self.thread().tid, self.nt.process().pid);
        self.nt.threads.living_of(pid).any(|thread| thread.tid != me && thread.initialisers.is_busy())
    }
}

impl Call<'_> {
    /// Waits for objects. The result is the status of the wait: the index of the object, `ABANDONED_WAIT_0` and the index,
    /// `TIMEOUT`, `USER_APC`.
    ///
    /// # Errors
    ///
    /// As [`waitable`](Kernel::waitable); `INVALID_PARAMETER_MIX` for a wait for all with one object twice.
    pub(crate) fn wait_for(
        &mut self,
        handles: &[Handle],
        mode: WaitMode,
        alertable: Alertable,
        timeout: Timeout,
    ) -> Answer {
        let mut objects = Vec::with_capacity(handles.len());
        for handle in handles {
            let id = self.waitable(*handle)?;
            if mode == WaitMode::All && objects.contains(&id) {
                return Err(NtStatus::INVALID_PARAMETER_MIX.into());
            }
            objects.push(id);
        }
        let me = self.thread().tid;
        if let Some(status) = self.satisfy(&objects, mode, me) {
            return Ok(u64::from(status.raw()));
        }
        if let Some(status) = self.alerted(alertable) {
            return Ok(u64::from(status.raw()));
        }
        if timeout == Timeout::Poll {
            return Ok(u64::from(NtStatus::TIMEOUT.raw()));
        }
        let deadline = timeout.deadline(self.nt.now);
        let resume = Resume::Status { on_timeout: NtStatus::TIMEOUT };
        self.block(Wait { what: WaitFor::Objects { objects, mode }, deadline, alertable, resume })
    }

    /// Waits for time only. `SUCCESS` when it is over.
    pub(crate) fn wait_for_time(&mut self, alertable: Alertable, timeout: Timeout) -> Answer {
        if let Some(status) = self.alerted(alertable) {
            return Ok(u64::from(status.raw()));
        }
        if timeout == Timeout::Poll {
            self.nt.scheduler.yield_turn();
            return Ok(0);
        }
        let deadline = timeout.deadline(self.nt.now);
        let resume = Resume::Status { on_timeout: NtStatus::SUCCESS };
        self.block(Wait { what: WaitFor::Time, deadline, alertable, resume })
    }

    /// Blocks until the other side of a key comes. The handler returns what this answers.
    pub(crate) fn block_for_key(&mut self, keyed: Keyed, alertable: Alertable, timeout: Timeout) -> Answer {
        let deadline = timeout.deadline(self.nt.now);
        let resume = Resume::Status { on_timeout: NtStatus::TIMEOUT };
        self.block(Wait { what: WaitFor::Key(keyed), deadline, alertable, resume })
    }

    /// Waits to be alerted by number. `ALERTED` when it is, `TIMEOUT`.
    pub(crate) fn wait_for_alert(&mut self, address: u64, timeout: Timeout) -> Answer {
        if std::mem::take(&mut self.nt.current_thread_mut().alerted_by_id) {
            return Ok(u64::from(NtStatus::ALERTED.raw()));
        }
        if timeout == Timeout::Poll {
            return Ok(u64::from(NtStatus::TIMEOUT.raw()));
        }
        let deadline = timeout.deadline(self.nt.now);
        let resume = Resume::Status { on_timeout: NtStatus::TIMEOUT };
        let what = WaitFor::Alert(address);
        self.block(Wait { what, deadline, alertable: Alertable::No, resume })
    }

    /// Blocks until `address` is woken, then runs this system call again. `deadline` is `None` for never.
    pub(crate) fn block_at(&mut self, address: u64, deadline: Option<Moment>) -> Answer {
        let what = WaitFor::Address(self.nt.process().pid, address);
        self.block(Wait { what, deadline, alertable: Alertable::No, resume: Resume::Retry })
    }

    /// Blocks a call that runs again already until `address` is woken; it goes on knowing what it knows.
    pub(crate) fn block_resumed_at(&mut self, address: u64, known: Resumed) -> Answer {
        let what = WaitFor::Address(self.nt.process().pid, address);
        let resume = Resume::RetryKnowing(known);
        self.block(Wait { what, deadline: None, alertable: Alertable::No, resume })
    }

    /// Blocks until a completion port has a packet, then runs this system call again.
    ///
    /// # Errors
    ///
    /// None: what a handler returns.
    pub(crate) fn block_for_packet(
        &mut self,
        port: ObjectId,
        deadline: Option<Moment>,
        alertable: Alertable,
    ) -> Answer {
        let what = WaitFor::Objects { objects: vec![port], mode: WaitMode::Any };
        self.block(Wait { what, deadline, alertable, resume: Resume::Retry })
    }

    /// Blocks until something happens to a pipe or to a lock of a file, or until the deadline, then runs this system call
    /// again.
    pub(crate) fn block_for_file(&mut self, deadline: Option<Moment>) -> Answer {
        self.block(Wait { what: WaitFor::File, deadline, alertable: Alertable::No, resume: Resume::Retry })
    }

    /// Blocks until no other thread is in the loader, then runs this system call again.
    pub(crate) fn block_for_loader(&mut self) -> Answer {
        let wait =
            Wait { what: WaitFor::Loader, deadline: None, alertable: Alertable::No, resume: Resume::Retry };
        self.block(wait)
    }

    /// Takes the thread off the processor until its wait ends. The handler returns what this answers.
    pub(crate) fn block(&mut self, wait: Wait) -> Answer {
        let mut registers = self.cpu.registers();
        match wait.resume {
            Resume::Status { .. } => {}
            Resume::Retry | Resume::RetryKnowing(_) => {
                registers.ip = registers.ip.wrapping_sub(SYSTEM_CALL_BYTES);
            }
        }
        let tid = self.thread().tid;
        if let Some(at) = wait.deadline {
            self.nt.scheduler.clock.add(at, Due::Wait(tid));
        }
        for id in wait.what.held() {
            self.nt.objects.hold(*id);
        }
        self.nt.scheduler.enter_queues(tid, &wait.what);
        let thread = self.nt.threads.known(tid);
        thread.registers = registers;
        thread.wait = Some(wait);
        thread.state = ThreadState::Waiting;
        self.nt.scheduler.unload();
        self.registers_parked();
        Ok(0)
    }

    /// What this system call left behind when it blocked, if it runs again.
    pub(crate) fn resumed(&self) -> Option<Resumed> {
        self.thread().resumed
    }
}
