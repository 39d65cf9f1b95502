//! What working-set queries say of pages (SPEC D30 to D34).

use crate::id::ProcessId;
use crate::pfn::{PageLocation, PfnEntry, PfnFlags};
use crate::process::Process;
use crate::pte::{PrototypeState, PteState, ValidPte};
use crate::state::Mm;
use crate::vad::Vad;
use vadose_facts::addr::{PageRange, Pfn, VirtAddr, Vpn};
use vadose_facts::ntdef::{Protection, PteProtection};
use vadose_facts::x86::PhysicalMemory;

/// One page as a working-set query tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageAttributes {
    /// In the working set (SPEC D31).
    Resident(ResidentPage),
    /// Not in the working set (SPEC D32).
    Absent(AbsentPage),
}

/// Whose a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageOwner {
    /// The process's own.
    Private,
    /// A section's.
    Section,
}

/// A page in a working set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResidentPage {
    /// The page.
    pub vpn: Vpn,
    /// What the process may do with it.
    pub protection: Protection,
    /// Whose it is.
    pub owner: PageOwner,
    /// Mappings of a section's page in all processes; 0 for a private page (SPEC D33).
    pub share_count: u32,
    /// Whether it is locked in the working set (SPEC J6).
    pub lock: PageLock,
    /// Its frame's priority.
    pub priority: u8,
}

/// Whether a page is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageLock {
    /// It may leave the working set.
    Free,
    /// It stays.
    Locked,
}

/// A page that is not in the working set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbsentPage {
    /// Whose it is; free space is nobody's and counts as private.
    pub owner: PageOwner,
    /// Where its content is.
    pub place: ContentPlace,
}

/// Where the content of a page outside the working set is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentPlace {
    /// There is none yet, or it is in the mapped file.
    Nowhere,
    /// In a frame of this priority, on the modified list or not.
    Frame {
        /// The frame's priority.
        priority: u8,
        /// Whether it has yet to be written.
        list: ContentList,
    },
    /// In a page file.
    PageFile,
}

/// Which kind of list a frame waits on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentList {
    /// Standby, or in transfer, or mapped by another process.
    Other,
    /// Modified: to be written first.
    Modified,
}

const NOTHING: PageAttributes =
    PageAttributes::Absent(AbsentPage { owner: PageOwner::Private, place: ContentPlace::Nowhere });

impl<R: PhysicalMemory> Mm<R> {
    /// What is known of the page at an address. Any address may be asked for: outside of every region nothing is
    /// (SPEC D30).
    ///
    /// # Panics
    ///
    /// If the process is gone.
    pub fn page_attributes(&self, process: ProcessId, address: VirtAddr) -> PageAttributes {
        let owner = self.process(process);
        let vpn = address.vpn();
        if address > owner.max_user {
            return NOTHING;
        }
        let Some(vad) = owner.vads.find(vpn) else { return NOTHING };
        let vad = owner.vads.get(vad);
        let place = match self.pte(owner.root, vpn) {
            PteState::Valid(valid) => {
                return PageAttributes::Resident(self.resident_page(owner, vad, vpn, valid));
            }
            PteState::Transition { pfn, .. } => self.place_in_frame(pfn),
            PteState::PageFile { .. } => ContentPlace::PageFile,
            PteState::Zero | PteState::Prototype(_) => return self.absent_by_vad(vad, vpn),
            PteState::DemandZero { .. } | PteState::Decommitted => ContentPlace::Nowhere,
        };
        PageAttributes::Absent(AbsentPage { owner: PageOwner::Private, place })
    }

    /// Every page of a working set, lowest first (SPEC D34).
    ///
    /// # Panics
    ///
    /// If the process is gone.
    pub fn working_set_pages(&self, process: ProcessId) -> Vec<ResidentPage> {
        let owner = self.process(process);
        let user = PageRange::inclusive(Vpn::new(0), owner.max_user.vpn());
        let mut pages = Vec::new();
        self.each_table_entry(owner, user, |vpn, _, pte| {
            let PteState::Valid(valid) = pte else { return };
            let vad = owner.vads.find(vpn).expect("a valid user page has a VAD");
            pages.push(self.resident_page(owner, owner.vads.get(vad), vpn, valid));
        });
        pages
    }

    fn resident_page(&self, process: &Process, vad: &Vad, vpn: Vpn, valid: ValidPte) -> ResidentPage {
        let frame = self.pfn.get(valid.pfn);
        let bits: PteProtection = self.valid_protection(process, vad, vpn, valid);
        let (owner, share_count) = owner_of(&frame);
        let locked = process.working_set.locks.contains_key(&vpn);
        ResidentPage {
            vpn,
            protection: bits.decode().expect("a valid page has a protection"),
            owner,
            share_count,
            lock: if locked { PageLock::Locked } else { PageLock::Free },
            priority: frame.priority,
        }
    }

    /// A page whose entry leaves it to the region what it is.
    fn absent_by_vad(&self, vad: &Vad, vpn: Vpn) -> PageAttributes {
        let Some(view) = vad.kind.view() else { return NOTHING };
        let place = match self.prototype_state(self.area(view.area), Self::view_page(vad, vpn)) {
            PrototypeState::Active { pfn } | PrototypeState::Transition { pfn, .. } => {
                self.place_in_frame(pfn)
            }
            PrototypeState::PageFile { .. } => ContentPlace::PageFile,
            PrototypeState::Absent
            | PrototypeState::Subsection { .. }
            | PrototypeState::DemandZero { .. } => ContentPlace::Nowhere,
        };
        PageAttributes::Absent(AbsentPage { owner: PageOwner::Section, place })
    }

    fn place_in_frame(&self, pfn: Pfn) -> ContentPlace {
        let frame = self.pfn.get(pfn);
        let list = match frame.location {
            PageLocation::Modified | PageLocation::ModifiedNoWrite => ContentList::Modified,
            PageLocation::Zeroed
            | PageLocation::Free
            | PageLocation::Standby
            | PageLocation::Bad
            | PageLocation::Active
            | PageLocation::Transition => ContentList::Other,
        };
        ContentPlace::Frame { priority: frame.priority, list }
    }
}

fn owner_of(frame: &PfnEntry) -> (PageOwner, u32) {
    if frame.flags.contains(PfnFlags::PROTOTYPE) {
        (PageOwner::Section, frame.share_count)
    } else {
        (PageOwner::Private, 0)
    }
}
