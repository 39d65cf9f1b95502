//! `NtQuerySystemInformation`: which classes an edition has, the checks that they share, and a file for the answers of
//! each kind.
//!
//! Kinds of lengths: some structures must have room for exactly themselves, others for at least that; a list tells how
//! long it is when it does not fit. In every case the length that it takes is told.

mod handles;
mod machine;
mod memory;
mod processes;
mod processors;

pub(crate) use machine::ZONE_NAME;
pub(crate) use processes::SESSION;
pub(crate) use processors::{
    PROCESSOR_FAMILY, PROCESSOR_MHZ, PROCESSOR_NAME, PROCESSOR_REVISION, architecture, logical, logical_ex,
};

use crate::executive::buffer::Buffer;
use crate::service::{Answer, Arg, Call, Export};
use vadose_facts::ntdef::{Edition, NtStatus};

use Arg::{U32, Word};

/// The services.
pub(crate) const EXPORTS: &[Export] = &[
    Export::native("NtQuerySystemInformation", &[U32, Word, U32, Word], query),
    Export::native("NtQuerySystemInformationEx", &[U32, Word, U32, Word, U32, Word], query_ex).since(6, 1),
    Export::native("NtSetSystemInformation", &[U32, Word, U32], set),
];

/// Bytes of a question that goes with a class.
const MAX_INPUT_BYTES: u32 = 64;

/// What a class does with the length of its buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    /// It is the structure's, to the byte.
    Exact,
    /// It is the structure's or more.
    AtLeast,
    /// As much as there is room for is told; more room than there is to tell is wrong.
    Prefix,
    /// At least so many bytes: the structure has grown, and programs that know an older one still ask.
    From(usize),
}

/// A class of information.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Basic,
    Processor,
    Performance,
    TimeOfDay,
    Processes,
    ProcessorPerformance,
    GlobalFlag,
    Modules,
    Handles,
    FileCache,
    Interrupts,
    TimeAdjustment,
    KernelDebugger,
    RegistryQuota,
    TimeZone,
    RangeStart,
    NumaMap,
    ProcessesExtended,
    DataAlignment,
    EmulationBasic,
    EmulationProcessor,
    HandlesExtended,
    LogicalProcessors,
    Firmware,
    ModulesExtended,
    ProcessName,
    Boot,
    DynamicTimeZone,
    CodeIntegrity,
    SecureBoot,
    KernelDebuggerEx,
}

/// Classes by number, with the version that brought them and what they do with lengths. The numbers and versions are
/// those of System Informer's headers.
const CLASSES: &[(u32, Class, (u32, u32), Room)] = &[
    (0, Class::Basic, (0, 0), Room::Exact),
    (1, Class::Processor, (0, 0), Room::AtLeast),
    (2, Class::Performance, (0, 0), Room::From(memory::LEAST_PERFORMANCE_BYTES)),
    (3, Class::TimeOfDay, (0, 0), Room::Prefix),
    (5, Class::Processes, (0, 0), Room::AtLeast),
    (8, Class::ProcessorPerformance, (0, 0), Room::AtLeast),
    (9, Class::GlobalFlag, (0, 0), Room::Exact),
    (11, Class::Modules, (0, 0), Room::AtLeast),
    (16, Class::Handles, (0, 0), Room::AtLeast),
    (21, Class::FileCache, (0, 0), Room::AtLeast),
    (23, Class::Interrupts, (0, 0), Room::AtLeast),
    (28, Class::TimeAdjustment, (0, 0), Room::Exact),
    (35, Class::KernelDebugger, (0, 0), Room::AtLeast),
    (37, Class::RegistryQuota, (0, 0), Room::Exact),
    (44, Class::TimeZone, (0, 0), Room::AtLeast),
    (50, Class::RangeStart, (0, 0), Room::Exact),
    (55, Class::NumaMap, (5, 1), Room::Prefix),
    (57, Class::ProcessesExtended, (5, 1), Room::AtLeast),
    (58, Class::DataAlignment, (5, 1), Room::AtLeast),
    (62, Class::EmulationBasic, (5, 1), Room::Exact),
    (63, Class::EmulationProcessor, (5, 1), Room::AtLeast),
    (64, Class::HandlesExtended, (5, 1), Room::AtLeast),
    (73, Class::LogicalProcessors, (5, 1), Room::AtLeast),
    (76, Class::Firmware, (5, 2), Room::AtLeast),
    (77, Class::ModulesExtended, (6, 0), Room::AtLeast),
    (88, Class::ProcessName, (6, 0), Room::Exact),
    (90, Class::Boot, (6, 0), Room::AtLeast),
    (102, Class::DynamicTimeZone, (6, 0), Room::AtLeast),
    (103, Class::CodeIntegrity, (6, 0), Room::Exact),
    (145, Class::SecureBoot, (6, 2), Room::Exact),
    (149, Class::KernelDebuggerEx, (6, 2), Room::Exact),
];

impl Class {
    /// The class of a number, if the edition has it.
    fn of(number: u32, edition: &Edition) -> Option<(Self, Room)> {
        let (_, class, since, room) = CLASSES.iter().find(|(known, ..)| *known == number)?;
        let version = edition.version;
        ((version.major, version.minor) >= *since).then_some((*class, *room))
    }
}

impl Buffer {
    /// Stores an answer as its class does with lengths.
    fn store_as(self, call: &mut Call<'_>, room: Room, bytes: &[u8]) -> Answer {
        let given = self.room as usize;
        let (fits, stored) = match room {
            Room::Exact => (given == bytes.len(), bytes.len()),
            Room::AtLeast => (given >= bytes.len(), bytes.len()),
            Room::Prefix => (given <= bytes.len(), given.min(bytes.len())),
            Room::From(least) => (given >= least, given.min(bytes.len())),
        };
        self.tell_length(call, if fits { stored } else { bytes.len() })?;
        if !fits {
            return Err(NtStatus::INFO_LENGTH_MISMATCH.into());
        }
        call.write(self.to, &bytes[..stored])?;
        Ok(0)
    }
}

/// `NtQuerySystemInformation(class, *buffer, length, *returned)`.
fn query(call: &mut Call<'_>) -> Answer {
    let (class, room) = Class::of(call.u32(0), call.nt.edition).ok_or(NtStatus::INVALID_INFO_CLASS)?;
    let buffer = Buffer { to: call.ptr(1), room: call.u32(2), returned: call.ptr(3) };
    buffer.probe(call)?;
    let bytes = match class {
        Class::Basic | Class::EmulationBasic => memory::basic(call),
        Class::Processor | Class::EmulationProcessor => processors::cpu(call.nt.edition),
        Class::Performance => memory::performance(call),
        Class::FileCache => memory::file_cache(call.nt.edition),
        Class::RegistryQuota => memory::registry_quota(call),
        Class::RangeStart => memory::range_start(call),
        Class::TimeOfDay => machine::time_of_day(call),
        Class::ProcessorPerformance => machine::processor_performance(call),
        Class::GlobalFlag => vec![0; 4],
        Class::Modules => vec![0; 4],
        // A list of modules ends with an offset of zero: there are none that a program could look at.
        Class::ModulesExtended => vec![0; 2],
        Class::Interrupts => machine::interrupts(call.nt.edition),
        Class::TimeAdjustment => machine::time_adjustment(call.nt.edition),
        // Not enabled, and not there.
        Class::KernelDebugger => vec![0, 1],
        Class::KernelDebuggerEx => vec![0, 0, 0],
        Class::SecureBoot => vec![0, 0],
        Class::TimeZone => machine::time_zone(call.nt.edition),
        Class::DynamicTimeZone => machine::dynamic_time_zone(call.nt.edition),
        Class::Boot => machine::boot(call.nt.edition),
        Class::NumaMap => processors::numa_map(call.nt.edition),
        Class::DataAlignment => processors::LINE_BYTES.to_le_bytes().to_vec(),
        Class::LogicalProcessors => logical(call.nt.edition),
        Class::Processes => processes::list(call, buffer.to, processes::Threads::Plain),
        Class::ProcessesExtended => processes::list(call, buffer.to, processes::Threads::Extended),
        Class::Handles => handles::plain(call),
        Class::HandlesExtended => handles::extended(call),
        Class::Firmware => return machine::firmware(call, buffer.to, buffer.room),
        Class::ProcessName => return processes::name(call, buffer),
        Class::CodeIntegrity => return machine::code_integrity(call, buffer.to, buffer.room),
    };
    buffer.store_as(call, room, &bytes)
}

/// `NtQuerySystemInformationEx(class, *question, its length, *buffer, length, *returned)`.
fn query_ex(call: &mut Call<'_>) -> Answer {
    let (class, question_at, question_bytes) = (call.u32(0), call.ptr(1), call.u32(2));
    let buffer = Buffer { to: call.ptr(3), room: call.u32(4), returned: call.ptr(5) };
    let version = call.nt.edition.version;
    let known = match class {
        73 | 107 => true,
        175 | 181 | 230 => version.major >= 10,
        _ => false,
    };
    if !known {
        return Err(NtStatus::INVALID_INFO_CLASS.into());
    }
    if question_at.is_null() || question_bytes == 0 || question_bytes > MAX_INPUT_BYTES {
        return Err(NtStatus::INVALID_PARAMETER.into());
    }
    let question = call.read_vec(question_at, u64::from(question_bytes))?;
    let number = question.get(..4).map(|raw| u32::from_le_bytes([raw[0], raw[1], raw[2], raw[3]]));
    buffer.probe(call)?;
    let edition = call.nt.edition;
    let bytes = match class {
        73 => logical(edition),
        107 => logical_ex(edition, number.ok_or(NtStatus::INVALID_PARAMETER)?)
            .ok_or(NtStatus::INVALID_PARAMETER)?,
        175 => processors::cpu_sets(edition),
        _ => processors::supported_architectures(edition),
    };
    buffer.store_as(call, Room::AtLeast, &bytes)
}

/// `NtSetSystemInformation(class, *buffer, length)`: each class that can be set needs a privilege that no account here
/// has.
fn set(call: &mut Call<'_>) -> Answer {
    let known = Class::of(call.u32(0), call.nt.edition).is_some();
    Err(if known { NtStatus::PRIVILEGE_NOT_HELD } else { NtStatus::INVALID_INFO_CLASS }.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use vadose_facts::ntdef::edition;

    #[test]
    fn classes_are_in_the_order_of_their_numbers_and_come_with_their_versions() {
        assert!(CLASSES.is_sorted_by(|a, b| a.0 < b.0));
        let [xp, ten] = ["winxp-x86", "win10-x64"].map(|name| edition(name).expect("an edition"));
        assert_eq!(Class::of(149, ten), Some((Class::KernelDebuggerEx, Room::Exact)));
        assert_eq!((Class::of(149, xp), Class::of(4, ten)), (None, None));
    }
}
