//! Security descriptors: what they say, and whom they let do what.
//!
//! Objects keep the descriptor that a program sets, and tell it; what a handle allows was decided when it was opened, and
//! here the one account may open what it names.

use super::record::Record;
use super::sid::Sid;
use super::token::Token;
use crate::claim::UserPtr;
use crate::executive::Handle;
use crate::service::{Answer, Arg, Call, Export, Failure};
use vadose_facts::ntdef::{Edition, NtStatus};

use Arg::{U32, Word};

/// Rights that every object has.
const READ_CONTROL: u32 = 0x2_0000;
const WRITE_DAC: u32 = 0x4_0000;
const WRITE_OWNER: u32 = 0x8_0000;
const ACCESS_SYSTEM_SECURITY: u32 = 0x0100_0000;
const MAXIMUM_ALLOWED: u32 = 0x0200_0000;
/// The generic rights.
const GENERIC: u32 = 0xf000_0000;
/// `SE_DACL_PRESENT`, `SE_SELF_RELATIVE`.
const DACL_PRESENT: u16 = 0x4;
const SELF_RELATIVE: u16 = 0x8000;
/// `OWNER_`, `GROUP_`, `DACL_`, `SACL_` and `LABEL_SECURITY_INFORMATION`.
const OWNER: u32 = 0x1;
const GROUP: u32 = 0x2;
const DACL: u32 = 0x4;
const SACL: u32 = 0x8;
/// `ACCESS_ALLOWED_ACE_TYPE`, `ACCESS_DENIED_ACE_TYPE`, and `INHERIT_ONLY_ACE`.
const ALLOWED: u8 = 0;
const DENIED: u8 = 1;
const INHERIT_ONLY: u8 = 0x8;
/// Bytes of an `ACL` before its entries, and of an entry before its identifier.
const ACL_BYTES: usize = 8;
const ACE_BYTES: usize = 8;
/// Bytes of a self-relative descriptor before its parts.
const RELATIVE_BYTES: u64 = 20;
/// Bytes of the longest `SID`.
const MAX_SID_BYTES: u64 = 68;

/// The services.
pub(crate) const EXPORTS: &[Export] = &[
    Export::native("NtAccessCheck", &[Word, Word, U32, Word, Word, Word, Word, Word], access_check),
    Export::native("NtQuerySecurityObject", &[Word, U32, Word, U32, Word], query),
    Export::native("NtSetSecurityObject", &[Word, U32, Word], set),
];

/// What a descriptor says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Descriptor {
    owner: Option<Sid>,
    group: Option<Sid>,
    /// `None` lets everybody do everything.
    dacl: Option<Vec<u8>>,
}

/// An `ACL` that lets these do that.
pub(crate) fn allowing(entries: &[(u32, Sid)]) -> Vec<u8> {
    let mut list = Vec::new();
    for (mask, sid) in entries {
        let sid = sid.to_bytes();
        list.extend([ALLOWED, 0]);
        list.extend(((ACE_BYTES + sid.len()) as u16).to_le_bytes());
        list.extend(mask.to_le_bytes());
        list.extend(sid);
    }
    let bytes = ((ACL_BYTES + list.len()) as u16).to_le_bytes();
    let count = (entries.len() as u16).to_le_bytes();
    [&[2, 0][..], &bytes, &count, &[0, 0], &list].concat()
}

/// An entry of an `ACL`: what it does, for whom, with which rights.
struct Entry {
    kind: u8,
    flags: u8,
    mask: u32,
    sid: Option<Sid>,
}

/// The entries of a list, `None` if it is broken.
fn entries(list: &[u8]) -> Option<Vec<Entry>> {
    let u16_at = |at: usize| Some(u16::from_le_bytes([*list.get(at)?, *list.get(at + 1)?]));
    let revision = *list.first()?;
    if !(2..=4).contains(&revision) || usize::from(u16_at(2)?) > list.len() {
        return None;
    }
    let mut at = ACL_BYTES;
    let mut all = Vec::new();
    for _ in 0..u16_at(4)? {
        let bytes = usize::from(u16_at(at + 2)?);
        let entry = list.get(at..at.checked_add(bytes)?)?;
        let mask = entry.get(4..8)?;
        let mask = u32::from_le_bytes([mask[0], mask[1], mask[2], mask[3]]);
        all.push(Entry { kind: entry[0], flags: entry[1], mask, sid: Sid::parse(&entry[ACE_BYTES..]) });
        at += bytes;
    }
    Some(all)
}

/// Whether bytes are an `ACL`.
pub(crate) fn is_acl(list: &[u8]) -> bool {
    entries(list).is_some()
}

/// What a right means for an object: `GENERIC_MAPPING`, read, write, execute, all.
type Mapping = [u32; 4];

fn map(mask: u32, mapping: Mapping) -> u32 {
    let [read, write, execute, all] = mapping;
    let meanings = [(0x8000_0000, read), (0x4000_0000, write), (0x2000_0000, execute), (0x1000_0000, all)];
    let meant = meanings.iter().filter(|(generic, _)| mask & generic != 0);
    meant.fold(mask & !GENERIC, |mask, (_, meaning)| mask | meaning)
}

impl Descriptor {
    /// What a token's bearer is granted of the wanted rights: all of them, or why not. `MAXIMUM_ALLOWED` asks for as much
    /// as there is.
    ///
    /// # Errors
    ///
    /// `ACCESS_DENIED`.
    fn granted(
        &self,
        token: &Token,
        wanted: u32,
        mapping: Mapping,
        edition: &Edition,
    ) -> Result<u32, NtStatus> {
        let Some(list) = &self.dacl else {
            let all = if wanted & MAXIMUM_ALLOWED == 0 { 0 } else { mapping[3] };
            return Ok(wanted & !MAXIMUM_ALLOWED | all);
        };
        let owns = self.owner.as_ref().is_some_and(|owner| token.has(owner, edition));
        let mut allowed = if owns { READ_CONTROL | WRITE_DAC } else { 0 };
        let mut denied = 0;
        for entry in entries(list).unwrap_or_default() {
            let meant = entry.sid.as_ref().is_some_and(|sid| token.has(sid, edition));
            if !meant || entry.flags & INHERIT_ONLY != 0 {
                continue;
            }
            let mask = map(entry.mask, mapping);
            match entry.kind {
                ALLOWED => allowed |= mask & !denied,
                DENIED => denied |= mask & !allowed,
                _audit_and_others => {}
            }
        }
        let named = wanted & !MAXIMUM_ALLOWED;
        if named & !allowed != 0 || wanted & MAXIMUM_ALLOWED != 0 && allowed == 0 {
            return Err(NtStatus::ACCESS_DENIED);
        }
        Ok(if wanted & MAXIMUM_ALLOWED == 0 { named } else { allowed })
    }

    /// The self-relative form of those parts that are asked for.
    fn to_bytes(&self, parts: u32, edition: &Edition) -> Vec<u8> {
        let part = |bit: u32, bytes: Option<Vec<u8>>| if parts & bit == 0 { None } else { bytes };
        let owner = part(OWNER, self.owner.as_ref().map(Sid::to_bytes));
        let group = part(GROUP, self.group.as_ref().map(Sid::to_bytes));
        let dacl = part(DACL, self.dacl.clone());
        let mut at = RELATIVE_BYTES as u32;
        let mut place = |bytes: &Option<Vec<u8>>| {
            let here = if bytes.is_some() { at } else { 0 };
            at += bytes.as_ref().map_or(0, |bytes| bytes.len().next_multiple_of(4) as u32);
            here
        };
        let offsets = [place(&owner), place(&group), 0, place(&dacl)];
        let control = SELF_RELATIVE | if parts & DACL == 0 { 0 } else { DACL_PRESENT };
        let record = Record::new(edition).u8(1).u8(0).u16(control);
        let record = offsets.into_iter().fold(record, Record::u32);
        [owner, group, dacl]
            .iter()
            .flatten()
            .fold(record, |record, bytes| record.raw(bytes).aligned(4))
            .open_end()
    }

    /// Takes over the parts of another one.
    fn set(&mut self, parts: u32, new: Self) {
        if parts & OWNER != 0 {
            self.owner = new.owner;
        }
        if parts & GROUP != 0 {
            self.group = new.group;
        }
        if parts & DACL != 0 {
            self.dacl = new.dacl;
        }
    }
}

/// Reads a `SID`.
///
/// # Errors
///
/// A bad pointer; `INVALID_SID`.
pub(crate) fn read_sid(call: &mut Call<'_>, at: UserPtr) -> Result<Sid, Failure> {
    let count = call.read_number(at.offset(1), 1)?;
    let bytes = call.read_vec(at, (8 + 4 * count).min(MAX_SID_BYTES))?;
    Ok(Sid::parse(&bytes).ok_or(NtStatus::INVALID_SID)?)
}

/// Reads a `SECURITY_DESCRIPTOR` in either form.
///
/// # Errors
///
/// A bad pointer; `UNKNOWN_REVISION`, `INVALID_SID`, `INVALID_ACL`.
fn read_descriptor(call: &mut Call<'_>, at: UserPtr) -> Result<Descriptor, Failure> {
    if call.read_number(at, 1)? != 1 {
        return Err(NtStatus::UNKNOWN_REVISION.into());
    }
    let control = call.read_u16(at.offset(2))?;
    let width = call.pointer_bytes();
    let mut places = [UserPtr::new(0); 4];
    for (index, place) in (0..).zip(&mut places) {
        *place = if control & SELF_RELATIVE != 0 {
            match call.read_u32(at.offset(4 + 4 * index))? {
                0 => UserPtr::new(0),
                offset => at.offset(u64::from(offset)),
            }
        } else {
            UserPtr::new(call.read_word(at.offset(4_u64.next_multiple_of(width) + width * index))?)
        };
    }
    let [owner, group, _, dacl] = places;
    let mut sid = |at: UserPtr| if at.is_null() { Ok(None) } else { read_sid(call, at).map(Some) };
    let (owner, group) = (sid(owner)?, sid(group)?);
    let dacl = if control & DACL_PRESENT == 0 || dacl.is_null() {
        None
    } else {
        let bytes = call.read_u16(dacl.offset(2))?;
        let list = call.read_vec(dacl, u64::from(bytes))?;
        if !is_acl(&list) {
            return Err(NtStatus::INVALID_ACL.into());
        }
        Some(list)
    };
    Ok(Descriptor { owner, group, dacl })
}

/// `NtAccessCheck(*descriptor, client token, wanted, *mapping, *privileges, *their bytes, *granted, *status)`.
fn access_check(call: &mut Call<'_>) -> Answer {
    const PRIVILEGE_SET_BYTES: u32 = 20;
    let (descriptor_at, token, wanted, mapping_at) = (call.ptr(0), call.handle(1), call.u32(2), call.ptr(3));
    let (set_at, set_bytes_at, granted_at, status_at) = (call.ptr(4), call.ptr(5), call.ptr(6), call.ptr(7));
    call.probe_write(granted_at, 4)?;
    call.probe_write(status_at, 4)?;
    let room = call.read_u32(set_bytes_at)?;
    let mut mapping: Mapping = [0; 4];
    for (index, meaning) in (0..).zip(&mut mapping) {
        *meaning = call.read_u32(mapping_at.offset(4 * index))?;
    }
    if wanted & GENERIC != 0 {
        return Err(NtStatus::GENERIC_NOT_MAPPED.into());
    }
    call.client_token(token)?;
    if room < PRIVILEGE_SET_BYTES {
        call.write_u32(set_bytes_at, PRIVILEGE_SET_BYTES)?;
        return Err(NtStatus::BUFFER_TOO_SMALL.into());
    }
    let descriptor = read_descriptor(call, descriptor_at)?;
    if descriptor.owner.is_none() || descriptor.group.is_none() {
        return Err(NtStatus::INVALID_SECURITY_DESCR.into());
    }
    // No privilege was used.
    call.write(set_at, &[0; 8])?;
    let edition = call.nt.edition;
    let needs_privilege = wanted & ACCESS_SYSTEM_SECURITY != 0;
    let granted = descriptor.granted(call.client_token(token)?, wanted, mapping, edition);
    let (mask, status) = match granted {
        _ if needs_privilege => (0, NtStatus::PRIVILEGE_NOT_HELD),
        Ok(mask) => (mask, NtStatus::SUCCESS),
        Err(status) => (0, status),
    };
    call.write_u32(granted_at, mask)?;
    call.write_u32(status_at, status.raw())?;
    Ok(0)
}

/// The right that a look at those parts of a descriptor takes.
fn right_to_read(parts: u32) -> u32 {
    let rest = if parts & !SACL == 0 { 0 } else { READ_CONTROL };
    rest | if parts & SACL == 0 { 0 } else { ACCESS_SYSTEM_SECURITY }
}

fn right_to_write(parts: u32) -> u32 {
    let owner = if parts & (OWNER | GROUP) == 0 { 0 } else { WRITE_OWNER };
    let dacl = if parts & DACL == 0 { 0 } else { WRITE_DAC };
    owner | dacl | if parts & SACL == 0 { 0 } else { ACCESS_SYSTEM_SECURITY }
}

fn require(call: &Call<'_>, handle: Handle, right: u32) -> Result<super::ObjectId, NtStatus> {
    let handles = call.nt.handles();
    let id = handles.object_id(handle)?;
    if handles.access(handle)? & right == right { Ok(id) } else { Err(NtStatus::ACCESS_DENIED) }
}

/// `NtQuerySecurityObject(object, parts, *descriptor, bytes, *needed)`: an object that nobody set one for has what its
/// process's token says of new objects.
fn query(call: &mut Call<'_>) -> Answer {
    let (handle, parts, to) = (call.handle(0), call.u32(1), call.ptr(2));
    let (room, needed_at) = (call.u32(3), call.ptr(4));
    call.probe_write(needed_at, 4)?;
    call.probe_write(to, u64::from(room))?;
    let id = require(call, handle, right_to_read(parts))?;
    let descriptor = call.nt.objects.descriptor(id).cloned().unwrap_or_else(|| {
        let token = &call.nt.process().token;
        let (owner, group) = (Some(token.owner()), Some(token.primary_group()));
        Descriptor { owner, group, dacl: Some(token.default_dacl()) }
    });
    let bytes = descriptor.to_bytes(parts, call.nt.edition);
    call.write_u32(needed_at, bytes.len() as u32)?;
    if (room as usize) < bytes.len() {
        return Err(NtStatus::BUFFER_TOO_SMALL.into());
    }
    call.write(to, &bytes)?;
    Ok(0)
}

/// `NtSetSecurityObject(object, parts, *descriptor)`.
fn set(call: &mut Call<'_>) -> Answer {
    let (handle, parts, from) = (call.handle(0), call.u32(1), call.ptr(2));
    if from.is_null() {
        return Err(NtStatus::ACCESS_VIOLATION.into());
    }
    let new = read_descriptor(call, from)?;
    let missing = parts & OWNER != 0 && new.owner.is_none() || parts & GROUP != 0 && new.group.is_none();
    if missing {
        return Err(NtStatus::INVALID_SECURITY_DESCR.into());
    }
    let id = require(call, handle, right_to_write(parts))?;
    let token = &call.nt.process().token;
    if parts & OWNER != 0 && new.owner != Some(Sid::user()) {
        return Err(NtStatus::INVALID_OWNER.into());
    }
    let default = Descriptor {
        owner: Some(token.owner()),
        group: Some(token.primary_group()),
        dacl: Some(token.default_dacl()),
    };
    let mut descriptor = call.nt.objects.descriptor(id).cloned().unwrap_or(default);
    descriptor.set(parts, new);
    call.nt.objects.set_descriptor(id, descriptor);
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vadose_facts::ntdef::edition;

    #[test]
    fn an_access_list_is_read_back_and_a_broken_one_is_none() {
        let list = allowing(&[(0x1f, Sid::user()), (0x1, Sid::everyone())]);
        let read = entries(&list).expect("a list");
        assert_eq!((read.len(), read[1].mask), (2, 1));
        assert_eq!(read[0].sid, Some(Sid::user()));
        for broken in [&list[..list.len() - 1], &[], &[9; 8], &[2, 0, 8, 0, 1, 0, 0, 0]] {
            assert!(!is_acl(broken), "{broken:?}");
        }
    }

    #[test]
    fn entries_count_in_their_order_and_the_owner_may_always_change_them() {
        let edition = edition("win10-x64").expect("an edition");
        let token = Token::of_user(edition, &[]);
        let mapping = [0x1, 0x2, 0x4, 0x7];
        let mut list = allowing(&[(0x2, Sid::everyone()), (0x8000_0000, Sid::user())]);
        let stranger = Sid::new(5, &[21, 9, 9, 9, 500]);
        let of = |owner: Sid, dacl| Descriptor { owner: Some(owner), group: None, dacl };
        let granted = |list: &[u8], owner: Sid, wanted| {
            of(owner, Some(list.to_vec())).granted(&token, wanted, mapping, edition)
        };
        assert_eq!(granted(&list, stranger.clone(), 0x3), Ok(0x3));
        assert_eq!(granted(&list, stranger.clone(), 0x4), Err(NtStatus::ACCESS_DENIED));
        assert_eq!(granted(&list, stranger.clone(), MAXIMUM_ALLOWED), Ok(0x3));
        assert_eq!(granted(&list, Sid::user(), WRITE_DAC), Ok(WRITE_DAC));
        list[ACL_BYTES] = DENIED;
        assert_eq!(granted(&list, stranger.clone(), 0x2), Err(NtStatus::ACCESS_DENIED));
        assert_eq!(of(stranger, None).granted(&token, 0x7, mapping, edition), Ok(0x7));
    }
}
