//! Sections that grow, and sections of images that report less than there is (SPEC F17, F24).

use super::area::Backing;
use crate::id::SectionId;
use crate::state::Mm;
use vadose_facts::addr::PAGE_BYTES;
use vadose_facts::ntdef::{BaseProtection, NtStatus};
use vadose_facts::x86::PhysicalMemory;

/// What a section lacks before it has a size.
#[must_use = "the file is to be made longer"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extension {
    /// Nothing: it has these bytes already.
    Enough(u64),
    /// Its file must have these bytes.
    FileBytes(u64),
}

impl<R: PhysicalMemory> Mm<R> {
    /// What it takes to give a section a size (SPEC F24).
    ///
    /// # Errors
    ///
    /// `STATUS_INVALID_HANDLE` for a dead id; `STATUS_SECTION_NOT_EXTENDED` for what is no section of a file's data that
    /// may be stored to; `STATUS_SECTION_TOO_BIG`.
    pub fn plan_extension(&self, id: SectionId, size: u64) -> Result<Extension, NtStatus> {
        let section = self.sections.get(id).ok_or(NtStatus::INVALID_HANDLE)?;
        let Backing::File { bytes, .. } = self.area(section.area).backing else {
            return Err(NtStatus::SECTION_NOT_EXTENDED);
        };
        if size <= section.size_bytes {
            return Ok(Extension::Enough(section.size_bytes));
        }
        if !section.protection.base().permits(BaseProtection::ReadWrite) {
            return Err(NtStatus::SECTION_NOT_EXTENDED);
        }
        if size > super::data::MAX_AREA_PAGES * PAGE_BYTES {
            return Err(NtStatus::SECTION_TOO_BIG);
        }
        Ok(Extension::FileBytes(size.max(bytes)))
    }

    /// Makes a section of a file longer, whose file has `file_bytes` by now. Views that were mapped past the section's end
    /// show the new pages (SPEC F24, F35).
    ///
    /// # Errors
    ///
    /// Those of [`plan_extension`](Self::plan_extension), and `STATUS_INSUFFICIENT_RESOURCES` or
    /// `STATUS_COMMITMENT_LIMIT` if there is no room for its prototype entries.
    pub fn extend_section(&mut self, id: SectionId, size: u64, file_bytes: u64) -> Result<u64, NtStatus> {
        let needed = match self.plan_extension(id, size)? {
            Extension::Enough(bytes) => return Ok(bytes),
            Extension::FileBytes(bytes) => bytes,
        };
        if file_bytes < needed {
            return Err(NtStatus::SECTION_NOT_EXTENDED);
        }
        let section = *self.sections.get(id).expect("the section was found");
        let file = self.area(section.area).file().expect("a data file's section has a file");
        let area = self.data_area(file, file_bytes)?;
        assert!(area == section.area, "a file has one data area");
        self.sections.get_mut(id).expect("the section was found").size_bytes = size;
        Ok(size)
    }

    /// Makes a section of an image report the size that its maker gave (SPEC F17).
    ///
    /// # Errors
    ///
    /// `STATUS_INVALID_HANDLE` for a dead id, `STATUS_SECTION_NOT_IMAGE`, `STATUS_SECTION_TOO_BIG` for more than the image
    /// has.
    pub fn limit_image_section(&mut self, id: SectionId, size: u64) -> Result<(), NtStatus> {
        let section = *self.sections.get(id).ok_or(NtStatus::INVALID_HANDLE)?;
        let area = self.area(section.area);
        let Backing::Image(_) = area.backing else { return Err(NtStatus::SECTION_NOT_IMAGE) };
        if size > u64::from(area.pages()) * PAGE_BYTES {
            return Err(NtStatus::SECTION_TOO_BIG);
        }
        self.sections.get_mut(id).expect("the section was found").size_bytes = size;
        Ok(())
    }
}
