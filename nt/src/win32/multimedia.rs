//! The timer functions of winmm: virtual time is as fine as it gets, so a period is checked and changes nothing.

use crate::host::Moment;
use crate::service::{Answer, Arg, Call, Dll, Export};

use Arg::U32;

/// `TIMERR_NOCANDO`.
const CANNOT: u64 = 97;
/// The longest period that can be asked for, milliseconds.
const LONGEST_PERIOD: u32 = 1_000_000;

/// The functions.
pub(crate) const EXPORTS: &[Export] = &[
    Export::library("timeBeginPeriod", &[U32], period).only_in(Dll::Winmm),
    Export::library("timeEndPeriod", &[U32], period).only_in(Dll::Winmm),
    Export::library("timeGetTime", &[], time_get_time).only_in(Dll::Winmm),
];

/// `timeBeginPeriod(milliseconds)`, `timeEndPeriod(milliseconds)`.
fn period(call: &mut Call<'_>) -> Answer {
    Ok(if (1..=LONGEST_PERIOD).contains(&call.u32(0)) { 0 } else { CANNOT })
}

/// `timeGetTime()`: milliseconds since the start, cut to 32 bits.
fn time_get_time(call: &mut Call<'_>) -> Answer {
    let (now, boot) = (call.host.now(), call.host.boot_time());
    let milliseconds = (now.units() - boot.units()) / Moment::PER_MILLISECOND;
    Ok(milliseconds & u64::from(u32::MAX))
}
