//! What is told of a token and what can be set, by class.

use super::services::{Place, TOKEN_QUERY};
use super::{Group, INTEGRITY_GROUP, Level, Token, TokenKind};
use crate::claim::UserPtr;
use crate::executive::record::Record;
use crate::executive::security::{is_acl, read_sid};
use crate::executive::sid::Sid;
use crate::service::{Answer, Arg, Call, Export, Failure};
use vadose_facts::ntdef::{Edition, NtStatus};

use Arg::{U32, Word};

/// `TOKEN_ADJUST_DEFAULT`.
const TOKEN_ADJUST_DEFAULT: u32 = 0x80;
/// `TokenPrivileges`.
const PRIVILEGES: u32 = 3;
/// `TokenSessionId`: the one class whose buffer has exactly its length.
const SESSION_ID: u32 = 12;
/// Longest list of access entries, as in Windows.
const MAX_ACL_BYTES: u32 = 0xffff;

/// The services.
pub(crate) const EXPORTS: &[Export] = &[
    Export::native("NtQueryInformationToken", &[Word, U32, Word, U32, Word], nt_query_token),
    Export::native("NtSetInformationToken", &[Word, U32, Word, U32], set),
];

/// `NtQueryInformationToken(token, class, *buffer, bytes, *needed)`.
pub(crate) fn nt_query_token(call: &mut Call<'_>) -> Answer {
    let (handle, class, to) = (call.handle(0), call.u32(1), call.ptr(2));
    let (room, needed_at) = (call.u32(3), call.ptr(4));
    if !is_known(class, call.nt.edition) {
        return Err(NtStatus::INVALID_INFO_CLASS.into());
    }
    let place = call.token_place(handle, TOKEN_QUERY)?;
    if class == PRIVILEGES {
        let all = call.token_at(place)?.privileges();
        call.write_privileges(to, room, needed_at, &all)?;
        return Ok(0);
    }
    let bytes = answer(call, place, class, to)?;
    if !needed_at.is_null() {
        call.write_u32(needed_at, bytes.len() as u32)?;
    }
    if class == SESSION_ID && room as usize != bytes.len() {
        return Err(NtStatus::INFO_LENGTH_MISMATCH.into());
    }
    if (room as usize) < bytes.len() {
        return Err(NtStatus::BUFFER_TOO_SMALL.into());
    }
    call.write(to, &bytes)?;
    Ok(0)
}

/// Whether an edition has the class and it is answered here.
fn is_known(class: u32, edition: &Edition) -> bool {
    let version = (edition.version.major, edition.version.minor);
    match class {
        1..=12 | 15 | 17 => true,
        18..=21 | 23..=28 => version >= (6, 0),
        29..=32 | 40..=42 => version >= (6, 2),
        _ => false,
    }
}

fn answer(call: &Call<'_>, place: Place, class: u32, to: UserPtr) -> Result<Vec<u8>, Failure> {
    let (token, edition) = (call.token_at(place)?, call.nt.edition);
    let groups = |groups: &[Group]| counted_groups(edition, to, groups);
    let one = |sid: Sid| pointed(edition, to, &sid.to_bytes());
    let number = |value: u32| value.to_le_bytes().to_vec();
    Ok(match class {
        1 => attributed(edition, to, &Sid::user(), 0),
        2 => groups(&token.groups(edition)),
        4 => one(token.owner()),
        5 => one(token.primary_group()),
        6 => pointed(edition, to, &token.default_dacl()),
        // What made it, and a number of it.
        7 => Record::new(edition).raw(b"User32 \0").u32(super::LOGON).u32(0).finish(),
        8 => number(if token.kind == TokenKind::Primary { 1 } else { 2 }),
        9 => match token.kind {
            TokenKind::Primary => return Err(NtStatus::INVALID_INFO_CLASS.into()),
            TokenKind::Impersonation(level) => number(level as u32),
        },
        10 => statistics(edition, token),
        11 | 30 => groups(&[]),
        SESSION_ID => number(crate::executive::SESSION),
        // Whose logon it comes from: the system's.
        17 => Record::new(edition).u32(0x3e7).u32(0).finish(),
        // An account that has no other token to be elevated to.
        18 => number(1),
        19 => return Err(NtStatus::NO_SUCH_LOGON_SESSION.into()),
        25 => attributed(edition, to, &token.integrity(), INTEGRITY_GROUP),
        // `TOKEN_MANDATORY_POLICY_NO_WRITE_UP`.
        27 => number(1),
        28 => groups(&[Group { sid: Token::logon(), attributes: super::LOGON_GROUP }]),
        31 | 41 => Record::new(edition).word(0).finish(),
        // Not elevated, not restricted, not virtualised, in no container.
        _ => number(0),
    })
}

/// A pointer and what it points to, right behind it.
fn pointed(edition: &Edition, to: UserPtr, bytes: &[u8]) -> Vec<u8> {
    let behind = to.offset(edition.pointer_bytes());
    Record::new(edition).word(behind.raw()).raw(bytes).open_end()
}

/// A `SID_AND_ATTRIBUTES` with its identifier behind it.
fn attributed(edition: &Edition, to: UserPtr, sid: &Sid, attributes: u32) -> Vec<u8> {
    let width = edition.pointer_bytes();
    let record = Record::new(edition).word(to.offset(2 * width).raw()).u32(attributes);
    record.aligned(width as usize).raw(&sid.to_bytes()).open_end()
}

/// `TOKEN_GROUPS`: how many, the entries, and their identifiers.
fn counted_groups(edition: &Edition, to: UserPtr, groups: &[Group]) -> Vec<u8> {
    let width = edition.pointer_bytes();
    let mut record = Record::new(edition).u32(groups.len() as u32).aligned(width as usize);
    let mut at = to.offset(width + groups.len() as u64 * 2 * width);
    for group in groups {
        record = record.word(at.raw()).u32(group.attributes).aligned(width as usize);
        at = at.offset(group.sid.to_bytes().len() as u64);
    }
    groups.iter().fold(record, |record, group| record.raw(&group.sid.to_bytes())).open_end()
}

/// `TOKEN_STATISTICS`.
fn statistics(edition: &Edition, token: &Token) -> Vec<u8> {
    let (kind, level) = match token.kind {
        TokenKind::Primary => (1, Level::Anonymous),
        TokenKind::Impersonation(level) => (2, level),
    };
    // Identifiers have the alignment of their halves; the time between them is on a multiple of eight.
    let record = Record::new(edition).u64(token.id).u64(u64::from(super::LOGON));
    let record = record.u64(i64::MAX.cast_unsigned()).u32(kind).u32(level as u32);
    let (groups, privileges) = (token.groups(edition).len() as u32, token.held.len() as u32);
    let record = record.u32(0x1000).u32(0).u32(groups).u32(privileges);
    record.u32(token.modified as u32).u32((token.modified >> 32) as u32).finish()
}

/// `NtSetInformationToken(token, class, *buffer, bytes)`.
fn set(call: &mut Call<'_>) -> Answer {
    let (handle, class, from, bytes) = (call.handle(0), call.u32(1), call.ptr(2), call.u32(3));
    if !is_known(class, call.nt.edition) {
        return Err(NtStatus::INVALID_INFO_CLASS.into());
    }
    let least = call.pointer_bytes() as u32;
    if bytes < if matches!(class, 4 | 5 | 6 | 25) { least } else { 4 } {
        return Err(NtStatus::INFO_LENGTH_MISMATCH.into());
    }
    match class {
        4 | 5 | 6 | 25 => {
            let at = UserPtr::new(call.read_word(from)?);
            let place = call.token_place(handle, TOKEN_ADJUST_DEFAULT)?;
            set_pointed(call, place, class, at)
        }
        // The rest is decided at the logon.
        SESSION_ID | 17 | 19 | 23 | 24 | 26 | 27 => Err(NtStatus::PRIVILEGE_NOT_HELD.into()),
        _ => Err(NtStatus::INVALID_INFO_CLASS.into()),
    }
}

/// Sets the owner, the group or the access list of new objects, or lowers the integrity level.
fn set_pointed(call: &mut Call<'_>, place: Place, class: u32, at: UserPtr) -> Answer {
    let edition = call.nt.edition;
    if class == 6 {
        let list = if at.is_null() { None } else { Some(read_acl(call, at)?) };
        call.token_at_mut(place)?.default_dacl = list;
        return Ok(0);
    }
    let sid = read_sid(call, at)?;
    let token = call.token_at_mut(place)?;
    match class {
        4 if sid == Sid::user() => token.owner = Some(sid),
        4 => return Err(NtStatus::INVALID_OWNER.into()),
        5 if token.has(&sid, edition) => token.primary_group = Some(sid),
        5 => return Err(NtStatus::INVALID_PRIMARY_GROUP.into()),
        _ => match sid.parts() {
            [level] if sid.authority() == 16 && *level <= token.integrity().parts()[0] => {
                token.integrity = Some(*level);
            }
            [_] if sid.authority() == 16 => return Err(NtStatus::PRIVILEGE_NOT_HELD.into()),
            _no_level => return Err(NtStatus::INVALID_PARAMETER.into()),
        },
    }
    Ok(0)
}

/// Reads an `ACL`, which says how long it is.
fn read_acl(call: &mut Call<'_>, at: UserPtr) -> Result<Vec<u8>, Failure> {
    let bytes = u32::from(call.read_u16(at.offset(2))?).min(MAX_ACL_BYTES);
    let list = call.read_vec(at, u64::from(bytes))?;
    if is_acl(&list) { Ok(list) } else { Err(NtStatus::INVALID_ACL.into()) }
}
