//! `NtQueryVirtualMemory`: which classes an edition has, the checks that they share, and a file for the answers of each
//! kind (SPEC D1, D2, D19, D20).

mod basic;
mod name;
mod region;

pub(crate) use basic::basic_information_size;
pub(crate) use name::{DRIVE_DEVICE, device_path};

use super::Handle;
use super::memory::PROCESS_QUERY_INFORMATION;
use crate::claim::UserPtr;
use crate::service::{Answer, Arg, Call, Export, Failure};
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::{Edition, NtStatus};
use vadose_mm::ProcessId;

use Arg::{U32, Word};

/// The native query service.
pub(crate) const EXPORTS: &[Export] =
    &[Export::native("NtQueryVirtualMemory", &[Word, Word, U32, Word, Word, Word], nt_query)];

/// The class by which Wine's DLLs ask for their other half.
const UNIX_FUNCTIONS: u32 = 1000;

/// A class of information.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Basic,
    WorkingSet,
    MappedFilename,
    Region,
    WorkingSetEx,
    SharedCommit,
    Image,
    RegionEx,
    PrivilegedBasic,
    EnclaveImage,
    BasicCapped,
    PhysicalContiguity,
}

/// Classes by number, with the first version that has them: major, minor, build (SPEC D20; the comments of System
/// Informer's headers name the versions). `MemoryBadInformation` came with Windows 11, which no edition here is.
const CLASSES: [(Class, (u32, u32, u32)); 12] = [
    (Class::Basic, (0, 0, 0)),
    (Class::WorkingSet, (0, 0, 0)),
    (Class::MappedFilename, (0, 0, 0)),
    (Class::Region, (6, 0, 6000)),
    (Class::WorkingSetEx, (6, 0, 6000)),
    (Class::SharedCommit, (6, 2, 9200)),
    (Class::Image, (10, 0, 10240)),
    (Class::RegionEx, (10, 0, 14393)),
    (Class::PrivilegedBasic, (10, 0, 14393)),
    (Class::EnclaveImage, (10, 0, 16299)),
    (Class::BasicCapped, (10, 0, 17763)),
    (Class::PhysicalContiguity, (10, 0, 19041)),
];

impl Class {
    /// The class of a number, if the edition has it.
    pub(crate) fn of(number: u32, edition: &Edition) -> Option<Self> {
        let (class, since) = *CLASSES.get(usize::try_from(number).ok()?)?;
        let version = edition.version;
        ((version.major, version.minor, version.build) >= since).then_some(class)
    }
}

/// One query under way.
#[derive(Clone, Copy)]
pub(super) struct Query {
    pub(super) process: Handle,
    pub(super) address: VirtAddr,
    pub(super) buffer: UserPtr,
    pub(super) length: u64,
    pub(super) returned: UserPtr,
}

/// `NtQueryVirtualMemory(process, address, class, buffer, length, *returned)`.
fn nt_query(call: &mut Call<'_>) -> Answer {
    let query = Query {
        process: call.handle(0),
        address: call.ptr(1).address(),
        buffer: call.ptr(3),
        length: call.arg(4),
        returned: call.ptr(5),
    };
    if call.u32(2) == UNIX_FUNCTIONS && call.is_on_wine() {
        return unix_functions(call, &query);
    }
    let class = Class::of(call.u32(2), call.nt.edition).ok_or(NtStatus::INVALID_INFO_CLASS)?;
    match class {
        Class::Basic | Class::PrivilegedBasic | Class::BasicCapped => basic::answer(call, &query),
        Class::MappedFilename => name::answer(call, &query),
        Class::Region | Class::RegionEx => region::answer_region(call, &query),
        Class::SharedCommit => region::answer_shared_commit(call, &query),
        Class::Image => region::answer_image(call, &query),
        Class::EnclaveImage => region::answer_enclave(call, &query),
        Class::PhysicalContiguity => Err(NtStatus::NOT_SUPPORTED.into()),
        Class::WorkingSet => super::working_set::query_list(call),
        Class::WorkingSetEx => super::working_set::query_attributes(call),
    }
}

/// `MemoryWineUnixFuncs`: the handle of a DLL's other half, 8 bytes.
fn unix_functions(call: &mut Call<'_>, query: &Query) -> Answer {
    if query.length != 8 {
        return Err(NtStatus::INFO_LENGTH_MISMATCH.into());
    }
    let handle = call.unix_handle_of(query.address).ok_or(NtStatus::DLL_NOT_FOUND)?;
    query.finish(call, &handle.to_le_bytes())
}

impl Query {
    /// The checks of a class whose structure has one size: length, pointers, address, process (SPEC D1, D2, D19).
    fn check(&self, call: &mut Call<'_>, needed: u64) -> Result<ProcessId, Failure> {
        if self.length < needed {
            return Err(NtStatus::INFO_LENGTH_MISMATCH.into());
        }
        self.check_pointers(call, needed)
    }

    /// The checks behind the length's; answers whose memory is asked about.
    fn check_pointers(&self, call: &mut Call<'_>, bytes: u64) -> Result<ProcessId, Failure> {
        call.probe_write(self.buffer, bytes)?;
        if !self.returned.is_null() {
            let width = call.pointer_bytes();
            call.probe_write(self.returned, width)?;
        }
        if self.address > call.nt.user_limit() {
            return Err(NtStatus::INVALID_PARAMETER.into());
        }
        Ok(call.memory_of(self.process, PROCESS_QUERY_INFORMATION)?)
    }

    /// Stores the answer and its length.
    fn finish(&self, call: &mut Call<'_>, bytes: &[u8]) -> Answer {
        call.write(self.buffer, bytes)?;
        self.tell_length(call, bytes.len() as u64)?;
        Ok(0)
    }

    fn tell_length(&self, call: &mut Call<'_>, bytes: u64) -> Result<(), Failure> {
        if !self.returned.is_null() {
            call.write_word(self.returned, bytes)?;
        }
        Ok(())
    }
}

/// A structure being laid out, little-endian, pointers as wide as the edition's.
pub(super) struct Layout {
    bytes: Vec<u8>,
    width: usize,
}

impl Layout {
    pub(super) fn new(edition: &Edition) -> Self {
        Self { bytes: Vec::new(), width: edition.pointer_bytes() as usize }
    }

    pub(super) fn word(mut self, value: u64) -> Self {
        self.bytes.extend_from_slice(&value.to_le_bytes()[..self.width]);
        self
    }

    pub(super) fn u32(mut self, value: u32) -> Self {
        self.bytes.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// Fills up to a multiple of a pointer's width.
    pub(super) fn padded(mut self) -> Self {
        self.bytes.resize(self.bytes.len().next_multiple_of(self.width), 0);
        self
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}
