//! `NtQuerySection`: size and attributes, and what the headers of an image say (SPEC F22, F23, G11).

use super::QUERY;
use crate::executive::Object;
use crate::service::{Answer, Call};
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::{Aslr, Edition, NtStatus, Randomization};
use vadose_facts::pe::{Mapping, PeImage};

/// Classes that Windows has: basic, image, and since Windows 7 how far an image is from where it wants to be.
const BASIC: u32 = 0;
const IMAGE: u32 = 1;
const RELOCATION: u32 = 2;
/// `ImageDynamicallyRelocated` (SPEC G12).
const DYNAMICALLY_RELOCATED: u8 = 1 << 2;
/// `ImageMappedFlat` (SPEC G23).
const MAPPED_FLAT: u8 = 1 << 3;

/// `NtQuerySection(section, class, buffer, length, *returned)`.
pub(super) fn nt_query_section(call: &mut Call<'_>) -> Answer {
    let (handle, class, buffer, length) = (call.handle(0), call.u32(1), call.ptr(2), call.arg(3));
    let returned = call.ptr(4);
    let width = call.pointer_bytes();
    let needed = match class {
        BASIC => 2 * width + 8,
        IMAGE => 32 + 4 * width,
        RELOCATION if has_relocation(call.nt.edition) => width,
        _no_class => return Err(NtStatus::INVALID_INFO_CLASS.into()),
    };
    if length < needed {
        return Err(NtStatus::INFO_LENGTH_MISMATCH.into());
    }
    call.probe_write(buffer, needed)?;
    if !returned.is_null() {
        call.probe_write(returned, width)?;
    }
    let bytes = section_bytes(call, handle, class)?;
    assert!(bytes.len() as u64 == needed, "the structure has its size");
    call.write(buffer, &bytes)?;
    if !returned.is_null() {
        call.write_word(returned, needed)?;
    }
    Ok(0)
}

fn section_bytes(call: &Call<'_>, handle: crate::executive::Handle, class: u32) -> Result<Vec<u8>, NtStatus> {
    let handles = call.nt.handles();
    let Object::Section(section) = handles.get(handle)? else {
        return Err(NtStatus::OBJECT_TYPE_MISMATCH);
    };
    if handles.access(handle)? & QUERY == 0 {
        return Err(NtStatus::ACCESS_DENIED);
    }
    let mut words = Words { bytes: Vec::new(), width: call.pointer_bytes() as usize };
    let info = call.mm.section_information(section.id)?;
    if class == BASIC {
        words.pointer(info.base.map_or(0, VirtAddr::raw));
        words.pointer(u64::from(info.attributes.bits()));
        words.bytes.extend(info.size.to_le_bytes());
        return Ok(words.bytes);
    }
    let image = section.image.as_ref().ok_or(NtStatus::SECTION_NOT_IMAGE)?;
    let base = info.image_base.map_or(image.image_base(), VirtAddr::raw);
    if class == IMAGE {
        image_words(&mut words, image, base, image_flags(call, image));
    } else {
        words.pointer(base.wrapping_sub(image.image_base()));
    }
    Ok(words.bytes)
}

/// `SectionRelocationInformation` came with Windows 7.
fn has_relocation(edition: &Edition) -> bool {
    (edition.version.major, edition.version.minor) >= (6, 1)
}

/// `ImageFlags`, which came with Windows Vista (SPEC G12, G23).
fn image_flags(call: &Call<'_>, image: &PeImage) -> u8 {
    if call.nt.edition.randomization == Randomization::Environment {
        return 0;
    }
    let moved = call.mm.aslr() != Aslr::Off && image.is_moved_by_kernel();
    let flat = image.layout().mapping() == Mapping::Flat;
    (if moved { DYNAMICALLY_RELOCATED } else { 0 }) | if flat { MAPPED_FLAT } else { 0 }
}

/// The `SECTION_IMAGE_INFORMATION` of an image that is mapped at `base`.
pub(crate) fn image_information(call: &Call<'_>, image: &PeImage, base: u64) -> Vec<u8> {
    let mut words = Words { bytes: Vec::new(), width: call.pointer_bytes() as usize };
    image_words(&mut words, image, base, image_flags(call, image));
    words.bytes
}

/// `SECTION_IMAGE_INFORMATION`.
fn image_words(words: &mut Words, image: &PeImage, base: u64, flags: u8) {
    let (subsystem, system) = (image.subsystem_version(), image.os_version());
    words.pointer(base.wrapping_add(u64::from(image.entry_rva())));
    words.pointer(0);
    words.pointer(image.stack().reserve);
    words.pointer(image.stack().commit);
    words.u32(u32::from(image.subsystem().raw()));
    words.u16(subsystem.minor);
    words.u16(subsystem.major);
    words.u16(system.major);
    words.u16(system.minor);
    words.u16(image.characteristics().bits());
    words.u16(image.dll_characteristics().bits());
    words.u16(image.machine().raw());
    words.bytes.extend([u8::from(image.contains_code()), flags]);
    words.u32(image.loader_flags());
    words.u32(u32::try_from(image.file_bytes()).unwrap_or(u32::MAX));
    words.u32(image.checksum());
}

/// A structure being laid out.
struct Words {
    bytes: Vec<u8>,
    width: usize,
}

impl Words {
    fn pointer(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes()[..self.width]);
    }

    fn u32(&mut self, value: u32) {
        self.bytes.extend(value.to_le_bytes());
    }

    fn u16(&mut self, value: u16) {
        self.bytes.extend(value.to_le_bytes());
    }
}
