//! The process's token, as far as memory needs it: the privileges that it holds and has enabled, and the services that
//! enable them. Threads impersonate nobody: they have no tokens of their own.

use super::handle::Handle;
use super::objects::Object;
use crate::claim::UserPtr;
use crate::kernel::{Kernel, Nt};
use crate::service::{Answer, Arg, Call, Export, Failure};
use vadose_facts::ntdef::{Edition, NtStatus};
use vadose_mm::LockMemory;

use Arg::{U32, Word};

/// `TOKEN_QUERY`.
const TOKEN_QUERY: u32 = 0x8;
/// `TOKEN_ADJUST_PRIVILEGES`.
const TOKEN_ADJUST_PRIVILEGES: u32 = 0x20;
/// `TOKEN_ALL_ACCESS`.
const TOKEN_ALL_ACCESS: u32 = 0xf_01ff;
/// `MAXIMUM_ALLOWED`, and `GENERIC_ALL`, `_EXECUTE`, `_WRITE`, `_READ` with what they mean for a token.
const GENERIC: [(u32, u32); 5] = [
    (0x0200_0000, TOKEN_ALL_ACCESS),
    (0x1000_0000, TOKEN_ALL_ACCESS),
    (0x2000_0000, 0x2_0000),
    (0x4000_0000, 0x2_00e0),
    (0x8000_0000, 0x2_0008),
];
/// `SE_PRIVILEGE_ENABLED_BY_DEFAULT`.
const ENABLED_BY_DEFAULT: u32 = 1;
/// `SE_PRIVILEGE_ENABLED`.
const ENABLED: u32 = 2;
/// `SE_PRIVILEGE_REMOVED`.
const REMOVED: u32 = 4;
/// Bytes of `LUID_AND_ATTRIBUTES`.
const ENTRY_BYTES: u64 = 12;
/// Privileges that one call may name: Windows has 35.
const MAX_ENTRIES: u32 = 64;
/// `TokenPrivileges`, a class of `NtQueryInformationToken`.
const TOKEN_PRIVILEGES: u32 = 3;
/// `STATUS_NO_TOKEN`: a thread that impersonates nobody.
pub(crate) const NO_TOKEN: NtStatus = NtStatus::new(0xc000_007c);
/// `STATUS_NOT_ALL_ASSIGNED`, a success.
pub(crate) const NOT_ALL_ASSIGNED: u64 = 0x106;

/// A privilege, by the number that Windows gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u32)]
pub enum Privilege {
    /// `SeLockMemoryPrivilege`: physical pages, large pages, locks in memory (SPEC A14, J9, J38).
    LockMemory = 4,
    /// `SeShutdownPrivilege`.
    Shutdown = 19,
    /// `SeChangeNotifyPrivilege`.
    ChangeNotify = 23,
    /// `SeUndockPrivilege`.
    Undock = 25,
    /// `SeIncreaseWorkingSetPrivilege`.
    IncreaseWorkingSet = 33,
    /// `SeTimeZonePrivilege`.
    TimeZone = 34,
}

/// What a process may do beyond what its handles allow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Token {
    /// Privileges held, each with whether it is enabled, in the order of their numbers.
    held: Vec<(Privilege, bool)>,
}

/// The services of tokens.
pub(crate) const EXPORTS: &[Export] = &[
    Export::native("NtOpenProcessToken", &[Word, U32, Word], nt_open_process_token),
    Export::native("NtOpenProcessTokenEx", &[Word, U32, U32, Word], nt_open_process_token_ex),
    Export::native("NtOpenThreadToken", &[Word, U32, U32, Word], nt_open_thread_token),
    Export::native("NtAdjustPrivilegesToken", &[Word, U32, Word, U32, Word, Word], nt_adjust_privileges),
    Export::native("NtQueryInformationToken", &[Word, U32, Word, U32, Word], nt_query_token),
    Export::native("RtlAdjustPrivilege", &[U32, U32, U32, Word], rtl_adjust_privilege),
];

impl Token {
    /// An ordinary user's, with the privileges that the account is granted besides. Only `SeChangeNotifyPrivilege` is
    /// enabled from the start; those above `SeUndockPrivilege` came with Windows Vista.
    pub fn of_user(edition: &Edition, granted: &[Privilege]) -> Self {
        const ORDINARY: [Privilege; 5] = [
            Privilege::Shutdown,
            Privilege::ChangeNotify,
            Privilege::Undock,
            Privilege::IncreaseWorkingSet,
            Privilege::TimeZone,
        ];
        let ordinary = if edition.version.major >= 6 { &ORDINARY[..] } else { &ORDINARY[..3] };
        let mut all = [ordinary, granted].concat();
        all.sort_unstable();
        all.dedup();
        Self { held: all.into_iter().map(|one| (one, one == Privilege::ChangeNotify)).collect() }
    }

    /// Whether a privilege is held and enabled.
    pub fn is_enabled(&self, privilege: Privilege) -> bool {
        self.held.contains(&(privilege, true))
    }

    /// What the memory manager asks of a caller.
    pub fn lock_memory(&self) -> LockMemory {
        if self.is_enabled(Privilege::LockMemory) { LockMemory::Enabled } else { LockMemory::Disabled }
    }

    /// Whether the privilege of that number is enabled, `None` if it is not held.
    fn state(&self, number: u32) -> Option<bool> {
        let found = self.held.iter().find(|(privilege, _)| *privilege as u32 == number);
        found.map(|(_, enabled)| *enabled)
    }

    /// Enables, disables or removes a privilege; one that is not held changes nothing.
    fn adjust(&mut self, number: u32, attributes: u32) {
        if attributes & REMOVED != 0 {
            self.held.retain(|(privilege, _)| *privilege as u32 != number);
        }
        for (privilege, enabled) in &mut self.held {
            if *privilege as u32 == number {
                *enabled = attributes & ENABLED != 0;
            }
        }
    }

    /// What disables everything, as a call that names each privilege would say it.
    fn all_disabled(&self) -> Vec<(u32, u32)> {
        self.held.iter().map(|(privilege, _)| (*privilege as u32, 0)).collect()
    }

    /// Those of the wanted changes that change something, with the attributes before.
    fn before(&self, wanted: &[(u32, u32)]) -> Vec<(u32, u32)> {
        let change = |(number, attributes): &(u32, u32)| {
            let enabled = self.state(*number)?;
            let differs = attributes & REMOVED != 0 || enabled != (attributes & ENABLED != 0);
            differs.then_some((*number, u32::from(enabled) * ENABLED))
        };
        wanted.iter().filter_map(change).collect()
    }
}

/// `NtOpenProcessToken(process, access, *handle)`.
pub(crate) fn nt_open_process_token(call: &mut Call<'_>) -> Answer {
    let (process, access, to) = (call.handle(0), call.u32(1), call.ptr(2));
    call.open_process_token(process, access, to)?;
    Ok(0)
}

/// `NtOpenProcessTokenEx(process, access, attributes, *handle)`.
fn nt_open_process_token_ex(call: &mut Call<'_>) -> Answer {
    let (process, access, to) = (call.handle(0), call.u32(1), call.ptr(3));
    call.open_process_token(process, access, to)?;
    Ok(0)
}

/// `NtOpenThreadToken(thread, access, as the process, *handle)`.
pub(crate) fn nt_open_thread_token(call: &mut Call<'_>) -> Answer {
    let (thread, to, width) = (call.handle(0), call.ptr(3), call.pointer_bytes());
    call.probe_write(to, width)?;
    if !matches!(call.nt.handles().get(thread)?, Object::Thread(_)) {
        return Err(NtStatus::OBJECT_TYPE_MISMATCH.into());
    }
    Err(NO_TOKEN.into())
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
    let pid = call.require_token(token, TOKEN_ADJUST_PRIVILEGES | query)?;
    let own = call.nt.token_of(pid)?;
    if disable_all {
        wanted = own.all_disabled();
    }
    let missing = wanted.iter().any(|(number, _)| own.state(*number).is_none());
    if !previous_at.is_null() {
        let before = own.before(&wanted);
        call.write_privileges(previous_at, room, needed_at, &before)?;
    }
    for (number, attributes) in wanted {
        call.nt.process_by_id_mut(pid).expect("it has a token").token.adjust(number, attributes);
    }
    Ok(if missing { NOT_ALL_ASSIGNED } else { 0 })
}

/// `NtQueryInformationToken(token, class, *buffer, bytes, *needed)`: of the classes, privileges.
pub(crate) fn nt_query_token(call: &mut Call<'_>) -> Answer {
    let (token, class, to) = (call.handle(0), call.u32(1), call.ptr(2));
    let (room, needed_at) = (call.u32(3), call.ptr(4));
    if class != TOKEN_PRIVILEGES {
        return Err(NtStatus::INVALID_INFO_CLASS.into());
    }
    let pid = call.require_token(token, TOKEN_QUERY)?;
    let attributes = |(privilege, enabled): &(Privilege, bool)| {
        let default = if *privilege == Privilege::ChangeNotify { ENABLED_BY_DEFAULT } else { 0 };
        (*privilege as u32, (u32::from(*enabled) * ENABLED) | default)
    };
    let all: Vec<_> = call.nt.token_of(pid)?.held.iter().map(attributes).collect();
    call.write_privileges(to, room, needed_at, &all)?;
    Ok(0)
}

/// `RtlAdjustPrivilege(number, enable, of the thread, *was enabled)`.
fn rtl_adjust_privilege(call: &mut Call<'_>) -> Answer {
    let (number, enable, was_at) = (call.u32(0), call.u32(1) & 0xff != 0, call.ptr(3));
    if call.u32(2) & 0xff != 0 {
        return Err(NO_TOKEN.into());
    }
    let was = call.nt.process().token.state(number).ok_or(NtStatus::PRIVILEGE_NOT_HELD)?;
    call.write(was_at, &[u8::from(was)])?;
    call.nt.process_mut().token.adjust(number, if enable { ENABLED } else { 0 });
    Ok(0)
}

impl Nt {
    /// A process's token.
    ///
    /// # Errors
    ///
    /// `STATUS_INVALID_HANDLE` if the process is gone: a token that outlives its process says nothing here.
    fn token_of(&self, pid: u32) -> Result<&Token, NtStatus> {
        Ok(&self.process_by_id(pid).ok_or(NtStatus::INVALID_HANDLE)?.token)
    }
}

impl Kernel<'_> {
    /// Checks that the process's token holds a privilege, enabled.
    ///
    /// # Errors
    ///
    /// `STATUS_PRIVILEGE_NOT_HELD`.
    pub(crate) fn require_privilege(&self, privilege: Privilege) -> Result<(), NtStatus> {
        if self.nt.process().token.is_enabled(privilege) { Ok(()) } else { Err(NtStatus::PRIVILEGE_NOT_HELD) }
    }

    /// Stores a handle for the process's token.
    fn open_process_token(&mut self, process: Handle, wanted: u32, to: UserPtr) -> Result<(), Failure> {
        let width = self.pointer_bytes();
        self.probe_write(to, width)?;
        let pid = self.require_living(process, super::PROCESS_QUERY_INFORMATION)?;
        let mut access = wanted;
        for (generic, meaning) in GENERIC {
            if wanted & generic != 0 {
                access = access & !generic | meaning;
            }
        }
        if access & !TOKEN_ALL_ACCESS != 0 {
            return Err(NtStatus::ACCESS_DENIED.into());
        }
        let handle = self.nt.handles_mut().insert(Object::Token(pid), access)?;
        Ok(self.write_word(to, handle.raw())?)
    }

    /// The process whose token a handle with the right names.
    fn require_token(&self, handle: Handle, right: u32) -> Result<u32, NtStatus> {
        let handles = self.nt.handles();
        let Object::Token(pid) = *handles.get(handle)? else { return Err(NtStatus::OBJECT_TYPE_MISMATCH) };
        if handles.access(handle)? & right == right { Ok(pid) } else { Err(NtStatus::ACCESS_DENIED) }
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
    fn write_privileges(
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
