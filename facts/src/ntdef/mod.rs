//! Windows' own numbers: statuses, errors, protections, allocation types and the editions.

pub mod layout;

mod aslr;
mod edition;
mod memory;
mod protection;
mod status;
mod win32_error;

pub use aslr::{Aslr, AslrMitigations, BaseDraw, ImageRole, Randomization};
pub use edition::{
    AllocationPreference, Bitness, CallTargets, DecommitZeroSize, Edition, ExtendedMemory, LargeAddressAware,
    NoCacheScope, OwnGuard, ParameterStatus, PartialRead, PrivateCopies, SelfMap, SoftwarePteFormat,
    SystemSpace, ViewCommitCheck, WindowsVersion, WriteTracking, edition, editions,
};
pub use memory::{AllocationType, FreeType, MemoryState, MemoryType, SectionAttributes, ViewType};
pub use protection::{BaseProtection, PageModifier, Protection, PteProtection};
pub use status::NtStatus;
pub use win32_error::Win32Error;
