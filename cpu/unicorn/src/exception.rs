//! What a vector from the interrupt hook means on a Windows processor.

use crate::instruction::Decoded;
use vadose_cpu::{CpuException, CpuMode, Exit, ProtectionCause};

/// How an interrupt or exception ends a run, and where the instruction pointer then stands relative to where Unicorn
/// left it: software interrupts leave it behind their instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) exit: Exit,
    pub(crate) step_back: u64,
}

/// Bytes of `int n`.
const INT_BYTES: u64 = 2;
/// `int 29h`: fail fast.
const FAST_FAIL: u32 = 0x29;
/// `int 2Eh`: the system call of old.
const SYSTEM_CALL: u32 = 0x2e;

/// Reads a vector. `at` is the instruction where the pointer stands, if it can be read.
pub(crate) fn judge(mode: CpuMode, vector: u32, at: Option<Decoded>) -> Verdict {
    let stays = |exception| Verdict { exit: Exit::Exception(exception), step_back: 0 };
    match vector {
        0 if at.is_none_or(|i| i.divides()) => stays(CpuException::Divide),
        1 => stays(CpuException::Debug),
        3 => stays(CpuException::Breakpoint),
        6 => stays(CpuException::InvalidOpcode),
        12 | 13 => stays(protection(at)),
        16 | 19 => stays(CpuException::FloatingPoint),
        FAST_FAIL => Verdict { exit: Exit::Exception(CpuException::FastFail), step_back: INT_BYTES },
        SYSTEM_CALL => Verdict { exit: Exit::Service, step_back: 0 },
        4 | 17 => stays(CpuException::Other { vector: vector as u8 }),
        _ if has_gate(mode, vector) => stays(CpuException::Other { vector: vector as u8 }),
        // A gate that ring 3 may not use: the interrupt is not taken.
        _ => Verdict {
            exit: Exit::Exception(CpuException::GeneralProtection { cause: ProtectionCause::Other }),
            step_back: INT_BYTES,
        },
    }
}

/// Software interrupts that Windows opens to ring 3, beside the ones with a meaning above.
const fn has_gate(mode: CpuMode, vector: u32) -> bool {
    match mode {
        CpuMode::Bits64 => matches!(vector, 0x2c | 0x2d),
        CpuMode::Bits32 => matches!(vector, 0x2a..=0x2d),
    }
}

fn protection(at: Option<Decoded>) -> CpuException {
    let cause = match at {
        Some(decoded) if decoded.is_privileged() => ProtectionCause::PrivilegedInstruction,
        Some(_) | None => ProtectionCause::Other,
    };
    CpuException::GeneralProtection { cause }
}

/// What an instruction that Unicorn does not execute raises, and how far behind it the pointer then stands. Unicorn
/// knows no `int1`.
pub(crate) fn invalid(at: Option<Decoded>) -> (CpuException, u64) {
    match at {
        Some(decoded) if decoded.is_debug_trap() => (CpuException::Debug, decoded.instruction.len() as u64),
        Some(_) | None => (CpuException::InvalidOpcode, 0),
    }
}
