//! User APCs: functions that a thread is made to call while it waits alertably.

use super::wait::{Alertable, Wait};
use crate::claim::{BadPointer, UserPtr};
use crate::executive::context;
use crate::kernel::Kernel;
use crate::service::{Answer, Arg, Call, Export};
use vadose_cpu::Vcpu;
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::{Bitness, NtStatus};

use Arg::{U32, Word};

/// `THREAD_SET_CONTEXT`: the right to queue an APC.
pub(crate) const THREAD_SET_CONTEXT: u32 = 0x10;
/// APCs that may wait for one thread.
const MAX_APCS: usize = 1 << 16;

/// `QUEUE_USER_APC_SPECIAL_USER_APC`.
const SPECIAL_APC: u64 = 1;

/// The services.
pub(crate) const EXPORTS: &[Export] = &[
    Export::native("NtQueueApcThread", &[Word, Word, Word, Word, Word], queue_apc_thread),
    Export::native("NtQueueApcThreadEx", &[Word, Word, Word, Word, Word, Word], queue_apc_thread_ex)
        .since(6, 1),
    Export::native("NtQueueApcThreadEx2", &[Word, Word, U32, Word, Word, Word, Word], queue_apc_thread_ex2)
        .since(10, 0),
];

/// A function to call, and its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Apc {
    /// The function.
    pub(crate) routine: u64,
    /// Its arguments.
    pub(crate) arguments: [u64; 3],
}

impl Kernel<'_> {
    /// Queues an APC; a thread that waits alertably goes on.
    ///
    /// # Errors
    ///
    /// `UNSUCCESSFUL` for a thread that has ended; `NO_MEMORY` for too many.
    pub(crate) fn queue_apc(&mut self, tid: u32, apc: Apc) -> Result<(), NtStatus> {
        let thread = self.nt.threads.known(tid);
        if thread.has_ended() {
            return Err(NtStatus::UNSUCCESSFUL);
        }
        if thread.apcs.len() == MAX_APCS {
            return Err(NtStatus::NO_MEMORY);
        }
        thread.apcs.push_back(apc);
        if matches!(thread.wait, Some(Wait { alertable: Alertable::Yes | Alertable::Apcs, .. })) {
            thread.apcs_wanted = true;
            self.wake(tid, NtStatus::USER_APC);
        }
        Ok(())
    }

    /// The calling thread's APCs are called before it goes on, if there are any.
    pub(crate) fn want_apcs(&mut self) {
        self.alerted(Alertable::Apcs);
    }

    /// What an alertable wait of the calling thread ends with before it begins: an alert counts before APCs, which are
    /// delivered then.
    pub(crate) fn alerted(&mut self, alertable: Alertable) -> Option<NtStatus> {
        let thread = self.nt.current_thread_mut();
        if alertable == Alertable::Yes && std::mem::take(&mut thread.alerted) {
            return Some(NtStatus::ALERTED);
        }
        let called = alertable != Alertable::No && !thread.apcs.is_empty();
        thread.apcs_wanted |= called;
        called.then_some(NtStatus::USER_APC)
    }

    /// Makes the thread in the processor call its next APC, if it asked for them. What it does now goes onto its stack.
    pub(super) fn deliver_apc(&mut self, cpu: &mut dyn Vcpu) {
        let thread = self.nt.current_thread_mut();
        if !std::mem::take(&mut thread.apcs_wanted) {
            return;
        }
        let Some(apc) = thread.apcs.pop_front() else { return };
        let registers = cpu.registers();
        let bytes = context::to_bytes(&registers, self.nt.edition.bitness);
        let written = match self.nt.edition.bitness {
            Bitness::Bits32 => self.write_apc32(apc, &bytes, registers.gpr[4]),
            Bitness::Bits64 => self.write_apc64(apc, bytes, registers.gpr[4]),
        };
        match written {
            Ok(stack) => {
                cpu.set_gpr(4, stack);
                cpu.set_ip(self.nt.process().entries.apc_dispatcher);
            }
            Err(bad) => self.raise(cpu, bad.status, bad.parameters.as_slice(), VirtAddr::new(registers.ip)),
        }
    }

    /// x64: the first four words of the context, which are home space, hold the arguments and the function.
    fn write_apc64(&mut self, apc: Apc, mut context: Vec<u8>, sp: u64) -> Result<u64, BadPointer> {
        let at = sp.wrapping_sub(context.len() as u64) & !15;
        let words = apc.arguments.into_iter().chain([apc.routine]);
        for (place, word) in context.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        self.write(UserPtr::new(at), &context)?;
        Ok(at)
    }

    /// x86: the function, its arguments, then the context.
    fn write_apc32(&mut self, apc: Apc, context: &[u8], sp: u64) -> Result<u64, BadPointer> {
        let context_at = sp.wrapping_sub(context.len() as u64) & 0xffff_fffc;
        let at = context_at.wrapping_sub(16) & 0xffff_fffc;
        self.write(UserPtr::new(context_at), context)?;
        let words = [apc.routine, apc.arguments[0], apc.arguments[1], apc.arguments[2]];
        let words: Vec<u8> = words.iter().flat_map(|word| (*word as u32).to_le_bytes()).collect();
        self.write(UserPtr::new(at), &words)?;
        Ok(at)
    }
}

/// `NtQueueApcThread(thread, function, three arguments)`.
fn queue_apc_thread(call: &mut Call<'_>) -> Answer {
    queue(call, 1)
}

/// The same with a reserve object or `QUEUE_USER_APC_SPECIAL_USER_APC` before the function. There are no reserve objects,
/// and no APCs that interrupt a thread wherever it is.
fn queue_apc_thread_ex(call: &mut Call<'_>) -> Answer {
    match call.arg(1) {
        0 => queue(call, 2),
        SPECIAL_APC => Err(NtStatus::NOT_IMPLEMENTED.into()),
        _no_reserve => Err(NtStatus::INVALID_HANDLE.into()),
    }
}

/// The same with flags between the two.
fn queue_apc_thread_ex2(call: &mut Call<'_>) -> Answer {
    let (reserve, flags) = (call.arg(1), call.u32(2));
    match (reserve, u64::from(flags)) {
        (0, 0) => queue(call, 3),
        (0, SPECIAL_APC) => Err(NtStatus::NOT_IMPLEMENTED.into()),
        (0, _) => Err(NtStatus::INVALID_PARAMETER.into()),
        (_, _) => Err(NtStatus::INVALID_HANDLE.into()),
    }
}

/// Queues the function at that place among the arguments, with the three behind it.
fn queue(call: &mut Call<'_>, at: usize) -> Answer {
    let handle = call.handle(0);
    let apc = Apc { routine: call.arg(at), arguments: [1, 2, 3].map(|place| call.arg(at + place)) };
    let tid = call.thread_of(handle, THREAD_SET_CONTEXT)?;
    call.queue_apc(tid, apc)?;
    Ok(0)
}
