//! The clock, the time zone, interrupts, firmware: the machine beside its memory and its processor.

use crate::claim::UserPtr;
use crate::executive::record::Record;
use crate::executive::time::TICK_UNITS;
use crate::service::{Answer, Call};
use vadose_facts::ntdef::{Edition, NtStatus};

/// The name of the time zone, in words and as a key of the registry.
pub(crate) const ZONE_NAME: &str = "Coordinated Universal Time";
const ZONE_KEY: &str = "UTC";
/// UTF-16 units of a zone's name and of its key's name.
const NAME_UNITS: usize = 32;
const KEY_UNITS: usize = 128;
/// Bytes of a date in a time zone.
const DATE_BYTES: usize = 16;
/// `FirmwareTypeBios`.
const BIOS: u32 = 1;

/// `SYSTEM_TIMEOFDAY_INFORMATION`.
pub(super) fn time_of_day(call: &Call<'_>) -> Vec<u8> {
    let (boot, now) = (call.host.boot_time().units(), call.host.now().units());
    Record::new(call.nt.edition).u64(boot).u64(now).u64(0).u32(0).u32(0).u64(0).u64(0).finish()
}

/// `SYSTEM_PROCESSOR_PERFORMANCE_INFORMATION`: idle, kernel, user, deferred calls, interrupts, and their number. Idle time
/// is part of the kernel's, as in Windows.
pub(super) fn processor_performance(call: &Call<'_>) -> Vec<u8> {
    let (idle, busy) = call.processor_times();
    let record = Record::new(call.nt.edition).u64(idle).u64(idle).u64(busy).u64(0).u64(0);
    record.u32((call.running_units() / TICK_UNITS) as u32).finish()
}

/// `SYSTEM_INTERRUPT_INFORMATION`: of it only the clock's tick is known.
pub(super) fn interrupts(edition: &Edition) -> Vec<u8> {
    Record::new(edition).u32(0).u32(0).u32(0).u32(TICK_UNITS as u32).u32(0).u32(0).finish()
}

/// `SYSTEM_QUERY_TIME_ADJUST_INFORMATION`: the clock is not adjusted.
pub(super) fn time_adjustment(edition: &Edition) -> Vec<u8> {
    Record::new(edition).u32(TICK_UNITS as u32).u32(TICK_UNITS as u32).u8(1).finish()
}

fn padded(text: &str, units: usize) -> Vec<u16> {
    let mut all: Vec<u16> = text.encode_utf16().collect();
    assert!(all.len() < units, "{text} has room");
    all.resize(units, 0);
    all
}

fn zone(edition: &Edition) -> Record {
    let name = padded(ZONE_NAME, NAME_UNITS);
    let half = |record: Record| record.wide(&name).zeros(DATE_BYTES).u32(0);
    half(half(Record::new(edition).u32(0)))
}

/// `RTL_TIME_ZONE_INFORMATION`: no bias, and no daylight time.
pub(super) fn time_zone(edition: &Edition) -> Vec<u8> {
    zone(edition).finish()
}

/// `RTL_DYNAMIC_TIME_ZONE_INFORMATION`: the same, and the zone's key in the registry.
pub(super) fn dynamic_time_zone(edition: &Edition) -> Vec<u8> {
    zone(edition).wide(&padded(ZONE_KEY, KEY_UNITS)).u8(0).finish()
}

/// `SYSTEM_BOOT_ENVIRONMENT_INFORMATION`: no identifier, a BIOS; Windows 8 began to tell flags.
pub(super) fn boot(edition: &Edition) -> Vec<u8> {
    let record = Record::new(edition).zeros(16).u32(BIOS);
    let flags = (edition.version.major, edition.version.minor) >= (6, 2);
    if flags { record.u64(0).finish() } else { record.finish() }
}

/// `SYSTEM_FIRMWARE_TABLE_INFORMATION`: there is no firmware whose tables could be read.
pub(super) fn firmware(call: &mut Call<'_>, at: UserPtr, room: u32) -> Answer {
    const HEADER_BYTES: u32 = 16;
    const GET: u32 = 1;
    if room < HEADER_BYTES {
        return Err(NtStatus::INFO_LENGTH_MISMATCH.into());
    }
    let action = call.read_u32(at.offset(4))?;
    let missing = if action > GET { NtStatus::NOT_SUPPORTED } else { NtStatus::NOT_IMPLEMENTED };
    Err(missing.into())
}

/// `SYSTEM_CODEINTEGRITY_INFORMATION`: its length comes from the program. Nothing is signed here, nor checked.
pub(super) fn code_integrity(call: &mut Call<'_>, at: UserPtr, room: u32) -> Answer {
    const BYTES: u32 = 8;
    if room != BYTES || call.read_u32(at)? != BYTES {
        return Err(NtStatus::INFO_LENGTH_MISMATCH.into());
    }
    call.write_u32(at.offset(4), 0)?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vadose_facts::ntdef::edition;

    #[test]
    fn zones_have_the_sizes_of_their_structures() {
        let edition = edition("win10-x64").expect("an edition");
        assert_eq!((time_zone(edition).len(), dynamic_time_zone(edition).len()), (172, 432));
        assert_eq!(
            (boot(edition).len(), interrupts(edition).len(), time_adjustment(edition).len()),
            (32, 24, 12)
        );
    }
}
