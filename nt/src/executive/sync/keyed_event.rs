//! Keyed events: a wait and a release of one key meet, whichever comes first.

use crate::executive::object_manager::{KEYED_EVENT, Kind};
use crate::executive::thread::{Alertable, KeyRole, Keyed, Timeout, native_timeout};
use crate::executive::{Handle, Object, ObjectId};
use crate::service::{Answer, Call};
use vadose_facts::ntdef::NtStatus;

/// `KEYEDEVENT_WAIT` and `KEYEDEVENT_WAKE`.
const WAIT: u32 = 0x1;
const WAKE: u32 = 0x2;

/// `NtCreateKeyedEvent(*event, access, attributes, flags)`.
pub(super) fn create(call: &mut Call<'_>) -> Answer {
    let (to, flags) = (call.ptr(0), call.u32(3));
    if flags != 0 {
        return Err(NtStatus::invalid_parameter(4).into());
    }
    call.probe_handle(to)?;
    call.make_and_store(Object::KeyedEvent)
}

/// `NtOpenKeyedEvent(*event, access, attributes)`.
pub(super) fn open(call: &mut Call<'_>) -> Answer {
    call.open_and_store(Kind::KeyedEvent)
}

/// `NtWaitForKeyedEvent(event, key, alertable, *timeout)`.
pub(super) fn wait(call: &mut Call<'_>) -> Answer {
    meet(call, KeyRole::Wait)
}

/// `NtReleaseKeyedEvent(event, key, alertable, *timeout)`: waits for somebody to release.
pub(super) fn release(call: &mut Call<'_>) -> Answer {
    meet(call, KeyRole::Release)
}

fn meet(call: &mut Call<'_>, role: KeyRole) -> Answer {
    let (handle, key, alertable, timeout_at) = (call.handle(0), call.arg(1), call.u32(2), call.ptr(3));
    // The low bit is the kernel's own.
    if key & 1 != 0 {
        return Err(NtStatus::invalid_parameter(1).into());
    }
    let timeout = native_timeout(call, timeout_at)?;
    let right = match role {
        KeyRole::Wait => WAIT,
        KeyRole::Release => WAKE,
    };
    let event = event_of(call, handle, right)?;
    let wanted = Keyed { event, pid: call.nt.process().pid, key, role };
    if call.wake_keyed(wanted.other()) {
        return Ok(0);
    }
    let alertable = Alertable::from_native(alertable);
    if let Some(status) = call.alerted(alertable) {
        return Ok(u64::from(status.raw()));
    }
    if timeout == Timeout::Poll {
        return Ok(u64::from(NtStatus::TIMEOUT.raw()));
    }
    call.block_for_key(wanted, alertable, timeout)
}

/// The event of a handle; since Windows Vista, null is the one that all share.
fn event_of(call: &Call<'_>, handle: Handle, right: u32) -> Result<ObjectId, NtStatus> {
    if handle == Handle::NULL && call.nt.edition.version.major >= 6 {
        return Ok(call.nt.objects.of_system(KEYED_EVENT));
    }
    call.object_with(handle, Kind::KeyedEvent, right)
}
