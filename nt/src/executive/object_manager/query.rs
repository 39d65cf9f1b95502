//! What a handle and its object are: `NtQueryObject`.

use super::directory::put_string;
use super::handles::HANDLE_FLAGS;
use super::kind::Kind;
use crate::claim::UserPtr;
use crate::executive::objects::Lifetime;
use crate::executive::query::device_path;
use crate::executive::{Handle, Object, ObjectId};
use crate::kernel::Kernel;
use crate::service::{Answer, Call, Failure};
use vadose_facts::ntdef::NtStatus;

/// `ObjectBasicInformation`, `ObjectNameInformation`, `ObjectTypeInformation`, `ObjectTypesInformation`.
const BASIC: u32 = 0;
const NAME: u32 = 1;
const TYPE: u32 = 2;
const TYPES: u32 = 3;
/// Bytes of `OBJECT_BASIC_INFORMATION`.
const BASIC_BYTES: u64 = 56;
/// The first type's number since Windows 7: those below mean something else.
const FIRST_TYPE_NUMBER: u8 = 2;
/// Bytes of an `OBJECT_TYPE_INFORMATION` behind its name's string.
const TYPE_REST_BYTES: u64 = 88;

/// What a `UNICODE_STRING` with a zero behind it holds: a path through several directories can be longer.
const MAX_NAME_UNITS: usize = 0x7ffe;

/// One query under way.
struct Query {
    to: UserPtr,
    bytes: u64,
    returned: UserPtr,
}

impl Query {
    /// Says how much there is or would be.
    fn tell(&self, call: &mut Call<'_>, bytes: u64) -> Result<(), Failure> {
        if !self.returned.is_null() {
            call.write_u32(self.returned, bytes as u32)?;
        }
        Ok(())
    }

    /// Says it, and whether it fits.
    fn check(&self, call: &mut Call<'_>, needed: u64) -> Result<(), Failure> {
        self.tell(call, needed)?;
        if self.bytes < needed { Err(NtStatus::INFO_LENGTH_MISMATCH.into()) } else { Ok(()) }
    }
}

/// `NtQueryObject(handle, class, *buffer, bytes, *returned)`.
pub(super) fn query(call: &mut Call<'_>) -> Answer {
    let (handle, class) = (call.handle(0), call.u32(1));
    let query = Query { to: call.ptr(2), bytes: u64::from(call.u32(3)), returned: call.ptr(4) };
    call.probe_write(query.to, query.bytes)?;
    if !query.returned.is_null() {
        call.probe_write(query.returned, 4)?;
    }
    if class == TYPES {
        return answer_types(call, &query);
    }
    let id = call.object_of(handle)?;
    let kind = Kind::of(call.nt.objects.get(id)).ok_or(NtStatus::INVALID_HANDLE)?;
    match class {
        BASIC => answer_basic(call, &query, handle, id, kind),
        NAME => answer_name(call, &query, id),
        TYPE => answer_type(call, &query, kind),
        HANDLE_FLAGS => answer_flags(call, &query, handle),
        _not_built => Err(NtStatus::INVALID_INFO_CLASS.into()),
    }
}

/// Attributes, rights, counts of handles and references, and what the other classes take. There is no pool to charge.
fn answer_basic(call: &mut Call<'_>, query: &Query, handle: Handle, id: ObjectId, kind: Kind) -> Answer {
    if query.bytes != BASIC_BYTES {
        query.tell(call, BASIC_BYTES)?;
        return Err(NtStatus::INFO_LENGTH_MISMATCH.into());
    }
    let objects = &call.nt.objects;
    let flags = call.nt.process().handles.flags_of(handle)?;
    let permanent = objects.lifetime(id) == Lifetime::Permanent;
    let attributes = u32::from(flags.protected) | u32::from(flags.inherit) << 1 | u32::from(permanent) << 4;
    let access = call.nt.handles().access(handle)? & kind.valid_access();
    let name = call.name_of_object(id);
    let string_bytes = 2 * call.pointer_bytes();
    let name_bytes = if name.is_empty() { 0 } else { string_bytes + 2 * name.len() as u64 + 2 };
    let type_bytes = string_bytes + TYPE_REST_BYTES + 2 * kind.facts().name.len() as u64 + 2;
    let (handles, references) = (objects.handles(id) as u32, objects.references(id) as u32);
    let words =
        [attributes, access, handles, references, 0, 0, 0, 0, 0, name_bytes as u32, type_bytes as u32, 0];
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    // When it was made is told of symbolic links alone in Windows, which are not timed here.
    bytes.resize(BASIC_BYTES as usize, 0);
    call.write(query.to, &bytes)?;
    query.tell(call, BASIC_BYTES)?;
    Ok(0)
}

/// A string, empty for an object without a name. A file's name that does not fit is an overflow, with room for the string.
fn answer_name(call: &mut Call<'_>, query: &Query, id: ObjectId) -> Answer {
    let (name, width) = (call.name_of_object(id), call.pointer_bytes());
    if name.len() > MAX_NAME_UNITS {
        return Err(NtStatus::NAME_TOO_LONG.into());
    }
    let string_bytes = 2 * width;
    let needed = if name.is_empty() { string_bytes } else { string_bytes + 2 * name.len() as u64 + 2 };
    let is_file = Kind::of(call.nt.objects.get(id)) == Some(Kind::File);
    if is_file && (string_bytes..needed).contains(&query.bytes) {
        query.tell(call, needed)?;
        return Err(NtStatus::BUFFER_OVERFLOW.into());
    }
    query.check(call, needed)?;
    if name.is_empty() {
        call.write(query.to, &vec![0; string_bytes as usize])?;
    } else {
        put_string(call, query.to, query.to.offset(string_bytes), &name)?;
    }
    Ok(0)
}

fn answer_type(call: &mut Call<'_>, query: &Query, kind: Kind) -> Answer {
    let needed = type_bytes(call, kind);
    query.check(call, needed)?;
    put_type(call, query.to, kind)?;
    Ok(0)
}

/// All kinds, each from a multiple of a pointer's width on, behind their number.
fn answer_types(call: &mut Call<'_>, query: &Query) -> Answer {
    let width = call.pointer_bytes();
    let sizes = Kind::ALL.map(|kind| type_bytes(call, kind).next_multiple_of(width));
    query.check(call, width + sizes.iter().sum::<u64>())?;
    call.write_word(query.to, Kind::ALL.len() as u64)?;
    let mut at = query.to.offset(width);
    for (kind, size) in Kind::ALL.into_iter().zip(sizes) {
        put_type(call, at, kind)?;
        at = at.offset(size);
    }
    Ok(0)
}

fn answer_flags(call: &mut Call<'_>, query: &Query, handle: Handle) -> Answer {
    if query.bytes != 2 {
        query.tell(call, 2)?;
        return Err(NtStatus::INFO_LENGTH_MISMATCH.into());
    }
    let flags = call.nt.process().handles.flags_of(handle)?;
    call.write(query.to, &[u8::from(flags.inherit), u8::from(flags.protected)])?;
    query.tell(call, 2)?;
    Ok(0)
}

/// Bytes of an `OBJECT_TYPE_INFORMATION` with its name.
fn type_bytes(call: &Call<'_>, kind: Kind) -> u64 {
    2 * call.pointer_bytes() + TYPE_REST_BYTES + 2 * kind.facts().name.len() as u64 + 2
}

/// Name, counts, the highest there were (no more is kept than how many there are now), mapping, rights, number. No pool is
/// charged.
fn put_type(call: &mut Call<'_>, at: UserPtr, kind: Kind) -> Result<(), Failure> {
    let facts = kind.facts();
    let (objects, handles) = call.nt.objects.census(kind);
    let (objects, handles) = (objects as u32, handles as u32);
    let header = 2 * call.pointer_bytes();
    let name: Vec<u16> = facts.name.encode_utf16().collect();
    put_string(call, at, at.offset(header + TYPE_REST_BYTES), &name)?;
    let counts = [objects, handles, 0, 0, 0, 0, objects, handles, 0, 0, 0, 0, 0];
    let words = counts.into_iter().chain(facts.mapping).chain([kind.valid_access()]);
    let mut bytes: Vec<u8> = words.flat_map(u32::to_le_bytes).collect();
    let number = Kind::ALL.iter().position(|known| *known == kind).expect("all kinds are listed") as u8;
    let number = if call.nt.edition.version.major >= 6 { FIRST_TYPE_NUMBER + number } else { 0 };
    bytes.extend([0, 0, number, 0]);
    bytes.resize(TYPE_REST_BYTES as usize, 0);
    call.write(at.offset(header), &bytes)?;
    Ok(())
}

impl Kernel<'_> {
    /// An object's whole name: its path, or that of the file it is; empty for none.
    fn name_of_object(&self, id: ObjectId) -> Vec<u16> {
        match self.nt.objects.get(id) {
            Object::File(file) => device_path(&file.path),
            Object::Key(key) => self.nt.registry.path(*key),
            Object::Console(_) => "\\Device\\ConDrv".encode_utf16().collect(),
            _named => self.nt.objects.path(id),
        }
    }
}
