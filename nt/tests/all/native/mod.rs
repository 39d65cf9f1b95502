//! Native services called with the structures that they take: names, handles, two threads.

use crate::world::World;
use vadose_nt::UserPtr;

/// `GENERIC_ALL`.
pub(crate) const ALL: u64 = 0x1000_0000;
/// `OBJ_CASE_INSENSITIVE`, `OBJ_OPENIF`.
pub(crate) const ANY_CASE: u64 = 0x40;
pub(crate) const OPEN_IF: u64 = 0x80;
/// The current process and thread.
pub(crate) const SELF: u64 = u64::MAX;
pub(crate) const THREAD: u64 = u64::MAX - 1;

/// Statuses that the tests name.
pub(crate) mod status {
    pub(crate) const ABANDONED: u32 = 0x80;
    pub(crate) const ALERTED: u32 = 0x101;
    pub(crate) const TIMEOUT: u32 = 0x102;
    pub(crate) const MORE_ENTRIES: u32 = 0x105;
    pub(crate) const NAME_EXISTS: u32 = 0x4000_0000;
    pub(crate) const RESUME_IGNORED: u32 = 0x4000_0025;
    pub(crate) const NO_MORE_ENTRIES: u32 = 0x8000_001a;
    pub(crate) const BUFFER_OVERFLOW: u32 = 0x8000_0005;
    pub(crate) const NOT_IMPLEMENTED: u32 = 0xc000_0002;
    pub(crate) const INVALID_CLASS: u32 = 0xc000_0003;
    pub(crate) const LENGTH_MISMATCH: u32 = 0xc000_0004;
    pub(crate) const ACCESS_VIOLATION: u32 = 0xc000_0005;
    pub(crate) const INVALID_HANDLE: u32 = 0xc000_0008;
    pub(crate) const INVALID_CID: u32 = 0xc000_000b;
    pub(crate) const INVALID_PARAMETER: u32 = 0xc000_000d;
    pub(crate) const ACCESS_DENIED: u32 = 0xc000_0022;
    pub(crate) const BUFFER_TOO_SMALL: u32 = 0xc000_0023;
    pub(crate) const TYPE_MISMATCH: u32 = 0xc000_0024;
    pub(crate) const NAME_INVALID: u32 = 0xc000_0033;
    pub(crate) const NAME_NOT_FOUND: u32 = 0xc000_0034;
    pub(crate) const NAME_COLLISION: u32 = 0xc000_0035;
    pub(crate) const PATH_NOT_FOUND: u32 = 0xc000_003a;
    pub(crate) const PATH_SYNTAX_BAD: u32 = 0xc000_003b;
    pub(crate) const NOT_OWNED: u32 = 0xc000_0046;
    pub(crate) const LIMIT_EXCEEDED: u32 = 0xc000_0047;
    pub(crate) const PRIVILEGE_NOT_HELD: u32 = 0xc000_0061;
    pub(crate) const PARAMETER_1: u32 = 0xc000_00ef;
    pub(crate) const PARAMETER_4: u32 = 0xc000_00f2;
    pub(crate) const PARAMETER_6: u32 = 0xc000_00f4;
    pub(crate) const NOT_SAME_OBJECT: u32 = 0xc000_01ac;
    pub(crate) const NOT_CLOSABLE: u32 = 0xc000_0235;
}

/// Places among the test's variables.
pub(crate) const OUT: u64 = 0x600;
pub(crate) const TIME: u64 = 0x640;
const ATTRIBUTES: u64 = 0x680;
const STRING: u64 = 0x6c0;
const TEXT: u64 = 0x700;

/// A null-safe address that no program has.
pub(crate) const BAD: u64 = 0x0bad_0000;

impl World {
    /// Calls a service and answers its status.
    pub(crate) fn nt(&mut self, name: &str, arguments: &[u64]) -> u32 {
        self.call(name, arguments) as u32
    }

    /// A `UNICODE_STRING`, at the place of names.
    pub(crate) fn string(&mut self, text: &str) -> u64 {
        let units: Vec<u16> = text.encode_utf16().collect();
        let (at, text_at) = (self.scratch(STRING), self.scratch(TEXT));
        self.kernel().write_wide(UserPtr::new(text_at), &units).expect("the stack is there");
        let bytes = 2 * units.len() as u64;
        self.store(STRING, bytes | bytes << 16);
        let width = self.nt.edition().pointer_bytes();
        self.store(STRING + width, text_at);
        at
    }

    /// `OBJECT_ATTRIBUTES` of a name below a root, with `OBJ_*` bits.
    pub(crate) fn attributes(&mut self, root: u64, name: &str, flags: u64) -> u64 {
        let string = self.string(name);
        self.raw_attributes(root, string, flags)
    }

    /// The same with the name's string as it is given.
    pub(crate) fn raw_attributes(&mut self, root: u64, string: u64, flags: u64) -> u64 {
        let width = self.nt.edition().pointer_bytes();
        for (slot, value) in (0..).zip([6 * width, root, string, flags, 0, 0]) {
            self.store(ATTRIBUTES + slot * width, value);
        }
        self.scratch(ATTRIBUTES)
    }

    /// Makes an object with attributes that are there and what its kind takes besides; answers status and handle.
    pub(crate) fn make_with(&mut self, service: &str, attributes: u64, rest: &[u64]) -> (u32, u64) {
        let to = self.store(OUT, 0xdead_bee0);
        let arguments: Vec<u64> = [to, ALL, attributes].iter().chain(rest).copied().collect();
        let status = self.nt(service, &arguments);
        (status, self.load(OUT))
    }

    /// Makes or opens an object by name.
    pub(crate) fn make(&mut self, service: &str, name: &str, flags: u64, rest: &[u64]) -> (u32, u64) {
        let attributes = self.attributes(0, name, flags);
        self.make_with(service, attributes, rest)
    }

    /// Makes an object without a name.
    pub(crate) fn unnamed(&mut self, service: &str, rest: &[u64]) -> u64 {
        let (status, handle) = self.make_with(service, 0, rest);
        assert_eq!(status, 0, "{service}");
        handle
    }

    /// A time limit, in 100 ns units as native services count it.
    pub(crate) fn time(&mut self, units: i64) -> u64 {
        let at = self.scratch(TIME);
        self.kernel().write_u64(UserPtr::new(at), units.cast_unsigned()).expect("the stack is there");
        at
    }

    /// Reads 32-bit numbers at [`scratch`](World::scratch).
    pub(crate) fn numbers<const N: usize>(&mut self, offset: u64) -> [u32; N] {
        let at = UserPtr::new(self.scratch(offset));
        std::array::from_fn(|index| {
            self.kernel().read_u32(at.offset(4 * index as u64)).expect("the stack is there")
        })
    }

    /// Makes a second thread, suspended; answers its handle and number.
    pub(crate) fn second_thread(&mut self) -> (u64, u32) {
        let to = self.store(OUT, 0);
        let status = self.nt("NtCreateThreadEx", &[to, 0x1f_ffff, 0, SELF, 0x40_1000, 0, 1, 0, 0, 0, 0]);
        assert_eq!(status, 0, "a second thread");
        let handle = self.load(OUT);
        let tid = self.nt.threads().iter().last().expect("it was just made").tid;
        (handle, tid)
    }

    /// The number of the thread that runs.
    pub(crate) fn running_thread(&self) -> u32 {
        self.nt.threads().current().expect("a thread").tid
    }
}
