//! Code addresses: the image of an address, its function table entry, and the registers of a caller.

use crate::UserPtr;
use crate::executive::context_bytes;
use crate::service::{Answer, Arg, Call, Export};
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::Bitness;

use Arg::Word;

/// Stack pointer.
const SP: usize = 4;

/// The functions.
pub(crate) const EXPORTS: &[Export] = &[
    Export::library("RtlPcToFileHeader", &[Word, Word], pc_to_file_header).set("core-rtlsupport"),
    Export::library("RtlCaptureContext", &[Word], capture_context).set("core-rtlsupport"),
];

/// `RtlPcToFileHeader(address, *base)`: the base of the image that holds an address, or null.
fn pc_to_file_header(call: &mut Call<'_>) -> Answer {
    let (address, to) = (VirtAddr::new(call.arg(0)), call.ptr(1));
    let base = call.nt.process().module_at(address).map_or(0, |module| module.base.raw());
    call.write_word(to, base)?;
    Ok(base)
}

/// `RtlCaptureContext(*context)`: the registers that the caller has when the function returns.
fn capture_context(call: &mut Call<'_>) -> Answer {
    let at = call.ptr(0);
    let return_address = call.return_address()?;
    let bitness = call.nt.edition.bitness;
    let mut registers = call.cpu.registers();
    registers.ip = return_address;
    registers.gpr[SP] = match bitness {
        // The caller's stack pointer, before it pushed the argument's slot.
        Bitness::Bits32 => registers.gpr[SP] + 8,
        Bitness::Bits64 => registers.gpr[SP] + 8,
    };
    call.write(UserPtr::new(at.raw()), &context_bytes(&registers, bitness))?;
    Ok(0)
}
