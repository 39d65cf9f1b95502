//! Native services of processes and handles, and the loader's services for guest code.

use super::process::Ending;
use crate::executive::{FileIo, Object, Thread};
use crate::service::{Answer, Arg, Call, Export};
use vadose_facts::ntdef::NtStatus;

use Arg::{U32, Word};

const PROCESS_TERMINATE: u32 = 0x1;

/// Native services, and those that guest code of the built-in DLLs calls.
pub(crate) const EXPORTS: &[Export] = &[
    Export::native("NtTerminateProcess", &[Word, U32], nt_terminate_process),
    Export::native("NtClose", &[Word], nt_close),
    Export::native("VdsNextInitialiser", &[Word], next_initialiser).hidden(),
    Export::native("VdsInitialiserDone", &[U32], initialiser_done).hidden(),
    Export::native("VdsBeginExit", &[], begin_exit).hidden(),
];

/// `NtTerminateProcess(process, status)`: a null handle means the caller's own process (and ends other threads).
fn nt_terminate_process(call: &mut Call<'_>) -> Answer {
    let (handle, status) = (call.handle(0), call.u32(1));
    if handle == super::Handle::NULL {
        call.end_other_threads(status);
        return Ok(0);
    }
    call.terminate_process(handle, status)?;
    Ok(0)
}

impl Call<'_> {
    /// Ends a process with an exit code: the caller's own, which does not go on then, or another one.
    ///
    /// # Errors
    ///
    /// As [`require_living`](crate::Kernel::require_living).
    pub(crate) fn terminate_process(&mut self, handle: super::Handle, code: u32) -> Result<(), NtStatus> {
        let pid = self.require_living(handle, PROCESS_TERMINATE)?;
        self.attached(pid, |kernel| kernel.nt.end(Ending::Exit(code)));
        if pid == self.nt.process().pid {
            self.registers_loaded();
        }
        Ok(())
    }
}

/// `NtClose(handle)`.
fn nt_close(call: &mut Call<'_>) -> Answer {
    let handle = call.handle(0);
    call.close_handle(handle)?;
    Ok(0)
}

impl crate::Kernel<'_> {
    /// Closes a handle and what only it held. Pseudo handles are closed without effect.
    ///
    /// # Errors
    ///
    /// `INVALID_HANDLE`; `HANDLE_NOT_CLOSABLE` for one that is protected.
    pub fn close_handle(&mut self, handle: super::Handle) -> Result<(), NtStatus> {
        if handle == super::Handle::CURRENT_PROCESS || handle == super::Handle::CURRENT_THREAD {
            return Ok(());
        }
        let id = self.nt.handles().object_id(handle)?;
        if self.nt.process().handles.flags_of(handle)?.protected {
            return Err(NtStatus::HANDLE_NOT_CLOSABLE);
        }
        match self.nt.handles_mut().remove(handle)? {
            Some(object) => self.object_is_gone(id, object),
            None => self.handle_to_job_closed(id),
        }
        Ok(())
    }

    /// What goes with an object that nothing needs any more.
    pub(crate) fn object_is_gone(&mut self, id: super::ObjectId, object: Object) {
        match object {
            Object::File(file) => {
                self.close_file(&file);
                if let FileIo::Overlapped { port: Some((port, _)) } = file.io {
                    self.release_object(port);
                }
            }
            Object::Pipe(end) => {
                let io = end.io;
                self.close_pipe_end(end);
                if let FileIo::Overlapped { port: Some((port, _)) } = io {
                    self.release_object(port);
                }
            }
            Object::Thread(tid) => self.nt.threads.remove(tid),
            Object::Timer(_) => self.nt.scheduler.timer_is_gone(id),
            Object::Section(section) => self.close_section_object(&section),
            Object::Process(pid) => self.nt.forget_process(pid),
            Object::Key(key) => self.close_key(id, key),
            Object::Console(_)
            | Object::Event(_)
            | Object::Mutex(_)
            | Object::Semaphore(_)
            | Object::CompletionPort(_)
            | Object::Token(_)
            | Object::Job(_)
            | Object::Directory(_)
            | Object::SymbolicLink(_)
            | Object::KeyedEvent
            | Object::Search(_)
            | Object::Other => {}
        }
    }

    /// The running thread.
    ///
    /// # Panics
    ///
    /// Before it is made: services are called by threads.
    pub fn thread(&self) -> &Thread {
        self.nt.threads.current().expect("a thread called the service")
    }
}

/// Guest code asks for the next initialiser to call: its address, with the three arguments stored through the pointer;
/// 0 when there is none.
fn next_initialiser(call: &mut Call<'_>) -> Answer {
    let to = call.ptr(0);
    if call.thread().attaching {
        if call.loader_is_taken() {
            return call.block_for_loader();
        }
        call.queue_thread_initialisers();
    }
    let Some(next) = call.thread().initialisers.peek() else {
        let ended = call.nt.current_thread_mut().initialisers.take_next();
        debug_assert!(ended.is_none(), "nothing came since");
        call.loader_changed();
        return Ok(0);
    };
    let width = call.pointer_bytes();
    call.write_word(to, next.module.raw())?;
    call.write_word(to.offset(width), u64::from(next.reason))?;
    call.write_word(to.offset(2 * width), next.reserved)?;
    // It leaves the queue now: an initialiser may load a DLL, whose own are then the next.
    call.nt.current_thread_mut().initialisers.take_next();
    Ok(next.function.raw())
}

/// Guest code reports what an initialiser returned. A DLL that refuses ends a starting process, as in Windows.
fn initialiser_done(call: &mut Call<'_>) -> Answer {
    // A BOOL of a DLL entry point counts by its low byte: compilers return it in AL.
    let result = call.u32(0) & 0xff;
    let Some(done) = call.nt.current_thread_mut().initialisers.returned() else { return Ok(0) };
    let attaching = done.reason == 1 && done.must_succeed;
    match (attaching, result) {
        (false, _) => {}
        (true, 0) if done.reserved != 0 => call.nt.end(Ending::Exit(NtStatus::DLL_INIT_FAILED.raw())),
        (true, 0) => call.queue_terminators_after_refusal(done.module),
        (true, _) => call.nt.current_thread_mut().initialisers.agreed(done.module),
    }
    Ok(0)
}

/// Guest code of `ExitProcess` asks to have the terminators queued: DLLs in reverse order, then the program's own TLS
/// callbacks. Other threads end first, as in Windows. The second call finds nothing to do.
fn begin_exit(call: &mut Call<'_>) -> Answer {
    call.end_other_threads(0);
    call.queue_terminators();
    Ok(0)
}
