//! Objects that threads wait for: when a wait passes, what it takes, and whom a change lets go on.

use super::wait::{WaitFor, WaitMode};
use crate::executive::{Handle, Object, ObjectId, Objects, ProcessState};
use crate::kernel::{Kernel, Lives};
use vadose_facts::ntdef::NtStatus;

/// What a wait that passes finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Acquired {
    /// The object as it should be.
    Plainly,
    /// A mutex whose owner ended without leaving it.
    Abandoned,
}

/// Whether a wait of thread `me` for the object passes now.
fn is_signalled(object: &Object, me: u32, lives: Lives<'_>) -> bool {
    match object {
        Object::Event(event) => event.signalled,
        Object::Mutex(mutex) => mutex.owner.is_none_or(|owner| owner == me),
        Object::Semaphore(semaphore) => semaphore.count > 0,
        Object::Timer(timer) => timer.signalled,
        Object::Thread(tid) => lives.threads.get(*tid).is_none_or(|thread| thread.has_ended()),
        Object::Process(pid) => lives.processes.get(pid).is_none_or(|it| it.state == ProcessState::Ended),
        Object::Console(_) | Object::File(_) => true,
        // Who waits for the handle waits for what was asked for through it.
        Object::Pipe(end) => end.pending.is_empty(),
        Object::CompletionPort(port) => port.has_packets(),
        // As in Windows, where the kernel waits with what is no part of the object.
        Object::KeyedEvent => true,
        Object::Section(_)
        | Object::Token(_)
        | Object::Job(_)
        | Object::Key(_)
        | Object::Directory(_)
        | Object::SymbolicLink(_)
        | Object::Search(_)
        | Object::Other => false,
    }
}

/// Whether an object of that kind can be waited for at all.
fn can_be_waited_for(object: &Object) -> bool {
    match object {
        Object::Event(_)
        | Object::Mutex(_)
        | Object::Semaphore(_)
        | Object::Timer(_)
        | Object::Thread(_)
        | Object::Process(_)
        | Object::Console(_)
        | Object::CompletionPort(_)
        | Object::KeyedEvent
        | Object::Pipe(_)
        | Object::File(_) => true,
        Object::Section(_)
        | Object::Token(_)
        | Object::Job(_)
        | Object::Key(_)
        | Object::Directory(_)
        | Object::SymbolicLink(_)
        | Object::Search(_)
        | Object::Other => false,
    }
}

/// What a wait of thread `me` that passes does to the object.
fn acquire(object: &mut Object, me: u32) -> Acquired {
    match object {
        Object::Event(event) => event.signalled &= event.manual_reset,
        Object::Semaphore(semaphore) => semaphore.count -= 1,
        Object::Timer(timer) => timer.signalled &= timer.manual_reset,
        Object::Mutex(mutex) => {
            mutex.owner = Some(me);
            mutex.depth = mutex.depth.saturating_add(1);
            if std::mem::take(&mut mutex.abandoned) {
                return Acquired::Abandoned;
            }
        }
        Object::Process(_)
        | Object::Thread(_)
        | Object::Console(_)
        | Object::File(_)
        | Object::Pipe(_)
        | Object::CompletionPort(_)
        | Object::Section(_)
        | Object::Token(_)
        | Object::Job(_)
        | Object::Key(_)
        | Object::Directory(_)
        | Object::SymbolicLink(_)
        | Object::KeyedEvent
        | Object::Search(_)
        | Object::Other => {}
    }
    Acquired::Plainly
}

/// The status of a wait that passes, if it does: all of it is taken at once or nothing.
fn satisfy(
    all: &mut Objects,
    lives: Lives<'_>,
    objects: &[ObjectId],
    mode: WaitMode,
    me: u32,
) -> Option<NtStatus> {
    let passes = |all: &Objects, id: &ObjectId| is_signalled(all.get(*id), me, lives);
    let status = match mode {
        WaitMode::Any => {
            let index = objects.iter().position(|id| passes(all, id))?;
            let base = match acquire(all.get_mut(objects[index]), me) {
                Acquired::Plainly => NtStatus::SUCCESS,
                Acquired::Abandoned => NtStatus::ABANDONED_WAIT_0,
            };
            NtStatus::new(base.raw() + index as u32)
        }
        WaitMode::All => {
            if !objects.iter().all(|id| passes(all, id)) {
                return None;
            }
            let taken: Vec<Acquired> = objects.iter().map(|id| acquire(all.get_mut(*id), me)).collect();
            let abandoned = taken.contains(&Acquired::Abandoned);
            if abandoned { NtStatus::ABANDONED_WAIT_0 } else { NtStatus::SUCCESS }
        }
    };
    Some(status)
}

/// `SYNCHRONIZE`.
const SYNCHRONIZE: u32 = 0x10_0000;

impl Kernel<'_> {
    /// The object of a handle, pseudo handles included.
    ///
    /// # Errors
    ///
    /// `INVALID_HANDLE`.
    pub(crate) fn object_of(&self, handle: Handle) -> Result<ObjectId, NtStatus> {
        self.nt.handles().object_id(handle)
    }

    /// The object of a handle that may be waited for.
    ///
    /// # Errors
    ///
    /// `INVALID_HANDLE`; `ACCESS_DENIED` without `SYNCHRONIZE`; `OBJECT_TYPE_MISMATCH` for what cannot be waited for.
    pub(crate) fn waitable(&self, handle: Handle) -> Result<ObjectId, NtStatus> {
        let id = self.object_of(handle)?;
        let handles = self.nt.handles();
        if handles.access(handle)? & SYNCHRONIZE == 0 {
            return Err(NtStatus::ACCESS_DENIED);
        }
        if can_be_waited_for(handles.objects.get(id)) { Ok(id) } else { Err(NtStatus::OBJECT_TYPE_MISMATCH) }
    }

    /// Takes what a wait of thread `me` asks for, if it is all there.
    pub(super) fn satisfy(&mut self, objects: &[ObjectId], mode: WaitMode, me: u32) -> Option<NtStatus> {
        let (all, lives) = self.nt.objects_and_lives();
        satisfy(all, lives, objects, mode, me)
    }

    /// Lets the waits go on that an object's change made pass, first come, first served.
    pub(crate) fn object_signalled(&mut self, id: ObjectId) {
        for tid in self.nt.scheduler.waiters_of(id) {
            let Some(wait) = self.nt.threads.get(tid).and_then(|thread| thread.wait.as_ref()) else {
                continue;
            };
            let WaitFor::Objects { objects, mode } = &wait.what else { continue };
            let (objects, mode) = (objects.clone(), *mode);
            if let Some(status) = self.satisfy(&objects, mode, tid) {
                self.wake(tid, status);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executive::{Event, Mutex, Semaphore, ThreadTable};
    use std::collections::BTreeMap;

    const EVENT: Event = Event { signalled: true, manual_reset: false };

    /// These objects, and their ids.
    fn table<const N: usize>(objects: [Object; N]) -> (Objects, [ObjectId; N]) {
        let mut all = Objects::default();
        let ids = objects.map(|object| all.create(object));
        (all, ids)
    }

    fn wait(all: &mut Objects, ids: &[ObjectId], mode: WaitMode) -> Option<u32> {
        let lives = Lives { threads: &ThreadTable::default(), processes: &BTreeMap::new() };
        satisfy(all, lives, ids, mode, 1).map(NtStatus::raw)
    }

    #[test]
    fn a_wait_takes_what_it_waited_for() {
        let manual = Event { manual_reset: true, ..EVENT };
        let objects = [
            Object::Event(EVENT),
            Object::Event(manual),
            Object::Semaphore(Semaphore { count: 1, maximum: 2 }),
        ];
        let (mut all, ids) = table(objects);
        let first = ids.map(|id| wait(&mut all, &[id], WaitMode::Any));
        assert_eq!(first, [Some(0); 3]);
        let second = ids.map(|id| wait(&mut all, &[id], WaitMode::Any));
        assert_eq!(second, [None, Some(0), None]);
    }

    #[test]
    fn a_wait_for_all_takes_nothing_until_all_are_there() {
        let objects = [Object::Event(EVENT), Object::Event(Event { signalled: false, ..EVENT })];
        let (mut all, ids) = table(objects);
        assert_eq!(wait(&mut all, &ids, WaitMode::All), None);
        assert_eq!(all.get(ids[0]), &Object::Event(EVENT), "still set");
        *all.get_mut(ids[1]) = Object::Event(EVENT);
        assert_eq!(wait(&mut all, &ids, WaitMode::All), Some(0));
        assert_eq!(wait(&mut all, &ids, WaitMode::Any), None, "both were taken");
    }

    #[test]
    fn the_first_that_passes_names_the_result_and_an_abandoned_mutex_says_so_once() {
        let unset = Object::Event(Event { signalled: false, ..EVENT });
        let mutex = Mutex { owner: None, depth: 0, abandoned: true };
        let (mut all, ids) = table([unset, Object::Mutex(mutex)]);
        assert_eq!(wait(&mut all, &ids, WaitMode::Any), Some(0x81));
        assert_eq!(wait(&mut all, &ids, WaitMode::Any), Some(1), "the owner gets it again");
    }
}
