//! What a whole region is, what image it belongs to, and what its sections have promised (SPEC D20, D25 to D29).

use super::{Layout, Query};
use crate::service::{Answer, Call};
use vadose_facts::ntdef::{Edition, NtStatus};
use vadose_mm::RegionInformation;

/// Pointer-sized fields of `MEMORY_REGION_INFORMATION` behind base, protection and type that every edition has.
const FIRST_FIELDS: u64 = 1;
/// `ImagePartialMap`.
const PARTIAL_MAP: u32 = 0x1;
/// No node is preferred.
const NO_NODE: u64 = u64::MAX;

/// `MemoryRegionInformation`: as many of the edition's fields as the buffer takes (SPEC D25).
pub(super) fn answer_region(call: &mut Call<'_>, query: &Query) -> Answer {
    let edition = call.nt.edition;
    let width = edition.pointer_bytes();
    let least = width + 8 + FIRST_FIELDS * width;
    if query.length < least {
        return Err(NtStatus::INFO_LENGTH_MISMATCH.into());
    }
    let fields = FIRST_FIELDS + ((query.length - least) / width).min(later_fields(edition));
    let bytes = width + 8 + fields * width;
    let process = query.check_pointers(call, bytes)?;
    let info = call.mm.region_information(process, query.address)?;
    let all = region_bytes(&info, edition);
    query.finish(call, &all[..bytes as usize])
}

/// Fields that came later: committed bytes with Windows 8, the partition with Windows 10 1903, the node with 2004.
fn later_fields(edition: &Edition) -> u64 {
    let version = edition.version;
    match (version.major, version.minor, version.build) {
        (10.., _, 19041..) => 3,
        (10.., _, 18362..) => 2,
        (6, 2.., _) | (7.., _, _) => 1,
        (_, _, _) => 0,
    }
}

fn region_bytes(info: &RegionInformation, edition: &Edition) -> Vec<u8> {
    Layout::new(edition)
        .word(info.base.raw())
        .u32(info.protection.raw())
        .u32(info.kind.bits())
        .word(info.size)
        .word(info.commit_size)
        .word(0)
        .word(NO_NODE)
        .into_bytes()
}

/// `MemoryImageInformation`: zeros where memory is no image, and `INVALID_ADDRESS` where there is no memory (SPEC D29).
pub(super) fn answer_image(call: &mut Call<'_>, query: &Query) -> Answer {
    let edition = call.nt.edition;
    let process = query.check(call, 3 * edition.pointer_bytes())?;
    call.mm.region_information(process, query.address)?;
    let layout = Layout::new(edition);
    let layout = match call.mm.image_information(process, query.address) {
        Ok(image) => {
            let partial = if image.view_bytes < image.image_bytes { PARTIAL_MAP } else { 0 };
            layout.word(image.base.raw()).word(image.image_bytes).u32(partial)
        }
        Err(_no_image) => layout.word(0).word(0).u32(0),
    };
    query.finish(call, &layout.padded().into_bytes())
}

/// `MemorySharedCommitInformation`: page-file memory of sections that the process sees, committed bytes.
pub(super) fn answer_shared_commit(call: &mut Call<'_>, query: &Query) -> Answer {
    let edition = call.nt.edition;
    let process = query.check(call, edition.pointer_bytes())?;
    let bytes = call.mm.shared_commit_bytes(process);
    query.finish(call, &Layout::new(edition).word(bytes).into_bytes())
}

/// `MemoryEnclaveImageInformation`: there are no enclaves.
pub(super) fn answer_enclave(call: &mut Call<'_>, query: &Query) -> Answer {
    query.check_pointers(call, 0)?;
    Err(NtStatus::INVALID_ADDRESS.into())
}
