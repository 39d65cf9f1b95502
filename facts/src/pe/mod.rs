//! PE images: bytes to headers, page layout, imports, exports, relocations, TLS and unwind tables.
//!
//! Everything here treats its input as a claim: each offset and count is checked, each table has a limit, and no input
//! can make a reader panic or run for long. Two address spaces appear. A *file offset* goes to [`ImageBytes`]; a
//! relative virtual address (RVA: bytes from the image's base) goes to [`RvaReader`], which is a file seen through its
//! section table ([`FileView`]), a mapped copy ([`MappedView`]), or a guest's memory.

mod bytes;
mod clr;
mod delay_import;
mod error;
mod export;
mod fields;
mod header;
mod import;
mod layout;
mod limits;
mod name;
mod optional;
mod page_fixups;
mod relocation;
mod rva;
mod section;
mod signature;
mod tls;
mod unwind;

pub use bytes::ImageBytes;
pub use clr::{ClrFlags, ClrHeader};
pub use delay_import::DelayedDll;
pub use error::PeError;
pub use export::{Export, ExportTable, ExportTarget, Forwarder};
pub use fields::{
    DataDirectory, Directory, DllCharacteristics, FileCharacteristics, Machine, Magic, Subsystem,
};
pub use header::PeImage;
pub use import::{ImportSymbol, ImportedDll, ImportedFunction};
pub use layout::{Layout, Mapping, PageSource, Subsection, SubsectionKind};
pub use limits::{
    MAX_DLL_NAME_BYTES, MAX_EXPORTS, MAX_FORWARDER_DEPTH, MAX_IMPORT_DLLS, MAX_IMPORTS, MAX_IMPORTS_PER_DLL,
    MAX_NAME_BYTES, MAX_NAMES_TOTAL_BYTES, MAX_RELOCATION_BLOCKS, MAX_RELOCATION_BYTES, MAX_SECTIONS,
    MAX_TLS_CALLBACKS,
};
pub use name::{AnsiName, SectionName};
pub use optional::{Reserve, Version};
pub use page_fixups::PageFixups;
pub use relocation::{Fixup, FixupKind, MAX_STRADDLE_BYTES, Neighbours, Relocations, Straddle};
pub use rva::{FileView, MappedView, RvaReader};
pub use section::{Section, SectionFlags, Sharing};
pub use signature::HeaderRules;
pub use tls::TlsDirectory;
pub use unwind::{FunctionEntry, UnwindInfo, UnwindOperation, UnwindStep};
