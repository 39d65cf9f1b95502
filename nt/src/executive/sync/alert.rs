//! Alerts: threads that are waked by handle out of alertable waits, or by number out of a wait for just that.

use crate::UserPtr;
use crate::executive::thread::native_timeout;
use crate::service::{Answer, Call};
use vadose_facts::ntdef::NtStatus;

/// `THREAD_ALERT`, `THREAD_SUSPEND_RESUME`.
const THREAD_ALERT: u32 = 0x4;
const THREAD_SUSPEND_RESUME: u32 = 0x2;
/// Threads that one call may name.
const MAX_THREADS: u32 = 1 << 16;

/// `NtAlertThread(thread)`.
pub(super) fn thread(call: &mut Call<'_>) -> Answer {
    let handle = call.handle(0);
    let tid = call.thread_of(handle, THREAD_ALERT)?;
    call.alert_thread(tid);
    Ok(0)
}

/// `NtAlertResumeThread(thread, *previous count)`.
pub(super) fn and_resume(call: &mut Call<'_>) -> Answer {
    let (handle, previous_at) = (call.handle(0), call.ptr(1));
    super::probe_previous(call, previous_at)?;
    let tid = call.thread_of(handle, THREAD_SUSPEND_RESUME)?;
    call.alert_thread(tid);
    let before = call.resume_thread(tid);
    super::tell_previous(call, previous_at, before.cast_signed())
}

/// `NtTestAlert()`: whether the thread was alerted; delivers the APCs that are there.
pub(super) fn test(call: &mut Call<'_>) -> Answer {
    let alerted = std::mem::take(&mut call.nt.current_thread_mut().alerted);
    call.want_apcs();
    Ok(u64::from(if alerted { NtStatus::ALERTED } else { NtStatus::SUCCESS }.raw()))
}

/// `NtAlertThreadByThreadId(id)`; the `Ex` form names a lock, which says how urgent it is.
pub(super) fn by_id(call: &mut Call<'_>) -> Answer {
    let id = call.arg(0);
    call.alert_by_id(id)?;
    Ok(0)
}

/// `NtAlertMultipleThreadByThreadId(*ids, count, boost, *boost)`: up to the first that cannot be.
pub(super) fn several(call: &mut Call<'_>) -> Answer {
    let (at, count) = (call.ptr(0), call.u32(1));
    if count > MAX_THREADS {
        return Err(NtStatus::INVALID_PARAMETER.into());
    }
    let width = call.pointer_bytes();
    for index in 0..u64::from(count) {
        let id = call.read_word(UserPtr::new(at.raw()).offset(index * width))?;
        call.alert_by_id(id)?;
    }
    Ok(0)
}

/// `NtWaitForAlertByThreadId(address, *timeout)`: the address is for debuggers. An alert that came before counts.
pub(super) fn wait(call: &mut Call<'_>) -> Answer {
    let (address, timeout_at) = (call.arg(0), call.ptr(1));
    let timeout = native_timeout(call, timeout_at)?;
    call.wait_for_alert(address, timeout)
}
