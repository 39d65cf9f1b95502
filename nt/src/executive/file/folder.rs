//! `NtQueryDirectoryFile`: the names in an open folder, as many at a time as fit.

use super::information::Facts;
use super::pattern::matches;
use super::rights::READ_DATA;
use super::status_block::Completion;
use crate::claim::UserPtr;
use crate::executive::Handle;
use crate::executive::objects::{Object, OpenFile};
use crate::host::DirectoryEntry;
use crate::kernel::Kernel;
use crate::path::GuestPath;
use crate::service::{Answer, Call, Failure};
use vadose_facts::ntdef::NtStatus;

/// Names in one folder at most.
const MAX_NAMES: usize = 1 << 20;
/// Units of a pattern at most, as of a file's name.
const MAX_PATTERN_UNITS: usize = 255;
/// Entries are on multiples of this.
const ENTRY_ALIGNMENT: usize = 8;
/// `SL_RESTART_SCAN` and `SL_RETURN_SINGLE_ENTRY`.
const RESTART: u32 = 0x1;
const SINGLE: u32 = 0x2;

/// Names of a folder that a handle has yet to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listing {
    /// What they fit, `None` for all names.
    pattern: Option<String>,
    /// The names, next one last.
    left: Vec<DirectoryEntry>,
    /// Whether none has been told yet.
    fresh: bool,
}

/// Which structure an entry has: the bytes of its fixed part with one unit of the name, and where the name begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Form {
    class: u32,
    least_bytes: u32,
    name_at: usize,
    /// Where the number of the file is, and its bytes.
    id: Option<(usize, usize)>,
}

/// The classes: `FileDirectoryInformation`, `Full`, `Both`, `Names`, `IdBoth`, `IdFull`, `IdExtd`, `IdExtdBoth`.
const FORMS: [Form; 8] = [
    Form { class: 1, least_bytes: 72, name_at: 64, id: None },
    Form { class: 2, least_bytes: 72, name_at: 68, id: None },
    Form { class: 3, least_bytes: 96, name_at: 94, id: None },
    Form { class: NAMES, least_bytes: 16, name_at: 12, id: None },
    Form { class: 37, least_bytes: 112, name_at: 104, id: Some((96, 8)) },
    Form { class: 38, least_bytes: 88, name_at: 80, id: Some((72, 8)) },
    Form { class: 60, least_bytes: 96, name_at: 88, id: Some((72, 16)) },
    Form { class: 63, least_bytes: 120, name_at: 114, id: Some((72, 16)) },
];
/// `FileNamesInformation`, which tells of nothing but names.
const NAMES: u32 = 12;

/// How much of a folder is asked for.
#[derive(Clone, Copy, Debug)]
struct Question {
    form: Form,
    restart: bool,
    single: bool,
    pattern_at: UserPtr,
    buffer: UserPtr,
    room: u32,
}

/// `NtQueryDirectoryFile(folder, event, apc, apc context, *io status, *buffer, length, class, single entry, *pattern,
/// restart)`.
pub(super) fn nt_query_directory(call: &mut Call<'_>) -> Answer {
    let (single, pattern_at, restart) = (call.u32(8) & 0xff != 0, call.ptr(9), call.u32(10) & 0xff != 0);
    query(call, (restart, single), pattern_at)
}

/// `NtQueryDirectoryFileEx(folder, event, apc, apc context, *io status, *buffer, length, class, flags, *pattern)`.
pub(super) fn nt_query_directory_ex(call: &mut Call<'_>) -> Answer {
    let (flags, pattern_at) = (call.u32(8), call.ptr(9));
    query(call, (flags & RESTART != 0, flags & SINGLE != 0), pattern_at)
}

/// Class, length, handle and its right, pointers, pattern.
fn query(call: &mut Call<'_>, (restart, single): (bool, bool), pattern_at: UserPtr) -> Answer {
    let (handle, buffer, room, class) = (call.handle(0), call.ptr(5), call.u32(6), call.u32(7));
    let form = *FORMS.iter().find(|form| form.class == class).ok_or(NtStatus::INVALID_INFO_CLASS)?;
    if room < form.least_bytes {
        return Err(NtStatus::INFO_LENGTH_MISMATCH.into());
    }
    let folder = folder_of(call, handle)?;
    let completion = Completion::begin(call)?;
    call.probe_write(buffer, u64::from(room))?;
    let question = Question { form, restart, single, pattern_at, buffer, room };
    let pattern = read_pattern(call, &question)?;
    let done = answer(call, handle, &folder, pattern, &question);
    completion.finish(call, done)
}

/// The path of an open folder that may be listed.
fn folder_of(call: &Call<'_>, handle: Handle) -> Result<GuestPath, NtStatus> {
    let folder = match call.nt.object(handle)? {
        Object::File(OpenFile { file: None, path, .. }) => path.clone(),
        Object::File(_) | Object::Console(_) | Object::Pipe(_) | Object::Other => {
            return Err(NtStatus::INVALID_PARAMETER);
        }
        _other_kinds => return Err(NtStatus::OBJECT_TYPE_MISMATCH),
    };
    let granted = call.nt.handles().access(handle)? & READ_DATA != 0;
    if granted { Ok(folder) } else { Err(NtStatus::ACCESS_DENIED) }
}

fn read_pattern(call: &mut Call<'_>, question: &Question) -> Result<Option<String>, Failure> {
    if question.pattern_at.is_null() {
        return Ok(None);
    }
    let units = call.read_unicode_string(question.pattern_at)?;
    if units.len() > MAX_PATTERN_UNITS {
        return Err(NtStatus::OBJECT_NAME_INVALID.into());
    }
    let pattern = String::from_utf16(&units).map_err(|_| NtStatus::OBJECT_NAME_INVALID)?;
    Ok(Some(pattern).filter(|pattern| !pattern.is_empty() && pattern != "*"))
}

fn answer(
    call: &mut Call<'_>,
    handle: Handle,
    folder: &GuestPath,
    pattern: Option<String>,
    question: &Question,
) -> Result<(NtStatus, u64), Failure> {
    let mut listing = match listing_of(call, handle)?.take() {
        Some(listing) if !question.restart => listing,
        // The pattern of the first call counts until another one is given with a new beginning.
        old => {
            let pattern = pattern.or_else(|| old.and_then(|old| old.pattern));
            Box::new(call.list_names(folder, pattern)?)
        }
    };
    let told = fill(call, folder, &mut listing, question);
    *listing_of(call, handle)? = Some(listing);
    told
}

fn listing_of<'a>(call: &'a mut Call<'_>, handle: Handle) -> Result<&'a mut Option<Box<Listing>>, NtStatus> {
    match call.nt.object_mut(handle)? {
        Object::File(open) => Ok(&mut open.listing),
        _other_kinds => Err(NtStatus::OBJECT_TYPE_MISMATCH),
    }
}

/// Stores as many entries as fit. One that alone does not fit is cut, and told again by the next call.
fn fill(
    call: &mut Call<'_>,
    folder: &GuestPath,
    listing: &mut Listing,
    question: &Question,
) -> Result<(NtStatus, u64), Failure> {
    if listing.left.is_empty() {
        let fresh = std::mem::take(&mut listing.fresh);
        return Err(if fresh { NtStatus::NO_SUCH_FILE } else { NtStatus::NO_MORE_FILES }.into());
    }
    listing.fresh = false;
    let room = question.room as usize;
    let (mut bytes, mut last) = (Vec::new(), 0);
    while let Some(entry) = listing.left.last() {
        let record = entry_bytes(call, folder, entry, question.form);
        let at = bytes.len().next_multiple_of(ENTRY_ALIGNMENT);
        if at + record.len() > room {
            break;
        }
        if !bytes.is_empty() {
            bytes[last..last + 4].copy_from_slice(&((at - last) as u32).to_le_bytes());
        }
        bytes.resize(at, 0);
        bytes.extend(record);
        last = at;
        listing.left.pop();
        if question.single {
            break;
        }
    }
    let mut status = NtStatus::SUCCESS;
    if bytes.is_empty() {
        let entry = listing.left.last().expect("there was one");
        bytes = entry_bytes(call, folder, entry, question.form);
        bytes.truncate(room);
        status = NtStatus::BUFFER_OVERFLOW;
    }
    call.write(question.buffer, &bytes)?;
    Ok((status, bytes.len() as u64))
}

impl Kernel<'_> {
    /// The names of a folder that fit a pattern, the dots first; the root has no dots.
    fn list_names(&mut self, folder: &GuestPath, pattern: Option<String>) -> Result<Listing, NtStatus> {
        let mut left = self.names_in(folder)?;
        left.truncate(MAX_NAMES);
        left.retain(|entry| pattern.as_deref().is_none_or(|pattern| matches(pattern, &entry.name)));
        left.reverse();
        Ok(Listing { pattern, left, fresh: true })
    }

    /// A folder's names, the dots first; the root has no dots.
    ///
    /// # Errors
    ///
    /// The host's.
    pub(crate) fn names_in(&mut self, folder: &GuestPath) -> Result<Vec<DirectoryEntry>, NtStatus> {
        let mut entries = Vec::new();
        if folder.file_name().is_some() {
            for (dots, path) in [(".", folder.clone()), ("..", folder.parent())] {
                entries.push(DirectoryEntry { name: dots.to_owned(), info: self.host.info(&path)? });
            }
        }
        entries.extend(self.host.list(folder)?);
        Ok(entries)
    }

    /// What is known of an entry of a folder.
    pub(crate) fn facts_of_entry(&self, folder: &GuestPath, entry: &DirectoryEntry) -> Facts {
        let path = match entry.name.as_str() {
            "." => folder.clone(),
            ".." => folder.parent(),
            // A name that a guest cannot write is shown as a name in the folder, and has no notes.
            name => folder.join(name).unwrap_or_else(|_| folder.clone()),
        };
        self.facts_of(&path, &entry.info)
    }
}

/// One entry. Files have neither short names nor extended attributes.
fn entry_bytes(call: &Call<'_>, folder: &GuestPath, entry: &DirectoryEntry, form: Form) -> Vec<u8> {
    let name: Vec<u8> = entry.name.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut bytes = vec![0; 8];
    if form.class == NAMES {
        bytes.extend((name.len() as u32).to_le_bytes());
        bytes.extend(name);
        return bytes;
    }
    let facts = call.facts_of_entry(folder, entry);
    bytes.extend(facts.entry());
    bytes.extend((name.len() as u32).to_le_bytes());
    bytes.resize(form.name_at, 0);
    if let Some((at, width)) = form.id {
        bytes[at..at + width].copy_from_slice(&u128::from(facts.index).to_le_bytes()[..width]);
    }
    bytes.extend(name);
    bytes
}
