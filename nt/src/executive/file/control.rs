//! `NtFsControlFile` and `NtDeviceIoControlFile`: requests by code.

use super::information::{VOLUME_SERIAL, file_index};
use super::status_block::Completion;
use crate::claim::UserPtr;
use crate::executive::objects::{Object, OpenFile};
use crate::executive::pipe;
use crate::host::Console;
use crate::service::{Answer, Call, Failure};
use vadose_facts::ntdef::NtStatus;

/// `FSCTL_GET_OBJECT_ID` and `FSCTL_CREATE_OR_GET_OBJECT_ID`.
const GET_OBJECT_ID: u32 = 0x9_009c;
const CREATE_OR_GET_OBJECT_ID: u32 = 0x9_00c0;
/// `FSCTL_GET_REPARSE_POINT`.
const GET_REPARSE_POINT: u32 = 0x9_00a8;
/// Bytes of a `FILE_OBJECTID_BUFFER`: the object's id, and where it was made.
const OBJECT_ID_BYTES: u32 = 64;

/// What a request brings and where its answer goes.
struct Request {
    code: u32,
    to: UserPtr,
    room: u32,
}

/// `NtFsControlFile(file, event, apc, apc context, *io status, code, *in, in length, *out, out length)`.
pub(super) fn nt_fs_control(call: &mut Call<'_>) -> Answer {
    let handle = call.handle(0);
    if let Object::Pipe(_) = call.nt.object(handle)? {
        let completion = Completion::begin(call)?;
        let (to, room) = (call.ptr(8), u64::from(call.u32(9)));
        call.probe_write(to, room)?;
        return pipe::control(call, handle, completion);
    }
    control(call, |call, request| {
        let open = match call.nt.object(call.handle(0))? {
            Object::File(open) => open.clone(),
            Object::Console(Console::Input) if request.code == pipe::PEEK => {
                let waits = call.look_at_console()?.to_vec();
                return pipe::tell_peeked(call, (request.to, request.room), &pipe::Peeked::of_stream(&waits));
            }
            _devices => return Err(NtStatus::INVALID_DEVICE_REQUEST.into()),
        };
        match request.code {
            GET_OBJECT_ID | CREATE_OR_GET_OBJECT_ID => put_object_id(call, request, &open),
            // Links are followed when a file is opened: an open one is never a link.
            GET_REPARSE_POINT => Err(NtStatus::NOT_A_REPARSE_POINT.into()),
            _other_codes => Err(NtStatus::INVALID_DEVICE_REQUEST.into()),
        }
    })
}

/// `NtDeviceIoControlFile`, with the arguments of `NtFsControlFile`. Neither the drive nor the null device nor a stream of
/// the console, which is a pipe, knows a request.
pub(super) fn nt_device_control(call: &mut Call<'_>) -> Answer {
    control(call, |_, _| Err(NtStatus::INVALID_DEVICE_REQUEST.into()))
}

/// The handle, then the pointers, then the request itself.
fn control(
    call: &mut Call<'_>,
    serve: impl Fn(&mut Call<'_>, &Request) -> Result<(NtStatus, u64), Failure>,
) -> Answer {
    let handle = call.handle(0);
    match call.nt.object(handle)? {
        Object::File(_) | Object::Console(_) | Object::Pipe(_) | Object::Other => {}
        _other_kinds => return Err(NtStatus::OBJECT_TYPE_MISMATCH.into()),
    }
    let completion = Completion::begin(call)?;
    let request = Request { code: call.u32(5), to: call.ptr(8), room: call.u32(9) };
    call.probe_write(request.to, u64::from(request.room))?;
    let done = serve(call, &request);
    completion.finish(call, done)
}

/// The drive's serial number and the file's: what tells files apart that have several names. Nothing is told of where the
/// file was made.
fn put_object_id(
    call: &mut Call<'_>,
    request: &Request,
    open: &OpenFile,
) -> Result<(NtStatus, u64), Failure> {
    if request.room < OBJECT_ID_BYTES {
        return Err(NtStatus::INVALID_PARAMETER.into());
    }
    let ids = [u64::from(VOLUME_SERIAL), file_index(&open.path)].map(u64::to_le_bytes).concat();
    call.write(request.to, &ids)?;
    call.write(request.to.offset(ids.len() as u64), &[0; 48])?;
    Ok((NtStatus::SUCCESS, u64::from(OBJECT_ID_BYTES)))
}
