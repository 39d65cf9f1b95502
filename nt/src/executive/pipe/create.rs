//! Making instances of pipes, and opening their other ends.

use super::{Kind, PipeEnd, Side};
use crate::executive::Handle;
use crate::executive::attributes::ObjectAttributes;
use crate::executive::file::{FileName, Options, Request, granted_to_changer};
use crate::executive::objects::Object;
use crate::kernel::Kernel;
use crate::service::{Answer, Call};
use std::collections::VecDeque;
use vadose_facts::ntdef::NtStatus;

/// Units of a pipe's name at most.
const MAX_NAME_UNITS: usize = 256;
/// `FILE_READ_DATA`, `FILE_WRITE_DATA`, `SYNCHRONIZE`.
const READ_DATA: u32 = 0x1;
const WRITE_DATA: u32 = 0x2;
const SYNCHRONIZE: u32 = 0x10_0000;
/// `FILE_SHARE_READ` and `FILE_SHARE_WRITE`: what the client may do.
const CLIENT_READS: u32 = 0x1;
const CLIENT_WRITES: u32 = 0x2;
/// `FILE_OPEN`, `FILE_CREATE`, `FILE_OPEN_IF` and `FILE_OVERWRITE_IF`, which opens or makes as well.
const OPEN: u32 = 1;
const CREATE: u32 = 2;
const DISPOSITIONS: [u32; 4] = [OPEN, CREATE, 3, 5];
/// What was done.
const OPENED: u64 = 1;
const CREATED: u64 = 2;

/// `NtCreateNamedPipeFile(*pipe, access, attributes, *io status, share, disposition, options, type, read mode, completion
/// mode, instances, inbound quota, outbound quota, *timeout)`: numbers, pointers, name.
pub(crate) fn nt_create_named_pipe(call: &mut Call<'_>) -> Answer {
    let (handle_at, access, attributes_at, block) = (call.ptr(0), call.u32(1), call.ptr(2), call.ptr(3));
    let (share, disposition, options) = (call.u32(4), call.u32(5), Options(call.u32(6)));
    let [kind, read_mode, completion_mode] = [call.u32(7), call.u32(8), call.u32(9)];
    let (most, quotas, timeout_at) = (call.u32(10), [call.u32(11), call.u32(12)], call.ptr(13));
    let synchronous = options.0 & Options::SYNCHRONOUS;
    let wrong = share == 0
        || share & !(CLIENT_READS | CLIENT_WRITES) != 0
        || !DISPOSITIONS.contains(&disposition)
        || kind & !0x3 != 0
        || read_mode > 1
        || completion_mode > 1
        || most == 0
        || kind & 1 == 0 && read_mode == 1
        || synchronous == Options::SYNCHRONOUS
        || synchronous != 0 && access & (SYNCHRONIZE | 0xf000_0000) == 0;
    if wrong {
        return Err(NtStatus::INVALID_PARAMETER.into());
    }
    let width = call.pointer_bytes();
    call.probe_write(handle_at, width)?;
    call.probe_status_block(block)?;
    if !timeout_at.is_null() && call.read_u64(timeout_at)?.cast_signed() > 0 {
        return Err(NtStatus::INVALID_PARAMETER.into());
    }
    let attributes = ObjectAttributes::read(call, attributes_at)?;
    let FileName::Pipe(name) = call.file_name(&attributes)? else {
        return Err(NtStatus::OBJECT_NAME_INVALID.into());
    };
    if name.is_empty() || name.encode_utf16().count() > MAX_NAME_UNITS {
        return Err(NtStatus::OBJECT_NAME_INVALID.into());
    }
    let exists = call.nt.pipes.exists(&name);
    match (exists, disposition) {
        (true, CREATE) => return Err(NtStatus::ACCESS_DENIED.into()),
        (false, OPEN) => return Err(NtStatus::OBJECT_NAME_NOT_FOUND.into()),
        (true | false, _) => {}
    }
    let kind = Kind { directions: share, messages: kind & 1 != 0, most };
    let pipe = call.nt.pipes.create(&name, kind, quotas)?;
    let end = PipeEnd {
        pipe: Some(pipe),
        side: Side::Server,
        io: options.io(),
        by_message: read_mode == 1,
        never_waits: completion_mode == 1,
        pending: VecDeque::new(),
        sent_away: false,
    };
    let granted = granted_to_changer(access)?;
    let handle = call.insert_end(end, granted)?;
    *call.nt.process_mut().handles.inherit(handle)? = attributes.attributes & ObjectAttributes::INHERIT != 0;
    call.write_word(handle_at, handle.raw())?;
    call.tell(block, NtStatus::SUCCESS, if exists { OPENED } else { CREATED })?;
    Ok(0)
}

impl Kernel<'_> {
    /// Gives an end its first handle.
    fn insert_end(&mut self, end: PipeEnd, granted: u32) -> Result<Handle, NtStatus> {
        let (pipe, side) = (end.pipe, end.side);
        let made = self.nt.handles_mut().insert(Object::Pipe(end), granted);
        let id = made.and_then(|handle| self.object_of(handle));
        match (pipe, id) {
            (Some(pipe), Ok(id)) => {
                self.nt.pipes.open_end(pipe, side, id);
                if side == Side::Client {
                    self.pipe_changed(pipe);
                }
            }
            (Some(pipe), Err(_)) if side == Side::Server => self.nt.pipes.forget(pipe),
            (Some(_), Err(_)) | (None, _) => {}
        }
        made
    }

    /// Opens the client's end of an instance that waits, or the device of all pipes.
    ///
    /// # Errors
    ///
    /// `OBJECT_NAME_NOT_FOUND`; `PIPE_NOT_AVAILABLE` if no instance waits; `ACCESS_DENIED` for a direction that the pipe
    /// does not have.
    pub(crate) fn open_pipe(&mut self, name: &str, request: &Request) -> Result<Handle, NtStatus> {
        let granted = granted_to_changer(request.access)?;
        let mut end = PipeEnd {
            pipe: None,
            side: Side::Client,
            io: request.options.io(),
            by_message: false,
            never_waits: false,
            pending: VecDeque::new(),
            sent_away: false,
        };
        if name.is_empty() {
            return self.insert_end(end, granted);
        }
        if !self.nt.pipes.exists(name) {
            return Err(NtStatus::OBJECT_NAME_NOT_FOUND);
        }
        let pipe = self.nt.pipes.listening(name).ok_or(NtStatus::PIPE_NOT_AVAILABLE)?;
        let directions = self.nt.pipes.get(pipe).kind.directions;
        let reads = granted & READ_DATA == 0 || directions & CLIENT_READS != 0;
        let writes = granted & WRITE_DATA == 0 || directions & CLIENT_WRITES != 0;
        if !reads || !writes {
            return Err(NtStatus::ACCESS_DENIED);
        }
        end.pipe = Some(pipe);
        self.insert_end(end, granted)
    }
}
