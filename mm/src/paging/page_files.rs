//! Page files as the memory manager knows them: how large each is, and which of its pages hold content. Whoever owns the
//! bytes moves them (SPEC J14, J15).

use super::Slot;
use vadose_facts::ntdef::SoftwarePteFormat;

/// Most page files of a machine (SPEC J14); one less where memory is compressed, for the store has a number among theirs.
pub const MAX_PAGE_FILES: usize = 16;
/// Words of a bitmap that are searched for a run as long as was asked for, before the best one seen is taken.
const SEARCHED_WORDS: usize = 1024;

/// Size and use of one page file, in pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageFileUse {
    /// Pages it has now.
    pub current_pages: u32,
    /// Pages it may grow to.
    pub maximum_pages: u32,
    /// Pages that hold content.
    pub used_pages: u32,
    /// The most that ever held content.
    pub peak_used_pages: u32,
    /// Pages that could not be written, and are left alone since.
    pub bad_pages: u32,
}

/// Why a page file cannot be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PageFileError {
    /// There are as many as can be.
    #[error("there are {MAX_PAGE_FILES} page files already")]
    TooMany,
    /// Page-table entries of the edition cannot name so many pages.
    #[error("a page file of {pages} pages is too large: entries of this edition name at most {limit}")]
    TooLarge {
        /// What was asked for.
        pages: u64,
        /// What can be named.
        limit: u64,
    },
    /// It would never have a page, or shrink.
    #[error("a page file may grow to one page at least, and its maximum is no less than its initial size")]
    TooSmall,
}

/// One page file. Its pages are counted from 1: an entry without a page number means zeros (SPEC I7).
#[derive(Clone, Debug)]
struct PageFile {
    /// One bit a page, set while it holds content or is bad.
    taken: Vec<u64>,
    uses: PageFileUse,
    /// Where the last run ended.
    next: u32,
}

/// All page files.
#[derive(Clone, Debug, Default)]
pub(crate) struct PageFiles {
    files: Vec<PageFile>,
}

/// A run of free pages that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SlotRun {
    pub(super) first: Slot,
    pub(super) count: u32,
}

/// Pages of a page file that an edition's entries can name.
pub(crate) const fn nameable_pages(format: SoftwarePteFormat) -> u64 {
    match format {
        SoftwarePteFormat::X86 => (1 << 20) - 1,
        SoftwarePteFormat::Wide | SoftwarePteFormat::Wide1803 => u32::MAX as u64 - 1,
    }
}

impl PageFiles {
    /// Adds a file, and returns its number.
    pub(super) fn add(
        &mut self,
        initial: u64,
        maximum: u64,
        format: SoftwarePteFormat,
    ) -> Result<u8, PageFileError> {
        let limit = nameable_pages(format);
        if self.files.len() == MAX_PAGE_FILES {
            return Err(PageFileError::TooMany);
        }
        if maximum > limit {
            return Err(PageFileError::TooLarge { pages: maximum, limit });
        }
        if maximum == 0 || initial > maximum {
            return Err(PageFileError::TooSmall);
        }
        let pages = |count: u64| u32::try_from(count).expect("no more than can be named");
        let uses = PageFileUse {
            current_pages: pages(initial),
            maximum_pages: pages(maximum),
            used_pages: 0,
            peak_used_pages: 0,
            bad_pages: 0,
        };
        self.files.push(PageFile { taken: vec![1], uses, next: 1 });
        Ok(u8::try_from(self.files.len() - 1).expect("few files"))
    }

    /// Size and use of each file, by number.
    pub(crate) fn uses(&self) -> impl Iterator<Item = PageFileUse> + '_ {
        self.files.iter().map(|file| file.uses)
    }

    /// Pages that can be taken without growing.
    pub(crate) fn free_pages(&self) -> u64 {
        self.files.iter().map(|file| u64::from(file.free())).sum()
    }

    /// Makes the files larger by `pages` in all, the first ones first.
    ///
    /// # Panics
    ///
    /// If they may not grow so far.
    pub(super) fn grow(&mut self, pages: u64) {
        let mut left = pages;
        for file in &mut self.files {
            let room = file.uses.maximum_pages - file.uses.current_pages;
            let more = u32::try_from(left.min(u64::from(room))).expect("no more than the room");
            file.uses.current_pages += more;
            left -= u64::from(more);
        }
        assert!(left == 0, "page files grow no further than their maximum");
    }

    /// Takes up to `most` free pages in a row: of the file with the most free pages, behind the last ones taken.
    pub(super) fn take(&mut self, most: u32) -> Option<SlotRun> {
        let roomiest = (0..self.files.len()).rev().max_by_key(|number| self.files[*number].free())?;
        let (first, count) = self.files[roomiest].take(most)?;
        let file = u8::try_from(roomiest).expect("few files");
        Some(SlotRun { first: Slot { file, page: first }, count })
    }

    /// A page's content is not needed any more.
    ///
    /// # Panics
    ///
    /// If it had none.
    pub(super) fn free(&mut self, slot: Slot) {
        let file = &mut self.files[usize::from(slot.file)];
        assert!(file.is_taken(slot.page), "a page of a page file is freed once");
        file.taken[slot.page as usize / 64] &= !(1 << (slot.page % 64));
        file.uses.used_pages -= 1;
    }

    /// A page that could not be written is left alone from now on.
    pub(super) fn spoil(&mut self, slot: Slot) {
        let file = &mut self.files[usize::from(slot.file)];
        assert!(file.is_taken(slot.page), "only a page that was written to can turn out bad");
        file.uses.used_pages -= 1;
        file.uses.bad_pages += 1;
    }

    /// Whether a page holds content.
    pub(crate) fn is_taken(&self, slot: Slot) -> bool {
        self.files.get(usize::from(slot.file)).is_some_and(|file| file.is_taken(slot.page))
    }
}

impl PageFile {
    fn free(&self) -> u32 {
        self.uses.current_pages - self.uses.used_pages - self.uses.bad_pages
    }

    fn is_taken(&self, page: u32) -> bool {
        self.taken.get(page as usize / 64).is_some_and(|word| word >> (page % 64) & 1 != 0)
    }

    fn take(&mut self, most: u32) -> Option<(u32, u32)> {
        if self.free() == 0 {
            return None;
        }
        let (first, count) = self.find(most);
        for page in first..first + count {
            let word = page as usize / 64;
            if self.taken.len() <= word {
                self.taken.resize(word + 1, 0);
            }
            self.taken[word] |= 1 << (page % 64);
        }
        self.uses.used_pages += count;
        self.uses.peak_used_pages = self.uses.peak_used_pages.max(self.uses.used_pages);
        self.next = first + count;
        Some((first, count))
    }

    /// The next run of `most` free pages from where the last one ended, or the longest of those looked at.
    fn find(&self, most: u32) -> (u32, u32) {
        let end = self.uses.current_pages + 1;
        let (mut at, mut best, mut left) = (self.next, (0, 0), end);
        let mut searched = 0;
        while left > 0 && (best.1 == 0 || searched < SEARCHED_WORDS) {
            if at >= end {
                at = 1;
            }
            let used = self.run_at(at, end.min(at.saturating_add(left)), true);
            let free = self.run_at(at + used, end.min(at.saturating_add(used).saturating_add(most)), false);
            if free > best.1 {
                best = (at + used, free);
            }
            if free == most {
                break;
            }
            searched += 1 + (used + free) as usize / 64;
            left = left.saturating_sub((used + free).max(1));
            at += (used + free).max(1);
        }
        assert!(best.1 > 0, "a file with free pages has a run of them");
        best
    }

    /// How many pages from `at` on, and before `end`, are taken, or are free.
    fn run_at(&self, at: u32, end: u32, taken: bool) -> u32 {
        let mut page = at;
        while page < end {
            let word = self.taken.get(page as usize / 64).copied().unwrap_or(0);
            let differ = if taken { !word } else { word } >> (page % 64);
            let same = differ.trailing_zeros().min(64 - page % 64);
            page += same;
            if differ != 0 {
                break;
            }
        }
        page.min(end) - at
    }
}

#[cfg(test)]
#[path = "page_files_tests.rs"]
mod tests;
