//! What a process may use: the classes of `NtQueryInformationProcess` and `NtSetInformationProcess` about quotas, memory and
//! mitigations.

use crate::claim::UserPtr;
use crate::executive::PROCESS_QUERY_INFORMATION;
use crate::executive::counters::MemoryUsage;
use crate::kernel::Kernel;
use crate::service::{Answer, Call, Failure};
use vadose_facts::addr::PAGE_BYTES;
use vadose_facts::ntdef::{AslrMitigations, Bitness, Edition, NtStatus};
use vadose_mm::{DynamicCode, LimitFlags, ProcessCounters, ProcessId};

/// `PROCESS_SET_QUOTA`.
pub(crate) const PROCESS_SET_QUOTA: u32 = 0x100;
/// `PROCESS_QUERY_LIMITED_INFORMATION`, which Windows Vista brought.
pub(crate) const PROCESS_QUERY_LIMITED_INFORMATION: u32 = 0x1000;

/// The information classes that are answered here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// `ProcessQuotaLimits`.
    QuotaLimits,
    /// `ProcessVmCounters`.
    VmCounters,
    /// `ProcessMitigationPolicy`.
    MitigationPolicy,
}

impl Class {
    /// # Errors
    ///
    /// `STATUS_INVALID_INFO_CLASS`.
    fn of(raw: u32, edition: &Edition) -> Result<Self, NtStatus> {
        match raw {
            52 if has_mitigation(edition, ASLR_POLICY) => Ok(Self::MitigationPolicy),
            1 => Ok(Self::QuotaLimits),
            3 => Ok(Self::VmCounters),
            _ => Err(NtStatus::INVALID_INFO_CLASS),
        }
    }
}

/// Words of `QUOTA_LIMITS` before its time limit: two pools, two working-set limits, page files.
const QUOTA_WORDS: u64 = 5;
/// Words that `QUOTA_LIMITS_EX` adds before its flags.
const QUOTA_EX_WORDS: u64 = 4;

/// Where the parts of `QUOTA_LIMITS` and `QUOTA_LIMITS_EX` are.
struct QuotaLayout {
    bytes: u64,
    extended_bytes: u64,
    minimum: u64,
    maximum: u64,
    flags: u64,
}

impl QuotaLayout {
    fn of(bitness: Bitness) -> Self {
        let word = match bitness {
            Bitness::Bits32 => 4,
            Bitness::Bits64 => 8,
        };
        // The time limit is 8 bytes on a multiple of 8.
        let bytes = (QUOTA_WORDS * word).next_multiple_of(8) + 8;
        let flags = bytes + QUOTA_EX_WORDS * word;
        Self { bytes, extended_bytes: flags + 8, minimum: 2 * word, maximum: 3 * word, flags }
    }
}

/// A request for new working-set limits, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NewLimits {
    pub(crate) minimum_bytes: u64,
    pub(crate) maximum_bytes: u64,
    pub(crate) flags: LimitFlags,
}

impl Kernel<'_> {
    /// Sets the working-set limits of the current process; all ones for both empty the working set (SPEC J2).
    ///
    /// # Errors
    ///
    /// The statuses of SPEC J2 to J4.
    pub(crate) fn set_limits(&mut self, new: NewLimits) -> Result<(), NtStatus> {
        let process = self.nt.process().id;
        let all_ones = match self.nt.edition.bitness {
            Bitness::Bits32 => u64::from(u32::MAX),
            Bitness::Bits64 => u64::MAX,
        };
        if new.minimum_bytes == all_ones && new.maximum_bytes == all_ones {
            let stale = self.mm.empty_working_set(process)?;
            self.nt.stale.absorb(stale);
            return Ok(());
        }
        let (minimum, maximum) = (new.minimum_bytes / PAGE_BYTES, new.maximum_bytes / PAGE_BYTES);
        self.mm.set_working_set_limits(process, minimum, maximum, new.flags)
    }
}

/// `NtQueryInformationProcess(process, class, buffer, length, *returned)`: class, length, pointers, handle.
pub(crate) fn nt_query(call: &mut Call<'_>) -> Answer {
    let (class, buffer, length, returned) =
        (Class::of(call.u32(1), call.nt.edition)?, call.ptr(2), u64::from(call.u32(3)), call.ptr(4));
    // The handle counts last; how long an answer is does not depend on whose it is.
    let process = call.queried_memory(call.handle(0));
    let counters = call.mm.process_counters(process.unwrap_or(call.nt.process().id));
    let bytes = match class {
        Class::QuotaLimits => quota_limits(call, counters, length),
        Class::VmCounters => vm_counters(call, counters, length),
        Class::MitigationPolicy => return query_mitigation(call, buffer, length),
    };
    let bytes = bytes.ok_or(NtStatus::INFO_LENGTH_MISMATCH)?;
    call.probe_write(buffer, length)?;
    if !returned.is_null() {
        call.probe_write(returned, 4)?;
    }
    process?;
    call.write(buffer, &bytes)?;
    if !returned.is_null() {
        call.write_u32(returned, bytes.len() as u32)?;
    }
    Ok(0)
}

impl Kernel<'_> {
    /// Checks a process handle for a question about the process: full or, where it exists, limited (SPEC D19).
    ///
    /// # Errors
    ///
    /// As [`require_process`](Self::require_process).
    pub(crate) fn require_query(&self, handle: crate::Handle) -> Result<u32, NtStatus> {
        let full = self.require_process(handle, PROCESS_QUERY_INFORMATION);
        match full {
            Err(NtStatus::ACCESS_DENIED) if self.nt.edition.version.major >= 6 => {
                self.require_process(handle, PROCESS_QUERY_LIMITED_INFORMATION)
            }
            Ok(_) | Err(_) => full,
        }
    }
}

impl Kernel<'_> {
    /// The address space of a process that is [asked about](Self::require_query).
    ///
    /// # Errors
    ///
    /// The same, and `PROCESS_IS_TERMINATING` after its end.
    pub(crate) fn queried_memory(&self, handle: crate::Handle) -> Result<ProcessId, NtStatus> {
        self.require_query(handle)?;
        self.memory_of(handle, 0)
    }
}

/// `QUOTA_LIMITS` or `QUOTA_LIMITS_EX`, by the length asked for. Pools and page files have no limit.
fn quota_limits(call: &Call<'_>, counters: ProcessCounters, length: u64) -> Option<Vec<u8>> {
    let layout = QuotaLayout::of(call.nt.edition.bitness);
    let extended = length == layout.extended_bytes && has_extended_limits(call);
    if length != layout.bytes && !extended {
        return None;
    }
    let limits = counters.limits;
    let mut bytes = vec![0; length as usize];
    let word = call.pointer_bytes();
    let mut put = |at: u64, value: u64| {
        let at = at as usize;
        bytes[at..at + word as usize].copy_from_slice(&value.to_le_bytes()[..word as usize]);
    };
    for unlimited in [0, word, 4 * word] {
        put(unlimited, u64::MAX);
    }
    put(layout.minimum, limits.minimum_pages * PAGE_BYTES);
    put(layout.maximum, limits.maximum_pages * PAGE_BYTES);
    // No time limit: the most that it can be.
    let time = (layout.bytes - 8) as usize;
    bytes[time..time + 8].copy_from_slice(&u64::MAX.to_le_bytes());
    if extended {
        let flags = layout.flags as usize;
        bytes[flags..flags + 4].copy_from_slice(&limits.flags().bits().to_le_bytes());
    }
    Some(bytes)
}

/// `QUOTA_LIMITS_EX` came after Windows XP.
fn has_extended_limits(call: &Call<'_>) -> bool {
    call.nt.edition.version.major >= 6
}

/// `VM_COUNTERS` or `VM_COUNTERS_EX`, by the length asked for (SPEC J19, J20).
fn vm_counters(call: &Call<'_>, counters: ProcessCounters, length: u64) -> Option<Vec<u8>> {
    let word = call.pointer_bytes() as usize;
    let usage = MemoryUsage::from(counters);
    let mut bytes = Vec::new();
    for value in [usage.peak_virtual_bytes, usage.virtual_bytes] {
        bytes.extend_from_slice(&value.to_le_bytes()[..word]);
    }
    bytes.extend_from_slice(&usage.page_faults.to_le_bytes());
    bytes.resize(3 * word, 0);
    for value in usage.counters() {
        bytes.extend_from_slice(&value.to_le_bytes()[..word]);
    }
    if length == (bytes.len() - word) as u64 {
        bytes.truncate(bytes.len() - word);
    }
    (bytes.len() as u64 == length).then_some(bytes)
}

/// `NtSetInformationProcess(process, class, buffer, length)`.
pub(crate) fn nt_set(call: &mut Call<'_>) -> Answer {
    let (class, buffer, length) =
        (Class::of(call.u32(1), call.nt.edition)?, call.ptr(2), u64::from(call.u32(3)));
    match class {
        Class::QuotaLimits => set_quota_limits(call, buffer, length),
        Class::VmCounters => Err(NtStatus::INVALID_INFO_CLASS.into()),
        Class::MitigationPolicy => set_mitigation(call, buffer, length),
    }
}

/// Working-set limits of zero mean that other quotas are meant; those are not limited here, and any wish is refused.
fn set_quota_limits(call: &mut Call<'_>, buffer: UserPtr, length: u64) -> Answer {
    let layout = QuotaLayout::of(call.nt.edition.bitness);
    let extended = length == layout.extended_bytes && has_extended_limits(call);
    if length != layout.bytes && !extended {
        return Err(NtStatus::INFO_LENGTH_MISMATCH.into());
    }
    let bytes = call.read_vec(buffer, length)?;
    let number = |at: u64, width: u64| -> u64 {
        let raw = &bytes[at as usize..(at + width) as usize];
        raw.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
    };
    let word = call.pointer_bytes();
    let flags = if extended { number(layout.flags, 4) as u32 } else { 0 };
    let new = NewLimits {
        minimum_bytes: number(layout.minimum, word),
        maximum_bytes: number(layout.maximum, word),
        flags: LimitFlags::from_bits_retain(flags),
    };
    let target = call.require_living(call.handle(0), PROCESS_SET_QUOTA)?;
    if new.minimum_bytes == 0 || new.maximum_bytes == 0 {
        return Err(Failure::Status(NtStatus::INVALID_PARAMETER));
    }
    call.attached(target, |kernel| kernel.set_limits(new))?;
    Ok(0)
}

/// `PROCESS_SET_INFORMATION`.
pub(crate) const PROCESS_SET_INFORMATION: u32 = 0x200;
/// `ProcessASLRPolicy` (SPEC G35).
const ASLR_POLICY: u32 = 1;
/// `ProcessDynamicCodePolicy` (SPEC C28).
pub(crate) const DYNAMIC_CODE_POLICY: u32 = 2;
/// `ProhibitDynamicCode`.
const PROHIBIT: u32 = 1;
/// Bytes of a policy's number and its flags.
const POLICY_BYTES: u64 = 8;

/// The policies came with Windows 8, the one of dynamic code with 8.1.
const fn has_mitigation(edition: &Edition, policy: u32) -> bool {
    let since = match policy {
        ASLR_POLICY => 2,
        DYNAMIC_CODE_POLICY => 3,
        _not_kept => return false,
    };
    edition.version.major > 6 || edition.version.major == 6 && edition.version.minor >= since
}

impl Kernel<'_> {
    /// The flags of a mitigation policy of a process (SPEC C28, G35).
    ///
    /// # Errors
    ///
    /// `STATUS_NOT_SUPPORTED` for a policy that is not kept.
    pub(crate) fn mitigation(&self, process: ProcessId, policy: u32) -> Result<u32, NtStatus> {
        if !has_mitigation(self.nt.edition, policy) {
            return Err(NtStatus::NOT_SUPPORTED);
        }
        if policy == ASLR_POLICY {
            return Ok(self.mm.aslr_mitigations(process).bits());
        }
        Ok(match self.mm.dynamic_code(process) {
            DynamicCode::Allowed => 0,
            DynamicCode::Prohibited => PROHIBIT,
        })
    }

    /// Sets the flags of a mitigation policy. What was forbidden stays forbidden (SPEC C28).
    ///
    /// # Errors
    ///
    /// `STATUS_NOT_SUPPORTED` for a policy that is not kept, `STATUS_INVALID_PARAMETER` for a flag that is not,
    /// `STATUS_ACCESS_DENIED` for taking a ban back.
    pub(crate) fn set_mitigation(
        &mut self,
        process: ProcessId,
        policy: u32,
        flags: u32,
    ) -> Result<(), NtStatus> {
        let now = self.mitigation(process, policy)?;
        if policy == ASLR_POLICY {
            return self.set_aslr_policy(process, AslrMitigations::from_bits_retain(now), flags);
        }
        match flags {
            PROHIBIT => self.mm.prohibit_dynamic_code(process),
            0 if now == 0 => Ok(()),
            0 => Err(NtStatus::ACCESS_DENIED),
            _ => Err(NtStatus::INVALID_PARAMETER),
        }
    }
}

impl Kernel<'_> {
    /// Images can be made to move from now on. Where searches start was decided at the process's start (SPEC G35).
    fn set_aslr_policy(
        &mut self,
        process: ProcessId,
        now: AslrMitigations,
        flags: u32,
    ) -> Result<(), NtStatus> {
        use AslrMitigations as M;
        let wanted = M::from_bits(flags).ok_or(NtStatus::INVALID_PARAMETER)?;
        let added = wanted.difference(now);
        if !wanted.contains(now) || !(M::FORCE_RELOCATE_IMAGES | M::DISALLOW_STRIPPED_IMAGES).contains(added)
        {
            return Err(NtStatus::ACCESS_DENIED);
        }
        self.mm.set_aslr_mitigations(process, wanted)
    }
}

/// The policy's number is read from the buffer, and its flags are written behind it.
fn query_mitigation(call: &mut Call<'_>, buffer: UserPtr, length: u64) -> Answer {
    if length != POLICY_BYTES {
        return Err(NtStatus::INFO_LENGTH_MISMATCH.into());
    }
    call.probe_write(buffer, length)?;
    let process = call.queried_memory(call.handle(0))?;
    let policy = call.read_u32(buffer)?;
    let flags = call.mitigation(process, policy)?;
    call.write_u32(buffer.offset(4), flags)?;
    Ok(0)
}

fn set_mitigation(call: &mut Call<'_>, buffer: UserPtr, length: u64) -> Answer {
    if length != POLICY_BYTES {
        return Err(NtStatus::INFO_LENGTH_MISMATCH.into());
    }
    let (policy, flags) = (call.read_u32(buffer)?, call.read_u32(buffer.offset(4))?);
    let process = call.memory_of(call.handle(0), PROCESS_SET_INFORMATION)?;
    call.set_mitigation(process, policy, flags)?;
    Ok(0)
}
