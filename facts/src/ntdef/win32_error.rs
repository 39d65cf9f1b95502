//! Win32 error codes and how a status becomes one (SPEC's status table).

use super::NtStatus;
use std::fmt;

/// A Win32 error: what `GetLastError` returns.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Win32Error(u32);

macro_rules! errors {
    ($($(#[$doc:meta])* $name:ident = $value:literal;)*) => {
        impl Win32Error {
            $($(#[$doc])* pub const $name: Self = Self($value);)*

            /// The name without its `ERROR_` prefix, where it has one here.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

errors! {
    /// No error.
    SUCCESS = 0;
    /// No such function.
    INVALID_FUNCTION = 1;
    /// No such file.
    FILE_NOT_FOUND = 2;
    /// A folder of the path is missing.
    PATH_NOT_FOUND = 3;
    /// Not allowed.
    ACCESS_DENIED = 5;
    /// No such handle.
    INVALID_HANDLE = 6;
    /// Out of memory or address space.
    NOT_ENOUGH_MEMORY = 8;
    /// Out of memory.
    OUTOFMEMORY = 14;
    /// The two are not on one device.
    NOT_SAME_DEVICE = 17;
    /// No more directory entries.
    NO_MORE_FILES = 18;
    /// The medium is write-protected.
    WRITE_PROTECT = 19;
    /// The medium could not be read.
    CRC = 23;
    /// A wrong length.
    BAD_LENGTH = 24;
    /// Another opener forbids it.
    SHARING_VIOLATION = 32;
    /// A byte-range lock conflicts.
    LOCK_VIOLATION = 33;
    /// Read at or past the end of a file.
    HANDLE_EOF = 38;
    /// Not supported.
    NOT_SUPPORTED = 50;
    /// An address that is not there.
    UNEXP_NET_ERR = 59;
    /// The file exists.
    FILE_EXISTS = 80;
    /// A device does not work: the plainest of failures.
    GEN_FAILURE = 31;
    /// A wrong parameter.
    INVALID_PARAMETER = 87;
    /// The other end of a pipe is gone.
    BROKEN_PIPE = 109;
    /// The disk is full.
    DISK_FULL = 112;
    /// Not implemented.
    CALL_NOT_IMPLEMENTED = 120;
    /// The buffer is too small.
    INSUFFICIENT_BUFFER = 122;
    /// A name is malformed.
    INVALID_NAME = 123;
    /// No such module.
    MOD_NOT_FOUND = 126;
    /// No such procedure.
    PROC_NOT_FOUND = 127;
    /// A folder is not empty.
    DIR_NOT_EMPTY = 145;
    /// A thread cannot be suspended any more often.
    SIGNAL_REFUSED = 156;
    /// Pages were not locked.
    NOT_LOCKED = 158;
    /// A path does not begin at a root.
    BAD_PATHNAME = 161;
    /// The object exists.
    ALREADY_EXISTS = 183;
    /// Not an executable that fits.
    BAD_EXE_FORMAT = 193;
    /// An environment variable is not set.
    ENVVAR_NOT_FOUND = 203;
    /// A name is too long.
    FILENAME_EXCED_RANGE = 206;
    /// The content of memory is not all there.
    BUSY = 170;
    /// More data than the buffer takes.
    MORE_DATA = 234;
    /// A wait ended by time.
    WAIT_TIMEOUT = 258;
    /// A folder's name is wrong.
    DIRECTORY = 267;
    /// No more items.
    NO_MORE_ITEMS = 259;
    /// Not the owner of a mutex.
    NOT_OWNER = 288;
    /// A semaphore was released too often.
    TOO_MANY_POSTS = 298;
    /// Only part of a copy was done.
    PARTIAL_COPY = 299;
    /// No address there.
    INVALID_ADDRESS = 487;
    /// The status has no Win32 error.
    MR_MID_NOT_FOUND = 317;
    /// The operation goes on.
    IO_PENDING = 997;
    /// Memory was touched that may not be.
    NOACCESS = 998;
    /// A page could not be read in.
    SWAPERROR = 999;
    /// The stack ran out.
    STACK_OVERFLOW = 1001;
    /// Wrong flags.
    INVALID_FLAGS = 1004;
    /// The file cannot be mapped.
    FILE_INVALID = 1006;
    /// A DLL's initialisation failed.
    DLL_INIT_FAILED = 1114;
    /// No translation for a character.
    NO_UNICODE_TRANSLATION = 1113;
    /// A base or offset is not on its unit.
    MAPPED_ALIGNMENT = 1132;
    /// Not found.
    NOT_FOUND = 1168;
    /// The file is mapped.
    USER_MAPPED_FILE = 1224;
    /// A privilege is missing.
    PRIVILEGE_NOT_HELD = 1314;
    /// A resource ran out.
    NO_SYSTEM_RESOURCES = 1450;
    /// Over the working-set limit.
    WORKING_SET_QUOTA = 1453;
    /// Over the page-file quota.
    PAGEFILE_QUOTA = 1454;
    /// No commit left.
    COMMITMENT_LIMIT = 1455;
    /// A policy forbids code that is made at run time.
    DYNAMIC_CODE_BLOCKED = 1655;
    /// Over a quota.
    NOT_ENOUGH_QUOTA = 1816;
}

impl Win32Error {
    /// Wraps a raw error code.
    pub const fn new(raw: u32) -> Self {
        Self(raw)
    }

    /// The error as a number.
    pub const fn raw(self) -> u32 {
        self.0
    }
}

impl From<NtStatus> for Win32Error {
    /// `RtlNtStatusToDosError` for the statuses used here. Success-class statuses are no error; a status that has no
    /// translation gives `ERROR_MR_MID_NOT_FOUND`.
    fn from(status: NtStatus) -> Self {
        if status == NtStatus::GUARD_PAGE_VIOLATION {
            return Self(status.raw());
        }
        TABLE
            .iter()
            .find(|(known, _)| *known == status)
            .map_or_else(|| Self::untabled(status), |(_, error)| *error)
    }
}

impl Win32Error {
    fn untabled(status: NtStatus) -> Self {
        match status.raw() {
            0xc000_00ef..=0xc000_00fa => Self::INVALID_PARAMETER,
            _ if status.is_success() => Self::SUCCESS,
            _ => Self::MR_MID_NOT_FOUND,
        }
    }
}

type S = NtStatus;
type W = Win32Error;

const TABLE: &[(NtStatus, Win32Error)] = &[
    (S::TIMEOUT, W::WAIT_TIMEOUT),
    (S::PENDING, W::IO_PENDING),
    (S::INVALID_PARAMETER, W::INVALID_PARAMETER),
    (S::INVALID_PAGE_PROTECTION, W::INVALID_PARAMETER),
    (S::SECTION_PROTECTION, W::INVALID_PARAMETER),
    (S::UNABLE_TO_FREE_VM, W::INVALID_PARAMETER),
    (S::UNABLE_TO_DELETE_SECTION, W::INVALID_PARAMETER),
    (S::INVALID_CID, W::INVALID_PARAMETER),
    (S::INVALID_PARAMETER_MIX, W::INVALID_PARAMETER),
    (S::BAD_WORKING_SET_LIMIT, W::INVALID_PARAMETER),
    (S::INCOMPATIBLE_FILE_MAP, W::INVALID_PARAMETER),
    (S::SECTION_NOT_IMAGE, W::INVALID_PARAMETER),
    (S::INVALID_INFO_CLASS, W::INVALID_PARAMETER),
    (S::CONFLICTING_ADDRESSES, W::INVALID_ADDRESS),
    (S::NOT_MAPPED_VIEW, W::INVALID_ADDRESS),
    (S::NOT_COMMITTED, W::INVALID_ADDRESS),
    (S::FREE_VM_NOT_AT_BASE, W::INVALID_ADDRESS),
    (S::MEMORY_NOT_ALLOCATED, W::INVALID_ADDRESS),
    (S::NO_MEMORY, W::NOT_ENOUGH_MEMORY),
    (S::SECTION_TOO_BIG, W::NOT_ENOUGH_MEMORY),
    (S::INSUFFICIENT_RESOURCES, W::NO_SYSTEM_RESOURCES),
    (S::COMMITMENT_LIMIT, W::COMMITMENT_LIMIT),
    (S::PAGEFILE_QUOTA, W::PAGEFILE_QUOTA),
    (S::QUOTA_EXCEEDED, W::NOT_ENOUGH_QUOTA),
    (S::DYNAMIC_CODE_BLOCKED, W::DYNAMIC_CODE_BLOCKED),
    (S::WORKING_SET_QUOTA, W::WORKING_SET_QUOTA),
    (S::ALREADY_COMMITTED, W::ACCESS_DENIED),
    (S::INVALID_VIEW_SIZE, W::ACCESS_DENIED),
    (S::ACCESS_DENIED, W::ACCESS_DENIED),
    (S::PROCESS_IS_TERMINATING, W::ACCESS_DENIED),
    (S::THREAD_IS_TERMINATING, W::ACCESS_DENIED),
    (S::SUSPEND_COUNT_EXCEEDED, W::SIGNAL_REFUSED),
    (S::UNSUCCESSFUL, W::GEN_FAILURE),
    (S::CANNOT_DELETE, W::ACCESS_DENIED),
    (S::FILE_IS_A_DIRECTORY, W::ACCESS_DENIED),
    (S::MAPPED_ALIGNMENT, W::MAPPED_ALIGNMENT),
    (S::MAPPED_FILE_SIZE_ZERO, W::FILE_INVALID),
    (S::FILE_INVALID, W::FILE_INVALID),
    (S::INVALID_FILE_FOR_SECTION, W::BAD_EXE_FORMAT),
    (S::INVALID_IMAGE_FORMAT, W::BAD_EXE_FORMAT),
    (S::INVALID_IMAGE_NOT_MZ, W::BAD_EXE_FORMAT),
    (S::INVALID_IMAGE_NE_FORMAT, W::BAD_EXE_FORMAT),
    (S::INVALID_IMAGE_LE_FORMAT, W::BAD_EXE_FORMAT),
    (S::INVALID_IMAGE_PROTECT, W::BAD_EXE_FORMAT),
    (S::INVALID_IMAGE_WIN_16, W::BAD_EXE_FORMAT),
    (S::INVALID_IMAGE_WIN_32, W::BAD_EXE_FORMAT),
    (S::INVALID_IMAGE_WIN_64, W::BAD_EXE_FORMAT),
    (S::USER_MAPPED_FILE, W::USER_MAPPED_FILE),
    (S::FILE_LOCK_CONFLICT, W::LOCK_VIOLATION),
    (S::NOT_LOCKED, W::NOT_LOCKED),
    (S::PRIVILEGE_NOT_HELD, W::PRIVILEGE_NOT_HELD),
    (S::ACCESS_VIOLATION, W::NOACCESS),
    (S::DATATYPE_MISALIGNMENT, W::NOACCESS),
    (S::IN_PAGE_ERROR, W::SWAPERROR),
    (S::STACK_OVERFLOW, W::STACK_OVERFLOW),
    (S::PARTIAL_COPY, W::PARTIAL_COPY),
    (S::INVALID_ADDRESS, W::UNEXP_NET_ERR),
    (S::INFO_LENGTH_MISMATCH, W::BAD_LENGTH),
    (S::BUFFER_OVERFLOW, W::MORE_DATA),
    (S::BUFFER_TOO_SMALL, W::INSUFFICIENT_BUFFER),
    (S::INVALID_HANDLE, W::INVALID_HANDLE),
    (S::OBJECT_TYPE_MISMATCH, W::INVALID_HANDLE),
    (S::NOT_SAME_DEVICE, W::NOT_SAME_DEVICE),
    (S::SECTION_NOT_EXTENDED, W::OUTOFMEMORY),
    (S::SHARING_VIOLATION, W::SHARING_VIOLATION),
    (S::NO_SUCH_FILE, W::FILE_NOT_FOUND),
    (S::OBJECT_NAME_NOT_FOUND, W::FILE_NOT_FOUND),
    (S::OBJECT_PATH_NOT_FOUND, W::PATH_NOT_FOUND),
    (S::OBJECT_PATH_SYNTAX_BAD, W::BAD_PATHNAME),
    (S::NAME_TOO_LONG, W::FILENAME_EXCED_RANGE),
    (S::HANDLE_NOT_CLOSABLE, W::INVALID_HANDLE),
    (S::OBJECT_NAME_INVALID, W::INVALID_NAME),
    (S::OBJECT_NAME_COLLISION, W::ALREADY_EXISTS),
    (S::OBJECT_NAME_EXISTS, W::ALREADY_EXISTS),
    (S::NO_MORE_FILES, W::NO_MORE_FILES),
    (S::END_OF_FILE, W::HANDLE_EOF),
    (S::DEVICE_DATA_ERROR, W::CRC),
    (S::NOT_A_DIRECTORY, W::DIRECTORY),
    (S::DIRECTORY_NOT_EMPTY, W::DIR_NOT_EMPTY),
    (S::MEDIA_WRITE_PROTECTED, W::WRITE_PROTECT),
    (S::PIPE_BROKEN, W::BROKEN_PIPE),
    (S::INVALID_DEVICE_REQUEST, W::INVALID_FUNCTION),
    (S::NOT_IMPLEMENTED, W::INVALID_FUNCTION),
    (S::NOT_SUPPORTED, W::NOT_SUPPORTED),
    (S::NOT_FOUND, W::NOT_FOUND),
    (S::DLL_NOT_FOUND, W::MOD_NOT_FOUND),
    (S::ENTRYPOINT_NOT_FOUND, W::PROC_NOT_FOUND),
    (S::ORDINAL_NOT_FOUND, W::PROC_NOT_FOUND),
    (S::DLL_INIT_FAILED, W::DLL_INIT_FAILED),
    (S::MUTANT_NOT_OWNED, W::NOT_OWNER),
    (S::SEMAPHORE_LIMIT_EXCEEDED, W::TOO_MANY_POSTS),
    (S::UNMAPPABLE_CHARACTER, W::NO_UNICODE_TRANSLATION),
];

impl fmt::Debug for Win32Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "ERROR_{name}"),
            None => write!(f, "Win32Error({})", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_become_the_errors_programs_see() {
        let error = |status: NtStatus| Win32Error::from(status).raw();
        assert_eq!(error(NtStatus::invalid_parameter(4)), 87);
        assert_eq!(error(NtStatus::CONFLICTING_ADDRESSES), 487);
        assert_eq!(error(NtStatus::GUARD_PAGE_VIOLATION), 0x8000_0001);
        assert_eq!(error(NtStatus::IMAGE_NOT_AT_BASE), 0);
        assert_eq!(error(NtStatus::new(0xc0ff_eeee)), 317);
    }

    #[test]
    fn every_failing_status_is_tabled_once() {
        for (i, (status, _)) in TABLE.iter().enumerate() {
            assert!(!TABLE[i + 1..].iter().any(|(other, _)| other == status), "{status:?} twice");
        }
    }
}
