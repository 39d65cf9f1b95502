//! What somebody is told who watches programs from outside: debug texts, and faults before the program hears of them.

use crate::kernel::{Kernel, Nt};
use vadose_cpu::Vcpu;
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::NtStatus;

/// Most characters of a debug text that are kept.
const MAX_TEXT: usize = 4096;

/// What becomes of a fault that a program is to hear of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FaultDelivery {
    /// Its handlers run.
    #[default]
    AtOnce,
    /// It is held until somebody has looked.
    Held,
}

/// A fault that its program has not heard of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldFault {
    /// The exception that it becomes.
    pub status: NtStatus,
    /// The exception's parameters.
    pub parameters: Vec<u64>,
    /// Address of the instruction.
    pub address: VirtAddr,
}

/// What is watched, and what was seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watch {
    delivery: FaultDelivery,
    held: Option<HeldFault>,
    text: Option<DebugText>,
}

/// A debug text, and the process that wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DebugText {
    /// The process.
    pub pid: u32,
    /// The text.
    pub text: String,
}

impl Nt {
    /// Says what becomes of access violations and in-page errors from now on.
    pub fn set_fault_delivery(&mut self, delivery: FaultDelivery) {
        self.watch.delivery = delivery;
    }

    /// The fault that is held, if one is: its thread is in the processor and must not run before it was
    /// [delivered](Kernel::deliver_held_fault).
    pub fn held_fault(&self) -> Option<&HeldFault> {
        self.watch.held.as_ref()
    }

    /// The last debug text since this was asked before (`OutputDebugStringA` and `W`).
    pub fn take_debug_text(&mut self) -> Option<DebugText> {
        self.watch.text.take()
    }

    pub(crate) fn note_debug_text(&mut self, text: String) {
        let text = text.chars().take(MAX_TEXT).collect();
        self.watch.text = Some(DebugText { pid: self.process().pid, text });
    }

    /// Whether an exception is held instead of being delivered.
    pub(crate) fn holds(&mut self, status: NtStatus, parameters: &[u64], address: VirtAddr) -> bool {
        let is_fault = status == NtStatus::ACCESS_VIOLATION || status == NtStatus::IN_PAGE_ERROR;
        let hold = is_fault && self.watch.delivery == FaultDelivery::Held;
        if hold {
            assert!(self.watch.held.is_none(), "a program stands still at its fault");
            self.watch.held = Some(HeldFault { status, parameters: parameters.to_vec(), address });
        }
        hold
    }
}

impl Kernel<'_> {
    /// Delivers the fault that is held, if one is: its program hears of it now.
    pub fn deliver_held_fault(&mut self, cpu: &mut dyn Vcpu) {
        let Some(held) = self.nt.watch.held.take() else { return };
        self.nt.set_fault_delivery(FaultDelivery::AtOnce);
        self.raise(cpu, held.status, &held.parameters, held.address);
    }
}
