//! What loaders ask the kernel to do for all threads of a process at once: static thread-local storage, and stacks.
//!
//! Facts: `PROCESS_TLS_INFORMATION` in System Informer's headers, and how loaders are known to use it.

use crate::claim::UserPtr;
use crate::executive::PROCESS_SET_INFORMATION;
use crate::service::{Answer, Call, Failure};
use vadose_facts::ntdef::{Bitness, NtStatus};

/// `ProcessTlsReplaceIndex`: one slot of every thread; `ProcessTlsReplaceVector`: the arrays of all threads.
const REPLACE_INDEX: u32 = 0;
const REPLACE_VECTOR: u32 = 1;
/// Bytes before the entries: flags, what is done, how many entries, and a slot or the length of the old arrays.
const HEADER_BYTES: u64 = 16;
/// An entry was used: what it holds now is the thread's old one.
const USED: u32 = 2;
/// Slots that an array can have, and threads that one call can be about.
const MAX_SLOTS: u32 = 0x1_0000;
const MAX_ENTRIES: u32 = 0x1_0000;

/// `PROCESS_TLS_INFORMATION`: each entry is flags, a pointer, and a thread's number. The pointer is given to a thread, and the
/// thread's old one is told in its place.
pub(super) fn replace(call: &mut Call<'_>, from: UserPtr, length: u64) -> Answer {
    let width = call.pointer_bytes();
    let entry_bytes = match call.nt.edition.bitness {
        Bitness::Bits32 => 12,
        Bitness::Bits64 => 24,
    };
    if length < HEADER_BYTES + entry_bytes {
        return Err(NtStatus::INFO_LENGTH_MISMATCH.into());
    }
    call.probe_write(from, length)?;
    let [what, count, number] = [4, 8, 12].map(|at| from.offset(at));
    let (what, count, number) = (call.read_u32(what)?, call.read_u32(count)?, call.read_u32(number)?);
    if count > MAX_ENTRIES || length != HEADER_BYTES + u64::from(count) * entry_bytes {
        return Err(NtStatus::INFO_LENGTH_MISMATCH.into());
    }
    if what > REPLACE_VECTOR || number > MAX_SLOTS {
        return Err(NtStatus::INVALID_PARAMETER.into());
    }
    let pid = call.require_living(call.handle(0), PROCESS_SET_INFORMATION)?;
    if pid != call.nt.process().pid {
        return Err(NtStatus::INVALID_PARAMETER.into());
    }
    let tids: Vec<u32> = call.nt.threads.living_of(pid).map(|thread| thread.tid).collect();
    let field = call.nt.layouts().teb.tls_pointer;
    let mut entries = (0..u64::from(count)).map(|index| from.offset(HEADER_BYTES + index * entry_bytes));
    for tid in tids {
        let array_at = call.teb_field(tid, field);
        let array = call.read_word(array_at)?;
        if array == 0 {
            continue;
        }
        let Some(entry) = entries.next() else { return Err(NtStatus::INFO_LENGTH_MISMATCH.into()) };
        let new = call.read_word(entry.offset(width))?;
        let place = if what == REPLACE_INDEX {
            UserPtr::new(array).offset(u64::from(number) * width)
        } else {
            copy(call, array, new, u64::from(number) * width)?;
            array_at
        };
        let old = call.read_word(place)?;
        call.write_word(place, new)?;
        call.write_word(entry.offset(width), old)?;
        call.write_word(entry.offset(2 * width), u64::from(tid))?;
        call.write_u32(entry, USED)?;
    }
    Ok(0)
}

fn copy(call: &mut Call<'_>, from: u64, to: u64, bytes: u64) -> Result<(), Failure> {
    let slots = call.read_vec(UserPtr::new(from), bytes)?;
    Ok(call.write(UserPtr::new(to), &slots)?)
}

/// `PROCESS_STACK_ALLOCATION_INFORMATION`: the size to reserve and bits of the address come in, the base goes out.
pub(super) fn allocate_stack(call: &mut Call<'_>, from: UserPtr, length: u64) -> Answer {
    /// `PAGE_READWRITE`.
    const READ_WRITE: u32 = 4;
    let width = call.pointer_bytes();
    // An extended form has three words more before it: a preferred node and what is reserved.
    let at = match length / width {
        3 => from,
        6 => from.offset(3 * width),
        _ => return Err(NtStatus::INFO_LENGTH_MISMATCH.into()),
    };
    call.probe_write(from, length)?;
    let (size, zero_bits) = (call.read_word(at)?, call.read_word(at.offset(width))?);
    let target = call.require_living(call.handle(0), PROCESS_SET_INFORMATION)?;
    let base = call.attached(target, |kernel| kernel.reserve_scattered(size, zero_bits, READ_WRITE))?;
    call.write_word(at.offset(2 * width), base.raw())?;
    Ok(0)
}
