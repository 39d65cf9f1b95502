//! Image sections: a file's pages as its section table lays them out, one prototype entry each (SPEC G13 to G24, I38). All
//! sections of a file share one control area (SPEC F18, G29).

use super::area::{Backing, ControlArea, Part, RECORD_BYTES, RecordWords, Section};
use crate::id::{AreaId, FileId, SectionId};
use crate::state::Mm;
use vadose_facts::addr::{PAGE_BYTES, Pfn, VirtAddr, pages_for};
use vadose_facts::ntdef::{Aslr, BaseProtection, NtStatus, Protection, SectionAttributes};
use vadose_facts::pe::{Layout, Machine, PageFixups, PageSource, PeImage, Sharing, Subsection};
use vadose_facts::x86::PhysicalMemory;

/// An image file of which a section is made.
#[derive(Clone, Debug)]
pub struct ImageRequest<'a> {
    /// The file.
    pub file: FileId,
    /// Its headers.
    pub image: &'a PeImage,
    /// Its fix-ups, for an image that randomisation may move; without them it stays where its header wants it.
    pub fixups: Option<PageFixups>,
    /// Whether views can be executed.
    pub execution: ImageExecution,
}

/// Whether the views of an image section have the execute rights that the image asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageExecution {
    /// They have.
    Allowed,
    /// No page has: `SEC_IMAGE_NO_EXECUTE` (SPEC F16).
    Removed,
}

/// What a control area keeps of an image.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) file: FileId,
    pub(crate) layout: Layout,
    /// Where views go that are asked for no place, and what the bytes of its pages are right for.
    pub(crate) base: VirtAddr,
    pub(crate) machine: Machine,
    pub(crate) mobility: Mobility,
    /// How pages are patched that come in, if `base` is not what the header says.
    moved: Option<Moved>,
}

/// Whether an image may be elsewhere than its header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mobility {
    /// It asks for it (SPEC G28).
    Dynamic,
    /// It can be.
    Movable,
    /// It cannot: its relocations were stripped (SPEC G31).
    Stripped,
}

#[derive(Clone, Debug)]
struct Moved {
    delta: u64,
    fixups: PageFixups,
}

impl<'a> ImageRequest<'a> {
    /// An image as it is, that stays where its header wants it.
    pub const fn new(file: FileId, image: &'a PeImage) -> Self {
        Self { file, image, fixups: None, execution: ImageExecution::Allowed }
    }
}

impl Image {
    /// The run of pages that a page belongs to.
    ///
    /// # Panics
    ///
    /// If the page is past the image.
    pub(crate) fn subsection(&self, page: u32) -> &Subsection {
        self.layout.subsection_of(page).expect("a view is no longer than its image")
    }

    /// The protection that the image gives a page, as a query reports it before any store.
    pub(crate) fn protection(&self, page: u32) -> Protection {
        Protection::plain(self.subsection(page).protection)
    }

    /// Pages that all processes write in place: promised when the section is made, for they never go back to the file
    /// (SPEC G21, G24, J12).
    pub(super) fn shared_pages(&self) -> u64 {
        shared_pages(&self.layout)
    }

    /// The base that its header prefers.
    pub(super) fn preferred_base(&self) -> VirtAddr {
        let delta = self.moved.as_ref().map_or(0, |moved| moved.delta);
        VirtAddr::new(self.base.raw().wrapping_sub(delta))
    }

    /// Whether a page that comes in is patched.
    pub(crate) fn patches(&self, page: u32) -> bool {
        self.moved.as_ref().is_some_and(|moved| moved.fixups.touch(page))
    }
}

fn shared_pages(layout: &Layout) -> u64 {
    let shared = layout.subsections().iter().filter(|run| run.sharing == Sharing::Shared);
    shared.map(|run| u64::from(run.pages)).sum()
}

impl<R: PhysicalMemory> Mm<R> {
    /// Makes an image section. No byte of the file is read until a page is touched. Of a file that has one already,
    /// headers and fix-ups are those of its first section: give one number to one content.
    ///
    /// # Errors
    ///
    /// `STATUS_INSUFFICIENT_RESOURCES` or `STATUS_COMMITMENT_LIMIT` if there is no room for its prototype entries.
    pub fn create_image_section(&mut self, request: &ImageRequest<'_>) -> Result<SectionId, NtStatus> {
        if let Some(section) = self.open_image_section(request.file, request.execution) {
            return Ok(section);
        }
        let area = self.make_image_area(request)?;
        Ok(self.add_image_section(area, request.execution))
    }

    /// One more section of an image file that has one, or had one and is still remembered: nothing of the file need be
    /// read for it (SPEC F18, G29). `None` for any other file.
    pub fn open_image_section(&mut self, file: FileId, execution: ImageExecution) -> Option<SectionId> {
        let area = self.image_area_of(file)?;
        self.revive(area)?;
        Some(self.add_image_section(area, execution))
    }

    /// Decides where an image is (SPEC G28).
    fn place_image(&mut self, request: &ImageRequest<'_>) -> Image {
        let ImageRequest { file, image, fixups, .. } = request;
        let preferred = VirtAddr::new(image.image_base());
        let mobility = match (image.is_movable(), image.is_moved_by_kernel()) {
            (false, _) => Mobility::Stripped,
            (true, true) if fixups.is_some() => Mobility::Dynamic,
            (true, _) => Mobility::Movable,
        };
        let base = match (self.places.aslr, mobility) {
            (Aslr::On | Aslr::Force, Mobility::Dynamic) => self.choose_base(image),
            (Aslr::Off, _) | (_, Mobility::Movable | Mobility::Stripped) => preferred,
        };
        let delta = base.raw().wrapping_sub(preferred.raw());
        let moved = fixups.clone().filter(|_| delta != 0).map(|fixups| Moved { delta, fixups });
        let (layout, machine) = (image.layout().clone(), image.machine());
        Image { file: *file, layout, base, machine, mobility, moved }
    }

    fn make_image_area(&mut self, request: &ImageRequest<'_>) -> Result<AreaId, NtStatus> {
        let layout = request.image.layout();
        let entry_bytes = self.edition.paging.entry_bytes();
        let pages = layout.pages();
        let records = (u64::from(pages) * entry_bytes).next_multiple_of(RECORD_BYTES);
        let bytes = records + layout.subsections().len() as u64 * RECORD_BYTES;
        let run = self.take_pool(pages_for(bytes), shared_pages(layout))?;
        let part = Part { first_page: 0, pages, run, records };
        let backing = Backing::Image(self.place_image(request));
        let area = ControlArea::new(backing, part, entry_bytes);
        self.fill_image_prototypes(&area);
        Ok(self.areas.insert(area))
    }

    fn add_image_section(&mut self, area: AreaId, execution: ImageExecution) -> SectionId {
        let protection = match execution {
            ImageExecution::Allowed => BaseProtection::ExecuteWriteCopy,
            ImageExecution::Removed => BaseProtection::WriteCopy,
        };
        self.add_section(Section {
            area,
            size_bytes: u64::from(self.area(area).pages()) * PAGE_BYTES,
            protection: Protection::plain(protection),
            attributes: SectionAttributes::IMAGE | SectionAttributes::FILE,
            based: None,
        })
    }

    /// The image area of a file (SPEC F18).
    fn image_area_of(&self, file: FileId) -> Option<AreaId> {
        let mut areas = self.areas.iter();
        areas.find_map(|(id, area)| (area.as_image()?.file == file).then_some(id))
    }

    fn fill_image_prototypes(&self, area: &ControlArea) {
        let (image, part) = (area.image(), &area.parts[0]);
        for (index, run) in image.layout.subsections().iter().enumerate() {
            let protection = Protection::plain(run.protection).to_pte();
            let record = ControlArea::record_address(part, index);
            for page in run.page_range() {
                let raw = match image.layout.page_source(page) {
                    Some(PageSource::File { .. }) => self.format.subsection(record, protection),
                    Some(PageSource::Zero) => self.format.demand_zero(protection),
                    Some(PageSource::Nothing) | None => 0,
                };
                self.set_prototype(area.prototype(page), raw);
            }
            let words = RecordWords {
                first_entry: u64::from(run.first_page) * area.entry_bytes,
                pages: run.pages,
                protection,
                file_offset: run.file_offset,
                file_bytes: run.file_bytes,
            };
            self.write_record(part, index, words);
        }
    }

    /// Patches a page of a moved image that holds what the file holds, for the base that its area has: once, before
    /// anybody sees it (SPEC G28, G36).
    pub(crate) fn patch_page(&self, area: AreaId, page: u32, frame: Pfn) {
        let Some(moved) = self.area(area).as_image().and_then(|image| image.moved.as_ref()) else { return };
        if !moved.fixups.touch(page) {
            return;
        }
        let mut content = [0; PAGE_BYTES as usize];
        self.ram.read_bytes(frame.base(), &mut content);
        moved.fixups.apply(page, moved.delta, &mut content);
        self.ram.write_bytes(frame.base(), &content);
    }
}
