//! The register file of a ring-3 thread: what a context record holds and a thread switch saves.

/// Segment selectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Segments {
    /// Code.
    pub cs: u16,
    /// Data.
    pub ds: u16,
    /// Extra.
    pub es: u16,
    /// FS: the TEB in 32-bit mode.
    pub fs: u16,
    /// GS: the TEB in 64-bit mode.
    pub gs: u16,
    /// Stack.
    pub ss: u16,
}

/// x87 and SSE state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FloatState {
    /// The eight 80-bit x87 registers in stack order, low 10 bytes each.
    pub st: [[u8; 10]; 8],
    /// x87 control word.
    pub control: u16,
    /// x87 status word.
    pub status: u16,
    /// x87 tag word, two bits a register.
    pub tag: u16,
    /// SSE control and status.
    pub mxcsr: u32,
    /// The sixteen XMM registers; 32-bit mode has eight.
    pub xmm: [u128; 16],
}

/// Everything a context record holds.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Registers {
    /// General registers in encoding order: AX, CX, DX, BX, SP, BP, SI, DI, R8 to R15.
    pub gpr: [u64; 16],
    /// Instruction pointer.
    pub ip: u64,
    /// Flags.
    pub flags: u64,
    /// Selectors.
    pub segments: Segments,
    /// x87 and SSE state.
    pub float: FloatState,
}

impl Default for FloatState {
    /// The state of a new thread: everything masked, 53-bit x87 precision as Windows sets it (control word 27Fh),
    /// MXCSR 1F80h.
    fn default() -> Self {
        Self { st: [[0; 10]; 8], control: 0x027f, status: 0, tag: 0xffff, mxcsr: 0x1f80, xmm: [0; 16] }
    }
}
