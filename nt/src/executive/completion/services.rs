//! The native services of completion ports.

use super::{CompletionPort, Dequeued, MODIFY_STATE, Packet};
use crate::claim::UserPtr;
use crate::executive::object_manager::Kind;
use crate::executive::thread::{Alertable, native_timeout};
use crate::executive::{Handle, Object};
use crate::service::{Answer, Arg, Call, Export, Failure};
use vadose_facts::ntdef::NtStatus;

use Arg::{U32, Word};

/// `IO_COMPLETION_QUERY_STATE`.
const QUERY_STATE: u32 = 0x1;
/// Bytes of `IO_COMPLETION_BASIC_INFORMATION`.
const BASIC_BYTES: u32 = 4;

/// The services.
pub(crate) const EXPORTS: &[Export] = &[
    Export::native("NtCreateIoCompletion", &[Word, U32, Word, U32], create),
    Export::native("NtOpenIoCompletion", &[Word, U32, Word], open),
    Export::native("NtSetIoCompletion", &[Word, Word, Word, U32, Word], set),
    Export::native("NtSetIoCompletionEx", &[Word, Word, Word, Word, U32, Word], set_ex).since(6, 1),
    Export::native("NtRemoveIoCompletion", &[Word, Word, Word, Word, Word], remove),
    Export::native("NtRemoveIoCompletionEx", &[Word, Word, U32, Word, Word, U32], remove_several).since(6, 0),
    Export::native("NtQueryIoCompletion", &[Word, U32, Word, U32, Word], query),
];

/// `NtCreateIoCompletion(*port, access, attributes, threads)`: how many threads may run at once changes nothing on one
/// processor.
fn create(call: &mut Call<'_>) -> Answer {
    let to = call.ptr(0);
    call.probe_handle(to)?;
    call.make_and_store(Object::CompletionPort(CompletionPort::default()))
}

/// `NtOpenIoCompletion(*port, access, attributes)`.
fn open(call: &mut Call<'_>) -> Answer {
    call.open_and_store(Kind::IoCompletion)
}

/// `NtSetIoCompletion(port, key, value, status, bytes)`.
fn set(call: &mut Call<'_>) -> Answer {
    post(call, 1)
}

/// The same with a reserved packet before the key. Nobody can reserve one here.
fn set_ex(call: &mut Call<'_>) -> Answer {
    if call.handle(1) != Handle::NULL {
        return Err(NtStatus::INVALID_HANDLE.into());
    }
    post(call, 2)
}

fn post(call: &mut Call<'_>, at: usize) -> Answer {
    let handle = call.handle(0);
    let packet = Packet {
        key: call.arg(at),
        overlapped: call.arg(at + 1),
        status: NtStatus::new(call.u32(at + 2)),
        bytes: call.arg(at + 3),
    };
    let port = call.object_with(handle, Kind::IoCompletion, MODIFY_STATE)?;
    call.post_packet(port, packet)?;
    Ok(0)
}

/// `NtRemoveIoCompletion(port, *key, *value, *status block, *timeout)`.
fn remove(call: &mut Call<'_>) -> Answer {
    let (handle, key_at, value_at, block_at, timeout_at) =
        (call.handle(0), call.ptr(1), call.ptr(2), call.ptr(3), call.ptr(4));
    let width = call.pointer_bytes();
    for (at, bytes) in [(value_at, width), (key_at, width), (block_at, 2 * width)] {
        call.probe_write(at, bytes)?;
    }
    let timeout = native_timeout(call, timeout_at)?;
    let packet = match call.dequeue(handle, 1, Alertable::No, timeout)? {
        Dequeued::Packets(packets) => packets[0],
        Dequeued::TimedOut => return Ok(u64::from(NtStatus::TIMEOUT.raw())),
        Dequeued::Alerted(status) => return Ok(u64::from(status.raw())),
        Dequeued::Blocked(answer) => return Ok(answer),
    };
    call.write_word(key_at, packet.key)?;
    call.write_word(value_at, packet.overlapped)?;
    put_block(call, block_at, &packet)?;
    Ok(0)
}

/// `NtRemoveIoCompletionEx(port, *entries, room, *count, *timeout, alertable)`: the count is stored whatever ends the
/// call, but not its being refused.
fn remove_several(call: &mut Call<'_>) -> Answer {
    let (handle, entries_at, room, count_at) = (call.handle(0), call.ptr(1), call.u32(2), call.ptr(3));
    let (timeout_at, alertable) = (call.ptr(4), Alertable::from_native(call.u32(5)));
    if room == 0 {
        return Err(NtStatus::INVALID_PARAMETER.into());
    }
    let entry_bytes = 4 * call.pointer_bytes();
    call.probe_write(entries_at, entry_bytes * u64::from(room))?;
    call.probe_write(count_at, 4)?;
    let timeout = native_timeout(call, timeout_at)?;
    let (packets, status) = match call.dequeue(handle, room as usize, alertable, timeout)? {
        Dequeued::Packets(packets) => (packets, NtStatus::SUCCESS),
        Dequeued::TimedOut => (Vec::new(), NtStatus::TIMEOUT),
        Dequeued::Alerted(status) => (Vec::new(), status),
        Dequeued::Blocked(answer) => return Ok(answer),
    };
    let width = call.pointer_bytes();
    for (index, packet) in (0..).zip(&packets) {
        let at = entries_at.offset(index * entry_bytes);
        call.write_word(at, packet.key)?;
        call.write_word(at.offset(width), packet.overlapped)?;
        put_block(call, at.offset(2 * width), packet)?;
    }
    call.write_u32(count_at, packets.len() as u32)?;
    Ok(u64::from(status.raw()))
}

/// An `IO_STATUS_BLOCK`: status and bytes.
fn put_block(call: &mut Call<'_>, at: UserPtr, packet: &Packet) -> Result<(), Failure> {
    let width = call.pointer_bytes();
    call.write_word(at, u64::from(packet.status.raw()))?;
    call.write_word(at.offset(width), packet.bytes)?;
    Ok(())
}

/// `NtQueryIoCompletion(port, class, *buffer, bytes, *returned)`: how many packets there are.
fn query(call: &mut Call<'_>) -> Answer {
    let (handle, class, to, bytes, returned_at) =
        (call.handle(0), call.u32(1), call.ptr(2), call.u32(3), call.ptr(4));
    if class != 0 {
        return Err(NtStatus::INVALID_INFO_CLASS.into());
    }
    if bytes != BASIC_BYTES {
        return Err(NtStatus::INFO_LENGTH_MISMATCH.into());
    }
    call.probe_write(to, u64::from(BASIC_BYTES))?;
    if !returned_at.is_null() {
        call.probe_write(returned_at, 4)?;
    }
    let port = call.object_with(handle, Kind::IoCompletion, QUERY_STATE)?;
    let depth = call.packets_of(port).len() as u32;
    call.write_u32(to, depth)?;
    if !returned_at.is_null() {
        call.write_u32(returned_at, BASIC_BYTES)?;
    }
    Ok(0)
}
