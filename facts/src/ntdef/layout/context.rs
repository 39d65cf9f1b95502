//! Register contexts: what an exception handler sees and changes.

use bitflags::bitflags;

super::offsets! {
    /// Offsets in a `CONTEXT`. A 32-bit one has its x87 state as FSAVE stores it at `float_save` and as FXSAVE stores
    /// it at `fx_save`; a 64-bit one has the latter only.
    ContextLayout {
        /// Which parts are valid, 4 bytes.
        flags: 0x0, 0x30;
        /// `MxCsr`, 4 bytes, 64-bit only.
        mxcsr: 0xe4, 0x34;
        /// CS: 4 bytes in 32-bit contexts, 2 bytes in 64-bit ones, as for the other selectors.
        cs: 0xbc, 0x38;
        /// DS.
        ds: 0x98, 0x3a;
        /// ES.
        es: 0x94, 0x3c;
        /// FS.
        fs: 0x90, 0x3e;
        /// GS.
        gs: 0x8c, 0x40;
        /// SS.
        ss: 0xc8, 0x42;
        /// Flags register, 4 bytes.
        eflags: 0xc0, 0x44;
        /// Debug registers 0 to 3, 6 and 7, a pointer's size each.
        debug: 0x4, 0x48;
        /// Instruction pointer.
        ip: 0xb8, 0xf8;
        /// FSAVE image of a 32-bit context: control, status and tag word, 4 bytes each.
        float_save: 0x1c, 0x100;
        /// The eight x87 registers of the FSAVE image, 10 bytes each.
        float_registers: 0x38, 0x120;
        /// FXSAVE image, 512 bytes.
        fx_save: 0xcc, 0x100;
        /// Bytes.
        size: 0x2cc, 0x4d0;
    }
}

/// Offsets of the general registers of a 32-bit context, in encoding order.
pub const GPR32: [u32; 8] = [0xb0, 0xac, 0xa8, 0xa4, 0xc4, 0xb4, 0xa0, 0x9c];
/// Offsets of the general registers of a 64-bit context, in encoding order.
pub const GPR64: [u32; 16] =
    [0x78, 0x80, 0x88, 0x90, 0x98, 0xa0, 0xa8, 0xb0, 0xb8, 0xc0, 0xc8, 0xd0, 0xd8, 0xe0, 0xe8, 0xf0];

/// Offsets in an FXSAVE image (Intel SDM volume 1, 10.5.1).
#[derive(Clone, Copy, Debug)]
pub struct FxSave;

impl FxSave {
    /// x87 control word, 2 bytes.
    pub const CONTROL: u32 = 0x0;
    /// x87 status word, 2 bytes.
    pub const STATUS: u32 = 0x2;
    /// Abridged tag, 1 byte: a bit set for each register in use.
    pub const TAG: u32 = 0x4;
    /// MXCSR, 4 bytes.
    pub const MXCSR: u32 = 0x18;
    /// Mask of valid MXCSR bits, 4 bytes.
    pub const MXCSR_MASK: u32 = 0x1c;
    /// The eight x87 registers, 16 bytes apart.
    pub const REGISTERS: u32 = 0x20;
    /// The XMM registers, 16 bytes each.
    pub const XMM: u32 = 0xa0;
    /// Bytes.
    pub const SIZE: u32 = 0x200;
}

bitflags! {
    /// The parts of a context, without the processor's own bit.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct ContextFlags: u32 {
        /// CS, SS, instruction and stack pointer, flags (and EBP).
        const CONTROL = 0x1;
        /// General registers.
        const INTEGER = 0x2;
        /// DS, ES, FS, GS.
        const SEGMENTS = 0x4;
        /// x87 (32-bit), or x87 and SSE (64-bit).
        const FLOATING_POINT = 0x8;
        /// Debug registers.
        const DEBUG_REGISTERS = 0x10;
        /// FXSAVE image (32-bit).
        const EXTENDED_REGISTERS = 0x20;
        /// The bit of 32-bit x86 contexts.
        const I386 = 0x1_0000;
        /// The bit of x64 contexts.
        const AMD64 = 0x10_0000;
        const _ = !0;
    }
}
