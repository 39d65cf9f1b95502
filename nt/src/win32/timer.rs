//! Waitable timers as programs make, set and stop them.

use super::sync::{create, open};
use super::text::Width;
use crate::UserPtr;
use crate::executive::{Kind, Object, Timer, native_timeout};
use crate::host::Moment;
use crate::service::{Answer, Arg, Call, Export, Failure};
use vadose_facts::ntdef::{NtStatus, Win32Error};

use Arg::{U32, Word};

/// `TIMER_MODIFY_STATE`, `TIMER_ALL_ACCESS`.
const MODIFY_STATE: u32 = 0x2;
const ALL_ACCESS: u32 = 0x1f_0003;

/// The timer functions.
pub(crate) const EXPORTS: &[Export] = &[
    Export::system("CreateWaitableTimerA", &[Word, U32, Word], create_a).only_in_kernel32(),
    Export::system("CreateWaitableTimerW", &[Word, U32, Word], create_w).only_in_kernel32(),
    Export::system("CreateWaitableTimerExA", &[Word, Word, U32, U32], create_ex_a).only_in_kernel32(),
    Export::system("CreateWaitableTimerExW", &[Word, Word, U32, U32], create_ex_w).set("core-synch"),
    Export::system("OpenWaitableTimerA", &[U32, U32, Word], open_a).only_in_kernel32(),
    Export::system("OpenWaitableTimerW", &[U32, U32, Word], open_w).set("core-synch"),
    Export::system("SetWaitableTimer", &[Word, Word, U32, Word, Word, U32], set).set("core-synch"),
    Export::system("SetWaitableTimerEx", &[Word, Word, U32, Word, Word, Word, U32], set).set("core-synch"),
    Export::system("CancelWaitableTimer", &[Word], cancel).set("core-synch"),
];

/// `CreateWaitableTimer(attributes, manual reset, name)`.
fn create_timer(call: &mut Call<'_>, width: Width) -> Answer {
    let (manual, name) = (call.u32(1) != 0, call.ptr(2));
    create(call, Object::Timer(Timer::new(manual)), ALL_ACCESS, name, width)
}

/// `CreateWaitableTimerEx(attributes, name, flags, access)`: flag 1 is manual reset, 2 asks for precision.
fn create_timer_ex(call: &mut Call<'_>, width: Width) -> Answer {
    let (name, flags, access) = (call.ptr(1), call.u32(2), call.u32(3));
    if flags & !3 != 0 {
        return Err(Win32Error::INVALID_PARAMETER.into());
    }
    create(call, Object::Timer(Timer::new(flags & 1 != 0)), access, name, width)
}

fn create_a(call: &mut Call<'_>) -> Answer {
    create_timer(call, Width::Narrow)
}

fn create_w(call: &mut Call<'_>) -> Answer {
    create_timer(call, Width::Wide)
}

fn create_ex_a(call: &mut Call<'_>) -> Answer {
    create_timer_ex(call, Width::Narrow)
}

fn create_ex_w(call: &mut Call<'_>) -> Answer {
    create_timer_ex(call, Width::Wide)
}

fn open_a(call: &mut Call<'_>) -> Answer {
    open(call, Kind::Timer, Width::Narrow)
}

fn open_w(call: &mut Call<'_>) -> Answer {
    open(call, Kind::Timer, Width::Wide)
}

/// `SetWaitableTimer(timer, *due, period in ms, function, argument, resume)`, and `Ex` with a wake context before the
/// last.
fn set(call: &mut Call<'_>) -> Answer {
    let (due_at, period, routine, argument) = (call.ptr(1), call.i32(2), call.arg(3), call.arg(4));
    if due_at == UserPtr::new(0) {
        return Err(NtStatus::ACCESS_VIOLATION.into());
    }
    let period = u64::try_from(period).map_err(|_| Failure::Error(Win32Error::INVALID_PARAMETER))?;
    let due = native_timeout(call, due_at)?;
    let id = timer_of(call)?;
    let apc = (routine != 0).then(|| (call.thread().tid, routine, argument));
    call.set_timer(id, due, period * Moment::PER_MILLISECOND, apc);
    Ok(1)
}

fn cancel(call: &mut Call<'_>) -> Answer {
    let id = timer_of(call)?;
    call.cancel_timer(id);
    Ok(1)
}

/// The timer of the first argument, which may be changed.
fn timer_of(call: &mut Call<'_>) -> Result<crate::ObjectId, Failure> {
    let handle = call.handle(0);
    let id = call.object_of(handle)?;
    let handles = call.nt.handles();
    match handles.objects.get(id) {
        Object::Timer(_) if handles.access(handle)? & MODIFY_STATE != 0 => Ok(id),
        Object::Timer(_) => Err(NtStatus::ACCESS_DENIED.into()),
        _other_kinds => Err(NtStatus::OBJECT_TYPE_MISMATCH.into()),
    }
}
