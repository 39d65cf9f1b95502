//! The files behind sections: built-in DLLs that are bytes here, and files of the host, as images and as data.

use crate::host::{FileAccess, FileIdentity, Host, HostFile, Wish};
use crate::path::GuestPath;
use std::sync::Arc;
use vadose_facts::ntdef::NtStatus;
use vadose_facts::pe::PeImage;
use vadose_mm::FileId;

/// Files by the [`FileId`] that the memory manager repeats in its transfers. They stay open as long as their sections
/// live; a number is not used again.
#[derive(Debug, Default)]
pub struct SectionFiles {
    files: Vec<Option<SectionFile>>,
}

#[derive(Clone, Debug)]
struct SectionFile {
    path: GuestPath,
    backing: Backing,
    user: User,
}

#[derive(Clone, Debug)]
enum Backing {
    Memory(Arc<[u8]>),
    Host(HostFile),
}

/// What the file is open for.
#[derive(Clone, Debug)]
enum User {
    /// All its image sections (SPEC F18). A file that has changed since is another one, and a built-in DLL has no identity.
    Image { identity: Option<FileIdentity>, image: Arc<PeImage> },
    /// All its data sections (SPEC F18).
    Data(FileAccess),
}

impl SectionFiles {
    /// Adds an image that an open file of the host has.
    pub(crate) fn add_image(
        &mut self,
        path: &GuestPath,
        file: HostFile,
        identity: FileIdentity,
        image: &Arc<PeImage>,
    ) -> FileId {
        let user = User::Image { identity: Some(identity), image: Arc::clone(image) };
        self.add(path, Backing::Host(file), user)
    }

    /// Adds an image whose bytes are here.
    pub(crate) fn add_built_in(
        &mut self,
        path: &GuestPath,
        bytes: Arc<[u8]>,
        image: &Arc<PeImage>,
    ) -> FileId {
        let user = User::Image { identity: None, image: Arc::clone(image) };
        self.add(path, Backing::Memory(bytes), user)
    }

    fn add(&mut self, path: &GuestPath, backing: Backing, user: User) -> FileId {
        self.files.push(Some(SectionFile { path: path.clone(), backing, user }));
        FileId::new(u32::try_from(self.files.len() - 1).expect("few files of sections"))
    }

    /// The image that a file of the host is known as, and its headers.
    pub(crate) fn image_of(&self, wanted: &FileIdentity) -> Option<(FileId, Arc<PeImage>)> {
        self.numbered().find_map(|(number, file)| match &file.user {
            User::Image { identity: Some(identity), image } if identity == wanted => {
                Some((number, Arc::clone(image)))
            }
            User::Image { .. } | User::Data(_) => None,
        })
    }

    /// The image of a built-in DLL, and its headers.
    pub(crate) fn built_in_at(&self, path: &GuestPath) -> Option<(FileId, Arc<PeImage>)> {
        self.numbered().find_map(|(number, file)| match &file.user {
            User::Image { identity: None, image } if file.path.same_file(path) => {
                Some((number, Arc::clone(image)))
            }
            User::Image { .. } | User::Data(_) => None,
        })
    }

    /// The headers of a file that is an image.
    pub(crate) fn image(&self, file: FileId) -> Option<Arc<PeImage>> {
        match &self.entry(file)?.user {
            User::Image { image, .. } => Some(Arc::clone(image)),
            User::Data(_) => None,
        }
    }

    /// The images that a file of the host was opened as by this path.
    pub(crate) fn images_at(&self, path: &GuestPath) -> Vec<FileId> {
        let images = self.numbered().filter(|(_, file)| {
            matches!(file.user, User::Image { identity: Some(_), .. }) && file.path.same_file(path)
        });
        images.map(|(number, _)| number).collect()
    }

    /// The file of a path as data: one number for all its sections, opened for what the most demanding one needs
    /// (SPEC F18).
    ///
    /// # Errors
    ///
    /// The host's status.
    pub fn of_path(
        &mut self,
        host: &mut dyn Host,
        path: &GuestPath,
        access: FileAccess,
    ) -> Result<FileId, NtStatus> {
        let Some(known) = self.data_at(path) else {
            let file = host.open(path, access, Wish::OpenExisting)?;
            return Ok(self.add(path, Backing::Host(file), User::Data(access)));
        };
        let entry = self.files[known.raw() as usize].as_mut().expect("the file was found");
        if access == FileAccess::ReadWrite && !matches!(entry.user, User::Data(FileAccess::ReadWrite)) {
            let file = host.open(path, access, Wish::OpenExisting)?;
            let old = std::mem::replace(&mut entry.backing, Backing::Host(file));
            entry.user = User::Data(access);
            if let Backing::Host(old) = old {
                host.close(old);
            }
        }
        Ok(known)
    }

    /// The number of a path's data, if sections have it open.
    pub fn data_at(&self, path: &GuestPath) -> Option<FileId> {
        self.numbered()
            .find(|(_, file)| matches!(file.user, User::Data(_)) && file.path.same_file(path))
            .map(|(number, _)| number)
    }

    /// Whether it is an image that a file of the host has: not a built-in DLL, and not data.
    pub(crate) fn is_image_on_host(&self, file: FileId) -> bool {
        let entry = self.entry(file);
        entry.is_some_and(|entry| match (&entry.backing, &entry.user) {
            (Backing::Host(_), User::Image { .. }) => true,
            (Backing::Host(_), User::Data(_)) | (Backing::Memory(_), _) => false,
        })
    }

    /// The path of a file.
    pub fn path(&self, file: FileId) -> Option<&GuestPath> {
        self.entry(file).map(|file| &file.path)
    }

    /// A file has another path.
    pub(crate) fn rename(&mut self, from: &GuestPath, to: &GuestPath) {
        for file in self.files.iter_mut().flatten().filter(|file| file.path.same_file(from)) {
            file.path = to.clone();
        }
    }

    /// All files.
    pub fn all(&self) -> Vec<FileId> {
        self.numbered().map(|(number, _)| number).collect()
    }

    fn numbered(&self) -> impl Iterator<Item = (FileId, &SectionFile)> {
        (0..).map(FileId::new).zip(&self.files).filter_map(|(id, file)| Some((id, file.as_ref()?)))
    }

    fn entry(&self, file: FileId) -> Option<&SectionFile> {
        self.files.get(file.raw() as usize).and_then(Option::as_ref)
    }

    fn backing(&self, file: FileId) -> &Backing {
        &self.entry(file).expect("the memory manager repeats our ids").backing
    }

    /// Forgets a file whose section is gone; answers the host's file, to be closed.
    pub fn remove(&mut self, file: FileId) -> Option<HostFile> {
        match self.files.get_mut(file.raw() as usize)?.take()?.backing {
            Backing::Memory(_) => None,
            Backing::Host(file) => Some(file),
        }
    }

    /// Bytes of a file.
    ///
    /// # Errors
    ///
    /// The host's status.
    ///
    /// # Panics
    ///
    /// As [`read`](Self::read).
    pub fn size(&self, host: &mut dyn Host, file: FileId) -> Result<u64, NtStatus> {
        match self.backing(file) {
            Backing::Memory(bytes) => Ok(bytes.len() as u64),
            Backing::Host(file) => host.size(*file),
        }
    }

    /// Makes a file longer.
    ///
    /// # Errors
    ///
    /// The host's status.
    ///
    /// # Panics
    ///
    /// As [`read`](Self::read).
    pub fn set_size(&self, host: &mut dyn Host, file: FileId, size: u64) -> Result<(), NtStatus> {
        match self.backing(file) {
            Backing::Memory(_) => Err(NtStatus::ACCESS_DENIED),
            Backing::Host(file) => host.set_size(*file, size),
        }
    }

    /// Fills all of `into` from a file. A file of data that has become shorter gives zeros for what it lost, but not for
    /// all that was asked for (SPEC E28).
    ///
    /// # Errors
    ///
    /// The host's status; `END_OF_FILE` if the file is shorter than it was.
    ///
    /// # Panics
    ///
    /// If the id is not one of these files: the memory manager repeats ids of live sections.
    pub fn read(
        &self,
        host: &mut dyn Host,
        file: FileId,
        offset: u64,
        into: &mut [u8],
    ) -> Result<(), NtStatus> {
        let entry = self.entry(file).expect("the memory manager repeats our ids");
        let open = match &entry.backing {
            Backing::Memory(bytes) => {
                let start = usize::try_from(offset).map_err(|_| NtStatus::END_OF_FILE)?;
                let end = start.checked_add(into.len()).ok_or(NtStatus::END_OF_FILE)?;
                into.copy_from_slice(bytes.get(start..end).ok_or(NtStatus::END_OF_FILE)?);
                return Ok(());
            }
            Backing::Host(open) => *open,
        };
        match (host.read_at(open, offset, into)?, &entry.user) {
            (done, _) if done == into.len() => Ok(()),
            (1.., User::Data(_)) => Ok(()),
            (_, User::Data(_) | User::Image { .. }) => Err(NtStatus::END_OF_FILE),
        }
    }

    /// Writes bytes to a file, as far as it reaches: a file of data that somebody cut on the host is not made longer by what
    /// was stored to its views (SPEC F51).
    ///
    /// # Errors
    ///
    /// The host's status; `ACCESS_DENIED` for a file that is not written through views.
    ///
    /// # Panics
    ///
    /// As [`read`](Self::read).
    pub fn write(&self, host: &mut dyn Host, file: FileId, offset: u64, from: &[u8]) -> Result<(), NtStatus> {
        match self.backing(file) {
            Backing::Memory(_) => Err(NtStatus::ACCESS_DENIED),
            Backing::Host(file) => {
                let left = host.size(*file)?.saturating_sub(offset);
                let kept = usize::try_from(left).unwrap_or(usize::MAX).min(from.len());
                host.write_at(*file, offset, &from[..kept])
            }
        }
    }
}
