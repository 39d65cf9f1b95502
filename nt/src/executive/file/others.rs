//! Services of files that need no file of their own: flushing, deleting by name, cancelling, scattered transfers, and what
//! the drive does not do.

use super::name::FileName;
use super::rights::{APPEND_DATA, READ_DATA, WRITE_DATA};
use super::status_block::Completion;
use crate::claim::UserPtr;
use crate::executive::attributes::ObjectAttributes;
use crate::executive::objects::Object;
use crate::executive::{Handle, Place};
use crate::service::{Answer, Call, Failure};
use vadose_facts::addr::PAGE_BYTES;
use vadose_facts::ntdef::NtStatus;

/// `THREAD_TERMINATE`: the right to call a thread's wait off.
const THREAD_TERMINATE: u32 = 0x1;
/// `FileStatInformation`, and the bytes of its structure.
const STAT: u32 = 68;
const STAT_BYTES: u32 = 72;

/// `NtFlushBuffersFile(file, *io status)`: nothing is buffered here but what is on its way through a pipe.
pub(super) fn nt_flush_buffers(call: &mut Call<'_>) -> Answer {
    let block = call.ptr(1);
    flush(call, block)
}

/// `NtFlushBuffersFileEx(file, flags, *parameters, length, *io status)`.
pub(super) fn nt_flush_buffers_ex(call: &mut Call<'_>) -> Answer {
    let block = call.ptr(4);
    flush(call, block)
}

fn flush(call: &mut Call<'_>, block: UserPtr) -> Answer {
    let handle = call.handle(0);
    let granted = call.nt.handles().access(handle)? & (WRITE_DATA | APPEND_DATA) != 0;
    let mapped = match call.nt.object(handle)? {
        Object::File(_) | Object::Pipe(_) if !granted => return Err(NtStatus::ACCESS_DENIED.into()),
        Object::File(open) => call.nt.files.data_at(&open.path),
        Object::Pipe(_) | Object::Console(_) | Object::Other => None,
        _other_kinds => return Err(NtStatus::OBJECT_TYPE_MISMATCH.into()),
    };
    call.probe_status_block(block)?;
    if let Some(mapped) = mapped {
        call.flush_mapped_file(mapped);
    }
    if call.is_pipe_unread(handle)? {
        return call.block_for_file(None);
    }
    call.tell(block, NtStatus::SUCCESS, 0)?;
    Ok(0)
}

/// `NtDeleteFile(attributes)`.
pub(super) fn nt_delete_file(call: &mut Call<'_>) -> Answer {
    let attributes_at = call.ptr(0);
    let attributes = ObjectAttributes::read(call, attributes_at)?;
    let FileName::Disk { path, .. } = call.file_name(&attributes)? else {
        return Err(NtStatus::INVALID_DEVICE_REQUEST.into());
    };
    call.delete_path(&path, None)?;
    Ok(0)
}

/// `NtQueryInformationByName(attributes, *io status, *buffer, length, class)`: what `FileStatInformation` tells.
pub(super) fn nt_query_by_name(call: &mut Call<'_>) -> Answer {
    let (attributes_at, block, buffer) = (call.ptr(0), call.ptr(1), call.ptr(2));
    let (length, class) = (call.u32(3), call.u32(4));
    if class != STAT {
        return Err(NtStatus::INVALID_INFO_CLASS.into());
    }
    if length < STAT_BYTES {
        return Err(NtStatus::INFO_LENGTH_MISMATCH.into());
    }
    call.probe_status_block(block)?;
    call.probe_write(buffer, u64::from(STAT_BYTES))?;
    let attributes = ObjectAttributes::read(call, attributes_at)?;
    let name = call.file_name(&attributes)?;
    let facts = call.facts_by_name(&name)?;
    call.write(buffer, &facts.stat(0))?;
    call.tell(block, NtStatus::SUCCESS, u64::from(STAT_BYTES))?;
    Ok(0)
}

/// `NtCancelIoFile(file, *io status)`: calls off what the calling thread has asked for.
pub(super) fn nt_cancel_io(call: &mut Call<'_>) -> Answer {
    let block = call.ptr(1);
    let tid = call.thread().tid;
    cancel(call, block, |one_tid, _| one_tid == tid).map(|_count| 0)
}

/// `NtCancelIoFileEx(file, *io status to cancel, *io status)`: one operation, or all of the process.
pub(super) fn nt_cancel_io_ex(call: &mut Call<'_>) -> Answer {
    let (which, block) = (call.ptr(1), call.ptr(2));
    match cancel(call, block, |_, own| which.is_null() || own == which)? {
        0 => Err(NtStatus::NOT_FOUND.into()),
        _some => Ok(0),
    }
}

fn cancel(
    call: &mut Call<'_>,
    block: UserPtr,
    which: impl Fn(u32, UserPtr) -> bool,
) -> Result<usize, Failure> {
    let id = call.object_of(call.handle(0))?;
    let pid = call.nt.process().pid;
    call.probe_status_block(block)?;
    let count = match call.nt.objects.get(id) {
        Object::Pipe(_) => {
            call.cancel_pending(id, |one| one.pid == pid && which(one.tid, one.completion.block))
        }
        Object::File(_) | Object::Console(_) | Object::Other => 0,
        _other_kinds => return Err(NtStatus::OBJECT_TYPE_MISMATCH.into()),
    };
    call.tell(block, NtStatus::SUCCESS, 0)?;
    Ok(count)
}

/// `NtCancelSynchronousIoFile(thread, *io status to cancel, *io status)`: a thread that waits in an operation of a file.
pub(super) fn nt_cancel_synchronous(call: &mut Call<'_>) -> Answer {
    let (thread, block) = (call.handle(0), call.ptr(2));
    let tid = call.thread_of(thread, THREAD_TERMINATE)?;
    call.probe_status_block(block)?;
    if !call.cancel_file_wait(tid) {
        return Err(NtStatus::NOT_FOUND.into());
    }
    call.tell(block, NtStatus::SUCCESS, 0)?;
    Ok(0)
}

/// `NtReadFileScatter(file, event, apc, apc context, *io status, *segments, length, *offset, *key)`: a page each.
pub(super) fn nt_read_scatter(call: &mut Call<'_>) -> Answer {
    pages(call, |call, handle, at, bytes, place| call.read_object(handle, at, bytes, place))
}

/// `NtWriteFileGather`, with the arguments of `NtReadFileScatter`.
pub(super) fn nt_write_gather(call: &mut Call<'_>) -> Answer {
    pages(call, |call, handle, at, bytes, place| call.write_object(handle, at, bytes, place))
}

fn pages(
    call: &mut Call<'_>,
    move_page: impl Fn(&mut Call<'_>, Handle, UserPtr, u64, Place) -> Result<u64, Failure>,
) -> Answer {
    let (handle, segments, length, offset_at) =
        (call.handle(0), call.ptr(5), u64::from(call.u32(6)), call.ptr(7));
    let granted = call.nt.handles().access(handle)? & (READ_DATA | WRITE_DATA) != 0;
    match call.nt.object(handle)? {
        Object::File(_) if granted => {}
        Object::File(_) => return Err(NtStatus::ACCESS_DENIED.into()),
        _devices => return Err(NtStatus::INVALID_DEVICE_REQUEST.into()),
    }
    let completion = Completion::begin(call)?;
    let start = call.read_u64(offset_at)?;
    if start > i64::MAX as u64 {
        return Err(NtStatus::INVALID_PARAMETER.into());
    }
    let mut done = 0;
    while done < length {
        let at = UserPtr::new(call.read_u64(segments.offset(done / PAGE_BYTES * 8))?);
        let bytes = (length - done).min(PAGE_BYTES);
        match move_page(call, handle, at, bytes, Place::At(start + done)) {
            Ok(moved) => {
                done += moved;
                if moved < bytes {
                    break;
                }
            }
            Err(Failure::Status(NtStatus::END_OF_FILE)) if done > 0 => break,
            Err(failure) => return completion.finish(call, Err(failure)),
        }
    }
    completion.finish(call, Ok((NtStatus::SUCCESS, done)))
}

/// `NtQueryEaFile`: no file has extended attributes.
pub(super) fn nt_query_ea(call: &mut Call<'_>) -> Answer {
    only_files(call)?;
    Err(NtStatus::NO_EAS_ON_FILE.into())
}

/// `NtSetEaFile`: and none can be given one.
pub(super) fn nt_set_ea(call: &mut Call<'_>) -> Answer {
    only_files(call)?;
    Err(NtStatus::EAS_NOT_SUPPORTED.into())
}

/// `NtSetVolumeInformationFile`: the drive is as it is.
pub(super) fn nt_set_volume(call: &mut Call<'_>) -> Answer {
    only_files(call)?;
    Err(NtStatus::ACCESS_DENIED.into())
}

/// `NtNotifyChangeDirectoryFile`: nobody watches the host's folders.
pub(super) fn nt_notify_change(call: &mut Call<'_>) -> Answer {
    only_files(call)?;
    Err(NtStatus::NOT_IMPLEMENTED.into())
}

fn only_files(call: &Call<'_>) -> Result<(), NtStatus> {
    match call.nt.object(call.handle(0))? {
        Object::File(_) => Ok(()),
        Object::Console(_) | Object::Pipe(_) | Object::Other => Err(NtStatus::INVALID_DEVICE_REQUEST),
        _other_kinds => Err(NtStatus::OBJECT_TYPE_MISMATCH),
    }
}
