//! The Windows NT virtual memory manager as one owned value: VADs say what a range is, page-table entries in guest RAM
//! say where a page is, frame entries say who owns a frame. It does no I/O, reads no clock and starts no thread.
//!
//! Boot an edition on some RAM, make an address space, and call what a Windows program calls. Where a program would touch
//! memory, [`walk`](vadose_facts::x86::walk) the page tables as a processor does, and give the misses to [`Mm::fault`]:
//!
//! ```
//! use vadose_facts::ntdef::{AllocationType, Aslr, LargeAddressAware, edition};
//! use vadose_facts::x86::{Access, HeapRam, PhysicalMemory, Privilege, walk};
//! use vadose_mm::{AllocateRequest, FaultRequest, Mm, MmConfig};
//!
//! let edition = edition("win10-x64").expect("a known edition");
//! let config = MmConfig { edition, page_file_bytes: 0, commit_limit_bytes: None, seed: 1, aslr: Aslr::On };
//! let mut mm = Mm::new(config, HeapRam::new(4096)).expect("16 MiB will do");
//! let process = mm.create_process(LargeAddressAware::Yes)?;
//! let kind = AllocationType::RESERVE | AllocationType::COMMIT;
//! let request = AllocateRequest { base: None, size: 0x1000, zero_bits: 0, kind, protection: 0x04 };
//! let address = mm.allocate(process, request)?.base;
//! let _outcome = mm.fault(process, FaultRequest { address, access: Access::Write, stack: None });
//! let found = walk(mm.ram(), mm.translation(process), address, Access::Write, Privilege::User)
//!     .expect("the fault brought the page in");
//! mm.ram().write_bytes(found.phys, b"hello");
//! assert_eq!(mm.query(process, address)?.size, 0x1000);
//! # Ok::<(), vadose_facts::ntdef::NtStatus>(())
//! ```
//!
//! Every change of a page table comes back as a `Stale`, which names the translations and the translated code that a
//! processor must drop; [`Mm::audit`] proves at any moment that VADs, tables, frames and charges agree.
#![forbid(unsafe_code)]
#![deny(rustdoc::broken_intra_doc_links)]

pub mod commit;
pub mod compression;
pub mod draws;
pub mod extended;
pub mod id;
pub mod movements;
pub mod pfn;
pub mod pte;
pub mod request;
pub mod trace;
pub mod vad;

mod audit;
mod fault;
mod look;
mod page;
mod paging;
mod process;
mod section;
mod state;
mod system;
mod tables;
mod verb;
mod working_set;

pub use audit::AuditError;
pub use commit::Charges;
pub use draws::Draws;
pub use extended::{AddressRequirements, AllocateForm, ExtendedRequest, LockMemory, NODES};
pub use id::{AreaId, FileId, PagingId, ProcessId, SectionId, TransferId};
pub use look::{
    Counters, FrameLook, FrameOwner, FrameUse, FrameUser, KernelPages, OriginalEntry, OwningEntry, PageWalk,
    ProcessCounters, PrototypeEntry, Region, WalkEnd, WalkStep,
};
pub use movements::Movements;
pub use paging::{
    Compression, MAX_PAGE_FILES, PageFileError, PageFileUse, PagingTransfer, Slot, StoreUse, Wanted,
    WantedTable, Work,
};
pub use process::DynamicCode;
pub use process::FaultCounts;
pub use request::{
    AllocateRequest, Allocated, BasicInformation, ExceptionParameters, FaultKind, FaultOutcome, FaultRequest,
    Flushed, Freed, ImageInformation, LockOutcome, Locked, MapForm, MappedView, Protected, Raise, Reclaimed,
    RegionBacking, RegionInformation, RegionType, Resume, SectionBacking, SectionInformation, SectionRequest,
    ThreadStack, Transfer, TransferDirection, TransferEnd, Unlocked, Unmapped, ViewRequest,
};
pub use section::{
    AreaBacking, AreaLook, AreaPlaces, Extension, ImageExecution, ImageRequest, SubsectionLook,
};
pub use state::{MINIMUM_RAM_BYTES, Mm, MmConfig, StartError};
pub use trace::{TraceEvent, Tracing};
pub use verb::{
    FreedPages, OfferPriority, PhysicalPages, WatchReset, WrittenPages, check_watch, large_page_bytes,
};
pub use working_set::{
    AbsentPage, ContentList, ContentPlace, LimitFlags, LimitKind, LockKinds, PageAttributes, PageLock,
    PageOwner, ResidentPage, WorkingSetLimits,
};
