//! What Wine's DLLs find that Windows' do not ask for: pointers into the kernel in variables of `ntdll.dll`, settings of debug
//! messages behind the PEB, room for messages behind each TEB, a list head in it, and stacks of a mebibyte.
//!
//! Sources: the exports of Wine's `ntdll.dll`, and the facts of its `dlls/ntdll/unix/virtual.c`, `loader.c` and
//! `dlls/ntdll/thread.c` (versions 8.0 and 10.0).

use super::folder::Landmarks;
use super::system_call::SystemCallStubs;
use super::unix_calls::NTDLL_HANDLE;
use crate::claim::{BadPointer, UserPtr};
use crate::executive::StackSizes;
use crate::kernel::Kernel;
use crate::loader::StackMemory;
use vadose_facts::addr::{PAGE_BYTES, VirtAddr};
use vadose_facts::ntdef::{Bitness, FreeType, NtStatus};

/// `PAGE_WRITECOPY`.
const WRITE_COPY: u32 = 0x08;
/// Bytes of the stack below its first frame that Wine's loader clears before a thread's own code runs.
const CLEARED_BYTES: u64 = 0xf_0000;
/// Room for the first frame and its alignment.
const MARGIN_BYTES: u64 = 3 * PAGE_BYTES;
/// `PAGE_READWRITE | PAGE_GUARD`.
const GUARD: u32 = 0x104;
/// The smallest stack that Wine makes.
const LEAST_STACK_BYTES: u64 = 1 << 20;

impl Kernel<'_> {
    /// Whether processes run on Wine's DLLs.
    pub(crate) fn is_on_wine(&self) -> bool {
        self.nt.folder.as_ref().is_some_and(|folder| folder.landmarks.wine.is_some())
    }

    /// Bytes of a process environment block, and what follows it.
    pub(crate) fn peb_bytes(&self) -> u64 {
        let size = u64::from(self.nt.layouts().peb.size);
        match (self.is_on_wine(), self.nt.edition.bitness) {
            (false, _) => size,
            // The page for the other bitness's PEB, on x64, and the page of settings.
            (true, Bitness::Bits64) => size + 2 * PAGE_BYTES,
            (true, Bitness::Bits32) => size + PAGE_BYTES,
        }
    }

    /// Bytes of a thread environment block, and what follows it.
    pub(crate) fn teb_bytes(&self) -> u64 {
        let size = u64::from(self.nt.layouts().teb.size);
        match (self.is_on_wine(), self.nt.edition.bitness) {
            (false, _) => size,
            // The page for the other bitness's TEB, on x64, and room for a message.
            (true, Bitness::Bits64) => size + 2 * PAGE_BYTES,
            (true, Bitness::Bits32) => size + PAGE_BYTES,
        }
    }

    /// Makes a new thread's stack. Wine's loader clears most of a mebibyte below the first frame, whatever is there: so
    /// much is committed until the thread's own code runs. Answers also where the stack ends from then on, if not where it
    /// ends now.
    pub(crate) fn make_thread_stack(
        &mut self,
        sizes: StackSizes,
    ) -> Result<(StackMemory, Option<VirtAddr>), NtStatus> {
        if !self.is_on_wine() {
            return Ok((self.make_stack_memory(sizes)?, None));
        }
        let reserve = sizes.reserve.max(LEAST_STACK_BYTES);
        let commit = sizes.commit.max(CLEARED_BYTES + MARGIN_BYTES);
        let stack = self.make_stack_memory(StackSizes { reserve, commit })?;
        Ok((stack, stack.top.checked_sub(sizes.commit)))
    }

    /// The loader hands over to the thread's own code: what the stack had beyond what was asked for is given back.
    pub(crate) fn loader_is_done(&mut self) {
        self.nt.process_mut().reached_own_code = true;
        let thread = self.nt.current_thread_mut();
        let (Some(base), Some(limit)) = (thread.stack, thread.stack_limit_later.take()) else { return };
        let tid = thread.tid;
        let at = self.teb_field(tid, self.nt.layouts().teb.stack_limit);
        // A program may have changed its stack by now, before its first instruction even: then it stays as it is.
        let Ok(old) = self.read_word(at) else { return };
        let guard = limit.raw() - PAGE_BYTES;
        if old >= limit.raw() || old <= base.raw() {
            return;
        }
        let lowest = VirtAddr::new(old - PAGE_BYTES);
        let trimmed = self.free(lowest, guard - lowest.raw(), FreeType::DECOMMIT).is_ok()
            && self.protect(VirtAddr::new(guard), PAGE_BYTES, GUARD).is_ok();
        if trimmed {
            let _unwritable = self.write_word(at, limit.raw());
        }
    }

    /// Fills what a new thread finds in its environment block.
    pub(crate) fn write_wine_teb(&mut self, teb: VirtAddr) -> Result<(), BadPointer> {
        if !self.is_on_wine() {
            return Ok(());
        }
        let (layout, width) = (self.nt.layouts().teb, self.pointer_bytes());
        let at = |offset: u32| UserPtr::new(teb.raw()).offset(u64::from(offset));
        let stack = at(layout.activation_stack);
        let head = stack.offset(width);
        self.write_word(at(layout.activation_stack_pointer), stack.raw())?;
        self.write_word(head, head.raw())?;
        self.write_word(head.offset(width), head.raw())
    }

    pub(super) fn fill_wine_variables(
        &mut self,
        ntdll: VirtAddr,
        landmarks: Landmarks,
        stubs: SystemCallStubs,
    ) -> Result<(), NtStatus> {
        let Some(variables) = landmarks.wine else { return Ok(()) };
        let at = |rva: u32| UserPtr::new(ntdll.raw()).offset(u64::from(rva));
        if let Some(rva) = variables.system_call {
            self.poke_word(at(rva), stubs.system_call.raw())?;
        }
        if let Some(rva) = variables.unix_call {
            self.poke_word(at(rva), stubs.unix_call.raw())?;
        }
        if let Some(rva) = variables.unix_handle {
            self.poke(at(rva), &NTDLL_HANDLE.to_le_bytes())?;
        }
        Ok(())
    }

    fn poke_word(&mut self, at: UserPtr, value: u64) -> Result<(), NtStatus> {
        let width = self.pointer_bytes() as usize;
        self.poke(at, &value.to_le_bytes()[..width])
    }

    /// Stores bytes in an image, in a part too that the program may only read.
    fn poke(&mut self, at: UserPtr, bytes: &[u8]) -> Result<(), NtStatus> {
        let (address, length) = (at.address(), bytes.len() as u64);
        let (_, _, old) = self.protect(address, length, WRITE_COPY)?;
        let written = self.write(at, bytes).map_err(|bad| bad.status);
        self.protect(address, length, old.raw())?;
        written
    }
}
