//! Native services that copy between a process and a buffer (SPEC D36 to D39).

use crate::claim::UserPtr;
use crate::executive::{PROCESS_VM_READ, PROCESS_VM_WRITE};
use crate::kernel::Kernel;
use crate::service::{Answer, Arg, Call, Export};
use vadose_facts::addr::PAGE_BYTES;
use vadose_facts::ntdef::{NtStatus, PartialRead};

use Arg::Word;

/// The services of this file.
pub(crate) const EXPORTS: &[Export] = &[
    Export::native("NtReadVirtualMemory", &[Word, Word, Word, Word, Word], nt_read),
    Export::native("NtWriteVirtualMemory", &[Word, Word, Word, Word, Word], nt_write),
    Export::native("NtFlushInstructionCache", &[Word, Word, Word], nt_flush),
];

/// `NtReadVirtualMemory(process, address, buffer, size, *read)` (SPEC D36, D37, D38).
fn nt_read(call: &mut Call<'_>) -> Answer {
    let (address, buffer) = (call.ptr(1), call.ptr(2));
    transfer(call, address, buffer, PROCESS_VM_READ)
}

/// `NtWriteVirtualMemory(process, address, buffer, size, *written)` (SPEC D36 to D39).
fn nt_write(call: &mut Call<'_>) -> Answer {
    let (address, buffer) = (call.ptr(1), call.ptr(2));
    transfer(call, buffer, address, PROCESS_VM_WRITE)
}

/// Nothing to copy succeeds before the handle is looked at (SPEC D36).
fn transfer(call: &mut Call<'_>, from: UserPtr, to: UserPtr, right: u32) -> Answer {
    let (size, count_at) = (call.arg(3), call.ptr(4));
    if !count_at.is_null() {
        let width = call.pointer_bytes();
        call.probe_write(count_at, width)?;
    }
    let own = call.nt.process().pid;
    let other = if size == 0 { own } else { call.require_living(call.handle(0), right)? };
    let (from, to) =
        if right == PROCESS_VM_READ { ((other, from), (own, to)) } else { ((own, from), (other, to)) };
    let (done, status) = call.copy(from, to, size);
    if !count_at.is_null() {
        call.write_word(count_at, done)?;
    }
    if status == NtStatus::SUCCESS { Ok(0) } else { Err(status.into()) }
}

/// `NtFlushInstructionCache(process, address, size)`: code that is written is seen at once here, so that only the
/// handle can be wrong.
fn nt_flush(call: &mut Call<'_>) -> Answer {
    call.require_process(call.handle(0), PROCESS_VM_WRITE)?;
    Ok(0)
}

impl Kernel<'_> {
    /// Copies from an address of a process to one of a process as far as it goes: bytes counted, and why it stopped.
    pub(crate) fn copy(
        &mut self,
        (source, from): (u32, UserPtr),
        (target, to): (u32, UserPtr),
        size: u64,
    ) -> (u64, NtStatus) {
        if self.leaves_user_space(source, from, size) || self.leaves_user_space(target, to, size) {
            return (0, NtStatus::ACCESS_VIOLATION);
        }
        let mut done = 0;
        while done < size {
            // Pieces end where either side's page ends, so that bytes count up to the page that fails.
            let left = |at: UserPtr| PAGE_BYTES - at.offset(done).address().page_offset();
            let piece = left(from).min(left(to)).min(size - done);
            let bytes = self.attached(source, |kernel| kernel.read_vec(from.offset(done), piece));
            let moved =
                bytes.and_then(|bytes| self.attached(target, |kernel| kernel.write(to.offset(done), &bytes)));
            if moved.is_err() {
                return match self.nt.edition.partial_read {
                    PartialRead::Nothing => (0, NtStatus::PARTIAL_COPY),
                    PartialRead::Count => (done, NtStatus::PARTIAL_COPY),
                };
            }
            done += piece;
        }
        (done, NtStatus::SUCCESS)
    }

    /// Whether a range has a byte past user space (SPEC D37).
    fn leaves_user_space(&self, pid: u32, at: UserPtr, size: u64) -> bool {
        let limit = self.nt.process_by_id(pid).map_or(0, |process| process.user_limit.raw());
        let room = limit.checked_sub(at.raw());
        size > 0 && room.is_none_or(|room| room < size - 1)
    }
}
