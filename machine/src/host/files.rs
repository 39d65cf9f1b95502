//! The guest's open files, by number, and when the guest last changed a file.

use super::drive::Location;
use super::status;
use cap_std::fs::{File, FileExt, MetadataExt};
use std::collections::{BTreeMap, HashMap};
use vadose_facts::ntdef::NtStatus;
use vadose_nt::{FileAccess, FileIdentity, HostFile, Moment};

/// Files open at once: fewer than the 1024 that a process of the host usually may have.
const MAX_FILES: usize = 768;

/// An open file.
#[derive(Debug)]
pub(super) struct OpenFile {
    file: File,
    access: FileAccess,
    /// Where it was opened, if that is a place that can change.
    location: Option<Location>,
}

/// Open files by number.
#[derive(Debug, Default)]
pub(super) struct OpenFiles {
    files: BTreeMap<u32, OpenFile>,
    next: u32,
}

impl OpenFiles {
    /// Fails before the host would.
    pub(super) fn check_room(&self) -> Result<(), NtStatus> {
        if self.files.len() < MAX_FILES { Ok(()) } else { Err(NtStatus::INSUFFICIENT_RESOURCES) }
    }

    pub(super) fn add(&mut self, file: File, access: FileAccess, location: Option<Location>) -> HostFile {
        while self.files.contains_key(&self.next) {
            self.next = self.next.wrapping_add(1);
        }
        let number = self.next;
        self.next = number.wrapping_add(1);
        self.files.insert(number, OpenFile { file, access, location });
        HostFile::new(number)
    }

    pub(super) fn remove(&mut self, file: HostFile) {
        self.files.remove(&file.raw());
    }

    pub(super) fn count(&self) -> usize {
        self.files.len()
    }

    pub(super) fn get(&self, file: HostFile) -> Result<&OpenFile, NtStatus> {
        self.files.get(&file.raw()).ok_or(NtStatus::INVALID_HANDLE)
    }
}

impl OpenFile {
    pub(super) fn size(&self) -> Result<u64, NtStatus> {
        self.file.metadata().map(|metadata| metadata.len()).map_err(|error| status::of(&error))
    }

    pub(super) fn identity(&self) -> Result<FileIdentity, NtStatus> {
        let metadata = self.file.metadata().map_err(|error| status::of(&error))?;
        Ok(FileIdentity {
            device: metadata.dev(),
            index: metadata.ino(),
            size: metadata.size(),
            changed: (metadata.mtime(), metadata.mtime_nsec()),
        })
    }

    pub(super) fn set_size(&self, size: u64) -> Result<(), NtStatus> {
        self.check_writable()?;
        self.file.set_len(size).map_err(|error| status::of(&error))
    }

    /// Reads until the bytes are all there or the file ends.
    pub(super) fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<usize, NtStatus> {
        let mut done = 0;
        while done < into.len() {
            let at = offset.checked_add(done as u64).ok_or(NtStatus::INVALID_PARAMETER)?;
            match self.file.read_at(&mut into[done..], at) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(status::of(&error)),
            }
        }
        Ok(done)
    }

    pub(super) fn write_at(&self, offset: u64, from: &[u8]) -> Result<(), NtStatus> {
        self.check_writable()?;
        offset.checked_add(from.len() as u64).ok_or(NtStatus::INVALID_PARAMETER)?;
        self.file.write_all_at(from, offset).map_err(|error| status::of(&error))
    }

    pub(super) const fn location(&self) -> Option<&Location> {
        self.location.as_ref()
    }

    fn check_writable(&self) -> Result<(), NtStatus> {
        match self.access {
            FileAccess::ReadWrite => Ok(()),
            FileAccess::Read | FileAccess::Image => Err(NtStatus::ACCESS_DENIED),
        }
    }
}

/// When the guest last changed which file, in virtual time.
#[derive(Debug, Default)]
pub(super) struct Changes {
    moments: HashMap<Location, Moment>,
}

impl Changes {
    pub(super) fn note(&mut self, location: &Location, at: Moment) {
        self.moments.insert(location.clone(), at);
    }

    pub(super) fn of(&self, location: &Location) -> Option<Moment> {
        self.moments.get(location).copied()
    }

    pub(super) fn forget(&mut self, location: &Location) {
        self.moments.remove(location);
    }

    /// Follows a file or a folder with all that is in it.
    pub(super) fn rename(&mut self, from: &Location, to: &Location) {
        let moved: Vec<Location> = self
            .moments
            .keys()
            .filter(|known| known.mount == from.mount && known.path.starts_with(&from.path))
            .cloned()
            .collect();
        for old in moved {
            let moment = self.moments.remove(&old).expect("the key was just there");
            let below = old.path.strip_prefix(&from.path).expect("it starts with the folder");
            let path = if below.as_os_str().is_empty() { to.path.clone() } else { to.path.join(below) };
            self.moments.insert(Location { mount: to.mount, path }, moment);
        }
    }
}
