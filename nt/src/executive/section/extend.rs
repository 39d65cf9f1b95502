//! `NtExtendSection`: a section of a file grows, and its file with it (SPEC F24).

use super::EXTEND_SIZE;
use crate::executive::{Handle, Object};
use crate::kernel::Kernel;
use crate::service::{Answer, Call};
use vadose_facts::ntdef::NtStatus;
use vadose_mm::Extension;

/// `NtExtendSection(section, *size)`: the size that the section has then is written back.
pub(super) fn nt_extend_section(call: &mut Call<'_>) -> Answer {
    let (section, size_at) = (call.handle(0), call.ptr(1));
    call.probe_write(size_at, 8)?;
    let size = call.read_u64(size_at)?;
    let size = call.extend_section(section, size)?;
    call.write_u64(size_at, size)?;
    Ok(0)
}

impl Kernel<'_> {
    /// Makes the section of a handle longer; answers its size.
    ///
    /// # Errors
    ///
    /// The handle's, `ACCESS_DENIED` without the right, the host's if the file cannot grow, and the statuses of SPEC F24.
    fn extend_section(&mut self, section: Handle, size: u64) -> Result<u64, NtStatus> {
        let handles = self.nt.handles();
        let Object::Section(object) = handles.get(section)? else {
            return Err(NtStatus::OBJECT_TYPE_MISMATCH);
        };
        if handles.access(section)? & EXTEND_SIZE == 0 {
            return Err(NtStatus::ACCESS_DENIED);
        }
        let id = object.id;
        let needed = match self.mm.plan_extension(id, size)? {
            Extension::Enough(bytes) => return Ok(bytes),
            Extension::FileBytes(bytes) => bytes,
        };
        let file = self.mm.section_information(id)?.file.ok_or(NtStatus::SECTION_NOT_EXTENDED)?;
        let there = self.nt.files.size(self.host, file)?;
        if there < needed {
            self.nt.files.set_size(self.host, file, needed)?;
        }
        self.charging(NtStatus::COMMITMENT_LIMIT, |mm| mm.extend_section(id, size, needed.max(there)))
    }
}
