//! The process as programs ask for it: ids, pseudo handles, command line, start-up information, and its end.

use super::codepage::text_to_ansi;
use crate::UserPtr;
use crate::builtin::EXIT_PROCESS;
use crate::executive::{Ending, Handle};
use crate::service::{Answer, Arg, Call, Export};
use vadose_facts::ntdef::Bitness;

use Arg::{U32, Word};

/// `STILL_ACTIVE`.
const STILL_ACTIVE: u32 = 259;
/// `STARTF_USESTDHANDLES`.
const USE_STANDARD_HANDLES: u32 = 0x100;

/// The process functions.
pub(crate) const EXPORTS: &[Export] = &[
    Export::code("ExitProcess", &[U32], EXIT_PROCESS).set("core-processthreads"),
    Export::system("TerminateProcess", &[Word, U32], terminate_process).set("core-processthreads"),
    Export::library("GetCurrentProcess", &[], get_current_process).set("core-processthreads"),
    Export::library("GetCurrentProcessId", &[], get_current_process_id).set("core-processthreads"),
    Export::library("GetCurrentThread", &[], get_current_thread).set("core-processthreads"),
    Export::library("GetCurrentThreadId", &[], get_current_thread_id).set("core-processthreads"),
    Export::system("GetProcessId", &[Word], get_process_id).set("core-processthreads"),
    Export::system("GetExitCodeProcess", &[Word, Word], get_exit_code_process).set("core-processthreads"),
    Export::library("GetCommandLineA", &[], get_command_line_a).set("core-processenvironment"),
    Export::library("GetCommandLineW", &[], get_command_line_w).set("core-processenvironment"),
    Export::library("GetStartupInfoA", &[Word], get_startup_info).set("core-processthreads"),
    Export::library("GetStartupInfoW", &[Word], get_startup_info).set("core-processthreads"),
    Export::library("IsProcessorFeaturePresent", &[U32], is_processor_feature_present)
        .set("core-processthreads"),
    Export::library("IsDebuggerPresent", &[], no).set("core-debug"),
    Export::system("CheckRemoteDebuggerPresent", &[Word, Word], check_remote_debugger_present)
        .set("core-debug"),
];

fn no(_: &mut Call<'_>) -> Answer {
    Ok(0)
}

fn terminate_process(call: &mut Call<'_>) -> Answer {
    let (handle, code) = (call.handle(0), call.u32(1));
    call.terminate_process(handle, code)?;
    Ok(1)
}

fn get_current_process(_: &mut Call<'_>) -> Answer {
    Ok(Handle::CURRENT_PROCESS.raw())
}

fn get_current_thread(_: &mut Call<'_>) -> Answer {
    Ok(Handle::CURRENT_THREAD.raw())
}

fn get_current_process_id(call: &mut Call<'_>) -> Answer {
    Ok(u64::from(call.nt.process().pid))
}

fn get_current_thread_id(call: &mut Call<'_>) -> Answer {
    Ok(u64::from(call.thread().tid))
}

fn get_process_id(call: &mut Call<'_>) -> Answer {
    Ok(u64::from(call.require_query(call.handle(0))?))
}

/// `GetExitCodeProcess(process, *code)`.
fn get_exit_code_process(call: &mut Call<'_>) -> Answer {
    let pid = call.require_query(call.handle(0))?;
    let ending = call.nt.process_by_id(pid).and_then(|process| process.ending.as_ref());
    let (at, code) = (call.ptr(1), ending.map_or(STILL_ACTIVE, Ending::exit_code));
    call.write_u32(at, code)?;
    Ok(1)
}

/// The command line in the process parameters.
fn get_command_line_w(call: &mut Call<'_>) -> Answer {
    let at = call.nt.process().parameters.raw();
    let layout = call.nt.layouts().parameters;
    let width = call.pointer_bytes();
    Ok(call.read_word(UserPtr::new(at).offset(u64::from(layout.command_line) + width))?)
}

/// The same in the ANSI code page, made when first asked for.
fn get_command_line_a(call: &mut Call<'_>) -> Answer {
    if let Some(made) = call.nt.process().win32.command_line_ansi {
        return Ok(made.raw());
    }
    let mut bytes = text_to_ansi(&call.nt.process().command_line);
    bytes.push(0);
    let at = call.pool(bytes.len() as u64)?;
    call.write(at, &bytes)?;
    call.nt.process_mut().win32.command_line_ansi = Some(at);
    Ok(at.raw())
}

/// `GetStartupInfo`: the standard handles, and that they count.
fn get_startup_info(call: &mut Call<'_>) -> Answer {
    let at = call.ptr(0);
    let (size, flags_at, handles_at) = match call.nt.edition.bitness {
        Bitness::Bits32 => (68, 44, 56),
        Bitness::Bits64 => (104, 60, 80),
    };
    call.write(at, &[0; 104][..size])?;
    call.write_u32(at, size as u32)?;
    call.write_u32(at.offset(flags_at), USE_STANDARD_HANDLES)?;
    let parameters = UserPtr::new(call.nt.process().parameters.raw());
    let layout = call.nt.layouts().parameters;
    let width = call.pointer_bytes();
    let fields = [layout.standard_input, layout.standard_output, layout.standard_error];
    for (place, field) in (handles_at..).step_by(width as usize).zip(fields) {
        let handle = call.read_word(parameters.offset(u64::from(field)))?;
        call.write_word(at.offset(place), handle)?;
    }
    Ok(0)
}

fn is_processor_feature_present(call: &mut Call<'_>) -> Answer {
    let wanted = call.u32(0);
    let mut features = crate::executive::processor_features(call.nt.edition);
    Ok(u64::from(features.any(|feature| feature == wanted)))
}

fn check_remote_debugger_present(call: &mut Call<'_>) -> Answer {
    call.require_process(call.handle(0), 0)?;
    let at = call.ptr(1);
    call.write_u32(at, 0)?;
    Ok(1)
}
