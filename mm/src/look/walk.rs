//! The way to a page's entry as a debugger shows it: each level's entry, where it lies, and what it says.

use crate::id::{AreaId, FileId, ProcessId};
use crate::pte::{PrototypeState, PteState};
use crate::state::Mm;
use crate::tables::Child;
use crate::vad::Vad;
use vadose_facts::addr::{PhysAddr, VirtAddr};
use vadose_facts::x86::{EntryRights, Level, PhysicalMemory};

/// Everything that translates one address, from the top table down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageWalk {
    /// The address, as it was asked for.
    pub address: VirtAddr,
    /// The entries, the top one first, as far as there are tables.
    pub steps: Vec<WalkStep>,
    /// What the last of them leads to.
    pub end: WalkEnd,
}

/// One entry on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalkStep {
    /// Which bits of the address select the entry.
    pub level: Level,
    /// Where the kernel sees it, through the page tables' map of themselves (SPEC H11, H12, H14, H16). The four directory
    /// pointers of PAE are not in that map.
    pub address: Option<VirtAddr>,
    /// Where it is in RAM.
    pub at: PhysAddr,
    /// Its bits.
    pub raw: u64,
    /// What they say.
    pub state: PteState,
}

/// Where a walk ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalkEnd {
    /// At the page's own entry.
    Entry,
    /// At an entry that maps a large page.
    LargePage,
    /// Above a table that does not exist: what the page is, its region says.
    NoTable,
    /// Above a table whose content is in a page file, or on its way from there.
    TableOut,
}

/// The prototype entry of a section's page (SPEC I32).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrototypeEntry {
    /// What the page belongs to.
    pub area: AreaId,
    /// Its number there.
    pub page: u32,
    /// Where the kernel sees the entry.
    pub address: VirtAddr,
    /// Where it is in RAM.
    pub at: PhysAddr,
    /// Its bits.
    pub raw: u64,
    /// What they say.
    pub state: PrototypeState,
    /// Where the page begins as the file was made: file, offset and bytes. `None` if nothing of it is in a file.
    pub file: Option<(FileId, u64, u32)>,
}

impl PageWalk {
    /// The entry that the walk ends at.
    ///
    /// # Panics
    ///
    /// Never: a walk has a top table.
    pub fn last(&self) -> WalkStep {
        *self.steps.last().expect("a walk has a top table")
    }

    /// What the page's own entry says; one that does not exist is the same as an entry of zero.
    pub fn state(&self) -> PteState {
        match self.end {
            WalkEnd::Entry | WalkEnd::LargePage => self.last().state,
            WalkEnd::NoTable | WalkEnd::TableOut => PteState::Zero,
        }
    }
}

impl<R: PhysicalMemory> Mm<R> {
    /// The entries that translate an address, read and not changed: no Accessed bit is set, no table is brought in.
    /// `None` for an address that the processor does not take (SPEC H10).
    ///
    /// # Panics
    ///
    /// If the process is gone.
    pub fn page_walk(&self, process: ProcessId, address: VirtAddr) -> Option<PageWalk> {
        let mode = self.edition.paging;
        if !mode.is_canonical(address) {
            return None;
        }
        let mut table = self.process(process).root;
        let mut steps = Vec::new();
        for (depth, level) in mode.levels().iter().enumerate() {
            let at = self.slot_of(table, *level, address.vpn());
            let raw = self.read(at);
            let above_leaf = mode.levels().len() - 1 - depth;
            let seen = self.entry_address(address, above_leaf, *level);
            steps.push(WalkStep { level: *level, address: seen, at, raw, state: self.format.decode(raw) });
            if level.shift == 12 {
                break;
            }
            let end = match self.child_in(raw, *level) {
                Child::Table(below) => {
                    table = below;
                    continue;
                }
                Child::Waiting(frame) => {
                    table = frame.base();
                    continue;
                }
                Child::Large => WalkEnd::LargePage,
                Child::None | Child::Promised => WalkEnd::NoTable,
                Child::Out => WalkEnd::TableOut,
            };
            return Some(PageWalk { address, steps, end });
        }
        Some(PageWalk { address, steps, end: WalkEnd::Entry })
    }

    /// Where an entry of an address appears to the kernel: the map of the page tables applied once for the last level,
    /// and once more for each level above it.
    fn entry_address(&self, address: VirtAddr, above_leaf: usize, level: Level) -> Option<VirtAddr> {
        match level.rights {
            EntryRights::None => return None,
            EntryRights::Checked => {}
        }
        let mode = self.edition.paging;
        let consumed = (1 << mode.address_bits()) - 1;
        let mut seen = address;
        for _ in 0..=above_leaf {
            let page = (seen.raw() & consumed) >> 12;
            seen = self.self_map().checked_add(page * mode.entry_bytes()).expect("the map ends below 2^64");
        }
        Some(seen)
    }

    /// The prototype entry of a page that a view shows, unless the page has become the process's own.
    ///
    /// # Panics
    ///
    /// If the process is gone.
    pub fn prototype_of(&self, process: ProcessId, address: VirtAddr) -> Option<PrototypeEntry> {
        let vad = self.vad_of(process, address)?;
        let view = vad.kind.view()?;
        let shared = match self.page_walk(process, address)?.state() {
            PteState::Valid(valid) => self.is_shared(valid.pfn),
            PteState::Zero | PteState::Prototype(_) => true,
            PteState::DemandZero { .. }
            | PteState::Decommitted
            | PteState::Transition { .. }
            | PteState::PageFile { .. } => false,
        };
        let page = Self::view_page(&vad, address.vpn());
        let there = shared && page < self.area(view.area).pages();
        there.then(|| self.prototype_entry(view.area, page))
    }

    /// The region that holds an address.
    ///
    /// # Panics
    ///
    /// If the process is gone.
    pub fn vad_of(&self, process: ProcessId, address: VirtAddr) -> Option<Vad> {
        let vads = &self.process(process).vads;
        vads.find(address.vpn()).map(|vad| *vads.get(vad))
    }

    /// All regions of a process as they were made, lowest first.
    ///
    /// # Panics
    ///
    /// If the process is gone.
    pub fn vads(&self, process: ProcessId) -> Vec<Vad> {
        self.process(process).vads.iter().map(|(_, vad)| *vad).collect()
    }

    /// All processes, oldest slot first.
    pub fn process_ids(&self) -> Vec<ProcessId> {
        self.processes.iter().map(|(id, _)| id).collect()
    }
}
