//! Mapping, unmapping and flushing views, in the order of Windows' checks (SPEC F25 to F47, F52).

use super::{MAP_EXECUTE, MAP_READ, MAP_WRITE};
use crate::claim::{BadPointer, UserPtr};
use crate::executive::{Handle, Object, PROCESS_VM_OPERATION};
use crate::kernel::Kernel;
use crate::service::{Answer, Call};
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::{BaseProtection, NtStatus, ParameterStatus, Protection, ViewType};
use vadose_mm::{MapForm, MappedView, Unmapped, ViewRequest};

/// `ViewShare` and `ViewUnmap`.
const DISPOSITIONS: [u32; 2] = [1, 2];
/// `MEM_UNMAP_WITH_TRANSIENT_BOOST`.
const TRANSIENT_BOOST: u32 = 0x1;
/// `MEM_PRESERVE_PLACEHOLDER`.
const PRESERVE_PLACEHOLDER: u32 = 0x2;

/// `NtMapViewOfSection(section, process, *base, zero bits, commit size, *offset, *size, inherit, type, protection)`.
pub(super) fn nt_map_view(call: &mut Call<'_>) -> Answer {
    let (base_at, offset_at, size_at) = (call.ptr(2), call.ptr(5), call.ptr(6));
    let numbered = |n| match call.nt.edition.parameter_status {
        ParameterStatus::Numbered => NtStatus::invalid_parameter(n),
        ParameterStatus::Plain => NtStatus::INVALID_PARAMETER,
    };
    if !DISPOSITIONS.contains(&call.u32(7)) {
        return Err(numbered(8).into());
    }
    let mut request = ViewRequest {
        zero_bits: call.arg(3),
        commit_size: call.arg(4),
        kind: ViewType::from_bits_retain(call.u32(8)),
        ..ViewRequest::whole(call.u32(9))
    };
    request.check_kind(call.nt.edition)?;
    read_place(call, &mut request, (base_at, offset_at, size_at))?;
    map_and_tell(call, request, (base_at, offset_at, size_at))
}

/// `NtMapViewOfSectionEx(section, process, *base, *offset, *size, type, protection, parameters, count)`: the array, then as
/// the plain call (SPEC F42, F43).
pub(super) fn nt_map_view_ex(call: &mut Call<'_>) -> Answer {
    call.require_extended_memory()?;
    let (base_at, offset_at, size_at) = (call.ptr(2), call.ptr(3), call.ptr(4));
    let mut request = ViewRequest {
        kind: ViewType::from_bits_retain(call.u32(5)),
        form: MapForm::Extended,
        ..ViewRequest::whole(call.u32(6))
    };
    let (array, count) = (call.ptr(7), call.u32(8));
    let parameters = call.read_extended_parameters(array, count)?;
    parameters.place(&mut request)?;
    request.check_kind(call.nt.edition)?;
    read_place(call, &mut request, (base_at, offset_at, size_at))?;
    request.check_requirements(call.nt.edition)?;
    map_and_tell(call, request, (base_at, offset_at, size_at))
}

/// Base, offset and size of both calls; all pointers are probed for writing before their values count.
fn read_place(
    call: &mut Call<'_>,
    request: &mut ViewRequest,
    (base_at, offset_at, size_at): (UserPtr, UserPtr, UserPtr),
) -> Result<(), BadPointer> {
    let width = call.pointer_bytes();
    call.probe_write(base_at, width)?;
    call.probe_write(size_at, width)?;
    if !offset_at.is_null() {
        call.probe_write(offset_at, 8)?;
        request.offset = call.read_u64(offset_at)?;
    }
    let base = call.read_word(base_at)?;
    request.base = (base != 0).then(|| VirtAddr::new(base));
    request.size = call.read_word(size_at)?;
    Ok(())
}

/// The rest of both calls, from the check of the range on.
fn map_and_tell(
    call: &mut Call<'_>,
    request: ViewRequest,
    (base_at, offset_at, size_at): (UserPtr, UserPtr, UserPtr),
) -> Answer {
    request.check_range(call.nt.edition)?;
    let target = call.require_living(call.handle(1), PROCESS_VM_OPERATION)?;
    let section = call.handle(0);
    let view = call.map_view(section, target, request)?;
    call.write_word(base_at, view.base.raw())?;
    call.write_word(size_at, view.size)?;
    if !offset_at.is_null() {
        call.write_u64(offset_at, view.offset)?;
    }
    Ok(u64::from(view.status.raw()))
}

/// `NtUnmapViewOfSection(process, address)`.
pub(super) fn nt_unmap_view(call: &mut Call<'_>) -> Answer {
    let target = call.require_living(call.handle(0), PROCESS_VM_OPERATION)?;
    let address = call.ptr(1).address();
    call.attached(target, |kernel| kernel.unmap_view(address))?;
    Ok(0)
}

/// `NtUnmapViewOfSectionEx(process, address, flags)` (SPEC F45).
pub(super) fn nt_unmap_view_ex(call: &mut Call<'_>) -> Answer {
    let (process, address, flags) = (call.handle(0), call.ptr(1).address(), call.u32(2));
    call.unmap_view_ex(process, address, flags)?;
    Ok(0)
}

/// `NtFlushVirtualMemory(process, *base, *size, *status block)` (SPEC F47).
pub(super) fn nt_flush(call: &mut Call<'_>) -> Answer {
    let (base_at, size_at, block) = (call.ptr(1), call.ptr(2), call.ptr(3));
    let width = call.pointer_bytes();
    call.probe_write(base_at, width)?;
    call.probe_write(size_at, width)?;
    call.probe_write(block, 2 * width)?;
    let (base, size) = (call.read_word(base_at)?, call.read_word(size_at)?);
    let target = call.require_living(call.handle(0), PROCESS_VM_OPERATION)?;
    let (base, size) = call.attached(target, |kernel| kernel.flush_view(VirtAddr::new(base), size))?;
    call.write_word(base_at, base.raw())?;
    call.write_word(size_at, size)?;
    call.write_u32(block, NtStatus::SUCCESS.raw())?;
    call.write_word(block.offset(width), size)?;
    Ok(0)
}

/// `NtAreMappedFilesTheSame(first, second)` (SPEC F52).
pub(super) fn nt_same_file(call: &mut Call<'_>) -> Answer {
    let (first, second) = (call.ptr(0).address(), call.ptr(1).address());
    call.mm.same_file(call.nt.process().id, first, second)?;
    Ok(0)
}

impl Kernel<'_> {
    /// Maps a view of the section of a handle into a process (SPEC F29).
    ///
    /// # Errors
    ///
    /// `INVALID_HANDLE`, `OBJECT_TYPE_MISMATCH`, `ACCESS_DENIED` without the right that the protection needs, and the
    /// statuses of SPEC F.
    pub(crate) fn map_view(
        &mut self,
        section: Handle,
        target: u32,
        request: ViewRequest,
    ) -> Result<MappedView, NtStatus> {
        let handles = self.nt.handles();
        let Object::Section(object) = handles.get(section)? else {
            return Err(NtStatus::OBJECT_TYPE_MISMATCH);
        };
        let needed = right_needed(Protection::parse(request.protection)?.base());
        if handles.access(section)? & needed != needed {
            return Err(NtStatus::ACCESS_DENIED);
        }
        let (id, process) = (object.id, self.nt.process_by_id(target).expect("it lives").id);
        self.ask_for_memory(NtStatus::NO_MEMORY)?;
        self.charging(NtStatus::COMMITMENT_LIMIT, |mm| mm.map_view(process, id, request))
    }

    /// The same in the process of a handle.
    ///
    /// # Errors
    ///
    /// The process handle's first, then those of [`map_view`](Self::map_view).
    pub(crate) fn map_view_for(
        &mut self,
        process: Handle,
        section: Handle,
        request: ViewRequest,
    ) -> Result<MappedView, NtStatus> {
        let target = self.require_living(process, PROCESS_VM_OPERATION)?;
        self.map_view(section, target, request)
    }

    /// Unmaps the view that holds an address of the current process.
    ///
    /// # Errors
    ///
    /// `NOT_MAPPED_VIEW`.
    pub(crate) fn unmap_view(&mut self, address: VirtAddr) -> Result<(), NtStatus> {
        let unmapped = self.mm.unmap_view(self.nt.process().id, address)?;
        self.settle_view(unmapped);
        Ok(())
    }

    fn settle_view(&mut self, unmapped: Unmapped) {
        self.settle_unmapped(unmapped);
        self.forget_unmapped_files();
    }

    /// The same in the process of a handle and with flags: the placeholder that the view replaced may be left (SPEC F45).
    ///
    /// # Errors
    ///
    /// Parameter 3 for unknown flags, the handle's, `CONFLICTING_ADDRESSES`, `NOT_MAPPED_VIEW`.
    pub(crate) fn unmap_view_ex(
        &mut self,
        process: Handle,
        address: VirtAddr,
        flags: u32,
    ) -> Result<(), NtStatus> {
        if flags & !(TRANSIENT_BOOST | PRESERVE_PLACEHOLDER) != 0 {
            return Err(NtStatus::INVALID_PARAMETER);
        }
        let target = self.require_living(process, PROCESS_VM_OPERATION)?;
        self.attached(target, |kernel| {
            if flags & PRESERVE_PLACEHOLDER == 0 {
                return kernel.unmap_view(address);
            }
            let unmapped = kernel.mm.unmap_to_placeholder(kernel.nt.process().id, address)?;
            kernel.settle_view(unmapped);
            Ok(())
        })
    }

    /// Writes what was stored to a part of a view to its file; answers the pages' base and size.
    ///
    /// # Errors
    ///
    /// The statuses of SPEC F47.
    pub(crate) fn flush_view(&mut self, base: VirtAddr, size: u64) -> Result<(VirtAddr, u64), NtStatus> {
        let flushed = self.mm.flush_view(self.nt.process().id, base, size)?;
        self.nt.stale.absorb(flushed.stale);
        for write in flushed.writes {
            self.transfer(write);
        }
        Ok((flushed.base, flushed.size))
    }
}

/// The right to a section that a view's protection needs (SPEC F29).
const fn right_needed(protection: BaseProtection) -> u32 {
    match protection {
        BaseProtection::NoAccess | BaseProtection::ReadOnly | BaseProtection::WriteCopy => MAP_READ,
        BaseProtection::ReadWrite => MAP_WRITE,
        BaseProtection::Execute => MAP_EXECUTE,
        BaseProtection::ExecuteRead | BaseProtection::ExecuteWriteCopy => MAP_READ | MAP_EXECUTE,
        BaseProtection::ExecuteReadWrite => MAP_WRITE | MAP_EXECUTE,
    }
}
