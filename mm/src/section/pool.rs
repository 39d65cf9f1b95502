//! The kernel's address range for prototype entries: whole pages, really mapped in the kernel half.

use crate::pfn::{LastShare, ListName, PfnFlags};
use crate::state::Mm;
use crate::system::{directory, write_entry};
use std::collections::BTreeMap;
use vadose_facts::addr::{PAGE_BYTES, PageRange, Pfn, PhysAddr, VirtAddr};
use vadose_facts::ntdef::NtStatus;
use vadose_facts::x86::{EntryBits, NoExecute, PhysicalMemory, Stale};

/// Which pages of the pool are taken.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    base: VirtAddr,
    pages: u64,
    /// First page and length of each run.
    runs: BTreeMap<u64, u64>,
    /// No page below this one is free, and no run lies across it.
    full_below: u64,
    /// Pages of all runs.
    taken_pages: u64,
    /// Frames of kernel page tables that map it: they stay.
    pub(crate) table_pages: u64,
}

/// A run of pool pages and the frames behind it.
#[derive(Clone, Debug)]
pub(crate) struct PoolRun {
    pub(crate) base: VirtAddr,
    frames: Vec<Pfn>,
}

impl Pool {
    pub(crate) fn new(base: VirtAddr, bytes: u64) -> Self {
        Self {
            base,
            pages: bytes / PAGE_BYTES,
            runs: BTreeMap::new(),
            full_below: 0,
            taken_pages: 0,
            table_pages: 0,
        }
    }

    /// Pages of all runs.
    pub(crate) const fn pages_taken(&self) -> u64 {
        self.taken_pages
    }

    fn find(&self, pages: u64) -> Option<u64> {
        let mut start = self.full_below;
        for (&run, &length) in self.runs.range(start..) {
            if run - start >= pages {
                break;
            }
            start = run + length;
        }
        (self.pages - start >= pages).then_some(start)
    }

    fn take(&mut self, start: u64, pages: u64) {
        self.runs.insert(start, pages);
        self.taken_pages += pages;
        while let Some(length) = self.runs.get(&self.full_below) {
            self.full_below += length;
        }
    }

    fn give_back(&mut self, start: u64, pages: u64) {
        assert!(self.runs.remove(&start) == Some(pages), "a pool run is given back once");
        self.full_below = self.full_below.min(start);
        self.taken_pages -= pages;
    }
}

impl PoolRun {
    /// Physical address of a byte of the run.
    pub(crate) fn phys(&self, offset: u64) -> PhysAddr {
        let frame = self.frames[usize::try_from(offset / PAGE_BYTES).expect("a pool run fits the host")];
        frame.base().offset(offset % PAGE_BYTES)
    }

    /// Bytes from the start of the run to a place in RAM; `None` if it is not in the run.
    pub(crate) fn offset_of(&self, at: PhysAddr) -> Option<u64> {
        let page = self.frames.iter().position(|frame| *frame == at.pfn())?;
        Some(page as u64 * PAGE_BYTES + at.frame_offset())
    }

    pub(crate) fn pages(&self) -> u64 {
        self.frames.len() as u64
    }
}

impl<R: PhysicalMemory> Mm<R> {
    /// Takes zeroed pool pages and maps them in every address space. They are charged, kernel tables that they need as
    /// well, and pages that are promised along with them: all or none (SPEC J12).
    ///
    /// # Errors
    ///
    /// `STATUS_INSUFFICIENT_RESOURCES` without address range or frames, `STATUS_COMMITMENT_LIMIT` without charge.
    pub(crate) fn take_pool(&mut self, pages: u64, promised: u64) -> Result<PoolRun, NtStatus> {
        while self.pool.find(pages).is_none() && self.drop_unused_image() {}
        let start = self.pool.find(pages).ok_or(NtStatus::INSUFFICIENT_RESOURCES)?;
        let base = VirtAddr::new(self.pool.base.raw() + start * PAGE_BYTES);
        let range = PageRange::new(base.vpn(), pages).ok_or(NtStatus::INSUFFICIENT_RESOURCES)?;
        let tables = self.missing_tables(self.system.root, range).charges;
        self.need_nonpaged(pages + tables)?;
        self.need_frames(pages + tables).map_err(|_| NtStatus::INSUFFICIENT_RESOURCES)?;
        self.commit.charge((pages + tables).saturating_add(promised))?;
        self.pool.table_pages += tables;
        self.pool.take(start, pages);
        let mut spare: Vec<Pfn> = (0..tables).map(|_| self.take_kernel_frame()).collect();
        let frames = (0..pages).map(|page| self.take_pool_page(base, page, &mut spare)).collect();
        assert!(spare.is_empty(), "as many tables as were missing");
        Ok(PoolRun { base, frames })
    }

    /// A zeroed frame that is the kernel's own. Nobody runs its bytes, so nothing needs to be told of it.
    fn take_kernel_frame(&mut self) -> Pfn {
        let mut stale = Stale::none();
        let pfn = self.take_zeroed(&mut stale).expect("the caller made sure of frames");
        stale.nothing_cached();
        self.pfn.activate(pfn, PhysAddr::new(0), 0, PfnFlags::empty());
        pfn
    }

    fn take_pool_page(&mut self, base: VirtAddr, page: u64, spare: &mut Vec<Pfn>) -> Pfn {
        let pfn = self.take_kernel_frame();
        let no_execute = match self.edition.no_execute {
            NoExecute::Enforced => EntryBits::NO_EXECUTE,
            NoExecute::Off => EntryBits::empty(),
        };
        let data =
            EntryBits::PRESENT | EntryBits::WRITABLE | EntryBits::ACCESSED | EntryBits::DIRTY | no_execute;
        let va = VirtAddr::new(base.raw() + page * PAGE_BYTES);
        self.map_kernel(va, pfn.base().raw() | data.bits(), spare);
        pfn
    }

    fn map_kernel(&mut self, va: VirtAddr, leaf: u64, spare: &mut Vec<Pfn>) {
        let mode = self.edition.paging;
        let mut take = || spare.pop().expect("as many tables as were missing");
        let copied = self.system.map(&self.ram, mode, va, leaf, &mut take);
        let Some(copied) = copied else { return };
        for (_, process) in self.processes.iter() {
            let table = directory(&self.ram, mode, process.root, copied.directory);
            write_entry(&self.ram, mode, table.offset(copied.index * mode.entry_bytes()), copied.value);
        }
    }

    /// Gives pool pages back; their charge is the caller's.
    pub(crate) fn free_pool(&mut self, run: PoolRun) {
        let mode = self.edition.paging;
        let start = (run.base.raw() - self.pool.base.raw()) / PAGE_BYTES;
        let pages = run.pages();
        self.pool.give_back(start, pages);
        for (page, frame) in (0..).zip(run.frames) {
            let va = VirtAddr::new(run.base.raw() + page * PAGE_BYTES);
            let at = self.system.leaf(&self.ram, mode, va);
            write_entry(&self.ram, mode, at, 0);
            assert!(self.pfn.unshare(frame) == LastShare::Yes, "a pool page has one user");
            self.pfn.enter(frame, ListName::Free);
            self.note_frame(frame);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against a plain map of pages: the lowest hole that is large enough, whatever came and went before.
    #[test]
    fn a_run_takes_the_lowest_hole_that_fits() {
        const PAGES: usize = 64;
        let mut pool = Pool::new(VirtAddr::new(0), PAGES as u64 * PAGE_BYTES);
        let mut taken = [false; PAGES];
        let mut runs: Vec<(u64, u64)> = Vec::new();
        let mut state = 5_u64;
        for _ in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let choice = state >> 33;
            if choice % 9 < 5 {
                let pages = 1 + choice / 9 % 7;
                let lowest = taken.windows(pages as usize).position(|hole| hole.iter().all(|page| !page));
                assert_eq!(pool.find(pages), lowest.map(|page| page as u64));
                let Some(start) = lowest else { continue };
                pool.take(start as u64, pages);
                taken[start..start + pages as usize].fill(true);
                runs.push((start as u64, pages));
            } else if !runs.is_empty() {
                let (start, pages) = runs.swap_remove(choice as usize % runs.len());
                pool.give_back(start, pages);
                taken[start as usize..(start + pages) as usize].fill(false);
            }
        }
    }
}
