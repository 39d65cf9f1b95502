//! A guest of a few pages: RAM, page tables of any mode built by hand, and code from an assembler.

pub(crate) mod accesses;
pub(crate) mod cases;
pub(crate) mod own_walk;

use iced_x86::IcedError;
use iced_x86::code_asm::CodeAssembler;
use std::cell::Cell;
use std::sync::Arc;
use vadose_cpu::{CpuMode, Exit, FaultExit, GuestRam, Vcpu};
use vadose_facts::addr::{PAGE_BYTES, PhysAddr, VirtAddr};
use vadose_facts::x86::{Access, AddressSpace, FaultCode, NoExecute, PagingMode, PhysicalMemory, Stale};
use vadose_unicorn::{ProcessorPage, UnicornCpu};

pub(crate) const P: u64 = 1;
pub(crate) const RW: u64 = 2;
pub(crate) const US: u64 = 4;
pub(crate) const A: u64 = 0x20;
pub(crate) const D: u64 = 0x40;
pub(crate) const USER_RW: u64 = P | RW | US;
pub(crate) const USER_RO: u64 = P | US;
pub(crate) const NX: u64 = 1 << 63;

pub(crate) const FRAMES: u64 = 4096;
const FIRST_TABLE: u64 = 0x10_0000;
/// Frames for data start here: anything a test maps by number.
pub(crate) const DATA: u64 = 0x20_0000;

/// RAM and one set of tables.
pub(crate) struct Tables {
    pub(crate) ram: Arc<GuestRam>,
    pub(crate) space: AddressSpace,
    next_table: Cell<u64>,
}

impl Tables {
    pub(crate) fn new(mode: PagingMode) -> Self {
        let ram = Arc::new(GuestRam::new(FRAMES).expect("16 MiB"));
        let no_execute = match mode {
            PagingMode::Legacy => NoExecute::Off,
            PagingMode::Pae | PagingMode::Long4 | PagingMode::Long5 => NoExecute::Enforced,
        };
        let space = AddressSpace { mode, root: PhysAddr::new(FIRST_TABLE), no_execute };
        Self { ram, space, next_table: Cell::new(FIRST_TABLE + PAGE_BYTES) }
    }

    pub(crate) fn read(&self, at: PhysAddr) -> u64 {
        match self.space.mode.entry_bytes() {
            4 => u64::from(self.ram.read_u32(at)),
            _ => self.ram.read_u64(at),
        }
    }

    pub(crate) fn write(&self, at: PhysAddr, entry: u64) {
        match self.space.mode.entry_bytes() {
            4 => self.ram.write_u32(at, entry as u32),
            _ => self.ram.write_u64(at, entry),
        }
    }

    /// Where the last-level entry of a page is; makes tables on the way, which allow everything.
    pub(crate) fn leaf(&self, va: u64) -> PhysAddr {
        let mut table = self.space.root;
        let va = VirtAddr::new(va);
        for level in self.space.mode.levels() {
            let at = table.offset(level.index(va) * self.space.mode.entry_bytes());
            if level.shift == 12 {
                return at;
            }
            if self.read(at) & P == 0 {
                let new = self.next_table.get();
                self.next_table.set(new + PAGE_BYTES);
                assert!(new < DATA, "room for tables");
                let rights =
                    if self.space.mode == PagingMode::Pae && level.shift == 30 { P } else { USER_RW };
                self.write(at, new | rights);
            }
            table = PhysAddr::new(self.read(at) & 0x000f_ffff_ffff_f000);
        }
        unreachable!("the last level ends at bit 12")
    }

    pub(crate) fn map(&self, va: u64, entry: u64) {
        self.write(self.leaf(va), entry);
    }

    pub(crate) fn entry(&self, va: u64) -> u64 {
        self.read(self.leaf(va))
    }

    pub(crate) fn put(&self, phys: u64, bytes: &[u8]) {
        self.ram.write_bytes(PhysAddr::new(phys), bytes);
    }

    pub(crate) fn u64_at(&self, phys: u64) -> u64 {
        self.ram.read_u64(PhysAddr::new(phys))
    }
}

/// A processor on tables, with code at [`CODE`] in the frame [`CODE_PHYS`] and two data pages.
pub(crate) struct Guest {
    pub(crate) tables: Tables,
    pub(crate) cpu: UnicornCpu,
    pub(crate) mode: CpuMode,
}

pub(crate) const CODE: u64 = 0x40_0000;
pub(crate) const CODE_PHYS: u64 = DATA;
/// A read-write page, followed by another.
pub(crate) const HEAP: u64 = 0x50_0000;
pub(crate) const HEAP_PHYS: u64 = DATA + 0x10_0000;
/// A page that is never there.
pub(crate) const HOLE: u64 = 0x60_0000;
pub(crate) const STACK_TOP: u64 = 0x70_1000;
pub(crate) const STACK_PHYS: u64 = DATA + 0x20_0000;
pub(crate) const PROCESSOR_PHYS: u64 = 0x8000;

pub(crate) const fn cpu_mode(mode: PagingMode) -> CpuMode {
    match mode {
        PagingMode::Legacy | PagingMode::Pae => CpuMode::Bits32,
        PagingMode::Long4 | PagingMode::Long5 => CpuMode::Bits64,
    }
}

pub(crate) const fn kernel_base(mode: CpuMode) -> u64 {
    match mode {
        CpuMode::Bits32 => 0xffdf_0000,
        CpuMode::Bits64 => 0xffff_f780_0001_0000,
    }
}

pub(crate) const AX: usize = 0;
pub(crate) const CX: usize = 1;
pub(crate) const DX: usize = 2;
pub(crate) const BX: usize = 3;
pub(crate) const SP: usize = 4;
pub(crate) const SI: usize = 6;
pub(crate) const DI: usize = 7;

impl Guest {
    pub(crate) fn new(paging: PagingMode) -> Self {
        let tables = Tables::new(paging);
        let mode = cpu_mode(paging);
        let page =
            ProcessorPage { phys: PhysAddr::new(PROCESSOR_PHYS), va: VirtAddr::new(kernel_base(mode)) };
        let mut cpu = UnicornCpu::new(mode, Arc::clone(&tables.ram), page).expect("an engine");
        map_usual_pages(&tables);
        cpu.set_address_space(tables.space);
        let mut guest = Self { tables, cpu, mode };
        guest.restart();
        guest
    }

    /// Puts the registers where a program starts.
    pub(crate) fn restart(&mut self) {
        self.cpu.set_ip(VirtAddr::new(CODE));
        self.cpu.set_gpr(SP, STACK_TOP - 0x100);
    }

    pub(crate) const fn bits(&self) -> u32 {
        match self.mode {
            CpuMode::Bits32 => 32,
            CpuMode::Bits64 => 64,
        }
    }

    /// Assembles to the start of the code page, as a loader would: the engine is told.
    pub(crate) fn load(&mut self, program: impl FnOnce(&mut CodeAssembler) -> Result<(), IcedError>) {
        self.load_at(CODE, program);
        self.restart();
    }

    pub(crate) fn load_at(
        &mut self,
        va: u64,
        program: impl FnOnce(&mut CodeAssembler) -> Result<(), IcedError>,
    ) {
        let bytes = assemble(self.bits(), va, program);
        self.put_code(va, &bytes);
    }

    pub(crate) fn put_code(&mut self, va: u64, bytes: &[u8]) {
        for (va, byte) in (va..).zip(bytes) {
            let frame = self.tables.entry(va) & 0x000f_ffff_ffff_f000;
            self.tables.put(frame | va & 0xfff, &[*byte]);
        }
        let mut stale = Stale::none();
        for va in [va, va + bytes.len() as u64] {
            let frame = self.tables.entry(va) & 0x000f_ffff_ffff_f000;
            stale.add_frame(PhysAddr::new(frame).pfn());
        }
        self.cpu.drop_stale(stale);
    }

    pub(crate) fn run(&mut self) -> Exit {
        self.cpu.run(None).expect("the engine works")
    }

    /// Maps a page and drops the old translation.
    pub(crate) fn remap(&mut self, va: u64, entry: u64) {
        self.tables.map(va, entry);
        self.cpu.drop_stale(Stale::page(VirtAddr::new(va).vpn()));
    }

    pub(crate) fn gpr(&self, index: usize) -> u64 {
        self.cpu.gpr(index)
    }

    pub(crate) fn ip(&self) -> u64 {
        self.cpu.ip().raw()
    }
}

pub(crate) fn assemble(
    bits: u32,
    va: u64,
    program: impl FnOnce(&mut CodeAssembler) -> Result<(), IcedError>,
) -> Vec<u8> {
    let mut assembler = CodeAssembler::new(bits).expect("a bitness");
    program(&mut assembler).expect("the program assembles");
    assembler.assemble(va).expect("the program encodes")
}

pub(crate) fn map_usual_pages(tables: &Tables) {
    for page in 0..2 {
        let off = page * PAGE_BYTES;
        tables.map(CODE + off, (CODE_PHYS + off) | USER_RO);
        tables.map(HEAP + off, (HEAP_PHYS + off) | USER_RW);
        tables.map(STACK_TOP - PAGE_BYTES - off, (STACK_PHYS + off) | USER_RW);
    }
    tables.leaf(HOLE);
}

pub(crate) fn fault(address: u64, access: Access, code: FaultCode) -> Exit {
    Exit::Fault(FaultExit { address: VirtAddr::new(address), access, code })
}

/// A page that is not there.
pub(crate) fn missing(address: u64, access: Access) -> Exit {
    let mut code = FaultCode::USER;
    if access == Access::Write {
        code |= FaultCode::WRITE;
    }
    fault(address, access, code)
}

pub(crate) const BOTH: [PagingMode; 2] = [PagingMode::Long4, PagingMode::Pae];
pub(crate) const ALL: [PagingMode; 4] =
    [PagingMode::Legacy, PagingMode::Pae, PagingMode::Long4, PagingMode::Long5];
