//! The engine that executes guest code: Unicorn, unless this build was made without it.

use crate::failure::{Failure, VADOSE_FAILED};
use vadose_cpu::Vcpu;
use vadose_machine::Machine;

/// A processor for a machine.
#[cfg(feature = "unicorn")]
pub(crate) fn new(machine: &Machine) -> Result<Box<dyn Vcpu>, Failure> {
    let (phys, va) = machine.processor_page();
    let page = vadose_unicorn::ProcessorPage { phys, va };
    match vadose_unicorn::UnicornCpu::new(machine.cpu_mode(), machine.ram(), page) {
        Ok(cpu) => Ok(Box::new(cpu)),
        Err(error) => Err(Failure::new(VADOSE_FAILED, error.to_string())),
    }
}

/// Without an engine nothing runs.
#[cfg(not(feature = "unicorn"))]
pub(crate) fn new(_machine: &Machine) -> Result<Box<dyn Vcpu>, Failure> {
    let reason = "this build has no engine to run programs with; build it with `cargo build -p vadose --features unicorn`";
    Err(Failure::new(VADOSE_FAILED, reason))
}
