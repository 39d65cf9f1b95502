//! The outside world as services see it: files by guest path, the console, a clock and entropy.

use crate::path::GuestPath;
use vadose_facts::ntdef::NtStatus;

/// A point in virtual time: 100-nanosecond units since 1601-01-01 UTC, as a `FILETIME`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Moment(u64);

impl Moment {
    /// Units in a millisecond.
    pub const PER_MILLISECOND: u64 = 10_000;

    /// Wraps a count of 100-nanosecond units.
    pub const fn new(units: u64) -> Self {
        Self(units)
    }

    /// The count of 100-nanosecond units.
    pub const fn units(self) -> u64 {
        self.0
    }

    /// Milliseconds from `earlier` to this moment, zero if it is later.
    pub const fn milliseconds_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0) / Self::PER_MILLISECOND
    }
}

/// An open file of the host, by the number that the host gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostFile(u32);

impl HostFile {
    /// Wraps the host's number.
    pub const fn new(raw: u32) -> Self {
        Self(raw)
    }

    /// The host's number.
    pub const fn raw(self) -> u32 {
        self.0
    }
}

/// A stream of the console.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Console {
    /// Standard input.
    Input,
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

/// Which file an open file is, whatever name it was opened by, and as it is now: one that was changed is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileIdentity {
    /// What holds the file.
    pub device: u64,
    /// Its number there.
    pub index: u64,
    /// Its bytes.
    pub size: u64,
    /// When it was last changed: seconds, and nanoseconds of one.
    pub changed: (i64, i64),
}

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileAccess {
    /// Reading.
    Read,
    /// Writing, and reading.
    ReadWrite,
    /// Being mapped as an image: also files outside the readable folders that belong to the program.
    Image,
}

/// What to do when the file exists, and when it does not. The five dispositions of `CreateFile`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wish {
    /// Create it; fail if it exists.
    CreateNew,
    /// Create it, or empty it.
    CreateAlways,
    /// Open it; fail if it does not exist.
    OpenExisting,
    /// Open it, or create it.
    OpenAlways,
    /// Open and empty it; fail if it does not exist.
    TruncateExisting,
}

/// File or folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// A file.
    File,
    /// A folder.
    Directory,
}

/// What is known of a file without opening it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileInfo {
    /// File or folder.
    pub kind: FileKind,
    /// Bytes, 0 for a folder.
    pub size: u64,
    /// Last change. The same in every run: it comes from the virtual clock, not from the host.
    pub modified: Moment,
    /// Whether the guest may write it.
    pub access: FileAccess,
}

/// The room on the guest's disk, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskSpace {
    /// All of it.
    pub total: u64,
    /// What is left.
    pub free: u64,
}

/// One name in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// The name, without its folder.
    pub name: String,
    /// What it is.
    pub info: FileInfo,
}

/// The outside world. Every error is a status that a guest may see; nothing here blocks for a guest's mistake.
pub trait Host {
    /// Opens or creates a file.
    ///
    /// # Errors
    ///
    /// Not there, not allowed, there already, or a folder.
    fn open(&mut self, path: &GuestPath, access: FileAccess, wish: Wish) -> Result<HostFile, NtStatus>;
    /// Closes a file.
    fn close(&mut self, file: HostFile);
    /// Size in bytes.
    ///
    /// # Errors
    ///
    /// The host refuses.
    fn size(&mut self, file: HostFile) -> Result<u64, NtStatus>;
    /// Which file it is.
    ///
    /// # Errors
    ///
    /// The host refuses.
    fn identity(&mut self, file: HostFile) -> Result<FileIdentity, NtStatus>;
    /// Cuts or extends a file with zeros.
    ///
    /// # Errors
    ///
    /// Not open for writing, or the host refuses.
    fn set_size(&mut self, file: HostFile, size: u64) -> Result<(), NtStatus>;
    /// Reads at an offset; fewer bytes than asked means the end of the file.
    ///
    /// # Errors
    ///
    /// The host refuses.
    fn read_at(&mut self, file: HostFile, offset: u64, into: &mut [u8]) -> Result<usize, NtStatus>;
    /// Writes all bytes at an offset, growing the file.
    ///
    /// # Errors
    ///
    /// Not open for writing, or the host refuses.
    fn write_at(&mut self, file: HostFile, offset: u64, from: &[u8]) -> Result<(), NtStatus>;
    /// Describes a file or folder.
    ///
    /// # Errors
    ///
    /// Not there, or not readable.
    fn info(&mut self, path: &GuestPath) -> Result<FileInfo, NtStatus>;
    /// A path as the disk has it: its letters as they are spelled there, its links followed. The last name may be
    /// missing. Two paths lead to one file if this is the same for both, but for the case of letters.
    ///
    /// # Errors
    ///
    /// A folder on the way is missing, or the way leads outside.
    fn real_path(&mut self, path: &GuestPath) -> Result<GuestPath, NtStatus>;
    /// How much fits on the disk.
    fn disk_space(&self) -> DiskSpace;
    /// The names in a folder, sorted.
    ///
    /// # Errors
    ///
    /// Not there, or not a folder.
    fn list(&mut self, folder: &GuestPath) -> Result<Vec<DirectoryEntry>, NtStatus>;
    /// Makes a folder.
    ///
    /// # Errors
    ///
    /// Not allowed, or there already.
    fn create_directory(&mut self, path: &GuestPath) -> Result<(), NtStatus>;
    /// Removes a file, or an empty folder.
    ///
    /// # Errors
    ///
    /// Not allowed, not there, or not empty.
    fn remove(&mut self, path: &GuestPath, kind: FileKind) -> Result<(), NtStatus>;
    /// Renames a file or folder; both places must be writable.
    ///
    /// # Errors
    ///
    /// Not allowed, not there, or the target exists.
    fn rename(&mut self, from: &GuestPath, to: &GuestPath) -> Result<(), NtStatus>;

    /// Reads the console's input; 0 bytes at its end.
    ///
    /// # Errors
    ///
    /// The host refuses.
    fn console_read(&mut self, into: &mut [u8]) -> Result<usize, NtStatus>;
    /// Writes to a console stream.
    ///
    /// # Errors
    ///
    /// The host refuses, or its reader is gone.
    fn console_write(&mut self, stream: Console, from: &[u8]) -> Result<(), NtStatus>;

    /// The virtual time.
    fn now(&self) -> Moment;
    /// When the machine was switched on, in virtual time.
    fn boot_time(&self) -> Moment;
    /// Lets virtual time pass: a program sleeps, or waits for a time.
    fn advance(&mut self, units: u64);
    /// Fills bytes from the run's seed: the same in every run with that seed.
    fn entropy(&mut self, into: &mut [u8]);
}
