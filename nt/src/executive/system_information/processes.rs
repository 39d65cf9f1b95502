//! The list of processes with their threads, and a process's name by its number.

use super::Buffer;
use crate::claim::UserPtr;
use crate::executive::counters::MemoryUsage;
use crate::executive::record::Record;
use crate::executive::{Process, ProcessState, Thread, ThreadState};
use crate::kernel::Kernel;
use crate::service::{Answer, Call};
use vadose_facts::ntdef::NtStatus;

/// The only session that programs run in.
pub(crate) const SESSION: u32 = 1;
/// `Executive` and `WrUserRequest` would tell more; `UserRequest` is why a program's thread waits.
const USER_REQUEST: u32 = 6;
/// Counts of reads, writes and other transfers, and their bytes: nobody counts them.
const IO_COUNTERS: usize = 6;

/// How much is told of threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Threads {
    /// `SYSTEM_THREAD_INFORMATION`.
    Plain,
    /// `SYSTEM_EXTENDED_THREAD_INFORMATION`.
    Extended,
}

/// `SYSTEM_PROCESS_INFORMATION`, one for each process that lives, with names behind the threads. Names are pointers into
/// the buffer `to`.
pub(super) fn list(call: &mut Call<'_>, to: UserPtr, threads: Threads) -> Vec<u8> {
    let pids: Vec<u32> = call.nt.living_processes().map(|process| process.pid).collect();
    let mut all: Vec<u8> = Vec::new();
    let mut last = 0;
    for pid in pids {
        last = all.len();
        let bytes = entry(call, pid, to.offset(last as u64), threads);
        all.extend(bytes);
        let next = (all.len() - last) as u32;
        all[last..last + 4].copy_from_slice(&next.to_le_bytes());
    }
    // The last one has no next.
    if let Some(next) = all.get_mut(last..last + 4) {
        next.fill(0);
    }
    all
}

fn entry(kernel: &Kernel<'_>, pid: u32, at: UserPtr, detail: Threads) -> Vec<u8> {
    let process = kernel.nt.process_by_id(pid).expect("it lives");
    let living: Vec<&Thread> = kernel.nt.threads.living_of(pid).collect();
    let name: Vec<u16> = process.image_path.file_name().unwrap_or_default().encode_utf16().collect();
    let head = head(kernel, process, living.len(), &name);
    let record = living.iter().fold(head, |record, thread| thread_entry(kernel, record, thread, detail));
    let width = kernel.pointer_bytes() as usize;
    let name_at = record.len();
    let record = record.wide(&name).u16(0).aligned(8);
    let mut bytes = record.open_end();
    // The pointer behind the two lengths of the name.
    let field = NAME_FIELD + width;
    let pointer = at.offset(name_at as u64).raw().to_le_bytes();
    bytes[field..field + width].copy_from_slice(&pointer[..width]);
    bytes
}

/// Where the name's `UNICODE_STRING` is.
const NAME_FIELD: usize = 56;

fn head(kernel: &Kernel<'_>, process: &Process, threads: usize, name: &[u16]) -> Record {
    let times = kernel.process_times(process);
    let counters = (process.state != ProcessState::Ended).then(|| kernel.mm.process_counters(process.id));
    let usage = counters.map(MemoryUsage::from).expect("it lives");
    let name_bytes = 2 * name.len() as u16;
    let record = Record::new(kernel.nt.edition).u32(0).u32(threads as u32);
    // The private part of the working set, hard faults, the most threads ever, cycles: Windows Vista began to tell them.
    let record = record.u64(0).u32(0).u32(threads as u32).u64(0);
    let record = record.u64(times.created).u64(times.user).u64(times.kernel);
    assert_eq!(record.len(), NAME_FIELD, "the structure has its name there");
    let record = record.u16(name_bytes).u16(name_bytes + 2).word(0);
    let record = record.u32(u32::from(process.base_priority)).word(process.pid.into());
    let record = record.word(process.parent.into()).u32(process.handles.count() as u32).u32(SESSION);
    let record = record.word(0).word(usage.peak_virtual_bytes).word(usage.virtual_bytes);
    let record = usage.counters().into_iter().fold(record.u32(usage.page_faults), Record::word);
    (0..IO_COUNTERS).fold(record, |record, _| record.u64(0))
}

fn thread_entry(kernel: &Kernel<'_>, record: Record, thread: &Thread, detail: Threads) -> Record {
    let (state, reason) = match thread.state {
        ThreadState::Ready => (1, 0),
        ThreadState::Running => (2, 0),
        ThreadState::Waiting => (5, USER_REQUEST),
        ThreadState::Terminated => (4, 0),
    };
    let times = kernel.thread_times(thread);
    let record = record.u64(times.kernel).u64(times.user).u64(times.created).u32(0);
    let record = record.word(thread.start_address).word(thread.pid.into()).word(thread.tid.into());
    let priority = u32::from(thread.priority);
    let record = record.u32(priority).u32(priority).u32(0).u32(state).u32(reason).aligned(8);
    match detail {
        Threads::Plain => record,
        Threads::Extended => {
            // Kernel stack, the start as the program gave it, the environment block, and three words to come.
            let record = record.word(0).word(0).word(thread.start_address).word(thread.teb.raw());
            record.word(0).word(0).word(0).aligned(8)
        }
    }
}

/// `SYSTEM_PROCESS_ID_INFORMATION`: a number comes in, the name of its program goes to where the string points.
pub(super) fn name(call: &mut Call<'_>, buffer: Buffer) -> Answer {
    let width = call.pointer_bytes();
    if u64::from(buffer.room) != 3 * width {
        return Err(NtStatus::INFO_LENGTH_MISMATCH.into());
    }
    let (pid, string) = (call.read_word(buffer.to)?, buffer.to.offset(width));
    let [length, most] = [call.read_u16(string)?, call.read_u16(string.offset(2))?];
    let text_at = UserPtr::new(call.read_word(string.offset(width))?);
    if length != 0 {
        return Err(NtStatus::INVALID_PARAMETER.into());
    }
    let found = u32::try_from(pid).ok().and_then(|pid| call.nt.process_by_id(pid));
    let name = found.ok_or(NtStatus::INVALID_CID)?.native_image_name();
    let bytes = 2 * name.len() + 2;
    buffer.tell_length(call, 3 * width as usize)?;
    if usize::from(most) < bytes {
        call.write_u16(string.offset(2), bytes as u16)?;
        return Err(NtStatus::INFO_LENGTH_MISMATCH.into());
    }
    call.write_wide(text_at, &name)?;
    call.write_u16(text_at.offset(bytes as u64 - 2), 0)?;
    call.write_u16(string, bytes as u16 - 2)?;
    Ok(0)
}
