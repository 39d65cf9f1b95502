//! Time as services tell it: the virtual clock, ticks, the performance counter, and how fine the clock is.

use crate::host::Moment;
use crate::kernel::Kernel;
use crate::service::{Answer, Arg, Call, Export};
use vadose_facts::ntdef::NtStatus;

use Arg::{U32, Word};

/// A clock tick: 15.625 ms, as on most machines, in units of 100 ns.
pub(crate) const TICK_UNITS: u64 = 156_250;
/// The finest tick that a program can ask for: half a millisecond.
const FINEST_TICK: u32 = 5_000;
/// The performance counter's steps in a second: it counts units of 100 ns, as on Windows 10.
pub(crate) const COUNTER_FREQUENCY: u64 = 10_000_000;

/// The services.
pub(crate) const EXPORTS: &[Export] = &[
    Export::native("NtQuerySystemTime", &[Word], query_system_time),
    Export::native("NtSetSystemTime", &[Word, Word], set_system_time),
    Export::native("NtQueryPerformanceCounter", &[Word, Word], query_performance_counter),
    Export::native("NtGetTickCount", &[], get_tick_count),
    Export::native("NtQueryTimerResolution", &[Word, Word, Word], query_timer_resolution),
    Export::native("NtSetTimerResolution", &[U32, U32, Word], set_timer_resolution),
    Export::native("NtQueryAuxiliaryCounterFrequency", &[Word], no_auxiliary_counter).since(10, 0),
    Export::native(
        "NtConvertBetweenAuxiliaryCounterAndPerformanceCounter",
        &[U32, Word, Word, Word],
        no_auxiliary_counter,
    )
    .since(10, 0),
];

impl Kernel<'_> {
    /// How long the machine has been on, in units of 100 ns.
    pub(crate) fn running_units(&self) -> u64 {
        self.host.now().units().saturating_sub(self.host.boot_time().units())
    }

    /// The same in milliseconds, in steps of a clock tick.
    pub(crate) fn tick_milliseconds(&self) -> u64 {
        let running = self.running_units();
        (running - running % TICK_UNITS) / Moment::PER_MILLISECOND
    }

    /// The tick that the clock has now: the finest that a living process asked for. Virtual time is exact in any case.
    fn current_tick(&self) -> u32 {
        let wishes = self.nt.living_processes().filter_map(|process| process.timer_resolution);
        wishes.min().unwrap_or(TICK_UNITS as u32)
    }
}

/// `NtQuerySystemTime(*time)`.
fn query_system_time(call: &mut Call<'_>) -> Answer {
    let (at, now) = (call.ptr(0), call.host.now());
    call.write_u64(at, now.units())?;
    Ok(0)
}

/// `NtSetSystemTime(*new, *old)`: the clock is the machine's, and no account here may set it.
fn set_system_time(_: &mut Call<'_>) -> Answer {
    Err(NtStatus::PRIVILEGE_NOT_HELD.into())
}

/// `NtQueryPerformanceCounter(*counter, *frequency)`: the second pointer may be null.
fn query_performance_counter(call: &mut Call<'_>) -> Answer {
    let (counter_at, frequency_at, running) = (call.ptr(0), call.ptr(1), call.running_units());
    call.probe_write(counter_at, 8)?;
    if !frequency_at.is_null() {
        call.write_u64(frequency_at, COUNTER_FREQUENCY)?;
    }
    call.write_u64(counter_at, running)?;
    Ok(0)
}

/// `NtGetTickCount()`: milliseconds, which come round after 49 days.
fn get_tick_count(call: &mut Call<'_>) -> Answer {
    Ok(call.tick_milliseconds() & u64::from(u32::MAX))
}

/// `NtQueryTimerResolution(*coarsest, *finest, *current)`.
fn query_timer_resolution(call: &mut Call<'_>) -> Answer {
    let places = [call.ptr(0), call.ptr(1), call.ptr(2)];
    let ticks = [TICK_UNITS as u32, FINEST_TICK, call.current_tick()];
    for (at, tick) in places.into_iter().zip(ticks) {
        call.write_u32(at, tick)?;
    }
    Ok(0)
}

/// `NtSetTimerResolution(wanted, set or take back, *current)`.
fn set_timer_resolution(call: &mut Call<'_>) -> Answer {
    let (wanted, set, at) = (call.u32(0), call.u32(1) & 0xff != 0, call.ptr(2));
    call.probe_write(at, 4)?;
    let own = &mut call.nt.process_mut().timer_resolution;
    let had_one = own.is_some();
    *own = set.then_some(wanted.clamp(FINEST_TICK, TICK_UNITS as u32));
    let current = call.current_tick();
    call.write_u32(at, current)?;
    if set || had_one { Ok(0) } else { Err(NtStatus::TIMER_RESOLUTION_NOT_SET.into()) }
}

/// There is no counter beside the performance counter.
fn no_auxiliary_counter(_: &mut Call<'_>) -> Answer {
    Err(NtStatus::NOT_SUPPORTED.into())
}
