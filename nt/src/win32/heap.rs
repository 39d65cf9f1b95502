//! Heaps over reserved and committed memory: segments that grow by commit, and large blocks with a region of their own.

use super::heap_blocks::Blocks;
use crate::UserPtr;
use crate::kernel::Kernel;
use crate::service::{Answer, Arg, Call, Export, Failure};
use std::collections::BTreeMap;
use vadose_facts::addr::{GRANULARITY_BYTES, PAGE_BYTES, VirtAddr};
use vadose_facts::ntdef::{AllocationType, Bitness, FreeType, MemoryState, NtStatus, Win32Error};
use vadose_mm::AllocateRequest;

use Arg::{U32, Word};

/// `HEAP_NO_SERIALIZE`.
const NO_SERIALIZE: u32 = 0x1;
/// `HEAP_GENERATE_EXCEPTIONS`.
const GENERATE_EXCEPTIONS: u32 = 0x4;
/// `HEAP_ZERO_MEMORY`.
pub(super) const ZERO_MEMORY: u32 = 0x8;
/// `HEAP_REALLOC_IN_PLACE_ONLY`.
pub(super) const IN_PLACE_ONLY: u32 = 0x10;
/// `HEAP_CREATE_ENABLE_EXECUTE`.
const ENABLE_EXECUTE: u32 = 0x4_0000;
/// Heaps of a process at most.
const MAX_HEAPS: usize = 1 << 16;
/// Bytes at the start of a segment that are the heap's own.
const SEGMENT_HEADER_BYTES: u64 = 0x600;
/// First reservation of a growable heap, and of its second segment; later ones double (SPEC K4).
const FIRST_SEGMENT_BYTES: u64 = 0x1_0000;
const SECOND_SEGMENT_BYTES: u64 = 0x10_0000;
/// Where doubling ends.
const LAST_SEGMENT_BYTES: u64 = 0x100_0000;
/// A segment commits at least two pages at a time (SPEC K4).
const COMMIT_STEP_BYTES: u64 = 2 * PAGE_BYTES;
/// Zeros are written in pieces of this many bytes.
const ZERO_PIECE_BYTES: u64 = 0x1_0000;
/// `ERROR_GEN_FAILURE`.
const GENERAL_FAILURE: Win32Error = Win32Error::new(31);
/// An exception that cannot be continued from.
const NONCONTINUABLE: u32 = 1;
/// Low-fragmentation heap: what `HeapQueryInformation` tells of a growable heap.
const LOW_FRAGMENTATION: u32 = 2;

/// The heap functions.
pub(crate) const EXPORTS: &[Export] = &[
    Export::library("GetProcessHeap", &[], get_process_heap).set("core-heap"),
    Export::library("GetProcessHeaps", &[U32, Word], get_process_heaps).set("core-heap"),
    Export::library("HeapCreate", &[U32, Word, Word], heap_create).set("core-heap"),
    Export::library("HeapDestroy", &[Word], heap_destroy).set("core-heap"),
    Export::library("HeapAlloc", &[Word, U32, Word], heap_alloc).set("core-heap"),
    Export::library("HeapReAlloc", &[Word, U32, Word, Word], heap_realloc).set("core-heap"),
    Export::library("HeapFree", &[Word, U32, Word], heap_free).set("core-heap"),
    Export::library("HeapSize", &[Word, U32, Word], heap_size).on_failure(u64::MAX).set("core-heap"),
    Export::library("HeapValidate", &[Word, U32, Word], heap_validate).set("core-heap"),
    Export::library("HeapCompact", &[Word, U32], heap_compact).set("core-heap"),
    Export::library("HeapLock", &[Word], heap_lock).set("core-heap"),
    Export::library("HeapUnlock", &[Word], heap_lock).set("core-heap"),
    Export::library("HeapSetInformation", &[Word, U32, Word, Word], heap_set_information).set("core-heap"),
    Export::library("HeapQueryInformation", &[Word, U32, Word, Word, Word], heap_query_information)
        .set("core-heap"),
    Export::library("RtlAllocateHeap", &[Word, U32, Word], heap_alloc).in_ntdll(),
    Export::library("RtlReAllocateHeap", &[Word, U32, Word, Word], heap_realloc).in_ntdll(),
    Export::library("RtlFreeHeap", &[Word, U32, Word], heap_free).in_ntdll(),
    Export::library("RtlSizeHeap", &[Word, U32, Word], heap_size).on_failure(u64::MAX).in_ntdll(),
];

/// The heaps of a process by handle, which is the address of their first segment (SPEC K1).
#[derive(Debug, Default)]
pub(crate) struct Heaps(BTreeMap<u64, Heap>);

/// One heap.
#[derive(Debug)]
struct Heap {
    flags: u32,
    growth: Growth,
    segments: Vec<Segment>,
    blocks: Blocks,
    /// Large blocks by address.
    direct: BTreeMap<u64, Direct>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Growth {
    /// Nothing beyond the first segment (SPEC K3).
    Fixed,
    /// The next segment reserves this many bytes.
    Segments(u64),
}

#[derive(Clone, Copy, Debug)]
struct Segment {
    base: u64,
    reserved: u64,
    committed: u64,
}

/// A block with a region of its own (SPEC K7).
#[derive(Clone, Copy, Debug)]
struct Direct {
    region: u64,
    region_bytes: u64,
    size: u64,
}

/// Alignment of blocks, which is also what lies in front of each (SPEC K15).
const fn granule(bitness: Bitness) -> u64 {
    match bitness {
        Bitness::Bits32 => 8,
        Bitness::Bits64 => 16,
    }
}

/// Spans above this get a region of their own (SPEC K6).
const fn direct_threshold(bitness: Bitness) -> u64 {
    match bitness {
        Bitness::Bits32 => 0x7_f000,
        Bitness::Bits64 => 0xf_f000,
    }
}

impl Heap {
    fn protection(&self) -> u32 {
        if self.flags & ENABLE_EXECUTE != 0 { 0x40 } else { 0x04 }
    }

    /// What the program asked for at that address.
    fn size_of(&self, address: u64) -> Option<u64> {
        let small = self.blocks.get(address).map(|block| block.size);
        small.or_else(|| self.direct.get(&address).map(|direct| direct.size))
    }

    /// The first segment, of which `committed` bytes are there already.
    fn adopt(&mut self, base: u64, reserved: u64, committed: u64) {
        self.segments.push(Segment { base, reserved, committed });
        self.blocks.add(base + SEGMENT_HEADER_BYTES, committed - SEGMENT_HEADER_BYTES);
    }
}

impl Kernel<'_> {
    /// Allocates from a heap.
    ///
    /// # Errors
    ///
    /// `INVALID_HANDLE` if there is no such heap, `NO_MEMORY`.
    pub(super) fn heap_allocate(&mut self, handle: u64, flags: u32, size: u64) -> Result<u64, NtStatus> {
        let mut heap = self.take_heap(handle)?;
        let answer = self.allocate_from(&mut heap, size);
        let flags = flags | heap.flags;
        self.put_heap(handle, heap);
        let address = answer?;
        if flags & ZERO_MEMORY != 0 {
            self.zero(address, size)?;
        }
        Ok(address)
    }

    /// The flags that a heap was made with.
    fn heap_flags(&mut self, handle: u64) -> Result<u32, NtStatus> {
        if let Some(heap) = self.nt.process().win32.heaps.0.get(&handle) {
            return Ok(heap.flags);
        }
        let heap = self.take_heap(handle)?;
        let flags = heap.flags;
        self.put_heap(handle, heap);
        Ok(flags)
    }

    /// Frees a block; `None` if it is not one.
    pub(super) fn heap_release(&mut self, handle: u64, address: u64) -> Result<Option<()>, NtStatus> {
        let mut heap = self.take_heap(handle)?;
        let freed = match heap.direct.remove(&address) {
            Some(direct) => self.release_region(direct.region).map(Some),
            None => Ok(heap.blocks.give_back(address).map(|_| ())),
        };
        self.put_heap(handle, heap);
        freed
    }

    /// Changes a block's size for the program, moving it if that is allowed; `None` if it is not a block.
    pub(super) fn heap_resize(
        &mut self,
        handle: u64,
        flags: u32,
        address: u64,
        size: u64,
    ) -> Result<Option<u64>, NtStatus> {
        let mut heap = self.take_heap(handle)?;
        let flags = flags | heap.flags;
        let answer = match heap.size_of(address) {
            Some(old) if size > old => self
                .ask_for_memory(NtStatus::NO_MEMORY)
                .and_then(|()| self.resize_in(&mut heap, flags, (address, old), size))
                .map(Some),
            Some(old) => self.resize_in(&mut heap, flags, (address, old), size).map(Some),
            None => Ok(None),
        };
        self.put_heap(handle, heap);
        answer
    }

    /// The size of a block; `None` if it is not one.
    pub(super) fn heap_size_of(&mut self, handle: u64, address: u64) -> Result<Option<u64>, NtStatus> {
        let heap = self.take_heap(handle)?;
        let size = heap.size_of(address);
        self.put_heap(handle, heap);
        Ok(size)
    }

    fn take_heap(&mut self, handle: u64) -> Result<Heap, NtStatus> {
        let process = self.nt.process_mut();
        if let Some(heap) = process.win32.heaps.0.remove(&handle) {
            return Ok(heap);
        }
        if handle != process.heap.raw() {
            return Err(NtStatus::INVALID_HANDLE);
        }
        self.adopt_process_heap()
    }

    fn put_heap(&mut self, handle: u64, heap: Heap) {
        self.nt.process_mut().win32.heaps.0.insert(handle, heap);
    }

    fn new_heap(&self, flags: u32, growth: Growth) -> Heap {
        let blocks = Blocks::new(granule(self.nt.edition.bitness));
        Heap { flags, growth, segments: Vec::new(), blocks, direct: BTreeMap::new() }
    }

    /// The default heap when it is first used: its region is there since the process started (SPEC K11).
    fn adopt_process_heap(&mut self) -> Result<Heap, NtStatus> {
        let base = self.nt.process().heap;
        let first = self.query(base)?;
        // A program may have released the region by itself before it asked for a block.
        if first.allocation_base != Some(base) || first.state != MemoryState::Committed {
            return Err(NtStatus::NO_MEMORY);
        }
        let committed = first.size;
        let rest = base.checked_add(committed).and_then(|behind| self.query(behind).ok());
        let rest = rest.filter(|rest| rest.allocation_base == Some(base));
        let reserved = committed + rest.map_or(0, |rest| rest.size);
        let mut heap = self.new_heap(0, Growth::Segments(SECOND_SEGMENT_BYTES));
        heap.adopt(base.raw(), reserved, committed);
        Ok(heap)
    }

    fn allocate_from(&mut self, heap: &mut Heap, size: u64) -> Result<u64, NtStatus> {
        let span = heap.blocks.span(size).ok_or(NtStatus::NO_MEMORY)?;
        if span > direct_threshold(self.nt.edition.bitness) {
            return self.allocate_directly(heap, size);
        }
        if let Some(address) = heap.blocks.take(size) {
            return Ok(address);
        }
        self.grow(heap, span)?;
        Ok(heap.blocks.take(size).expect("the heap grew by the block's span"))
    }

    /// A region of its own: the block begins four granules behind its base (SPEC K7).
    fn allocate_directly(&mut self, heap: &mut Heap, size: u64) -> Result<u64, NtStatus> {
        if heap.growth == Growth::Fixed {
            return Err(NtStatus::NO_MEMORY);
        }
        let header = 4 * granule(self.nt.edition.bitness);
        let bytes = size.checked_add(header).ok_or(NtStatus::NO_MEMORY)?;
        let request = AllocateRequest {
            base: None,
            size: bytes,
            zero_bits: 0,
            kind: AllocationType::RESERVE | AllocationType::COMMIT,
            protection: heap.protection(),
        };
        let (region, region_bytes) = self.allocate(request)?;
        let address = region.raw() + header;
        heap.direct.insert(address, Direct { region: region.raw(), region_bytes, size });
        Ok(address)
    }

    /// Commits more of a segment, or reserves a new one (SPEC K4).
    fn grow(&mut self, heap: &mut Heap, span: u64) -> Result<(), NtStatus> {
        let protection = heap.protection();
        let wanted = span.max(COMMIT_STEP_BYTES).next_multiple_of(PAGE_BYTES);
        for segment in &mut heap.segments {
            let room = segment.reserved - segment.committed;
            let step = if room >= wanted { wanted } else { room };
            if step < span {
                continue;
            }
            let at = segment.base + segment.committed;
            self.commit(at, step, protection)?;
            segment.committed += step;
            heap.blocks.add(at, step);
            return Ok(());
        }
        let Growth::Segments(reserve) = heap.growth else { return Err(NtStatus::NO_MEMORY) };
        let commit = (span + SEGMENT_HEADER_BYTES).max(COMMIT_STEP_BYTES).next_multiple_of(PAGE_BYTES);
        let base = self.reserve_segment(reserve.max(commit), commit, protection)?;
        heap.adopt(base, reserve.max(commit).next_multiple_of(PAGE_BYTES), commit);
        heap.growth = Growth::Segments((reserve * 2).min(LAST_SEGMENT_BYTES));
        Ok(())
    }

    /// Reserves a segment and commits its start.
    fn reserve_segment(&mut self, reserve: u64, commit: u64, protection: u32) -> Result<u64, NtStatus> {
        let base = self.reserve_scattered(reserve, 0, protection)?;
        match self.commit(base.raw(), commit, protection) {
            Ok(()) => Ok(base.raw()),
            Err(status) => {
                self.release_region(base.raw())?;
                Err(status)
            }
        }
    }

    fn commit(&mut self, at: u64, bytes: u64, protection: u32) -> Result<(), NtStatus> {
        let request = AllocateRequest {
            base: Some(VirtAddr::new(at)),
            size: bytes,
            zero_bits: 0,
            kind: AllocationType::COMMIT,
            protection,
        };
        self.allocate(request).map(|_| ())
    }

    /// A region that the guest has released behind the heap's back is gone all the same.
    fn release_region(&mut self, base: u64) -> Result<(), NtStatus> {
        self.free(VirtAddr::new(base), 0, FreeType::RELEASE).map(|_| ())
    }

    fn resize_in(
        &mut self,
        heap: &mut Heap,
        flags: u32,
        (address, old): (u64, u64),
        size: u64,
    ) -> Result<u64, NtStatus> {
        if self.resize_in_place(heap, address, size) {
            if flags & ZERO_MEMORY != 0 && size > old {
                self.zero(address + old, size - old)?;
            }
            return Ok(address);
        }
        if flags & IN_PLACE_ONLY != 0 {
            return Err(NtStatus::NO_MEMORY);
        }
        let moved = self.allocate_from(heap, size)?;
        let own = self.nt.process().pid;
        let (_, status) = self.copy((own, UserPtr::new(address)), (own, UserPtr::new(moved)), old.min(size));
        if !status.is_success() || status == NtStatus::PARTIAL_COPY {
            return Err(NtStatus::ACCESS_VIOLATION);
        }
        if flags & ZERO_MEMORY != 0 && size > old {
            self.zero(moved + old, size - old)?;
        }
        match heap.direct.remove(&address) {
            Some(direct) => self.release_region(direct.region)?,
            None => {
                heap.blocks.give_back(address).expect("the block was looked up before");
            }
        }
        Ok(moved)
    }

    fn resize_in_place(&self, heap: &mut Heap, address: u64, size: u64) -> bool {
        let threshold = direct_threshold(self.nt.edition.bitness);
        match heap.direct.get_mut(&address) {
            Some(direct) => {
                let room = direct.region + direct.region_bytes - address;
                let fits = size <= room && size > threshold / 2;
                if fits {
                    direct.size = size;
                }
                fits
            }
            None => size < threshold && heap.blocks.resize(address, size),
        }
    }

    /// Clears a block, a piece at a time.
    fn zero(&mut self, at: u64, bytes: u64) -> Result<(), NtStatus> {
        let zeros = vec![0; bytes.min(ZERO_PIECE_BYTES) as usize];
        let mut done = 0;
        while done < bytes {
            let piece = (bytes - done).min(ZERO_PIECE_BYTES) as usize;
            let to = UserPtr::new(at).offset(done);
            self.write(to, &zeros[..piece]).map_err(|bad| bad.status)?;
            done += piece as u64;
        }
        Ok(())
    }
}

fn get_process_heap(call: &mut Call<'_>) -> Answer {
    Ok(call.nt.process().heap.raw())
}

/// `GetProcessHeaps(room, *handles)`: how many there are; they are stored if they fit.
fn get_process_heaps(call: &mut Call<'_>) -> Answer {
    let (room, to) = (call.u32(0), call.ptr(1));
    let process = call.nt.process();
    let mut handles = vec![process.heap.raw()];
    handles.extend(process.win32.heaps.0.keys().filter(|handle| **handle != process.heap.raw()));
    let width = call.pointer_bytes();
    if handles.len() <= room as usize {
        for (index, handle) in handles.iter().enumerate() {
            call.write_word(to.offset(index as u64 * width), *handle)?;
        }
    }
    Ok(handles.len() as u64)
}

/// `HeapCreate(flags, commit, maximum)` (SPEC K1, K3).
fn heap_create(call: &mut Call<'_>) -> Answer {
    let (flags, commit, maximum) = (call.u32(0), call.arg(1), call.arg(2));
    if call.nt.process().win32.heaps.0.len() >= MAX_HEAPS {
        return Err(NtStatus::NO_MEMORY.into());
    }
    let growth = if maximum == 0 { Growth::Segments(SECOND_SEGMENT_BYTES) } else { Growth::Fixed };
    let mut heap = call.new_heap(flags, growth);
    let rounded = |bytes: u64, unit| bytes.checked_next_multiple_of(unit).ok_or(NtStatus::NO_MEMORY);
    let commit = rounded(commit.max(COMMIT_STEP_BYTES), PAGE_BYTES)?;
    let reserve = rounded(maximum.max(commit).max(FIRST_SEGMENT_BYTES), GRANULARITY_BYTES)?;
    call.ask_for_memory(NtStatus::NO_MEMORY)?;
    let base = call.reserve_segment(reserve, commit, heap.protection())?;
    heap.adopt(base, reserve, commit);
    call.put_heap(base, heap);
    Ok(base)
}

/// `HeapDestroy(heap)`: everything in it goes; the default heap stays (SPEC K9).
fn heap_destroy(call: &mut Call<'_>) -> Answer {
    let handle = call.arg(0);
    if handle == call.nt.process().heap.raw() {
        return Err(Win32Error::INVALID_PARAMETER.into());
    }
    let heap = call.take_heap(handle)?;
    let segments = heap.segments.iter().map(|segment| segment.base);
    for region in segments.chain(heap.direct.values().map(|direct| direct.region)) {
        // What the guest has released by itself is no longer there to release.
        let _gone = call.release_region(region);
    }
    Ok(1)
}

fn heap_alloc(call: &mut Call<'_>) -> Answer {
    let (handle, flags, size) = (call.arg(0), call.u32(1), call.arg(2));
    let own = call.heap_flags(handle);
    let asked = own.and_then(|_| call.ask_for_memory(NtStatus::NO_MEMORY));
    let answer = asked.and_then(|()| call.heap_allocate(handle, flags, size));
    or_exception(call, flags | own.unwrap_or_default(), answer)
}

/// A failure is an exception in the guest if it asked for that, now or when it made the heap.
fn or_exception(call: &mut Call<'_>, flags: u32, answer: Result<u64, NtStatus>) -> Answer {
    match answer {
        Err(status @ NtStatus::ACCESS_VIOLATION) => Err(Failure::Status(status)),
        Err(status) if flags & GENERATE_EXCEPTIONS != 0 && status != NtStatus::INVALID_HANDLE => {
            raise(call, NtStatus::NO_MEMORY, 0);
            Ok(0)
        }
        Err(NtStatus::INVALID_HANDLE) => Err(Win32Error::INVALID_HANDLE.into()),
        // Whatever the memory manager ran out of, the heap says that there is no memory.
        Err(_) => Err(Win32Error::NOT_ENOUGH_MEMORY.into()),
        Ok(value) => Ok(value),
    }
}

/// Raises an exception behind the call, which has answered zero if it is continued.
pub(super) fn raise(call: &mut Call<'_>, status: NtStatus, flags: u32) {
    call.cpu.set_gpr(0, 0);
    let address = call.cpu.ip();
    let (kernel, cpu) = call.split();
    kernel.raise_flagged(cpu, status, flags, &[], address);
    call.registers_loaded();
}

/// A pointer that is no block: 64-bit processes end at once, as they find their heap corrupt; 32-bit ones get a failure.
fn not_a_block(call: &mut Call<'_>) -> Answer {
    match call.nt.edition.bitness {
        Bitness::Bits32 => Err(Win32Error::INVALID_PARAMETER.into()),
        Bitness::Bits64 => {
            raise(call, NtStatus::HEAP_CORRUPTION, NONCONTINUABLE);
            Ok(0)
        }
    }
}

fn heap_realloc(call: &mut Call<'_>) -> Answer {
    let (handle, flags, address, size) = (call.arg(0), call.u32(1), call.arg(2), call.arg(3));
    if address == 0 {
        return Err(Win32Error::INVALID_PARAMETER.into());
    }
    let own = call.heap_flags(handle).unwrap_or_default();
    match call.heap_resize(handle, flags, address, size) {
        Ok(None) => not_a_block(call),
        Ok(Some(moved)) => Ok(moved),
        Err(status) => or_exception(call, flags | own, Err(status)),
    }
}

/// `HeapFree(heap, flags, block)`: a null block is freed already.
fn heap_free(call: &mut Call<'_>) -> Answer {
    let (handle, address) = (call.arg(0), call.arg(2));
    if address == 0 {
        return Ok(1);
    }
    match call.heap_release(handle, address)? {
        Some(()) => Ok(1),
        None => not_a_block(call),
    }
}

fn heap_size(call: &mut Call<'_>) -> Answer {
    let (handle, address) = (call.arg(0), call.arg(2));
    call.heap_size_of(handle, address)?.ok_or(Failure::Error(Win32Error::INVALID_PARAMETER))
}

/// `HeapValidate(heap, flags, block)`: a null block means the whole heap, whose books the guest cannot reach.
fn heap_validate(call: &mut Call<'_>) -> Answer {
    let (handle, address) = (call.arg(0), call.arg(2));
    let size = call.heap_size_of(handle, address)?;
    Ok(u64::from(address == 0 || size.is_some()))
}

fn heap_compact(call: &mut Call<'_>) -> Answer {
    let handle = call.arg(0);
    let heap = call.take_heap(handle)?;
    let largest = heap.blocks.largest_free();
    call.put_heap(handle, heap);
    Ok(largest)
}

/// One thread: the lock is always free.
fn heap_lock(call: &mut Call<'_>) -> Answer {
    let handle = call.arg(0);
    let heap = call.take_heap(handle)?;
    call.put_heap(handle, heap);
    Ok(1)
}

/// `HeapSetInformation(heap, class, *value, bytes)`: class 0 is the low-fragmentation heap, which fixed and
/// unserialized heaps cannot have (SPEC K14); class 1 ends the process at corruption.
fn heap_set_information(call: &mut Call<'_>) -> Answer {
    let (handle, class, value_at, bytes) = (call.arg(0), call.u32(1), call.ptr(2), call.arg(3));
    match class {
        0 if bytes < 4 => Err(Win32Error::INSUFFICIENT_BUFFER.into()),
        0 => {
            let value = call.read_u32(value_at)?;
            let heap = call.take_heap(handle)?;
            let refused = heap.growth == Growth::Fixed || heap.flags & NO_SERIALIZE != 0;
            call.put_heap(handle, heap);
            if value == LOW_FRAGMENTATION && refused { Err(GENERAL_FAILURE.into()) } else { Ok(1) }
        }
        1 => Ok(1),
        _ => Err(Win32Error::INVALID_PARAMETER.into()),
    }
}

/// `HeapQueryInformation(heap, class, *value, bytes, *needed)`.
fn heap_query_information(call: &mut Call<'_>) -> Answer {
    let (handle, class, to, bytes, needed_at) =
        (call.arg(0), call.u32(1), call.ptr(2), call.arg(3), call.ptr(4));
    if class != 0 {
        return Err(Win32Error::INVALID_PARAMETER.into());
    }
    let heap = call.take_heap(handle)?;
    let plain = heap.growth == Growth::Fixed || heap.flags & NO_SERIALIZE != 0;
    call.put_heap(handle, heap);
    if !needed_at.is_null() {
        call.write_word(needed_at, 4)?;
    }
    if bytes < 4 {
        return Err(Win32Error::INSUFFICIENT_BUFFER.into());
    }
    let low_fragmentation = !plain && call.nt.edition.version.major >= 6;
    call.write_u32(to, if low_fragmentation { LOW_FRAGMENTATION } else { 0 })?;
    Ok(1)
}
