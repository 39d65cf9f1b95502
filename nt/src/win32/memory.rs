//! The Win32 meaning of the memory API: argument rules, and the last errors of the native calls beneath.

use crate::executive::{Handle, PROCESS_QUERY_INFORMATION, PROCESS_VM_OPERATION, basic_information_size};
use crate::executive::{PROCESSOR_FAMILY, PROCESSOR_REVISION, architecture};
use crate::service::{Answer, Arg, Call, Export};
use vadose_facts::addr::{GRANULARITY_BYTES, PAGE_BYTES, VirtAddr};
use vadose_facts::ntdef::{AllocationType, Bitness, Edition, FreeType, NtStatus, Win32Error};
use vadose_mm::{AllocateRequest, ExtendedRequest};

use Arg::{U32, Word};

/// Bytes of `MEMORYSTATUSEX`.
const MEMORY_STATUS_EX_BYTES: u64 = 64;
/// `VirtualFree` and `VirtualProtect` of the current process.
const SELF: Handle = Handle::CURRENT_PROCESS;

/// The memory functions.
pub(crate) const EXPORTS: &[Export] = &[
    Export::system("VirtualAlloc", &[Word, Word, U32, U32], virtual_alloc).set("core-memory"),
    Export::system("VirtualAllocEx", &[Word, Word, Word, U32, U32], virtual_alloc_ex).set("core-memory"),
    Export::system("VirtualFree", &[Word, Word, U32], virtual_free).set("core-memory"),
    Export::system("VirtualFreeEx", &[Word, Word, Word, U32], virtual_free_ex).set("core-memory"),
    Export::system("VirtualProtect", &[Word, Word, U32, Word], virtual_protect).set("core-memory"),
    Export::system("VirtualProtectEx", &[Word, Word, Word, U32, Word], virtual_protect_ex).set("core-memory"),
    Export::system("VirtualQuery", &[Word, Word, Word], virtual_query).set("core-memory"),
    Export::system("VirtualQueryEx", &[Word, Word, Word, Word], virtual_query_ex).set("core-memory"),
    Export::library("GetSystemInfo", &[Word], get_system_info).set("core-sysinfo"),
    Export::library("GetNativeSystemInfo", &[Word], get_system_info).set("core-sysinfo"),
    Export::system("GlobalMemoryStatusEx", &[Word], global_memory_status_ex).set("core-sysinfo"),
    Export::library("GetLargePageMinimum", &[], get_large_page_minimum).set("core-memory"),
];

fn virtual_alloc(call: &mut Call<'_>) -> Answer {
    allocate(call, SELF, 0)
}

fn virtual_alloc_ex(call: &mut Call<'_>) -> Answer {
    allocate(call, call.handle(0), 1)
}

/// Arguments from `first` on: address, size, type, protection.
fn allocate(call: &mut Call<'_>, process: Handle, first: usize) -> Answer {
    let (base, size) = (call.arg(first), call.arg(first + 1));
    let kind = AllocationType::from_bits_retain(call.u32(first + 2));
    let protection = call.u32(first + 3);
    // The Win32 layer turns an address in the first 64 KiB away by itself (SPEC A66).
    if base != 0 && base < GRANULARITY_BYTES {
        return Err(Win32Error::INVALID_PARAMETER.into());
    }
    let base = (base != 0).then(|| VirtAddr::new(base));
    let request = AllocateRequest { base, size, zero_bits: 0, kind, protection };
    allocate_in(call, process, request.into())
}

/// The process handle is looked at after the arguments (SPEC A13).
pub(super) fn allocate_in(call: &mut Call<'_>, process: Handle, request: ExtendedRequest) -> Answer {
    let edition = call.nt.edition;
    request.check_kind(edition)?;
    request.check_parameters(edition)?;
    request.basic.check_range(edition)?;
    let target = call.require_living(process, PROCESS_VM_OPERATION)?;
    let (base, _) = call.allocate_for_program(target, request)?;
    Ok(base.raw())
}

fn virtual_free(call: &mut Call<'_>) -> Answer {
    free(call, SELF, 0)
}

fn virtual_free_ex(call: &mut Call<'_>) -> Answer {
    free(call, call.handle(0), 1)
}

/// Arguments from `first` on: address, size, type.
fn free(call: &mut Call<'_>, process: Handle, first: usize) -> Answer {
    let (base, size) = (VirtAddr::new(call.arg(first)), call.arg(first + 1));
    let kind = FreeType::from_bits_retain(call.u32(first + 2));
    // A release names the whole allocation by its base (SPEC B11).
    if kind == FreeType::RELEASE && size != 0 {
        return Err(Win32Error::INVALID_PARAMETER.into());
    }
    let target = call.require_living(process, PROCESS_VM_OPERATION)?;
    call.attached(target, |kernel| kernel.free(base, size, kind))?;
    Ok(1)
}

fn virtual_protect(call: &mut Call<'_>) -> Answer {
    protect(call, SELF, 0)
}

fn virtual_protect_ex(call: &mut Call<'_>) -> Answer {
    protect(call, call.handle(0), 1)
}

/// Arguments from `first` on: address, size, protection, pointer to the old protection. Protection, then the pointer,
/// then the handle (SPEC C1, C2, C27).
fn protect(call: &mut Call<'_>, process: Handle, first: usize) -> Answer {
    let (base, size) = (VirtAddr::new(call.arg(first)), call.arg(first + 1));
    let (protection, old_at) = (call.u32(first + 2), call.ptr(first + 3));
    call.nt.edition.parse_new_protection(protection)?;
    call.probe_write(old_at, 4)?;
    let target = call.require_living(process, PROCESS_VM_OPERATION)?;
    let (_, _, old) = call.attached(target, |kernel| kernel.protect(base, size, protection))?;
    call.write_u32(old_at, old.raw())?;
    Ok(1)
}

fn virtual_query(call: &mut Call<'_>) -> Answer {
    query(call, SELF, 0)
}

fn virtual_query_ex(call: &mut Call<'_>) -> Answer {
    query(call, call.handle(0), 1)
}

/// Arguments from `first` on: address, buffer, length. Answers the bytes written (SPEC D1, D2).
fn query(call: &mut Call<'_>, process: Handle, first: usize) -> Answer {
    let (address, buffer) = (VirtAddr::new(call.arg(first)), call.ptr(first + 1));
    let needed = basic_information_size(call.nt.edition.bitness);
    if call.arg(first + 2) < needed {
        return Err(NtStatus::INFO_LENGTH_MISMATCH.into());
    }
    call.probe_write(buffer, needed)?;
    if address.raw() > call.nt.user_limit().raw() {
        return Err(NtStatus::INVALID_PARAMETER.into());
    }
    let target = call.require_living(process, PROCESS_QUERY_INFORMATION)?;
    let info = call.attached(target, |kernel| kernel.query(address))?;
    Ok(call.write_basic_information(buffer, &info)?)
}

/// `GetSystemInfo` (SPEC H1, H2).
fn get_system_info(call: &mut Call<'_>) -> Answer {
    let at = call.ptr(0);
    let width = call.pointer_bytes();
    let architecture = architecture(call.nt.edition.bitness);
    let processor_type: u32 = match call.nt.edition.bitness {
        Bitness::Bits32 => 586,
        Bitness::Bits64 => 8664,
    };
    let limit = call.nt.user_limit();
    call.write_u32(at, u32::from(architecture))?;
    call.write_u32(at.offset(4), PAGE_BYTES as u32)?;
    call.write_word(at.offset(8), Edition::MIN_USER_ADDRESS.raw())?;
    call.write_word(at.offset(8 + width), limit.raw())?;
    call.write_word(at.offset(8 + 2 * width), 1)?;
    let rest = at.offset(8 + 3 * width);
    // One processor.
    call.write_u32(rest, 1)?;
    call.write_u32(rest.offset(4), processor_type)?;
    call.write_u32(rest.offset(8), GRANULARITY_BYTES as u32)?;
    call.write_u16(rest.offset(12), PROCESSOR_FAMILY)?;
    call.write_u16(rest.offset(14), PROCESSOR_REVISION)?;
    Ok(0)
}

/// `GlobalMemoryStatusEx` (SPEC J23).
fn global_memory_status_ex(call: &mut Call<'_>) -> Answer {
    let at = call.ptr(0);
    if u64::from(call.read_u32(at)?) != MEMORY_STATUS_EX_BYTES {
        return Err(Win32Error::INVALID_PARAMETER.into());
    }
    let status = memory_status(call);
    call.write_u32(at.offset(4), status.load_percent)?;
    for (place, bytes) in (8..).step_by(8).zip(status.bytes) {
        call.write_u64(at.offset(place), bytes)?;
    }
    Ok(1)
}

pub(super) struct MemoryStatus {
    pub(super) load_percent: u32,
    /// Physical total and available, commit limit and available, virtual total and available, extended.
    pub(super) bytes: [u64; 7],
}

pub(super) fn memory_status(call: &Call<'_>) -> MemoryStatus {
    let process = call.nt.process().id;
    let system = call.mm.counters();
    let own = call.mm.process_counters(process);
    let total = call.mm.ram().frames() * PAGE_BYTES;
    let available = system.frames.available() * PAGE_BYTES;
    let limit = system.commit.limit_pages() * PAGE_BYTES;
    let left = limit.saturating_sub(system.commit.charged_pages() * PAGE_BYTES);
    let space = call.nt.user_limit().raw() - Edition::MIN_USER_ADDRESS.raw() + 1;
    let free = space.saturating_sub(own.virtual_pages * PAGE_BYTES);
    let load = (total - available.min(total)) * 100 / total.max(1);
    MemoryStatus { load_percent: load as u32, bytes: [total, available, limit, left, space, free, 0] }
}

/// 2 MiB, or 4 MiB without physical address extension (SPEC H19).
fn get_large_page_minimum(call: &mut Call<'_>) -> Answer {
    let levels = call.nt.edition.paging.levels();
    Ok(levels.iter().rev().nth(1).map_or(0, |level| level.span_bytes()))
}
