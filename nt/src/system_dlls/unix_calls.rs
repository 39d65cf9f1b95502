//! Calls of Wine's DLLs into their other half, which is Unix code that is not here: all are answered in this file, so that the
//! DLLs attach and what needs the other half fails in an orderly way.
//!
//! A DLL asks `NtQueryVirtualMemory` (class 1000) for the handle of its other half and calls `__wine_unix_call(handle, code,
//! arguments)`, which enters the kernel by [`UNIX_CALL`].
//!
//! | who | code | answer |
//! | --- | --- | --- |
//! | ntdll | 0 load a Unix library | `STATUS_INVALID_IMAGE_FORMAT` |
//! | ntdll | 1 unwind through Unix code | `STATUS_UNSUCCESSFUL` |
//! | ntdll | 2 write a debug message | the message goes to whoever watches debug texts; its length |
//! | ntdll | 3 to 6 ask the server, turn handles and file descriptors into each other, start a Unix program | `STATUS_NOT_IMPLEMENTED` |
//! | ntdll | 7 the time | the virtual time is stored |
//! | ws2_32 | any: names of hosts | `WSAHOST_NOT_FOUND`: there is no network |
//! | any other | 0 attach | success |
//! | any other | more | `STATUS_NOT_SUPPORTED` |
//!
//! Wine 8 writes debug messages by a system call of its own, `__wine_dbg_write`, with the same effect.
//!
//! Codes and arguments are those of Wine's `dlls/ntdll/unixlib.h` and `dlls/ws2_32/ws2_32_private.h` (8.0 and 10.0).

use crate::claim::UserPtr;
use crate::executive::processor_features;
use crate::kernel::Kernel;
use crate::service::{Answer, Arg, Call, Export, Failure};
use vadose_cpu::Vcpu;
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::{Bitness, NtStatus};

use Arg::{U32, Word};

/// The number by which the stub of unix calls enters the kernel: no DLL's stub has it.
pub(crate) const UNIX_CALL: u32 = 0x8000_0000;
/// The handle of ntdll's own other half, and those of DLLs, which hold their base.
pub(crate) const NTDLL_HANDLE: u64 = 1;
/// Set in the handle of the DLL of sockets: bases are multiples of 64 KiB.
const SOCKETS: u64 = 2;
/// `WSAHOST_NOT_FOUND`.
const HOST_NOT_FOUND: u64 = 11_001;
/// Bytes of a debug message that are looked at.
const MAX_MESSAGE: u64 = 4096;

/// The services that Wine's DLLs have beside Windows' own.
pub(crate) const EXPORTS: &[Export] = &[
    Export::native("__wine_dbg_write", &[Word, U32], write_debug_message).hidden(),
    Export::native("NtWow64IsProcessorFeaturePresent", &[U32], has_processor_feature).hidden(),
];

/// `NtWow64IsProcessorFeaturePresent(feature)`: 1 or 0, what `IsProcessorFeaturePresent` answers in 32-bit programs.
fn has_processor_feature(call: &mut Call<'_>) -> Answer {
    let wanted = call.u32(0);
    Ok(u64::from(processor_features(call.nt.edition).any(|feature| feature == wanted)))
}

/// `__wine_dbg_write(text, length)`.
fn write_debug_message(call: &mut Call<'_>) -> Answer {
    let (text, length) = (call.ptr(0), call.u32(1));
    call.write_debug_message(text, length)
}

/// A unix call under way.
struct UnixCall {
    handle: u64,
    code: u32,
    arguments: UserPtr,
}

/// Serves the unix call that the processor stopped at.
pub(crate) fn answer(kernel: &mut Kernel<'_>, cpu: &mut dyn Vcpu) {
    let answer = read(kernel, cpu).and_then(|call| kernel.unix_call(&call));
    let value = answer.unwrap_or_else(|failure| u64::from(failure.status().raw()));
    cpu.set_gpr(0, value & u64::from(u32::MAX));
}

/// x64: handle, code and arguments in R10, RDX and R8. x86: at EDX, the handle in two words.
fn read(kernel: &mut Kernel<'_>, cpu: &dyn Vcpu) -> Result<UnixCall, Failure> {
    match kernel.nt.edition.bitness {
        Bitness::Bits64 => {
            Ok(UnixCall { handle: cpu.gpr(10), code: cpu.gpr(2) as u32, arguments: UserPtr::new(cpu.gpr(8)) })
        }
        Bitness::Bits32 => {
            let at = UserPtr::new(cpu.gpr(2) & u64::from(u32::MAX));
            let (handle, code) = (kernel.read_u64(at)?, kernel.read_u32(at.offset(8))?);
            let arguments = UserPtr::new(u64::from(kernel.read_u32(at.offset(12))?));
            Ok(UnixCall { handle, code, arguments })
        }
    }
}

impl Kernel<'_> {
    fn unix_call(&mut self, call: &UnixCall) -> Result<u64, Failure> {
        match call.handle {
            NTDLL_HANDLE => self.ntdll_unix_call(call.code, call.arguments),
            other if other & SOCKETS != 0 => Ok(HOST_NOT_FOUND),
            _ if call.code == 0 => Ok(0),
            _ => Err(NtStatus::NOT_SUPPORTED.into()),
        }
    }

    fn ntdll_unix_call(&mut self, code: u32, arguments: UserPtr) -> Result<u64, Failure> {
        match code {
            0 => Err(NtStatus::INVALID_IMAGE_FORMAT.into()),
            1 => Err(NtStatus::UNSUCCESSFUL.into()),
            2 => {
                let width = self.pointer_bytes();
                let text = self.read_word(arguments)?;
                let length = self.read_u32(arguments.offset(width))?;
                self.write_debug_message(UserPtr::new(text), length)
            }
            7 => {
                let now = self.nt.now.units();
                self.write_u64(arguments, now)?;
                Ok(0)
            }
            _ => Err(NtStatus::NOT_IMPLEMENTED.into()),
        }
    }

    fn write_debug_message(&mut self, text: UserPtr, length: u32) -> Result<u64, Failure> {
        let bytes = self.read_vec(text, u64::from(length).min(MAX_MESSAGE))?;
        self.nt.note_debug_text(String::from_utf8_lossy(&bytes).into_owned());
        Ok(u64::from(length))
    }

    /// The handle of the other half of the DLL at a base; `None` if this is not Wine's folder, or no image is there.
    pub(crate) fn unix_handle_of(&self, base: VirtAddr) -> Option<u64> {
        if !self.is_on_wine() {
            return None;
        }
        let file = self.mm.mapped_file(self.nt.process().id, base).ok()?;
        let name = self.nt.files.path(file)?.file_name()?.to_owned();
        let sockets = if name.eq_ignore_ascii_case("ws2_32.dll") { SOCKETS } else { 0 };
        Some(base.raw() | sockets)
    }
}
