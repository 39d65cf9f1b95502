//! The end of a machine at any moment: its process is ended, and the proof that nothing of it is left.

use crate::host::FolderHost;
use crate::machine::Machine;
use std::fmt;
use std::sync::Arc;
use vadose_cpu::ram::GuestRam;
use vadose_mm::{AuditError, Mm};

/// What of a machine is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Frames that cannot be had at once, without those of the store of compressed pages, which may keep an empty one.
    pub frames: u64,
    /// Compressed pages.
    pub compressed_pages: u64,
    /// Pages of commit charge.
    pub commit_pages: u64,
    /// Pages of page files that hold content.
    pub page_file_pages: u64,
    /// Pages of the kernel's pool, where prototype entries are.
    pub pool_pages: u64,
    /// Pages that the kernel keeps for good: its page tables among them, which grow with the pool and stay.
    pub kernel_pages: u64,
    /// Files of the host that are open for the guest.
    pub open_files: usize,
}

/// A machine that did not end well: our own mistake, never the guest's.
#[derive(Debug, thiserror::Error)]
pub enum ShutDownError {
    /// The memory manager's records disagree.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The process left something behind.
    #[error("the process left something behind: {left}, instead of {expected}")]
    Left {
        /// What is in use.
        left: Usage,
        /// What was in use before there was a process, and the page tables that the kernel's half has since.
        expected: Usage,
    },
}

impl Usage {
    pub(crate) fn of(mm: &Mm<Arc<GuestRam>>, host: &FolderHost) -> Self {
        let counters = mm.counters();
        let files = mm.page_files();
        let store = mm.compressed();
        Self {
            frames: counters.frames.total()
                - counters.frames.available()
                - store.map_or(0, |used| used.frames),
            compressed_pages: store.map_or(0, |used| used.pages),
            commit_pages: counters.commit.charged_pages(),
            page_file_pages: files.iter().map(|file| u64::from(file.used_pages)).sum(),
            pool_pages: counters.kernel.paged_pages,
            kernel_pages: counters.kernel.nonpaged_pages,
            open_files: host.open_files(),
        }
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { frames, compressed_pages, commit_pages, .. } = self;
        let Self { page_file_pages, pool_pages, kernel_pages, open_files, .. } = self;
        write!(
            f,
            "{frames} frames, {compressed_pages} compressed pages, {commit_pages} pages of commit charge, "
        )?;
        write!(f, "{page_file_pages} pages of page files")?;
        write!(
            f,
            " and {pool_pages} of pool are in use, the kernel has {kernel_pages}, {open_files} files are open"
        )
    }
}

impl Machine {
    /// What is in use now.
    pub fn usage(&self) -> Usage {
        Usage::of(&self.mm, &self.host)
    }

    /// Ends the process wherever it is, and proves that nothing of it is left: no frame, no page of a page file, no
    /// charge, no open file. What it stored to views of files reaches them; the page files go with the machine.
    ///
    /// # Errors
    ///
    /// [`ShutDownError`] says what is left, or what disagrees.
    pub fn shut_down(mut self) -> Result<(), ShutDownError> {
        let left: Vec<u32> = self.nt().living_processes().map(|process| process.pid).collect();
        for pid in left {
            self.kernel().end_process(pid);
        }
        self.kernel().drop_unused_images();
        self.audit()?;
        let (left, booted) = (self.usage(), self.booted);
        let grown = left.kernel_pages - booted.kernel_pages;
        let expected = Usage {
            frames: booted.frames + grown,
            commit_pages: booted.commit_pages + grown,
            kernel_pages: left.kernel_pages,
            ..booted
        };
        if left == expected { Ok(()) } else { Err(ShutDownError::Left { left, expected }) }
    }
}
