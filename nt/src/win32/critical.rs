//! Locks that live in guest memory: critical sections, slim locks, one-time initialisation, and linked lists.

use crate::UserPtr;
use crate::builtin::Assembler;
use crate::claim::BadPointer;
use crate::executive::{Resumed, Timeout};
use crate::service::{Answer, Arg, Call, CodeBody, Export};
use iced_x86::IcedError;
use iced_x86::code_asm::{dword_ptr, eax, ebp, edx, esp, qword_ptr, r8, r9, rbx, rcx, rdi, rdx, rsi, rsp};
use vadose_facts::ntdef::{Bitness, NtStatus, Win32Error};

use Arg::{U32, Word};

/// Fields of an `RTL_CRITICAL_SECTION`, in bytes.
struct Layout {
    lock_count: u64,
    recursion: u64,
    owner: u64,
    spin_count: u64,
    size: usize,
}

const SECTION32: Layout = Layout { lock_count: 4, recursion: 8, owner: 0xc, spin_count: 0x14, size: 0x18 };
const SECTION64: Layout = Layout { lock_count: 8, recursion: 0xc, owner: 0x10, spin_count: 0x20, size: 0x28 };

/// Nobody is in: the count before Vista counts up from here; later ones have bit 0 clear when somebody is in.
const UNLOCKED: u32 = u32::MAX;
const LOCKED_SINCE_VISTA: u32 = 0xffff_fffe;
/// `ERROR_TIMEOUT`.
const TIMEOUT: Win32Error = Win32Error::new(1460);
/// A slim lock that is held exclusively; a shared one counts from bit 4.
const HELD: u64 = 1;
const ONE_SHARER: u64 = 0x10;
/// States of an `INIT_ONCE`, in its low two bits.
const ONCE_STATE: u64 = 3;
const ONCE_PENDING: u64 = 1;
const ONCE_DONE: u64 = 2;
const ONCE_PENDING_ASYNC: u64 = 3;
/// `INIT_ONCE_CHECK_ONLY`, `INIT_ONCE_ASYNC`, `INIT_ONCE_INIT_FAILED`.
const CHECK_ONLY: u32 = 1;
const ASYNC: u32 = 2;
const FAILED: u32 = 4;

const EXECUTE_ONCE: CodeBody =
    CodeBody { emit: execute_once, calls: &["InitOnceBeginInitialize", "InitOnceComplete"] };

/// The functions.
pub(crate) const EXPORTS: &[Export] = &[
    Export::library("InitializeCriticalSection", &[Word], initialize).set("core-synch"),
    Export::library("InitializeCriticalSectionAndSpinCount", &[Word, U32], initialize).set("core-synch"),
    Export::library("InitializeCriticalSectionEx", &[Word, U32, U32], initialize).set("core-synch"),
    Export::library("EnterCriticalSection", &[Word], enter).set("core-synch"),
    Export::library("TryEnterCriticalSection", &[Word], try_enter).set("core-synch"),
    Export::library("LeaveCriticalSection", &[Word], leave).set("core-synch"),
    Export::library("DeleteCriticalSection", &[Word], delete).set("core-synch"),
    Export::library("SetCriticalSectionSpinCount", &[Word, U32], set_spin_count).set("core-synch"),
    Export::library("InitializeSRWLock", &[Word], clear_word).set("core-synch"),
    Export::library("AcquireSRWLockExclusive", &[Word], acquire_exclusive).set("core-synch"),
    Export::library("AcquireSRWLockShared", &[Word], acquire_shared).set("core-synch"),
    Export::library("TryAcquireSRWLockExclusive", &[Word], try_acquire_exclusive).set("core-synch"),
    Export::library("TryAcquireSRWLockShared", &[Word], try_acquire_shared).set("core-synch"),
    Export::library("ReleaseSRWLockExclusive", &[Word], release_exclusive).set("core-synch"),
    Export::library("ReleaseSRWLockShared", &[Word], release_shared).set("core-synch"),
    Export::library("InitializeConditionVariable", &[Word], clear_word).set("core-synch"),
    Export::library("WakeConditionVariable", &[Word], wake_one).set("core-synch"),
    Export::library("WakeAllConditionVariable", &[Word], wake_all).set("core-synch"),
    Export::library("SleepConditionVariableCS", &[Word, Word, U32], sleep_section).set("core-synch"),
    Export::library("SleepConditionVariableSRW", &[Word, Word, U32, U32], sleep_slim).set("core-synch"),
    Export::library("WaitOnAddress", &[Word, Word, Word, U32], wait_on_address).set("core-synch"),
    Export::library("WakeByAddressSingle", &[Word], wake_one).set("core-synch"),
    Export::library("WakeByAddressAll", &[Word], wake_all).set("core-synch"),
    Export::library("InitOnceInitialize", &[Word], clear_word).set("core-synch"),
    Export::library("InitOnceBeginInitialize", &[Word, U32, Word, Word], once_begin).set("core-synch"),
    Export::library("InitOnceComplete", &[Word, U32, Word], once_complete).set("core-synch"),
    Export::code("InitOnceExecuteOnce", &[Word, Word, Word, Word], EXECUTE_ONCE).set("core-synch"),
    Export::library("InterlockedIncrement", &[Word], interlocked_increment).set("core-interlocked"),
    Export::library("InterlockedDecrement", &[Word], interlocked_decrement).set("core-interlocked"),
    Export::library("InterlockedExchange", &[Word, U32], interlocked_exchange).set("core-interlocked"),
    Export::library("InterlockedExchangeAdd", &[Word, U32], interlocked_exchange_add).set("core-interlocked"),
    Export::library("InterlockedCompareExchange", &[Word, U32, U32], interlocked_compare_exchange)
        .set("core-interlocked"),
];

fn layout(call: &Call<'_>) -> &'static Layout {
    match call.nt.edition.bitness {
        Bitness::Bits32 => &SECTION32,
        Bitness::Bits64 => &SECTION64,
    }
}

/// `InitializeCriticalSection(section)`: no spin count on one processor, no debug information.
fn initialize(call: &mut Call<'_>) -> Answer {
    let (at, fields) = (call.ptr(0), layout(call));
    call.write(at, &[0; 0x28][..fields.size])?;
    call.write_word(at, u64::MAX)?;
    call.write_u32(at.offset(fields.lock_count), UNLOCKED)?;
    Ok(1)
}

/// Takes a section that nobody is in or that is the caller's own; whether it did.
fn take(call: &mut Call<'_>, at: UserPtr) -> Result<bool, BadPointer> {
    let fields = layout(call);
    let me = u64::from(call.thread().tid);
    let count = call.read_u32(at.offset(fields.lock_count))?;
    let owner = call.read_word(at.offset(fields.owner))?;
    let recursion = call.read_u32(at.offset(fields.recursion))?;
    let depth = match (owner, recursion) {
        (owner, _) if owner == me => recursion.wrapping_add(1),
        (0, 0) => 1,
        (_, _) if count == UNLOCKED => 1,
        (_, _) => return Ok(false),
    };
    call.write_u32(at.offset(fields.recursion), depth)?;
    call.write_word(at.offset(fields.owner), me)?;
    count_lock(call, at, depth)?;
    Ok(true)
}

/// `LockCount` of a section that is held `depth` times: since Vista, bit 0 is clear when somebody is in, and each waiter
/// takes 4 off; before, it is one less than all who hold or wait.
fn count_lock(call: &mut Call<'_>, at: UserPtr, depth: u32) -> Result<(), BadPointer> {
    let field = at.offset(layout(call).lock_count);
    let waiters = call.waiters_at(at.raw()).count() as u32;
    let count = match (call.nt.edition.version.major >= 6, depth) {
        (true, 0) => UNLOCKED.wrapping_sub(4 * waiters),
        (true, _) => LOCKED_SINCE_VISTA.wrapping_sub(4 * waiters),
        (false, depth) => depth.wrapping_add(waiters).wrapping_sub(1),
    };
    call.write_u32(field, count)
}

fn enter(call: &mut Call<'_>) -> Answer {
    let at = call.ptr(0);
    if take(call, at)? {
        return Ok(0);
    }
    wait_to_enter(call, at)
}

/// Waits until somebody leaves the section, and then tries again.
fn wait_to_enter(call: &mut Call<'_>, at: UserPtr) -> Answer {
    let fields = layout(call);
    let recursion = call.read_u32(at.offset(fields.recursion))?;
    let blocked = call.block_at(at.raw(), None);
    count_lock(call, at, recursion)?;
    blocked
}

fn try_enter(call: &mut Call<'_>) -> Answer {
    let at = call.ptr(0);
    Ok(u64::from(take(call, at)?))
}

fn leave(call: &mut Call<'_>) -> Answer {
    let at = call.ptr(0);
    leave_section(call, at)?;
    Ok(0)
}

/// Who leaves is not checked, as in Windows. The last time out, whoever waits longest may try.
fn leave_section(call: &mut Call<'_>, at: UserPtr) -> Result<(), BadPointer> {
    let fields = layout(call);
    let depth = call.read_u32(at.offset(fields.recursion))?.wrapping_sub(1);
    call.write_u32(at.offset(fields.recursion), depth)?;
    if depth == 0 {
        call.write_word(at.offset(fields.owner), 0)?;
        call.wake_address(at.raw(), 1);
    }
    count_lock(call, at, depth)
}

fn delete(call: &mut Call<'_>) -> Answer {
    let (at, fields) = (call.ptr(0), layout(call));
    call.write(at, &[0; 0x28][..fields.size])?;
    Ok(0)
}

/// Answers the count before. On one processor it stays zero.
fn set_spin_count(call: &mut Call<'_>) -> Answer {
    let (at, fields) = (call.ptr(0), layout(call));
    Ok(call.read_word(at.offset(fields.spin_count))?)
}

fn clear_word(call: &mut Call<'_>) -> Answer {
    let at = call.ptr(0);
    call.write_word(at, 0)?;
    Ok(0)
}

/// Takes a slim lock for itself alone; whether it was free.
fn take_exclusive(call: &mut Call<'_>, at: UserPtr) -> Result<bool, BadPointer> {
    let free = call.read_word(at)? == 0;
    if free {
        call.write_word(at, HELD)?;
    }
    Ok(free)
}

/// Takes a slim lock beside others that share it. Who comes new stands behind those who wait already, so that a stream of
/// readers keeps no writer out.
fn take_shared(call: &mut Call<'_>, at: UserPtr) -> Result<bool, BadPointer> {
    let value = call.read_word(at)?;
    let others_wait = call.resumed().is_none() && call.waiters_at(at.raw()).next().is_some();
    let shared = match value {
        0 => HELD | ONE_SHARER,
        value if value >= ONE_SHARER && !others_wait => value.wrapping_add(ONE_SHARER),
        _ => return Ok(false),
    };
    call.write_word(at, shared)?;
    Ok(true)
}

fn acquire_exclusive(call: &mut Call<'_>) -> Answer {
    let at = call.ptr(0);
    if take_exclusive(call, at)? { Ok(0) } else { call.block_at(at.raw(), None) }
}

fn acquire_shared(call: &mut Call<'_>) -> Answer {
    let at = call.ptr(0);
    if take_shared(call, at)? { Ok(0) } else { call.block_at(at.raw(), None) }
}

fn try_acquire_exclusive(call: &mut Call<'_>) -> Answer {
    let at = call.ptr(0);
    Ok(u64::from(take_exclusive(call, at)?))
}

fn try_acquire_shared(call: &mut Call<'_>) -> Answer {
    let at = call.ptr(0);
    Ok(u64::from(take_shared(call, at)?))
}

fn release_exclusive(call: &mut Call<'_>) -> Answer {
    let at = call.ptr(0);
    release_slim(call, at, Hold::Exclusive)
}

fn release_shared(call: &mut Call<'_>) -> Answer {
    let at = call.ptr(0);
    release_slim(call, at, Hold::Shared)
}

/// How a slim lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    Exclusive,
    Shared,
}

/// A lock that nobody holds raises. When it becomes free, all who wait may try: the first writer or all readers get it.
fn release_slim(call: &mut Call<'_>, at: UserPtr, hold: Hold) -> Answer {
    let value = call.read_word(at)?;
    if value & HELD == 0 {
        super::heap::raise(call, NtStatus::RESOURCE_NOT_OWNED, 1);
        return Ok(0);
    }
    let left = match hold {
        Hold::Exclusive => 0,
        Hold::Shared => value.saturating_sub(ONE_SHARER),
    };
    let left = if left >= ONE_SHARER { left } else { 0 };
    call.write_word(at, left)?;
    if left == 0 {
        call.wake_address(at.raw(), usize::MAX);
    }
    Ok(0)
}

fn wake_one(call: &mut Call<'_>) -> Answer {
    let at = call.arg(0);
    call.wake_address(at, 1);
    Ok(0)
}

fn wake_all(call: &mut Call<'_>) -> Answer {
    let at = call.arg(0);
    call.wake_address(at, usize::MAX);
    Ok(0)
}

/// `SleepConditionVariableCS(variable, section, milliseconds)`.
fn sleep_section(call: &mut Call<'_>) -> Answer {
    let (section, milliseconds) = (call.ptr(1), call.u32(2));
    let Some(resumed) = call.resumed() else {
        leave_section(call, section)?;
        return sleep(call, milliseconds);
    };
    if take(call, section)? { slept(resumed.status) } else { wait_again(call, section, resumed) }
}

/// `CONDITION_VARIABLE_LOCKMODE_SHARED`.
const SHARED_MODE: u32 = 1;

/// `SleepConditionVariableSRW(variable, lock, milliseconds, flags)`.
fn sleep_slim(call: &mut Call<'_>) -> Answer {
    let (lock, milliseconds, flags) = (call.ptr(1), call.u32(2), call.u32(3));
    if flags & !SHARED_MODE != 0 {
        return Err(Win32Error::INVALID_PARAMETER.into());
    }
    let hold = if flags == SHARED_MODE { Hold::Shared } else { Hold::Exclusive };
    let Some(resumed) = call.resumed() else {
        if call.read_word(lock)? & HELD == 0 {
            return release_slim(call, lock, hold);
        }
        release_slim(call, lock, hold)?;
        return sleep(call, milliseconds);
    };
    let taken = match hold {
        Hold::Exclusive => take_exclusive(call, lock)?,
        Hold::Shared => take_shared(call, lock)?,
    };
    if taken { slept(resumed.status) } else { wait_again(call, lock, resumed) }
}

/// The lock is left: sleeps at the variable. A limit of 0 still gives the lock to others first.
fn sleep(call: &mut Call<'_>, milliseconds: u32) -> Answer {
    let now = call.nt.now;
    let deadline = call.timeout_after(milliseconds).deadline(now);
    let variable = call.arg(0);
    call.block_at(variable, deadline)
}

/// The sleep is over; the lock has to be free before the caller goes on, however long that takes.
fn wait_again(call: &mut Call<'_>, lock: UserPtr, resumed: Resumed) -> Answer {
    call.block_resumed_at(lock.raw(), resumed)
}

fn slept(status: NtStatus) -> Answer {
    if status == NtStatus::TIMEOUT { Err(TIMEOUT.into()) } else { Ok(1) }
}

/// `WaitOnAddress(*value, *unwanted, bytes, milliseconds)`: passes at once if the value is another already.
fn wait_on_address(call: &mut Call<'_>) -> Answer {
    let (at, unwanted_at, bytes, milliseconds) = (call.ptr(0), call.ptr(1), call.arg(2), call.u32(3));
    if !matches!(bytes, 1 | 2 | 4 | 8) {
        return Err(Win32Error::INVALID_PARAMETER.into());
    }
    if let Some(resumed) = call.resumed() {
        return slept(resumed.status);
    }
    if call.read_number(at, bytes)? != call.read_number(unwanted_at, bytes)? {
        return Ok(1);
    }
    match call.timeout_after(milliseconds) {
        Timeout::Poll => Err(TIMEOUT.into()),
        timeout => {
            let now = call.nt.now;
            call.block_at(at.raw(), timeout.deadline(now))
        }
    }
}

/// `InitOnceBeginInitialize(once, flags, *pending, *context)`.
fn once_begin(call: &mut Call<'_>) -> Answer {
    let (at, flags, pending_at, context_at) = (call.ptr(0), call.u32(1), call.ptr(2), call.ptr(3));
    if flags & !(CHECK_ONLY | ASYNC) != 0 || flags == CHECK_ONLY | ASYNC {
        return Err(Win32Error::INVALID_PARAMETER.into());
    }
    let value = call.read_word(at)?;
    match value & ONCE_STATE {
        ONCE_DONE => {
            call.write_u32(pending_at, 0)?;
            if !context_at.is_null() {
                call.write_word(context_at, value & !ONCE_STATE)?;
            }
            Ok(1)
        }
        // GEN_FAILURE: checked only, and not done.
        _ if flags & CHECK_ONLY != 0 => {
            call.write_u32(pending_at, 1)?;
            Err(Win32Error::new(31).into())
        }
        // Another thread is at it: its end decides.
        ONCE_PENDING => call.block_at(at.raw(), None),
        _ => {
            let state = if flags & ASYNC != 0 { ONCE_PENDING_ASYNC } else { ONCE_PENDING };
            call.write_word(at, state)?;
            call.write_u32(pending_at, 1)?;
            Ok(1)
        }
    }
}

/// `InitOnceComplete(once, flags, context)`: the context's low two bits are the state's.
fn once_complete(call: &mut Call<'_>) -> Answer {
    let (at, flags, context) = (call.ptr(0), call.u32(1), call.arg(2));
    let failed = flags & FAILED != 0;
    if flags & !(ASYNC | FAILED) != 0
        || flags == ASYNC | FAILED
        || context & ONCE_STATE != 0
        || (failed && context != 0)
    {
        return Err(Win32Error::INVALID_PARAMETER.into());
    }
    let expected = if flags & ASYNC != 0 { ONCE_PENDING_ASYNC } else { ONCE_PENDING };
    if call.read_word(at)? & ONCE_STATE != expected {
        return Err(Win32Error::new(31).into());
    }
    call.write_word(at, if failed { 0 } else { context | ONCE_DONE })?;
    call.wake_address(at.raw(), usize::MAX);
    Ok(1)
}

/// `InitOnceExecuteOnce(once, function, parameter, *context)`: `function(once, parameter, *context)` is called if the
/// initialisation is pending, and its result decides.
fn execute_once(a: &mut Assembler) -> Result<(), IcedError> {
    match a.bitness() {
        Bitness::Bits64 => execute_once64(a),
        Bitness::Bits32 => execute_once32(a),
    }
}

/// RBX keeps the function, RSI the block, RDI the parameter; `pending` is at RSP+20h, the context at RSP+28h, the
/// caller's pointer to it at RSP+30h.
fn execute_once64(a: &mut Assembler) -> Result<(), IcedError> {
    let mut done = a.code.create_label();
    let mut failed = a.code.create_label();
    let mut out = a.code.create_label();
    a.code.push(rbx)?;
    a.code.push(rsi)?;
    a.code.push(rdi)?;
    a.code.sub(rsp, 0x40)?;
    a.code.mov(rsi, rcx)?;
    a.code.mov(rbx, rdx)?;
    a.code.mov(rdi, r8)?;
    a.code.mov(qword_ptr(rsp + 0x30), r9)?;
    a.code.mov(qword_ptr(rsp + 0x28), 0)?;
    a.code.xor(edx, edx)?;
    a.code.lea(r8, rsp + 0x20)?;
    a.code.lea(r9, rsp + 0x28)?;
    a.call_service("InitOnceBeginInitialize")?;
    a.code.test(eax, eax)?;
    a.code.je(out)?;
    a.code.cmp(dword_ptr(rsp + 0x20), 0)?;
    a.code.je(done)?;
    a.code.mov(rcx, rsi)?;
    a.code.mov(rdx, rdi)?;
    a.code.lea(r8, rsp + 0x28)?;
    a.code.call(rbx)?;
    a.code.test(eax, eax)?;
    a.code.je(failed)?;
    a.code.mov(rcx, rsi)?;
    a.code.xor(edx, edx)?;
    a.code.mov(r8, qword_ptr(rsp + 0x28))?;
    a.call_service("InitOnceComplete")?;
    a.code.test(eax, eax)?;
    a.code.je(out)?;
    a.code.set_label(&mut done)?;
    a.code.mov(rdx, qword_ptr(rsp + 0x30))?;
    a.code.mov(eax, 1)?;
    a.code.test(rdx, rdx)?;
    a.code.je(out)?;
    a.code.mov(rcx, qword_ptr(rsp + 0x28))?;
    a.code.mov(qword_ptr(rdx), rcx)?;
    a.code.jmp(out)?;
    a.code.set_label(&mut failed)?;
    a.code.mov(rcx, rsi)?;
    a.code.mov(edx, FAILED as i32)?;
    a.code.xor(r8, r8)?;
    a.call_service("InitOnceComplete")?;
    a.code.xor(eax, eax)?;
    a.code.set_label(&mut out)?;
    a.code.add(rsp, 0x40)?;
    a.code.pop(rdi)?;
    a.code.pop(rsi)?;
    a.code.pop(rbx)?;
    a.code.ret()
}

/// The context is at EBP-4, `pending` at EBP-8; the arguments are at EBP+8, +0Ch, +10h and +14h.
fn execute_once32(a: &mut Assembler) -> Result<(), IcedError> {
    let mut done = a.code.create_label();
    let mut failed = a.code.create_label();
    let mut out = a.code.create_label();
    a.code.push(ebp)?;
    a.code.mov(ebp, esp)?;
    a.code.push(0)?;
    a.code.push(0)?;
    a.code.lea(eax, ebp - 4)?;
    a.code.push(eax)?;
    a.code.lea(eax, ebp - 8)?;
    a.code.push(eax)?;
    a.code.push(0)?;
    a.code.push(dword_ptr(ebp + 8))?;
    a.call_service("InitOnceBeginInitialize")?;
    a.code.test(eax, eax)?;
    a.code.je(out)?;
    a.code.cmp(dword_ptr(ebp - 8), 0)?;
    a.code.je(done)?;
    a.code.lea(eax, ebp - 4)?;
    a.code.push(eax)?;
    a.code.push(dword_ptr(ebp + 0x10))?;
    a.code.push(dword_ptr(ebp + 8))?;
    a.code.call(dword_ptr(ebp + 0xc))?;
    a.code.test(eax, eax)?;
    a.code.je(failed)?;
    a.code.push(dword_ptr(ebp - 4))?;
    a.code.push(0)?;
    a.code.push(dword_ptr(ebp + 8))?;
    a.call_service("InitOnceComplete")?;
    a.code.test(eax, eax)?;
    a.code.je(out)?;
    a.code.set_label(&mut done)?;
    a.code.mov(edx, dword_ptr(ebp + 0x14))?;
    a.code.mov(eax, 1)?;
    a.code.test(edx, edx)?;
    a.code.je(out)?;
    a.code.push(dword_ptr(ebp - 4))?;
    a.code.pop(dword_ptr(edx))?;
    a.code.jmp(out)?;
    a.code.set_label(&mut failed)?;
    a.code.push(0)?;
    a.code.push(FAILED as i32)?;
    a.code.push(dword_ptr(ebp + 8))?;
    a.call_service("InitOnceComplete")?;
    a.code.xor(eax, eax)?;
    a.code.set_label(&mut out)?;
    a.code.mov(esp, ebp)?;
    a.code.pop(ebp)?;
    a.code.ret_1(0x10)
}

/// Replaces a 32-bit number by what `change` makes of it; answers both.
fn replace(call: &mut Call<'_>, change: impl FnOnce(u32) -> u32) -> Result<(u32, u32), BadPointer> {
    let at = call.ptr(0);
    let old = call.read_u32(at)?;
    let new = change(old);
    call.write_u32(at, new)?;
    Ok((old, new))
}

fn interlocked_increment(call: &mut Call<'_>) -> Answer {
    Ok(u64::from(replace(call, |value| value.wrapping_add(1))?.1))
}

fn interlocked_decrement(call: &mut Call<'_>) -> Answer {
    Ok(u64::from(replace(call, |value| value.wrapping_sub(1))?.1))
}

fn interlocked_exchange(call: &mut Call<'_>) -> Answer {
    let new = call.u32(1);
    Ok(u64::from(replace(call, |_| new)?.0))
}

fn interlocked_exchange_add(call: &mut Call<'_>) -> Answer {
    let add = call.u32(1);
    Ok(u64::from(replace(call, |value| value.wrapping_add(add))?.0))
}

/// `InterlockedCompareExchange(target, new, expected)`.
fn interlocked_compare_exchange(call: &mut Call<'_>) -> Answer {
    let (new, expected) = (call.u32(1), call.u32(2));
    let pick = |value| if value == expected { new } else { value };
    Ok(u64::from(replace(call, pick)?.0))
}
