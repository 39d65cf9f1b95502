//! The services of directories: making, opening, listing.

use super::kind::Kind;
use super::namespace::Directory;
use crate::claim::UserPtr;
use crate::executive::{Handle, Object, ObjectId};
use crate::service::{Answer, Call, Failure};
use vadose_facts::ntdef::NtStatus;

/// `DIRECTORY_QUERY`.
const QUERY: u32 = 0x1;

/// `NtCreateDirectoryObject(*directory, access, attributes)`.
pub(super) fn create(call: &mut Call<'_>) -> Answer {
    let to = call.ptr(0);
    call.probe_handle(to)?;
    call.make_and_store(Object::Directory(Directory::default()))
}

/// `NtCreateDirectoryObjectEx(*directory, access, attributes, shadow, flags)`: what is not found in a directory with a
/// shadow is looked for there. No directory has one here.
pub(super) fn create_ex(call: &mut Call<'_>) -> Answer {
    let (shadow, flags) = (call.handle(3), call.u32(4));
    if flags != 0 {
        return Err(NtStatus::invalid_parameter(5).into());
    }
    if shadow != Handle::NULL {
        return Err(NtStatus::NOT_IMPLEMENTED.into());
    }
    create(call)
}

/// `NtOpenDirectoryObject(*directory, access, attributes)`.
pub(super) fn open(call: &mut Call<'_>) -> Answer {
    call.open_and_store(Kind::Directory)
}

/// An entry to be listed.
struct Entry {
    name: Vec<u16>,
    kind: Vec<u16>,
}

impl Entry {
    /// Bytes that both texts take, with their zeros.
    fn text_bytes(&self) -> u64 {
        2 * (self.name.len() + self.kind.len() + 2) as u64
    }
}

/// `NtQueryDirectoryObject(directory, *buffer, bytes, single, restart, *context, *returned)`: two strings for each entry,
/// a pair of empty ones, then the texts.
pub(super) fn query(call: &mut Call<'_>) -> Answer {
    let (handle, to, bytes, context_at, returned_at) =
        (call.handle(0), call.ptr(1), u64::from(call.u32(2)), call.ptr(5), call.ptr(6));
    let (single, restart) = (call.u32(3) & 0xff != 0, call.u32(4) & 0xff != 0);
    call.probe_write(to, bytes)?;
    let start = if restart { 0 } else { call.read_u32(context_at)? };
    call.probe_write(context_at, 4)?;
    if !returned_at.is_null() {
        call.probe_write(returned_at, 4)?;
    }
    let id = call.object_with(handle, Kind::Directory, QUERY)?;
    let pair_bytes = 4 * call.pointer_bytes();
    let listed = entries(call, id, start as usize, if single { 1 } else { usize::MAX }, |used, entry| {
        used + pair_bytes + entry.text_bytes() + pair_bytes <= bytes
    });
    let Listed { fitting, next, left } = listed;
    match (fitting.is_empty(), next) {
        (true, None) => return Err(NtStatus::NO_MORE_ENTRIES.into()),
        (true, Some(entry)) => {
            if !returned_at.is_null() {
                let needed = 2 * pair_bytes + entry.text_bytes();
                call.write_u32(returned_at, needed as u32)?;
            }
            return Err(NtStatus::BUFFER_TOO_SMALL.into());
        }
        (false, _) => {}
    }
    let end = store(call, to, &fitting)?;
    call.write_u32(context_at, start + fitting.len() as u32)?;
    if !returned_at.is_null() {
        call.write_u32(returned_at, (end.raw() - to.raw()) as u32)?;
    }
    Ok(u64::from(if left && !single { NtStatus::MORE_ENTRIES } else { NtStatus::SUCCESS }.raw()))
}

/// What is listed at once.
struct Listed {
    fitting: Vec<Entry>,
    /// The first that does not fit.
    next: Option<Entry>,
    /// Whether anything is left.
    left: bool,
}

/// Entries from a number on, as long as they fit behind what is used already.
fn entries(
    call: &Call<'_>,
    id: ObjectId,
    start: usize,
    most: usize,
    fits: impl Fn(u64, &Entry) -> bool,
) -> Listed {
    let objects = &call.nt.objects;
    let Object::Directory(directory) = objects.get(id) else { unreachable!("the kind was checked") };
    let (mut listed, mut used) = (Listed { fitting: Vec::new(), next: None, left: false }, 0);
    for (name, id) in directory.from(start).take(most) {
        let kind = Kind::of(objects.get(id)).map_or("", |kind| kind.facts().name);
        let entry = Entry { name: name.to_vec(), kind: kind.encode_utf16().collect() };
        if !fits(used, &entry) {
            listed.next = Some(entry);
            break;
        }
        used += 4 * call.pointer_bytes() + entry.text_bytes();
        listed.fitting.push(entry);
    }
    listed.left = start + listed.fitting.len() < directory.len();
    listed
}

/// Stores the list; answers where it ends.
fn store(call: &mut Call<'_>, to: UserPtr, entries: &[Entry]) -> Result<UserPtr, Failure> {
    let string_bytes = 2 * call.pointer_bytes();
    let mut text_at = to.offset((entries.len() as u64 + 1) * 2 * string_bytes);
    let texts = entries.iter().flat_map(|entry| [&entry.name, &entry.kind]);
    for (index, text) in (0..).zip(texts) {
        put_string(call, to.offset(index * string_bytes), text_at, text)?;
        text_at = text_at.offset(2 * text.len() as u64 + 2);
    }
    let last = to.offset(entries.len() as u64 * 2 * string_bytes);
    call.write(last, &vec![0; 2 * string_bytes as usize])?;
    Ok(text_at)
}

/// Stores a `UNICODE_STRING` and, elsewhere, its text with a zero.
pub(super) fn put_string(
    call: &mut Call<'_>,
    at: UserPtr,
    text_at: UserPtr,
    text: &[u16],
) -> Result<(), Failure> {
    let width = call.pointer_bytes();
    let bytes = 2 * text.len() as u64;
    assert!(bytes + 2 <= u64::from(u16::MAX), "a string's length has 16 bits");
    call.write_word(at, bytes | (bytes + 2) << 16)?;
    call.write_word(at.offset(width), text_at.raw())?;
    let terminated: Vec<u16> = text.iter().copied().chain([0]).collect();
    call.write_wide(text_at, &terminated)?;
    Ok(())
}
