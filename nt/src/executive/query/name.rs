//! The name of a mapped file, as the kernel knows it (SPEC D21 to D24).

use super::{Layout, Query};
use crate::kernel::Kernel;
use crate::path::GuestPath;
use crate::service::{Answer, Call};
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::NtStatus;
use vadose_mm::ProcessId;

/// The device of drive C: (SPEC D23).
pub(crate) const DRIVE_DEVICE: &str = "\\Device\\HarddiskVolume1";

/// `MemoryMappedFilenameInformation`: a `UNICODE_STRING` with its text behind it. The address counts first, then the
/// string's length, then the text's (SPEC D21, D22).
pub(super) fn answer(call: &mut Call<'_>, query: &Query) -> Answer {
    let process = query.check_pointers(call, query.length)?;
    let name = call.mapped_file_name(process, query.address)?;
    let header = 2 * call.pointer_bytes();
    let text_bytes = name.len() as u64 * 2 + 2;
    let needed = header + text_bytes;
    if query.length < needed {
        query.tell_length(call, needed)?;
        let short = query.length < header;
        return Err(if short { NtStatus::INFO_LENGTH_MISMATCH } else { NtStatus::BUFFER_OVERFLOW }.into());
    }
    let lengths = (text_bytes as u32 - 2) | (text_bytes as u32) << 16;
    let text_at = query.buffer.offset(header).raw();
    let mut bytes = Layout::new(call.nt.edition).u32(lengths).padded().word(text_at).into_bytes();
    bytes.extend(name.iter().flat_map(|unit| unit.to_le_bytes()));
    bytes.extend([0, 0]);
    query.finish(call, &bytes)
}

/// A path as the kernel names it: the device in the drive's place (SPEC D23).
pub(crate) fn device_path(path: &GuestPath) -> Vec<u16> {
    let below_drive = &path.as_str()["C:".len()..];
    DRIVE_DEVICE.encode_utf16().chain(below_drive.encode_utf16()).collect()
}

impl Kernel<'_> {
    /// The name of the file behind an address (SPEC D23).
    ///
    /// # Errors
    ///
    /// `INVALID_ADDRESS` where no view is, `FILE_INVALID` for page-file memory.
    pub(crate) fn mapped_file_name(
        &self,
        process: ProcessId,
        address: VirtAddr,
    ) -> Result<Vec<u16>, NtStatus> {
        let file = self.mm.mapped_file(process, address)?;
        let path = self.nt.files.path(file).ok_or(NtStatus::FILE_INVALID)?;
        Ok(device_path(path))
    }
}
