//! Opening and making files and folders: what is there decides together with the disposition, then rights and the share
//! modes of those who have the file open already.

use super::rights::{self, Grant};
use crate::executive::objects::{FileIo, Object, ObjectId, OpenFile, Uses};
use crate::host::{FileAccess, FileInfo, FileKind, Wish};
use crate::kernel::Kernel;
use crate::path::GuestPath;
use vadose_facts::ntdef::NtStatus;

/// Options of an open file: the bits of `NtCreateFile`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options(pub(crate) u32);

impl Options {
    /// `FILE_DIRECTORY_FILE`.
    pub(crate) const FOLDER: u32 = 0x1;
    /// `FILE_NO_INTERMEDIATE_BUFFERING`.
    pub(crate) const UNBUFFERED: u32 = 0x8;
    /// `FILE_SYNCHRONOUS_IO_ALERT` and `FILE_SYNCHRONOUS_IO_NONALERT`.
    pub(crate) const SYNCHRONOUS: u32 = 0x30;
    /// `FILE_NON_DIRECTORY_FILE`.
    pub(crate) const NO_FOLDER: u32 = 0x40;
    /// `FILE_DELETE_ON_CLOSE`.
    pub(crate) const DELETE_ON_CLOSE: u32 = 0x1000;
    /// `FILE_OPEN_BY_FILE_ID`.
    pub(crate) const BY_FILE_ID: u32 = 0x2000;
    /// What `FileModeInformation` tells: write through, sequential, unbuffered, both synchronous ones, delete on close.
    const MODE: u32 = 0x103e;

    /// Whether any of these bits is set.
    pub(crate) const fn has(self, bits: u32) -> bool {
        self.0 & bits != 0
    }

    /// How operations complete.
    pub(crate) fn io(self) -> FileIo {
        if self.has(Self::SYNCHRONOUS) { FileIo::Synchronous } else { FileIo::Overlapped { port: None } }
    }

    /// The part that stays with the open file.
    pub(crate) const fn mode(self) -> u32 {
        self.0 & Self::MODE
    }
}

/// What to do when the file is there, and when it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disposition {
    /// Replace it, or make it.
    Supersede,
    /// Open it.
    Open,
    /// Make it.
    Create,
    /// Open it, or make it.
    OpenIf,
    /// Empty it.
    Overwrite,
    /// Empty it, or make it.
    OverwriteIf,
}

impl Disposition {
    /// From `FILE_SUPERSEDE` to `FILE_OVERWRITE_IF`.
    pub(crate) const fn from_guest(raw: u32) -> Option<Self> {
        Some(match raw {
            0 => Self::Supersede,
            1 => Self::Open,
            2 => Self::Create,
            3 => Self::OpenIf,
            4 => Self::Overwrite,
            5 => Self::OverwriteIf,
            _ => return None,
        })
    }
}

/// What was done: the `Information` of the status block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// `FILE_SUPERSEDED`.
    Superseded = 0,
    /// `FILE_OPENED`.
    Opened = 1,
    /// `FILE_CREATED`.
    Created = 2,
    /// `FILE_OVERWRITTEN`.
    Overwritten = 3,
}

/// How a file is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    /// Rights, generic ones too.
    pub(crate) access: u32,
    /// What others may do meanwhile.
    pub(crate) shares: Uses,
    /// What is done by what is there.
    pub(crate) disposition: Disposition,
    /// How it is used.
    pub(crate) options: Options,
    /// Attributes of a new file.
    pub(crate) attributes: u32,
}

/// An open file that has no handle yet.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) file: OpenFile,
    pub(crate) granted: u32,
    pub(crate) done: Done,
}

/// What is done to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plan {
    OpenFolder,
    MakeFolder,
    OpenFile,
    EmptyFile(Done),
    MakeFile,
}

/// What is done, by what is there.
fn decide(found: Option<FileKind>, request: &Request) -> Result<Plan, NtStatus> {
    use Disposition::{Create, Open, OpenIf, Overwrite, OverwriteIf, Supersede};
    let options = request.options;
    match (found, request.disposition) {
        (Some(_), Create) => Err(NtStatus::OBJECT_NAME_COLLISION),
        (Some(FileKind::Directory), _) if options.has(Options::NO_FOLDER) => {
            Err(NtStatus::FILE_IS_A_DIRECTORY)
        }
        (Some(FileKind::Directory), Open | OpenIf) => Ok(Plan::OpenFolder),
        (Some(FileKind::Directory), Supersede | Overwrite | OverwriteIf) => {
            Err(NtStatus::OBJECT_NAME_COLLISION)
        }
        (Some(FileKind::File), _) if options.has(Options::FOLDER) => Err(NtStatus::NOT_A_DIRECTORY),
        (Some(FileKind::File), Open | OpenIf) => Ok(Plan::OpenFile),
        (Some(FileKind::File), Supersede) => Ok(Plan::EmptyFile(Done::Superseded)),
        (Some(FileKind::File), Overwrite | OverwriteIf) => Ok(Plan::EmptyFile(Done::Overwritten)),
        (None, Open | Overwrite) => Err(NtStatus::OBJECT_NAME_NOT_FOUND),
        (None, Create | OpenIf | Supersede | OverwriteIf) if options.has(Options::FOLDER) => {
            Ok(Plan::MakeFolder)
        }
        (None, Create | OpenIf | Supersede | OverwriteIf) => Ok(Plan::MakeFile),
    }
}

impl Plan {
    const fn done(self) -> Done {
        match self {
            Self::OpenFolder | Self::OpenFile => Done::Opened,
            Self::MakeFolder | Self::MakeFile => Done::Created,
            Self::EmptyFile(done) => done,
        }
    }

    /// What it does to a file that others have open, beside what the handle may do later.
    const fn uses(self) -> Uses {
        match self {
            Self::EmptyFile(Done::Superseded) => Uses::DELETE.and(Uses::WRITE),
            Self::EmptyFile(_) => Uses::WRITE,
            Self::OpenFolder | Self::OpenFile | Self::MakeFolder | Self::MakeFile => Uses::NONE,
        }
    }
}

impl Kernel<'_> {
    /// Opens or makes a file or a folder of the drive. Whoever asks gives it a handle or [closes](Self::close_file) it.
    ///
    /// # Errors
    ///
    /// What the disk answers; `OBJECT_NAME_COLLISION`, `FILE_IS_A_DIRECTORY` and `NOT_A_DIRECTORY` by what is there;
    /// `ACCESS_DENIED` for changes of what may only be read; `DELETE_PENDING` and `SHARING_VIOLATION` by who has it open;
    /// `CANNOT_DELETE` for a file that is read-only or runs and shall go when it is closed.
    pub(crate) fn open_path(&mut self, path: &GuestPath, request: &Request) -> Result<Opened, NtStatus> {
        let path = self.host.real_path(path)?;
        let found = self.look_at_path(&path, request)?;
        let plan = decide(found.map(|info| info.kind), request)?;
        if self.files_at(&path).any(|(_, open)| open.delete_pending) {
            return Err(NtStatus::DELETE_PENDING);
        }
        let granted = self.grant(&path, found.as_ref(), plan, request)?;
        let uses = rights::uses(granted).and(plan.uses());
        self.check_sharing(&path, uses, request.shares)?;
        self.check_use_of_image(&path, uses, request.options)?;
        let (file, access) = self.carry_out(&path, plan, granted)?;
        if plan.done() != Done::Opened {
            self.note_attributes(&path, request.attributes);
        }
        let file = OpenFile {
            file,
            access,
            position: 0,
            delete_on_close: request.options.has(Options::DELETE_ON_CLOSE),
            delete_pending: false,
            io: request.options.io(),
            mode: request.options.mode(),
            uses,
            shares: request.shares,
            listing: None,
            notification: 0,
            locks: Vec::new(),
            path,
        };
        Ok(Opened { file, granted, done: plan.done() })
    }

    /// The last handle of an open file is closed. The file goes with the last object that names it, if one of them was
    /// to delete it.
    pub(crate) fn close_file(&mut self, file: &OpenFile) {
        if let Some(number) = file.file {
            self.host.close(number);
        }
        self.drop_locks(file);
        if !file.delete_on_close && !file.delete_pending {
            return;
        }
        let others: Vec<ObjectId> = self.files_at(&file.path).map(|(id, _)| id).collect();
        if others.is_empty() {
            let kind = if file.file.is_some() { FileKind::File } else { FileKind::Directory };
            // The name may be gone already, or the folder have something in it: closing works all the same.
            let gone = self.host.remove(&file.path, kind);
            if gone.is_ok() {
                self.nt.file_notes.forget(&file.path);
            }
        }
        for id in others {
            if let Object::File(open) = self.nt.objects.get_mut(id) {
                open.delete_pending = true;
            }
        }
    }

    /// Everybody who has the file at a path open.
    pub(crate) fn files_at<'k>(
        &'k self,
        path: &'k GuestPath,
    ) -> impl Iterator<Item = (ObjectId, &'k OpenFile)> {
        self.nt.objects.iter().filter_map(|(id, object)| match object {
            Object::File(open) if open.path.same_file(path) => Some((id, open)),
            _other_files_and_kinds => None,
        })
    }

    /// What is at a path. A file that may be loaded as an image and not be described is there for who asks to open it.
    fn look_at_path(&mut self, path: &GuestPath, request: &Request) -> Result<Option<FileInfo>, NtStatus> {
        match self.host.info(path) {
            Ok(info) => Ok(Some(info)),
            Err(NtStatus::OBJECT_NAME_NOT_FOUND | NtStatus::NO_SUCH_FILE) => {
                if request.disposition != Disposition::Open {
                    return Ok(None);
                }
                let Ok(open) = self.host.open(path, FileAccess::Image, Wish::OpenExisting) else {
                    return Ok(None);
                };
                let size = self.host.size(open);
                self.host.close(open);
                let modified = self.host.boot_time();
                Ok(Some(FileInfo { kind: FileKind::File, size: size?, modified, access: FileAccess::Image }))
            }
            Err(status) => Err(status),
        }
    }

    /// The rights that the handle gets.
    fn grant(
        &self,
        path: &GuestPath,
        found: Option<&FileInfo>,
        plan: Plan,
        request: &Request,
    ) -> Result<u32, NtStatus> {
        let grant = match found {
            Some(info) if info.access != FileAccess::ReadWrite => Grant::Read,
            Some(_) | None => Grant::Change,
        };
        let granted = rights::granted(request.access, grant)?;
        let changes = rights::uses(granted).and(plan.uses());
        let deletes = request.options.has(Options::DELETE_ON_CLOSE);
        match (plan, grant) {
            (Plan::EmptyFile(_), Grant::Read) => return Err(NtStatus::ACCESS_DENIED),
            (Plan::EmptyFile(_) | Plan::OpenFile, _) if self.is_read_only(path) => {
                if changes.has(Uses::WRITE) {
                    return Err(NtStatus::ACCESS_DENIED);
                }
                if deletes {
                    return Err(NtStatus::CANNOT_DELETE);
                }
            }
            _plain => {}
        }
        if deletes && grant == Grant::Read { Err(NtStatus::ACCESS_DENIED) } else { Ok(granted) }
    }

    /// Whether the file can be used so beside those who have it open: each must let the others do what they do.
    ///
    /// # Errors
    ///
    /// `SHARING_VIOLATION`.
    pub(crate) fn check_sharing(&self, path: &GuestPath, uses: Uses, shares: Uses) -> Result<(), NtStatus> {
        if uses == Uses::NONE {
            return Ok(());
        }
        let fits = |open: &OpenFile| open.shares.covers(uses) && shares.covers(open.uses);
        let mut others = self.files_at(path).filter(|(_, open)| open.uses != Uses::NONE);
        if others.all(|(_, open)| fits(open)) { Ok(()) } else { Err(NtStatus::SHARING_VIOLATION) }
    }

    /// Nobody writes to a program that runs, or removes it (SPEC F21).
    fn check_use_of_image(&self, path: &GuestPath, uses: Uses, options: Options) -> Result<(), NtStatus> {
        let deletes = options.has(Options::DELETE_ON_CLOSE);
        if !uses.has(Uses::WRITE) && !deletes || !self.is_running(path) {
            return Ok(());
        }
        Err(if deletes { NtStatus::CANNOT_DELETE } else { NtStatus::SHARING_VIOLATION })
    }

    /// Does it to the disk; answers the host's file and what it is open for.
    fn carry_out(
        &mut self,
        path: &GuestPath,
        plan: Plan,
        granted: u32,
    ) -> Result<(Option<crate::host::HostFile>, FileAccess), NtStatus> {
        let writes = rights::uses(granted).has(Uses::WRITE);
        let (access, wish) = match plan {
            Plan::OpenFolder => return Ok((None, FileAccess::Read)),
            Plan::MakeFolder => {
                self.host.create_directory(path)?;
                return Ok((None, FileAccess::Read));
            }
            Plan::OpenFile if writes => (FileAccess::ReadWrite, Wish::OpenExisting),
            Plan::OpenFile => return self.open_to_read(path),
            Plan::EmptyFile(_) => {
                self.check_emptied(path)?;
                (FileAccess::ReadWrite, Wish::TruncateExisting)
            }
            Plan::MakeFile => (FileAccess::ReadWrite, Wish::CreateNew),
        };
        let file = self.host.open(path, access, wish)?;
        if plan != Plan::OpenFile {
            self.forget_images_at(path);
        }
        if let (Plan::EmptyFile(_), Some(mapped)) = (plan, self.nt.files.data_at(path)) {
            self.mm.file_resized(mapped, 0);
        }
        Ok((Some(file), access))
    }

    /// A file beside a program can be loaded and not read: it is opened as an image then, and reads of it fail.
    fn open_to_read(
        &mut self,
        path: &GuestPath,
    ) -> Result<(Option<crate::host::HostFile>, FileAccess), NtStatus> {
        let opened = self.host.open(path, FileAccess::Read, Wish::OpenExisting);
        match opened {
            Err(NtStatus::ACCESS_DENIED) => {
                let file = self.host.open(path, FileAccess::Image, Wish::OpenExisting)?;
                Ok((Some(file), FileAccess::Image))
            }
            opened => Ok((Some(opened?), FileAccess::Read)),
        }
    }

    /// A file whose bytes sections or views show is not emptied (SPEC F50).
    fn check_emptied(&self, path: &GuestPath) -> Result<(), NtStatus> {
        let mapped = self.nt.files.data_at(path).and_then(|mapped| self.mm.mapped_bytes(mapped));
        if mapped.is_some_and(|bytes| bytes > 0) { Err(NtStatus::USER_MAPPED_FILE) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disposition_and_what_is_there_decide() {
        use NtStatus as S;
        let plans = |found, options| {
            let plan = |disposition| {
                let options = Options(options);
                let request = Request { access: 0, shares: Uses::NONE, disposition, options, attributes: 0 };
                decide(found, &request)
            };
            (0..6).map(|raw| plan(Disposition::from_guest(raw).expect("six"))).collect::<Vec<_>>()
        };
        let (there, missing) = (Some(FileKind::File), None);
        assert_eq!(
            plans(there, 0),
            [
                Ok(Plan::EmptyFile(Done::Superseded)),
                Ok(Plan::OpenFile),
                Err(S::OBJECT_NAME_COLLISION),
                Ok(Plan::OpenFile),
                Ok(Plan::EmptyFile(Done::Overwritten)),
                Ok(Plan::EmptyFile(Done::Overwritten)),
            ]
        );
        let (make, no) = (Ok(Plan::MakeFile), Err(S::OBJECT_NAME_NOT_FOUND));
        assert_eq!(plans(missing, 0), [make, no, make, make, no, make]);
        let folder = Ok(Plan::OpenFolder);
        let taken = Err(S::OBJECT_NAME_COLLISION);
        assert_eq!(plans(Some(FileKind::Directory), 0), [taken, folder, taken, folder, taken, taken]);
        let is_folder = Err(S::FILE_IS_A_DIRECTORY);
        let closed = plans(Some(FileKind::Directory), Options::NO_FOLDER);
        assert_eq!(closed, [is_folder, is_folder, taken, is_folder, is_folder, is_folder]);
        assert_eq!(plans(there, Options::FOLDER)[1], Err(S::NOT_A_DIRECTORY));
        assert_eq!(plans(missing, Options::FOLDER)[2..4], [Ok(Plan::MakeFolder); 2]);
        assert_eq!(Disposition::from_guest(6), None);
    }
}
