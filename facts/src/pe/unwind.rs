//! The exception directory of an x64 image: which function an address is in, and how its prologue changed the registers.

use super::error::PeError;
use super::fields::{Directory, Machine};
use super::header::PeImage;
use super::rva::{RvaReader, add, entry, read_u16, read_u32};

/// Bytes of a `RUNTIME_FUNCTION`.
const ENTRY_BYTES: u32 = 12;
/// The only bit of an unwind address that is no part of it: the address is of another entry.
const INDIRECT: u32 = 1;
/// `UNW_FLAG_CHAININFO`: another function's unwind information goes on where this ends.
const CHAINED: u8 = 4;

/// A function, or a part of one, with its unwind information: a `RUNTIME_FUNCTION`. All three are relative to the base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionEntry {
    /// First byte.
    pub begin_rva: u32,
    /// First byte behind it.
    pub end_rva: u32,
    /// Its `UNWIND_INFO`.
    pub unwind_rva: u32,
}

/// How a function's prologue changed registers and stack: an `UNWIND_INFO` of version 1 or 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnwindInfo {
    /// The register that holds the frame from [`UnwindOperation::SetFrame`] on, in encoding order, and how many bytes
    /// above the stack pointer it then points.
    pub frame: Option<(u8, u32)>,
    /// What the prologue did, the last first.
    pub steps: Vec<UnwindStep>,
    /// The entry whose unwind information goes on where this one ends.
    pub chained: Option<FunctionEntry>,
}

/// One thing that a prologue did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnwindStep {
    /// Bytes from the function's begin to the end of the instruction that did it.
    pub prolog_offset: u8,
    /// What it was.
    pub operation: UnwindOperation,
}

/// What an instruction of a prologue did. Registers are in encoding order, offsets in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnwindOperation {
    /// Pushed a register.
    Push(u8),
    /// Took so many bytes of stack.
    Allocate(u32),
    /// Set the frame register.
    SetFrame,
    /// Stored a register so far above the stack pointer.
    Save {
        /// The register.
        register: u8,
        /// Where, from the stack pointer.
        offset: u32,
    },
    /// Stored an XMM register, or described an epilogue: nothing that a caller's general registers come from.
    Other,
    /// The processor pushed a trap frame, with an error code of this many bytes in front of it.
    MachineFrame(u32),
}

impl PeImage {
    /// The entry of the function that holds an address, `None` if the image has none: such a function has no prologue
    /// and calls nobody. An entry that stands for another is resolved.
    ///
    /// # Errors
    ///
    /// A table or an entry outside the image, or the reader's own error.
    pub fn function_at(
        &self,
        reader: &mut impl RvaReader,
        rva: u32,
    ) -> Result<Option<FunctionEntry>, PeError> {
        let table = self.directory(Directory::Exception);
        if self.machine() != Machine::Amd64 || !table.is_present() {
            return Ok(None);
        }
        // The entries are sorted by their begins.
        let (mut low, mut high) = (0, table.size / ENTRY_BYTES);
        while low < high {
            let middle = low + (high - low) / 2;
            let found = read_entry(reader, entry(table.rva, middle, ENTRY_BYTES)?)?;
            if rva < found.begin_rva {
                high = middle;
            } else if rva >= found.end_rva {
                low = middle + 1;
            } else {
                return resolve(reader, found).map(Some);
            }
        }
        Ok(None)
    }
}

fn read_entry(reader: &mut impl RvaReader, at: u32) -> Result<FunctionEntry, PeError> {
    Ok(FunctionEntry {
        begin_rva: read_u32(reader, at)?,
        end_rva: read_u32(reader, add(at, 4)?)?,
        unwind_rva: read_u32(reader, add(at, 8)?)?,
    })
}

/// An entry may name another one, which has the unwind information; that is at most one step.
fn resolve(reader: &mut impl RvaReader, found: FunctionEntry) -> Result<FunctionEntry, PeError> {
    if found.unwind_rva & INDIRECT == 0 {
        return Ok(found);
    }
    let other = read_entry(reader, found.unwind_rva & !INDIRECT)?;
    Ok(FunctionEntry { unwind_rva: other.unwind_rva & !INDIRECT, ..found })
}

impl FunctionEntry {
    /// The unwind information.
    ///
    /// # Errors
    ///
    /// Information outside the image or of an unknown kind, or the reader's own error.
    pub fn unwind_info(&self, reader: &mut impl RvaReader) -> Result<UnwindInfo, PeError> {
        let at = self.unwind_rva;
        let mut head = [0; 4];
        reader.read_rva(at, &mut head)?;
        let [version_and_flags, _prolog_bytes, count, frame] = head;
        let (version, flags) = (version_and_flags & 7, version_and_flags >> 3);
        if version != 1 && version != 2 {
            return Err(PeError::format(format!("has unwind information of version {version} at {at:#x}")));
        }
        let codes = add(at, 4)?;
        let slots = (0..u32::from(count))
            .map(|index| read_u16(reader, entry(codes, index, 2)?))
            .collect::<Result<Vec<u16>, PeError>>()?;
        let register = frame & 0xf;
        let behind = entry(codes, u32::from(count).next_multiple_of(2), 2)?;
        let chained = if flags & CHAINED != 0 { Some(read_entry(reader, behind)?) } else { None };
        Ok(UnwindInfo {
            frame: (register != 0).then(|| (register, u32::from(frame >> 4) * 16)),
            steps: decode_steps(version, &slots).ok_or_else(|| {
                PeError::format(format!(
                    "has unwind information at {at:#x} with codes that are unknown or cut off"
                ))
            })?,
            chained,
        })
    }
}

/// Each code takes one slot, and up to two more for its operand.
fn decode_steps(version: u8, slots: &[u16]) -> Option<Vec<UnwindStep>> {
    let mut steps = Vec::new();
    let mut slots = slots.iter().copied();
    while let Some(slot) = slots.next() {
        let [prolog_offset, code] = slot.to_le_bytes();
        let (code, info) = (code & 0xf, code >> 4);
        let mut next = || slots.next().map(u32::from);
        let operation = match code {
            0 => UnwindOperation::Push(info),
            1 if info == 0 => UnwindOperation::Allocate(next()? * 8),
            1 if info == 1 => UnwindOperation::Allocate(next()? | next()? << 16),
            2 => UnwindOperation::Allocate(u32::from(info) * 8 + 8),
            3 => UnwindOperation::SetFrame,
            4 => UnwindOperation::Save { register: info, offset: next()? * 8 },
            5 => UnwindOperation::Save { register: info, offset: next()? | next()? << 16 },
            // Half of an XMM register in version 1, the place of an epilogue in version 2.
            6 if version == 1 => next().map(|_| UnwindOperation::Other)?,
            6 => UnwindOperation::Other,
            8 => next().map(|_| UnwindOperation::Other)?,
            9 => next().and_then(|_| next()).map(|_| UnwindOperation::Other)?,
            10 if info < 2 => UnwindOperation::MachineFrame(u32::from(info) * 8),
            _ => return None,
        };
        steps.push(UnwindStep { prolog_offset, operation });
    }
    Some(steps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use UnwindOperation as Op;

    /// The codes of Microsoft's page "x64 exception handling".
    #[test]
    fn every_code_takes_its_slots() {
        let slots = [
            0x3012, 0x0101, 0x0010, 0x1120, 0x5678, 0x0001, 0x7230, 0x0340, 0x6450, 0x0002, 0x7560, 0x0008,
            0x0001, 0x0670, 0x0000, 0x6880, 0x0001, 0x6990, 0x0001, 0x0000, 0x1aa0,
        ];
        let operations: Vec<Op> =
            decode_steps(1, &slots).expect("good codes").iter().map(|step| step.operation).collect();
        let expected = [
            Op::Push(3),
            Op::Allocate(0x80),
            Op::Allocate(0x1_5678),
            Op::Allocate(0x40),
            Op::SetFrame,
            Op::Save { register: 6, offset: 0x10 },
            Op::Save { register: 7, offset: 0x1_0008 },
            Op::Other,
            Op::Other,
            Op::Other,
            Op::MachineFrame(8),
        ];
        assert_eq!(operations, expected);
        assert_eq!(decode_steps(1, &slots).expect("good codes")[0].prolog_offset, 0x12);
        let epilogues = decode_steps(2, &[0x1605, 0x0600, 0x3004]).expect("good codes");
        assert_eq!(epilogues[2], UnwindStep { prolog_offset: 4, operation: Op::Push(3) });
    }

    #[test]
    fn codes_that_are_unknown_or_cut_off_are_refused() {
        for slots in [&[0x0700][..], &[0x2100], &[0x2a00], &[0x0100], &[0x1100, 1], &[0x0400], &[0x0900, 0]] {
            assert_eq!(decode_steps(1, slots), None, "{slots:x?}");
        }
        assert_eq!(decode_steps(1, &[]), Some(Vec::new()));
    }
}
