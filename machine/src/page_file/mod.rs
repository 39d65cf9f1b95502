//! The real files behind the guest's page files: sparse, private, without a name, gone when the process ends.

mod error;
mod make;
mod spec;
#[cfg(test)]
mod tests;

pub use error::{PageFileError, PageFileOperation};
pub use spec::{MOST_PAGE_FILE_BYTES, MOST_PAGE_FILES, PageFileSpec, PageFileSpecError};

use rustix::fs::{FallocateFlags, fallocate};
use rustix::process::{Resource, getrlimit};
use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use vadose_cpu::{FrameTransferError, GuestRam};
use vadose_facts::addr::{PAGE_BYTES, Pfn};

/// Unit of a file's allocated blocks (`stat(2)`), whatever the file system's own is.
const STAT_BLOCK_BYTES: u64 = 512;

/// The page files of one machine, by their order, from 0. A slot is a page: slot `n` is the page at byte
/// `n * PAGE_BYTES`, and holds zeros until it is written.
///
/// Nobody else can open them, for they have no name, and the host frees them when this value is dropped or its process
/// ends, by whatever signal.
#[derive(Debug)]
pub struct PageFiles {
    files: Vec<PageFile>,
}

#[derive(Debug)]
struct PageFile {
    file: File,
    folder: PathBuf,
    slots: u64,
    maximum_slots: u64,
}

impl PageFiles {
    /// Makes the files, each of its initial size and without any block of the disk yet.
    ///
    /// A file that no place is named for goes to `$TMPDIR`; without it to `/var/tmp`, which is for large files, or to
    /// `/tmp`. Of the latter two a disk comes before a file system in RAM, where a page file would only move pages from
    /// one piece of RAM to another; [`is_in_memory`](Self::is_in_memory) tells where it came to be.
    ///
    /// # Errors
    ///
    /// [`PageFileError`] of the first one that cannot be made: a folder that is not there or cannot be written, a size
    /// that the file system or this user's limit (`ulimit -f`) does not allow, more than [`MOST_PAGE_FILES`].
    pub fn create(specs: &[PageFileSpec]) -> Result<Self, PageFileError> {
        let mut files = Self { files: Vec::with_capacity(specs.len()) };
        for (number, spec) in specs.iter().enumerate() {
            let made = if number < MOST_PAGE_FILES { PageFile::make(spec) } else { Err(too_many(spec)) };
            files.files.push(made.map_err(|(folder, source)| PageFileError {
                file: number,
                folder,
                operation: PageFileOperation::Make,
                source,
            })?);
            files.set_size(number, spec.initial_bytes() / PAGE_BYTES)?;
        }
        Ok(files)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.files.len()
    }

    /// The folder of the host that one is in.
    ///
    /// # Panics
    ///
    /// If there is no such page file, as all functions here.
    pub fn folder(&self, file: usize) -> &Path {
        &self.files[file].folder
    }

    /// Size of one, in slots.
    pub fn slots(&self, file: usize) -> u64 {
        self.files[file].slots
    }

    /// Slots that one may grow to.
    pub fn maximum_slots(&self, file: usize) -> u64 {
        self.files[file].maximum_slots
    }

    /// Bytes of the host's disk that one takes now.
    ///
    /// # Errors
    ///
    /// [`PageFileError`] if the host does not say.
    pub fn host_bytes(&self, file: usize) -> Result<u64, PageFileError> {
        let seen = self.files[file].file.metadata();
        let blocks = seen.map_err(|source| self.error(file, PageFileOperation::Look, source))?.blocks();
        Ok(blocks * STAT_BLOCK_BYTES)
    }

    /// Whether the host keeps one in its RAM, so that it relieves nothing.
    ///
    /// # Errors
    ///
    /// [`PageFileError`] if the host does not say.
    pub fn is_in_memory(&self, file: usize) -> Result<bool, PageFileError> {
        make::is_in_memory(&self.files[file].file)
            .map_err(|source| self.error(file, PageFileOperation::Look, source))
    }

    /// Makes one larger, or smaller, without taking a block of the disk. What lay past a smaller size is lost.
    ///
    /// # Errors
    ///
    /// [`PageFileError`], and the size is as before: the file system or the user's limit does not allow it.
    ///
    /// # Panics
    ///
    /// If the size is above the file's maximum.
    pub fn set_size(&mut self, file: usize, slots: u64) -> Result<(), PageFileError> {
        assert!(slots <= self.files[file].maximum_slots, "page file {file} stays below its maximum");
        let size_bytes = slots * PAGE_BYTES;
        let set = within_limit(size_bytes).and_then(|()| self.files[file].file.set_len(size_bytes));
        set.map_err(|source| self.error(file, PageFileOperation::Resize { size_bytes }, source))?;
        self.files[file].slots = slots;
        Ok(())
    }

    /// Writes frames of guest RAM, in their order, to consecutive slots.
    ///
    /// # Errors
    ///
    /// [`PageFileError`]: the disk is [full](PageFileError::is_disk_full) or fails. Slots that end before the offset it
    /// names hold their frames, and what the other slots hold is not known.
    ///
    /// # Panics
    ///
    /// If the slots are not all in the file, or a frame is not in RAM.
    pub fn write(
        &self,
        file: usize,
        first_slot: u64,
        frames: &[Pfn],
        ram: &GuestRam,
    ) -> Result<(), PageFileError> {
        let start = self.start_of(file, first_slot, frames.len() as u64);
        let moved = ram.write_frames(self.files[file].file.as_fd(), start, frames);
        moved.map_err(|FrameTransferError { moved_bytes, source }| {
            let offset_bytes = start + moved_bytes;
            self.error(file, PageFileOperation::Write { offset_bytes }, source)
        })
    }

    /// Reads consecutive slots into frames of guest RAM, in their order.
    ///
    /// # Errors
    ///
    /// [`PageFileError`]: the disk fails. Frames whose slots end before the offset it names have come, and what the
    /// other frames hold is not known.
    ///
    /// # Panics
    ///
    /// If the slots are not all in the file, or a frame is not in RAM.
    pub fn read(
        &self,
        file: usize,
        first_slot: u64,
        frames: &[Pfn],
        ram: &GuestRam,
    ) -> Result<(), PageFileError> {
        let start = self.start_of(file, first_slot, frames.len() as u64);
        let moved = ram.read_frames(self.files[file].file.as_fd(), start, frames);
        moved.map_err(|FrameTransferError { moved_bytes, source }| {
            let offset_bytes = start + moved_bytes;
            self.error(file, PageFileOperation::Read { offset_bytes }, source)
        })
    }

    /// Gives the blocks of consecutive slots back to the host, where its file system can do that. They hold zeros then,
    /// or what they held.
    ///
    /// # Errors
    ///
    /// [`PageFileError`] if the file system can and fails.
    ///
    /// # Panics
    ///
    /// If the slots are not all in the file.
    pub fn punch(&self, file: usize, first_slot: u64, slots: u64) -> Result<(), PageFileError> {
        let offset_bytes = self.start_of(file, first_slot, slots);
        if slots == 0 {
            return Ok(());
        }
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match fallocate(&self.files[file].file, hole, offset_bytes, slots * PAGE_BYTES) {
            Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(()),
            Err(refusal) => Err(self.error(file, PageFileOperation::Punch { offset_bytes }, refusal.into())),
        }
    }

    /// First byte of slots that are all in the file.
    fn start_of(&self, file: usize, first_slot: u64, slots: u64) -> u64 {
        let end = first_slot.checked_add(slots).expect("slots are counted in 32 bits");
        let there = self.files[file].slots;
        assert!(end <= there, "slots {first_slot:#x}..{end:#x} are in page file {file} of {there:#x} slots");
        first_slot * PAGE_BYTES
    }

    fn error(&self, file: usize, operation: PageFileOperation, source: io::Error) -> PageFileError {
        PageFileError { file, folder: self.files[file].folder.clone(), operation, source }
    }
}

impl PageFile {
    /// A file of no size yet, or the folder that holds none and why.
    fn make(spec: &PageFileSpec) -> Result<Self, (PathBuf, io::Error)> {
        let folders = match spec.folder() {
            Some(place) => vec![make::folder_of(place).map_err(|refusal| (place.to_owned(), refusal))?],
            None => make::default_folders(std::env::var_os("TMPDIR")),
        };
        let mut refused = None;
        for folder in folders {
            match make::make(&folder) {
                Ok(file) => {
                    let maximum_slots = spec.maximum_bytes() / PAGE_BYTES;
                    return Ok(Self { file, folder, slots: 0, maximum_slots });
                }
                Err(refusal) => refused = refused.or(Some((folder, refusal))),
            }
        }
        Err(refused.expect("at least one folder was tried"))
    }
}

fn too_many(spec: &PageFileSpec) -> (PathBuf, io::Error) {
    let reason = format!("there can be {MOST_PAGE_FILES} page files at most");
    let folder = spec.folder().unwrap_or(Path::new(".")).to_owned();
    (folder, io::Error::new(io::ErrorKind::InvalidInput, reason))
}

/// Refuses a size above the user's limit on files. The host would end the whole process by a signal for trying.
fn within_limit(size_bytes: u64) -> io::Result<()> {
    match getrlimit(Resource::Fsize).current {
        Some(limit) if size_bytes > limit => Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("files of this user may be {limit} bytes long at most (ulimit -f)"),
        )),
        Some(_) | None => Ok(()),
    }
}
