//! What Unicorn calls while the guest runs: TLB fills, services, exceptions, the time stamp, basic blocks.

use crate::code_cache::CodeFrames;
use crate::descriptors::ProcessorPage;
use crate::engine::{Snapshot, check, flush_tlb};
use crate::instruction::{self, AddressRegisters};
use crate::register_file;
use iced_x86::Register;
use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::Arc;
use unicorn_engine::{
    HookType, MemType, Prot, RegisterX86, TlbEntry, X86Insn, uc_emu_stop, uc_engine, uc_hook_add,
    uc_reg_read, uc_reg_write,
};
use vadose_cpu::{CpuError, CpuMode, GuestRam};
use vadose_facts::addr::{PhysAddr, VirtAddr, Vpn};
use vadose_facts::x86::{Access, AddressSpace, Miss, Privilege, walk};

/// All that callbacks read and write. It is reached through a raw pointer, and by one side at a time: the engine's
/// owner touches it only while no Unicorn call is running.
pub(crate) struct HookState {
    pub(crate) mode: CpuMode,
    pub(crate) ram: Arc<GuestRam>,
    pub(crate) space: Option<AddressSpace>,
    pub(crate) page: ProcessorPage,
    pub(crate) phase: Phase,
    /// The last fill that was refused.
    pub(crate) refused: Option<RefusedFill>,
    /// Why a hook stopped the run.
    pub(crate) event: Option<Event>,
    pub(crate) code_frames: CodeFrames,
    pub(crate) blocks: u64,
    pub(crate) block_limit: u64,
    /// The state before a port access that ring 3 may not make.
    pub(crate) before_port_access: Option<Snapshot>,
    /// Answers to RDTSC: time stands still but for these.
    pub(crate) time_stamp: u64,
}

/// Whose fills the hook answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Ours: only the processor page exists.
    ProcessorPage,
    /// Ours: every address stands for the frame at this physical address.
    Window(PhysAddr),
    /// The guest's, at ring 3.
    Guest,
    /// Nobody's: what the guest does now will be undone, so it may not reach memory.
    Closed,
}

/// A fill that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RefusedFill {
    pub(crate) page: VirtAddr,
    pub(crate) access: Access,
    pub(crate) cause: Refused,
}

/// Why a fill was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The page tables say so.
    Miss(Miss),
    /// The page tables name memory that does not exist.
    BeyondRam(PhysAddr),
    /// No page tables are set, or the run is not the guest's.
    NoAddressSpace,
}

/// Why a hook stopped a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// `syscall` or `sysenter`.
    SystemCall,
    /// An interrupt or exception, by vector.
    Interrupt(u32),
    /// A port was read or written, which ring 3 may not do. The state before it is kept.
    PortAccess,
}

/// Time-stamp units that pass between two reads.
const TIME_STAMP_STEP: u64 = 1000;

/// Registers every callback but the block counter with the engine.
///
/// # Safety
///
/// `state` must outlive the engine, and no reference to it may be live during a Unicorn call.
pub(crate) unsafe fn install(uc: *mut uc_engine, state: NonNull<HookState>) -> Result<(), CpuError> {
    let fill: FillHook = on_fill;
    let interrupt: InterruptHook = on_interrupt;
    let call: CallHook = on_system_call;
    let (port_in, port_out): (PortInHook, PortOutHook) = (on_port_in, on_port_out);
    let (rdtsc, rdtscp): (SkipHook, SkipHook) = (on_rdtsc, on_rdtscp);
    // SAFETY: each callback has the signature that Unicorn documents for its kind.
    unsafe {
        add(uc, state, HookType::TLB_FILL, fill as *mut c_void, None)?;
        add(uc, state, HookType::INTR, interrupt as *mut c_void, None)?;
        for (instruction, callback) in [
            (X86Insn::SYSCALL, call as *mut c_void),
            (X86Insn::SYSENTER, call as *mut c_void),
            (X86Insn::IN, port_in as *mut c_void),
            (X86Insn::OUT, port_out as *mut c_void),
            (X86Insn::RDTSC, rdtsc as *mut c_void),
            (X86Insn::RDTSCP, rdtscp as *mut c_void),
        ] {
            add(uc, state, HookType::INSN, callback, Some(instruction))?;
        }
    }
    Ok(())
}

/// Registers the block counter. It is apart because it costs time in every block.
///
/// # Safety
///
/// As [`install`].
pub(crate) unsafe fn install_block_counter(
    uc: *mut uc_engine,
    state: NonNull<HookState>,
) -> Result<(), CpuError> {
    let block: BlockHook = on_block;
    // SAFETY: the callback has the signature of a block hook.
    unsafe { add(uc, state, HookType::BLOCK, block as *mut c_void, None) }
}

type FillHook = extern "C" fn(*mut uc_engine, u64, MemType, *mut TlbEntry, *mut c_void) -> bool;
type InterruptHook = extern "C" fn(*mut uc_engine, u32, *mut c_void);
type CallHook = extern "C" fn(*mut uc_engine, *mut c_void);
type SkipHook = extern "C" fn(*mut uc_engine, *mut c_void) -> i32;
type PortInHook = extern "C" fn(*mut uc_engine, u32, i32, *mut c_void) -> u32;
type PortOutHook = extern "C" fn(*mut uc_engine, u32, i32, u32, *mut c_void);
type BlockHook = extern "C" fn(*mut uc_engine, u64, u32, *mut c_void);

/// Registers one callback for all addresses.
///
/// # Safety
///
/// `callback` must have the signature that goes with `kind`, and `state` as for [`install`].
unsafe fn add(
    uc: *mut uc_engine,
    state: NonNull<HookState>,
    kind: HookType,
    callback: *mut c_void,
    instruction: Option<X86Insn>,
) -> Result<(), CpuError> {
    let (mut hook, state) = (0, state.as_ptr().cast::<c_void>());
    let instruction = instruction.map_or(0, |i| i as i32);
    // SAFETY: begin above end means every address; the last argument is read for instruction hooks only.
    let result =
        unsafe { uc_hook_add(uc, &raw mut hook, kind.0 as i32, callback, state, 1_u64, 0_u64, instruction) };
    check("install a hook", result)
}

/// The state behind a callback's argument.
///
/// # Safety
///
/// `user` is the pointer given to [`install`], and no other reference to the state is live: callbacks do not nest.
unsafe fn state_of<'a>(user: *mut c_void) -> &'a mut HookState {
    // SAFETY: by the contract above.
    unsafe { &mut *user.cast::<HookState>() }
}

extern "C" fn on_fill(
    uc: *mut uc_engine,
    va: u64,
    kind: MemType,
    entry: *mut TlbEntry,
    user: *mut c_void,
) -> bool {
    // SAFETY: `user` was given to `install`.
    let state = unsafe { state_of(user) };
    let access = match kind {
        MemType::WRITE => Access::Write,
        MemType::FETCH => Access::Execute,
        _ => Access::Read,
    };
    let page = VirtAddr::new(va);
    let found = match state.phase {
        Phase::Guest => state.translate(page, access),
        Phase::Window(frame) => Ok(TlbEntry { paddr: frame.raw(), perms: Prot::ALL }),
        Phase::ProcessorPage => state.own_page(page).ok_or(Refused::NoAddressSpace),
        Phase::Closed => Err(Refused::NoAddressSpace),
    };
    let answer = match found {
        Ok(answer) => answer,
        Err(cause) => {
            if let Some(answer) = state.own_page(page).filter(|_| loads_a_selector(uc, state)) {
                // SAFETY: Unicorn gives a place for the entry.
                unsafe { *entry = answer };
                return true;
            }
            state.refused = Some(RefusedFill { page, access, cause });
            return false;
        }
    };
    // SAFETY: Unicorn gives a place for the entry.
    unsafe { *entry = answer };
    true
}

impl HookState {
    /// The guest's own access: what its page tables say for ring 3.
    #[inline]
    fn translate(&mut self, page: VirtAddr, access: Access) -> Result<TlbEntry, Refused> {
        let space = self.space.ok_or(Refused::NoAddressSpace)?;
        let found = walk(&*self.ram, space, page, access, Privilege::User).map_err(Refused::Miss)?;
        if found.phys.raw() >= self.ram.size_bytes() as u64 {
            return Err(Refused::BeyondRam(found.phys));
        }
        let frame = found.phys.pfn();
        if access == Access::Execute {
            self.code_frames.mark(frame);
        }
        let mut perms = Prot::READ;
        // The first store must come back here to set Dirty.
        if found.permissions.write && found.dirty {
            perms = Prot(perms.0 | Prot::WRITE.0);
        }
        // The first fetch must come back here so that the frame is known to hold translated code.
        if found.permissions.execute && self.code_frames.is_marked(frame) {
            perms = Prot(perms.0 | Prot::EXEC.0);
        }
        Ok(TlbEntry { paddr: frame.base().raw(), perms })
    }

    /// Whether the budget allows no further block.
    pub(crate) const fn is_out_of_blocks(&self) -> bool {
        self.blocks >= self.block_limit
    }

    /// The processor page, which holds descriptors and exists whatever the page tables say.
    fn own_page(&self, page: VirtAddr) -> Option<TlbEntry> {
        (page == self.page.va).then_some(TlbEntry { paddr: self.page.phys.raw(), perms: Prot::ALL })
    }
}

/// Whether the instruction at hand reads descriptors: the one kernel-mode access that ring-3 code causes.
#[cold]
fn loads_a_selector(uc: *mut uc_engine, state: &HookState) -> bool {
    let Some(space) = state.space.filter(|_| state.phase == Phase::Guest) else { return false };
    let registers = Live { uc, mode: state.mode };
    let ip = VirtAddr::new(read(uc, register_file::instruction_pointer(state.mode)));
    instruction::decode(&state.ram, space, state.mode, ip)
        .is_some_and(|decoded| decoded.loads_a_selector() && !decoded.touches(&registers, state.page.va))
}

/// The registers at the moment of a callback. 32-bit segments other than the TEB's start at zero, and no selector load
/// takes its operand from the TEB's.
struct Live {
    uc: *mut uc_engine,
    mode: CpuMode,
}

impl AddressRegisters for Live {
    fn gpr(&self, index: usize) -> u64 {
        read(self.uc, register_file::gpr(self.mode, index))
    }

    fn segment_base(&self, segment: Register) -> u64 {
        match (self.mode, segment) {
            (CpuMode::Bits64, Register::FS) => read(self.uc, RegisterX86::FS_BASE),
            (CpuMode::Bits64, Register::GS) => read(self.uc, RegisterX86::GS_BASE),
            (CpuMode::Bits64 | CpuMode::Bits32, _) => 0,
        }
    }
}

extern "C" fn on_interrupt(uc: *mut uc_engine, vector: u32, user: *mut c_void) {
    // SAFETY: `user` was given to `install`.
    stop(uc, unsafe { state_of(user) }, Event::Interrupt(vector));
}

extern "C" fn on_system_call(uc: *mut uc_engine, user: *mut c_void) {
    // SAFETY: `user` was given to `install`.
    stop(uc, unsafe { state_of(user) }, Event::SystemCall);
}

extern "C" fn on_block(uc: *mut uc_engine, _at: u64, _bytes: u32, user: *mut c_void) {
    // SAFETY: `user` was given to `install`.
    let state = unsafe { state_of(user) };
    if state.is_out_of_blocks() {
        // The engine leaves before the block begins.
        // SAFETY: callbacks are given the open engine they were installed on.
        let result = unsafe { uc_emu_stop(uc) };
        debug_assert_eq!(result, unicorn_engine::uc_error::OK, "a running engine stops");
    } else {
        state.blocks += 1;
    }
}

extern "C" fn on_port_in(uc: *mut uc_engine, _port: u32, _bytes: i32, user: *mut c_void) -> u32 {
    // SAFETY: `user` was given to `install`.
    refuse_port(uc, unsafe { state_of(user) });
    0
}

extern "C" fn on_port_out(uc: *mut uc_engine, _port: u32, _bytes: i32, _value: u32, user: *mut c_void) {
    // SAFETY: `user` was given to `install`.
    refuse_port(uc, unsafe { state_of(user) });
}

/// Unicorn lets ring 3 use ports and cannot be stopped before the block's end, so the state is kept to go back to, and
/// the rest of the block finds every page gone.
fn refuse_port(uc: *mut uc_engine, state: &mut HookState) {
    if state.event.is_some() {
        return;
    }
    state.before_port_access = Snapshot::of(uc).ok();
    state.phase = Phase::Closed;
    flush_tlb(uc);
    stop(uc, state, Event::PortAccess);
}

extern "C" fn on_rdtsc(uc: *mut uc_engine, user: *mut c_void) -> i32 {
    // SAFETY: `user` was given to `install`.
    let state = unsafe { state_of(user) };
    state.time_stamp = state.time_stamp.wrapping_add(TIME_STAMP_STEP);
    let now = state.time_stamp.wrapping_add(state.blocks);
    write(uc, RegisterX86::EAX, now & 0xffff_ffff);
    write(uc, RegisterX86::EDX, now >> 32);
    1
}

extern "C" fn on_rdtscp(uc: *mut uc_engine, user: *mut c_void) -> i32 {
    write(uc, RegisterX86::ECX, 0);
    on_rdtsc(uc, user)
}

fn stop(uc: *mut uc_engine, state: &mut HookState, event: Event) {
    state.event.get_or_insert(event);
    // SAFETY: callbacks are given the open engine they were installed on.
    let result = unsafe { uc_emu_stop(uc) };
    debug_assert_eq!(result, unicorn_engine::uc_error::OK, "a running engine stops");
}

/// Reads a register of up to eight bytes from within a callback.
pub(crate) fn read(uc: *mut uc_engine, register: RegisterX86) -> u64 {
    let mut value = 0_u64;
    // SAFETY: callbacks are given the open engine; callers name registers of eight bytes or less.
    unsafe { uc_reg_read(uc, register as i32, (&raw mut value).cast()) };
    value
}

fn write(uc: *mut uc_engine, register: RegisterX86, value: u64) {
    // SAFETY: as in `read`.
    unsafe { uc_reg_write(uc, register as i32, (&raw const value).cast()) };
}

/// The page an address lies in, by its first byte.
pub(crate) const fn page_of(va: VirtAddr) -> VirtAddr {
    Vpn::base(va.vpn())
}
