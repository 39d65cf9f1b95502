//! Whose pages fill RAM, counted frame by frame.

use super::{FrameLook, FrameOwner};
use crate::id::{AreaId, ProcessId};
use crate::pfn::{PageLocation, PfnFlags};
use crate::pte::PteState;
use crate::state::Mm;
use crate::trace::PageName;
use std::collections::{BTreeMap, BTreeSet};
use vadose_facts::addr::Pfn;
use vadose_facts::x86::PhysicalMemory;

/// Who uses frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FrameUser {
    /// A process, for its private pages, physical and large ones included.
    Process(ProcessId),
    /// A process, for its page tables.
    PageTables(ProcessId),
    /// An image, a file or page-file memory, for its pages, whoever maps them.
    Area(AreaId),
    /// The kernel: its tables, the pool of prototype entries, the page that all processes share.
    Kernel,
    /// The store of compressed pages.
    Store,
    /// Pages that were given up while a transfer moves them.
    GivenUp,
}

/// Frames of one user, in pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameUse {
    /// Mapped by a process, or in use by the kernel.
    pub active: u64,
    /// On a standby list.
    pub standby: u64,
    /// On the modified list, or the modified-no-write one.
    pub modified: u64,
    /// In transfer.
    pub transition: u64,
    /// Of the active ones, those that more than one entry maps.
    pub shared: u64,
    /// Of the active ones, those that a process has locked (SPEC J6).
    pub locked: u64,
}

impl FrameUse {
    /// Frames in all places.
    pub const fn total(self) -> u64 {
        self.active + self.standby + self.modified + self.transition
    }
}

impl FrameOwner {
    /// The user that a frame counts for; `None` for one that nobody uses.
    pub const fn user(self) -> Option<FrameUser> {
        Some(match self {
            Self::Nobody => return None,
            Self::Page(PageName::Private { process, .. })
            | Self::Physical { process, .. }
            | Self::Large { process, .. } => FrameUser::Process(process),
            Self::Page(PageName::Table { process, .. }) | Self::TopTable(process) => {
                FrameUser::PageTables(process)
            }
            Self::Page(PageName::Section { area, .. }) => FrameUser::Area(area),
            Self::Prototypes(_) | Self::SharedUserData | Self::Processor | Self::KernelTable => {
                FrameUser::Kernel
            }
            Self::Store => FrameUser::Store,
            Self::GivenUp => FrameUser::GivenUp,
        })
    }
}

impl<R: PhysicalMemory> Mm<R> {
    /// Everyone who uses frames, and how many: all frames of RAM but those on the zeroed, free and bad lists.
    pub fn frame_users(&self) -> Vec<(FrameUser, FrameUse)> {
        let locked = self.locked_frames();
        let mut users: BTreeMap<FrameUser, FrameUse> = BTreeMap::new();
        for (pfn, entry) in self.pfn.used() {
            let Some(user) = self.frame_owner(pfn).user() else { continue };
            let counted = users.entry(user).or_default();
            match entry.location {
                PageLocation::Active => {
                    let table = entry.flags.contains(PfnFlags::PAGE_TABLE);
                    counted.active += 1;
                    counted.shared += u64::from(!table && entry.share_count > 1);
                    counted.locked += u64::from(locked.contains(&pfn));
                }
                PageLocation::Standby => counted.standby += 1,
                PageLocation::Modified | PageLocation::ModifiedNoWrite => counted.modified += 1,
                PageLocation::Transition => counted.transition += 1,
                PageLocation::Zeroed | PageLocation::Free | PageLocation::Bad => {
                    unreachable!("nobody uses a frame of these lists")
                }
            }
        }
        users.into_iter().collect()
    }

    fn locked_frames(&self) -> BTreeSet<Pfn> {
        let locks = self.processes.iter().flat_map(|(_, process)| {
            process.working_set.locks.keys().map(move |vpn| self.pte(process.root, *vpn))
        });
        locks
            .filter_map(|pte| match pte {
                PteState::Valid(valid) => Some(valid.pfn),
                PteState::Zero
                | PteState::DemandZero { .. }
                | PteState::Decommitted
                | PteState::Transition { .. }
                | PteState::PageFile { .. }
                | PteState::Prototype(_) => None,
            })
            .collect()
    }

    /// Every frame that somebody uses, in frame order.
    pub fn used_frames(&self) -> impl Iterator<Item = FrameLook> + '_ {
        let used = self.pfn.used().map(|(pfn, _)| self.frame_look(pfn).expect("a frame of the database"));
        used.filter(|frame| frame.owner != FrameOwner::Nobody)
    }
}
