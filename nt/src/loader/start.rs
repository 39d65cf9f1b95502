//! Starts a process, from the program's file to the registers of its first instruction.

use super::blocks::FIRST_PID;
use super::error::{LoadError, MissingDll};
use super::exports::Wanted;
use crate::executive::{HandleTable, Initialisers, Pool, Process};
use crate::kernel::Kernel;
use crate::path::GuestPath;
use vadose_cpu::Vcpu;
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::{Bitness, LargeAddressAware};
use vadose_facts::pe::FileCharacteristics;

/// What a process is started with.
#[derive(Clone, Debug)]
pub struct StartOptions {
    /// The program's path.
    pub program: GuestPath,
    /// The command line, program name included.
    pub command_line: String,
    /// The current folder.
    pub current_directory: GuestPath,
    /// Environment variables, sorted by name.
    pub environment: Vec<(String, String)>,
    /// Whether missing DLLs stop the start.
    pub lenience: Lenience,
    /// `IMAGE_FILE_LARGE_ADDRESS_AWARE`: `None` for the program's own header bit.
    pub large_address_aware: Option<LargeAddressAware>,
}

/// What happens when a DLL is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lenience {
    /// The start fails, naming all of them.
    Strict,
    /// They are listed, and the rest is mapped.
    ListMissing,
}

/// A started process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// DLLs that were not found: empty unless lenient.
    pub missing_dlls: Vec<MissingDll>,
}

/// Flags of a new thread: interrupts enabled, and the bit that is always set.
const INITIAL_FLAGS: u64 = 0x202;

impl Kernel<'_> {
    /// Makes the process: everything is in its place when this returns, and no instruction has run.
    ///
    /// # Errors
    ///
    /// [`LoadError`], with the file's name.
    pub fn start(&mut self, options: &StartOptions) -> Result<Loaded, LoadError> {
        let (file, image) = self.read_program(&options.program, options.lenience)?;
        let own = image.characteristics().contains(FileCharacteristics::LARGE_ADDRESS_AWARE);
        let own = if own { LargeAddressAware::Yes } else { LargeAddressAware::No };
        let aware = options.large_address_aware.unwrap_or(own);
        let id = self.mm.create_process(aware).map_err(|status| LoadError::memory("the process", status))?;
        self.nt.user_limit = self.mm.user_limit(id);
        self.nt.set_process(new_process(id, options));
        self.fill_shared_data();
        self.make_environment_blocks()?;
        self.make_parameters(options)?;
        self.make_stack(image.stack())?;
        self.map_program(&options.program, file, image.clone())?;
        self.make_heap(image.heap())?;
        let missing_dlls = self.map_all(options.lenience)?;
        self.write_peb(&image)?;
        self.bind_from(0, options.lenience)?;
        // Windows passes the initial context; any value but null says that the process starts.
        self.finish_modules(0, 1)?;
        self.nt.process_mut().dispatcher = self.ntdll_export("KiUserExceptionDispatcher")?;
        self.nt.process_mut().started = true;
        Ok(Loaded { missing_dlls })
    }

    /// The DLLs that every process has, and what the program imports.
    fn map_all(&mut self, lenience: Lenience) -> Result<Vec<MissingDll>, LoadError> {
        let mut missing = Vec::new();
        let version = self.nt.edition.version;
        let has_base = (version.major, version.minor) >= (6, 1);
        let always = ["ntdll.dll", "kernel32.dll", "kernelbase.dll"];
        for name in always.iter().take(if has_base { 3 } else { 2 }) {
            self.map_tree(name, "the system", &mut missing)?;
        }
        self.map_imports_from(0, &mut missing)?;
        self.judge_missing(&missing, lenience)?;
        Ok(missing)
    }

    fn ntdll_export(&mut self, name: &str) -> Result<Option<VirtAddr>, LoadError> {
        let ntdll = self.loaded("ntdll.dll").expect("ntdll is always loaded");
        self.resolve_export(ntdll, &Wanted::Name(name.as_bytes().to_vec()))
    }

    /// Loads the first thread's registers: it begins in ntdll, which calls initialisers and then the entry point.
    ///
    /// # Errors
    ///
    /// [`LoadError`] if ntdll cannot be read back.
    pub fn enter(&mut self, cpu: &mut dyn Vcpu) -> Result<(), LoadError> {
        let start = self.ntdll_export("RtlUserThreadStart")?.expect("our ntdll exports it");
        let process = self.nt.process();
        let program = process.program();
        let entry = program.base.raw() + u64::from(program.image.entry_rva());
        let (peb, teb) = (process.peb.raw(), self.thread().teb);
        let stack = self.thread_stack().expect("the TEB was just filled").top.raw();
        let mut registers = cpu.registers();
        registers.gpr = [0; 16];
        let (entry_register, argument_register) = match self.nt.edition.bitness {
            Bitness::Bits32 => (0, 3),
            Bitness::Bits64 => (1, 2),
        };
        registers.gpr[entry_register] = entry;
        registers.gpr[argument_register] = peb;
        registers.gpr[4] = stack - 0x40;
        registers.ip = start.raw();
        registers.flags = INITIAL_FLAGS;
        cpu.set_teb(teb);
        cpu.set_registers(&registers);
        Ok(())
    }
}

fn new_process(id: vadose_mm::ProcessId, options: &StartOptions) -> Process {
    let nowhere = VirtAddr::new(0);
    Process {
        id,
        pid: FIRST_PID,
        handles: HandleTable::default(),
        threads: Vec::new(),
        image_path: options.program.clone(),
        command_line: options.command_line.clone(),
        current_directory: options.current_directory.clone(),
        program_folder: options.program.parent(),
        peb: nowhere,
        parameters: nowhere,
        heap: nowhere,
        modules: Vec::new(),
        uses: Vec::new(),
        missing: Vec::new(),
        initialisers: Initialisers::default(),
        dispatcher: None,
        tls_modules: Vec::new(),
        pool: Pool::default(),
        vectored: Default::default(),
        unhandled_filter: 0,
        started: false,
        exiting: false,
        win32: Default::default(),
    }
}
