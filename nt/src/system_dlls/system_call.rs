//! Ways into the kernel for stubs that do not hold the instruction themselves: a page of code in each process, and where its
//! address is told.

use super::folder::Landmarks;
use super::unix_calls::UNIX_CALL;
use crate::executive::RegionUse;
use crate::kernel::Kernel;
use vadose_facts::addr::{PAGE_BYTES, VirtAddr};
use vadose_facts::ntdef::layout::SharedData;
use vadose_facts::ntdef::{Bitness, NtStatus};

/// `PAGE_EXECUTE_READ`.
const EXECUTE_READ: u32 = 0x20;
/// Where the second stub begins.
const SECOND_STUB: u64 = 0x20;

/// Small functions that the kernel gives a process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SystemCallStubs {
    /// Enters the kernel for a service, its number in EAX, from inside a stub that was called: 32-bit.
    pub(crate) system_call: VirtAddr,
    /// Enters the kernel for a unix call of Wine.
    pub(crate) unix_call: VirtAddr,
}

impl Kernel<'_> {
    /// Makes the ways into the kernel that stubs take which do not hold the instruction themselves. Answers their page.
    pub(super) fn fill_system_call(
        &mut self,
        ntdll: VirtAddr,
        landmarks: Landmarks,
    ) -> Result<SystemCallStubs, NtStatus> {
        let stubs = self.make_system_call_stubs()?;
        if self.nt.edition.bitness == Bitness::Bits32 {
            let through = landmarks.interrupt_stub.map(|rva| ntdll.raw() + u64::from(rva));
            self.note_system_call(through.unwrap_or(stubs.system_call.raw()));
        }
        Ok(stubs)
    }

    /// A page of code by which stubs enter the kernel.
    fn make_system_call_stubs(&mut self) -> Result<SystemCallStubs, NtStatus> {
        let page = self.private_memory(PAGE_BYTES, RegionUse::SystemCallStubs)?;
        let number = UNIX_CALL.to_le_bytes();
        let (first, second): (&[u8], Vec<u8>) = match self.nt.edition.bitness {
            // lea edx, [esp+8]; int 2e; ret
            Bitness::Bits32 => (
                b"\x8d\x54\x24\x08\xcd\x2e\xc3",
                // lea edx, [esp+4]; mov eax, NUMBER; int 2e; ret 16
                [&b"\x8d\x54\x24\x04\xb8"[..], &number, b"\xcd\x2e\xc2\x10\x00"].concat(),
            ),
            // syscall; ret
            Bitness::Bits64 => (
                b"\x0f\x05\xc3",
                // mov r10, rcx; mov eax, NUMBER; syscall; ret
                [&b"\x49\x89\xca\xb8"[..], &number, b"\x0f\x05\xc3"].concat(),
            ),
        };
        let unix_call = page.offset(SECOND_STUB);
        self.write(page, first).and_then(|()| self.write(unix_call, &second)).map_err(|bad| bad.status)?;
        self.protect(page.address(), PAGE_BYTES, EXECUTE_READ)?;
        Ok(SystemCallStubs { system_call: page.address(), unix_call: unix_call.address() })
    }

    /// Tells 32-bit stubs that go through `KUSER_SHARED_DATA` or the TEB where the kernel is entered.
    fn note_system_call(&mut self, entry: u64) {
        self.nt.process_mut().system_call = VirtAddr::new(entry);
        let frame = self.mm.shared_user_data();
        let at = frame.base().offset(u64::from(SharedData::SYSTEM_CALL_STUB));
        self.mm.ram().write_bytes(at, &(entry as u32).to_le_bytes());
    }
}
