//! Exception records.

use bitflags::bitflags;

/// Parameters that a record can hold.
pub const MAX_EXCEPTION_PARAMETERS: usize = 15;

super::offsets! {
    /// Offsets in an `EXCEPTION_RECORD`.
    ExceptionRecordLayout {
        /// Code, 4 bytes.
        code: 0x0, 0x0;
        /// Flags, 4 bytes.
        flags: 0x4, 0x4;
        /// The record of the exception during which this one happened.
        nested: 0x8, 0x8;
        /// Address of the instruction.
        address: 0xc, 0x10;
        /// Number of parameters, 4 bytes.
        parameter_count: 0x10, 0x18;
        /// The parameters, a pointer's size each.
        parameters: 0x14, 0x20;
        /// Bytes.
        size: 0x50, 0x98;
    }
}

bitflags! {
    /// `ExceptionFlags` of a record.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct ExceptionFlags: u32 {
        /// The program cannot go on after it.
        const NONCONTINUABLE = 1;
        const _ = !0;
    }
}
