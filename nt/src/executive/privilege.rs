//! Privileges: what the process's token allows beyond access rights.

use crate::kernel::Kernel;
use vadose_facts::ntdef::NtStatus;

/// A privilege that a memory service asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Privilege {
    /// `SeLockMemoryPrivilege`: no account has it unless an administrator grants it (SPEC A14, J9).
    LockMemory,
}

impl Kernel<'_> {
    /// Checks that the process's token holds a privilege.
    ///
    /// # Errors
    ///
    /// `STATUS_PRIVILEGE_NOT_HELD`.
    pub(crate) fn require_privilege(&self, privilege: Privilege) -> Result<(), NtStatus> {
        match privilege {
            Privilege::LockMemory => Err(NtStatus::PRIVILEGE_NOT_HELD),
        }
    }
}
