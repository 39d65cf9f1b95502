//! What the engine costs, beside bare Unicorn in the same run: `cargo run --release -p vadose-unicorn --example speed`.
#![allow(clippy::print_stdout, reason = "a measuring program")]

#[path = "../tests/all/support/mod.rs"]
#[expect(dead_code, reason = "measuring needs a part of it")]
mod support;

use iced_x86::code_asm::*;
use std::hint::black_box;
use std::time::Instant;
use support::*;
use unicorn_engine::{Arch, Mode, Prot, RegisterX86, TlbEntry, TlbType, Unicorn, X86Insn};
use vadose_cpu::{CpuMode, Exit, Vcpu};
use vadose_facts::addr::VirtAddr;
use vadose_facts::x86::{Access, PagingMode, Privilege, walk};

const ITERATIONS: u64 = 20_000_000;
const LOOP_INSTRUCTIONS: u64 = 8;
const TRIPS: u64 = 50_000;
const ROUNDS: usize = 7;

fn main() {
    for mode in [PagingMode::Long4, PagingMode::Pae] {
        println!("{mode:?}");
        compare("integer loop, MIPS", Better::Higher, || bare_loop(mode), || our_loop(mode, None));
        let counted = median(|| our_loop(mode, Some(u64::MAX)));
        println!("  integer loop with a block budget, MIPS   {counted:>9.0}");
        compare("fault, fix, resume, ns", Better::Lower, || bare_fault(mode), || our_fault(mode));
        compare("service call, ns", Better::Lower, || bare_service(mode), || our_service(mode));
        println!("  TLB fill by walk, ns                     {:>9.1}", median(|| our_fill(mode)));
        println!("  our walk alone, ns                       {:>9.1}", median(|| our_walk(mode)));
        println!("  drop one stale page, ns                  {:>9.1}", median(|| our_flush(mode)));
        println!("  read five and write one register, ns     {:>9.1}", median(|| our_registers(mode)));
    }
}

enum Better {
    Higher,
    Lower,
}

fn compare(what: &str, better: Better, mut bare: impl FnMut() -> f64, mut ours: impl FnMut() -> f64) {
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        a.push(bare());
        b.push(ours());
    }
    let (a, b) = (middle(a), middle(b));
    let wanted = match better {
        Better::Higher => "higher is better",
        Better::Lower => "lower is better",
    };
    println!("  {what:<26} bare {a:>9.1}   ours {b:>9.1}   ratio {:.3} ({wanted})", b / a);
}

fn median(mut sample: impl FnMut() -> f64) -> f64 {
    middle((0..ROUNDS).map(|_| sample()).collect())
}

fn middle(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

fn integer_loop(a: &mut CodeAssembler) -> Result<(), iced_x86::IcedError> {
    let mut top = a.create_label();
    a.set_label(&mut top)?;
    a.add(eax, ecx)?;
    a.xor(edx, eax)?;
    a.rol(edx, 3)?;
    a.add(ebx, edx)?;
    a.sub(esi, eax)?;
    a.add(edi, esi)?;
    a.dec(ecx)?;
    a.jnz(top)?;
    a.int(0x2e)
}

/// Loads a byte of each of the pages that start at SI, CX of them.
fn page_loop(a: &mut CodeAssembler) -> Result<(), iced_x86::IcedError> {
    let mut top = a.create_label();
    a.set_label(&mut top)?;
    if a.bitness() == 64 {
        a.add(eax, dword_ptr(rsi))?
    } else {
        a.add(eax, dword_ptr(esi))?
    }
    a.add(esi, 0x1000)?;
    a.dec(ecx)?;
    a.jnz(top)?;
    a.int(0x2e)
}

fn service_loop(a: &mut CodeAssembler) -> Result<(), iced_x86::IcedError> {
    let mut top = a.create_label();
    a.set_label(&mut top)?;
    if a.bitness() == 64 {
        a.syscall()?
    } else {
        a.db(&[0x0f, 0x34])?
    }
    a.jmp(top)
}

fn per_trip(began: Instant, trips: u64) -> f64 {
    began.elapsed().as_secs_f64() * 1e9 / trips as f64
}

fn our_loop(mode: PagingMode, budget: Option<u64>) -> f64 {
    let mut guest = Guest::new(mode);
    guest.load(integer_loop);
    guest.cpu.set_gpr(CX, ITERATIONS);
    let began = Instant::now();
    assert_eq!(guest.cpu.run(budget).expect("runs"), Exit::Service);
    (ITERATIONS * LOOP_INSTRUCTIONS) as f64 / began.elapsed().as_secs_f64() / 1e6
}

const ARENA: u64 = 0x1000_0000;
const PAGES: u64 = 1024;

fn arena(guest: &Guest, entry: u64) {
    for page in 0..PAGES {
        guest.tables.map(ARENA + page * 0x1000, (DATA + 0x30_0000 + page * 0x1000) & !1 | entry);
    }
}

fn start_page_loop(guest: &mut Guest) {
    guest.restart();
    guest.cpu.set_gpr(SI, ARENA);
    guest.cpu.set_gpr(CX, PAGES);
}

/// The exact byte and the entry's repair included; no frame is zeroed.
fn our_fault(mode: PagingMode) -> f64 {
    let mut guest = Guest::new(mode);
    guest.load(page_loop);
    let leaves: Vec<_> = (0..PAGES).map(|p| guest.tables.leaf(ARENA + p * 0x1000)).collect();
    let mut total = 0.0;
    for _ in 0..TRIPS / PAGES {
        arena(&guest, 0);
        guest.cpu.set_address_space(guest.tables.space);
        start_page_loop(&mut guest);
        let began = Instant::now();
        loop {
            match guest.cpu.run(None).expect("runs") {
                Exit::Fault(f) => {
                    let page = (f.address.raw() - ARENA) / 0x1000;
                    let at = leaves[page as usize];
                    let entry = guest.tables.read(at) | USER_RW;
                    guest.tables.write(at, entry);
                }
                Exit::Service => break,
                other => panic!("{other:?}"),
            }
        }
        total += per_trip(began, PAGES);
    }
    total / (TRIPS / PAGES) as f64
}

fn our_fill(mode: PagingMode) -> f64 {
    let mut guest = Guest::new(mode);
    guest.load(page_loop);
    arena(&guest, USER_RW | A);
    let mut pass = |flush: bool| {
        if flush {
            guest.cpu.set_address_space(guest.tables.space);
        }
        start_page_loop(&mut guest);
        let began = Instant::now();
        assert_eq!(guest.cpu.run(None).expect("runs"), Exit::Service);
        per_trip(began, PAGES)
    };
    let (mut cold, mut warm) = (0.0, 0.0);
    for _ in 0..50 {
        cold += pass(true);
        warm += pass(false);
    }
    (cold - warm) / 50.0
}

fn our_walk(mode: PagingMode) -> f64 {
    let guest = Guest::new(mode);
    arena(&guest, USER_RW | A);
    let began = Instant::now();
    for trip in 0..TRIPS {
        let va = VirtAddr::new(ARENA + trip % PAGES * 0x1000);
        let found = walk(&*guest.tables.ram, guest.tables.space, va, Access::Read, Privilege::User);
        black_box(found).expect("mapped");
    }
    per_trip(began, TRIPS)
}

fn our_service(mode: PagingMode) -> f64 {
    let mut guest = Guest::new(mode);
    guest.load(service_loop);
    let began = Instant::now();
    for _ in 0..TRIPS {
        assert_eq!(guest.cpu.run(None).expect("runs"), Exit::Service);
    }
    per_trip(began, TRIPS)
}

fn our_flush(mode: PagingMode) -> f64 {
    let mut guest = Guest::new(mode);
    guest.load(service_loop);
    let began = Instant::now();
    for _ in 0..TRIPS {
        guest.cpu.drop_stale(vadose_facts::x86::Stale::page(VirtAddr::new(HEAP).vpn()));
    }
    per_trip(began, TRIPS)
}

fn our_registers(mode: PagingMode) -> f64 {
    let mut guest = Guest::new(mode);
    let began = Instant::now();
    for i in 0..TRIPS {
        for register in [AX, CX, DX, SI, DI] {
            black_box(guest.gpr(register));
        }
        guest.cpu.set_gpr(AX, i);
    }
    per_trip(began, TRIPS)
}

/// Unicorn with a virtual TLB that maps addresses flat, and nothing else.
fn bare(mode: PagingMode, program: fn(&mut CodeAssembler) -> Result<(), iced_x86::IcedError>) -> Bare {
    let tables = Tables::new(mode);
    let (uc_mode, bits) = match cpu_mode(mode) {
        CpuMode::Bits32 => (Mode::MODE_32, 32),
        CpuMode::Bits64 => (Mode::MODE_64, 64),
    };
    tables.put(CODE, &assemble(bits, CODE, program));
    let denied = std::rc::Rc::new(std::cell::Cell::new(u64::MAX));
    let mut uc = Unicorn::new(Arch::X86, uc_mode).expect("opens");
    let (base, bytes) = (tables.ram.host_pointer().as_ptr().cast(), tables.ram.size_bytes() as u64);
    // SAFETY: the RAM is kept beside the engine and dropped after it.
    unsafe { uc.mem_map_ptr(0, bytes, Prot::ALL, base).expect("maps") };
    uc.ctl_set_tlb_type(TlbType::VIRTUAL).expect("virtual");
    uc.ctl_exits_enable().expect("exits");
    let first = std::rc::Rc::clone(&denied);
    uc.add_tlb_hook(1, 0, move |_, va, _| {
        // Refuses each page of the arena once: the next one is always above.
        if va >= ARENA && va == first.get() {
            first.set(va + 0x1000);
            return None;
        }
        Some(TlbEntry { paddr: if va >= ARENA { va - ARENA + 0x30_0000 } else { va }, perms: Prot::ALL })
    })
    .expect("hooks");
    uc.add_intr_hook(|uc, _| uc.emu_stop().expect("stops")).expect("hooks");
    for insn in [X86Insn::SYSCALL, X86Insn::SYSENTER] {
        uc.add_insn_sys_hook(insn, 1, 0, |uc| uc.emu_stop().expect("stops")).expect("hooks");
    }
    Bare { uc, denied, _tables: tables }
}

struct Bare {
    uc: Unicorn<'static, ()>,
    denied: std::rc::Rc<std::cell::Cell<u64>>,
    _tables: Tables,
}

fn ip_of(mode: PagingMode) -> RegisterX86 {
    match cpu_mode(mode) {
        CpuMode::Bits32 => RegisterX86::EIP,
        CpuMode::Bits64 => RegisterX86::RIP,
    }
}

fn bare_loop(mode: PagingMode) -> f64 {
    let mut bare = bare(mode, integer_loop);
    bare.uc.reg_write(RegisterX86::ECX, ITERATIONS).expect("writes");
    let began = Instant::now();
    bare.uc.emu_start(CODE, 0, 0, 0).expect("runs");
    (ITERATIONS * LOOP_INSTRUCTIONS) as f64 / began.elapsed().as_secs_f64() / 1e6
}

fn bare_fault(mode: PagingMode) -> f64 {
    let mut bare = bare(mode, page_loop);
    let mut total = 0.0;
    for _ in 0..TRIPS / PAGES {
        bare.uc.ctl_flush_tlb().expect("flushes");
        bare.denied.set(ARENA);
        bare.uc.reg_write(RegisterX86::ESI, ARENA).expect("writes");
        bare.uc.reg_write(RegisterX86::ECX, PAGES).expect("writes");
        let (mut at, mut faults) = (CODE, 0);
        let began = Instant::now();
        while bare.uc.emu_start(at, 0, 0, 0).is_err() {
            faults += 1;
            at = bare.uc.reg_read(ip_of(mode)).expect("reads");
        }
        total += per_trip(began, PAGES);
        assert_eq!(faults, PAGES);
    }
    total / (TRIPS / PAGES) as f64
}

fn bare_service(mode: PagingMode) -> f64 {
    let mut bare = bare(mode, service_loop);
    let mut at = CODE;
    let began = Instant::now();
    for _ in 0..TRIPS {
        bare.uc.emu_start(at, 0, 0, 0).expect("runs");
        at = bare.uc.reg_read(ip_of(mode)).expect("reads");
    }
    per_trip(began, TRIPS)
}
