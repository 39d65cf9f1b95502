//! Page files and files as tables of pages.

use std::collections::BTreeMap;
use vadose_facts::addr::{PAGE_BYTES, Pfn};
use vadose_facts::x86::{HeapRam, PhysicalMemory};

const WORDS_OF_PAGE: u64 = PAGE_BYTES / 8;

type Page = Box<[u64]>;

/// A place on a disk: a page file or a file by its number, and a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    PageFile(u8, u32),
    File(u32, u64),
}

/// All that was ever written.
#[derive(Default)]
pub(super) struct Disk {
    pages: BTreeMap<Place, Page>,
}

impl Disk {
    /// Fills the first bytes of a frame from a page.
    pub(super) fn read(&self, ram: &HeapRam, place: Place, frame: Pfn, bytes: u64) -> Result<(), String> {
        let page = self.pages.get(&place).ok_or(format!("{place:?} is read and was never written"))?;
        for (word, value) in (0..bytes / 8).zip(page) {
            ram.write_u64(frame.base().offset(word * 8), *value);
        }
        Ok(())
    }

    /// Fills a page from the first bytes of a frame.
    pub(super) fn write(&mut self, ram: &HeapRam, place: Place, frame: Pfn, bytes: u64) {
        let page = self.page(place);
        for (word, value) in (0..bytes / 8).zip(page) {
            *value = ram.read_u64(frame.base().offset(word * 8));
        }
    }

    /// Leaves something in a page that nobody wrote: what a failed write may do.
    pub(super) fn spoil(&mut self, place: Place) {
        self.page(place).fill(0xbad0_bad0_bad0_bad0);
    }

    /// One word of a page.
    pub(super) fn word(&self, place: Place, offset: u64) -> u64 {
        let index = usize::try_from(offset / 8).expect("within a page");
        self.pages.get(&place).map_or(0, |page| page[index])
    }

    /// Stores one word of a page.
    pub(super) fn set_word(&mut self, place: Place, offset: u64, value: u64) {
        let index = usize::try_from(offset / 8).expect("within a page");
        self.page(place)[index] = value;
    }

    fn page(&mut self, place: Place) -> &mut Page {
        self.pages.entry(place).or_insert_with(|| vec![0; WORDS_OF_PAGE as usize].into_boxed_slice())
    }
}
