//! Extended parameters of an allocate call: reading the array, and `NtAllocateVirtualMemoryEx` (SPEC A51 to A64).

use super::memory::{PROCESS_VM_OPERATION, read_range, write_range};
use crate::claim::UserPtr;
use crate::executive::Handle;
use crate::kernel::Kernel;
use crate::service::{Answer, Arg, Call, Export, Failure};
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::{AllocationType, ExtendedMemory, NtStatus};
use vadose_mm::{AddressRequirements, AllocateForm, AllocateRequest, ExtendedRequest, NODES, ViewRequest};

use Arg::{U32, Word};

/// Bytes of `MEM_EXTENDED_PARAMETER`: the type in the low byte of eight, then the value.
const PARAMETER_BYTES: u64 = 16;
/// `MemExtendedParameterMax` of Windows 10 21H2: `ImageMachine` (6) came later (SPEC A59).
const MAX_TYPE: u8 = 6;
/// `MEM_EXTENDED_PARAMETER_EC_CODE`: code for another processor, which there is not.
const EC_CODE: u64 = 0x40;
/// `NUMA_NO_PREFERRED_NODE`.
pub(crate) const NO_PREFERRED_NODE: u32 = u32::MAX;
/// `STATUS_INVALID_SYSTEM_SERVICE`: what an edition answers that has no such service.
const INVALID_SYSTEM_SERVICE: NtStatus = NtStatus::new(0xc000_001c);

/// The allocate service with extended parameters.
pub(crate) const EXPORTS: &[Export] =
    &[Export::native("NtAllocateVirtualMemoryEx", &[Word, Word, Word, U32, U32, Word, U32], nt_allocate_ex)];

/// What an array of extended parameters says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ExtendedParameters {
    pub(crate) requirements: AddressRequirements,
    pub(crate) node: Option<u32>,
}

impl ExtendedParameters {
    /// The request that they make of a plain one.
    pub(crate) fn request(self, basic: AllocateRequest) -> ExtendedRequest {
        ExtendedRequest {
            form: AllocateForm::Extended,
            requirements: self.requirements,
            node: self.node,
            ..basic.into()
        }
    }

    /// What they mean for a view (SPEC F42).
    ///
    /// # Errors
    ///
    /// `STATUS_INVALID_PARAMETER` for a node that there is not.
    pub(crate) fn place(self, request: &mut ViewRequest) -> Result<(), NtStatus> {
        if self.node.is_some_and(|node| node >= NODES) {
            return Err(NtStatus::INVALID_PARAMETER);
        }
        request.requirements = self.requirements;
        Ok(())
    }
}

impl Kernel<'_> {
    /// Whether the edition has the extended calls.
    ///
    /// # Errors
    ///
    /// `STATUS_INVALID_SYSTEM_SERVICE` before Windows 10 1803.
    pub(crate) fn require_extended_memory(&self) -> Result<(), NtStatus> {
        match self.nt.edition.extended_memory {
            ExtendedMemory::Present => Ok(()),
            ExtendedMemory::Absent => Err(INVALID_SYSTEM_SERVICE),
        }
    }

    /// Reads an array of `MEM_EXTENDED_PARAMETER` (SPEC A58, A59): each type at most once.
    pub(crate) fn read_extended_parameters(
        &mut self,
        at: UserPtr,
        count: u32,
    ) -> Result<ExtendedParameters, Failure> {
        let mut found = ExtendedParameters::default();
        if count > 0 && at.is_null() {
            return Err(NtStatus::INVALID_PARAMETER.into());
        }
        let mut seen = [false; MAX_TYPE as usize];
        for index in 0..u64::from(count) {
            let at = at.offset(index * PARAMETER_BYTES);
            let kind = self.read_u64(at)? as u8;
            let value = self.read_u64(at.offset(8))?;
            match seen.get_mut(usize::from(kind)) {
                Some(before) if kind != 0 && !*before => *before = true,
                Some(_) | None => return Err(NtStatus::INVALID_PARAMETER.into()),
            }
            self.take_parameter(&mut found, kind, value)?;
        }
        Ok(found)
    }

    fn take_parameter(
        &mut self,
        found: &mut ExtendedParameters,
        kind: u8,
        value: u64,
    ) -> Result<(), Failure> {
        match kind {
            1 => found.requirements = self.read_requirements(UserPtr::new(value))?,
            2 => found.node = Some(value as u32).filter(|node| *node != NO_PREFERRED_NODE),
            3 => self.require_partition(value)?,
            4 => self.require_physical_pages(value)?,
            // The other attributes are wishes about how pages are kept, and every page here meets them.
            5 if value & EC_CODE == 0 => {}
            _ => return Err(NtStatus::INVALID_PARAMETER.into()),
        }
        Ok(())
    }

    /// `MEM_ADDRESS_REQUIREMENTS`: three words.
    fn read_requirements(&mut self, at: UserPtr) -> Result<AddressRequirements, Failure> {
        let width = self.pointer_bytes();
        Ok(AddressRequirements {
            lowest: VirtAddr::new(self.read_word(at)?),
            highest: VirtAddr::new(self.read_word(at.offset(width))?),
            alignment: self.read_word(at.offset(2 * width))?,
        })
    }

    /// A memory partition: there is one, which the pseudo handles -1 (the process's) and -2 (the system's) name.
    fn require_partition(&self, raw: u64) -> Result<(), NtStatus> {
        let handle = Handle::from_guest(raw, self.nt.edition.bitness);
        if handle == Handle::CURRENT_PROCESS || handle == Handle::CURRENT_THREAD {
            return Ok(());
        }
        self.require_physical_pages(raw)
    }

    /// Objects of physical pages cannot be made here: every real handle is of something else.
    fn require_physical_pages(&self, raw: u64) -> Result<(), NtStatus> {
        let handle = Handle::from_guest(raw, self.nt.edition.bitness);
        self.nt.handles().get(handle)?;
        Err(NtStatus::OBJECT_TYPE_MISMATCH)
    }
}

/// `NtAllocateVirtualMemoryEx(process, *base, *size, type, protection, parameters, count)`: the array, types and
/// protections, both pointers, then the rest, as in the plain call.
fn nt_allocate_ex(call: &mut Call<'_>) -> Answer {
    call.require_extended_memory()?;
    let (base_at, size_at) = (call.ptr(1), call.ptr(2));
    let mut basic = AllocateRequest {
        base: None,
        size: 0,
        zero_bits: 0,
        kind: AllocationType::from_bits_retain(call.u32(3)),
        protection: call.u32(4),
    };
    let (array, count) = (call.ptr(5), call.u32(6));
    let parameters = call.read_extended_parameters(array, count)?;
    let edition = call.nt.edition;
    parameters.request(basic).check_kind(edition)?;
    let (base, size) = read_range(call, base_at, size_at)?;
    basic.base = (base != 0).then(|| VirtAddr::new(base));
    basic.size = size;
    let request = parameters.request(basic);
    request.check_parameters(edition)?;
    basic.check_range(edition)?;
    let target = call.require_living(call.handle(0), PROCESS_VM_OPERATION)?;
    let (base, size) = call.allocate_for_program(target, request)?;
    write_range(call, base_at, size_at, base, size)
}
