//! Opening the process by its number, with chosen rights (SPEC A13, C27, D19).

use super::handle::Handle;
use crate::executive::{PROCESS_QUERY_INFORMATION, PROCESS_QUERY_LIMITED_INFORMATION};
use crate::kernel::Kernel;
use crate::service::{Answer, Arg, Call, Export};
use vadose_facts::ntdef::NtStatus;

use Arg::{U32, Word};

/// The services of this file.
pub(crate) const EXPORTS: &[Export] =
    &[Export::native("NtOpenProcess", &[Word, U32, Word, Word], nt_open_process)];

/// `MAXIMUM_ALLOWED`, and `GENERIC_ALL`, `_EXECUTE`, `_WRITE`, `_READ` with what they mean for a process.
const GENERIC: [(u32, u32); 5] = [
    (0x0200_0000, ALL_ACCESS),
    (0x1000_0000, ALL_ACCESS),
    (0x2000_0000, 0x0012_1000),
    (0x4000_0000, 0x0002_0bea),
    (0x8000_0000, 0x0002_0410),
];
/// `PROCESS_ALL_ACCESS`.
const ALL_ACCESS: u32 = 0x001f_ffff;

/// The rights that a wish means.
fn granted(wanted: u32) -> u32 {
    let mut access = wanted;
    for (generic, meaning) in GENERIC {
        if wanted & generic != 0 {
            access = access & !generic | meaning;
        }
    }
    // Who may ask everything may ask a little.
    if access & PROCESS_QUERY_INFORMATION != 0 { access | PROCESS_QUERY_LIMITED_INFORMATION } else { access }
}

impl Kernel<'_> {
    /// A handle for the process of that number.
    ///
    /// # Errors
    ///
    /// `STATUS_INVALID_CID` for a number that no process has; `STATUS_INSUFFICIENT_RESOURCES`.
    pub(crate) fn open_process(&mut self, pid: u64, wanted: u32) -> Result<Handle, NtStatus> {
        // The low two bits of an id do not count.
        let known = u32::try_from(pid & !3).ok().and_then(|pid| self.nt.process_by_id(pid));
        let object = known.ok_or(NtStatus::INVALID_CID)?.object;
        self.nt.handles_mut().refer(object, granted(wanted))
    }
}

/// `NtOpenProcess(*handle, access, attributes, *client)`: processes have no names here.
fn nt_open_process(call: &mut Call<'_>) -> Answer {
    let (to, wanted, client) = (call.ptr(0), call.u32(1), call.ptr(3));
    let width = call.pointer_bytes();
    call.probe_write(to, width)?;
    if client.is_null() {
        return Err(NtStatus::INVALID_PARAMETER_MIX.into());
    }
    let pid = call.read_word(client)?;
    let handle = call.open_process(pid, wanted)?;
    call.write_word(to, handle.raw())?;
    Ok(0)
}
