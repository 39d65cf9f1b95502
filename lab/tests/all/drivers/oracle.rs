//! Unicorn with its own page walk as the processor of a scenario: instructions over the memory manager's page tables.

#[path = "../../../../cpu/unicorn/tests/all/support/mod.rs"]
#[expect(dead_code, reason = "the oracle is a part of it")]
mod engine;

use crate::door::World;
use crate::door::mmu::{Instruction, Memory, Mmu, Refused, Touch};
use crate::door::world::SharedRam;
use engine::own_walk::{End, Ground, OwnWalk};
use engine::{AX, SI, SP, Tables};
use std::sync::Arc;
use unicorn_engine::RegisterX86;
use vadose_cpu::GuestRam;
use vadose_facts::addr::{PhysAddr, VirtAddr};
use vadose_facts::ntdef::{Bitness, Edition};
use vadose_facts::x86::{Access, PhysicalMemory, Privilege, Stale, probe};
use vadose_mm::ProcessId;

/// A page of the process for instructions and a return address.
const CODE: VirtAddr = VirtAddr::new(0x6fff_0000);
/// In that page: where a return leads, and where the return address is.
const AFTER_RETURN: u64 = 0x800;
const STACK: u64 = 0xf00;

/// A world whose memory is reached by instructions of the oracle.
pub(super) fn world(edition: &'static Edition, ram: Arc<GuestRam>) -> World {
    let field = OwnWalk::new(&Tables::new(edition.paging), Privilege::User).error_code;
    let oracle = Oracle { edition, ram: Arc::clone(&ram), error_code: field, engine: None };
    let mut world = World::with_mmu(edition.name, SharedRam::new(ram), Box::new(oracle));
    for step in [format!("alloc 1p xrw at @{:x}", CODE.raw()), "base @0".to_owned()] {
        assert_eq!(world.step(&step), "ok");
    }
    world
}

struct Oracle {
    edition: &'static Edition,
    ram: Arc<GuestRam>,
    error_code: usize,
    engine: Option<(ProcessId, OwnWalk)>,
}

/// Whether a touch goes through AX or through XMM0.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Through {
    Register,
    Vector,
}

impl Oracle {
    /// An engine on the tables of the process, with nothing remembered.
    fn engine(&mut self, memory: Memory<'_>) -> &mut OwnWalk {
        if self.engine.as_ref().is_none_or(|(process, _)| *process != memory.process) {
            let kernel = self.edition.system.processor;
            let found = probe(&*self.ram, memory.space, kernel).expect("the kernel's page for processors");
            let (ram, space, kernel_phys) = (Arc::clone(&self.ram), memory.space, found.phys);
            let ground = Ground { ram, space, kernel, kernel_phys };
            self.engine = Some((memory.process, OwnWalk::over(&ground, Privilege::User, self.error_code)));
        }
        let (_, engine) = self.engine.as_mut().expect("just made");
        engine.reset();
        engine
    }

    /// Puts bytes into the code page, once it is there.
    fn put(&self, memory: Memory<'_>, offset: u64, bytes: &[u8]) -> Result<(), Refused> {
        let found = probe(&*self.ram, memory.space, CODE).ok().filter(|found| found.permissions.write);
        let Some(found) = found else { return Err(Refused::Fault(CODE, Access::Write)) };
        self.ram.write_bytes(PhysAddr::new(found.phys.raw() + offset), bytes);
        Ok(())
    }

    /// The instruction that touches so many bytes at SI.
    fn code(&self, touch: Touch, bytes: usize) -> (&'static [u8], Through) {
        let is_64 = self.edition.bitness == Bitness::Bits64;
        match (touch, bytes) {
            (Touch::Load, 1) => (&[0x0f, 0xb6, 0x06], Through::Register),
            (Touch::Load, 2) => (&[0x0f, 0xb7, 0x06], Through::Register),
            (Touch::Load, 4) => (&[0x8b, 0x06], Through::Register),
            (Touch::Load, 8) if is_64 => (&[0x48, 0x8b, 0x06], Through::Register),
            (Touch::Load, 8) => (&[0xf3, 0x0f, 0x7e, 0x06], Through::Vector),
            (Touch::Load, 16) => (&[0x0f, 0x10, 0x06], Through::Vector),
            (Touch::Store, 1) => (&[0x88, 0x06], Through::Register),
            (Touch::Store, 2) => (&[0x66, 0x89, 0x06], Through::Register),
            (Touch::Store, 4) => (&[0x89, 0x06], Through::Register),
            (Touch::Store, 8) if is_64 => (&[0x48, 0x89, 0x06], Through::Register),
            (Touch::Store, 8) => (&[0x66, 0x0f, 0xd6, 0x06], Through::Vector),
            (Touch::Store, 16) => (&[0x0f, 0x11, 0x06], Through::Vector),
            (Touch::Increment, 1) => (&[0x80, 0x06, 0x01], Through::Register),
            (Touch::Increment, 2) => (&[0x66, 0x83, 0x06, 0x01], Through::Register),
            (Touch::Increment, 4) => (&[0x83, 0x06, 0x01], Through::Register),
            (Touch::Increment, 8) if is_64 => (&[0x48, 0x83, 0x06, 0x01], Through::Register),
            (touch, bytes) => panic!("no instruction for {touch:?} of {bytes} bytes"),
        }
    }

    /// Executes a byte of the guest's, which returns.
    fn execute(&mut self, memory: Memory<'_>, at: VirtAddr) -> Result<(), Refused> {
        let back = CODE.raw() + AFTER_RETURN;
        self.put(memory, STACK, &back.to_le_bytes())?;
        let engine = self.engine(memory);
        engine.set(SP, CODE.raw() + STACK);
        refused(engine.run(at.raw(), &[back]), Access::Execute)
    }
}

/// What an end of a run means. `wanted` is what the touch asks for: the oracle reads before it asks for a store, and
/// without no-execute a fetch looks like a read.
fn refused(end: End, wanted: Access) -> Result<(), Refused> {
    match end {
        End::Done => Ok(()),
        End::PageFault { cr2, .. } if cr2 & !0xfff == CODE.raw() && wanted != Access::Execute => {
            Err(Refused::Fault(VirtAddr::new(cr2), Access::Execute))
        }
        End::PageFault { cr2, .. } => Err(Refused::Fault(VirtAddr::new(cr2), wanted)),
        End::Vector(13) => Err(Refused::NotCanonical),
        End::Vector(vector) => panic!("vector {vector}"),
    }
}

impl Mmu for Oracle {
    fn touch(
        &mut self,
        memory: Memory<'_>,
        at: VirtAddr,
        touch: Touch,
        bytes: &mut [u8],
    ) -> Result<(), Refused> {
        if touch == Touch::Execute {
            return self.execute(memory, at);
        }
        let (code, through) = self.code(touch, bytes.len());
        self.put(memory, 0, &[code, &[0x90, 0x90]].concat())?;
        let mut value = [0; 16];
        value[..bytes.len()].copy_from_slice(bytes);
        let engine = self.engine(memory);
        engine.set(SI, at.raw());
        engine.set(AX, u64::from_le_bytes(value[..8].try_into().expect("eight bytes")));
        engine.uc.reg_write_long(RegisterX86::XMM0, &value).expect("writes");
        let end = engine.run(CODE.raw(), &[CODE.raw() + code.len() as u64]);
        refused(end, touch.access())?;
        if touch == Touch::Load {
            let found = match through {
                Through::Register => engine.get(AX).to_le_bytes().to_vec(),
                Through::Vector => engine.uc.reg_read_long(RegisterX86::XMM0).expect("reads").to_vec(),
            };
            bytes.copy_from_slice(&found[..bytes.len()]);
        }
        Ok(())
    }

    fn run(&mut self, memory: Memory<'_>, instruction: Instruction<'_>) -> Result<(), Refused> {
        let Instruction { code, registers } = instruction;
        self.put(memory, 0, &[code, &[0x90, 0x90]].concat())?;
        let engine = self.engine(memory);
        registers[SP] = CODE.raw() + STACK;
        for (index, value) in registers.iter().enumerate() {
            engine.set(index, *value);
        }
        let end = engine.run(CODE.raw(), &[CODE.raw() + code.len() as u64]);
        for (index, value) in registers.iter_mut().enumerate() {
            *value = engine.get(index);
        }
        let End::PageFault { code, .. } = end else { return refused(end, Access::Read) };
        refused(end, if code & 2 != 0 { Access::Write } else { Access::Read })
    }

    fn drop_stale(&mut self, _process: ProcessId, stale: Stale) {
        // It remembers nothing from one touch to the next.
        stale.nothing_cached();
    }

    fn forget_process(&mut self, process: ProcessId) {
        self.engine = self.engine.take().filter(|(loaded, _)| *loaded != process);
    }
}
