//! Page-table entries as NT writes them: the bits in guest RAM are the truth, a [`PteState`] is a reading of them.

mod format;
mod valid;

pub use format::PteFormat;
pub use valid::{Rights, ValidPte};

use vadose_facts::addr::{Pfn, VirtAddr};
use vadose_facts::ntdef::PteProtection;

/// What a process's page-table entry says, once read (SPEC I7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PteState {
    /// Nothing was ever written here: the VAD decides.
    Zero,
    /// The processor can use the entry.
    Valid(ValidPte),
    /// The first touch gets a zeroed page. Also a committed page that nobody may touch (SPEC I19).
    DemandZero {
        /// What the page will have.
        protection: PteProtection,
    },
    /// The page was decommitted (SPEC I18).
    Decommitted,
    /// Out of the working set, contents still in a frame (SPEC I14).
    Transition {
        /// The frame.
        pfn: Pfn,
        /// What the page will have.
        protection: PteProtection,
    },
    /// Contents are in a page file (SPEC I10).
    PageFile {
        /// Which page file.
        file: u8,
        /// Which page of it.
        slot: u32,
        /// What the page will have.
        protection: PteProtection,
    },
    /// A shared page: its prototype entry knows (SPEC I15, I16).
    Prototype(PrototypeLink),
}

/// Where a shared page's prototype entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrototypeLink {
    /// Found through the VAD; this protection overrides the VAD's (SPEC I16).
    ThroughVad {
        /// What the page will have in this process.
        protection: PteProtection,
    },
    /// At this kernel address (SPEC I15).
    At {
        /// Kernel address of the prototype entry.
        address: VirtAddr,
    },
}

/// What a prototype entry says: the entry of a section's page, shared by all processes that map it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrototypeState {
    /// The page does not exist: access is a violation. Lies between sections of an image (SPEC G18).
    Absent,
    /// In a frame and mapped by someone.
    Active {
        /// The frame.
        pfn: Pfn,
    },
    /// In a frame, mapped by nobody or still being read.
    Transition {
        /// The frame.
        pfn: Pfn,
        /// What the image gives the page.
        protection: PteProtection,
    },
    /// In the mapped file (SPEC I17).
    Subsection {
        /// Kernel address of the subsection's record.
        address: VirtAddr,
        /// What the image gives the page.
        protection: PteProtection,
    },
    /// The first touch gets a zeroed page.
    DemandZero {
        /// What the image gives the page.
        protection: PteProtection,
    },
    /// In a page file.
    PageFile {
        /// Which page file.
        file: u8,
        /// Which page of it.
        slot: u32,
        /// What the image gives the page.
        protection: PteProtection,
    },
}
