//! Data sections: over page files, or over the bytes of a file, of which all sections of the file share one control area
//! (SPEC F1 to F18).

use super::area::{Backing, ControlArea, Part, RECORD_BYTES, RecordWords, Section};
use crate::id::{AreaId, FileId, SectionId};
use crate::request::{SectionBacking, SectionInformation, SectionRequest};
use crate::state::Mm;
use vadose_facts::addr::{PAGE_BYTES, PageRange, pages_for};
use vadose_facts::ntdef::{
    BaseProtection, Edition, NtStatus, PageModifier, Protection, PteProtection, SectionAttributes,
};
use vadose_facts::x86::PhysicalMemory;

/// Most pages of one control area: pages are numbered in 32 bits.
pub(super) const MAX_AREA_PAGES: u64 = u32::MAX as u64;

/// What prototype entries of data hold as protection: the view decides, so it is the most permissive one.
const DATA_PROTECTION: Protection = Protection::plain(BaseProtection::ExecuteReadWrite);

impl SectionRequest {
    /// The checks that come before any pointer is touched: attributes, then protection (SPEC F1, F2).
    ///
    /// # Errors
    ///
    /// `STATUS_INVALID_PARAMETER_6`, or `STATUS_INVALID_PAGE_PROTECTION`.
    pub fn check_kind(&self, edition: &Edition) -> Result<Protection, NtStatus> {
        use SectionAttributes as A;
        let bad = Err(NtStatus::invalid_parameter(6));
        let of_image = A::IMAGE | A::NO_CACHE;
        let known = of_image
            | A::FILE
            | A::BASED
            | A::NO_CHANGE
            | A::COMMIT
            | A::RESERVE
            | A::LARGE_PAGES
            | A::WRITE_COMBINE;
        let asked = self.attributes;
        let both = asked.contains(A::COMMIT | A::RESERVE);
        if !known.contains(asked) || !asked.intersects(A::COMMIT | A::RESERVE | A::IMAGE) || both {
            return bad;
        }
        let not_with_image =
            A::COMMIT | A::RESERVE | A::LARGE_PAGES | A::WRITE_COMBINE | A::FILE | A::NO_CHANGE;
        let no_execute = asked.contains(of_image) && !has_image_no_execute(edition);
        if asked.contains(A::IMAGE) && (asked.intersects(not_with_image) || no_execute) {
            return bad;
        }
        if asked.contains(A::LARGE_PAGES) && !asked.contains(A::COMMIT) {
            return bad;
        }
        let protection = Protection::parse(self.protection)?;
        let base_exists = match protection.base() {
            BaseProtection::NoAccess => false,
            BaseProtection::ExecuteWriteCopy => has_execute_write_copy(edition),
            BaseProtection::ReadOnly
            | BaseProtection::ReadWrite
            | BaseProtection::WriteCopy
            | BaseProtection::Execute
            | BaseProtection::ExecuteRead
            | BaseProtection::ExecuteReadWrite => true,
        };
        let legal = base_exists && protection.modifier() == PageModifier::Plain;
        if legal { Ok(protection) } else { Err(NtStatus::INVALID_PAGE_PROTECTION) }
    }

    /// Bytes that the file must have for the section: more than it has if the section makes it grow (SPEC F8 to F10).
    /// 0 for a page-file section.
    ///
    /// # Errors
    ///
    /// `STATUS_MAPPED_FILE_SIZE_ZERO`, `STATUS_SECTION_TOO_BIG`.
    pub fn file_bytes_needed(&self, protection: Protection) -> Result<u64, NtStatus> {
        let SectionBacking::File { bytes, .. } = self.backing else { return Ok(0) };
        let grows = protection.base().permits(BaseProtection::ReadWrite);
        match self.size {
            0 if bytes == 0 => Err(NtStatus::MAPPED_FILE_SIZE_ZERO),
            size if size > MAX_AREA_PAGES * PAGE_BYTES => Err(NtStatus::SECTION_TOO_BIG),
            size if size > bytes && !grows => Err(NtStatus::SECTION_TOO_BIG),
            size => Ok(size.max(bytes)),
        }
    }
}

/// `SEC_IMAGE_NO_EXECUTE` came with Windows 8 (SPEC F16).
fn has_image_no_execute(edition: &Edition) -> bool {
    (edition.version.major, edition.version.minor) >= (6, 2)
}

/// Sections of `PAGE_EXECUTE_WRITECOPY` came with Windows Vista (SPEC F30).
fn has_execute_write_copy(edition: &Edition) -> bool {
    edition.version.major >= 6
}

impl<R: PhysicalMemory> Mm<R> {
    /// Makes a section over page files or over a file's bytes; images have
    /// [`create_image_section`](Self::create_image_section). A file that is too short has been made longer before: the
    /// request says how long it is now.
    ///
    /// # Errors
    ///
    /// The statuses of SPEC F1 to F15; nothing has changed then. Large pages pass their checks and are then refused with
    /// `STATUS_NOT_SUPPORTED`.
    pub fn create_section(&mut self, request: SectionRequest) -> Result<SectionId, NtStatus> {
        use SectionAttributes as A;
        let protection = request.check_kind(self.edition)?;
        let asked = request.attributes;
        if asked.contains(A::IMAGE) {
            return Err(NtStatus::INVALID_FILE_FOR_SECTION);
        }
        let size_bytes = self.section_bytes(&request, protection)?;
        let based = asked.contains(A::BASED).then(|| self.section_base(size_bytes)).transpose()?;
        let (area, kind) = match request.backing {
            SectionBacking::PageFile => {
                (self.create_page_file_area(size_bytes, asked)?, asked & (A::COMMIT | A::RESERVE))
            }
            SectionBacking::File { file, bytes } => (self.data_area(file, bytes)?, A::FILE),
        };
        let kept = asked & (A::NO_CACHE | A::WRITE_COMBINE | A::NO_CHANGE | A::BASED);
        Ok(self.add_section(Section { area, size_bytes, protection, attributes: kind | kept, based }))
    }

    /// The size that a section gets: whole pages of page-file memory, and of a file what was asked for, or all of it
    /// (SPEC F4, F9 to F12, F15).
    fn section_bytes(&self, request: &SectionRequest, protection: Protection) -> Result<u64, NtStatus> {
        let large = request.attributes.contains(SectionAttributes::LARGE_PAGES);
        match request.backing {
            SectionBacking::PageFile if request.size == 0 => Err(NtStatus::invalid_parameter(4)),
            SectionBacking::PageFile if pages_for(request.size) > MAX_AREA_PAGES => {
                Err(NtStatus::SECTION_TOO_BIG)
            }
            SectionBacking::PageFile if large => Err(NtStatus::NOT_SUPPORTED),
            SectionBacking::PageFile => Ok(pages_for(request.size) * PAGE_BYTES),
            SectionBacking::File { .. } if large => Err(NtStatus::invalid_parameter(6)),
            SectionBacking::File { bytes, .. } if request.file_bytes_needed(protection)? > bytes => {
                Err(NtStatus::SECTION_TOO_BIG)
            }
            SectionBacking::File { bytes, .. } => Ok(if request.size == 0 { bytes } else { request.size }),
        }
    }

    /// Size and attributes of a section (SPEC F22).
    ///
    /// # Errors
    ///
    /// `STATUS_INVALID_HANDLE` for a dead id.
    pub fn section_information(&self, id: SectionId) -> Result<SectionInformation, NtStatus> {
        let section = self.sections.get(id).ok_or(NtStatus::INVALID_HANDLE)?;
        Ok(SectionInformation {
            size: section.size_bytes,
            base: section.based.map(PageRange::base),
            attributes: section.attributes,
            file: self.area(section.area).file(),
            image_base: self.area(section.area).as_image().map(|image| image.base),
        })
    }

    /// A section over page files is charged whole, or page by page as it is committed (SPEC F11, F12, F13).
    fn create_page_file_area(&mut self, size: u64, asked: SectionAttributes) -> Result<AreaId, NtStatus> {
        let pages = pages_for(size);
        let (committed_pages, raw) = if asked.contains(SectionAttributes::COMMIT) {
            (pages, self.format.demand_zero(DATA_PROTECTION.to_pte()))
        } else {
            (0, 0)
        };
        let mut trial = self.commit;
        trial.charge(committed_pages)?;
        let part = self.new_part(0, pages, committed_pages)?;
        let backing = Backing::PageFile { committed_pages };
        let area = self.new_area(backing, part);
        for page in 0..area.pages() {
            self.set_prototype(area.prototype(page), raw);
        }
        Ok(self.areas.insert(area))
    }

    /// The control area of a file's data, made or made longer so that all of the file has prototype entries (SPEC F18,
    /// I38).
    pub(super) fn data_area(&mut self, file: FileId, bytes: u64) -> Result<AreaId, NtStatus> {
        let Some(id) = self.data_area_of(file) else {
            let part = self.new_part(0, pages_for(bytes), 0)?;
            let area = self.new_area(Backing::File { file, bytes, mapped_bytes: bytes }, part);
            self.fill_data_prototypes(&area, &area.parts[0]);
            let id = self.areas.insert(area);
            self.data_areas.insert(file, id);
            return Ok(id);
        };
        let pages = self.area(id).pages();
        if let Some(more @ 1..) = pages_for(bytes).checked_sub(u64::from(pages)) {
            let part = self.new_part(pages, more, 0)?;
            self.area_mut(id).parts.push(part);
            let area = self.area(id);
            self.fill_data_prototypes(area, area.parts.last().expect("a part was added"));
        }
        let Backing::File { bytes: known, mapped_bytes, .. } = &mut self.area_mut(id).backing else {
            unreachable!("a data area is a file's");
        };
        (*known, *mapped_bytes) = (bytes, bytes);
        Ok(id)
    }

    fn new_area(&self, backing: Backing, part: Part) -> ControlArea {
        ControlArea::new(backing, part, self.edition.paging.entry_bytes())
    }

    /// Pool for the prototype entries of some pages, and one record behind them; promised pages are charged with it.
    fn new_part(&mut self, first_page: u32, pages: u64, promised: u64) -> Result<Part, NtStatus> {
        let in_range = u64::from(first_page) + pages <= MAX_AREA_PAGES;
        let count = u32::try_from(pages).ok().filter(|_| in_range).ok_or(NtStatus::SECTION_TOO_BIG)?;
        let records = (pages * self.edition.paging.entry_bytes()).next_multiple_of(RECORD_BYTES);
        let run = self.take_pool(pages_for(records + RECORD_BYTES), promised)?;
        Ok(Part { first_page, pages: count, run, records })
    }

    fn fill_data_prototypes(&self, area: &ControlArea, part: &Part) {
        let protection: PteProtection = DATA_PROTECTION.to_pte();
        let record = ControlArea::record_address(part, 0);
        for page in part.first_page..part.first_page + part.pages {
            self.set_prototype(area.prototype(page), self.format.subsection(record, protection));
        }
        let file_offset = u64::from(part.first_page) * PAGE_BYTES;
        let file_bytes = u64::from(part.pages) * PAGE_BYTES;
        let words = RecordWords { first_entry: 0, pages: part.pages, protection, file_offset, file_bytes };
        self.write_record(part, 0, words);
    }

    /// Commits a page of a page-file section for all its views (SPEC A43). The charge is the caller's.
    pub(crate) fn commit_prototype(&mut self, id: AreaId, page: u32) {
        let at = self.area(id).prototype(page);
        assert!(self.read(at) == 0, "a page is committed once");
        self.set_prototype(at, self.format.demand_zero(DATA_PROTECTION.to_pte()));
        match &mut self.area_mut(id).backing {
            Backing::PageFile { committed_pages } => *committed_pages += 1,
            Backing::Image(_) | Backing::File { .. } => unreachable!("only page-file pages are reserved"),
        }
    }
}
