//! `NtQueryInformationProcess` and `NtSetInformationProcess`: which classes an edition has, and a file for what is told, what
//! is set, and static thread-local storage. Quotas, counters of memory and mitigations are in `information.rs`.

mod set;
mod tls;
mod told;

use crate::executive::buffer::Buffer;
use crate::executive::information;
use crate::kernel::Kernel;
use crate::service::{Answer, Arg, Call, Export};
use vadose_facts::ntdef::{Edition, NtStatus};

use Arg::{U32, Word};

/// The services.
pub(crate) const EXPORTS: &[Export] = &[
    Export::native("NtQueryInformationProcess", &[Word, U32, Word, U32, Word], query),
    Export::native("NtSetInformationProcess", &[Word, U32, Word, U32], set),
    Export::native("NtGetNextProcess", &[Word, U32, U32, U32, Word], get_next_process).since(6, 0),
];

/// `PROCESSINFOCLASS`, the ones that are here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Basic,
    /// Quotas, memory, mitigations: elsewhere.
    Memory,
    Times,
    BasePriority,
    DebugPort,
    ErrorMode,
    Scheduling,
    HandleCount,
    Affinity,
    PriorityBoost,
    DeviceMap,
    Session,
    Wow64,
    ImageName,
    DeviceMaps,
    BreakOnTermination,
    DebugObject,
    DebugFlags,
    IoPriority,
    ExecuteFlags,
    Tls,
    Cookie,
    Image,
    CycleTime,
    PagePriority,
    StackAllocation,
    Win32ImageName,
    Groups,
    CommandLine,
    Protection,
    PowerThrottling,
}

/// Classes by number, with the version that brought them (System Informer's headers).
const CLASSES: &[(u32, Class, (u32, u32))] = &[
    (0, Class::Basic, (0, 0)),
    (1, Class::Memory, (0, 0)),
    (3, Class::Memory, (0, 0)),
    (4, Class::Times, (0, 0)),
    (5, Class::BasePriority, (0, 0)),
    (7, Class::DebugPort, (0, 0)),
    (12, Class::ErrorMode, (0, 0)),
    (18, Class::Scheduling, (0, 0)),
    (20, Class::HandleCount, (0, 0)),
    (21, Class::Affinity, (0, 0)),
    (22, Class::PriorityBoost, (0, 0)),
    (23, Class::DeviceMap, (0, 0)),
    (24, Class::Session, (0, 0)),
    (26, Class::Wow64, (0, 0)),
    (27, Class::ImageName, (0, 0)),
    (28, Class::DeviceMaps, (5, 1)),
    (29, Class::BreakOnTermination, (5, 1)),
    (30, Class::DebugObject, (5, 1)),
    (31, Class::DebugFlags, (5, 1)),
    (33, Class::IoPriority, (6, 0)),
    (34, Class::ExecuteFlags, (5, 1)),
    (35, Class::Tls, (6, 0)),
    (36, Class::Cookie, (5, 1)),
    (37, Class::Image, (6, 0)),
    (38, Class::CycleTime, (6, 0)),
    (39, Class::PagePriority, (6, 0)),
    (41, Class::StackAllocation, (6, 0)),
    (43, Class::Win32ImageName, (6, 0)),
    (47, Class::Groups, (6, 1)),
    (52, Class::Memory, (6, 2)),
    (60, Class::CommandLine, (6, 3)),
    (61, Class::Protection, (6, 3)),
    (77, Class::PowerThrottling, (10, 0)),
];

impl Class {
    /// The class of a number.
    ///
    /// # Errors
    ///
    /// `STATUS_INVALID_INFO_CLASS` if the edition has none, or it is not built.
    fn of(number: u32, edition: &Edition) -> Result<Self, NtStatus> {
        let found = CLASSES.iter().find(|(known, ..)| *known == number);
        let (_, class, since) = found.ok_or(NtStatus::INVALID_INFO_CLASS)?;
        let version = edition.version;
        let known = (version.major, version.minor) >= *since;
        if known { Ok(*class) } else { Err(NtStatus::INVALID_INFO_CLASS) }
    }
}

/// `NtQueryInformationProcess(process, class, buffer, length, *returned)`: class, pointers, length, handle.
fn query(call: &mut Call<'_>) -> Answer {
    let class = Class::of(call.u32(1), call.nt.edition)?;
    if class == Class::Memory {
        return information::nt_query(call);
    }
    let buffer = Buffer { to: call.ptr(2), room: call.u32(3), returned: call.ptr(4) };
    told::answer(call, class, buffer)
}

/// `NtSetInformationProcess(process, class, buffer, length)`.
fn set(call: &mut Call<'_>) -> Answer {
    match Class::of(call.u32(1), call.nt.edition)? {
        Class::Memory => information::nt_set(call),
        class => set::apply(call, class),
    }
}

/// The base priority of each `PROCESS_PRIORITY_CLASS_*`: idle, normal, high, real time, below and above normal.
const BASE_PRIORITIES: [u8; 6] = [4, 8, 13, 24, 6, 10];

/// The priority class of a base priority.
fn priority_class(base: u8) -> u8 {
    BASE_PRIORITIES.iter().position(|known| *known == base).map_or(0, |index| index as u8 + 1)
}

impl Kernel<'_> {
    /// Gives a process another base priority: its threads keep their distance from it.
    pub(crate) fn set_base_priority(&mut self, pid: u32, base: u8) {
        let process = self.nt.process_by_id_mut(pid).expect("the caller looked");
        let before = i16::from(std::mem::replace(&mut process.base_priority, base));
        let tids: Vec<(u32, u8)> =
            self.nt.threads.living_of(pid).map(|thread| (thread.tid, thread.priority)).collect();
        for (tid, priority) in tids {
            // The ends of the scale stay where they are.
            if priority > 1 && priority < 15 {
                let moved = (i16::from(priority) + i16::from(base) - before).clamp(1, 15);
                self.set_priority(tid, moved as u8);
            }
        }
    }
}

/// `NtGetNextProcess(process, access, attributes, flags, *next)`: the living ones in the order of their start.
fn get_next_process(call: &mut Call<'_>) -> Answer {
    let (after, access, attributes) = (call.handle(0), call.u32(1), call.u32(2));
    let (flags, to, width) = (call.u32(3), call.ptr(4), call.pointer_bytes());
    call.probe_write(to, width)?;
    if flags != 0 {
        return Err(NtStatus::INVALID_PARAMETER.into());
    }
    let after = if after == crate::Handle::NULL { 0 } else { call.require_process(after, 0)? };
    let next = call.nt.living_processes().map(|process| process.pid).find(|pid| *pid > after);
    let pid = next.ok_or(NtStatus::NO_MORE_ENTRIES)?;
    let handle = call.open_process(u64::from(pid), access)?;
    call.set_inherited(handle, attributes)?;
    call.write_word(to, handle.raw())?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_in_order_and_priorities_come_back() {
        assert!(CLASSES.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(
            (1..=6).map(|class| priority_class(BASE_PRIORITIES[class - 1])).collect::<Vec<_>>(),
            [1, 2, 3, 4, 5, 6]
        );
        assert_eq!(priority_class(9), 0, "a base priority of no class");
    }
}
