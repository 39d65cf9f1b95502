//! Mitigation policies as Win32 functions (SPEC C28).

use crate::service::{Answer, Arg, Call, Export};
use vadose_facts::ntdef::Win32Error;

use Arg::{U32, Word};

/// Bytes of a policy's flags.
const FLAGS_BYTES: u64 = 4;

/// The functions of this file.
pub(crate) const EXPORTS: &[Export] = &[
    Export::system("SetProcessMitigationPolicy", &[U32, Word, Word], set)
        .set("core-processthreads")
        .since(6, 2),
    Export::system("GetProcessMitigationPolicy", &[Word, U32, Word, Word], get)
        .set("core-processthreads")
        .since(6, 2),
];

/// `SetProcessMitigationPolicy(policy, *flags, bytes)`, of the caller's own process.
fn set(call: &mut Call<'_>) -> Answer {
    let (policy, at, bytes) = (call.u32(0), call.ptr(1), call.arg(2));
    if bytes != FLAGS_BYTES {
        return Err(Win32Error::INVALID_PARAMETER.into());
    }
    let flags = call.read_u32(at)?;
    let own = call.nt.process().id;
    call.set_mitigation(own, policy, flags)?;
    Ok(1)
}

/// `GetProcessMitigationPolicy(process, policy, *flags, bytes)`.
fn get(call: &mut Call<'_>) -> Answer {
    let (process, policy, at, bytes) = (call.handle(0), call.u32(1), call.ptr(2), call.arg(3));
    if bytes != FLAGS_BYTES {
        return Err(Win32Error::INVALID_PARAMETER.into());
    }
    let process = call.queried_memory(process)?;
    let flags = call.mitigation(process, policy)?;
    call.write_u32(at, flags)?;
    Ok(1)
}
