//! Interlocked singly linked lists (`SLIST_HEADER`), in guest memory with Windows' layout.

use crate::UserPtr;
use crate::claim::BadPointer;
use crate::service::{Answer, Arg, Call, Export};
use vadose_facts::ntdef::Bitness;

use Arg::{U32, Word};

/// The list functions.
pub(crate) const EXPORTS: &[Export] = &[
    Export::library("InitializeSListHead", &[Word], initialize).set("core-interlocked"),
    Export::library("InterlockedPushEntrySList", &[Word, Word], push).set("core-interlocked"),
    Export::library("InterlockedPushListSListEx", &[Word, Word, Word, U32], push_list)
        .set("core-interlocked"),
    Export::library("InterlockedPopEntrySList", &[Word], pop).set("core-interlocked"),
    Export::library("InterlockedFlushSList", &[Word], flush).set("core-interlocked"),
    Export::library("QueryDepthSList", &[Word], depth).set("core-interlocked"),
    Export::library("RtlFirstEntrySList", &[Word], first).in_ntdll(),
    Export::library("RtlInitializeSListHead", &[Word], initialize).in_ntdll(),
    Export::library("RtlInterlockedPushEntrySList", &[Word, Word], push).in_ntdll(),
    Export::library("RtlInterlockedPopEntrySList", &[Word], pop).in_ntdll(),
    Export::library("RtlInterlockedFlushSList", &[Word], flush).in_ntdll(),
    Export::library("RtlQueryDepthSList", &[Word], depth).in_ntdll(),
];

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    first: u64,
    depth: u16,
    /// Counts changes: 16 bits on x86, 48 on x64.
    sequence: u64,
}

impl Header {
    /// x86: pointer, depth, sequence. x64: depth and sequence in the first eight bytes, the pointer in the next, its low
    /// four bits not part of it.
    fn from_bytes(raw: [u8; 16], bitness: Bitness) -> Self {
        let word = u128::from_le_bytes(raw);
        match bitness {
            Bitness::Bits32 => Self {
                first: (word as u32).into(),
                depth: (word >> 32) as u16,
                sequence: ((word >> 48) as u16).into(),
            },
            Bitness::Bits64 => {
                Self { first: (word >> 64) as u64 & !0xf, depth: word as u16, sequence: word as u64 >> 16 }
            }
        }
    }

    fn to_bytes(self, bitness: Bitness) -> ([u8; 16], usize) {
        let (first, depth, sequence) =
            (u128::from(self.first), u128::from(self.depth), u128::from(self.sequence));
        match bitness {
            Bitness::Bits32 => ((first | depth << 32 | (sequence & 0xffff) << 48).to_le_bytes(), 8),
            Bitness::Bits64 => {
                let low = (depth | sequence << 16) & u128::from(u64::MAX);
                ((low | first << 64).to_le_bytes(), 16)
            }
        }
    }
}

fn read(call: &mut Call<'_>, at: UserPtr) -> Result<Header, BadPointer> {
    let bitness = call.nt.edition.bitness;
    let bytes = 2 * call.pointer_bytes() as usize;
    let mut raw = [0; 16];
    call.read(at, &mut raw[..bytes])?;
    Ok(Header::from_bytes(raw, bitness))
}

fn write(call: &mut Call<'_>, at: UserPtr, header: Header) -> Result<(), BadPointer> {
    let (raw, bytes) = header.to_bytes(call.nt.edition.bitness);
    call.write(at, &raw[..bytes])
}

fn initialize(call: &mut Call<'_>) -> Answer {
    let at = call.ptr(0);
    write(call, at, Header { first: 0, depth: 0, sequence: 0 })?;
    Ok(0)
}

/// `InterlockedPushEntrySList(head, entry)`: the entry that was first.
fn push(call: &mut Call<'_>) -> Answer {
    let (at, entry) = (call.ptr(0), call.arg(1));
    push_run(call, at, entry, entry, 1)
}

/// `InterlockedPushListSListEx(head, first, last, count)`.
fn push_list(call: &mut Call<'_>) -> Answer {
    let (at, entry, last, count) = (call.ptr(0), call.arg(1), call.arg(2), call.u32(3));
    push_run(call, at, entry, last, count as u16)
}

fn push_run(call: &mut Call<'_>, at: UserPtr, entry: u64, last: u64, count: u16) -> Answer {
    let header = read(call, at)?;
    call.write_word(UserPtr::new(last), header.first)?;
    let depth = header.depth.wrapping_add(count);
    write(call, at, Header { first: entry, depth, sequence: header.sequence.wrapping_add(1) })?;
    Ok(header.first)
}

/// `InterlockedPopEntrySList(head)`: the first entry, which is taken out; null if there is none.
fn pop(call: &mut Call<'_>) -> Answer {
    let at = call.ptr(0);
    let header = read(call, at)?;
    if header.first == 0 {
        return Ok(0);
    }
    let next = call.read_word(UserPtr::new(header.first))?;
    let (depth, sequence) = (header.depth.wrapping_sub(1), header.sequence.wrapping_add(1));
    write(call, at, Header { first: next, depth, sequence })?;
    Ok(header.first)
}

/// `InterlockedFlushSList(head)`: all entries, linked as they were.
fn flush(call: &mut Call<'_>) -> Answer {
    let at = call.ptr(0);
    let header = read(call, at)?;
    if header.first != 0 {
        write(call, at, Header { first: 0, depth: 0, sequence: header.sequence.wrapping_add(1) })?;
    }
    Ok(header.first)
}

fn depth(call: &mut Call<'_>) -> Answer {
    let at = call.ptr(0);
    Ok(u64::from(read(call, at)?.depth))
}

fn first(call: &mut Call<'_>) -> Answer {
    let at = call.ptr(0);
    Ok(read(call, at)?.first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_back_as_they_were_stored() {
        let wide = Header { first: 0x7fff_1234_5670, depth: 3, sequence: 0x1234_5678_9abc };
        let narrow = Header { first: 0x1234_5678, depth: 0xffff, sequence: 0xfffe };
        for (header, bitness) in [(wide, Bitness::Bits64), (narrow, Bitness::Bits32)] {
            assert_eq!(Header::from_bytes(header.to_bytes(bitness).0, bitness), header);
        }
        assert_eq!(narrow.to_bytes(Bitness::Bits32), (0xfffe_ffff_1234_5678_u128.to_le_bytes(), 8));
    }
}
