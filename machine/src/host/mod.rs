//! The outside world of a guest: the folders it may see, the console, a clock that is the same in every run.
//!
//! The drive `C:` has `C:\work`, the folder that the guest is started in, to read; writable folders at their place in
//! it or, if they lie elsewhere, as `C:\writable\1` and so on; a program from elsewhere as `C:\app\NAME.exe`, and those of
//! further folders in `C:\app2` and so on, whose neighbours can be loaded as DLLs and not read; and `C:\Windows\System32`, which is empty. A link may lead to another
//! place in the same folder of the host and nowhere else.

mod clock;
mod drive;
mod files;
mod mount;
mod quota;
mod status;
mod streams;
#[cfg(test)]
mod tests;

pub use streams::{Deadline, Streams};

use crate::error::MachineError;
use crate::options::MachineOptions;
use clock::{Entropy, VirtualClock};
use drive::{Beside, Drive, Location, Place};
use files::{Changes, OpenFiles};
use mount::{Found, Grant, Opening, fold};
use quota::Quota;
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::Path;
use vadose_facts::ntdef::NtStatus;
use vadose_nt::{
    Console, DirectoryEntry, DiskSpace, FileAccess, FileIdentity, FileInfo, FileKind, GuestPath, Host,
    HostFile, Moment, Wish,
};

/// What the guest is told of its disk: the same on every host.
const DISK_BYTES: u64 = 64 << 30;

/// A guest's world made of some folders of the host and three streams.
pub struct FolderHost {
    drive: Drive,
    files: OpenFiles,
    changes: Changes,
    streams: Streams,
    clock: VirtualClock,
    entropy: Entropy,
    quota: Quota,
}

impl FolderHost {
    /// Opens the folders and looks for the program.
    ///
    /// # Errors
    ///
    /// [`MachineError`]: a folder or the program is not there, is something else, or may not be read.
    pub fn new(options: &MachineOptions, streams: Streams) -> Result<Self, MachineError> {
        Ok(Self {
            drive: Drive::new(options)?,
            files: OpenFiles::default(),
            changes: Changes::default(),
            streams,
            clock: VirtualClock::new(),
            entropy: Entropy::new(options.seed),
            quota: Quota::new(options.disk_limit_bytes),
        })
    }

    /// Where the guest finds the programs, in the order in which they were asked for: in `C:\work`, or as
    /// `C:\app\NAME.exe`.
    pub fn program_paths(&self) -> &[GuestPath] {
        self.drive.programs()
    }

    /// The first of them.
    pub fn program_path(&self) -> &GuestPath {
        &self.drive.programs()[0]
    }

    /// The folder that the guest is started in: `C:\work`.
    pub const fn working_folder(&self) -> &GuestPath {
        self.drive.work()
    }

    /// Files of the host that are open for the guest.
    pub(crate) fn open_files(&self) -> usize {
        self.files.count()
    }

    fn open_in_mount(
        &mut self,
        at: Location,
        found: Found,
        access: FileAccess,
        wish: Wish,
    ) -> Result<HostFile, NtStatus> {
        let mount = self.drive.mount(at.mount);
        let opening = decide(found, mount.grant(), access, wish)?;
        if opening == Opening::Create {
            self.quota.charge_name()?;
        }
        let file = mount.open(&at.path, opening)?;
        match opening {
            Opening::Read | Opening::Write => {}
            Opening::Empty | Opening::Create => self.changes.note(&at, self.clock.now()),
        }
        Ok(self.files.add(file, access, Some(at)))
    }

    fn open_beside(
        &mut self,
        app: usize,
        path: &Path,
        access: FileAccess,
        wish: Wish,
    ) -> Result<HostFile, NtStatus> {
        match (access, wish) {
            (FileAccess::Image, Wish::OpenExisting | Wish::OpenAlways) => {}
            (FileAccess::Image | FileAccess::Read | FileAccess::ReadWrite, _) => {
                return Err(NtStatus::ACCESS_DENIED);
            }
        }
        let folder = self.drive.app_folder(app);
        let file = folder.open(path, Opening::Read)?;
        Ok(self.files.add(file, access, None))
    }

    /// An existing file or folder that may be changed as a whole: not a mount itself.
    fn changeable(&self, path: &GuestPath) -> Result<(Location, Found), NtStatus> {
        let Place::Host(at, found) = self.drive.find(path)? else { return Err(NtStatus::ACCESS_DENIED) };
        match found {
            Found::Missing => return Err(NtStatus::OBJECT_NAME_NOT_FOUND),
            Found::Closed(status) => return Err(status),
            Found::File(_) | Found::Folder => {}
        }
        self.check_grant(&at)?;
        if at.path.as_os_str().is_empty() { Err(NtStatus::ACCESS_DENIED) } else { Ok((at, found)) }
    }

    fn check_grant(&self, at: &Location) -> Result<(), NtStatus> {
        match self.drive.mount(at.mount).grant() {
            Grant::Write => Ok(()),
            Grant::Read => Err(NtStatus::ACCESS_DENIED),
        }
    }

    /// Where a renamed file goes: a free name, or the same file in another case.
    fn rename_target(&self, from: &Location, to: &GuestPath) -> Result<Location, NtStatus> {
        let Place::Host(at, found) = self.drive.find(to)? else { return Err(NtStatus::ACCESS_DENIED) };
        self.check_grant(&at)?;
        match found {
            Found::Missing => Ok(at),
            Found::File(_) | Found::Folder | Found::Closed(_) if at == *from => {
                let name = to.file_name().expect("a place in a mount that is not the mount has a name");
                Ok(Location { path: at.path.with_file_name(name), ..at })
            }
            Found::File(_) | Found::Folder | Found::Closed(_) => Err(NtStatus::OBJECT_NAME_COLLISION),
        }
    }

    fn describe(&self, at: &Location, found: Found) -> Result<FileInfo, NtStatus> {
        let modified = self.changes.of(at).unwrap_or_else(VirtualClock::boot);
        let access = match self.drive.mount(at.mount).grant() {
            Grant::Read => FileAccess::Read,
            Grant::Write => FileAccess::ReadWrite,
        };
        match found {
            Found::Folder => Ok(FileInfo { kind: FileKind::Directory, size: 0, modified, access }),
            Found::File(size) => Ok(FileInfo { kind: FileKind::File, size, modified, access }),
            Found::Missing => Err(NtStatus::OBJECT_NAME_NOT_FOUND),
            Found::Closed(status) => Err(status),
        }
    }

    /// The program is there for all to see; of its neighbours a guest learns nothing but by loading them.
    fn describe_beside(&self, app: usize, path: &Path, which: Beside) -> Result<FileInfo, NtStatus> {
        let folder = self.drive.app_folder(app);
        match (which, folder.look(path)) {
            (Beside::Program, Found::File(size)) => Ok(FileInfo {
                kind: FileKind::File,
                size,
                modified: VirtualClock::boot(),
                access: FileAccess::Image,
            }),
            (Beside::Program | Beside::Neighbour, _) => Err(NtStatus::OBJECT_NAME_NOT_FOUND),
        }
    }

    fn list_mount(&self, at: &Location) -> Result<Vec<DirectoryEntry>, NtStatus> {
        let mut entries = Vec::new();
        for name in self.drive.mount(at.mount).names(&at.path)? {
            let (below, found) = self.drive.step(at, &name)?;
            // What cannot be opened is not shown.
            if let Ok(info) = self.describe(&below, found) {
                entries.push(DirectoryEntry { name, info });
            }
        }
        Ok(entries)
    }

    fn list_shelf(
        &mut self,
        folder: &GuestPath,
        names: Vec<String>,
    ) -> Result<Vec<DirectoryEntry>, NtStatus> {
        let entry = |name: String| {
            let info = self.info(&folder.join(&name)?)?;
            Ok(DirectoryEntry { name, info })
        };
        names.into_iter().map(entry).collect()
    }

    /// A path whose last name is spelled as its folder lists it.
    fn spelled(&mut self, path: &GuestPath) -> Result<GuestPath, NtStatus> {
        let Some(name) = path.file_name() else { return Ok(GuestPath::root()) };
        let folder = self.real_path(&path.parent())?;
        let listed = match self.drive.find(&folder)? {
            Place::Shelf(names) => names.into_iter().find(|listed| fold(listed) == fold(name)),
            Place::Beside(..) | Place::Host(..) => None,
        };
        folder.join(listed.as_deref().unwrap_or(name))
    }

    fn note_change(&mut self, file: HostFile) {
        if let Some(at) = self.files.get(file).ok().and_then(|open| open.location()) {
            self.changes.note(at, self.clock.now());
        }
    }
}

/// Whether and how a file is opened, by what is there and what is allowed.
fn decide(found: Found, grant: Grant, access: FileAccess, wish: Wish) -> Result<Opening, NtStatus> {
    let needs = |opening| match grant {
        Grant::Write => Ok(opening),
        Grant::Read => Err(NtStatus::ACCESS_DENIED),
    };
    match (found, wish) {
        (Found::Folder | Found::File(_), Wish::CreateNew) => Err(NtStatus::OBJECT_NAME_COLLISION),
        (Found::Folder, _) => Err(NtStatus::FILE_IS_A_DIRECTORY),
        (Found::File(_), Wish::CreateAlways | Wish::TruncateExisting) => needs(Opening::Empty),
        (Found::File(_), Wish::OpenExisting | Wish::OpenAlways) => match access {
            FileAccess::ReadWrite => needs(Opening::Write),
            FileAccess::Read | FileAccess::Image => Ok(Opening::Read),
        },
        (Found::Missing, Wish::OpenExisting | Wish::TruncateExisting) => Err(NtStatus::OBJECT_NAME_NOT_FOUND),
        (Found::Missing, Wish::CreateNew | Wish::CreateAlways | Wish::OpenAlways) => needs(Opening::Create),
        (Found::Closed(status), Wish::OpenExisting | Wish::TruncateExisting) => Err(status),
        (Found::Closed(_), Wish::CreateNew | Wish::CreateAlways | Wish::OpenAlways) => {
            Err(NtStatus::ACCESS_DENIED)
        }
    }
}

impl Host for FolderHost {
    fn open(&mut self, path: &GuestPath, access: FileAccess, wish: Wish) -> Result<HostFile, NtStatus> {
        self.files.check_room()?;
        match self.drive.find(path)? {
            Place::Shelf(_) => {
                decide(Found::Folder, Grant::Read, access, wish).and(Err(NtStatus::FILE_IS_A_DIRECTORY))
            }
            Place::Beside(app, path, _) => self.open_beside(app, &path, access, wish),
            Place::Host(at, found) => self.open_in_mount(at, found, access, wish),
        }
    }

    fn close(&mut self, file: HostFile) {
        self.files.remove(file);
    }

    fn size(&mut self, file: HostFile) -> Result<u64, NtStatus> {
        self.files.get(file)?.size()
    }

    fn identity(&mut self, file: HostFile) -> Result<FileIdentity, NtStatus> {
        self.files.get(file)?.identity()
    }

    fn set_size(&mut self, file: HostFile, size: u64) -> Result<(), NtStatus> {
        let open = self.files.get(file)?;
        self.quota.charge(size.saturating_sub(open.size()?))?;
        open.set_size(size)?;
        self.note_change(file);
        Ok(())
    }

    fn read_at(&mut self, file: HostFile, offset: u64, into: &mut [u8]) -> Result<usize, NtStatus> {
        self.files.get(file)?.read_at(offset, into)
    }

    fn write_at(&mut self, file: HostFile, offset: u64, from: &[u8]) -> Result<(), NtStatus> {
        let open = self.files.get(file)?;
        // A write beyond the end fills the gap with zeros.
        let gap = offset.saturating_sub(open.size()?);
        self.quota.charge(gap.saturating_add(from.len() as u64))?;
        open.write_at(offset, from)?;
        self.note_change(file);
        Ok(())
    }

    fn info(&mut self, path: &GuestPath) -> Result<FileInfo, NtStatus> {
        match self.drive.find(path)? {
            Place::Shelf(_) => Ok(FileInfo {
                kind: FileKind::Directory,
                size: 0,
                modified: VirtualClock::boot(),
                access: FileAccess::Read,
            }),
            Place::Beside(app, path, which) => self.describe_beside(app, &path, which),
            Place::Host(at, found) => self.describe(&at, found),
        }
    }

    fn real_path(&mut self, path: &GuestPath) -> Result<GuestPath, NtStatus> {
        match self.drive.find(path)? {
            Place::Host(at, Found::File(_) | Found::Folder) => {
                let mount = self.drive.mount(at.mount);
                let real = Location { path: mount.resolved(&at.path)?, ..at };
                Ok(self.drive.guest_path(&real).unwrap_or_else(|| path.clone()))
            }
            Place::Host(_, Found::Missing | Found::Closed(_)) | Place::Shelf(_) | Place::Beside(..) => {
                self.spelled(path)
            }
        }
    }

    fn disk_space(&self) -> DiskSpace {
        DiskSpace { total: DISK_BYTES, free: self.quota.left().min(DISK_BYTES) }
    }

    fn list(&mut self, folder: &GuestPath) -> Result<Vec<DirectoryEntry>, NtStatus> {
        let mut entries = match self.drive.find(folder)? {
            Place::Shelf(names) => self.list_shelf(folder, names)?,
            Place::Beside(..) | Place::Host(_, Found::File(_)) => return Err(NtStatus::NOT_A_DIRECTORY),
            Place::Host(at, Found::Folder) => self.list_mount(&at)?,
            Place::Host(_, Found::Missing) => return Err(NtStatus::OBJECT_NAME_NOT_FOUND),
            Place::Host(_, Found::Closed(status)) => return Err(status),
        };
        entries.sort_by_cached_key(|entry| (fold(&entry.name), entry.name.clone()));
        Ok(entries)
    }

    fn create_directory(&mut self, path: &GuestPath) -> Result<(), NtStatus> {
        let Place::Host(at, found) = self.drive.find(path)? else {
            return Err(NtStatus::OBJECT_NAME_COLLISION);
        };
        match found {
            Found::Folder | Found::File(_) => return Err(NtStatus::OBJECT_NAME_COLLISION),
            Found::Closed(_) => return Err(NtStatus::ACCESS_DENIED),
            Found::Missing => self.check_grant(&at)?,
        }
        self.quota.charge_name()?;
        self.drive.mount(at.mount).create_folder(&at.path)?;
        self.changes.note(&at, self.clock.now());
        Ok(())
    }

    fn remove(&mut self, path: &GuestPath, kind: FileKind) -> Result<(), NtStatus> {
        let (at, found) = self.changeable(path)?;
        let mount = self.drive.mount(at.mount);
        match (kind, found) {
            (FileKind::File, Found::Folder) => return Err(NtStatus::FILE_IS_A_DIRECTORY),
            (FileKind::Directory, Found::Folder) => mount.remove_folder(&at.path)?,
            (FileKind::Directory, Found::File(_) | Found::Missing | Found::Closed(_)) => {
                return Err(NtStatus::NOT_A_DIRECTORY);
            }
            (FileKind::File, Found::File(_) | Found::Missing | Found::Closed(_)) => {
                mount.remove_file(&at.path)?
            }
        }
        self.changes.forget(&at);
        Ok(())
    }

    fn rename(&mut self, from: &GuestPath, to: &GuestPath) -> Result<(), NtStatus> {
        let (old, _) = self.changeable(from)?;
        let new = self.rename_target(&old, to)?;
        self.drive.mount(old.mount).rename(&old.path, self.drive.mount(new.mount), &new.path)?;
        self.changes.rename(&old, &new);
        Ok(())
    }

    fn console_read(&mut self, into: &mut [u8]) -> Result<usize, NtStatus> {
        loop {
            match self.streams.input.read(into) {
                Ok(count) => return Ok(count),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(status::of(&error)),
            }
        }
    }

    fn console_write(&mut self, stream: Console, from: &[u8]) -> Result<(), NtStatus> {
        let stream = match stream {
            Console::Input => return Err(NtStatus::ACCESS_DENIED),
            Console::Output => &mut self.streams.output,
            Console::Error => &mut self.streams.error,
        };
        stream.write_all(from).and_then(|()| stream.flush()).map_err(|error| status::of(&error))
    }

    fn now(&self) -> Moment {
        self.clock.now()
    }

    fn boot_time(&self) -> Moment {
        VirtualClock::boot()
    }

    fn advance(&mut self, units: u64) {
        self.clock.advance(units);
    }

    fn entropy(&mut self, into: &mut [u8]) {
        self.entropy.fill(into);
    }
}
