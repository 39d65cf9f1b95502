//! Large pages: regions that are mapped by directory entries, each over contiguous frames, resident from the start to the
//! release (SPEC A4, A14, B17, J43, J44).

use super::allocate::bad_parameter;
use crate::extended::{AddressRequirements, ExtendedRequest};
use crate::id::ProcessId;
use crate::pfn::{LastShare, ListName, PfnFlags, Taken};
use crate::process::Process;
use crate::request::Allocated;
use crate::state::Mm;
use crate::system::frame_base;
use crate::tables::Leaf;
use crate::vad::{Vad, VadKind, VadMarks};
use vadose_facts::addr::{PAGE_BYTES, PageRange, Pfn, PhysAddr, VirtAddr, Vpn};
use vadose_facts::ntdef::{AllocationType, NtStatus, Protection};
use vadose_facts::x86::{Access, EntryBits, PagingMode, PhysicalMemory, Stale};

/// Bytes of a large page: 2 MiB, or 4 MiB without physical address extension (SPEC H19).
pub const fn large_page_bytes(mode: PagingMode) -> u64 {
    let levels = mode.levels();
    levels[levels.len() - 2].span_bytes()
}

impl<R: PhysicalMemory> Mm<R> {
    /// Reserves, commits and maps large pages in one call (SPEC J43).
    pub(super) fn allocate_large(
        &mut self,
        process: ProcessId,
        request: &ExtendedRequest,
        protection: Protection,
    ) -> Result<Allocated, NtStatus> {
        request.lock_memory.require()?;
        let unit = large_page_bytes(self.edition.paging);
        let range = self.large_range(process, request, unit)?;
        self.need_tables(process, range)?;
        let root = self.process(process).root;
        let tables = self.missing_directories(root, range);
        let mut trial = self.commit;
        trial.charge(tables.saturating_add(range.pages()))?;
        self.need_nonpaged(range.pages())?;
        let wanted = range.bytes() / unit;
        let left = self.pfn.counts().available().checked_sub(range.pages());
        if left.is_none_or(|left| left < tables + super::awe::LEFT_FRAMES) {
            return Err(NtStatus::NO_MEMORY);
        }
        let blocks =
            self.pfn.free_blocks(wanted, unit / PAGE_BYTES).ok_or(NtStatus::INSUFFICIENT_RESOURCES)?;
        let mut stale = Stale::none();
        for block in &blocks {
            self.take_block(*block, unit / PAGE_BYTES, &mut stale);
        }
        self.charge(process, range.pages()).expect("room for the pages was made sure of");
        for (index, block) in (0..).zip(blocks) {
            let at = VirtAddr::new(range.base().raw() + index * unit);
            self.map_block(process, at, block, unit / PAGE_BYTES, protection);
        }
        let (kind, marks) = (VadKind::LargePages, VadMarks::empty());
        self.insert_vad(process, Vad { range, kind, protection, commit_pages: range.pages(), marks });
        Ok(Allocated { base: range.base(), size: range.bytes(), stale })
    }

    /// Base and size are multiples of a large page; so is a base that is found. Nothing that exists is given large
    /// pages afterwards.
    fn large_range(
        &self,
        process: ProcessId,
        request: &ExtendedRequest,
        unit: u64,
    ) -> Result<PageRange, NtStatus> {
        let basic = &request.basic;
        if !basic.size.is_multiple_of(unit) {
            return Err(bad_parameter(self.edition, 4));
        }
        match basic.base {
            Some(_) if !basic.kind.contains(AllocationType::RESERVE) => Err(NtStatus::CONFLICTING_ADDRESSES),
            Some(base) if !base.is_aligned(unit) => Err(bad_parameter(self.edition, 2)),
            Some(base) => self.wanted_place(process, base, basic.size),
            None => {
                let alignment = request.requirements.alignment.max(unit);
                let requirements = AddressRequirements { alignment, ..request.requirements };
                self.found_place(process, &ExtendedRequest { requirements, ..*request })
            }
        }
    }

    /// Takes contiguous frames that are free, and fills them with zeros.
    fn take_block(&mut self, first: Pfn, frames: u64, stale: &mut Stale) {
        for number in first.raw()..first.raw() + frames {
            let pfn = Pfn::new(number);
            let never_used = self.pfn.never_used();
            let taken = self.pfn.take_this(pfn);
            self.note_taken(taken, never_used);
            match taken {
                Taken::Zeroed(pfn) => {
                    if self.pfn.get(pfn).flags.contains(PfnFlags::REWRITTEN) {
                        stale.add_frame(pfn);
                    }
                }
                Taken::Dirty(pfn) => {
                    self.ram.zero_frame(pfn);
                    stale.add_frame(pfn);
                }
                Taken::Standby(pfn) => {
                    self.restore_owner(pfn);
                    self.ram.zero_frame(pfn);
                    stale.add_frame(pfn);
                }
            }
        }
    }

    /// Writes the directory entry of one large page. It is dirty from the start: nobody writes it anywhere.
    fn map_block(
        &mut self,
        process: ProcessId,
        va: VirtAddr,
        first: Pfn,
        frames: u64,
        protection: Protection,
    ) {
        let at = self.make_directory(process, va.vpn());
        assert!(self.read(at) == 0, "nothing was mapped there");
        for number in first.raw()..first.raw() + frames {
            self.pfn.activate(Pfn::new(number), at, 0, PfnFlags::LARGE);
        }
        let bits = self.rights.user_bits(protection, Access::Read)
            | self.rights.protection_bits(protection, EntryBits::DIRTY)
            | EntryBits::LARGE.bits();
        self.set_entry(at, first.base().raw() | bits);
        self.process_mut(process).large_pages += frames;
    }

    /// Unmaps a region of large pages and frees its frames. Empty tables go when the range is tidied.
    pub(crate) fn empty_large(&mut self, process: ProcessId, range: PageRange, stale: &mut Stale) {
        let unit = large_page_bytes(self.edition.paging) / PAGE_BYTES;
        for number in (range.start().raw()..range.end().raw()).step_by(unit as usize) {
            let root = self.process(process).root;
            let Leaf::Large { at, .. } = self.leaf(root, Vpn::new(number)) else {
                unreachable!("a region of large pages is mapped");
            };
            let first = frame_base(self.read(at)).pfn();
            self.set_entry(at, 0);
            self.process_mut(process).large_pages -= unit;
            for frame in first.raw()..first.raw() + unit {
                let frame = Pfn::new(frame);
                assert!(self.pfn.unshare(frame) == LastShare::Yes, "a large page has one mapping");
                self.pfn.enter(frame, ListName::Free);
                self.note_frame(frame);
            }
        }
        stale.add_all();
    }

    /// The directory entries of a region of large pages, with the page that each begins.
    pub(crate) fn large_entries(&self, process: &Process, range: PageRange) -> Vec<(Vpn, Option<PhysAddr>)> {
        let unit = large_page_bytes(self.edition.paging) / PAGE_BYTES;
        let starts = (range.start().raw()..range.end().raw()).step_by(unit as usize).map(Vpn::new);
        starts
            .map(|vpn| match self.leaf(process.root, vpn) {
                Leaf::Large { at, .. } => (vpn, Some(at)),
                Leaf::At(_) | Leaf::Absent { .. } | Leaf::Out { .. } => (vpn, None),
            })
            .collect()
    }
}
