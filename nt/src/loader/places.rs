//! Places drawn at random by the parts of Windows that are not the memory manager: blocks, stacks and heaps of a process
//! (SPEC H8; `docs/spec-notes.md` names the sources).

use super::pool::READ_WRITE;
use crate::kernel::Kernel;
use vadose_facts::addr::{GRANULARITY_BYTES, PAGE_BYTES, VirtAddr};
use vadose_facts::ntdef::{AllocationType, Aslr, Bitness, NtStatus, Randomization};
use vadose_mm::AllocateRequest;

/// Random bits of the environment block's page up to Windows 7.
const PEB_BITS: u32 = 4;
/// The highest page but one: higher draws count as it.
const LEAST_PEB_DRAW: u64 = 2;
/// Random bits of a stack's or heap's place on Windows Vista and 7.
const SCATTER_BITS: u32 = 5;
/// Random bits of where a stack's first frame is, since Windows Vista.
const FRAME_BITS: u32 = 9;
/// What they are multiplied by: half a page at most.
const FRAME_STEP_BYTES: u64 = 4;
/// What the first frame is aligned to.
const FRAME_ALIGNMENT_32: u64 = 4;
const FRAME_ALIGNMENT_64: u64 = 16;

impl Kernel<'_> {
    /// How many pages below the end of the classic blocks the PEB is (SPEC H8).
    pub(super) fn peb_pages_below_end(&mut self) -> u64 {
        if self.mm.aslr() == Aslr::Off {
            return 1;
        }
        self.nt.places.bits(PEB_BITS).max(LEAST_PEB_DRAW)
    }

    /// Bytes that a new stack begins below its top: programs cannot tell where their frames are.
    pub(crate) fn first_frame_offset(&mut self) -> u64 {
        if self.mm.aslr() == Aslr::Off || self.nt.edition.randomization == Randomization::Environment {
            return 0;
        }
        let alignment = match self.nt.edition.bitness {
            Bitness::Bits32 => FRAME_ALIGNMENT_32,
            Bitness::Bits64 => FRAME_ALIGNMENT_64,
        };
        let offset = self.nt.places.bits(FRAME_BITS) * FRAME_STEP_BYTES;
        offset - offset % alignment
    }

    /// Reserves address space that the edition scatters: on Windows Vista and 7 up to 31 units above the lowest place that
    /// fits; later editions have a random start for every search instead (SPEC G34).
    pub(crate) fn reserve_scattered(
        &mut self,
        size: u64,
        zero_bits: u64,
        protection: u32,
    ) -> Result<VirtAddr, NtStatus> {
        let kind = AllocationType::RESERVE;
        let anywhere = AllocateRequest { base: None, size, zero_bits, kind, protection };
        let (lowest, _) = self.allocate(anywhere)?;
        let scattered = self.nt.edition.randomization == Randomization::Images;
        if !scattered || self.mm.aslr() == Aslr::Off {
            return Ok(lowest);
        }
        let units = self.nt.places.bits(SCATTER_BITS);
        self.free_memory(lowest);
        let wanted = lowest.checked_add(units * GRANULARITY_BYTES);
        let there = AllocateRequest { base: wanted, ..anywhere };
        self.allocate(there).or_else(|_| self.allocate(anywhere)).map(|(base, _)| base)
    }

    /// The same for ordinary memory.
    pub(super) fn reserve_heap(&mut self, size: u64) -> Result<VirtAddr, NtStatus> {
        self.reserve_scattered(size, 0, READ_WRITE)
    }
}

/// The places of further threads' blocks among the classic ones, lowest first: every page but those that are taken.
pub(super) fn spare_places(block: VirtAddr, bytes: u64, taken: [VirtAddr; 2]) -> Vec<VirtAddr> {
    let pages = (block.raw()..block.raw() + bytes).step_by(PAGE_BYTES as usize);
    pages.map(VirtAddr::new).filter(|page| !taken.contains(page)).collect()
}
