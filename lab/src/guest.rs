//! Runs a program on an edition inside this process and keeps all that it said.

use std::io::{self, Cursor, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use vadose_facts::ntdef::{AllocationPreference, Aslr, LargeAddressAware, edition};
use vadose_machine::host::{FolderHost, Streams};
use vadose_machine::page_file::PageFileSpec;
use vadose_machine::report::{AddressSpaceMap, RunReport};
use vadose_machine::trace::{Trace, TraceFormat};
use vadose_machine::{
    Compression, FailPlan, FragmentPattern, Machine, MachineError, MachineOptions, Privilege, ProgramOptions,
    Spacing, Sysroot, Unimplemented,
};
use vadose_unicorn::{ProcessorPage, UnicornCpu};

/// Guest RAM of a run: small, so that tests beside each other fit.
pub const RAM_BYTES: u64 = 256 << 20;

/// After this much of the host's time a run is stopped: nothing in the lab takes as long.
pub const TIME_LIMIT: Duration = Duration::from_secs(120);

/// A program and the machine it gets. Unless said otherwise, the folder that it is in is the guest's `C:\work`.
#[derive(Clone, Debug)]
pub struct Run {
    options: MachineOptions,
    input: Vec<u8>,
    time_limit: Duration,
}

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The machine's report.
    pub report: RunReport,
    /// What the program wrote to its standard output.
    pub output: String,
    /// What it wrote to its standard error.
    pub error: String,
}

/// Path of a sample guest's binary: `bits` is `x64` or `x86`.
pub fn sample(bits: &str, name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("guests/bin").join(bits).join(format!("{name}.exe"))
}

impl Run {
    /// A program of the host on an edition, with seed 0, nothing placed at random, no arguments and no input.
    ///
    /// # Panics
    ///
    /// If there is no edition of that name, or the path has no folder.
    pub fn new(program: &Path, edition_name: &str) -> Self {
        let options = MachineOptions {
            edition: edition(edition_name).expect("an edition of the table"),
            ram_bytes: RAM_BYTES,
            page_files: Vec::new(),
            compression: Compression::On,
            commit_limit_bytes: None,
            disk_limit_bytes: None,
            seed: 0,
            aslr: Aslr::Off,
            allocation: AllocationPreference::BottomUp,
            large_address_aware: None,
            fragment: None,
            failures: FailPlan::default(),
            privileges: Vec::new(),
            limits: Default::default(),
            program: program.to_owned(),
            arguments: Vec::new(),
            beside: Vec::new(),
            folder: program.parent().expect("a program is in a folder").to_owned(),
            writable: Vec::new(),
            sysroot: None,
        };
        Self { options, input: Vec::new(), time_limit: TIME_LIMIT }
    }

    /// With these arguments.
    #[must_use]
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        self.options.arguments = arguments.iter().map(|&one| one.to_owned()).collect();
        self
    }

    /// Together with a program of the same folder.
    #[must_use]
    pub fn beside(mut self, name: &str, arguments: &[&str]) -> Self {
        let folder = self.options.program.parent().expect("a program is in a folder");
        let arguments = arguments.iter().map(|&one| one.to_owned()).collect();
        self.options.beside.push(ProgramOptions { path: folder.join(name), arguments });
        self
    }

    /// With these bytes on standard input.
    #[must_use]
    pub fn input(mut self, input: &[u8]) -> Self {
        self.input = input.to_vec();
        self
    }

    /// Started in this folder of the host, which is its `C:\work`.
    #[must_use]
    pub fn folder(mut self, folder: &Path) -> Self {
        self.options.folder = folder.to_owned();
        self
    }

    /// Allowed to write into this folder of the host.
    #[must_use]
    pub fn writable(mut self, folder: &Path) -> Self {
        self.options.writable.push(folder.to_owned());
        self
    }

    /// On the unmodified system DLLs of this folder. A service that is not there is listed in the report.
    #[must_use]
    pub fn sysroot(mut self, folder: &Path) -> Self {
        self.options.sysroot =
            Some(Sysroot { folder: folder.to_owned(), unimplemented: Unimplemented::Answered });
        self
    }

    /// With another seed.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.options.seed = seed;
        self
    }

    /// With places drawn at random. Nothing is if nothing is said.
    #[must_use]
    pub fn aslr(mut self, aslr: Aslr) -> Self {
        self.options.aslr = aslr;
        self
    }

    /// With so many bytes of guest RAM.
    #[must_use]
    pub fn ram(mut self, bytes: u64) -> Self {
        self.options.ram_bytes = bytes;
        self
    }

    /// With one more page file.
    #[must_use]
    pub fn page_file(mut self, file: PageFileSpec) -> Self {
        self.options.page_files.push(file);
        self
    }

    /// With or without compression of modified pages, where the edition has it. It is on if nothing is said.
    #[must_use]
    pub fn compression(mut self, compression: Compression) -> Self {
        self.options.compression = compression;
        self
    }

    /// By an account that holds these privileges besides.
    #[must_use]
    pub fn privileges(mut self, privileges: &[Privilege]) -> Self {
        self.options.privileges = privileges.to_vec();
        self
    }

    /// With these failures: `alloc:3`, `commit:every=10`.
    ///
    /// # Panics
    ///
    /// If one is no rule.
    #[must_use]
    pub fn failing(mut self, rules: &[&str]) -> Self {
        let rule = |text: &&str| text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        self.options.failures = FailPlan::new(rules.iter().map(rule).collect());
        self
    }

    /// With no free range larger than this, and addresses above 2 GiB or not.
    #[must_use]
    pub fn in_pieces(mut self, largest_bytes: u64, awareness: LargeAddressAware) -> Self {
        self.options.fragment = Some(FragmentPattern { largest_bytes, spacing: Spacing::Even });
        self.options.large_address_aware = Some(awareness);
        self
    }

    /// On a machine with so much RAM and one page file of a fixed size.
    ///
    /// # Panics
    ///
    /// If the sizes are no whole pages.
    #[must_use]
    pub fn small_machine(mut self, ram_bytes: u64, page_file_bytes: u64) -> Self {
        let file = PageFileSpec::new(page_file_bytes, page_file_bytes, None).expect("whole pages");
        (self.options.ram_bytes, self.options.page_files) = (ram_bytes, vec![file]);
        self
    }

    /// Stopped after this much of the host's time.
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// Boots, loads, runs to the end; the records of the memory manager are audited before and after, and the machine
    /// is shut down.
    ///
    /// # Errors
    ///
    /// [`MachineError`] if the program cannot be loaded or the processor fails; what the program does is in the report.
    ///
    /// # Panics
    ///
    /// If the memory manager's records disagree.
    pub fn finish(self) -> Result<Outcome, MachineError> {
        self.start()?.finish()
    }

    /// The same, with all that happened as a trace.
    ///
    /// # Errors
    ///
    /// As [`finish`](Self::finish).
    ///
    /// # Panics
    ///
    /// As [`finish`](Self::finish).
    pub fn finish_traced(self, format: TraceFormat) -> Result<(Outcome, String), MachineError> {
        let bytes = Capture::default();
        let trace = Trace::new(Box::new(bytes.clone()), format);
        let outcome = self.start_with(Some(trace))?.finish()?;
        Ok((outcome, bytes.text()))
    }

    /// Boots and loads, and runs no instruction yet.
    ///
    /// # Errors
    ///
    /// As [`finish`](Self::finish).
    pub fn start(self) -> Result<Started, MachineError> {
        self.start_with(None)
    }

    fn start_with(self, trace: Option<Trace>) -> Result<Started, MachineError> {
        let (output, error) = (Capture::default(), Capture::default());
        let streams = Streams {
            input: Box::new(Cursor::new(self.input)),
            output: Box::new(output.clone()),
            error: Box::new(error.clone()),
        };
        let host = FolderHost::new(&self.options, streams)?;
        let machine = match trace {
            Some(trace) => Machine::load_traced(&self.options, host, trace)?,
            None => Machine::load(&self.options, host)?,
        };
        let (phys, va) = machine.processor_page();
        let cpu = UnicornCpu::new(machine.cpu_mode(), machine.ram(), ProcessorPage { phys, va })?;
        Ok(Started { machine, cpu, output, error, time_limit: self.time_limit })
    }

    /// The address space with the program and its DLLs in place; DLLs that are missing are listed.
    ///
    /// # Errors
    ///
    /// [`MachineError`] if the program cannot be loaded.
    pub fn list(self) -> Result<AddressSpaceMap, MachineError> {
        let nowhere = || Box::new(io::sink());
        let streams = Streams { input: Box::new(io::empty()), output: nowhere(), error: nowhere() };
        let host = FolderHost::new(&self.options, streams)?;
        Ok(Machine::load_for_listing(&self.options, host)?.map())
    }
}

/// A machine with its program in place.
pub struct Started {
    machine: Machine,
    cpu: UnicornCpu,
    output: Capture,
    error: Capture,
    time_limit: Duration,
}

impl Started {
    /// The machine.
    pub const fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Machine and processor, to run the program in another way.
    pub fn into_parts(self) -> (Machine, UnicornCpu) {
        (self.machine, self.cpu)
    }

    /// Runs the program to its end, and shuts the machine down.
    ///
    /// # Errors
    ///
    /// [`MachineError`] if the processor fails.
    ///
    /// # Panics
    ///
    /// If the memory manager's records disagree, or the process leaves something behind.
    pub fn finish(mut self) -> Result<Outcome, MachineError> {
        self.machine.audit().expect("the records agree before the run");
        let report = self.machine.run(&mut self.cpu, Some(self.time_limit))?;
        self.machine.end_trace().expect("memory takes everything");
        self.machine.audit().expect("the records agree after the run");
        self.machine.shut_down().unwrap_or_else(|left| panic!("{left}"));
        Ok(Outcome { report, output: self.output.text(), error: self.error.text() })
    }
}

/// A stream that keeps what is written to it.
#[derive(Clone, Debug, Default)]
struct Capture(Arc<Mutex<Vec<u8>>>);

impl Capture {
    fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Write for Capture {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(from);
        Ok(from.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
