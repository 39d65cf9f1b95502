//! How the steps of a scenario reach memory: through a processor of the tests, or one that somebody else brings.

use super::processor::Processor;
use super::world::SharedRam;
use vadose_facts::addr::VirtAddr;
use vadose_facts::x86::{Access, AddressSpace, Miss, Stale};
use vadose_mm::ProcessId;

/// What a touch does to its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Touch {
    Load,
    Store,
    /// Adds one, as a number with its lowest byte first.
    Increment,
    Execute,
}

impl Touch {
    /// What it asks of the page.
    pub(crate) const fn access(self) -> Access {
        match self {
            Self::Load => Access::Read,
            Self::Store | Self::Increment => Access::Write,
            Self::Execute => Access::Execute,
        }
    }
}

/// Where a touch happens: RAM, and the tables of the process.
#[derive(Clone, Copy)]
pub(crate) struct Memory<'a> {
    pub(crate) ram: &'a SharedRam,
    pub(crate) process: ProcessId,
    pub(crate) space: AddressSpace,
}

/// Why a touch did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// A page fault at this byte.
    Fault(VirtAddr, Access),
    /// An address between the halves.
    NotCanonical,
}

/// An instruction with registers, for those who execute: AX, CX, DX, BX, SP, BP, SI, DI.
#[allow(dead_code, reason = "the lab's engine executes it, these tests' own processor goes by the touches")]
pub(crate) struct Instruction<'a> {
    pub(crate) code: &'a [u8],
    pub(crate) registers: &'a mut [u64; 8],
}

/// A processor as the scenarios use it. It may remember translations until it is told.
pub(crate) trait Mmu {
    /// Touches all the bytes as one instruction does, or names the byte that is refused and touches none.
    fn touch(
        &mut self,
        memory: Memory<'_>,
        at: VirtAddr,
        touch: Touch,
        bytes: &mut [u8],
    ) -> Result<(), Refused>;

    /// Executes one instruction; nobody does unless they say so.
    fn run(&mut self, _memory: Memory<'_>, _instruction: Instruction<'_>) -> Result<(), Refused> {
        panic!("this driver executes nothing")
    }

    /// Drops what a change made wrong.
    fn drop_stale(&mut self, process: ProcessId, stale: Stale);

    /// A process is gone.
    fn forget_process(&mut self, process: ProcessId);
}

/// Adds one to a number with its lowest byte first.
pub(crate) fn increment(bytes: &mut [u8]) {
    for byte in bytes {
        *byte = byte.wrapping_add(1);
        if *byte != 0 {
            return;
        }
    }
}

impl Mmu for Processor {
    fn touch(
        &mut self,
        memory: Memory<'_>,
        at: VirtAddr,
        touch: Touch,
        bytes: &mut [u8],
    ) -> Result<(), Refused> {
        let Memory { ram, process, space } = memory;
        let place = |index: usize| at.checked_add(index as u64).ok_or(Refused::NotCanonical);
        let mut places = Vec::new();
        for index in 0..bytes.len() {
            let byte = place(index)?;
            // Every page is asked before any byte moves.
            let found =
                self.translate(ram, process, space, byte, touch.access()).map_err(|miss| match miss {
                    Miss::PageFault(_) => Refused::Fault(byte, touch.access()),
                    Miss::NotCanonical => Refused::NotCanonical,
                })?;
            places.push(found);
        }
        let read = |own: &mut Self, bytes: &mut [u8]| {
            for (place, byte) in places.iter().zip(bytes) {
                *byte = own.byte(ram, *place, None);
            }
        };
        match touch {
            Touch::Load => read(self, bytes),
            Touch::Increment => {
                read(self, bytes);
                increment(bytes);
            }
            Touch::Store | Touch::Execute => {}
        }
        if touch.access() == Access::Write {
            for (place, byte) in places.iter().zip(bytes) {
                self.byte(ram, *place, Some(*byte));
            }
        }
        Ok(())
    }

    fn drop_stale(&mut self, process: ProcessId, stale: Stale) {
        Self::drop_stale(self, process, stale);
    }

    fn forget_process(&mut self, process: ProcessId) {
        Self::forget_process(self, process);
    }
}
