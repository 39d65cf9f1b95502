//! What callers ask of the memory manager and what they get back.

use crate::id::{FileId, SectionId, TransferId};
use vadose_facts::addr::{PageRange, Pfn, VirtAddr};
use vadose_facts::ntdef::{AllocationType, MemoryState, MemoryType, NtStatus, Protection};
use vadose_facts::x86::{Access, Stale};

/// Arguments of an allocate call, as the program gave them: nothing is checked yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllocateRequest {
    /// Wanted address, `None` for anywhere.
    pub base: Option<VirtAddr>,
    /// Bytes.
    pub size: u64,
    /// Restricts the address: a count of leading zero bits, or a mask (SPEC A24 to A26).
    pub zero_bits: u64,
    /// `MEM_*` bits.
    pub kind: AllocationType,
    /// A `PAGE_*` word.
    pub protection: u32,
}

/// An allocation made.
#[must_use = "page tables may have changed"]
#[derive(Debug, PartialEq, Eq)]
pub struct Allocated {
    /// First byte, rounded as Windows does.
    pub base: VirtAddr,
    /// Bytes, rounded as Windows does.
    pub size: u64,
    /// What the processor must drop.
    pub stale: Stale,
}

/// Memory given back.
#[must_use = "page tables may have changed"]
#[derive(Debug, PartialEq, Eq)]
pub struct Freed {
    /// First byte, rounded as Windows does.
    pub base: VirtAddr,
    /// Bytes, as Windows reports them (SPEC B13).
    pub size: u64,
    /// What the processor must drop.
    pub stale: Stale,
}

/// A protection changed.
#[must_use = "page tables may have changed"]
#[derive(Debug, PartialEq, Eq)]
pub struct Protected {
    /// First byte, rounded down to a page.
    pub base: VirtAddr,
    /// Bytes, rounded up to pages.
    pub size: u64,
    /// What the first page had before (SPEC C4).
    pub old: Protection,
    /// `STATUS_SUCCESS`, or `STATUS_WAS_UNLOCKED` if a locked page can no longer be touched and so lost its lock.
    pub status: NtStatus,
    /// What the processor must drop.
    pub stale: Stale,
}

/// What became of a lock call.
#[must_use = "pages may have to be touched first"]
#[derive(Debug, PartialEq, Eq)]
pub enum LockOutcome {
    /// The pages are locked.
    Done(Locked),
    /// Touch these pages for reading, in order, and call again. A touch that raises an exception is the call's failure.
    Touch(PageRange),
}

/// Pages locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Locked {
    /// First byte, rounded down to a page.
    pub base: VirtAddr,
    /// Bytes, rounded up to pages.
    pub size: u64,
    /// `STATUS_SUCCESS`, or `STATUS_WAS_LOCKED` if a page was locked already (SPEC J8).
    pub status: NtStatus,
}

/// An unlock call that was allowed.
#[must_use = "page tables may have changed"]
#[derive(Debug, PartialEq, Eq)]
pub struct Unlocked {
    /// First byte, rounded down to a page.
    pub base: VirtAddr,
    /// Bytes, rounded up to pages.
    pub size: u64,
    /// `STATUS_SUCCESS`, or `STATUS_NOT_LOCKED` with nothing unlocked (SPEC J10).
    pub status: NtStatus,
    /// What the processor must drop.
    pub stale: Stale,
}

/// Answer of a query: `MEMORY_BASIC_INFORMATION` (SPEC D3 to D10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BasicInformation {
    /// The queried address, rounded down to a page.
    pub base: VirtAddr,
    /// Base of the allocation, `None` in free space.
    pub allocation_base: Option<VirtAddr>,
    /// The protection given when it was reserved, `None` in free space.
    pub allocation_protection: Option<Protection>,
    /// Bytes from `base` on that are alike.
    pub size: u64,
    /// Free, reserved or committed.
    pub state: MemoryState,
    /// The protection, `None` for reserved pages; free space has `PAGE_NOACCESS`.
    pub protection: Option<Protection>,
    /// Private, mapped or image, `None` in free space.
    pub kind: Option<MemoryType>,
}

/// A view mapped.
#[must_use = "page tables may have changed"]
#[derive(Debug, PartialEq, Eq)]
pub struct MappedView {
    /// First byte.
    pub base: VirtAddr,
    /// Bytes, whole pages.
    pub size: u64,
    /// `STATUS_SUCCESS`, or `STATUS_IMAGE_NOT_AT_BASE` for an image elsewhere than it prefers (SPEC G25).
    pub status: NtStatus,
}

/// A thread's own stack, so that a guard page in it means growth (SPEC E17).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadStack {
    /// Lowest byte of the reserve: the TEB's `DeallocationStack`.
    pub reserve_base: VirtAddr,
    /// First byte above the stack: the TEB's `StackBase`.
    pub top: VirtAddr,
    /// Bytes that a handler of a stack overflow is sure of, 0 for the default.
    pub guarantee_bytes: u64,
}

/// An access that the processor could not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultRequest {
    /// The exact byte.
    pub address: VirtAddr,
    /// What was tried.
    pub access: Access,
    /// The current thread's stack, `None` if the access is not a thread's own.
    pub stack: Option<ThreadStack>,
}

/// What became of a fault.
#[must_use = "the thread waits for an answer"]
#[derive(Debug, PartialEq, Eq)]
pub enum FaultOutcome {
    /// Run the instruction again.
    Resume(Resume),
    /// Do this transfer, report it by `complete_transfer`, and raise the fault again.
    Wait(Transfer),
    /// Deliver an exception to the guest.
    Raise(Raise),
}

/// A fault that was resolved.
#[must_use = "page tables may have changed"]
#[derive(Debug, PartialEq, Eq)]
pub struct Resume {
    /// What it was.
    pub kind: FaultKind,
    /// New lowest committed byte of the thread's stack, for the TEB's `StackLimit` (SPEC E17).
    pub stack_limit: Option<VirtAddr>,
    /// What the processor must drop.
    pub stale: Stale,
}

/// An exception for the guest.
#[must_use = "the guest must learn of it"]
#[derive(Debug, PartialEq, Eq)]
pub struct Raise {
    /// The exception code.
    pub status: NtStatus,
    /// Exception parameters: access code, exact address, and for an in-page error the cause (SPEC E1, E11, E27).
    pub parameters: ExceptionParameters,
    /// New lowest committed byte of the thread's stack, for the TEB's `StackLimit` (SPEC E18).
    pub stack_limit: Option<VirtAddr>,
    /// What the processor must drop.
    pub stale: Stale,
}

/// The parameters of an exception record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExceptionParameters {
    values: [u64; 3],
    count: u8,
}

/// How a fault was resolved: for statistics and explanations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FaultKind {
    /// A first touch got a zeroed frame.
    DemandZero,
    /// An image page was in a frame already.
    ImagePageShared,
    /// An image page was read from its file.
    ImagePageRead,
    /// A store to a shared page got a private copy.
    CopyOnWrite,
    /// A page left the working set and came back from its frame.
    Transition,
    /// A stack's guard page was touched and the stack grew.
    StackGrowth,
    /// The first store to a clean writable page.
    FirstStore,
    /// Nothing was wrong any more.
    Spurious,
}

impl FaultKind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::DemandZero,
        Self::ImagePageShared,
        Self::ImagePageRead,
        Self::CopyOnWrite,
        Self::Transition,
        Self::StackGrowth,
        Self::FirstStore,
        Self::Spurious,
    ];
}

/// Bytes to move from a file into a frame. The same transfer may be asked for again while it is under way: it is to be
/// done once.
#[must_use = "somebody waits for this transfer"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Names the transfer in `complete_transfer`.
    pub id: TransferId,
    /// The frame.
    pub frame: Pfn,
    /// The file.
    pub file: FileId,
    /// Where in the file, bytes.
    pub offset: u64,
    /// How many bytes, at most a page; the rest of the frame is zero already.
    pub bytes: u32,
}

/// What kind of thing a region of an address space is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegionBacking {
    /// Private pages.
    Private,
    /// An image.
    Image(SectionId),
    /// The page that all processes share with the kernel.
    SharedUserData,
    /// Nothing: a placeholder.
    Placeholder,
}

impl ExceptionParameters {
    /// Access code and exact byte: access violations and guard pages (SPEC E1, E11). `code` is 0, 1 or 8.
    pub const fn access(code: u64, address: VirtAddr) -> Self {
        Self { values: [code, address.raw(), 0], count: 2 }
    }

    /// An in-page error: access code, exact byte, and the status of the failed read (SPEC E27).
    pub const fn in_page(code: u64, address: VirtAddr, cause: NtStatus) -> Self {
        Self { values: [code, address.raw(), cause.raw() as u64], count: 3 }
    }

    /// One parameter that means something to the exception alone.
    pub const fn one(value: u64) -> Self {
        Self { values: [value, 0, 0], count: 1 }
    }

    /// No parameters.
    pub const fn none() -> Self {
        Self { values: [0; 3], count: 0 }
    }

    /// The parameters.
    pub fn as_slice(&self) -> &[u64] {
        &self.values[..usize::from(self.count)]
    }
}
