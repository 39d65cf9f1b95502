//! Address windows: physical pages that a program owns, and windows of its address space that it maps them into (SPEC A6,
//! J38 to J42). A page's frame says where it is mapped; the process only says which frames it owns.

use crate::extended::LockMemory;
use crate::id::ProcessId;
use crate::pfn::{LastShare, ListName, PfnFlags};
use crate::state::Mm;
use crate::vad::VadKind;
use vadose_facts::addr::{PAGE_BYTES, PageRange, Pfn, PhysAddr, VirtAddr, Vpn};
use vadose_facts::ntdef::{BaseProtection, NtStatus, Protection};
use vadose_facts::x86::{Access, PhysicalMemory, Stale};

/// Frames that physical and large pages leave for everybody else.
pub(super) const LEFT_FRAMES: u64 = 64;

/// Physical pages given to a program.
#[must_use = "frames may have changed"]
#[derive(Debug, PartialEq, Eq)]
pub struct PhysicalPages {
    /// Their frames, at least one if any were asked for.
    pub frames: Vec<Pfn>,
    /// What the processor must drop.
    pub stale: Stale,
}

/// Physical pages taken back.
#[must_use = "page tables may have changed"]
#[derive(Debug, PartialEq, Eq)]
pub struct FreedPages {
    /// How many, from the first on.
    pub count: u64,
    /// Success, or why the next one could not be taken back.
    pub status: NtStatus,
    /// What the processor must drop.
    pub stale: Stale,
}

/// A page to be mapped: where, and what; no frame unmaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mapping {
    vpn: Vpn,
    frame: Option<Pfn>,
}

impl<R: PhysicalMemory> Mm<R> {
    /// Gives a process physical pages of its own, filled with zeros and never paged; fewer than `count` if there are not
    /// as many (SPEC J38).
    ///
    /// # Errors
    ///
    /// `STATUS_PRIVILEGE_NOT_HELD`, and `STATUS_INSUFFICIENT_RESOURCES` if there is none.
    pub fn allocate_physical(
        &mut self,
        process: ProcessId,
        count: u64,
        lock_memory: LockMemory,
    ) -> Result<PhysicalPages, NtStatus> {
        self.live(process)?;
        lock_memory.require()?;
        let room = self.pfn.counts().available().saturating_sub(LEFT_FRAMES).min(self.nonpaged_room());
        let given = count.min(room).min(self.commit.room_pages());
        if given == 0 && count > 0 {
            return Err(NtStatus::INSUFFICIENT_RESOURCES);
        }
        self.charge(process, given).expect("no more than there is room for");
        let mut pages = PhysicalPages { frames: Vec::new(), stale: Stale::none() };
        for _ in 0..given {
            let frame = self.take_zeroed(&mut pages.stale).expect("no more than there are");
            self.pfn.activate(frame, UNMAPPED, 0, PfnFlags::PHYSICAL);
            self.process_mut(process).physical.insert(frame);
            pages.frames.push(frame);
        }
        Ok(pages)
    }

    /// Takes physical pages back, one after another, and unmaps them where they are mapped (SPEC J42). It ends at the
    /// first that the process does not own, with the earlier ones gone.
    ///
    /// # Errors
    ///
    /// `STATUS_INVALID_HANDLE` for a dead process.
    pub fn free_physical(&mut self, process: ProcessId, frames: &[u64]) -> Result<FreedPages, NtStatus> {
        self.live(process)?;
        let mut freed = FreedPages { count: 0, status: NtStatus::SUCCESS, stale: Stale::none() };
        for frame in frames.iter().copied().map(Pfn::new) {
            if !self.process(process).physical.contains(&frame) {
                freed.status = NtStatus::INVALID_PARAMETER;
                break;
            }
            self.unmap_physical(process, frame, &mut freed.stale);
            self.give_up_physical(process, frame);
            freed.count += 1;
        }
        Ok(freed)
    }

    /// Maps physical pages into a run of a window, or unmaps the run (SPEC J40).
    ///
    /// # Errors
    ///
    /// `STATUS_INVALID_PARAMETER` if the run is not inside one window, or a frame is not the process's or is mapped
    /// already; nothing has changed then.
    pub fn map_physical(
        &mut self,
        process: ProcessId,
        base: VirtAddr,
        count: u64,
        frames: Option<&[u64]>,
    ) -> Result<Stale, NtStatus> {
        let vads = &self.live(process)?.vads;
        let Some(range) = PageRange::new(base.vpn(), count) else {
            return if count == 0 { Ok(Stale::none()) } else { Err(NtStatus::INVALID_PARAMETER) };
        };
        let vad = vads.find(range.start()).map(|vad| vads.get(vad));
        if !vad.is_some_and(|vad| vad.kind == VadKind::PhysicalWindow && vad.range.covers(range)) {
            return Err(NtStatus::INVALID_PARAMETER);
        }
        let mappings: Vec<Mapping> = match frames {
            None => range.iter().map(|vpn| Mapping { vpn, frame: None }).collect(),
            Some(frames) => {
                let frames = frames.iter().map(|frame| Some(Pfn::new(*frame)));
                range.iter().zip(frames).map(|(vpn, frame)| Mapping { vpn, frame }).collect()
            }
        };
        self.apply_mappings(process, &mappings)
    }

    /// Maps physical pages at addresses of one or several windows; a frame of 0, or no frames, unmaps (SPEC J40).
    ///
    /// # Errors
    ///
    /// As [`map_physical`](Self::map_physical).
    pub fn map_physical_scatter(
        &mut self,
        process: ProcessId,
        pages: &[VirtAddr],
        frames: Option<&[u64]>,
    ) -> Result<Stale, NtStatus> {
        let vads = &self.live(process)?.vads;
        let mut mappings = Vec::new();
        for (index, page) in pages.iter().enumerate() {
            let vad = vads.find(page.vpn()).map(|vad| vads.get(vad).kind);
            if vad != Some(VadKind::PhysicalWindow) {
                return Err(NtStatus::INVALID_PARAMETER);
            }
            let frame = frames.and_then(|frames| frames.get(index)).copied().filter(|frame| *frame != 0);
            mappings.push(Mapping { vpn: page.vpn(), frame: frame.map(Pfn::new) });
        }
        self.apply_mappings(process, &mappings)
    }

    /// Every frame must be the process's, mapped nowhere, and named once; then all are mapped.
    fn apply_mappings(&mut self, process: ProcessId, mappings: &[Mapping]) -> Result<Stale, NtStatus> {
        let mut named: Vec<Pfn> = mappings.iter().filter_map(|mapping| mapping.frame).collect();
        named.sort_unstable();
        let twice = named.windows(2).any(|pair| pair[0] == pair[1]);
        let owner = self.process(process);
        let usable = |frame: &Pfn| owner.physical.contains(frame) && self.pfn.get(*frame).pte == UNMAPPED;
        if twice || !named.iter().all(usable) {
            return Err(NtStatus::INVALID_PARAMETER);
        }
        for mapping in mappings.iter().filter(|mapping| mapping.frame.is_some()) {
            let page = PageRange::inclusive(mapping.vpn, mapping.vpn);
            self.need_tables(process, page)?;
            self.need_entries(process, page)?;
            self.make_leaf(process, mapping.vpn);
        }
        let mut stale = Stale::none();
        for mapping in mappings {
            self.map_one(process, *mapping, &mut stale);
        }
        Ok(stale)
    }

    fn map_one(&mut self, process: ProcessId, mapping: Mapping, stale: &mut Stale) {
        let Some(at) = self.entry_of(self.process(process).root, mapping.vpn) else { return };
        self.empty_window_page(at, mapping.vpn, stale);
        if let Some(frame) = mapping.frame {
            let read_write = Protection::plain(BaseProtection::ReadWrite);
            let bits = self.rights.user_bits(read_write, Access::Write);
            self.set_entry(at, frame.base().raw() | bits);
            self.pfn.get_mut(frame).pte = at;
        }
    }

    /// Unmaps what a page of a window shows; the frame stays its owner's.
    fn empty_window_page(&mut self, at: PhysAddr, vpn: Vpn, stale: &mut Stale) {
        let raw = self.read(at);
        if raw != 0 {
            self.pfn.get_mut(self.format.frame(raw)).pte = UNMAPPED;
            self.set_entry(at, 0);
            stale.add_page(vpn);
        }
    }

    /// Unmaps all of a window (SPEC J42).
    pub(crate) fn empty_window(&mut self, process: ProcessId, range: PageRange, stale: &mut Stale) {
        for (vpn, at) in self.entries_in(self.process(process), range) {
            self.empty_window_page(at, vpn, stale);
        }
    }

    /// Unmaps a frame where its entry says that it is.
    fn unmap_physical(&mut self, process: ProcessId, frame: Pfn, stale: &mut Stale) {
        let at = self.pfn.get(frame).pte;
        if at == UNMAPPED {
            return;
        }
        self.set_entry(at, 0);
        self.pfn.get_mut(frame).pte = UNMAPPED;
        stale.add_all();
        debug_assert!(self.process(process).physical.contains(&frame), "a mapped page has an owner");
    }

    fn give_up_physical(&mut self, process: ProcessId, frame: Pfn) {
        assert!(self.process_mut(process).physical.remove(&frame), "a page is given back by its owner");
        self.pfn.get_mut(frame).flags.remove(PfnFlags::PHYSICAL);
        assert!(self.pfn.unshare(frame) == LastShare::Yes, "a physical page has one user, its owner");
        self.pfn.enter(frame, ListName::Free);
        self.note_frame(frame);
        self.give_back(process, 1);
    }

    /// Takes everything back from a process that ends; its windows are gone.
    pub(crate) fn free_all_physical(&mut self, process: ProcessId) {
        while let Some(frame) = self.process(process).physical.first().copied() {
            assert!(self.pfn.get(frame).pte == UNMAPPED, "the windows are gone");
            self.give_up_physical(process, frame);
        }
    }
}

/// Where a physical page is that no window shows.
pub(crate) const UNMAPPED: PhysAddr = PhysAddr::new(0);

impl LockMemory {
    /// # Errors
    ///
    /// `STATUS_PRIVILEGE_NOT_HELD` (SPEC A14, J38).
    pub(super) const fn require(self) -> Result<(), NtStatus> {
        match self {
            Self::Enabled => Ok(()),
            Self::Disabled => Err(NtStatus::PRIVILEGE_NOT_HELD),
        }
    }
}

const _: () = assert!(PAGE_BYTES == 4096, "frame numbers that a program sees count pages of 4 KiB");
