//! What can be set of a process, by class.

use super::{BASE_PRIORITIES, Class, tls};
use crate::executive::PROCESS_SET_INFORMATION;
use crate::service::{Answer, Call};
use vadose_facts::ntdef::NtStatus;

/// The highest base priority below those that need a privilege.
const HIGHEST_BASE: u32 = 15;
/// `PROCESS_PRIORITY_CLASS_REALTIME`.
const REAL_TIME: u64 = 4;

/// Bytes of a class's structure.
fn structure_bytes(class: Class, width: u64) -> Option<u64> {
    Some(match class {
        Class::Scheduling => 2,
        Class::BasePriority
        | Class::ErrorMode
        | Class::PriorityBoost
        | Class::IoPriority
        | Class::PagePriority
        | Class::ExecuteFlags
        | Class::Session
        | Class::BreakOnTermination => 4,
        Class::Affinity => width,
        Class::PowerThrottling => 12,
        _not_one_number => return None,
    })
}

/// Sets something of the process of the call's handle: length, buffer, handle.
pub(super) fn apply(call: &mut Call<'_>, class: Class) -> Answer {
    let (from, length, width) = (call.ptr(2), u64::from(call.u32(3)), call.pointer_bytes());
    match class {
        Class::Tls => return tls::replace(call, from, length),
        Class::StackAllocation => return tls::allocate_stack(call, from, length),
        _others => {}
    }
    let wanted = structure_bytes(class, width).ok_or(NtStatus::INVALID_INFO_CLASS)?;
    if length != wanted {
        return Err(NtStatus::INFO_LENGTH_MISMATCH.into());
    }
    let value = call.read_number(from, wanted.min(8))?;
    let pid = call.require_living(call.handle(0), PROCESS_SET_INFORMATION)?;
    number(call, class, pid, value)?;
    Ok(0)
}

fn number(call: &mut Call<'_>, class: Class, pid: u32, value: u64) -> Result<(), NtStatus> {
    let low = value as u32;
    match class {
        Class::BasePriority => match low {
            1..=HIGHEST_BASE => call.set_base_priority(pid, low as u8),
            16..=31 => return Err(NtStatus::PRIVILEGE_NOT_HELD),
            _ => return Err(NtStatus::INVALID_PARAMETER),
        },
        // The first byte says whether its window is in front, and there are no windows.
        Class::Scheduling => match value >> 8 {
            REAL_TIME => return Err(NtStatus::PRIVILEGE_NOT_HELD),
            class @ 1..=6 => call.set_base_priority(pid, BASE_PRIORITIES[class as usize - 1]),
            _ => return Err(NtStatus::INVALID_PARAMETER),
        },
        Class::Affinity if value != 1 => return Err(NtStatus::INVALID_PARAMETER),
        Class::IoPriority if low > 2 => return Err(NtStatus::PRIVILEGE_NOT_HELD),
        Class::PagePriority if !(1..=5).contains(&low) => return Err(NtStatus::INVALID_PARAMETER),
        // The processor decides about it once for all.
        Class::ExecuteFlags => return Err(NtStatus::ACCESS_DENIED),
        Class::Session | Class::BreakOnTermination => return Err(NtStatus::PRIVILEGE_NOT_HELD),
        Class::PowerThrottling if low != 1 => return Err(NtStatus::INVALID_PARAMETER),
        _accepted => remember(call, class, pid, low),
    }
    Ok(())
}

fn remember(call: &mut Call<'_>, class: Class, pid: u32, value: u32) {
    let process = call.nt.process_by_id_mut(pid).expect("it lives");
    match class {
        Class::ErrorMode => process.win32.error_mode = value ^ 1,
        Class::PriorityBoost => process.win32.boosts_disabled = value != 0,
        Class::IoPriority => process.io_priority = value,
        Class::PagePriority => process.page_priority = value,
        // One processor, and no power to save: nothing to remember.
        _others => {}
    }
}
