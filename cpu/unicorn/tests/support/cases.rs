//! Single instructions that run against a page that is not there.

use super::{AX, BX, CX, DI, HOLE, SI, SP};
use vadose_facts::x86::Access;

pub(crate) const EDGE: u64 = HOLE;
/// The page before the hole.
pub(crate) const BEFORE: u64 = HOLE - 0x1000;

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
    case("push", &[0x50], &[(SP, EDGE + 0x20)], u64::MAX, W),
    case("pop", &[0x58], &[(SP, EDGE + 0x20)], EDGE + 0x20, R),
    case("pop across", &[0x58], &[(SP, EDGE - 2)], EDGE, R),
    case("push from memory", &[0xff, 0x36], &[(SI, EDGE + 0x48)], EDGE + 0x48, R),
    case("pop to memory", &[0x8f, 0x06], &[(SI, EDGE + 0x48)], EDGE + 0x48, W),
    case("call", &[0xe8, 0, 0, 0, 0], &[(SP, EDGE + 0x20)], u64::MAX, W),
    case("call through memory", &[0xff, 0x16], &[(SI, EDGE + 0x50)], EDGE + 0x50, R),
    case("ret", &[0xc3], &[(SP, EDGE + 0x60)], EDGE + 0x60, R),
    case("leave", &[0xc9], &[(5, EDGE + 0x60)], EDGE + 0x60, R),
    case("enter", &[0xc8, 0x10, 0, 0], &[(SP, EDGE + 0x20)], u64::MAX, W),
    case("pushf", &[0x9c], &[(SP, EDGE + 0x20)], u64::MAX, W),
];
