//! Time: the virtual clock as dates, ticks and counters. The time zone is UTC.

use crate::UserPtr;
use crate::executive::{COUNTER_FREQUENCY, TICK_UNITS, ZONE_NAME};
use crate::host::Moment;
use crate::service::{Answer, Arg, Call, Export, Failure};
use vadose_facts::ntdef::Win32Error;

use Arg::{U32, Word};

/// Units of a `FILETIME` in a second and in a day.
const PER_SECOND: u64 = 10_000_000;
const PER_DAY: u64 = 86_400 * PER_SECOND;
/// Days from 0000-03-01 to 1601-01-01.
const DAYS_TO_1601: i64 = 584_694;
/// Days of 400 years.
const ERA_DAYS: i64 = 146_097;
/// Latest year of a `SYSTEMTIME`.
const LAST_YEAR: u16 = 30_827;
/// `FILETIME` units from 1601 to 1980, where MS-DOS dates begin.
const DOS_EPOCH: u64 = 119_600_064_000_000_000;
/// Bytes of a `TIME_ZONE_INFORMATION`, and where its standard and daylight names are.
const ZONE_BYTES: usize = 172;
const ZONE_NAMES: [u64; 2] = [4, 88];

/// The time functions.
pub(crate) const EXPORTS: &[Export] = &[
    Export::library("GetSystemTimeAsFileTime", &[Word], system_time_as_file_time).set("core-sysinfo"),
    Export::library("GetSystemTimePreciseAsFileTime", &[Word], system_time_as_file_time).set("core-sysinfo"),
    Export::library("GetSystemTime", &[Word], get_system_time).set("core-sysinfo"),
    Export::library("GetLocalTime", &[Word], get_system_time).set("core-sysinfo"),
    Export::library("GetTickCount", &[], get_tick_count).set("core-sysinfo"),
    Export::library("GetTickCount64", &[], get_tick_count64).set("core-sysinfo"),
    Export::library("QueryPerformanceCounter", &[Word], query_performance_counter).set("core-profile"),
    Export::library("QueryPerformanceFrequency", &[Word], query_performance_frequency).set("core-profile"),
    Export::library("QueryUnbiasedInterruptTime", &[Word], query_performance_counter).set("core-realtime"),
    Export::library("FileTimeToSystemTime", &[Word, Word], file_time_to_system_time).set("core-timezone"),
    Export::library("SystemTimeToFileTime", &[Word, Word], system_time_to_file_time).set("core-timezone"),
    Export::library("FileTimeToLocalFileTime", &[Word, Word], copy_file_time).set("core-file"),
    Export::library("LocalFileTimeToFileTime", &[Word, Word], copy_file_time).set("core-file"),
    Export::library("SystemTimeToTzSpecificLocalTime", &[Word, Word, Word], specific_local_time)
        .set("core-timezone"),
    Export::library("TzSpecificLocalTimeToSystemTime", &[Word, Word, Word], specific_local_time)
        .set("core-timezone"),
    Export::library("CompareFileTime", &[Word, Word], compare_file_time).set("core-file"),
    Export::library("FileTimeToDosDateTime", &[Word, Word, Word], file_time_to_dos).only_in_kernel32(),
    Export::library("DosDateTimeToFileTime", &[U32, U32, Word], dos_to_file_time).only_in_kernel32(),
    Export::library("GetTimeZoneInformation", &[Word], get_time_zone_information).set("core-timezone"),
    Export::system("GetSystemTimeAdjustment", &[Word, Word, Word], get_system_time_adjustment)
        .set("core-sysinfo"),
    Export::system("GetSystemTimes", &[Word, Word, Word], get_system_times).only_in_kernel32(),
    Export::system("GetProcessTimes", &[Word, Word, Word, Word, Word], get_process_times)
        .set("core-processthreads"),
    Export::system("GetThreadTimes", &[Word, Word, Word, Word, Word], get_thread_times)
        .set("core-processthreads"),
];

/// A `SYSTEMTIME`: year, month, day of the week, day, hour, minute, second, millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Date([u16; 8]);

impl Date {
    /// The date of a moment; `None` behind the last year.
    pub(super) fn of(units: u64) -> Option<Self> {
        let (days, rest) = (i64::try_from(units / PER_DAY).ok()?, units % PER_DAY);
        let (year, month, day) = civil(days + DAYS_TO_1601);
        let year = u16::try_from(year).ok().filter(|year| *year <= LAST_YEAR)?;
        // 1601-01-01 was a Monday.
        let weekday = (days + 1) % 7;
        let seconds = rest / PER_SECOND;
        let milliseconds = rest % PER_SECOND / Moment::PER_MILLISECOND;
        let fields =
            [month, weekday, day].map(|field| u16::try_from(field).expect("months and days are small"));
        let clock = [seconds / 3600, seconds / 60 % 60, seconds % 60, milliseconds].map(|field| field as u16);
        Some(Self([year, fields[0], fields[1], fields[2], clock[0], clock[1], clock[2], clock[3]]))
    }

    /// The moment of a date; `None` if there is no such date. The day of the week does not count.
    pub(super) fn moment(self) -> Option<u64> {
        let [year, month, _, day, hour, minute, second, milliseconds] = self.0;
        let in_range = (1601..=LAST_YEAR).contains(&year)
            && (1..=12).contains(&month)
            && (1..=31).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60
            && milliseconds < 1000;
        if !in_range {
            return None;
        }
        let days = days_of(year.into(), month.into(), day.into());
        if civil(days) != (year.into(), month.into(), day.into()) {
            return None;
        }
        let days = u64::try_from(days - DAYS_TO_1601).ok()?;
        let seconds = (u64::from(hour) * 60 + u64::from(minute)) * 60 + u64::from(second);
        Some(days * PER_DAY + seconds * PER_SECOND + u64::from(milliseconds) * Moment::PER_MILLISECOND)
    }
}

/// Year, month and day of a count of days since 0000-03-01, in the Gregorian calendar.
fn civil(days: i64) -> (i64, i64, i64) {
    let (era, day_of_era) = (days.div_euclid(ERA_DAYS), days.rem_euclid(ERA_DAYS));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

/// Days since 0000-03-01.
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * shifted + 2) / 5 + day - 1;
    era * ERA_DAYS + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year
}

fn write_date(call: &mut Call<'_>, at: UserPtr, date: Date) -> Result<(), Failure> {
    Ok(call.write_wide(at, &date.0)?)
}

fn read_date(call: &mut Call<'_>, at: UserPtr) -> Result<Date, Failure> {
    let fields = call.read_wide(at, 8)?;
    Ok(Date(fields.try_into().expect("eight fields were read")))
}

fn bad_date() -> Failure {
    Win32Error::INVALID_PARAMETER.into()
}

fn system_time_as_file_time(call: &mut Call<'_>) -> Answer {
    let (at, now) = (call.ptr(0), call.host.now());
    call.write_u64(at, now.units())?;
    Ok(0)
}

fn get_system_time(call: &mut Call<'_>) -> Answer {
    let (at, now) = (call.ptr(0), call.host.now());
    let date = Date::of(now.units()).ok_or_else(bad_date)?;
    write_date(call, at, date)?;
    Ok(0)
}

fn get_tick_count(call: &mut Call<'_>) -> Answer {
    Ok(call.tick_milliseconds() & u64::from(u32::MAX))
}

fn get_tick_count64(call: &mut Call<'_>) -> Answer {
    Ok(call.tick_milliseconds())
}

/// The counter counts in units of 100 ns, as on Windows 10.
fn query_performance_counter(call: &mut Call<'_>) -> Answer {
    let (at, running) = (call.ptr(0), call.running_units());
    call.write_u64(at, running)?;
    Ok(1)
}

fn query_performance_frequency(call: &mut Call<'_>) -> Answer {
    let at = call.ptr(0);
    call.write_u64(at, COUNTER_FREQUENCY)?;
    Ok(1)
}

fn file_time_to_system_time(call: &mut Call<'_>) -> Answer {
    let (from, to) = (call.ptr(0), call.ptr(1));
    let units = call.read_u64(from)?;
    let date = Date::of(units).filter(|_| units <= i64::MAX as u64).ok_or_else(bad_date)?;
    write_date(call, to, date)?;
    Ok(1)
}

fn system_time_to_file_time(call: &mut Call<'_>) -> Answer {
    let (from, to) = (call.ptr(0), call.ptr(1));
    let moment = read_date(call, from)?.moment().ok_or_else(bad_date)?;
    call.write_u64(to, moment)?;
    Ok(1)
}

/// Local time is UTC.
fn copy_file_time(call: &mut Call<'_>) -> Answer {
    let (from, to) = (call.ptr(0), call.ptr(1));
    let units = call.read_u64(from)?;
    call.write_u64(to, units)?;
    Ok(1)
}

/// `SystemTimeToTzSpecificLocalTime(zone, from, to)`, and back: with a zone of the program's own, its bias counts.
fn specific_local_time(call: &mut Call<'_>) -> Answer {
    let (zone, from, to) = (call.ptr(0), call.ptr(1), call.ptr(2));
    let bias = if zone.is_null() { 0 } else { i64::from(call.read_u32(zone)?.cast_signed()) };
    let moment = read_date(call, from)?.moment().ok_or_else(bad_date)?;
    let toward_local = call.name() == "SystemTimeToTzSpecificLocalTime";
    let shift = if toward_local { -bias } else { bias } * 60 * PER_SECOND as i64;
    let date = moment.checked_add_signed(shift).and_then(Date::of).ok_or_else(bad_date)?;
    write_date(call, to, date)?;
    Ok(1)
}

/// -1, 0 or 1.
fn compare_file_time(call: &mut Call<'_>) -> Answer {
    let (a, b) = (call.ptr(0), call.ptr(1));
    let order = call.read_u64(a)?.cmp(&call.read_u64(b)?);
    Ok(u64::from((order as i32).cast_unsigned()))
}

/// `FileTimeToDosDateTime(*time, *date, *dos time)`.
fn file_time_to_dos(call: &mut Call<'_>) -> Answer {
    let (from, date_at, time_at) = (call.ptr(0), call.ptr(1), call.ptr(2));
    let Date([year, month, _, day, hour, minute, second, _]) =
        Date::of(call.read_u64(from)?).ok_or_else(bad_date)?;
    if !(1980..=2107).contains(&year) {
        return Err(bad_date());
    }
    call.write_u16(date_at, (year - 1980) << 9 | month << 5 | day)?;
    call.write_u16(time_at, hour << 11 | minute << 5 | (second / 2))?;
    Ok(1)
}

fn dos_to_file_time(call: &mut Call<'_>) -> Answer {
    let (date, time, to) = (call.u32(0) as u16, call.u32(1) as u16, call.ptr(2));
    let fields = [
        1980 + (date >> 9),
        date >> 5 & 0xf,
        0,
        date & 0x1f,
        time >> 11,
        time >> 5 & 0x3f,
        (time & 0x1f) * 2,
        0,
    ];
    let moment = Date(fields).moment().ok_or_else(bad_date)?;
    assert!(moment >= DOS_EPOCH, "MS-DOS dates begin in 1980");
    call.write_u64(to, moment)?;
    Ok(1)
}

/// `GetTimeZoneInformation(*zone)`: no bias, and no daylight time: `TIME_ZONE_ID_UNKNOWN`.
fn get_time_zone_information(call: &mut Call<'_>) -> Answer {
    let at = call.ptr(0);
    call.write(at, &[0; ZONE_BYTES])?;
    let name: Vec<u16> = ZONE_NAME.encode_utf16().collect();
    for place in ZONE_NAMES {
        call.write_wide(at.offset(place), &name)?;
    }
    Ok(0)
}

/// `GetSystemTimeAdjustment(*adjustment, *increment, *disabled)`.
fn get_system_time_adjustment(call: &mut Call<'_>) -> Answer {
    for (index, value) in [TICK_UNITS as u32, TICK_UNITS as u32, 1].into_iter().enumerate() {
        let at = call.ptr(index);
        call.write_u32(at, value)?;
    }
    Ok(1)
}

/// `GetSystemTimes(*idle, *kernel, *user)`: the kernel's time includes what is idle.
fn get_system_times(call: &mut Call<'_>) -> Answer {
    let (idle, busy) = call.processor_times();
    write_times(call, &[(0, idle), (1, idle), (2, busy)])
}

/// `GetProcessTimes(process, *creation, *exit, *kernel, *user)`.
fn get_process_times(call: &mut Call<'_>) -> Answer {
    let pid = call.require_query(call.handle(0))?;
    let times = call.process_times(call.nt.process_by_id(pid).expect("a handle keeps its process"));
    write_times(call, &times.by_argument())
}

/// `GetThreadTimes(thread, *creation, *exit, *kernel, *user)`.
fn get_thread_times(call: &mut Call<'_>) -> Answer {
    let tid = call.thread_of(call.handle(0), 0)?;
    let times = call.thread_times(call.nt.threads.get(tid).expect("a handle keeps its thread"));
    write_times(call, &times.by_argument())
}

/// Stores times through arguments; null pointers are left out.
fn write_times(call: &mut Call<'_>, times: &[(usize, u64)]) -> Answer {
    for (index, units) in times {
        let at = call.ptr(*index);
        if !at.is_null() {
            call.write_u64(at, *units)?;
        }
    }
    Ok(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments_have_their_dates() {
        for (units, fields) in [
            (0, [1601, 1, 1, 1, 0, 0, 0, 0]),
            (116_444_736_000_000_000, [1970, 1, 4, 1, 0, 0, 0, 0]),
            (DOS_EPOCH, [1980, 1, 2, 1, 0, 0, 0, 0]),
            (125_963_423_991_230_000, [2000, 2, 2, 29, 23, 59, 59, 123]),
        ] {
            assert_eq!(Date::of(units), Some(Date(fields)));
            assert_eq!(Date(fields).moment(), Some(units));
        }
        assert_eq!(Date::of(u64::MAX), None);
    }

    #[test]
    fn every_day_of_nine_centuries_comes_back_and_days_that_are_not_are_refused() {
        for day in 0..330_000 {
            let units = day * PER_DAY;
            assert_eq!(Date::of(units).and_then(Date::moment), Some(units));
        }
        for (year, month, day) in [(2001, 2, 29), (1900, 2, 29), (2000, 4, 31), (2000, 13, 1), (1600, 1, 1)] {
            assert_eq!(Date([year, month, 0, day, 0, 0, 0, 0]).moment(), None, "{year}-{month}-{day}");
        }
    }
}
