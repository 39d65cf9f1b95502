//! What a program asks of an open file or folder by class, folders' names among it, and of the volume it is on.

use super::fileattr::put_volume;
use super::text::Width;
use crate::UserPtr;
use crate::executive::{Handle, Object, VOLUME_SERIAL, file_index};
use crate::host::{DirectoryEntry, FileInfo, FileKind};
use crate::path::GuestPath;
use crate::service::{Answer, Arg, Call, Export};
use vadose_facts::ntdef::{NtStatus, Win32Error};

use Arg::{U32, Word};

/// Allocation sizes are multiples of this.
const CLUSTER_BYTES: u64 = 4096;
/// Where the name lies in `FILE_FULL_DIR_INFO` and in `FILE_ID_BOTH_DIR_INFO`.
const FULL_NAME_AT: usize = 68;
const BOTH_NAME_AT: usize = 104;
/// Where `FILE_ID_BOTH_DIR_INFO` has the file's number.
const BOTH_ID_AT: usize = 96;
/// Entries are on multiples of this.
const ENTRY_ALIGNMENT: usize = 8;

/// The functions.
pub(crate) const EXPORTS: &[Export] = &[
    Export::system("GetFileInformationByHandleEx", &[Word, U32, Word, U32], information)
        .set("core-file")
        .since(6, 0),
    Export::system(
        "GetVolumeInformationByHandleW",
        &[Word, Word, U32, Word, Word, Word, Word, U32],
        volume_by_handle,
    )
    .set("core-file")
    .since(6, 0),
];

/// `GetFileInformationByHandleEx(file, class, *buffer, bytes)`.
fn information(call: &mut Call<'_>) -> Answer {
    let (handle, class, to, room) = (call.handle(0), call.u32(1), call.ptr(2), call.u32(3));
    if matches!(call.nt.handles().get(handle)?, Object::Console(_)) {
        // A stream is a pipe without a name, and knows nothing else.
        return if class == 2 {
            put_name(call, to, room, "")
        } else {
            Err(NtStatus::INVALID_PARAMETER.into())
        };
    }
    let path = call.open_file(handle)?.path.clone();
    match class {
        0 => put_record(call, to, room, |call, info| basic(call, &path, info)),
        1 => put_record(call, to, room, |_, info| standard(info)),
        2 => put_name(call, to, room, path.to_string().trim_start_matches("C:")),
        9 => put_record(call, to, room, |call, info| {
            let attributes = call.attributes_of(&path, info);
            [attributes.to_le_bytes(), [0; 4]].concat()
        }),
        10 => put_entries(call, to, room, Listing { form: Form::Both, start: Start::GoOn }),
        11 => put_entries(call, to, room, Listing { form: Form::Both, start: Start::Anew }),
        14 => put_entries(call, to, room, Listing { form: Form::Full, start: Start::GoOn }),
        15 => put_entries(call, to, room, Listing { form: Form::Full, start: Start::Anew }),
        18 => put_record(call, to, room, |_, _| {
            let index = u128::from(file_index(&path));
            [&u64::from(VOLUME_SERIAL).to_le_bytes()[..], &index.to_le_bytes()].concat()
        }),
        _other_classes => Err(NtStatus::INVALID_PARAMETER.into()),
    }
}

/// Stores a record of a fixed size.
fn put_record(
    call: &mut Call<'_>,
    to: UserPtr,
    room: u32,
    record: impl Fn(&Call<'_>, &FileInfo) -> Vec<u8>,
) -> Answer {
    let file = call.open_file(call.handle(0))?;
    let (path, open) = (file.path.clone(), file.file);
    let mut info = call.host.info(&path)?;
    if let Some(open) = open {
        info.size = call.host.size(open)?;
    }
    let bytes = record(call, &info);
    if (room as usize) < bytes.len() {
        return Err(Win32Error::BAD_LENGTH.into());
    }
    call.write(to, &bytes)?;
    Ok(1)
}

/// `FILE_BASIC_INFO`: creation, access, write, change, attributes.
fn basic(call: &Call<'_>, path: &GuestPath, info: &FileInfo) -> Vec<u8> {
    let [created, accessed, written] = call.times_of(path, info);
    let times = [created, accessed, written, written].map(u64::to_le_bytes).concat();
    [&times[..], &call.attributes_of(path, info).to_le_bytes(), &[0; 4]].concat()
}

/// `FILE_STANDARD_INFO`: allocation size, size, links, whether it is to be deleted, whether it is a folder.
fn standard(info: &FileInfo) -> Vec<u8> {
    let sizes = [info.size.next_multiple_of(CLUSTER_BYTES), info.size].map(u64::to_le_bytes).concat();
    let folder = u8::from(info.kind == FileKind::Directory);
    [&sizes[..], &1_u32.to_le_bytes(), &[0, folder, 0, 0]].concat()
}

/// `FILE_NAME_INFO`: the length in bytes and the name.
fn put_name(call: &mut Call<'_>, to: UserPtr, room: u32, name: &str) -> Answer {
    let units: Vec<u16> = name.encode_utf16().collect();
    let bytes = 2 * units.len() as u32;
    if room < 4 {
        return Err(Win32Error::BAD_LENGTH.into());
    }
    call.write_u32(to, bytes)?;
    let fits = units.len().min((room as usize - 4) / 2);
    call.write_wide(to.offset(4), &units[..fits])?;
    if fits < units.len() { Err(Win32Error::MORE_DATA.into()) } else { Ok(1) }
}

/// Which records of a folder's names, and from where.
#[derive(Clone, Copy)]
struct Listing {
    form: Form,
    start: Start,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `FILE_FULL_DIR_INFO`.
    Full,
    /// `FILE_ID_BOTH_DIR_INFO`.
    Both,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    /// Behind what the handle was told last.
    GoOn,
    /// From the first name.
    Anew,
}

/// As many names of the folder as fit; how far the handle has come is its position.
fn put_entries(call: &mut Call<'_>, to: UserPtr, room: u32, listing: Listing) -> Answer {
    let handle = call.handle(0);
    let file = call.open_file(handle)?;
    let (folder, position) = (file.path.clone(), file.position);
    if file.file.is_some() {
        return Err(NtStatus::INVALID_PARAMETER.into());
    }
    let done = if listing.start == Start::Anew { 0 } else { position };
    let entries = call.names_in(&folder)?;
    let left = entries.get(done as usize..).unwrap_or_default();
    let mut bytes = Vec::new();
    let mut taken = 0;
    let mut last = 0;
    for entry in left {
        let record = entry_bytes(call, &folder, entry, listing.form);
        let at = bytes.len().next_multiple_of(ENTRY_ALIGNMENT);
        if at + record.len() > room as usize {
            break;
        }
        if taken > 0 {
            let step = (at - last) as u32;
            bytes[last..last + 4].copy_from_slice(&step.to_le_bytes());
        }
        bytes.resize(at, 0);
        bytes.extend(record);
        (last, taken) = (at, taken + 1);
    }
    if taken == 0 {
        let nothing_left = left.is_empty();
        return Err(if nothing_left { Win32Error::NO_MORE_FILES } else { Win32Error::MORE_DATA }.into());
    }
    call.write(to, &bytes)?;
    set_position(call, handle, done + taken)
}

fn set_position(call: &mut Call<'_>, handle: Handle, position: u64) -> Answer {
    if let Object::File(file) = call.nt.handles_mut().get_mut(handle)? {
        file.position = position;
    }
    Ok(1)
}

fn entry_bytes(call: &Call<'_>, folder: &GuestPath, entry: &DirectoryEntry, form: Form) -> Vec<u8> {
    let path = match entry.name.as_str() {
        "." => folder.clone(),
        ".." => folder.parent(),
        name => folder.join(name).unwrap_or_else(|_| folder.clone()),
    };
    let info = &entry.info;
    let [created, accessed, written] = call.times_of(&path, info);
    let name: Vec<u8> = entry.name.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let sizes = [info.size, info.size.next_multiple_of(CLUSTER_BYTES)];
    let numbers = [created, accessed, written, written, sizes[0], sizes[1]];
    let mut bytes = vec![0; 8];
    bytes.extend(numbers.map(u64::to_le_bytes).concat());
    bytes.extend(call.attributes_of(&path, info).to_le_bytes());
    bytes.extend((name.len() as u32).to_le_bytes());
    match form {
        Form::Full => bytes.resize(FULL_NAME_AT, 0),
        Form::Both => {
            bytes.resize(BOTH_ID_AT, 0);
            bytes.extend(file_index(&path).to_le_bytes());
            debug_assert_eq!(bytes.len(), BOTH_NAME_AT, "the name is behind the number");
        }
    }
    bytes.extend(name);
    bytes
}

/// `GetVolumeInformationByHandle(file, *label, room, *serial, *longest name, *flags, *file system, room)`.
fn volume_by_handle(call: &mut Call<'_>) -> Answer {
    call.open_file(call.handle(0))?;
    put_volume(call, Width::Wide)
}
