//! File mappings: the Win32 meaning of sections and views (SPEC F3, F7, F19, F31).

use super::codepage::text_to_ansi;
use super::sync::{attributes_to_create, hand_out, open_as};
use super::text::Width;
use crate::claim::UserPtr;
use crate::executive::{Handle, Kind, MAP_EXECUTE, MAP_READ, MAP_WRITE, PROCESS_QUERY_INFORMATION, Wanted};
use crate::service::{Answer, Arg, Call, Export, Failure};
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::{SectionAttributes, Win32Error};
use vadose_mm::ViewRequest;

use Arg::{U32, Word};

/// `STANDARD_RIGHTS_REQUIRED | SECTION_QUERY`: what every mapping's creator may do.
const CREATOR_RIGHTS: u32 = 0xf_0001;
/// `FILE_MAP_COPY`.
const COPY: u32 = 0x01;
/// `FILE_MAP_EXECUTE`.
const EXECUTE: u32 = 0x20;
/// `PAGE_*` words that a mapping may be made with, and the rights that its handle gets (SPEC F3).
const PROTECTIONS: [(u32, u32); 6] = [
    (0x02, MAP_READ),
    (0x04, MAP_READ | MAP_WRITE),
    (0x08, MAP_READ),
    (0x20, MAP_READ | MAP_EXECUTE),
    (0x40, MAP_READ | MAP_WRITE | MAP_EXECUTE),
    (0x80, MAP_READ | MAP_EXECUTE),
];

/// The functions of file mappings.
pub(crate) const EXPORTS: &[Export] = &[
    Export::system("CreateFileMappingA", &[Word, Word, U32, U32, U32, Word], create_a).only_in_kernel32(),
    Export::system("CreateFileMappingW", &[Word, Word, U32, U32, U32, Word], create_w).set("core-memory"),
    Export::system("OpenFileMappingA", &[U32, U32, Word], open_a).only_in_kernel32(),
    Export::system("OpenFileMappingW", &[U32, U32, Word], open_w).set("core-memory"),
    Export::system("MapViewOfFile", &[Word, U32, U32, U32, Word], map).set("core-memory"),
    Export::system("MapViewOfFileEx", &[Word, U32, U32, U32, Word, Word], map_ex).set("core-memory"),
    Export::system("UnmapViewOfFile", &[Word], unmap).set("core-memory"),
    Export::system("UnmapViewOfFileEx", &[Word, U32], unmap_ex).set("core-memory"),
    Export::system("UnmapViewOfFile2", &[Word, Word, U32], unmap_2).set("core-memory"),
    Export::system("FlushViewOfFile", &[Word, Word], flush).set("core-memory"),
    Export::system("K32GetMappedFileNameA", &[Word, Word, Word, U32], mapped_name_a).set("core-psapi-ansi"),
    Export::system("K32GetMappedFileNameW", &[Word, Word, Word, U32], mapped_name_w).set("core-psapi"),
];

fn create_a(call: &mut Call<'_>) -> Answer {
    create(call, Width::Narrow)
}

fn create_w(call: &mut Call<'_>) -> Answer {
    create(call, Width::Wide)
}

/// `CreateFileMapping(file, security, protection and attributes, size high, size low, name)`. A mapping of that name is
/// opened as it is, and the last error tells (SPEC F19).
fn create(call: &mut Call<'_>, width: Width) -> Answer {
    let size = u64::from(call.u32(3)) << 32 | u64::from(call.u32(4));
    let (words, name_at) = (call.u32(2), call.ptr(5));
    create_mapping(call, words, size, name_at, width)
}

/// The same for calls of every shape: the first two arguments are the file and the security attributes.
pub(super) fn create_mapping(
    call: &mut Call<'_>,
    words: u32,
    size: u64,
    name_at: UserPtr,
    width: Width,
) -> Answer {
    let file = call.handle(0);
    let (protection, attributes) = (words & 0xffff, words & 0xffff_0000);
    let attributes = if attributes == 0 { SectionAttributes::COMMIT.bits() } else { attributes };
    let allowed = PROTECTIONS.iter().find(|(known, _)| *known == protection);
    let (_, rights) = allowed.ok_or(Failure::Error(Win32Error::INVALID_PARAMETER))?;
    let access = CREATOR_RIGHTS | rights;
    let wanted = Wanted {
        file: (file != Handle::CURRENT_PROCESS).then_some(file),
        size,
        protection,
        attributes: SectionAttributes::from_bits_retain(attributes),
    };
    let attributes = attributes_to_create(call, call.ptr(1), name_at, width)?;
    let made = call.make_section(&wanted, access, &attributes)?;
    hand_out(call, made)
}

fn open_a(call: &mut Call<'_>) -> Answer {
    open(call, Width::Narrow)
}

fn open_w(call: &mut Call<'_>) -> Answer {
    open(call, Width::Wide)
}

/// `OpenFileMapping(access, inherit, name)`.
fn open(call: &mut Call<'_>, width: Width) -> Answer {
    let access = match call.u32(0) {
        COPY => MAP_READ,
        wanted if wanted & EXECUTE != 0 => wanted & !EXECUTE | MAP_EXECUTE,
        wanted => wanted,
    };
    open_as(call, Kind::Section, access, width)
}

fn map(call: &mut Call<'_>) -> Answer {
    map_at(call, None)
}

fn map_ex(call: &mut Call<'_>) -> Answer {
    let base = call.arg(5);
    map_at(call, (base != 0).then(|| VirtAddr::new(base)))
}

/// `MapViewOfFile(mapping, access, offset high, offset low, size)`.
pub(super) fn map_at(call: &mut Call<'_>, base: Option<VirtAddr>) -> Answer {
    let (mapping, access) = (call.handle(0), call.u32(1));
    let offset = u64::from(call.u32(2)) << 32 | u64::from(call.u32(3));
    let size = call.arg(4);
    let request = ViewRequest { base, offset, size, ..ViewRequest::whole(protection_of(access)) };
    request.check_range(call.nt.edition)?;
    let own = call.nt.process().pid;
    let view = call.map_view(mapping, own, request)?;
    Ok(view.base.raw())
}

/// The protection that an access stands for (SPEC F31).
pub(super) const fn protection_of(access: u32) -> u32 {
    let execute = access & EXECUTE != 0;
    let plain = if access & !EXECUTE == COPY {
        0x08
    } else if access & MAP_WRITE != 0 {
        0x04
    } else if access & MAP_READ != 0 {
        0x02
    } else {
        0x01
    };
    if execute { plain << 4 } else { plain }
}

/// `UnmapViewOfFile(address)`.
fn unmap(call: &mut Call<'_>) -> Answer {
    let address = call.ptr(0).address();
    call.unmap_view(address)?;
    Ok(1)
}

/// `UnmapViewOfFileEx(address, flags)`.
fn unmap_ex(call: &mut Call<'_>) -> Answer {
    let (address, flags) = (call.ptr(0).address(), call.u32(1));
    call.unmap_view_ex(Handle::CURRENT_PROCESS, address, flags)?;
    Ok(1)
}

/// `UnmapViewOfFile2(process, address, flags)`.
fn unmap_2(call: &mut Call<'_>) -> Answer {
    let (process, address, flags) = (call.handle(0), call.ptr(1).address(), call.u32(2));
    call.unmap_view_ex(process, address, flags)?;
    Ok(1)
}

/// `FlushViewOfFile(address, size)`.
fn flush(call: &mut Call<'_>) -> Answer {
    let (address, size) = (call.ptr(0).address(), call.arg(1));
    call.flush_view(address, size)?;
    Ok(1)
}

fn mapped_name_a(call: &mut Call<'_>) -> Answer {
    mapped_name(call, Width::Narrow)
}

fn mapped_name_w(call: &mut Call<'_>) -> Answer {
    mapped_name(call, Width::Wide)
}

/// `GetMappedFileName(process, address, buffer, size)`: as much of the device path as the buffer takes, with a zero if
/// there is room; answers its characters (SPEC D23).
fn mapped_name(call: &mut Call<'_>, width: Width) -> Answer {
    let (process, address, buffer, size) =
        (call.handle(0), call.ptr(1).address(), call.ptr(2), u64::from(call.u32(3)));
    if size > 0 && buffer.is_null() {
        return Err(Win32Error::INVALID_PARAMETER.into());
    }
    let process = call.memory_of(process, PROCESS_QUERY_INFORMATION)?;
    let name = call.mapped_file_name(process, address)?;
    store_name(call, buffer, size, &name, width)
}

fn store_name(call: &mut Call<'_>, to: UserPtr, size: u64, name: &[u16], width: Width) -> Answer {
    let mut bytes = match width {
        Width::Narrow => text_to_ansi(&String::from_utf16_lossy(name)),
        Width::Wide => name.iter().flat_map(|unit| unit.to_le_bytes()).collect(),
    };
    let characters = bytes.len() as u64 / width.bytes();
    bytes.resize(bytes.len() + width.bytes() as usize, 0);
    let stored = size.min(characters + 1) * width.bytes();
    call.write(to, &bytes[..stored as usize])?;
    if size > characters {
        return Ok(characters);
    }
    call.set_last_error(Win32Error::INSUFFICIENT_BUFFER);
    Ok(size)
}
