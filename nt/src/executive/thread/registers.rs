//! A thread's registers as another thread reads and changes them.

use super::THREAD_SET_CONTEXT;
use super::table::ThreadState;
use crate::claim::UserPtr;
use crate::executive::context;
use crate::executive::handle::Handle;
use crate::service::{Answer, Arg, Call, Export, Failure};
use vadose_facts::ntdef::layout::ContextFlags;
use vadose_facts::ntdef::{Bitness, NtStatus};

use Arg::Word;

/// `THREAD_GET_CONTEXT`.
const THREAD_GET_CONTEXT: u32 = 0x8;
/// Bytes of a 32-bit context without the FXSAVE image, which programs of the first Windows versions leave away.
const SHORT_CONTEXT32: u64 = 0xcc;

/// The services.
pub(crate) const EXPORTS: &[Export] = &[
    Export::native("NtGetContextThread", &[Word, Word], get_context_thread),
    Export::native("NtSetContextThread", &[Word, Word], set_context_thread),
];

/// `NtGetContextThread(thread, *context)`.
fn get_context_thread(call: &mut Call<'_>) -> Answer {
    let (handle, at) = (call.handle(0), call.ptr(1));
    get_context(call, handle, at)?;
    Ok(0)
}

/// `NtSetContextThread(thread, *context)`.
fn set_context_thread(call: &mut Call<'_>) -> Answer {
    let (handle, at) = (call.handle(0), call.ptr(1));
    set_context(call, handle, at)?;
    Ok(0)
}

fn parts_of(call: &mut Call<'_>, at: UserPtr) -> Result<ContextFlags, Failure> {
    let flags = call.nt.layouts().context.flags;
    Ok(ContextFlags::from_bits_retain(call.read_u32(at.offset(u64::from(flags)))?))
}

/// Stores the parts of a thread's registers that the record asks for; the rest of it is not touched.
pub(crate) fn get_context(call: &mut Call<'_>, handle: Handle, at: UserPtr) -> Result<(), Failure> {
    let tid = call.thread_of(handle, THREAD_GET_CONTEXT)?;
    let parts = parts_of(call, at)?;
    let thread = call.nt.threads.known(tid);
    if thread.has_ended() {
        return Err(NtStatus::UNSUCCESSFUL.into());
    }
    let saved = thread.registers.clone();
    let registers = if call.nt.scheduler.is_loaded(tid) { call.cpu.registers() } else { saved };
    for (offset, bytes) in context::pieces(&registers, call.nt.edition.bitness, parts) {
        call.write(at.offset(u64::from(offset)), &bytes)?;
    }
    Ok(())
}

/// Loads the parts of a thread's registers that the record names. A thread that waits goes on with them when its wait is
/// over.
pub(crate) fn set_context(call: &mut Call<'_>, handle: Handle, at: UserPtr) -> Result<(), Failure> {
    let tid = call.thread_of(handle, THREAD_SET_CONTEXT)?;
    let parts = parts_of(call, at)?;
    let size = u64::from(call.nt.layouts().context.size);
    let short =
        call.nt.edition.bitness == Bitness::Bits32 && !parts.contains(ContextFlags::EXTENDED_REGISTERS);
    let mut bytes = call.read_vec(at, if short { SHORT_CONTEXT32 } else { size })?;
    bytes.resize(size as usize, 0);
    let bitness = call.nt.edition.bitness;
    if call.nt.scheduler.is_loaded(tid) {
        let mut registers = call.cpu.registers();
        context::load(&bytes, bitness, &mut registers);
        call.cpu.set_registers(&registers);
        call.registers_loaded();
        return Ok(());
    }
    let thread = call.nt.threads.known(tid);
    match thread.state {
        ThreadState::Terminated => Err(NtStatus::UNSUCCESSFUL.into()),
        ThreadState::Ready | ThreadState::Running | ThreadState::Waiting => {
            context::load(&bytes, bitness, &mut thread.registers);
            Ok(())
        }
    }
}
