//! Image sections: a file's pages as its section table lays them out, one prototype entry each (SPEC G13 to G24, I38).

use super::pool::PoolRun;
use crate::id::{FileId, SectionId};
use crate::pfn::ListName;
use crate::pte::PrototypeState;
use crate::state::Mm;
use vadose_facts::addr::{PAGE_BYTES, PhysAddr, VirtAddr, pages_for};
use vadose_facts::ntdef::{NtStatus, Protection, PteProtection};
use vadose_facts::pe::{Layout, Machine, PageSource, PeImage, Sharing, Subsection};
use vadose_facts::x86::PhysicalMemory;

/// Bytes of a subsection's record in the pool, behind the prototype entries.
///
/// A record holds, little-endian: the kernel address of its first prototype entry (8 bytes), its pages (4), its 5-bit
/// protection (4), its file offset (8) and its bytes in the file (8); the rest is zero.
const RECORD_BYTES: u64 = 64;

/// An image that can be mapped.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    pub(crate) file: FileId,
    pub(crate) layout: Layout,
    pub(crate) preferred_base: VirtAddr,
    pub(crate) machine: Machine,
    pub(crate) views: u64,
    /// Whether the creator still holds it.
    pub(crate) held: Held,
    run: PoolRun,
    records: u64,
    entry_bytes: u64,
}

/// Whether somebody besides the views holds a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    Yes,
    No,
}

impl Section {
    /// Pages of the image.
    pub(crate) fn pages(&self) -> u64 {
        u64::from(self.layout.pages())
    }

    /// Where a page's prototype entry is in RAM.
    pub(crate) fn prototype(&self, page: u32) -> PhysAddr {
        self.run.phys(u64::from(page) * self.entry_bytes)
    }

    /// Kernel address of a page's prototype entry.
    pub(crate) fn prototype_address(&self, page: u32) -> VirtAddr {
        VirtAddr::new(self.run.base.raw() + u64::from(page) * self.entry_bytes)
    }

    pub(crate) fn pool_pages(&self) -> u64 {
        self.run.pages()
    }

    /// The run of pages that a page belongs to.
    ///
    /// # Panics
    ///
    /// If the page is past the image.
    pub(crate) fn subsection(&self, page: u32) -> &Subsection {
        self.layout.subsection_of(page).expect("a view is as long as its image")
    }

    /// The protection that the image gives a page, as a query reports it before any store.
    pub(crate) fn protection(&self, page: u32) -> Protection {
        Protection::plain(self.subsection(page).protection)
    }

    /// Whether a store to the page is private to the process.
    pub(crate) fn sharing(&self, page: u32) -> Sharing {
        self.subsection(page).sharing
    }

    /// The subsection whose record is at a kernel address.
    pub(crate) fn subsection_at(&self, address: VirtAddr) -> Option<&Subsection> {
        let offset = address.raw().checked_sub(self.run.base.raw() + self.records)?;
        self.layout.subsections().get(usize::try_from(offset / RECORD_BYTES).ok()?)
    }

    fn record_address(&self, index: usize) -> VirtAddr {
        VirtAddr::new(self.run.base.raw() + self.records + index as u64 * RECORD_BYTES)
    }

    /// Pages that all processes write in place: promised when the section is made, for they never go back to the file
    /// (SPEC G21, G24, J12).
    pub(crate) fn shared_pages(&self) -> u64 {
        shared_pages(&self.layout)
    }

    /// Pages whose stores are private to a process: charged when the image is mapped (SPEC E31).
    pub(crate) fn write_copy_pages(&self) -> u64 {
        let charged = |run: &&Subsection| run.protection.is_write_copy() && run.sharing == Sharing::Private;
        self.layout.subsections().iter().filter(charged).map(|run| u64::from(run.pages)).sum()
    }
}

impl<R: PhysicalMemory> Mm<R> {
    /// Makes an image section. No byte of the file is read until a page is touched.
    ///
    /// # Errors
    ///
    /// `STATUS_INSUFFICIENT_RESOURCES` or `STATUS_COMMITMENT_LIMIT` if there is no room for its prototype entries.
    pub fn create_image_section(&mut self, file: FileId, image: &PeImage) -> Result<SectionId, NtStatus> {
        let layout = image.layout().clone();
        let entry_bytes = self.edition.paging.entry_bytes();
        let records = (u64::from(layout.pages()) * entry_bytes).next_multiple_of(RECORD_BYTES);
        let bytes = records + layout.subsections().len() as u64 * RECORD_BYTES;
        let shared = shared_pages(&layout);
        self.commit.charge(shared)?;
        let run = self.take_pool(pages_for(bytes)).inspect_err(|_| self.commit.give_back(shared))?;
        let section = Section {
            file,
            layout,
            preferred_base: VirtAddr::new(image.image_base()),
            machine: image.machine(),
            views: 0,
            held: Held::Yes,
            run,
            records,
            entry_bytes,
        };
        self.fill_prototypes(&section);
        Ok(self.sections.insert(section))
    }

    fn fill_prototypes(&self, section: &Section) {
        for (index, run) in section.layout.subsections().iter().enumerate() {
            let protection = Protection::plain(run.protection).to_pte();
            let record = section.record_address(index);
            for page in run.page_range() {
                let raw = match section.layout.page_source(page) {
                    Some(PageSource::File { .. }) => self.format.subsection(record, protection),
                    Some(PageSource::Zero) => self.format.demand_zero(protection),
                    Some(PageSource::Nothing) | None => 0,
                };
                self.set_prototype(section.prototype(page), raw);
            }
            self.write_record(section, index, run, protection);
        }
    }

    fn write_record(&self, section: &Section, index: usize, run: &Subsection, protection: PteProtection) {
        let at = section.record_address(index).raw() - section.run.base.raw();
        let words = [
            section.prototype_address(run.first_page).raw(),
            u64::from(run.pages) | u64::from(protection.bits()) << 32,
            run.file_offset,
            run.file_bytes,
        ];
        for (offset, word) in (at..).step_by(8).zip(words) {
            self.ram.write_u64(section.run.phys(offset), word);
        }
    }

    /// Gives up the creator's hold on a section; views keep it alive.
    pub fn close_section(&mut self, id: SectionId) {
        if let Some(section) = self.sections.get_mut(id) {
            section.held = Held::No;
            self.delete_section_if_unused(id);
        }
    }

    pub(crate) fn delete_section_if_unused(&mut self, id: SectionId) {
        let section = self.section(id);
        if section.views > 0 || section.held == Held::Yes || self.reads_into(id) {
            return;
        }
        let section = self.sections.remove(id).expect("the section was found");
        for page in 0..section.layout.pages() {
            let raw = self.read(section.prototype(page));
            match self.format.decode_prototype(raw) {
                PrototypeState::Transition { pfn, .. } => {
                    self.pfn.leave_list(pfn);
                    self.pfn.enter(pfn, ListName::Free);
                }
                PrototypeState::Active { .. } => panic!("an image without views has no mapped page"),
                PrototypeState::Absent
                | PrototypeState::Subsection { .. }
                | PrototypeState::DemandZero { .. }
                | PrototypeState::PageFile { .. } => {}
            }
        }
        self.commit.give_back(section.shared_pages());
        self.free_pool(section.run);
    }

    fn reads_into(&self, id: SectionId) -> bool {
        self.transfers.iter().any(|(_, transfer)| transfer.section == id)
    }
}

fn shared_pages(layout: &Layout) -> u64 {
    let shared = layout.subsections().iter().filter(|run| run.sharing == Sharing::Shared);
    shared.map(|run| u64::from(run.pages)).sum()
}

const _: () = assert!(PAGE_BYTES.is_multiple_of(RECORD_BYTES), "a record lies in one page");
