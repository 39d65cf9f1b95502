//! `NtSetInformationFile`: changes of an open file, by class.

use super::name::FileName;
use super::rights::{DELETE, WRITE_ATTRIBUTES, WRITE_DATA};
use crate::claim::UserPtr;
use crate::executive::Handle;
use crate::executive::objects::{FileIo, Object, OpenFile};
use crate::host::FileAccess;
use crate::path::GuestPath;
use crate::service::{Answer, Call, Failure};
use vadose_facts::ntdef::{Bitness, NtStatus};

/// `FILE_DISPOSITION_DELETE` and `FILE_DISPOSITION_IGNORE_READONLY_ATTRIBUTE`.
const DISPOSITION_DELETE: u32 = 0x1;
const DISPOSITION_READ_ONLY: u32 = 0x10;
/// `FILE_RENAME_REPLACE_IF_EXISTS`.
const RENAME_REPLACE: u32 = 0x1;
/// `FILE_ATTRIBUTE_DIRECTORY`.
const DIRECTORY: u32 = 0x10;
/// Bytes of a new name at most.
const MAX_NAME_BYTES: u32 = 0xfffe;
/// `FILE_SKIP_COMPLETION_PORT_ON_SUCCESS`, `FILE_SKIP_SET_EVENT_ON_HANDLE`, `FILE_SKIP_SET_USER_EVENT_ON_FAST_IO`.
const NOTIFICATION_FLAGS: u32 = 0x7;

/// What a class changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Basic,
    Rename,
    RenameEx,
    Disposition,
    DispositionEx,
    Position,
    Mode,
    Allocation,
    EndOfFile,
    Pipe,
    Completion,
    CompletionNotification,
}

/// Class, least bytes in 32 and 64 bits, right, change.
const CLASSES: [(u32, [u32; 2], u32, Change); 12] = [
    (4, [40, 40], WRITE_ATTRIBUTES, Change::Basic),
    (10, [16, 24], DELETE, Change::Rename),
    (13, [1, 1], DELETE, Change::Disposition),
    (14, [8, 8], 0, Change::Position),
    (16, [4, 4], 0, Change::Mode),
    (19, [8, 8], WRITE_DATA, Change::Allocation),
    (20, [8, 8], WRITE_DATA, Change::EndOfFile),
    (23, [8, 8], WRITE_ATTRIBUTES, Change::Pipe),
    (30, [8, 16], 0, Change::Completion),
    (41, [4, 4], 0, Change::CompletionNotification),
    (64, [4, 4], DELETE, Change::DispositionEx),
    (65, [16, 24], DELETE, Change::RenameEx),
];

/// `NtSetInformationFile(file, *io status, *buffer, length, class)`: class, length, pointers, handle and its right. Hard
/// links, which the host's disk would show outside the guest's folders, are not made.
pub(super) fn nt_set_information(call: &mut Call<'_>) -> Answer {
    let (handle, block, from) = (call.handle(0), call.ptr(1), call.ptr(2));
    let (length, number) = (call.u32(3), call.u32(4));
    let known = CLASSES.iter().find(|(class, ..)| *class == number);
    let &(_, least, right, change) = known.ok_or(NtStatus::INVALID_INFO_CLASS)?;
    let least = match call.nt.edition.bitness {
        Bitness::Bits32 => least[0],
        Bitness::Bits64 => least[1],
    };
    if length < least {
        return Err(NtStatus::INFO_LENGTH_MISMATCH.into());
    }
    call.probe_status_block(block)?;
    let granted = call.nt.handles().access(handle)?;
    let is_file = match call.nt.object(handle)? {
        Object::File(_) => true,
        Object::Console(_) | Object::Pipe(_) | Object::Other => false,
        _other_kinds => return Err(NtStatus::OBJECT_TYPE_MISMATCH.into()),
    };
    call.check_right(granted, right)?;
    if is_file {
        change_file(call, handle, change, (from, length))?;
    } else {
        change_device(call, handle, change, from)?;
    }
    call.tell(block, NtStatus::SUCCESS, 0)?;
    Ok(0)
}

fn change_file(
    call: &mut Call<'_>,
    handle: Handle,
    change: Change,
    (from, length): (UserPtr, u32),
) -> Result<(), Failure> {
    let open = match call.nt.object(handle)? {
        Object::File(open) => open.clone(),
        _other_kinds => return Err(NtStatus::OBJECT_TYPE_MISMATCH.into()),
    };
    match change {
        Change::Basic => set_basic(call, &open, from),
        Change::Rename => {
            let replace = call.read_number(from, 1)? != 0;
            rename(call, &open, replace, (from, length))
        }
        Change::RenameEx => {
            let replace = call.read_u32(from)? & RENAME_REPLACE != 0;
            rename(call, &open, replace, (from, length))
        }
        Change::Disposition => {
            let delete = call.read_number(from, 1)? != 0;
            Ok(call.set_delete_pending(&open, delete, false)?)
        }
        Change::DispositionEx => {
            let flags = call.read_u32(from)?;
            let (delete, forced) = (flags & DISPOSITION_DELETE != 0, flags & DISPOSITION_READ_ONLY != 0);
            Ok(call.set_delete_pending(&open, delete, forced)?)
        }
        Change::Position => {
            let position = size(call.read_u64(from)?)?;
            with_file(call, handle, |open| open.position = position)
        }
        Change::Mode => {
            // Whether a file waits alertably is all that may change, and no wait here asks for it.
            let mode = call.read_u32(from)?;
            let kept = mode & !0x1a == open.mode & 0x1004 || mode & !0x36 == 0;
            if kept { Ok(()) } else { Err(NtStatus::INVALID_PARAMETER.into()) }
        }
        Change::Allocation => {
            let size = size(call.read_u64(from)?)?;
            let file = open.file.ok_or(NtStatus::INVALID_PARAMETER)?;
            // What is allocated beyond the end of a file is invisible here.
            if size < call.host.size(file)? { Ok(call.resize_file(&open, size)?) } else { Ok(()) }
        }
        Change::EndOfFile => {
            let size = size(call.read_u64(from)?)?;
            Ok(call.resize_file(&open, size)?)
        }
        Change::Pipe => Err(NtStatus::INVALID_PARAMETER.into()),
        Change::Completion => set_completion(call, handle, from),
        Change::CompletionNotification => {
            let flags = call.read_u32(from)?;
            if flags & !NOTIFICATION_FLAGS != 0 {
                return Err(NtStatus::INVALID_PARAMETER.into());
            }
            with_file(call, handle, |open| open.notification |= flags)
        }
    }
}

/// What can be set of a pipe, of a stream of the console, which is one, and of the null device.
fn change_device(call: &mut Call<'_>, handle: Handle, change: Change, from: UserPtr) -> Result<(), Failure> {
    match change {
        Change::Pipe => {
            let (read_mode, completion_mode) = (call.read_u32(from)?, call.read_u32(from.offset(4))?);
            Ok(call.set_pipe_modes(handle, read_mode, completion_mode)?)
        }
        Change::Completion => set_completion(call, handle, from),
        Change::Mode | Change::CompletionNotification => Ok(()),
        Change::Basic
        | Change::Rename
        | Change::RenameEx
        | Change::Disposition
        | Change::DispositionEx
        | Change::Position
        | Change::Allocation
        | Change::EndOfFile => Err(NtStatus::INVALID_PARAMETER.into()),
    }
}

fn with_file(call: &mut Call<'_>, handle: Handle, change: impl FnOnce(&mut OpenFile)) -> Result<(), Failure> {
    if let Object::File(open) = call.nt.object_mut(handle)? {
        change(open);
    }
    Ok(())
}

/// A size or a position: not a negative number.
fn size(raw: u64) -> Result<u64, NtStatus> {
    if raw <= i64::MAX as u64 { Ok(raw) } else { Err(NtStatus::INVALID_PARAMETER) }
}

/// Times and attributes: 0 and, for times, -1 and -2 leave one as it is.
fn set_basic(call: &mut Call<'_>, open: &OpenFile, from: UserPtr) -> Result<(), Failure> {
    let mut times = [None; 4];
    for (at, time) in (0..).step_by(8).zip(&mut times) {
        match call.read_u64(from.offset(at))?.cast_signed() {
            -2..=0 => {}
            wanted if wanted < 0 => return Err(NtStatus::INVALID_PARAMETER.into()),
            wanted => *time = Some(wanted.cast_unsigned()),
        }
    }
    let attributes = call.read_u32(from.offset(32))?;
    let info = call.host.info(&open.path)?;
    if info.access != FileAccess::ReadWrite {
        return Err(NtStatus::ACCESS_DENIED.into());
    }
    if attributes & DIRECTORY != 0 && open.file.is_some() {
        return Err(NtStatus::INVALID_PARAMETER.into());
    }
    let [created, accessed, written, _changed] = times;
    call.note_times(&open.path, &info, [created, accessed, written]);
    if attributes != 0 {
        call.nt.file_notes.set(&open.path, attributes);
    }
    Ok(())
}

/// `FILE_RENAME_INFORMATION`: flags, the folder, the length of the name, the name.
fn rename(
    call: &mut Call<'_>,
    open: &OpenFile,
    replace: bool,
    (from, length): (UserPtr, u32),
) -> Result<(), Failure> {
    let width = call.pointer_bytes();
    let (bitness, name_at) = (call.nt.edition.bitness, 2 * width + 4);
    let root = Handle::from_guest(call.read_word(from.offset(width))?, bitness);
    let bytes = call.read_u32(from.offset(2 * width))?;
    if bytes % 2 != 0 || bytes == 0 || bytes > MAX_NAME_BYTES {
        return Err(NtStatus::OBJECT_NAME_INVALID.into());
    }
    if u64::from(length) < name_at + u64::from(bytes) {
        return Err(NtStatus::INFO_LENGTH_MISMATCH.into());
    }
    let units = call.read_wide(from.offset(name_at), u64::from(bytes / 2))?;
    let name = String::from_utf16(&units).map_err(|_| NtStatus::OBJECT_NAME_INVALID)?;
    let target = if root != Handle::NULL {
        match call.nt.object(root)? {
            Object::File(folder) if folder.file.is_none() => FileName::parse_below(&folder.path, &name)?,
            Object::File(_) => return Err(NtStatus::OBJECT_PATH_NOT_FOUND.into()),
            _other_kinds => return Err(NtStatus::OBJECT_TYPE_MISMATCH.into()),
        }
    } else if name.starts_with('\\') {
        FileName::parse(&name)?
    } else {
        FileName::parse_below(&open.path.parent(), &name)?
    };
    let FileName::Disk { path, .. } = target else { return Err(NtStatus::NOT_SAME_DEVICE.into()) };
    let path: GuestPath = call.host.real_path(&path)?;
    Ok(call.rename_path(&open.path, &path, replace)?)
}

/// `FILE_COMPLETION_INFORMATION`: the port and the key.
fn set_completion(call: &mut Call<'_>, handle: Handle, from: UserPtr) -> Result<(), Failure> {
    let width = call.pointer_bytes();
    let port = Handle::from_guest(call.read_word(from)?, call.nt.edition.bitness);
    let key = call.read_word(from.offset(width))?;
    let port = call.port_of(port)?;
    Ok(call.associate(handle, port, key)?)
}

impl Call<'_> {
    /// Ties a file to a completion port: only one that was opened for asynchronous operations, and once.
    ///
    /// # Errors
    ///
    /// `INVALID_PARAMETER`; `INVALID_HANDLE`.
    pub(crate) fn associate(
        &mut self,
        file: Handle,
        port: crate::executive::ObjectId,
        key: u64,
    ) -> Result<(), NtStatus> {
        let mut handles = self.nt.handles_mut();
        let io = match handles.get_mut(file)? {
            Object::File(open) => &mut open.io,
            Object::Pipe(end) => &mut end.io,
            _others => return Err(NtStatus::INVALID_PARAMETER),
        };
        let FileIo::Overlapped { port: tied @ None } = io else { return Err(NtStatus::INVALID_PARAMETER) };
        *tied = Some((port, key));
        handles.objects.hold(port);
        Ok(())
    }
}
