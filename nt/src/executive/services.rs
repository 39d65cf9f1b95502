//! Native services of processes and handles, and the loader's services for guest code.

use super::process::Ending;
use crate::executive::{Object, Thread};
use crate::host::HostFile;
use crate::service::{Answer, Arg, Call, Export};
use vadose_facts::ntdef::NtStatus;

use Arg::{U32, Word};

const PROCESS_TERMINATE: u32 = 0x1;

/// Native services, and those that guest code of the built-in DLLs calls.
pub(crate) const EXPORTS: &[Export] = &[
    Export::native("NtTerminateProcess", &[Word, U32], nt_terminate_process),
    Export::native("NtTerminateThread", &[Word, U32], nt_terminate_thread),
    Export::native("NtClose", &[Word], nt_close),
    Export::native("VdsNextInitialiser", &[Word], next_initialiser).hidden(),
    Export::native("VdsInitialiserDone", &[U32], initialiser_done).hidden(),
    Export::native("VdsBeginExit", &[], begin_exit).hidden(),
];

/// `NtTerminateProcess(process, status)`: a null handle means the caller's own process (and ends other threads).
fn nt_terminate_process(call: &mut Call<'_>) -> Answer {
    let (handle, status) = (call.handle(0), call.u32(1));
    if handle != super::Handle::NULL {
        call.require_process(handle, PROCESS_TERMINATE)?;
        call.nt.end(Ending::Exit(status));
        call.registers_loaded();
    }
    Ok(0)
}

/// `NtTerminateThread(thread, status)`: the last thread takes its process along.
fn nt_terminate_thread(call: &mut Call<'_>) -> Answer {
    let (handle, status) = (call.handle(0), call.u32(1));
    if handle != super::Handle::NULL {
        let Object::Thread(_) = call.nt.process().handles.get(handle)? else {
            return Err(NtStatus::OBJECT_TYPE_MISMATCH.into());
        };
    }
    call.nt.end(Ending::Exit(status));
    call.registers_loaded();
    Ok(0)
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
    /// `INVALID_HANDLE`.
    pub fn close_handle(&mut self, handle: super::Handle) -> Result<(), NtStatus> {
        if handle == super::Handle::CURRENT_PROCESS || handle == super::Handle::CURRENT_THREAD {
            return Ok(());
        }
        if let Some(Object::File(file)) = self.nt.process_mut().handles.remove(handle)? {
            self.close_file(file.file);
            if file.delete_on_close {
                // The name may be gone already; closing works all the same.
                let _gone = self.host.remove(&file.path, crate::FileKind::File);
            }
        }
        Ok(())
    }

    fn close_file(&mut self, file: Option<HostFile>) {
        if let Some(file) = file {
            self.host.close(file);
        }
    }

    /// The running thread.
    ///
    /// # Panics
    ///
    /// Before it is made: services are called by threads.
    pub fn thread(&self) -> &Thread {
        self.nt.process().current_thread().expect("a thread called the service")
    }
}

/// Guest code asks for the next initialiser to call: its address, with the three arguments stored through the pointer;
/// 0 when there is none.
fn next_initialiser(call: &mut Call<'_>) -> Answer {
    let to = call.ptr(0);
    let Some(next) = call.nt.process().initialisers.peek() else {
        let ended = call.nt.process_mut().initialisers.take_next();
        debug_assert!(ended.is_none(), "nothing came since");
        return Ok(0);
    };
    let width = call.pointer_bytes();
    call.write_word(to, next.module.raw())?;
    call.write_word(to.offset(width), u64::from(next.reason))?;
    call.write_word(to.offset(2 * width), next.reserved)?;
    // It leaves the queue now: an initialiser may load a DLL, whose own are then the next.
    call.nt.process_mut().initialisers.take_next();
    Ok(next.function.raw())
}

/// Guest code reports what an initialiser returned. A DLL that refuses ends a starting process, as in Windows.
fn initialiser_done(call: &mut Call<'_>) -> Answer {
    // A BOOL of a DLL entry point counts by its low byte: compilers return it in AL.
    let result = call.u32(0) & 0xff;
    let Some(done) = call.nt.process_mut().initialisers.returned() else { return Ok(0) };
    let attaching = done.reason == 1 && done.must_succeed;
    match (attaching, result) {
        (false, _) => {}
        (true, 0) if done.reserved != 0 => call.nt.end(Ending::Exit(NtStatus::DLL_INIT_FAILED.raw())),
        (true, 0) => call.queue_terminators_after_refusal(done.module),
        (true, _) => call.nt.process_mut().initialisers.agreed(done.module),
    }
    Ok(0)
}

/// Guest code of `ExitProcess` asks to have the terminators queued: DLLs in reverse order, then the program's own TLS
/// callbacks. The second call finds nothing to do.
fn begin_exit(call: &mut Call<'_>) -> Answer {
    call.queue_terminators();
    Ok(0)
}
