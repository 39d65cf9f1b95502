//! The page-table entries of an address, one a row.

use super::page::PageState;
use super::words::{letters, valid_flags};
use super::{Hex, Inspector, ProcessRef};
use serde::Serialize;
use vadose_facts::addr::VirtAddr;
use vadose_facts::x86::{EntryBits, NoExecute, PagingMode};
use vadose_mm::pte::{PteState, ValidPte};
use vadose_mm::{PrototypeEntry, WalkEnd, WalkStep};

/// How an address is translated, or would be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PteAnswer {
    /// The process.
    pub process: ProcessRef,
    /// The address.
    pub address: Hex,
    /// Physical address of the top table (CR3).
    pub root: Hex,
    /// The entries, the top one first; behind them the prototype entry of a section's page.
    pub entries: Vec<PteRow>,
    /// Physical address that it is translated to, if the processor finds one.
    pub physical: Option<Hex>,
    /// Where the page is.
    pub page: PageState,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PteRow {
    /// `PXE`, `PPE`, `PDE` and `PTE`, as WinDbg calls them; `prototype` for a section's own entry.
    pub level: &'static str,
    /// Intel's name: `PML4E`, `PDPTE`, `PDE`, `PTE`.
    pub intel: Option<&'static str>,
    /// Where the kernel sees the entry; the directory pointers of PAE are nowhere in the kernel's address space.
    pub at: Option<Hex>,
    /// Where it is in RAM.
    pub physical: Hex,
    /// Its bits.
    pub raw: Hex,
    /// Whether the processor can use it.
    pub valid: bool,
    /// The frame that it names: of the next table, of the page, or the one that the page waits in.
    pub frame: Option<Hex>,
    /// The flags of a valid entry as letters, a place for each: copy-on-write C, global G, large L, dirty D, accessed A,
    /// not cached N, write-through T, user U or kernel K, writable W or read-only R, executable E, valid V.
    pub letters: Option<String>,
    /// The flags of a valid entry that are set, in words.
    pub flags: Vec<&'static str>,
    /// What it says: `table`, `page`, `large page`, or what an entry says that is not valid.
    pub meaning: String,
}

impl Inspector<'_> {
    pub(super) fn page_tables(&self, address: VirtAddr) -> PteAnswer {
        let space = self.mm.translation(self.process.id);
        let walk = self.mm.page_walk(self.process.id, address).expect("an address that the processor takes");
        let last = walk.steps.len() - 1;
        let mut entries: Vec<PteRow> = Vec::new();
        for (index, step) in walk.steps.iter().enumerate() {
            let end = (index == last).then_some(walk.end);
            entries.push(self.row(step, end, space.no_execute, space.mode));
        }
        let prototype = self.mm.prototype_of(self.process.id, address);
        entries.extend(prototype.map(|entry| self.prototype_row(&entry)));
        let found = vadose_facts::x86::probe(self.mm.ram(), space, address).ok();
        PteAnswer {
            process: self.about(),
            address: address.into(),
            root: space.root.into(),
            entries,
            physical: found.map(|found| found.phys.into()),
            page: self.page_state(address),
        }
    }

    fn row(&self, step: &WalkStep, end: Option<WalkEnd>, no_execute: NoExecute, mode: PagingMode) -> PteRow {
        let (level, intel) = level_names(step.level.shift, mode);
        let row = PteRow {
            level,
            intel: Some(intel),
            at: step.address.map(Hex::from),
            physical: step.at.into(),
            raw: Hex(step.raw),
            valid: false,
            frame: None,
            letters: None,
            flags: Vec::new(),
            meaning: String::new(),
        };
        match step.state {
            PteState::Valid(valid) => valid_row(row, step, valid, end, no_execute),
            PteState::Transition { pfn, .. } => {
                let meaning = self.invalid_meaning(step, end);
                PteRow { frame: Some(pfn.into()), meaning, ..row }
            }
            PteState::Zero
            | PteState::DemandZero { .. }
            | PteState::Decommitted
            | PteState::PageFile { .. }
            | PteState::Prototype(_) => PteRow { meaning: self.invalid_meaning(step, end), ..row },
        }
    }

    fn invalid_meaning(&self, step: &WalkStep, end: Option<WalkEnd>) -> String {
        let words = self.software_entry(step.raw, step.state);
        match (end, step.state) {
            (Some(WalkEnd::NoTable), PteState::Zero) => "zero: no table".to_owned(),
            (Some(WalkEnd::NoTable), _) => "no table yet, charged for".to_owned(),
            (Some(WalkEnd::TableOut), _) => format!("table in {words}"),
            (Some(WalkEnd::Entry), PteState::Zero) => "zero: the VAD decides".to_owned(),
            (Some(WalkEnd::Entry | WalkEnd::LargePage), _) => words,
            (None, _) => format!("table, {words}"),
        }
    }

    fn prototype_row(&self, entry: &PrototypeEntry) -> PteRow {
        use vadose_mm::pte::PrototypeState as P;
        let (valid, frame) = match entry.state {
            P::Active { pfn } => (true, Some(pfn)),
            P::Transition { pfn, .. } => (false, Some(pfn)),
            P::Absent | P::Subsection { .. } | P::DemandZero { .. } | P::PageFile { .. } => (false, None),
        };
        let words = self.prototype_words(entry.state);
        PteRow {
            level: "prototype",
            intel: None,
            at: Some(entry.address.into()),
            physical: entry.at.into(),
            raw: Hex(entry.raw),
            valid,
            frame: frame.map(Hex::from),
            letters: None,
            flags: Vec::new(),
            meaning: format!("page {:#x} of section {}: {words}", entry.page, entry.area.slot()),
        }
    }
}

fn valid_row(
    row: PteRow,
    step: &WalkStep,
    valid: ValidPte,
    end: Option<WalkEnd>,
    no_execute: NoExecute,
) -> PteRow {
    let large = end == Some(WalkEnd::LargePage);
    let executable = no_execute == NoExecute::Off || !valid.bits.contains(EntryBits::NO_EXECUTE);
    let what = match end {
        Some(WalkEnd::LargePage) => "large page",
        Some(WalkEnd::Entry) => "page",
        Some(WalkEnd::NoTable | WalkEnd::TableOut) | None => "table",
    };
    let bare = step.level.rights == vadose_facts::x86::EntryRights::None;
    let flags = if bare { Vec::new() } else { valid_flags(valid, large, executable) };
    let letters = letters(step.raw, large, executable);
    let frame = Some(valid.pfn.into());
    PteRow { valid: true, frame, letters: (!bare).then_some(letters), flags, meaning: what.to_owned(), ..row }
}

/// What WinDbg and Intel call an entry that is selected by the address bits from `shift` up.
const fn level_names(shift: u32, mode: PagingMode) -> (&'static str, &'static str) {
    match (shift, mode) {
        (12, _) => ("PTE", "PTE"),
        (21 | 22, _) => ("PDE", "PDE"),
        (30, _) => ("PPE", "PDPTE"),
        (39, _) => ("PXE", "PML4E"),
        (_, _) => ("P5E", "PML5E"),
    }
}
