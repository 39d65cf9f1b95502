//! Events, mutexes, semaphores and waits.

use super::text::Width;
use crate::UserPtr;
use crate::executive::{
    Alertable, Event, Handle, INHERIT, Kind, Made, Mutex, Naming, OPEN_IF, Object, PROGRAMS, Semaphore,
    WaitMode, leave_mutex, read_handles, release_semaphore as release,
};
use crate::service::{Answer, Arg, Call, Export, Failure};
use vadose_facts::ntdef::{NtStatus, Win32Error};

use Arg::{U32, Word};

/// `MAXIMUM_WAIT_OBJECTS`.
const MAX_WAIT_OBJECTS: u32 = 64;
/// Longest name of an object, in characters.
const MAX_NAME: usize = 260;
/// `EVENT_MODIFY_STATE`, `SEMAPHORE_MODIFY_STATE`.
const MODIFY_STATE: u32 = 0x2;
/// `EVENT_ALL_ACCESS`, `SEMAPHORE_ALL_ACCESS`.
const ALL_ACCESS: u32 = 0x1f_0003;
/// `MUTEX_ALL_ACCESS`.
const MUTEX_ALL_ACCESS: u32 = 0x1f_0001;

/// The synchronization functions.
pub(crate) const EXPORTS: &[Export] = &[
    Export::system("CreateEventA", &[Word, U32, U32, Word], create_event_a).set("core-synch"),
    Export::system("CreateEventW", &[Word, U32, U32, Word], create_event_w).set("core-synch"),
    Export::system("CreateEventExA", &[Word, Word, U32, U32], create_event_ex_a).set("core-synch"),
    Export::system("CreateEventExW", &[Word, Word, U32, U32], create_event_ex_w).set("core-synch"),
    Export::system("OpenEventA", &[U32, U32, Word], open_event_a).set("core-synch"),
    Export::system("OpenEventW", &[U32, U32, Word], open_event_w).set("core-synch"),
    Export::system("SetEvent", &[Word], set_event).set("core-synch"),
    Export::system("ResetEvent", &[Word], reset_event).set("core-synch"),
    Export::system("PulseEvent", &[Word], pulse_event).only_in_kernel32(),
    Export::system("CreateMutexA", &[Word, U32, Word], create_mutex_a).set("core-synch"),
    Export::system("CreateMutexW", &[Word, U32, Word], create_mutex_w).set("core-synch"),
    Export::system("CreateMutexExA", &[Word, Word, U32, U32], create_mutex_ex_a).set("core-synch"),
    Export::system("CreateMutexExW", &[Word, Word, U32, U32], create_mutex_ex_w).set("core-synch"),
    Export::system("OpenMutexA", &[U32, U32, Word], open_mutex_a).only_in_kernel32(),
    Export::system("OpenMutexW", &[U32, U32, Word], open_mutex_w).set("core-synch"),
    Export::system("ReleaseMutex", &[Word], release_mutex).set("core-synch"),
    Export::system("CreateSemaphoreA", &[Word, U32, U32, Word], create_semaphore_a).only_in_kernel32(),
    Export::system("CreateSemaphoreW", &[Word, U32, U32, Word], create_semaphore_w).set("core-synch"),
    Export::system("CreateSemaphoreExA", &[Word, U32, U32, Word, U32, U32], create_semaphore_a)
        .only_in_kernel32(),
    Export::system("CreateSemaphoreExW", &[Word, U32, U32, Word, U32, U32], create_semaphore_w)
        .set("core-synch"),
    Export::system("OpenSemaphoreA", &[U32, U32, Word], open_semaphore_a).only_in_kernel32(),
    Export::system("OpenSemaphoreW", &[U32, U32, Word], open_semaphore_w).set("core-synch"),
    Export::system("ReleaseSemaphore", &[Word, U32, Word], release_semaphore).set("core-synch"),
    Export::system("WaitForSingleObject", &[Word, U32], wait_for_single_object)
        .on_failure(0xffff_ffff)
        .set("core-synch"),
    Export::system("WaitForSingleObjectEx", &[Word, U32, U32], wait_for_single_object)
        .on_failure(0xffff_ffff)
        .set("core-synch"),
    Export::system("WaitForMultipleObjects", &[U32, Word, U32, U32], wait_for_multiple_objects)
        .on_failure(0xffff_ffff)
        .set("core-synch"),
    Export::system("WaitForMultipleObjectsEx", &[U32, Word, U32, U32, U32], wait_for_multiple_objects)
        .on_failure(0xffff_ffff)
        .set("core-synch"),
    Export::system("SignalObjectAndWait", &[Word, Word, U32, U32], signal_object_and_wait)
        .on_failure(0xffff_ffff)
        .set("core-synch"),
    Export::system("Sleep", &[U32], sleep).set("core-synch"),
    Export::system("SleepEx", &[U32, U32], sleep).set("core-synch"),
    Export::library("SwitchToThread", &[], switch_to_thread).set("core-processthreads"),
];

/// The attributes of an object that programs share by name: names are looked for in the directory of the session's
/// programs, from which links named `Local` and `Global` lead to it and to that of all sessions.
pub(super) fn program_attributes(
    call: &mut Call<'_>,
    name_at: UserPtr,
    width: Width,
    flags: u32,
) -> Result<Naming, Failure> {
    let name = call.optional_text(name_at, width)?.filter(|name| !name.is_empty());
    let Some(name) = name else { return Ok(Naming { flags, ..Naming::default() }) };
    if name.encode_utf16().count() >= MAX_NAME {
        return Err(Win32Error::FILENAME_EXCED_RANGE.into());
    }
    Ok(Naming::named(&format!("{PROGRAMS}\\{name}"), flags))
}

/// The same for an object to be made, whose security attributes say whether the handle is inherited. An object that is
/// there is opened.
pub(super) fn attributes_to_create(
    call: &mut Call<'_>,
    security_at: UserPtr,
    name_at: UserPtr,
    width: Width,
) -> Result<Naming, Failure> {
    let attributes = program_attributes(call, name_at, width, OPEN_IF)?;
    let inherit = if call.inherits(security_at)? { INHERIT } else { 0 };
    Ok(Naming { flags: attributes.flags | inherit, ..attributes })
}

/// Answers a handle; the last error tells whether its object was there.
pub(super) fn hand_out(call: &mut Call<'_>, made: Made) -> Answer {
    let existed = made.status == NtStatus::OBJECT_NAME_EXISTS;
    call.set_last_error(if existed { Win32Error::ALREADY_EXISTS } else { Win32Error::SUCCESS });
    Ok(made.handle.raw())
}

/// Makes an object, or opens the one of that name. The first argument is its security attributes.
pub(super) fn create(
    call: &mut Call<'_>,
    object: Object,
    access: u32,
    name_at: UserPtr,
    width: Width,
) -> Answer {
    let attributes = attributes_to_create(call, call.ptr(0), name_at, width)?;
    let made = call.make_object(object, access, &attributes)?;
    hand_out(call, made)
}

/// `Open*(access, inherit, name)`.
pub(super) fn open(call: &mut Call<'_>, kind: Kind, width: Width) -> Answer {
    let access = call.u32(0);
    open_as(call, kind, access, width)
}

/// The same with rights that mean something else to the kernel.
pub(super) fn open_as(call: &mut Call<'_>, kind: Kind, access: u32, width: Width) -> Answer {
    let (inherit, name_at) = (call.u32(1), call.ptr(2));
    let attributes = program_attributes(call, name_at, width, if inherit != 0 { INHERIT } else { 0 })?;
    if attributes.name.is_empty() {
        return Err(Win32Error::INVALID_PARAMETER.into());
    }
    Ok(call.open_object(kind, access, &attributes)?.raw())
}

/// Changes an object for which the handle has the right; waits that pass now go on.
fn change<T>(
    call: &mut Call<'_>,
    handle: Handle,
    right: u32,
    apply: impl FnOnce(&mut Object) -> Result<T, NtStatus>,
) -> Result<T, Failure> {
    let handles = call.nt.handles_mut();
    if handles.access(handle)? & right != right {
        return Err(NtStatus::ACCESS_DENIED.into());
    }
    let id = handles.object_id(handle)?;
    let value = apply(handles.objects.get_mut(id))?;
    call.object_signalled(id);
    Ok(value)
}

/// `CreateEvent(attributes, manual reset, initial state, name)`.
fn create_event(call: &mut Call<'_>, width: Width) -> Answer {
    let event = Event { manual_reset: call.u32(1) != 0, signalled: call.u32(2) != 0 };
    let name = call.ptr(3);
    create(call, Object::Event(event), ALL_ACCESS, name, width)
}

/// `CreateEventEx(attributes, name, flags, access)`.
fn create_event_ex(call: &mut Call<'_>, width: Width) -> Answer {
    let (name, flags, access) = (call.ptr(1), call.u32(2), call.u32(3));
    let event = Event { manual_reset: flags & 1 != 0, signalled: flags & 2 != 0 };
    create(call, Object::Event(event), access, name, width)
}

fn create_event_a(call: &mut Call<'_>) -> Answer {
    create_event(call, Width::Narrow)
}

fn create_event_w(call: &mut Call<'_>) -> Answer {
    create_event(call, Width::Wide)
}

fn create_event_ex_a(call: &mut Call<'_>) -> Answer {
    create_event_ex(call, Width::Narrow)
}

fn create_event_ex_w(call: &mut Call<'_>) -> Answer {
    create_event_ex(call, Width::Wide)
}

fn open_event_a(call: &mut Call<'_>) -> Answer {
    open(call, Kind::Event, Width::Narrow)
}

fn open_event_w(call: &mut Call<'_>) -> Answer {
    open(call, Kind::Event, Width::Wide)
}

fn set_event(call: &mut Call<'_>) -> Answer {
    signal(call, true)
}

/// Whoever waits now goes on, and nobody later.
fn pulse_event(call: &mut Call<'_>) -> Answer {
    signal(call, true)?;
    signal(call, false)
}

fn reset_event(call: &mut Call<'_>) -> Answer {
    signal(call, false)
}

fn signal(call: &mut Call<'_>, signalled: bool) -> Answer {
    let handle = call.handle(0);
    change(call, handle, MODIFY_STATE, |object| match object {
        Object::Event(event) => {
            event.signalled = signalled;
            Ok(1)
        }
        _other_kinds => Err(NtStatus::OBJECT_TYPE_MISMATCH),
    })
}

fn new_mutex(call: &Call<'_>, owned: bool) -> Object {
    let owner = owned.then(|| call.thread().tid);
    Object::Mutex(Mutex { owner, depth: u32::from(owned), abandoned: false })
}

/// `CreateMutex(attributes, initial owner, name)`.
fn create_mutex(call: &mut Call<'_>, width: Width) -> Answer {
    let (owned, name) = (call.u32(1) != 0, call.ptr(2));
    let mutex = new_mutex(call, owned);
    create(call, mutex, MUTEX_ALL_ACCESS, name, width)
}

/// `CreateMutexEx(attributes, name, flags, access)`.
fn create_mutex_ex(call: &mut Call<'_>, width: Width) -> Answer {
    let (name, owned, access) = (call.ptr(1), call.u32(2) & 1 != 0, call.u32(3));
    let mutex = new_mutex(call, owned);
    create(call, mutex, access, name, width)
}

fn create_mutex_a(call: &mut Call<'_>) -> Answer {
    create_mutex(call, Width::Narrow)
}

fn create_mutex_w(call: &mut Call<'_>) -> Answer {
    create_mutex(call, Width::Wide)
}

fn create_mutex_ex_a(call: &mut Call<'_>) -> Answer {
    create_mutex_ex(call, Width::Narrow)
}

fn create_mutex_ex_w(call: &mut Call<'_>) -> Answer {
    create_mutex_ex(call, Width::Wide)
}

fn open_mutex_a(call: &mut Call<'_>) -> Answer {
    open(call, Kind::Mutant, Width::Narrow)
}

fn open_mutex_w(call: &mut Call<'_>) -> Answer {
    open(call, Kind::Mutant, Width::Wide)
}

fn release_mutex(call: &mut Call<'_>) -> Answer {
    let (handle, me) = (call.handle(0), call.thread().tid);
    change(call, handle, 0, |object| match object {
        Object::Mutex(mutex) => leave_mutex(mutex, me).map(|_| 1),
        _other_kinds => Err(NtStatus::OBJECT_TYPE_MISMATCH),
    })
}

/// `CreateSemaphore(attributes, initial, maximum, name)`, and `Ex` with flags and access behind.
fn create_semaphore(call: &mut Call<'_>, width: Width) -> Answer {
    let (count, maximum, name) = (call.i32(1), call.i32(2), call.ptr(3));
    let access = if call.argument_count() == 6 { call.u32(5) } else { ALL_ACCESS };
    if count < 0 || maximum <= 0 || count > maximum {
        return Err(Win32Error::INVALID_PARAMETER.into());
    }
    let semaphore = Semaphore { count: count.cast_unsigned(), maximum: maximum.cast_unsigned() };
    create(call, Object::Semaphore(semaphore), access, name, width)
}

fn create_semaphore_a(call: &mut Call<'_>) -> Answer {
    create_semaphore(call, Width::Narrow)
}

fn create_semaphore_w(call: &mut Call<'_>) -> Answer {
    create_semaphore(call, Width::Wide)
}

fn open_semaphore_a(call: &mut Call<'_>) -> Answer {
    open(call, Kind::Semaphore, Width::Narrow)
}

fn open_semaphore_w(call: &mut Call<'_>) -> Answer {
    open(call, Kind::Semaphore, Width::Wide)
}

/// `ReleaseSemaphore(semaphore, count, *previous)`.
fn release_semaphore(call: &mut Call<'_>) -> Answer {
    let (handle, count, previous_at) = (call.handle(0), call.i32(1), call.ptr(2));
    let add = u32::try_from(count).ok().filter(|add| *add > 0);
    let add = add.ok_or(Failure::Error(Win32Error::INVALID_PARAMETER))?;
    let previous = change(call, handle, MODIFY_STATE, |object| match object {
        Object::Semaphore(semaphore) => release(semaphore, add),
        _other_kinds => Err(NtStatus::OBJECT_TYPE_MISMATCH),
    })?;
    if !previous_at.is_null() {
        call.write_u32(previous_at, previous)?;
    }
    Ok(1)
}

/// `WaitForSingleObject(handle, milliseconds)`, and `Ex` with alertable behind.
fn wait_for_single_object(call: &mut Call<'_>) -> Answer {
    let (handle, milliseconds) = (call.handle(0), call.u32(1));
    let alertable = if call.argument_count() == 3 { call.u32(2) } else { 0 };
    let timeout = call.timeout_after(milliseconds);
    call.wait_for(&[handle], WaitMode::Any, Alertable::from_guest(alertable), timeout)
}

/// `WaitForMultipleObjects(count, *handles, all, milliseconds)`, and `Ex` with alertable behind.
fn wait_for_multiple_objects(call: &mut Call<'_>) -> Answer {
    let (count, at, all, milliseconds) = (call.u32(0), call.ptr(1), call.u32(2) != 0, call.u32(3));
    let alertable = if call.argument_count() == 5 { call.u32(4) } else { 0 };
    if count == 0 || count > MAX_WAIT_OBJECTS {
        return Err(Win32Error::INVALID_PARAMETER.into());
    }
    let handles = read_handles(call, count, at)?;
    let mode = if all { WaitMode::All } else { WaitMode::Any };
    let timeout = call.timeout_after(milliseconds);
    call.wait_for(&handles, mode, Alertable::from_guest(alertable), timeout)
}

/// `SignalObjectAndWait(signal, wait, milliseconds, alertable)`.
fn signal_object_and_wait(call: &mut Call<'_>) -> Answer {
    let (signalled, waited, milliseconds, alertable) =
        (call.handle(0), call.handle(1), call.u32(2), call.u32(3));
    call.waitable(waited)?;
    call.signal_object(signalled)?;
    let timeout = call.timeout_after(milliseconds);
    call.wait_for(&[waited], WaitMode::Any, Alertable::from_guest(alertable), timeout)
}

/// `Sleep(milliseconds)`, and `Ex` with alertable behind: virtual time passes.
fn sleep(call: &mut Call<'_>) -> Answer {
    let milliseconds = call.u32(0);
    let alertable = if call.argument_count() == 2 { call.u32(1) } else { 0 };
    let timeout = call.timeout_after(milliseconds);
    call.wait_for_time(Alertable::from_guest(alertable), timeout)
}

/// Whether another thread got the processor.
fn switch_to_thread(call: &mut Call<'_>) -> Answer {
    let priority = call.thread().priority;
    let others = call.nt.scheduler.has_ready(priority);
    call.nt.scheduler.yield_turn();
    Ok(u64::from(others))
}
