//! Assembles the code of built-in DLLs: system-call stubs and the few functions that must be guest code.

use crate::service::{Export, Number};
use iced_x86::IcedError;
use iced_x86::code_asm::{CodeAssembler, eax, edx, esp, r10, rcx};
use std::collections::BTreeMap;
use vadose_facts::ntdef::Bitness;

/// An assembler for one function at its final address, which knows where the DLL's stubs are.
pub struct Assembler {
    /// The instructions so far.
    pub code: CodeAssembler,
    bitness: Bitness,
    stubs: BTreeMap<&'static str, u64>,
}

impl Assembler {
    pub(super) fn new(bitness: Bitness, stubs: BTreeMap<&'static str, u64>) -> Result<Self, IcedError> {
        let bits = match bitness {
            Bitness::Bits32 => 32,
            Bitness::Bits64 => 64,
        };
        Ok(Self { code: CodeAssembler::new(bits)?, bitness, stubs })
    }

    /// What is assembled for.
    pub fn bitness(&self) -> Bitness {
        self.bitness
    }

    /// Calls a service's stub.
    ///
    /// # Errors
    ///
    /// If the instruction cannot be encoded.
    ///
    /// # Panics
    ///
    /// If the function's declaration does not name the service among its `calls`.
    pub fn call_service(&mut self, name: &str) -> Result<(), IcedError> {
        let stub = *self.stubs.get(name).unwrap_or_else(|| panic!("{name} is missing in `calls`"));
        self.code.call(stub)
    }

    pub(super) fn finish(mut self, address: u64) -> Result<Vec<u8>, IcedError> {
        self.code.assemble(address)
    }
}

/// A system-call stub.
///
/// # Errors
///
/// If an instruction cannot be encoded.
fn stub(number: Number, popped_bytes: u16, bitness: Bitness) -> Result<Vec<u8>, IcedError> {
    let bits = match bitness {
        Bitness::Bits32 => 32,
        Bitness::Bits64 => 64,
    };
    let mut a = CodeAssembler::new(bits)?;
    match bitness {
        Bitness::Bits64 => {
            a.mov(r10, rcx)?;
            a.mov(eax, number.raw())?;
            a.syscall()?;
            a.ret()?;
        }
        Bitness::Bits32 => {
            a.mov(eax, number.raw())?;
            a.lea(edx, esp + 4)?;
            a.int(0x2e)?;
            match popped_bytes {
                0 => a.ret()?,
                bytes => a.ret_1(u32::from(bytes))?,
            }
        }
    }
    a.assemble(0)
}

/// The stub of a function that no DLL has.
///
/// # Panics
///
/// Never: every number can be encoded.
pub(crate) fn missing_stub(number: u32, bitness: Bitness) -> Vec<u8> {
    stub(Number::new(number), 0, bitness).expect("a stub can be assembled")
}

/// The stub of an export that is a service.
pub(super) fn export_stub(export: &Export, number: Number, bitness: Bitness) -> Result<Vec<u8>, IcedError> {
    stub(number, export.popped_bytes(), bitness)
}
