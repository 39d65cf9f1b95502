//! Memory counters as Win32 functions: of a process, of the machine, and the old form of its status (SPEC J18 to J25).

use super::memory::memory_status;
use crate::executive::{MemoryUsage, PROCESS_VM_READ, performance_pages};
use crate::service::{Answer, Arg, Call, Export};
use vadose_facts::ntdef::{Bitness, Win32Error};

use Arg::{U32, Word};

/// The functions of this file.
pub(crate) const EXPORTS: &[Export] = &[
    Export::system("K32GetProcessMemoryInfo", &[Word, Word, U32], get_process_memory_info)
        .set("core-psapi")
        .since(6, 1),
    Export::system("K32GetPerformanceInfo", &[Word, U32], get_performance_info).set("core-psapi").since(6, 1),
    Export::library("GlobalMemoryStatus", &[Word], global_memory_status).only_in_kernel32(),
];

/// Pointer-sized counters of `PROCESS_MEMORY_COUNTERS`; the extended form has one more.
const COUNTERS: u64 = 8;

/// `GetProcessMemoryInfo(process, *counters, bytes)`: the extended form if there is room for it (SPEC J18, J19, J20).
pub(super) fn get_process_memory_info(call: &mut Call<'_>) -> Answer {
    let (process, at, room) = (call.handle(0), call.ptr(1), u64::from(call.u32(2)));
    let width = call.pointer_bytes();
    let (plain, extended) = (8 + COUNTERS * width, 8 + (COUNTERS + 1) * width);
    if room < plain {
        return Err(Win32Error::INSUFFICIENT_BUFFER.into());
    }
    call.require_query(process)?;
    let process = call.memory_of(process, if is_old(call) { PROCESS_VM_READ } else { 0 })?;
    let usage = MemoryUsage::from(call.mm.process_counters(process));
    let bytes = if room >= extended { extended } else { plain };
    call.probe_write(at, bytes)?;
    call.write_u32(at, bytes as u32)?;
    call.write_u32(at.offset(4), usage.page_faults)?;
    for (place, value) in (8..bytes).step_by(width as usize).zip(usage.counters()) {
        call.write_word(at.offset(place), value)?;
    }
    Ok(1)
}

/// Up to Windows 2003 the right to read is asked for as well: `GetProcessMemoryInfo`'s documentation.
fn is_old(call: &Call<'_>) -> bool {
    call.nt.edition.version.major < 6
}

/// `GetPerformanceInfo(*information, bytes)` (SPEC J25).
pub(super) fn get_performance_info(call: &mut Call<'_>) -> Answer {
    let (at, room) = (call.ptr(0), u64::from(call.u32(1)));
    let width = call.pointer_bytes();
    let pages = performance_pages(call.mm.counters(), call.mm.ram().frames());
    let tail = width + pages.len() as u64 * width;
    let bytes = (tail + 12).next_multiple_of(width);
    if room < bytes {
        return Err(Win32Error::BAD_LENGTH.into());
    }
    call.probe_write(at, bytes)?;
    call.write_u32(at, bytes as u32)?;
    for (place, value) in (width..tail).step_by(width as usize).zip(pages) {
        call.write_word(at.offset(place), value)?;
    }
    let handles: usize = call.nt.living_processes().map(|process| process.handles.count()).sum();
    let (processes, threads) = (call.nt.living_processes().count(), call.nt.threads.living().count());
    for (place, value) in [(0, handles), (4, processes), (8, threads)] {
        call.write_u32(at.offset(tail + place), value as u32)?;
    }
    Ok(1)
}

/// The most that `GlobalMemoryStatus` tells a 32-bit program that is not large-address-aware: its documentation.
const MOST_BYTES: u64 = 0x7fff_ffff;

/// `GlobalMemoryStatus(*status)`: sizes as wide as a pointer; what does not fit is told as the most that does.
fn global_memory_status(call: &mut Call<'_>) -> Answer {
    let at = call.ptr(0);
    let width = call.pointer_bytes();
    let status = memory_status(call);
    let most = match call.nt.edition.bitness {
        Bitness::Bits32 => MOST_BYTES,
        Bitness::Bits64 => u64::MAX,
    };
    call.write_u32(at, (8 + 6 * width) as u32)?;
    call.write_u32(at.offset(4), status.load_percent)?;
    for (place, bytes) in (8..).step_by(width as usize).zip(&status.bytes[..6]) {
        call.write_word(at.offset(place), (*bytes).min(most))?;
    }
    Ok(0)
}
