//! The native services that make and open threads, and stacks for them.

use super::life::{NewThread, StackSizes, Suspended};
use crate::executive::handle::Handle;
use crate::executive::object_manager::{INHERIT, Kind};
use crate::executive::start_attributes::StartAttributes;
use crate::service::{Answer, Arg, Call, Export, Failure};
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::{FreeType, NtStatus};

use Arg::{U32, Word};

/// `PROCESS_CREATE_THREAD`.
const PROCESS_CREATE_THREAD: u32 = 0x2;
/// `THREAD_CREATE_FLAGS_CREATE_SUSPENDED`, `_SKIP_THREAD_ATTACH`, and all that there are: no debugger that a thread could
/// hide from, no descriptor that is checked.
const CREATE_SUSPENDED: u32 = 0x1;
const SKIP_ATTACH: u32 = 0x2;
const KNOWN_FLAGS: u32 = 0xf7;
/// `THREAD_ALL_ACCESS`.
const ALL_ACCESS: u32 = 0x1f_ffff;
/// `MAXIMUM_ALLOWED` and `GENERIC_ALL`: everything.
const EVERYTHING: u32 = 0x0200_0000 | 0x1000_0000;
/// Bytes of the part of an `INITIAL_TEB` that is filled, in pointers: two of an old form, then top, limit and base.
const INITIAL_TEB_WORDS: u64 = 5;
/// A stack whose commit fills its reserve gets one of whole mebibytes.
const STACK_STEP: u64 = 1 << 20;

/// The services.
pub(crate) const EXPORTS: &[Export] = &[
    Export::native(
        "NtCreateThreadEx",
        &[Word, U32, Word, Word, Word, Word, U32, Word, Word, Word, Word],
        create_thread_ex,
    ),
    Export::native(
        "RtlCreateUserThread",
        &[Word, Word, U32, U32, Word, Word, Word, Word, Word, Word],
        create_user_thread,
    ),
    Export::native("NtOpenThread", &[Word, U32, Word, Word], open_thread),
    Export::native("RtlCreateUserStack", &[Word, Word, Word, Word, Word, Word], create_user_stack),
    Export::native("RtlFreeUserStack", &[Word], free_user_stack),
];

/// Makes a thread of a process and gives it a handle with these rights.
fn create(call: &mut Call<'_>, target: u32, new: NewThread, access: u32) -> Result<(Handle, u32), Failure> {
    let like = call.cpu.registers();
    let tid = call.attached(target, |kernel| kernel.create_thread(new, &like))?;
    let object = call.nt.threads.known(tid).object;
    match call.nt.handles_mut().refer(object, access) {
        Ok(handle) => Ok((handle, tid)),
        Err(status) => {
            call.end_thread(tid, status.raw());
            Err(status.into())
        }
    }
}

fn suspended(raw: u32) -> Suspended {
    if raw == 0 { Suspended::No } else { Suspended::Yes }
}

/// `NtCreateThreadEx(*handle, access, attributes, process, start, argument, flags, zero bits, commit, reserve, list)`.
fn create_thread_ex(call: &mut Call<'_>) -> Answer {
    let (to, access, naming_at, process) = (call.ptr(0), call.u32(1), call.ptr(2), call.handle(3));
    let (start, argument, flags) = (call.arg(4), call.arg(5), call.u32(6));
    let stack = StackSizes { commit: call.arg(8), reserve: call.arg(9) };
    call.probe_handle(to)?;
    if flags & !KNOWN_FLAGS != 0 {
        return Err(NtStatus::invalid_parameter(7).into());
    }
    let naming = call.attributes_to_make(naming_at)?;
    let list = call.ptr(10);
    let attributes = StartAttributes::read(call, list)?;
    attributes.probe(call)?;
    let target = call.require_living(process, PROCESS_CREATE_THREAD)?;
    let access = Kind::Thread.granted(access)?;
    let suspended = suspended(flags & CREATE_SUSPENDED);
    let (handle, tid) = create(call, target, NewThread { start, argument, stack, suspended }, access)?;
    if flags & SKIP_ATTACH != 0 {
        call.nt.threads.known(tid).attaching = false;
    }
    *call.nt.process_mut().handles.inherit(handle)? = naming.has(INHERIT);
    attributes.tell_thread(call, tid)?;
    call.write_word(to, handle.raw())?;
    Ok(0)
}

/// `RtlCreateUserThread(process, descriptor, suspended, zero bits, reserve, commit, start, argument, *handle, *client id)`.
fn create_user_thread(call: &mut Call<'_>) -> Answer {
    let (process, suspend, reserve, commit) = (call.handle(0), call.u32(2) & 0xff, call.arg(4), call.arg(5));
    let (start, argument, handle_at, id_at) = (call.arg(6), call.arg(7), call.ptr(8), call.ptr(9));
    let target = call.require_living(process, PROCESS_CREATE_THREAD)?;
    let stack = StackSizes { reserve, commit };
    let suspended = suspended(suspend);
    let (handle, tid) = create(call, target, NewThread { start, argument, stack, suspended }, ALL_ACCESS)?;
    if !handle_at.is_null() {
        call.write_word(handle_at, handle.raw())?;
    }
    if !id_at.is_null() {
        let width = call.pointer_bytes();
        call.write_word(id_at, u64::from(target))?;
        call.write_word(id_at.offset(width), u64::from(tid))?;
    }
    Ok(0)
}

/// `NtOpenThread(*handle, access, attributes, *client id)`: the process of the id may be left 0.
fn open_thread(call: &mut Call<'_>) -> Answer {
    let (to, access, id_at) = (call.ptr(0), call.u32(1), call.ptr(3));
    let width = call.pointer_bytes();
    call.probe_write(to, width)?;
    let (pid, tid) = (call.read_word(id_at)?, call.read_word(id_at.offset(width))?);
    let thread = u32::try_from(tid).ok().and_then(|tid| call.nt.threads.get(tid & !3));
    let thread = thread.filter(|thread| pid == 0 || u64::from(thread.pid) == pid);
    let thread = thread.ok_or(NtStatus::INVALID_CID)?;
    let object = thread.object;
    let access = if access & EVERYTHING != 0 { ALL_ACCESS } else { access };
    let handle = call.nt.handles_mut().refer(object, access)?;
    call.write_word(to, handle.raw())?;
    Ok(0)
}

/// SPEC E25: sizes of a stack that `RtlCreateUserStack` makes, in bytes.
fn user_stack_sizes(commit: u64, reserve: u64, commit_unit: u64, reserve_unit: u64) -> Option<StackSizes> {
    let reserve = if commit >= reserve { commit.checked_next_multiple_of(STACK_STEP)? } else { reserve };
    Some(StackSizes {
        commit: commit.checked_next_multiple_of(commit_unit)?,
        reserve: reserve.checked_next_multiple_of(reserve_unit)?,
    })
}

/// `RtlCreateUserStack(commit, reserve, zero bits, commit alignment, reserve alignment, *initial TEB)`.
fn create_user_stack(call: &mut Call<'_>) -> Answer {
    let (commit, reserve, zero_bits, commit_unit, reserve_unit, to) =
        (call.arg(0), call.arg(1), call.arg(2), call.arg(3), call.arg(4), call.ptr(5));
    if commit_unit == 0 || reserve_unit == 0 {
        return Err(NtStatus::INVALID_PARAMETER.into());
    }
    let header = call.nt.process().program().image.stack();
    let reserve = if reserve == 0 { header.reserve } else { reserve };
    let commit = if commit == 0 { header.commit } else { commit };
    let sizes = user_stack_sizes(commit, reserve, commit_unit, reserve_unit).ok_or(NtStatus::NO_MEMORY)?;
    // The caller's unit may be a byte; a stack is made of pages and placed on 64 KiB.
    let sizes = sizes.round(sizes).ok_or(NtStatus::NO_MEMORY)?;
    let width = call.pointer_bytes();
    call.probe_write(to, INITIAL_TEB_WORDS * width)?;
    call.ask_for_memory(NtStatus::NO_MEMORY)?;
    let stack = call.make_stack_memory_within(sizes, zero_bits)?;
    for (place, value) in (0..).zip([0, 0, stack.top.raw(), stack.limit.raw(), stack.base.raw()]) {
        call.write_word(to.offset(place * width), value)?;
    }
    Ok(0)
}

/// `RtlFreeUserStack(base)`.
fn free_user_stack(call: &mut Call<'_>) -> Answer {
    let base = VirtAddr::new(call.arg(0));
    call.free(base, 0, FreeType::RELEASE)?;
    call.free_memory(base);
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SPEC E25: a commit that fills the reserve raises it to the next mebibyte; each size goes up to its own alignment.
    #[test]
    fn user_stacks_are_sized_as_asked_and_never_too_small() {
        let sizes = |commit, reserve, commit_unit, reserve_unit| {
            user_stack_sizes(commit, reserve, commit_unit, reserve_unit).map(|s| (s.commit, s.reserve))
        };
        assert_eq!(sizes(0x4000, 0x20_0000, 1, 1), Some((0x4000, 0x20_0000)));
        assert_eq!(sizes(0x4000, 0x1f_f000, 1, 0x1_0000), Some((0x4000, 0x20_0000)));
        assert_eq!(sizes(0x11_0000, 0x11_0000, 1, 1), Some((0x11_0000, 0x20_0000)));
        assert_eq!(sizes(0x1001, 0x1_0000, 0x1000, 1), Some((0x2000, 0x1_0000)));
        assert_eq!(sizes(u64::MAX, 1, 1, 1), None);
    }
}
