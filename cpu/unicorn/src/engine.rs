//! The Unicorn calls this crate makes, as methods that cannot be misused by safe code around them.

use std::ffi::c_void;
use unicorn_engine::{
    Arch, ControlType, Mode, Prot, RegisterX86, TlbType, X86CpuModel, uc_close, uc_context, uc_context_alloc,
    uc_context_free, uc_context_restore, uc_context_save, uc_context_size, uc_ctl, uc_emu_start, uc_emu_stop,
    uc_engine, uc_error, uc_mem_map_ptr, uc_open, uc_reg_read, uc_reg_write, uc_x86_mmr,
};
use vadose_cpu::{CpuError, CpuMode, GuestRam, Kick};

/// An open Unicorn engine. Callbacks run only inside [`start`](Self::start), [`write`](Self::write) of a selector and
/// [`remove_code`](Self::remove_code).
pub(crate) struct Engine {
    uc: *mut uc_engine,
}

// SAFETY: an engine holds no thread-local state on the hosts this crate builds for; it is used by one thread at a
// time because its methods that run code take `&mut self`.
unsafe impl Send for Engine {}

/// What the guest's CPUID describes: SSE4.2, POPCNT and AES, and no AVX, which Unicorn does not have.
const MODEL: X86CpuModel = X86CpuModel::WESTMERE;

impl Engine {
    pub(crate) fn open(mode: CpuMode) -> Result<Self, CpuError> {
        let bits = match mode {
            CpuMode::Bits32 => Mode::MODE_32,
            CpuMode::Bits64 => Mode::MODE_64,
        };
        let mut uc = std::ptr::null_mut();
        // SAFETY: `uc` is a place for the handle.
        check("open", unsafe { uc_open(Arch::X86, bits, &raw mut uc) })?;
        let engine = Self { uc };
        // SAFETY: the handle is open; this control takes one integer.
        let result = unsafe { uc_ctl(engine.uc, write_control(ControlType::CPU_MODEL), MODEL as i32) };
        check("choose a CPU model", result)?;
        Ok(engine)
    }

    pub(crate) const fn handle(&self) -> *mut uc_engine {
        self.uc
    }

    /// Makes `ram` the physical memory from address zero.
    ///
    /// # Safety
    ///
    /// `ram` must outlive the engine.
    pub(crate) unsafe fn map_ram(&mut self, ram: &GuestRam) -> Result<(), CpuError> {
        let bytes = ram.size_bytes() as u64;
        let base = ram.host_pointer().as_ptr().cast::<c_void>();
        // SAFETY: the mapping has `bytes` bytes and outlives the engine by the contract above.
        check("map guest RAM", unsafe { uc_mem_map_ptr(self.uc, 0, bytes, Prot::ALL.0, base) })
    }

    /// Translations come from the fill hook instead of page tables.
    pub(crate) fn use_virtual_tlb(&mut self) -> Result<(), CpuError> {
        // SAFETY: the handle is open; this control takes one integer.
        let result =
            unsafe { uc_ctl(self.uc, write_control(ControlType::TLB_TYPE), TlbType::VIRTUAL as i32) };
        check("choose the virtual TLB", result)
    }

    /// Ends runs by hooks and by [`set_exit`](Self::set_exit) only: without this Unicorn fetches a stop address after
    /// each run.
    pub(crate) fn use_exit_list(&mut self) -> Result<(), CpuError> {
        // SAFETY: the handle is open; this control takes one integer.
        let result = unsafe { uc_ctl(self.uc, write_control(ControlType::UC_USE_EXITS), 1_i32) };
        check("choose an exit list", result)
    }

    /// Sets or clears the one address at which a run ends.
    pub(crate) fn set_exit(&mut self, exit: Option<u64>) {
        let list = exit.as_slice();
        // SAFETY: the handle is open; this control copies `len` addresses.
        let result =
            unsafe { uc_ctl(self.uc, write_control(ControlType::UC_EXITS), list.as_ptr(), list.len()) };
        assert_eq!(result, uc_error::OK, "the exit list is in use");
    }

    /// Runs from `ip` until a hook stops it or it fails.
    pub(crate) fn start(&mut self, ip: u64) -> uc_error {
        // SAFETY: the handle is open and mapped memory lives; callbacks uphold their own contracts.
        unsafe { uc_emu_start(self.uc, ip, 0, 0, 0) }
    }

    /// Forgets every translation of addresses.
    pub(crate) fn flush_tlb(&mut self) {
        flush_tlb(self.uc);
    }

    /// Forgets all translated code.
    pub(crate) fn flush_code(&mut self) {
        // SAFETY: the handle is open; this control takes nothing.
        let result = unsafe { uc_ctl(self.uc, write_control(ControlType::TB_FLUSH)) };
        assert_eq!(result, uc_error::OK, "a code flush cannot fail");
    }

    /// Forgets the code translated from the physical bytes behind `[va, va + bytes)`, which is one page at most: the
    /// address goes through the fill hook as a fetch.
    pub(crate) fn remove_code(&mut self, va: u64, bytes: u64) {
        // SAFETY: the handle is open; this control takes two 64-bit integers.
        let result = unsafe { uc_ctl(self.uc, write_control(ControlType::TB_REMOVE_CACHE), va, va + bytes) };
        assert_eq!(result, uc_error::OK, "code of a nonempty range can be removed");
    }

    /// Reads a register of up to eight bytes.
    #[inline]
    pub(crate) fn read(&self, register: RegisterX86) -> u64 {
        u64::from_le_bytes(self.read_bytes(register))
    }

    /// Writes a register of up to eight bytes.
    #[inline]
    pub(crate) fn write(&mut self, register: RegisterX86, value: u64) -> Result<(), CpuError> {
        self.write_bytes(register, value.to_le_bytes())
    }

    /// Reads a register of at most `N` bytes.
    #[inline]
    pub(crate) fn read_bytes<const N: usize>(&self, register: RegisterX86) -> [u8; N] {
        let mut bytes = [0; N];
        assert!(N >= register_bytes(register), "{register:?} fits its buffer");
        // SAFETY: the handle is open, and the buffer holds the register.
        let result = unsafe { uc_reg_read(self.uc, register as i32, bytes.as_mut_ptr().cast()) };
        assert_eq!(result, uc_error::OK, "{register:?} can be read");
        bytes
    }

    /// Writes a register of at most `N` bytes.
    #[inline]
    pub(crate) fn write_bytes<const N: usize>(
        &mut self,
        register: RegisterX86,
        bytes: [u8; N],
    ) -> Result<(), CpuError> {
        assert!(N >= register_bytes(register), "{register:?} fits its buffer");
        // SAFETY: the handle is open, and the buffer holds the register.
        check("write a register", unsafe { uc_reg_write(self.uc, register as i32, bytes.as_ptr().cast()) })
    }

    /// Sets GDTR.
    pub(crate) fn set_gdt(&mut self, base: u64, limit: u32) -> Result<(), CpuError> {
        let table = uc_x86_mmr { selector: 0, base, limit, flags: 0 };
        // SAFETY: the handle is open; this register is read from exactly this structure.
        let result = unsafe { uc_reg_write(self.uc, RegisterX86::GDTR as i32, (&raw const table).cast()) };
        check("set the descriptor table", result)
    }

    /// A copy of the processor's whole state.
    pub(crate) fn save(&self) -> Result<Snapshot, CpuError> {
        Snapshot::of(self.uc)
    }

    /// The aligned words of the engine's own record.
    pub(crate) fn record_words(&self) -> Vec<u64> {
        let word = |index| {
            // SAFETY: inside the record, an allocation of this size that was zeroed when it was made.
            unsafe { self.uc.cast::<u64>().add(index).read_volatile() }
        };
        (0..self.record_bytes() / 8).map(word).collect()
    }

    /// Sets a byte of the record. The caller knows what it means.
    pub(crate) fn set_record_byte(&mut self, at: usize, value: u8) {
        assert!(at < self.record_bytes(), "a byte of the record");
        // SAFETY: inside the record, which no Unicorn call is using now.
        unsafe { self.uc.cast::<u8>().add(at).write_volatile(value) };
    }

    fn record_bytes(&self) -> usize {
        // SAFETY: Unicorn allocates its record with the C library's allocator and hands out its address.
        unsafe { libc::malloc_usable_size(self.uc.cast()) }
    }

    /// Puts a saved state back.
    pub(crate) fn restore(&mut self, snapshot: &Snapshot) -> Result<(), CpuError> {
        // SAFETY: the context was saved by an engine of the same build.
        check("restore a context", unsafe { uc_context_restore(self.uc, snapshot.context) })
    }

    /// What another thread uses to stop a run. Must be dropped before the engine.
    pub(crate) fn kicker(&self) -> impl Kick + use<> {
        Kicker { uc: self.uc }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // SAFETY: the handle is open and closed once.
        let result = unsafe { uc_close(self.uc) };
        debug_assert_eq!(result, uc_error::OK, "an engine closes");
    }
}

/// A saved processor state.
pub(crate) struct Snapshot {
    context: *mut uc_context,
    bytes: usize,
}

impl Snapshot {
    /// Saves the state of an open engine.
    pub(crate) fn of(uc: *mut uc_engine) -> Result<Self, CpuError> {
        let mut context = std::ptr::null_mut();
        // SAFETY: the handle is open and `context` is a place for the pointer.
        check("allocate a context", unsafe { uc_context_alloc(uc, &raw mut context) })?;
        // SAFETY: the handle is open.
        let snapshot = Self { context, bytes: unsafe { uc_context_size(uc) } };
        // SAFETY: the context was allocated for this engine.
        check("save a context", unsafe { uc_context_save(uc, snapshot.context) })?;
        Ok(snapshot)
    }

    /// The four-byte fields of the state.
    pub(crate) fn fields(&self) -> Vec<i32> {
        let at = |index: usize| {
            // SAFETY: inside the context's bytes, which were all written by the save or are malloc's.
            unsafe { self.context.cast::<u8>().add(index * 4).cast::<i32>().read_unaligned() }
        };
        (0..self.bytes / 4).map(at).collect()
    }

    /// Overwrites one four-byte field.
    pub(crate) fn set_field(&mut self, index: usize, value: i32) {
        assert!(index < self.bytes / 4, "a field of the state");
        // SAFETY: inside the context's bytes.
        unsafe { self.context.cast::<u8>().add(index * 4).cast::<i32>().write_unaligned(value) }
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        // SAFETY: allocated by `save` and freed once.
        let result = unsafe { uc_context_free(self.context) };
        debug_assert_eq!(result, uc_error::OK, "a context is freed");
    }
}

struct Kicker {
    uc: *mut uc_engine,
}

// SAFETY: the only use is `uc_emu_stop`, which Unicorn's own timeout thread calls in the same way.
unsafe impl Send for Kicker {}

impl Kick for Kicker {
    fn kick(&self) {
        // SAFETY: the engine detaches its kicker before it closes. Stopping between runs does nothing.
        let _ = unsafe { uc_emu_stop(self.uc) };
    }
}

/// Forgets every translation of addresses; allowed in callbacks too.
pub(crate) fn flush_tlb(uc: *mut uc_engine) {
    // SAFETY: callers hold an open engine; this control takes nothing.
    let result = unsafe { uc_ctl(uc, write_control(ControlType::TLB_FLUSH)) };
    assert_eq!(result, uc_error::OK, "a TLB flush cannot fail");
}

/// Turns Unicorn's answer into ours.
pub(crate) fn check(operation: &'static str, result: uc_error) -> Result<(), CpuError> {
    if result == uc_error::OK {
        return Ok(());
    }
    Err(CpuError { operation, reason: result.to_string() })
}

const fn write_control(control: ControlType) -> ControlType {
    ControlType(control.0 | ControlType::IO_WRITE.0)
}

/// Bytes that Unicorn reads or writes for a register, at most.
const fn register_bytes(register: RegisterX86) -> usize {
    let id = register as i32;
    if id >= RegisterX86::ZMM0 as i32 && id <= RegisterX86::ZMM31 as i32 {
        64
    } else if id >= RegisterX86::YMM0 as i32 && id <= RegisterX86::YMM31 as i32 {
        32
    } else if id >= RegisterX86::IDTR as i32 && id <= RegisterX86::TR as i32 {
        size_of::<uc_x86_mmr>()
    } else if (id >= RegisterX86::FP0 as i32 && id <= RegisterX86::FP7 as i32)
        || (id >= RegisterX86::ST0 as i32 && id <= RegisterX86::XMM31 as i32)
        || id == RegisterX86::MSR as i32
    {
        16
    } else {
        8
    }
}
