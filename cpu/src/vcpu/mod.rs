//! The processor as the rest of the machine sees it: load registers, run, learn why it stopped.

mod registers;
mod stop;

pub use registers::{FloatState, Registers, Segments};
pub use stop::{Kick, StopHandle};

use vadose_facts::addr::VirtAddr;
use vadose_facts::x86::{Access, AddressSpace, FaultCode, Stale};

/// What the processor decodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CpuMode {
    /// 32-bit protected mode.
    Bits32,
    /// 64-bit long mode.
    Bits64,
}

/// Why the processor stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// An access missed or was refused. Registers are as before the instruction, or, for a repeated string instruction,
    /// before the iteration: run again to retry it.
    Fault(FaultExit),
    /// The guest asked for a service by `syscall`, `sysenter` or `int 2e`; the instruction pointer is behind it.
    Service,
    /// Another exception of the processor.
    Exception(CpuException),
    /// The budget is used up or the stop handle was pulled; run again to go on.
    Interrupted,
}

/// An access that page tables do not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultExit {
    /// The exact byte: the first byte of the access that lies on the refused page (SPEC E1, E3).
    pub address: VirtAddr,
    /// What was tried.
    pub access: Access,
    /// The processor's error code.
    pub code: FaultCode,
}

/// An exception that is not a page fault. The instruction pointer is where the processor pushes it: at the instruction
/// for faults, behind it for `int3` and other software interrupts. Fail fast leaves it at its instruction, as Windows
/// reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpuException {
    /// #DE: division by zero, or a quotient that does not fit.
    Divide,
    /// #DB: single step or a debug register.
    Debug,
    /// #BP: `int3`.
    Breakpoint,
    /// #UD: an instruction the processor does not have.
    InvalidOpcode,
    /// #GP or #SS: a privileged instruction, a segment limit, or a non-canonical address (SPEC E4).
    GeneralProtection {
        /// Whether the cause was an address that is not canonical.
        cause: ProtectionCause,
    },
    /// #MF or #XM: an unmasked floating-point exception. Engines without hardware may never raise #XM.
    FloatingPoint,
    /// `int 29h`: the program asked to be ended at once. The code is in the count register.
    FastFail,
    /// Any other software interrupt or exception, by vector.
    Other {
        /// The vector.
        vector: u8,
    },
}

/// What a general-protection fault was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtectionCause {
    /// An address outside the canonical halves.
    NotCanonical,
    /// An instruction that ring 3 may not execute.
    PrivilegedInstruction,
    /// Anything else.
    Other,
}

/// One processor that runs ring-3 code over page tables in guest RAM.
///
/// The engine reads translations from the tables that [`Vcpu::set_address_space`] names, sets Accessed and Dirty as
/// hardware does, and knows nothing of who wrote them.
pub trait Vcpu {
    /// Runs until something happens. `budget` bounds the basic blocks executed, `None` for no bound; engines count
    /// blocks, so that the same program stops at the same place every time. A run may be interrupted early or late by
    /// the [`StopHandle`] only, and then between blocks: nothing is lost or done twice.
    ///
    /// # Errors
    ///
    /// [`CpuError`] if the engine itself fails; the guest cannot cause that.
    fn run(&mut self, budget: Option<u64>) -> Result<Exit, CpuError>;

    /// Switches to other page tables: the guest's CR3. Drops all cached translations.
    fn set_address_space(&mut self, space: AddressSpace);

    /// Drops what changed under the processor.
    fn drop_stale(&mut self, stale: Stale);

    /// Reads one general register: 0 to 15 in encoding order (AX, CX, DX, BX, SP, BP, SI, DI, R8 …).
    fn gpr(&self, index: usize) -> u64;
    /// Writes one general register.
    fn set_gpr(&mut self, index: usize, value: u64);
    /// The instruction pointer.
    fn ip(&self) -> VirtAddr;
    /// Sets the instruction pointer.
    fn set_ip(&mut self, ip: VirtAddr);

    /// Reads everything a context record holds.
    fn registers(&self) -> Registers;
    /// Loads everything a context record holds but selectors, which a ring-3 thread has no others of. Privileged and
    /// undefined flags are masked.
    fn set_registers(&mut self, registers: &Registers);

    /// Address of the thread's TEB: GS base in 64-bit mode, FS base in 32-bit mode.
    fn set_teb(&mut self, teb: VirtAddr);

    /// A handle that stops [`Vcpu::run`] from another thread.
    fn stop_handle(&self) -> StopHandle;

    /// The machine's deterministic clock: grows by one for each basic block executed, from the first run with a budget
    /// on, and by one for each run before that.
    fn blocks_executed(&self) -> u64;
}

/// The engine failed: a host problem or our own mistake, never the guest's.
#[derive(Debug, thiserror::Error)]
#[error("the CPU engine failed: {operation}: {reason}")]
pub struct CpuError {
    /// What was tried.
    pub operation: &'static str,
    /// What the engine said.
    pub reason: String,
}
