//! Image sections: a file's pages as its section table lays them out, one prototype entry each (SPEC G13 to G24, I38).

use super::area::{Backing, ControlArea, Image, Part, RECORD_BYTES, RecordWords, Section};
use crate::id::{FileId, SectionId};
use crate::state::Mm;
use vadose_facts::addr::{PAGE_BYTES, VirtAddr, pages_for};
use vadose_facts::ntdef::{BaseProtection, NtStatus, Protection, SectionAttributes};
use vadose_facts::pe::{PageSource, PeImage};
use vadose_facts::x86::PhysicalMemory;

impl<R: PhysicalMemory> Mm<R> {
    /// Makes an image section. No byte of the file is read until a page is touched.
    ///
    /// # Errors
    ///
    /// `STATUS_INSUFFICIENT_RESOURCES` or `STATUS_COMMITMENT_LIMIT` if there is no room for its prototype entries.
    pub fn create_image_section(&mut self, file: FileId, image: &PeImage) -> Result<SectionId, NtStatus> {
        let image = Image {
            file,
            layout: image.layout().clone(),
            preferred_base: VirtAddr::new(image.image_base()),
            machine: image.machine(),
        };
        let entry_bytes = self.edition.paging.entry_bytes();
        let pages = image.layout.pages();
        let records = (u64::from(pages) * entry_bytes).next_multiple_of(RECORD_BYTES);
        let bytes = records + image.layout.subsections().len() as u64 * RECORD_BYTES;
        let shared = image.shared_pages();
        let run = self.take_pool(pages_for(bytes), shared)?;
        let part = Part { first_page: 0, pages, run, records };
        let backing = Backing::Image(image);
        let area =
            ControlArea { backing, sections: 0, views: 0, moving_pages: 0, parts: vec![part], entry_bytes };
        self.fill_image_prototypes(&area);
        let area = self.areas.insert(area);
        Ok(self.add_section(Section {
            area,
            size_bytes: u64::from(pages) * PAGE_BYTES,
            protection: Protection::plain(BaseProtection::ExecuteWriteCopy),
            attributes: SectionAttributes::IMAGE | SectionAttributes::FILE,
            based: None,
        }))
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
}
