//! Completion ports as programs make, feed and empty them.

use crate::UserPtr;
use crate::executive::{Alertable, Dequeued, Handle, Object, Packet};
use crate::service::{Answer, Arg, Call, Export, Failure};
use vadose_facts::ntdef::{NtStatus, Win32Error};

use Arg::{U32, Word};

/// `IO_COMPLETION_ALL_ACCESS`.
const ALL_ACCESS: u32 = 0x1f_0003;
/// `WAIT_TIMEOUT` and `WAIT_IO_COMPLETION` as last errors.
const TIMED_OUT: Win32Error = Win32Error::new(258);
const ALERTED: Win32Error = Win32Error::new(192);

/// The functions.
pub(crate) const EXPORTS: &[Export] = &[
    Export::system("CreateIoCompletionPort", &[Word, Word, Word, U32], create_port).set("core-io"),
    Export::system("PostQueuedCompletionStatus", &[Word, U32, Word, Word], post).set("core-io"),
    Export::system("GetQueuedCompletionStatus", &[Word, Word, Word, Word, U32], get_one).set("core-io"),
    Export::system("GetQueuedCompletionStatusEx", &[Word, Word, U32, Word, U32, U32], get_many)
        .set("core-io")
        .since(6, 0),
];

/// `CreateIoCompletionPort(file, port, key, threads)`: a new port, a file tied to a port, or both. How many threads may
/// run at once changes nothing on one processor.
fn create_port(call: &mut Call<'_>) -> Answer {
    let (file, existing, key) = (call.handle(0), call.handle(1), call.arg(2));
    let no_file = file == Handle::CURRENT_PROCESS;
    match (no_file, existing == Handle::NULL) {
        (true, true) => Ok(new_port(call)?.raw()),
        (true, false) => Err(Win32Error::INVALID_PARAMETER.into()),
        (false, false) => {
            let port = call.port_of(existing)?;
            call.associate(file, port, key)?;
            Ok(existing.raw())
        }
        (false, true) => {
            let made = new_port(call)?;
            let port = call.port_of(made)?;
            if let Err(status) = call.associate(file, port, key) {
                call.close_handle(made)?;
                return Err(status.into());
            }
            Ok(made.raw())
        }
    }
}

fn new_port(call: &mut Call<'_>) -> Result<Handle, NtStatus> {
    call.nt.handles_mut().insert(Object::CompletionPort(Default::default()), ALL_ACCESS)
}

/// `PostQueuedCompletionStatus(port, bytes, key, *overlapped)`.
fn post(call: &mut Call<'_>) -> Answer {
    let (handle, bytes, key, overlapped) = (call.handle(0), call.u32(1), call.arg(2), call.arg(3));
    let port = call.port_of(handle)?;
    call.post_packet(port, Packet { key, overlapped, status: NtStatus::SUCCESS, bytes: u64::from(bytes) })?;
    Ok(1)
}

/// `GetQueuedCompletionStatus(port, *bytes, *key, *overlapped, milliseconds)`: a failed operation is a failure with an
/// `OVERLAPPED`, a wait that ends without a packet one with a null pointer.
fn get_one(call: &mut Call<'_>) -> Answer {
    let (handle, bytes_at, key_at, overlapped_at) = (call.handle(0), call.ptr(1), call.ptr(2), call.ptr(3));
    let timeout = call.timeout_after(call.u32(4));
    let width = call.pointer_bytes();
    for (at, bytes) in [(bytes_at, 4), (key_at, width), (overlapped_at, width)] {
        call.probe_write(at, bytes)?;
    }
    let packet = match call.dequeue(handle, 1, Alertable::No, timeout)? {
        Dequeued::Packets(packets) => packets[0],
        Dequeued::TimedOut | Dequeued::Alerted(_) => {
            call.write_word(overlapped_at, 0)?;
            return Err(TIMED_OUT.into());
        }
        Dequeued::Blocked(answer) => return Ok(answer),
    };
    call.write_u32(bytes_at, packet.bytes as u32)?;
    call.write_word(key_at, packet.key)?;
    call.write_word(overlapped_at, packet.overlapped)?;
    if packet.status.is_success() { Ok(1) } else { Err(packet.status.into()) }
}

/// `GetQueuedCompletionStatusEx(port, *entries, room, *count, milliseconds, alertable)`.
fn get_many(call: &mut Call<'_>) -> Answer {
    let (handle, entries_at, room, count_at) = (call.handle(0), call.ptr(1), call.u32(2), call.ptr(3));
    let (timeout, alertable) = (call.timeout_after(call.u32(4)), Alertable::from_guest(call.u32(5)));
    if room == 0 {
        return Err(Win32Error::INVALID_PARAMETER.into());
    }
    let entry_bytes = 4 * call.pointer_bytes();
    call.probe_write(count_at, 4)?;
    call.probe_write(entries_at, entry_bytes)?;
    let packets = match call.dequeue(handle, room as usize, alertable, timeout)? {
        Dequeued::Packets(packets) => packets,
        Dequeued::TimedOut => return Err(TIMED_OUT.into()),
        Dequeued::Alerted(_) => return Err(ALERTED.into()),
        Dequeued::Blocked(answer) => return Ok(answer),
    };
    for (index, packet) in (0..).zip(&packets) {
        put_entry(call, entries_at.offset(index * entry_bytes), packet)?;
    }
    call.write_u32(count_at, packets.len() as u32)?;
    Ok(1)
}

/// An `OVERLAPPED_ENTRY`: key, `OVERLAPPED`, status, bytes.
fn put_entry(call: &mut Call<'_>, at: UserPtr, packet: &Packet) -> Result<(), Failure> {
    let width = call.pointer_bytes();
    call.write_word(at, packet.key)?;
    call.write_word(at.offset(width), packet.overlapped)?;
    call.write_word(at.offset(2 * width), u64::from(packet.status.raw()))?;
    call.write_u32(at.offset(3 * width), packet.bytes as u32)?;
    Ok(())
}
