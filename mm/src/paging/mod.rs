//! Paging: pages that leave RAM for a page file and come back, and the steps that keep frames free (SPEC I20 to I36, J11
//! to J17).

mod page_files;
mod read;
mod reserve;
mod store;
mod tables;
mod transfer;
mod work;
mod write;

pub(crate) use page_files::PageFiles;
pub use page_files::{MAX_PAGE_FILES, PageFileError, PageFileUse};
pub(crate) use read::{FailedPage, PagedOut};
pub(crate) use reserve::RESERVE_FRAMES;
pub(crate) use store::CompressedPages;
pub use store::{Compression, StoreUse};
pub(crate) use tables::TableWait;
pub use tables::{Wanted, WantedTable};
pub use transfer::PagingTransfer;
pub(crate) use transfer::PendingPaging;
pub(crate) use work::Water;
pub use work::Work;

use crate::pfn::{ListName, PfnEntry, PfnFlags};
use crate::section::IN_TRANSFER;
use crate::state::Mm;
use vadose_facts::addr::{PAGE_BYTES, Pfn};
use vadose_facts::x86::PhysicalMemory;

/// Whether a page of a page file can be used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SlotState {
    Good,
    Bad,
}

/// A page of a page file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot {
    /// Number of the page file.
    pub file: u8,
    /// Number of the page in it, from 1 on.
    pub page: u32,
}

impl Slot {
    /// Whether it is a page of the compressed store, which is named like one of a page file that does not exist.
    pub const fn is_compressed(self) -> bool {
        self.file == store::STORE_FILE
    }
}

impl<R: PhysicalMemory> Mm<R> {
    /// Adds a page file, as `NtCreatePagingFile` does: the commit limit rises by its initial size, and later, when commit
    /// asks for it, up to its maximum (SPEC J11, J14). Its number comes back.
    ///
    /// # Errors
    ///
    /// [`PageFileError`] for a size that cannot be, or one file too many.
    pub fn add_page_file(&mut self, initial_bytes: u64, maximum_bytes: u64) -> Result<u8, PageFileError> {
        let (initial, maximum) = (initial_bytes / PAGE_BYTES, maximum_bytes / PAGE_BYTES);
        if self.compressed.is_some() && self.page_files.uses().count() + 1 == MAX_PAGE_FILES {
            return Err(PageFileError::TooMany);
        }
        let number = self.page_files.add(initial, maximum, self.edition.pte_format)?;
        self.commit.add_page_file(initial, maximum - initial);
        Ok(number)
    }

    /// Size and use of each page file, by number.
    pub fn page_files(&self) -> Vec<PageFileUse> {
        self.page_files.uses().collect()
    }

    /// Whether a page of a page file, or of the compressed store, holds content.
    pub(crate) fn is_slot_taken(&self, slot: Slot) -> bool {
        if Self::is_stored(slot) { self.holds_stored(slot) } else { self.page_files.is_taken(slot) }
    }

    /// What an entry or a frame says of the page file that holds the content.
    pub(crate) fn slot_in(&self, raw: u64) -> Option<Slot> {
        self.format.page_file_place(raw).map(|(file, page)| Slot { file, page })
    }

    pub(crate) fn free_slot(&mut self, slot: Slot) {
        if Self::is_stored(slot) {
            self.free_stored(slot);
        } else {
            self.page_files.free(slot);
        }
        self.note_slot_freed(slot);
        self.news = true;
    }

    /// The copy of a page in a page file is not wanted any more (SPEC J15): the frame, which keeps the page, is what has
    /// its content now.
    pub(crate) fn forget_copy(&mut self, pfn: Pfn) {
        let original = self.pfn.get(pfn).original_pte;
        if let Some(slot) = self.slot_in(original) {
            self.free_slot(slot);
            let protection = self.format.stored_protection(original);
            self.pfn.get_mut(pfn).original_pte = self.format.demand_zero(protection);
        }
    }

    /// A page that no entry maps any more is given up, with its frame and its copy in a page file. While a transfer
    /// moves it, that waits for the transfer's end.
    pub(crate) fn give_up_waiting(&mut self, pfn: Pfn) {
        if self.pfn.get(pfn).flags.intersects(IN_TRANSFER) {
            self.orphan(pfn);
        } else {
            self.pfn.leave_list(pfn);
            self.free_frame(pfn);
        }
    }

    /// The same for a page that lost its last mapping just now, and is on no list yet.
    pub(crate) fn give_up_unmapped(&mut self, pfn: Pfn) {
        if self.pfn.get(pfn).flags.intersects(IN_TRANSFER) {
            self.orphan(pfn);
        } else {
            self.free_frame(pfn);
        }
    }

    fn orphan(&mut self, pfn: Pfn) {
        let entry = self.pfn.get_mut(pfn);
        entry.flags.insert(PfnFlags::DELETED);
        entry.pte = crate::verb::UNMAPPED;
    }

    /// Frees a frame in no place, and its copy in a page file (SPEC I28).
    pub(crate) fn free_frame(&mut self, pfn: Pfn) {
        if let Some(slot) = self.slot_in(self.pfn.get(pfn).original_pte) {
            self.free_slot(slot);
        }
        self.pfn.enter(pfn, ListName::Free);
        self.note_frame(pfn);
        self.news = true;
    }

    /// Changes a page that is mapped by nobody, and puts it on the list where it belongs then; one that a transfer moves
    /// goes there at the transfer's end.
    pub(crate) fn change_waiting(&mut self, pfn: Pfn, change: impl FnOnce(&mut PfnEntry)) {
        let waits = !self.pfn.get(pfn).flags.intersects(IN_TRANSFER);
        if waits {
            self.pfn.leave_list(pfn);
        }
        change(self.pfn.get_mut(pfn));
        if waits {
            self.retire(pfn);
        }
    }

    /// Puts an unmapped page where its content asks for (SPEC I24). The copy in a page file of one that was modified is
    /// old, and goes; one that a transfer moves waits for its end.
    pub(crate) fn retire(&mut self, pfn: Pfn) {
        let flags = self.pfn.get(pfn).flags;
        if flags.contains(PfnFlags::MODIFIED) && !flags.intersects(IN_TRANSFER) {
            self.forget_copy(pfn);
        }
        self.pfn.retire(pfn);
        self.note_frame(pfn);
        self.news = true;
    }
}
