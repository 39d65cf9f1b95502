//! Access rights of files, what the generic ones mean, and which of them change something.

use super::super::objects::Uses;
use vadose_facts::ntdef::NtStatus;

/// `FILE_READ_DATA`, which is `FILE_LIST_DIRECTORY` of a folder.
pub(crate) const READ_DATA: u32 = 0x1;
/// `FILE_WRITE_DATA`, which is `FILE_ADD_FILE` of a folder.
pub(crate) const WRITE_DATA: u32 = 0x2;
/// `FILE_APPEND_DATA`, which is `FILE_ADD_SUBDIRECTORY` of a folder.
pub(crate) const APPEND_DATA: u32 = 0x4;
/// `FILE_READ_EA`.
pub(crate) const READ_EA: u32 = 0x8;
/// `FILE_WRITE_EA`.
const WRITE_EA: u32 = 0x10;
/// `FILE_EXECUTE`, which is `FILE_TRAVERSE` of a folder.
const EXECUTE: u32 = 0x20;
/// `FILE_DELETE_CHILD`.
const DELETE_CHILD: u32 = 0x40;
/// `FILE_READ_ATTRIBUTES`.
pub(crate) const READ_ATTRIBUTES: u32 = 0x80;
/// `FILE_WRITE_ATTRIBUTES`.
pub(crate) const WRITE_ATTRIBUTES: u32 = 0x100;
/// `DELETE`.
pub(crate) const DELETE: u32 = 0x1_0000;
/// `WRITE_DAC` and `WRITE_OWNER`.
const CHANGE_SECURITY: u32 = 0xc_0000;
/// `SYNCHRONIZE`.
pub(crate) const SYNCHRONIZE: u32 = 0x10_0000;
/// `ACCESS_SYSTEM_SECURITY`.
const SYSTEM_SECURITY: u32 = 0x100_0000;
/// `MAXIMUM_ALLOWED`.
const MAXIMUM_ALLOWED: u32 = 0x200_0000;
/// `FILE_ALL_ACCESS`.
const ALL: u32 = 0x1f_01ff;
/// `FILE_GENERIC_READ`, `FILE_GENERIC_EXECUTE` and the right to delete nothing: what everybody has of a readable file.
const ALL_BUT_CHANGES: u32 = 0x12_00a9;
/// `GENERIC_READ`, `GENERIC_WRITE`, `GENERIC_EXECUTE`, `GENERIC_ALL`, and what they mean for a file.
const GENERIC: [(u32, u32); 4] =
    [(0x8000_0000, 0x12_0089), (0x4000_0000, 0x12_0116), (0x2000_0000, 0x12_00a0), (0x1000_0000, ALL)];
/// Rights to change a file, its attributes or its place.
const CHANGES: u32 =
    WRITE_DATA | APPEND_DATA | WRITE_EA | DELETE_CHILD | WRITE_ATTRIBUTES | DELETE | CHANGE_SECURITY;

/// Whether a guest may change a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grant {
    /// It may read it.
    Read,
    /// It may change it too.
    Change,
}

/// Generic rights as rights of a file.
pub(crate) fn specific(wanted: u32) -> u32 {
    let plain = wanted & 0x0fff_ffff;
    let mapped = GENERIC.iter().filter(|(generic, _)| wanted & generic != 0);
    mapped.fold(plain, |access, (_, rights)| access | rights)
}

/// The rights that a handle gets.
///
/// # Errors
///
/// `ACCESS_DENIED` for a change of what may only be read; `PRIVILEGE_NOT_HELD` for the audit rules, which need one.
pub(crate) fn granted(wanted: u32, grant: Grant) -> Result<u32, NtStatus> {
    let mut access = specific(wanted);
    if access & SYSTEM_SECURITY != 0 {
        return Err(NtStatus::PRIVILEGE_NOT_HELD);
    }
    if access & MAXIMUM_ALLOWED != 0 {
        let most = match grant {
            Grant::Read => ALL_BUT_CHANGES,
            Grant::Change => ALL,
        };
        access = access & !MAXIMUM_ALLOWED | most;
    }
    match grant {
        Grant::Read if access & CHANGES != 0 => Err(NtStatus::ACCESS_DENIED),
        Grant::Read | Grant::Change => Ok(access),
    }
}

/// The rights that a handle of a device gets, which every program may change.
///
/// # Errors
///
/// `PRIVILEGE_NOT_HELD`, as for files.
pub(crate) fn granted_to_changer(wanted: u32) -> Result<u32, NtStatus> {
    granted(wanted, Grant::Change)
}

/// What a handle with these rights does to a file, as share modes count it.
pub(crate) fn uses(access: u32) -> Uses {
    let reads = if access & (READ_DATA | EXECUTE) != 0 { Uses::READ } else { Uses::NONE };
    let writes = if access & (WRITE_DATA | APPEND_DATA) != 0 { Uses::WRITE } else { Uses::NONE };
    let deletes = if access & DELETE != 0 { Uses::DELETE } else { Uses::NONE };
    reads.and(writes).and(deletes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generic_rights_become_rights_of_files() {
        assert_eq!(specific(0x8000_0000), 0x12_0089);
        assert_eq!(specific(0xc000_0000), 0x12_019f);
        assert_eq!(specific(0x10_0004), 0x10_0004);
    }

    #[test]
    fn who_may_only_read_gets_no_right_to_change_anything() {
        assert_eq!(granted(0x8000_0000, Grant::Read), Ok(0x12_0089));
        for wanted in [0x2, 0x4, 0x10, 0x100, 0x1_0000, 0x4_0000, 0x4000_0000, 0x1000_0000] {
            assert_eq!(granted(wanted, Grant::Read), Err(NtStatus::ACCESS_DENIED), "{wanted:#x}");
            assert!(granted(wanted, Grant::Change).is_ok(), "{wanted:#x}");
        }
        assert_eq!(granted(MAXIMUM_ALLOWED, Grant::Read), Ok(ALL_BUT_CHANGES));
        assert_eq!(granted(MAXIMUM_ALLOWED, Grant::Change), Ok(ALL));
        assert_eq!(granted(SYSTEM_SECURITY, Grant::Change), Err(NtStatus::PRIVILEGE_NOT_HELD));
    }

    #[test]
    fn uses_are_counted_by_rights() {
        assert_eq!(uses(0x12_0089), Uses::READ);
        assert_eq!(uses(EXECUTE), Uses::READ);
        assert_eq!(uses(APPEND_DATA | DELETE), Uses::WRITE.and(Uses::DELETE));
        assert_eq!(uses(READ_ATTRIBUTES | SYNCHRONIZE), Uses::NONE);
    }
}
