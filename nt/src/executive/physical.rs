//! Address windows as services: a program's own physical pages and the windows that show them (SPEC J38 to J42).

use super::memory::PROCESS_VM_OPERATION;
use crate::claim::UserPtr;
use crate::executive::NO_PREFERRED_NODE;
use crate::kernel::Kernel;
use crate::service::{Answer, Arg, Call, Export, Failure};
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::NtStatus;
use vadose_mm::LockMemory;

use Arg::{U32, Word};

/// Pages that one call may name: more than a machine's RAM has.
const MAX_PAGES: u64 = 1 << 24;

/// The services, and the functions over them.
pub(crate) const EXPORTS: &[Export] = &[
    Export::native("NtAllocateUserPhysicalPages", &[Word, Word, Word], nt_allocate),
    Export::native("NtFreeUserPhysicalPages", &[Word, Word, Word], nt_free),
    Export::native("NtMapUserPhysicalPages", &[Word, Word, Word], nt_map),
    Export::native("NtMapUserPhysicalPagesScatter", &[Word, Word, Word], nt_map_scatter),
    Export::system("AllocateUserPhysicalPages", &[Word, Word, Word], allocate_pages).set("core-memory"),
    Export::system("AllocateUserPhysicalPagesNuma", &[Word, Word, Word, U32], allocate_pages_numa)
        .set("core-memory")
        .since(6, 0),
    Export::system("FreeUserPhysicalPages", &[Word, Word, Word], free_pages).set("core-memory"),
    Export::system("MapUserPhysicalPages", &[Word, Word, Word], map_pages).set("core-memory"),
    Export::system("MapUserPhysicalPagesScatter", &[Word, Word, Word], map_pages_scatter).only_in_kernel32(),
];

/// A Win32 form is the native one with success told by 1.
fn truth(answer: Answer) -> Answer {
    answer.map(|_| 1)
}

fn allocate_pages(call: &mut Call<'_>) -> Answer {
    truth(nt_allocate(call))
}

/// `AllocateUserPhysicalPagesNuma(process, *count, *frames, node)`: there is one node (SPEC A64).
fn allocate_pages_numa(call: &mut Call<'_>) -> Answer {
    let node = call.u32(3);
    if node != 0 && node != NO_PREFERRED_NODE {
        return Err(NtStatus::INVALID_PARAMETER.into());
    }
    truth(nt_allocate(call))
}

fn free_pages(call: &mut Call<'_>) -> Answer {
    truth(nt_free(call))
}

fn map_pages(call: &mut Call<'_>) -> Answer {
    truth(nt_map(call))
}

fn map_pages_scatter(call: &mut Call<'_>) -> Answer {
    truth(nt_map_scatter(call))
}

/// `NtAllocateUserPhysicalPages(process, *count, *frames)`: pointers, handle, privilege. All that was asked for must have
/// room in the array, whatever comes.
fn nt_allocate(call: &mut Call<'_>) -> Answer {
    let (count_at, frames_at) = (call.ptr(1), call.ptr(2));
    let width = call.pointer_bytes();
    call.probe_write(count_at, width)?;
    let count = call.read_word(count_at)?;
    call.probe_write(frames_at, count.saturating_mul(width))?;
    let id = call.memory_of(call.handle(0), PROCESS_VM_OPERATION)?;
    let lock_memory = call.nt.effective_token().lock_memory();
    let none_left = NtStatus::INSUFFICIENT_RESOURCES;
    if lock_memory == LockMemory::Enabled {
        call.ask_for_memory(none_left)?;
    }
    let given = call.charging(none_left, |mm| mm.allocate_physical(id, count, lock_memory))?;
    call.nt.stale.absorb(given.stale);
    let width = width as usize;
    let bytes: Vec<u8> =
        given.frames.iter().flat_map(|frame| frame.raw().to_le_bytes().into_iter().take(width)).collect();
    call.write(frames_at, &bytes)?;
    call.write_word(count_at, given.frames.len() as u64)?;
    Ok(0)
}

/// `NtFreeUserPhysicalPages(process, *count, *frames)`: the count tells how many went, also when one could not.
fn nt_free(call: &mut Call<'_>) -> Answer {
    let (count_at, frames_at) = (call.ptr(1), call.ptr(2));
    let width = call.pointer_bytes();
    call.probe_write(count_at, width)?;
    let count = call.read_word(count_at)?;
    let frames = call.read_words(frames_at, count)?;
    let id = call.memory_of(call.handle(0), PROCESS_VM_OPERATION)?;
    let freed = call.mm.free_physical(id, &frames)?;
    call.nt.stale.absorb(freed.stale);
    call.write_word(count_at, freed.count)?;
    if freed.status == NtStatus::SUCCESS { Ok(0) } else { Err(freed.status.into()) }
}

/// `NtMapUserPhysicalPages(address, count, *frames)`: no array unmaps.
fn nt_map(call: &mut Call<'_>) -> Answer {
    let (base, count, frames_at) = (VirtAddr::new(call.arg(0)), call.arg(1), call.ptr(2));
    let frames = call.read_optional_words(frames_at, count)?;
    let id = call.nt.process().id;
    let stale = call.mm.map_physical(id, base, count, frames.as_deref())?;
    call.nt.stale.absorb(stale);
    Ok(0)
}

/// `NtMapUserPhysicalPagesScatter(*addresses, count, *frames)`.
fn nt_map_scatter(call: &mut Call<'_>) -> Answer {
    let (pages_at, count, frames_at) = (call.ptr(0), call.arg(1), call.ptr(2));
    let pages: Vec<VirtAddr> = call.read_words(pages_at, count)?.into_iter().map(VirtAddr::new).collect();
    let frames = call.read_optional_words(frames_at, count)?;
    let id = call.nt.process().id;
    let stale = call.mm.map_physical_scatter(id, &pages, frames.as_deref())?;
    call.nt.stale.absorb(stale);
    Ok(0)
}

impl Kernel<'_> {
    /// Reads an array of pointer-sized numbers.
    fn read_words(&mut self, at: UserPtr, count: u64) -> Result<Vec<u64>, Failure> {
        if count > MAX_PAGES {
            return Err(NtStatus::INVALID_PARAMETER.into());
        }
        let width = self.pointer_bytes();
        let bytes = self.read_vec(at, count * width)?;
        let word = |raw: &[u8]| raw.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        Ok(bytes.chunks_exact(width as usize).map(word).collect())
    }

    fn read_optional_words(&mut self, at: UserPtr, count: u64) -> Result<Option<Vec<u64>>, Failure> {
        if at.is_null() { Ok(None) } else { self.read_words(at, count).map(Some) }
    }
}
