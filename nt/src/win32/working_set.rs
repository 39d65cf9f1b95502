//! Locks and working-set limits as Win32 functions (SPEC J1 to J10).

use crate::executive::{Handle, NewLimits, PROCESS_SET_QUOTA};
use crate::service::{Answer, Arg, Call, Export};
use vadose_facts::addr::{PAGE_BYTES, VirtAddr};
use vadose_facts::ntdef::{NtStatus, Win32Error};
use vadose_mm::{LimitFlags, LockKinds};

use Arg::{U32, Word};

/// The functions of this file.
pub(crate) const EXPORTS: &[Export] = &[
    Export::system("VirtualLock", &[Word, Word], virtual_lock).set("core-memory"),
    Export::system("VirtualUnlock", &[Word, Word], virtual_unlock).set("core-memory"),
    Export::system("GetProcessWorkingSetSize", &[Word, Word, Word], get_size).only_in_kernel32(),
    Export::system("SetProcessWorkingSetSize", &[Word, Word, Word], set_size).only_in_kernel32(),
    Export::system("GetProcessWorkingSetSizeEx", &[Word, Word, Word, Word], get_size_ex)
        .set("core-memory")
        .since(6, 0),
    Export::system("SetProcessWorkingSetSizeEx", &[Word, Word, Word, U32], set_size_ex)
        .set("core-memory")
        .since(6, 0),
    Export::system("K32EmptyWorkingSet", &[Word], empty).set("core-psapi").since(6, 1),
];

fn virtual_lock(call: &mut Call<'_>) -> Answer {
    let (base, size) = (VirtAddr::new(call.arg(0)), call.arg(1));
    call.lock(base, size, LockKinds::PROCESS)?;
    Ok(1)
}

fn virtual_unlock(call: &mut Call<'_>) -> Answer {
    let (base, size) = (VirtAddr::new(call.arg(0)), call.arg(1));
    call.unlock(base, size, LockKinds::PROCESS)?;
    Ok(1)
}

/// The limits of the process that the first argument names.
fn limits_of(call: &Call<'_>) -> Result<vadose_mm::WorkingSetLimits, NtStatus> {
    let process = call.queried_memory(call.handle(0))?;
    Ok(call.mm.process_counters(process).limits)
}

/// `GetProcessWorkingSetSize(process, *minimum, *maximum)`.
fn get_size(call: &mut Call<'_>) -> Answer {
    let (minimum_at, maximum_at) = (call.ptr(1), call.ptr(2));
    let limits = limits_of(call)?;
    call.write_word(minimum_at, limits.minimum_pages * PAGE_BYTES)?;
    call.write_word(maximum_at, limits.maximum_pages * PAGE_BYTES)?;
    Ok(1)
}

/// `GetProcessWorkingSetSizeEx(process, *minimum, *maximum, *flags)` (SPEC J3).
fn get_size_ex(call: &mut Call<'_>) -> Answer {
    let flags_at = call.ptr(3);
    get_size(call)?;
    let limits = limits_of(call)?;
    call.write_u32(flags_at, limits.flags().bits())?;
    Ok(1)
}

fn set_size(call: &mut Call<'_>) -> Answer {
    set(call, LimitFlags::empty())
}

fn set_size_ex(call: &mut Call<'_>) -> Answer {
    let flags = LimitFlags::from_bits_retain(call.u32(3));
    set(call, flags)
}

/// `SetProcessWorkingSetSize(process, minimum, maximum)`. The Win32 layer refuses limits of nothing by itself (SPEC J2).
fn set(call: &mut Call<'_>, flags: LimitFlags) -> Answer {
    let (process, minimum_bytes, maximum_bytes) = (call.handle(0), call.arg(1), call.arg(2));
    if minimum_bytes == 0 || maximum_bytes == 0 {
        return Err(Win32Error::INVALID_PARAMETER.into());
    }
    set_limits(call, process, NewLimits { minimum_bytes, maximum_bytes, flags })?;
    Ok(1)
}

fn set_limits(call: &mut Call<'_>, process: Handle, new: NewLimits) -> Result<(), NtStatus> {
    let target = call.require_living(process, PROCESS_SET_QUOTA)?;
    call.attached(target, |kernel| kernel.set_limits(new))
}

/// `EmptyWorkingSet(process)` (SPEC J5).
pub(super) fn empty(call: &mut Call<'_>) -> Answer {
    let process = call.handle(0);
    let all_ones = u64::MAX >> (64 - 8 * call.pointer_bytes());
    let new = NewLimits { minimum_bytes: all_ones, maximum_bytes: all_ones, flags: LimitFlags::empty() };
    set_limits(call, process, new)?;
    Ok(1)
}
