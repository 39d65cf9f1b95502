//! Mutants: mutexes that one thread owns, as often as it entered them.

use super::{probe_previous, query_class, query_state, tell_previous};
use crate::executive::object_manager::Kind;
use crate::executive::{Mutex, Object};
use crate::service::{Answer, Call};
use vadose_facts::ntdef::NtStatus;

/// Bytes of `MUTANT_BASIC_INFORMATION`.
const BASIC_BYTES: u32 = 8;
/// `MutantOwnerInformation`, which Windows Vista added.
const OWNER: u32 = 1;

/// A thread leaves a mutex; answers the count before: 0 for one that was entered once, one less for each further time.
///
/// # Errors
///
/// `MUTANT_NOT_OWNED` for another thread's.
pub(crate) fn leave(mutex: &mut Mutex, me: u32) -> Result<i32, NtStatus> {
    if mutex.owner != Some(me) {
        return Err(NtStatus::MUTANT_NOT_OWNED);
    }
    let before = count(mutex);
    mutex.depth -= 1;
    if mutex.depth == 0 {
        mutex.owner = None;
    }
    Ok(before)
}

/// 1 for a free mutex, one less for each time that its owner entered it.
fn count(mutex: &Mutex) -> i32 {
    1_i32.saturating_sub_unsigned(mutex.depth)
}

/// `NtCreateMutant(*mutant, access, attributes, owned)`.
pub(super) fn create(call: &mut Call<'_>) -> Answer {
    let (to, owned) = (call.ptr(0), call.u32(3) & 0xff != 0);
    call.probe_handle(to)?;
    let owner = owned.then(|| call.thread().tid);
    call.make_and_store(Object::Mutex(Mutex { owner, depth: u32::from(owned), abandoned: false }))
}

/// `NtOpenMutant(*mutant, access, attributes)`.
pub(super) fn open(call: &mut Call<'_>) -> Answer {
    call.open_and_store(Kind::Mutant)
}

/// `NtReleaseMutant(mutant, *previous)`.
pub(super) fn release(call: &mut Call<'_>) -> Answer {
    let (handle, previous_at) = (call.handle(0), call.ptr(1));
    probe_previous(call, previous_at)?;
    let id = call.object_with(handle, Kind::Mutant, 0)?;
    let me = call.thread().tid;
    let Object::Mutex(mutex) = call.nt.objects.get_mut(id) else { unreachable!("the kind was checked") };
    let before = leave(mutex, me)?;
    call.object_signalled(id);
    tell_previous(call, previous_at, before)
}

/// `NtQueryMutant`: count, whether the caller owns it, whether it is abandoned; or who owns it.
pub(super) fn query(call: &mut Call<'_>) -> Answer {
    let me = call.thread().tid;
    if call.u32(1) == OWNER && call.nt.edition.version.major >= 6 {
        return query_owner(call);
    }
    query_state(call, Kind::Mutant, BASIC_BYTES, |_, object| {
        let Object::Mutex(mutex) = object else { unreachable!("the kind was checked") };
        let mut bytes = count(mutex).to_le_bytes().to_vec();
        bytes.extend([u8::from(mutex.owner == Some(me)), u8::from(mutex.abandoned), 0, 0]);
        bytes
    })
}

/// Process and thread, both 0 if nobody owns it.
fn query_owner(call: &mut Call<'_>) -> Answer {
    let width = call.pointer_bytes() as usize;
    query_class(call, Kind::Mutant, 2 * width as u32, |kernel, object| {
        let Object::Mutex(mutex) = object else { unreachable!("the kind was checked") };
        let owner = mutex.owner.and_then(|tid| kernel.nt.threads.get(tid));
        let ids = owner.map_or([0, 0], |thread| [thread.pid, thread.tid]);
        ids.iter().flat_map(|id| u64::from(*id).to_le_bytes()[..width].to_vec()).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mutex_is_left_as_often_as_it_was_entered_and_by_its_owner_only() {
        let mut mutex = Mutex { owner: Some(1), depth: 2, abandoned: false };
        assert_eq!(leave(&mut mutex, 2), Err(NtStatus::MUTANT_NOT_OWNED));
        assert_eq!((leave(&mut mutex, 1), leave(&mut mutex, 1)), (Ok(-1), Ok(0)));
        assert_eq!(leave(&mut mutex, 1), Err(NtStatus::MUTANT_NOT_OWNED));
        assert_eq!((mutex.owner, count(&mutex)), (None, 1));
    }
}
