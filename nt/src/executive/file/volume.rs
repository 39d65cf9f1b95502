//! `NtQueryVolumeInformationFile`: the drive, or the device, that an open file is on.

use super::information::{CLUSTER_BYTES, VOLUME_SERIAL};
use crate::executive::objects::Object;
use crate::kernel::Kernel;
use crate::service::{Answer, Call};
use vadose_facts::ntdef::NtStatus;

/// `FILE_DEVICE_DISK`, `FILE_DEVICE_NAMED_PIPE`, `FILE_DEVICE_NULL`.
const DISK: u32 = 0x7;
const NAMED_PIPE: u32 = 0x11;
const NULL: u32 = 0x15;
/// `FILE_DEVICE_IS_MOUNTED`.
const IS_MOUNTED: u32 = 0x20;
/// Bytes of a sector.
pub(super) const SECTOR_BYTES: u32 = 512;
/// `FILE_CASE_PRESERVED_NAMES | FILE_UNICODE_ON_DISK`.
const ATTRIBUTES: u32 = 0x6;
/// Units of a file's name at most.
const MAX_NAME_UNITS: u32 = 255;
/// What programs take for an ordinary disk.
const FILE_SYSTEM: &str = "NTFS";

/// What a class tells, and the bytes that its structure has at least.
const CLASSES: [(u32, u32, Told); 7] = [
    (1, 24, Told::Volume),
    (3, 24, Told::Size),
    (4, 8, Told::Device),
    (5, 16, Told::Attributes),
    (7, 32, Told::FullSize),
    (8, 64, Told::ObjectId),
    (11, 28, Told::SectorSize),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Volume,
    Size,
    Device,
    Attributes,
    FullSize,
    ObjectId,
    SectorSize,
}

/// `NtQueryVolumeInformationFile(file, *io status, *buffer, length, class)`.
pub(super) fn nt_query_volume(call: &mut Call<'_>) -> Answer {
    let (handle, block, buffer) = (call.handle(0), call.ptr(1), call.ptr(2));
    let (length, number) = (call.u32(3), call.u32(4));
    let known = CLASSES.iter().find(|(class, ..)| *class == number);
    let &(_, least_bytes, told) = known.ok_or(NtStatus::INVALID_INFO_CLASS)?;
    if length < least_bytes {
        return Err(NtStatus::INFO_LENGTH_MISMATCH.into());
    }
    call.probe_status_block(block)?;
    call.probe_write(buffer, u64::from(length))?;
    let mut bytes = match (call.nt.object(handle)?, told) {
        (Object::File(_), told) => call.tell_of_volume(told)?,
        (Object::Console(_) | Object::Pipe(_), Told::Device) => device(NAMED_PIPE, 0),
        (Object::Other, Told::Device) => device(NULL, 0),
        (Object::Console(_) | Object::Pipe(_) | Object::Other, _) => {
            return Err(NtStatus::INVALID_DEVICE_REQUEST.into());
        }
        (_other_kinds, _) => return Err(NtStatus::OBJECT_TYPE_MISMATCH.into()),
    };
    let fits = bytes.len() <= length as usize;
    bytes.truncate(length as usize);
    call.write(buffer, &bytes)?;
    let status = if fits { NtStatus::SUCCESS } else { NtStatus::BUFFER_OVERFLOW };
    call.tell(block, status, bytes.len() as u64)?;
    Ok(u64::from(status.raw()))
}

/// `FILE_FS_DEVICE_INFORMATION`.
fn device(kind: u32, characteristics: u32) -> Vec<u8> {
    [kind, characteristics].map(u32::to_le_bytes).concat()
}

impl Kernel<'_> {
    fn tell_of_volume(&self, told: Told) -> Result<Vec<u8>, NtStatus> {
        let space = self.host.disk_space();
        let (total, free) = (space.total / CLUSTER_BYTES, space.free / CLUSTER_BYTES);
        let numbers =
            |values: &[u64]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        let sectors = CLUSTER_BYTES as u32 / SECTOR_BYTES;
        let units = [sectors, SECTOR_BYTES].map(u32::to_le_bytes).concat();
        Ok(match told {
            // Creation time, serial number, length of the label, whether it knows objects, the label, which is empty.
            Told::Volume => {
                let created = self.host.boot_time().units().to_le_bytes();
                [&created[..], &VOLUME_SERIAL.to_le_bytes(), &[0; 12]].concat()
            }
            Told::Size => [numbers(&[total, free]), units].concat(),
            Told::FullSize => [numbers(&[total, free, free]), units].concat(),
            Told::Device => device(DISK, IS_MOUNTED),
            Told::Attributes => {
                let name: Vec<u8> = FILE_SYSTEM.encode_utf16().flat_map(u16::to_le_bytes).collect();
                let numbers = [ATTRIBUTES, MAX_NAME_UNITS, name.len() as u32];
                [numbers.map(u32::to_le_bytes).concat(), name].concat()
            }
            Told::ObjectId => return Err(NtStatus::OBJECT_NAME_NOT_FOUND),
            // Logical, physical for atomicity, for performance and effective; aligned; offsets.
            Told::SectorSize => [SECTOR_BYTES, SECTOR_BYTES, SECTOR_BYTES, SECTOR_BYTES, 0x3, 0, 0]
                .map(u32::to_le_bytes)
                .concat(),
        })
    }
}
