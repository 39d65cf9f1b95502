//! Numbers that nothing else has: local identifiers, and what universal ones are made of.

use crate::service::{Answer, Arg, Call, Export};

use Arg::Word;

/// Units of 100 ns from 1582-10-15, where universal identifiers begin, to 1601.
const GREGORIAN_UNITS: u64 = 5_748_192_000_000_000;
/// Identifiers that one call hands out: one for each unit of the time that has passed, at most these.
const RANGE: u32 = 10_000;
/// A node that is drawn rather than a network card's has this bit in its first byte (RFC 9562).
const DRAWN: u8 = 1;

/// The services.
pub(crate) const EXPORTS: &[Export] = &[
    Export::native("NtAllocateLocallyUniqueId", &[Word], allocate_local),
    Export::native("NtAllocateUuids", &[Word, Word, Word, Word], allocate_universal),
];

/// `NtAllocateLocallyUniqueId(*number)`.
fn allocate_local(call: &mut Call<'_>) -> Answer {
    let at = call.ptr(0);
    call.probe_write(at, 8)?;
    let number = call.nt.next_luid();
    call.write_u64(at, number)?;
    Ok(0)
}

/// `NtAllocateUuids(*time, *range, *sequence, *node)`: times that no other call gets.
fn allocate_universal(call: &mut Call<'_>) -> Answer {
    let (time_at, range_at, sequence_at, node_at) = (call.ptr(0), call.ptr(1), call.ptr(2), call.ptr(3));
    for (at, bytes) in [(time_at, 8), (range_at, 4), (sequence_at, 4), (node_at, 6)] {
        call.probe_write(at, bytes)?;
    }
    let now = call.host.now().units() + GREGORIAN_UNITS;
    let first = now.max(call.nt.uuid_time);
    call.nt.uuid_time = first + u64::from(RANGE);
    let [node, sequence] = call.nt.uuid_node();
    let mut node = node.to_le_bytes();
    node[0] |= DRAWN;
    call.write_u64(time_at, first)?;
    call.write_u32(range_at, RANGE)?;
    call.write_u32(sequence_at, sequence as u32 & 0x3fff)?;
    call.write(node_at, &node[..6])?;
    Ok(0)
}

impl crate::Nt {
    /// The machine's node and sequence number, which come from its seed.
    fn uuid_node(&self) -> [u64; 2] {
        let mut draws = vadose_mm::Draws::new(self.seed, "node of the machine");
        [draws.bits(48), draws.bits(14)]
    }
}
