//! Tokens: who somebody is and what they may do beyond what their handles allow.
//!
//! - `services.rs`: the services that open, duplicate, adjust and compare tokens. `information.rs`: what is told of one.
//! - A process has a token of its own. A thread may act with another one, which a program made by duplicating: it lives as
//!   long as its handles and the threads that use it.
//!
//! There is one account, an ordinary user's; every token is that account's.

mod information;
mod services;

pub(crate) use information::{EXPORTS as INFORMATION_EXPORTS, nt_query_token};
pub(crate) use services::{EXPORTS, nt_adjust_privileges, nt_open_process_token, nt_open_thread_token};

use super::sid::Sid;
use crate::kernel::{Kernel, Nt};
use vadose_facts::ntdef::{Edition, NtStatus};
use vadose_mm::LockMemory;

/// `SE_PRIVILEGE_ENABLED_BY_DEFAULT`.
const ENABLED_BY_DEFAULT: u32 = 1;
/// `SE_PRIVILEGE_ENABLED`.
const ENABLED: u32 = 2;
/// `SE_PRIVILEGE_REMOVED`.
const REMOVED: u32 = 4;
/// `STATUS_NO_TOKEN`: a thread that impersonates nobody.
pub(crate) const NO_TOKEN: NtStatus = NtStatus::new(0xc000_007c);
/// `STATUS_NOT_ALL_ASSIGNED`, a success.
pub(crate) const NOT_ALL_ASSIGNED: u64 = 0x106;
/// The account's logon, as a number that nothing else has.
const LOGON: u32 = 0x1_2f3d;
/// The medium integrity level.
const MEDIUM: u32 = 0x2000;

/// A privilege, by the number that Windows gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u32)]
pub enum Privilege {
    /// `SeLockMemoryPrivilege`: physical pages, large pages, locks in memory (SPEC A14, J9, J38).
    LockMemory = 4,
    /// `SeCreatePermanentPrivilege`: objects that outlive their handles.
    CreatePermanent = 16,
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

/// `SECURITY_IMPERSONATION_LEVEL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Anonymous,
    Identification,
    Impersonation,
    Delegation,
}

impl Level {
    /// The level of a number.
    fn of(raw: u32) -> Option<Self> {
        [Self::Anonymous, Self::Identification, Self::Impersonation, Self::Delegation]
            .get(usize::try_from(raw).ok()?)
            .copied()
    }
}

/// What a token can be used for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// A process's.
    #[default]
    Primary,
    /// A thread's, to act for somebody.
    Impersonation(Level),
}

/// Which token a handle names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenObject {
    /// A process's, by the process's id.
    OfProcess(u32),
    /// One that a program made.
    Own(Box<Token>),
}

/// A group that the account is in, and `SE_GROUP_*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) sid: Sid,
    pub(crate) attributes: u32,
}

/// What a process or a thread may do beyond what its handles allow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Token {
    /// Privileges held, each with whether it is enabled, in the order of their numbers.
    held: Vec<(Privilege, bool)>,
    kind: TokenKind,
    /// A number that no other token has, and one that changes with what the token says.
    id: u64,
    modified: u64,
    /// Whom new objects belong to, what group, and who may do what with them, where it is not the account's own choice.
    owner: Option<Sid>,
    primary_group: Option<Sid>,
    default_dacl: Option<Vec<u8>>,
    /// The integrity level, where it was lowered.
    integrity: Option<u32>,
}

/// `SE_GROUP_MANDATORY | _ENABLED_BY_DEFAULT | _ENABLED`, and with `_LOGON_ID`, and `_INTEGRITY | _INTEGRITY_ENABLED`.
const ORDINARY_GROUP: u32 = 0x7;
const LOGON_GROUP: u32 = 0xc000_0007;
pub(crate) const INTEGRITY_GROUP: u32 = 0x60;

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
        let held = all.into_iter().map(|one| (one, one == Privilege::ChangeNotify)).collect();
        Self { held, ..Self::default() }
    }

    /// The same token by a number that no other has.
    pub(crate) fn numbered(self, id: u64) -> Self {
        Self { id, modified: id, ..self }
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

    /// Its privileges as `LUID_AND_ATTRIBUTES` have them.
    fn privileges(&self) -> Vec<(u32, u32)> {
        let attributes = |(privilege, enabled): &(Privilege, bool)| {
            let default = if *privilege == Privilege::ChangeNotify { ENABLED_BY_DEFAULT } else { 0 };
            (*privilege as u32, (u32::from(*enabled) * ENABLED) | default)
        };
        self.held.iter().map(attributes).collect()
    }

    /// The integrity level's group.
    fn integrity(&self) -> Sid {
        Sid::new(16, &[self.integrity.unwrap_or(MEDIUM)])
    }

    /// The session's own group.
    fn logon() -> Sid {
        Sid::new(5, &[5, 0, LOGON])
    }

    /// The groups of the account: its domain's, everybody, users of the machine, those who work at it, those who gave a
    /// password, this organisation's, this session's, and the integrity level where there are such.
    pub(crate) fn groups(&self, edition: &Edition) -> Vec<Group> {
        let ordinary = [
            Sid::primary_group(),
            Sid::everyone(),
            Sid::new(5, &[32, 545]),
            Sid::new(5, &[4]),
            Sid::new(5, &[11]),
            Sid::new(5, &[15]),
        ];
        let with = |attributes| move |sid| Group { sid, attributes };
        let mut groups: Vec<Group> = ordinary.into_iter().map(with(ORDINARY_GROUP)).collect();
        groups.push(with(LOGON_GROUP)(Self::logon()));
        groups.push(with(ORDINARY_GROUP)(Sid::new(2, &[0])));
        if edition.version.major >= 6 {
            groups.push(with(INTEGRITY_GROUP)(self.integrity()));
        }
        groups
    }

    /// Whether the account is, or is in, that one.
    pub(crate) fn has(&self, sid: &Sid, edition: &Edition) -> bool {
        *sid == Sid::user() || self.groups(edition).iter().any(|group| group.sid == *sid)
    }

    /// Whom new objects belong to.
    pub(crate) fn owner(&self) -> Sid {
        self.owner.clone().unwrap_or_else(Sid::user)
    }

    /// Their group.
    pub(crate) fn primary_group(&self) -> Sid {
        self.primary_group.clone().unwrap_or_else(Sid::primary_group)
    }

    /// Who may do what with them, as an `ACL`: the account and the system everything, this session what reading takes.
    pub(crate) fn default_dacl(&self) -> Vec<u8> {
        const GENERIC_ALL: u32 = 0x1000_0000;
        const GENERIC_READ_EXECUTE: u32 = 0xa000_0000;
        let entries = [
            (GENERIC_ALL, Sid::user()),
            (GENERIC_ALL, Sid::new(5, &[18])),
            (GENERIC_READ_EXECUTE, Self::logon()),
        ];
        self.default_dacl.clone().unwrap_or_else(|| super::security::allowing(&entries))
    }
}

impl Nt {
    /// A number that nothing else on this machine has: a `LUID`.
    pub(crate) fn next_luid(&mut self) -> u64 {
        /// Those below belong to privileges and to logons that every machine has.
        const FIRST: u64 = 0x2_0000;
        self.luids += 1;
        FIRST + self.luids
    }

    /// The token that the running thread acts with: its own, or its process's.
    pub(crate) fn effective_token(&self) -> &Token {
        let own = self.thread_at_home().and_then(|thread| thread.impersonation);
        match own.map(|id| self.objects.get(id)) {
            Some(super::Object::Token(TokenObject::Own(token))) => token,
            Some(_) | None => &self.process().token,
        }
    }
}

impl Kernel<'_> {
    /// Checks that whoever calls holds a privilege, enabled.
    ///
    /// # Errors
    ///
    /// `STATUS_PRIVILEGE_NOT_HELD`.
    pub(crate) fn require_privilege(&self, privilege: Privilege) -> Result<(), NtStatus> {
        if self.nt.effective_token().is_enabled(privilege) {
            Ok(())
        } else {
            Err(NtStatus::PRIVILEGE_NOT_HELD)
        }
    }
}
