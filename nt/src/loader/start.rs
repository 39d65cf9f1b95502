//! Starts a process, from the program's file to the registers of its first instruction.

use super::blocks::FIRST_PID;
use super::error::{LoadError, MissingDll};
use super::exports::Wanted;
use crate::executive::{Entries, HandleTable, Object, Pool, Process, ThreadState, Token};
use crate::kernel::Kernel;
use crate::path::GuestPath;
use vadose_cpu::Vcpu;
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::LargeAddressAware;
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
        let token = Token::of_user(self.nt.edition, &self.nt.granted);
        self.nt.set_process(new_process(id, token, options));
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
        self.nt.process_mut().dispatcher = self.export_of("ntdll.dll", "KiUserExceptionDispatcher")?;
        self.nt.process_mut().entries = Entries {
            thread_start: self.known_export("ntdll.dll", "RtlUserThreadStart")?,
            thread_thunk: self.known_export("kernel32.dll", "BaseThreadInitThunk")?,
            apc_dispatcher: self.known_export("ntdll.dll", "KiUserApcDispatcher")?,
            apc_thunk: self.known_export("ntdll.dll", "RtlDispatchAPC")?,
        };
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

    fn export_of(&mut self, dll: &str, name: &str) -> Result<Option<VirtAddr>, LoadError> {
        let dll = self.loaded(dll).expect("it is always loaded");
        self.resolve_export(dll, &Wanted::Name(name.as_bytes().to_vec()))
    }

    fn known_export(&mut self, dll: &str, name: &str) -> Result<VirtAddr, LoadError> {
        Ok(self.export_of(dll, name)?.expect("our own DLL exports it"))
    }

    /// Loads the first thread's registers: it begins in ntdll, which calls initialisers and then the entry point.
    pub fn enter(&mut self, cpu: &mut dyn Vcpu) {
        let process = self.nt.process();
        let program = process.program();
        let entry = program.base.raw() + u64::from(program.image.entry_rva());
        let peb = process.peb.raw();
        let top = self.thread_stack().expect("the TEB was just filled").top;
        let registers = self.first_registers(entry, peb, top, &cpu.registers());
        let thread = self.nt.current_thread_mut();
        (thread.state, thread.start_address) = (ThreadState::Running, entry);
        let (tid, teb) = (thread.tid, thread.teb);
        cpu.set_teb(teb);
        cpu.set_registers(&registers);
        self.nt.scheduler.begin(tid);
    }
}

fn new_process(id: vadose_mm::ProcessId, token: Token, options: &StartOptions) -> Process {
    let nowhere = VirtAddr::new(0);
    let mut handles = HandleTable::default();
    let object = handles.create(Object::Process);
    Process {
        id,
        pid: FIRST_PID,
        handles,
        token,
        object,
        image_path: options.program.clone(),
        command_line: options.command_line.clone(),
        current_directory: options.current_directory.clone(),
        program_folder: options.program.parent(),
        peb: nowhere,
        parameters: nowhere,
        heap: nowhere,
        modules: Vec::new(),
        uses: Vec::new(),
        fragments: Default::default(),
        missing: Vec::new(),
        dispatcher: None,
        entries: Entries::default(),
        spare_tls: Vec::new(),
        spare_tebs: Vec::new(),
        tls_modules: Vec::new(),
        pool: Pool::default(),
        vectored: Default::default(),
        unhandled_filter: 0,
        started: false,
        exiting: false,
        win32: Default::default(),
    }
}
