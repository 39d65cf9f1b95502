//! Making and opening sections: attributes and protection, pointers, file, size (SPEC F1 to F19).

use super::{ImageFailure, SectionObject};
use crate::executive::object_manager::Place;
use crate::executive::{Handle, Kind, Made, Naming, Object, OpenFile, Privilege};
use crate::host::FileAccess;
use crate::kernel::Kernel;
use crate::service::{Answer, Call, Failure};
use vadose_facts::ntdef::{BaseProtection, NtStatus, Protection, SectionAttributes};
use vadose_mm::{ImageExecution, SectionBacking, SectionRequest};

/// `FILE_READ_DATA`.
const FILE_READ: u32 = 0x1;
/// `FILE_WRITE_DATA`.
const FILE_WRITE: u32 = 0x2;
/// `FILE_EXECUTE`.
const FILE_EXECUTE: u32 = 0x20;

/// Wine's loader opens DLLs to be read and maps them as images all the same.
const IMAGE_RIGHTS_OF_WINE: u32 = FILE_READ;

/// A section as it is asked for, by either kind of service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// The file, `None` for page-file memory.
    pub(crate) file: Option<Handle>,
    /// Bytes, 0 for all of the file.
    pub(crate) size: u64,
    /// A `PAGE_*` word.
    pub(crate) protection: u32,
    /// `SEC_*` bits.
    pub(crate) attributes: SectionAttributes,
}

impl Wanted {
    fn request(&self, backing: SectionBacking) -> SectionRequest {
        let Self { size, protection, attributes, .. } = *self;
        SectionRequest { backing, size, protection, attributes }
    }
}

/// `NtCreateSection(*section, access, attributes, *size, protection, attributes, file)`: attributes and protection, then
/// pointers, then the name, then the file (SPEC F1, F2, F4).
pub(super) fn nt_create_section(call: &mut Call<'_>) -> Answer {
    let (handle_at, access, named_at, size_at) = (call.ptr(0), call.u32(1), call.ptr(2), call.ptr(3));
    let file = call.handle(6);
    let mut wanted = Wanted {
        file: (file != Handle::NULL).then_some(file),
        size: 0,
        protection: call.u32(4),
        attributes: SectionAttributes::from_bits_retain(call.u32(5)),
    };
    wanted.request(SectionBacking::PageFile).check_kind(call.nt.edition)?;
    let width = call.pointer_bytes();
    call.probe_write(handle_at, width)?;
    if !size_at.is_null() {
        wanted.size = call.read_u64(size_at)?;
    }
    let attributes = call.attributes_to_make(named_at)?;
    let made = call.make_section(&wanted, access, &attributes)?;
    call.store_handle(handle_at, made)
}

/// `NtOpenSection(*section, access, attributes)`.
pub(super) fn nt_open_section(call: &mut Call<'_>) -> Answer {
    call.open_and_store(Kind::Section)
}

impl Kernel<'_> {
    /// Makes a section with a handle, or opens the one of that name if the attributes allow it (SPEC F19). The name counts
    /// before the file.
    ///
    /// # Errors
    ///
    /// The statuses of names and of SPEC F; nothing is left of the section then.
    pub(crate) fn make_section(
        &mut self,
        wanted: &Wanted,
        access: u32,
        attributes: &Naming,
    ) -> Result<Made, Failure> {
        let place = match self.place_for(Kind::Section, attributes)? {
            Place::Taken(id) => return Ok(self.open_taken(id, Kind::Section, access, attributes)?),
            free => free,
        };
        let section = self.create_section_object(wanted)?;
        let object = Object::Section(section.clone());
        let handle = self.make_at(place, object, access, attributes);
        let handle = handle.inspect_err(|_| self.close_section_object(&section))?;
        Ok(Made { handle, status: NtStatus::SUCCESS })
    }

    /// Makes a section: over page files, over a file's bytes, or over an image (SPEC F4 to F18).
    ///
    /// # Errors
    ///
    /// The statuses of SPEC F.
    pub(crate) fn create_section_object(&mut self, wanted: &Wanted) -> Result<SectionObject, Failure> {
        let page_file = wanted.request(SectionBacking::PageFile);
        let protection = page_file.check_kind(self.nt.edition)?;
        let image = wanted.attributes.contains(SectionAttributes::IMAGE);
        let Some(handle) = wanted.file else {
            if image {
                return Err(NtStatus::INVALID_FILE_FOR_SECTION.into());
            }
            self.refuse_large_pages(wanted)?;
            let id = self.charging(NtStatus::COMMITMENT_LIMIT, |mm| mm.create_section(page_file))?;
            return Ok(SectionObject { id, image: None });
        };
        let needed = match rights_needed(wanted.attributes, protection) {
            _ if image && self.is_on_wine() => IMAGE_RIGHTS_OF_WINE,
            needed => needed,
        };
        let file = self.file_for_section(handle, needed)?;
        let made = if image {
            self.create_limited_image(&file, wanted)
        } else {
            self.create_over_file(&file, wanted, protection)
        };
        if made.is_err() {
            self.forget_unmapped_files();
        }
        made.map_err(Failure::from)
    }

    /// Large pages need a privilege (SPEC F15), and then contiguous frames, which sections are never given here.
    fn refuse_large_pages(&self, wanted: &Wanted) -> Result<(), NtStatus> {
        if wanted.attributes.contains(SectionAttributes::LARGE_PAGES) && wanted.size > 0 {
            let minimum = self.nt.edition.paging.levels().iter().rev().nth(1);
            let fits = minimum.is_some_and(|level| wanted.size.is_multiple_of(level.span_bytes()));
            if !fits {
                return Err(NtStatus::invalid_parameter(4));
            }
            self.require_privilege(Privilege::LockMemory)?;
            return Err(NtStatus::INSUFFICIENT_RESOURCES);
        }
        Ok(())
    }

    /// The file of a handle, if it can be mapped and the handle has the rights (SPEC F5, F6).
    fn file_for_section(&self, handle: Handle, right: u32) -> Result<OpenFile, NtStatus> {
        let handles = self.nt.handles();
        let file = match handles.get(handle)? {
            Object::File(file) => file.clone(),
            Object::Console(_) => return Err(NtStatus::INVALID_FILE_FOR_SECTION),
            _other_kinds => return Err(NtStatus::OBJECT_TYPE_MISMATCH),
        };
        if handles.access(handle)? & right != right {
            return Err(NtStatus::ACCESS_DENIED);
        }
        if file.file.is_some() { Ok(file) } else { Err(NtStatus::INVALID_FILE_FOR_SECTION) }
    }

    fn create_over_file(
        &mut self,
        file: &OpenFile,
        wanted: &Wanted,
        protection: Protection,
    ) -> Result<SectionObject, NtStatus> {
        let writes = protection.base().permits(BaseProtection::ReadWrite);
        if writes && self.is_running(&file.path) {
            return Err(NtStatus::SHARING_VIOLATION);
        }
        let access = if writes { FileAccess::ReadWrite } else { FileAccess::Read };
        let number = self.nt.files.of_path(self.host, &file.path, access)?;
        let bytes = self.nt.files.size(self.host, number)?;
        let backing = |bytes| SectionBacking::File { file: number, bytes };
        let needed = wanted.request(backing(bytes)).file_bytes_needed(protection)?;
        if needed > bytes {
            self.nt.files.set_size(self.host, number, needed)?;
        }
        let request = wanted.request(backing(needed));
        let id = self.charging(NtStatus::COMMITMENT_LIMIT, |mm| mm.create_section(request))?;
        Ok(SectionObject { id, image: None })
    }

    /// An image whose section reports a smaller size than it has, if one is given (SPEC F17).
    fn create_limited_image(&mut self, file: &OpenFile, wanted: &Wanted) -> Result<SectionObject, NtStatus> {
        let section = self.create_image(file, wanted.attributes)?;
        if wanted.size > 0
            && let Err(status) = self.mm.limit_image_section(section.id, wanted.size)
        {
            self.close_section_object(&section);
            return Err(status);
        }
        Ok(section)
    }

    fn create_image(
        &mut self,
        file: &OpenFile,
        attributes: SectionAttributes,
    ) -> Result<SectionObject, NtStatus> {
        let execution = if attributes.contains(SectionAttributes::NO_CACHE) {
            ImageExecution::Removed
        } else {
            ImageExecution::Allowed
        };
        let opened = self.open_image(&file.path, execution).map_err(ImageFailure::status)?;
        Ok(SectionObject { id: opened.id, image: Some(opened.image) })
    }
}

/// Rights to the file that a section needs (SPEC F6). An image without execute rights needs to read alone (SPEC F16).
fn rights_needed(attributes: SectionAttributes, protection: Protection) -> u32 {
    let no_execute = attributes.contains(SectionAttributes::IMAGE | SectionAttributes::NO_CACHE);
    match protection.base() {
        BaseProtection::NoAccess => 0,
        BaseProtection::ReadOnly | BaseProtection::WriteCopy => FILE_READ,
        BaseProtection::ReadWrite => FILE_READ | FILE_WRITE,
        _executable if no_execute => FILE_READ,
        BaseProtection::Execute => FILE_EXECUTE,
        BaseProtection::ExecuteRead | BaseProtection::ExecuteWriteCopy => FILE_READ | FILE_EXECUTE,
        BaseProtection::ExecuteReadWrite => FILE_READ | FILE_WRITE | FILE_EXECUTE,
    }
}
