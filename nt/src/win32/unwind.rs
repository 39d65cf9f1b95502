//! Code addresses: the image of an address, its function table entry, and the registers of a caller.

use crate::UserPtr;
use crate::executive::context_bytes;
use crate::service::{Answer, Arg, Call, Export};
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::Bitness;

use Arg::Word;

/// Stack and frame pointer.
const SP: usize = 4;
const FRAME: usize = 5;

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

/// `RtlCaptureContext(*context)`. x64: the registers that the caller has when the function returns. x86: instruction,
/// stack and frame are those of the caller's own caller, found through the frame in EBP, as in Windows.
fn capture_context(call: &mut Call<'_>) -> Answer {
    let at = call.ptr(0);
    let bitness = call.nt.edition.bitness;
    let mut registers = call.cpu.registers();
    match bitness {
        Bitness::Bits64 => {
            registers.ip = call.return_address()?;
            registers.gpr[SP] = registers.gpr[SP].wrapping_add(8);
        }
        Bitness::Bits32 => {
            let frame = UserPtr::new(registers.gpr[FRAME]);
            registers.ip = call.read_word(frame.offset(4))?;
            registers.gpr[SP] = frame.offset(8).raw() & u64::from(u32::MAX);
            registers.gpr[FRAME] = call.read_word(frame)?;
        }
    }
    let bytes = context_bytes(&registers, bitness);
    call.write(at, &bytes)?;
    Ok(0)
}
