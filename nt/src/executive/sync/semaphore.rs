//! Semaphores: a number of waits that will pass.

use super::{MODIFY_STATE, probe_previous, query_state, tell_previous};
use crate::executive::object_manager::Kind;
use crate::executive::{Object, Semaphore};
use crate::service::{Answer, Call};
use vadose_facts::ntdef::NtStatus;

/// Bytes of `SEMAPHORE_BASIC_INFORMATION`.
const BASIC_BYTES: u32 = 8;

/// Lets so many more waits pass; answers how many would have before.
///
/// # Errors
///
/// `SEMAPHORE_LIMIT_EXCEEDED` past the maximum: nothing changes then.
pub(crate) fn release(semaphore: &mut Semaphore, add: u32) -> Result<u32, NtStatus> {
    let sum = semaphore.count.checked_add(add).filter(|sum| *sum <= semaphore.maximum);
    let sum = sum.ok_or(NtStatus::SEMAPHORE_LIMIT_EXCEEDED)?;
    Ok(std::mem::replace(&mut semaphore.count, sum))
}

/// `NtCreateSemaphore(*semaphore, access, attributes, count, maximum)`.
pub(super) fn create(call: &mut Call<'_>) -> Answer {
    let (to, count, maximum) = (call.ptr(0), call.i32(3), call.i32(4));
    call.probe_handle(to)?;
    if maximum <= 0 || count < 0 || count > maximum {
        return Err(NtStatus::INVALID_PARAMETER.into());
    }
    let (count, maximum) = (count.cast_unsigned(), maximum.cast_unsigned());
    call.make_and_store(Object::Semaphore(Semaphore { count, maximum }))
}

/// `NtOpenSemaphore(*semaphore, access, attributes)`.
pub(super) fn open(call: &mut Call<'_>) -> Answer {
    call.open_and_store(Kind::Semaphore)
}

/// `NtReleaseSemaphore(semaphore, count, *previous)`.
pub(super) fn release_service(call: &mut Call<'_>) -> Answer {
    let (handle, add, previous_at) = (call.handle(0), call.i32(1), call.ptr(2));
    if add <= 0 {
        return Err(NtStatus::INVALID_PARAMETER.into());
    }
    probe_previous(call, previous_at)?;
    let id = call.object_with(handle, Kind::Semaphore, MODIFY_STATE)?;
    let Object::Semaphore(semaphore) = call.nt.objects.get_mut(id) else {
        unreachable!("the kind was checked");
    };
    let before = release(semaphore, add.cast_unsigned())?;
    call.object_signalled(id);
    tell_previous(call, previous_at, before.cast_signed())
}

/// `NtQuerySemaphore`: count and maximum.
pub(super) fn query(call: &mut Call<'_>) -> Answer {
    query_state(call, Kind::Semaphore, BASIC_BYTES, |_, object| {
        let Object::Semaphore(semaphore) = object else { unreachable!("the kind was checked") };
        [semaphore.count, semaphore.maximum].iter().flat_map(|word| word.to_le_bytes()).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_semaphore_never_passes_its_maximum() {
        let mut semaphore = Semaphore { count: 1, maximum: 3 };
        assert_eq!(release(&mut semaphore, 3), Err(NtStatus::SEMAPHORE_LIMIT_EXCEEDED));
        assert_eq!(release(&mut semaphore, u32::MAX), Err(NtStatus::SEMAPHORE_LIMIT_EXCEEDED));
        assert_eq!(release(&mut semaphore, 2), Ok(1));
        assert_eq!(semaphore.count, 3);
    }
}
