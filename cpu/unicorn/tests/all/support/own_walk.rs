//! The oracle: Unicorn with its own page walk over the same tables, a walker that nobody here wrote.

use super::*;
use std::cell::RefCell;
use std::rc::Rc;
use unicorn_engine::{
    Arch, Mode, Prot, RegisterX86 as R, Unicorn, uc_context, uc_context_alloc, uc_context_free,
    uc_context_restore, uc_context_save, uc_context_size, uc_error, uc_x86_mmr,
};
use vadose_facts::x86::Privilege;

/// A page of ring-0 descriptors, code and stack, and a page of ring-3 code. Below the tables.
pub(crate) const KERNEL_PHYS: u64 = 0x9000;
pub(crate) const USER_PHYS: u64 = 0xa000;

/// How a run of the oracle ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It came to the address at which it should stop.
    Done,
    /// A page fault: CR2 and the error code.
    PageFault { cr2: u64, code: u32 },
    /// Another exception or interrupt.
    Vector(u32),
}

pub(crate) struct OwnWalk {
    pub(crate) uc: Unicorn<'static, ()>,
    pub(crate) mode: PagingMode,
    exception: Rc<RefCell<Option<Seen>>>,
    /// The state after set-up, before any fault.
    fresh: Saved,
    /// Which four-byte field of a saved state is the error code: the same for every engine of a mode.
    pub(crate) error_code: usize,
    _ram: Arc<GuestRam>,
}

/// An exception, with CR2 and the state at its moment: after a run Unicorn fetches once more, which may fault again.
struct Seen {
    vector: u32,
    cr2: u64,
    fields: Vec<u32>,
}

/// A saved processor state.
struct Saved(*mut uc_context);

impl Drop for Saved {
    fn drop(&mut self) {
        // SAFETY: allocated by Unicorn, freed once.
        unsafe { uc_context_free(self.0) };
    }
}

fn save(uc: &Unicorn<'_, ()>) -> Saved {
    let mut context = std::ptr::null_mut();
    // SAFETY: the engine is open.
    unsafe {
        assert_eq!(uc_context_alloc(uc.get_handle(), &raw mut context), uc_error::OK);
        assert_eq!(uc_context_save(uc.get_handle(), context), uc_error::OK);
    }
    Saved(context)
}

fn fields(uc: &Unicorn<'_, ()>) -> Vec<u32> {
    let saved = save(uc);
    // SAFETY: the engine is open, and the context has this many bytes.
    unsafe {
        let bytes = uc_context_size(uc.get_handle());
        (0..bytes / 4).map(|i| saved.0.cast::<u8>().add(i * 4).cast::<u32>().read_unaligned()).collect()
    }
}

const CR0: u64 = 0x8001_0033;
const CR4_PSE: u64 = 1 << 4;
const CR4_PAE: u64 = 1 << 5;
const CR4_SSE: u64 = 3 << 9;
const CR4_LA57: u64 = 1 << 12;
const EFER: u32 = 0xc000_0080;

/// What an engine stands on: RAM, page tables in it, and a kernel page for its descriptors, at an address of the tables.
pub(crate) struct Ground {
    pub(crate) ram: Arc<GuestRam>,
    pub(crate) space: AddressSpace,
    pub(crate) kernel: VirtAddr,
    pub(crate) kernel_phys: PhysAddr,
}

impl Ground {
    fn put(&self, offset: u64, bytes: &[u8]) {
        self.ram.write_bytes(self.kernel_phys.offset(offset), bytes);
    }
}

impl OwnWalk {
    /// An engine over the tables, at the ring asked for. It maps its own pages in the kernel's part.
    pub(crate) fn new(tables: &Tables, privilege: Privilege) -> Self {
        let kernel = VirtAddr::new(kernel_base(cpu_mode(tables.space.mode)) + 0x1_0000);
        tables.map(kernel.raw(), KERNEL_PHYS | P | RW);
        let kernel_phys = PhysAddr::new(KERNEL_PHYS);
        let ground = Ground { ram: Arc::clone(&tables.ram), space: tables.space, kernel, kernel_phys };
        let mut oracle = Self::over(&ground, privilege, 0);
        oracle.error_code = oracle.find_error_code(tables, privilege);
        oracle.reset();
        oracle
    }

    /// An engine over tables that somebody else keeps.
    pub(crate) fn over(ground: &Ground, privilege: Privilege, error_code: usize) -> Self {
        let mode = ground.space.mode;
        let bits = if cpu_mode(mode) == CpuMode::Bits64 { Mode::MODE_64 } else { Mode::MODE_32 };
        let mut uc = Unicorn::new(Arch::X86, bits).expect("opens");
        let base = ground.ram.host_pointer().as_ptr().cast();
        // SAFETY: the RAM is kept in the oracle and dropped after the engine.
        unsafe { uc.mem_map_ptr(0, ground.ram.size_bytes() as u64, Prot::ALL, base).expect("maps") };
        uc.ctl_exits_enable().expect("exits");
        let exception = Rc::new(RefCell::new(None));
        let seen = Rc::clone(&exception);
        uc.add_intr_hook(move |uc, n| {
            let cr2 = uc.reg_read(R::CR2).expect("reads");
            *seen.borrow_mut() = Some(Seen { vector: n, cr2, fields: fields(uc) });
            uc.emu_stop().expect("stops");
        })
        .expect("hooks");
        switch_on_paging(&mut uc, ground.space);
        write_kernel_page(ground);
        set_gdt(&mut uc, ground.kernel.raw());
        if privilege == Privilege::User {
            enter_ring_3(&mut uc, ground);
            let fetch = exception.take().expect("the first fetch of ring 3 finds nothing");
            assert_eq!((fetch.vector, fetch.cr2), (14, 0));
        }
        for (register, value) in [(R::FPCW, 0x027f), (R::FPTAG, 0xffff), (R::MXCSR, 0x1f80)] {
            uc.reg_write(register, value).expect("writes");
        }
        uc.ctl_flush_tlb().expect("flushes");
        let fresh = save(&uc);
        Self { uc, mode, exception, fresh, error_code, _ram: Arc::clone(&ground.ram) }
    }

    /// Back to the state after set-up, with nothing cached.
    pub(crate) fn reset(&mut self) {
        // SAFETY: saved from this engine.
        let result = unsafe { uc_context_restore(self.uc.get_handle(), self.fresh.0) };
        assert_eq!(result, uc_error::OK);
        self.uc.ctl_flush_tlb().expect("flushes");
    }

    pub(crate) fn gpr_name(&self, index: usize) -> R {
        let names_64 = [R::RAX, R::RCX, R::RDX, R::RBX, R::RSP, R::RBP, R::RSI, R::RDI];
        let names_32 = [R::EAX, R::ECX, R::EDX, R::EBX, R::ESP, R::EBP, R::ESI, R::EDI];
        if cpu_mode(self.mode) == CpuMode::Bits64 { names_64[index] } else { names_32[index] }
    }

    pub(crate) fn set(&mut self, index: usize, value: u64) {
        let name = self.gpr_name(index);
        self.uc.reg_write(name, value).expect("writes");
    }

    pub(crate) fn get(&self, index: usize) -> u64 {
        self.uc.reg_read(self.gpr_name(index)).expect("reads")
    }

    /// Sets flags besides the one that is always set.
    pub(crate) fn set_flags(&mut self, flags: u64) {
        self.uc.reg_write(R::EFLAGS, 2 | flags).expect("writes");
    }

    /// Runs from `at` until one of `until`, or an exception.
    pub(crate) fn run(&mut self, at: u64, until: &[u64]) -> End {
        self.exception.take();
        self.uc.ctl_set_exits(until).expect("exits");
        let result = self.uc.emu_start(at, 0, 0, 0);
        match self.exception.take() {
            None => {
                result.expect("runs");
                End::Done
            }
            Some(Seen { vector: 14, cr2, fields }) => End::PageFault { cr2, code: fields[self.error_code] },
            Some(Seen { vector, .. }) => End::Vector(vector),
        }
    }

    /// Raises faults whose codes are known, and finds the one field that holds them all.
    fn find_error_code(&mut self, tables: &Tables, privilege: Privilege) -> usize {
        let user = if privilege == Privilege::User { 4 } else { 0 };
        let (code_va, hole, sealed) = (0x40_0000, 0x48_0000, 0x49_0000);
        tables.map(code_va, USER_PHYS | USER_RO);
        tables.leaf(hole);
        tables.map(sealed, DATA | USER_RO);
        tables.put(USER_PHYS, &[0x8b, 0x06, 0x89, 0x06]);
        let mut candidates: Option<Vec<usize>> = None;
        for (at, va, code) in
            [(code_va, hole, 0), (code_va + 2, hole, 2), (code_va + 2, sealed, 3), (code_va, hole, 0)]
        {
            self.reset();
            self.set(SI, va);
            self.uc.ctl_set_exits(&[at + 2]).expect("exits");
            self.uc.emu_start(at, 0, 0, 0).expect("stops at the fault");
            let Seen { vector, cr2, fields: now } = self.exception.take().expect("a fault");
            assert_eq!((vector, cr2), (14, va));
            let matching = |i: &usize| now[*i] == code | user;
            candidates = Some(match candidates {
                None => (0..now.len()).filter(matching).collect(),
                Some(old) => old.into_iter().filter(matching).collect(),
            });
        }
        let candidates = candidates.expect("tried");
        assert_eq!(candidates.len(), 1, "one field holds the error code");
        for va in [code_va, sealed] {
            tables.map(va, 0);
        }
        candidates[0]
    }
}

fn write_msr(uc: &mut Unicorn<'static, ()>, msr: u32, value: u64) {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&msr.to_le_bytes());
    bytes[8..].copy_from_slice(&value.to_le_bytes());
    uc.reg_write_long(R::MSR, &bytes).expect("writes");
}

fn switch_on_paging(uc: &mut Unicorn<'static, ()>, space: AddressSpace) {
    let mode = space.mode;
    let nxe = if space.no_execute == NoExecute::Enforced { 1 << 11 } else { 0 };
    let long = if cpu_mode(mode) == CpuMode::Bits64 { 1 | 1 << 8 | 1 << 10 } else { 0 };
    let cr4 = match mode {
        PagingMode::Legacy => CR4_PSE,
        PagingMode::Pae | PagingMode::Long4 => CR4_PAE,
        PagingMode::Long5 => CR4_PAE | CR4_LA57,
    };
    uc.reg_write(R::CR3, space.root.raw()).expect("writes");
    uc.reg_write(R::CR4, cr4 | CR4_SSE).expect("writes");
    assert_eq!(uc.reg_read(R::CR4).expect("reads") & CR4_LA57, cr4 & CR4_LA57, "5 levels are there");
    write_msr(uc, EFER, nxe | long);
    uc.reg_write(R::CR0, CR0).expect("writes");
}

const DESCRIPTORS_64: [(u64, u64); 4] = [
    (0x10, 0x00af_9b00_0000_ffff),
    (0x18, 0x00cf_9300_0000_ffff),
    (0x28, 0x00cf_f300_0000_ffff),
    (0x30, 0x00af_fb00_0000_ffff),
];
const DESCRIPTORS_32: [(u64, u64); 4] = [
    (0x08, 0x00cf_9b00_0000_ffff),
    (0x10, 0x00cf_9300_0000_ffff),
    (0x18, 0x00cf_fb00_0000_ffff),
    (0x20, 0x00cf_f300_0000_ffff),
];

fn write_kernel_page(ground: &Ground) {
    let is_64 = cpu_mode(ground.space.mode) == CpuMode::Bits64;
    for (at, descriptor) in if is_64 { DESCRIPTORS_64 } else { DESCRIPTORS_32 } {
        ground.put(at, &descriptor.to_le_bytes());
    }
    ground.put(0x800, if is_64 { &[0x48, 0xcf] } else { &[0xcf] });
}

fn set_gdt(uc: &mut Unicorn<'static, ()>, kernel: u64) {
    let table = uc_x86_mmr { selector: 0, base: kernel, limit: 0x7f, flags: 0 };
    // SAFETY: a plain structure seen as its bytes.
    let bytes = unsafe { std::slice::from_raw_parts((&raw const table).cast::<u8>(), size_of_val(&table)) };
    uc.reg_write_long(R::GDTR, bytes).expect("writes");
    if uc.ctl_get_mode().expect("a mode") == Mode::MODE_32 {
        for (register, selector) in [(R::CS, 0x08), (R::SS, 0x10), (R::DS, 0x10), (R::ES, 0x10)] {
            uc.reg_write(register, selector).expect("loads");
        }
    }
}

fn enter_ring_3(uc: &mut Unicorn<'static, ()>, ground: &Ground) {
    let kernel = ground.kernel.raw();
    let is_64 = cpu_mode(ground.space.mode) == CpuMode::Bits64;
    let (cs, ss) = if is_64 { (0x33, 0x2b) } else { (0x1b, 0x23) };
    let size = if is_64 { 8 } else { 4 };
    for (at, value) in (0..).step_by(size).zip([0_u64, cs, 0x202, 0, ss]) {
        ground.put(0xf00 + at, &value.to_le_bytes()[..size]);
    }
    uc.reg_write(if is_64 { R::RSP } else { R::ESP }, kernel + 0xf00).expect("writes");
    let before = fields(uc);
    uc.emu_start(kernel + 0x800, 0, 0, 0).expect("runs");
    assert_eq!(uc.reg_read(R::CS).expect("reads"), cs);
    if !is_64 {
        for register in [R::DS, R::ES] {
            uc.reg_write(register, 0x23).expect("loads");
        }
    }
    clear_pending(uc, &before);
}

/// The fault above leaves Unicorn believing that it is still being delivered: the field that says so is the one that
/// holds the vector as a number of its own, and held none before.
fn clear_pending(uc: &mut Unicorn<'static, ()>, before: &[u32]) {
    const NONE: u32 = u32::MAX;
    let state = save(uc);
    let now = fields(uc);
    let is_holder = |i: &usize| now[*i] == 14 && before[*i] == NONE;
    let holders: Vec<usize> = (0..now.len()).filter(is_holder).collect();
    assert_eq!(holders.len(), 1, "one field holds the vector");
    // SAFETY: the field is inside the context; the context was saved from this engine.
    unsafe {
        state.0.cast::<u8>().add(holders[0] * 4).cast::<i32>().write_unaligned(-1);
        assert_eq!(uc_context_restore(uc.get_handle(), state.0), uc_error::OK);
    }
}
