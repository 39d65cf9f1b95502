//! `NtLockFile` and `NtUnlockFile`: ranges of bytes that others may not write, or not touch.

use super::rights::{READ_DATA, WRITE_DATA};
use super::status_block::Completion;
use crate::executive::objects::{ByteLock, Object, OpenFile};
use crate::executive::{Handle, ObjectId};
use crate::kernel::Kernel;
use crate::path::GuestPath;
use crate::service::{Answer, Call, Failure};
use vadose_facts::ntdef::NtStatus;

/// Locks that one open file can have.
const MAX_LOCKS: usize = 1 << 12;

/// Reading or writing a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Touch {
    Read,
    Write,
}

/// `NtLockFile(file, event, apc, apc context, *io status, *offset, *length, key, at once, exclusive)`.
pub(super) fn nt_lock_file(call: &mut Call<'_>) -> Answer {
    let (handle, key) = (call.handle(0), call.u32(7));
    let (at_once, exclusive) = (call.u32(8) & 0xff != 0, call.u32(9) & 0xff != 0);
    let (id, path) = lockable(call, handle)?;
    let completion = Completion::begin(call)?;
    let (offset, length) = read_range(call)?;
    let lock = ByteLock { offset, length, key, exclusive };
    let taken = call.files_at(&path).any(|(_, open)| open.locks.iter().any(|other| other.excludes(&lock)));
    if taken {
        return if at_once { Err(NtStatus::LOCK_NOT_GRANTED.into()) } else { call.block_for_file(None) };
    }
    let Object::File(open) = call.nt.objects.get_mut(id) else {
        return Err(NtStatus::OBJECT_TYPE_MISMATCH.into());
    };
    if open.locks.len() == MAX_LOCKS {
        return Err(NtStatus::INSUFFICIENT_RESOURCES.into());
    }
    open.locks.push(lock);
    call.nt.byte_locks += 1;
    completion.finish(call, Ok((NtStatus::SUCCESS, 0)))
}

/// `NtUnlockFile(file, *io status, *offset, *length, key)`: exactly a range that was locked.
pub(super) fn nt_unlock_file(call: &mut Call<'_>) -> Answer {
    let (handle, block, key) = (call.handle(0), call.ptr(1), call.u32(4));
    let (id, _) = lockable(call, handle)?;
    call.probe_status_block(block)?;
    let (offset_at, length_at) = (call.ptr(2), call.ptr(3));
    let (offset, length) = (call.read_u64(offset_at)?, call.read_u64(length_at)?);
    call.unlock_bytes(id, (offset, length, key))?;
    call.tell(block, NtStatus::SUCCESS, 0)?;
    Ok(0)
}

/// The open file of a handle that may read or write it.
fn lockable(call: &Call<'_>, handle: Handle) -> Result<(ObjectId, GuestPath), NtStatus> {
    let id = call.object_of(handle)?;
    let path = match call.nt.objects.get(id) {
        Object::File(OpenFile { file: Some(_), path, .. }) => path.clone(),
        Object::File(_) => return Err(NtStatus::INVALID_PARAMETER),
        Object::Console(_) | Object::Pipe(_) | Object::Other => return Err(NtStatus::INVALID_DEVICE_REQUEST),
        _other_kinds => return Err(NtStatus::OBJECT_TYPE_MISMATCH),
    };
    let granted = call.nt.handles().access(handle)? & (READ_DATA | WRITE_DATA) != 0;
    if granted { Ok((id, path)) } else { Err(NtStatus::ACCESS_DENIED) }
}

fn read_range(call: &mut Call<'_>) -> Result<(u64, u64), Failure> {
    let (offset_at, length_at) = (call.ptr(5), call.ptr(6));
    Ok((call.read_u64(offset_at)?, call.read_u64(length_at)?))
}

impl Kernel<'_> {
    fn unlock_bytes(&mut self, id: ObjectId, (offset, length, key): (u64, u64, u32)) -> Result<(), NtStatus> {
        let Object::File(open) = self.nt.objects.get_mut(id) else {
            return Err(NtStatus::OBJECT_TYPE_MISMATCH);
        };
        let fits = |lock: &ByteLock| (lock.offset, lock.length, lock.key) == (offset, length, key);
        let at = open.locks.iter().position(fits).ok_or(NtStatus::RANGE_NOT_LOCKED)?;
        open.locks.remove(at);
        self.nt.byte_locks -= 1;
        self.file_changed();
        Ok(())
    }

    /// The locks of an open file that is closed.
    pub(super) fn drop_locks(&mut self, open: &OpenFile) {
        if !open.locks.is_empty() {
            self.nt.byte_locks -= open.locks.len();
            self.file_changed();
        }
    }

    /// Whether somebody else's lock stands in the way.
    ///
    /// # Errors
    ///
    /// `FILE_LOCK_CONFLICT`.
    pub(super) fn check_locks(
        &self,
        own: ObjectId,
        path: &GuestPath,
        (offset, length): (u64, u64),
        touch: Touch,
    ) -> Result<(), NtStatus> {
        if self.nt.byte_locks == 0 {
            return Ok(());
        }
        let range = ByteLock { offset, length, key: 0, exclusive: false };
        let forbids = |id: ObjectId, lock: &ByteLock| {
            lock.overlaps(&range)
                && match touch {
                    Touch::Read => lock.exclusive && id != own,
                    Touch::Write => !lock.exclusive || id != own,
                }
        };
        let forbidden = self.files_at(path).any(|(id, open)| open.locks.iter().any(|lock| forbids(id, lock)));
        if forbidden { Err(NtStatus::FILE_LOCK_CONFLICT) } else { Ok(()) }
    }
}
