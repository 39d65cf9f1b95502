//! Looking at address spaces and counts without changing anything.

mod frame;
mod usage;
mod walk;

pub use frame::{FrameLook, FrameOwner, OriginalEntry, OwningEntry};
pub use usage::{FrameUse, FrameUser};
pub use walk::{PageWalk, PrototypeEntry, WalkEnd, WalkStep};

use crate::commit::Commit;
use crate::id::ProcessId;
use crate::movements::Movements;
use crate::pfn::FrameCounts;
use crate::process::{FaultCounts, Process};
use crate::pte::PteState;
use crate::request::RegionBacking;
use crate::section::Backing;
use crate::state::Mm;
use crate::vad::{Vad, VadKind};
use crate::working_set::WorkingSetLimits;
use vadose_facts::addr::{PageRange, PhysAddr, VirtAddr, Vpn};
use vadose_facts::ntdef::{MemoryState, MemoryType, Protection};
use vadose_facts::x86::PhysicalMemory;

/// A run of pages of one VAD that a query would report as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// The pages.
    pub range: PageRange,
    /// Reserved or committed.
    pub state: MemoryState,
    /// `None` while reserved.
    pub protection: Option<Protection>,
    /// First byte of the allocation that it is part of.
    pub allocation_base: VirtAddr,
    /// The protection given when the allocation was made.
    pub allocation_protection: Protection,
    /// Private, mapped or image.
    pub kind: MemoryType,
    /// What is behind it.
    pub backing: RegionBacking,
    /// Pages that are in a frame and mapped.
    pub resident_pages: u64,
}

impl Region {
    /// The same pages and those of `next`, if `next` begins where they end and is like them.
    pub fn joined(self, next: Self) -> Option<Self> {
        let same = Self { range: next.range, resident_pages: next.resident_pages, ..self } == next;
        let range = PageRange::inclusive(self.range.start(), next.range.last());
        let resident_pages = self.resident_pages + next.resident_pages;
        (same && self.range.end() == next.range.start()).then_some(Self { range, resident_pages, ..self })
    }
}

/// Counts of the whole machine, in pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counters {
    /// Frames by location.
    pub frames: FrameCounts,
    /// Commit charge, peak and limit.
    pub commit: Commit,
    /// The kernel's own pages.
    pub kernel: KernelPages,
    /// Pages that moved since the start.
    pub movements: Movements,
}

/// Pages of the kernel's own structures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelPages {
    /// The pool of prototype entries.
    pub paged_pages: u64,
    /// The kernel's page tables, those of processes not included, and what it made at its start.
    pub nonpaged_pages: u64,
}

/// Counts of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessCounters {
    /// Faults by how they ended.
    pub faults: FaultCounts,
    /// Pages mapped now.
    pub resident_pages: u64,
    /// The most that were ever mapped.
    pub peak_resident_pages: u64,
    /// Pages charged for private memory (SPEC J20).
    pub commit_pages: u64,
    /// The most that were ever charged.
    pub peak_commit_pages: u64,
    /// Pages of all regions, reserved ones included.
    pub virtual_pages: u64,
    /// The most that were ever in regions.
    pub peak_virtual_pages: u64,
    /// Pages that are locked (SPEC J7).
    pub locked_pages: u64,
    /// Limits of the working set (SPEC J1).
    pub limits: WorkingSetLimits,
    /// Frames of its page tables.
    pub table_pages: u64,
    /// Number of VADs.
    pub vads: usize,
}

impl<R: PhysicalMemory> Mm<R> {
    /// Every region of a process, lowest first. Free space is what lies between.
    ///
    /// # Panics
    ///
    /// If the process is gone.
    pub fn regions(&self, process: ProcessId) -> Vec<Region> {
        let mut at = Vpn::new(0);
        std::iter::from_fn(|| {
            let region = self.region_from(process, at)?;
            at = region.range.end();
            Some(region)
        })
        .collect()
    }

    /// The region that holds a page, from that page on, or the next one above it. Like a query's answer it ends before a
    /// page table that is in a page file, which is wanted then; nothing is known yet if it is the first page's.
    ///
    /// # Panics
    ///
    /// If the process is gone.
    pub fn region_from(&self, process: ProcessId, vpn: Vpn) -> Option<Region> {
        let owner = self.process(process);
        let vad = owner.vads.find(vpn).or_else(|| owner.vads.first_from(vpn))?;
        let vad = owner.vads.get(vad);
        let rest = PageRange::inclusive(vpn.max(vad.range.start()), vad.range.last());
        let (view, end) = self.page_run(owner, vad, rest);
        let range = PageRange::new(rest.start(), end.raw() - rest.start().raw()).expect("a run has a page");
        Some(Region {
            range,
            state: view.state,
            protection: view.protection,
            allocation_base: vad.range.base(),
            allocation_protection: vad.protection,
            kind: vad.memory_type(),
            backing: self.backing(vad),
            resident_pages: match vad.kind {
                VadKind::LargePages => range.pages(),
                VadKind::Private { .. }
                | VadKind::Image { .. }
                | VadKind::Mapped { .. }
                | VadKind::SharedUserData
                | VadKind::Placeholder
                | VadKind::PhysicalWindow => self.resident_in(owner, range),
            },
        })
    }

    fn resident_in(&self, process: &Process, range: PageRange) -> u64 {
        let mut resident = 0;
        self.each_table_entry(process, range, |_, _, pte| {
            resident += u64::from(matches!(pte, PteState::Valid(_)));
        });
        resident
    }

    /// Calls `each` for every page of a range whose entry has a table.
    pub(crate) fn each_table_entry(
        &self,
        process: &Process,
        range: PageRange,
        mut each: impl FnMut(Vpn, PhysAddr, PteState),
    ) {
        self.each_entry(process.root, range, |vpn, at, raw| each(vpn, at, self.format.decode(raw)));
    }

    /// Where a page's entry lies in RAM and what it says; `None` while there is no table for it.
    ///
    /// # Panics
    ///
    /// If the process is gone.
    pub fn page_entry(&self, process: ProcessId, address: VirtAddr) -> Option<(PhysAddr, u64, PteState)> {
        let at = self.entry_of(self.process(process).root, address.vpn())?;
        let raw = self.read(at);
        Some((at, raw, self.format.decode(raw)))
    }

    /// Whether the next touch of a page may hit its guard, so that its fault needs to know the thread's stack (SPEC E17).
    ///
    /// # Panics
    ///
    /// If the process is gone.
    pub fn is_guarded(&self, process: ProcessId, address: VirtAddr) -> bool {
        let (owner, vpn) = (self.process(process), address.vpn());
        let Some(vad) = owner.vads.find(vpn).map(|vad| owner.vads.get(vad)) else {
            return false;
        };
        self.wanted.set(None);
        let view = self.page_view(owner, vad, vpn, self.pte(owner.root, vpn));
        // Nobody knows while the page's table is in a page file.
        self.wanted.take().is_some() || view.protection.is_some_and(Protection::is_guard)
    }

    /// Every entry of a process's page tables that says something, lowest page first: what it holds, page for page.
    ///
    /// # Panics
    ///
    /// If the process is gone.
    pub fn page_entries(&self, process: ProcessId) -> Vec<(Vpn, u64)> {
        let owner = self.process(process);
        let user = PageRange::inclusive(Vpn::new(0), owner.max_user.vpn());
        self.entries_in(owner, user).into_iter().map(|(vpn, at)| (vpn, self.read(at))).collect()
    }

    /// Counts of the whole machine.
    pub fn counters(&self) -> Counters {
        let kernel = KernelPages {
            paged_pages: self.pool.pages_taken(),
            nonpaged_pages: self.boot_pages + self.pool.table_pages,
        };
        Counters { frames: self.pfn.counts(), commit: self.commit, kernel, movements: self.movements }
    }

    /// Counts of one process.
    ///
    /// # Panics
    ///
    /// If the process is gone.
    pub fn process_counters(&self, process: ProcessId) -> ProcessCounters {
        let owner = self.process(process);
        ProcessCounters {
            faults: owner.faults,
            resident_pages: owner.resident_pages,
            peak_resident_pages: owner.peak_resident_pages,
            commit_pages: owner.commit_pages,
            peak_commit_pages: owner.peak_commit_pages,
            virtual_pages: owner.virtual_pages,
            peak_virtual_pages: owner.peak_virtual_pages,
            locked_pages: owner.working_set.locks.len() as u64,
            limits: owner.working_set.limits,
            table_pages: owner.table_pages,
            vads: owner.vads.len(),
        }
    }

    pub(crate) fn backing(&self, vad: &Vad) -> RegionBacking {
        let view = match vad.kind {
            VadKind::Private { .. } => return RegionBacking::Private,
            VadKind::SharedUserData => return RegionBacking::SharedUserData,
            VadKind::Placeholder => return RegionBacking::Placeholder,
            VadKind::PhysicalWindow => return RegionBacking::PhysicalWindow,
            VadKind::LargePages => return RegionBacking::LargePages,
            VadKind::Image { view } | VadKind::Mapped { view } => view,
        };
        match &self.area(view.area).backing {
            Backing::Image(image) => RegionBacking::Image(image.file),
            Backing::File { file, .. } => RegionBacking::File(*file),
            Backing::PageFile { .. } => RegionBacking::PageFile,
        }
    }
}
