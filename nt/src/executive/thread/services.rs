//! The native services of threads and waits.

use super::wait::{Alertable, Timeout, WaitMode};
use crate::UserPtr;
use crate::executive::handle::Handle;
use crate::host::Moment;
use crate::service::{Answer, Arg, Call, Export, Failure};
use vadose_facts::ntdef::NtStatus;

use Arg::{U32, Word};

/// `THREAD_TERMINATE`, `THREAD_SUSPEND_RESUME`.
const THREAD_TERMINATE: u32 = 0x1;
const THREAD_SUSPEND_RESUME: u32 = 0x2;
/// `PROCESS_SUSPEND_RESUME`.
const PROCESS_SUSPEND_RESUME: u32 = 0x800;
/// `MAXIMUM_WAIT_OBJECTS`.
const MAX_WAIT_OBJECTS: u32 = 64;

/// The services, and those that guest code of the built-in DLLs calls.
pub(crate) const EXPORTS: &[Export] = &[
    Export::native("NtTerminateThread", &[Word, U32], terminate_thread),
    Export::native("NtSuspendThread", &[Word, Word], suspend_thread),
    Export::native("NtResumeThread", &[Word, Word], resume_thread),
    Export::native("NtSuspendProcess", &[Word], suspend_process),
    Export::native("NtResumeProcess", &[Word], resume_process),
    Export::native("NtWaitForSingleObject", &[Word, U32, Word], wait_for_single_object),
    Export::native("NtWaitForMultipleObjects", &[U32, Word, U32, U32, Word], wait_for_multiple_objects),
    Export::native("NtDelayExecution", &[U32, Word], delay_execution),
    Export::native("NtYieldExecution", &[], yield_execution),
    Export::native("VdsBeginThreadExit", &[U32], begin_thread_exit).hidden(),
    Export::native("VdsThreadThunk", &[], thread_thunk).hidden(),
];

/// `NtTerminateThread(thread, status)`: a null handle is the caller's own thread; the last thread takes its process along.
fn terminate_thread(call: &mut Call<'_>) -> Answer {
    let (handle, status) = (call.handle(0), call.u32(1));
    let handle = if handle == Handle::NULL { Handle::CURRENT_THREAD } else { handle };
    let tid = call.thread_of(handle, THREAD_TERMINATE)?;
    end(call, tid, status);
    Ok(0)
}

/// Ends a thread by its own wish or another's.
pub(crate) fn end(call: &mut Call<'_>, tid: u32, status: u32) {
    if call.nt.threads.known(tid).has_ended() {
        return;
    }
    let own = tid == call.thread().tid;
    call.end_thread(tid, status);
    if own {
        call.registers_parked();
    }
}

fn suspend_thread(call: &mut Call<'_>) -> Answer {
    let (handle, previous_at) = (call.handle(0), call.ptr(1));
    let tid = call.thread_of(handle, THREAD_SUSPEND_RESUME)?;
    let before = call.suspend_thread(tid)?;
    if !previous_at.is_null() {
        call.write_u32(previous_at, before)?;
    }
    Ok(0)
}

fn resume_thread(call: &mut Call<'_>) -> Answer {
    let (handle, previous_at) = (call.handle(0), call.ptr(1));
    let tid = call.thread_of(handle, THREAD_SUSPEND_RESUME)?;
    let before = call.resume_thread(tid);
    if !previous_at.is_null() {
        call.write_u32(previous_at, before)?;
    }
    Ok(0)
}

/// `NtSuspendProcess(process)`: every thread of it once more. One that is suspended as often as can be stays so.
fn suspend_process(call: &mut Call<'_>) -> Answer {
    for tid in threads_of(call)? {
        match call.suspend_thread(tid) {
            Ok(_) | Err(NtStatus::SUSPEND_COUNT_EXCEEDED) => {}
            Err(status) => return Err(status.into()),
        }
    }
    Ok(0)
}

/// `NtResumeProcess(process)`: every thread of it once less.
fn resume_process(call: &mut Call<'_>) -> Answer {
    for tid in threads_of(call)? {
        call.resume_thread(tid);
    }
    Ok(0)
}

/// The living threads of the first argument's process.
fn threads_of(call: &Call<'_>) -> Result<Vec<u32>, NtStatus> {
    let pid = call.require_living(call.handle(0), PROCESS_SUSPEND_RESUME)?;
    Ok(call.nt.threads.living_of(pid).map(|thread| thread.tid).collect())
}

/// A time limit as native services take it: a null pointer for never, negative for a while, positive for a moment.
pub(crate) fn native_timeout(call: &mut Call<'_>, at: UserPtr) -> Result<Timeout, Failure> {
    if at.is_null() {
        return Ok(Timeout::Never);
    }
    let raw = call.read_u64(at)?.cast_signed();
    Ok(native_due(call, raw))
}

/// A time as native services count it: negative for a while, positive for a moment.
pub(crate) fn native_due(call: &Call<'_>, raw: i64) -> Timeout {
    match raw {
        0 => Timeout::Poll,
        raw if raw < 0 => Timeout::At(call.later(raw.unsigned_abs())),
        raw => {
            let at = Moment::new(raw.unsigned_abs());
            if at <= call.nt.now { Timeout::Poll } else { Timeout::At(at) }
        }
    }
}

/// `NtWaitForSingleObject(handle, alertable, *timeout)`.
fn wait_for_single_object(call: &mut Call<'_>) -> Answer {
    let (handle, alertable, timeout_at) = (call.handle(0), call.u32(1), call.ptr(2));
    let timeout = native_timeout(call, timeout_at)?;
    call.wait_for(&[handle], WaitMode::Any, Alertable::from_native(alertable), timeout)
}

/// Reads an array of handles.
pub(crate) fn read_handles(call: &mut Call<'_>, count: u32, at: UserPtr) -> Result<Vec<Handle>, Failure> {
    let (width, bitness) = (call.pointer_bytes(), call.nt.edition.bitness);
    let mut handles = Vec::with_capacity(count as usize);
    for index in 0..u64::from(count) {
        let raw = call.read_word(at.offset(index * width))?;
        handles.push(Handle::from_guest(raw, bitness));
    }
    Ok(handles)
}

/// `NtWaitForMultipleObjects(count, *handles, wait type, alertable, *timeout)`: type 0 is all, 1 any.
fn wait_for_multiple_objects(call: &mut Call<'_>) -> Answer {
    let (count, at, kind, alertable, timeout_at) =
        (call.u32(0), call.ptr(1), call.u32(2), call.u32(3), call.ptr(4));
    if count == 0 || count > MAX_WAIT_OBJECTS {
        return Err(NtStatus::invalid_parameter(1).into());
    }
    let mode = match kind {
        0 => WaitMode::All,
        1 => WaitMode::Any,
        _ => return Err(NtStatus::invalid_parameter(3).into()),
    };
    let timeout = native_timeout(call, timeout_at)?;
    let handles = read_handles(call, count, at)?;
    call.wait_for(&handles, mode, Alertable::from_native(alertable), timeout)
}

/// `NtDelayExecution(alertable, *interval)`.
fn delay_execution(call: &mut Call<'_>) -> Answer {
    let (alertable, at) = (call.u32(0), call.ptr(1));
    let raw = call.read_u64(at)?;
    // The most negative interval is for ever: Sleep(INFINITE).
    let timeout = if raw == 1 << 63 { Timeout::Never } else { native_timeout(call, at)? };
    call.wait_for_time(Alertable::from_native(alertable), timeout)
}

/// `NtYieldExecution()`.
fn yield_execution(call: &mut Call<'_>) -> Answer {
    let priority = call.thread().priority;
    if !call.nt.scheduler.has_ready(priority) {
        return Ok(u64::from(NtStatus::NO_YIELD_PERFORMED.raw()));
    }
    call.nt.scheduler.yield_turn();
    Ok(0)
}

/// Guest code of `RtlUserThreadStart` asks where `BaseThreadInitThunk` is.
fn thread_thunk(call: &mut Call<'_>) -> Answer {
    Ok(call.nt.process().entries.thread_thunk.raw())
}

/// Guest code of `RtlExitUserThread` asks to have the terminators queued: the process's for the last thread, else the
/// thread's own.
fn begin_thread_exit(call: &mut Call<'_>) -> Answer {
    if call.loader_is_taken() {
        return call.block_for_loader();
    }
    if call.nt.threads.living_of(call.nt.process().pid).count() == 1 {
        call.queue_terminators();
    } else {
        call.queue_thread_terminators();
    }
    Ok(0)
}
