//! `KUSER_SHARED_DATA`: the page at 7FFE0000 that every process reads (SPEC H5). The same for both bitnesses.

/// Offsets in `KUSER_SHARED_DATA`.
#[derive(Clone, Copy, Debug)]
pub struct SharedData;

/// Offsets in a `KSYSTEM_TIME`: readers loop until both high parts agree.
#[derive(Clone, Copy, Debug)]
pub struct SystemTime;

impl SharedData {
    /// Tick count of the first Windows versions, 4 bytes.
    pub const TICK_COUNT_LOW: u32 = 0x0;
    /// Milliseconds of a tick times 2^24, 4 bytes.
    pub const TICK_COUNT_MULTIPLIER: u32 = 0x4;
    /// 100 ns units since boot, a `KSYSTEM_TIME`.
    pub const INTERRUPT_TIME: u32 = 0x8;
    /// 100 ns units since 1601, a `KSYSTEM_TIME`.
    pub const SYSTEM_TIME: u32 = 0x14;
    /// 100 ns units to add to local time for UTC, a `KSYSTEM_TIME`.
    pub const TIME_ZONE_BIAS: u32 = 0x20;
    /// Machine of the system's images, 2 bytes.
    pub const IMAGE_NUMBER_LOW: u32 = 0x2c;
    /// The same, 2 bytes.
    pub const IMAGE_NUMBER_HIGH: u32 = 0x2e;
    /// The Windows folder, 260 UTF-16 units.
    pub const SYSTEM_ROOT: u32 = 0x30;
    /// Smallest large page in bytes, 4 bytes (Server 2003 and later).
    pub const LARGE_PAGE_MINIMUM: u32 = 0x244;
    /// Build, 4 bytes (Windows 10).
    pub const BUILD_NUMBER: u32 = 0x260;
    /// 1 for a workstation, 4 bytes.
    pub const PRODUCT_TYPE: u32 = 0x264;
    /// Whether the product type is valid, 1 byte.
    pub const PRODUCT_TYPE_VALID: u32 = 0x268;
    /// Processor architecture: 0 x86, 9 x64; 2 bytes (Windows 8).
    pub const NATIVE_ARCHITECTURE: u32 = 0x26a;
    /// Major version, 4 bytes.
    pub const MAJOR_VERSION: u32 = 0x26c;
    /// Minor version, 4 bytes.
    pub const MINOR_VERSION: u32 = 0x270;
    /// A byte for each `PF_*` processor feature, 64 bytes.
    pub const PROCESSOR_FEATURES: u32 = 0x274;
    /// `VER_SUITE_*`, 4 bytes.
    pub const SUITE_MASK: u32 = 0x2d0;
    /// No-execute policy: 0 off, 2 opt-in; 1 byte.
    pub const NX_POLICY: u32 = 0x2d5;
    /// Pages of RAM, 4 bytes.
    pub const PHYSICAL_PAGES: u32 = 0x2e8;
    /// Where 32-bit stubs of system calls jump through, 4 bytes (Windows XP SP2 to 7).
    pub const SYSTEM_CALL_STUB: u32 = 0x300;
    /// Ticks since boot, a `KSYSTEM_TIME`.
    pub const TICK_COUNT: u32 = 0x320;
    /// Key that encodes pointers, 4 bytes.
    pub const COOKIE: u32 = 0x330;
    /// Processors, 4 bytes (Windows 7 and later).
    pub const ACTIVE_PROCESSORS: u32 = 0x3c0;
}

impl SystemTime {
    /// Low half, 4 bytes.
    pub const LOW: u32 = 0x0;
    /// High half, 4 bytes.
    pub const HIGH1: u32 = 0x4;
    /// High half again, 4 bytes.
    pub const HIGH2: u32 = 0x8;
}
