//! Native memory services: allocate, free, protect virtual memory.

use crate::claim::{BadPointer, UserPtr};
use crate::executive::{Handle, ProcessState};
use crate::kernel::Kernel;
use crate::service::{Answer, Arg, Call, Export};
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::{AllocationType, FreeType, NtStatus, OwnGuard, Protection};
use vadose_mm::{AllocateRequest, BasicInformation, ExtendedRequest, ProcessId, Protected};

use Arg::{U32, Word};

/// `PROCESS_VM_OPERATION`.
pub(crate) const PROCESS_VM_OPERATION: u32 = 0x8;
/// `PROCESS_VM_READ`.
pub(crate) const PROCESS_VM_READ: u32 = 0x10;
/// `PROCESS_VM_WRITE`.
pub(crate) const PROCESS_VM_WRITE: u32 = 0x20;
/// `PROCESS_QUERY_INFORMATION`.
pub(crate) const PROCESS_QUERY_INFORMATION: u32 = 0x400;

/// The native memory services.
pub(crate) const EXPORTS: &[Export] = &[
    Export::native("NtAllocateVirtualMemory", &[Word, Word, Word, Word, U32, U32], nt_allocate),
    Export::native("NtFreeVirtualMemory", &[Word, Word, Word, U32], nt_free),
    Export::native("NtProtectVirtualMemory", &[Word, Word, Word, U32, Word], nt_protect),
];

impl Kernel<'_> {
    /// Reserves and commits in the current process.
    ///
    /// # Errors
    ///
    /// The statuses of SPEC A.
    pub fn allocate(&mut self, request: AllocateRequest) -> Result<(VirtAddr, u64), NtStatus> {
        self.allocate_extended(request.into())
    }

    /// Reserves and commits in the current process, with everything that can be said in one call.
    ///
    /// # Errors
    ///
    /// The statuses of SPEC A.
    pub fn allocate_extended(&mut self, request: ExtendedRequest) -> Result<(VirtAddr, u64), NtStatus> {
        let protection = request.basic.protection;
        let id = self.nt.process().id;
        let limit = NtStatus::COMMITMENT_LIMIT;
        let allocated = self.charging(limit, |mm| mm.allocate_extended(id, request))?;
        self.nt.stale.absorb(allocated.stale);
        self.note_guard(allocated.base, allocated.size, protection);
        Ok((allocated.base, allocated.size))
    }

    /// The same in any process for a call of the program that asks for just that, with the caller's privileges.
    ///
    /// # Errors
    ///
    /// The statuses of SPEC A.
    pub(crate) fn allocate_for_program(
        &mut self,
        target: u32,
        request: ExtendedRequest,
    ) -> Result<(VirtAddr, u64), NtStatus> {
        let kind = request.basic.kind;
        if !kind.intersects(AllocationType::RESET | AllocationType::RESET_UNDO) {
            // What is reserved already has its addresses and can lack commit alone (SPEC A36, A37).
            let commits_only = request.basic.base.is_some() && !kind.contains(AllocationType::RESERVE);
            self.ask_for_memory(if commits_only { NtStatus::COMMITMENT_LIMIT } else { NtStatus::NO_MEMORY })?;
        }
        let lock_memory = self.nt.effective_token().lock_memory();
        let request = ExtendedRequest { lock_memory, ..request };
        self.attached(target, |kernel| kernel.allocate_extended(request))
    }

    /// Decommits or releases in the current process.
    ///
    /// # Errors
    ///
    /// The statuses of SPEC B.
    pub fn free(&mut self, base: VirtAddr, size: u64, kind: FreeType) -> Result<(VirtAddr, u64), NtStatus> {
        let freed = self.mm.free(self.nt.process().id, base, size, kind)?;
        self.nt.stale.absorb(freed.stale);
        if kind.contains(FreeType::RELEASE) {
            self.nt.process_mut().fragments.remove(&freed.base);
        }
        Ok((freed.base, freed.size))
    }

    /// Changes protection in the current process; answers base, size and the old protection.
    ///
    /// # Errors
    ///
    /// The statuses of SPEC C.
    pub fn protect(
        &mut self,
        base: VirtAddr,
        size: u64,
        protection: u32,
    ) -> Result<(VirtAddr, u64, Protection), NtStatus> {
        let done = self.change_protection(base, size, protection)?;
        Ok((done.base, done.size, done.old))
    }

    /// The same, with all that is told of it.
    fn change_protection(
        &mut self,
        base: VirtAddr,
        size: u64,
        protection: u32,
    ) -> Result<Protected, NtStatus> {
        let id = self.nt.process().id;
        let limit = NtStatus::COMMITMENT_LIMIT;
        let mut done = self.charging(limit, |mm| mm.protect(id, base, size, protection))?;
        self.nt.stale.absorb(std::mem::take(&mut done.stale));
        self.note_guard(done.base, done.size, protection);
        Ok(done)
    }

    /// A guard that a thread sets in its own stack moves its stack limit to the guard's end (SPEC E23).
    fn note_guard(&mut self, base: VirtAddr, size: u64, protection: u32) {
        const PAGE_GUARD: u32 = 0x100;
        if protection & PAGE_GUARD == 0 || self.nt.edition.own_guard == OwnGuard::NotSeen {
            return;
        }
        let Some(stack) = self.thread_stack() else { return };
        let end = VirtAddr::new(base.raw().saturating_add(size));
        if base >= stack.reserve_base && end <= stack.top {
            self.note_stack_limit(Some(end));
        }
    }

    /// Describes the run of pages at an address of the current process.
    ///
    /// # Errors
    ///
    /// The address is above the user limit (SPEC D2).
    pub fn query(&mut self, address: VirtAddr) -> Result<BasicInformation, NtStatus> {
        self.mm.query(self.nt.process().id, address)
    }

    /// The process of a handle with an access right, whether it runs or has ended (SPEC A13).
    ///
    /// # Errors
    ///
    /// As [`Handles::require_process`](crate::Handles::require_process).
    pub fn require_process(&self, handle: Handle, right: u32) -> Result<u32, NtStatus> {
        self.nt.handles().require_process(handle, right)
    }

    /// The same for work with its memory or its handles: there must be some left (SPEC A15).
    ///
    /// # Errors
    ///
    /// `PROCESS_IS_TERMINATING` after its end.
    pub fn require_living(&self, handle: Handle, right: u32) -> Result<u32, NtStatus> {
        let pid = self.require_process(handle, right)?;
        let process = self.nt.process_by_id(pid).expect("a handle keeps its process");
        if process.state == ProcessState::Running { Ok(pid) } else { Err(NtStatus::PROCESS_IS_TERMINATING) }
    }

    /// The address space of the process of a handle with an access right.
    ///
    /// # Errors
    ///
    /// As [`require_living`](Self::require_living).
    pub(crate) fn memory_of(&self, handle: Handle, right: u32) -> Result<ProcessId, NtStatus> {
        let pid = self.require_living(handle, right)?;
        Ok(self.nt.process_by_id(pid).expect("it lives").id)
    }
}

/// `NtAllocateVirtualMemory(process, *base, zero bits, *size, type, protection)`.
///
/// Types and protections first (SPEC A2, A7), then both pointers (SPEC A10), then the rest; outputs only on success
/// (SPEC A16).
fn nt_allocate(call: &mut Call<'_>) -> Answer {
    let (base_at, size_at) = (call.ptr(1), call.ptr(3));
    let mut request = AllocateRequest {
        base: None,
        size: 0,
        zero_bits: call.arg(2),
        kind: AllocationType::from_bits_retain(call.u32(4)),
        protection: call.u32(5),
    };
    let edition = call.nt.edition;
    ExtendedRequest::from(request).check_kind(edition)?;
    let (base, size) = read_range(call, base_at, size_at)?;
    request.base = (base != 0).then(|| VirtAddr::new(base));
    request.size = size;
    request.check_range(edition)?;
    let target = call.require_living(call.handle(0), PROCESS_VM_OPERATION)?;
    let reserves = request.kind.contains(AllocationType::RESERVE);
    let (base, size) = call.allocate_for_program(target, request.into())?;
    let written = write_range(call, base_at, size_at, base, size);
    // Outputs that went away meanwhile fail a commit, which stays, and not a reservation (SPEC A17).
    if reserves { Ok(0) } else { written }
}

/// `NtFreeVirtualMemory(process, *base, *size, type)`: flags, pointers, then the rest (SPEC B1, B2, B24).
fn nt_free(call: &mut Call<'_>) -> Answer {
    let (base_at, size_at) = (call.ptr(1), call.ptr(2));
    let kind = FreeType::from_bits_retain(call.u32(3));
    let one_of = [FreeType::DECOMMIT, FreeType::RELEASE];
    let split = [FreeType::PRESERVE_PLACEHOLDER, FreeType::COALESCE_PLACEHOLDERS];
    if !one_of.contains(&kind) && !split.iter().any(|part| kind == FreeType::RELEASE.union(*part)) {
        return Err(NtStatus::invalid_parameter(4).into());
    }
    let (base, size) = read_range(call, base_at, size_at)?;
    let limit = call.nt.user_limit().raw();
    if base > limit {
        return Err(NtStatus::invalid_parameter(2).into());
    }
    if limit - base < size {
        return Err(NtStatus::invalid_parameter(3).into());
    }
    let target = call.require_living(call.handle(0), PROCESS_VM_OPERATION)?;
    let (base, size) = call.attached(target, |kernel| kernel.free(VirtAddr::new(base), size, kind))?;
    write_range(call, base_at, size_at, base, size)
}

/// `NtProtectVirtualMemory(process, *base, *size, protection, *old)`: protection, three pointers, range, handle
/// (SPEC C1, C2).
fn nt_protect(call: &mut Call<'_>) -> Answer {
    let (base_at, size_at, old_at) = (call.ptr(1), call.ptr(2), call.ptr(4));
    let protection = call.u32(3);
    call.nt.edition.parse_new_protection(protection)?;
    let (base, size) = read_range(call, base_at, size_at)?;
    call.probe_write(old_at, 4)?;
    let limit = call.nt.user_limit().raw();
    if base > limit {
        return Err(NtStatus::invalid_parameter(2).into());
    }
    if size == 0 || limit - base < size - 1 {
        return Err(NtStatus::invalid_parameter(3).into());
    }
    let target = call.require_living(call.handle(0), PROCESS_VM_OPERATION)?;
    let base = VirtAddr::new(base);
    let done = call.attached(target, |kernel| kernel.change_protection(base, size, protection))?;
    call.write_u32(old_at, done.old.raw())?;
    write_range(call, base_at, size_at, done.base, done.size)?;
    Ok(u64::from(done.status.raw()))
}

/// Both pointers are probed for writing before their values count (SPEC A10).
pub(super) fn read_range(
    call: &mut Call<'_>,
    base_at: UserPtr,
    size_at: UserPtr,
) -> Result<(u64, u64), BadPointer> {
    let width = call.pointer_bytes();
    call.probe_write(base_at, width)?;
    call.probe_write(size_at, width)?;
    Ok((call.read_word(base_at)?, call.read_word(size_at)?))
}

pub(super) fn write_range(
    call: &mut Call<'_>,
    base_at: UserPtr,
    size_at: UserPtr,
    base: VirtAddr,
    size: u64,
) -> Answer {
    call.write_word(size_at, size)?;
    call.write_word(base_at, base.raw())?;
    Ok(0)
}
