//! Files by handle: opening, positions, sizes, information.

use super::filename::is_null_device;
use super::text::Width;
use crate::executive::{
    Disposition, Done, Handle, Object, OpenFile, Options, Request, Uses, VOLUME_SERIAL, file_index, specific,
};
use crate::host::{Console, FileAccess, FileKind, HostFile};
use crate::service::{Answer, Arg, Call, Export, Failure};
use vadose_facts::ntdef::{NtStatus, Win32Error};

use Arg::{U32, U64, Word};

/// `INVALID_HANDLE_VALUE` and `INVALID_FILE_SIZE`.
const INVALID: u64 = u64::MAX;
const INVALID_SIZE: u64 = 0xffff_ffff;
/// `GENERIC_READ` and `GENERIC_WRITE`.
const GENERIC_READ: u32 = 0x8000_0000;
const GENERIC_WRITE: u32 = 0x4000_0000;
/// `SYNCHRONIZE | FILE_READ_ATTRIBUTES`: `CreateFile` always asks for them.
const ALWAYS_GRANTED: u32 = 0x10_0080;
/// `FILE_WRITE_DATA | FILE_APPEND_DATA`.
const WRITING: u32 = 0x6;
const WRITE_DATA: u32 = 0x2;
/// `FILE_WRITE_ATTRIBUTES`.
const WRITE_ATTRIBUTES: u32 = 0x100;
/// `DELETE`.
const DELETE: u32 = 0x1_0000;
/// `FILE_FLAG_OVERLAPPED`.
const OVERLAPPED: u32 = 0x4000_0000;
/// `FILE_FLAG_WRITE_THROUGH`, `FILE_FLAG_NO_BUFFERING` and `FILE_FLAG_SEQUENTIAL_SCAN`, with their options.
const PLAIN_FLAGS: [(u32, u32); 3] = [(0x8000_0000, 0x2), (0x2000_0000, 0x8), (0x800_0000, 0x4)];
/// `FILE_SYNCHRONOUS_IO_NONALERT`.
const SYNCHRONOUS: u32 = 0x20;
/// `FILE_FLAG_BACKUP_SEMANTICS`: folders can be opened.
const BACKUP_SEMANTICS: u32 = 0x200_0000;
/// `FILE_FLAG_DELETE_ON_CLOSE`.
const DELETE_ON_CLOSE: u32 = 0x400_0000;
/// `ERROR_NEGATIVE_SEEK`.
const NEGATIVE_SEEK: Win32Error = Win32Error::new(131);

/// The file functions.
pub(crate) const EXPORTS: &[Export] = &[
    Export::system("CreateFileA", &[Word, U32, U32, Word, U32, U32, Word], create_file_a)
        .on_failure(INVALID)
        .set("core-file"),
    Export::system("CreateFileW", &[Word, U32, U32, Word, U32, U32, Word], create_file_w)
        .on_failure(INVALID)
        .set("core-file"),
    Export::system("GetOverlappedResult", &[Word, Word, Word, U32], get_overlapped_result).set("core-io"),
    Export::system("CancelIo", &[Word], cancel_io).set("core-io"),
    Export::system("GetFileSize", &[Word, Word], get_file_size).on_failure(INVALID_SIZE).set("core-file"),
    Export::system("GetFileSizeEx", &[Word, Word], get_file_size_ex).set("core-file"),
    Export::system("SetFilePointer", &[Word, U32, Word, U32], set_file_pointer)
        .on_failure(INVALID_SIZE)
        .set("core-file"),
    Export::system("SetFilePointerEx", &[Word, U64, Word, U32], set_file_pointer_ex).set("core-file"),
    Export::system("SetEndOfFile", &[Word], set_end_of_file).set("core-file"),
    Export::system("FlushFileBuffers", &[Word], flush_file_buffers).set("core-file"),
    Export::system("LockFile", &[Word, U32, U32, U32, U32], lock_file).set("core-file"),
    Export::system("UnlockFile", &[Word, U32, U32, U32, U32], lock_file).set("core-file"),
    Export::system("LockFileEx", &[Word, U32, U32, U32, U32, Word], lock_file).set("core-file"),
    Export::system("UnlockFileEx", &[Word, U32, U32, U32, Word], lock_file).set("core-file"),
    Export::system("GetFileInformationByHandle", &[Word, Word], get_file_information).set("core-file"),
    Export::system("GetFileTime", &[Word, Word, Word, Word], get_file_time).set("core-file"),
    Export::system("SetFileTime", &[Word, Word, Word, Word], set_file_time).set("core-file"),
    Export::system("SetFileInformationByHandle", &[Word, U32, Word, U32], set_file_information)
        .set("core-file"),
    Export::system("GetFinalPathNameByHandleA", &[Word, Word, U32, U32], final_path_a).set("core-file"),
    Export::system("GetFinalPathNameByHandleW", &[Word, Word, U32, U32], final_path_w).set("core-file"),
];

fn disposition_of(raw: u32) -> Result<Disposition, Failure> {
    Ok(match raw {
        1 => Disposition::Create,
        2 => Disposition::OverwriteIf,
        3 => Disposition::Open,
        4 => Disposition::OpenIf,
        5 => Disposition::Overwrite,
        _ => return Err(Win32Error::INVALID_PARAMETER.into()),
    })
}

fn create_file_a(call: &mut Call<'_>) -> Answer {
    create_file(call, Width::Narrow)
}

fn create_file_w(call: &mut Call<'_>) -> Answer {
    create_file(call, Width::Wide)
}

/// `CreateFile(name, access, sharing, security, disposition, flags, template)`.
fn create_file(call: &mut Call<'_>, width: Width) -> Answer {
    let (name_at, wanted, share, flags) = (call.ptr(0), call.u32(1), call.u32(2), call.u32(5));
    let disposition = disposition_of(call.u32(4))?;
    if disposition == Disposition::Overwrite && wanted & (GENERIC_WRITE | WRITE_DATA) == 0 {
        return Err(Win32Error::INVALID_PARAMETER.into());
    }
    if name_at.is_null() {
        return Err(Win32Error::PATH_NOT_FOUND.into());
    }
    let name = call.text(name_at, width)?;
    let access = access_of(wanted, flags);
    if is_null_device(&name) {
        let handle = call.nt.handles_mut().insert(Object::Other, specific(access))?;
        call.set_last_error(Win32Error::SUCCESS);
        return Ok(handle.raw());
    }
    let inherit = call.inherits(call.ptr(3))?;
    if let Some(stream) = console_device(&name, wanted) {
        let handle = call.nt.handles_mut().insert(Object::Console(stream), specific(access))?;
        *call.nt.process_mut().handles.inherit(handle)? = inherit;
        call.set_last_error(Win32Error::SUCCESS);
        return Ok(handle.raw());
    }
    let path = call.resolve(&name)?;
    let shares = Uses::from_guest(share).ok_or(Win32Error::INVALID_PARAMETER)?;
    let request = Request { access, shares, disposition, options: options_of(flags), attributes: flags };
    let opened = call.open_path(&path, &request).map_err(|status| match status {
        // CreateFile has its own word for this.
        NtStatus::OBJECT_NAME_COLLISION => Failure::Error(Win32Error::FILE_EXISTS),
        status => Failure::Status(status),
    })?;
    let makes = matches!(disposition, Disposition::OverwriteIf | Disposition::OpenIf);
    let existed = makes && opened.done != Done::Created;
    let handle = call.insert_file(opened.file, opened.granted)?;
    *call.nt.process_mut().handles.inherit(handle)? = inherit;
    call.set_last_error(if existed { Win32Error::ALREADY_EXISTS } else { Win32Error::SUCCESS });
    Ok(handle.raw())
}

/// The rights that `CreateFile` asks for beside those it was given.
const fn access_of(wanted: u32, flags: u32) -> u32 {
    wanted | ALWAYS_GRANTED | if flags & DELETE_ON_CLOSE != 0 { DELETE } else { 0 }
}

/// The native options of `CreateFile`'s flags.
fn options_of(flags: u32) -> Options {
    let plain = PLAIN_FLAGS.iter().filter(|(flag, _)| flags & flag != 0);
    let mut options = plain.fold(0, |options, (_, option)| options | option);
    if flags & OVERLAPPED == 0 {
        options |= SYNCHRONOUS;
    }
    if flags & BACKUP_SEMANTICS == 0 {
        options |= Options::NO_FOLDER;
    }
    if flags & DELETE_ON_CLOSE != 0 {
        options |= Options::DELETE_ON_CLOSE;
    }
    Options(options)
}

/// The console's devices; `CON` is its input or its output, by the access that is wanted.
fn console_device(name: &str, wanted: u32) -> Option<Console> {
    let name = name.strip_prefix("\\\\.\\").unwrap_or(name);
    let generic = wanted & (GENERIC_READ | GENERIC_WRITE);
    match name.to_ascii_uppercase().as_str() {
        "CONIN$" => Some(Console::Input),
        "CONOUT$" => Some(Console::Output),
        "CON" if generic == GENERIC_READ => Some(Console::Input),
        "CON" if generic == GENERIC_WRITE => Some(Console::Output),
        _other_names => None,
    }
}

impl Call<'_> {
    /// The open file or folder behind a handle.
    pub(super) fn open_file(&self, handle: Handle) -> Result<&OpenFile, NtStatus> {
        match self.nt.object(handle)? {
            Object::File(file) => Ok(file),
            Object::Console(_) | Object::Pipe(_) => Err(NtStatus::INVALID_DEVICE_REQUEST),
            _other_kinds => Err(NtStatus::OBJECT_TYPE_MISMATCH),
        }
    }

    fn host_file(&self, handle: Handle) -> Result<HostFile, NtStatus> {
        self.open_file(handle)?.file.ok_or(NtStatus::INVALID_PARAMETER)
    }

    fn file_size(&mut self, handle: Handle) -> Result<u64, NtStatus> {
        let file = self.host_file(handle)?;
        self.host.size(file)
    }

    /// Whether a handle is the null device.
    pub(super) fn is_null_handle(&self, handle: Handle) -> Result<bool, NtStatus> {
        Ok(*self.nt.handles().get(handle)? == Object::Other)
    }
}

/// `GetOverlappedResult(file, *overlapped, *count, wait)`: every operation is complete when it returns.
fn get_overlapped_result(call: &mut Call<'_>) -> Answer {
    let (overlapped, count_at, width) = (call.ptr(1), call.ptr(2), call.pointer_bytes());
    let status = NtStatus::new(call.read_word(overlapped)? as u32);
    if status == NtStatus::PENDING {
        return Err(Win32Error::new(996).into());
    }
    let count = call.read_word(overlapped.offset(width))?;
    call.write_u32(count_at, count as u32)?;
    if status.is_success() { Ok(1) } else { Err(status.into()) }
}

fn cancel_io(call: &mut Call<'_>) -> Answer {
    call.nt.handles().get(call.handle(0))?;
    Ok(1)
}

/// `GetFileSize(file, *high)`.
fn get_file_size(call: &mut Call<'_>) -> Answer {
    let (handle, high_at) = (call.handle(0), call.ptr(1));
    let size = call.file_size(handle)?;
    if !high_at.is_null() {
        call.write_u32(high_at, (size >> 32) as u32)?;
    }
    call.set_last_error(Win32Error::SUCCESS);
    Ok(size & u64::from(u32::MAX))
}

fn get_file_size_ex(call: &mut Call<'_>) -> Answer {
    let (handle, to) = (call.handle(0), call.ptr(1));
    let size = call.file_size(handle)?;
    call.write_u64(to, size)?;
    Ok(1)
}

/// Moves a file's position: 0 from its start, 1 from where it is, 2 from its end. A position that the caller could not
/// be told is refused before anything moves.
fn seek(
    call: &mut Call<'_>,
    handle: Handle,
    (distance, method): (i64, u32),
    limit: u64,
) -> Result<u64, Failure> {
    let start = match method {
        0 => 0,
        1 => call.open_file(handle)?.position,
        2 => call.file_size(handle)?,
        _ => return Err(Win32Error::INVALID_PARAMETER.into()),
    };
    call.host_file(handle)?;
    let position = start.checked_add_signed(distance).filter(|position| *position <= i64::MAX as u64);
    let position = position.ok_or(Failure::Error(NEGATIVE_SEEK))?;
    if position > limit {
        return Err(Win32Error::INVALID_PARAMETER.into());
    }
    if let Object::File(file) = call.nt.handles_mut().get_mut(handle)? {
        file.position = position;
    }
    Ok(position)
}

/// `SetFilePointer(file, low, *high, method)`: without a high half the low one is signed.
fn set_file_pointer(call: &mut Call<'_>) -> Answer {
    let (handle, low, high_at, method) = (call.handle(0), call.u32(1), call.ptr(2), call.u32(3));
    let distance = if high_at.is_null() {
        i64::from(low.cast_signed())
    } else {
        (u64::from(call.read_u32(high_at)?) << 32 | u64::from(low)).cast_signed()
    };
    let limit = if high_at.is_null() { u64::from(u32::MAX) } else { i64::MAX as u64 };
    let position = seek(call, handle, (distance, method), limit)?;
    if !high_at.is_null() {
        call.write_u32(high_at, (position >> 32) as u32)?;
    }
    call.set_last_error(Win32Error::SUCCESS);
    Ok(position & u64::from(u32::MAX))
}

/// `SetFilePointerEx(file, distance, *position, method)`.
fn set_file_pointer_ex(call: &mut Call<'_>) -> Answer {
    let (handle, distance, to, method) = (call.handle(0), call.arg(1), call.ptr(2), call.u32(3));
    let position = seek(call, handle, (distance.cast_signed(), method), i64::MAX as u64)?;
    if !to.is_null() {
        call.write_u64(to, position)?;
    }
    Ok(1)
}

/// Cuts or extends the file at the position.
fn set_end_of_file(call: &mut Call<'_>) -> Answer {
    let handle = call.handle(0);
    let position = call.open_file(handle)?.position;
    resize(call, handle, position)
}

fn resize(call: &mut Call<'_>, handle: Handle, size: u64) -> Answer {
    let open = call.open_file(handle)?.clone();
    open.file.ok_or(NtStatus::INVALID_PARAMETER)?;
    require(call, handle, WRITE_DATA)?;
    call.resize_file(&open, size)?;
    Ok(1)
}

fn require(call: &Call<'_>, handle: Handle, right: u32) -> Result<(), NtStatus> {
    let granted = call.nt.handles().access(handle)? & right == right;
    if granted { Ok(()) } else { Err(NtStatus::ACCESS_DENIED) }
}

/// Nothing is buffered here; a file must be open for writing.
fn flush_file_buffers(call: &mut Call<'_>) -> Answer {
    let handle = call.handle(0);
    match call.nt.handles().get(handle)? {
        Object::Console(_) | Object::Pipe(_) | Object::Other => {}
        Object::File(_) => {
            if call.nt.handles().access(handle)? & WRITING == 0 {
                return Err(NtStatus::ACCESS_DENIED.into());
            }
        }
        _other_kinds => return Err(NtStatus::OBJECT_TYPE_MISMATCH.into()),
    }
    Ok(1)
}

/// Nobody else has the file.
fn lock_file(call: &mut Call<'_>) -> Answer {
    call.host_file(call.handle(0))?;
    Ok(1)
}

/// `BY_HANDLE_FILE_INFORMATION`, 52 bytes.
fn get_file_information(call: &mut Call<'_>) -> Answer {
    let (handle, to) = (call.handle(0), call.ptr(1));
    let path = call.open_file(handle)?.path.clone();
    let info = call.host.info(&path)?;
    let size = if info.kind == FileKind::File { call.file_size(handle)? } else { 0 };
    let attributes = call.attributes_of(&path, &info);
    call.write_u32(to, attributes)?;
    for (place, time) in (4..).step_by(8).zip(call.times_of(&path, &info)) {
        call.write_u64(to.offset(place), time)?;
    }
    let index = file_index(&path);
    let fields = [VOLUME_SERIAL, (size >> 32) as u32, size as u32, 1, (index >> 32) as u32, index as u32];
    for (place, field) in (28..).step_by(4).zip(fields) {
        call.write_u32(to.offset(place), field)?;
    }
    Ok(1)
}

/// `GetFileTime(file, *creation, *access, *write)`.
fn get_file_time(call: &mut Call<'_>) -> Answer {
    let path = call.open_file(call.handle(0))?.path.clone();
    let info = call.host.info(&path)?;
    for (index, time) in (1..).zip(call.times_of(&path, &info)) {
        let at = call.ptr(index);
        if !at.is_null() {
            call.write_u64(at, time)?;
        }
    }
    Ok(1)
}

/// `SetFileTime(file, *creation, *access, *write)`: null pointers, 0 and -1 leave a time as it is.
fn set_file_time(call: &mut Call<'_>) -> Answer {
    let handle = call.handle(0);
    let path = call.open_file(handle)?.path.clone();
    require(call, handle, WRITE_ATTRIBUTES)?;
    let mut times = [None; 3];
    for (index, time) in (1..).zip(&mut times) {
        let at = call.ptr(index);
        let wanted = if at.is_null() { 0 } else { call.read_u64(at)? };
        match wanted {
            0 | u64::MAX => {}
            wanted if wanted > i64::MAX as u64 => return Err(Win32Error::INVALID_PARAMETER.into()),
            wanted => *time = Some(wanted),
        }
    }
    let info = call.host.info(&path)?;
    if info.access != FileAccess::ReadWrite {
        return Err(NtStatus::ACCESS_DENIED.into());
    }
    call.note_times(&path, &info, times);
    Ok(1)
}

/// `SetFileInformationByHandle(file, class, *data, bytes)`: disposition (4) and end of file (6).
fn set_file_information(call: &mut Call<'_>) -> Answer {
    let (handle, class, from, bytes) = (call.handle(0), call.u32(1), call.ptr(2), call.u32(3));
    match class {
        4 if bytes >= 1 => {
            let delete = call.read_number(from, 1)? != 0;
            require(call, handle, DELETE)?;
            let open = call.open_file(handle)?.clone();
            call.set_delete_pending(&open, delete, false)?;
            Ok(1)
        }
        6 if bytes >= 8 => {
            let size = call.read_u64(from)?;
            if size > i64::MAX as u64 {
                return Err(Win32Error::INVALID_PARAMETER.into());
            }
            resize(call, handle, size)
        }
        4 | 6 => Err(Win32Error::BAD_LENGTH.into()),
        _ => Err(Win32Error::INVALID_PARAMETER.into()),
    }
}

fn final_path_a(call: &mut Call<'_>) -> Answer {
    final_path(call, Width::Narrow)
}

fn final_path_w(call: &mut Call<'_>) -> Answer {
    final_path(call, Width::Wide)
}

/// `GetFinalPathNameByHandle(file, *name, room, flags)`: the path with its drive letter.
fn final_path(call: &mut Call<'_>, width: Width) -> Answer {
    let (handle, to, room, flags) = (call.handle(0), call.ptr(1), call.u32(2), call.u32(3));
    let path = call.open_file(handle)?.path.to_string();
    let name = match flags & 0x7 {
        0 => format!("\\\\?\\{path}"),
        // VOLUME_NAME_NONE.
        4 => path[2..].to_owned(),
        _ => return Err(Win32Error::PATH_NOT_FOUND.into()),
    };
    call.put_text(to, room, &name, width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_become_options() {
        assert_eq!(options_of(0), Options(0x60));
        assert_eq!(options_of(OVERLAPPED | BACKUP_SEMANTICS), Options(0));
        assert_eq!(options_of(0x8000_0000 | 0x2000_0000 | 0x800_0000), Options(0x6e));
        assert_eq!(options_of(DELETE_ON_CLOSE), Options(0x1060));
        assert_eq!(access_of(GENERIC_READ, DELETE_ON_CLOSE), 0x8011_0080);
    }

    #[test]
    fn only_the_five_dispositions_are_accepted() {
        assert!((1..=5).all(|number| disposition_of(number).is_ok()));
        assert!([0, 6, u32::MAX].into_iter().all(|number| disposition_of(number).is_err()));
    }
}
