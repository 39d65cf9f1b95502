//! The standard handles, and reading and writing through a handle: `ReadFile` and `WriteFile`, always at once.

use crate::UserPtr;
use crate::executive::{FileIo, Handle, Object, OpenFile, Packet, Place};
use crate::service::{Answer, Arg, Call, Export, Failure};
use vadose_facts::ntdef::{NtStatus, Win32Error};

use Arg::{U32, Word};

/// `STD_INPUT_HANDLE`; output and error count down from it.
const STD_INPUT: i32 = -10;
/// `FILE_TYPE_DISK`.
const TYPE_DISK: u64 = 1;
/// `FILE_TYPE_CHAR`: the null device.
const TYPE_CHARACTER: u64 = 2;
/// `FILE_TYPE_PIPE`: the host's streams are not a Windows console.
const TYPE_PIPE: u64 = 3;

/// `FILE_WRITE_DATA` and `FILE_APPEND_DATA`.
const WRITE_DATA: u32 = 0x2;
const APPEND_DATA: u32 = 0x4;

/// Streams and files by handle.
pub(crate) const EXPORTS: &[Export] = &[
    Export::system("GetStdHandle", &[U32], get_std_handle)
        .on_failure(u64::MAX)
        .set("core-processenvironment"),
    Export::system("SetStdHandle", &[U32, Word], set_std_handle).set("core-processenvironment"),
    Export::system("GetFileType", &[Word], get_file_type).set("core-file"),
    Export::system("ReadFile", &[Word, Word, U32, Word, Word], read_file).set("core-file"),
    Export::system("WriteFile", &[Word, Word, U32, Word, Word], write_file).set("core-file"),
];

/// Tells that an overlapped operation is complete: by the event of its `OVERLAPPED`, and by a packet of the file's port
/// unless the event's low bit says not to.
fn announce(call: &mut Call<'_>, overlapped: UserPtr, bytes: u64) -> Result<(), Failure> {
    let width = call.pointer_bytes();
    let event = call.read_word(overlapped.offset(2 * width + 8))?;
    if event & !1 != 0 {
        let event = Handle::from_guest(event & !1, call.nt.edition.bitness);
        let id = call.object_of(event)?;
        let Object::Event(event) = call.nt.objects.get_mut(id) else {
            return Err(NtStatus::OBJECT_TYPE_MISMATCH.into());
        };
        event.signalled = true;
        call.object_signalled(id);
    }
    let Object::File(OpenFile { io: FileIo::Overlapped { port: Some((port, key)) }, .. }) =
        *call.nt.handles().get(call.handle(0))?
    else {
        return Ok(());
    };
    if event & 1 == 0 {
        let packet = Packet { key, overlapped: overlapped.raw(), status: NtStatus::SUCCESS, bytes };
        call.post_packet(port, packet)?;
    }
    Ok(())
}

/// Where the process parameters keep a standard handle.
fn standard_slot(call: &Call<'_>, which: i32) -> Result<UserPtr, Failure> {
    let layout = call.nt.layouts().parameters;
    let fields = [layout.standard_input, layout.standard_output, layout.standard_error];
    let index = usize::try_from(STD_INPUT.wrapping_sub(which)).ok();
    let field = index.and_then(|index| fields.get(index)).ok_or(Win32Error::INVALID_HANDLE)?;
    Ok(UserPtr::new(call.nt.process().parameters.raw()).offset(u64::from(*field)))
}

fn get_std_handle(call: &mut Call<'_>) -> Answer {
    let slot = standard_slot(call, call.i32(0))?;
    Ok(call.read_word(slot)?)
}

fn set_std_handle(call: &mut Call<'_>) -> Answer {
    let (slot, handle) = (standard_slot(call, call.i32(0))?, call.arg(1));
    call.write_word(slot, handle)?;
    Ok(1)
}

fn get_file_type(call: &mut Call<'_>) -> Answer {
    let handle = call.handle(0);
    match call.nt.handles().get(handle)? {
        Object::Console(_) | Object::Pipe(_) => Ok(TYPE_PIPE),
        Object::File(_) => Ok(TYPE_DISK),
        Object::Other => Ok(TYPE_CHARACTER),
        _other_kinds => Err(NtStatus::INVALID_HANDLE.into()),
    }
}

/// The end of a file is a success of zero bytes; the end of a stream, which is a pipe, is `ERROR_BROKEN_PIPE`.
fn read_file(call: &mut Call<'_>) -> Answer {
    let (handle, buffer, bytes) = (call.handle(0), call.ptr(1), u64::from(call.u32(2)));
    let place = begin(call)?;
    if call.is_null_handle(handle)? {
        return finish(call, 0);
    }
    let is_stream = matches!(call.nt.handles().get(handle)?, Object::Console(_));
    let done = match call.read_object(handle, buffer, bytes, place) {
        Err(Failure::Status(NtStatus::END_OF_FILE)) if call.ptr(4).is_null() => 0,
        Ok(0) if is_stream && bytes > 0 => return Err(Win32Error::BROKEN_PIPE.into()),
        other => other?,
    };
    finish(call, done)
}

fn write_file(call: &mut Call<'_>) -> Answer {
    let (handle, buffer, bytes) = (call.handle(0), call.ptr(1), u64::from(call.u32(2)));
    let place = begin(call)?;
    if call.is_null_handle(handle)? {
        return finish(call, bytes);
    }
    // A handle that may append and not write puts everything at the end.
    let appends = call.nt.handles().access(handle)? & (WRITE_DATA | APPEND_DATA) == APPEND_DATA;
    let place = if appends { Place::End } else { place };
    let done = call.write_object(handle, buffer, bytes, place)?;
    finish(call, done)
}

/// The count is zero until it is known; an `OVERLAPPED` says where to start.
fn begin(call: &mut Call<'_>) -> Result<Place, Failure> {
    let (count, overlapped) = (call.ptr(3), call.ptr(4));
    if !count.is_null() {
        call.write_u32(count, 0)?;
    }
    if overlapped.is_null() {
        return Ok(Place::Position);
    }
    let offset_at = overlapped.offset(2 * call.pointer_bytes());
    let low = call.read_u32(offset_at)?;
    let high = call.read_u32(offset_at.offset(4))?;
    Ok(match (high, low) {
        (u32::MAX, u32::MAX) => Place::End,
        (high, low) => Place::At(u64::from(high) << 32 | u64::from(low)),
    })
}

fn finish(call: &mut Call<'_>, done: u64) -> Answer {
    let (count, overlapped) = (call.ptr(3), call.ptr(4));
    if !count.is_null() {
        call.write_u32(count, done as u32)?;
    }
    if !overlapped.is_null() {
        call.write_word(overlapped, 0)?;
        let width = call.pointer_bytes();
        call.write_word(overlapped.offset(width), done)?;
        announce(call, overlapped, done)?;
    }
    Ok(1)
}
