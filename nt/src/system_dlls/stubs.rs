//! System-call stubs: the numbers that a folder's own `ntdll.dll` and `win32u.dll` give to services, read from their code.
//!
//! Numbers differ from version to version, so none is known beforehand. A stub is recognised by what it does: on x64
//! `mov r10, rcx; mov eax, NUMBER`, on x86 `mov eax, NUMBER` and, before long, a return that pops the arguments.

use iced_x86::{Code, Decoder, DecoderOptions, Instruction, Register};
use std::sync::Arc;
use vadose_facts::ntdef::Bitness;
use vadose_facts::pe::{ExportTarget, PeError, PeImage, RvaReader as _};

/// Bytes of code that are looked at.
const STUB_BYTES: usize = 48;
/// Instructions of the longest known stub, with room.
const MAX_INSTRUCTIONS: usize = 16;

/// A stub: which service it calls, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stub {
    /// The export's name: `NtClose`.
    pub(crate) name: Arc<str>,
    /// What it loads into EAX.
    pub(crate) number: u32,
    /// Bytes of arguments that it pops, as far as the code tells: on x86 alone.
    pub(crate) argument_bytes: Option<u16>,
}

/// All stubs among the `Nt*` exports of an image, and those of Wine's own. Exports of that name that are plain code are none.
///
/// # Errors
///
/// [`PeError`] if the export table cannot be read.
pub(crate) fn stubs_of(image: &PeImage, bytes: &[u8], bitness: Bitness) -> Result<Vec<Stub>, PeError> {
    let mut view = image.file_view(bytes);
    let Some(table) = image.exports(&mut view)? else { return Ok(Vec::new()) };
    let mut stubs = Vec::new();
    for export in table.enumerate(&mut view)? {
        let (Some(name), ExportTarget::Rva(rva)) = (export.name, export.target) else { continue };
        let Some(name) = service_name(name.as_bytes()) else { continue };
        let mut code = [0; STUB_BYTES];
        if view.read_rva(rva, &mut code).is_err() {
            continue;
        }
        if let Some((number, argument_bytes)) = read_stub(&code, bitness) {
            stubs.push(Stub { name: Arc::from(name), number, argument_bytes });
        }
    }
    Ok(stubs)
}

/// `Nt` and a capital letter, or a name of Wine's.
fn service_name(name: &[u8]) -> Option<&str> {
    let is_service = match name {
        [b'N', b't', first, ..] => first.is_ascii_uppercase(),
        other => other.starts_with(b"__wine_") || other.starts_with(b"wine_"),
    };
    is_service.then(|| std::str::from_utf8(name).ok()).flatten()
}

/// The number, and the bytes popped, of code that is a stub.
fn read_stub(code: &[u8], bitness: Bitness) -> Option<(u32, Option<u16>)> {
    match bitness {
        Bitness::Bits32 => read_stub32(code),
        Bitness::Bits64 => read_stub64(code).map(|number| (number, None)),
    }
}

fn instructions(code: &[u8], bits: u32) -> impl Iterator<Item = Instruction> {
    let mut decoder = Decoder::new(bits, code, DecoderOptions::NONE);
    let next = move || decoder.can_decode().then(|| decoder.decode()).filter(|one| !one.is_invalid());
    std::iter::from_fn(next).take(MAX_INSTRUCTIONS)
}

fn read_stub64(code: &[u8]) -> Option<u32> {
    let mut all = instructions(code, 64);
    let first = all.next()?;
    let saves = matches!(first.code(), Code::Mov_r64_rm64 | Code::Mov_rm64_r64)
        && (first.op0_register(), first.op1_register()) == (Register::R10, Register::RCX);
    let number = loads_number(&all.next()?)?;
    let calls = all.any(|one| one.code() == Code::Syscall);
    (saves && calls).then_some(number)
}

fn read_stub32(code: &[u8]) -> Option<(u32, Option<u16>)> {
    let mut all = instructions(code, 32);
    let number = loads_number(&all.next()?)?;
    let mut calls = false;
    for one in all {
        match one.code() {
            Code::Retnd => return calls.then_some((number, Some(0))),
            Code::Retnd_imm16 => return calls.then_some((number, Some(one.immediate16()))),
            Code::Call_rm32 | Code::Call_rel32_32 | Code::Sysenter => calls = true,
            Code::Int_imm8 => calls = one.immediate8() == 0x2e,
            _other => {}
        }
    }
    None
}

fn loads_number(one: &Instruction) -> Option<u32> {
    let loads = one.code() == Code::Mov_r32_imm32 && one.op0_register() == Register::EAX;
    loads.then(|| one.immediate32())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The forms that public disassemblies of Windows and Wine show.
    #[test]
    fn stubs_of_every_known_form_are_read() {
        let wine64 = b"\x49\x89\xca\xb8\x34\x12\x00\x00\xf6\x04\x25\x08\x03\xfe\x7f\x01\x75\x03\x0f\x05\xc3";
        let windows64 =
            b"\x4c\x8b\xd1\xb8\x55\x00\x00\x00\xf6\x04\x25\x08\x03\xfe\x7f\x01\x75\x03\x0f\x05\xc3";
        let windows7 = b"\x4c\x8b\xd1\xb8\x0c\x00\x00\x00\x0f\x05\xc3";
        for (code, number) in [(&wine64[..], 0x1234), (windows64, 0x55), (windows7, 0xc)] {
            assert_eq!(read_stub(&padded(code), Bitness::Bits64), Some((number, None)), "{code:x?}");
        }
        let wine32 = b"\xb8\x10\x00\x00\x00\xba\x00\x10\x00\x7b\xff\xd2\xc2\x18\x00";
        let indirect = b"\xb8\x10\x00\x00\x00\x64\xff\x15\xc0\x00\x00\x00\xc2\x04\x00";
        let windows_xp = b"\xb8\x19\x00\x00\x00\xba\x00\x03\xfe\x7f\xff\x12\xc2\x04\x00";
        let windows_10 = b"\xb8\x19\x00\x00\x00\xe8\x01\x00\x00\x00\xc3\x8b\xd4\x0f\x34\xc3";
        let old = b"\xb8\x19\x00\x00\x00\x8d\x54\x24\x04\xcd\x2e\xc2\x08\x00";
        let of32 = [(&wine32[..], 0x10, 0x18), (indirect, 0x10, 4), (windows_xp, 0x19, 4)];
        for (code, number, popped) in of32.into_iter().chain([(&windows_10[..], 0x19, 0), (old, 0x19, 8)]) {
            assert_eq!(read_stub(&padded(code), Bitness::Bits32), Some((number, Some(popped))), "{code:x?}");
        }
    }

    #[test]
    fn plain_code_is_no_stub() {
        let tick_count = b"\x8b\x0c\x25\x20\x03\xfe\x7f\xc3";
        let constant = b"\xb8\x01\x00\x00\x00\xc3";
        let number_without_call = b"\x4c\x8b\xd1\xb8\x55\x00\x00\x00\xc3";
        for code in [&tick_count[..], constant, number_without_call] {
            for bitness in [Bitness::Bits32, Bitness::Bits64] {
                assert_eq!(read_stub(&padded(code), bitness), None, "{code:x?}");
            }
        }
        for name in [&b"NtdllDefWindowProc_A"[..], b"RtlX", b"Nt", b"ZwClose", b"N"] {
            assert_eq!(service_name(name), None);
        }
        assert_eq!(service_name(b"NtClose"), Some("NtClose"));
    }

    fn padded(code: &[u8]) -> Vec<u8> {
        let mut code = code.to_vec();
        code.resize(STUB_BYTES, 0xcc);
        code
    }
}
