//! Windows Error Reporting as programs set it: there is nobody to report to, so the flags are kept and told.

use crate::service::{Answer, Arg, Call, Export};
use vadose_facts::ntdef::Win32Error;

use Arg::{U32, Word};

/// An `HRESULT` that carries a Win32 error.
const FROM_WIN32: u64 = 0x8007_0000;

/// The functions.
pub(crate) const EXPORTS: &[Export] = &[
    Export::library("WerSetFlags", &[U32], wer_set_flags).set("core-windowserrorreporting").since(6, 0),
    Export::library("WerGetFlags", &[Word, Word], wer_get_flags)
        .set("core-windowserrorreporting")
        .since(6, 0),
];

/// `WerSetFlags(flags)`: an `HRESULT`.
fn wer_set_flags(call: &mut Call<'_>) -> Answer {
    call.nt.process_mut().win32.report_flags = call.u32(0);
    Ok(0)
}

/// `WerGetFlags(process, *flags)`: an `HRESULT`; the program itself is the only process.
fn wer_get_flags(call: &mut Call<'_>) -> Answer {
    let (process, to) = (call.handle(0), call.ptr(1));
    if let Err(status) = call.require_process(process, 0) {
        return Ok(FROM_WIN32 | u64::from(Win32Error::from(status).raw()));
    }
    let flags = call.nt.process().win32.report_flags;
    call.write_u32(to, flags)?;
    Ok(0)
}
