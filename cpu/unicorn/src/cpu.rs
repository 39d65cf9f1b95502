//! The engine as a [`Vcpu`]: runs ring-3 code and turns every way a run can end into an [`Exit`].

use crate::code_cache::CodeFrames;
use crate::descriptors::{self, ProcessorPage};
use crate::engine::{Engine, check};
use crate::exception::{self, Verdict};
use crate::hooks::{self, Event, HookState, Phase, Refused, RefusedFill, page_of};
use crate::instruction::{self, Decoded};
use crate::{block_exits, double_fault, register_file};
use iced_x86::InstructionInfoFactory;
use std::ptr::NonNull;
use std::sync::Arc;
use unicorn_engine::{RegisterX86, uc_error};
use vadose_cpu::{
    CpuError, CpuException, CpuMode, Exit, FaultExit, GuestRam, ProtectionCause, Registers, StopHandle, Vcpu,
};
use vadose_facts::addr::{Pfn, VirtAddr};
use vadose_facts::x86::{Access, AddressSpace, FaultCode, Miss, PhysicalMemory, Stale, StaleTranslations};

/// One processor run by Unicorn. Its translations come from our walk over the tables in guest RAM.
pub struct UnicornCpu {
    engine: Engine,
    state: HooksBox,
    mode: CpuMode,
    ip: VirtAddr,
    teb: VirtAddr,
    stop: StopHandle,
    factory: InstructionInfoFactory,
    counting: Counting,
    /// Runs begun while blocks were not counted.
    uncounted_runs: u64,
}

/// Whether the block counter is installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counting {
    /// No run had a budget yet.
    Off,
    /// A run had one: every block is counted from then on.
    On,
}

/// The callbacks' state: allocated once, reached by raw pointer, freed after the engine.
struct HooksBox(NonNull<HookState>);

// SAFETY: the state belongs to one processor and holds nothing tied to a thread.
unsafe impl Send for HooksBox {}

impl HooksBox {
    fn get(&self) -> &HookState {
        // SAFETY: alive while `self` is; no Unicorn call runs while a shared reference is out, because calls that run
        // callbacks are made without one.
        unsafe { self.0.as_ref() }
    }

    fn get_mut(&mut self) -> &mut HookState {
        // SAFETY: as in `get`, and exclusive by `&mut self`.
        unsafe { self.0.as_mut() }
    }
}

impl Drop for HooksBox {
    fn drop(&mut self) {
        // SAFETY: made by `Box::into_raw` in `new` and freed once.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// Runs of the engine that one [`Vcpu::run`] may need without an exit: a straddling instruction takes two.
const RESTARTS_MAX: u32 = 1 << 20;

impl UnicornCpu {
    /// A processor at ring 3 with no page tables yet. `page` is a frame of its own for descriptors.
    ///
    /// # Errors
    ///
    /// [`CpuError`] if Unicorn refuses, or is not the build this crate knows.
    ///
    /// # Panics
    ///
    /// If `page` is not page-aligned or not in `ram`.
    pub fn new(mode: CpuMode, ram: Arc<GuestRam>, page: ProcessorPage) -> Result<Self, CpuError> {
        assert!(page.va.page_offset() == 0 && page.phys.frame_offset() == 0, "the processor page is a page");
        double_fault::field()?;
        let frames = ram.frames();
        let state = HooksBox(NonNull::from(Box::leak(Box::new(HookState {
            mode,
            ram: Arc::clone(&ram),
            space: None,
            page,
            phase: Phase::ProcessorPage,
            refused: None,
            event: None,
            code_frames: CodeFrames::new(frames),
            blocks: 0,
            block_limit: u64::MAX,
            before_port_access: None,
            time_stamp: 0,
        }))));
        let mut engine = Engine::open(mode)?;
        // SAFETY: the state holds the RAM and is dropped after the engine: fields drop in order of declaration.
        unsafe { engine.map_ram(&ram)? };
        engine.use_virtual_tlb()?;
        engine.use_exit_list()?;
        block_exits::leave_between_blocks_only(&mut engine)?;
        // SAFETY: the state outlives the engine, and references to it never span a Unicorn call.
        unsafe { hooks::install(engine.handle(), state.0)? };
        descriptors::enter_ring_3(&mut engine, state.0)?;
        let stop = StopHandle::default();
        stop.attach(Box::new(engine.kicker()));
        let mut cpu = Self {
            engine,
            state,
            mode,
            ip: VirtAddr::new(0),
            teb: VirtAddr::new(0),
            stop,
            factory: InstructionInfoFactory::new(),
            counting: Counting::Off,
            uncounted_runs: 0,
        };
        cpu.state.get_mut().phase = Phase::Guest;
        cpu.set_registers(&Registers::default());
        Ok(cpu)
    }

    fn start_counting(&mut self) -> Result<(), CpuError> {
        if self.counting == Counting::On {
            return Ok(());
        }
        // SAFETY: as for `install` in `new`.
        unsafe { hooks::install_block_counter(self.engine.handle(), self.state.0)? };
        // Code translated before does not call the counter.
        self.engine.flush_code();
        self.counting = Counting::On;
        Ok(())
    }

    fn set_budget(&mut self, budget: Option<u64>) -> Result<(), CpuError> {
        if budget.is_some() {
            self.start_counting()?;
        }
        if self.counting == Counting::Off {
            self.uncounted_runs += 1;
        }
        let state = self.state.get_mut();
        state.block_limit = budget.map_or(u64::MAX, |blocks| state.blocks.saturating_add(blocks));
        Ok(())
    }

    fn run_to_exit(&mut self) -> Result<Exit, CpuError> {
        for _ in 0..RESTARTS_MAX {
            if self.stop.take() || self.state.get().is_out_of_blocks() {
                return Ok(Exit::Interrupted);
            }
            if let Some(exit) = self.run_once()? {
                return Ok(exit);
            }
        }
        Err(CpuError { operation: "run", reason: format!("no progress at {:?}", self.ip) })
    }

    /// One run of the engine. `None` if it ended for a reason of ours.
    fn run_once(&mut self) -> Result<Option<Exit>, CpuError> {
        let state = self.state.get_mut();
        (state.refused, state.event) = (None, None);
        let result = self.engine.start(self.ip.raw());
        self.ip = VirtAddr::new(self.engine.read(register_file::instruction_pointer(self.mode)));
        if let Some(event) = self.state.get_mut().event.take() {
            return self.stopped_by(event).map(Some);
        }
        match result {
            uc_error::OK => Ok(None),
            uc_error::EXCEPTION => self.refused(),
            uc_error::INSN_INVALID => {
                let (exception, step) = exception::invalid(self.instruction());
                self.ip = VirtAddr::new(self.ip.raw().wrapping_add(step));
                Ok(Some(Exit::Exception(exception)))
            }
            other => check("run", other).map(|()| None),
        }
    }

    fn stopped_by(&mut self, event: Event) -> Result<Exit, CpuError> {
        match event {
            Event::SystemCall => {
                if self.mode == CpuMode::Bits64 {
                    // What the instruction does to these two registers.
                    self.set_gpr(CX, self.ip.raw());
                    let flags = self.engine.read(RegisterX86::EFLAGS);
                    self.set_gpr(R11, flags);
                }
                Ok(Exit::Service)
            }
            Event::PortAccess => {
                let state = self.state.get_mut();
                state.phase = Phase::Guest;
                let before = state.before_port_access.take().ok_or_else(|| CpuError {
                    operation: "refuse a port access",
                    reason: "the state before it was not saved".into(),
                })?;
                self.engine.restore(&before)?;
                self.ip = VirtAddr::new(self.engine.read(register_file::instruction_pointer(self.mode)));
                let cause = ProtectionCause::PrivilegedInstruction;
                Ok(Exit::Exception(CpuException::GeneralProtection { cause }))
            }
            Event::Interrupt(vector) => {
                if double_fault::lingers(vector) {
                    double_fault::clear(&mut self.engine)?;
                }
                let Verdict { exit, step_back } = exception::judge(self.mode, vector, self.instruction());
                self.ip = VirtAddr::new(self.ip.raw().wrapping_sub(step_back));
                Ok(exit)
            }
        }
    }

    /// A fill was refused: tells the exact byte, or runs on to the instruction that needs it.
    fn refused(&mut self) -> Result<Option<Exit>, CpuError> {
        let state = self.state.get();
        let Some(RefusedFill { page, access, cause }) = state.refused else {
            return Err(CpuError { operation: "run", reason: "an exception without a refused fill".into() });
        };
        let miss = match cause {
            Refused::Miss(miss) => miss,
            Refused::BeyondRam(phys) => {
                let reason = format!("page tables map {page:?} to {phys:?}, past the end of guest RAM");
                return Err(CpuError { operation: "translate", reason });
            }
            Refused::NoAddressSpace => {
                return Err(CpuError { operation: "run", reason: "no page tables are set".into() });
            }
        };
        if access == Access::Execute {
            return self.refused_fetch(page, miss);
        }
        Ok(Some(self.refused_data(page, access, miss)))
    }

    fn refused_data(&mut self, page: VirtAddr, access: Access, miss: Miss) -> Exit {
        let Miss::PageFault(code) = miss else { return self.not_canonical() };
        let Some(decoded) = self.instruction() else {
            return Exit::Fault(FaultExit { address: page, access, code });
        };
        let registers = register_file::BetweenRuns { engine: &self.engine, mode: self.mode, teb: self.teb };
        let bytes = decoded.refused_bytes(&registers, &mut self.factory, page, access);
        if bytes.access == access {
            return Exit::Fault(FaultExit { address: bytes.address, access, code });
        }
        let state = self.state.get();
        let below = state.space.and_then(|space| bytes.read_only_below(&state.ram, space));
        let present = if below.is_some() { FaultCode::PRESENT } else { FaultCode::empty() };
        let address = below.unwrap_or(bytes.address);
        Exit::Fault(FaultExit { address, access: bytes.access, code: code | FaultCode::WRITE | present })
    }

    fn refused_fetch(&mut self, page: VirtAddr, miss: Miss) -> Result<Option<Exit>, CpuError> {
        let state = self.state.get();
        let space = state.space.expect("a refused fetch has page tables");
        if page_of(self.ip) != page {
            // A block of straight code runs into the page. What comes before in it must happen first.
            let edge = instruction::first_to_touch(&state.ram, space, self.mode, self.ip, page);
            if let Some(edge) = edge.filter(|edge| *edge != self.ip) {
                return self.run_to(edge);
            }
        }
        let Miss::PageFault(code) = miss else { return Ok(Some(self.not_canonical())) };
        // The instruction's own byte, or the first byte of the page that it runs into (SPEC E3).
        let address = self.ip.max(page);
        Ok(Some(Exit::Fault(FaultExit { address, access: Access::Execute, code })))
    }

    /// Runs straight code up to `edge`, short of a page that cannot be fetched.
    fn run_to(&mut self, edge: VirtAddr) -> Result<Option<Exit>, CpuError> {
        // A block translated before, with the page in it, would ask for the page again.
        self.engine.remove_code(self.ip.raw(), 1);
        self.engine.set_exit(Some(edge.raw()));
        let from = self.ip;
        let result = self.run_once();
        self.engine.set_exit(None);
        match result? {
            None if self.ip == from && !self.stop.is_requested() => Err(CpuError {
                operation: "run to the end of a page",
                reason: format!("no progress from {from:?} to {edge:?}"),
            }),
            exit => Ok(exit),
        }
    }

    fn not_canonical(&self) -> Exit {
        let cause = match self.mode {
            CpuMode::Bits64 => ProtectionCause::NotCanonical,
            // Past 4 GiB: a segment limit.
            CpuMode::Bits32 => ProtectionCause::Other,
        };
        Exit::Exception(CpuException::GeneralProtection { cause })
    }

    fn instruction(&self) -> Option<Decoded> {
        let state = self.state.get();
        instruction::decode(&state.ram, state.space?, self.mode, self.ip)
    }

    /// Drops translated code of frames that someone else rewrote.
    fn drop_code(&mut self, frames: &[Pfn]) -> Dropped {
        let mut dropped = Dropped::Nothing;
        for pfn in frames {
            if self.state.get_mut().code_frames.clear(*pfn) {
                self.drop_code_of(*pfn);
                dropped = Dropped::Something;
            }
        }
        dropped
    }

    fn drop_code_of(&mut self, pfn: Pfn) {
        // Unicorn finds a frame only through an address, so an address is made to stand for it for a moment.
        self.engine.flush_tlb();
        let state = self.state.get_mut();
        let window = state.page.va;
        state.phase = Phase::Window(pfn.base());
        self.engine.remove_code(window.raw(), vadose_facts::addr::PAGE_BYTES);
        self.state.get_mut().phase = Phase::Guest;
    }
}

/// Whether translated code went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dropped {
    Nothing,
    Something,
}

const CX: usize = 1;
const R11: usize = 11;

impl Vcpu for UnicornCpu {
    fn run(&mut self, budget: Option<u64>) -> Result<Exit, CpuError> {
        self.set_budget(budget)?;
        self.stop.enter();
        let result = self.run_to_exit();
        self.stop.leave();
        result
    }

    fn set_address_space(&mut self, space: AddressSpace) {
        self.state.get_mut().space = Some(space);
        self.engine.flush_tlb();
    }

    fn drop_stale(&mut self, stale: Stale) {
        let code = self.drop_code(stale.frames());
        let translations = match stale.translations() {
            StaleTranslations::None => Dropped::Nothing,
            StaleTranslations::Page(_) | StaleTranslations::All => Dropped::Something,
        };
        if code == Dropped::Something || translations == Dropped::Something {
            self.engine.flush_tlb();
        }
    }

    fn gpr(&self, index: usize) -> u64 {
        self.engine.read(register_file::gpr(self.mode, index))
    }

    fn set_gpr(&mut self, index: usize, value: u64) {
        self.engine
            .write(register_file::gpr(self.mode, index), value)
            .expect("a general register can be written");
    }

    fn ip(&self) -> VirtAddr {
        self.ip
    }

    fn set_ip(&mut self, ip: VirtAddr) {
        self.ip = ip;
    }

    fn registers(&self) -> Registers {
        register_file::read_all(&self.engine, self.mode, self.ip.raw())
    }

    fn set_registers(&mut self, registers: &Registers) {
        self.ip = VirtAddr::new(registers.ip);
        register_file::write_all(&mut self.engine, self.mode, registers).expect("registers can be written");
    }

    fn set_teb(&mut self, teb: VirtAddr) {
        self.teb = teb;
        descriptors::load_teb(&mut self.engine, self.state.0, teb).expect("the TEB's segment can be loaded");
    }

    fn stop_handle(&self) -> StopHandle {
        self.stop.clone()
    }

    fn blocks_executed(&self) -> u64 {
        self.state.get().blocks + self.uncounted_runs
    }
}

impl Drop for UnicornCpu {
    fn drop(&mut self) {
        self.stop.detach();
    }
}
