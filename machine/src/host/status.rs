//! Refusals of the host's file system as the statuses that Windows gives for the same thing.

use rustix::io::Errno;
use std::io::{Error, ErrorKind};
use vadose_facts::ntdef::NtStatus;

/// No room on the disk.
pub(super) const DISK_FULL: NtStatus = NtStatus::new(0xc000_007f);
/// The host's time limit passed while the guest waited for the console.
pub(super) const IO_TIMEOUT: NtStatus = NtStatus::new(0xc000_00b5);
/// The name is a link that cannot be followed to its end.
pub(super) const TOO_MANY_LINKS: NtStatus = NtStatus::new(0xc000_0265);

/// The status of a failed call.
pub(super) fn of(error: &Error) -> NtStatus {
    if let Some(status) = error.raw_os_error().and_then(of_errno) {
        return status;
    }
    match error.kind() {
        ErrorKind::NotFound => NtStatus::OBJECT_NAME_NOT_FOUND,
        ErrorKind::PermissionDenied => NtStatus::ACCESS_DENIED,
        ErrorKind::AlreadyExists => NtStatus::OBJECT_NAME_COLLISION,
        ErrorKind::BrokenPipe => NtStatus::PIPE_BROKEN,
        ErrorKind::TimedOut => IO_TIMEOUT,
        ErrorKind::InvalidInput => NtStatus::INVALID_PARAMETER,
        _ => NtStatus::UNSUCCESSFUL,
    }
}

fn of_errno(raw: i32) -> Option<NtStatus> {
    let table = [
        (Errno::NOENT, NtStatus::OBJECT_NAME_NOT_FOUND),
        (Errno::ACCESS, NtStatus::ACCESS_DENIED),
        (Errno::PERM, NtStatus::ACCESS_DENIED),
        (Errno::EXIST, NtStatus::OBJECT_NAME_COLLISION),
        (Errno::NOTDIR, NtStatus::NOT_A_DIRECTORY),
        (Errno::ISDIR, NtStatus::FILE_IS_A_DIRECTORY),
        (Errno::NOTEMPTY, NtStatus::DIRECTORY_NOT_EMPTY),
        (Errno::ROFS, NtStatus::MEDIA_WRITE_PROTECTED),
        (Errno::NOSPC, DISK_FULL),
        (Errno::DQUOT, DISK_FULL),
        (Errno::FBIG, DISK_FULL),
        (Errno::XDEV, NtStatus::NOT_SAME_DEVICE),
        (Errno::LOOP, TOO_MANY_LINKS),
        (Errno::NAMETOOLONG, NtStatus::OBJECT_NAME_INVALID),
        (Errno::INVAL, NtStatus::INVALID_PARAMETER),
        (Errno::PIPE, NtStatus::PIPE_BROKEN),
        (Errno::BUSY, NtStatus::SHARING_VIOLATION),
        (Errno::TXTBSY, NtStatus::SHARING_VIOLATION),
        (Errno::MFILE, NtStatus::INSUFFICIENT_RESOURCES),
        (Errno::NFILE, NtStatus::INSUFFICIENT_RESOURCES),
        (Errno::NOMEM, NtStatus::INSUFFICIENT_RESOURCES),
    ];
    let errno = Errno::from_raw_os_error(raw);
    table.iter().find(|(known, _)| *known == errno).map(|&(_, status)| status)
}
