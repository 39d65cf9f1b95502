//! The working-set classes of `NtQueryVirtualMemory`: the list of resident pages, and the attributes of named ones.

use crate::claim::UserPtr;
use crate::executive::{Handle, PROCESS_QUERY_INFORMATION};
use crate::service::{Answer, Call};
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::{Edition, NtStatus};
use vadose_mm::{ContentList, ContentPlace, PageAttributes, PageLock, PageOwner, ProcessId, ResidentPage};

/// The most sharers that the three bits of a share count tell (SPEC D31).
const MOST_SHARERS: u32 = 7;
/// Entries of an attribute query that are read at a time.
const ENTRIES_PER_PIECE: u64 = 256;

/// `MemoryWorkingSetInformation`.
pub(super) fn query_list(call: &mut Call<'_>) -> Answer {
    let (process, buffer, length) = (call.handle(0), call.ptr(3), call.arg(4));
    let bytes = working_set_list(call, process, buffer, length)?;
    tell(call, bytes)
}

/// A count, then a word for each resident page; answers the bytes (SPEC D34, D35).
pub(crate) fn working_set_list(call: &mut Call<'_>, process: Handle, buffer: UserPtr, length: u64) -> Answer {
    let width = call.pointer_bytes();
    if length < width {
        return Err(NtStatus::INFO_LENGTH_MISMATCH.into());
    }
    call.probe_write(buffer, width)?;
    let process = call.memory_of(process, PROCESS_QUERY_INFORMATION)?;
    let pages = call.mm.working_set_pages(process);
    let count = pages.len() as u64;
    call.write_word(buffer, count)?;
    let needed = (count + 1) * width;
    if length < needed {
        return Err(NtStatus::INFO_LENGTH_MISMATCH.into());
    }
    let words = pages.into_iter().map(list_word);
    let bytes: Vec<u8> = words.flat_map(|word| word.to_le_bytes().into_iter().take(width as usize)).collect();
    call.write(buffer.offset(width), &bytes)?;
    Ok(needed)
}

/// Protection 5 bits, sharers 3, shared 1, node 3, page (SPEC D34).
fn list_word(page: ResidentPage) -> u64 {
    let protection = u64::from(page.protection.to_pte().bits());
    protection | sharers(page) << 5 | shared(page.owner) << 8 | page.vpn.raw() << 12
}

fn sharers(page: ResidentPage) -> u64 {
    u64::from(page.share_count.min(MOST_SHARERS))
}

const fn shared(owner: PageOwner) -> u64 {
    match owner {
        PageOwner::Private => 0,
        PageOwner::Section => 1,
    }
}

/// `MemoryWorkingSetExInformation`.
pub(super) fn query_attributes(call: &mut Call<'_>) -> Answer {
    let (process, buffer, length) = (call.handle(0), call.ptr(3), call.arg(4));
    let bytes = working_set_attributes(call, process, buffer, length)?;
    tell(call, bytes)
}

/// An array of addresses, each with a word for its attributes; answers the bytes (SPEC D30 to D33).
pub(crate) fn working_set_attributes(
    call: &mut Call<'_>,
    process: Handle,
    buffer: UserPtr,
    length: u64,
) -> Answer {
    let width = call.pointer_bytes();
    if !has_attributes(call.nt.edition) {
        return Err(NtStatus::INVALID_INFO_CLASS.into());
    }
    if length == 0 || !length.is_multiple_of(2 * width) {
        return Err(NtStatus::INFO_LENGTH_MISMATCH.into());
    }
    let process = call.memory_of(process, PROCESS_QUERY_INFORMATION)?;
    let entries = length / (2 * width);
    for first in (0..entries).step_by(ENTRIES_PER_PIECE as usize) {
        let count = ENTRIES_PER_PIECE.min(entries - first);
        answer_entries(call, process, buffer.offset(first * 2 * width), count)?;
    }
    Ok(length)
}

fn answer_entries(
    call: &mut Call<'_>,
    process: ProcessId,
    at: UserPtr,
    count: u64,
) -> Result<(), crate::claim::BadPointer> {
    let width = call.pointer_bytes();
    call.probe_write(at, count * 2 * width)?;
    for entry in 0..count {
        let at = at.offset(entry * 2 * width);
        let address = VirtAddr::new(call.read_word(at)?);
        let attributes = call.mm.page_attributes(process, address);
        let word = attribute_word(attributes, call.nt.edition);
        call.write_word(at.offset(width), word)?;
    }
    Ok(())
}

/// The class came with Windows Server 2003 SP1 and Vista: `QueryWorkingSetEx`'s documentation.
const fn has_attributes(edition: &Edition) -> bool {
    edition.version.major >= 6
}

/// Whether the word of an absent page tells where its content is: since Windows 8.1.
const fn tells_places(edition: &Edition) -> bool {
    edition.version.major > 6 || edition.version.major == 6 && edition.version.minor >= 3
}

/// `PSAPI_WORKING_SET_EX_BLOCK` (SPEC D31, D32).
fn attribute_word(attributes: PageAttributes, edition: &Edition) -> u64 {
    match attributes {
        PageAttributes::Resident(page) => {
            let locked = match page.lock {
                PageLock::Free => 0,
                PageLock::Locked => 1 << 22,
            };
            let owner = shared(page.owner);
            let protection = u64::from(page.protection.raw()) << 4;
            let priority = u64::from(page.priority) << 24;
            1 | sharers(page) << 1 | protection | owner << 15 | locked | priority | owner << 30
        }
        PageAttributes::Absent(page) => {
            let owner = shared(page.owner) << 15;
            owner | if tells_places(edition) { place_bits(page.place) } else { 0 }
        }
    }
}

/// Location 1 is memory, 2 a page file (SPEC D32).
fn place_bits(place: ContentPlace) -> u64 {
    match place {
        ContentPlace::Nowhere => 0,
        ContentPlace::Frame { priority, list } => {
            let modified = match list {
                ContentList::Other => 0,
                ContentList::Modified => 1 << 27,
            };
            1 << 22 | u64::from(priority) << 24 | modified
        }
        ContentPlace::PageFile => 2 << 22,
    }
}

fn tell(call: &mut Call<'_>, bytes: u64) -> Answer {
    let returned = call.ptr(5);
    if !returned.is_null() {
        call.write_word(returned, bytes)?;
    }
    Ok(0)
}
