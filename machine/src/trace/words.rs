//! What entries, plans and reasons mean, in words.

use vadose_facts::ntdef::{MemoryState, PteProtection};
use vadose_facts::x86::{Access, EntryBits};
use vadose_mm::pfn::PageLocation;
use vadose_mm::pte::{PrototypeState, PteState};
use vadose_mm::trace::{AddressSide, Arrival, FaultTrace, RegionTrace, TracedPlan, TrimReason};
use vadose_mm::{RegionBacking, Slot};

/// The kind of an access.
pub(super) const fn access(access: Access) -> &'static str {
    match access {
        Access::Read => "read",
        Access::Write => "write",
        Access::Execute => "execute",
    }
}

/// The table that an entry is in, by the lowest bit of an address that picks it.
pub(super) const fn level(shift: u32) -> &'static str {
    match shift {
        12 => "page table",
        21 | 22 => "page directory",
        30 => "page directory pointers",
        39 => "PML4",
        _ => "PML5",
    }
}

/// What an entry of a user address means.
pub(super) fn entry(shift: u32, state: PteState) -> String {
    match state {
        PteState::Valid(valid) if shift > 12 && !valid.bits.contains(EntryBits::LARGE) => {
            format!("the next table is in frame {}", valid.pfn.raw())
        }
        PteState::Valid(valid) => {
            let stores = match (valid.bits.contains(EntryBits::WRITABLE), valid.copy_on_write, valid.write) {
                (true, _, _) => "stores pass",
                (false, true, _) => "a store makes a copy",
                (false, false, true) => "the first store is noted",
                (false, false, false) => "no stores",
            };
            format!("valid, in frame {}, {stores}", valid.pfn.raw())
        }
        PteState::Zero if shift > 12 => "no table".to_owned(),
        PteState::DemandZero { .. } if shift > 12 => "an empty table that has no frame yet".to_owned(),
        PteState::Zero => "nothing was written here: the region decides".to_owned(),
        PteState::DemandZero { protection } => format!("zeros at the first touch, {}", rights(protection)),
        PteState::Decommitted => "decommitted".to_owned(),
        PteState::Transition { pfn, protection } => {
            format!("not valid, content in frame {}, {}", pfn.raw(), rights(protection))
        }
        PteState::PageFile { file, slot, protection } => {
            format!("not valid, content {}, {}", place(Slot { file, page: slot }), rights(protection))
        }
        PteState::Prototype(_) => "shared: the section's entry knows".to_owned(),
    }
}

/// What a section's entry of a page means.
pub(super) fn prototype(state: PrototypeState) -> String {
    match state {
        PrototypeState::Absent => "there is no such page".to_owned(),
        PrototypeState::Active { pfn } => format!("in frame {}, mapped by somebody", pfn.raw()),
        PrototypeState::Transition { pfn, .. } => format!("in frame {}, mapped by nobody", pfn.raw()),
        PrototypeState::Subsection { .. } => "in the mapped file".to_owned(),
        PrototypeState::DemandZero { .. } => "zeros at the first touch".to_owned(),
        PrototypeState::PageFile { file, slot, .. } => place(Slot { file, page: slot }),
    }
}

fn place(slot: Slot) -> String {
    if slot.is_compressed() {
        format!("in the compressed store, page {}", slot.page)
    } else {
        format!("in page file {}, page {}", slot.file, slot.page)
    }
}

fn rights(protection: PteProtection) -> String {
    protection.decode().map_or_else(|| "no protection".to_owned(), |protection| protection.to_string())
}

/// What is behind a region.
pub(super) const fn backing(backing: RegionBacking) -> &'static str {
    match backing {
        RegionBacking::Private => "private",
        RegionBacking::Image(_) => "image",
        RegionBacking::File(_) => "file",
        RegionBacking::PageFile => "page-file section",
        RegionBacking::SharedUserData => "shared user data",
        RegionBacking::Placeholder => "placeholder",
        RegionBacking::PhysicalWindow => "window of physical pages",
        RegionBacking::LargePages => "large pages",
    }
}

/// What a page of a region is.
pub(super) fn page(region: &RegionTrace) -> String {
    match (region.page_state, region.page_protection) {
        (MemoryState::Committed, Some(protection)) => format!("committed {protection}"),
        (MemoryState::Committed, None) => "committed".to_owned(),
        (MemoryState::Reserved, _) => "reserved".to_owned(),
        (MemoryState::Free, _) => "free".to_owned(),
    }
}

/// A plan's short name.
pub(super) const fn plan(plan: TracedPlan) -> &'static str {
    match plan {
        TracedPlan::Table => "page-table",
        TracedPlan::Spurious => "spurious",
        TracedPlan::Violation => "violation",
        TracedPlan::Failed { .. } => "failed-read",
        TracedPlan::Guard => "guard",
        TracedPlan::FirstStore => "first-store",
        TracedPlan::CopyOnWrite { .. } => "copy-on-write",
        TracedPlan::DemandZero { .. } => "demand-zero",
        TracedPlan::Transition { .. } => "transition",
        TracedPlan::PageFile { .. } => "page-file",
        TracedPlan::Section { .. } => "section",
    }
}

/// Why a plan was chosen.
pub(super) fn reason(fault: &FaultTrace) -> String {
    match fault.plan {
        TracedPlan::Table => {
            "a page table on the way to the entry left RAM and is read back first".to_owned()
        }
        TracedPlan::Spurious => {
            "the entry allows the access: the processor remembered an older one".to_owned()
        }
        TracedPlan::Violation => violation(fault),
        TracedPlan::Failed { cause } => format!("the page cannot be read: {cause}"),
        TracedPlan::Guard => {
            "the page is a guard page: it loses its guard, and a stack grows or the program is told"
                .to_owned()
        }
        TracedPlan::FirstStore => "a clean page is stored to for the first time and becomes dirty".to_owned(),
        TracedPlan::CopyOnWrite { source } => {
            format!("a store to the shared page in frame {} makes a copy of the process's own", source.raw())
        }
        TracedPlan::DemandZero { protection } => {
            format!("the page is committed {protection} and has no content yet: it gets a frame of zeros")
        }
        TracedPlan::Transition { frame, arrival } => {
            let frame = frame.raw();
            match arrival {
                Arrival::Stayed => {
                    format!("the page left the working set and its content is in frame {frame} still")
                }
                Arrival::JustRead => format!("the page was read back into frame {frame} for this fault"),
                Arrival::ReadAlong => format!("the page was read into frame {frame} along with a neighbour"),
                Arrival::Underway => format!("the page is on its way into frame {frame}"),
            }
        }
        TracedPlan::PageFile { slot } if slot.is_compressed() => format!(
            "the page left the working set, was compressed, and its frame was taken for something else: it is \
             unpacked from the compressed store, page {}",
            slot.page
        ),
        TracedPlan::PageFile { slot } => format!(
            "the page left the working set, was written to page file {}, page {}, and its frame was taken for \
             something else",
            slot.file, slot.page
        ),
        TracedPlan::Section { page } => {
            let state = fault.prototype.map_or_else(String::new, |found| prototype(found.state));
            format!("page {page} of the section is wanted: {state}")
        }
    }
}

fn violation(fault: &FaultTrace) -> String {
    let tried = access(fault.access);
    match (fault.side, &fault.region) {
        (AddressSide::Beyond, _) => "the address is beyond what a program may use".to_owned(),
        (AddressSide::User, None) => "no region holds the address".to_owned(),
        (AddressSide::User, Some(region)) => format!("the page is {}: {tried} is not allowed", page(region)),
    }
}

/// Where a frame is; its standby list is a number of its own.
pub(super) const fn location(location: PageLocation) -> &'static str {
    match location {
        PageLocation::Zeroed => "zeroed",
        PageLocation::Free => "free",
        PageLocation::Standby => "standby",
        PageLocation::Modified => "modified",
        PageLocation::ModifiedNoWrite => "modified-no-write",
        PageLocation::Bad => "bad",
        PageLocation::Active => "active",
        PageLocation::Transition => "in-transfer",
    }
}

/// Why a page left its working set: a short name, and words.
pub(super) const fn trim(reason: TrimReason) -> (&'static str, &'static str) {
    match reason {
        TrimReason::NotUsed => ("not-used", "frames are short, and it was not used since the last look"),
        TrimReason::HardMaximum => ("hard-maximum", "the working set is at its hard maximum"),
        TrimReason::Emptied => ("emptied", "the working set was emptied"),
        TrimReason::Protection => ("protection", "its new protection lets nobody touch it"),
        TrimReason::Offered => ("offered", "the program offered it"),
        TrimReason::Unlocked => ("unlocked", "the program unlocked it, and it was not locked"),
    }
}
