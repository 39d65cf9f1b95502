//! An allocate call with everything that can be said in one: extended parameters, and what the caller's token allows.

use crate::request::AllocateRequest;
use vadose_facts::addr::{GRANULARITY_BYTES, PAGE_BYTES, VirtAddr};
use vadose_facts::ntdef::{AllocationType, Edition, NtStatus};

/// Memory nodes of the machine: there is one (SPEC A64).
pub const NODES: u32 = 1;

/// Arguments of an allocate call of either form, as the program gave them: nothing is checked yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtendedRequest {
    /// What every allocate call says.
    pub basic: AllocateRequest,
    /// Which call it is.
    pub form: AllocateForm,
    /// Where the memory may lie.
    pub requirements: AddressRequirements,
    /// The memory node that is preferred, `None` for any (SPEC A64).
    pub node: Option<u32>,
    /// Whether the caller may lock memory.
    pub lock_memory: LockMemory,
}

/// The two allocate calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllocateForm {
    /// `NtAllocateVirtualMemory`, which knows no placeholders (SPEC A51).
    Plain,
    /// `NtAllocateVirtualMemoryEx`.
    Extended,
}

/// Whether `SeLockMemoryPrivilege` is enabled in the caller's token (SPEC A14, J38).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMemory {
    /// It is.
    Enabled,
    /// It is not, or the token lacks it.
    Disabled,
}

/// `MEM_ADDRESS_REQUIREMENTS`: zero means no constraint (SPEC A60, A61).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddressRequirements {
    /// Lowest address that the allocation may start at.
    pub lowest: VirtAddr,
    /// Highest address that it may end at, that byte included.
    pub highest: VirtAddr,
    /// Bytes that its address must be a multiple of.
    pub alignment: u64,
}

impl From<AllocateRequest> for ExtendedRequest {
    /// The plain call by a caller without privileges.
    fn from(basic: AllocateRequest) -> Self {
        Self {
            basic,
            form: AllocateForm::Plain,
            requirements: AddressRequirements::default(),
            node: None,
            lock_memory: LockMemory::Disabled,
        }
    }
}

impl AddressRequirements {
    /// Whether nothing is required.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// The checks of the three values by themselves (SPEC A61, A62).
    ///
    /// # Errors
    ///
    /// `STATUS_INVALID_PARAMETER`.
    pub fn check(&self, edition: &Edition) -> Result<(), NtStatus> {
        let aligned =
            self.alignment == 0 || self.alignment.is_power_of_two() && self.alignment >= GRANULARITY_BYTES;
        let unlimited = self.highest.raw() == 0;
        let ends_a_page = self.highest.checked_add(1).is_some_and(|end| end.is_aligned(PAGE_BYTES));
        let high = unlimited || ends_a_page && self.highest <= edition.max_user_address;
        let ordered = unlimited || self.lowest < self.highest;
        if aligned && self.lowest.is_aligned(GRANULARITY_BYTES) && high && ordered {
            return Ok(());
        }
        Err(NtStatus::INVALID_PARAMETER)
    }
}

impl ExtendedRequest {
    /// The checks of extended parameters, before those of the call itself (SPEC A60 to A62, A64).
    ///
    /// # Errors
    ///
    /// `STATUS_INVALID_PARAMETER`.
    pub fn check_parameters(&self, edition: &Edition) -> Result<(), NtStatus> {
        self.requirements.check(edition)?;
        let placed = self.basic.base.is_some() && !self.requirements.is_none();
        if placed || self.node.is_some_and(|node| node >= NODES) {
            return Err(NtStatus::INVALID_PARAMETER);
        }
        Ok(())
    }

    /// Whether a set of placeholder bits makes sense (SPEC A52, A53).
    pub(crate) fn places_well(kind: AllocationType, protection: u32) -> bool {
        type T = AllocationType;
        let reserving = T::RESERVE | T::RESERVE_PLACEHOLDER | T::TOP_DOWN;
        let replacing = T::RESERVE | T::REPLACE_PLACEHOLDER | T::COMMIT | T::TOP_DOWN | T::WRITE_WATCH;
        let reserves = kind.contains(T::RESERVE);
        match (kind.contains(T::RESERVE_PLACEHOLDER), kind.contains(T::REPLACE_PLACEHOLDER)) {
            (false, false) => true,
            (true, false) => reserves && reserving.contains(kind) && protection == 0x01,
            (false, true) => reserves && replacing.contains(kind),
            (true, true) => false,
        }
    }
}
