//! One service call under way: typed arguments, the kernel behind it, and how its result reaches the guest.

use super::export::{Arg, Style};
use super::table::Service;
use crate::claim::{BadPointer, UserPtr};
use crate::executive::Handle;
use crate::kernel::Kernel;
use std::ops::{Deref, DerefMut};
use vadose_cpu::{Registers, Vcpu};
use vadose_facts::ntdef::{Bitness, NtStatus, Win32Error};

/// Bytes of `syscall` and of `int 2e`.
pub(crate) const SYSTEM_CALL_BYTES: u64 = 2;
/// Arguments that a service takes at most.
const MAX_SLOTS: usize = 24;

/// Why a service failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A status; Win32 functions translate it.
    Status(NtStatus),
    /// A Win32 error; native services never use it.
    Error(Win32Error),
    /// A guest pointer that could not be used.
    Pointer(BadPointer),
}

/// What a handler answers: the value for the guest, or why not.
pub type Answer = Result<u64, Failure>;

/// What happens after the handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The result is stored in the result register and the guest goes on behind the call.
    Return,
    /// The handler loaded the registers itself; nothing is stored.
    Loaded,
    /// The thread is off the processor; its registers are saved.
    Parked,
}

/// One call. Derefs to [`Kernel`], whose methods read and write guest memory.
pub struct Call<'a> {
    kernel: Kernel<'a>,
    /// The processor, stopped behind the system-call instruction.
    pub cpu: &'a mut dyn Vcpu,
    service: Service,
    values: [u64; MAX_SLOTS],
    next: Next,
}

impl From<NtStatus> for Failure {
    fn from(status: NtStatus) -> Self {
        Self::Status(status)
    }
}

impl From<Win32Error> for Failure {
    fn from(error: Win32Error) -> Self {
        Self::Error(error)
    }
}

impl From<BadPointer> for Failure {
    fn from(bad: BadPointer) -> Self {
        Self::Pointer(bad)
    }
}

impl Failure {
    /// The failure as a status. Win32 errors have none of their own.
    pub fn status(self) -> NtStatus {
        match self {
            Self::Status(status) => status,
            Self::Pointer(bad) => bad.status,
            Self::Error(_) => NtStatus::UNSUCCESSFUL,
        }
    }

    /// The failure as a Win32 error.
    pub fn error(self) -> Win32Error {
        match self {
            Self::Error(error) => error,
            Self::Status(status) => Win32Error::from(status),
            Self::Pointer(bad) => Win32Error::from(bad.status),
        }
    }
}

impl<'a> Deref for Call<'a> {
    type Target = Kernel<'a>;

    fn deref(&self) -> &Kernel<'a> {
        &self.kernel
    }
}

impl<'a> DerefMut for Call<'a> {
    fn deref_mut(&mut self) -> &mut Kernel<'a> {
        &mut self.kernel
    }
}

impl<'a> Call<'a> {
    /// Fetches the arguments of a call.
    pub(crate) fn new(
        kernel: Kernel<'a>,
        cpu: &'a mut dyn Vcpu,
        service: Service,
    ) -> Result<Self, (Kernel<'a>, &'a mut dyn Vcpu, BadPointer)> {
        let mut call = Self { kernel, cpu, service, values: [0; MAX_SLOTS], next: Next::Return };
        match call.fetch() {
            Ok(()) => Ok(call),
            Err(bad) => Err((call.kernel, call.cpu, bad)),
        }
    }

    fn fetch(&mut self) -> Result<(), BadPointer> {
        match self.kernel.nt.edition.bitness {
            Bitness::Bits32 => self.fetch32(),
            Bitness::Bits64 => self.fetch64(),
        }
    }

    /// x86: EDX points at the first argument (`int 2e`).
    fn fetch32(&mut self) -> Result<(), BadPointer> {
        let args = self.service.export.args;
        let slots = self.service.export.slots(Bitness::Bits32);
        assert!(slots <= MAX_SLOTS, "{} has too many arguments", self.service.export.name);
        let mut raw = [0; MAX_SLOTS * 4];
        let raw = &mut raw[..slots * 4];
        self.kernel.read(UserPtr::new(self.cpu.gpr(DX) & u64::from(u32::MAX)), raw)?;
        let mut words =
            raw.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
        let mut word = || u64::from(words.next().expect("a slot for each argument"));
        for (value, arg) in self.values.iter_mut().zip(args) {
            let low = word();
            *value = match arg {
                Arg::Word | Arg::U32 => low,
                Arg::U64 => low | word() << 32,
            };
        }
        Ok(())
    }

    /// x64: R10, RDX, R8, R9, then the stack above the return address and the four home slots.
    fn fetch64(&mut self) -> Result<(), BadPointer> {
        let args = self.service.export.args;
        assert!(args.len() <= MAX_SLOTS, "{} has too many arguments", self.service.export.name);
        let in_registers = [self.cpu.gpr(10), self.cpu.gpr(DX), self.cpu.gpr(8), self.cpu.gpr(9)];
        self.values[..4].copy_from_slice(&in_registers);
        if args.len() > 4 {
            let mut raw = [0; MAX_SLOTS * 8];
            let raw = &mut raw[..(args.len() - 4) * 8];
            self.kernel.read(UserPtr::new(self.cpu.gpr(SP)).offset(0x28), raw)?;
            for (value, bytes) in self.values[4..].iter_mut().zip(raw.chunks_exact(8)) {
                *value = u64::from_le_bytes(bytes.try_into().expect("chunks of eight"));
            }
        }
        for (value, arg) in self.values.iter_mut().zip(args) {
            if *arg == Arg::U32 {
                *value &= u64::from(u32::MAX);
            }
        }
        Ok(())
    }

    /// Argument `index` as a number, whatever its kind.
    ///
    /// # Panics
    ///
    /// If the declaration has no such argument.
    pub fn arg(&self, index: usize) -> u64 {
        assert!(index < self.service.export.args.len(), "{} has no argument {index}", self.name());
        self.values[index]
    }

    /// Argument `index`, declared [`Arg::U32`].
    pub fn u32(&self, index: usize) -> u32 {
        self.arg(index) as u32
    }

    /// Argument `index`, declared [`Arg::U32`], as a signed number.
    pub fn i32(&self, index: usize) -> i32 {
        self.u32(index) as i32
    }

    /// Argument `index`, declared [`Arg::Word`], as a pointer.
    pub fn ptr(&self, index: usize) -> UserPtr {
        UserPtr::new(self.arg(index))
    }

    /// Argument `index`, declared [`Arg::Word`], as a handle.
    pub fn handle(&self, index: usize) -> Handle {
        Handle::from_guest(self.arg(index), self.nt.edition.bitness)
    }

    /// Argument `index` of a function with a variable number of arguments, counted from the first and read from where
    /// the caller put it. Each takes one slot of a pointer's size.
    ///
    /// # Errors
    ///
    /// [`BadPointer`] if the stack cannot be read.
    pub fn variable(&mut self, index: usize) -> Result<u64, BadPointer> {
        let (base, bytes) = match self.nt.edition.bitness {
            Bitness::Bits32 => (self.cpu.gpr(DX), 4),
            Bitness::Bits64 if index < 4 => return Ok(self.values[index]),
            Bitness::Bits64 => (self.cpu.gpr(SP).wrapping_add(8), 8),
        };
        self.read_word(UserPtr::new(base).offset(index as u64 * bytes))
    }

    /// How many arguments the function has.
    pub fn argument_count(&self) -> usize {
        self.service.export.args.len()
    }

    /// The function's name.
    pub fn name(&self) -> &'static str {
        self.service.export.name
    }

    /// Says that the handler loaded the registers itself: nothing is returned.
    pub fn registers_loaded(&mut self) {
        self.next = Next::Loaded;
    }

    /// Says that the thread no longer runs: it waits, or has ended.
    pub(crate) fn registers_parked(&mut self) {
        self.next = Next::Parked;
    }

    /// The address that the call returns to.
    ///
    /// # Errors
    ///
    /// [`BadPointer`] if the stack cannot be read.
    pub fn return_address(&mut self) -> Result<u64, BadPointer> {
        let at = self.cpu.gpr(SP);
        self.read_word(UserPtr::new(at))
    }

    /// Runs the handler and stores its result.
    pub(crate) fn serve(mut self) {
        let answer = (self.service.handler)(&mut self);
        match self.next {
            Next::Return => {
                self.forget_retry();
                self.finish(answer);
            }
            Next::Loaded => self.forget_retry(),
            Next::Parked => {}
        }
    }

    /// A call that blocked and ran again is over.
    fn forget_retry(&mut self) {
        if let Some(thread) = self.kernel.nt.threads.current_mut() {
            thread.resumed = None;
        }
    }

    fn finish(&mut self, answer: Answer) {
        let value = match (self.service.style, answer) {
            (_, Ok(value)) => value,
            (Style::Native, Err(failure)) => u64::from(failure.status().raw()),
            (Style::Library { .. }, Err(Failure::Pointer(bad))) => return self.raise_at_caller(bad),
            (Style::System { failure: value } | Style::Library { failure: value }, Err(failure)) => {
                self.kernel.set_last_error(failure.error());
                value
            }
        };
        store_result(self.cpu, self.kernel.nt.edition.bitness, value);
    }

    /// The exception that user-mode code would have run into. The instruction is the system call itself, with its
    /// registers as they were, so that a handler that repairs the page has the whole call tried again.
    fn raise_at_caller(&mut self, bad: BadPointer) {
        let behind = self.cpu.ip();
        let address =
            behind.checked_sub(SYSTEM_CALL_BYTES).expect("the processor ran an instruction before it");
        self.kernel.raise(self.cpu, bad.status, bad.parameters.as_slice(), address);
    }

    /// The kernel and the processor at once.
    pub(crate) fn split(&mut self) -> (&mut Kernel<'a>, &mut dyn Vcpu) {
        (&mut self.kernel, self.cpu)
    }
}

/// Register numbers in encoding order.
pub(crate) const AX: usize = 0;
pub(crate) const DX: usize = 2;
pub(crate) const SP: usize = 4;

/// RAX, or EDX:EAX, of a thread that is not in the processor.
pub(crate) fn set_result(registers: &mut Registers, bitness: Bitness, value: u64) {
    match bitness {
        Bitness::Bits64 => registers.gpr[AX] = value,
        Bitness::Bits32 => {
            registers.gpr[AX] = value & u64::from(u32::MAX);
            registers.gpr[DX] = value >> 32;
        }
    }
}

/// RAX, or EDX:EAX.
pub(crate) fn store_result(cpu: &mut dyn Vcpu, bitness: Bitness, value: u64) {
    match bitness {
        Bitness::Bits64 => cpu.set_gpr(AX, value),
        Bitness::Bits32 => {
            cpu.set_gpr(AX, value & u64::from(u32::MAX));
            cpu.set_gpr(DX, value >> 32);
        }
    }
}
