//! Where the content of one page is, whatever the entries on the way say.

use super::words::page_file;
use super::{Hex, Inspector};
use serde::Serialize;
use vadose_facts::addr::{Pfn, VirtAddr};
use vadose_facts::ntdef::MemoryState;
use vadose_mm::Slot;
use vadose_mm::pte::{PrototypeState, PteState};
use vadose_mm::{PrototypeEntry, WalkEnd};

/// Where a page is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PageState {
    /// The kind of place.
    pub place: PagePlace,
    /// The frame, if it is in one.
    pub frame: Option<Hex>,
    /// All of it in words.
    pub words: String,
}

/// Kinds of places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PagePlace {
    /// In a frame, and the processor finds it.
    WorkingSet,
    /// In a frame still, or already: the next touch needs no read.
    Frame,
    /// In a page file.
    PageFile,
    /// In the compressed store.
    Compressed,
    /// In the file that is mapped.
    File,
    /// Nowhere yet: the first touch gets zeros.
    DemandZero,
    /// There is no page: the address is free, reserved, decommitted, or in a gap of an image.
    None,
    /// Not known without reading a page table from a page file.
    Unknown,
}

impl Inspector<'_> {
    /// Where the page of an address is.
    pub(super) fn page_state(&self, address: VirtAddr) -> PageState {
        let Some(walk) = self.mm.page_walk(self.process.id, address) else {
            return state(PagePlace::None, None, "no address of the processor");
        };
        match walk.state() {
            PteState::Valid(valid) => {
                let words = match walk.end {
                    WalkEnd::LargePage => {
                        format!("in a large page, frame {:#x} and those behind it", valid.pfn.raw())
                    }
                    WalkEnd::Entry | WalkEnd::NoTable | WalkEnd::TableOut => {
                        format!("in frame {:#x}, in the working set", valid.pfn.raw())
                    }
                };
                state(PagePlace::WorkingSet, Some(valid.pfn), words)
            }
            PteState::Transition { pfn, .. } => {
                let words = format!("out of the working set, still in {}", self.frame_words(pfn));
                state(PagePlace::Frame, Some(pfn), words)
            }
            PteState::PageFile { file, slot, .. } => in_page_file(file, slot),
            PteState::DemandZero { .. } if self.mm.pte_format().is_lost(walk.last().raw) => state(
                PagePlace::DemandZero,
                None,
                "given up, its content was dropped: the next touch gets zeros",
            ),
            PteState::DemandZero { .. } => demand_zero(),
            PteState::Decommitted => state(PagePlace::None, None, "decommitted"),
            PteState::Zero if walk.end == WalkEnd::TableOut => {
                let words = "its page table is in a page file, and only that knows";
                state(PagePlace::Unknown, None, words)
            }
            PteState::Zero | PteState::Prototype(_) => self.state_by_region(address),
        }
    }

    /// A page whose own entry leaves it to its region what it is.
    fn state_by_region(&self, address: VirtAddr) -> PageState {
        if let Some(prototype) = self.mm.prototype_of(self.process.id, address) {
            return self.state_by_prototype(&prototype);
        }
        let region = self.mm.region_from(self.process.id, address.vpn());
        match region.filter(|region| region.range.contains(address.vpn())).map(|region| region.state) {
            Some(MemoryState::Committed) => demand_zero(),
            Some(MemoryState::Reserved) => state(PagePlace::None, None, "reserved, not committed"),
            Some(MemoryState::Free) | None => state(PagePlace::None, None, "free"),
        }
    }

    fn state_by_prototype(&self, prototype: &PrototypeEntry) -> PageState {
        match prototype.state {
            PrototypeState::Absent => state(PagePlace::None, None, "the section has no page here"),
            PrototypeState::Active { pfn } => {
                let words =
                    format!("in frame {:#x}, which other views show; not in this working set", pfn.raw());
                state(PagePlace::Frame, Some(pfn), words)
            }
            PrototypeState::Transition { pfn, .. } => {
                let words = format!("in no working set, in {}", self.frame_words(pfn));
                state(PagePlace::Frame, Some(pfn), words)
            }
            PrototypeState::Subsection { .. } => {
                let words = match prototype.file {
                    Some((file, offset, _)) => format!("in {} at {offset:#x}", self.file_name(file)),
                    None => "in the file".to_owned(),
                };
                state(PagePlace::File, None, words)
            }
            PrototypeState::DemandZero { .. } => demand_zero(),
            PrototypeState::PageFile { file, slot, .. } => in_page_file(file, slot),
        }
    }
}

fn state(place: PagePlace, frame: Option<Pfn>, words: impl Into<String>) -> PageState {
    PageState { place, frame: frame.map(Hex::from), words: words.into() }
}

fn demand_zero() -> PageState {
    state(PagePlace::DemandZero, None, "nowhere yet: the first touch gets zeros")
}

fn in_page_file(file: u8, slot: u32) -> PageState {
    let compressed = Slot { file, page: slot }.is_compressed();
    let place = if compressed { PagePlace::Compressed } else { PagePlace::PageFile };
    state(place, None, format!("in {}", page_file(file, slot)))
}
