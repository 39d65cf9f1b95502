//! What callers ask of the memory manager and what they get back.

use crate::extended::AddressRequirements;
use crate::id::{FileId, TransferId};
use crate::paging::PagingTransfer;
use bitflags::bitflags;
use vadose_facts::addr::{PageRange, Pfn, VirtAddr};
use vadose_facts::ntdef::{
    AllocationType, MemoryState, MemoryType, NtStatus, Protection, SectionAttributes, ViewType,
};
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

/// What became of offered pages (SPEC J28).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reclaimed {
    /// All have their content.
    Intact,
    /// At least one is a page of zeros now.
    Lost,
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

bitflags! {
    /// What a region is made of, in the order of `MEMORY_REGION_INFORMATION`'s bits (SPEC D26).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct RegionType: u32 {
        /// Private memory.
        const PRIVATE = 1 << 0;
        /// A view of a file's data.
        const MAPPED_DATA_FILE = 1 << 1;
        /// A view of an image.
        const MAPPED_IMAGE = 1 << 2;
        /// A view of page-file memory.
        const MAPPED_PAGE_FILE = 1 << 3;
        /// A view of physical memory.
        const MAPPED_PHYSICAL = 1 << 4;
        /// A file on memory that the processor addresses.
        const DIRECT_MAPPED = 1 << 5;
        /// An enclave of the kernel's.
        const SOFTWARE_ENCLAVE = 1 << 6;
        /// Pages of 64 KiB.
        const PAGE_SIZE_64K = 1 << 7;
        /// A placeholder.
        const PLACEHOLDER = 1 << 8;
        /// A window for physical pages.
        const MAPPED_AWE = 1 << 9;
        /// Stores are recorded.
        const MAPPED_WRITE_WATCH = 1 << 10;
        /// Large pages.
        const PAGE_SIZE_LARGE = 1 << 11;
        /// Huge pages.
        const PAGE_SIZE_HUGE = 1 << 12;
    }
}

/// Answer of a region query (SPEC D25).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegionInformation {
    /// First byte of the region.
    pub base: VirtAddr,
    /// The protection given when it was taken.
    pub protection: Protection,
    /// What it is made of.
    pub kind: RegionType,
    /// Bytes of all of it.
    pub size: u64,
    /// Bytes of it that are committed (SPEC D28).
    pub commit_size: u64,
}

/// Answer of an image query (SPEC D29).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageInformation {
    /// First byte of the view.
    pub base: VirtAddr,
    /// Bytes of the image.
    pub image_bytes: u64,
    /// Bytes of it that are mapped.
    pub view_bytes: u64,
}

/// Arguments of a create-section call, as the program gave them, and what the file is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectionRequest {
    /// What is to be behind it.
    pub backing: SectionBacking,
    /// Bytes; 0 is all of a file.
    pub size: u64,
    /// A `PAGE_*` word.
    pub protection: u32,
    /// `SEC_*` bits.
    pub attributes: SectionAttributes,
}

/// What is behind a data section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SectionBacking {
    /// Page files.
    PageFile,
    /// A file.
    File {
        /// The file: the same number for the same file, so that its sections show the same pages (SPEC F18).
        file: FileId,
        /// Its length now.
        bytes: u64,
    },
}

/// What a section is (SPEC F22).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectionInformation {
    /// Bytes.
    pub size: u64,
    /// Where its views lie in every process, `None` if that is not fixed (SPEC F40).
    pub base: Option<VirtAddr>,
    /// `SEC_*` bits.
    pub attributes: SectionAttributes,
    /// The file behind it.
    pub file: Option<FileId>,
    /// Where an image is mapped if that place is free, `None` for what is no image (SPEC G28).
    pub image_base: Option<VirtAddr>,
}

/// Arguments of a map-view call, as the program gave them: nothing is checked yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ViewRequest {
    /// Wanted address, `None` for anywhere.
    pub base: Option<VirtAddr>,
    /// Restricts the address, as in an [`AllocateRequest`].
    pub zero_bits: u64,
    /// Bytes at the start that are committed for the section.
    pub commit_size: u64,
    /// Where in the section the view begins, bytes.
    pub offset: u64,
    /// Bytes; 0 is all to the section's end.
    pub size: u64,
    /// Type bits.
    pub kind: ViewType,
    /// A `PAGE_*` word. An image's pages have protections of their own.
    pub protection: u32,
    /// Which call it is.
    pub form: MapForm,
    /// Where the view may lie (SPEC F42).
    pub requirements: AddressRequirements,
}

/// The two map-view calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapForm {
    /// `NtMapViewOfSection`, which knows no placeholders.
    Plain,
    /// `NtMapViewOfSectionEx`.
    Extended,
}

/// A view mapped.
#[must_use = "page tables may have changed"]
#[derive(Debug, PartialEq, Eq)]
pub struct MappedView {
    /// First byte.
    pub base: VirtAddr,
    /// Where in the section it begins, bytes.
    pub offset: u64,
    /// Bytes, whole pages.
    pub size: u64,
    /// `STATUS_SUCCESS`, or `STATUS_IMAGE_NOT_AT_BASE` for an image elsewhere than it prefers (SPEC G25).
    pub status: NtStatus,
}

/// A view unmapped, or all views of a process that ended.
#[must_use = "page tables have changed, and what was stored must reach its file"]
#[derive(Debug, PartialEq, Eq)]
pub struct Unmapped {
    /// What the processor must drop.
    pub stale: Stale,
    /// Pages to write to their files.
    pub writes: Vec<Transfer>,
}

/// Stores on their way to a file.
#[must_use = "page tables may have changed, and what was stored must reach its file"]
#[derive(Debug, PartialEq, Eq)]
pub struct Flushed {
    /// First byte, rounded down to a page.
    pub base: VirtAddr,
    /// Bytes, whole pages.
    pub size: u64,
    /// Pages to write to their file.
    pub writes: Vec<Transfer>,
    /// What the processor must drop.
    pub stale: Stale,
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
    /// Do this transfer with a page file, report it by `complete_paging`, and raise the fault again.
    Page(PagingTransfer),
    /// No frame is available: do the steps of `work` until it is idle, and raise the fault again.
    Short,
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
    /// A page of an image or a file was in a frame already.
    ImagePageShared,
    /// A page of an image or a file was read from it.
    ImagePageRead,
    /// A store to a shared page got a private copy.
    CopyOnWrite,
    /// A page left the working set and came back from its frame.
    Transition,
    /// A page came back from a page file.
    PageFileRead,
    /// A page came back from the compressed store.
    Decompressed,
    /// A stack's guard page was touched and the stack grew.
    StackGrowth,
    /// The first store to a clean writable page.
    FirstStore,
    /// Nothing was wrong any more.
    Spurious,
}

impl FaultKind {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::DemandZero,
        Self::ImagePageShared,
        Self::ImagePageRead,
        Self::CopyOnWrite,
        Self::Transition,
        Self::PageFileRead,
        Self::Decompressed,
        Self::StackGrowth,
        Self::FirstStore,
        Self::Spurious,
    ];
}

/// Which way a transfer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferDirection {
    /// From the file into the frame.
    Read,
    /// From the frame to the file.
    Write,
}

/// Bytes to move between a file and a frame. The same read may be asked for again while it is under way: it is to be
/// done once.
#[must_use = "somebody waits for this transfer"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Names the transfer in `complete_transfer`.
    pub id: TransferId,
    /// Which way.
    pub direction: TransferDirection,
    /// The frame.
    pub frame: Pfn,
    /// The file.
    pub file: FileId,
    /// Where in the file, bytes.
    pub offset: u64,
    /// How many bytes, at most a page; after a read the rest of the frame is zero already.
    pub bytes: u32,
}

/// What the end of a transfer comes to.
#[must_use = "the processor may remember what was in the frame, and what was stored must reach its file"]
#[derive(Debug, PartialEq, Eq)]
pub struct TransferEnd {
    /// What the processor must drop.
    pub stale: Stale,
    /// The page was stored to while it was written: make this transfer as well.
    pub write: Option<Transfer>,
}

impl BasicInformation {
    /// The same pages and those of `next`, if `next` begins where they end and is like them.
    pub fn joined(self, next: Self) -> Option<Self> {
        let end = self.base.raw() + self.size;
        let same = Self { base: next.base, size: next.size, ..self } == next;
        (same && next.base.raw() == end).then_some(Self { size: self.size + next.size, ..self })
    }
}

/// What kind of thing a region of an address space is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegionBacking {
    /// Private pages.
    Private,
    /// An image.
    Image(FileId),
    /// A file's data.
    File(FileId),
    /// Page-file memory of a section.
    PageFile,
    /// The page that all processes share with the kernel.
    SharedUserData,
    /// Nothing: a placeholder.
    Placeholder,
    /// Physical pages that the program maps itself.
    PhysicalWindow,
    /// Large pages.
    LargePages,
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
