//! What is known of a file, in the structures that several services answer with.

use crate::host::{FileInfo, FileKind};
use crate::kernel::Kernel;
use crate::path::GuestPath;
use vadose_facts::ntdef::NtStatus;

/// Serial number of the drive.
pub(crate) const VOLUME_SERIAL: u32 = 0x5644_5331;
/// Allocation sizes are multiples of this.
pub(crate) const CLUSTER_BYTES: u64 = 4096;

/// What is known of a file or a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// `FILE_ATTRIBUTE_*`.
    pub(crate) attributes: u32,
    /// Creation, last access, last write, change.
    pub(crate) times: [u64; 4],
    /// Bytes.
    pub(crate) size: u64,
    /// File or folder.
    pub(crate) kind: FileKind,
    /// Its number on the drive.
    pub(crate) index: u64,
}

/// A number for a file by its real path: the same for the same file, and hardly ever for two (FNV-1a).
pub(crate) fn file_index(path: &GuestPath) -> u64 {
    let lower = path.as_str().to_lowercase();
    lower
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

impl Facts {
    /// Bytes that the file takes on the disk.
    pub(crate) const fn allocation(&self) -> u64 {
        self.size.next_multiple_of(CLUSTER_BYTES)
    }

    fn times_bytes(&self) -> Vec<u8> {
        self.times.map(u64::to_le_bytes).concat()
    }

    /// `FILE_BASIC_INFORMATION`, 40 bytes.
    pub(crate) fn basic(&self) -> Vec<u8> {
        [&self.times_bytes()[..], &self.attributes.to_le_bytes(), &[0; 4]].concat()
    }

    /// `FILE_STANDARD_INFORMATION`, 24 bytes: allocation, size, links, whether it is to be deleted, whether it is a folder.
    pub(crate) fn standard(&self, delete_pending: bool) -> Vec<u8> {
        let sizes = [self.allocation(), self.size].map(u64::to_le_bytes).concat();
        let folder = u8::from(self.kind == FileKind::Directory);
        let links = u32::from(!delete_pending);
        [&sizes[..], &links.to_le_bytes(), &[u8::from(delete_pending), folder, 0, 0]].concat()
    }

    /// `FILE_NETWORK_OPEN_INFORMATION`, 56 bytes.
    pub(crate) fn network_open(&self) -> Vec<u8> {
        let sizes = [self.allocation(), self.size].map(u64::to_le_bytes).concat();
        [&self.times_bytes()[..], &sizes, &self.attributes.to_le_bytes(), &[0; 4]].concat()
    }

    /// `FILE_STAT_INFORMATION`, 72 bytes: number, times, sizes, attributes, reparse tag, links, rights.
    pub(crate) fn stat(&self, rights: u32) -> Vec<u8> {
        let sizes = [self.allocation(), self.size].map(u64::to_le_bytes).concat();
        let numbers = [self.attributes, 0, 1, rights].map(u32::to_le_bytes).concat();
        [&self.index.to_le_bytes()[..], &self.times_bytes(), &sizes, &numbers].concat()
    }

    /// The part that entries of folders begin with, behind their two numbers: times, size, allocation, attributes.
    pub(crate) fn entry(&self) -> Vec<u8> {
        let sizes = [self.size, self.allocation()].map(u64::to_le_bytes).concat();
        [&self.times_bytes()[..], &sizes, &self.attributes.to_le_bytes()].concat()
    }
}

impl Kernel<'_> {
    /// What is known of a file that the host has described.
    pub(crate) fn facts_of(&self, path: &GuestPath, info: &FileInfo) -> Facts {
        let [created, accessed, written] = self.times_of(path, info);
        Facts {
            attributes: self.attributes_of(path, info),
            times: [created, accessed, written, written],
            size: info.size,
            kind: info.kind,
            index: file_index(path),
        }
    }

    /// What is known of the file at a path.
    ///
    /// # Errors
    ///
    /// The host's.
    pub(crate) fn facts_at(&mut self, path: &GuestPath) -> Result<Facts, NtStatus> {
        let path = self.host.real_path(path)?;
        let info = self.host.info(&path)?;
        Ok(self.facts_of(&path, &info))
    }
}
