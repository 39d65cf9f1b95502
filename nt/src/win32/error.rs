//! Last errors and error modes.

use crate::service::{Answer, Arg, Call, Export};
use vadose_facts::ntdef::{NtStatus, Win32Error};

use Arg::U32;

/// The error functions.
pub(crate) const EXPORTS: &[Export] = &[
    Export::library("GetLastError", &[], get_last_error).set("core-errorhandling"),
    Export::library("SetLastError", &[U32], set_last_error).set("core-errorhandling"),
    Export::library("RestoreLastError", &[U32], set_last_error).set("core-errorhandling"),
    Export::library("GetErrorMode", &[], get_error_mode).set("core-errorhandling"),
    Export::library("SetErrorMode", &[U32], set_error_mode).set("core-errorhandling"),
    Export::native("RtlNtStatusToDosError", &[U32], rtl_nt_status_to_dos_error),
    Export::native("RtlGetLastWin32Error", &[], get_last_error),
    Export::native("RtlSetLastWin32Error", &[U32], set_last_error),
];

fn get_last_error(call: &mut Call<'_>) -> Answer {
    Ok(u64::from(call.last_error()?.raw()))
}

fn set_last_error(call: &mut Call<'_>) -> Answer {
    let error = Win32Error::new(call.u32(0));
    call.set_last_error(error);
    Ok(0)
}

fn get_error_mode(call: &mut Call<'_>) -> Answer {
    Ok(u64::from(call.nt.process().win32.error_mode))
}

/// `SetErrorMode(mode)`: answers the old mode.
fn set_error_mode(call: &mut Call<'_>) -> Answer {
    let mode = call.u32(0);
    Ok(u64::from(std::mem::replace(&mut call.nt.process_mut().win32.error_mode, mode)))
}

fn rtl_nt_status_to_dos_error(call: &mut Call<'_>) -> Answer {
    Ok(u64::from(Win32Error::from(NtStatus::new(call.u32(0))).raw()))
}
