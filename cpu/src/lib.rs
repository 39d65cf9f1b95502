//! Who executes a guest: the [`Vcpu`] trait, guest RAM, and a software MMU for everyone who is not a processor.
#![deny(unsafe_code)]

pub mod ram;
pub mod tlb;
pub mod vcpu;

pub use ram::{FrameTransferError, GuestRam, RamError};
pub use tlb::{Interruption, Refusal, SoftMmu};
pub use vcpu::{
    CpuError, CpuException, CpuMode, Exit, FaultExit, FloatState, Kick, ProtectionCause, Registers, Segments,
    StopHandle, Vcpu,
};
