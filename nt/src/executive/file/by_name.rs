//! What is known of a file by its name: `NtQueryAttributesFile` and `NtQueryFullAttributesFile`.

use super::information::Facts;
use super::name::{FileName, NameKind};
use crate::executive::attributes::ObjectAttributes;
use crate::host::FileKind;
use crate::kernel::Kernel;
use crate::service::{Answer, Call};
use vadose_facts::ntdef::NtStatus;

/// `FILE_ATTRIBUTE_ARCHIVE`: what a device has.
const ARCHIVE: u32 = 0x20;
/// `FILE_ATTRIBUTE_NORMAL`: what a pipe has.
const NORMAL: u32 = 0x80;

/// `NtQueryAttributesFile(attributes, *basic information)`.
pub(super) fn nt_query_attributes(call: &mut Call<'_>) -> Answer {
    query(call, 40, Facts::basic)
}

/// `NtQueryFullAttributesFile(attributes, *network open information)`.
pub(super) fn nt_query_full_attributes(call: &mut Call<'_>) -> Answer {
    query(call, 56, Facts::network_open)
}

fn query(call: &mut Call<'_>, bytes: u64, structure: impl Fn(&Facts) -> Vec<u8>) -> Answer {
    let (attributes_at, to) = (call.ptr(0), call.ptr(1));
    call.probe_write(to, bytes)?;
    let attributes = ObjectAttributes::read(call, attributes_at)?;
    let name = call.file_name(&attributes)?;
    let facts = call.facts_by_name(&name)?;
    call.write(to, &structure(&facts))?;
    Ok(0)
}

impl Kernel<'_> {
    /// What is known of what a name means.
    ///
    /// # Errors
    ///
    /// The host's; `OBJECT_NAME_INVALID` for a file by a name that ends as a folder's; `DELETE_PENDING` for a file that is
    /// about to go; `OBJECT_NAME_NOT_FOUND` for pipes that are not there.
    pub(super) fn facts_by_name(&mut self, name: &FileName) -> Result<Facts, NtStatus> {
        match name {
            FileName::Disk { path, kind } => {
                let path = self.host.real_path(path)?;
                let facts = self.facts_at(&path)?;
                if *kind == NameKind::Folder && facts.kind == FileKind::File {
                    return Err(NtStatus::OBJECT_NAME_INVALID);
                }
                let pending = self.files_at(&path).any(|(_, open)| open.delete_pending);
                if pending { Err(NtStatus::DELETE_PENDING) } else { Ok(facts) }
            }
            FileName::Null | FileName::Console(_) => {
                Ok(Facts { attributes: ARCHIVE, times: [0; 4], size: 0, kind: FileKind::File, index: 0 })
            }
            FileName::Pipe(name) if name.is_empty() || self.nt.pipes.exists(name) => {
                Ok(Facts { attributes: NORMAL, times: [0; 4], size: 0, kind: FileKind::File, index: 0 })
            }
            FileName::Pipe(_) => Err(NtStatus::OBJECT_NAME_NOT_FOUND),
        }
    }
}
