//! Small services of the system: processor numbers, hard errors, licences, firmware variables, traces.

use super::attributes::read_name;
use crate::claim::UserPtr;
use crate::service::{Answer, Arg, Call, Export, Failure};
use vadose_facts::ntdef::NtStatus;

use Arg::{U32, Word};

/// Parameters of a hard error, and `OptionShutdownSystem`.
const MAX_PARAMETERS: u32 = 5;
const SHUT_DOWN: u32 = 6;
/// `ResponseReturnToCaller`.
const RETURN_TO_CALLER: u32 = 0;
/// Longest text of a parameter that is kept, in characters.
const MAX_TEXT: usize = 1024;

/// The services.
pub(crate) const EXPORTS: &[Export] = &[
    Export::native("NtGetCurrentProcessorNumber", &[], current_processor),
    Export::native("NtGetCurrentProcessorNumberEx", &[Word], current_processor_ex).since(6, 1),
    Export::native("NtFlushProcessWriteBuffers", &[], flush_write_buffers).since(6, 0),
    Export::native("NtRaiseHardError", &[U32, U32, U32, Word, U32, Word], raise_hard_error),
    Export::native("NtDisplayString", &[Word], needs_privilege),
    Export::native("NtQueryLicenseValue", &[Word, Word, Word, U32, Word], query_license).since(6, 0),
    Export::native("NtQuerySystemEnvironmentValue", &[Word, Word, U32, Word], needs_privilege),
    Export::native("NtQuerySystemEnvironmentValueEx", &[Word, Word, Word, Word, Word], needs_privilege),
    Export::native("NtSetSystemEnvironmentValue", &[Word, Word], needs_privilege),
    Export::native("NtSetSystemEnvironmentValueEx", &[Word, Word, Word, U32, U32], needs_privilege),
    Export::native("NtEnumerateSystemEnvironmentValuesEx", &[U32, Word, Word], needs_privilege),
    Export::native("NtTraceEvent", &[Word, U32, U32, Word], no_trace),
    Export::native("NtTraceControl", &[U32, Word, U32, Word, U32, Word], no_trace_control).since(6, 0),
];

/// `NtGetCurrentProcessorNumber()`: there is one, with the number 0.
fn current_processor(_: &mut Call<'_>) -> Answer {
    Ok(0)
}

/// `NtGetCurrentProcessorNumberEx(*number)`: group, number, nothing.
fn current_processor_ex(call: &mut Call<'_>) -> Answer {
    let at = call.ptr(0);
    if !at.is_null() {
        call.write_u32(at, 0)?;
    }
    Ok(0)
}

/// `NtFlushProcessWriteBuffers()`: one processor sees its own stores.
fn flush_write_buffers(_: &mut Call<'_>) -> Answer {
    Ok(0)
}

/// `NtRaiseHardError(status, count, which are strings, *parameters, options, *response)`: nobody can be asked. What would
/// have been shown goes to whoever watches, and the program is told to go on.
fn raise_hard_error(call: &mut Call<'_>) -> Answer {
    let (status, count, strings, at) = (NtStatus::new(call.u32(0)), call.u32(1), call.u32(2), call.ptr(3));
    let (options, response_at) = (call.u32(4), call.ptr(5));
    if count > MAX_PARAMETERS {
        return Err(NtStatus::INVALID_PARAMETER.into());
    }
    call.probe_write(response_at, 4)?;
    if options == SHUT_DOWN {
        return Err(NtStatus::PRIVILEGE_NOT_HELD.into());
    }
    if options > SHUT_DOWN + 1 {
        return Err(NtStatus::INVALID_PARAMETER.into());
    }
    let mut text = format!("hard error {status}");
    for index in 0..count {
        text.push_str(if index == 0 { ": " } else { ", " });
        text.push_str(&parameter(call, at, index, strings >> index & 1 != 0)?);
    }
    call.nt.note_debug_text(text);
    call.write_u32(response_at, RETURN_TO_CALLER)?;
    Ok(0)
}

fn parameter(call: &mut Call<'_>, at: UserPtr, index: u32, is_string: bool) -> Result<String, Failure> {
    let width = call.pointer_bytes();
    let value = call.read_word(at.offset(u64::from(index) * width))?;
    if !is_string {
        return Ok(format!("{value:#x}"));
    }
    let text = call.read_unicode_string(UserPtr::new(value))?;
    Ok(String::from_utf16_lossy(&text[..text.len().min(MAX_TEXT)]))
}

/// `NtQueryLicenseValue(*name, *type, *buffer, length, *returned)`: nothing is licensed, so no value has a name.
fn query_license(call: &mut Call<'_>) -> Answer {
    let (name_at, returned) = (call.ptr(0), call.ptr(4));
    if name_at.is_null() || returned.is_null() {
        return Err(NtStatus::INVALID_PARAMETER.into());
    }
    let name = read_name(call, name_at)?;
    let missing = if name.is_empty() { NtStatus::INVALID_PARAMETER } else { NtStatus::OBJECT_NAME_NOT_FOUND };
    Err(missing.into())
}

/// Services that only the system's own processes may use.
fn needs_privilege(_: &mut Call<'_>) -> Answer {
    Err(NtStatus::PRIVILEGE_NOT_HELD.into())
}

/// `NtTraceEvent(session, flags, bytes, *fields)`: there is no session that a handle could name.
fn no_trace(_: &mut Call<'_>) -> Answer {
    Err(NtStatus::INVALID_HANDLE.into())
}

/// `NtTraceControl(code, *input, bytes, *output, bytes, *returned)`: nobody traces.
fn no_trace_control(_: &mut Call<'_>) -> Answer {
    Err(NtStatus::NOT_SUPPORTED.into())
}
