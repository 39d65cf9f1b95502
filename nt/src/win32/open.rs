//! `OpenProcess`: a handle with chosen rights.

use crate::service::{Answer, Arg, Call, Export};

use Arg::U32;

/// The functions of this file.
pub(crate) const EXPORTS: &[Export] =
    &[Export::system("OpenProcess", &[U32, U32, U32], open_process).set("core-processthreads")];

/// `OpenProcess(access, inherit, id)`: a number that no process has is `ERROR_INVALID_PARAMETER`.
fn open_process(call: &mut Call<'_>) -> Answer {
    let (wanted, inherit, pid) = (call.u32(0), call.u32(1), u64::from(call.u32(2)));
    let handle = call.open_process(pid, wanted)?;
    *call.nt.process_mut().handles.inherit(handle)? = inherit != 0;
    Ok(handle.raw())
}
