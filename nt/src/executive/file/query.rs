//! `NtQueryInformationFile`: what is known of an open file, by class.

use super::information::{Facts, VOLUME_SERIAL};
use super::rights::{READ_ATTRIBUTES, READ_EA, WRITE_ATTRIBUTES};
use crate::executive::objects::{FileIo, Object, OpenFile};
use crate::executive::query::DRIVE_DEVICE;
use crate::executive::{Handle, PipeEnd};
use crate::host::FileKind;
use crate::kernel::Kernel;
use crate::service::{Answer, Call};
use vadose_facts::ntdef::NtStatus;

/// `FILE_SYNCHRONOUS_IO_NONALERT`.
const SYNCHRONOUS: u32 = 0x20;
/// The one stream of a file.
const DATA_STREAM: &str = "::$DATA";

/// One class: its number, the bytes that its structure has at least, the right that it needs, and what it tells.
struct Class {
    number: u32,
    least_bytes: u32,
    right: u32,
    told: Told,
}

/// What a class tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Basic,
    Standard,
    Internal,
    ExtendedAttributes,
    Access,
    Name,
    Position,
    Mode,
    Alignment,
    All,
    AlternateName,
    Stream,
    NetworkOpen,
    AttributeTag,
    CompletionNotification,
    IsRemote,
    VolumeName,
    Id,
    Stat,
    Pipe,
    PipeLocal,
}

/// The classes, by number.
const CLASSES: [Class; 22] = [
    class(4, 40, READ_ATTRIBUTES, Told::Basic),
    class(5, 24, 0, Told::Standard),
    class(6, 8, 0, Told::Internal),
    class(7, 4, READ_EA, Told::ExtendedAttributes),
    class(8, 4, 0, Told::Access),
    class(9, 8, 0, Told::Name),
    class(14, 8, 0, Told::Position),
    class(16, 4, 0, Told::Mode),
    class(17, 4, 0, Told::Alignment),
    class(18, 104, READ_ATTRIBUTES, Told::All),
    class(21, 8, 0, Told::AlternateName),
    class(22, 32, 0, Told::Stream),
    class(23, 8, READ_ATTRIBUTES, Told::Pipe),
    class(24, 40, READ_ATTRIBUTES, Told::PipeLocal),
    class(34, 56, READ_ATTRIBUTES, Told::NetworkOpen),
    class(35, 8, READ_ATTRIBUTES, Told::AttributeTag),
    class(41, 4, 0, Told::CompletionNotification),
    class(48, 8, 0, Told::Name),
    class(51, 1, 0, Told::IsRemote),
    class(58, 8, 0, Told::VolumeName),
    class(59, 24, 0, Told::Id),
    class(68, 72, READ_ATTRIBUTES, Told::Stat),
];

const fn class(number: u32, least_bytes: u32, right: u32, told: Told) -> Class {
    Class { number, least_bytes, right, told }
}

/// `NtQueryInformationFile(file, *io status, *buffer, length, class)`: class, length, pointers, handle and its right. What
/// ends with a name tells as much of it as fits.
pub(super) fn nt_query_information(call: &mut Call<'_>) -> Answer {
    let (handle, block, buffer) = (call.handle(0), call.ptr(1), call.ptr(2));
    let (length, number) = (call.u32(3), call.u32(4));
    let class = CLASSES.iter().find(|class| class.number == number).ok_or(NtStatus::INVALID_INFO_CLASS)?;
    if length < class.least_bytes {
        return Err(NtStatus::INFO_LENGTH_MISMATCH.into());
    }
    call.probe_status_block(block)?;
    call.probe_write(buffer, u64::from(length))?;
    let granted = call.nt.handles().access(handle)?;
    let mut bytes = match call.nt.object(handle)? {
        Object::File(open) => {
            let open = open.clone();
            call.check_right(granted, class.right)?;
            call.tell_of_file(&open, granted, class.told)?
        }
        Object::Console(_) | Object::Pipe(_) | Object::Other => {
            call.check_right(granted, class.right)?;
            call.tell_of_device(handle, granted, class.told)?
        }
        _other_kinds => return Err(NtStatus::OBJECT_TYPE_MISMATCH.into()),
    };
    let fits = bytes.len() <= length as usize;
    bytes.truncate(length as usize);
    call.write(buffer, &bytes)?;
    let status = if fits { NtStatus::SUCCESS } else { NtStatus::BUFFER_OVERFLOW };
    call.tell(block, status, bytes.len() as u64)?;
    Ok(u64::from(status.raw()))
}

/// A `FILE_NAME_INFORMATION`: the length in bytes, and the name.
fn name_bytes(name: &str) -> Vec<u8> {
    let units: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
    [&(units.len() as u32).to_le_bytes()[..], &units].concat()
}

impl Kernel<'_> {
    /// Whether a handle has a right. On Wine's DLLs nobody asks for the rights to attributes: its own
    /// functions rename, and set attributes, through handles that they opened without.
    pub(super) fn check_right(&self, granted: u32, right: u32) -> Result<(), NtStatus> {
        let forgone = if self.is_on_wine() { READ_ATTRIBUTES | WRITE_ATTRIBUTES } else { 0 };
        let asked = right & !forgone;
        if granted & asked == asked { Ok(()) } else { Err(NtStatus::ACCESS_DENIED) }
    }

    /// What is known of an open file: its path's facts, with the size that the host's open file has.
    pub(super) fn facts_of_open(&mut self, open: &OpenFile) -> Result<Facts, NtStatus> {
        let mut info = self.host.info(&open.path).or_else(|status| match open.file {
            // A file that can be loaded and not read cannot be described by its path.
            Some(file) => Ok(crate::host::FileInfo {
                kind: FileKind::File,
                size: self.host.size(file)?,
                modified: self.host.boot_time(),
                access: open.access,
            }),
            None => Err(status),
        })?;
        if let Some(file) = open.file {
            info.size = self.host.size(file)?;
        }
        Ok(self.facts_of(&open.path, &info))
    }

    fn tell_of_file(&mut self, open: &OpenFile, granted: u32, told: Told) -> Result<Vec<u8>, NtStatus> {
        let name = &open.path.as_str()["C:".len()..];
        let number = |value: u32| value.to_le_bytes().to_vec();
        Ok(match told {
            Told::Basic => self.facts_of_open(open)?.basic(),
            Told::Standard => self.facts_of_open(open)?.standard(open.delete_pending),
            Told::Internal => self.facts_of_open(open)?.index.to_le_bytes().to_vec(),
            Told::ExtendedAttributes | Told::Alignment => number(0),
            Told::CompletionNotification => number(open.notification),
            Told::Access => number(granted),
            Told::Name => name_bytes(name),
            Told::Position => open.position.to_le_bytes().to_vec(),
            Told::Mode => number(open.mode),
            Told::All => self.all_of(open, granted)?,
            // Files have no short names.
            Told::AlternateName => return Err(NtStatus::OBJECT_NAME_NOT_FOUND),
            Told::Stream => stream_bytes(&self.facts_of_open(open)?),
            Told::NetworkOpen => self.facts_of_open(open)?.network_open(),
            Told::AttributeTag => [self.facts_of_open(open)?.attributes, 0].map(u32::to_le_bytes).concat(),
            Told::IsRemote => vec![0],
            Told::VolumeName => name_bytes(DRIVE_DEVICE),
            Told::Id => {
                let index = u128::from(self.facts_of_open(open)?.index);
                [&u64::from(VOLUME_SERIAL).to_le_bytes()[..], &index.to_le_bytes()].concat()
            }
            Told::Stat => self.facts_of_open(open)?.stat(granted),
            Told::Pipe | Told::PipeLocal => return Err(NtStatus::INVALID_PARAMETER),
        })
    }

    /// What is known of a pipe, of a stream of the console, which is one, and of the null device.
    fn tell_of_device(&mut self, handle: Handle, granted: u32, told: Told) -> Result<Vec<u8>, NtStatus> {
        let id = self.object_of(handle)?;
        match (told, self.nt.objects.get(id)) {
            (Told::Pipe, _) => self.pipe_modes(id),
            (Told::PipeLocal, _) => self.pipe_facts(id),
            (Told::Mode, Object::Pipe(PipeEnd { io: FileIo::Overlapped { .. }, .. })) => Ok(vec![0; 4]),
            (told, _) => plain_device(granted, told),
        }
    }

    /// `FILE_ALL_INFORMATION`: basic, standard, internal, extended attributes, access, position, mode, alignment, name.
    fn all_of(&mut self, open: &OpenFile, granted: u32) -> Result<Vec<u8>, NtStatus> {
        let facts = self.facts_of_open(open)?;
        let numbers = |values: [u32; 2]| values.map(u32::to_le_bytes).concat();
        Ok([
            facts.basic(),
            facts.standard(open.delete_pending),
            facts.index.to_le_bytes().to_vec(),
            numbers([0, granted]),
            open.position.to_le_bytes().to_vec(),
            numbers([open.mode, 0]),
            name_bytes(&open.path.as_str()["C:".len()..]),
        ]
        .concat())
    }
}

/// A `FILE_STREAM_INFORMATION` of the one stream; a folder has none.
fn stream_bytes(facts: &Facts) -> Vec<u8> {
    if facts.kind == FileKind::Directory {
        return Vec::new();
    }
    let name: Vec<u8> = DATA_STREAM.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let sizes = [facts.size, facts.allocation()].map(u64::to_le_bytes).concat();
    [&[0; 4][..], &(name.len() as u32).to_le_bytes(), &sizes, &name].concat()
}

/// What is known of any device that is read and written synchronously.
fn plain_device(granted: u32, told: Told) -> Result<Vec<u8>, NtStatus> {
    const NORMAL: u32 = 0x80;
    let facts = Facts { attributes: NORMAL, times: [0; 4], size: 0, kind: FileKind::File, index: 0 };
    Ok(match told {
        Told::Basic => facts.basic(),
        Told::Standard => facts.standard(false),
        Told::Internal | Told::Position => vec![0; 8],
        Told::ExtendedAttributes | Told::Alignment | Told::CompletionNotification => vec![0; 4],
        Told::Access => granted.to_le_bytes().to_vec(),
        Told::Name => name_bytes(""),
        Told::Mode => SYNCHRONOUS.to_le_bytes().to_vec(),
        Told::NetworkOpen => facts.network_open(),
        Told::AttributeTag => [NORMAL, 0].map(u32::to_le_bytes).concat(),
        Told::IsRemote => vec![0],
        Told::All
        | Told::AlternateName
        | Told::Stream
        | Told::VolumeName
        | Told::Id
        | Told::Stat
        | Told::Pipe
        | Told::PipeLocal => return Err(NtStatus::INVALID_PARAMETER),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_in_order_and_know_their_least_size() {
        assert!(CLASSES.is_sorted_by_key(|class| class.number));
        for class in &CLASSES {
            let room = class.least_bytes as usize;
            if let Ok(told) = plain_device(0, class.told) {
                let named = matches!(class.told, Told::Name);
                // An empty name is less than one of a unit.
                assert_eq!(told.len(), if named { 4 } else { room }, "{}", class.number);
            }
        }
    }
}
