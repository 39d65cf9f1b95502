//! The editions of Windows that can be booted, one table row each: address-space layout, PTE formats and version switches.

use super::aslr::Randomization;
use super::{NtStatus, Protection};
use crate::addr::{GRANULARITY_BYTES, VirtAddr};
use crate::x86::{NoExecute, PagingMode};

/// `PAGE_TARGETS_INVALID` of an allocation, `PAGE_TARGETS_NO_UPDATE` of a protect (SPEC C22).
const CALL_TARGETS: u32 = 0x4000_0000;

/// What a program of this edition is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bitness {
    /// 32-bit x86.
    Bits32,
    /// x64.
    Bits64,
}

/// The version numbers a program reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WindowsVersion {
    /// Major version.
    pub major: u32,
    /// Minor version.
    pub minor: u32,
    /// Build number.
    pub build: u32,
    /// Service pack, 0 for none.
    pub service_pack: u16,
}

/// Layout of invalid PTEs (SPEC I10, I11, I12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SoftwarePteFormat {
    /// 4-byte entries: page-file number in bits 1 to 4, offset in 12 to 31.
    X86,
    /// 8-byte entries up to Windows 10 1709: page-file number in bits 1 to 4, offset in 32 to 63.
    Wide,
    /// 8-byte entries since Windows 10 1803: page-file number in bits 12 to 15, offset in 32 to 63, and bit 4 saying that
    /// the stored frame or offset is not masked (SPEC I13).
    Wide1803,
}

/// Who notices the first store to a page (SPEC I4, I5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WriteTracking {
    /// The processor, by its Dirty bit: a writable page has R/W set from the start (uniprocessor x86 kernels).
    Hardware,
    /// The fault handler: a clean writable page has R/W clear and bit 11 set.
    Software,
}

/// Where the page tables appear in the address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SelfMap {
    /// At this address in every boot (SPEC H11, H12, H14).
    At(VirtAddr),
    /// In a top-level slot drawn at boot (SPEC H16).
    Drawn,
}

/// Kernel addresses that are the same in every process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SystemSpace {
    /// First kernel address.
    pub base: VirtAddr,
    /// The page tables' own window.
    pub self_map: SelfMap,
    /// Kernel address of `KUSER_SHARED_DATA` (SPEC H5).
    pub shared_data: VirtAddr,
    /// A page for the processor's own tables (GDT).
    pub processor: VirtAddr,
    /// Where the pool with the prototype PTEs begins.
    pub pool: VirtAddr,
    /// Bytes of that pool's address range.
    pub pool_bytes: u64,
}

/// Which status a bad parameter of allocate and map-view gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParameterStatus {
    /// `STATUS_INVALID_PARAMETER_n`.
    Numbered,
    /// Plain `STATUS_INVALID_PARAMETER`.
    Plain,
}

/// What a decommit of size 0 gives back as size (SPEC B13).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DecommitZeroSize {
    /// The whole region's size.
    Full,
    /// Zero.
    Zero,
}

/// What `PAGE_NOCACHE` belongs to (SPEC A41).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NoCacheScope {
    /// Each page.
    Page,
    /// The allocation.
    Allocation,
}

/// What a read that runs into unreadable memory reports (SPEC D38).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PartialRead {
    /// A count of zero.
    Nothing,
    /// The bytes that were read.
    Count,
}

/// Whether an edition has placeholders and the allocate calls with extended parameters (SPEC A51 to A64, B18 to B23).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExtendedMemory {
    /// It has neither: the bits are unknown and the services do not exist.
    Absent,
    /// It has both: since Windows 10 1803.
    Present,
}

/// Where an address is taken from that a program leaves open (SPEC A38, A40): the registry setting
/// `AllocationPreference`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AllocationPreference {
    /// The lowest that fits.
    #[default]
    BottomUp,
    /// The highest that fits, as with `MEM_TOP_DOWN` in every call.
    TopDown,
}

/// Whether a commit inside a view looks at what the view allows (SPEC A44).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ViewCommitCheck {
    /// It does not.
    Absent,
    /// The protection must be one that a protect call on the view may set.
    Compatible,
}

/// Whether the kernel notices a guard page that a thread sets in its own stack (SPEC E23).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OwnGuard {
    /// The thread's stack limit moves to the end of it.
    MovesLimit,
    /// It is a page like others.
    NotSeen,
}

/// Whether `PAGE_TARGETS_INVALID` and `PAGE_TARGETS_NO_UPDATE`, one bit, mean something (SPEC C22).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallTargets {
    /// The bit is refused like any other that is unknown.
    Unknown,
    /// It goes with executable protections.
    Known,
}

/// One edition of Windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edition {
    /// The name on the command line.
    pub name: &'static str,
    /// The name in words.
    pub title: &'static str,
    /// Version numbers.
    pub version: WindowsVersion,
    /// Its programs.
    pub bitness: Bitness,
    /// Its page tables.
    pub paging: PagingMode,
    /// Whether the kernel turns no-execute on.
    pub no_execute: NoExecute,
    /// Highest user address of a large-address-aware program (SPEC H2).
    pub max_user_address: VirtAddr,
    /// Highest user address of any other program (SPEC H2).
    pub max_user_address_small: VirtAddr,
    /// Layout of invalid PTEs.
    pub pte_format: SoftwarePteFormat,
    /// Who notices first stores.
    pub write_tracking: WriteTracking,
    /// Kernel addresses.
    pub system: SystemSpace,
    /// Statuses of bad parameters.
    pub parameter_status: ParameterStatus,
    /// Size that a decommit of size 0 returns.
    pub decommit_zero_size: DecommitZeroSize,
    /// What `PAGE_NOCACHE` belongs to.
    pub no_cache_scope: NoCacheScope,
    /// What a partial read reports.
    pub partial_read: PartialRead,
    /// What a guard in a thread's own stack does.
    pub own_guard: OwnGuard,
    /// Placeholders and extended parameters.
    pub extended_memory: ExtendedMemory,
    /// Whether a commit inside a view looks at what the view allows.
    pub view_commit_check: ViewCommitCheck,
    /// Whether protections may speak of call targets.
    pub call_targets: CallTargets,
    /// What is placed at random.
    pub randomization: Randomization,
}

/// `PAGE_REVERT_TO_FILE_MAP`.
const REVERT_TO_FILE_MAP: u32 = 0x8000_0000;

impl Edition {
    /// Lowest address that can be allocated (SPEC A23, H1).
    pub const MIN_USER_ADDRESS: VirtAddr = VirtAddr::new(GRANULARITY_BYTES);
    /// `KUSER_SHARED_DATA` as every process sees it (SPEC H5).
    pub const SHARED_USER_DATA: VirtAddr = VirtAddr::new(0x7ffe_0000);

    /// Reads a `PAGE_*` word of a program. `PAGE_TARGETS_*` is taken with executable protections and not kept (SPEC C22).
    ///
    /// # Errors
    ///
    /// `STATUS_INVALID_PAGE_PROTECTION`.
    pub fn parse_protection(&self, raw: u32) -> Result<Protection, NtStatus> {
        if self.call_targets == CallTargets::Unknown || raw & CALL_TARGETS == 0 {
            return Protection::parse(raw);
        }
        let protection = Protection::parse(raw & !CALL_TARGETS)?;
        if protection.base().allows_execute() {
            Ok(protection)
        } else {
            Err(NtStatus::INVALID_PAGE_PROTECTION)
        }
    }

    /// Reads the `PAGE_*` word of a protect call: also `PAGE_REVERT_TO_FILE_MAP` beside a legal protection, on editions that
    /// know it (SPEC C23).
    ///
    /// # Errors
    ///
    /// `STATUS_INVALID_PAGE_PROTECTION`.
    pub fn parse_new_protection(&self, raw: u32) -> Result<(Protection, PrivateCopies), NtStatus> {
        if self.version.major < 10 || raw & REVERT_TO_FILE_MAP == 0 {
            return Ok((self.parse_protection(raw)?, PrivateCopies::Kept));
        }
        Ok((self.parse_protection(raw & !REVERT_TO_FILE_MAP)?, PrivateCopies::Dropped))
    }

    /// Whether modified pages are compressed before they are written: Windows 10 began with it (SPEC J17).
    pub const fn has_memory_compression(&self) -> bool {
        self.version.major >= 10
    }

    /// Highest user address of a process (SPEC H2).
    pub const fn max_user_address(&self, awareness: LargeAddressAware) -> VirtAddr {
        match awareness {
            LargeAddressAware::Yes => self.max_user_address,
            LargeAddressAware::No => self.max_user_address_small,
        }
    }

    /// Pointer size in bytes.
    pub const fn pointer_bytes(&self) -> u64 {
        match self.bitness {
            Bitness::Bits32 => 4,
            Bitness::Bits64 => 8,
        }
    }
}

/// What a protect call does with the private copies that a process has of a view's pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PrivateCopies {
    /// They stay.
    Kept,
    /// They go, and the file's content is seen again: `PAGE_REVERT_TO_FILE_MAP` (SPEC C23).
    Dropped,
}

/// Whether a program says that it can use addresses above 2 GiB (`IMAGE_FILE_LARGE_ADDRESS_AWARE`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LargeAddressAware {
    /// It does.
    Yes,
    /// It does not.
    No,
}

const fn va(raw: u64) -> VirtAddr {
    VirtAddr::new(raw)
}

const X86_SYSTEM: SystemSpace = SystemSpace {
    base: va(0x8000_0000),
    self_map: SelfMap::At(va(0xc000_0000)),
    shared_data: va(0xffdf_0000),
    processor: va(0x8003_f000),
    pool: va(0xe100_0000),
    pool_bytes: 0x0f00_0000,
};

const X64_SYSTEM: SystemSpace = SystemSpace {
    base: va(0xffff_8000_0000_0000),
    self_map: SelfMap::At(va(0xffff_f680_0000_0000)),
    shared_data: va(0xffff_f780_0000_0000),
    processor: va(0xffff_f800_0000_1000),
    pool: va(0xffff_f8a0_0000_0000),
    pool_bytes: 1 << 37,
};

const WINXP_X86: Edition = Edition {
    name: "winxp-x86",
    title: "Windows XP SP3, 32-bit",
    version: WindowsVersion { major: 5, minor: 1, build: 2600, service_pack: 3 },
    bitness: Bitness::Bits32,
    paging: PagingMode::Legacy,
    no_execute: NoExecute::Off,
    max_user_address: va(0x7ffe_ffff),
    max_user_address_small: va(0x7ffe_ffff),
    pte_format: SoftwarePteFormat::X86,
    write_tracking: WriteTracking::Hardware,
    system: X86_SYSTEM,
    parameter_status: ParameterStatus::Numbered,
    decommit_zero_size: DecommitZeroSize::Full,
    no_cache_scope: NoCacheScope::Page,
    partial_read: PartialRead::Nothing,
    own_guard: OwnGuard::NotSeen,
    extended_memory: ExtendedMemory::Absent,
    view_commit_check: ViewCommitCheck::Absent,
    call_targets: CallTargets::Unknown,
    randomization: Randomization::Environment,
};

const WIN7_X64: Edition = Edition {
    name: "win7-x64",
    title: "Windows 7 SP1, 64-bit",
    version: WindowsVersion { major: 6, minor: 1, build: 7601, service_pack: 1 },
    bitness: Bitness::Bits64,
    paging: PagingMode::Long4,
    no_execute: NoExecute::Enforced,
    max_user_address: va(0x7ff_fffe_ffff),
    max_user_address_small: va(0x7ffe_ffff),
    pte_format: SoftwarePteFormat::Wide,
    write_tracking: WriteTracking::Software,
    system: X64_SYSTEM,
    parameter_status: ParameterStatus::Numbered,
    decommit_zero_size: DecommitZeroSize::Full,
    no_cache_scope: NoCacheScope::Page,
    partial_read: PartialRead::Nothing,
    own_guard: OwnGuard::NotSeen,
    extended_memory: ExtendedMemory::Absent,
    view_commit_check: ViewCommitCheck::Compatible,
    call_targets: CallTargets::Unknown,
    randomization: Randomization::Images,
};

const EDITIONS: [Edition; 6] = [
    WINXP_X86,
    Edition {
        name: "winxp-x86-pae",
        title: "Windows XP SP3, 32-bit, with physical address extension",
        paging: PagingMode::Pae,
        no_execute: NoExecute::Enforced,
        pte_format: SoftwarePteFormat::Wide,
        ..WINXP_X86
    },
    Edition {
        name: "win7-x86",
        title: "Windows 7 SP1, 32-bit, with physical address extension",
        version: WindowsVersion { major: 6, minor: 1, build: 7601, service_pack: 1 },
        paging: PagingMode::Pae,
        no_execute: NoExecute::Enforced,
        pte_format: SoftwarePteFormat::Wide,
        write_tracking: WriteTracking::Software,
        view_commit_check: ViewCommitCheck::Compatible,
        randomization: Randomization::Images,
        ..WINXP_X86
    },
    WIN7_X64,
    Edition {
        name: "win8-x64",
        title: "Windows 8, 64-bit",
        version: WindowsVersion { major: 6, minor: 2, build: 9200, service_pack: 0 },
        randomization: Randomization::HighEntropy,
        ..WIN7_X64
    },
    Edition {
        name: "win10-x64",
        title: "Windows 10 21H2, 64-bit",
        version: WindowsVersion { major: 10, minor: 0, build: 19044, service_pack: 0 },
        max_user_address: va(0x7fff_fffe_ffff),
        pte_format: SoftwarePteFormat::Wide1803,
        system: SystemSpace { self_map: SelfMap::Drawn, ..X64_SYSTEM },
        parameter_status: ParameterStatus::Plain,
        decommit_zero_size: DecommitZeroSize::Zero,
        no_cache_scope: NoCacheScope::Allocation,
        partial_read: PartialRead::Count,
        own_guard: OwnGuard::MovesLimit,
        extended_memory: ExtendedMemory::Present,
        call_targets: CallTargets::Known,
        randomization: Randomization::HighEntropy,
        ..WIN7_X64
    },
];

/// Every edition, oldest first.
pub fn editions() -> &'static [Edition] {
    static TABLE: [Edition; 6] = EDITIONS;
    &TABLE
}

/// The edition of that name.
pub fn edition(name: &str) -> Option<&'static Edition> {
    editions().iter().find(|edition| edition.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SPEC H2: the highest application address, by edition and by the program's header bit.
    #[test]
    fn each_edition_ends_user_space_where_windows_does() {
        let top = |name, awareness| {
            edition(name).map(|e| e.max_user_address(awareness).raw()).expect("an edition of that name")
        };
        use LargeAddressAware::{No, Yes};
        assert_eq!(top("winxp-x86", Yes), 0x7ffe_ffff);
        assert_eq!(top("win7-x86", No), 0x7ffe_ffff);
        assert_eq!(top("win7-x64", Yes), 0x7ff_fffe_ffff);
        assert_eq!(top("win8-x64", Yes), 0x7ff_fffe_ffff);
        assert_eq!(top("win10-x64", Yes), 0x7fff_fffe_ffff);
        assert_eq!(top("win10-x64", No), 0x7ffe_ffff);
    }

    #[test]
    fn names_are_unique_and_unknown_names_are_refused() {
        for e in editions() {
            assert_eq!(edition(e.name), Some(e));
        }
        assert_eq!(edition("win95"), None);
    }
}
