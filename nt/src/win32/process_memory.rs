//! Reading and writing a process's memory as Win32 functions (SPEC D36 to D39).

use crate::executive::{PROCESS_VM_OPERATION, PROCESS_VM_READ, PROCESS_VM_WRITE};
use crate::kernel::Kernel;
use crate::service::{Answer, Arg, Call, Export};
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::{BaseProtection, MemoryState, NtStatus, Protection};

use Arg::Word;

/// The functions of this file.
pub(crate) const EXPORTS: &[Export] = &[
    Export::system("ReadProcessMemory", &[Word, Word, Word, Word, Word], read).set("core-memory"),
    Export::system("WriteProcessMemory", &[Word, Word, Word, Word, Word], write).set("core-memory"),
    Export::system("FlushInstructionCache", &[Word, Word, Word], flush).set("core-processthreads"),
];

/// `ReadProcessMemory(process, address, buffer, size, *read)`.
fn read(call: &mut Call<'_>) -> Answer {
    let (from, to, size, count_at) = (call.ptr(1), call.ptr(2), call.arg(3), call.ptr(4));
    let own = call.nt.process().pid;
    let source = if size == 0 { own } else { call.require_living(call.handle(0), PROCESS_VM_READ)? };
    let copied = call.copy((source, from), (own, to), size);
    answer(call, count_at, copied)
}

/// How `WriteProcessMemory` goes about a range.
enum Way {
    /// It can be written.
    Direct,
    /// It is code: made writable for the time of the call.
    Reprotected,
}

/// `WriteProcessMemory(process, address, buffer, size, *written)`: what is read-only or not accessible is refused with
/// the count left alone, and code is made writable for a moment (SPEC D39).
fn write(call: &mut Call<'_>) -> Answer {
    let (to, from, size, count_at) = (call.ptr(1), call.ptr(2), call.arg(3), call.ptr(4));
    let target = call.require_living(call.handle(0), PROCESS_VM_WRITE | PROCESS_VM_OPERATION)?;
    if size == 0 {
        return answer(call, count_at, (0, NtStatus::SUCCESS));
    }
    let (from, into) = ((call.nt.process().pid, from), (target, to));
    match call.attached(target, |kernel| way(kernel, to.address()))? {
        Way::Direct => {
            let copied = call.copy(from, into, size);
            answer(call, count_at, copied)
        }
        Way::Reprotected => {
            let everything = BaseProtection::ExecuteReadWrite.raw();
            let (base, bytes, old) =
                call.attached(target, |kernel| kernel.protect(to.address(), size, everything))?;
            let copied = call.copy(from, into, size);
            call.attached(target, |kernel| kernel.protect(base, bytes, old.raw()))?;
            answer(call, count_at, copied)
        }
    }
}

/// What the first page says decides. Pages that are not there fail as the change of their protection does: 487.
fn way(kernel: &mut Kernel<'_>, address: VirtAddr) -> Result<Way, NtStatus> {
    let info = kernel.query(address).map_err(|_| NtStatus::ACCESS_VIOLATION)?;
    match (info.state, info.protection.map(Protection::base)) {
        (MemoryState::Free, _) => Err(NtStatus::CONFLICTING_ADDRESSES),
        (MemoryState::Reserved, _) | (MemoryState::Committed, None) => Err(NtStatus::NOT_COMMITTED),
        (MemoryState::Committed, Some(base)) if base.allows_write() => Ok(Way::Direct),
        (MemoryState::Committed, Some(base)) if base.allows_execute() => Ok(Way::Reprotected),
        (MemoryState::Committed, Some(_)) => Err(NtStatus::ACCESS_VIOLATION),
    }
}

fn answer(call: &mut Call<'_>, count_at: crate::UserPtr, (done, status): (u64, NtStatus)) -> Answer {
    if !count_at.is_null() {
        call.write_word(count_at, done)?;
    }
    if status == NtStatus::SUCCESS { Ok(1) } else { Err(status.into()) }
}

/// `FlushInstructionCache(process, address, size)`.
fn flush(call: &mut Call<'_>) -> Answer {
    call.require_process(call.handle(0), PROCESS_VM_WRITE)?;
    Ok(1)
}
