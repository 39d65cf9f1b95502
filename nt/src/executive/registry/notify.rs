//! Waiting for changes of keys: each wish is told once, of the first change that it is about.

use super::hive::KeyId;
use crate::claim::UserPtr;
use crate::executive::thread::{Alertable, Resume, Wait, WaitFor};
use crate::executive::{Apc, Event, Handle, Object, ObjectId, ProcessState, WaitMode};
use crate::kernel::Kernel;
use crate::service::{Answer, Arg, Call, Export, Failure};
use vadose_facts::ntdef::NtStatus;

use Arg::{U32, Word};

/// `KEY_NOTIFY`.
const KEY_NOTIFY: u32 = 0x10;
/// `REG_NOTIFY_CHANGE_*`, all of them, and `REG_NOTIFY_THREAD_AGNOSTIC`, which they all are here.
const FILTERS: u32 = 0xf;
const THREAD_AGNOSTIC: u32 = 0x1000_0000;
/// Wishes that there can be at one time.
const MAX_WATCHES: usize = 4096;

/// The services.
pub(crate) const EXPORTS: &[Export] = &[
    Export::native(
        "NtNotifyChangeKey",
        &[Word, Word, Word, Word, Word, U32, U32, Word, U32, U32],
        notify_change,
    ),
    Export::native(
        "NtNotifyChangeMultipleKeys",
        &[Word, U32, Word, Word, Word, Word, Word, U32, U32, Word, U32, U32],
        notify_change_multiple,
    ),
];

/// What happened to a key, as `REG_NOTIFY_CHANGE_*` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// A subkey came, went, or has another name.
    Name = 0x1,
    /// A value did, or has other data.
    LastSet = 0x4,
}

/// A wish to be told.
#[derive(Clone, Debug)]
pub(super) struct KeyWatch {
    key: KeyId,
    /// The object whose handle it was made with: it goes with it.
    owner: ObjectId,
    pid: u32,
    filter: u32,
    subtree: bool,
    /// Who is told: a status block, an event that is held, a thread that calls a function.
    block: UserPtr,
    event: Option<ObjectId>,
    apc: Option<(u32, Apc)>,
}

/// How a wish is told.
#[derive(Clone, Copy)]
struct Told {
    block: UserPtr,
    event: Handle,
    routine: u64,
    context: u64,
}

/// `NtNotifyChangeKey(key, event, routine, context, *status, filter, subtree, *buffer, length, asynchronous)`.
fn notify_change(call: &mut Call<'_>) -> Answer {
    let told = Told { event: call.handle(1), routine: call.arg(2), context: call.arg(3), block: call.ptr(4) };
    let (filter, subtree, asynchronous) = (call.u32(5), call.u32(6), call.u32(9));
    watch(call, told, filter, subtree & 0xff != 0, asynchronous & 0xff != 0)
}

/// `NtNotifyChangeMultipleKeys(key, count, *others, event, routine, context, *status, filter, subtree, *buffer, length,
/// asynchronous)`: another key beside the first is not watched here.
fn notify_change_multiple(call: &mut Call<'_>) -> Answer {
    match call.u32(1) {
        0 => {}
        1 => return Err(NtStatus::NOT_IMPLEMENTED.into()),
        _ => return Err(NtStatus::INVALID_PARAMETER.into()),
    }
    let told = Told { event: call.handle(3), routine: call.arg(4), context: call.arg(5), block: call.ptr(6) };
    let (filter, subtree, asynchronous) = (call.u32(7), call.u32(8), call.u32(11));
    watch(call, told, filter, subtree & 0xff != 0, asynchronous & 0xff != 0)
}

fn watch(call: &mut Call<'_>, told: Told, filter: u32, subtree: bool, asynchronous: bool) -> Answer {
    call.probe_status_block(told.block)?;
    let wanted = filter & !THREAD_AGNOSTIC;
    if wanted == 0 || wanted & !FILTERS != 0 {
        return Err(NtStatus::INVALID_PARAMETER.into());
    }
    let handle = call.handle(0);
    let key = call.key_of(handle, KEY_NOTIFY)?;
    if call.nt.registry.watches.len() >= MAX_WATCHES {
        return Err(NtStatus::INSUFFICIENT_RESOURCES.into());
    }
    let event = told_event(call, told, asynchronous)?;
    let apc = (asynchronous && told.routine != 0).then(|| {
        let arguments = [told.context, told.block.raw(), 0];
        (call.thread().tid, Apc { routine: told.routine, arguments })
    });
    let (owner, pid) = (call.object_of(handle)?, call.nt.process().pid);
    let watch = KeyWatch { key, owner, pid, filter: wanted, subtree, block: told.block, event, apc };
    call.nt.registry.hive.open(key);
    call.nt.registry.watches.push(watch);
    match event.filter(|_| !asynchronous) {
        None => Ok(u64::from(NtStatus::PENDING.raw())),
        Some(event) => call.block(Wait {
            what: WaitFor::Objects { objects: vec![event], mode: WaitMode::Any },
            deadline: None,
            alertable: Alertable::No,
            resume: Resume::Status { on_timeout: NtStatus::SUCCESS },
        }),
    }
}

/// The event that is set, held: the program's own, or for one who waits in the call an event of the kernel's.
fn told_event(call: &mut Call<'_>, told: Told, asynchronous: bool) -> Result<Option<ObjectId>, Failure> {
    if !asynchronous {
        let event = Object::Event(Event { signalled: false, manual_reset: true });
        return Ok(Some(call.nt.objects.create(event)));
    }
    if told.event == Handle::NULL {
        return Ok(None);
    }
    let id = call.reset_event_of(told.event)?;
    call.nt.objects.hold(id);
    Ok(Some(id))
}

impl Kernel<'_> {
    /// A key changed: whoever wishes to know is told.
    pub(super) fn key_changed(&mut self, key: KeyId, change: Change) {
        let hive = &self.nt.registry.hive;
        let above: Vec<KeyId> = std::iter::successors(Some(key), |key| hive.key(*key).parent).collect();
        let is_about = |watch: &KeyWatch| {
            let place = watch.key == key || watch.subtree && above.contains(&watch.key);
            place && watch.filter & change as u32 != 0
        };
        self.tell_watches(is_about, NtStatus::NOTIFY_ENUM_DIR);
    }

    /// An object of a key is gone: what was wished through it is over.
    pub(super) fn end_watches_of(&mut self, owner: ObjectId) {
        self.tell_watches(|watch| watch.owner == owner, NtStatus::NOTIFY_CLEANUP);
    }

    fn tell_watches(&mut self, is_meant: impl Fn(&KeyWatch) -> bool, status: NtStatus) {
        let all = std::mem::take(&mut self.nt.registry.watches);
        let (told, left): (Vec<_>, Vec<_>) = all.into_iter().partition(|watch| is_meant(watch));
        self.nt.registry.watches = left;
        for watch in told {
            self.tell_watch(watch, status);
        }
    }

    fn tell_watch(&mut self, watch: KeyWatch, status: NtStatus) {
        let process = self.nt.process_by_id(watch.pid);
        if process.is_some_and(|process| process.state == ProcessState::Running) {
            let width = self.pointer_bytes() as usize;
            let mut block = status.raw().to_le_bytes().to_vec();
            block.resize(2 * width, 0);
            // A program that took its own status block away is not told by it.
            let _unwritable = self.attached(watch.pid, |kernel| kernel.write_quietly(watch.block, &block));
            if let Some((tid, apc)) = watch.apc.filter(|(tid, _)| self.nt.threads.get(*tid).is_some()) {
                // A thread that has ended calls nothing.
                let _ended = self.queue_apc(tid, apc);
            }
        }
        if let Some(id) = watch.event {
            if let Object::Event(event) = self.nt.objects.get_mut(id) {
                event.signalled = true;
            }
            self.object_signalled(id);
            self.release_object(id);
        }
        self.nt.registry.hive.close(watch.key);
    }
}
