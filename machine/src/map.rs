//! The address space as a listing: what VMMap's users expect, with a purpose for every region that has one.

use crate::report::{AddressSpaceMap, MapModule, MapRegion, MapTotal};
use vadose_facts::addr::PAGE_BYTES;
use vadose_facts::ntdef::{Edition, MemoryState, MemoryType, Protection};
use vadose_mm::{Region, RegionBacking};
use vadose_nt::{Module, ModuleKind, Process, RegionUse};

/// Lists the process's regions, its images and the sums by type.
pub(crate) fn draw(regions: &[Region], last: u64, process: &Process) -> AddressSpaceMap {
    AddressSpaceMap {
        user_space: (Edition::MIN_USER_ADDRESS.raw(), last),
        totals: totals(regions, last),
        regions: regions.iter().map(|region| entry(process, region)).collect(),
        modules: process.modules.iter().map(module_entry).collect(),
        missing: Vec::new(),
    }
}

fn entry(process: &Process, region: &Region) -> MapRegion {
    MapRegion {
        address: region.range.base().raw(),
        size: region.range.bytes(),
        state: state_word(region.state),
        protection: region.protection.map_or_else(String::new, protection_words),
        allocation: region.allocation_base.raw(),
        allocation_protection: protection_words(region.allocation_protection),
        kind: type_word(region.kind),
        purpose: purpose(process, region),
        committed: committed_bytes(region),
        resident: region.resident_pages * PAGE_BYTES,
    }
}

fn committed_bytes(region: &Region) -> u64 {
    match region.state {
        MemoryState::Committed => region.range.bytes(),
        MemoryState::Reserved | MemoryState::Free => 0,
    }
}

pub(crate) fn purpose(process: &Process, region: &Region) -> String {
    match region.backing {
        RegionBacking::SharedUserData => "shared user data".to_owned(),
        RegionBacking::Placeholder => "placeholder".to_owned(),
        RegionBacking::PhysicalWindow => "address window".to_owned(),
        RegionBacking::LargePages => "large pages".to_owned(),
        RegionBacking::Image(_) => {
            let owner = process.modules.iter().find(|module| module.base == region.allocation_base);
            owner.map_or_else(String::new, |module| image_part(module, region))
        }
        RegionBacking::File(_) => "view of a file".to_owned(),
        RegionBacking::PageFile => "view of shared memory".to_owned(),
        RegionBacking::Private => {
            process.use_of(region.allocation_base).map_or_else(String::new, |what| use_words(what).to_owned())
        }
    }
}

/// `hello.exe header`, `hello.exe .text`, or every section that starts in the run: `hello.exe .data .bss`.
fn image_part(module: &Module, region: &Region) -> String {
    let offset = region.range.base().raw() - module.base.raw();
    let end = offset + region.range.bytes();
    let mut words = vec![module.name.clone()];
    if offset == 0 {
        words.push("header".to_owned());
    }
    for section in module.image.layout().subsections() {
        let start = u64::from(section.first_page) * PAGE_BYTES;
        let stop = start + u64::from(section.pages) * PAGE_BYTES;
        let name = section.name.to_string();
        if start < end && offset < stop && !name.is_empty() {
            words.push(name);
        }
    }
    words.join(" ")
}

/// What the kernel or the loader put into a region, in words.
pub(crate) const fn use_words(what: RegionUse) -> &'static str {
    match what {
        RegionUse::Peb => "PEB",
        RegionUse::Teb => "TEB",
        RegionUse::PebAndTeb => "PEB and TEB",
        RegionUse::Stack => "stack",
        RegionUse::ProcessParameters => "process parameters",
        RegionUse::Environment => "environment",
        RegionUse::LoaderData => "loader data",
        RegionUse::ProcessHeap => "process heap",
        RegionUse::MissingStubs => "stubs of missing functions",
        RegionUse::Fragment => "fragment",
        RegionUse::SystemCallStubs => "system call stubs",
        RegionUse::SystemTable => "system table",
    }
}

fn module_entry(module: &Module) -> MapModule {
    MapModule {
        name: module.name.clone(),
        path: module.path.to_string(),
        base: module.base.raw(),
        size: module.size,
        origin: match module.kind {
            ModuleKind::Program => "program",
            ModuleKind::BuiltIn => "built-in",
            ModuleKind::File => "file",
        },
    }
}

fn totals(regions: &[Region], last: u64) -> Vec<MapTotal> {
    let mut totals: Vec<MapTotal> =
        [MemoryType::Image, MemoryType::Mapped, MemoryType::Private].map(|kind| total(regions, kind)).into();
    let used: u64 = totals.iter().map(|total| total.size).sum();
    let space = last + 1 - Edition::MIN_USER_ADDRESS.raw();
    let holes = regions.windows(2).filter(|pair| pair[0].range.end() < pair[1].range.start()).count();
    let edges = regions.first().is_some_and(|first| first.range.base() > Edition::MIN_USER_ADDRESS);
    totals.retain(|total| total.regions > 0);
    totals.push(MapTotal {
        kind: "free",
        regions: holes as u64 + u64::from(edges) + 1,
        size: space - used,
        committed: 0,
        resident: 0,
    });
    totals
}

fn total(regions: &[Region], kind: MemoryType) -> MapTotal {
    let mut sum = MapTotal { kind: type_word(kind), regions: 0, size: 0, committed: 0, resident: 0 };
    for region in regions.iter().filter(|region| region.kind == kind) {
        sum.regions += 1;
        sum.size += region.range.bytes();
        sum.committed += committed_bytes(region);
        sum.resident += region.resident_pages * PAGE_BYTES;
    }
    sum
}

pub(crate) const fn state_word(state: MemoryState) -> &'static str {
    match state {
        MemoryState::Committed => "commit",
        MemoryState::Reserved => "reserve",
        MemoryState::Free => "free",
    }
}

pub(crate) const fn type_word(kind: MemoryType) -> &'static str {
    match kind {
        MemoryType::Private => "private",
        MemoryType::Mapped => "mapped",
        MemoryType::Image => "image",
    }
}

fn protection_words(protection: Protection) -> String {
    protection.to_string()
}

/// What lies at an address, in words: `committed READONLY, image, hello.exe .text`, or `free`.
pub(crate) fn describe(regions: &[Region], last: u64, process: &Process, address: u64) -> String {
    let vpn = vadose_facts::addr::VirtAddr::new(address).vpn();
    if address > last {
        return "kernel space or no address at all".to_owned();
    }
    let Some(region) = regions.iter().find(|region| region.range.contains(vpn)) else {
        return if address < Edition::MIN_USER_ADDRESS.raw() {
            "free: the first 64 KiB are never allocated".to_owned()
        } else {
            "free".to_owned()
        };
    };
    let protection = region.protection.map_or_else(String::new, |protection| format!(" {protection}"));
    let state = match region.state {
        MemoryState::Committed => "committed",
        MemoryState::Reserved => "reserved, not committed",
        MemoryState::Free => "free",
    };
    let what = purpose(process, region);
    let comma = if what.is_empty() { "" } else { ", " };
    format!("{state}{protection}, {}{comma}{what}", type_word(region.kind))
}
