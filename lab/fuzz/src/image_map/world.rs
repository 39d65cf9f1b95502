//! Two processes that map one image, driven step by step and held against the model.

use super::model::{Model, Stores};
use super::script::{Ending, Step, Verb};
use vadose_facts::addr::{GRANULARITY_BYTES, PAGE_BYTES, PhysAddr, VirtAddr};
use vadose_facts::ntdef::{Aslr, Edition, LargeAddressAware, NtStatus, Protection};
use vadose_facts::pe::PeImage;
use vadose_facts::x86::{Access, HeapRam, Miss, NoExecute, PhysicalMemory as _, Privilege, walk};
use vadose_mm::{
    FaultOutcome, FaultRequest, FileId, ImageRequest, MINIMUM_RAM_BYTES, Mm, MmConfig, ProcessId, Raise,
    SectionId, Transfer, Unmapped, ViewRequest, Work,
};

/// RAM above the least that starts: a few hundred pages of images.
const EXTRA_FRAMES: u64 = 256;

/// Faults that one access may take before it counts as endless.
const MAX_FAULTS: u32 = 8;

/// With fewer frames than this a page may fail to come in for want of one.
const FEW_FRAMES: u64 = 16;

/// What a failed read says.
const BROKEN: NtStatus = NtStatus::END_OF_FILE;

/// `PAGE_READONLY`: an image's pages have protections of their own.
const READ_ONLY: u32 = 0x02;

/// One process, and its view of the image if it has one.
struct Space {
    id: ProcessId,
    view: Option<VirtAddr>,
    stores: Stores,
}

/// What becomes of file reads during a touch.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reads {
    Work,
    Fail,
    Stay,
}

/// How an access ended.
enum Touched {
    At(PhysAddr),
    Raised(Raise),
    /// A read is under way.
    Waiting,
}

/// The machine.
pub(super) struct World<'a> {
    mm: Mm<HeapRam>,
    model: Model<'a>,
    section: Option<SectionId>,
    spaces: [Space; 2],
    under_way: Vec<Transfer>,
    /// Commit charge of the kernel alone: the tables of its pool stay once they are made.
    kernel_charge: u64,
    /// The same with two empty processes.
    idle_charge: u64,
}

impl<'a> World<'a> {
    /// Boots the edition and makes the section, if there is room for it.
    pub(super) fn new(edition: &'static Edition, file: &'a [u8], image: &'a PeImage) -> Self {
        let ram = HeapRam::new(MINIMUM_RAM_BYTES / PAGE_BYTES + EXTRA_FRAMES);
        let config = MmConfig {
            edition,
            page_file_bytes: 0,
            commit_limit_bytes: None,
            seed: file.len() as u64,
            aslr: policy_for(file),
        };
        let mut mm = Mm::new(config, ram).expect("RAM enough to start");
        if let Some(first) = make_section(&mut mm, file, image) {
            mm.close_section(first);
        }
        let kernel_charge = mm.counters().commit.charged_pages();
        let spaces = [(); 2].map(|()| Space::start(&mut mm));
        let idle_charge = mm.counters().commit.charged_pages();
        let section = make_section(&mut mm, file, image);
        let mut model = Model::new(file, image);
        if let Some(section) = section {
            let info = mm.section_information(section).expect("the section lives");
            model.place(info.image_base.expect("it is an image").raw());
        }
        Self { mm, model, section, spaces, under_way: Vec::new(), kernel_charge, idle_charge }
    }

    /// The records agree.
    pub(super) fn audit(&self) {
        self.mm.audit().expect("the records agree");
    }

    /// Does one step.
    pub(super) fn step(&mut self, step: Step) {
        match step.verb {
            Verb::Touch(access) => self.touch(step, access, Reads::Work),
            Verb::TouchBroken(access) => self.touch(step, access, Reads::Fail),
            Verb::TouchAndLeave(access) => self.touch(step, access, Reads::Stay),
            Verb::EndRead(ending) => self.end_oldest(ending),
            Verb::Protect => self.protect(step),
            Verb::Map => self.map(step.process, None),
            Verb::MapAt => {
                let unit = u64::from(step.page) << 8 | u64::from(step.detail);
                self.map(step.process, Some(VirtAddr::new(unit * GRANULARITY_BYTES)));
            }
            Verb::Unmap => self.unmap(step.process),
            Verb::CloseSection => {
                if let Some(section) = self.section.take() {
                    self.mm.close_section(section);
                }
            }
            Verb::Restart => self.restart(step.process),
        }
    }

    /// Gives everything back and looks whether all of it came back.
    pub(super) fn end(mut self) {
        self.audit();
        while !self.under_way.is_empty() {
            self.end_oldest(Ending::Well);
        }
        for process in 0..self.spaces.len() {
            self.unmap(process);
        }
        if let Some(section) = self.section.take() {
            self.mm.close_section(section);
        }
        self.audit();
        let charge = self.mm.counters().commit.charged_pages();
        assert_eq!(charge, self.idle_charge, "all charges come back with views and section");
        for space in &self.spaces {
            ended(self.mm.delete_process(space.id));
        }
        self.audit();
        let charge = self.mm.counters().commit.charged_pages();
        assert_eq!(charge, self.kernel_charge, "nothing is charged to processes that are gone");
    }

    fn map(&mut self, process: usize, base: Option<VirtAddr>) {
        let Some(section) = self.section else { return };
        let space = &mut self.spaces[process];
        if space.view.is_some() {
            return;
        }
        let highest = self.mm.edition().max_user_address.raw() - GRANULARITY_BYTES;
        let request = ViewRequest { base, ..ViewRequest::whole(READ_ONLY) };
        match self.mm.map_view(space.id, section, request) {
            Ok(view) => {
                assert_eq!(
                    view.size,
                    u64::from(self.model.pages()) * PAGE_BYTES,
                    "a view is all of the image"
                );
                assert!(base.is_none_or(|base| base == view.base), "a view is where it was asked for");
                let chosen = self.mm.section_information(section).expect("it lives").image_base;
                let there = chosen == Some(view.base);
                assert!(view.status != NtStatus::SUCCESS || there, "a success is at the section's base");
                assert!(view.status != NtStatus::IMAGE_NOT_AT_BASE || !there, "another status is not");
                space.view = Some(view.base);
            }
            Err(NtStatus::CONFLICTING_ADDRESSES) => assert!(base.is_some(), "anywhere is never in conflict"),
            Err(status) if base.is_some_and(|base| base.raw() > highest) => {
                let third = [NtStatus::invalid_parameter(3), NtStatus::INVALID_PARAMETER];
                assert!(third.contains(&status), "a base past user space is parameter 3, not {status}");
            }
            Err(status) => {
                assert!(is_shortage(status), "a view is refused for want of room, not by {status}")
            }
        }
    }

    fn unmap(&mut self, process: usize) {
        let space = &mut self.spaces[process];
        let Some(base) = space.view.take() else { return };
        space.stores = Stores::default();
        ended(self.mm.unmap_view(space.id, base).expect("the view was mapped"));
        let info = self.mm.query(space.id, base).expect("a user address");
        assert_eq!(info.allocation_base, None, "an unmapped view is free space");
    }

    fn restart(&mut self, process: usize) {
        let old = self.spaces[process].id;
        ended(self.mm.delete_process(old));
        self.spaces[process] = Space::start(&mut self.mm);
    }

    fn protect(&mut self, step: Step) {
        let Some((base, page)) = self.place(step) else { return };
        let pages = u64::from(step.detail >> 5).min(u64::from(self.model.pages() - page));
        let at = page_address(base, page);
        let word = 1 << (step.detail & 7) | u32::from(step.detail >> 3 & 1) << 8;
        let id = self.spaces[step.process].id;
        let before = self.protection(id, at);
        match self.mm.protect(id, at, pages.max(1) * PAGE_BYTES, word) {
            Ok(changed) => {
                changed.stale.nothing_cached();
                assert_eq!(Some(changed.old), before, "the old protection is what a query told");
            }
            Err(status) => assert!(!status.is_success()),
        }
    }

    /// The page that a step speaks of, if the process has a view.
    fn place(&self, step: Step) -> Option<(VirtAddr, u32)> {
        let base = self.spaces[step.process].view?;
        // Small images are reached page by page, large ones in strides.
        let stride = (self.model.pages() / 256).max(1);
        Some((base, u32::from(step.page) * stride % self.model.pages()))
    }

    fn protection(&self, id: ProcessId, at: VirtAddr) -> Option<Protection> {
        self.mm.query(id, at).expect("a user address").protection
    }

    /// One access, held against what the query says of the page and what the model says of its bytes.
    fn touch(&mut self, step: Step, access: Access, reads: Reads) {
        let Some((base, page)) = self.place(step) else { return };
        let offset = u16::from(step.detail) * 16;
        let at = page_address(base, page).checked_add(u64::from(offset)).expect("in the page");
        let id = self.spaces[step.process].id;
        let before = self.protection(id, at).expect("a page of an image is committed");
        match self.access(id, at, access, reads) {
            Touched::At(phys) => {
                assert!(self.allows(before, access), "{access:?} of a page with {before:?} at {at:?}");
                self.use_page(step.process, page, offset, access, phys);
            }
            Touched::Raised(raise) => {
                let may = self.model.has_content(page) && self.allows(before, access);
                self.check_raised(id, at, before, may, &raise);
            }
            Touched::Waiting => assert!(reads == Reads::Stay, "a read that nobody left is done"),
        }
    }

    fn use_page(&mut self, process: usize, page: u32, offset: u16, access: Access, phys: PhysAddr) {
        assert!(self.model.has_content(page), "a page of a gap has nothing to show");
        let mut found = [0; PAGE_BYTES as usize];
        self.mm.ram().read_bytes(phys.pfn().base(), &mut found);
        let stores = &mut self.spaces[process].stores;
        assert!(found == self.model.content(page, stores), "page {page} holds other bytes than it should");
        if access == Access::Write {
            let byte = found[usize::from(offset)].wrapping_add(1);
            self.mm.ram().write_bytes(phys, &[byte]);
            self.model.store(page, offset, byte, stores);
        }
    }

    /// `may`: the access should pass, but for guards and failing reads. A gap has no content, whatever its protection.
    fn check_raised(&self, id: ProcessId, at: VirtAddr, before: Protection, may: bool, raise: &Raise) {
        assert_eq!(raise.parameters.as_slice()[1], at.raw(), "an exception tells the exact byte");
        match raise.status {
            NtStatus::GUARD_PAGE_VIOLATION => {
                assert!(before.is_guard(), "a guard fires on a guard page");
                let after = self.protection(id, at).expect("the page is still committed");
                assert_eq!(after, before.without_guard(), "a guard fires once");
            }
            NtStatus::ACCESS_VIOLATION => {
                assert!(!may, "an access to {at:?} refused of a page with {before:?}");
            }
            NtStatus::IN_PAGE_ERROR => self.check_in_page(raise),
            status => panic!("{status} at {at:?}"),
        }
    }

    fn check_in_page(&self, raise: &Raise) {
        let cause = raise.parameters.as_slice()[2];
        if cause == u64::from(NtStatus::NO_MEMORY.raw()) {
            let left = self.mm.frame_counts().available();
            assert!(left < FEW_FRAMES, "{left} frames are left for a page");
        } else {
            assert_eq!(cause, u64::from(BROKEN.raw()), "the cause is the read's");
        }
    }

    /// Whether the page's protection lets an access pass on this edition.
    fn allows(&self, protection: Protection, access: Access) -> bool {
        let base = protection.base();
        let right = match (access, self.mm.edition().no_execute) {
            (Access::Write, _) => base.allows_write(),
            (Access::Execute, NoExecute::Enforced) => base.allows_execute(),
            (Access::Read, _) | (Access::Execute, NoExecute::Off) => base.allows_read(),
        };
        right && !protection.is_guard()
    }

    /// Walks and faults until the access passes or something else comes of it.
    fn access(&mut self, id: ProcessId, at: VirtAddr, access: Access, reads: Reads) -> Touched {
        for _ in 0..MAX_FAULTS {
            let space = self.mm.translation(id);
            match walk(self.mm.ram(), space, at, access, Privilege::User) {
                Ok(found) => return Touched::At(found.phys),
                Err(Miss::NotCanonical) => panic!("a view at {at:?}, which is not canonical"),
                Err(Miss::PageFault(_)) => {}
            }
            match self.mm.fault(id, FaultRequest { address: at, access, stack: None }) {
                FaultOutcome::Resume(resume) => resume.stale.nothing_cached(),
                FaultOutcome::Raise(raise) => return Touched::Raised(raise),
                FaultOutcome::Page(_) => panic!("there is no page file"),
                FaultOutcome::Short => {
                    if self.under_way.is_empty() {
                        self.work();
                    } else {
                        return Touched::Waiting;
                    }
                }
                FaultOutcome::Wait(transfer) => {
                    if !self.under_way.contains(&transfer) {
                        self.under_way.push(transfer);
                    }
                    match reads {
                        Reads::Work => self.end_read(transfer, Ending::Well),
                        Reads::Fail => self.end_read(transfer, Ending::Badly),
                        Reads::Stay => return Touched::Waiting,
                    }
                }
            }
        }
        panic!("an access that never ends at {at:?}");
    }

    /// Makes frames available where that needs no transfer: what is mapped is never stored to its file.
    fn work(&mut self) {
        loop {
            match self.mm.work() {
                Work::Idle => return,
                Work::Moved => {}
                Work::Trimmed(stale) => stale.nothing_cached(),
                Work::Write(_) | Work::WriteFile(_) => panic!("images are written to no file"),
            }
        }
    }

    fn end_oldest(&mut self, ending: Ending) {
        if let Some(&transfer) = self.under_way.first() {
            self.end_read(transfer, ending);
        }
    }

    fn end_read(&mut self, transfer: Transfer, ending: Ending) {
        self.under_way.retain(|other| other.id != transfer.id);
        let result = match ending {
            Ending::Well => {
                let bytes = self.model.file_bytes(transfer.offset, transfer.bytes);
                self.mm.ram().write_bytes(transfer.frame.base(), bytes);
                Ok(())
            }
            Ending::Badly => Err(BROKEN),
        };
        self.mm.complete_transfer(transfer.id, result).stale.nothing_cached();
    }
}

impl Space {
    fn start(mm: &mut Mm<HeapRam>) -> Self {
        let id = mm.create_process(LargeAddressAware::Yes).expect("a process found room here before");
        Self { id, view: None, stores: Stores::default() }
    }
}

/// Two files of three are randomised.
fn policy_for(file: &[u8]) -> Aslr {
    if file.len().is_multiple_of(3) { Aslr::Off } else { Aslr::On }
}

/// A section of the image, unless there is no room for its records.
fn make_section(mm: &mut Mm<HeapRam>, file: &[u8], image: &PeImage) -> Option<SectionId> {
    let fixups = image.page_fixups(&mut image.file_view(file)).ok();
    let request = ImageRequest { fixups, ..ImageRequest::new(FileId::new(1), image) };
    let section = mm.create_image_section(&request);
    if let Err(status) = section {
        assert!(is_shortage(status), "a section is refused for want of room only, not by {status}");
    }
    section.ok()
}

/// A view of an image has nothing to write.
fn ended(unmapped: Unmapped) {
    unmapped.stale.nothing_cached();
    assert!(unmapped.writes.is_empty(), "no page of an image goes back to its file");
}

fn page_address(base: VirtAddr, page: u32) -> VirtAddr {
    base.checked_add(u64::from(page) * PAGE_BYTES).expect("a view lies in the address space")
}

fn is_shortage(status: NtStatus) -> bool {
    [NtStatus::INSUFFICIENT_RESOURCES, NtStatus::COMMITMENT_LIMIT, NtStatus::NO_MEMORY].contains(&status)
}
