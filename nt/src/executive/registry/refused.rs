//! Services on whole hives, which need privileges that no account here has, and on transactions, which are not there.

use crate::service::{Answer, Arg, Call, Export};
use vadose_facts::ntdef::NtStatus;

use Arg::{U32, Word};

/// The services.
pub(crate) const EXPORTS: &[Export] = &[
    Export::native("NtLoadKey", &[Word, Word], needs_privilege),
    Export::native("NtLoadKey2", &[Word, Word, U32], needs_privilege),
    Export::native("NtLoadKeyEx", &[Word, Word, U32, Word, Word, U32, Word, Word], needs_privilege),
    Export::native("NtUnloadKey", &[Word], needs_privilege),
    Export::native("NtUnloadKey2", &[Word, U32], needs_privilege),
    Export::native("NtUnloadKeyEx", &[Word, Word], needs_privilege),
    Export::native("NtSaveKey", &[Word, Word], needs_privilege),
    Export::native("NtSaveKeyEx", &[Word, Word, U32], needs_privilege),
    Export::native("NtSaveMergedKeys", &[Word, Word, Word], needs_privilege),
    Export::native("NtRestoreKey", &[Word, Word, U32], needs_privilege),
    Export::native("NtReplaceKey", &[Word, Word, Word], needs_privilege),
    Export::native("NtOpenKeyTransacted", &[Word, U32, Word, Word], no_transactions),
    Export::native("NtOpenKeyTransactedEx", &[Word, U32, Word, U32, Word], no_transactions),
    Export::native("NtCreateKeyTransacted", &[Word, U32, Word, U32, Word, U32, Word, Word], no_transactions),
];

/// `SeBackupPrivilege` or `SeRestorePrivilege`.
fn needs_privilege(_: &mut Call<'_>) -> Answer {
    Err(NtStatus::PRIVILEGE_NOT_HELD.into())
}

fn no_transactions(_: &mut Call<'_>) -> Answer {
    Err(NtStatus::NOT_IMPLEMENTED.into())
}
