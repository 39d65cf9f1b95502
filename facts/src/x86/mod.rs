//! The processor's paging: level tables, entry bits, fault codes and the walk over page tables in RAM.

mod bits;
mod fault_code;
mod mode;
mod ram;
mod stale;
mod walk;

pub use bits::EntryBits;
pub use fault_code::{Access, FaultCode, Privilege};
pub use mode::{EntryRights, LargePage, Level, PagingMode};
pub use ram::{HeapRam, PhysicalMemory};
pub use stale::{Stale, StaleTranslations};
pub use walk::{AddressSpace, Miss, NoExecute, Permissions, Translation, probe, walk};
