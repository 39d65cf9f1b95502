//! Starts a process, from the program's file to the registers of its first instruction.

use super::error::{LoadError, MissingDll};
use super::exports::Wanted;
use crate::executive::{
    DEFAULT_PRIORITY, Entries, HandleTable, ImageSection, Object, ObjectId, Pool, Process, ProcessState,
    ThreadState, Token,
};
use crate::host::Moment;
use crate::kernel::Kernel;
use crate::path::GuestPath;
use std::sync::Arc;
use vadose_cpu::{Registers, Vcpu};
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::LargeAddressAware;
use vadose_facts::pe::FileCharacteristics;
use vadose_mm::ProcessId;

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
    /// The process that starts it, if one does.
    pub parent: Option<Parent>,
}

/// What a process gets from the one that starts it.
#[derive(Clone, Copy, Debug)]
pub struct Parent {
    /// Its id.
    pub pid: u32,
    /// Whether handles that can be inherited are.
    pub handles: InheritHandles,
    /// The standard handles, as numbers that mean something in the new process; `None` for the console's.
    pub standard: Option<[u64; 3]>,
}

/// Whether a process gets its parent's handles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InheritHandles {
    /// Those that say so.
    Yes,
    /// None.
    No,
}

/// What happens when a DLL is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lenience {
    /// The start fails, naming all of them.
    Strict,
    /// They are listed, and the rest is mapped.
    ListMissing,
    /// The process is made, and has yet to be ended for it.
    LeaveToProcess,
}

impl Lenience {
    /// Whether something that is missing is a failure, whoever hears of it.
    pub(super) const fn is_strict(self) -> bool {
        match self {
            Self::Strict | Self::LeaveToProcess => true,
            Self::ListMissing => false,
        }
    }
}

/// A started process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Its id.
    pub pid: u32,
    /// Its first thread's.
    pub tid: u32,
    /// Why the process cannot run its first instruction, if that is left to it.
    pub failed: Option<LoadError>,
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
        let section = self.read_program(&options.program, options.lenience)?;
        let (section_id, image) = (section.id, Arc::clone(&section.image));
        let own = image.characteristics().contains(FileCharacteristics::LARGE_ADDRESS_AWARE);
        let own = if own { LargeAddressAware::Yes } else { LargeAddressAware::No };
        let aware = options.large_address_aware.unwrap_or(own);
        let id = self.mm.create_process(aware).map_err(|status| LoadError::memory("the process", status));
        let id = id.inspect_err(|_| self.drop_image_section(section_id))?;
        let policy = self.nt.edition.aslr_mitigations(self.mm.aslr(), image.dll_characteristics());
        self.mm.set_aslr_mitigations(id, policy).expect("the process was just made");
        if !self.nt.has_process() {
            self.fill_shared_data();
        }
        let pid = self.new_process(id, options);
        // The loader works as the new process and its thread; the caller goes on as who it was.
        let before = (self.nt.attach(pid), self.nt.threads.current().map(|thread| thread.tid));
        let built = self.build(options, section);
        let tid = self.nt.threads.living_of(pid).next().map_or(0, |thread| thread.tid);
        if built.is_err() && self.nt.process().modules.is_empty() {
            self.drop_image_section(section_id);
        }
        if let (caller, Some(thread)) = before {
            self.nt.attach(caller);
            self.nt.threads.set_current(thread);
        }
        match built {
            Ok(missing_dlls) => Ok(Loaded { pid, tid, missing_dlls, failed: None }),
            Err(error) if options.lenience == Lenience::LeaveToProcess && error.is_found_by_process() => {
                Ok(Loaded { pid, tid, missing_dlls: Vec::new(), failed: Some(error) })
            }
            Err(error) => {
                self.end_process(pid);
                Err(error)
            }
        }
    }

    /// Fills the new process's address space.
    fn build(&mut self, options: &StartOptions, section: ImageSection) -> Result<Vec<MissingDll>, LoadError> {
        if self.nt.folder.is_some() {
            return self.build_on_folder(options, section).map(|()| Vec::new());
        }
        let image = Arc::clone(&section.image);
        self.make_environment_blocks()?;
        self.make_parameters(options)?;
        self.make_stack(image.stack())?;
        self.map_program(&options.program, section)?;
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
            loader: None,
        };
        self.nt.process_mut().started = true;
        Ok(missing_dlls)
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

    /// Loads the first program's first thread into the processor; those of further programs are ready behind it.
    pub fn enter(&mut self, cpu: &mut dyn Vcpu) {
        let like = cpu.registers();
        let all: Vec<u32> = self.nt.living_processes().map(|process| process.pid).collect();
        for (index, pid) in all.into_iter().enumerate() {
            let tid = self.nt.threads.living_of(pid).next().expect("a program has a thread").tid;
            self.prepare_first_thread(pid, tid, &like);
            if index > 0 {
                self.nt.scheduler.make_ready(self.nt.threads.known(tid));
                continue;
            }
            self.nt.attach(pid);
            self.nt.threads.set_current(tid);
            let thread = self.nt.threads.known(tid);
            thread.state = ThreadState::Running;
            cpu.set_address_space(self.mm.translation(self.nt.process().id));
            let thread = self.nt.threads.known(tid);
            cpu.set_teb(thread.teb);
            cpu.set_registers(&thread.registers);
            self.nt.scheduler.begin(tid, pid);
        }
    }

    /// Gives a process's first thread its registers: it begins in ntdll, which calls initialisers and then the entry
    /// point.
    pub(crate) fn prepare_first_thread(&mut self, pid: u32, tid: u32, like: &Registers) {
        let before = (self.nt.attach(pid), self.nt.threads.set_current(tid));
        let process = self.nt.process();
        let program = process.program();
        let entry = program.base.raw() + u64::from(program.image.entry_rva());
        let peb = process.peb.raw();
        let top = self.thread_stack().expect("the TEB was just filled").top;
        let registers = self.first_registers(entry, peb, top, like).expect("the stack was just made");
        let thread = self.nt.threads.known(tid);
        (thread.registers, thread.start_address) = (registers, entry);
        self.nt.attach(before.0);
        self.nt.threads.set_current(before.1);
    }

    /// Enters an empty process into the table; answers its id.
    fn new_process(&mut self, id: ProcessId, options: &StartOptions) -> u32 {
        let pid = self.nt.next_id();
        let object = self.nt.objects.create(Object::Process(pid));
        let parent = options.parent.and_then(|parent| Some((parent, self.nt.process_by_id(parent.pid)?)));
        let handles = match parent {
            Some((Parent { handles: InheritHandles::Yes, .. }, process)) => process.handles.inherited(),
            Some((Parent { handles: InheritHandles::No, .. }, _)) | None => HandleTable::default(),
        };
        let mut process = empty_process(id, pid, object, options);
        process.token = Token::of_user(self.nt.edition, &self.nt.granted).numbered(self.nt.next_luid());
        process.handles = handles;
        process.parent = options.parent.map_or(0, |parent| parent.pid);
        process.lifetime.0 = self.nt.now;
        process.user_limit = self.mm.user_limit(id);
        self.nt.add_process(process);
        self.nt.count_inherited(pid);
        if let Some(parent) = options.parent {
            self.inherit_job(parent.pid, pid);
        }
        pid
    }
}

fn empty_process(id: ProcessId, pid: u32, object: ObjectId, options: &StartOptions) -> Process {
    let nowhere = VirtAddr::new(0);
    Process {
        id,
        pid,
        parent: 0,
        state: ProcessState::Running,
        ending: None,
        lifetime: (Moment::default(), None),
        ran_units: 0,
        job: None,
        base_priority: DEFAULT_PRIORITY,
        io_priority: 2,
        page_priority: 5,
        timer_resolution: None,
        user_limit: nowhere,
        handles: HandleTable::default(),
        token: Token::default(),
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
        system_call: nowhere,
        entries: Entries::default(),
        spare_tls: Vec::new(),
        spare_tebs: Vec::new(),
        tls_modules: Vec::new(),
        pool: Pool::default(),
        vectored: Default::default(),
        unhandled_filter: 0,
        started: false,
        reached_own_code: false,
        exiting: false,
        win32: Default::default(),
    }
}
