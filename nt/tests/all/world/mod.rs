//! A machine without a processor: memory on the heap, files in memory, registers in a struct.

use std::collections::BTreeMap;
use std::sync::Arc;
use vadose_cpu::{CpuError, Exit, Registers, StopHandle, Vcpu};
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::{Aslr, Edition, NtStatus, edition};
use vadose_facts::x86::{AddressSpace, HeapRam, Stale};
use vadose_mm::{Mm, MmConfig};
use vadose_nt::{
    Console, DirectoryEntry, DiskSpace, FileAccess, FileIdentity, FileInfo, FileKind, GuestPath, Host,
    HostFile, Kernel, Lenience, LoadError, Loaded, Moment, NoPageFiles, Nt, NtConfig, PagedMm, Privilege,
    RegionUse, StartOptions, UserPtr, Wish,
};

/// Frames of RAM.
const FRAMES: u64 = 8192;

/// Registers, and what was asked of the processor.
#[derive(Default)]
pub(crate) struct PaperCpu {
    pub(crate) registers: Registers,
    pub(crate) teb: VirtAddr,
}

impl Vcpu for PaperCpu {
    fn run(&mut self, _: Option<u64>) -> Result<Exit, CpuError> {
        Ok(Exit::Interrupted)
    }
    fn set_address_space(&mut self, _: AddressSpace) {}
    fn drop_stale(&mut self, stale: Stale) {
        stale.nothing_cached();
    }
    fn gpr(&self, index: usize) -> u64 {
        self.registers.gpr[index]
    }
    fn set_gpr(&mut self, index: usize, value: u64) {
        self.registers.gpr[index] = value;
    }
    fn ip(&self) -> VirtAddr {
        VirtAddr::new(self.registers.ip)
    }
    fn set_ip(&mut self, ip: VirtAddr) {
        self.registers.ip = ip.raw();
    }
    fn registers(&self) -> Registers {
        self.registers.clone()
    }
    fn set_registers(&mut self, registers: &Registers) {
        self.registers = registers.clone();
    }
    fn set_teb(&mut self, teb: VirtAddr) {
        self.teb = teb;
    }
    fn stop_handle(&self) -> StopHandle {
        StopHandle::default()
    }
    fn blocks_executed(&self) -> u64 {
        0
    }
}

/// Files by upper-case path, and what was written to the console.
#[derive(Default)]
pub(crate) struct PaperHost {
    pub(crate) files: BTreeMap<String, Arc<Vec<u8>>>,
    open: Vec<Arc<Vec<u8>>>,
    closed: usize,
    pub(crate) output: Vec<u8>,
    elapsed: u64,
    /// How often a file was read.
    pub(crate) reads: u64,
}

impl PaperHost {
    /// Files that were opened and not closed.
    pub(crate) fn open_files(&self) -> usize {
        self.open.len() - self.closed
    }
}

impl Host for PaperHost {
    fn open(&mut self, path: &GuestPath, _: FileAccess, _: Wish) -> Result<HostFile, NtStatus> {
        let found = self.files.get(&path.as_str().to_uppercase()).ok_or(NtStatus::OBJECT_NAME_NOT_FOUND)?;
        self.open.push(Arc::clone(found));
        Ok(HostFile::new(self.open.len() as u32 - 1))
    }
    fn close(&mut self, _: HostFile) {
        self.closed += 1;
    }
    fn size(&mut self, file: HostFile) -> Result<u64, NtStatus> {
        Ok(self.open[file.raw() as usize].len() as u64)
    }
    fn identity(&mut self, file: HostFile) -> Result<FileIdentity, NtStatus> {
        let file = &self.open[file.raw() as usize];
        let (index, size) = (Arc::as_ptr(file).addr() as u64, file.len() as u64);
        Ok(FileIdentity { device: 1, index, size, changed: (0, 0) })
    }
    fn set_size(&mut self, _: HostFile, _: u64) -> Result<(), NtStatus> {
        Err(NtStatus::ACCESS_DENIED)
    }
    fn read_at(&mut self, file: HostFile, offset: u64, into: &mut [u8]) -> Result<usize, NtStatus> {
        self.reads += 1;
        let file = &self.open[file.raw() as usize];
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(file.len());
        let count = into.len().min(file.len() - start);
        into[..count].copy_from_slice(&file[start..start + count]);
        Ok(count)
    }
    fn write_at(&mut self, _: HostFile, _: u64, _: &[u8]) -> Result<(), NtStatus> {
        Err(NtStatus::ACCESS_DENIED)
    }
    fn info(&mut self, path: &GuestPath) -> Result<FileInfo, NtStatus> {
        let found = self.files.get(&path.as_str().to_uppercase()).ok_or(NtStatus::OBJECT_NAME_NOT_FOUND)?;
        let (kind, modified, access) = (FileKind::File, Moment::default(), FileAccess::Read);
        Ok(FileInfo { kind, size: found.len() as u64, modified, access })
    }
    fn real_path(&mut self, path: &GuestPath) -> Result<GuestPath, NtStatus> {
        Ok(path.clone())
    }
    fn disk_space(&self) -> DiskSpace {
        DiskSpace { total: 1 << 30, free: 1 << 29 }
    }
    fn list(&mut self, _: &GuestPath) -> Result<Vec<DirectoryEntry>, NtStatus> {
        Ok(Vec::new())
    }
    fn create_directory(&mut self, _: &GuestPath) -> Result<(), NtStatus> {
        Err(NtStatus::ACCESS_DENIED)
    }
    fn remove(&mut self, _: &GuestPath, _: FileKind) -> Result<(), NtStatus> {
        Err(NtStatus::ACCESS_DENIED)
    }
    fn rename(&mut self, _: &GuestPath, _: &GuestPath) -> Result<(), NtStatus> {
        Err(NtStatus::ACCESS_DENIED)
    }
    fn console_read(&mut self, into: &mut [u8]) -> Result<usize, NtStatus> {
        into.fill(b'x');
        Ok(into.len().min(3))
    }
    fn console_write(&mut self, _: Console, from: &[u8]) -> Result<(), NtStatus> {
        self.output.extend_from_slice(from);
        Ok(())
    }
    fn now(&self) -> Moment {
        Moment::new(self.boot_time().units() + 10_000_000 + self.elapsed)
    }
    fn boot_time(&self) -> Moment {
        Moment::new(132_223_104_000_000_000)
    }
    fn advance(&mut self, units: u64) {
        self.elapsed = self.elapsed.saturating_add(units).min(1 << 50);
    }
    fn entropy(&mut self, into: &mut [u8]) {
        into.fill(0x5a);
    }
}

/// A booted system with a program in place.
pub(crate) struct World {
    pub(crate) mm: PagedMm<HeapRam, NoPageFiles>,
    pub(crate) nt: Nt,
    pub(crate) host: PaperHost,
    pub(crate) cpu: PaperCpu,
}

/// A committed sample guest.
pub(crate) fn guest(edition: &Edition, name: &str) -> Vec<u8> {
    library(edition, &format!("{name}.exe"))
}

/// A committed sample library, by its file's name.
pub(crate) fn library(edition: &Edition, name: &str) -> Vec<u8> {
    let folder = if edition.pointer_bytes() == 8 { "x64" } else { "x86" };
    let path = format!("{}/../lab/guests/bin/{folder}/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub(crate) fn path(text: &str) -> GuestPath {
    GuestPath::resolve(&GuestPath::root(), text).expect("a plain path")
}

impl World {
    /// A system with files and nothing started.
    pub(crate) fn with_files(edition_name: &str, files: &[(&str, Vec<u8>)]) -> Self {
        Self::randomised(edition_name, Aslr::Off, 1, files)
    }

    /// The same, with places drawn at random.
    pub(crate) fn randomised(edition_name: &str, aslr: Aslr, seed: u64, files: &[(&str, Vec<u8>)]) -> Self {
        let edition = edition(edition_name).expect("an edition");
        let config = MmConfig { edition, page_file_bytes: 1 << 28, commit_limit_bytes: None, seed, aslr };
        let mm = Mm::new(config, HeapRam::new(FRAMES)).expect("RAM enough");
        let mut host = PaperHost::default();
        for (name, bytes) in files {
            let key = path(name).as_str().to_uppercase();
            host.files.insert(key, Arc::new(bytes.clone()));
        }
        let mm = PagedMm::new(mm, NoPageFiles);
        Self { mm, nt: Nt::new(NtConfig { edition, seed }), host, cpu: PaperCpu::default() }
    }

    /// A system with a sample guest started.
    pub(crate) fn running(edition_name: &str, name: &str) -> Self {
        Self::granting(edition_name, name, &[])
    }

    /// The same for an account that holds further privileges.
    pub(crate) fn granting(edition_name: &str, name: &str, privileges: &[Privilege]) -> Self {
        let bytes = guest(edition(edition_name).expect("an edition"), name);
        let mut world = Self::with_files(edition_name, &[("work\\guest.exe", bytes)]);
        privileges.iter().for_each(|privilege| world.nt.grant(*privilege));
        world.start("work\\guest.exe", Lenience::Strict).expect("a sample guest starts");
        world
    }

    pub(crate) fn start(&mut self, program: &str, lenience: Lenience) -> Result<Loaded, LoadError> {
        let options = StartOptions {
            program: path(program),
            command_line: "\"C:\\work\\guest.exe\" one \"two three\"".to_owned(),
            current_directory: path("work"),
            environment: vec![("A".to_owned(), "1".to_owned()), ("Path".to_owned(), "C:\\".to_owned())],
            lenience,
            large_address_aware: None,
            parent: None,
        };
        let loaded = self.kernel().start(&options)?;
        let Self { mm, nt, host, cpu } = self;
        Kernel { nt, mm, host }.enter(cpu);
        Ok(loaded)
    }

    pub(crate) fn kernel(&mut self) -> Kernel<'_> {
        Kernel { nt: &mut self.nt, mm: &mut self.mm, host: &mut self.host }
    }

    /// Calls a service by name with arguments where the calling convention has them; answers RAX, or EAX.
    pub(crate) fn call(&mut self, name: &str, arguments: &[u64]) -> u64 {
        let number = self.nt.table().number(name).unwrap_or_else(|| panic!("{name} is a service"));
        let stack = self.scratch(0xf00);
        let (base, width) = match self.nt.edition().pointer_bytes() {
            8 => (stack + 8, 8),
            _ => (stack, 4),
        };
        for (slot, value) in (0..).zip(arguments) {
            let at = UserPtr::new(base + slot * width as u64);
            self.kernel().write(at, &value.to_le_bytes()[..width]).expect("the stack is there");
        }
        let argument = |index: usize| arguments.get(index).copied().unwrap_or(0);
        let gpr = &mut self.cpu.registers.gpr;
        gpr[0] = u64::from(number.raw());
        gpr[2] = if width == 8 { argument(1) } else { stack };
        gpr[4] = stack;
        if width == 8 {
            (gpr[8], gpr[9], gpr[10]) = (argument(2), argument(3), argument(0));
        }
        self.service();
        self.cpu.registers.gpr[0]
    }

    /// An address in the committed page at the top of the stack: the test's own variables.
    pub(crate) fn scratch(&self, offset: u64) -> u64 {
        let uses = &self.nt.process().uses;
        let (base, _) = uses.iter().find(|(_, what)| *what == RegionUse::Stack).expect("a stack");
        base.raw() + 0x10_0000 - 0x1000 + offset
    }

    /// Stores a pointer-sized variable at [`scratch`](Self::scratch); answers its address.
    pub(crate) fn store(&mut self, offset: u64, value: u64) -> u64 {
        let at = self.scratch(offset);
        self.kernel().write_word(UserPtr::new(at), value).expect("the stack is there");
        at
    }

    /// Reads a pointer-sized variable at [`scratch`](Self::scratch).
    pub(crate) fn load(&mut self, offset: u64) -> u64 {
        let at = self.scratch(offset);
        self.kernel().read_word(UserPtr::new(at)).expect("the stack is there")
    }

    /// Bytes of RAM.
    pub(crate) fn ram_bytes(&self) -> u64 {
        vadose_facts::x86::PhysicalMemory::frames(self.mm.ram()) << 12
    }

    /// The thread's last error.
    pub(crate) fn last_error(&mut self) -> u32 {
        self.kernel().last_error().expect("the TEB is there").raw()
    }

    /// Serves the call that the registers describe.
    pub(crate) fn service(&mut self) {
        let Self { mm, nt, host, cpu } = self;
        Kernel { nt, mm, host }.service(cpu);
        let _turn = Kernel { nt, mm, host }.schedule(cpu);
        self.nt.take_stale().nothing_cached();
    }
}
