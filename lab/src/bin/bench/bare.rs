//! Unicorn with nothing around it: memory mapped flat, or a virtual TLB that refuses each page once.

use iced_x86::IcedError;
use iced_x86::code_asm::*;
use std::cell::Cell;
use std::rc::Rc;
use unicorn_engine::{Arch, Mode, Prot, RegisterX86, TlbEntry, TlbType, Unicorn, X86Insn};
use vadose_facts::ntdef::Bitness;

/// Where the code is.
pub(crate) const CODE: u64 = 0x40_0000;

/// Where the pages lie that are touched.
const ARENA: u64 = 0x1000_0000;

/// Where they lie in RAM.
const ARENA_PHYS: u64 = 0x100_0000;

/// Bytes of RAM.
const RAM_BYTES: u64 = 128 << 20;

/// Bare Unicorn with a program.
pub(crate) struct Bare {
    uc: Unicorn<'static, ()>,
    bitness: Bitness,
    /// The next page to refuse.
    denied: Rc<Cell<u64>>,
}

impl Bare {
    /// Flat memory, no page tables.
    pub(crate) fn flat(bitness: Bitness) -> Self {
        let mode = match bitness {
            Bitness::Bits32 => Mode::MODE_32,
            Bitness::Bits64 => Mode::MODE_64,
        };
        let mut uc = Unicorn::new(Arch::X86, mode).expect("opens");
        uc.mem_map(0, RAM_BYTES, Prot::ALL).expect("maps");
        // Without a list of exits each start drops the code at its own, which costs microseconds.
        uc.ctl_exits_enable().expect("exits");
        uc.add_intr_hook(|uc, _| uc.emu_stop().expect("stops")).expect("hooks");
        Self { uc, bitness, denied: Rc::new(Cell::new(u64::MAX)) }
    }

    /// A virtual TLB that maps flat, and refuses each page of an arena the first time.
    pub(crate) fn refusing(bitness: Bitness) -> Self {
        let mut bare = Self::flat(bitness);
        bare.uc.ctl_set_tlb_type(TlbType::VIRTUAL).expect("virtual");
        let denied = Rc::clone(&bare.denied);
        let fill = move |_: &mut Unicorn<'_, ()>, va: u64, _| {
            if va >= ARENA && va == denied.get() {
                denied.set(va + 0x1000);
                return None;
            }
            Some(TlbEntry { paddr: if va >= ARENA { va - ARENA + ARENA_PHYS } else { va }, perms: Prot::ALL })
        };
        bare.uc.add_tlb_hook(1, 0, fill).expect("hooks");
        bare
    }

    /// The loop of the sample guest `int_loop`.
    pub(crate) fn load_integer_loop(&mut self, turns: u64) {
        self.load(if self.bitness == Bitness::Bits64 { integer_loop_64 } else { integer_loop_32 });
        self.set_count(turns);
    }

    /// Touches pages of the arena one after another; answers how many were refused.
    pub(crate) fn touch_pages(&mut self, pages: u64) -> u64 {
        self.uc.ctl_flush_tlb().expect("flushes");
        self.denied.set(ARENA);
        // ESI and ECX: the upper halves are zero from the start.
        self.uc.reg_write(RegisterX86::ESI, ARENA).expect("writes");
        self.set_count(pages);
        let (mut at, mut refused) = (CODE, 0);
        while self.uc.emu_start(at, 0, 0, 0).is_err() {
            refused += 1;
            at = self.ip();
        }
        refused
    }

    /// Loads the loop that [`touch_pages`](Self::touch_pages) runs.
    pub(crate) fn load_page_loop(&mut self) {
        self.load(page_loop);
    }

    /// Makes system calls end a run, and loads a loop of them.
    pub(crate) fn load_service_loop(&mut self) {
        for insn in [X86Insn::SYSCALL, X86Insn::SYSENTER] {
            self.uc.add_insn_sys_hook(insn, 1, 0, |uc| uc.emu_stop().expect("stops")).expect("hooks");
        }
        self.load(service_loop);
    }

    /// Runs to one system call and on from there the next time.
    pub(crate) fn one_service(&mut self, at: u64) -> u64 {
        self.uc.emu_start(at, 0, 0, 0).expect("runs");
        self.ip()
    }

    /// Runs the loaded program from its start to its end.
    pub(crate) fn run_to_end(&mut self) {
        self.uc.emu_start(CODE, 0, 0, 0).expect("runs");
    }

    fn set_count(&mut self, count: u64) {
        self.uc.reg_write(RegisterX86::ECX, count).expect("writes");
    }

    fn ip(&self) -> u64 {
        let register = match self.bitness {
            Bitness::Bits32 => RegisterX86::EIP,
            Bitness::Bits64 => RegisterX86::RIP,
        };
        self.uc.reg_read(register).expect("reads")
    }

    fn load(&mut self, program: Program) {
        let code = assemble(self.bitness, CODE, program);
        self.uc.mem_write(CODE, &code).expect("the code lies in RAM");
    }
}

/// What writes a program.
pub(crate) type Program = fn(&mut CodeAssembler) -> Result<(), IcedError>;

/// The bytes of a program, and an interrupt at its end.
pub(crate) fn assemble(bitness: Bitness, at: u64, program: Program) -> Vec<u8> {
    let bits = match bitness {
        Bitness::Bits32 => 32,
        Bitness::Bits64 => 64,
    };
    let mut assembler = CodeAssembler::new(bits).expect("a known width");
    program(&mut assembler).and_then(|()| assembler.int(0x2e)).expect("the program can be encoded");
    assembler.assemble(at).expect("the program can be encoded")
}

fn integer_loop_64(a: &mut CodeAssembler) -> Result<(), IcedError> {
    let mut top = a.create_label();
    a.set_label(&mut top)?;
    a.add(rax, rcx)?;
    a.xor(rdx, rax)?;
    a.rol(rdx, 3)?;
    a.add(rbx, rdx)?;
    a.sub(rsi, rax)?;
    a.lea(rdi, qword_ptr(rdi + rsi + 1))?;
    a.dec(rcx)?;
    a.jnz(top)
}

fn integer_loop_32(a: &mut CodeAssembler) -> Result<(), IcedError> {
    let mut top = a.create_label();
    a.set_label(&mut top)?;
    a.add(eax, ecx)?;
    a.xor(edx, eax)?;
    a.rol(edx, 3)?;
    a.add(ebx, edx)?;
    a.sub(esi, eax)?;
    a.lea(edi, dword_ptr(edi + esi + 1))?;
    a.dec(ecx)?;
    a.jnz(top)
}

/// Adds to a word of each of the pages that start at SI, CX of them.
pub(crate) fn page_loop(a: &mut CodeAssembler) -> Result<(), IcedError> {
    let mut top = a.create_label();
    a.set_label(&mut top)?;
    if a.bitness() == 64 {
        a.mov(dword_ptr(rsi), ecx)?;
        a.add(rsi, 0x1000)?;
    } else {
        a.mov(dword_ptr(esi), ecx)?;
        a.add(esi, 0x1000)?;
    }
    a.dec(ecx)?;
    a.jnz(top)
}

/// System calls for ever.
pub(crate) fn service_loop(a: &mut CodeAssembler) -> Result<(), IcedError> {
    let mut top = a.create_label();
    a.set_label(&mut top)?;
    if a.bitness() == 64 {
        a.syscall()?;
    } else {
        a.db(&[0x0f, 0x34])?;
    }
    a.jmp(top)
}
