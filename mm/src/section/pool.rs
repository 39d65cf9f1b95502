//! The kernel's address range for prototype entries: whole pages, really mapped in the kernel half.

use crate::pfn::{LastShare, ListName, PfnFlags};
use crate::state::Mm;
use crate::system::{directory, write_entry};
use std::collections::BTreeMap;
use vadose_facts::addr::{PAGE_BYTES, Pfn, PhysAddr, VirtAddr};
use vadose_facts::ntdef::NtStatus;
use vadose_facts::x86::{EntryBits, NoExecute, PhysicalMemory, Stale};

/// Which pages of the pool are taken.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    base: VirtAddr,
    pages: u64,
    /// First page and length of each run.
    runs: BTreeMap<u64, u64>,
}

/// A run of pool pages and the frames behind it.
#[derive(Clone, Debug)]
pub(crate) struct PoolRun {
    pub(crate) base: VirtAddr,
    frames: Vec<Pfn>,
}

impl Pool {
    pub(crate) fn new(base: VirtAddr, bytes: u64) -> Self {
        Self { base, pages: bytes / PAGE_BYTES, runs: BTreeMap::new() }
    }

    fn find(&self, pages: u64) -> Option<u64> {
        let mut start = 0;
        for (&run, &length) in &self.runs {
            if run - start >= pages {
                break;
            }
            start = run + length;
        }
        (self.pages - start >= pages).then_some(start)
    }
}

impl PoolRun {
    /// Physical address of a byte of the run.
    pub(crate) fn phys(&self, offset: u64) -> PhysAddr {
        let frame = self.frames[usize::try_from(offset / PAGE_BYTES).expect("a pool run fits the host")];
        frame.base().offset(offset % PAGE_BYTES)
    }

    pub(crate) fn pages(&self) -> u64 {
        self.frames.len() as u64
    }
}

impl<R: PhysicalMemory> Mm<R> {
    /// Takes zeroed pool pages and maps them in every address space. They are charged (SPEC J12).
    ///
    /// # Errors
    ///
    /// `STATUS_INSUFFICIENT_RESOURCES` without address range or frames, `STATUS_COMMITMENT_LIMIT` without charge.
    pub(crate) fn take_pool(&mut self, pages: u64) -> Result<PoolRun, NtStatus> {
        let start = self.pool.find(pages).ok_or(NtStatus::INSUFFICIENT_RESOURCES)?;
        let tables = pages / self.edition.paging.entries_per_page() + 4;
        self.need_frames(pages + tables).map_err(|_| NtStatus::INSUFFICIENT_RESOURCES)?;
        self.commit.charge(pages)?;
        self.pool.runs.insert(start, pages);
        let base = VirtAddr::new(self.pool.base.raw() + start * PAGE_BYTES);
        let frames = (0..pages).map(|page| self.take_pool_page(base, page)).collect();
        Ok(PoolRun { base, frames })
    }

    fn take_pool_page(&mut self, base: VirtAddr, page: u64) -> Pfn {
        let pfn = self.take_zeroed(&mut Stale::none()).expect("the caller made sure of frames");
        let no_execute = match self.edition.no_execute {
            NoExecute::Enforced => EntryBits::NO_EXECUTE,
            NoExecute::Off => EntryBits::empty(),
        };
        let data =
            EntryBits::PRESENT | EntryBits::WRITABLE | EntryBits::ACCESSED | EntryBits::DIRTY | no_execute;
        self.pfn.activate(pfn, PhysAddr::new(0), 0, PfnFlags::empty());
        self.map_kernel(VirtAddr::new(base.raw() + page * PAGE_BYTES), pfn.base().raw() | data.bits());
        pfn
    }

    fn map_kernel(&mut self, va: VirtAddr, leaf: u64) {
        let mode = self.edition.paging;
        let (pfn, ram) = (&mut self.pfn, &self.ram);
        let copied = self.system.map(ram, mode, va, leaf, &mut || {
            let frame = match pfn.take().expect("the caller made sure of frames") {
                crate::pfn::Taken::Zeroed(frame) => frame,
                crate::pfn::Taken::Dirty(frame) => {
                    ram.zero_frame(frame);
                    frame
                }
                crate::pfn::Taken::Standby(_) => panic!("kernel tables are made while frames are free"),
            };
            pfn.activate(frame, PhysAddr::new(0), 0, PfnFlags::empty());
            frame
        });
        let Some(copied) = copied else { return };
        for (_, process) in self.processes.iter() {
            let table = directory(&self.ram, mode, process.root, copied.directory);
            write_entry(&self.ram, mode, table.offset(copied.index * mode.entry_bytes()), copied.value);
        }
    }

    /// Gives pool pages back.
    pub(crate) fn free_pool(&mut self, run: PoolRun) {
        let mode = self.edition.paging;
        let start = (run.base.raw() - self.pool.base.raw()) / PAGE_BYTES;
        let pages = run.pages();
        assert!(self.pool.runs.remove(&start) == Some(pages), "a pool run is given back once");
        for (page, frame) in (0..).zip(run.frames) {
            let va = VirtAddr::new(run.base.raw() + page * PAGE_BYTES);
            let at = self.system.leaf(&self.ram, mode, va);
            write_entry(&self.ram, mode, at, 0);
            assert!(self.pfn.unshare(frame) == LastShare::Yes, "a pool page has one user");
            self.pfn.enter(frame, ListName::Free);
        }
        self.commit.give_back(pages);
    }
}
