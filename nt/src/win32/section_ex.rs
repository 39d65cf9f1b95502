//! The later forms of file mappings: views with extended parameters and placeholders, forms that name a node, and those for
//! store apps (SPEC F42).

use super::section::{create_mapping, map_at, protection_of};
use super::text::Width;
use crate::executive::NO_PREFERRED_NODE;
use crate::service::{Answer, Arg, Call, Export};
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::{NtStatus, ViewType};
use vadose_mm::{MapForm, NODES, ViewRequest};

use Arg::{U32, U64, Word};

/// The four protections that let code run.
const EXECUTABLE: u32 = 0xf0;
/// `FILE_MAP_EXECUTE`.
const EXECUTE: u32 = 0x20;

/// The functions of this file.
pub(crate) const EXPORTS: &[Export] = &[
    Export::system("MapViewOfFile3", &[Word, Word, Word, U64, Word, U32, U32, Word, U32], map_3)
        .set("core-memory"),
    Export::system(
        "MapViewOfFile3FromApp",
        &[Word, Word, Word, U64, Word, U32, U32, Word, U32],
        map_3_from_app,
    )
    .set("core-memory"),
    Export::system("MapViewOfFileNuma2", &[Word, Word, U64, Word, Word, U32, U32, U32], map_numa_2)
        .set("core-memory"),
    Export::system("MapViewOfFileExNuma", &[Word, U32, U32, U32, Word, Word, U32], map_ex_numa)
        .set("core-memory"),
    Export::system("MapViewOfFileFromApp", &[Word, U32, U64, Word], map_from_app).set("core-memory"),
    Export::system("CreateFileMappingFromApp", &[Word, Word, U32, U64, Word], create_from_app)
        .set("core-memory"),
    Export::system("CreateFileMappingNumaA", &[Word, Word, U32, U32, U32, Word, U32], create_numa_a)
        .only_in_kernel32(),
    Export::system("CreateFileMappingNumaW", &[Word, Word, U32, U32, U32, Word, U32], create_numa_w)
        .set("core-memory"),
];

/// A base where 0 is anywhere.
fn base_in(raw: u64) -> Option<VirtAddr> {
    (raw != 0).then(|| VirtAddr::new(raw))
}

fn check_node(node: u32) -> Result<(), NtStatus> {
    if node == NO_PREFERRED_NODE || node < NODES { Ok(()) } else { Err(NtStatus::INVALID_PARAMETER) }
}

/// No program here has the capability to generate code.
fn refuse_code(protection: u32) -> Result<(), NtStatus> {
    if protection & EXECUTABLE == 0 { Ok(()) } else { Err(NtStatus::INVALID_PARAMETER) }
}

/// `MapViewOfFile3(mapping, process, base, offset, size, type, protection, parameters, count)`.
fn map_3(call: &mut Call<'_>) -> Answer {
    call.require_extended_memory()?;
    let mut request = ViewRequest {
        base: base_in(call.arg(2)),
        offset: call.arg(3),
        size: call.arg(4),
        kind: ViewType::from_bits_retain(call.u32(5)),
        form: MapForm::Extended,
        ..ViewRequest::whole(call.u32(6))
    };
    let (array, count) = (call.ptr(7), call.u32(8));
    call.read_extended_parameters(array, count)?.place(&mut request)?;
    map_in(call, request)
}

fn map_3_from_app(call: &mut Call<'_>) -> Answer {
    refuse_code(call.u32(6))?;
    map_3(call)
}

/// `MapViewOfFileNuma2(mapping, process, offset, base, size, type, protection, node)`: what `MapViewOfFile2` calls.
fn map_numa_2(call: &mut Call<'_>) -> Answer {
    check_node(call.u32(7))?;
    let request = ViewRequest {
        base: base_in(call.arg(3)),
        offset: call.arg(2),
        size: call.arg(4),
        kind: ViewType::from_bits_retain(call.u32(5)),
        ..ViewRequest::whole(call.u32(6))
    };
    map_in(call, request)
}

/// The mapping and the process of the first two arguments, in the order of the native calls' checks.
fn map_in(call: &mut Call<'_>, request: ViewRequest) -> Answer {
    let edition = call.nt.edition;
    request.check_kind(edition)?;
    request.check_requirements(edition)?;
    request.check_range(edition)?;
    let (mapping, process) = (call.handle(0), call.handle(1));
    let view = call.map_view_for(process, mapping, request)?;
    Ok(view.base.raw())
}

/// `MapViewOfFileExNuma(mapping, access, offset high, offset low, size, base, node)`.
fn map_ex_numa(call: &mut Call<'_>) -> Answer {
    check_node(call.u32(6))?;
    map_at(call, base_in(call.arg(5)))
}

/// `MapViewOfFileFromApp(mapping, access, offset, size)`.
fn map_from_app(call: &mut Call<'_>) -> Answer {
    let access = call.u32(1);
    if access & EXECUTE != 0 {
        return Err(NtStatus::INVALID_PARAMETER.into());
    }
    let (offset, size) = (call.arg(2), call.arg(3));
    let request = ViewRequest { offset, size, ..ViewRequest::whole(protection_of(access)) };
    request.check_range(call.nt.edition)?;
    let (mapping, own) = (call.handle(0), call.nt.process().pid);
    let view = call.map_view(mapping, own, request)?;
    Ok(view.base.raw())
}

/// `CreateFileMappingFromApp(file, security, protection, size, name)`.
fn create_from_app(call: &mut Call<'_>) -> Answer {
    let (words, size) = (call.u32(2), call.arg(3));
    refuse_code(words)?;
    let name_at = call.ptr(4);
    create_mapping(call, words, size, name_at, Width::Wide)
}

fn create_numa_a(call: &mut Call<'_>) -> Answer {
    create_numa(call, Width::Narrow)
}

fn create_numa_w(call: &mut Call<'_>) -> Answer {
    create_numa(call, Width::Wide)
}

/// `CreateFileMappingNuma(file, security, protection and attributes, size high, size low, name, node)`.
fn create_numa(call: &mut Call<'_>, width: Width) -> Answer {
    check_node(call.u32(6))?;
    let size = u64::from(call.u32(3)) << 32 | u64::from(call.u32(4));
    let (words, name_at) = (call.u32(2), call.ptr(5));
    create_mapping(call, words, size, name_at, width)
}
