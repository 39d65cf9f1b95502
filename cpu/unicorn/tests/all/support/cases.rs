//! Single instructions that run against a page that is not there.

use super::{AX, BX, CX, DI, DX, HOLE, SI, SP};
use vadose_facts::x86::Access;

pub(crate) const EDGE: u64 = HOLE;
/// The page before the hole.
pub(crate) const BEFORE: u64 = HOLE - 0x1000;
/// The page behind the hole.
pub(crate) const ABOVE: u64 = HOLE + 0x1000;
/// Stands for the word below the stack pointer.
const PUSHED: u64 = u64::MAX;

/// One instruction against the hole: what it is, registers, and the fault it must raise.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) bytes: &'static [u8],
    pub(crate) registers: &'static [(usize, u64)],
    pub(crate) address: u64,
    pub(crate) access: Access,
}

const R: Access = Access::Read;
const W: Access = Access::Write;

const fn case(
    name: &'static str,
    bytes: &'static [u8],
    registers: &'static [(usize, u64)],
    address: u64,
    access: Access,
) -> Case {
    Case { name, bytes, registers, address, access }
}

impl Case {
    /// The byte that fails, for a stack whose words have so many bytes.
    pub(crate) fn failing_byte(&self, word: u64) -> u64 {
        let sp = self.registers.iter().find(|(register, _)| *register == SP).map_or(0, |(_, value)| *value);
        match self.address {
            PUSHED => sp - word,
            address => address,
        }
    }
}

/// Encodings that mean the same in both modes, with 32-bit operands.
pub(crate) const CASES: &[Case] = &[
    case("load", &[0x8b, 0x06], &[(SI, EDGE + 0xabc)], EDGE + 0xabc, R),
    case("load across", &[0x8b, 0x06], &[(SI, EDGE - 3)], EDGE, R),
    case("store", &[0x89, 0x06], &[(SI, EDGE + 4)], EDGE + 4, W),
    case("store across", &[0x89, 0x06], &[(SI, EDGE - 1)], EDGE, W),
    case("store up from the hole", &[0x89, 0x06], &[(SI, EDGE + 0xfff)], EDGE + 0xfff, W),
    case("add to memory", &[0x01, 0x06], &[(SI, EDGE + 8)], EDGE + 8, W),
    case("add to memory across", &[0x01, 0x06], &[(SI, EDGE - 2)], EDGE, W),
    case("add from memory", &[0x03, 0x06], &[(SI, EDGE + 8)], EDGE + 8, R),
    case("compare", &[0x39, 0x06], &[(SI, EDGE + 8)], EDGE + 8, R),
    case("lock inc", &[0xf0, 0xff, 0x06], &[(SI, EDGE + 0x10)], EDGE + 0x10, W),
    case("xchg", &[0x87, 0x06], &[(SI, EDGE + 0x10)], EDGE + 0x10, W),
    case("lock cmpxchg", &[0xf0, 0x0f, 0xb1, 0x0e], &[(SI, EDGE + 0x14)], EDGE + 0x14, W),
    case("cmpxchg8b", &[0x0f, 0xc7, 0x0e], &[(SI, EDGE + 0x18)], EDGE + 0x18, W),
    case("setz", &[0x0f, 0x94, 0x06], &[(SI, EDGE + 1)], EDGE + 1, W),
    case("base, index, scale", &[0x8b, 0x44, 0x8e, 0x10], &[(SI, EDGE), (CX, 5)], EDGE + 0x24, R),
    case("movsb, source", &[0xa4], &[(SI, EDGE + 5), (DI, BEFORE)], EDGE + 5, R),
    case("movsb, target", &[0xa4], &[(SI, BEFORE), (DI, EDGE + 5)], EDGE + 5, W),
    case("rep stosd", &[0xf3, 0xab], &[(DI, EDGE - 8), (CX, 9)], EDGE, W),
    case("rep stosd across", &[0xf3, 0xab], &[(DI, EDGE - 6), (CX, 9)], EDGE, W),
    case("rep movsb", &[0xf3, 0xa4], &[(SI, BEFORE), (DI, EDGE - 16), (CX, 99)], EDGE, W),
    case("rep movsb, source", &[0xf3, 0xa4], &[(SI, EDGE - 7), (DI, BEFORE), (CX, 99)], EDGE, R),
    case("lodsd", &[0xad], &[(SI, EDGE + 2)], EDGE + 2, R),
    case("scasb", &[0xae], &[(DI, EDGE + 2)], EDGE + 2, R),
    case("cmpsb, second", &[0xa6], &[(SI, BEFORE), (DI, EDGE + 7)], EDGE + 7, R),
    case("xlat", &[0xd7], &[(BX, EDGE), (AX, 0x21)], EDGE + 0x21, R),
    case("movups load", &[0x0f, 0x10, 0x06], &[(SI, EDGE + 0x33)], EDGE + 0x33, R),
    case("movups load across", &[0x0f, 0x10, 0x06], &[(SI, EDGE - 15)], EDGE, R),
    case("movups load across by half", &[0x0f, 0x10, 0x06], &[(SI, EDGE - 8)], EDGE, R),
    case("movups store across", &[0x0f, 0x11, 0x06], &[(SI, EDGE - 5)], EDGE, W),
    case("movq store", &[0x66, 0x0f, 0xd6, 0x06], &[(SI, EDGE + 9)], EDGE + 9, W),
    case("fld m80 across", &[0xdb, 0x2e], &[(SI, EDGE - 9)], EDGE, R),
    case("fstp m80 across", &[0xdb, 0x3e], &[(SI, EDGE - 4)], EDGE, W),
    case("fxsave", &[0x0f, 0xae, 0x06], &[(SI, EDGE - 0x100)], EDGE, W),
    case("fxrstor", &[0x0f, 0xae, 0x0e], &[(SI, EDGE + 0x10)], EDGE + 0x10, R),
    case("bts in a bit string", &[0x0f, 0xab, 0x0e], &[(SI, BEFORE), (CX, 0x8000 + 37)], EDGE + 4, W),
    case(
        "bt below its base",
        &[0x0f, 0xa3, 0x0e],
        &[(SI, EDGE + 0x1000), (CX, 0xffff_ffff)],
        EDGE + 0xffc,
        R,
    ),
    case("push", &[0x50], &[(SP, EDGE + 0x20)], PUSHED, W),
    case("pop", &[0x58], &[(SP, EDGE + 0x20)], EDGE + 0x20, R),
    case("pop across", &[0x58], &[(SP, EDGE - 2)], EDGE, R),
    case("push from memory", &[0xff, 0x36], &[(SI, EDGE + 0x48)], EDGE + 0x48, R),
    case("pop to memory", &[0x8f, 0x06], &[(SI, EDGE + 0x48)], EDGE + 0x48, W),
    case("call", &[0xe8, 0, 0, 0, 0], &[(SP, EDGE + 0x20)], PUSHED, W),
    case("call through memory", &[0xff, 0x16], &[(SI, EDGE + 0x50)], EDGE + 0x50, R),
    case("ret", &[0xc3], &[(SP, EDGE + 0x60)], EDGE + 0x60, R),
    case("leave", &[0xc9], &[(5, EDGE + 0x60)], EDGE + 0x60, R),
    case("enter", &[0xc8, 0x10, 0, 0], &[(SP, EDGE + 0x20)], PUSHED, W),
    case("pushf", &[0x9c], &[(SP, EDGE + 0x20)], PUSHED, W),
    case("push across", &[0x50], &[(SP, ABOVE + 2)], PUSHED, W),
    case("push down from a page", &[0x50], &[(SP, ABOVE)], PUSHED, W),
    case("call across", &[0xe8, 0, 0, 0, 0], &[(SP, ABOVE + 2)], PUSHED, W),
    case("enter across", &[0xc8, 0x10, 0, 0], &[(SP, ABOVE + 2)], PUSHED, W),
    case("ret across", &[0xc3], &[(SP, EDGE - 2)], EDGE, R),
    case("leave across", &[0xc9], &[(5, EDGE - 2)], EDGE, R),
    case("cmpxchg that writes back", &[0x0f, 0xb1, 0x0e], &[(SI, EDGE - 2), (AX, 0), (DX, 0)], EDGE, W),
    case("fxsave across", &[0x0f, 0xae, 0x06], &[(SI, EDGE - 0x90)], EDGE, W),
    case("fxrstor across", &[0x0f, 0xae, 0x0e], &[(SI, EDGE - 0x20)], EDGE, R),
    case("fnsave across", &[0xdd, 0x36], &[(SI, EDGE - 30)], EDGE, W),
    case("frstor across", &[0xdd, 0x26], &[(SI, EDGE - 50)], EDGE, R),
    case("fnstenv across", &[0xd9, 0x36], &[(SI, EDGE - 4)], EDGE, W),
    case("fldcw", &[0xd9, 0x2e], &[(SI, EDGE - 1)], EDGE, R),
    case("stmxcsr across", &[0x0f, 0xae, 0x1e], &[(SI, EDGE - 3)], EDGE, W),
    case("ldmxcsr", &[0x0f, 0xae, 0x16], &[(SI, EDGE + 4)], EDGE + 4, R),
    case("xlat above", &[0xd7], &[(BX, EDGE - 0x20), (AX, 0x21)], EDGE + 1, R),
    case("movsd across, source", &[0xa5], &[(SI, EDGE - 2), (DI, BEFORE)], EDGE, R),
    case("movsd across, target", &[0xa5], &[(SI, BEFORE), (DI, EDGE - 2)], EDGE, W),
    case("load of the last byte", &[0x8a, 0x06], &[(SI, EDGE + 0xfff)], EDGE + 0xfff, R),
    case("sidt", &[0x0f, 0x01, 0x0e], &[(SI, EDGE - 1)], EDGE, W),
    case("div by memory", &[0xf7, 0x36], &[(SI, EDGE - 1)], EDGE, R),
];

/// A repeated string instruction that fails in the middle: the state at the failing iteration.
pub(crate) struct StringCase {
    pub(crate) name: &'static str,
    pub(crate) bytes: &'static [u8],
    pub(crate) direction: Direction,
    /// CX, SI and DI at the start.
    pub(crate) start: [u64; 3],
    /// The byte and the access that fail.
    pub(crate) fault: (u64, Access),
    /// CX, SI and DI then.
    pub(crate) then: [u64; 3],
}

/// The direction flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Up,
    Down,
}

const fn string(
    name: &'static str,
    bytes: &'static [u8],
    direction: Direction,
    start: [u64; 3],
    fault: (u64, Access),
    then: [u64; 3],
) -> StringCase {
    StringCase { name, bytes, direction, start, fault, then }
}

use Direction::{Down, Up};

const B: u64 = BEFORE;
const E: u64 = EDGE;

/// Memory on both sides of the hole holds zeros, and AX is zero.
pub(crate) const STRINGS: &[StringCase] = &[
    string("rep movsb", &[0xf3, 0xa4], Up, [10, B, E - 3], (E, W), [7, B + 3, E]),
    string("rep movsd across", &[0xf3, 0xa5], Up, [9, B, E - 10], (E, W), [7, B + 8, E - 2]),
    string("rep movsd, source", &[0xf3, 0xa5], Up, [9, E - 10, B], (E, R), [7, E - 2, B + 8]),
    string("rep movsw, source", &[0x66, 0xf3, 0xa5], Up, [9, E - 4, B], (E, R), [7, E, B + 4]),
    string("rep stosb", &[0xf3, 0xaa], Up, [8, B, E - 5], (E, W), [3, B, E]),
    string("rep stosw across", &[0x66, 0xf3, 0xab], Up, [8, B, E - 5], (E, W), [6, B, E - 1]),
    string("rep stosd at once", &[0xf3, 0xab], Up, [8, B, E + 0x10], (E + 0x10, W), [8, B, E + 0x10]),
    string("rep lodsb", &[0xf3, 0xac], Up, [9, E - 4, B], (E, R), [5, E, B]),
    string("rep lodsd across", &[0xf3, 0xad], Up, [9, E - 6, B], (E, R), [8, E - 2, B]),
    string("repe cmpsb", &[0xf3, 0xa6], Up, [20, B, E - 6], (E, R), [14, B + 6, E]),
    string("repe cmpsb, first", &[0xf3, 0xa6], Up, [20, E - 6, B], (E, R), [14, E, B + 6]),
    string("repe cmpsd across", &[0xf3, 0xa7], Up, [20, B, E - 7], (E, R), [19, B + 4, E - 3]),
    string("repe scasb", &[0xf3, 0xae], Up, [5, B, E - 2], (E, R), [3, B, E]),
    string("repe scasd across", &[0xf3, 0xaf], Up, [5, B, E - 7], (E, R), [4, B, E - 3]),
    string("rep stosb down", &[0xf3, 0xaa], Down, [9, B, ABOVE + 2], (E + 0xfff, W), [6, B, E + 0xfff]),
    string("rep stosd down", &[0xf3, 0xab], Down, [9, B, ABOVE + 4], (E + 0xffc, W), [7, B, E + 0xffc]),
    string(
        "rep stosd down across",
        &[0xf3, 0xab],
        Down,
        [9, B, ABOVE + 6],
        (E + 0xffe, W),
        [7, B, E + 0xffe],
    ),
    string(
        "rep movsb down",
        &[0xf3, 0xa4],
        Down,
        [9, ABOVE + 1, B + 9],
        (E + 0xfff, R),
        [7, E + 0xfff, B + 7],
    ),
];
