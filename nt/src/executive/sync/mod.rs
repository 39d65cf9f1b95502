//! The native services of objects that threads wait for: events, mutants, semaphores, timers, keyed events, and alerts.

mod alert;
mod event;
mod keyed_event;
mod mutant;
mod semaphore;
mod timer;

pub(crate) use mutant::leave as leave_mutex;
pub(crate) use semaphore::release as release_semaphore;

use super::object_manager::Kind;
use super::thread::{Alertable, WaitMode, native_timeout};
use super::{Handle, Object};
use crate::claim::UserPtr;
use crate::kernel::Kernel;
use crate::service::{Answer, Arg, Call, Export, Failure};
use vadose_facts::ntdef::NtStatus;

use Arg::{U32, Word};

/// `EVENT_QUERY_STATE`, and the same of mutants, semaphores, timers.
const QUERY_STATE: u32 = 0x1;
/// `EVENT_MODIFY_STATE`, and the same of semaphores and timers.
const MODIFY_STATE: u32 = 0x2;

/// The services.
pub(crate) const EXPORTS: &[Export] = &[
    Export::native("NtCreateEvent", &[Word, U32, Word, U32, U32], event::create),
    Export::native("NtOpenEvent", &[Word, U32, Word], event::open),
    Export::native("NtSetEvent", &[Word, Word], event::set),
    Export::native("NtResetEvent", &[Word, Word], event::reset),
    Export::native("NtClearEvent", &[Word], event::clear),
    Export::native("NtPulseEvent", &[Word, Word], event::pulse),
    Export::native("NtSetEventBoostPriority", &[Word], event::set_and_boost),
    Export::native("NtQueryEvent", &[Word, U32, Word, U32, Word], event::query),
    Export::native("NtCreateMutant", &[Word, U32, Word, U32], mutant::create),
    Export::native("NtOpenMutant", &[Word, U32, Word], mutant::open),
    Export::native("NtReleaseMutant", &[Word, Word], mutant::release),
    Export::native("NtQueryMutant", &[Word, U32, Word, U32, Word], mutant::query),
    Export::native("NtCreateSemaphore", &[Word, U32, Word, U32, U32], semaphore::create),
    Export::native("NtOpenSemaphore", &[Word, U32, Word], semaphore::open),
    Export::native("NtReleaseSemaphore", &[Word, U32, Word], semaphore::release_service),
    Export::native("NtQuerySemaphore", &[Word, U32, Word, U32, Word], semaphore::query),
    Export::native("NtCreateTimer", &[Word, U32, Word, U32], timer::create),
    Export::native("NtOpenTimer", &[Word, U32, Word], timer::open),
    Export::native("NtSetTimer", &[Word, Word, Word, Word, U32, U32, Word], timer::set),
    Export::native("NtSetTimerEx", &[Word, U32, Word, U32], timer::set_ex).since(6, 1),
    Export::native("NtCancelTimer", &[Word, Word], timer::cancel),
    Export::native("NtQueryTimer", &[Word, U32, Word, U32, Word], timer::query),
    Export::native("NtCreateKeyedEvent", &[Word, U32, Word, U32], keyed_event::create),
    Export::native("NtOpenKeyedEvent", &[Word, U32, Word], keyed_event::open),
    Export::native("NtWaitForKeyedEvent", &[Word, Word, U32, Word], keyed_event::wait),
    Export::native("NtReleaseKeyedEvent", &[Word, Word, U32, Word], keyed_event::release),
    Export::native("NtAlertThread", &[Word], alert::thread),
    Export::native("NtAlertResumeThread", &[Word, Word], alert::and_resume),
    Export::native("NtTestAlert", &[], alert::test),
    Export::native("NtAlertThreadByThreadId", &[Word], alert::by_id).since(6, 2),
    Export::native("NtAlertThreadByThreadIdEx", &[Word, Word], alert::by_id).since(10, 0),
    Export::native("NtAlertMultipleThreadByThreadId", &[Word, U32, Word, Word], alert::several).since(10, 0),
    Export::native("NtWaitForAlertByThreadId", &[Word, Word], alert::wait).since(6, 2),
    Export::native("NtSignalAndWaitForSingleObject", &[Word, Word, U32, Word], signal_and_wait),
];

impl Kernel<'_> {
    /// Sets an event, leaves a mutex or releases a semaphore once; waits that pass now go on.
    ///
    /// # Errors
    ///
    /// `INVALID_HANDLE`; `ACCESS_DENIED` without the right to change an event or a semaphore; `OBJECT_TYPE_MISMATCH` for
    /// other objects; `MUTANT_NOT_OWNED`, `SEMAPHORE_LIMIT_EXCEEDED`.
    pub(crate) fn signal_object(&mut self, handle: Handle) -> Result<(), NtStatus> {
        let (id, me) = (self.object_of(handle)?, self.thread().tid);
        let may_modify = self.nt.handles().access(handle)? & MODIFY_STATE != 0;
        match self.nt.objects.get_mut(id) {
            Object::Event(event) if may_modify => event.signalled = true,
            Object::Semaphore(semaphore) if may_modify => {
                semaphore::release(semaphore, 1)?;
            }
            Object::Event(_) | Object::Semaphore(_) => return Err(NtStatus::ACCESS_DENIED),
            Object::Mutex(mutex) => {
                mutant::leave(mutex, me)?;
            }
            _other_kinds => return Err(NtStatus::OBJECT_TYPE_MISMATCH),
        }
        self.object_signalled(id);
        Ok(())
    }
}

/// `NtSignalAndWaitForSingleObject(signal, wait, alertable, *timeout)`: nothing runs in between.
fn signal_and_wait(call: &mut Call<'_>) -> Answer {
    let (signal, wait, alertable, timeout_at) = (call.handle(0), call.handle(1), call.u32(2), call.ptr(3));
    let timeout = native_timeout(call, timeout_at)?;
    call.object_of(signal)?;
    call.waitable(wait)?;
    call.signal_object(signal)?;
    call.wait_for(&[wait], WaitMode::Any, Alertable::from_native(alertable), timeout)
}

/// Makes sure that a previous state can be stored, if it is wanted.
fn probe_previous(call: &mut Call<'_>, at: UserPtr) -> Result<(), Failure> {
    if at.is_null() { Ok(()) } else { Ok(call.probe_write(at, 4)?) }
}

/// Stores a previous state, if it is wanted. What was done stays done if that fails now.
fn tell_previous(call: &mut Call<'_>, at: UserPtr, previous: i32) -> Answer {
    if !at.is_null() {
        call.write_u32(at, previous.cast_unsigned())?;
    }
    Ok(0)
}

/// A query of the only class that a kind has: `(handle, class, *buffer, bytes, *returned)`.
fn query_state(
    call: &mut Call<'_>,
    kind: Kind,
    bytes: u32,
    state: impl FnOnce(&Kernel<'_>, &Object) -> Vec<u8>,
) -> Answer {
    match call.u32(1) {
        0 => query_class(call, kind, bytes, state),
        _no_class => Err(NtStatus::INVALID_INFO_CLASS.into()),
    }
}

/// A query whose class was checked: length, pointers, handle, in this order.
fn query_class(
    call: &mut Call<'_>,
    kind: Kind,
    bytes: u32,
    state: impl FnOnce(&Kernel<'_>, &Object) -> Vec<u8>,
) -> Answer {
    let (handle, to, length, returned_at) = (call.handle(0), call.ptr(2), call.u32(3), call.ptr(4));
    if length != bytes {
        return Err(NtStatus::INFO_LENGTH_MISMATCH.into());
    }
    call.probe_write(to, u64::from(bytes))?;
    if !returned_at.is_null() {
        call.probe_write(returned_at, 4)?;
    }
    let id = call.object_with(handle, kind, QUERY_STATE)?;
    let answer = state(call, call.nt.objects.get(id));
    assert_eq!(answer.len(), bytes as usize, "a class has one size");
    call.write(to, &answer)?;
    if !returned_at.is_null() {
        call.write_u32(returned_at, bytes)?;
    }
    Ok(0)
}
