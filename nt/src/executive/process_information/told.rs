//! What is told of a process, by class.

use super::{Buffer, Class, priority_class};
use crate::executive::record::Record;
use crate::executive::system_information::PROCESSOR_MHZ;
use crate::executive::{Ending, Process, SESSION};
use crate::service::{Answer, Call};
use vadose_facts::ntdef::{Bitness, NtStatus};
use vadose_facts::x86::NoExecute;

/// `STATUS_PENDING`: the exit status of a process that runs.
const PENDING: u32 = 0x103;
/// The only processor.
const ONE_PROCESSOR: u64 = 1;
/// `DRIVE_FIXED`, and the number of C: among the letters.
const DRIVE_FIXED: u8 = 3;
const DRIVE_C: usize = 2;
/// `MEM_EXECUTE_OPTION_DISABLE`, `_ENABLE`, `_PERMANENT`.
const EXECUTE_DISABLE: u32 = 1;
const EXECUTE_ENABLE: u32 = 2;
const EXECUTE_PERMANENT: u32 = 8;

/// Asks about the process of the call's handle.
pub(super) fn answer(call: &mut Call<'_>, class: Class, buffer: Buffer) -> Answer {
    match class {
        Class::ImageName | Class::Win32ImageName | Class::CommandLine => return text(call, class, buffer),
        Class::BasePriority
        | Class::Tls
        | Class::StackAllocation
        | Class::PowerThrottling
        | Class::Memory => {
            return Err(NtStatus::INVALID_INFO_CLASS.into());
        }
        _told => {}
    }
    buffer.probe(call)?;
    let pid = call.require_query(call.handle(0));
    // How long an answer is does not depend on whose it is.
    let whose = pid.unwrap_or(call.nt.process().pid);
    let bytes = structure(call, class, whose, buffer)?;
    if bytes.len() != buffer.room as usize {
        return Err(NtStatus::INFO_LENGTH_MISMATCH.into());
    }
    pid?;
    match class {
        // There is no debugger, and nothing to open.
        Class::DebugObject => {
            call.write(buffer.to, &bytes)?;
            Err(NtStatus::PORT_NOT_SET.into())
        }
        Class::Cookie if pid != Ok(call.nt.process().pid) => Err(NtStatus::INVALID_PARAMETER.into()),
        _told => buffer.store(call, &bytes),
    }
}

fn structure(call: &mut Call<'_>, class: Class, pid: u32, buffer: Buffer) -> Result<Vec<u8>, NtStatus> {
    if class == Class::Cookie {
        return Ok((call.pointer_cookie() as u32).to_le_bytes().to_vec());
    }
    let process = call.nt.process_by_id(pid).expect("a handle keeps its process");
    let record = Record::new(call.nt.edition);
    Ok(match class {
        Class::Basic => basic(call, process, buffer)?,
        Class::Times => {
            let times = call.process_times(process);
            record.u64(times.created).u64(times.exited).u64(times.kernel).u64(times.user).finish()
        }
        Class::CycleTime => {
            let cycles = process.ran_units * u64::from(PROCESSOR_MHZ) / 10;
            record.u64(cycles).u64(0).finish()
        }
        Class::DebugPort | Class::DebugObject | Class::Wow64 => record.word(0).finish(),
        Class::DebugFlags => record.u32(1).finish(),
        // What `SetErrorMode` is told has its lowest bit the other way round.
        Class::ErrorMode => record.u32(process.win32.error_mode ^ 1).finish(),
        Class::Scheduling => record.u8(0).u8(priority_class(process.base_priority)).finish(),
        Class::HandleCount => {
            let count = process.handles.count() as u32;
            // Windows 7 began to tell the most that there were, which are not counted apart.
            if buffer.room == 8 { record.u32(count).u32(count).finish() } else { record.u32(count).finish() }
        }
        Class::Affinity => record.word(ONE_PROCESSOR).finish(),
        Class::PriorityBoost => record.u32(u32::from(process.win32.boosts_disabled)).finish(),
        Class::DeviceMap => device_map(record, buffer.room),
        Class::Session => record.u32(SESSION).finish(),
        Class::DeviceMaps => record.u32(1).finish(),
        Class::BreakOnTermination => record.u32(0).finish(),
        Class::IoPriority => record.u32(process.io_priority).finish(),
        Class::PagePriority => record.u32(process.page_priority).finish(),
        Class::ExecuteFlags => record.u32(execute_flags(call)?).finish(),
        Class::Groups => record.u16(0).finish(),
        Class::Protection => record.u8(0).finish(),
        Class::Image => {
            let program = process.modules.first().ok_or(NtStatus::PROCESS_IS_TERMINATING)?;
            crate::executive::section::image_information(call, &program.image, program.base.raw())
        }
        Class::Cookie
        | Class::ImageName
        | Class::Win32ImageName
        | Class::CommandLine
        | Class::BasePriority
        | Class::Tls
        | Class::StackAllocation
        | Class::PowerThrottling
        | Class::Memory => unreachable!("answered or refused by the caller"),
    })
}

/// `PROCESS_BASIC_INFORMATION`, or with its size before it and flags behind it `PROCESS_EXTENDED_BASIC_INFORMATION`, which
/// Windows 8 brought.
fn basic(call: &Call<'_>, process: &Process, buffer: Buffer) -> Result<Vec<u8>, NtStatus> {
    let status = process.ending.as_ref().map_or(PENDING, Ending::exit_code);
    let width = call.pointer_bytes() as u32;
    let extended = buffer.room == 8 * width
        && call.nt.edition.version.major * 100 + call.nt.edition.version.minor >= 602;
    let record = Record::new(call.nt.edition);
    let record = if extended { record.word(u64::from(buffer.room)) } else { record };
    // Word-aligned fields: a status, a pointer, a mask, a priority, two numbers of processes.
    let record = record.u32(status).word(process.peb.raw()).word(ONE_PROCESSOR);
    let record =
        record.u32(process.base_priority.into()).word(process.pid.into()).word(process.parent.into());
    Ok(if extended { record.u32(0).finish() } else { record.finish() })
}

/// `PROCESS_DEVICEMAP_INFORMATION`: one drive; on x64 programs may ask with four bytes more.
fn device_map(record: Record, room: u32) -> Vec<u8> {
    let mut kinds = [0; 32];
    kinds[DRIVE_C] = DRIVE_FIXED;
    let record = record.u32(1 << DRIVE_C).raw(&kinds);
    if room == 40 { record.u32(0).finish() } else { record.finish() }
}

/// Whether data can be executed: the processor decides for all processes alike. 64-bit programs have no such choice.
fn execute_flags(call: &Call<'_>) -> Result<u32, NtStatus> {
    if call.nt.edition.bitness == Bitness::Bits64 {
        return Err(NtStatus::INVALID_PARAMETER);
    }
    Ok(match call.nt.edition.no_execute {
        NoExecute::Enforced => EXECUTE_DISABLE | EXECUTE_PERMANENT,
        NoExecute::Off => EXECUTE_ENABLE,
    })
}

/// A `UNICODE_STRING` with its text behind it.
fn text(call: &mut Call<'_>, class: Class, buffer: Buffer) -> Answer {
    let pid = call.require_query(call.handle(0))?;
    let process = call.nt.process_by_id(pid).expect("a handle keeps its process");
    let text: Vec<u16> = match class {
        Class::ImageName => process.native_image_name(),
        Class::Win32ImageName => process.image_path.as_str().encode_utf16().collect(),
        _ => process.command_line.encode_utf16().collect(),
    };
    let width = call.pointer_bytes() as usize;
    let bytes = 2 * text.len();
    let whole = 2 * width + bytes + 2;
    if (buffer.room as usize) < whole {
        buffer.tell_length(call, whole)?;
        return Err(NtStatus::INFO_LENGTH_MISMATCH.into());
    }
    let behind = buffer.to.offset(2 * width as u64).raw();
    let record = Record::new(call.nt.edition).u16(bytes as u16).u16(bytes as u16 + 2).word(behind);
    let bytes = record.wide(&text).u16(0).open_end();
    buffer.store(call, &bytes)
}
