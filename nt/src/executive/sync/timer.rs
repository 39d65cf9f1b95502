//! Timers: set at a time, once or again and again, perhaps with an APC.

use super::{MODIFY_STATE, query_state};
use crate::claim::UserPtr;
use crate::executive::object_manager::Kind;
use crate::executive::{Object, Timer, native_due};
use crate::host::Moment;
use crate::service::{Answer, Call, Failure};
use vadose_facts::ntdef::NtStatus;

/// Bytes of `TIMER_BASIC_INFORMATION`.
const BASIC_BYTES: u32 = 16;
/// `TimerSetCoalescableTimer`.
const SET_COALESCABLE: u32 = 0;

/// A timer that is to be set.
struct Setting {
    due: i64,
    routine: u64,
    argument: u64,
    period: i32,
    previous_at: UserPtr,
}

/// `NtCreateTimer(*timer, access, attributes, type)`: type 0 stays set, type 1 lets one wait pass.
pub(super) fn create(call: &mut Call<'_>) -> Answer {
    let (to, kind) = (call.ptr(0), call.u32(3));
    if kind > 1 {
        return Err(NtStatus::invalid_parameter(4).into());
    }
    call.probe_handle(to)?;
    call.make_and_store(Object::Timer(Timer::new(kind == 0)))
}

/// `NtOpenTimer(*timer, access, attributes)`.
pub(super) fn open(call: &mut Call<'_>) -> Answer {
    call.open_and_store(Kind::Timer)
}

/// `NtSetTimer(timer, *due, function, argument, resume, period in ms, *previous)`: no machine here sleeps, so that it
/// cannot be waked either.
pub(super) fn set(call: &mut Call<'_>) -> Answer {
    let (due_at, resume, period) = (call.ptr(1), call.u32(4) & 0xff != 0, call.i32(5));
    let (routine, argument, previous_at) = (call.arg(2), call.arg(3), call.ptr(6));
    if period < 0 {
        return Err(NtStatus::invalid_parameter(6).into());
    }
    let due = call.read_u64(due_at)?.cast_signed();
    set_to(call, &Setting { due, routine, argument, period, previous_at })?;
    Ok(u64::from(if resume { NtStatus::TIMER_RESUME_IGNORED } else { NtStatus::SUCCESS }.raw()))
}

/// `NtSetTimerEx(timer, class, *information, bytes)`: due time, function, argument, wake context, period, delay that can
/// be borne, place of the previous state.
pub(super) fn set_ex(call: &mut Call<'_>) -> Answer {
    let (class, at, bytes) = (call.u32(1), call.ptr(2), call.u32(3));
    if class != SET_COALESCABLE {
        return Err(NtStatus::INVALID_INFO_CLASS.into());
    }
    let width = call.pointer_bytes();
    if u64::from(bytes) != 16 + 4 * width {
        return Err(NtStatus::INFO_LENGTH_MISMATCH.into());
    }
    let due = call.read_u64(at)?.cast_signed();
    let [routine, argument, wake] = [0, 1, 2].map(|word| call.read_word(at.offset(8 + word * width)));
    let numbers = at.offset(8 + 3 * width);
    let (period, delay) = (call.read_u32(numbers)?, call.read_u32(numbers.offset(4))?);
    let previous_at = UserPtr::new(call.read_word(numbers.offset(8))?);
    let (period, delay) = (period.cast_signed(), delay.cast_signed());
    if period < 0 || delay < 0 {
        return Err(NtStatus::INVALID_PARAMETER.into());
    }
    let resume = wake? != 0;
    set_to(call, &Setting { due, routine: routine?, argument: argument?, period, previous_at })?;
    Ok(u64::from(if resume { NtStatus::TIMER_RESUME_IGNORED } else { NtStatus::SUCCESS }.raw()))
}

fn set_to(call: &mut Call<'_>, setting: &Setting) -> Result<(), Failure> {
    let handle = call.handle(0);
    probe_state(call, setting.previous_at)?;
    let id = call.object_with(handle, Kind::Timer, MODIFY_STATE)?;
    let before = call.timer(id).signalled;
    let due = native_due(call, setting.due);
    let apc = (setting.routine != 0).then(|| (call.thread().tid, setting.routine, setting.argument));
    let period = u64::from(setting.period.unsigned_abs()) * Moment::PER_MILLISECOND;
    call.set_timer(id, due, period, apc);
    tell_state(call, setting.previous_at, before)
}

/// `NtCancelTimer(timer, *state)`.
pub(super) fn cancel(call: &mut Call<'_>) -> Answer {
    let (handle, state_at) = (call.handle(0), call.ptr(1));
    probe_state(call, state_at)?;
    let id = call.object_with(handle, Kind::Timer, MODIFY_STATE)?;
    call.cancel_timer(id);
    let state = call.timer(id).signalled;
    tell_state(call, state_at, state)?;
    Ok(0)
}

/// A state is a `BOOLEAN`.
fn probe_state(call: &mut Call<'_>, at: UserPtr) -> Result<(), Failure> {
    if at.is_null() { Ok(()) } else { Ok(call.probe_write(at, 1)?) }
}

fn tell_state(call: &mut Call<'_>, at: UserPtr, state: bool) -> Result<(), Failure> {
    if at.is_null() { Ok(()) } else { Ok(call.write(at, &[u8::from(state)])?) }
}

/// `NtQueryTimer`: the time left, 0 for a timer that does not run, and the state.
pub(super) fn query(call: &mut Call<'_>) -> Answer {
    query_state(call, Kind::Timer, BASIC_BYTES, |kernel, object| {
        let Object::Timer(timer) = object else { unreachable!("the kind was checked") };
        let left = timer.due.map_or(0, |due| due.units().saturating_sub(kernel.nt.now.units()));
        let mut bytes = left.to_le_bytes().to_vec();
        bytes.push(u8::from(timer.signalled));
        bytes.resize(BASIC_BYTES as usize, 0);
        bytes
    })
}
