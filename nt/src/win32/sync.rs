//! Events, mutexes, semaphores and waits, for a process of one thread: a wait either passes, or ends by time, or never.

use super::heap::raise;
use super::text::Width;
use crate::UserPtr;
use crate::executive::{Event, Handle, Mutex, Object, Semaphore};
use crate::host::Moment;
use crate::service::{Answer, Arg, Call, Export, Failure};
use vadose_facts::ntdef::{NtStatus, Win32Error};

use Arg::{U32, Word};

/// `INFINITE`.
const INFINITE: u32 = u32::MAX;
/// `WAIT_TIMEOUT`.
const TIMED_OUT: u64 = 258;
/// `MAXIMUM_WAIT_OBJECTS`.
const MAX_WAIT_OBJECTS: u32 = 64;
/// Longest name of an object, in characters.
const MAX_NAME: usize = 260;
/// `SYNCHRONIZE`.
const SYNCHRONIZE: u32 = 0x10_0000;
/// `EVENT_MODIFY_STATE`, `SEMAPHORE_MODIFY_STATE`.
const MODIFY_STATE: u32 = 0x2;
/// `EVENT_ALL_ACCESS`, `SEMAPHORE_ALL_ACCESS`.
const ALL_ACCESS: u32 = 0x1f_0003;
/// `MUTEX_ALL_ACCESS`.
const MUTEX_ALL_ACCESS: u32 = 0x1f_0001;
/// An exception that cannot be continued from.
const NONCONTINUABLE: u32 = 1;
/// `ERROR_FILENAME_EXCED_RANGE`.
const NAME_TOO_LONG: Win32Error = Win32Error::new(206);

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
    Export::system("PulseEvent", &[Word], reset_event).only_in_kernel32(),
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

/// Ends a wait that nothing can end: there is no second thread to do it. The exception is the one with which Windows
/// gives up a critical section that nobody leaves.
pub(super) fn deadlock(call: &mut Call<'_>) -> Answer {
    raise(call, NtStatus::POSSIBLE_DEADLOCK, NONCONTINUABLE);
    Ok(0)
}

/// The object's name: the session's and the system's names are the same here.
fn object_name(call: &mut Call<'_>, at: UserPtr, width: Width) -> Result<Option<String>, Failure> {
    let Some(name) = call.optional_text(at, width)? else { return Ok(None) };
    let plain = name.strip_prefix("Local\\").or_else(|| name.strip_prefix("Global\\")).unwrap_or(&name);
    if plain.encode_utf16().count() >= MAX_NAME {
        return Err(NAME_TOO_LONG.into());
    }
    if plain.contains('\\') {
        return Err(Win32Error::PATH_NOT_FOUND.into());
    }
    Ok((!plain.is_empty()).then(|| plain.to_owned()))
}

fn same_kind(a: &Object, b: &Object) -> bool {
    std::mem::discriminant(a) == std::mem::discriminant(b)
}

/// Makes an object, or opens the one of that name; the last error tells which.
fn create(call: &mut Call<'_>, object: Object, access: u32, name_at: UserPtr, width: Width) -> Answer {
    let name = object_name(call, name_at, width)?;
    if let Some(name) = &name
        && let Some(handle) = open_kind(call, name, access, &object)?
    {
        call.set_last_error(Win32Error::ALREADY_EXISTS);
        return Ok(handle.raw());
    }
    let handle = call.nt.process_mut().handles.insert_named(object, access, name)?;
    call.set_last_error(Win32Error::SUCCESS);
    Ok(handle.raw())
}

fn open_kind(call: &mut Call<'_>, name: &str, access: u32, like: &Object) -> Result<Option<Handle>, Failure> {
    let handles = &mut call.nt.process_mut().handles;
    let Some(handle) = handles.open(name, access)? else { return Ok(None) };
    if same_kind(handles.get(handle)?, like) {
        return Ok(Some(handle));
    }
    handles.remove(handle)?;
    Err(Win32Error::INVALID_HANDLE.into())
}

/// `Open*(access, inherit, name)`.
fn open(call: &mut Call<'_>, like: &Object, width: Width) -> Answer {
    let (access, inherit, name_at) = (call.u32(0), call.u32(1), call.ptr(2));
    let name = object_name(call, name_at, width)?.ok_or(Failure::Error(Win32Error::INVALID_PARAMETER))?;
    let handle = open_kind(call, &name, access, like)?.ok_or(Failure::Error(Win32Error::FILE_NOT_FOUND))?;
    *call.nt.process_mut().handles.inherit(handle)? = inherit != 0;
    Ok(handle.raw())
}

/// Changes an object for which the handle has the right.
fn change<T>(
    call: &mut Call<'_>,
    handle: Handle,
    right: u32,
    apply: impl FnOnce(&mut Object) -> Result<T, NtStatus>,
) -> Result<T, Failure> {
    let handles = &mut call.nt.process_mut().handles;
    if handles.access(handle)? & right != right {
        return Err(NtStatus::ACCESS_DENIED.into());
    }
    Ok(apply(handles.get_mut(handle)?)?)
}

const ANY_EVENT: Object = Object::Event(Event { signalled: false, manual_reset: false });
const ANY_MUTEX: Object = Object::Mutex(Mutex { owner: None, depth: 0 });
const ANY_SEMAPHORE: Object = Object::Semaphore(Semaphore { count: 0, maximum: 0 });

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
    open(call, &ANY_EVENT, Width::Narrow)
}

fn open_event_w(call: &mut Call<'_>) -> Answer {
    open(call, &ANY_EVENT, Width::Wide)
}

fn set_event(call: &mut Call<'_>) -> Answer {
    signal(call, true)
}

/// With nobody waiting, a pulse is a reset.
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
    Object::Mutex(Mutex { owner, depth: u32::from(owned) })
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
    open(call, &ANY_MUTEX, Width::Narrow)
}

fn open_mutex_w(call: &mut Call<'_>) -> Answer {
    open(call, &ANY_MUTEX, Width::Wide)
}

fn release_mutex(call: &mut Call<'_>) -> Answer {
    let (handle, me) = (call.handle(0), call.thread().tid);
    change(call, handle, 0, |object| match object {
        Object::Mutex(mutex) => leave(mutex, me),
        _other_kinds => Err(NtStatus::OBJECT_TYPE_MISMATCH),
    })
}

fn leave(mutex: &mut Mutex, me: u32) -> Result<u64, NtStatus> {
    if mutex.owner != Some(me) {
        return Err(NtStatus::MUTANT_NOT_OWNED);
    }
    mutex.depth -= 1;
    if mutex.depth == 0 {
        mutex.owner = None;
    }
    Ok(1)
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
    open(call, &ANY_SEMAPHORE, Width::Narrow)
}

fn open_semaphore_w(call: &mut Call<'_>) -> Answer {
    open(call, &ANY_SEMAPHORE, Width::Wide)
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

fn release(semaphore: &mut Semaphore, add: u32) -> Result<u32, NtStatus> {
    let sum = semaphore.count.checked_add(add).filter(|sum| *sum <= semaphore.maximum);
    let sum = sum.ok_or(NtStatus::SEMAPHORE_LIMIT_EXCEEDED)?;
    Ok(std::mem::replace(&mut semaphore.count, sum))
}

/// Whether a wait for the object passes now.
fn is_signalled(object: &Object, me: u32) -> Result<bool, NtStatus> {
    match object {
        Object::Event(event) => Ok(event.signalled),
        Object::Mutex(mutex) => Ok(mutex.owner.is_none_or(|owner| owner == me)),
        Object::Semaphore(semaphore) => Ok(semaphore.count > 0),
        // Whoever waits for itself waits for its own end.
        Object::Process | Object::Thread(_) => Ok(false),
        Object::Console(_) | Object::File(_) => Ok(true),
        Object::Search(_) | Object::Other => Err(NtStatus::OBJECT_TYPE_MISMATCH),
    }
}

/// What a wait that passes does to the object.
fn acquire(object: &mut Object, me: u32) {
    match object {
        Object::Event(event) => event.signalled &= event.manual_reset,
        Object::Semaphore(semaphore) => semaphore.count -= 1,
        Object::Mutex(mutex) => {
            mutex.owner = Some(me);
            mutex.depth = mutex.depth.saturating_add(1);
        }
        Object::Process
        | Object::Thread(_)
        | Object::Console(_)
        | Object::File(_)
        | Object::Search(_)
        | Object::Other => {}
    }
}

fn ready(call: &Call<'_>, handle: Handle) -> Result<bool, Failure> {
    let handles = &call.nt.process().handles;
    let object = handles.get(handle)?;
    if handles.access(handle)? & SYNCHRONIZE == 0 {
        return Err(NtStatus::ACCESS_DENIED.into());
    }
    Ok(is_signalled(object, call.thread().tid)?)
}

fn take(call: &mut Call<'_>, handle: Handle) -> Result<(), Failure> {
    let me = call.thread().tid;
    match handle {
        Handle::CURRENT_PROCESS | Handle::CURRENT_THREAD => {}
        handle => acquire(call.nt.process_mut().handles.get_mut(handle)?, me),
    }
    Ok(())
}

/// Lets the time of a wait pass.
pub(super) fn pass_time(call: &mut Call<'_>, milliseconds: u32) {
    call.host.advance(u64::from(milliseconds) * Moment::PER_MILLISECOND);
    call.update_clock();
}

/// `WaitForSingleObject(handle, milliseconds)`. APCs come with threads: alertable waits wait like the others.
fn wait_for_single_object(call: &mut Call<'_>) -> Answer {
    let (handle, milliseconds) = (call.handle(0), call.u32(1));
    wait(call, handle, milliseconds)
}

fn wait(call: &mut Call<'_>, handle: Handle, milliseconds: u32) -> Answer {
    if ready(call, handle)? {
        take(call, handle)?;
        return Ok(0);
    }
    give_up(call, milliseconds)
}

fn give_up(call: &mut Call<'_>, milliseconds: u32) -> Answer {
    if milliseconds == INFINITE {
        return deadlock(call);
    }
    pass_time(call, milliseconds);
    Ok(TIMED_OUT)
}

/// `WaitForMultipleObjects(count, *handles, all, milliseconds)`.
fn wait_for_multiple_objects(call: &mut Call<'_>) -> Answer {
    let (count, at, all, milliseconds) = (call.u32(0), call.ptr(1), call.u32(2) != 0, call.u32(3));
    if count == 0 || count > MAX_WAIT_OBJECTS {
        return Err(Win32Error::INVALID_PARAMETER.into());
    }
    let (width, bitness) = (call.pointer_bytes(), call.nt.edition.bitness);
    let mut handles = Vec::new();
    for index in 0..u64::from(count) {
        let raw = call.read_word(at.offset(index * width))?;
        handles.push(Handle::from_guest(raw, bitness));
    }
    let states = handles.iter().map(|handle| ready(call, *handle)).collect::<Result<Vec<bool>, Failure>>()?;
    if all && states.iter().all(|ready| *ready) {
        for handle in handles {
            take(call, handle)?;
        }
        return Ok(0);
    }
    match states.iter().position(|ready| *ready) {
        Some(first) if !all => {
            take(call, handles[first])?;
            Ok(first as u64)
        }
        Some(_) | None => give_up(call, milliseconds),
    }
}

/// `SignalObjectAndWait(signal, wait, milliseconds, alertable)`.
fn signal_object_and_wait(call: &mut Call<'_>) -> Answer {
    let (signalled, waited, milliseconds, me) =
        (call.handle(0), call.handle(1), call.u32(2), call.thread().tid);
    change(call, signalled, 0, |object| match object {
        Object::Event(event) => {
            event.signalled = true;
            Ok(())
        }
        Object::Mutex(mutex) => leave(mutex, me).map(|_| ()),
        Object::Semaphore(semaphore) => release(semaphore, 1).map(|_| ()),
        _other_kinds => Err(NtStatus::OBJECT_TYPE_MISMATCH),
    })?;
    wait(call, waited, milliseconds)
}

/// `Sleep(milliseconds)`: virtual time passes.
fn sleep(call: &mut Call<'_>) -> Answer {
    let milliseconds = call.u32(0);
    if milliseconds == INFINITE {
        return deadlock(call);
    }
    pass_time(call, milliseconds);
    Ok(0)
}

/// There is no other thread.
fn switch_to_thread(_: &mut Call<'_>) -> Answer {
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_takes_what_it_waited_for() {
        let mut auto = Object::Event(Event { signalled: true, manual_reset: false });
        let mut manual = Object::Event(Event { signalled: true, manual_reset: true });
        let mut semaphore = Object::Semaphore(Semaphore { count: 1, maximum: 2 });
        for object in [&mut auto, &mut manual, &mut semaphore] {
            assert_eq!(is_signalled(object, 1), Ok(true));
            acquire(object, 1);
        }
        assert_eq!([auto, manual, semaphore].map(|o| is_signalled(&o, 1)), [Ok(false), Ok(true), Ok(false)]);
    }

    #[test]
    fn a_mutex_is_left_as_often_as_it_was_entered_and_by_its_owner_only() {
        let mut object = ANY_MUTEX;
        acquire(&mut object, 1);
        acquire(&mut object, 1);
        assert_eq!(is_signalled(&object, 2), Ok(false));
        let Object::Mutex(mutex) = &mut object else { panic!("it is a mutex") };
        assert_eq!(leave(mutex, 2), Err(NtStatus::MUTANT_NOT_OWNED));
        assert_eq!((leave(mutex, 1), leave(mutex, 1)), (Ok(1), Ok(1)));
        assert_eq!(leave(mutex, 1), Err(NtStatus::MUTANT_NOT_OWNED));
        assert_eq!(is_signalled(&object, 2), Ok(true));
    }

    #[test]
    fn a_semaphore_never_passes_its_maximum() {
        let mut semaphore = Semaphore { count: 1, maximum: 3 };
        assert_eq!(release(&mut semaphore, 3), Err(NtStatus::SEMAPHORE_LIMIT_EXCEEDED));
        assert_eq!(release(&mut semaphore, u32::MAX), Err(NtStatus::SEMAPHORE_LIMIT_EXCEEDED));
        assert_eq!(release(&mut semaphore, 2), Ok(1));
        assert_eq!(semaphore.count, 3);
    }
}
