//! Power: the machine is always on, and nobody but its host may switch it off.

use super::record::Record;
use super::system_information::PROCESSOR_MHZ;
use crate::service::{Answer, Arg, Call, Export};
use vadose_facts::ntdef::NtStatus;

use Arg::{U32, Word};

/// `ES_CONTINUOUS`, and what a thread may ask for: system, display, user present, away mode.
const CONTINUOUS: u32 = 0x8000_0000;
const REQUESTS: u32 = 0x47;

/// The services.
pub(crate) const EXPORTS: &[Export] = &[
    Export::native("NtPowerInformation", &[U32, Word, U32, Word, U32], power_information),
    Export::native("NtSetThreadExecutionState", &[U32, Word], set_execution_state),
    Export::native("NtInitiatePowerAction", &[U32, U32, U32, U32], needs_privilege),
    Export::native("NtSetSystemPowerState", &[U32, U32, U32], needs_privilege),
    Export::native("NtShutdownSystem", &[U32], needs_privilege),
    Export::native("NtIsSystemResumeAutomatic", &[], never_resumed),
];

/// `POWER_INFORMATION_LEVEL`, the ones that are here.
fn answer(call: &Call<'_>, level: u32) -> Option<Vec<u8>> {
    let record = Record::new(call.nt.edition);
    Some(match level {
        // A mains supply and no battery; capacities and times are unknown.
        5 => record.u8(1).u8(0).zeros(6).u32(0).u32(0).u32(0).u32(u32::MAX).u32(0).u32(0).finish(),
        // The one processor, at its one speed.
        11 => {
            let mhz = PROCESSOR_MHZ;
            record.u32(0).u32(mhz).u32(mhz).u32(mhz).u32(0).u32(0).finish()
        }
        // It never slept.
        14 | 15 => record.u64(0).finish(),
        // What threads asked for.
        16 => {
            let wishes = call.nt.threads.living().map(|thread| thread.execution_state);
            record.u32(wishes.fold(0, |all, state| all | state) & REQUESTS).finish()
        }
        _ => return None,
    })
}

/// `NtPowerInformation(level, *input, its bytes, *output, its bytes)`.
fn power_information(call: &mut Call<'_>) -> Answer {
    let (level, input, to, room) = (call.u32(0), call.ptr(1), call.ptr(3), call.u32(4));
    let bytes = answer(call, level).ok_or(NtStatus::NOT_IMPLEMENTED)?;
    if !input.is_null() || to.is_null() {
        return Err(NtStatus::INVALID_PARAMETER.into());
    }
    if (room as usize) < bytes.len() {
        return Err(NtStatus::BUFFER_TOO_SMALL.into());
    }
    call.write(to, &bytes)?;
    Ok(0)
}

/// `NtSetThreadExecutionState(new, *old)`: what is not continuous is over at once, for nothing here is idle.
fn set_execution_state(call: &mut Call<'_>) -> Answer {
    let (new, old_at) = (call.u32(0), call.ptr(1));
    if new & !(CONTINUOUS | REQUESTS) != 0 {
        return Err(NtStatus::INVALID_PARAMETER.into());
    }
    call.probe_write(old_at, 4)?;
    let state = &mut call.nt.current_thread_mut().execution_state;
    let old = *state | CONTINUOUS;
    if new & CONTINUOUS != 0 {
        *state = new;
    }
    call.write_u32(old_at, old)?;
    Ok(0)
}

/// `SeShutdownPrivilege` lets an account ask, and the host does not grant it.
fn needs_privilege(_: &mut Call<'_>) -> Answer {
    Err(NtStatus::PRIVILEGE_NOT_HELD.into())
}

fn never_resumed(_: &mut Call<'_>) -> Answer {
    Ok(0)
}
