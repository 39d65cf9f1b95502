//! The machine: memory manager, NT and host booted with one program loaded, and the loop that runs it.

use crate::breakpoint::{BreakAt, Stop};
use crate::endings::{Ended, Left};
use crate::error::MachineError;
use crate::host::FolderHost;
use crate::map;
use crate::options::MachineOptions;
use crate::paging::HostPages;
use crate::report::{AddressSpaceMap, MapMissing, Refused, RunEnding, RunReport};
use crate::shut_down::Usage;
use crate::summary;
use crate::trace::{Cause, Levels, Names, Trace};
use crate::watchdog::Watchdog;
use std::sync::Arc;
use std::time::Duration;
use vadose_cpu::ram::GuestRam;
use vadose_cpu::{CpuException, CpuMode, Exit, FaultExit, ProtectionCause, Vcpu};
use vadose_facts::addr::{PAGE_BYTES, PhysAddr, VirtAddr};
use vadose_facts::ntdef::{Bitness, NtStatus};
use vadose_mm::{Compression, ExceptionParameters, FaultRequest, Mm, MmConfig, Tracing};
use vadose_nt::{
    Crash, Ending, GuestPath, Host as _, Kernel, Lenience, LoadError, Memory as _, MissingDll, Moment, Nt,
    NtConfig, Number, PagedMm, Settled, StartOptions, Turn,
};

/// Units of virtual time in a microsecond.
const UNITS_PER_MICROSECOND: u64 = Moment::PER_MILLISECOND / 1_000;

/// A booted machine with its program in place and no instruction run.
pub struct Machine {
    pub(crate) mm: PagedMm<Arc<GuestRam>, HostPages>,
    pub(crate) nt: Nt,
    pub(crate) host: FolderHost,
    missing: Vec<MissingDll>,
    fast_fails: u64,
    trace: Option<Trace>,
    /// Ids of the processes that the machine was made for, in order.
    pub(crate) programs: Vec<u32>,
    /// What became of processes that have ended while others went on.
    pub(crate) ended: Ended,
    /// What was in use before there was a process.
    pub(crate) booted: Usage,
    /// Whether the processor has begun.
    pub(crate) entered: bool,
}

/// The exception code and parameters that a processor exception becomes.
struct Exception {
    status: NtStatus,
    parameters: Vec<u64>,
}

impl Machine {
    /// Boots the edition and loads the program with its DLLs.
    ///
    /// # Errors
    ///
    /// [`MachineError`]: RAM too small, a file that is no program, DLLs that are missing.
    pub fn load(options: &MachineOptions, host: FolderHost) -> Result<Self, MachineError> {
        Self::boot(options, host, Lenience::Strict, None)
    }

    /// The same with a trace of all that happens from the start: [`end_trace`](Self::end_trace) ends it.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn load_traced(
        options: &MachineOptions,
        host: FolderHost,
        trace: Trace,
    ) -> Result<Self, MachineError> {
        Self::boot(options, host, Lenience::Strict, Some(trace))
    }

    /// The same for looking only: DLLs that are missing are listed in the [map](Self::map).
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load), but for missing DLLs.
    pub fn load_for_listing(options: &MachineOptions, host: FolderHost) -> Result<Self, MachineError> {
        Self::boot(options, host, Lenience::ListMissing, None)
    }

    fn boot(
        options: &MachineOptions,
        host: FolderHost,
        lenience: Lenience,
        trace: Option<Trace>,
    ) -> Result<Self, MachineError> {
        let bytes = options.ram_bytes;
        let ram = GuestRam::new(bytes / PAGE_BYTES)
            .map_err(|refusal| MachineError::HostMemory { bytes, reason: refusal.to_string() })?;
        let ram = Arc::new(ram);
        let config = MmConfig {
            edition: options.edition,
            page_file_bytes: 0,
            commit_limit_bytes: options.commit_limit_bytes,
            seed: options.seed,
            aslr: options.aslr,
        };
        let mut mm = Mm::new(config, Arc::clone(&ram))?;
        if options.compression == Compression::On && options.edition.has_memory_compression() {
            mm.start_compression();
        }
        for file in &options.page_files {
            let number = mm.add_page_file(file.initial_bytes(), file.maximum_bytes());
            number.map_err(vadose_mm::StartError::from)?;
        }
        mm.set_allocation_preference(options.allocation);
        mm.set_tracing(if trace.is_some() { Tracing::On } else { Tracing::Off });
        let pages = HostPages::create(&options.page_files, ram)?;
        let mm = PagedMm::new(mm, pages);
        let mut nt = Nt::new(NtConfig { edition: options.edition, seed: options.seed });
        options.privileges.iter().for_each(|privilege| nt.grant(*privilege));
        nt.set_limits(options.limits);
        let booted = Usage::of(&mm, &host);
        let mut machine = Self {
            mm,
            nt,
            host,
            missing: Vec::new(),
            fast_fails: 0,
            booted,
            trace,
            programs: Vec::new(),
            ended: Ended::default(),
            entered: false,
        };
        if let Some(sysroot) = &options.sysroot {
            machine.kernel().use_system_dlls(sysroot.unimplemented).map_err(explain)?;
        }
        let arguments = std::iter::once(&options.arguments);
        let arguments = arguments.chain(options.beside.iter().map(|program| &program.arguments));
        for (program, arguments) in machine.host.program_paths().to_vec().into_iter().zip(arguments) {
            machine.start(program, arguments, options, lenience)?;
        }
        if let Some(pattern) = options.fragment {
            machine.kernel().fragment(pattern, options.seed)?;
        }
        machine.kernel().order_failures(options.failures.clone());
        machine.record(Cause::Loading);
        Ok(machine)
    }

    /// Starts one of the programs that the machine is made for.
    fn start(
        &mut self,
        program: GuestPath,
        arguments: &[String],
        options: &MachineOptions,
        lenience: Lenience,
    ) -> Result<(), MachineError> {
        let start = StartOptions {
            command_line: command_line(&program.to_string(), arguments),
            program,
            current_directory: self.host.working_folder().clone(),
            environment: environment(),
            lenience,
            large_address_aware: options.large_address_aware,
            parent: None,
        };
        let loaded = self.kernel().start(&start).map_err(explain)?;
        self.missing.extend(loaded.missing_dlls);
        self.programs.push(loaded.pid);
        Ok(())
    }

    pub(crate) fn kernel(&mut self) -> Kernel<'_> {
        Kernel { nt: &mut self.nt, mm: &mut self.mm, host: &mut self.host }
    }

    /// Processes, threads and their objects.
    pub fn nt(&self) -> &Nt {
        &self.nt
    }

    /// What the processor must decode.
    pub fn cpu_mode(&self) -> CpuMode {
        match self.mm.edition().bitness {
            Bitness::Bits32 => CpuMode::Bits32,
            Bitness::Bits64 => CpuMode::Bits64,
        }
    }

    /// Guest RAM, for the processor.
    pub fn ram(&self) -> Arc<GuestRam> {
        Arc::clone(Mm::ram(&self.mm))
    }

    /// A page of the kernel for the processor's own tables: its place in RAM and its kernel address.
    pub fn processor_page(&self) -> (PhysAddr, VirtAddr) {
        let (frame, va) = self.mm.processor_page();
        (frame.base(), va)
    }

    /// The address space as it is now.
    pub fn map(&mut self) -> AddressSpaceMap {
        self.kernel().see_images();
        let missing = self.missing.iter().map(missing_entry).collect();
        let process = self.nt.process();
        let last = self.mm.user_limit(process.id).raw();
        let regions = self.mm.regions(process.id);
        AddressSpaceMap { missing, ..map::draw(&regions, last, process) }
    }

    /// Proves that the memory manager's records agree.
    ///
    /// # Errors
    ///
    /// [`vadose_mm::AuditError`] names the disagreement.
    pub fn audit(&self) -> Result<(), vadose_mm::AuditError> {
        self.mm.audit()
    }

    /// Runs the program to its end, or to a limit of the host's time.
    ///
    /// # Errors
    ///
    /// [`MachineError`] if the processor itself fails; whatever the program does is a [`RunEnding`].
    pub fn run(
        &mut self,
        cpu: &mut dyn Vcpu,
        time_limit: Option<Duration>,
    ) -> Result<RunReport, MachineError> {
        match self.run_until(cpu, time_limit, &BreakAt::Exit)? {
            Stop::Ended(report) => Ok(*report),
            other => unreachable!("a run to the end stops at the end: {other:?}"),
        }
    }

    /// The same to a place where it stops to be looked at. Run again, with the same processor, it goes on from there.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn run_until(
        &mut self,
        cpu: &mut dyn Vcpu,
        time_limit: Option<Duration>,
        stop: &BreakAt,
    ) -> Result<Stop, MachineError> {
        let watchdog = Watchdog::start(cpu.stop_handle(), time_limit);
        self.resume(cpu, stop);
        loop {
            self.kernel().write_file_pages();
            self.drop_stale(cpu);
            if self.end_processes() == Left::None {
                return Ok(Stop::Ended(Box::new(self.final_report(None))));
            }
            if let Some(stopped) = self.stopped(stop) {
                return Ok(stopped);
            }
            let turn = self.kernel().schedule(cpu);
            self.drop_stale(cpu);
            match turn {
                Turn::Run(slice) => {
                    self.record(Cause::Other);
                    let cause = self.run_slice(cpu, slice)?;
                    self.record(cause);
                }
                Turn::Idle | Turn::Ended => {}
            }
            if watchdog.has_expired() {
                self.kernel().write_mapped_files();
                return Ok(Stop::Ended(Box::new(self.final_report(Some(RunEnding::TimedOut)))));
            }
        }
    }

    fn drop_stale(&mut self, cpu: &mut dyn Vcpu) {
        cpu.drop_stale(self.nt.take_stale());
        cpu.drop_stale(self.mm.take_paging_stale());
    }

    /// Runs the thread in the processor until something happens, and does what that asks for.
    fn run_slice(&mut self, cpu: &mut dyn Vcpu, slice: Option<u64>) -> Result<Cause, MachineError> {
        let exit = cpu.run(slice)?;
        let cause = if exit == Exit::Service { self.called(cpu) } else { Cause::Other };
        match exit {
            Exit::Fault(fault) => self.fault(cpu, fault),
            Exit::Service => self.kernel().service(cpu),
            Exit::Exception(exception) => self.exception(cpu, exception),
            Exit::Interrupted => {}
        }
        Ok(cause)
    }

    /// The function that the processor stopped at.
    fn called(&self, cpu: &dyn Vcpu) -> Cause {
        let name = self.nt.service_name(Number::new(cpu.gpr(0) as u32));
        name.map_or(Cause::Other, Cause::Call)
    }

    /// Writes what happened since the last time to the trace, if there is one.
    fn record(&mut self, cause: Cause) {
        let Some(trace) = &mut self.trace else { return };
        let events = self.mm.take_trace();
        if events.is_empty() {
            return;
        }
        let since_boot = self.nt.time().units().saturating_sub(self.host.boot_time().units());
        let names = Names::new(&self.nt, since_boot / UNITS_PER_MICROSECOND);
        let process = self.mm.process_counters(self.nt.process().id);
        trace.record(&events, cause, &names, &Levels { system: self.mm.counters(), process });
    }

    /// Ends the trace, if there is one.
    ///
    /// # Errors
    ///
    /// Why it could not be written. It ends where that happened; the run does not.
    pub fn end_trace(&mut self) -> std::io::Result<()> {
        self.record(Cause::Other);
        self.trace.take().map_or(Ok(()), Trace::finish)
    }

    /// The report of the process that the kernel is at work in.
    pub(crate) fn report(&mut self, ending: RunEnding) -> RunReport {
        let map = self.map();
        let process = self.nt.process();
        let faults = self.mm.process_counters(process.id).faults;
        RunReport {
            edition: self.mm.edition().name,
            program: process.image_path.to_string(),
            ending,
            activity: summary::activity(
                &faults,
                self.nt.exceptions() + self.fast_fails,
                self.nt.service_calls(),
            ),
            memory: summary::memory(&self.mm, process, self.mm.device().traffic()),
            shortage: summary::shortage(&self.nt, self.mm.orders()),
            map,
            others: Vec::new(),
            unimplemented: Vec::new(),
            refused: Refused::default(),
        }
    }

    fn fault(&mut self, cpu: &mut dyn Vcpu, fault: FaultExit) {
        let guarded = self.mm.is_guarded(self.nt.process().id, fault.address);
        let stack = if guarded { self.kernel().thread_stack() } else { None };
        let request = FaultRequest { address: fault.address, access: fault.access, stack };
        match self.kernel().fault(cpu, request) {
            Settled::Resolved => {}
            Settled::Raised(raised) => {
                let status = raised.status;
                self.raise(cpu, &Exception { status, parameters: raised.parameters.as_slice().to_vec() });
            }
        }
    }

    fn raise(&mut self, cpu: &mut dyn Vcpu, exception: &Exception) {
        let at = cpu.ip();
        self.kernel().raise(cpu, exception.status, &exception.parameters, at);
    }

    fn exception(&mut self, cpu: &mut dyn Vcpu, exception: CpuException) {
        let known = self.known_exception(exception);
        match exception {
            CpuException::FastFail => {
                self.fast_fails += 1;
                let parameters = ExceptionParameters::one(cpu.gpr(1) & u64::from(u32::MAX));
                self.nt.end(Ending::Crash(Crash { status: known.status, address: cpu.ip(), parameters }));
            }
            CpuException::Breakpoint => {
                let at = cpu.ip().checked_sub(1).unwrap_or(cpu.ip());
                cpu.set_ip(at);
                let breakpoint = self.breakpoint(cpu);
                self.raise(cpu, &breakpoint);
            }
            CpuException::Divide
            | CpuException::Debug
            | CpuException::InvalidOpcode
            | CpuException::GeneralProtection { .. }
            | CpuException::FloatingPoint
            | CpuException::Other { .. } => self.raise(cpu, &known),
        }
    }

    /// A breakpoint tells what kind it is, 0 for a plain one; 32-bit kernels add ECX and EDX, for the kinds that take
    /// arguments (`KiTrap03` as ReactOS documents it).
    fn breakpoint(&self, cpu: &dyn Vcpu) -> Exception {
        let (cx, dx) = (cpu.gpr(1), cpu.gpr(2));
        let parameters = match self.mm.edition().bitness {
            Bitness::Bits32 => vec![0, cx, dx],
            Bitness::Bits64 => vec![0],
        };
        Exception { status: NtStatus::BREAKPOINT, parameters }
    }

    fn known_exception(&self, exception: CpuException) -> Exception {
        let plain = |status| Exception { status, parameters: Vec::new() };
        match exception {
            CpuException::Divide => plain(NtStatus::INTEGER_DIVIDE_BY_ZERO),
            CpuException::Debug => plain(NtStatus::SINGLE_STEP),
            CpuException::Breakpoint => plain(NtStatus::BREAKPOINT),
            CpuException::InvalidOpcode => plain(NtStatus::ILLEGAL_INSTRUCTION),
            CpuException::GeneralProtection { cause } => self.protection(cause),
            CpuException::FloatingPoint => plain(NtStatus::FLOAT_INVALID_OPERATION),
            CpuException::FastFail => plain(NtStatus::STACK_BUFFER_OVERRUN),
            CpuException::Other { .. } => self.protection(ProtectionCause::Other),
        }
    }

    /// A general-protection fault is a privileged instruction, or an access violation that does not know its address
    /// (SPEC E4).
    fn protection(&self, cause: ProtectionCause) -> Exception {
        let unknown = match self.mm.edition().bitness {
            Bitness::Bits32 => u64::from(u32::MAX),
            Bitness::Bits64 => u64::MAX,
        };
        match cause {
            ProtectionCause::PrivilegedInstruction => {
                Exception { status: NtStatus::PRIVILEGED_INSTRUCTION, parameters: Vec::new() }
            }
            ProtectionCause::NotCanonical | ProtectionCause::Other => {
                Exception { status: NtStatus::ACCESS_VIOLATION, parameters: vec![0, unknown] }
            }
        }
    }
}

/// The program's name and its arguments as one line, quoted as the C runtimes of Windows split it again.
fn command_line(program: &str, arguments: &[String]) -> String {
    let mut line = format!("\"{program}\"");
    for argument in arguments {
        line.push(' ');
        quote(&mut line, argument);
    }
    line
}

/// Backslashes are literal but before a quote, where each must be doubled.
fn quote(line: &mut String, argument: &str) {
    let plain = !argument.is_empty() && !argument.contains([' ', '\t', '\n', '\x0b', '"']);
    if plain {
        line.push_str(argument);
        return;
    }
    line.push('"');
    let mut backslashes = 0;
    for character in argument.chars() {
        if character == '\\' {
            backslashes += 1;
            continue;
        }
        let doubled = if character == '"' { backslashes * 2 + 1 } else { backslashes };
        line.extend(std::iter::repeat_n('\\', doubled));
        backslashes = 0;
        line.push(character);
    }
    line.extend(std::iter::repeat_n('\\', backslashes * 2));
    line.push('"');
}

/// The environment of every guest: the same on every host.
fn environment() -> Vec<(String, String)> {
    let variables = [
        ("ComSpec", r"C:\Windows\System32\cmd.exe"),
        ("NUMBER_OF_PROCESSORS", "1"),
        ("OS", "Windows_NT"),
        ("Path", r"C:\Windows\System32;C:\Windows"),
        ("PATHEXT", ".COM;.EXE;.BAT;.CMD"),
        ("SystemDrive", "C:"),
        ("SystemRoot", r"C:\Windows"),
        ("TEMP", r"C:\work"),
        ("TMP", r"C:\work"),
        ("windir", r"C:\Windows"),
    ];
    variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn missing_entry(dll: &MissingDll) -> MapMissing {
    MapMissing { dll: dll.name.clone(), needed_by: dll.wanted_by.clone() }
}

fn explain(error: LoadError) -> MachineError {
    let not_runnable =
        |name: &str, reason: String| MachineError::NotRunnable { name: name.to_owned(), reason };
    match &error {
        LoadError::MissingDlls(missing) => {
            MachineError::MissingDlls(missing.iter().map(missing_entry).collect())
        }
        LoadError::Memory { what, status } => {
            MachineError::Start { what: format!("getting memory for {what}"), status: *status }
        }
        LoadError::Unreadable { path, status } => not_runnable(path, format!("it cannot be read: {status}")),
        LoadError::NotRunnable { path, error } => not_runnable(path, error.to_string()),
        LoadError::WrongMachine { path, machine, edition, needed } => {
            not_runnable(path, format!("it is for {machine}, and {edition} runs {needed}"))
        }
        LoadError::IsDll { path } => not_runnable(path, "it is a DLL, not a program".to_owned()),
        LoadError::MissingExport { dll, name, wanted_by } => {
            not_runnable(wanted_by, format!("it needs {name}, which {dll} does not have"))
        }
        LoadError::TooManyImages { path, limit } => {
            not_runnable(path, format!("it needs more than {limit} images"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_survive_the_c_runtimes_splitting() {
        let line = |arguments: &[&str]| {
            let owned: Vec<String> = arguments.iter().map(|one| (*one).to_owned()).collect();
            command_line("a.exe", &owned)
        };
        assert_eq!(line(&["plain", r"C:\x\"]), r#""a.exe" plain C:\x\"#);
        assert_eq!(line(&["two words", ""]), r#""a.exe" "two words" """#);
        assert_eq!(line(&[r#"say "hi""#]), r#""a.exe" "say \"hi\"""#);
        assert_eq!(line(&[r"ends in \ ", r#"\""#]), r#""a.exe" "ends in \ " "\\\"""#);
        assert_eq!(line(&[r"a b\"]), r#""a.exe" "a b\\""#);
    }
}
