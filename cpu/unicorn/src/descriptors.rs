//! Segment descriptors and the way into ring 3, with Windows' own selectors.

use crate::engine::{Engine, check};
use crate::hooks::{HookState, Phase};
use std::ptr::NonNull;
use unicorn_engine::{RegisterX86, uc_error};
use vadose_cpu::{CpuError, CpuMode, GuestRam, Segments};
use vadose_facts::addr::{PhysAddr, VirtAddr};
use vadose_facts::x86::PhysicalMemory;

/// A page of kernel memory that belongs to the processor: its descriptor table lives there.
///
/// The frame is the engine's to write. Ring 3 cannot reach it through this address whatever the page tables say; the
/// kernel's tables may map it there for tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessorPage {
    /// The frame.
    pub phys: PhysAddr,
    /// Where the kernel sees it: page-aligned, outside user space.
    pub va: VirtAddr,
}

const KERNEL_CODE_64: u64 = 0x00af_9b00_0000_ffff;
const KERNEL_CODE_32: u64 = 0x00cf_9b00_0000_ffff;
const KERNEL_DATA: u64 = 0x00cf_9300_0000_ffff;
const USER_CODE_64: u64 = 0x00af_fb00_0000_ffff;
const USER_CODE_32: u64 = 0x00cf_fb00_0000_ffff;
const USER_DATA: u64 = 0x00cf_f300_0000_ffff;

/// Descriptors by selector, 64-bit Windows.
const TABLE_64: [(u64, u64); 5] = [
    (0x10, KERNEL_CODE_64),
    (0x18, KERNEL_DATA),
    (0x20, USER_CODE_32),
    (0x28, USER_DATA),
    (0x30, USER_CODE_64),
];
/// Descriptors by selector, 32-bit Windows.
const TABLE_32: [(u64, u64); 5] =
    [(0x08, KERNEL_CODE_32), (0x10, KERNEL_DATA), (0x18, USER_CODE_32), (0x20, USER_DATA), (0x38, USER_DATA)];

/// The 32-bit TEB's descriptor.
const TEB_DESCRIPTOR: u64 = 0x38;
/// Last byte of the table.
const TABLE_LIMIT: u32 = 0x7f;
/// Where in the page the way into ring 3 is set up.
const STUB: u64 = 0x800;
const FRAME: u64 = 0xf00;
const CR0_MONITOR: u64 = 1 << 1;
const CR0_NUMERIC_ERROR: u64 = 1 << 5;
const CR4_FXSAVE: u64 = 1 << 9;
const CR4_SIMD_EXCEPTIONS: u64 = 1 << 10;
/// Ring 3 starts with interrupts on.
const FLAGS: u64 = 0x202;

/// What a new thread's selectors are.
pub(crate) const fn user_segments(mode: CpuMode) -> Segments {
    match mode {
        CpuMode::Bits64 => Segments { cs: 0x33, ds: 0x2b, es: 0x2b, fs: 0x53, gs: 0x2b, ss: 0x2b },
        CpuMode::Bits32 => Segments { cs: 0x1b, ds: 0x23, es: 0x23, fs: 0x3b, gs: 0, ss: 0x23 },
    }
}

/// Fills the processor page and brings a fresh engine to ring 3.
pub(crate) fn enter_ring_3(engine: &mut Engine, state: NonNull<HookState>) -> Result<(), CpuError> {
    // SAFETY: no Unicorn call is running.
    let HookState { mode, ram, page, .. } = unsafe { state.as_ref() };
    let (mode, page) = (*mode, *page);
    write_table(ram, page, mode);
    write_way_out(ram, page, mode);
    switch_on_features(engine)?;
    engine.set_gdt(page.va.raw(), TABLE_LIMIT)?;
    let stack = match mode {
        CpuMode::Bits64 => RegisterX86::RSP,
        CpuMode::Bits32 => {
            for (register, selector) in
                [(RegisterX86::CS, 0x08), (RegisterX86::SS, 0x10), (RegisterX86::DS, 0x10)]
            {
                engine.write(register, selector)?;
            }
            RegisterX86::ESP
        }
    };
    engine.write(stack, page.va.raw() + FRAME)?;
    // The return succeeds and the first fetch of ring 3 is refused, for no page tables are set.
    let result = engine.start(page.va.raw() + STUB);
    let segments = user_segments(mode);
    if result != uc_error::EXCEPTION || engine.read(RegisterX86::CS) != u64::from(segments.cs) {
        check("enter ring 3", result)?;
        return Err(CpuError { operation: "enter ring 3", reason: "the return did not change CS".into() });
    }
    load_data_selectors(engine, mode)?;
    engine.flush_tlb();
    Ok(())
}

/// The control bits that an operating system sets: SSE with its state and exceptions, x87 errors as exceptions.
fn switch_on_features(engine: &mut Engine) -> Result<(), CpuError> {
    let (cr0, cr4) = (engine.read(RegisterX86::CR0), engine.read(RegisterX86::CR4));
    engine.write(RegisterX86::CR0, cr0 | CR0_MONITOR | CR0_NUMERIC_ERROR)?;
    engine.write(RegisterX86::CR4, cr4 | CR4_FXSAVE | CR4_SIMD_EXCEPTIONS)
}

fn load_data_selectors(engine: &mut Engine, mode: CpuMode) -> Result<(), CpuError> {
    let segments = user_segments(mode);
    let data =
        [(RegisterX86::DS, segments.ds), (RegisterX86::ES, segments.es), (RegisterX86::FS, segments.fs)];
    match mode {
        CpuMode::Bits32 => {
            for (register, selector) in data {
                engine.write(register, u64::from(selector))?;
            }
            engine.write(RegisterX86::GS, 0)
        }
        // Flat: these selectors have no effect, and Unicorn only stores their numbers.
        CpuMode::Bits64 => {
            engine.write(RegisterX86::DS, u64::from(segments.ds))?;
            engine.write(RegisterX86::ES, u64::from(segments.es))
        }
    }
}

fn write_table(ram: &GuestRam, page: ProcessorPage, mode: CpuMode) {
    ram.zero_frame(page.phys.pfn());
    let table = match mode {
        CpuMode::Bits64 => &TABLE_64,
        CpuMode::Bits32 => &TABLE_32,
    };
    for (selector, descriptor) in table {
        ram.write_u64(page.phys.offset(*selector), *descriptor);
    }
}

/// An interrupt return and the frame it takes: ip, CS, flags, stack pointer, SS.
fn write_way_out(ram: &GuestRam, page: ProcessorPage, mode: CpuMode) {
    let segments = user_segments(mode);
    let frame = [0, u64::from(segments.cs), FLAGS, 0, u64::from(segments.ss)];
    match mode {
        CpuMode::Bits64 => {
            ram.write_bytes(page.phys.offset(STUB), &[0x48, 0xcf]);
            for (at, value) in (0..).step_by(8).zip(frame) {
                ram.write_u64(page.phys.offset(FRAME + at), value);
            }
        }
        CpuMode::Bits32 => {
            ram.write_bytes(page.phys.offset(STUB), &[0xcf]);
            for (at, value) in (0..).step_by(4).zip(frame) {
                ram.write_u32(page.phys.offset(FRAME + at), value as u32);
            }
        }
    }
}

/// Points FS or GS at a TEB.
pub(crate) fn load_teb(
    engine: &mut Engine,
    state: NonNull<HookState>,
    teb: VirtAddr,
) -> Result<(), CpuError> {
    // SAFETY: no Unicorn call is running.
    let HookState { mode, ram, page, phase, .. } = unsafe { &mut *state.as_ptr() };
    match mode {
        CpuMode::Bits64 => engine.write(RegisterX86::GS_BASE, teb.raw()),
        CpuMode::Bits32 => {
            let base = teb.raw() & 0xffff_ffff;
            let descriptor = USER_DATA | (base & 0xff_ffff) << 16 | (base >> 24) << 56;
            ram.write_u64(page.phys.offset(TEB_DESCRIPTOR), descriptor);
            *phase = Phase::ProcessorPage;
            let result = engine.write(RegisterX86::FS, u64::from(user_segments(CpuMode::Bits32).fs));
            // SAFETY: the call has returned.
            unsafe { (*state.as_ptr()).phase = Phase::Guest };
            result
        }
    }
}
