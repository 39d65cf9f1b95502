//! Every way out of the guest's folders, tried by the native calls of a program that runs on them.

use super::escapes::NAMES;
use super::*;
use crate::host::clock::Entropy;
use vadose_cpu::{CpuError, Exit, Registers, StopHandle, Vcpu};
use vadose_facts::addr::VirtAddr;
use vadose_facts::x86::{AddressSpace, HeapRam, Stale};
use vadose_mm::{Mm, MmConfig};
use vadose_nt::{Kernel, Lenience, NoPageFiles, Nt, NtConfig, PagedMm, RegionUse, StartOptions, UserPtr};

/// Frames of RAM.
const FRAMES: u64 = 8192;
/// Where the structures of a call are in the scratch page.
const TEXT: u64 = 0;
const STRING: u64 = 0x800;
const ATTRIBUTES: u64 = 0x820;
const BLOCK: u64 = 0x860;
const HANDLE: u64 = 0x880;
const CHANGE: u64 = 0x900;
const STACK: u64 = 0xf00;

const SYNCHRONIZE: u64 = 0x10_0000;
const READ: u64 = 0x8000_0000 | SYNCHRONIZE;
const WRITE: u64 = 0x4000_0000 | READ;
const DELETE: u64 = 0x1_0000 | SYNCHRONIZE;
/// `FILE_SYNCHRONOUS_IO_NONALERT`.
const PLAIN: u64 = 0x20;

/// Registers and nothing that runs.
#[derive(Default)]
struct PaperCpu(Registers);

impl Vcpu for PaperCpu {
    fn run(&mut self, _: Option<u64>) -> Result<Exit, CpuError> {
        Ok(Exit::Interrupted)
    }
    fn set_address_space(&mut self, _: AddressSpace) {}
    fn drop_stale(&mut self, stale: Stale) {
        stale.nothing_cached();
    }
    fn gpr(&self, index: usize) -> u64 {
        self.0.gpr[index]
    }
    fn set_gpr(&mut self, index: usize, value: u64) {
        self.0.gpr[index] = value;
    }
    fn ip(&self) -> VirtAddr {
        VirtAddr::new(self.0.ip)
    }
    fn set_ip(&mut self, ip: VirtAddr) {
        self.0.ip = ip.raw();
    }
    fn registers(&self) -> Registers {
        self.0.clone()
    }
    fn set_registers(&mut self, registers: &Registers) {
        self.0 = registers.clone();
    }
    fn set_teb(&mut self, _: VirtAddr) {}
    fn stop_handle(&self) -> StopHandle {
        StopHandle::default()
    }
    fn blocks_executed(&self) -> u64 {
        0
    }
}

/// A started 64-bit program in the guest's folders.
struct Program {
    world: World,
    mm: PagedMm<HeapRam, NoPageFiles>,
    nt: Nt,
    cpu: PaperCpu,
}

impl Program {
    fn start() -> Self {
        let sample = format!("{}/../lab/guests/bin/x64/hello.exe", env!("CARGO_MANIFEST_DIR"));
        let mut world = World::with(|options| {
            options.program = options.folder.join("prog.exe");
            fs::copy(&sample, &options.program).expect("a sample guest");
        });
        let edition = edition("win10-x64").expect("an edition");
        let config = MmConfig {
            edition,
            page_file_bytes: 1 << 28,
            commit_limit_bytes: None,
            seed: 1,
            aslr: Aslr::Off,
        };
        let mut mm = PagedMm::new(Mm::new(config, HeapRam::new(FRAMES)).expect("RAM enough"), NoPageFiles);
        let (mut nt, mut cpu) = (Nt::new(NtConfig { edition, seed: 1 }), PaperCpu::default());
        let options = StartOptions {
            program: world.host.program_path().clone(),
            command_line: "prog".to_owned(),
            current_directory: world.host.working_folder().clone(),
            environment: Vec::new(),
            lenience: Lenience::Strict,
            large_address_aware: None,
            parent: None,
        };
        let mut kernel = Kernel { nt: &mut nt, mm: &mut mm, host: &mut world.host };
        kernel.start(&options).expect("a sample guest starts");
        kernel.enter(&mut cpu);
        Self { world, mm, nt, cpu }
    }

    fn kernel(&mut self) -> Kernel<'_> {
        Kernel { nt: &mut self.nt, mm: &mut self.mm, host: &mut self.world.host }
    }

    /// An address in the committed page at the top of the stack.
    fn at(&self, offset: u64) -> u64 {
        let uses = &self.nt.process().uses;
        let (base, _) = uses.iter().find(|(_, what)| *what == RegionUse::Stack).expect("a stack");
        base.raw() + 0x10_0000 - 0x1000 + offset
    }

    fn put(&mut self, offset: u64, bytes: &[u8]) -> u64 {
        let at = self.at(offset);
        self.kernel().write(UserPtr::new(at), bytes).expect("scratch memory");
        at
    }

    fn words(&mut self, offset: u64, words: &[u64]) -> u64 {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.put(offset, &bytes)
    }

    fn call(&mut self, name: &str, arguments: &[u64]) -> NtStatus {
        let number = self.nt.table().number(name).unwrap_or_else(|| panic!("{name} is a service"));
        self.words(STACK + 8, arguments);
        let argument = |index: usize| arguments.get(index).copied().unwrap_or(0);
        let stack = self.at(STACK);
        let gpr = &mut self.cpu.0.gpr;
        (gpr[0], gpr[2], gpr[4]) = (u64::from(number.raw()), argument(1), stack);
        (gpr[8], gpr[9], gpr[10]) = (argument(2), argument(3), argument(0));
        let Self { world, mm, nt, cpu } = self;
        Kernel { nt, mm, host: &mut world.host }.service(cpu);
        self.nt.take_stale().nothing_cached();
        NtStatus::new(self.cpu.0.gpr[0] as u32)
    }

    /// Opens or makes a file by its native name; answers its handle.
    fn open(
        &mut self,
        (root, name): (u64, &str),
        access: u64,
        disposition: u64,
        options: u64,
    ) -> Result<u64, NtStatus> {
        let units: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let length = units.len() as u64;
        let text = self.put(TEXT, &units);
        let string = self.words(STRING, &[length | length << 16, text]);
        let attributes = self.words(ATTRIBUTES, &[48, root, string, 0x40, 0, 0]);
        let (handle, block) = (self.words(HANDLE, &[0]), self.at(BLOCK));
        let arguments = [handle, access, attributes, block, 0, 0, 7, disposition, options, 0, 0];
        match self.call("NtCreateFile", &arguments) {
            OK => Ok(self.kernel().read_u64(UserPtr::new(handle)).expect("scratch memory")),
            status => Err(status),
        }
    }

    fn close(&mut self, handle: u64) {
        assert_eq!(self.call("NtClose", &[handle]), OK);
    }

    /// The first bytes of an open file, if they can be read.
    fn content(&mut self, handle: u64) -> Vec<u8> {
        let (block, to) = (self.words(BLOCK, &[0, 0]), self.at(CHANGE));
        let offset = self.words(STRING, &[0]);
        match self.call("NtReadFile", &[handle, 0, 0, 0, block, to, 16, offset, 0]) {
            OK => self.kernel().read_vec(UserPtr::new(to), 16).expect("scratch memory"),
            _status => Vec::new(),
        }
    }

    fn rename(&mut self, file: u64, to: &str) -> NtStatus {
        let name: Vec<u8> = to.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let header = [&[0; 16][..], &(name.len() as u32).to_le_bytes()].concat();
        let bytes = [header, name].concat();
        let (from, block) = (self.put(CHANGE, &bytes), self.at(BLOCK));
        self.call("NtSetInformationFile", &[file, block, from, bytes.len() as u64, 10])
    }
}

/// Names that lead outside, or to what is no file of the guest, with the status of opening them.
const OUTSIDE: [(&str, NtStatus); 30] = [
    (r"\??\C:\work\..\secret\key", INVALID),
    (r"\??\C:\..\..\etc\passwd", INVALID),
    (r"\??\C:\work\sub\..\..\..\secret\key", INVALID),
    (r"\SystemRoot\..\..\etc\passwd", INVALID),
    (r"\??\C:/etc/passwd", NAME),
    (r"\??\C:\work/../secret/key", INVALID),
    (r"\??\C:\etc\passwd", PATH),
    (r"\??\C:\secret\key", PATH),
    (r"\??\Z:\etc\passwd", PATH),
    (r"\??\unix\etc\passwd", PATH),
    (r"\??\UNC\localhost\c$\etc\passwd", NtStatus::BAD_NETWORK_PATH),
    (r"\??\GLOBALROOT\??\UNC\localhost\c$\x", NtStatus::BAD_NETWORK_PATH),
    (r"\Device\Mup\localhost\c$\x", NtStatus::BAD_NETWORK_PATH),
    (r"\??\GLOBALROOT\Device\HarddiskVolume1\..\secret\key", INVALID),
    (r"\Device\HarddiskVolume2\etc\passwd", PATH),
    (r"\??\GLOBALROOT\Device\Harddisk0\Partition0", PATH),
    (r"\??\PhysicalDrive0", NAME),
    (r"\??\C:", DENIED),
    (r"\Device\HarddiskVolume1", DENIED),
    (r"\Device\PhysicalMemory", NAME),
    (r"\??\C:\work\file-out", DENIED),
    (r"\??\C:\work\link-out\key", DENIED),
    (r"\??\C:\work\LINK-ABS\KEY", DENIED),
    (r"\??\C:\work\link-out\..\Read.txt", INVALID),
    (r"\??\C:\work\out\link-up", DENIED),
    (r"\??\C:\work\Read.txt:stream", INVALID),
    (r"\??\C:\work\file-out::$DATA", INVALID),
    (r"\??\C:\work\READ~1.TXT", NAME),
    (r"\??\C:\work\sub\con", INVALID),
    (r"\??\C:\work\Read.txt. ", INVALID),
];
const INVALID: NtStatus = NtStatus::OBJECT_NAME_INVALID;

#[test]
fn no_native_name_leads_outside() {
    let mut program = Program::start();
    for (name, status) in OUTSIDE {
        assert_eq!(program.open((0, name), READ, 1, PLAIN).err(), Some(status), "{name}");
        for (access, disposition) in [(WRITE, 1), (WRITE, 2), (WRITE, 3), (WRITE, 5), (READ, 0), (DELETE, 1)]
        {
            assert!(program.open((0, name), access, disposition, PLAIN).is_err(), "{name} {disposition}");
        }
        assert!(program.open((0, name), READ, 2, PLAIN | 1).is_err(), "{name} as a folder");
    }
    let folder = program.open((0, r"\??\C:\work\sub"), READ, 1, PLAIN | 1).expect("a folder");
    for name in [r"..\Read.txt", r"..\..\secret\key", r"\??\C:\work\Read.txt", r"C:\work\Read.txt", "..", "."]
    {
        assert!(program.open((folder, name), READ, 1, PLAIN).is_err(), "{name}");
    }
    assert_eq!(fs::read_dir(program.world.on_host("secret")).expect("a folder").count(), 1);
    assert_eq!(fs::read(program.world.on_host("secret/key")).expect("it is still there"), b"secret/key");
}

#[test]
fn no_file_is_renamed_or_linked_to_the_outside() {
    let mut program = Program::start();
    let file = program.open((0, r"\??\C:\work\out\old.txt"), DELETE, 1, PLAIN).expect("it is writable");
    for (to, status) in [
        (r"..\stolen", INVALID),
        (r"\??\C:\work\link-out\stolen", DENIED),
        (r"\??\C:\work\stolen", DENIED),
        (r"\??\C:\stolen", NAME),
        (r"\??\C:\secret\stolen", PATH),
        (r"\??\UNC\localhost\c$\stolen", NtStatus::BAD_NETWORK_PATH),
        (r"\??\PhysicalDrive0", NAME),
        (r"stolen:stream", INVALID),
    ] {
        assert_eq!(program.rename(file, to), status, "{to}");
    }
    let (block, from) = (program.at(BLOCK), program.at(CHANGE));
    for link in [11, 72] {
        let linked = program.call("NtSetInformationFile", &[file, block, from, 64, link]);
        assert_eq!(linked, NtStatus::INVALID_INFO_CLASS, "links are not made");
    }
    assert_eq!(program.rename(file, r"\??\C:\writable\1\moved"), OK, "from one of its folders to another");
    assert!(program.world.on_host("apart/moved").exists());
}

#[test]
fn nothing_that_a_program_opens_natively_is_the_secret() {
    let mut program = Program::start();
    symlink("../../secret", program.world.on_host("home/out/to-secret")).expect("the name is free");
    symlink("../secret", program.world.on_host("apart/to-secret")).expect("the name is free");
    let (mut random, mut opened) = (Entropy::new(2026), 0);
    let starts = [r"\??\C:\", r"\Device\HarddiskVolume1\", r"\??\GLOBALROOT\??\C:\", r"\??\", r"\"];
    for _ in 0..5_000 {
        let mut draw = [0; 10];
        random.fill(&mut draw);
        let names = draw[4..5 + usize::from(draw[0]) % 5].iter();
        let names: Vec<&str> = names.map(|byte| NAMES[usize::from(*byte) % NAMES.len()]).collect();
        let name = format!("{}{}", starts[usize::from(draw[1]) % starts.len()], names.join("\\"));
        let access = [READ, WRITE, DELETE | READ][usize::from(draw[2]) % 3];
        let (disposition, options) = (u64::from(draw[3] % 6), PLAIN | u64::from(draw[3] >> 7));
        let Ok(handle) = program.open((0, &name), access, disposition, options) else { continue };
        opened += 1;
        assert!(!program.content(handle).starts_with(b"secret"), "{name} gave the secret away");
        program.close(handle);
    }
    assert!(opened > 0, "some names lead to what it may open");
    for (file, text) in [("secret/key", "secret/key"), ("home/Read.txt", "home/Read.txt")] {
        assert_eq!(fs::read(program.world.on_host(file)).expect("it is still there"), text.as_bytes());
    }
    assert_eq!(fs::read_dir(program.world.on_host("secret")).expect("a folder").count(), 1);
}
