//! `LocalAlloc` and `GlobalAlloc`: blocks of the default heap, fixed or behind a handle (SPEC K15).

use super::heap::{IN_PLACE_ONLY, ZERO_MEMORY};
use crate::UserPtr;
use crate::service::{Answer, Arg, Call, Export, Failure};
use std::collections::BTreeMap;
use vadose_facts::ntdef::{NtStatus, Win32Error};

use Arg::{U32, Word};

/// `LMEM_MOVEABLE`.
const MOVEABLE: u32 = 0x2;
/// `LMEM_ZEROINIT`.
const ZERO: u32 = 0x40;
/// `LMEM_MODIFY`.
const MODIFY: u32 = 0x80;
/// `LMEM_DISCARDABLE`, `GMEM_DISCARDABLE`.
const DISCARDABLE: u32 = 0xf00;
/// `LMEM_INVALID_HANDLE`.
const INVALID: u64 = 0x8000;
/// Most locks that a handle counts.
const MAX_LOCKS: u32 = 0xff;

/// The local and global functions: one and the same.
pub(crate) const EXPORTS: &[Export] = &[
    Export::library("LocalAlloc", &[U32, Word], alloc).set("core-heap-obsolete"),
    Export::library("LocalFree", &[Word], free).set("core-heap-obsolete"),
    Export::library("LocalReAlloc", &[Word, Word, U32], realloc).set("core-heap-obsolete"),
    Export::library("LocalSize", &[Word], size).set("core-heap-obsolete"),
    Export::library("LocalFlags", &[Word], flags).on_failure(INVALID).set("core-heap-obsolete"),
    Export::library("LocalLock", &[Word], lock).set("core-heap-obsolete"),
    Export::library("LocalUnlock", &[Word], unlock).set("core-heap-obsolete"),
    Export::library("LocalHandle", &[Word], handle).set("core-heap-obsolete"),
    Export::library("GlobalAlloc", &[U32, Word], alloc).set("core-heap-obsolete"),
    Export::library("GlobalFree", &[Word], free).set("core-heap-obsolete"),
    Export::library("GlobalReAlloc", &[Word, Word, U32], realloc).set("core-heap-obsolete"),
    Export::library("GlobalSize", &[Word], size).set("core-heap-obsolete"),
    Export::library("GlobalFlags", &[Word], flags).on_failure(INVALID).set("core-heap-obsolete"),
    Export::library("GlobalLock", &[Word], lock).set("core-heap-obsolete"),
    Export::library("GlobalUnlock", &[Word], unlock).set("core-heap-obsolete"),
    Export::library("GlobalHandle", &[Word], handle).set("core-heap-obsolete"),
];

/// Movable memory by handle. A handle is a place in a small heap block where no block begins.
#[derive(Debug, Default)]
pub(crate) struct Movable(BTreeMap<u64, Entry>);

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// The memory, 0 if it has none.
    memory: u64,
    locks: u32,
    flags: u32,
}

fn heap_of(call: &Call<'_>) -> u64 {
    call.nt.process().heap.raw()
}

fn entry<'a>(call: &'a mut Call<'_>, handle: u64) -> Option<&'a mut Entry> {
    call.nt.process_mut().win32.movable.0.get_mut(&handle)
}

fn zeroing(flags: u32) -> u32 {
    if flags & ZERO != 0 { ZERO_MEMORY } else { 0 }
}

fn no_memory(_: NtStatus) -> Failure {
    Win32Error::NOT_ENOUGH_MEMORY.into()
}

/// `LocalAlloc(flags, bytes)`.
fn alloc(call: &mut Call<'_>) -> Answer {
    let (flags, bytes) = (call.u32(0), call.arg(1));
    let heap = heap_of(call);
    call.ask_for_memory(NtStatus::NO_MEMORY)?;
    if flags & MOVEABLE == 0 {
        return call.heap_allocate(heap, zeroing(flags), bytes).map_err(no_memory);
    }
    let memory = match bytes {
        0 => 0,
        bytes => call.heap_allocate(heap, zeroing(flags), bytes).map_err(no_memory)?,
    };
    let width = call.pointer_bytes();
    let table = call.heap_allocate(heap, ZERO_MEMORY, 2 * width).map_err(no_memory)?;
    let handle = table + width;
    call.write_word(UserPtr::new(handle), memory)?;
    let entry = Entry { memory, locks: 0, flags: flags & DISCARDABLE };
    call.nt.process_mut().win32.movable.0.insert(handle, entry);
    Ok(handle)
}

/// `LocalFree(handle)`: null when done, the handle when not.
fn free(call: &mut Call<'_>) -> Answer {
    let handle = call.arg(0);
    let heap = heap_of(call);
    if handle == 0 {
        return Ok(0);
    }
    let movable = call.nt.process_mut().win32.movable.0.remove(&handle);
    let blocks = match movable {
        Some(entry) => [handle - call.pointer_bytes(), entry.memory],
        None => [handle, 0],
    };
    for block in blocks.into_iter().filter(|block| *block != 0) {
        if call.heap_release(heap, block)?.is_none() {
            call.set_last_error(Win32Error::INVALID_HANDLE);
            return Ok(handle);
        }
    }
    Ok(0)
}

/// `LocalReAlloc(handle, bytes, flags)`.
fn realloc(call: &mut Call<'_>) -> Answer {
    let (handle, bytes, flags) = (call.arg(0), call.arg(1), call.u32(2));
    let heap = heap_of(call);
    let known = entry(call, handle).map(|entry| *entry);
    if flags & MODIFY != 0 {
        if let Some(entry) = entry(call, handle) {
            entry.flags = flags & DISCARDABLE;
        }
        return Ok(handle);
    }
    let Some(known) = known else {
        let moving = if flags & MOVEABLE != 0 { 0 } else { IN_PLACE_ONLY };
        let resized = call.heap_resize(heap, zeroing(flags) | moving, handle, bytes).map_err(no_memory)?;
        return resized.ok_or(Failure::Error(Win32Error::INVALID_HANDLE));
    };
    let memory = match (known.memory, bytes) {
        (0, bytes) => {
            call.ask_for_memory(NtStatus::NO_MEMORY)?;
            call.heap_allocate(heap, zeroing(flags), bytes).map_err(no_memory)?
        }
        (memory, 0) => {
            call.heap_release(heap, memory)?;
            0
        }
        (memory, bytes) => call
            .heap_resize(heap, zeroing(flags), memory, bytes)
            .map_err(no_memory)?
            .ok_or(Failure::Error(Win32Error::INVALID_HANDLE))?,
    };
    call.write_word(UserPtr::new(handle), memory)?;
    if let Some(entry) = entry(call, handle) {
        entry.memory = memory;
    }
    Ok(handle)
}

fn size(call: &mut Call<'_>) -> Answer {
    let handle = call.arg(0);
    let heap = heap_of(call);
    let block = entry(call, handle).map_or(handle, |entry| entry.memory);
    if block == 0 && handle != 0 {
        return Ok(0);
    }
    call.heap_size_of(heap, block)?.ok_or(Failure::Error(Win32Error::INVALID_HANDLE))
}

/// The lock count in the low byte, and whether the memory can be or was discarded.
fn flags(call: &mut Call<'_>) -> Answer {
    let handle = call.arg(0);
    let heap = heap_of(call);
    if let Some(entry) = entry(call, handle) {
        let discarded = if entry.memory == 0 { 0x4000 } else { 0 };
        return Ok(u64::from(entry.locks | entry.flags | discarded));
    }
    call.heap_size_of(heap, handle)?.ok_or(Failure::Error(Win32Error::INVALID_HANDLE))?;
    Ok(0)
}

/// `LocalLock(handle)`: the memory's address. Fixed memory is its own address.
fn lock(call: &mut Call<'_>) -> Answer {
    let handle = call.arg(0);
    let heap = heap_of(call);
    if let Some(entry) = entry(call, handle) {
        if entry.memory == 0 {
            return Err(Win32Error::new(157).into());
        }
        entry.locks = (entry.locks + 1).min(MAX_LOCKS);
        return Ok(entry.memory);
    }
    call.heap_size_of(heap, handle)?.ok_or(Failure::Error(Win32Error::INVALID_HANDLE))?;
    Ok(handle)
}

/// `LocalUnlock(handle)`: whether it is still locked; zero without an error when it no longer is.
fn unlock(call: &mut Call<'_>) -> Answer {
    let handle = call.arg(0);
    let Some(entry) = entry(call, handle) else { return Ok(1) };
    if entry.locks == 0 {
        return Err(Win32Error::NOT_LOCKED.into());
    }
    entry.locks -= 1;
    let left = entry.locks;
    if left == 0 {
        call.set_last_error(Win32Error::SUCCESS);
    }
    Ok(u64::from(left != 0))
}

/// `LocalHandle(memory)`: the handle behind an address.
fn handle(call: &mut Call<'_>) -> Answer {
    let memory = call.arg(0);
    let heap = heap_of(call);
    let movable = &call.nt.process().win32.movable.0;
    if let Some((handle, _)) = movable.iter().find(|(_, entry)| entry.memory == memory && memory != 0) {
        return Ok(*handle);
    }
    call.heap_size_of(heap, memory)?.ok_or(Failure::Error(Win32Error::INVALID_HANDLE))?;
    Ok(memory)
}
