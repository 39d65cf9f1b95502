//! What an address is: the region that a query of the program would report, with the reasons behind it.

use super::page::{PagePlace, PageState};
use super::vads::VadRow;
use super::{Hex, Inspector, ProcessRef};
use crate::map::{purpose, state_word, type_word};
use serde::Serialize;
use vadose_facts::addr::{PageRange, VirtAddr, Vpn};
use vadose_mm::Region;
use vadose_mm::vad::Vad;

/// What lies at an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AddressAnswer {
    /// The process.
    pub process: ProcessRef,
    /// The address.
    pub address: Hex,
    /// First byte of the region around it that is the same throughout.
    pub base: Hex,
    /// Its last byte.
    pub end: Hex,
    /// Its bytes.
    pub size: u64,
    /// `commit`, `reserve` or `free`; `kernel` above the last user address; `unknown` where only a page table in a page file
    /// knows.
    pub state: &'static str,
    /// Protection now, empty while not committed.
    pub protection: String,
    /// `private`, `mapped` or `image`, empty for free and kernel addresses.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// First byte of the allocation.
    pub allocation_base: Option<Hex>,
    /// The protection that the allocation was made with.
    pub allocation_protection: Option<String>,
    /// What it is for: `app.exe .text`, `stack`, or empty.
    pub usage: String,
    /// Image and offset of the address: `app.exe+0x1010`.
    pub place: Option<String>,
    /// The range that it is in, as it was made.
    pub vad: Option<VadRow>,
    /// Where the page of the address is.
    pub page: PageState,
}

impl Inspector<'_> {
    pub(super) fn address(&self, address: VirtAddr) -> AddressAnswer {
        let page = self.page_state(address);
        let limit = self.mm.user_limit(self.process.id);
        let known = (address <= limit).then(|| self.mm.vad_of(self.process.id, address)).flatten();
        let Some(vad) = known else { return self.outside(address, limit, page) };
        let region = self.region_in(&vad, address.vpn());
        let known = page.place != PagePlace::Unknown;
        AddressAnswer {
            process: self.about(),
            address: address.into(),
            base: region.range.base().into(),
            end: Hex(region.range.base().raw() + (region.range.bytes() - 1)),
            size: region.range.bytes(),
            state: if known { state_word(region.state) } else { "unknown" },
            protection: region.protection.filter(|_| known).map_or_else(String::new, |now| now.to_string()),
            kind: type_word(region.kind),
            allocation_base: Some(region.allocation_base.into()),
            allocation_protection: Some(region.allocation_protection.to_string()),
            usage: purpose(self.process, &region),
            place: self.process.place_of(address),
            vad: Some(self.vad_row(&vad)),
            page,
        }
    }

    /// The region of a range that holds a page, from its first page on.
    fn region_in(&self, vad: &Vad, vpn: Vpn) -> Region {
        let mut at = vad.range.start();
        loop {
            let region = self.mm.region_from(self.process.id, at).expect("a range has regions");
            if region.range.contains(vpn) {
                return region;
            }
            at = region.range.end();
        }
    }

    /// Free space between ranges, or the kernel's half.
    fn outside(&self, address: VirtAddr, limit: VirtAddr, page: PageState) -> AddressAnswer {
        let (state, first, last) = if address > limit {
            let last = self.mm.edition().paging.canonical(u64::MAX);
            ("kernel", limit.raw() + 1, last.raw())
        } else {
            let (first, last) = self.hole(address.vpn(), limit);
            ("free", first, last)
        };
        AddressAnswer {
            process: self.about(),
            address: address.into(),
            base: Hex(first),
            end: Hex(last),
            size: (last - first).saturating_add(1),
            state,
            protection: String::new(),
            kind: "",
            allocation_base: None,
            allocation_protection: None,
            usage: self.outside_usage(address, limit),
            place: None,
            vad: None,
            page,
        }
    }

    fn hole(&self, vpn: Vpn, limit: VirtAddr) -> (u64, u64) {
        let ranges: Vec<PageRange> = self.mm.vads(self.process.id).iter().map(|vad| vad.range).collect();
        let below = ranges.iter().rfind(|range| range.end() <= vpn);
        let above = ranges.iter().find(|range| range.start() > vpn);
        let first = below.map_or(0, |range| range.base().raw() + range.bytes());
        (first, above.map_or(limit.raw(), |range| range.base().raw() - 1))
    }

    fn outside_usage(&self, address: VirtAddr, limit: VirtAddr) -> String {
        if address <= limit {
            let lowest = vadose_facts::ntdef::Edition::MIN_USER_ADDRESS;
            return if address < lowest { "never allocated: the first 64 KiB" } else { "" }.to_owned();
        }
        let space = self.mm.translation(self.process.id);
        let found = vadose_facts::x86::probe(self.mm.ram(), space, address).ok();
        let frame = found.and_then(|found| self.mm.frame_look(found.phys.pfn()));
        frame.map_or_else(String::new, |frame| self.owner_words(frame.owner))
    }
}
