//! Events: set for all who come, or for one.

use super::{MODIFY_STATE, probe_previous, query_state, tell_previous};
use crate::executive::object_manager::Kind;
use crate::executive::{Event, Handle, Object, ObjectId};
use crate::kernel::Kernel;
use crate::service::{Answer, Call};
use vadose_facts::ntdef::NtStatus;

/// Bytes of `EVENT_BASIC_INFORMATION`.
const BASIC_BYTES: u32 = 8;

impl Kernel<'_> {
    /// Changes an event for which the handle has the right; answers how it was before. Waits that pass now go on.
    fn change_event(&mut self, handle: Handle, change: Change) -> Result<Event, NtStatus> {
        let id = self.object_with(handle, Kind::Event, MODIFY_STATE)?;
        let before = *self.event(id);
        if change != Change::Reset {
            self.event(id).signalled = true;
            self.object_signalled(id);
        }
        if change != Change::Set {
            self.event(id).signalled = false;
        }
        Ok(before)
    }

    fn event(&mut self, id: ObjectId) -> &mut Event {
        match self.nt.objects.get_mut(id) {
            Object::Event(event) => event,
            _other_kinds => unreachable!("the kind was checked"),
        }
    }
}

/// What becomes of an event.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Set,
    Reset,
    /// Set, for those who wait now, and reset.
    Pulse,
}

/// `NtCreateEvent(*event, access, attributes, type, state)`: type 0 stays set, type 1 lets one wait pass.
pub(super) fn create(call: &mut Call<'_>) -> Answer {
    let (to, kind, state) = (call.ptr(0), call.u32(3), call.u32(4));
    call.probe_handle(to)?;
    if kind > 1 {
        return Err(NtStatus::INVALID_PARAMETER.into());
    }
    call.make_and_store(Object::Event(Event { signalled: state & 0xff != 0, manual_reset: kind == 0 }))
}

/// `NtOpenEvent(*event, access, attributes)`.
pub(super) fn open(call: &mut Call<'_>) -> Answer {
    call.open_and_store(Kind::Event)
}

/// `NtSetEvent(event, *previous)`.
pub(super) fn set(call: &mut Call<'_>) -> Answer {
    change(call, Change::Set)
}

/// `NtResetEvent(event, *previous)`.
pub(super) fn reset(call: &mut Call<'_>) -> Answer {
    change(call, Change::Reset)
}

/// `NtPulseEvent(event, *previous)`.
pub(super) fn pulse(call: &mut Call<'_>) -> Answer {
    change(call, Change::Pulse)
}

fn change(call: &mut Call<'_>, change: Change) -> Answer {
    let (handle, previous_at) = (call.handle(0), call.ptr(1));
    probe_previous(call, previous_at)?;
    let before = call.change_event(handle, change)?;
    tell_previous(call, previous_at, i32::from(before.signalled))
}

/// `NtClearEvent(event)`.
pub(super) fn clear(call: &mut Call<'_>) -> Answer {
    let handle = call.handle(0);
    call.change_event(handle, Change::Reset)?;
    Ok(0)
}

/// `NtSetEventBoostPriority(event)`: for events that let one wait pass. Nobody is boosted here.
pub(super) fn set_and_boost(call: &mut Call<'_>) -> Answer {
    let handle = call.handle(0);
    let id = call.object_with(handle, Kind::Event, MODIFY_STATE)?;
    if call.event(id).manual_reset {
        return Err(NtStatus::OBJECT_TYPE_MISMATCH.into());
    }
    call.change_event(handle, Change::Set)?;
    Ok(0)
}

/// `NtQueryEvent`: type and state.
pub(super) fn query(call: &mut Call<'_>) -> Answer {
    query_state(call, Kind::Event, BASIC_BYTES, |_, object| {
        let Object::Event(event) = object else { unreachable!("the kind was checked") };
        let words = [u32::from(!event.manual_reset), u32::from(event.signalled)];
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    })
}
