//! The services that open, duplicate, adjust and compare tokens, and that let a thread act with one.

use super::{ENABLED, Level, NO_TOKEN, NOT_ALL_ASSIGNED, Token, TokenKind, TokenObject};
use crate::claim::UserPtr;
use crate::executive::attributes::ObjectAttributes;
use crate::executive::sid::Sid;
use crate::executive::{Handle, Object, ObjectId};
use crate::kernel::Kernel;
use crate::service::{Answer, Arg, Call, Export, Failure};
use vadose_facts::ntdef::{Bitness, NtStatus};

use Arg::{U32, Word};

/// Rights of a token.
const TOKEN_DUPLICATE: u32 = 0x2;
const TOKEN_IMPERSONATE: u32 = 0x4;
pub(super) const TOKEN_QUERY: u32 = 0x8;
pub(super) const TOKEN_ADJUST_PRIVILEGES: u32 = 0x20;
const TOKEN_ADJUST_GROUPS: u32 = 0x40;
const TOKEN_ALL_ACCESS: u32 = 0xf_01ff;
/// `MAXIMUM_ALLOWED`, and `GENERIC_ALL`, `_EXECUTE`, `_WRITE`, `_READ` with what they mean for a token.
const GENERIC: [(u32, u32); 5] = [
    (0x0200_0000, TOKEN_ALL_ACCESS),
    (0x1000_0000, TOKEN_ALL_ACCESS),
    (0x2000_0000, 0x2_0000),
    (0x4000_0000, 0x2_00e0),
    (0x8000_0000, 0x2_0008),
];
/// The pseudo handles of Windows 8 and later: the process's token, the thread's, and whichever the thread acts with.
const OF_PROCESS: i64 = -4;
const OF_THREAD: i64 = -5;
const EFFECTIVE: i64 = -6;
/// `THREAD_QUERY_INFORMATION`.
const THREAD_QUERY_INFORMATION: u32 = 0x40;
/// Bytes of `LUID_AND_ATTRIBUTES`.
const ENTRY_BYTES: u64 = 12;
/// Privileges that one call may name: Windows has 35.
const MAX_ENTRIES: u32 = 64;
/// `SE_PRIVILEGE_USED_FOR_ACCESS`, and `PRIVILEGE_SET_ALL_NECESSARY`.
const USED_FOR_ACCESS: u32 = 0x8000_0000;
const ALL_NECESSARY: u32 = 1;
/// `SE_GROUP_MANDATORY` and `SE_GROUP_ENABLED`.
const MANDATORY: u32 = 1;
const GROUP_ENABLED: u32 = 4;

/// The services.
pub(crate) const EXPORTS: &[Export] = &[
    Export::native("NtOpenProcessToken", &[Word, U32, Word], nt_open_process_token),
    Export::native("NtOpenProcessTokenEx", &[Word, U32, U32, Word], nt_open_process_token_ex),
    Export::native("NtOpenThreadToken", &[Word, U32, U32, Word], nt_open_thread_token),
    Export::native("NtOpenThreadTokenEx", &[Word, U32, U32, U32, Word], nt_open_thread_token_ex),
    Export::native("NtDuplicateToken", &[Word, U32, Word, U32, U32, Word], duplicate),
    Export::native("NtAdjustPrivilegesToken", &[Word, U32, Word, U32, Word, Word], nt_adjust_privileges),
    Export::native("NtAdjustGroupsToken", &[Word, U32, Word, U32, Word, Word], adjust_groups),
    Export::native("NtPrivilegeCheck", &[Word, Word, Word], privilege_check),
    Export::native("NtCompareTokens", &[Word, Word, Word], compare).since(5, 1),
    Export::native("NtImpersonateAnonymousToken", &[Word], impersonate_anonymous),
    Export::native("RtlAdjustPrivilege", &[U32, U32, U32, Word], rtl_adjust_privilege),
];

/// The token that a handle names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    OfProcess(u32),
    Own(ObjectId),
}

/// The rights that a wish means.
fn granted(wanted: u32) -> Result<u32, NtStatus> {
    let mut access = wanted;
    for (generic, meaning) in GENERIC {
        if wanted & generic != 0 {
            access = access & !generic | meaning;
        }
    }
    if access & !TOKEN_ALL_ACCESS == 0 { Ok(access) } else { Err(NtStatus::ACCESS_DENIED) }
}

/// `NtOpenProcessToken(process, access, *handle)`.
pub(crate) fn nt_open_process_token(call: &mut Call<'_>) -> Answer {
    let (process, access, to) = (call.handle(0), call.u32(1), call.ptr(2));
    call.open_process_token(process, access, 0, to)
}

/// `NtOpenProcessTokenEx(process, access, attributes, *handle)`.
fn nt_open_process_token_ex(call: &mut Call<'_>) -> Answer {
    let (process, access, attributes, to) = (call.handle(0), call.u32(1), call.u32(2), call.ptr(3));
    call.open_process_token(process, access, attributes, to)
}

/// `NtOpenThreadToken(thread, access, as the process, *handle)`.
pub(crate) fn nt_open_thread_token(call: &mut Call<'_>) -> Answer {
    let (thread, access, to) = (call.handle(0), call.u32(1), call.ptr(3));
    open_thread_token(call, thread, access, 0, to)
}

/// `NtOpenThreadTokenEx(thread, access, as the process, attributes, *handle)`.
fn nt_open_thread_token_ex(call: &mut Call<'_>) -> Answer {
    let (thread, access, attributes, to) = (call.handle(0), call.u32(1), call.u32(3), call.ptr(4));
    open_thread_token(call, thread, access, attributes, to)
}

fn open_thread_token(
    call: &mut Call<'_>,
    thread: Handle,
    wanted: u32,
    attributes: u32,
    to: UserPtr,
) -> Answer {
    let width = call.pointer_bytes();
    call.probe_write(to, width)?;
    let tid = call.thread_of(thread, THREAD_QUERY_INFORMATION)?;
    let token = call.nt.threads.get(tid).and_then(|thread| thread.impersonation).ok_or(NO_TOKEN)?;
    let access = granted(wanted)?;
    let handle = call.nt.handles_mut().refer(token, access)?;
    put_handle(call, handle, attributes, to)
}

fn put_handle(call: &mut Call<'_>, handle: Handle, attributes: u32, to: UserPtr) -> Answer {
    call.set_inherited(handle, attributes)?;
    call.write_word(to, handle.raw())?;
    Ok(0)
}

/// `NtDuplicateToken(token, access, attributes, effective only, type, *new)`.
fn duplicate(call: &mut Call<'_>) -> Answer {
    let (token, wanted, attributes_at) = (call.handle(0), call.u32(1), call.ptr(2));
    let (kind, to, width) = (call.u32(4), call.ptr(5), call.pointer_bytes());
    call.probe_write(to, width)?;
    let (attributes, level) = if attributes_at.is_null() {
        (0, Level::Anonymous)
    } else {
        let attributes = ObjectAttributes::read(call, attributes_at)?.attributes;
        (attributes, level_of(call, attributes_at.offset(5 * width))?)
    };
    let place = call.token_place(token, TOKEN_DUPLICATE)?;
    let own = call.token_at(place)?;
    let (kind, allowed) = match (kind, own.kind) {
        (1, TokenKind::Impersonation(old)) => (TokenKind::Primary, old >= Level::Impersonation),
        (1, TokenKind::Primary) => (TokenKind::Primary, true),
        (2, TokenKind::Impersonation(old)) => (TokenKind::Impersonation(level), level <= old),
        (2, TokenKind::Primary) => (TokenKind::Impersonation(level), true),
        (_, _) => return Err(NtStatus::INVALID_PARAMETER.into()),
    };
    if !allowed {
        return Err(NtStatus::BAD_IMPERSONATION_LEVEL.into());
    }
    let copy = Token { kind, ..own.clone() };
    // No wish at all means the rights of the old handle.
    let access = if wanted == 0 { call.token_access(token)? } else { granted(wanted)? };
    let id = call.nt.next_luid();
    let object = Object::Token(TokenObject::Own(Box::new(copy.numbered(id))));
    let handle = call.nt.handles_mut().insert(object, access)?;
    put_handle(call, handle, attributes, to)
}

/// The level in the `SECURITY_QUALITY_OF_SERVICE` that a pointer leads to; none is `SecurityAnonymous`.
fn level_of(call: &mut Call<'_>, at: UserPtr) -> Result<Level, Failure> {
    let quality = UserPtr::new(call.read_word(at)?);
    if quality.is_null() {
        return Ok(Level::Anonymous);
    }
    let raw = call.read_u32(quality.offset(4))?;
    Ok(Level::of(raw).ok_or(NtStatus::INVALID_PARAMETER)?)
}

/// `NtAdjustPrivilegesToken(token, disable all, *new, bytes, *previous, *needed)`. Privileges that the token lacks are
/// passed over, and the status says so.
pub(crate) fn nt_adjust_privileges(call: &mut Call<'_>) -> Answer {
    let (token, disable_all, new_at) = (call.handle(0), call.u32(1) & 0xff != 0, call.ptr(2));
    let (room, previous_at, needed_at) = (call.u32(3), call.ptr(4), call.ptr(5));
    if !disable_all && new_at.is_null() {
        return Err(NtStatus::INVALID_PARAMETER.into());
    }
    let mut wanted = if disable_all { Vec::new() } else { call.read_privileges(new_at)? };
    let query = if previous_at.is_null() { 0 } else { TOKEN_QUERY };
    let place = call.token_place(token, TOKEN_ADJUST_PRIVILEGES | query)?;
    let own = call.token_at(place)?;
    if disable_all {
        wanted = own.all_disabled();
    }
    let missing = wanted.iter().any(|(number, _)| own.state(*number).is_none());
    if !previous_at.is_null() {
        let before = own.before(&wanted);
        call.write_privileges(previous_at, room, needed_at, &before)?;
    }
    let modified = call.nt.next_luid();
    let own = call.token_at_mut(place)?;
    for (number, attributes) in wanted {
        own.adjust(number, attributes);
    }
    own.modified = modified;
    Ok(if missing { NOT_ALL_ASSIGNED } else { 0 })
}

/// `NtAdjustGroupsToken(token, to defaults, *new, bytes, *previous, *needed)`: every group of the account is mandatory and
/// stays as it is.
fn adjust_groups(call: &mut Call<'_>) -> Answer {
    let (token, to_defaults, new_at) = (call.handle(0), call.u32(1) & 0xff != 0, call.ptr(2));
    let (previous_at, needed_at) = (call.ptr(4), call.ptr(5));
    if !to_defaults && new_at.is_null() {
        return Err(NtStatus::INVALID_PARAMETER.into());
    }
    let wanted = if to_defaults { Vec::new() } else { read_groups(call, new_at)? };
    let query = if previous_at.is_null() { 0 } else { TOKEN_QUERY };
    let place = call.token_place(token, TOKEN_ADJUST_GROUPS | query)?;
    let groups = call.token_at(place)?.groups(call.nt.edition);
    let mut missing = false;
    for (sid, attributes) in &wanted {
        match groups.iter().find(|group| group.sid == *sid) {
            None => missing = true,
            Some(group) if group.attributes & MANDATORY != 0 && attributes & GROUP_ENABLED == 0 => {
                return Err(NtStatus::CANT_DISABLE_MANDATORY.into());
            }
            Some(_) => {}
        }
    }
    if !previous_at.is_null() {
        call.write_u32(previous_at, 0)?;
    }
    if !needed_at.is_null() {
        let width = call.pointer_bytes();
        call.write_u32(needed_at, width as u32)?;
    }
    Ok(if missing { NOT_ALL_ASSIGNED } else { 0 })
}

/// Reads `TOKEN_GROUPS`.
fn read_groups(call: &mut Call<'_>, at: UserPtr) -> Result<Vec<(Sid, u32)>, Failure> {
    let (count, width) = (call.read_u32(at)?, call.pointer_bytes());
    if count > MAX_ENTRIES {
        return Err(NtStatus::INVALID_PARAMETER.into());
    }
    let mut groups = Vec::new();
    for index in 0..u64::from(count) {
        let entry = at.offset(width + index * 2 * width);
        let sid_at = UserPtr::new(call.read_word(entry)?);
        let attributes = call.read_u32(entry.offset(width))?;
        groups.push((super::super::security::read_sid(call, sid_at)?, attributes));
    }
    Ok(groups)
}

/// `NtPrivilegeCheck(token, *set, *result)`: says which of the privileges are enabled.
fn privilege_check(call: &mut Call<'_>) -> Answer {
    const HEADER_BYTES: u64 = 8;
    let (token, set_at, result_at) = (call.handle(0), call.ptr(1), call.ptr(2));
    let (count, control) = (call.read_u32(set_at)?, call.read_u32(set_at.offset(4))?);
    if count > MAX_ENTRIES {
        return Err(NtStatus::INVALID_PARAMETER.into());
    }
    let bytes = HEADER_BYTES + u64::from(count) * ENTRY_BYTES;
    call.probe_write(set_at, bytes)?;
    call.probe_write(result_at, 1)?;
    let place = call.token_place(token, TOKEN_QUERY)?;
    if call.token_at(place)?.kind == TokenKind::Impersonation(Level::Anonymous) {
        return Err(NtStatus::BAD_IMPERSONATION_LEVEL.into());
    }
    let mut enabled = 0;
    for index in 0..u64::from(count) {
        let entry = set_at.offset(HEADER_BYTES + index * ENTRY_BYTES);
        let number = u32::try_from(call.read_u64(entry)?).unwrap_or(u32::MAX);
        if call.token_at(place)?.state(number) == Some(true) {
            enabled += 1;
            let attributes = call.read_u32(entry.offset(8))?;
            call.write_u32(entry.offset(8), attributes | USED_FOR_ACCESS)?;
        }
    }
    let passed = if control & ALL_NECESSARY != 0 { enabled == count } else { enabled > 0 || count == 0 };
    call.write(result_at, &[u8::from(passed)])?;
    Ok(0)
}

/// `NtCompareTokens(first, second, *equal)`: one account, so privileges decide.
fn compare(call: &mut Call<'_>) -> Answer {
    let (first, second, to) = (call.handle(0), call.handle(1), call.ptr(2));
    call.probe_write(to, 1)?;
    let [first, second] = [call.token_place(first, TOKEN_QUERY)?, call.token_place(second, TOKEN_QUERY)?];
    let (a, b) = (call.token_at(first)?, call.token_at(second)?);
    let numbers = |token: &Token| token.held.iter().map(|(privilege, _)| *privilege).collect::<Vec<_>>();
    let equal = numbers(a) == numbers(b) && a.integrity() == b.integrity();
    call.write(to, &[u8::from(equal)])?;
    Ok(0)
}

/// `NtImpersonateAnonymousToken(thread)`: there is no such account here.
fn impersonate_anonymous(call: &mut Call<'_>) -> Answer {
    const THREAD_IMPERSONATE: u32 = 0x100;
    call.thread_of(call.handle(0), THREAD_IMPERSONATE)?;
    Err(NtStatus::ACCESS_DENIED.into())
}

/// `RtlAdjustPrivilege(number, enable, of the thread, *was enabled)`.
fn rtl_adjust_privilege(call: &mut Call<'_>) -> Answer {
    let (number, enable, was_at) = (call.u32(0), call.u32(1) & 0xff != 0, call.ptr(3));
    let place = if call.u32(2) & 0xff != 0 {
        Place::Own(call.thread().impersonation.ok_or(NO_TOKEN)?)
    } else {
        Place::OfProcess(call.nt.process().pid)
    };
    let was = call.token_at(place)?.state(number).ok_or(NtStatus::PRIVILEGE_NOT_HELD)?;
    call.write(was_at, &[u8::from(was)])?;
    call.token_at_mut(place)?.adjust(number, if enable { ENABLED } else { 0 });
    Ok(0)
}

impl Kernel<'_> {
    /// Stores a handle for the process's token.
    fn open_process_token(&mut self, process: Handle, wanted: u32, attributes: u32, to: UserPtr) -> Answer {
        let width = self.pointer_bytes();
        self.probe_write(to, width)?;
        let pid = self.require_living(process, crate::executive::PROCESS_QUERY_INFORMATION)?;
        let access = granted(wanted)?;
        let handle = self.nt.handles_mut().insert(Object::Token(TokenObject::OfProcess(pid)), access)?;
        self.set_inherited(handle, attributes)?;
        self.write_word(to, handle.raw())?;
        Ok(0)
    }

    /// Has a thread act with a token, or with its process's again (`NULL`).
    ///
    /// # Errors
    ///
    /// `INVALID_HANDLE`, `OBJECT_TYPE_MISMATCH`, `ACCESS_DENIED`; `BAD_TOKEN_TYPE` for a process's token.
    pub(crate) fn set_impersonation(&mut self, tid: u32, handle: Handle) -> Result<(), NtStatus> {
        let new = if handle == Handle::NULL {
            None
        } else {
            let place = self.token_place(handle, TOKEN_IMPERSONATE)?;
            let Place::Own(id) = place else { return Err(NtStatus::BAD_TOKEN_TYPE) };
            if self.token_at(place).map_err(|_| NtStatus::INVALID_HANDLE)?.kind == TokenKind::Primary {
                return Err(NtStatus::BAD_TOKEN_TYPE);
            }
            Some(id)
        };
        if let Some(id) = new {
            self.nt.objects.hold(id);
        }
        let old = std::mem::replace(&mut self.nt.threads.known(tid).impersonation, new);
        if let Some(id) = old {
            self.release_object(id);
        }
        Ok(())
    }

    /// The pseudo handles of tokens.
    fn pseudo_token(&self, handle: Handle) -> Option<Result<Place, NtStatus>> {
        let version = self.nt.edition.version;
        if (version.major, version.minor) < (6, 2) {
            return None;
        }
        let is = |number: i64| handle == Handle::from_guest(number.cast_unsigned(), Bitness::Bits64);
        let own = self.nt.threads.current().and_then(|thread| thread.impersonation).map(Place::Own);
        let process = Place::OfProcess(self.nt.process().pid);
        if is(OF_PROCESS) {
            Some(Ok(process))
        } else if is(OF_THREAD) {
            Some(own.ok_or(NO_TOKEN))
        } else if is(EFFECTIVE) {
            Some(Ok(own.unwrap_or(process)))
        } else {
            None
        }
    }

    /// The token that a handle with the right names. Pseudo handles may ask, and no more.
    ///
    /// # Errors
    ///
    /// `INVALID_HANDLE`, `OBJECT_TYPE_MISMATCH`, `ACCESS_DENIED`; `NO_TOKEN` for a thread that has none.
    pub(super) fn token_place(&self, handle: Handle, right: u32) -> Result<Place, NtStatus> {
        const PSEUDO_RIGHTS: u32 = 0x18;
        if let Some(place) = self.pseudo_token(handle) {
            return if right & !PSEUDO_RIGHTS == 0 { place } else { Err(NtStatus::ACCESS_DENIED) };
        }
        let handles = self.nt.handles();
        let id = handles.object_id(handle)?;
        let Object::Token(token) = self.nt.objects.get(id) else {
            return Err(NtStatus::OBJECT_TYPE_MISMATCH);
        };
        if handles.access(handle)? & right != right {
            return Err(NtStatus::ACCESS_DENIED);
        }
        Ok(match token {
            TokenObject::OfProcess(pid) => Place::OfProcess(*pid),
            TokenObject::Own(_) => Place::Own(id),
        })
    }

    fn token_access(&self, handle: Handle) -> Result<u32, NtStatus> {
        if self.pseudo_token(handle).is_some() { Ok(TOKEN_QUERY) } else { self.nt.handles().access(handle) }
    }

    /// A token by its place.
    ///
    /// # Errors
    ///
    /// `STATUS_INVALID_HANDLE` if its process is gone: a token that outlives its process says nothing here.
    pub(super) fn token_at(&self, place: Place) -> Result<&Token, NtStatus> {
        match place {
            Place::OfProcess(pid) => Ok(&self.nt.process_by_id(pid).ok_or(NtStatus::INVALID_HANDLE)?.token),
            Place::Own(id) => match self.nt.objects.get(id) {
                Object::Token(TokenObject::Own(token)) => Ok(token),
                _no_token => Err(NtStatus::INVALID_HANDLE),
            },
        }
    }

    /// The same, to change it.
    ///
    /// # Errors
    ///
    /// As [`token_at`](Self::token_at).
    pub(super) fn token_at_mut(&mut self, place: Place) -> Result<&mut Token, NtStatus> {
        match place {
            Place::OfProcess(pid) => {
                Ok(&mut self.nt.process_by_id_mut(pid).ok_or(NtStatus::INVALID_HANDLE)?.token)
            }
            Place::Own(id) => match self.nt.objects.get_mut(id) {
                Object::Token(TokenObject::Own(token)) => Ok(token),
                _no_token => Err(NtStatus::INVALID_HANDLE),
            },
        }
    }

    /// The token of a handle that may be asked, if a thread can act with it: what `NtAccessCheck` wants.
    ///
    /// # Errors
    ///
    /// As for other questions; `NO_IMPERSONATION_TOKEN`, `BAD_IMPERSONATION_LEVEL`.
    pub(crate) fn client_token(&self, handle: Handle) -> Result<&Token, NtStatus> {
        let token = self.token_at(self.token_place(handle, TOKEN_QUERY)?)?;
        match token.kind {
            TokenKind::Primary => Err(NtStatus::NO_IMPERSONATION_TOKEN),
            TokenKind::Impersonation(Level::Anonymous) => Err(NtStatus::BAD_IMPERSONATION_LEVEL),
            TokenKind::Impersonation(_) => Ok(token),
        }
    }

    /// Reads `TOKEN_PRIVILEGES`: numbers and attributes. A number of more than 32 bits names nothing.
    fn read_privileges(&mut self, at: UserPtr) -> Result<Vec<(u32, u32)>, Failure> {
        let count = self.read_u32(at)?;
        if count > MAX_ENTRIES {
            return Err(NtStatus::INVALID_PARAMETER.into());
        }
        let mut entries = Vec::new();
        for index in 0..u64::from(count) {
            let entry = at.offset(4 + index * ENTRY_BYTES);
            let number = u32::try_from(self.read_u64(entry)?).unwrap_or(u32::MAX);
            entries.push((number, self.read_u32(entry.offset(8))?));
        }
        Ok(entries)
    }

    /// Writes `TOKEN_PRIVILEGES` if there is room for it, and how much it takes in any case.
    pub(super) fn write_privileges(
        &mut self,
        at: UserPtr,
        room: u32,
        needed_at: UserPtr,
        entries: &[(u32, u32)],
    ) -> Result<(), Failure> {
        let mut bytes = (entries.len() as u32).to_le_bytes().to_vec();
        for (number, attributes) in entries {
            bytes.extend(u64::from(*number).to_le_bytes());
            bytes.extend(attributes.to_le_bytes());
        }
        self.write_u32(needed_at, bytes.len() as u32)?;
        if (room as usize) < bytes.len() {
            return Err(NtStatus::BUFFER_TOO_SMALL.into());
        }
        Ok(self.write(at, &bytes)?)
    }
}
