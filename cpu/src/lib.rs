//! Who executes a guest: the [`Vcpu`] trait, guest RAM, and a software MMU for everyone who is not a processor.
#![deny(unsafe_code)]

pub mod vcpu;

pub use vcpu::{
    CpuError, CpuException, CpuMode, Exit, FaultExit, FloatState, ProtectionCause, Registers, Segments,
    StopHandle, Vcpu,
};
