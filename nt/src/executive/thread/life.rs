//! How threads come and go: their stack, environment block and static TLS, and what their end does to others.

use super::table::{STILL_ACTIVE, Thread, ThreadState};
use crate::claim::{BadPointer, UserPtr};
use crate::executive::process::{Ending, RegionUse};
use crate::executive::{Handle, Object, ObjectId};
use crate::kernel::Kernel;
use vadose_cpu::Registers;
use vadose_facts::addr::{GRANULARITY_BYTES, PAGE_BYTES, VirtAddr};
use vadose_facts::ntdef::{Bitness, FreeType, NtStatus};

/// A stack whose commit leaves nothing of its reserve gets one of whole mebibytes.
const STACK_STEP: u64 = 1 << 20;
/// Stack of a program whose header asks for none.
const DEFAULT_STACK_BYTES: u64 = 1 << 20;
/// Flags of a new thread: interrupts enabled, and the bit that is always set.
pub(crate) const INITIAL_FLAGS: u64 = 0x202;
/// Room above the stack pointer of a new thread.
const STACK_ROOM: u64 = 0x40;

/// Sizes of a new stack in bytes; 0 takes the program's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StackSizes {
    /// Address space.
    pub(crate) reserve: u64,
    /// Committed at the start.
    pub(crate) commit: u64,
}

/// A thread to be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewThread {
    /// Where it begins.
    pub(crate) start: u64,
    /// The argument.
    pub(crate) argument: u64,
    /// Its stack.
    pub(crate) stack: StackSizes,
    /// Whether it has to be resumed before it runs.
    pub(crate) suspended: Suspended,
}

/// Whether a new thread runs at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Suspended {
    Yes,
    No,
}

impl StackSizes {
    /// Rounded as Windows does, with the header's sizes where none are given (SPEC E24): commit to pages, reserve to 64 KiB;
    /// a commit that fills the reserve makes it larger. A guard page, and the page below it that is never committed, must fit.
    pub(crate) fn round(self, header: Self) -> Option<Self> {
        let or = |value: u64, other: u64| if value == 0 { other } else { value };
        let wanted = or(or(self.reserve, header.reserve), DEFAULT_STACK_BYTES);
        let commit = or(self.commit, header.commit).max(PAGE_BYTES).checked_next_multiple_of(PAGE_BYTES)?;
        let reserve = if commit >= wanted { commit.checked_next_multiple_of(STACK_STEP)? } else { wanted };
        let reserve = reserve.checked_next_multiple_of(GRANULARITY_BYTES)?;
        Some(Self { reserve, commit: commit.min(reserve - 2 * PAGE_BYTES) })
    }
}

impl Kernel<'_> {
    /// Makes a thread of the process; answers its id.
    ///
    /// # Errors
    ///
    /// No room for its stack or blocks; nothing is left behind.
    pub(crate) fn create_thread(&mut self, new: NewThread, like: &Registers) -> Result<u32, NtStatus> {
        if self.nt.threads.living().count() >= self.nt.limits.threads {
            self.nt.refusals.threads += 1;
            return Err(NtStatus::INSUFFICIENT_RESOURCES);
        }
        let header = self.nt.process().program().image.stack();
        let header = StackSizes { reserve: header.reserve, commit: header.commit };
        let sizes = new.stack.round(header).ok_or(NtStatus::NO_MEMORY)?;
        let (stack, later) = self.make_thread_stack(sizes)?;
        let teb = self.make_teb().inspect_err(|_| self.free_memory(stack.base))?;
        let tls = self.make_tls_area().inspect_err(|_| {
            self.free_memory(stack.base);
            self.free_teb(teb);
        })?;
        let (tid, pid) = (self.nt.next_id(), self.nt.process().pid);
        let object = self.nt.objects.create(Object::Thread(tid));
        let mut thread = Thread::new(tid, pid, object);
        thread.teb = teb;
        (thread.stack, thread.stack_limit_later) = (Some(stack.base), later);
        thread.tls_area = tls;
        thread.tls_array = VirtAddr::new(tls.map_or(0, |(at, _)| at));
        thread.start_address = new.start;
        thread.priority = self.nt.process().base_priority;
        thread.lifetime.0 = self.nt.now;
        thread.attaching = true;
        thread.suspend_count = u32::from(new.suspended == Suspended::Yes);
        let filled = self.write_teb(tid, teb, thread.tls_array, stack);
        thread.registers = filled
            .and_then(|()| self.first_registers(new.start, new.argument, stack.top, like))
            .map_err(|bad| bad.status)?;
        self.nt.scheduler.make_ready(&thread);
        self.nt.threads.insert(thread);
        Ok(tid)
    }

    /// Registers at `RtlUserThreadStart`: where to begin and with what, and the stack. A loader of the process's own comes
    /// before that.
    ///
    /// # Errors
    ///
    /// The stack cannot be written.
    pub(crate) fn first_registers(
        &mut self,
        start: u64,
        argument: u64,
        top: VirtAddr,
        like: &Registers,
    ) -> Result<Registers, BadPointer> {
        let (start_register, argument_register) = match self.nt.edition.bitness {
            Bitness::Bits32 => (0, 3),
            Bitness::Bits64 => (1, 2),
        };
        let entries = self.nt.process().entries;
        let mut registers =
            Registers { segments: like.segments, flags: INITIAL_FLAGS, ..Registers::default() };
        registers.gpr[start_register] = start;
        registers.gpr[argument_register] = argument;
        registers.gpr[4] = top.raw() - STACK_ROOM - self.first_frame_offset();
        registers.ip = entries.thread_start.raw();
        match entries.loader {
            None => Ok(registers),
            Some(start) => self.begin_in_loader(&registers, start),
        }
    }

    /// Ends a thread: its memory goes, its mutexes are abandoned, whoever waits for it goes on. The last one of a process
    /// ends the process.
    pub(crate) fn end_thread(&mut self, tid: u32, code: u32) {
        let pid = self.nt.threads.known(tid).pid;
        self.attached(pid, |kernel| {
            if kernel.nt.threads.living_of(pid).all(|thread| thread.tid == tid) {
                kernel.nt.threads.known(tid).exit_code = code;
                return kernel.nt.end(Ending::Exit(code));
            }
            kernel.free_thread_memory(tid);
            kernel.stop_thread(tid, code);
            kernel.loader_changed();
        });
    }

    /// Takes a thread off the processor for good: nobody but its memory needs it any more.
    pub(crate) fn stop_thread(&mut self, tid: u32, code: u32) {
        if let Some(wait) = self.nt.threads.known(tid).wait.take() {
            self.forget_wait(tid, &wait);
        }
        self.nt.scheduler.not_ready(tid);
        if self.nt.scheduler.is_loaded(tid) {
            self.nt.scheduler.unload();
        }
        let now = self.nt.now;
        let thread = self.nt.threads.known(tid);
        thread.lifetime.1 = Some(now);
        thread.state = ThreadState::Terminated;
        thread.exit_code = code;
        thread.initialisers = Default::default();
        let (object, impersonation) = (thread.object, thread.impersonation.take());
        self.abandon_mutexes(tid);
        self.object_signalled(object);
        self.release_object(object);
        if let Some(token) = impersonation {
            self.release_object(token);
        }
    }

    /// Ends every thread but the caller's own.
    pub(crate) fn end_other_threads(&mut self, code: u32) {
        let (me, pid) = (self.thread().tid, self.nt.process().pid);
        let threads = self.nt.threads.living_of(pid).map(|thread| thread.tid);
        let others: Vec<u32> = threads.filter(|tid| *tid != me).collect();
        for tid in others {
            self.end_thread(tid, code);
        }
    }

    fn free_thread_memory(&mut self, tid: u32) {
        let thread = self.nt.threads.known(tid);
        let (teb, stack, tls) = (thread.teb, thread.stack.take(), thread.tls_area.take());
        if let Some(base) = stack {
            self.free_memory(base);
        }
        // Wine's loader links the blocks of threads, and takes out only those that end by themselves.
        let by_itself = self.nt.threads.current().is_some_and(|thread| thread.tid == tid);
        if by_itself || !self.is_on_wine() {
            self.free_teb(teb);
        }
        self.nt.process_mut().spare_tls.extend(tls);
    }

    /// A mutex whose owner is gone belongs to nobody, and tells its next owner.
    fn abandon_mutexes(&mut self, tid: u32) {
        let mut abandoned = Vec::new();
        for (id, object) in self.nt.objects.iter_mut() {
            if let Object::Mutex(mutex) = object
                && mutex.owner == Some(tid)
            {
                (mutex.owner, mutex.depth, mutex.abandoned) = (None, 0, true);
                abandoned.push(id);
            }
        }
        for id in abandoned {
            self.object_signalled(id);
        }
    }

    /// Releases a private allocation of the kernel's. A program that freed it itself is not told.
    pub(crate) fn free_memory(&mut self, base: VirtAddr) {
        let _gone = self.free(base, 0, FreeType::RELEASE);
        self.nt
            .process_mut()
            .uses
            .retain(|(known, what)| *known != base || !matches!(what, RegionUse::Stack | RegionUse::Teb));
    }

    /// Drops one reference to an object; what only it held goes with it.
    pub(crate) fn release_object(&mut self, id: ObjectId) {
        if let Some(object) = self.nt.objects.release(id) {
            self.object_is_gone(id, object);
        }
    }

    /// The thread of a handle that has the right.
    ///
    /// # Errors
    ///
    /// `INVALID_HANDLE`, `OBJECT_TYPE_MISMATCH`, `ACCESS_DENIED`.
    pub(crate) fn thread_of(&self, handle: Handle, right: u32) -> Result<u32, NtStatus> {
        let handles = self.nt.handles();
        let Object::Thread(tid) = *handles.get(handle)? else {
            return Err(NtStatus::OBJECT_TYPE_MISMATCH);
        };
        if handles.access(handle)? & right != right {
            return Err(NtStatus::ACCESS_DENIED);
        }
        Ok(tid)
    }

    /// Stops a thread from running; answers how often it was suspended before.
    ///
    /// # Errors
    ///
    /// `SUSPEND_COUNT_EXCEEDED`; `THREAD_IS_TERMINATING` for one that has ended.
    pub(crate) fn suspend_thread(&mut self, tid: u32) -> Result<u32, NtStatus> {
        const MAX_SUSPEND_COUNT: u32 = 127;
        let thread = self.nt.threads.known(tid);
        if thread.has_ended() {
            return Err(NtStatus::THREAD_IS_TERMINATING);
        }
        let before = thread.suspend_count;
        if before == MAX_SUSPEND_COUNT {
            return Err(NtStatus::SUSPEND_COUNT_EXCEEDED);
        }
        thread.suspend_count += 1;
        self.nt.scheduler.not_ready(tid);
        Ok(before)
    }

    /// Takes one suspension back; answers how many there were.
    pub(crate) fn resume_thread(&mut self, tid: u32) -> u32 {
        let thread = self.nt.threads.known(tid);
        let before = thread.suspend_count;
        thread.suspend_count = before.saturating_sub(1);
        if before == 1 && thread.state != ThreadState::Waiting && !thread.has_ended() {
            self.nt.scheduler.make_ready(self.nt.threads.known(tid));
        }
        before
    }

    /// Changes a thread's priority: it goes behind its new equals.
    pub(crate) fn set_priority(&mut self, tid: u32, priority: u8) {
        let thread = self.nt.threads.known(tid);
        thread.priority = priority;
        if thread.state == ThreadState::Ready {
            self.nt.scheduler.not_ready(tid);
            self.nt.scheduler.make_ready(self.nt.threads.known(tid));
        }
    }

    /// What `GetExitCodeThread` tells.
    pub(crate) fn exit_code_of(&self, tid: u32) -> u32 {
        self.nt.threads.get(tid).map_or(STILL_ACTIVE, |thread| thread.exit_code)
    }

    /// A pointer-sized field of a thread's environment block.
    pub(crate) fn teb_field(&self, tid: u32, offset: u32) -> UserPtr {
        let teb = self.nt.threads.get(tid).map_or(0, |thread| thread.teb.raw());
        UserPtr::new(teb).offset(u64::from(offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SPEC E24: commit up to a page, reserve up to 64 KiB, and reserve from a commit that is larger.
    #[test]
    fn stack_sizes_are_rounded_as_windows_rounds_them() {
        let header = StackSizes { reserve: 0x20_0000, commit: 0x2000 };
        let sizes = |reserve, commit| {
            StackSizes { reserve, commit }.round(header).map(|sizes| (sizes.reserve, sizes.commit))
        };
        assert_eq!(sizes(0x3f_f000, 0x3f00), Some((0x40_0000, 0x4000)));
        assert_eq!(sizes(0x10_0000, 0x1000), Some((0x10_0000, 0x1000)));
        assert_eq!(sizes(0, 0), Some((0x20_0000, 0x2000)), "from the header");
        assert_eq!(sizes(0, 0x10_0000), Some((0x20_0000, 0x10_0000)));
        assert_eq!(sizes(0x10_0000, 0x11_0000), Some((0x20_0000, 0x11_0000)));
        assert_eq!(sizes(0x1_0000, 0xf000), Some((0x1_0000, 0xe000)));
        assert_eq!((sizes(u64::MAX, 0), sizes(0x1000, u64::MAX)), (None, None));
        let none = StackSizes { reserve: 0, commit: 0 };
        assert_eq!(none.round(none), Some(StackSizes { reserve: 0x10_0000, commit: 0x1000 }));
    }
}
