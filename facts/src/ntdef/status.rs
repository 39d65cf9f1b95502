//! NTSTATUS values and their names.

use std::fmt;

/// An `NTSTATUS`: what a service returns and what an exception carries.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NtStatus(u32);

impl NtStatus {
    /// Wraps a raw status.
    pub const fn new(raw: u32) -> Self {
        Self(raw)
    }

    /// The status as a number.
    pub const fn raw(self) -> u32 {
        self.0
    }

    /// Success and information statuses: the top bit is clear.
    pub const fn is_success(self) -> bool {
        self.0 & 0x8000_0000 == 0
    }

    /// `STATUS_INVALID_PARAMETER_n`.
    ///
    /// # Panics
    ///
    /// If `n` is not in 1 to 12.
    pub const fn invalid_parameter(n: u32) -> Self {
        assert!(1 <= n && n <= 12, "there are twelve numbered parameter statuses");
        Self(0xc000_00ee + n)
    }
}

macro_rules! statuses {
    ($($(#[$doc:meta])* $name:ident = $value:literal;)*) => {
        impl NtStatus {
            $($(#[$doc])* pub const $name: Self = Self($value);)*

            /// The name without its `STATUS_` prefix, where it has one here.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

statuses! {
    /// Done.
    SUCCESS = 0x0000_0000;
    /// A wait was satisfied by an abandoned mutex.
    ABANDONED_WAIT_0 = 0x0000_0080;
    /// An alertable wait ended for an APC.
    USER_APC = 0x0000_00c0;
    /// An alertable wait ended for another thread's alert.
    ALERTED = 0x0000_0101;
    /// A wait ended by time.
    TIMEOUT = 0x0000_0102;
    /// The operation goes on.
    PENDING = 0x0000_0103;
    /// There are more entries than fit.
    MORE_ENTRIES = 0x0000_0105;
    /// What was watched is gone.
    NOTIFY_CLEANUP = 0x0000_010b;
    /// Something changed in what was watched.
    NOTIFY_ENUM_DIR = 0x0000_010c;
    /// A named object was there already.
    OBJECT_NAME_EXISTS = 0x4000_0000;
    /// An image is mapped elsewhere than at its preferred base (SPEC G25).
    IMAGE_NOT_AT_BASE = 0x4000_0003;
    /// An image is for another machine than the process (SPEC G27).
    IMAGE_MACHINE_TYPE_MISMATCH = 0x4000_000e;
    /// A locked page can no longer be touched and lost its lock.
    WAS_UNLOCKED = 0x4000_0017;
    /// A timer cannot wake the machine.
    TIMER_RESUME_IGNORED = 0x4000_0025;
    /// Pages were locked already (SPEC J8).
    WAS_LOCKED = 0x4000_0019;
    /// A guard page was touched (SPEC E11).
    GUARD_PAGE_VIOLATION = 0x8000_0001;
    /// A pointer is not aligned as it must be.
    DATATYPE_MISALIGNMENT = 0x8000_0002;
    /// A breakpoint instruction.
    BREAKPOINT = 0x8000_0003;
    /// A single step.
    SINGLE_STEP = 0x8000_0004;
    /// The buffer took only part of the data.
    BUFFER_OVERFLOW = 0x8000_0005;
    /// No more directory entries.
    NO_MORE_FILES = 0x8000_0006;
    /// No more keys, values or the like.
    NO_MORE_ENTRIES = 0x8000_001a;
    /// Only part of a copy was done (SPEC D38).
    PARTIAL_COPY = 0x8000_000d;
    /// The operation failed.
    UNSUCCESSFUL = 0xc000_0001;
    /// Not implemented here.
    NOT_IMPLEMENTED = 0xc000_0002;
    /// A wait for all names one object twice, or parameters do not fit together.
    INVALID_PARAMETER_MIX = 0xc000_0030;
    /// No other thread was ready.
    NO_YIELD_PERFORMED = 0x4000_0024;
    /// A thread is suspended as often as can be counted.
    SUSPEND_COUNT_EXCEEDED = 0xc000_004a;
    /// The thread has ended.
    THREAD_IS_TERMINATING = 0xc000_004b;
    /// No such information class.
    INVALID_INFO_CLASS = 0xc000_0003;
    /// A buffer length does not fit the structure (SPEC D1).
    INFO_LENGTH_MISMATCH = 0xc000_0004;
    /// Memory was touched that may not be (SPEC E1).
    ACCESS_VIOLATION = 0xc000_0005;
    /// A page could not be read in (SPEC E27).
    IN_PAGE_ERROR = 0xc000_0006;
    /// Over the page-file quota.
    PAGEFILE_QUOTA = 0xc000_0007;
    /// No such handle.
    INVALID_HANDLE = 0xc000_0008;
    /// No process or thread of that number.
    INVALID_CID = 0xc000_000b;
    /// A wrong parameter.
    INVALID_PARAMETER = 0xc000_000d;
    /// The disk has no room.
    DISK_FULL = 0xc000_007f;
    /// The device failed.
    IO_DEVICE_ERROR = 0xc000_0185;
    /// No such device.
    NO_SUCH_DEVICE = 0xc000_000e;
    /// No such file.
    NO_SUCH_FILE = 0xc000_000f;
    /// The device does not know the request.
    INVALID_DEVICE_REQUEST = 0xc000_0010;
    /// Read at or past the end of the file.
    END_OF_FILE = 0xc000_0011;
    /// No address range or memory (SPEC A36).
    NO_MEMORY = 0xc000_0017;
    /// The range overlaps something else (SPEC A28).
    CONFLICTING_ADDRESSES = 0xc000_0018;
    /// No view there (SPEC F44).
    NOT_MAPPED_VIEW = 0xc000_0019;
    /// The range leaves its region (SPEC B4).
    UNABLE_TO_FREE_VM = 0xc000_001a;
    /// The region is a view (SPEC B5).
    UNABLE_TO_DELETE_SECTION = 0xc000_001b;
    /// The instruction is not one the processor has.
    ILLEGAL_INSTRUCTION = 0xc000_001d;
    /// A view passes the section's end (SPEC F33).
    INVALID_VIEW_SIZE = 0xc000_001f;
    /// The file cannot back such a section.
    INVALID_FILE_FOR_SECTION = 0xc000_0020;
    /// Commit on a file view (SPEC A42).
    ALREADY_COMMITTED = 0xc000_0021;
    /// Not allowed.
    ACCESS_DENIED = 0xc000_0022;
    /// The buffer is too small.
    BUFFER_TOO_SMALL = 0xc000_0023;
    /// The handle names another kind of object.
    OBJECT_TYPE_MISMATCH = 0xc000_0024;
    /// An exception that cannot be continued was.
    NONCONTINUABLE_EXCEPTION = 0xc000_0025;
    /// Pages were not locked (SPEC J10).
    NOT_LOCKED = 0xc000_002a;
    /// The pages are not committed (SPEC C6).
    NOT_COMMITTED = 0xc000_002d;
    /// A name is malformed.
    OBJECT_NAME_INVALID = 0xc000_0033;
    /// No object of that name.
    OBJECT_NAME_NOT_FOUND = 0xc000_0034;
    /// An object of that name exists.
    OBJECT_NAME_COLLISION = 0xc000_0035;
    /// A folder of the path is missing.
    OBJECT_PATH_NOT_FOUND = 0xc000_003a;
    /// A path does not begin at a root.
    OBJECT_PATH_SYNTAX_BAD = 0xc000_003b;
    /// A section is too big (SPEC F10).
    SECTION_TOO_BIG = 0xc000_0040;
    /// Another opener forbids it.
    SHARING_VIOLATION = 0xc000_0043;
    /// Over a quota.
    QUOTA_EXCEEDED = 0xc000_0044;
    /// A protection that does not exist (SPEC A7).
    INVALID_PAGE_PROTECTION = 0xc000_0045;
    /// A mutex is not owned by the caller.
    MUTANT_NOT_OWNED = 0xc000_0046;
    /// A semaphore would pass its maximum.
    SEMAPHORE_LIMIT_EXCEEDED = 0xc000_0047;
    /// The section is not an image.
    SECTION_NOT_IMAGE = 0xc000_0049;
    /// Working-set limits that do not go together (SPEC J2).
    BAD_WORKING_SET_LIMIT = 0xc000_004c;
    /// The file has a map that does not fit.
    INCOMPATIBLE_FILE_MAP = 0xc000_004d;
    /// The view does not allow the protection (SPEC C13).
    SECTION_PROTECTION = 0xc000_004e;
    /// Extended attributes are not kept here.
    EAS_NOT_SUPPORTED = 0xc000_004f;
    /// The file has no extended attributes.
    NO_EAS_ON_FILE = 0xc000_0052;
    /// Another handle has locked those bytes.
    LOCK_NOT_GRANTED = 0xc000_0055;
    /// The file goes when its last handle is closed, and is opened no more.
    DELETE_PENDING = 0xc000_0056;
    /// No lock covers exactly those bytes.
    RANGE_NOT_LOCKED = 0xc000_007e;
    /// Another opener's instance of the pipe is as many as there may be.
    INSTANCE_NOT_AVAILABLE = 0xc000_00ab;
    /// No instance of the pipe waits for a client.
    PIPE_NOT_AVAILABLE = 0xc000_00ac;
    /// The pipe cannot do that in its state.
    INVALID_PIPE_STATE = 0xc000_00ad;
    /// Nobody opened the pipe's other end any more.
    PIPE_DISCONNECTED = 0xc000_00b0;
    /// The pipe's other end was closed.
    PIPE_CLOSING = 0xc000_00b1;
    /// The pipe has a client already.
    PIPE_CONNECTED = 0xc000_00b2;
    /// The pipe waits for a client.
    PIPE_LISTENING = 0xc000_00b3;
    /// The read mode does not fit the pipe.
    INVALID_READ_MODE = 0xc000_00b4;
    /// There is no network.
    BAD_NETWORK_PATH = 0xc000_00be;
    /// There is nothing in the pipe.
    PIPE_EMPTY = 0xc000_00d9;
    /// The operation was called off.
    CANCELLED = 0xc000_0120;
    /// The file is no link.
    NOT_A_REPARSE_POINT = 0xc000_0275;
    /// A byte-range lock conflicts.
    FILE_LOCK_CONFLICT = 0xc000_0054;
    /// A security descriptor or a list of another revision.
    UNKNOWN_REVISION = 0xc000_0058;
    /// Objects cannot belong to that one.
    INVALID_OWNER = 0xc000_005a;
    /// The account is not in that group.
    INVALID_PRIMARY_GROUP = 0xc000_005b;
    /// A token that is not for a thread to act with.
    NO_IMPERSONATION_TOKEN = 0xc000_005c;
    /// A mandatory group stays enabled.
    CANT_DISABLE_MANDATORY = 0xc000_005d;
    /// No such logon.
    NO_SUCH_LOGON_SESSION = 0xc000_005f;
    /// A privilege is missing.
    PRIVILEGE_NOT_HELD = 0xc000_0061;
    /// A list of access entries is broken.
    INVALID_ACL = 0xc000_0077;
    /// A security identifier is broken.
    INVALID_SID = 0xc000_0078;
    /// A security descriptor is broken.
    INVALID_SECURITY_DESCR = 0xc000_0079;
    /// Not an image (SPEC G4).
    INVALID_IMAGE_FORMAT = 0xc000_007b;
    /// No DLL of that ordinal.
    ORDINAL_NOT_FOUND = 0xc000_0138;
    /// No such procedure in the DLL.
    ENTRYPOINT_NOT_FOUND = 0xc000_0139;
    /// No such DLL.
    DLL_NOT_FOUND = 0xc000_0135;
    /// A DLL's initialisation failed.
    DLL_INIT_FAILED = 0xc000_0142;
    /// The section cannot grow (SPEC F24).
    SECTION_NOT_EXTENDED = 0xc000_0087;
    /// A floating-point operation without a result.
    FLOAT_INVALID_OPERATION = 0xc000_0090;
    /// An integer was divided by zero.
    INTEGER_DIVIDE_BY_ZERO = 0xc000_0094;
    /// A quotient does not fit.
    INTEGER_OVERFLOW = 0xc000_0095;
    /// A privileged instruction in ring 3.
    PRIVILEGED_INSTRUCTION = 0xc000_0096;
    /// A resource ran out.
    INSUFFICIENT_RESOURCES = 0xc000_009a;
    /// The file cannot be used so.
    FILE_INVALID = 0xc000_0098;
    /// The medium could not be read.
    DEVICE_DATA_ERROR = 0xc000_009c;
    /// Release not at the region's base (SPEC B6).
    FREE_VM_NOT_AT_BASE = 0xc000_009f;
    /// Nothing allocated there (SPEC B3).
    MEMORY_NOT_ALLOCATED = 0xc000_00a0;
    /// Over the working-set limit (SPEC J7).
    WORKING_SET_QUOTA = 0xc000_00a1;
    /// A token does not allow what it is used for.
    BAD_IMPERSONATION_LEVEL = 0xc000_00a5;
    /// A token of the wrong kind.
    BAD_TOKEN_TYPE = 0xc000_00a8;
    /// A generic right where the rights of an object are wanted.
    GENERIC_NOT_MAPPED = 0xc000_00e6;
    /// The medium is write-protected.
    MEDIA_WRITE_PROTECTED = 0xc000_00a2;
    /// The file is a folder.
    FILE_IS_A_DIRECTORY = 0xc000_00ba;
    /// Not supported.
    NOT_SUPPORTED = 0xc000_00bb;
    /// The other end of a pipe is gone.
    PIPE_BROKEN = 0xc000_014b;
    /// The two files are not the same (SPEC F52).
    NOT_SAME_DEVICE = 0xc000_00d4;
    /// A folder is not empty.
    DIRECTORY_NOT_EMPTY = 0xc000_0101;
    /// A name is longer than can be told.
    NAME_TOO_LONG = 0xc000_0106;
    /// Not a folder.
    NOT_A_DIRECTORY = 0xc000_0103;
    /// The process is ending (SPEC A15).
    PROCESS_IS_TERMINATING = 0xc000_010a;
    /// An OS/2 program of the NE kind (SPEC G3).
    INVALID_IMAGE_NE_FORMAT = 0xc000_011b;
    /// An empty file cannot be mapped (SPEC F8).
    MAPPED_FILE_SIZE_ZERO = 0xc000_011e;
    /// The file cannot be deleted.
    CANNOT_DELETE = 0xc000_0121;
    /// No commit left (SPEC A37).
    COMMITMENT_LIMIT = 0xc000_012d;
    /// An OS/2 program of the LE kind (SPEC G3).
    INVALID_IMAGE_LE_FORMAT = 0xc000_012e;
    /// No MZ signature (SPEC G1).
    INVALID_IMAGE_NOT_MZ = 0xc000_012f;
    /// A DOS program (SPEC G3).
    INVALID_IMAGE_PROTECT = 0xc000_0130;
    /// A 16-bit Windows program (SPEC G3).
    INVALID_IMAGE_WIN_16 = 0xc000_0131;
    /// An address that is not there (SPEC D21).
    INVALID_ADDRESS = 0xc000_0141;
    /// Ended by Ctrl-C.
    CONTROL_C_EXIT = 0xc000_013a;
    /// No translation for a character.
    UNMAPPABLE_CHARACTER = 0xc000_0162;
    /// The key was deleted.
    KEY_DELETED = 0xc000_017c;
    /// Below a volatile key all are volatile.
    CHILD_MUST_BE_VOLATILE = 0xc000_0181;
    /// The process asked for no clock tick.
    TIMER_RESOLUTION_NOT_SET = 0xc000_0245;
    /// The registry is full.
    REGISTRY_QUOTA_LIMIT = 0xc000_0256;
    /// A wait that nothing can end.
    POSSIBLE_DEADLOCK = 0xc000_0194;
    /// Two handles name two objects.
    NOT_SAME_OBJECT = 0xc000_01ac;
    /// The handle is protected from being closed.
    HANDLE_NOT_CLOSABLE = 0xc000_0235;
    /// A lock is not held by whoever leaves it.
    RESOURCE_NOT_OWNED = 0xc000_0264;
    /// A heap was given what is no block of it.
    HEAP_CORRUPTION = 0xc000_0374;
    /// The stack ran out (SPEC E18).
    STACK_OVERFLOW = 0xc000_00fd;
    /// A base or offset is not on its unit (SPEC F27).
    MAPPED_ALIGNMENT = 0xc000_0220;
    /// Not found.
    NOT_FOUND = 0xc000_0225;
    /// The file is mapped by a user (SPEC F50).
    USER_MAPPED_FILE = 0xc000_0243;
    /// There is no port, and no debugger.
    PORT_NOT_SET = 0xc000_0353;
    /// A 32-bit image where none can run (SPEC G5).
    INVALID_IMAGE_WIN_32 = 0xc000_0359;
    /// A 64-bit image where none can run (SPEC G5).
    INVALID_IMAGE_WIN_64 = 0xc000_035a;
    /// A fast-fail request: the program found itself corrupt.
    STACK_BUFFER_OVERRUN = 0xc000_0409;
    /// A fail-fast request of the program's own.
    FAIL_FAST_EXCEPTION = 0xc000_0602;
    /// A dynamic-code policy forbids it (SPEC C28).
    DYNAMIC_CODE_BLOCKED = 0xc000_0604;
}

impl fmt::Debug for NtStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for NtStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.name(), self.0) {
            (Some(name), _) => write!(f, "STATUS_{name}"),
            (None, raw @ 0xc000_00ef..=0xc000_00fa) => {
                write!(f, "STATUS_INVALID_PARAMETER_{}", raw - 0xc000_00ee)
            }
            (None, raw) => write!(f, "NTSTATUS({raw:#010x})"),
        }
    }
}
