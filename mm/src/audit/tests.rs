//! A record that is broken on purpose is found and named.

use crate::id::{FileId, ProcessId};
use crate::pfn::PfnFlags;
use crate::pte::PteState;
use crate::request::{
    FaultOutcome, FaultRequest, SectionBacking, SectionRequest, TransferDirection, ViewRequest,
};
use crate::state::{Mm, MmConfig};
use vadose_facts::addr::{PAGE_BYTES, PhysAddr, VirtAddr};
use vadose_facts::ntdef::{Aslr, LargeAddressAware, SectionAttributes, edition};
use vadose_facts::x86::{Access, HeapRam, PhysicalMemory};

const FILE: FileId = FileId::new(3);

/// Two processes that see two pages of a file; the second has a copy of a third one.
struct Shared {
    mm: Mm<HeapRam>,
    processes: [ProcessId; 2],
    views: [VirtAddr; 2],
}

impl Shared {
    fn new() -> Self {
        let edition = edition("win10-x64").expect("a known edition");
        let config =
            MmConfig { edition, page_file_bytes: 0, commit_limit_bytes: None, seed: 1, aslr: Aslr::Off };
        let mut mm = Mm::new(config, HeapRam::new(2048)).expect("enough RAM");
        let backing = SectionBacking::File { file: FILE, bytes: 4 * PAGE_BYTES };
        let attributes = SectionAttributes::COMMIT;
        let section = SectionRequest { backing, size: 0, protection: 0x04, attributes };
        let section = mm.create_section(section).expect("a good section");
        let processes = [(); 2].map(|()| mm.create_process(LargeAddressAware::Yes).expect("room"));
        let views = [(processes[0], 0x04), (processes[1], 0x08)].map(|(process, protection)| {
            mm.map_view(process, section, ViewRequest::whole(protection)).expect("room").base
        });
        let mut shared = Self { mm, processes, views };
        for page in 0..2 {
            shared.touch(0, page, Access::Read);
            shared.touch(1, page, Access::Read);
        }
        shared.touch(1, 2, Access::Write);
        shared
    }

    fn address(&self, who: usize, page: u64) -> VirtAddr {
        self.views[who].checked_add(page * PAGE_BYTES).expect("an address")
    }

    fn touch(&mut self, who: usize, page: u64, access: Access) {
        let request = FaultRequest { address: self.address(who, page), access, stack: None };
        loop {
            match self.mm.fault(self.processes[who], request) {
                FaultOutcome::Resume(resume) if resume.kind == crate::request::FaultKind::Spurious => break,
                FaultOutcome::Resume(resume) => resume.stale.nothing_cached(),
                FaultOutcome::Wait(transfer) => {
                    assert_eq!(transfer.direction, TransferDirection::Read);
                    self.mm.complete_transfer(transfer.id, Ok(())).stale.nothing_cached();
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// Where the entry of a page is, and what it says.
    fn entry(&self, who: usize, page: u64) -> (PhysAddr, u64, PteState) {
        self.mm.page_entry(self.processes[who], self.address(who, page)).expect("it was touched")
    }

    fn frame(&self, who: usize, page: u64) -> vadose_facts::addr::Pfn {
        let (_, _, PteState::Valid(valid)) = self.entry(who, page) else { panic!("it was touched") };
        valid.pfn
    }
}

/// The audit names what was broken.
fn check(broken: impl FnOnce(&mut Shared), named: &str) {
    let mut shared = Shared::new();
    shared.mm.audit().expect("nothing is broken yet");
    broken(&mut shared);
    let error = shared.mm.audit().expect_err(named).to_string();
    assert!(error.contains(named), "{error}: {named}");
}

fn area(shared: &mut Shared) -> &mut crate::section::ControlArea {
    let id = shared.mm.data_area_of(FILE).expect("the file is mapped");
    shared.mm.area_mut(id)
}

/// SPEC I38 I39: views, sections and transfers of an area are those that there are.
#[test]
fn users_of_an_area_are_counted_again() {
    check(|shared| area(shared).views += 1, "views of");
    check(|shared| area(shared).sections -= 1, "sections over");
    check(|shared| area(shared).moving_pages += 1, "transfers of");
}

/// SPEC F18: the data of a file has one area.
#[test]
fn a_file_that_forgets_its_area_is_found() {
    check(|shared| shared.mm.data_areas.clear(), "the area of the data of");
}

/// SPEC I24 I25: a section's frame is counted by all who map it, is known as one, and is named by its prototype entry.
#[test]
fn a_sections_frame_and_its_entries_know_each_other() {
    let frame = |shared: &Shared| shared.frame(0, 0);
    check(|shared| shared.mm.pfn.get_mut(frame(shared)).share_count += 1, "shares of");
    check(|shared| shared.mm.pfn.get_mut(frame(shared)).pte = shared.entry(0, 0).0, "owner of");
    check(|shared| shared.mm.pfn.get_mut(frame(shared)).flags.remove(PfnFlags::PROTOTYPE), "charge of");
    let private =
        |shared: &mut Shared| shared.mm.pfn.get_mut(shared.frame(1, 2)).flags.insert(PfnFlags::PROTOTYPE);
    check(private, "that are not the section's");
}

/// SPEC I32: what is valid in a view is the section's page of that place, and no other.
#[test]
fn a_view_that_shows_another_page_is_found() {
    let swap = |shared: &mut Shared| {
        let [(first, one, _), (second, other, _)] = [0, 1].map(|page| shared.entry(0, page));
        shared.mm.ram().write_u64(first, other);
        shared.mm.ram().write_u64(second, one);
    };
    check(swap, "that are not the section's");
}

/// SPEC I25: a private page that a second entry reaches is found, in its own process and, for it is not charged there,
/// in another one.
#[test]
fn a_private_frame_in_two_places_is_found() {
    let steal = |shared: &mut Shared, thief: usize| {
        let (_, copy, _) = shared.entry(1, 2);
        let (at, _, _) = shared.entry(thief, 1);
        shared.mm.ram().write_u64(at, copy);
    };
    check(|shared| steal(shared, 1), "private frames of");
    check(|shared| steal(shared, 0), "charge of");
}
