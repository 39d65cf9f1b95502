//! The thread's registers in Unicorn: names by encoding order, and the whole file in and out.

use crate::descriptors::user_segments;
use crate::engine::Engine;
use crate::instruction::AddressRegisters;
use iced_x86::Register;
use unicorn_engine::RegisterX86 as R;
use vadose_cpu::{CpuError, CpuMode, FloatState, Registers, Segments};
use vadose_facts::addr::VirtAddr;

const GPR_64: [R; 16] = [
    R::RAX,
    R::RCX,
    R::RDX,
    R::RBX,
    R::RSP,
    R::RBP,
    R::RSI,
    R::RDI,
    R::R8,
    R::R9,
    R::R10,
    R::R11,
    R::R12,
    R::R13,
    R::R14,
    R::R15,
];
const GPR_32: [R; 8] = [R::EAX, R::ECX, R::EDX, R::EBX, R::ESP, R::EBP, R::ESI, R::EDI];
const ST: [R; 8] = [R::ST0, R::ST1, R::ST2, R::ST3, R::ST4, R::ST5, R::ST6, R::ST7];
const XMM: [R; 16] = [
    R::XMM0,
    R::XMM1,
    R::XMM2,
    R::XMM3,
    R::XMM4,
    R::XMM5,
    R::XMM6,
    R::XMM7,
    R::XMM8,
    R::XMM9,
    R::XMM10,
    R::XMM11,
    R::XMM12,
    R::XMM13,
    R::XMM14,
    R::XMM15,
];

/// Flags that ring 3 may set: CF, PF, AF, ZF, SF, TF, DF, OF, NT, AC, ID.
const USER_FLAGS: u64 = 0x0024_4dd5;
/// The bit that is always one, and interrupts on.
const FIXED_FLAGS: u64 = 0x202;
/// MXCSR bits that exist.
const MXCSR_BITS: u32 = 0xffff;
/// x87 control bits that can be set: masks, precision, rounding, and the old infinity bit. One more is always set.
const FPU_CONTROL_BITS: u16 = 0x1f3f;
const FPU_CONTROL_FIXED: u16 = 0x0040;

/// A general register by encoding order.
///
/// # Panics
///
/// If the mode has no such register.
#[inline]
pub(crate) fn gpr(mode: CpuMode, index: usize) -> R {
    match mode {
        CpuMode::Bits64 => GPR_64[index],
        CpuMode::Bits32 => GPR_32[index],
    }
}

pub(crate) const fn gpr_count(mode: CpuMode) -> usize {
    match mode {
        CpuMode::Bits64 => GPR_64.len(),
        CpuMode::Bits32 => GPR_32.len(),
    }
}

#[inline]
pub(crate) const fn instruction_pointer(mode: CpuMode) -> R {
    match mode {
        CpuMode::Bits64 => R::RIP,
        CpuMode::Bits32 => R::EIP,
    }
}

const fn xmm_count(mode: CpuMode) -> usize {
    match mode {
        CpuMode::Bits64 => 16,
        CpuMode::Bits32 => 8,
    }
}

/// Reads everything but the instruction pointer, which the caller keeps.
pub(crate) fn read_all(engine: &Engine, mode: CpuMode, ip: u64) -> Registers {
    let mut gprs = [0; 16];
    for (index, value) in gprs.iter_mut().take(gpr_count(mode)).enumerate() {
        *value = engine.read(gpr(mode, index));
    }
    let segments = Segments {
        cs: engine.read(R::CS) as u16,
        ds: engine.read(R::DS) as u16,
        es: engine.read(R::ES) as u16,
        fs: user_fs(engine, mode),
        gs: user_gs(engine, mode),
        ss: engine.read(R::SS) as u16,
    };
    Registers { gpr: gprs, ip, flags: engine.read(R::EFLAGS), segments, float: read_float(engine, mode) }
}

/// In 64-bit mode FS and GS are bases; their selectors are constants that nobody loads.
fn user_fs(engine: &Engine, mode: CpuMode) -> u16 {
    match mode {
        CpuMode::Bits64 => user_segments(mode).fs,
        CpuMode::Bits32 => engine.read(R::FS) as u16,
    }
}

fn user_gs(engine: &Engine, mode: CpuMode) -> u16 {
    match mode {
        CpuMode::Bits64 => user_segments(mode).gs,
        CpuMode::Bits32 => engine.read(R::GS) as u16,
    }
}

fn read_float(engine: &Engine, mode: CpuMode) -> FloatState {
    let mut float = FloatState {
        st: [[0; 10]; 8],
        control: engine.read(R::FPCW) as u16,
        status: engine.read(R::FPSW) as u16,
        tag: engine.read(R::FPTAG) as u16,
        mxcsr: engine.read(R::MXCSR) as u32,
        xmm: [0; 16],
    };
    for (value, register) in float.st.iter_mut().zip(ST) {
        let bytes: [u8; 16] = engine.read_bytes(register);
        value.copy_from_slice(&bytes[..10]);
    }
    for (value, register) in float.xmm.iter_mut().zip(XMM).take(xmm_count(mode)) {
        *value = u128::from_le_bytes(engine.read_bytes(register));
    }
    float
}

/// Writes everything but the instruction pointer. Selectors stay as they are: a context record may name only the
/// ones a ring-3 thread has anyway. Privileged and absent flags are masked.
pub(crate) fn write_all(engine: &mut Engine, mode: CpuMode, registers: &Registers) -> Result<(), CpuError> {
    for index in 0..gpr_count(mode) {
        engine.write(gpr(mode, index), registers.gpr[index])?;
    }
    engine.write(R::EFLAGS, registers.flags & USER_FLAGS | FIXED_FLAGS)?;
    write_float(engine, mode, &registers.float)
}

fn write_float(engine: &mut Engine, mode: CpuMode, float: &FloatState) -> Result<(), CpuError> {
    engine.write(R::FPCW, u64::from(float.control & FPU_CONTROL_BITS | FPU_CONTROL_FIXED))?;
    // The status word holds the top of the stack, which says where the stack registers are.
    engine.write(R::FPSW, u64::from(float.status))?;
    for (value, register) in float.st.iter().zip(ST) {
        let mut bytes = [0; 16];
        bytes[..10].copy_from_slice(value);
        engine.write_bytes(register, bytes)?;
    }
    engine.write(R::FPTAG, u64::from(float.tag))?;
    engine.write(R::MXCSR, u64::from(float.mxcsr & MXCSR_BITS))?;
    for (value, register) in float.xmm.iter().zip(XMM).take(xmm_count(mode)) {
        engine.write_bytes(register, value.to_le_bytes())?;
    }
    Ok(())
}

/// The registers between runs.
pub(crate) struct BetweenRuns<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) mode: CpuMode,
    pub(crate) teb: VirtAddr,
}

impl AddressRegisters for BetweenRuns<'_> {
    fn gpr(&self, index: usize) -> u64 {
        self.engine.read(gpr(self.mode, index))
    }

    fn segment_base(&self, segment: Register) -> u64 {
        match (self.mode, segment) {
            (CpuMode::Bits32, Register::FS) => self.teb.raw(),
            (CpuMode::Bits64, Register::FS) => self.engine.read(R::FS_BASE),
            (CpuMode::Bits64, Register::GS) => self.engine.read(R::GS_BASE),
            (CpuMode::Bits32 | CpuMode::Bits64, _) => 0,
        }
    }
}
