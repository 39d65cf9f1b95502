//! Making and opening sections: attributes and protection, pointers, file, size (SPEC F1 to F19).

use super::{ImageFailure, SectionObject};
use crate::claim::UserPtr;
use crate::executive::{Handle, Object, OpenFile, Privilege};
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
    let named = call.object_attributes(named_at)?;
    if let Some(name) = &named.name
        && let Some(found) = call.open_section(name, access)?
    {
        if !named.open_if {
            call.close_handle(found)?;
            return Err(NtStatus::OBJECT_NAME_COLLISION.into());
        }
        return hand_out(call, found, named.inherit, handle_at, NtStatus::OBJECT_NAME_EXISTS);
    }
    let section = call.create_section_object(&wanted)?;
    let handle = call.insert_section(section, access, named.name)?;
    hand_out(call, handle, named.inherit, handle_at, NtStatus::SUCCESS)
}

/// `NtOpenSection(*section, access, attributes)`.
pub(super) fn nt_open_section(call: &mut Call<'_>) -> Answer {
    let (handle_at, access, named_at) = (call.ptr(0), call.u32(1), call.ptr(2));
    let width = call.pointer_bytes();
    call.probe_write(handle_at, width)?;
    if named_at.is_null() {
        return Err(NtStatus::INVALID_PARAMETER.into());
    }
    let named = call.object_attributes(named_at)?;
    let name = named.name.ok_or(NtStatus::OBJECT_PATH_SYNTAX_BAD)?;
    let handle = call.open_section(&name, access)?.ok_or(NtStatus::OBJECT_NAME_NOT_FOUND)?;
    hand_out(call, handle, named.inherit, handle_at, NtStatus::SUCCESS)
}

fn hand_out(call: &mut Call<'_>, handle: Handle, inherit: bool, to: UserPtr, status: NtStatus) -> Answer {
    *call.nt.process_mut().handles.inherit(handle)? = inherit;
    call.write_word(to, handle.raw())?;
    Ok(u64::from(status.raw()))
}

impl Kernel<'_> {
    /// A handle for the section of that name; `None` if nothing has the name (SPEC F19).
    ///
    /// # Errors
    ///
    /// `OBJECT_TYPE_MISMATCH` if an object of another kind has it.
    pub(crate) fn open_section(&mut self, name: &str, access: u32) -> Result<Option<Handle>, NtStatus> {
        let mut handles = self.nt.handles_mut();
        let Some(handle) = handles.open(name, access)? else { return Ok(None) };
        if let Object::Section(_) = handles.get(handle)? {
            return Ok(Some(handle));
        }
        self.close_handle(handle)?;
        Err(NtStatus::OBJECT_TYPE_MISMATCH)
    }

    /// Gives a new section its first handle.
    ///
    /// # Errors
    ///
    /// `INSUFFICIENT_RESOURCES` when the table is full: the section is gone then.
    pub(crate) fn insert_section(
        &mut self,
        section: SectionObject,
        access: u32,
        name: Option<String>,
    ) -> Result<Handle, NtStatus> {
        let object = Object::Section(section.clone());
        let handle = self.nt.handles_mut().insert_named(object, access, name);
        handle.inspect_err(|_| self.close_section_object(&section))
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
        let file = self.file_for_section(handle, rights_needed(wanted.attributes, protection))?;
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
