//! Tokens and privileges as functions of advapi32: enough for a program to enable what its account holds.

use super::text::Width;
use crate::executive::{
    self, NOT_ALL_ASSIGNED, nt_adjust_privileges, nt_open_process_token, nt_open_thread_token, nt_query_token,
};
use crate::service::{Answer, Arg, Call, Dll, Export, Failure};
use vadose_facts::ntdef::{NtStatus, Win32Error};

use Arg::{U32, Word};

/// `ERROR_NOT_ALL_ASSIGNED`: told by a call that succeeds.
const ERROR_NOT_ALL_ASSIGNED: Win32Error = Win32Error::new(1300);
/// `ERROR_NO_SUCH_PRIVILEGE`.
const NO_SUCH_PRIVILEGE: Win32Error = Win32Error::new(1313);
/// `ERROR_NO_TOKEN`.
const NO_TOKEN: Win32Error = Win32Error::new(1008);
/// `RPC_S_SERVER_UNAVAILABLE`: there is no other machine to ask.
const SERVER_UNAVAILABLE: Win32Error = Win32Error::new(1722);

/// The functions.
pub(crate) const EXPORTS: &[Export] = &[
    Export::system("OpenProcessToken", &[Word, U32, Word], open_process_token).only_in(Dll::Advapi32),
    Export::system("OpenThreadToken", &[Word, U32, U32, Word], open_thread_token).only_in(Dll::Advapi32),
    Export::system("AdjustTokenPrivileges", &[Word, U32, Word, U32, Word, Word], adjust_token_privileges)
        .only_in(Dll::Advapi32),
    Export::system("GetTokenInformation", &[Word, U32, Word, U32, Word], get_token_information)
        .only_in(Dll::Advapi32),
    Export::system("LookupPrivilegeValueA", &[Word, Word, Word], lookup_a).only_in(Dll::Advapi32),
    Export::system("LookupPrivilegeValueW", &[Word, Word, Word], lookup_w).only_in(Dll::Advapi32),
];

/// Names without `Se` and `Privilege`, from number 2 on, with the first version of Windows that has it (`winnt.h`).
const NAMES: [(&str, u32); 35] = [
    ("CreateToken", 5),
    ("AssignPrimaryToken", 5),
    ("LockMemory", 5),
    ("IncreaseQuota", 5),
    ("MachineAccount", 5),
    ("Tcb", 5),
    ("Security", 5),
    ("TakeOwnership", 5),
    ("LoadDriver", 5),
    ("SystemProfile", 5),
    ("Systemtime", 5),
    ("ProfileSingleProcess", 5),
    ("IncreaseBasePriority", 5),
    ("CreatePagefile", 5),
    ("CreatePermanent", 5),
    ("Backup", 5),
    ("Restore", 5),
    ("Shutdown", 5),
    ("Debug", 5),
    ("Audit", 5),
    ("SystemEnvironment", 5),
    ("ChangeNotify", 5),
    ("RemoteShutdown", 5),
    ("Undock", 5),
    ("SyncAgent", 5),
    ("EnableDelegation", 5),
    ("ManageVolume", 5),
    ("Impersonate", 5),
    ("CreateGlobal", 5),
    ("TrustedCredManAccess", 6),
    ("Relabel", 6),
    ("IncreaseWorkingSet", 6),
    ("TimeZone", 6),
    ("CreateSymbolicLink", 6),
    ("DelegateSessionUserImpersonate", 10),
];

fn open_process_token(call: &mut Call<'_>) -> Answer {
    nt_open_process_token(call).map(|_| 1)
}

fn open_thread_token(call: &mut Call<'_>) -> Answer {
    match nt_open_thread_token(call) {
        Err(Failure::Status(executive::NO_TOKEN)) => Err(NO_TOKEN.into()),
        other => other.map(|_| 1),
    }
}

/// `AdjustTokenPrivileges(token, disable all, *new, bytes, *previous, *needed)`: the last error tells whether all were
/// there, also when it is a success.
fn adjust_token_privileges(call: &mut Call<'_>) -> Answer {
    let all = nt_adjust_privileges(call)? != NOT_ALL_ASSIGNED;
    call.set_last_error(if all { Win32Error::SUCCESS } else { ERROR_NOT_ALL_ASSIGNED });
    Ok(1)
}

fn get_token_information(call: &mut Call<'_>) -> Answer {
    nt_query_token(call).map(|_| 1)
}

fn lookup_a(call: &mut Call<'_>) -> Answer {
    lookup(call, Width::Narrow)
}

fn lookup_w(call: &mut Call<'_>) -> Answer {
    lookup(call, Width::Wide)
}

/// `LookupPrivilegeValue(machine, name, *number)`: letters are compared without case.
fn lookup(call: &mut Call<'_>, width: Width) -> Answer {
    let (machine, name, to) = (call.ptr(0), call.ptr(1), call.ptr(2));
    if call.optional_text(machine, width)?.is_some_and(|machine| !machine.is_empty()) {
        return Err(SERVER_UNAVAILABLE.into());
    }
    if name.is_null() {
        return Err(NtStatus::INVALID_PARAMETER.into());
    }
    let name = call.text(name, width)?;
    let number = number_of(&name, call.nt.edition.version.major).ok_or(NO_SUCH_PRIVILEGE)?;
    call.write_u64(to, number)?;
    Ok(1)
}

/// The number of a privilege that a version of Windows knows.
fn number_of(name: &str, major: u32) -> Option<u64> {
    let numbered = (2..).zip(NAMES);
    let mut known = numbered.filter(|(_, (_, since))| major >= *since);
    let found = known.find(|(_, (stem, _))| name.eq_ignore_ascii_case(&format!("Se{stem}Privilege")));
    found.map(|(number, _)| number)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers as `winnt.h` and the drivers' `wdm.h` give them.
    #[test]
    fn privileges_have_the_numbers_of_windows() {
        for (name, number) in [
            ("SeCreateTokenPrivilege", 2),
            ("SeLockMemoryPrivilege", 4),
            ("SeDebugPrivilege", 20),
            ("sechangenotifyprivilege", 23),
            ("SeCreateGlobalPrivilege", 30),
            ("SeIncreaseWorkingSetPrivilege", 33),
            ("SeDelegateSessionUserImpersonatePrivilege", 36),
        ] {
            assert_eq!(number_of(name, 10), Some(number), "{name}");
        }
        assert_eq!(number_of("SeIncreaseWorkingSetPrivilege", 5), None);
        assert_eq!(number_of("LockMemory", 10), None);
    }
}
