//! `CONTEXT` records: registers to bytes and back, with Windows' layouts.

use vadose_cpu::{FloatState, Registers};
use vadose_facts::ntdef::Bitness;
use vadose_facts::ntdef::layout::{ContextFlags, FxSave, GPR32, GPR64, layouts};

/// The parts that a context of ours fills: all of them, debug registers as zeros.
const FULL: ContextFlags = ContextFlags::CONTROL
    .union(ContextFlags::INTEGER)
    .union(ContextFlags::SEGMENTS)
    .union(ContextFlags::FLOATING_POINT)
    .union(ContextFlags::DEBUG_REGISTERS);

/// Bytes with named places in them.
struct Record(Vec<u8>);

impl Record {
    fn put(&mut self, at: u32, bytes: &[u8]) {
        let at = at as usize;
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn u16(&self, at: u32) -> u16 {
        self.get(at, 2) as u16
    }

    fn u32(&self, at: u32) -> u32 {
        self.get(at, 4) as u32
    }

    fn get(&self, at: u32, bytes: usize) -> u64 {
        let at = at as usize;
        self.0[at..at + bytes].iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
    }

    fn array<const N: usize>(&self, at: u32) -> [u8; N] {
        let at = at as usize;
        self.0[at..at + N].try_into().expect("a slice of N bytes")
    }
}

/// The `CONTEXT` of a register file.
pub(crate) fn to_bytes(registers: &Registers, bitness: Bitness) -> Vec<u8> {
    let layout = layouts(bitness).context;
    let mut record = Record(vec![0; layout.size as usize]);
    match bitness {
        Bitness::Bits32 => {
            let parts = FULL | ContextFlags::EXTENDED_REGISTERS | ContextFlags::I386;
            record.put(layout.flags, &parts.bits().to_le_bytes());
            put_words::<4>(&mut record, registers, &GPR32, bitness);
            put_fsave(&mut record, &registers.float);
            put_fxsave(&mut record, layout.fx_save, &registers.float, 8);
        }
        Bitness::Bits64 => {
            record.put(layout.flags, &(FULL | ContextFlags::AMD64).bits().to_le_bytes());
            record.put(layout.mxcsr, &registers.float.mxcsr.to_le_bytes());
            put_words::<8>(&mut record, registers, &GPR64, bitness);
            put_fxsave(&mut record, layout.fx_save, &registers.float, 16);
        }
    }
    record.0
}

fn put_words<const WIDTH: usize>(
    record: &mut Record,
    registers: &Registers,
    places: &[u32],
    bitness: Bitness,
) {
    let layout = layouts(bitness).context;
    for (place, value) in places.iter().zip(registers.gpr) {
        record.put(*place, &value.to_le_bytes()[..WIDTH]);
    }
    record.put(layout.ip, &registers.ip.to_le_bytes()[..WIDTH]);
    record.put(layout.eflags, &(registers.flags as u32).to_le_bytes());
    let s = registers.segments;
    let places = [layout.cs, layout.ds, layout.es, layout.fs, layout.gs, layout.ss];
    for (place, value) in places.into_iter().zip([s.cs, s.ds, s.es, s.fs, s.gs, s.ss]) {
        record.put(place, &value.to_le_bytes());
    }
}

fn put_fsave(record: &mut Record, float: &FloatState) {
    let layout = layouts(Bitness::Bits32).context;
    // The upper halves of these words are ones, as FSAVE stores them.
    let words = [float.control, float.status, float.tag];
    for (place, word) in (layout.float_save..).step_by(4).zip(words) {
        record.put(place, &(0xffff_0000 | u32::from(word)).to_le_bytes());
    }
    for (place, register) in (layout.float_registers..).step_by(10).zip(float.st) {
        record.put(place, &register);
    }
}

fn put_fxsave(record: &mut Record, at: u32, float: &FloatState, xmm: usize) {
    record.put(at + FxSave::CONTROL, &float.control.to_le_bytes());
    record.put(at + FxSave::STATUS, &float.status.to_le_bytes());
    record.put(at + FxSave::TAG, &[abridged_tag(float.tag)]);
    record.put(at + FxSave::MXCSR, &float.mxcsr.to_le_bytes());
    record.put(at + FxSave::MXCSR_MASK, &0xffff_u32.to_le_bytes());
    for (place, register) in (at + FxSave::REGISTERS..).step_by(16).zip(float.st) {
        record.put(place, &register);
    }
    for (place, register) in (at + FxSave::XMM..).step_by(16).zip(&float.xmm[..xmm]) {
        record.put(place, &register.to_le_bytes());
    }
}

/// A bit for each register that is not empty (tag 3).
fn abridged_tag(tag: u16) -> u8 {
    (0..8).filter(|i| tag >> (2 * i) & 3 != 3).fold(0, |bits, i| bits | 1 << i)
}

/// The full tag of an abridged one: valid or empty.
fn full_tag(abridged: u8) -> u16 {
    (0..8).filter(|i| abridged >> i & 1 == 0).fold(0, |tag, i| tag | 3 << (2 * i))
}

/// The bytes of the parts of a context that are asked for, by offset. The flags say what was asked for and stay.
pub(crate) fn pieces(registers: &Registers, bitness: Bitness, parts: ContextFlags) -> Vec<(u32, Vec<u8>)> {
    let bytes = to_bytes(registers, bitness);
    let ranges = part_ranges(bitness).iter().filter(|(part, _)| parts.contains(*part));
    let places = ranges.flat_map(|(_, places)| places.iter());
    places.map(|(at, length)| (*at, bytes[*at as usize..(*at + *length) as usize].to_vec())).collect()
}

/// A part of a context and the ranges that it takes, each with its bytes.
type PartRanges = (ContextFlags, &'static [(u32, u32)]);

/// Offset and bytes of what each part takes.
fn part_ranges(bitness: Bitness) -> &'static [PartRanges] {
    const BITS32: &[PartRanges] = &[
        (ContextFlags::CONTROL, &[(0xb4, 24)]),
        (ContextFlags::INTEGER, &[(0x9c, 24)]),
        (ContextFlags::SEGMENTS, &[(0x8c, 16)]),
        (ContextFlags::FLOATING_POINT, &[(0x1c, 112)]),
        (ContextFlags::DEBUG_REGISTERS, &[(0x4, 24)]),
        (ContextFlags::EXTENDED_REGISTERS, &[(0xcc, 512)]),
    ];
    // Stack pointer, instruction pointer, flags, CS and SS are the control part; RBP goes with the integers.
    const BITS64: &[PartRanges] = &[
        (ContextFlags::CONTROL, &[(0x38, 2), (0x42, 2), (0x44, 4), (0x98, 8), (0xf8, 8)]),
        (ContextFlags::INTEGER, &[(0x78, 32), (0xa0, 88)]),
        (ContextFlags::SEGMENTS, &[(0x3a, 8)]),
        (ContextFlags::FLOATING_POINT, &[(0x34, 4), (0x100, 512)]),
        (ContextFlags::DEBUG_REGISTERS, &[(0x48, 48)]),
    ];
    match bitness {
        Bitness::Bits32 => BITS32,
        Bitness::Bits64 => BITS64,
    }
}

/// Loads the parts that a `CONTEXT` says it has into a register file.
pub(crate) fn load(bytes: &[u8], bitness: Bitness, registers: &mut Registers) {
    let layout = layouts(bitness).context;
    let record = Record(bytes.to_vec());
    let parts = ContextFlags::from_bits_retain(record.u32(layout.flags));
    load_words(&record, bitness, parts, registers);
    match bitness {
        Bitness::Bits32 => {
            if parts.contains(ContextFlags::FLOATING_POINT) {
                load_fsave(&record, &mut registers.float);
            }
            if parts.contains(ContextFlags::EXTENDED_REGISTERS) {
                load_xmm(&record, layout.fx_save, &mut registers.float, 8);
            }
        }
        Bitness::Bits64 => {
            if parts.contains(ContextFlags::FLOATING_POINT) {
                load_fxsave(&record, layout.fx_save, &mut registers.float);
                registers.float.mxcsr = record.u32(layout.mxcsr);
            }
        }
    }
}

fn load_words(record: &Record, bitness: Bitness, parts: ContextFlags, registers: &mut Registers) {
    const SP: usize = 4;
    const BP: usize = 5;
    let layout = layouts(bitness).context;
    let (places, width): (&[u32], usize) = match bitness {
        Bitness::Bits32 => (&GPR32, 4),
        Bitness::Bits64 => (&GPR64, 8),
    };
    let control = parts.contains(ContextFlags::CONTROL);
    let integer = parts.contains(ContextFlags::INTEGER);
    for (index, place) in places.iter().enumerate() {
        // EBP goes with the control part of a 32-bit context, RBP with the integer part of a 64-bit one.
        let wanted = match (index, bitness) {
            (SP, _) | (BP, Bitness::Bits32) => control,
            (_, Bitness::Bits32 | Bitness::Bits64) => integer,
        };
        if wanted {
            registers.gpr[index] = record.get(*place, width);
        }
    }
    if control {
        registers.ip = record.get(layout.ip, width);
        registers.flags = u64::from(record.u32(layout.eflags));
    }
}

fn load_fsave(record: &Record, float: &mut FloatState) {
    let layout = layouts(Bitness::Bits32).context;
    float.control = record.u16(layout.float_save);
    float.status = record.u16(layout.float_save + 4);
    float.tag = record.u16(layout.float_save + 8);
    for (place, register) in (layout.float_registers..).step_by(10).zip(&mut float.st) {
        *register = record.array(place);
    }
}

fn load_fxsave(record: &Record, at: u32, float: &mut FloatState) {
    float.control = record.u16(at + FxSave::CONTROL);
    float.status = record.u16(at + FxSave::STATUS);
    float.tag = full_tag(record.get(at + FxSave::TAG, 1) as u8);
    for (place, register) in (at + FxSave::REGISTERS..).step_by(16).zip(&mut float.st) {
        *register = record.array(place);
    }
    load_xmm(record, at, float, 16);
}

fn load_xmm(record: &Record, at: u32, float: &mut FloatState, count: usize) {
    float.mxcsr = record.u32(at + FxSave::MXCSR);
    for (place, register) in (at + FxSave::XMM..).step_by(16).zip(&mut float.xmm[..count]) {
        *register = u128::from_le_bytes(record.array(place));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(bitness: Bitness) -> Registers {
        let mut registers = Registers::default();
        let (count, mask, xmm) = match bitness {
            Bitness::Bits32 => (8, u64::from(u32::MAX), 8),
            Bitness::Bits64 => (16, u64::MAX, 16),
        };
        for (i, value) in registers.gpr.iter_mut().take(count).enumerate() {
            *value = 0x1122_3344_5566_7700_u64.wrapping_add(i as u64) & mask;
        }
        registers.ip = 0x0040_1234;
        registers.flags = 0x246;
        registers.float.tag = 0x3fff;
        registers.float.st[7] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
        for (i, value) in registers.float.xmm.iter_mut().take(xmm).enumerate() {
            *value = u128::MAX - i as u128;
        }
        registers
    }

    #[test]
    fn a_context_gives_back_the_registers_it_was_made_of() {
        for bitness in [Bitness::Bits32, Bitness::Bits64] {
            let registers = sample(bitness);
            let mut back = Registers::default();
            load(&to_bytes(&registers, bitness), bitness, &mut back);
            assert_eq!(back, registers, "{bitness:?}");
        }
    }

    #[test]
    fn only_the_parts_that_a_context_names_are_loaded() {
        let registers = sample(Bitness::Bits64);
        let mut bytes = to_bytes(&registers, Bitness::Bits64);
        let only_control = (ContextFlags::CONTROL | ContextFlags::AMD64).bits();
        let at = layouts(Bitness::Bits64).context.flags as usize;
        bytes[at..at + 4].copy_from_slice(&only_control.to_le_bytes());
        let mut back = Registers::default();
        load(&bytes, Bitness::Bits64, &mut back);
        assert_eq!((back.ip, back.gpr[4], back.flags), (registers.ip, registers.gpr[4], registers.flags));
        assert_eq!((back.gpr[0], back.gpr[5], back.float.xmm[0]), (0, 0, 0));
    }

    #[test]
    fn the_parts_of_a_context_together_are_all_of_it_but_what_nobody_asks_for() {
        for bitness in [Bitness::Bits32, Bitness::Bits64] {
            let registers = sample(bitness);
            let all = pieces(&registers, bitness, FULL | ContextFlags::EXTENDED_REGISTERS);
            let mut back = vec![0; layouts(bitness).context.size as usize];
            let flags = layouts(bitness).context.flags as usize;
            back[flags..flags + 4]
                .copy_from_slice(&(FULL | ContextFlags::EXTENDED_REGISTERS).bits().to_le_bytes());
            for (at, bytes) in all {
                back[at as usize..at as usize + bytes.len()].copy_from_slice(&bytes);
            }
            let mut loaded = Registers::default();
            load(&back, bitness, &mut loaded);
            assert_eq!(loaded, registers, "{bitness:?}");
            assert!(pieces(&registers, bitness, ContextFlags::I386).is_empty(), "{bitness:?}");
        }
    }
}
