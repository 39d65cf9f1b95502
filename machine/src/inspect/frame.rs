//! One frame of RAM, as the frame database has it.

use super::words::{frame_flags, location};
use super::{Hex, Inspector, NoAnswer, ProcessRef};
use serde::Serialize;
use vadose_facts::addr::{Pfn, Vpn};
use vadose_mm::pfn::{PageLocation, PfnFlags};
use vadose_mm::trace::PageName;
use vadose_mm::{FrameOwner, OriginalEntry};

/// A frame (SPEC I21).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FrameAnswer {
    /// Its number.
    pub frame: Hex,
    /// Physical address of its first byte.
    pub physical: Hex,
    /// `zeroed`, `free`, `standby`, `modified`, `modified-no-write`, `bad`, `active` or `transition`.
    pub location: &'static str,
    /// Entries that map it; for a page table the entries in it that are valid or in transition, and one.
    pub share_count: u32,
    /// Users, all mappings together being one.
    pub reference_count: u16,
    /// For a page table: entries in it that are not zero, and regions that hold it.
    pub used_entries: Option<u16>,
    /// Standby list that it goes to or is on, 0 reused first.
    pub priority: u8,
    /// Marks that are set.
    pub flags: Vec<&'static str>,
    /// Next frame of its list.
    pub flink: Option<Hex>,
    /// Frame before it on its list.
    pub blink: Option<Hex>,
    /// Kernel address of the entry that owns the page.
    pub pte_address: Option<Hex>,
    /// Physical address of that entry.
    pub pte_physical: Option<Hex>,
    /// The frame that holds that entry: a page table, or a page of prototype entries.
    pub containing_frame: Option<Hex>,
    /// What that entry becomes when the frame is taken away.
    pub original_pte: Option<Hex>,
    /// The same in words.
    pub original: Option<String>,
    /// Whose page it is, in words.
    pub owner: String,
    /// The process whose page it is, if it is one's.
    pub process: Option<ProcessRef>,
    /// The first address of that page there.
    pub address: Option<Hex>,
    /// Where views show a section's page.
    pub mappings: Vec<FrameMapping>,
}

/// A page that shows a frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FrameMapping {
    /// The process.
    pub process: ProcessRef,
    /// First address of the page.
    pub address: Hex,
}

impl Inspector<'_> {
    pub(super) fn frame(&self, number: u64) -> Result<FrameAnswer, NoAnswer> {
        let last = Hex(self.mm.frame_counts().total() - 1);
        let pfn = Pfn::new(number);
        let look = self.mm.frame_look(pfn).ok_or(NoAnswer::NoFrame { frame: Hex(number), last })?;
        let entry = &look.entry;
        let (process, vpn) = page_of(look.owner);
        Ok(FrameAnswer {
            frame: pfn.into(),
            physical: pfn.base().into(),
            location: location(entry.location),
            share_count: entry.share_count,
            reference_count: entry.reference_count,
            used_entries: entry.flags.contains(PfnFlags::PAGE_TABLE).then_some(entry.used_entries),
            priority: entry.priority,
            flags: frame_flags(entry),
            flink: look.next.map(Hex::from),
            blink: look.previous.map(Hex::from),
            pte_address: look.owned_by.and_then(|owned| owned.address).map(Hex::from),
            pte_physical: look.owned_by.map(|owned| owned.at.into()),
            containing_frame: look.owned_by.map(|owned| owned.at.pfn().into()),
            original_pte: look.original.map(|_| Hex(entry.original_pte)),
            original: look.original.map(|original| match original {
                OriginalEntry::Process(state) => self.software_entry(entry.original_pte, state),
                OriginalEntry::Prototype(state) => self.prototype_words(state),
            }),
            owner: self.owner_words(look.owner),
            process: process.map(|id| self.named(id)),
            address: vpn.map(|vpn| vpn.base().into()),
            mappings: self.mappings(look.owner, entry.location),
        })
    }

    fn mappings(&self, owner: FrameOwner, location: PageLocation) -> Vec<FrameMapping> {
        let FrameOwner::Page(PageName::Section { area, page, .. }) = owner else { return Vec::new() };
        if location != PageLocation::Active {
            return Vec::new();
        }
        let mapped = self.mm.mappings_of(area, page).into_iter();
        mapped.map(|(id, vpn)| FrameMapping { process: self.named(id), address: vpn.base().into() }).collect()
    }

    /// Whose page is in a frame, in words.
    pub(super) fn owner_words(&self, owner: FrameOwner) -> String {
        let at = |vpn: Vpn| Hex::from(vpn.base());
        match owner {
            FrameOwner::Nobody => "nobody".to_owned(),
            FrameOwner::Page(PageName::Private { process, vpn }) => {
                format!("private page of {} at {}", self.named(process), at(vpn))
            }
            FrameOwner::Page(PageName::Table { process, vpn }) => {
                format!("page table of {} for {} and up", self.named(process), at(vpn))
            }
            FrameOwner::Page(PageName::Section { area, page, .. }) => {
                format!("page {page:#x} of section {}, {}", area.slot(), self.area_name(area))
            }
            FrameOwner::TopTable(process) => format!("top page table of {}", self.named(process)),
            FrameOwner::Physical { process, shown: Some(vpn) } => {
                format!("physical page of {}, shown at {}", self.named(process), at(vpn))
            }
            FrameOwner::Physical { process, shown: None } => {
                format!("physical page of {}, shown nowhere", self.named(process))
            }
            FrameOwner::Large { process, vpn } => {
                format!("part of the large page of {} at {}", self.named(process), at(vpn))
            }
            FrameOwner::Prototypes(area) => {
                format!("prototype entries of section {}, {}", area.slot(), self.area_name(area))
            }
            FrameOwner::SharedUserData => "shared user data".to_owned(),
            FrameOwner::Processor => "the processor's own tables".to_owned(),
            FrameOwner::Store => "compressed pages".to_owned(),
            FrameOwner::KernelTable => "page table of the kernel".to_owned(),
            FrameOwner::GivenUp => "given up while a transfer moves it".to_owned(),
        }
    }
}

/// The process and the page, for a frame that belongs to one.
const fn page_of(owner: FrameOwner) -> (Option<vadose_mm::ProcessId>, Option<Vpn>) {
    match owner {
        FrameOwner::Page(PageName::Private { process, vpn } | PageName::Table { process, vpn })
        | FrameOwner::Large { process, vpn }
        | FrameOwner::Physical { process, shown: Some(vpn) } => (Some(process), Some(vpn)),
        FrameOwner::TopTable(process) | FrameOwner::Physical { process, shown: None } => {
            (Some(process), None)
        }
        FrameOwner::Nobody
        | FrameOwner::Page(PageName::Section { .. })
        | FrameOwner::Prototypes(_)
        | FrameOwner::SharedUserData
        | FrameOwner::Processor
        | FrameOwner::Store
        | FrameOwner::KernelTable
        | FrameOwner::GivenUp => (None, None),
    }
}
