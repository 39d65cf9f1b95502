//! Threads as programs ask for them: making, ending, suspending, priorities, and what is known of one.

use crate::UserPtr;
use crate::builtin::{FREE_AND_EXIT, THREAD_THUNK};
use crate::executive::{
    Apc, NewThread, StackSizes, Suspended, THREAD_SET_CONTEXT, end_thread, get_context, set_context,
};
use crate::service::{Answer, Arg, Call, Export, Failure};
use vadose_facts::ntdef::Win32Error;

use Arg::{U32, Word};

/// `CREATE_SUSPENDED`, `STACK_SIZE_PARAM_IS_A_RESERVATION`.
const CREATE_SUSPENDED: u32 = 0x4;
const SIZE_IS_RESERVE: u32 = 0x1_0000;
/// Access rights of threads.
const THREAD_TERMINATE: u32 = 0x1;
const THREAD_SUSPEND_RESUME: u32 = 0x2;
const THREAD_SET_INFORMATION: u32 = 0x20;
const THREAD_QUERY_INFORMATION: u32 = 0x40;
const THREAD_SET_LIMITED: u32 = 0x400;
/// `THREAD_ALL_ACCESS` since Vista, and before.
const ALL_ACCESS: u32 = 0x1f_ffff;
const OLD_ALL_ACCESS: u32 = 0x1f_03ff;
/// `PROCESS_CREATE_THREAD`.
const PROCESS_CREATE_THREAD: u32 = 0x2;
/// What `SuspendThread`, `ResumeThread` and `GetThreadPriority` return when they fail.
const FAILED: u64 = 0xffff_ffff;
const PRIORITY_ERROR: u64 = 0x7fff_ffff;

/// The thread functions.
pub(crate) const EXPORTS: &[Export] = &[
    Export::system("CreateThread", &[Word, Word, Word, Word, U32, Word], create_thread)
        .set("core-processthreads"),
    Export::system("CreateRemoteThread", &[Word, Word, Word, Word, Word, U32, Word], create_remote_thread)
        .set("core-processthreads"),
    Export::forward("ExitThread", "ntdll.RtlExitUserThread").set("core-processthreads"),
    Export::code("FreeLibraryAndExitThread", &[Word, U32], FREE_AND_EXIT).set("core-libraryloader"),
    Export::code("BaseThreadInitThunk", &[Word], THREAD_THUNK).only_in_kernel32(),
    Export::system("TerminateThread", &[Word, U32], terminate_thread).set("core-processthreads"),
    Export::system("OpenThread", &[U32, U32, U32], open_thread).set("core-processthreads"),
    Export::system("GetThreadId", &[Word], get_thread_id).set("core-processthreads"),
    Export::system("GetProcessIdOfThread", &[Word], get_process_id_of_thread).set("core-processthreads"),
    Export::system("GetExitCodeThread", &[Word, Word], get_exit_code_thread).set("core-processthreads"),
    Export::system("SuspendThread", &[Word], suspend_thread).on_failure(FAILED).set("core-processthreads"),
    Export::system("ResumeThread", &[Word], resume_thread).on_failure(FAILED).set("core-processthreads"),
    Export::system("QueueUserAPC", &[Word, Word, Word], queue_user_apc).set("core-processthreads"),
    Export::system("GetThreadPriority", &[Word], get_thread_priority)
        .on_failure(PRIORITY_ERROR)
        .set("core-processthreads"),
    Export::system("SetThreadPriority", &[Word, U32], set_thread_priority).set("core-processthreads"),
    Export::system("GetThreadContext", &[Word, Word], get_thread_context).set("core-processthreads"),
    Export::system("SetThreadContext", &[Word, Word], set_thread_context).set("core-processthreads"),
    Export::library("SetThreadDescription", &[Word, Word], set_thread_description).set("core-processthreads"),
    Export::library("GetCurrentThreadStackLimits", &[Word, Word], current_stack_limits)
        .set("core-processthreads"),
];

/// `CreateThread(attributes, stack size, start, argument, flags, *id)`.
fn create_thread(call: &mut Call<'_>) -> Answer {
    let own = call.nt.process().pid;
    create(call, own, 0)
}

/// `CreateRemoteThread(process, …)`.
fn create_remote_thread(call: &mut Call<'_>) -> Answer {
    let target = call.require_living(call.handle(0), PROCESS_CREATE_THREAD)?;
    create(call, target, 1)
}

/// SPEC E24: the size is the commit, or with a flag the reserve.
fn create(call: &mut Call<'_>, target: u32, first: usize) -> Answer {
    let (size, start, argument) = (call.arg(first + 1), call.arg(first + 2), call.arg(first + 3));
    let (flags, id_at) = (call.u32(first + 4), call.ptr(first + 5));
    let stack = if flags & SIZE_IS_RESERVE != 0 {
        StackSizes { reserve: size, commit: 0 }
    } else {
        StackSizes { reserve: 0, commit: size }
    };
    let suspended = if flags & CREATE_SUSPENDED != 0 { Suspended::Yes } else { Suspended::No };
    if !id_at.is_null() {
        call.probe_write(id_at, 4)?;
    }
    let inherit = call.inherits(call.ptr(first))?;
    let like = call.cpu.registers();
    let new = NewThread { start, argument, stack, suspended };
    let tid = call.attached(target, |kernel| kernel.create_thread(new, &like))?;
    let object = call.nt.threads.known(tid).object;
    let access = if call.nt.edition.version.major >= 6 { ALL_ACCESS } else { OLD_ALL_ACCESS };
    let handle = match call.nt.handles_mut().refer(object, access) {
        Ok(handle) => handle,
        Err(status) => {
            call.end_thread(tid, status.raw());
            return Err(status.into());
        }
    };
    *call.nt.process_mut().handles.inherit(handle)? = inherit;
    if !id_at.is_null() {
        call.write_u32(id_at, tid)?;
    }
    Ok(handle.raw())
}

fn terminate_thread(call: &mut Call<'_>) -> Answer {
    let (handle, code) = (call.handle(0), call.u32(1));
    let tid = call.thread_of(handle, THREAD_TERMINATE)?;
    end_thread(call, tid, code);
    Ok(1)
}

/// `OpenThread(access, inherit, id)`.
fn open_thread(call: &mut Call<'_>) -> Answer {
    let (access, inherit, tid) = (call.u32(0), call.u32(1), call.u32(2));
    // Ids are multiples of four, and the low bits do not count.
    let thread = call.nt.threads.get(tid & !3).ok_or(Failure::Error(Win32Error::INVALID_PARAMETER))?;
    let object = thread.object;
    let mut handles = call.nt.handles_mut();
    let handle = handles.refer(object, access)?;
    *handles.table.inherit(handle)? = inherit != 0;
    Ok(handle.raw())
}

fn get_thread_id(call: &mut Call<'_>) -> Answer {
    Ok(u64::from(call.thread_of(call.handle(0), 0)?))
}

fn get_process_id_of_thread(call: &mut Call<'_>) -> Answer {
    let tid = call.thread_of(call.handle(0), 0)?;
    Ok(u64::from(call.nt.threads.known(tid).pid))
}

fn get_exit_code_thread(call: &mut Call<'_>) -> Answer {
    let (handle, to) = (call.handle(0), call.ptr(1));
    let tid = call.thread_of(handle, THREAD_QUERY_INFORMATION)?;
    let code = call.exit_code_of(tid);
    call.write_u32(to, code)?;
    Ok(1)
}

fn suspend_thread(call: &mut Call<'_>) -> Answer {
    let tid = call.thread_of(call.handle(0), THREAD_SUSPEND_RESUME)?;
    Ok(u64::from(call.suspend_thread(tid)?))
}

fn resume_thread(call: &mut Call<'_>) -> Answer {
    let tid = call.thread_of(call.handle(0), THREAD_SUSPEND_RESUME)?;
    Ok(u64::from(call.resume_thread(tid)))
}

/// `QueueUserAPC(function, thread, argument)`.
fn queue_user_apc(call: &mut Call<'_>) -> Answer {
    let (function, handle, argument) = (call.arg(0), call.handle(1), call.arg(2));
    let tid = call.thread_of(handle, THREAD_SET_CONTEXT)?;
    let routine = call.nt.process().entries.apc_thunk.raw();
    call.queue_apc(tid, Apc { routine, arguments: [function, argument, u64::MAX] })?;
    Ok(1)
}

/// The distance from the normal priority; the two ends of the scale have names of their own.
fn get_thread_priority(call: &mut Call<'_>) -> Answer {
    let tid = call.thread_of(call.handle(0), THREAD_QUERY_INFORMATION)?;
    let distance = call.priority_distance(tid);
    Ok(u64::from(distance.cast_unsigned()))
}

/// `SetThreadPriority(thread, priority)`: -2 to 2, or -15 and 15 for idle and time-critical.
fn set_thread_priority(call: &mut Call<'_>) -> Answer {
    let (handle, wanted) = (call.handle(0), call.i32(1));
    let tid = call.thread_of(handle, THREAD_SET_INFORMATION);
    let priority = call.priority_at(tid.unwrap_or(call.thread().tid), wanted);
    let priority = priority.ok_or(Failure::Error(Win32Error::INVALID_PARAMETER))?;
    let tid = tid?;
    call.set_priority(tid, priority);
    Ok(1)
}

fn get_thread_context(call: &mut Call<'_>) -> Answer {
    let (handle, at) = (call.handle(0), call.ptr(1));
    get_context(call, handle, at)?;
    Ok(1)
}

fn set_thread_context(call: &mut Call<'_>) -> Answer {
    let (handle, at) = (call.handle(0), call.ptr(1));
    set_context(call, handle, at)?;
    Ok(1)
}

/// `SetThreadDescription(thread, *name)`: an `HRESULT`.
fn set_thread_description(call: &mut Call<'_>) -> Answer {
    /// `FACILITY_NT_BIT`, which makes an `HRESULT` of a status.
    const FROM_NT: u64 = 0x1000_0000;
    let (handle, name_at) = (call.handle(0), call.ptr(1));
    let name = call.read_wide_string(name_at)?;
    match call
        .thread_of(handle, THREAD_SET_LIMITED)
        .or_else(|_| call.thread_of(handle, THREAD_SET_INFORMATION))
    {
        Ok(tid) => {
            call.nt.threads.known(tid).name = name;
            Ok(0)
        }
        Err(status) => Ok(u64::from(status.raw()) | FROM_NT),
    }
}

/// `GetCurrentThreadStackLimits(*low, *high)`: the whole reserve.
fn current_stack_limits(call: &mut Call<'_>) -> Answer {
    let (low_at, high_at) = (call.ptr(0), call.ptr(1));
    let teb = UserPtr::new(call.thread().teb.raw());
    let layout = call.nt.layouts().teb;
    let low = call.read_word(teb.offset(u64::from(layout.deallocation_stack)))?;
    let high = call.read_word(teb.offset(u64::from(layout.stack_base)))?;
    call.write_word(low_at, low)?;
    call.write_word(high_at, high)?;
    Ok(0)
}
