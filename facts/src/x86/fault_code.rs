//! What was tried and why it failed: accesses, privilege and page-fault error codes.

use bitflags::bitflags;

/// What an instruction does to a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Access {
    /// A load.
    Read,
    /// A store, or the store half of a read-modify-write.
    Write,
    /// An instruction fetch.
    Execute,
}

/// Who does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Privilege {
    /// Ring 3.
    User,
    /// Rings 0 to 2, with CR0.WP set: read-only pages stop the kernel's stores too.
    Kernel,
}

bitflags! {
    /// The error code that the processor pushes for a page fault.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct FaultCode: u32 {
        /// The translation was present and its rights refused the access.
        const PRESENT = 1 << 0;
        /// The access was a store.
        const WRITE = 1 << 1;
        /// The access came from ring 3.
        const USER = 1 << 2;
        /// A reserved bit was set in a present entry.
        const RESERVED = 1 << 3;
        /// The access was a fetch (reported only while no-execute is in force).
        const FETCH = 1 << 4;
    }
}
