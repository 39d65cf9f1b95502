//! What a program asks about the system: version, processors, names, and odds and ends of kernel32.

use super::text::Width;
use crate::UserPtr;
use crate::executive::{SESSION, logical, logical_ex, nt_query_job};
use crate::kernel::Kernel;
use crate::service::{Answer, Arg, Call, Export, Failure};
use vadose_facts::ntdef::{Bitness, Win32Error};

use Arg::{U32, U64, Word};

/// Name of the computer.
pub(crate) const COMPUTER_NAME: &str = "VADOSE";
/// `VER_PLATFORM_WIN32_NT`.
const PLATFORM_NT: u32 = 2;
/// `VER_NT_WORKSTATION`.
const WORKSTATION: u8 = 1;
/// `VER_SUITE_SINGLEUSERTS`.
const SUITE: u16 = 0x100;
/// `ERROR_OLD_WIN_VERSION` and `ERROR_BAD_ARGUMENTS`.
const OLD_VERSION: Win32Error = Win32Error::new(1150);
const BAD_ARGUMENTS: Win32Error = Win32Error::new(160);
/// `ERROR_BUFFER_OVERFLOW`.
const BUFFER_OVERFLOW: Win32Error = Win32Error::new(111);
/// `NORMAL_PRIORITY_CLASS`.
const NORMAL_PRIORITY: u64 = 0x20;
/// `IDLE_`, `BELOW_NORMAL_`, `NORMAL_`, `ABOVE_NORMAL_`, `HIGH_` and `REALTIME_PRIORITY_CLASS`, with the priorities of their
/// normal threads.
const PRIORITY_CLASSES: [(u64, u8); 6] =
    [(0x40, 4), (0x4000, 6), (NORMAL_PRIORITY, 8), (0x8000, 10), (0x80, 13), (0x100, 24)];
/// `ALL_PROCESSOR_GROUPS`.
const ALL_GROUPS: u32 = 0xffff;
/// Bytes of an `OSVERSIONINFOEXW`.
const RTL_EXTENDED_BYTES: u64 = 284;
/// `PROCESS_SET_INFORMATION` and `PROCESS_QUERY_INFORMATION`.
const PROCESS_SET_INFORMATION: u32 = 0x200;
const PROCESS_QUERY_INFORMATION: u32 = 0x400;

/// The system functions.
pub(crate) const EXPORTS: &[Export] = &[
    Export::library("GetVersion", &[], get_version).set("core-sysinfo"),
    Export::library("GetVersionExA", &[Word], get_version_ex_a).set("core-sysinfo"),
    Export::library("GetVersionExW", &[Word], get_version_ex_w).set("core-sysinfo"),
    Export::library("VerSetConditionMask", &[U64, U32, U32], ver_set_condition_mask).set("core-sysinfo"),
    Export::library("VerifyVersionInfoA", &[Word, U32, U64], verify_version_info_a).only_in_kernel32(),
    Export::library("VerifyVersionInfoW", &[Word, U32, U64], verify_version_info_w).set("core-sysinfo"),
    Export::library("GetActiveProcessorCount", &[U32], processor_count).set("core-processtopology"),
    Export::library("GetMaximumProcessorCount", &[U32], processor_count).set("core-processtopology"),
    Export::library("GetActiveProcessorGroupCount", &[], one).set("core-processtopology"),
    Export::library("GetMaximumProcessorGroupCount", &[], one).set("core-processtopology"),
    Export::library("GetCurrentProcessorNumber", &[], zero).set("core-processthreads"),
    Export::system("GetLogicalProcessorInformation", &[Word, Word], logical_processors).set("core-sysinfo"),
    Export::system("GetLogicalProcessorInformationEx", &[U32, Word, Word], logical_processors_ex)
        .set("core-sysinfo"),
    Export::system("GetProcessAffinityMask", &[Word, Word, Word], get_affinity).only_in_kernel32(),
    Export::system("SetProcessAffinityMask", &[Word, Word], set_process_affinity).only_in_kernel32(),
    Export::system("SetThreadAffinityMask", &[Word, Word], set_thread_affinity).only_in_kernel32(),
    Export::system("GetPriorityClass", &[Word], get_priority_class).set("core-processthreads"),
    Export::system("SetProcessPriorityBoost", &[Word, U32], set_priority_boost).set("core-processthreads"),
    Export::system("GetProcessPriorityBoost", &[Word, Word], get_priority_boost).set("core-processthreads"),
    Export::native("RtlGetVersion", &[Word], rtl_get_version),
    Export::library("RtlGetNtVersionNumbers", &[Word, Word, Word], rtl_get_nt_version_numbers).in_ntdll(),
    Export::library("RtlGetCurrentPeb", &[], rtl_get_current_peb).in_ntdll(),
    Export::system("IsProcessInJob", &[Word, Word, Word], is_process_in_job).set("core-job"),
    Export::system("QueryInformationJobObject", &[Word, U32, Word, U32, Word], query_job).set("core-job"),
    Export::system("IsWow64Process", &[Word, Word], is_wow64_process).set("core-wow64"),
    Export::library("EncodePointer", &[Word], encode_pointer).set("core-util"),
    Export::library("DecodePointer", &[Word], decode_pointer).set("core-util"),
    Export::library("EncodeSystemPointer", &[Word], encode_pointer).set("core-util"),
    Export::library("DecodeSystemPointer", &[Word], decode_pointer).set("core-util"),
    Export::library("GetComputerNameA", &[Word, Word], computer_name_a).only_in_kernel32(),
    Export::library("GetComputerNameW", &[Word, Word], computer_name_w).only_in_kernel32(),
    Export::library("OutputDebugStringA", &[Word], output_debug_string_a).set("core-debug"),
    Export::library("OutputDebugStringW", &[Word], output_debug_string_w).set("core-debug"),
    Export::library("MulDiv", &[U32, U32, U32], mul_div).only_in_kernel32(),
    Export::system("QueryFullProcessImageNameA", &[Word, U32, Word, Word], image_name_a).only_in_kernel32(),
    Export::system("QueryFullProcessImageNameW", &[Word, U32, Word, Word], image_name_w)
        .set("core-processthreads"),
    Export::system("ProcessIdToSessionId", &[U32, Word], process_id_to_session_id).set("core-processthreads"),
    Export::system("SetThreadStackGuarantee", &[Word], set_thread_stack_guarantee).set("core-processthreads"),
];

/// How much of a version record is filled.
#[derive(Clone, Copy, PartialEq, Eq)]
enum VersionPart {
    /// Up to the service pack's name.
    Plain,
    /// Also its number and the kind of system.
    Extended,
}

fn zero(_: &mut Call<'_>) -> Answer {
    Ok(0)
}

fn one(_: &mut Call<'_>) -> Answer {
    Ok(1)
}

/// Minor version in bits 8 to 15, major in 0 to 7, build above.
fn get_version(call: &mut Call<'_>) -> Answer {
    let version = call.nt.edition.version;
    Ok(u64::from(version.build << 16 | version.minor << 8 | version.major))
}

/// `RtlGetVersion(*info)`: `OSVERSIONINFOW`, and the rest of `OSVERSIONINFOEXW` if the size says so.
fn rtl_get_version(call: &mut Call<'_>) -> Answer {
    let at = call.ptr(0);
    let size = u64::from(call.read_u32(at)?);
    let part = if size == RTL_EXTENDED_BYTES { VersionPart::Extended } else { VersionPart::Plain };
    put_version(call, at, part, Width::Wide)?;
    Ok(0)
}

/// `RtlGetNtVersionNumbers(*major, *minor, *build)`, each of which may be null. The top bits of the build say that it is
/// not a checked one.
fn rtl_get_nt_version_numbers(call: &mut Call<'_>) -> Answer {
    const FREE_BUILD: u32 = 0xf000_0000;
    let version = call.nt.edition.version;
    for (index, value) in [version.major, version.minor, version.build | FREE_BUILD].into_iter().enumerate() {
        let at = call.ptr(index);
        if !at.is_null() {
            call.write_u32(at, value)?;
        }
    }
    Ok(0)
}

fn rtl_get_current_peb(call: &mut Call<'_>) -> Answer {
    Ok(call.nt.process().peb.raw())
}

/// `SetProcessPriorityBoost(process, disable)`.
fn set_priority_boost(call: &mut Call<'_>) -> Answer {
    let (process, disable) = (call.handle(0), call.u32(1));
    let target = call.require_living(process, PROCESS_SET_INFORMATION)?;
    call.nt.process_by_id_mut(target).expect("it lives").win32.boosts_disabled = disable != 0;
    Ok(1)
}

/// `GetProcessPriorityBoost(process, *disabled)`.
fn get_priority_boost(call: &mut Call<'_>) -> Answer {
    let (process, to) = (call.handle(0), call.ptr(1));
    let target = call.require_living(process, PROCESS_QUERY_INFORMATION)?;
    let disabled = call.nt.process_by_id(target).expect("it lives").win32.boosts_disabled;
    call.write_u32(to, u32::from(disabled))?;
    Ok(1)
}

fn get_version_ex_a(call: &mut Call<'_>) -> Answer {
    get_version_ex(call, Width::Narrow)
}

fn get_version_ex_w(call: &mut Call<'_>) -> Answer {
    get_version_ex(call, Width::Wide)
}

/// `OSVERSIONINFO`, and `OSVERSIONINFOEX` if there is room for it.
fn get_version_ex(call: &mut Call<'_>, width: Width) -> Answer {
    let at = call.ptr(0);
    let small = 20 + 128 * width.bytes();
    let size = u64::from(call.read_u32(at)?);
    if size != small && size != small + 8 {
        return Err(Win32Error::INSUFFICIENT_BUFFER.into());
    }
    let part = if size > small { VersionPart::Extended } else { VersionPart::Plain };
    put_version(call, at, part, width)?;
    Ok(1)
}

/// Fills a version record behind its size.
fn put_version(call: &mut Call<'_>, at: UserPtr, part: VersionPart, width: Width) -> Result<(), Failure> {
    let small = 20 + 128 * width.bytes();
    let version = call.nt.edition.version;
    for (place, value) in [(4, version.major), (8, version.minor), (12, version.build), (16, PLATFORM_NT)] {
        call.write_u32(at.offset(place), value)?;
    }
    let pack = match version.service_pack {
        0 => String::new(),
        number => format!("Service Pack {number}"),
    };
    call.put_text(at.offset(20), 128, &pack, width)?;
    if part == VersionPart::Extended {
        let tail = at.offset(small);
        call.write_u16(tail, version.service_pack)?;
        call.write_u16(tail.offset(2), 0)?;
        call.write_u16(tail.offset(4), SUITE)?;
        call.write(tail.offset(6), &[WORKSTATION, 0])?;
    }
    Ok(())
}

/// `VerSetConditionMask(mask, field, condition)`: three bits for the lowest field named.
fn ver_set_condition_mask(call: &mut Call<'_>) -> Answer {
    let (mask, field, condition) = (call.arg(0), call.u32(1), call.u32(2) & 7);
    let place = highest_field(field);
    Ok(place.map_or(mask, |place| mask | u64::from(condition) << (3 * place)))
}

/// The field that counts if several are named: from product type down.
fn highest_field(field: u32) -> Option<u32> {
    [7, 6, 5, 4, 3, 2, 1, 0].into_iter().find(|bit| field >> bit & 1 != 0)
}

fn verify_version_info_a(call: &mut Call<'_>) -> Answer {
    verify_version_info(call, Width::Narrow)
}

fn verify_version_info_w(call: &mut Call<'_>) -> Answer {
    verify_version_info(call, Width::Wide)
}

/// The fields of a version in `VER_*` bit order: minor, major, build, platform, service pack minor and major, suite,
/// product type.
type Fields = [u32; 8];

/// `VerifyVersionInfo(*wanted, fields, conditions)`.
fn verify_version_info(call: &mut Call<'_>, width: Width) -> Answer {
    let (at, mask, conditions) = (call.ptr(0), call.u32(1) & 0xff, call.arg(2));
    if mask == 0 || conditions == 0 {
        return Err(BAD_ARGUMENTS.into());
    }
    let tail = at.offset(20 + 128 * width.bytes());
    let wanted: Fields = [
        call.read_u32(at.offset(8))?,
        call.read_u32(at.offset(4))?,
        call.read_u32(at.offset(12))?,
        call.read_u32(at.offset(16))?,
        u32::from(call.read_u16(tail.offset(2))?),
        u32::from(call.read_u16(tail)?),
        u32::from(call.read_u16(tail.offset(4))?),
        call.read_number(tail.offset(6), 1)? as u32,
    ];
    let version = call.nt.edition.version;
    let ours: Fields = [
        version.minor,
        version.major,
        version.build,
        PLATFORM_NT,
        0,
        u32::from(version.service_pack),
        u32::from(SUITE),
        u32::from(WORKSTATION),
    ];
    if fits_version(&ours, &wanted, mask, conditions) { Ok(1) } else { Err(OLD_VERSION.into()) }
}

/// Major, minor and the service pack are compared together, as one number; the others by themselves.
fn fits_version(ours: &Fields, wanted: &Fields, mask: u32, conditions: u64) -> bool {
    let condition = |bit: usize| (conditions >> (3 * bit) & 7) as u32;
    let named = |bit: &usize| mask >> bit & 1 != 0;
    let alone = [2, 3, 7].iter().filter(|bit| named(bit));
    if !alone.clone().all(|bit| holds(ours[*bit].cmp(&wanted[*bit]), condition(*bit))) {
        return false;
    }
    if named(&6) {
        let common = ours[6] & wanted[6];
        let fits = if condition(6) == 7 { common != 0 } else { common == wanted[6] };
        if !fits {
            return false;
        }
    }
    let together: Vec<usize> = [1, 0, 5, 4].into_iter().filter(named).collect();
    let Some(first) = together.first() else { return true };
    let ours = together.iter().map(|bit| ours[*bit]);
    let order = ours.cmp(together.iter().map(|bit| wanted[*bit]));
    holds(order, condition(*first))
}

/// Equal, greater, greater or equal, less, less or equal.
fn holds(order: std::cmp::Ordering, condition: u32) -> bool {
    match condition {
        1 => order.is_eq(),
        2 => order.is_gt(),
        3 => order.is_ge(),
        4 => order.is_lt(),
        5 => order.is_le(),
        _ => false,
    }
}

fn processor_count(call: &mut Call<'_>) -> Answer {
    match call.u32(0) & 0xffff {
        0 | ALL_GROUPS => Ok(1),
        _ => Err(Win32Error::INVALID_PARAMETER.into()),
    }
}

/// Stores records if they fit, and how long they are.
fn store_records(call: &mut Call<'_>, to: UserPtr, length_at: UserPtr, records: &[u8]) -> Answer {
    let room = call.read_u32(length_at)? as usize;
    call.write_u32(length_at, records.len() as u32)?;
    if room < records.len() {
        return Err(Win32Error::INSUFFICIENT_BUFFER.into());
    }
    call.write(to, records)?;
    Ok(1)
}

/// `GetLogicalProcessorInformation(*records, *length)`: a core, a memory node, a package.
fn logical_processors(call: &mut Call<'_>) -> Answer {
    let (to, length_at) = (call.ptr(0), call.ptr(1));
    let records = logical(call.nt.edition);
    store_records(call, to, length_at, &records)
}

/// `GetLogicalProcessorInformationEx(relation, *records, *length)`.
fn logical_processors_ex(call: &mut Call<'_>) -> Answer {
    let (relation, to, length_at) = (call.u32(0), call.ptr(1), call.ptr(2));
    let records = logical_ex(call.nt.edition, relation);
    let records = records.ok_or(Failure::Error(Win32Error::INVALID_PARAMETER))?;
    store_records(call, to, length_at, &records)
}

/// `GetProcessAffinityMask(process, *own, *system)`.
fn get_affinity(call: &mut Call<'_>) -> Answer {
    let (own_at, system_at) = (call.ptr(1), call.ptr(2));
    call.require_process(call.handle(0), 0)?;
    call.write_word(own_at, 1)?;
    call.write_word(system_at, 1)?;
    Ok(1)
}

fn set_process_affinity(call: &mut Call<'_>) -> Answer {
    call.require_process(call.handle(0), 0)?;
    if call.arg(1) == 1 { Ok(1) } else { Err(Win32Error::INVALID_PARAMETER.into()) }
}

/// Answers the mask before.
fn set_thread_affinity(call: &mut Call<'_>) -> Answer {
    call.nt.handles().get(call.handle(0))?;
    if call.arg(1) & 1 == 1 { Ok(1) } else { Err(Win32Error::INVALID_PARAMETER.into()) }
}

/// `GetPriorityClass(process)`.
fn get_priority_class(call: &mut Call<'_>) -> Answer {
    let pid = call.require_query(call.handle(0))?;
    let base = call.nt.process_by_id(pid).expect("a handle keeps its process").base_priority;
    let class = PRIORITY_CLASSES.iter().find(|(_, known)| *known == base);
    Ok(class.map_or(NORMAL_PRIORITY, |(class, _)| *class))
}

/// `IsProcessInJob(process, job, *result)`: a null job means any.
fn is_process_in_job(call: &mut Call<'_>) -> Answer {
    let to = call.ptr(2);
    let is_in = call.is_in_job(call.handle(0), call.handle(1))?;
    call.write_u32(to, u32::from(is_in))?;
    Ok(1)
}

/// `QueryInformationJobObject(job, class, *buffer, length, *returned)`: a null job means the process's own.
fn query_job(call: &mut Call<'_>) -> Answer {
    nt_query_job(call).map(|_| 1)
}

fn is_wow64_process(call: &mut Call<'_>) -> Answer {
    let to = call.ptr(1);
    call.require_process(call.handle(0), 0)?;
    call.write_u32(to, 0)?;
    Ok(1)
}

impl Kernel<'_> {
    /// The number that pointers of this process are hidden with.
    pub(crate) fn pointer_cookie(&mut self) -> u64 {
        if let Some(cookie) = self.nt.process().win32.pointer_cookie {
            return cookie;
        }
        let mut bytes = [0; 8];
        self.host.entropy(&mut bytes);
        let cookie = u64::from_le_bytes(bytes);
        self.nt.process_mut().win32.pointer_cookie = Some(cookie);
        cookie
    }
}

/// Exclusive or with the cookie, then a rotation by its low bits, as in Windows.
fn encode_pointer(call: &mut Call<'_>) -> Answer {
    let (pointer, cookie) = (call.arg(0), call.pointer_cookie());
    Ok(match call.nt.edition.bitness {
        Bitness::Bits32 => u64::from((pointer as u32 ^ cookie as u32).rotate_right(cookie as u32 & 31)),
        Bitness::Bits64 => (pointer ^ cookie).rotate_right(cookie as u32 & 63),
    })
}

fn decode_pointer(call: &mut Call<'_>) -> Answer {
    let (code, cookie) = (call.arg(0), call.pointer_cookie());
    Ok(match call.nt.edition.bitness {
        Bitness::Bits32 => u64::from((code as u32).rotate_left(cookie as u32 & 31) ^ cookie as u32),
        Bitness::Bits64 => code.rotate_left(cookie as u32 & 63) ^ cookie,
    })
}

fn computer_name_a(call: &mut Call<'_>) -> Answer {
    computer_name(call, Width::Narrow)
}

fn computer_name_w(call: &mut Call<'_>) -> Answer {
    computer_name(call, Width::Wide)
}

/// `GetComputerName(*name, *room)`.
fn computer_name(call: &mut Call<'_>, width: Width) -> Answer {
    let (to, room_at) = (call.ptr(0), call.ptr(1));
    let room = call.read_u32(room_at)?;
    let length = call.put_text(to, room, COMPUTER_NAME, width)?;
    call.write_u32(room_at, length as u32)?;
    if length < u64::from(room) { Ok(1) } else { Err(BUFFER_OVERFLOW.into()) }
}

fn output_debug_string_a(call: &mut Call<'_>) -> Answer {
    output_debug_string(call, Width::Narrow)
}

fn output_debug_string_w(call: &mut Call<'_>) -> Answer {
    output_debug_string(call, Width::Wide)
}

/// No debugger listens, but whoever watches may. Text that cannot be read is nobody's trouble, as in Windows.
fn output_debug_string(call: &mut Call<'_>, width: Width) -> Answer {
    let at = call.ptr(0);
    if let Ok(Some(text)) = call.optional_text(at, width) {
        call.nt.note_debug_text(text);
    }
    Ok(0)
}

/// `MulDiv(number, numerator, denominator)`, rounded; -1 if the result does not fit.
fn mul_div(call: &mut Call<'_>) -> Answer {
    let (number, numerator, denominator) =
        (i64::from(call.i32(0)), i64::from(call.i32(1)), i64::from(call.i32(2)));
    let answer = mul_div_round(number, numerator, denominator).unwrap_or(-1);
    Ok(u64::from(answer.cast_unsigned()))
}

fn mul_div_round(number: i64, numerator: i64, denominator: i64) -> Option<i32> {
    let product = number * numerator;
    let half = denominator.abs() / 2;
    let rounded = if product < 0 { product - half } else { product + half };
    i32::try_from(rounded.checked_div(denominator)?).ok()
}

fn image_name_a(call: &mut Call<'_>) -> Answer {
    image_name(call, Width::Narrow)
}

fn image_name_w(call: &mut Call<'_>) -> Answer {
    image_name(call, Width::Wide)
}

/// `QueryFullProcessImageName(process, flags, *name, *room)`.
fn image_name(call: &mut Call<'_>, width: Width) -> Answer {
    let (to, room_at) = (call.ptr(2), call.ptr(3));
    let target = call.require_living(call.handle(0), 0)?;
    let room = call.read_u32(room_at)?;
    let name = call.nt.process_by_id(target).expect("it lives").image_path.to_string();
    let length = call.put_text(to, room, &name, width)?;
    if length >= u64::from(room) {
        return Err(Win32Error::INSUFFICIENT_BUFFER.into());
    }
    call.write_u32(room_at, length as u32)?;
    Ok(1)
}

fn process_id_to_session_id(call: &mut Call<'_>) -> Answer {
    let (id, to) = (call.u32(0), call.ptr(1));
    if call.nt.process_by_id(id).is_none() {
        return Err(Win32Error::INVALID_PARAMETER.into());
    }
    call.write_u32(to, SESSION)?;
    Ok(1)
}

/// `SetThreadStackGuarantee(*bytes)`: rounded up to pages; never less than before; answers what it was.
fn set_thread_stack_guarantee(call: &mut Call<'_>) -> Answer {
    let at = call.ptr(0);
    let layout = call.nt.layouts().teb;
    let field = UserPtr::new(call.thread().teb.raw()).offset(u64::from(layout.guaranteed_stack_bytes));
    let (wanted, old) = (call.read_u32(at)?, call.read_u32(field)?);
    let rounded = wanted.checked_next_multiple_of(0x1000);
    let rounded = rounded.ok_or(Failure::Error(Win32Error::INVALID_PARAMETER))?;
    if rounded > old {
        call.write_u32(field, rounded)?;
    }
    call.write_u32(at, old)?;
    Ok(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Condition masks as `VerSetConditionMask` builds them.
    fn mask(conditions: &[(u32, u64)]) -> u64 {
        conditions.iter().fold(0, |mask, (field, condition)| {
            mask | condition << (3 * highest_field(*field).expect("a field"))
        })
    }

    #[test]
    fn versions_compare_major_minor_and_service_pack_together() {
        let windows_7 = [1, 6, 7601, 2, 0, 1, 0x100, 1];
        let at_least = mask(&[(2, 3), (1, 3), (0x20, 3)]);
        let fits = |major, minor, pack| {
            fits_version(&windows_7, &[minor, major, 0, 0, 0, pack, 0, 0], 0x23, at_least)
        };
        assert!(fits(5, 2, 9) && fits(6, 0, 2) && fits(6, 1, 1));
        assert!(!fits(6, 1, 2) && !fits(6, 2, 0) && !fits(10, 0, 0));
        assert!(!fits_version(&windows_7, &[0, 6, 0, 0, 0, 0, 0, 0], 0x2, mask(&[(2, 2)])));
        assert!(fits_version(&windows_7, &[0; 8].map(|_| 7601), 0x4, mask(&[(4, 1)])));
    }

    #[test]
    fn muldiv_rounds_and_tells_overflow() {
        assert_eq!(mul_div_round(10, 1, 4), Some(3));
        assert_eq!(mul_div_round(-10, 1, 4), Some(-3));
        assert_eq!(mul_div_round(1, 1, 0), None);
        assert_eq!(mul_div_round(i64::from(i32::MIN), -1, 1), None);
    }
}
