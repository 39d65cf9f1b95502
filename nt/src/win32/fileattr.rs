//! Files by name: attributes, deleting, moving, copying, folders.

use super::file::VOLUME_SERIAL;
use super::text::Width;
use crate::UserPtr;
use crate::host::{FileAccess, FileInfo, FileKind, HostFile, Moment, Wish};
use crate::path::GuestPath;
use crate::service::{Answer, Arg, Call, Export, Failure};
use std::collections::BTreeMap;
use vadose_facts::ntdef::{NtStatus, Win32Error};

use Arg::{U32, Word};

/// `INVALID_FILE_ATTRIBUTES`.
const INVALID: u64 = 0xffff_ffff;
const READ_ONLY: u32 = 0x1;
const DIRECTORY: u32 = 0x10;
const ARCHIVE: u32 = 0x20;
const NORMAL: u32 = 0x80;
/// Attributes that a program can set: read-only, hidden, system, archive, temporary, offline, not indexed.
const SETTABLE: u32 = 0x1 | 0x2 | 0x4 | 0x20 | 0x100 | 0x1000 | 0x2000;
/// Files whose attributes are remembered at most; further ones keep what they have.
const MAX_NOTES: usize = 1 << 16;
/// `MOVEFILE_REPLACE_EXISTING`.
const REPLACE_EXISTING: u32 = 0x1;
/// `MOVEFILE_DELAY_UNTIL_REBOOT`: there is no reboot.
const DELAY: u32 = 0x4;
/// Names that are tried for a file that is put aside.
const MAX_ASIDE: u32 = 1000;
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

/// Attributes and times that the program set, by path in lower case: the host keeps none, so they last as long as the
/// process.
#[derive(Debug, Default)]
pub(crate) struct FileNotes(BTreeMap<String, Note>);

/// What the program set of one file.
#[derive(Clone, Copy, Debug, Default)]
struct Note {
    attributes: Option<u32>,
    created: Option<u64>,
    accessed: Option<u64>,
    /// The time of the last write, and the host's time when it was set: a write since then counts instead.
    written: Option<(u64, Moment)>,
}

impl FileNotes {
    fn key(path: &GuestPath) -> String {
        path.as_str().to_lowercase()
    }

    fn get(&self, path: &GuestPath) -> Note {
        self.0.get(&Self::key(path)).copied().unwrap_or_default()
    }

    fn put(&mut self, path: &GuestPath, note: Note) {
        let key = Self::key(path);
        if self.0.len() < MAX_NOTES || self.0.contains_key(&key) {
            self.0.insert(key, note);
        }
    }

    fn set(&mut self, path: &GuestPath, attributes: u32) {
        let note = Note { attributes: Some(attributes & SETTABLE), ..self.get(path) };
        self.put(path, note);
    }

    fn forget(&mut self, path: &GuestPath) {
        self.0.remove(&Self::key(path));
    }

    /// A file or a folder has another path, and with a folder what is in it.
    fn rename(&mut self, from: &GuestPath, to: &GuestPath) {
        let (from, to) = (Self::key(from), Self::key(to));
        let below = format!("{from}\\");
        let moves = |key: &String| *key == from || key.starts_with(&below);
        let old: Vec<String> = self.0.keys().filter(|key| moves(key)).cloned().collect();
        for key in old {
            let note = self.0.remove(&key).expect("its key was just listed");
            self.0.insert(format!("{to}{}", &key[from.len()..]), note);
        }
    }
}

impl Call<'_> {
    /// The `FILE_ATTRIBUTE_*` bits of a file. A file that the guest may not write is read-only.
    pub(super) fn attributes_of(&self, path: &GuestPath, info: &FileInfo) -> u32 {
        let noted = self.nt.process().win32.file_notes.get(path).attributes;
        match info.kind {
            FileKind::Directory => DIRECTORY | noted.unwrap_or(0),
            FileKind::File => {
                let own = if info.access == FileAccess::ReadWrite { 0 } else { READ_ONLY };
                match noted.unwrap_or(ARCHIVE) | own {
                    0 => NORMAL,
                    attributes => attributes,
                }
            }
        }
    }

    /// When a file was created, read and written.
    pub(super) fn times_of(&self, path: &GuestPath, info: &FileInfo) -> [u64; 3] {
        let note = self.nt.process().win32.file_notes.get(path);
        let modified = info.modified.units();
        let written = note.written.filter(|(_, host)| *host == info.modified).map(|(time, _)| time);
        [note.created, note.accessed, written].map(|time| time.unwrap_or(modified))
    }

    /// Remembers times of a file; `None` leaves one as it is.
    pub(super) fn note_times(&mut self, path: &GuestPath, info: &FileInfo, times: [Option<u64>; 3]) {
        let notes = &mut self.nt.process_mut().win32.file_notes;
        let old = notes.get(path);
        let [created, accessed, written] = times;
        let note = Note {
            created: created.or(old.created),
            accessed: accessed.or(old.accessed),
            written: written.map(|time| (time, info.modified)).or(old.written),
            ..old
        };
        notes.put(path, note);
    }

    /// Whether the program made the file read-only.
    pub(super) fn is_read_only(&self, path: &GuestPath) -> bool {
        let noted = self.nt.process().win32.file_notes.get(path).attributes;
        noted.is_some_and(|noted| noted & READ_ONLY != 0)
    }

    /// What a `WIN32_FILE_ATTRIBUTE_DATA` is and a `WIN32_FIND_DATA` begins with.
    pub(super) fn find_data_head(&self, path: &GuestPath, info: &FileInfo) -> [u8; 36] {
        let mut head = [0; 36];
        head[..4].copy_from_slice(&self.attributes_of(path, info).to_le_bytes());
        for (place, time) in (4..).step_by(8).zip(self.times_of(path, info)) {
            head[place..place + 8].copy_from_slice(&time.to_le_bytes());
        }
        head[28..32].copy_from_slice(&((info.size >> 32) as u32).to_le_bytes());
        head[32..36].copy_from_slice(&(info.size as u32).to_le_bytes());
        head
    }

    /// Remembers the attributes of a new file, the low bits of `CreateFile`'s flags.
    pub(super) fn note_attributes(&mut self, path: &GuestPath, flags: u32) {
        let attributes = flags & SETTABLE & !ARCHIVE;
        let notes = &mut self.nt.process_mut().win32.file_notes;
        notes.forget(path);
        if attributes != 0 {
            notes.set(path, attributes | ARCHIVE);
        }
    }

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
    call.nt.process_mut().win32.file_notes.set(&path, attributes);
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
    if call.is_read_only(&path) {
        return Err(NtStatus::ACCESS_DENIED.into());
    }
    // The process has its current folder open.
    if kind == FileKind::Directory && path.same_file(&call.nt.process().current_directory) {
        return Err(NtStatus::SHARING_VIOLATION.into());
    }
    if kind == FileKind::File && call.is_running(&path) {
        return Err(NtStatus::CANNOT_DELETE.into());
    }
    call.host.remove(&path, kind)?;
    call.nt.process_mut().win32.file_notes.forget(&path);
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
    let (from, source) = call.info_at(from_at, width)?;
    let to = call.path(to_at, width)?;
    match call.host.info(&to) {
        Ok(_) if !from.same_file(&to) && flags & REPLACE_EXISTING == 0 => {
            return Err(Win32Error::ALREADY_EXISTS.into());
        }
        Ok(target) if !from.same_file(&to) => {
            let folder = [source.kind, target.kind].contains(&FileKind::Directory);
            if folder || call.is_read_only(&to) {
                return Err(NtStatus::ACCESS_DENIED.into());
            }
            replace(call, &from, &to)?;
        }
        Ok(_) | Err(_) => call.host.rename(&from, &to)?,
    }
    let notes = &mut call.nt.process_mut().win32.file_notes;
    if !from.same_file(&to) {
        notes.forget(&to);
        notes.rename(&from, &to);
    }
    Ok(1)
}

/// Puts a file in the place of another, which is put aside until that has worked.
fn replace(call: &mut Call<'_>, from: &GuestPath, to: &GuestPath) -> Result<(), NtStatus> {
    let aside = aside(call, to)?;
    call.host.rename(to, &aside)?;
    match call.host.rename(from, to) {
        Ok(()) => call.host.remove(&aside, FileKind::File),
        Err(status) => {
            call.host.rename(&aside, to)?;
            Err(status)
        }
    }
}

/// A name beside a file that nothing has.
fn aside(call: &mut Call<'_>, path: &GuestPath) -> Result<GuestPath, NtStatus> {
    for number in 0..MAX_ASIDE {
        let candidate = path.parent().join(&format!("~replaced{number}.tmp"))?;
        match call.host.info(&candidate) {
            Err(NtStatus::OBJECT_NAME_NOT_FOUND | NtStatus::NO_SUCH_FILE) => return Ok(candidate),
            Ok(_) => {}
            Err(status) => return Err(status),
        }
    }
    Err(NtStatus::OBJECT_NAME_COLLISION)
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
    copy_note(call, (&from, &info), &to)?;
    Ok(1)
}

/// A copy has the attributes of its source and the time of its last write.
fn copy_note(
    call: &mut Call<'_>,
    (from, info): (&GuestPath, &FileInfo),
    to: &GuestPath,
) -> Result<(), NtStatus> {
    let [_, _, written] = call.times_of(from, info);
    let made = call.host.info(to)?;
    let notes = &mut call.nt.process_mut().win32.file_notes;
    let attributes = notes.get(from).attributes;
    notes.put(to, Note { attributes, written: Some((written, made.modified)), ..Note::default() });
    Ok(())
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
