//! Sections made, grown and closed.

use super::model::{Area, Backing, Section};
use super::run::{Run, data_file, image_file};
use super::step::Step;
use std::collections::{BTreeMap, BTreeSet};
use vadose_facts::addr::{PAGE_BYTES, pages_for};
use vadose_facts::ntdef::{Aslr, NtStatus, SectionAttributes};
use vadose_facts::pe::PeImage;
use vadose_mm::{Extension, ImageExecution, ImageRequest, SectionBacking, SectionId, SectionRequest};

/// Sections above which none is made.
const MOST_SECTIONS: usize = 9;
/// Pages above which no file grows.
pub(super) const MOST_FILE_PAGES: u64 = 26;
/// Protections of data sections; the last came with Windows Vista.
const PROTECTIONS: [u32; 7] = [0x04, 0x40, 0x02, 0x04, 0x08, 0x20, 0x80];

impl Run<'_> {
    fn data_protection(&self, number: u64) -> u32 {
        let known = if self.setting.edition.version.major >= 6 { 7 } else { 6 };
        PROTECTIONS[(number % known) as usize]
    }

    pub(super) fn make_page_file_section(&mut self, step: &Step) -> Result<(), String> {
        if self.model.sections.len() >= MOST_SECTIONS {
            return Ok(());
        }
        let size = 1 + step.b % (22 * PAGE_BYTES);
        let whole = step.c.is_multiple_of(2);
        let attributes = if whole { SectionAttributes::COMMIT } else { SectionAttributes::RESERVE };
        let protection = self.data_protection(step.a);
        let request = SectionRequest { backing: SectionBacking::PageFile, size, protection, attributes };
        let made = self.machine.call(|mm| mm.create_section(request));
        let id = made.map_err(|status| format!("{request:x?} is refused: {status}"))?;
        let pages = pages_for(size);
        let area = self.model.add_area(Area {
            backing: Backing::PageFile,
            pages,
            committed: if whole { (0..pages).collect() } else { BTreeSet::new() },
            content: BTreeMap::new(),
            base: 0,
        });
        self.add_section(id, area, pages * PAGE_BYTES, protection)
    }

    fn add_section(&mut self, id: SectionId, area: usize, bytes: u64, protection: u32) -> Result<(), String> {
        let known = self.machine.mm.section_information(id).map_err(|status| status.to_string())?;
        if known.size != bytes {
            return Err(format!("the section has {:#x} bytes, and should have {bytes:#x}", known.size));
        }
        self.model.sections.push(Section { id, area, bytes, protection });
        Ok(())
    }

    /// A file that is too short grows first, as services do it (SPEC F8 to F10).
    pub(super) fn make_file_section(&mut self, step: &Step) -> Result<(), String> {
        if self.model.sections.len() >= MOST_SECTIONS {
            return Ok(());
        }
        let file = (step.a % self.model.files.len() as u64) as usize;
        let bytes = self.model.files[file].bytes;
        let size = match step.b % 4 {
            0 => 1 + (step.b >> 8) % (bytes + 1),
            1 => (bytes + (step.b >> 8) % (3 * PAGE_BYTES)).min(MOST_FILE_PAGES * PAGE_BYTES),
            _ => 0,
        };
        let protection = self.data_protection(step.c);
        let writable = matches!(protection, 0x04 | 0x40);
        let backing = |bytes| SectionBacking::File { file: data_file(file), bytes };
        let attributes = SectionAttributes::COMMIT;
        let request = SectionRequest { backing: backing(bytes), size, protection, attributes };
        let wanted = match (size, bytes) {
            (0, 0) => Some(NtStatus::MAPPED_FILE_SIZE_ZERO),
            (size, bytes) if size > bytes && !writable => Some(NtStatus::SECTION_TOO_BIG),
            _ => None,
        };
        if let Some(wanted) = wanted {
            let answer = self.machine.call(|mm| mm.create_section(request));
            return self.refused(answer, wanted);
        }
        let longer = bytes.max(size);
        self.grow_file(file, longer);
        let request = SectionRequest { backing: backing(longer), ..request };
        let made = self.machine.call(|mm| mm.create_section(request));
        let id = made.map_err(|status| format!("{request:x?} is refused: {status}"))?;
        let area = self.data_area(file);
        self.add_section(id, area, if size == 0 { bytes } else { size }, protection)
    }

    /// The file has become longer.
    fn grow_file(&mut self, file: usize, bytes: u64) {
        let disk = self.machine.disks.get_mut(&data_file(file)).expect("a file of the run");
        disk.resize(bytes as usize, 0);
        self.model.files[file].resize(bytes);
    }

    /// All of the file has pages now.
    fn data_area(&mut self, file: usize) -> usize {
        let backing = Backing::File(file);
        let pages = pages_for(self.model.files[file].bytes);
        let known = self.model.area_of(backing);
        let area = known.unwrap_or_else(|| {
            let (committed, content) = (BTreeSet::new(), BTreeMap::new());
            self.model.add_area(Area { backing, pages, committed, content, base: 0 })
        });
        self.model.area_mut(area).pages = pages;
        area
    }

    /// SPEC F18 G29: while an image lives, all its sections have one base.
    pub(super) fn make_image_section(&mut self, step: &Step) -> Result<(), String> {
        if self.model.sections.len() >= MOST_SECTIONS {
            return Ok(());
        }
        let number = (step.a % self.model.images.len() as u64) as usize;
        let bytes = self.model.images[number].file.clone();
        let image = PeImage::parse(bytes.as_slice()).expect("a well-formed image");
        let fixups = image.page_fixups(&mut image.file_view(bytes.as_slice())).ok();
        let (file, execution) = (image_file(number), ImageExecution::Allowed);
        let request = ImageRequest { file, image: &image, fixups, execution };
        let made = self.machine.call(|mm| mm.create_image_section(&request));
        let id = made.map_err(|status| format!("an image section is refused: {status}"))?;
        let known = self.machine.mm.section_information(id).map_err(|status| status.to_string())?;
        let base = known.image_base.ok_or("an image has no base")?.raw();
        let backing = Backing::Image(number);
        let pages = self.model.images[number].pages.len() as u64;
        let area = match self.model.area_of(backing) {
            Some(area) if self.model.area(area).base != base => {
                return Err(format!("the image moves to {base:#x} while it lives"));
            }
            Some(area) => area,
            None => {
                let (committed, content) = (BTreeSet::new(), BTreeMap::new());
                self.model.add_area(Area { backing, pages, committed, content, base })
            }
        };
        if self.setting.aslr == Aslr::Off && base != self.model.images[number].preferred {
            return Err(format!("the image is at {base:#x}, and nobody asked it to move"));
        }
        self.add_section(id, area, pages * PAGE_BYTES, 0x80)
    }

    pub(super) fn close(&mut self, step: &Step) -> Result<(), String> {
        let count = self.model.sections.len();
        if count > 0 {
            let section = self.model.sections.remove((step.a % count as u64) as usize);
            self.machine.mm.close_section(section.id);
        }
        Ok(())
    }

    /// SPEC F24.
    pub(super) fn extend(&mut self, step: &Step) -> Result<(), String> {
        let count = self.model.sections.len();
        if count == 0 {
            return Ok(());
        }
        let index = (step.a % count as u64) as usize;
        let section = self.model.sections[index];
        let more = section.bytes + step.b % (3 * PAGE_BYTES);
        let size = if step.b.is_multiple_of(5) { section.bytes / 2 } else { more };
        let plan = self.machine.mm.plan_extension(section.id, size);
        let Backing::File(file) = self.model.area(section.area).backing else {
            return self.refused(plan, NtStatus::SECTION_NOT_EXTENDED);
        };
        if size <= section.bytes {
            return match plan {
                Ok(Extension::Enough(bytes)) if bytes == section.bytes => Ok(()),
                other => Err(format!("{size:#x} bytes for {section:x?} come to {other:?}")),
            };
        }
        if !matches!(section.protection, 0x04 | 0x40) {
            return self.refused(plan, NtStatus::SECTION_NOT_EXTENDED);
        }
        let needed = size.max(self.model.files[file].bytes);
        if plan != Ok(Extension::FileBytes(needed)) {
            return Err(format!("{size:#x} bytes for {section:x?} need {plan:?}, not {needed:#x}"));
        }
        if pages_for(needed) > MOST_FILE_PAGES {
            return Ok(());
        }
        self.grow_file(file, needed);
        let extended = self.machine.call(|mm| mm.extend_section(section.id, size, needed));
        if extended != Ok(size) {
            return Err(format!("{size:#x} bytes for {section:x?} come to {extended:?}"));
        }
        self.data_area(file);
        self.model.sections[index].bytes = size;
        self.sums.extensions += 1;
        Ok(())
    }
}
