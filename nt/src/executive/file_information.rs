//! `NtQueryInformationFile`: what is known of an open file, by class.

use super::objects::{FileIo, Object};
use crate::service::{Answer, Arg, Call, Export, Failure};
use vadose_facts::ntdef::NtStatus;

use Arg::{U32, Word};

/// The services.
pub(crate) const EXPORTS: &[Export] =
    &[Export::native("NtQueryInformationFile", &[Word, Word, Word, U32, U32], query)];

/// `FileStandardInformation`, `FilePositionInformation`, `FileModeInformation`.
const STANDARD: u32 = 5;
const POSITION: u32 = 14;
const MODE: u32 = 16;
/// Allocation size is a multiple of this.
const CLUSTER_BYTES: u64 = 4096;
/// `FILE_SYNCHRONOUS_IO_NONALERT` and `FILE_DELETE_ON_CLOSE`.
const SYNCHRONOUS: u32 = 0x20;
const DELETE_ON_CLOSE: u32 = 0x1000;

/// `NtQueryInformationFile(file, *io status, *buffer, length, class)`: streams answer as pipes that are read and written
/// synchronously.
fn query(call: &mut Call<'_>) -> Answer {
    let (block, buffer, length, class) = (call.ptr(1), call.ptr(2), call.u32(3), call.u32(4));
    let needed = match class {
        STANDARD => 24,
        POSITION => 8,
        MODE => 4,
        _ => return Err(NtStatus::INVALID_INFO_CLASS.into()),
    };
    if length < needed {
        return Err(NtStatus::INFO_LENGTH_MISMATCH.into());
    }
    let width = call.pointer_bytes();
    call.probe_write(block, 2 * width)?;
    call.probe_write(buffer, u64::from(needed))?;
    let bytes = match class {
        STANDARD => standard(call)?,
        POSITION => position(call)?.to_le_bytes().to_vec(),
        _ => mode(call)?.to_le_bytes().to_vec(),
    };
    call.write(buffer, &bytes)?;
    call.write_u32(block, 0)?;
    call.write_word(block.offset(width), bytes.len() as u64)?;
    Ok(0)
}

/// Allocation size, size, links, whether it is to be deleted, whether it is a folder.
fn standard(call: &mut Call<'_>) -> Result<Vec<u8>, Failure> {
    let (size, folder) = match call.nt.handles().get(call.handle(0))? {
        Object::Console(_) => (0, false),
        Object::File(file) => match file.file {
            Some(open) => (call.host.size(open)?, false),
            None => (0, true),
        },
        _other_kinds => return Err(NtStatus::OBJECT_TYPE_MISMATCH.into()),
    };
    let mut bytes = Vec::with_capacity(24);
    bytes.extend(size.next_multiple_of(CLUSTER_BYTES).to_le_bytes());
    bytes.extend(size.to_le_bytes());
    bytes.extend(1_u32.to_le_bytes());
    bytes.extend([0, u8::from(folder), 0, 0]);
    Ok(bytes)
}

fn position(call: &Call<'_>) -> Result<u64, Failure> {
    match call.nt.handles().get(call.handle(0))? {
        Object::Console(_) => Ok(0),
        Object::File(file) => Ok(file.position),
        _other_kinds => Err(NtStatus::OBJECT_TYPE_MISMATCH.into()),
    }
}

fn mode(call: &Call<'_>) -> Result<u32, Failure> {
    match call.nt.handles().get(call.handle(0))? {
        Object::Console(_) => Ok(SYNCHRONOUS),
        Object::File(file) => {
            let deleted = if file.delete_on_close { DELETE_ON_CLOSE } else { 0 };
            let waits = match file.io {
                FileIo::Synchronous => SYNCHRONOUS,
                FileIo::Overlapped { .. } => 0,
            };
            Ok(deleted | waits)
        }
        _other_kinds => Err(NtStatus::OBJECT_TYPE_MISMATCH.into()),
    }
}
