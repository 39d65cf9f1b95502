//! Page files at work: the transfers that the memory manager asks for, made on the host.

use crate::page_file::{PageFileError, PageFileSpec, PageFiles};
use std::sync::Arc;
use vadose_cpu::ram::GuestRam;
use vadose_facts::ntdef::NtStatus;
use vadose_mm::{PagingTransfer, TransferDirection};
use vadose_nt::PageDevice;

/// Page files of the host, and the RAM that they page for.
#[derive(Debug)]
pub(crate) struct HostPages {
    files: PageFiles,
    ram: Arc<GuestRam>,
    traffic: PageTraffic,
}

/// What moved between RAM and page files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PageTraffic {
    /// Transfers from page files.
    pub(crate) reads: u64,
    /// Pages that they brought.
    pub(crate) pages_read: u64,
    /// Transfers to page files.
    pub(crate) writes: u64,
    /// Pages that they took.
    pub(crate) pages_written: u64,
    /// Transfers that failed, for whatever reason.
    pub(crate) failed: u64,
}

impl HostPages {
    /// Makes the files.
    ///
    /// # Errors
    ///
    /// [`PageFileError`] of the first one that cannot be made.
    pub(crate) fn create(specs: &[PageFileSpec], ram: Arc<GuestRam>) -> Result<Self, PageFileError> {
        Ok(Self { files: PageFiles::create(specs)?, ram, traffic: PageTraffic::default() })
    }

    /// What moved so far.
    pub(crate) const fn traffic(&self) -> PageTraffic {
        self.traffic
    }

    fn try_move(&mut self, transfer: &PagingTransfer) -> Result<(), PageFileError> {
        let file = usize::from(transfer.file);
        // The memory manager counts the pages of a page file from 1.
        let first = u64::from(transfer.first_page) - 1;
        let end = first + transfer.frames.len() as u64;
        if end > self.files.slots(file) {
            self.files.set_size(file, end)?;
        }
        match transfer.direction {
            TransferDirection::Read => self.files.read(file, first, &transfer.frames, &self.ram),
            TransferDirection::Write => self.files.write(file, first, &transfer.frames, &self.ram),
        }
    }
}

impl PageDevice for HostPages {
    fn move_pages(&mut self, transfer: &PagingTransfer) -> Result<(), NtStatus> {
        let pages = transfer.frames.len() as u64;
        match transfer.direction {
            TransferDirection::Read => {
                self.traffic.reads += 1;
                self.traffic.pages_read += pages;
            }
            TransferDirection::Write => {
                self.traffic.writes += 1;
                self.traffic.pages_written += pages;
            }
        }
        self.try_move(transfer).map_err(|error| {
            self.traffic.failed += 1;
            if error.is_disk_full() { NtStatus::DISK_FULL } else { NtStatus::IO_DEVICE_ERROR }
        })
    }
}
