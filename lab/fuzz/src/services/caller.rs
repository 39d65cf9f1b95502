//! A processor that runs no instruction: it makes the calls of a script as a program would, in whatever thread it is
//! given.

use super::argument::{Desk, Value};
use super::script::{Choice, Script, Step};
use std::collections::BTreeMap;
use std::sync::Arc;
use vadose_cpu::ram::GuestRam;
use vadose_cpu::{
    CpuError, CpuException, Exit, ProtectionCause, Refusal, Registers, SoftMmu, StopHandle, Vcpu,
};
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::Bitness;
use vadose_facts::x86::{Access, AddressSpace, Privilege, Stale};
use vadose_nt::{Arg, Number};

/// Where the system-call instruction is that all calls are made with: nothing looks at its bytes.
const CALL_AT: u64 = 0x40_1000;
/// Its bytes.
const CALL_BYTES: u64 = 2;
/// Where the stack ends and arguments begin, in a thread's page.
const STACK_AT: u64 = 0x200;
/// Times that a step is tried again after a fault.
const MOST_TRIES: u32 = 8;
/// Runs after which every process is ended: a call may set the thread to make it again, for ever.
const MOST_RUNS: u64 = 3000;

const AX: usize = 0;
const DX: usize = 2;
const SP: usize = 4;

/// Addresses of the guest that arguments are made of.
pub(super) struct Landmarks {
    pub(super) places: Vec<u64>,
    pub(super) bitness: Bitness,
}

/// The processor.
pub(super) struct Caller<'a> {
    ram: Arc<GuestRam>,
    mmu: Option<SoftMmu<Arc<GuestRam>>>,
    registers: Registers,
    teb: VirtAddr,
    landmarks: Landmarks,
    script: Script<'a>,
    /// A step that met a fault, and how often.
    again: Option<(Step, u32)>,
    /// The upper ends of threads' stacks, as they were when a thread first ran.
    stacks: BTreeMap<VirtAddr, u64>,
    runs: u64,
    stop: StopHandle,
}

/// Why a step is not done.
enum Halt {
    Fault(Refusal),
    /// It was tried often enough.
    Hopeless,
}

impl From<Refusal> for Halt {
    fn from(refusal: Refusal) -> Self {
        Self::Fault(refusal)
    }
}

impl<'a> Caller<'a> {
    /// A processor over this RAM.
    pub(super) fn new(ram: Arc<GuestRam>, landmarks: Landmarks, script: Script<'a>) -> Self {
        Self {
            ram,
            mmu: None,
            registers: Registers::default(),
            teb: VirtAddr::new(0),
            landmarks,
            script,
            again: None,
            stacks: BTreeMap::new(),
            runs: 0,
            stop: StopHandle::default(),
        }
    }

    /// What the program does now.
    fn step(&mut self) -> Exit {
        if self.registers.ip == CALL_AT {
            return self.enter_kernel();
        }
        let next = self.again.take().or_else(|| Some((self.script.next()?, 0)));
        let Some((step, tries)) = next else { return Exit::Exception(CpuException::FastFail) };
        let done = match &step {
            Step::Call { number, arguments, stack } => self.call(*number, arguments, *stack, tries),
            Step::Touch { access, at } => self.touch(*access, *at, tries),
            Step::Exception(number) => Ok(exception(*number)),
        };
        match done {
            Ok(exit) => exit,
            Err(Halt::Hopeless) => Exit::Interrupted,
            Err(Halt::Fault(refusal)) => {
                self.again = Some((step, tries + 1));
                match refusal {
                    Refusal::Fault(fault) => Exit::Fault(fault),
                    Refusal::NotCanonical { .. } => Exit::Exception(CpuException::GeneralProtection {
                        cause: ProtectionCause::NotCanonical,
                    }),
                }
            }
        }
    }

    /// Puts number and arguments where the calling convention has them.
    fn call(
        &mut self,
        number: Number,
        arguments: &[Choice],
        stack: Option<Choice>,
        tries: u32,
    ) -> Result<Exit, Halt> {
        let page = self.page(tries)?;
        let mut values = Vec::with_capacity(arguments.len());
        let mut words = vec![CALL_AT];
        for (index, choice) in arguments.iter().enumerate() {
            let value = self.argument(page, index, *choice, tries)?;
            values.push(value);
            words.push(value);
            if choice.arg == Arg::U64 && self.landmarks.bitness == Bitness::Bits32 {
                words.push(value >> 32);
            }
        }
        let claimed = stack.map(|choice| self.argument(page, 0, choice, tries)).transpose()?;
        let stack = page + STACK_AT;
        let width = self.desk(page).word();
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()[..width].to_vec()).collect();
        self.store(stack, &bytes, tries)?;
        self.load_registers(number, &values, claimed.unwrap_or(stack));
        Ok(self.enter_kernel())
    }

    fn load_registers(&mut self, number: Number, values: &[u64], stack: u64) {
        let value = |index: usize| values.get(index).copied().unwrap_or(stack);
        let gpr = &mut self.registers.gpr;
        (gpr[AX], gpr[SP]) = (u64::from(number.raw()), stack);
        match self.landmarks.bitness {
            Bitness::Bits32 => gpr[DX] = stack.wrapping_add(4) & 0xffff_ffff,
            Bitness::Bits64 => (gpr[10], gpr[DX], gpr[8], gpr[9]) = (value(0), value(1), value(2), value(3)),
        }
    }

    fn enter_kernel(&mut self) -> Exit {
        self.registers.ip = CALL_AT + CALL_BYTES;
        Exit::Service
    }

    fn touch(&mut self, access: Access, at: Choice, tries: u32) -> Result<Exit, Halt> {
        let page = self.page(tries)?;
        let address = VirtAddr::new(self.argument(page, 0, at, tries)? & self.reach());
        if tries >= MOST_TRIES {
            return Err(Halt::Hopeless);
        }
        self.mmu().translate(address, access, Privilege::User)?;
        Ok(Exit::Interrupted)
    }

    /// An argument's value; what it points at is in the guest then.
    fn argument(&mut self, page: u64, index: usize, choice: Choice, tries: u32) -> Result<u64, Halt> {
        let made = self.desk(page).make(index, choice);
        for (at, bytes) in made.writes {
            self.store(at, &bytes, tries)?;
        }
        match made.value {
            Value::Is(value) => Ok(value),
            Value::Of(cell) => self.word(cell, tries),
        }
    }

    fn desk(&self, page: u64) -> Desk<'_> {
        Desk { page, bitness: self.landmarks.bitness, places: &self.landmarks.places }
    }

    /// The page at the top of the thread's stack.
    fn page(&mut self, tries: u32) -> Result<u64, Halt> {
        if let Some(end) = self.stacks.get(&self.teb) {
            return Ok(*end);
        }
        let width = self.desk(0).word();
        let page =
            self.word(self.teb.raw() + width as u64, tries)?.wrapping_sub(0x1000) & self.reach() & !0xfff;
        self.stacks.insert(self.teb, page);
        Ok(page)
    }

    /// A pointer-sized variable of the guest. What cannot be read after some tries is 0.
    fn word(&self, at: u64, tries: u32) -> Result<u64, Halt> {
        let mut bytes = [0; 8];
        let width = self.desk(0).word();
        if tries < MOST_TRIES {
            self.mmu().load(VirtAddr::new(at), &mut bytes[..width], Privilege::User)?;
        }
        Ok(u64::from_le_bytes(bytes))
    }

    /// Writes to the guest. What cannot be written after some tries is left out: the call is made with what is there.
    fn store(&self, at: u64, bytes: &[u8], tries: u32) -> Result<(), Halt> {
        if tries < MOST_TRIES {
            self.mmu().store(VirtAddr::new(at), bytes, Privilege::User)?;
        }
        Ok(())
    }

    fn mmu(&self) -> &SoftMmu<Arc<GuestRam>> {
        self.mmu.as_ref().expect("the machine sets an address space first")
    }

    /// The bits that an address has.
    const fn reach(&self) -> u64 {
        match self.landmarks.bitness {
            Bitness::Bits32 => 0xffff_ffff,
            Bitness::Bits64 => u64::MAX,
        }
    }
}

/// One of the exceptions that a program can run into, but for the one that ends it.
fn exception(number: u8) -> Exit {
    match number % 8 {
        0 => Exit::Exception(CpuException::Divide),
        1 => Exit::Exception(CpuException::Debug),
        2 => Exit::Exception(CpuException::Breakpoint),
        3 => Exit::Exception(CpuException::InvalidOpcode),
        4 => {
            Exit::Exception(CpuException::GeneralProtection { cause: ProtectionCause::PrivilegedInstruction })
        }
        5 => Exit::Exception(CpuException::FloatingPoint),
        6 => Exit::Exception(CpuException::Other { vector: number }),
        _ => Exit::Interrupted,
    }
}

impl Vcpu for Caller<'_> {
    fn run(&mut self, _: Option<u64>) -> Result<Exit, CpuError> {
        self.runs += 1;
        if self.stop.take() {
            return Ok(Exit::Interrupted);
        }
        Ok(if self.runs > MOST_RUNS { Exit::Exception(CpuException::FastFail) } else { self.step() })
    }

    fn set_address_space(&mut self, space: AddressSpace) {
        match &mut self.mmu {
            Some(mmu) => mmu.set_address_space(space),
            None => self.mmu = Some(SoftMmu::new(Arc::clone(&self.ram), space)),
        }
    }

    fn drop_stale(&mut self, stale: Stale) {
        match &self.mmu {
            Some(_) => self.mmu.iter_mut().for_each(|mmu| mmu.drop_stale(&stale)),
            None => stale.nothing_cached(),
        }
    }

    fn gpr(&self, index: usize) -> u64 {
        self.registers.gpr[index] & self.reach()
    }

    fn set_gpr(&mut self, index: usize, value: u64) {
        self.registers.gpr[index] = value & self.reach();
    }

    fn ip(&self) -> VirtAddr {
        VirtAddr::new(self.registers.ip & self.reach())
    }

    fn set_ip(&mut self, ip: VirtAddr) {
        self.registers.ip = ip.raw() & self.reach();
    }

    fn registers(&self) -> Registers {
        let mut registers = self.registers.clone();
        let reach = self.reach();
        registers.gpr.iter_mut().for_each(|value| *value &= reach);
        registers.ip &= reach;
        registers
    }

    fn set_registers(&mut self, registers: &Registers) {
        let segments = self.registers.segments;
        self.registers = Registers { segments, ..registers.clone() };
    }

    fn set_teb(&mut self, teb: VirtAddr) {
        self.teb = teb;
    }

    fn stop_handle(&self) -> StopHandle {
        self.stop.clone()
    }

    fn blocks_executed(&self) -> u64 {
        self.runs
    }
}
