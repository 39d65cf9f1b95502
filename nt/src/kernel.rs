//! The kernel's state beside memory: processes, threads, files of images, and the door through which services come in.

use crate::builtin::BuiltinSet;
use crate::claim::{BadPointer, Settled, UserPtr};
use crate::executive::{
    Atoms, Ending, FileNotes, Handle, HandleTable, Handles, Limits, Object, Objects, Pipes, Privilege,
    Process, ProcessState, Refusals, Registry, Scheduler, SectionFiles, TICK_UNITS, Thread, ThreadTable,
    Watch,
};
use crate::host::{Host, Moment};
use crate::memory::Memory;
use crate::service::{Call, MISSING_BASE, Number, Service, ServiceTable};
use crate::shortage::Shortage;
use crate::system_dlls::{DllFolder, Found, Unimplemented, UnimplementedService, answer_unix_call};
use std::collections::BTreeMap;
use std::sync::Arc;
use vadose_cpu::Vcpu;
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::layout::{Layouts, SharedData, SystemTime, layouts};
use vadose_facts::ntdef::{Edition, NtStatus, Win32Error};
use vadose_facts::x86::Stale;
use vadose_mm::{Draws, FaultRequest};

/// `STATUS_INVALID_SYSTEM_SERVICE`.
const INVALID_SYSTEM_SERVICE: u32 = 0xc000_001c;

/// The first id after those of a freshly booted system.
const FIRST_ID: u32 = 0x5c8;
/// Ids are multiples of this, as handles are.
const ID_STEP: u32 = 4;

/// What does not change while a machine runs.
#[derive(Clone, Copy, Debug)]
pub struct NtConfig {
    /// The edition that was booted.
    pub edition: &'static Edition,
    /// What slices of running time, and places of stacks and heaps, are drawn from.
    pub seed: u64,
}

/// Everything that Windows knows beside memory itself.
pub struct Nt {
    pub(crate) edition: &'static Edition,
    pub(crate) table: Arc<ServiceTable>,
    pub(crate) builtins: BuiltinSet,
    /// System DLLs that are used instead of those, if any are.
    pub(crate) folder: Option<DllFolder>,
    pub(crate) files: SectionFiles,
    /// Pipes.
    pub(crate) pipes: Pipes,
    /// What was read of the console's input, because a program looked at it, and was not yet taken.
    pub(crate) console_ahead: Vec<u8>,
    /// Ranges of files that are locked, in all.
    pub(crate) byte_locks: usize,
    /// Attributes and times of files that programs set.
    pub(crate) file_notes: FileNotes,
    pub(crate) stale: Stale,
    /// What handles of all processes name.
    pub(crate) objects: Objects,
    /// Texts that all processes know by a number.
    pub(crate) atoms: Atoms,
    /// Keys and values.
    pub(crate) registry: Registry,
    pub(crate) threads: ThreadTable,
    pub(crate) scheduler: Scheduler,
    /// Where stacks, heaps and environment blocks are.
    pub(crate) places: Draws,
    /// The virtual time when it was last looked at.
    pub(crate) now: Moment,
    /// Privileges that the account has beyond an ordinary user's.
    pub(crate) granted: Vec<Privilege>,
    /// How many processes and threads there may be.
    pub(crate) limits: Limits,
    /// How often that refused one.
    pub(crate) refusals: Refusals,
    /// Failures that were ordered.
    pub(crate) shortage: Shortage,
    /// What is told to whoever watches.
    pub(crate) watch: Watch,
    /// By id: those that live, and those that have ended while there are handles to them.
    processes: BTreeMap<u32, Process>,
    /// Whose address space and handles services work with: the running thread's process, or the one that the kernel is
    /// [attached](Kernel::attached) to.
    attached: u32,
    /// Processes that have begun to end.
    pub(crate) ending: u32,
    /// Ids that were given out.
    ids: u32,
    /// Local identifiers that were given out.
    pub(crate) luids: u64,
    /// Universal identifiers have been given out up to this time.
    pub(crate) uuid_time: u64,
    /// The machine's seed.
    pub(crate) seed: u64,
    service_calls: u64,
    pub(crate) exceptions: u64,
    clock: Moment,
}

/// Who lives and who has ended: what waits for threads and processes look at.
#[derive(Clone, Copy)]
pub(crate) struct Lives<'a> {
    pub(crate) threads: &'a ThreadTable,
    pub(crate) processes: &'a BTreeMap<u32, Process>,
}

/// The kernel at work: its state, the memory manager and the outside world, borrowed together for one operation.
pub struct Kernel<'a> {
    /// Processes, threads, handles.
    pub nt: &'a mut Nt,
    /// The memory manager.
    pub mm: &'a mut dyn Memory,
    /// The outside world.
    pub host: &'a mut dyn Host,
}

impl Nt {
    /// A system without processes.
    pub fn new(config: NtConfig) -> Self {
        let table = Arc::new(ServiceTable::new());
        let mut objects = Objects::default();
        objects.make_system_names();
        Self {
            edition: config.edition,
            builtins: BuiltinSet::new(config.edition, Arc::clone(&table)),
            table,
            folder: None,
            files: SectionFiles::default(),
            file_notes: FileNotes::default(),
            pipes: Pipes::default(),
            console_ahead: Vec::new(),
            byte_locks: 0,
            stale: Stale::none(),
            objects,
            atoms: Atoms::default(),
            registry: Registry::at_start(config.edition, config.seed),
            threads: ThreadTable::default(),
            scheduler: Scheduler::new(config.seed),
            places: Draws::new(config.seed, "blocks of processes"),
            now: Moment::default(),
            granted: Vec::new(),
            limits: Limits::default(),
            refusals: Refusals::default(),
            shortage: Shortage::default(),
            watch: Watch::default(),
            processes: BTreeMap::new(),
            attached: 0,
            ending: 0,
            ids: 0,
            luids: 0,
            uuid_time: 0,
            seed: config.seed,
            service_calls: 0,
            exceptions: 0,
            clock: Moment::default(),
        }
    }

    /// Gives the account a privilege. Processes hold it from their start, disabled, as in Windows.
    pub fn grant(&mut self, privilege: Privilege) {
        self.granted.push(privilege);
    }

    /// Says how many processes and threads there may be. Those that there are stay.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// How many processes and threads there may be.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// How often the limits refused a process or a thread.
    pub fn refusals(&self) -> Refusals {
        self.refusals
    }

    /// The service table.
    pub fn table(&self) -> &ServiceTable {
        &self.table
    }

    /// The name of the service of a number, as the system DLLs in use have it.
    pub fn service_name(&self, number: Number) -> Option<&'static str> {
        let service = match &self.folder {
            None => self.table.get(number).copied(),
            Some(folder) => match folder.find(number.raw()) {
                Found::Service(service) => Some(service),
                Found::Missing(..) => None,
            },
        };
        service.map(|service| service.export.name)
    }

    /// Services that were called and are not there, by name.
    pub fn unimplemented(&self) -> Vec<UnimplementedService> {
        self.folder.as_ref().map(DllFolder::met).unwrap_or_default()
    }

    /// The edition that was booted.
    pub fn edition(&self) -> &'static Edition {
        self.edition
    }

    /// Structure layouts of this edition's programs.
    pub fn layouts(&self) -> &'static Layouts {
        layouts(self.edition.bitness)
    }

    /// The process whose thread runs, or ran last, unless the kernel is at work in another one.
    ///
    /// # Panics
    ///
    /// Before a program was loaded.
    pub fn process(&self) -> &Process {
        self.processes.get(&self.attached).expect("a program is loaded")
    }

    /// The same, to change it.
    ///
    /// # Panics
    ///
    /// Before a program was loaded.
    pub fn process_mut(&mut self) -> &mut Process {
        self.processes.get_mut(&self.attached).expect("a program is loaded")
    }

    /// All processes, in the order of their start: those that live, and those that have ended while there are handles to
    /// them.
    pub fn processes(&self) -> impl Iterator<Item = &Process> {
        self.processes.values()
    }

    /// A process by id.
    pub fn process_by_id(&self, pid: u32) -> Option<&Process> {
        self.processes.get(&pid)
    }

    pub(crate) fn process_by_id_mut(&mut self, pid: u32) -> Option<&mut Process> {
        self.processes.get_mut(&pid)
    }

    /// Whether there is one of [those](Self::ending_processes).
    pub fn has_ending_process(&self) -> bool {
        self.ending > 0
    }

    /// Processes that have begun to end, and that have yet to be [taken apart](Kernel::end_process).
    pub fn ending_processes(&self) -> impl Iterator<Item = &Process> {
        self.processes().filter(|process| process.state == ProcessState::Ending)
    }

    /// Processes that have not been taken apart.
    pub fn living_processes(&self) -> impl Iterator<Item = &Process> {
        self.processes().filter(|process| process.state != ProcessState::Ended)
    }

    /// The process's handles, with the objects that they name.
    ///
    /// # Panics
    ///
    /// Before a program was loaded.
    pub fn handles(&self) -> Handles<&HandleTable, &Objects> {
        let process = self.process();
        let thread = self.threads.current().map(|thread| thread.object);
        Handles { table: &process.handles, objects: &self.objects, process: process.object, thread }
    }

    /// The same, to change them.
    ///
    /// # Panics
    ///
    /// Before a program was loaded.
    pub(crate) fn handles_mut(&mut self) -> Handles<&mut HandleTable, &mut Objects> {
        let process = self.processes.get_mut(&self.attached).expect("a program is loaded");
        let thread = self.threads.current().map(|thread| thread.object);
        let own = process.object;
        Handles { table: &mut process.handles, objects: &mut self.objects, process: own, thread }
    }

    /// The object of a handle of the process, pseudo handles included.
    ///
    /// # Errors
    ///
    /// `INVALID_HANDLE`.
    pub(crate) fn object(&self, handle: Handle) -> Result<&Object, NtStatus> {
        let id = self.handles().object_id(handle)?;
        Ok(self.objects.get(id))
    }

    /// The same, to change it.
    ///
    /// # Errors
    ///
    /// `INVALID_HANDLE`.
    pub(crate) fn object_mut(&mut self, handle: Handle) -> Result<&mut Object, NtStatus> {
        let id = self.handles().object_id(handle)?;
        Ok(self.objects.get_mut(id))
    }

    /// All objects, to change them by who lives and who has ended.
    pub(crate) fn objects_and_lives(&mut self) -> (&mut Objects, Lives<'_>) {
        (&mut self.objects, Lives { threads: &self.threads, processes: &self.processes })
    }

    /// The next number for a process or a thread. They share one series.
    pub(crate) fn next_id(&mut self) -> u32 {
        self.ids += 1;
        FIRST_ID + (self.ids - 1) * ID_STEP
    }

    /// Highest user address of the process (SPEC H2).
    pub(crate) fn user_limit(&self) -> VirtAddr {
        self.process().user_limit
    }

    /// All threads.
    pub fn threads(&self) -> &ThreadTable {
        &self.threads
    }

    /// The thread that runs, or ran last.
    ///
    /// # Panics
    ///
    /// Before a program was loaded.
    pub fn current_thread_mut(&mut self) -> &mut Thread {
        self.threads.current_mut().expect("a program is loaded")
    }

    /// The thread that runs, if the kernel is at work in its own process.
    pub(crate) fn thread_at_home(&self) -> Option<&Thread> {
        self.threads.current().filter(|thread| thread.pid == self.attached)
    }

    /// Files behind sections.
    pub fn files(&self) -> &SectionFiles {
        &self.files
    }

    /// The virtual time when it was last looked at.
    pub fn time(&self) -> Moment {
        self.now
    }

    /// Whether a program was loaded, or its loading has begun.
    pub fn has_process(&self) -> bool {
        self.processes.contains_key(&self.attached)
    }

    /// Enters a new process into the table.
    pub(crate) fn add_process(&mut self, process: Process) {
        self.processes.insert(process.pid, process);
    }

    /// Counts the handles that a new process has inherited.
    pub(crate) fn count_inherited(&mut self, pid: u32) {
        let before = self.attach(pid);
        self.handles_mut().count_inherited();
        self.attach(before);
    }

    /// Nothing needs an ended process any more.
    pub(crate) fn forget_process(&mut self, pid: u32) {
        self.processes.remove(&pid);
    }

    /// Has services work with that process from now on; answers the one before.
    pub(crate) fn attach(&mut self, pid: u32) -> u32 {
        std::mem::replace(&mut self.attached, pid)
    }

    /// Turns to another process for a look; answers the one before, to turn back to.
    pub fn look_at(&mut self, pid: u32) -> u32 {
        self.attach(pid)
    }

    /// How the process ended, once it has.
    pub fn ending(&self) -> Option<&Ending> {
        self.processes.get(&self.attached)?.ending.as_ref()
    }

    /// Ends the process; the first reason counts. No thread of it runs again, and it is
    /// [taken apart](Kernel::end_process) next.
    pub fn end(&mut self, ending: Ending) {
        let now = self.now;
        let process = self.process_mut();
        if process.state == ProcessState::Running {
            process.state = ProcessState::Ending;
            process.ending = Some(ending);
            process.lifetime.1 = Some(now);
            self.ending += 1;
        }
    }

    /// What the processor must drop before the guest runs on.
    pub fn take_stale(&mut self) -> Stale {
        std::mem::replace(&mut self.stale, Stale::none())
    }

    /// Service calls so far.
    pub fn service_calls(&self) -> u64 {
        self.service_calls
    }

    /// Exceptions that were sent to the guest so far: the processor's and those that the program raised.
    pub fn exceptions(&self) -> u64 {
        self.exceptions
    }
}

impl<'a> Kernel<'a> {
    /// Works in the address space and with the handles of another process for a moment. The running thread stays who it
    /// is, and has no stack there.
    pub(crate) fn attached<T>(&mut self, pid: u32, work: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.nt.attach(pid);
        let done = work(self);
        self.nt.attach(before);
        done
    }

    /// Serves the call that the processor stopped at.
    pub fn service(mut self, cpu: &'a mut dyn Vcpu) {
        self.nt.service_calls += 1;
        self.refresh_clock();
        let number = Number::new(cpu.gpr(0) as u32);
        let service = match &self.nt.folder {
            Some(_) => self.service_of_folder(cpu, number),
            None => self.nt.table.get(number).copied().or_else(|| self.unknown_service(cpu, number)),
        };
        let Some(service) = service else { return };
        self.enter_site(cpu, Some(service.export.name));
        match Call::new(self, cpu, service) {
            Ok(call) => call.serve(),
            // Arguments that cannot be read fail the call, whatever it is (SPEC E10).
            Err((_, cpu, bad)) => cpu.set_gpr(0, u64::from(bad.status.raw())),
        }
    }

    /// A number outside the tables: a stub of a missing function, or a guest's own invention.
    fn unknown_service(&mut self, cpu: &mut dyn Vcpu, number: Number) -> Option<Service> {
        let missing = number
            .raw()
            .checked_sub(MISSING_BASE)
            .and_then(|index| self.nt.process().missing.get(usize::try_from(index).ok()?).cloned());
        match missing {
            Some(function) => self.nt.end(Ending::MissingFunction(function)),
            None => cpu.set_gpr(0, u64::from(INVALID_SYSTEM_SERVICE)),
        }
        None
    }

    /// What a number means to the folder of system DLLs. A unix call, and a service that is not there, are answered here.
    fn service_of_folder(&mut self, cpu: &mut dyn Vcpu, number: Number) -> Option<Service> {
        let folder = self.nt.folder.as_mut().expect("the caller looked");
        if folder.is_unix_call(number.raw()) {
            answer_unix_call(self, cpu);
            return None;
        }
        match folder.find(number.raw()) {
            Found::Service(service) => return Some(service),
            Found::Missing(name, answer) => {
                cpu.set_gpr(0, answer);
                match folder.note_missing(&name) {
                    Unimplemented::Answered => {}
                    Unimplemented::EndsProcess => {
                        self.nt.end(Ending::UnimplementedService(name.to_string()));
                    }
                }
            }
        }
        None
    }

    /// Resolves a guest's fault, at which the processor stopped. An exception it leads to has yet to be
    /// [raised](Kernel::raise).
    pub fn fault(&mut self, cpu: &dyn Vcpu, request: FaultRequest) -> Settled {
        self.enter_site(cpu, None);
        self.settle(request)
    }

    /// Sets the current thread's last error. A TEB that the guest made unwritable keeps its old one.
    pub fn set_last_error(&mut self, error: Win32Error) {
        let Some(thread) = self.nt.threads.current() else { return };
        let at = UserPtr::new(thread.teb.raw()).offset(u64::from(self.nt.layouts().teb.last_error));
        let _unwritable = self.write_quietly(at, &error.raw().to_le_bytes());
    }

    /// The current thread's last error.
    ///
    /// # Errors
    ///
    /// [`BadPointer`] if the guest took its TEB away.
    pub fn last_error(&mut self) -> Result<Win32Error, BadPointer> {
        let teb = self.nt.threads.current().map_or(0, |thread| thread.teb.raw());
        let at = UserPtr::new(teb).offset(u64::from(self.nt.layouts().teb.last_error));
        Ok(Win32Error::new(self.read_u32(at)?))
    }

    /// Updates the shared clocks if a millisecond has passed since the last time.
    pub(crate) fn refresh_clock(&mut self) {
        self.nt.now = self.host.now().max(self.nt.now);
        if self.nt.now.milliseconds_since(self.nt.clock) > 0 {
            self.update_clock();
        }
    }

    /// Brings the clocks of `KUSER_SHARED_DATA` up to the virtual time (SPEC H5).
    pub fn update_clock(&mut self) {
        let boot = self.host.boot_time();
        let now = self.host.now().max(self.nt.now);
        (self.nt.clock, self.nt.now) = (now, now);
        let running = now.units().saturating_sub(boot.units());
        self.write_shared_time(SharedData::SYSTEM_TIME, now.units());
        self.write_shared_time(SharedData::INTERRUPT_TIME, running);
        let ticks = running / self.shared_tick_units();
        self.write_shared_time(SharedData::TICK_COUNT, ticks);
        self.write_shared(SharedData::TICK_COUNT_LOW, &(ticks as u32).to_le_bytes());
    }

    /// What a tick of the shared count takes. Wine's DLLs take ticks for milliseconds and leave the multiplier out.
    fn shared_tick_units(&self) -> u64 {
        if self.is_on_wine() { Moment::PER_MILLISECOND } else { TICK_UNITS }
    }

    fn write_shared_time(&mut self, at: u32, value: u64) {
        let (low, high) = ((value as u32).to_le_bytes(), ((value >> 32) as u32).to_le_bytes());
        self.write_shared(at + SystemTime::HIGH2, &high);
        self.write_shared(at + SystemTime::LOW, &low);
        self.write_shared(at + SystemTime::HIGH1, &high);
    }

    fn write_shared(&mut self, at: u32, bytes: &[u8]) {
        let frame = self.mm.shared_user_data();
        self.mm.ram().write_bytes(frame.base().offset(u64::from(at)), bytes);
    }

    /// Fills `KUSER_SHARED_DATA` with what does not change.
    pub(crate) fn fill_shared_data(&mut self) {
        let edition = self.nt.edition;
        let machine: u16 = match edition.bitness {
            vadose_facts::ntdef::Bitness::Bits32 => 0x14c,
            vadose_facts::ntdef::Bitness::Bits64 => 0x8664,
        };
        let multiplier = ((self.shared_tick_units() << 24) / Moment::PER_MILLISECOND) as u32;
        self.write_shared(SharedData::TICK_COUNT_MULTIPLIER, &multiplier.to_le_bytes());
        self.write_shared(SharedData::IMAGE_NUMBER_LOW, &machine.to_le_bytes());
        self.write_shared(SharedData::IMAGE_NUMBER_HIGH, &machine.to_le_bytes());
        let root: Vec<u8> = "C:\\Windows".encode_utf16().flat_map(u16::to_le_bytes).collect();
        self.write_shared(SharedData::SYSTEM_ROOT, &root);
        self.write_shared(SharedData::MAJOR_VERSION, &edition.version.major.to_le_bytes());
        self.write_shared(SharedData::MINOR_VERSION, &edition.version.minor.to_le_bytes());
        if edition.version.major >= 10 {
            self.write_shared(SharedData::BUILD_NUMBER, &edition.version.build.to_le_bytes());
        }
        self.fill_shared_features();
        self.update_clock();
    }

    fn fill_shared_features(&mut self) {
        let edition = self.nt.edition;
        self.write_shared(SharedData::PRODUCT_TYPE, &1_u32.to_le_bytes());
        self.write_shared(SharedData::PRODUCT_TYPE_VALID, &[1]);
        if edition.version.major > 6 || (edition.version.major, edition.version.minor) >= (6, 2) {
            let native: u16 = if edition.pointer_bytes() == 8 { 9 } else { 0 };
            self.write_shared(SharedData::NATIVE_ARCHITECTURE, &native.to_le_bytes());
        }
        for feature in crate::executive::processor_features(edition) {
            self.write_shared(SharedData::PROCESSOR_FEATURES + feature, &[1]);
        }
        let pages = u32::try_from(self.mm.ram().frames()).unwrap_or(u32::MAX);
        self.write_shared(SharedData::PHYSICAL_PAGES, &pages.to_le_bytes());
        self.write_shared(SharedData::ACTIVE_PROCESSORS, &1_u32.to_le_bytes());
        let mut cookie = [0; 4];
        self.host.entropy(&mut cookie);
        self.write_shared(SharedData::COOKIE, &cookie);
    }
}
