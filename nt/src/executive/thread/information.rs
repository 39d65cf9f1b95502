//! What programs ask of a thread and tell of it: the information classes.

use crate::claim::UserPtr;
use crate::executive::handle::Handle;
use crate::service::{Answer, Arg, Call, Export, Failure};
use vadose_facts::ntdef::NtStatus;

use Arg::{U32, Word};

/// `THREAD_SET_INFORMATION`, `THREAD_QUERY_INFORMATION`, and the limited forms of Vista and later.
const THREAD_SET_INFORMATION: u32 = 0x20;
const THREAD_QUERY_INFORMATION: u32 = 0x40;
const THREAD_SET_LIMITED: u32 = 0x400;
const THREAD_QUERY_LIMITED: u32 = 0x800;
/// The only processor, as an affinity mask.
const ONE_PROCESSOR: u64 = 1;
/// Longest name of a thread in bytes.
const MAX_NAME_BYTES: u16 = 0xfffe;

/// The services.
pub(crate) const EXPORTS: &[Export] = &[
    Export::native("NtQueryInformationThread", &[Word, U32, Word, U32, Word], query),
    Export::native("NtSetInformationThread", &[Word, U32, Word, U32], set),
];

/// `THREADINFOCLASS`, the ones that are here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Basic,
    Priority,
    BasePriority,
    AffinityMask,
    StartAddress,
    ZeroTlsCell,
    AmILast,
    PriorityBoost,
    HideFromDebugger,
    SuspendCount,
    Name,
}

impl Class {
    fn of(raw: u32) -> Result<Self, NtStatus> {
        Ok(match raw {
            0 => Self::Basic,
            2 => Self::Priority,
            3 => Self::BasePriority,
            4 => Self::AffinityMask,
            9 => Self::StartAddress,
            10 => Self::ZeroTlsCell,
            12 => Self::AmILast,
            14 => Self::PriorityBoost,
            17 => Self::HideFromDebugger,
            35 => Self::SuspendCount,
            38 => Self::Name,
            _ => return Err(NtStatus::INVALID_INFO_CLASS),
        })
    }
}

/// The thread of a handle that has one of two rights.
fn thread_with(call: &Call<'_>, handle: Handle, right: u32, limited: u32) -> Result<u32, NtStatus> {
    call.thread_of(handle, right).or_else(|_| call.thread_of(handle, limited))
}

/// `NtQueryInformationThread(thread, class, *buffer, bytes, *returned)`.
fn query(call: &mut Call<'_>) -> Answer {
    let (handle, class, to, bytes, returned_at) =
        (call.handle(0), call.u32(1), call.ptr(2), call.u32(3), call.ptr(4));
    let class = Class::of(class)?;
    let width = call.pointer_bytes();
    let tid = thread_with(call, handle, THREAD_QUERY_INFORMATION, THREAD_QUERY_LIMITED)?;
    let words = |values: &[u64]| -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()[..width as usize].to_vec()).collect()
    };
    let answer = match class {
        Class::Basic => basic(call, tid),
        Class::StartAddress => words(&[call.nt.threads.known(tid).start_address]),
        Class::AmILast => {
            u32::from(call.nt.threads.living_of(call.nt.process().pid).count() == 1).to_le_bytes().to_vec()
        }
        Class::PriorityBoost => 0_u32.to_le_bytes().to_vec(),
        Class::SuspendCount => call.nt.threads.known(tid).suspend_count.to_le_bytes().to_vec(),
        Class::Name => return query_name(call, tid, to, bytes, returned_at),
        Class::Priority
        | Class::BasePriority
        | Class::AffinityMask
        | Class::ZeroTlsCell
        | Class::HideFromDebugger => return Err(NtStatus::INVALID_INFO_CLASS.into()),
    };
    if bytes as usize != answer.len() {
        return Err(NtStatus::INFO_LENGTH_MISMATCH.into());
    }
    call.write(to, &answer)?;
    if !returned_at.is_null() {
        call.write_u32(returned_at, bytes)?;
    }
    Ok(0)
}

/// `THREAD_BASIC_INFORMATION`: exit status, TEB, process and thread id, affinity, priority twice.
fn basic(call: &mut Call<'_>, tid: u32) -> Vec<u8> {
    let width = call.pointer_bytes() as usize;
    let thread = call.nt.threads.known(tid);
    let pid = thread.pid;
    let priority = u32::from(thread.priority);
    let words =
        [u64::from(thread.exit_code), thread.teb.raw(), u64::from(pid), u64::from(tid), ONE_PROCESSOR];
    let words = words.iter().flat_map(|word| word.to_le_bytes()[..width].to_vec());
    words.chain(priority.to_le_bytes()).chain(priority.to_le_bytes()).collect()
}

/// A `UNICODE_STRING` with its text behind it.
fn query_name(call: &mut Call<'_>, tid: u32, to: UserPtr, bytes: u32, returned_at: UserPtr) -> Answer {
    let name = call.nt.threads.known(tid).name.clone();
    let width = call.pointer_bytes();
    let needed = 2 * width + 2 * name.len() as u64;
    if !returned_at.is_null() {
        call.write_u32(returned_at, needed as u32)?;
    }
    if u64::from(bytes) < needed {
        return Err(NtStatus::BUFFER_TOO_SMALL.into());
    }
    let length = (2 * name.len()) as u16;
    call.write_u16(to, length)?;
    call.write_u16(to.offset(2), length)?;
    call.write_word(to.offset(width), to.offset(2 * width).raw())?;
    call.write_wide(to.offset(2 * width), &name)?;
    Ok(0)
}

/// `NtSetInformationThread(thread, class, *buffer, bytes)`.
fn set(call: &mut Call<'_>) -> Answer {
    let (handle, class, from, bytes) = (call.handle(0), call.u32(1), call.ptr(2), call.u32(3));
    let class = Class::of(class)?;
    let width = call.pointer_bytes();
    let wanted = match class {
        Class::Priority | Class::BasePriority | Class::ZeroTlsCell | Class::PriorityBoost => 4,
        Class::AffinityMask | Class::StartAddress => width,
        Class::Name => 2 * width,
        Class::HideFromDebugger => 0,
        Class::Basic | Class::AmILast | Class::SuspendCount => {
            return Err(NtStatus::INVALID_INFO_CLASS.into());
        }
    };
    if u64::from(bytes) != wanted {
        return Err(NtStatus::INFO_LENGTH_MISMATCH.into());
    }
    if class == Class::Name {
        return set_name(call, handle, from);
    }
    let value = call.read_number(from, wanted)?;
    let tid = thread_with(call, handle, THREAD_SET_INFORMATION, THREAD_SET_LIMITED)?;
    apply(call, tid, class, value)?;
    Ok(0)
}

fn apply(call: &mut Call<'_>, tid: u32, class: Class, value: u64) -> Result<(), Failure> {
    match class {
        Class::Priority => match value {
            1..=31 => call.set_priority(tid, value as u8),
            _ => return Err(NtStatus::INVALID_PARAMETER.into()),
        },
        Class::BasePriority => {
            let priority = base_priority(value as u32 as i32).ok_or(NtStatus::INVALID_PARAMETER)?;
            call.set_priority(tid, priority);
        }
        Class::AffinityMask if value & ONE_PROCESSOR == 0 => return Err(NtStatus::INVALID_PARAMETER.into()),
        Class::StartAddress => call.nt.threads.known(tid).start_address = value,
        Class::ZeroTlsCell => call.clear_tls_slot(value as usize)?,
        // One processor, and no boosts: there is nothing to remember.
        Class::AffinityMask | Class::PriorityBoost | Class::HideFromDebugger => {}
        Class::Basic | Class::AmILast | Class::SuspendCount | Class::Name => {
            unreachable!("refused or done by the caller")
        }
    }
    Ok(())
}

/// The priority at a distance from a normal thread's: -2 to 2, and the two ends of the scale.
pub(crate) fn base_priority(distance: i32) -> Option<u8> {
    const NORMAL: i32 = 8;
    match distance {
        -15 | -16 => Some(1),
        15 | 16 => Some(15),
        -2..=2 => Some((NORMAL + distance) as u8),
        _ => None,
    }
}

fn set_name(call: &mut Call<'_>, handle: Handle, from: UserPtr) -> Answer {
    let tid = thread_with(call, handle, THREAD_SET_INFORMATION, THREAD_SET_LIMITED)?;
    if call.read_u16(from)? > MAX_NAME_BYTES {
        return Err(NtStatus::INVALID_PARAMETER.into());
    }
    let name = call.read_unicode_string(from)?;
    call.nt.threads.known(tid).name = name;
    Ok(0)
}
