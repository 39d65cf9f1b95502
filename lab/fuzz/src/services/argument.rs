//! What stands behind an argument: a number, an address, or a structure that is written to the guest for it.

use super::names;
use super::script::Choice;
use vadose_facts::ntdef::Bitness;

/// Allocation types, protections, access masks, dispositions, create options.
const FLAGS: [u64; 32] = [
    0x1000,
    0x2000,
    0x3000,
    0x4000,
    0x8000,
    0x8_0000,
    0x10_0000,
    0x20_0000,
    0x40_0000,
    0x100_0000,
    0x800_0000,
    0x01,
    0x02,
    0x04,
    0x08,
    0x10,
    0x20,
    0x40,
    0x80,
    0x104,
    0x204,
    0x1f_0003,
    0x1f_03ff,
    0x1f_ffff,
    0x12_0089,
    0x12_0116,
    0xf_003f,
    0x2_0019,
    0x0200_0000,
    0x8000_0000,
    0xc000_0000,
    0x1000_0000,
];
/// Numbers at whose borders arithmetic goes wrong.
const BORDERS: [u64; 16] = [
    0x7f,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_f000,
    0xffff_ffff,
    0x1_0000_0000,
    1 << 47,
    (1 << 47) - 1,
    i64::MAX as u64,
    1 << 63,
    u64::MAX - 0xfff,
    u64::MAX - 1,
    u64::MAX,
];
/// Bytes of the structures of one argument.
const SLOT_BYTES: u64 = 0xb0;
/// Where they are in a thread's page.
const SLOTS_AT: u64 = 0x400;
/// Where variables are that keep what a call stored to them for later calls.
const CELLS_AT: u64 = 0x300;
/// How many there are.
const CELLS: u64 = 16;
/// `OBJ_CASE_INSENSITIVE`, with `OBJ_OPENIF` as names of new objects have it, and with `OBJ_INHERIT`.
const ATTRIBUTES: [u64; 4] = [0x40, 0xc0, 0x42, 0x100];

/// A thread's page for its calls, and addresses elsewhere.
#[derive(Clone, Copy)]
pub(super) struct Desk<'a> {
    pub(super) page: u64,
    pub(super) bitness: Bitness,
    pub(super) places: &'a [u64],
}

/// An argument and what is to be written for it.
pub(super) struct Made {
    pub(super) value: Value,
    pub(super) writes: Vec<(u64, Vec<u8>)>,
}

/// An argument's value.
pub(super) enum Value {
    /// Known.
    Is(u64),
    /// What a variable holds.
    Of(u64),
}

impl Desk<'_> {
    /// Bytes of a pointer.
    pub(super) const fn word(&self) -> usize {
        match self.bitness {
            Bitness::Bits32 => 4,
            Bitness::Bits64 => 8,
        }
    }

    /// The argument `index` of a call.
    pub(super) fn make(&self, index: usize, choice: Choice) -> Made {
        let (variant, detail) = (u64::from(choice.kind >> 4), u64::from(choice.detail));
        let slot = self.page + SLOTS_AT + SLOT_BYTES * (index as u64 % 16);
        let cell = self.page + CELLS_AT + 8 * (detail % CELLS);
        match choice.kind & 0x0f {
            0 => known(detail >> 4 & variant),
            1 => known(detail),
            2 => known(u64::MAX - detail % 6),
            3 => known(4 + 4 * (detail % 24)),
            4 => known(FLAGS[(detail % 32) as usize] | (FLAGS[(variant * 2) as usize] * (detail >> 7))),
            5 => known(cell),
            6 => Made { value: Value::Of(cell), writes: Vec::new() },
            7 => self.string(slot, variant, choice.detail),
            8 | 9 => self.object_attributes(slot, variant, choice),
            10 => written(slot, names::win32(choice.detail)),
            11 => written(slot, names::ansi(choice.detail)),
            12 => written(slot, self.numbers(variant, detail).concat()),
            13 => known(
                self.place(detail).wrapping_add(variant.wrapping_sub(1).wrapping_mul(0x1000 >> (detail & 8))),
            ),
            14 => known(if variant < 8 {
                BORDERS[(detail % 16) as usize]
            } else {
                detail << (variant * 4 - 20)
            }),
            _ => known(self.page + detail * 16),
        }
    }

    fn place(&self, number: u64) -> u64 {
        self.places[number as usize % self.places.len()]
    }

    /// A `UNICODE_STRING` and its characters, some with a length that is not theirs.
    fn string(&self, at: u64, variant: u64, name: u8) -> Made {
        let (text, header) = (names::native(name), 2 * self.word() as u64);
        let bytes = match variant {
            13 => text.len() as u64 | 1,
            14 => 0xfffe,
            15 => 2,
            _ => text.len() as u64,
        };
        let most = if variant == 12 { 0 } else { bytes };
        let lengths = self.pad(bytes | most << 16);
        let buffer = if variant == 11 { self.place(u64::from(name)) } else { at + header };
        written(at, [lengths, self.pad(buffer), text].concat())
    }

    /// `OBJECT_ATTRIBUTES` with a name behind them, in a directory that is a handle's or in none.
    fn object_attributes(&self, at: u64, variant: u64, choice: Choice) -> Made {
        let bytes = 6 * self.word() as u64;
        let mut made = self.string(at + bytes, if variant < 11 { 0 } else { variant }, choice.detail);
        let root = if choice.kind & 1 == 0 { 0 } else { 4 + 4 * variant };
        let name = if variant == 10 { 0 } else { at + bytes };
        let attributes = ATTRIBUTES[(variant % 4) as usize];
        let head = [bytes, root, name, attributes, 0, 0].map(|word| self.pad(word));
        made.writes.push((at, head.concat()));
        made.value = Value::Is(at);
        made
    }

    /// Numbers in a row: times, sizes, handles to wait for, information to set.
    fn numbers(&self, variant: u64, detail: u64) -> [Vec<u8>; 4] {
        let wide = |values: [u64; 4]| values.map(|value| value.to_le_bytes().to_vec());
        match variant {
            0 => wide([detail, 0, 0, 0]),
            1 => wide([(detail * 10_000).wrapping_neg(), 0, 0, 0]),
            2 => wide([detail << 12, detail, 1, 2]),
            3 => [detail, detail / 2, detail / 4, 8].map(|handle| self.pad(4 + 4 * (handle % 24))),
            4 => [0, 1, 2, 3].map(|step| self.pad(self.place(detail + step))),
            5 => [1, detail, self.page, 8].map(|value| self.pad(value)),
            6 => wide([BORDERS[(detail % 16) as usize], detail, u64::MAX, 1]),
            7 => [self.place(detail), 0x1000 * (detail >> 4), detail, 0].map(|value| self.pad(value)),
            other => wide(
                [0, 1, 2, 3]
                    .map(|step| (detail + step + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (other * 4)),
            ),
        }
    }

    /// A number as wide as a pointer.
    fn pad(&self, value: u64) -> Vec<u8> {
        value.to_le_bytes()[..self.word()].to_vec()
    }
}

fn known(value: u64) -> Made {
    Made { value: Value::Is(value), writes: Vec::new() }
}

fn written(at: u64, bytes: Vec<u8>) -> Made {
    Made { value: Value::Is(at), writes: vec![(at, bytes)] }
}
