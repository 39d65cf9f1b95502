//! Files by name: attributes, deleting, moving, copying, folders.

use super::text::Width;
use crate::UserPtr;
use crate::executive::{Uses, VOLUME_SERIAL};
use crate::host::{FileAccess, FileInfo, FileKind, HostFile, Wish};
use crate::path::GuestPath;
use crate::service::{Answer, Arg, Call, Export, Failure};
use vadose_facts::ntdef::{NtStatus, Win32Error};

use Arg::{U32, Word};

/// `INVALID_FILE_ATTRIBUTES`.
const INVALID: u64 = 0xffff_ffff;
/// `MOVEFILE_REPLACE_EXISTING`.
const REPLACE_EXISTING: u32 = 0x1;
/// `MOVEFILE_DELAY_UNTIL_REBOOT`: there is no reboot.
const DELAY: u32 = 0x4;
/// Units of a file's name at most.
const MAX_COMPONENT: u32 = 255;
/// `FILE_CASE_PRESERVED_NAMES | FILE_UNICODE_ON_DISK`.
const VOLUME_FLAGS: u32 = 0x6;
/// Bytes copied at a time.
const COPY_PIECE_BYTES: usize = 1 << 16;

/// The functions on names of files.
pub(crate) const EXPORTS: &[Export] = &[
    Export::system("GetFileAttributesA", &[Word], get_attributes_a).on_failure(INVALID).set("core-file"),
    Export::system("GetFileAttributesW", &[Word], get_attributes_w).on_failure(INVALID).set("core-file"),
    Export::system("GetFileAttributesExA", &[Word, U32, Word], get_attributes_ex_a).set("core-file"),
    Export::system("GetFileAttributesExW", &[Word, U32, Word], get_attributes_ex_w).set("core-file"),
    Export::system("SetFileAttributesA", &[Word, U32], set_attributes_a).set("core-file"),
    Export::system("SetFileAttributesW", &[Word, U32], set_attributes_w).set("core-file"),
    Export::system("DeleteFileA", &[Word], delete_file_a).set("core-file"),
    Export::system("DeleteFileW", &[Word], delete_file_w).set("core-file"),
    Export::system("RemoveDirectoryA", &[Word], remove_directory_a).set("core-file"),
    Export::system("RemoveDirectoryW", &[Word], remove_directory_w).set("core-file"),
    Export::system("CreateDirectoryA", &[Word, Word], create_directory_a).set("core-file"),
    Export::system("CreateDirectoryW", &[Word, Word], create_directory_w).set("core-file"),
    Export::system("MoveFileA", &[Word, Word], move_file_a).only_in_kernel32(),
    Export::system("MoveFileW", &[Word, Word], move_file_w).only_in_kernel32(),
    Export::system("MoveFileExA", &[Word, Word, U32], move_file_a).only_in_kernel32(),
    Export::system("MoveFileExW", &[Word, Word, U32], move_file_w).set("core-file"),
    Export::system("CopyFileA", &[Word, Word, U32], copy_file_a).only_in_kernel32(),
    Export::system("CopyFileW", &[Word, Word, U32], copy_file_w).set("core-file"),
    Export::system("GetVolumeInformationA", &[Word, Word, U32, Word, Word, Word, Word, U32], get_volume_a)
        .only_in_kernel32(),
    Export::system("GetVolumeInformationW", &[Word, Word, U32, Word, Word, Word, Word, U32], get_volume_w)
        .set("core-file"),
];

impl Call<'_> {
    /// A path, and what is there.
    fn info_at(&mut self, at: UserPtr, width: Width) -> Result<(GuestPath, FileInfo), Failure> {
        let path = self.path(at, width)?;
        let info = self.host.info(&path)?;
        Ok((path, info))
    }
}

fn get_attributes_a(call: &mut Call<'_>) -> Answer {
    get_attributes(call, Width::Narrow)
}

fn get_attributes_w(call: &mut Call<'_>) -> Answer {
    get_attributes(call, Width::Wide)
}

fn get_attributes(call: &mut Call<'_>, width: Width) -> Answer {
    let at = call.ptr(0);
    let (path, info) = call.info_at(at, width)?;
    Ok(u64::from(call.attributes_of(&path, &info)))
}

fn get_attributes_ex_a(call: &mut Call<'_>) -> Answer {
    get_attributes_ex(call, Width::Narrow)
}

fn get_attributes_ex_w(call: &mut Call<'_>) -> Answer {
    get_attributes_ex(call, Width::Wide)
}

/// `GetFileAttributesEx(name, level, *data)`: attributes, three times, size with its high half first.
fn get_attributes_ex(call: &mut Call<'_>, width: Width) -> Answer {
    let (name, level, to) = (call.ptr(0), call.u32(1), call.ptr(2));
    if level != 0 {
        return Err(Win32Error::INVALID_PARAMETER.into());
    }
    let (path, info) = call.info_at(name, width)?;
    let data = call.find_data_head(&path, &info);
    call.write(to, &data)?;
    Ok(1)
}

fn set_attributes_a(call: &mut Call<'_>) -> Answer {
    set_attributes(call, Width::Narrow)
}

fn set_attributes_w(call: &mut Call<'_>) -> Answer {
    set_attributes(call, Width::Wide)
}

fn set_attributes(call: &mut Call<'_>, width: Width) -> Answer {
    let (name, attributes) = (call.ptr(0), call.u32(1));
    let (path, info) = call.info_at(name, width)?;
    if info.access != FileAccess::ReadWrite {
        return Err(NtStatus::ACCESS_DENIED.into());
    }
    call.nt.file_notes.set(&path, attributes);
    Ok(1)
}

fn delete_file_a(call: &mut Call<'_>) -> Answer {
    delete(call, Width::Narrow, FileKind::File)
}

fn delete_file_w(call: &mut Call<'_>) -> Answer {
    delete(call, Width::Wide, FileKind::File)
}

fn remove_directory_a(call: &mut Call<'_>) -> Answer {
    delete(call, Width::Narrow, FileKind::Directory)
}

fn remove_directory_w(call: &mut Call<'_>) -> Answer {
    delete(call, Width::Wide, FileKind::Directory)
}

fn delete(call: &mut Call<'_>, width: Width, kind: FileKind) -> Answer {
    let at = call.ptr(0);
    let (path, info) = call.info_at(at, width)?;
    match (kind, info.kind) {
        (FileKind::File, FileKind::Directory) => return Err(NtStatus::ACCESS_DENIED.into()),
        (FileKind::Directory, FileKind::File) => return Err(NtStatus::NOT_A_DIRECTORY.into()),
        (FileKind::File, FileKind::File) | (FileKind::Directory, FileKind::Directory) => {}
    }
    // The process has its current folder open.
    if kind == FileKind::Directory && path.same_file(&call.nt.process().current_directory) {
        return Err(NtStatus::SHARING_VIOLATION.into());
    }
    call.delete_path(&path, Some(kind))?;
    Ok(1)
}

fn create_directory_a(call: &mut Call<'_>) -> Answer {
    create_directory(call, Width::Narrow)
}

fn create_directory_w(call: &mut Call<'_>) -> Answer {
    create_directory(call, Width::Wide)
}

/// `CreateDirectory(name, security)`: a missing folder on the way is `ERROR_PATH_NOT_FOUND`.
fn create_directory(call: &mut Call<'_>, width: Width) -> Answer {
    let at = call.ptr(0);
    let path = call.path(at, width)?;
    call.host.create_directory(&path).map_err(|status| match status {
        NtStatus::OBJECT_NAME_NOT_FOUND | NtStatus::NO_SUCH_FILE => NtStatus::OBJECT_PATH_NOT_FOUND,
        status => status,
    })?;
    Ok(1)
}

fn move_file_a(call: &mut Call<'_>) -> Answer {
    move_file(call, Width::Narrow)
}

fn move_file_w(call: &mut Call<'_>) -> Answer {
    move_file(call, Width::Wide)
}

/// `MoveFileEx(from, to, flags)`.
fn move_file(call: &mut Call<'_>, width: Width) -> Answer {
    let (from_at, to_at) = (call.ptr(0), call.ptr(1));
    let flags = if call.argument_count() > 2 { call.u32(2) } else { 0 };
    if flags & DELAY != 0 {
        return Err(NtStatus::ACCESS_DENIED.into());
    }
    let (from, _) = call.info_at(from_at, width)?;
    let to = call.path(to_at, width)?;
    let (from, to) = (call.host.real_path(&from)?, call.host.real_path(&to)?);
    call.check_sharing(&from, Uses::DELETE, Uses::ALL)?;
    call.rename_path(&from, &to, flags & REPLACE_EXISTING != 0).map_err(|status| match status {
        NtStatus::OBJECT_NAME_COLLISION => Failure::Error(Win32Error::ALREADY_EXISTS),
        status => Failure::Status(status),
    })?;
    Ok(1)
}

fn copy_file_a(call: &mut Call<'_>) -> Answer {
    copy_file(call, Width::Narrow)
}

fn copy_file_w(call: &mut Call<'_>) -> Answer {
    copy_file(call, Width::Wide)
}

/// `CopyFile(from, to, fail if it exists)`.
fn copy_file(call: &mut Call<'_>, width: Width) -> Answer {
    let (from_at, to_at, fail) = (call.ptr(0), call.ptr(1), call.u32(2) != 0);
    let (from, info) = call.info_at(from_at, width)?;
    let to = call.path(to_at, width)?;
    if info.kind == FileKind::Directory || call.is_read_only(&to) {
        return Err(NtStatus::ACCESS_DENIED.into());
    }
    if from.same_file(&to) {
        return Err(NtStatus::SHARING_VIOLATION.into());
    }
    let source = call.host.open(&from, FileAccess::Read, Wish::OpenExisting)?;
    let wish = if fail { Wish::CreateNew } else { Wish::CreateAlways };
    let copied = match call.host.open(&to, FileAccess::ReadWrite, wish) {
        Ok(target) => {
            let copied = copy_bytes(call, source, target);
            call.host.close(target);
            copied
        }
        Err(NtStatus::OBJECT_NAME_COLLISION) => Err(Win32Error::FILE_EXISTS.into()),
        Err(status) => Err(status.into()),
    };
    call.host.close(source);
    copied?;
    let made = call.host.info(&to)?;
    call.note_copy((&from, &info), (&to, &made));
    Ok(1)
}

fn copy_bytes(call: &mut Call<'_>, source: HostFile, target: HostFile) -> Result<(), Failure> {
    let mut piece = vec![0; COPY_PIECE_BYTES];
    let mut offset = 0;
    loop {
        let read = call.host.read_at(source, offset, &mut piece)?;
        if read == 0 {
            return Ok(());
        }
        call.host.write_at(target, offset, &piece[..read])?;
        offset += read as u64;
    }
}

fn get_volume_a(call: &mut Call<'_>) -> Answer {
    get_volume(call, Width::Narrow)
}

fn get_volume_w(call: &mut Call<'_>) -> Answer {
    get_volume(call, Width::Wide)
}

/// `GetVolumeInformation(root, *label, room, *serial, *longest name, *flags, *file system, room)`. The root is written
/// with its backslash; a null one means the current drive.
fn get_volume(call: &mut Call<'_>, width: Width) -> Answer {
    let root_at = call.ptr(0);
    let root = call.optional_text(root_at, width)?.unwrap_or_else(|| "C:\\".to_owned());
    if !root.ends_with(['\\', '/']) || call.resolve(&root)? != GuestPath::root() {
        return Err(Win32Error::INVALID_NAME.into());
    }
    put_volume(call, width)
}

/// Stores what is known of the drive: the arguments behind the first one of `GetVolumeInformation`.
pub(super) fn put_volume(call: &mut Call<'_>, width: Width) -> Answer {
    let texts = [(call.ptr(1), call.u32(2), ""), (call.ptr(6), call.u32(7), "NTFS")];
    for (to, room, text) in texts {
        if !to.is_null() && u64::from(room) <= text.len() as u64 {
            return Err(NtStatus::BUFFER_OVERFLOW.into());
        }
    }
    let numbers = [(call.ptr(3), VOLUME_SERIAL), (call.ptr(4), MAX_COMPONENT), (call.ptr(5), VOLUME_FLAGS)];
    for (to, number) in numbers {
        if !to.is_null() {
            call.write_u32(to, number)?;
        }
    }
    for (to, room, text) in texts {
        if !to.is_null() {
            call.put_text(to, room, text, width)?;
        }
    }
    Ok(1)
}
