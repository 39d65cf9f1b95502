//! The explanation of a run: every fault with what was read and decided, every page that moved, and why. Off unless asked
//! for; whoever drives the memory manager takes the events away as they come.

mod name;
mod note;

pub use name::PageName;

use crate::id::{FileId, PagingId, ProcessId, TransferId};
use crate::paging::Slot;
use crate::pfn::PageLocation;
use crate::pte::{PrototypeState, PteState};
use crate::request::{ExceptionParameters, FaultKind, RegionBacking, TransferDirection};
use vadose_facts::addr::{PageRange, Pfn, PhysAddr, VirtAddr, Vpn};
use vadose_facts::ntdef::{MemoryState, NtStatus, Protection};
use vadose_facts::x86::Access;

/// Events that wait to be taken. Beyond it events are dropped, and [`TraceEvent::Lost`] says how many: one call over a
/// quarter of a million pages still fits.
const MOST_EVENTS: usize = 1 << 20;

/// Something that happened to a page, a frame, a page table or the commit charge, in the order in which it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TraceEvent {
    /// An access that the processor could not do; what follows up to its [`FaultEnd`](Self::FaultEnd) is part of it.
    Fault(Box<FaultTrace>),
    /// The answer to a fault. One that waits is raised again once its transfer is made.
    FaultEnd {
        /// Whose fault.
        process: ProcessId,
        /// The byte.
        address: VirtAddr,
        /// The answer.
        outcome: TracedOutcome,
    },
    /// A frame was taken for something (SPEC I27).
    FrameTaken {
        /// The frame.
        frame: Pfn,
        /// Where it was.
        from: FrameSource,
    },
    /// A frame came to another place (SPEC I23).
    FrameMoved {
        /// The frame.
        frame: Pfn,
        /// Where it is now.
        to: PageLocation,
        /// Its priority: the standby list, if it is on one (SPEC I26).
        priority: u8,
        /// The page that it holds, if it is anybody's still.
        page: Option<PageName>,
    },
    /// A page left a working set (SPEC I40).
    PageTrimmed {
        /// Whose.
        process: ProcessId,
        /// Which page.
        vpn: Vpn,
        /// Its frame.
        frame: Pfn,
        /// Why it had to go.
        reason: TrimReason,
        /// Whether the frame differs from every copy elsewhere.
        content: Content,
    },
    /// A page table left its process's tables: nothing in it needs it to be there.
    TableTrimmed {
        /// Whose.
        process: ProcessId,
        /// A page whose entry is in it, or in a table below it.
        vpn: Vpn,
        /// Its frame.
        frame: Pfn,
    },
    /// A page table is valid again.
    TableBack {
        /// Whose.
        process: ProcessId,
        /// A page whose entry is in it, or in a table below it.
        vpn: Vpn,
        /// Its frame.
        frame: Pfn,
    },
    /// Bytes begin to move between frames and a file.
    TransferBegin(Box<TransferTrace>),
    /// They have moved, or could not.
    TransferEnd {
        /// Which transfer.
        id: TracedTransfer,
        /// The status of a failure.
        result: Result<(), NtStatus>,
    },
    /// Pages of a page file were taken for content (SPEC J15).
    SlotsTaken {
        /// The first one.
        first: Slot,
        /// How many.
        pages: u32,
    },
    /// A page of a page file holds nothing any more.
    SlotFreed {
        /// Which.
        slot: Slot,
    },
    /// A page of a page file could not be written and is left alone from now on.
    SlotBad {
        /// Which.
        slot: Slot,
    },
    /// A modified page was compressed: its frame is standby from now on (SPEC J17).
    Compressed {
        /// The frame.
        frame: Pfn,
        /// Its page.
        page: Option<PageName>,
        /// Where in the compressed store.
        slot: Slot,
    },
    /// A modified page hardly shrinks: it is for a page file.
    CompressionRefused {
        /// The frame.
        frame: Pfn,
        /// Its page.
        page: Option<PageName>,
    },
    /// A page came out of the compressed store.
    Decompressed {
        /// The frame that it is in now.
        frame: Pfn,
        /// Where it was.
        slot: Slot,
    },
    /// Private memory of a process was charged (SPEC J12).
    Charged {
        /// Whose.
        process: ProcessId,
        /// How many pages.
        pages: u64,
        /// What the machine has charged in all now.
        total_pages: u64,
    },
    /// A charge was given back.
    GivenBack {
        /// Whose.
        process: ProcessId,
        /// How many pages.
        pages: u64,
        /// What the machine has charged in all now.
        total_pages: u64,
    },
    /// Events that were dropped, for nobody took the earlier ones away.
    Lost {
        /// How many.
        events: u64,
    },
}

/// A fault, and what was read to answer it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultTrace {
    /// Whose.
    pub process: ProcessId,
    /// What was tried.
    pub access: Access,
    /// The exact byte.
    pub address: VirtAddr,
    /// Whether the address may be a program's at all.
    pub side: AddressSide,
    /// The entries that the processor read, top table first, down to the one that ended its walk; and those below it, if
    /// their tables were brought back for the decision.
    pub walk: Vec<WalkStep>,
    /// The region that holds the address.
    pub region: Option<RegionTrace>,
    /// What the section behind the region says of the page.
    pub prototype: Option<PrototypeTrace>,
    /// What is to be done.
    pub plan: TracedPlan,
}

/// Which half of the address space an address is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressSide {
    /// The program's.
    User,
    /// Beyond it.
    Beyond,
}

/// One entry of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalkStep {
    /// Lowest bit of an address that picks an entry at this level: 12 in a page table.
    pub shift: u32,
    /// Where the entry is.
    pub at: PhysAddr,
    /// Its bits.
    pub raw: u64,
    /// What they mean; nothing is said of entries of the kernel.
    pub state: Option<PteState>,
}

/// The region of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegionTrace {
    /// Its pages.
    pub range: PageRange,
    /// What is behind it.
    pub backing: RegionBacking,
    /// The protection that it was made with.
    pub protection: Protection,
    /// What the page is.
    pub page_state: MemoryState,
    /// What may be done with the page; `None` while it is reserved.
    pub page_protection: Option<Protection>,
}

/// The entry of a section's page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrototypeTrace {
    /// Where the entry is.
    pub at: PhysAddr,
    /// Its bits.
    pub raw: u64,
    /// What they mean.
    pub state: PrototypeState,
}

/// What a fault asks for (SPEC I30).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TracedPlan {
    /// A page table on the way is not in RAM: it comes first.
    Table,
    /// Nothing is wrong any more.
    Spurious,
    /// The access is not allowed.
    Violation,
    /// The page could not be read.
    Failed {
        /// Why.
        cause: NtStatus,
    },
    /// A guard page was touched.
    Guard,
    /// A clean writable page gets its first store.
    FirstStore,
    /// A shared page is stored to, and copied.
    CopyOnWrite {
        /// The frame of the shared page.
        source: Pfn,
    },
    /// The first touch of a page of zeros.
    DemandZero {
        /// What the page gets.
        protection: Protection,
    },
    /// The page is in its frame still.
    Transition {
        /// The frame.
        frame: Pfn,
        /// How it came there.
        arrival: Arrival,
    },
    /// The page is in a page file, or in the compressed store.
    PageFile {
        /// Where.
        slot: Slot,
    },
    /// A section knows where the page is.
    Section {
        /// The page's number in it.
        page: u32,
    },
}

/// How the content of a page came into the frame that it waits in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It never left the frame.
    Stayed,
    /// It was read for this fault.
    JustRead,
    /// It was read along with a neighbour.
    ReadAlong,
    /// Its transfer is under way.
    Underway,
}

/// How a fault was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TracedOutcome {
    /// The thread goes on.
    Resumed {
        /// What was done.
        kind: FaultKind,
        /// The new lower end of the thread's stack, if it grew.
        stack_limit: Option<VirtAddr>,
    },
    /// A transfer has to be made first.
    Waits {
        /// Which.
        id: TracedTransfer,
    },
    /// There is no frame: background work comes first.
    Short,
    /// The thread gets an exception.
    Raised {
        /// Which.
        status: NtStatus,
        /// Its parameters.
        parameters: ExceptionParameters,
    },
}

impl TracedOutcome {
    /// Whether the fault is over; it is raised again otherwise.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Resumed { .. } | Self::Raised { .. } => true,
            Self::Waits { .. } | Self::Short => false,
        }
    }
}

/// Where a frame was before it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameSource {
    /// On the zeroed list.
    Zeroed,
    /// On the free list.
    Free,
    /// Nowhere: it was never used.
    NeverUsed,
    /// On a standby list, holding a page that has to be read again when it is needed.
    Standby {
        /// Which list.
        priority: u8,
        /// Whose page it was.
        page: Option<PageName>,
        /// Where the content is now; `None` for a file or nowhere.
        copy: Option<Slot>,
    },
}

/// Why a page left a working set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrimReason {
    /// Frames are short, and it was not used since it was looked at last (SPEC I40).
    NotUsed,
    /// The working set is at its hard maximum (SPEC J3).
    HardMaximum,
    /// The working set was emptied (SPEC J5).
    Emptied,
    /// Its new protection lets nobody touch it.
    Protection,
    /// The program offered it (SPEC J26).
    Offered,
    /// The program unlocked it once more than it had locked it (SPEC J10).
    Unlocked,
}

impl TrimReason {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::NotUsed, Self::HardMaximum, Self::Emptied, Self::Protection, Self::Offered, Self::Unlocked];
}

/// Whether a frame has something that no file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// It does: it has to be written before the frame can be used again.
    Modified,
    /// A file has the same.
    Clean,
}

/// A transfer that begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferTrace {
    /// Which.
    pub id: TracedTransfer,
    /// From the file or to it.
    pub direction: TransferDirection,
    /// Where in which file.
    pub place: TransferPlace,
    /// The frames, in the order of the file, and the page of each.
    pub frames: Vec<(Pfn, Option<PageName>)>,
    /// The page that a fault waits for; the others of a read come along with it.
    pub wanted: Option<(ProcessId, Vpn)>,
}

/// A transfer's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TracedTransfer {
    /// With a page file.
    Paging(PagingId),
    /// With a mapped file.
    File(TransferId),
}

/// The file's side of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferPlace {
    /// Pages of a page file from this one on.
    PageFile(Slot),
    /// Part of a mapped file.
    File {
        /// Which file.
        file: FileId,
        /// First byte.
        offset: u64,
        /// Bytes.
        bytes: u32,
    },
}

/// Whether events are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracing {
    /// They are.
    On,
    /// They are not even made.
    Off,
}

/// What happened since it was taken last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorder {
    /// `None` while nobody wants to know.
    events: Option<Vec<TraceEvent>>,
    lost: u64,
}

impl Recorder {
    #[inline]
    pub(crate) const fn is_on(&self) -> bool {
        self.events.is_some()
    }

    fn set(&mut self, tracing: Tracing) {
        self.events = match tracing {
            Tracing::On => Some(self.events.take().unwrap_or_default()),
            Tracing::Off => None,
        };
    }

    fn push(&mut self, event: TraceEvent) {
        let Some(events) = &mut self.events else { return };
        if events.len() < MOST_EVENTS {
            events.push(event);
        } else {
            self.lost += 1;
        }
    }

    /// The fault that is being answered: the last one that began.
    fn open_fault(&mut self) -> Option<&mut FaultTrace> {
        self.events.iter_mut().flatten().rev().find_map(|event| {
            let TraceEvent::Fault(fault) = event else { return None };
            Some(&mut **fault)
        })
    }

    fn take(&mut self) -> Vec<TraceEvent> {
        let mut taken = self.events.as_mut().map(std::mem::take).unwrap_or_default();
        let events = std::mem::take(&mut self.lost);
        if events > 0 {
            taken.push(TraceEvent::Lost { events });
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: TraceEvent = TraceEvent::SlotFreed { slot: Slot { file: 0, page: 1 } };

    #[test]
    fn nothing_is_kept_while_tracing_is_off() {
        let mut recorder = Recorder::default();
        recorder.push(EVENT);
        assert_eq!(recorder.take(), []);
        recorder.set(Tracing::On);
        recorder.push(EVENT);
        recorder.set(Tracing::On);
        assert_eq!(recorder.take(), [EVENT]);
        assert_eq!(recorder.take(), []);
    }

    #[test]
    fn beyond_the_bound_events_are_counted_and_the_first_ones_kept() {
        let mut recorder = Recorder::default();
        recorder.set(Tracing::On);
        for _ in 0..MOST_EVENTS + 3 {
            recorder.push(EVENT);
        }
        let taken = recorder.take();
        assert_eq!((taken.len(), taken.last()), (MOST_EVENTS + 1, Some(&TraceEvent::Lost { events: 3 })));
        recorder.push(EVENT);
        assert_eq!(recorder.take(), [EVENT]);
    }
}
