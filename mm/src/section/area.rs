//! Control areas: what stands behind sections and views, one for each image, data file and page-file section, with a
//! prototype entry a page in the pool (SPEC I32, I38, I39).

use super::image::Image;
use super::pool::PoolRun;
use crate::id::{AreaId, FileId, SectionId};
use crate::paging::Slot;
use crate::pfn::PfnFlags;
use crate::pte::PrototypeState;
use crate::state::Mm;
use vadose_facts::addr::{PAGE_BYTES, PageRange, PhysAddr, VirtAddr};
use vadose_facts::ntdef::{Protection, PteProtection, SectionAttributes};
use vadose_facts::pe::{PageSource, Sharing};
use vadose_facts::x86::PhysicalMemory;

/// Bytes of a subsection's record in the pool, behind the prototype entries.
///
/// A record holds, little-endian: the kernel address of its first prototype entry (8 bytes), its pages (4), its 5-bit
/// protection (4), its file offset (8) and its bytes in the file (8); the rest is zero.
pub(super) const RECORD_BYTES: u64 = 64;

/// What a handle names: a size and a protection over a control area (SPEC I38).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) area: AreaId,
    /// As given for a file, whole pages for a page-file section (SPEC F9, F11).
    pub(crate) size_bytes: u64,
    /// What views may be mapped with (SPEC F30).
    pub(crate) protection: Protection,
    /// As a query tells them (SPEC F22).
    pub(crate) attributes: SectionAttributes,
    /// Where its views lie in every process (SPEC F40).
    pub(crate) based: Option<PageRange>,
}

/// What sections and views of one thing share.
#[derive(Clone, Debug)]
pub(crate) struct ControlArea {
    pub(crate) backing: Backing,
    /// Section objects over it.
    pub(crate) sections: u64,
    pub(crate) views: u64,
    /// Transfers of its pages that are under way.
    pub(crate) moving_pages: u64,
    /// Runs of prototype entries, lowest page first: one, and one more for each time that a file grew.
    pub(super) parts: Vec<Part>,
    pub(super) entry_bytes: u64,
}

/// What is behind a control area's pages.
#[derive(Clone, Debug)]
pub(crate) enum Backing {
    /// An image file.
    Image(Image),
    /// Page files.
    PageFile {
        /// Pages that are committed: they stay so as long as the area lives (SPEC F13).
        committed_pages: u64,
    },
    /// A file's bytes.
    File {
        /// The file.
        file: FileId,
        /// Its length now.
        bytes: u64,
        /// Its length when a section of it was last made: it is not cut below that (SPEC F50).
        mapped_bytes: u64,
    },
}

/// A run of prototype entries in one piece of the pool, with the records of its subsections behind them.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) first_page: u32,
    pub(super) pages: u32,
    pub(super) run: PoolRun,
    /// Where its records begin, bytes from the start of the run.
    pub(super) records: u64,
}

impl ControlArea {
    /// An area that nobody needs yet.
    pub(super) fn new(backing: Backing, part: Part, entry_bytes: u64) -> Self {
        Self { backing, sections: 0, views: 0, moving_pages: 0, parts: vec![part], entry_bytes }
    }

    /// Pages that have a prototype entry.
    pub(crate) fn pages(&self) -> u32 {
        self.parts.last().map_or(0, |part| part.first_page + part.pages)
    }

    /// Pages of the pool that it takes.
    pub(crate) fn pool_pages(&self) -> u64 {
        self.parts.iter().map(|part| part.run.pages()).sum()
    }

    /// Where a page's prototype entry is in RAM.
    ///
    /// # Panics
    ///
    /// If the page is past the area.
    pub(crate) fn prototype(&self, page: u32) -> PhysAddr {
        let part = self.part_of(page);
        part.run.phys(u64::from(page - part.first_page) * self.entry_bytes)
    }

    /// Kernel address of a part's record number `index`.
    pub(super) fn record_address(part: &Part, index: usize) -> VirtAddr {
        VirtAddr::new(part.run.base.raw() + part.records + index as u64 * RECORD_BYTES)
    }

    /// First page and pages of the subsection whose record is at a kernel address.
    pub(crate) fn subsection_at(&self, address: VirtAddr) -> Option<(u32, u32)> {
        self.parts.iter().find_map(|part| {
            let offset = address.raw().checked_sub(part.run.base.raw() + part.records)?;
            let index = usize::try_from(offset / RECORD_BYTES).ok()?;
            match &self.backing {
                Backing::Image(image) => {
                    let run = image.layout.subsections().get(index)?;
                    Some((run.first_page, run.pages))
                }
                Backing::File { .. } | Backing::PageFile { .. } => {
                    (index == 0 && offset < RECORD_BYTES).then_some((part.first_page, part.pages))
                }
            }
        })
    }

    /// The page whose prototype entry is at a place in RAM.
    pub(crate) fn page_of_prototype(&self, at: PhysAddr) -> Option<u32> {
        self.parts.iter().find_map(|part| {
            let index = part.run.offset_of(at)? / self.entry_bytes;
            let index = u32::try_from(index).ok().filter(|index| *index < part.pages)?;
            Some(part.first_page + index)
        })
    }

    /// How many pages from one on have their prototype entries in a row.
    pub(crate) fn pages_in_part(&self, page: u32) -> u64 {
        let part = self.part_of(page);
        u64::from(part.first_page + part.pages - page)
    }

    fn part_of(&self, page: u32) -> &Part {
        let after = self.parts.partition_point(|part| part.first_page <= page);
        let part = after.checked_sub(1).and_then(|index| self.parts.get(index));
        part.filter(|part| page - part.first_page < part.pages).expect("a view is no longer than its area")
    }

    /// Whether a store through a write-copy view of the page is private to the process: of all but the shared sections
    /// of an image.
    pub(crate) fn sharing(&self, page: u32) -> Sharing {
        match &self.backing {
            Backing::Image(image) => image.subsection(page).sharing,
            Backing::PageFile { .. } | Backing::File { .. } => Sharing::Private,
        }
    }

    /// Pages promised by the machine for what never goes back to a file (SPEC F13, G21, G24, J12).
    pub(crate) fn promised_pages(&self) -> u64 {
        match &self.backing {
            Backing::Image(image) => image.shared_pages(),
            Backing::PageFile { committed_pages } => *committed_pages,
            Backing::File { .. } => 0,
        }
    }

    /// Where a page's content lies in its file: offset and bytes, `None` if nothing of it is in a file.
    pub(crate) fn file_place(&self, page: u32) -> Option<(FileId, u64, u32)> {
        match &self.backing {
            Backing::Image(image) => match image.layout.page_source(page)? {
                PageSource::File { offset, bytes } => Some((image.file, offset, bytes)),
                PageSource::Zero | PageSource::Nothing => None,
            },
            Backing::PageFile { .. } => None,
            Backing::File { file, bytes, .. } => {
                let offset = u64::from(page) * PAGE_BYTES;
                let left = bytes.checked_sub(offset).filter(|left| *left > 0)?;
                let in_page = u32::try_from(left.min(PAGE_BYTES)).expect("at most a page");
                Some((*file, offset, in_page))
            }
        }
    }

    /// The image, for views of the image kind.
    ///
    /// # Panics
    ///
    /// If it is something else.
    pub(crate) fn image(&self) -> &Image {
        self.as_image().expect("an image view is over an image")
    }

    /// The image, if it is one.
    pub(crate) const fn as_image(&self) -> Option<&Image> {
        match &self.backing {
            Backing::Image(image) => Some(image),
            Backing::PageFile { .. } | Backing::File { .. } => None,
        }
    }
}

impl<R: PhysicalMemory> Mm<R> {
    /// A control area that a view, a section or a transfer keeps alive.
    pub(crate) fn area(&self, id: AreaId) -> &ControlArea {
        self.areas.get(id).expect("a view keeps its control area alive")
    }

    pub(crate) fn area_mut(&mut self, id: AreaId) -> &mut ControlArea {
        self.areas.get_mut(id).expect("a view keeps its control area alive")
    }

    /// What a page's prototype entry says; nothing past the area, which a view may pass (SPEC F35).
    pub(crate) fn prototype_state(&self, area: &ControlArea, page: u32) -> PrototypeState {
        if page >= area.pages() {
            return PrototypeState::Absent;
        }
        self.format.decode_prototype(self.read(area.prototype(page)))
    }

    /// Makes the section object over an area, whose creator holds it until [`close_section`](Self::close_section).
    pub(super) fn add_section(&mut self, section: Section) -> SectionId {
        self.area_mut(section.area).sections += 1;
        self.sections.insert(section)
    }

    /// Gives up the creator's hold on a section; views keep what is behind it alive (SPEC F20). A dead id changes
    /// nothing.
    pub fn close_section(&mut self, id: SectionId) {
        if let Some(section) = self.sections.remove(id) {
            self.area_mut(section.area).sections -= 1;
            self.delete_area_if_unused(section.area);
        }
    }

    /// Lets a control area go when no section, view or transfer needs it (SPEC I39). What was stored to its pages and
    /// could not be written to their file is lost then. Clean pages of images may stay for the next one who asks.
    pub(crate) fn delete_area_if_unused(&mut self, id: AreaId) {
        let Some(area) = self.areas.get(id) else { return };
        if area.views > 0 || area.sections > 0 || area.moving_pages > 0 {
            return;
        }
        if self.is_worth_keeping(area) {
            self.keep_unused(id);
        } else {
            self.commit.give_back(area.pool_pages());
            self.delete_area(id);
        }
    }

    /// Takes an area apart that nobody needs. Its pool pages are charged no more.
    pub(super) fn delete_area(&mut self, id: AreaId) {
        let area = self.areas.remove(id).expect("an area that lives");
        if let Backing::File { file, .. } = area.backing {
            self.data_areas.remove(&file);
        }
        for page in 0..area.pages() {
            match self.prototype_state(&area, page) {
                PrototypeState::Transition { pfn, .. } => self.give_up_waiting(pfn),
                PrototypeState::Active { .. } => panic!("an area without views has no mapped page"),
                PrototypeState::PageFile { file, slot, .. } => self.free_slot(Slot { file, page: slot }),
                PrototypeState::Absent
                | PrototypeState::Subsection { .. }
                | PrototypeState::DemandZero { .. } => {}
            }
        }
        self.commit.give_back(area.promised_pages());
        for part in area.parts {
            self.free_pool(part.run);
        }
    }

    /// Whether a section or a view shows an image file: nobody else may change it then (SPEC F21).
    pub fn is_image_shown(&self, file: FileId) -> bool {
        let shows = |area: &ControlArea| area.views > 0 || area.sections > 0;
        self.areas.iter().any(|(_, area)| match &area.backing {
            Backing::Image(image) => image.file == file && shows(area),
            Backing::File { .. } | Backing::PageFile { .. } => false,
        })
    }

    /// Whether a file has a control area: as long as it has, its owner keeps it open. A remembered image counts, for its
    /// pages may be read again.
    pub fn is_file_mapped(&self, file: FileId) -> bool {
        self.areas.iter().any(|(_, area)| area.file() == Some(file))
    }

    /// The data area of a file (SPEC F18).
    pub(crate) fn data_area_of(&self, file: FileId) -> Option<AreaId> {
        self.data_areas.get(&file).copied()
    }

    /// Writes the record of one subsection into the pool.
    pub(super) fn write_record(&self, part: &Part, index: usize, run: RecordWords) {
        let at = part.records + index as u64 * RECORD_BYTES;
        let words = [
            part.run.base.raw() + run.first_entry,
            u64::from(run.pages) | u64::from(run.protection.bits()) << 32,
            run.file_offset,
            run.file_bytes,
        ];
        for (offset, word) in (at..).step_by(8).zip(words) {
            self.ram.write_u64(part.run.phys(offset), word);
        }
    }
}

/// What a record says.
pub(super) struct RecordWords {
    /// Its first prototype entry, bytes from the start of the run.
    pub(super) first_entry: u64,
    pub(super) pages: u32,
    pub(super) protection: PteProtection,
    pub(super) file_offset: u64,
    pub(super) file_bytes: u64,
}

impl ControlArea {
    /// The file behind it.
    pub(crate) fn file(&self) -> Option<FileId> {
        match &self.backing {
            Backing::Image(image) => Some(image.file),
            Backing::File { file, .. } => Some(*file),
            Backing::PageFile { .. } => None,
        }
    }

    /// The first page after one at which it may change whether pages are reserved (SPEC D13, F35).
    pub(crate) fn alike_until(&self, page: u32) -> u32 {
        match &self.backing {
            Backing::PageFile { committed_pages } if *committed_pages < u64::from(self.pages()) => page + 1,
            Backing::File { .. } if page < self.pages() => self.pages(),
            Backing::PageFile { .. } | Backing::Image(_) | Backing::File { .. } => u32::MAX,
        }
    }

    /// Whether pages that were stored to go back to a file.
    pub(crate) fn writes_back(&self) -> bool {
        match &self.backing {
            Backing::File { .. } => true,
            Backing::Image(_) | Backing::PageFile { .. } => false,
        }
    }
}

/// Marks of a frame that a transfer is about.
pub(crate) const IN_TRANSFER: PfnFlags = PfnFlags::READ_IN_PROGRESS.union(PfnFlags::WRITE_IN_PROGRESS);

const _: () = assert!(PAGE_BYTES.is_multiple_of(RECORD_BYTES), "a record lies in one page");
