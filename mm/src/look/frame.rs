//! What the frame database knows of one frame, and whose page is in it.

use crate::id::{AreaId, ProcessId};
use crate::pfn::{PageLocation, PfnEntry, PfnFlags};
use crate::pte::{PrototypeState, PteState};
use crate::state::Mm;
use crate::trace::PageName;
use crate::vad::VadKind;
use crate::verb::UNMAPPED;
use vadose_facts::addr::{Pfn, PhysAddr, VirtAddr, Vpn};
use vadose_facts::x86::PhysicalMemory;

/// One frame (SPEC I21).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameLook {
    /// The frame.
    pub pfn: Pfn,
    /// Its entry in the database.
    pub entry: PfnEntry,
    /// The next frame of the list that it is on.
    pub next: Option<Pfn>,
    /// The one before it.
    pub previous: Option<Pfn>,
    /// Where the entry that owns the page is, as the kernel sees it and in RAM.
    pub owned_by: Option<OwningEntry>,
    /// What that entry becomes when the frame is taken away (SPEC I25); `None` where nothing is kept for it.
    pub original: Option<OriginalEntry>,
    /// Whose page it is.
    pub owner: FrameOwner,
}

/// The entry that owns a page (SPEC I21 `PteAddress`, `PteFrame`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwningEntry {
    /// Kernel address; `None` for an entry that no kernel address reaches.
    pub address: Option<VirtAddr>,
    /// Where it is in RAM: in the frame of a page table, or of the pool of prototype entries.
    pub at: PhysAddr,
}

/// An original entry, read as what it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginalEntry {
    /// A process's entry.
    Process(PteState),
    /// A prototype entry.
    Prototype(PrototypeState),
}

/// Whose page is in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameOwner {
    /// Nobody's.
    Nobody,
    /// A page of a process, of its page tables or of a section.
    Page(PageName),
    /// The top table of a process, or with PAE one of its four page directories.
    TopTable(ProcessId),
    /// A physical page of the program's own (SPEC J38), and where a window shows it.
    Physical {
        /// Whose.
        process: ProcessId,
        /// The page that shows it.
        shown: Option<Vpn>,
    },
    /// Part of a large page (SPEC J43).
    Large {
        /// Whose.
        process: ProcessId,
        /// The first page that its directory entry maps.
        vpn: Vpn,
    },
    /// The pool page that holds a control area's prototype entries.
    Prototypes(AreaId),
    /// `KUSER_SHARED_DATA` (SPEC H5).
    SharedUserData,
    /// The processor's own tables.
    Processor,
    /// Compressed pages (SPEC J17).
    Store,
    /// A page table of the kernel's half.
    KernelTable,
    /// A page that was given up while a transfer moves it.
    GivenUp,
}

impl<R: PhysicalMemory> Mm<R> {
    /// What is known of a frame; `None` if there is no such frame.
    pub fn frame_look(&self, pfn: Pfn) -> Option<FrameLook> {
        if pfn.raw() >= self.pfn.frames() {
            return None;
        }
        let entry = self.pfn.get(pfn);
        let owner = self.frame_owner(pfn);
        let (next, previous) = match entry.location {
            PageLocation::Active | PageLocation::Transition => (None, None),
            PageLocation::Zeroed
            | PageLocation::Free
            | PageLocation::Standby
            | PageLocation::Modified
            | PageLocation::ModifiedNoWrite
            | PageLocation::Bad => (entry.next(), entry.previous()),
        };
        let owned_by = self.owning_entry(&entry, owner);
        let original = owned_by.filter(|_| entry.original_pte != 0).map(|_| {
            if entry.flags.contains(PfnFlags::PROTOTYPE) {
                OriginalEntry::Prototype(self.format.decode_prototype(entry.original_pte))
            } else {
                OriginalEntry::Process(self.format.decode(entry.original_pte))
            }
        });
        Some(FrameLook { pfn, entry, next, previous, owned_by, original, owner })
    }

    /// Whose page is in a frame.
    pub(crate) fn frame_owner(&self, pfn: Pfn) -> FrameOwner {
        let entry = self.pfn.get(pfn);
        match entry.location {
            PageLocation::Zeroed | PageLocation::Free | PageLocation::Bad => return FrameOwner::Nobody,
            PageLocation::Standby
            | PageLocation::Modified
            | PageLocation::ModifiedNoWrite
            | PageLocation::Active
            | PageLocation::Transition => {}
        }
        if entry.flags.contains(PfnFlags::DELETED) {
            return FrameOwner::GivenUp;
        }
        if entry.flags.contains(PfnFlags::STORE) {
            return FrameOwner::Store;
        }
        if entry.flags.contains(PfnFlags::PHYSICAL) {
            return self.physical_owner(pfn);
        }
        if entry.flags.contains(PfnFlags::LARGE) {
            let (process, vpn) = self.mapped_by(entry.pte).expect("a large page has its directory entry");
            return FrameOwner::Large { process, vpn };
        }
        self.page_name(pfn).map_or_else(|| self.unnamed_owner(pfn), FrameOwner::Page)
    }

    fn physical_owner(&self, pfn: Pfn) -> FrameOwner {
        let owner = self.processes.iter().find(|(_, process)| process.physical.contains(&pfn));
        let (process, _) = owner.expect("a physical page has its owner");
        let at = self.pfn.get(pfn).pte;
        let shown = if at == UNMAPPED { None } else { self.mapped_by(at).map(|(_, vpn)| vpn) };
        FrameOwner::Physical { process, shown }
    }

    /// A frame that no entry owns: the kernel's, or a process's top table.
    fn unnamed_owner(&self, pfn: Pfn) -> FrameOwner {
        if pfn == self.system.shared_data {
            return FrameOwner::SharedUserData;
        }
        if pfn == self.system.processor {
            return FrameOwner::Processor;
        }
        if let Some(process) = self.top_table_of(pfn) {
            return FrameOwner::TopTable(process);
        }
        let area = self.areas.iter().find(|(_, area)| area.holds_pool_frame(pfn));
        area.map_or(FrameOwner::KernelTable, |(id, _)| FrameOwner::Prototypes(id))
    }

    fn owning_entry(&self, entry: &PfnEntry, owner: FrameOwner) -> Option<OwningEntry> {
        let of_process = |process, vpn: Vpn| {
            let walk = self.page_walk(process, vpn.base())?;
            let step = walk.steps.iter().find(|step| step.at == entry.pte)?;
            Some(OwningEntry { address: step.address, at: step.at })
        };
        match owner {
            FrameOwner::Page(PageName::Private { process, vpn } | PageName::Table { process, vpn })
            | FrameOwner::Large { process, vpn }
            | FrameOwner::Physical { process, shown: Some(vpn) } => of_process(process, vpn),
            FrameOwner::Page(PageName::Section { area, page, .. }) => {
                let prototype = self.prototype_entry(area, page);
                Some(OwningEntry { address: Some(prototype.address), at: prototype.at })
            }
            FrameOwner::Nobody
            | FrameOwner::TopTable(_)
            | FrameOwner::Physical { shown: None, .. }
            | FrameOwner::Prototypes(_)
            | FrameOwner::SharedUserData
            | FrameOwner::Processor
            | FrameOwner::Store
            | FrameOwner::KernelTable
            | FrameOwner::GivenUp => None,
        }
    }

    /// Where views show a page of a section: in which process, and at which page.
    pub fn mappings_of(&self, area: AreaId, page: u32) -> Vec<(ProcessId, Vpn)> {
        let mut found = Vec::new();
        for (id, process) in self.processes.iter() {
            for (_, vad) in process.vads.iter() {
                let (VadKind::Image { view } | VadKind::Mapped { view }) = vad.kind else { continue };
                let Some(offset) = page.checked_sub(view.first_page).filter(|_| view.area == area) else {
                    continue;
                };
                let vpn = Vpn::new(vad.range.start().raw() + u64::from(offset));
                if vad.range.contains(vpn) && self.maps_shared(process, vpn) {
                    found.push((id, vpn));
                }
            }
        }
        found
    }

    fn maps_shared(&self, process: &crate::process::Process, vpn: Vpn) -> bool {
        let mut shared = false;
        let range = vadose_facts::addr::PageRange::inclusive(vpn, vpn);
        self.each_table_entry(process, range, |_, _, pte| {
            shared = matches!(pte, PteState::Valid(valid) if self.is_shared(valid.pfn));
        });
        shared
    }
}
