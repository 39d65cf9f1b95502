//! What programs ask of a thread and tell of it: the information classes.

use super::table::{DEFAULT_PRIORITY, Thread};
use crate::claim::UserPtr;
use crate::executive::handle::Handle;
use crate::executive::record::Record;
use crate::executive::system_information::PROCESSOR_MHZ;
use crate::kernel::Kernel;
use crate::service::{Answer, Arg, Call, Export, Failure};
use vadose_facts::ntdef::{Bitness, NtStatus};

use Arg::{U32, Word};

/// `THREAD_SET_INFORMATION`, `THREAD_QUERY_INFORMATION`, and the limited forms of Vista and later.
const THREAD_SET_INFORMATION: u32 = 0x20;
const THREAD_QUERY_INFORMATION: u32 = 0x40;
const THREAD_SET_LIMITED: u32 = 0x400;
const THREAD_QUERY_LIMITED: u32 = 0x800;
/// `THREAD_SET_THREAD_TOKEN`.
const THREAD_SET_TOKEN: u32 = 0x80;
/// `THREAD_ALL_ACCESS`, and the wishes that mean it: `MAXIMUM_ALLOWED`, `GENERIC_ALL`.
const THREAD_ALL_ACCESS: u32 = 0x1f_ffff;
const EVERYTHING: u32 = 0x0200_0000 | 0x1000_0000;
/// `MAXIMUM_PROCESSORS`, which asks for the processor that is preferred now.
const MAXIMUM_PROCESSORS: u64 = 64;
/// The only processor, as an affinity mask.
const ONE_PROCESSOR: u64 = 1;
/// Longest name of a thread in bytes.
const MAX_NAME_BYTES: u16 = 0xfffe;

/// The services.
pub(crate) const EXPORTS: &[Export] = &[
    Export::native("NtQueryInformationThread", &[Word, U32, Word, U32, Word], query),
    Export::native("NtSetInformationThread", &[Word, U32, Word, U32], set),
    Export::native("NtGetNextThread", &[Word, Word, U32, U32, U32, Word], get_next_thread).since(6, 0),
];

/// `THREADINFOCLASS`, the ones that are here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Basic,
    Times,
    Priority,
    BasePriority,
    AffinityMask,
    ImpersonationToken,
    Descriptor,
    StartAddress,
    ZeroTlsCell,
    AmILast,
    IdealProcessor,
    PriorityBoost,
    IsIoPending,
    HideFromDebugger,
    BreakOnTermination,
    IsTerminated,
    IoPriority,
    CycleTime,
    PagePriority,
    ActualBasePriority,
    Group,
    IdealProcessorEx,
    SuspendCount,
    Name,
}

/// Classes by number.
const CLASSES: &[(u32, Class)] = &[
    (0, Class::Basic),
    (1, Class::Times),
    (2, Class::Priority),
    (3, Class::BasePriority),
    (4, Class::AffinityMask),
    (5, Class::ImpersonationToken),
    (6, Class::Descriptor),
    (9, Class::StartAddress),
    (10, Class::ZeroTlsCell),
    (12, Class::AmILast),
    (13, Class::IdealProcessor),
    (14, Class::PriorityBoost),
    (16, Class::IsIoPending),
    (17, Class::HideFromDebugger),
    (18, Class::BreakOnTermination),
    (20, Class::IsTerminated),
    (22, Class::IoPriority),
    (23, Class::CycleTime),
    (24, Class::PagePriority),
    (25, Class::ActualBasePriority),
    (30, Class::Group),
    (33, Class::IdealProcessorEx),
    (35, Class::SuspendCount),
    (38, Class::Name),
];

impl Class {
    fn of(raw: u32) -> Result<Self, NtStatus> {
        let found = CLASSES.iter().find(|(number, _)| *number == raw);
        found.map(|(_, class)| *class).ok_or(NtStatus::INVALID_INFO_CLASS)
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
    let tid = thread_with(call, handle, THREAD_QUERY_INFORMATION, THREAD_QUERY_LIMITED)?;
    match class {
        Class::Name => return query_name(call, tid, to, bytes, returned_at),
        Class::Descriptor => return query_descriptor(call, tid, to, bytes, returned_at),
        _structures => {}
    }
    let answer = structure(call, class, tid).ok_or(NtStatus::INVALID_INFO_CLASS)?;
    if bytes as usize != answer.len() {
        return Err(NtStatus::INFO_LENGTH_MISMATCH.into());
    }
    call.write(to, &answer)?;
    if !returned_at.is_null() {
        call.write_u32(returned_at, bytes)?;
    }
    Ok(0)
}

/// The structure of a class, `None` for those that can only be set.
fn structure(call: &Call<'_>, class: Class, tid: u32) -> Option<Vec<u8>> {
    let record = Record::new(call.nt.edition);
    let thread = call.nt.threads.get(tid).expect("a handle keeps its thread");
    let base = call.nt.process_by_id(thread.pid).map_or(DEFAULT_PRIORITY, |process| process.base_priority);
    let last = || u32::from(call.nt.threads.living_of(call.nt.process().pid).count() == 1);
    Some(match class {
        Class::Basic => basic(record, thread, call.priority_distance(tid)),
        Class::Times => {
            let times = call.thread_times(thread);
            record.u64(times.created).u64(times.exited).u64(times.kernel).u64(times.user).finish()
        }
        Class::CycleTime => record.u64(thread.ran_units * u64::from(PROCESSOR_MHZ) / 10).u64(0).finish(),
        Class::StartAddress => record.word(thread.start_address).finish(),
        Class::AmILast => record.u32(last()).finish(),
        Class::PriorityBoost | Class::IsIoPending | Class::BreakOnTermination => record.u32(0).finish(),
        Class::HideFromDebugger => record.u8(u8::from(thread.hidden_from_debugger)).finish(),
        Class::IsTerminated => record.u32(u32::from(thread.has_ended())).finish(),
        Class::IoPriority => record.u32(2).finish(),
        Class::PagePriority => record.u32(5).finish(),
        Class::ActualBasePriority => record.u32(base.into()).finish(),
        Class::Group => record.word(ONE_PROCESSOR).u16(0).zeros(6).finish(),
        Class::IdealProcessorEx => record.u16(0).u8(0).u8(0).finish(),
        Class::SuspendCount => record.u32(thread.suspend_count).finish(),
        Class::Priority
        | Class::BasePriority
        | Class::AffinityMask
        | Class::ImpersonationToken
        | Class::Descriptor
        | Class::ZeroTlsCell
        | Class::IdealProcessor
        | Class::Name => return None,
    })
}

/// `THREAD_DESCRIPTOR_INFORMATION`: a selector comes in, its entry of the descriptor table goes out. 64-bit programs have
/// none to ask for.
fn query_descriptor(call: &mut Call<'_>, tid: u32, to: UserPtr, bytes: u32, returned_at: UserPtr) -> Answer {
    const BYTES: u32 = 12;
    if call.nt.edition.bitness == Bitness::Bits64 {
        return Err(NtStatus::NOT_IMPLEMENTED.into());
    }
    if bytes != BYTES {
        return Err(NtStatus::INFO_LENGTH_MISMATCH.into());
    }
    let selector = call.read_u32(to)?;
    let teb = call.nt.threads.get(tid).map_or(0, |thread| thread.teb.raw());
    let (base, limit, access, flags) = match selector & 0xffff {
        0x1b => (0, 0xf_ffff, 0xfb, 0xc),
        0x23 => (0, 0xf_ffff, 0xf3, 0xc),
        0x3b => (teb, 0xfff, 0xf3, 0x4),
        _ => return Err(NtStatus::UNSUCCESSFUL.into()),
    };
    call.write_u64(to.offset(4), descriptor(base, limit, access, flags))?;
    if !returned_at.is_null() {
        call.write_u32(returned_at, BYTES)?;
    }
    Ok(0)
}

/// A segment descriptor: base and limit are spread over it.
const fn descriptor(base: u64, limit: u64, access: u64, flags: u64) -> u64 {
    limit & 0xffff
        | (base & 0xff_ffff) << 16
        | access << 40
        | (limit >> 16 & 0xf) << 48
        | flags << 52
        | (base >> 24 & 0xff) << 56
}

/// `THREAD_BASIC_INFORMATION`: exit status, TEB, process and thread id, affinity, priority, and how far that is from its
/// process's (`KeQueryBasePriorityThread`).
fn basic(record: Record, thread: &Thread, distance: i32) -> Vec<u8> {
    let record = record.u32(thread.exit_code).word(thread.teb.raw());
    let record = record.word(thread.pid.into()).word(thread.tid.into()).word(ONE_PROCESSOR);
    record.u32(thread.priority.into()).u32(distance.cast_unsigned()).finish()
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
        Class::Priority
        | Class::BasePriority
        | Class::ZeroTlsCell
        | Class::IdealProcessor
        | Class::IdealProcessorEx
        | Class::PriorityBoost
        | Class::BreakOnTermination
        | Class::IoPriority
        | Class::PagePriority => 4,
        Class::AffinityMask | Class::StartAddress | Class::ImpersonationToken => width,
        Class::Group => width + 8,
        Class::Name => 2 * width,
        Class::HideFromDebugger => 0,
        Class::Basic
        | Class::Times
        | Class::Descriptor
        | Class::AmILast
        | Class::IsIoPending
        | Class::IsTerminated
        | Class::CycleTime
        | Class::ActualBasePriority
        | Class::SuspendCount => return Err(NtStatus::INVALID_INFO_CLASS.into()),
    };
    if u64::from(bytes) != wanted {
        return Err(NtStatus::INFO_LENGTH_MISMATCH.into());
    }
    if class == Class::Name {
        return set_name(call, handle, from);
    }
    // Of a mask and its group only the mask counts: there is one group.
    let value = call.read_number(from, wanted.min(width.max(4)))?;
    if class == Class::ImpersonationToken {
        let tid = call.thread_of(handle, THREAD_SET_TOKEN)?;
        let token = Handle::from_guest(value, call.nt.edition.bitness);
        call.set_impersonation(tid, token)?;
        return Ok(0);
    }
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
            let priority = call.priority_at(tid, value as u32 as i32).ok_or(NtStatus::INVALID_PARAMETER)?;
            call.set_priority(tid, priority);
        }
        Class::AffinityMask | Class::Group if value & ONE_PROCESSOR == 0 => {
            return Err(NtStatus::INVALID_PARAMETER.into());
        }
        Class::StartAddress => call.nt.threads.known(tid).start_address = value,
        Class::ZeroTlsCell => call.clear_tls_slot(value as usize)?,
        Class::HideFromDebugger => call.nt.threads.known(tid).hidden_from_debugger = true,
        Class::BreakOnTermination => return Err(NtStatus::PRIVILEGE_NOT_HELD.into()),
        // The processor before, which is the first.
        Class::IdealProcessor if value > MAXIMUM_PROCESSORS => {
            return Err(NtStatus::INVALID_PARAMETER.into());
        }
        // One processor, and no boosts: there is nothing to remember.
        _accepted => {}
    }
    Ok(())
}

impl Kernel<'_> {
    /// The priority of a thread at a distance from its process's normal ones: -2 to 2, and the two ends of the scale.
    pub(crate) fn priority_at(&self, tid: u32, distance: i32) -> Option<u8> {
        match distance {
            -15 | -16 => Some(1),
            15 | 16 => Some(15),
            -2..=2 => Some((i32::from(self.base_priority_of(tid)) + distance).clamp(1, 15) as u8),
            _ => None,
        }
    }

    /// How far a thread's priority is from its process's, as [`priority_at`](Self::priority_at) takes it.
    pub(crate) fn priority_distance(&self, tid: u32) -> i32 {
        match self.nt.threads.get(tid).map_or(DEFAULT_PRIORITY, |thread| thread.priority) {
            1 => -15,
            15 => 15,
            other => i32::from(other) - i32::from(self.base_priority_of(tid)),
        }
    }

    /// The priority of normal threads of a thread's process.
    pub(crate) fn base_priority_of(&self, tid: u32) -> u8 {
        let pid = self.nt.threads.get(tid).map_or(0, |thread| thread.pid);
        self.nt.process_by_id(pid).map_or(DEFAULT_PRIORITY, |process| process.base_priority)
    }
}

/// `NtGetNextThread(process, thread, access, attributes, flags, *next)`: the living ones in the order of their start.
fn get_next_thread(call: &mut Call<'_>) -> Answer {
    let (process, after, access) = (call.handle(0), call.handle(1), call.u32(2));
    let (attributes, flags, to) = (call.u32(3), call.u32(4), call.ptr(5));
    let width = call.pointer_bytes();
    call.probe_write(to, width)?;
    if flags != 0 {
        return Err(NtStatus::INVALID_PARAMETER.into());
    }
    let pid = call.require_process(process, crate::executive::PROCESS_QUERY_INFORMATION)?;
    let after = if after == Handle::NULL { 0 } else { call.thread_of(after, 0)? };
    let next = call.nt.threads.living_of(pid).find(|thread| thread.tid > after);
    let object = next.ok_or(NtStatus::NO_MORE_ENTRIES)?.object;
    let access = if access & EVERYTHING == 0 { access } else { THREAD_ALL_ACCESS };
    let handle = call.nt.handles_mut().refer(object, access)?;
    call.set_inherited(handle, attributes)?;
    call.write_word(to, handle.raw())?;
    Ok(0)
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
