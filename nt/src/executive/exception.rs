//! Exceptions: records and contexts on the guest's stack, vectored handlers, and the end of a process that has none.

use super::context;
use super::process::{Crash, Ending};
use crate::claim::{BadPointer, UserPtr};
use crate::kernel::Kernel;
use crate::service::{Answer, Arg, Call, Export};
use vadose_cpu::{Registers, Vcpu};
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::layout::{ExceptionFlags, MAX_EXCEPTION_PARAMETERS};
use vadose_facts::ntdef::{Bitness, NtStatus};
use vadose_facts::x86::Access;
use vadose_mm::ExceptionParameters;

use Arg::{U32, Word};

/// Where the record lies above the stack pointer in `KiUserExceptionDispatcher` on x64, as Windows has it.
pub(crate) const RECORD_ABOVE_CONTEXT: u64 = 0x4f0;
/// Where a machine frame lies above it: what an interrupt pushes, by which unwinders pass the dispatcher.
const MACHINE_FRAME_ABOVE_CONTEXT: u64 = 0x590;
/// Bytes that x64 dispatch takes from the stack: context, record, machine frame, and room as Windows leaves it.
const FRAME64: u64 = 0x5c0;
/// Direction flag: clear when code is entered anew.
const DIRECTION_FLAG: u64 = 1 << 10;
/// Trap flag: a single step ends with its exception.
const TRAP_FLAG: u64 = 1 << 8;

/// `EXCEPTION_NONCONTINUABLE`.
pub(crate) const NONCONTINUABLE: u32 = ExceptionFlags::NONCONTINUABLE.bits();

/// The services of exception dispatch.
pub(crate) const EXPORTS: &[Export] = &[
    Export::native("NtContinue", &[Word, U32], nt_continue),
    Export::native("NtRaiseException", &[Word, Word, U32], nt_raise_exception),
    Export::native("VdsNextVectoredHandler", &[U32, Word, Word], next_vectored_handler).hidden(),
    Export::native("VdsUnhandledFilter", &[Word], unhandled_filter).hidden(),
    Export::native("VdsRaiseNoncontinuable", &[Word], raise_noncontinuable).hidden(),
];

/// The two lists of vectored handlers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VectoredList {
    /// Handlers of exceptions.
    Exception,
    /// Handlers that run when an exception handler said to go on.
    Continue,
}

/// Vectored handlers, in the order they are called.
#[derive(Clone, Debug)]
pub(crate) struct VectoredHandlers {
    exception: HandlerList,
    resume: HandlerList,
}

/// One list. A handler's key is its place in the order and its handle for the program. Keys are never used again, so
/// that a walk goes on rightly when handlers come and go under it, and an old handle stays without effect.
#[derive(Clone, Debug)]
struct HandlerList {
    handlers: Vec<(u64, u64)>,
    next_first: u64,
    next_last: u64,
}

/// The keys of each list's first handler, far enough apart that no handle of one list is one of the other; later
/// handlers get keys above, those put first get keys below.
const EXCEPTION_KEY: u64 = 0x4000_0000;
const CONTINUE_KEY: u64 = 0x2000_0000;
const KEY_STEP: u64 = 0x10;

impl HandlerList {
    const fn new(key: u64) -> Self {
        Self { handlers: Vec::new(), next_first: key - KEY_STEP, next_last: key }
    }
}

impl Default for VectoredHandlers {
    fn default() -> Self {
        Self { exception: HandlerList::new(EXCEPTION_KEY), resume: HandlerList::new(CONTINUE_KEY) }
    }
}

impl VectoredHandlers {
    fn list(&mut self, which: VectoredList) -> &mut HandlerList {
        match which {
            VectoredList::Exception => &mut self.exception,
            VectoredList::Continue => &mut self.resume,
        }
    }

    /// Adds a handler at the front or at the back; answers its key.
    pub(crate) fn add(&mut self, which: VectoredList, first: u32, function: u64) -> u64 {
        let list = self.list(which);
        if first != 0 {
            let key = list.next_first;
            list.next_first -= KEY_STEP;
            list.handlers.insert(0, (key, function));
            key
        } else {
            let key = list.next_last;
            list.next_last += KEY_STEP;
            list.handlers.push((key, function));
            key
        }
    }

    /// Removes a handler by its key; whether it was there.
    pub(crate) fn remove(&mut self, which: VectoredList, key: u64) -> bool {
        let handlers = &mut self.list(which).handlers;
        let before = handlers.len();
        handlers.retain(|(known, _)| *known != key);
        handlers.len() != before
    }

    fn after(&mut self, which: VectoredList, key: u64) -> Option<(u64, u64)> {
        self.list(which).handlers.iter().copied().find(|(known, _)| *known > key)
    }
}

/// What an exception record is made of, beside its address.
struct RaisedRecord<'a> {
    status: NtStatus,
    flags: u32,
    /// Address of the record of the exception during which this one came, 0 for none.
    nested: u64,
    parameters: &'a [u64],
}

/// The place so far below a stack pointer.
fn below(sp: u64, bytes: u64) -> Result<u64, BadPointer> {
    sp.checked_sub(bytes).ok_or(BadPointer::violation(Access::Write, sp))
}

impl Kernel<'_> {
    /// Delivers an exception to the guest: its registers and a record go onto the user's stack, and the guest goes on
    /// in `KiUserExceptionDispatcher`. A stack that cannot take them ends the process.
    pub fn raise(&mut self, cpu: &mut dyn Vcpu, status: NtStatus, parameters: &[u64], address: VirtAddr) {
        if !self.nt.holds(status, parameters, address) {
            self.raise_flagged(cpu, status, 0, parameters, address);
        }
    }

    /// [`raise`](Kernel::raise) with flags for the record.
    pub(crate) fn raise_flagged(
        &mut self,
        cpu: &mut dyn Vcpu,
        status: NtStatus,
        flags: u32,
        parameters: &[u64],
        address: VirtAddr,
    ) {
        self.raise_record(cpu, &RaisedRecord { status, flags, nested: 0, parameters }, address);
    }

    fn raise_record(&mut self, cpu: &mut dyn Vcpu, record: &RaisedRecord<'_>, address: VirtAddr) {
        let bytes = self.record_bytes(record, address);
        let mut registers = cpu.registers();
        registers.ip = address.raw();
        if record.status == NtStatus::SINGLE_STEP {
            // The kernel takes the flag away: a handler that wants another step sets it in the context.
            registers.flags &= !TRAP_FLAG;
        }
        self.dispatch(cpu, bytes, &context::to_bytes(&registers, self.nt.edition.bitness), &registers);
    }

    /// The record of an exception without parameters.
    pub(crate) fn plain_record(&self, status: NtStatus, flags: u32, address: VirtAddr) -> Vec<u8> {
        self.record_bytes(&RaisedRecord { status, flags, nested: 0, parameters: &[] }, address)
    }

    /// Delivers a record as it stands, with these registers as the context.
    pub(crate) fn raise_from(&mut self, cpu: &mut dyn Vcpu, record: Vec<u8>, at: &Registers) {
        let context = context::to_bytes(at, self.nt.edition.bitness);
        self.dispatch(cpu, record, &context, at);
    }

    /// Ends the process of a record's exception.
    pub(crate) fn die_of(&mut self, record: &[u8]) {
        let crash = self.crash_of(record);
        self.nt.end(Ending::Crash(crash));
    }

    fn dispatch(&mut self, cpu: &mut dyn Vcpu, mut record: Vec<u8>, context: &[u8], at: &Registers) {
        self.nt.exceptions += 1;
        let mut written = self.write_frame(&record, context, at);
        if let Err(bad) = written
            && bad.status == NtStatus::STACK_OVERFLOW
        {
            // The stack ends under the frame: that is what the guest is told, once, as in `KiDispatchException`.
            let parameters = bad.parameters.as_slice();
            let overflow = RaisedRecord { status: bad.status, flags: 0, nested: 0, parameters };
            record = self.record_bytes(&overflow, self.crash_of(&record).address);
            written = self.write_frame(&record, context, at);
        }
        let entry = self.nt.process().dispatcher;
        let (Ok(stack), Some(entry)) = (written, entry) else { return self.die_of(&record) };
        cpu.set_gpr(4, stack);
        cpu.set_ip(entry);
        let mut registers = cpu.registers();
        registers.flags &= !(DIRECTION_FLAG | TRAP_FLAG);
        cpu.set_registers(&registers);
    }

    fn write_frame(&mut self, record: &[u8], context: &[u8], at: &Registers) -> Result<u64, BadPointer> {
        match self.nt.edition.bitness {
            Bitness::Bits32 => self.write_frame32(record, context, at.gpr[4]),
            Bitness::Bits64 => self.write_frame64(record, context, at),
        }
    }

    /// x64: the stack pointer is at the context, the record [`RECORD_ABOVE_CONTEXT`] above it, the machine frame behind that.
    fn write_frame64(
        &mut self,
        record: &[u8],
        context: &[u8],
        registers: &Registers,
    ) -> Result<u64, BadPointer> {
        let at = below(registers.gpr[4], FRAME64)? & !15;
        let (cs, ss) = (u64::from(registers.segments.cs), u64::from(registers.segments.ss));
        let frame = [registers.ip, cs, registers.flags, registers.gpr[4], ss];
        let frame: Vec<u8> = frame.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.write(UserPtr::new(at + MACHINE_FRAME_ABOVE_CONTEXT), &frame)?;
        self.write(UserPtr::new(at + RECORD_ABOVE_CONTEXT), record)?;
        self.write(UserPtr::new(at), context)?;
        Ok(at)
    }

    /// x86: pointers to record and context, then the record, then the context.
    fn write_frame32(&mut self, record: &[u8], context: &[u8], sp: u64) -> Result<u64, BadPointer> {
        let context_at = below(sp, context.len() as u64)? & !3;
        let record_at = below(context_at, record.len() as u64)?;
        let pointers_at = below(record_at, 8)?;
        self.write(UserPtr::new(context_at), context)?;
        self.write(UserPtr::new(record_at), record)?;
        self.write_u32(UserPtr::new(pointers_at), record_at as u32)?;
        self.write_u32(UserPtr::new(pointers_at + 4), context_at as u32)?;
        Ok(pointers_at)
    }

    fn record_bytes(&self, raised: &RaisedRecord<'_>, address: VirtAddr) -> Vec<u8> {
        let layout = self.nt.layouts().exception_record;
        let width = self.pointer_bytes() as usize;
        let mut bytes = vec![0; layout.size as usize];
        let mut put = |at: u32, value: &[u8]| {
            bytes[at as usize..at as usize + value.len()].copy_from_slice(value);
        };
        put(layout.code, &raised.status.raw().to_le_bytes());
        put(layout.flags, &raised.flags.to_le_bytes());
        put(layout.nested, &raised.nested.to_le_bytes()[..width]);
        put(layout.address, &address.raw().to_le_bytes()[..width]);
        let count = raised.parameters.len().min(MAX_EXCEPTION_PARAMETERS);
        put(layout.parameter_count, &(count as u32).to_le_bytes());
        for (i, value) in raised.parameters.iter().take(count).enumerate() {
            put(layout.parameters + (i * width) as u32, &value.to_le_bytes()[..width]);
        }
        bytes
    }

    fn crash_of(&self, record: &[u8]) -> Crash {
        let layout = self.nt.layouts().exception_record;
        let width = self.pointer_bytes() as usize;
        let number = |at: u32, bytes: usize| {
            let raw = &record[at as usize..at as usize + bytes];
            raw.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
        };
        let parameter = |i: u32| number(layout.parameters + i * width as u32, width);
        let parameters = match number(layout.parameter_count, 4) {
            0 | 1 => ExceptionParameters::none(),
            2 => ExceptionParameters::access(parameter(0), VirtAddr::new(parameter(1))),
            _ => {
                let cause = NtStatus::new(parameter(2) as u32);
                ExceptionParameters::in_page(parameter(0), VirtAddr::new(parameter(1)), cause)
            }
        };
        Crash {
            status: NtStatus::new(number(layout.code, 4) as u32),
            address: VirtAddr::new(number(layout.address, width)),
            parameters,
        }
    }
}

/// `NtContinue(context, test alert)`: goes on with the registers of a context.
fn nt_continue(call: &mut Call<'_>) -> Answer {
    let (at, test_alert) = (call.ptr(0), call.u32(1) & 0xff);
    load_context(call, at)?;
    call.registers_loaded();
    if call.cpu.ip() == call.nt.process().entries.thread_start {
        call.loader_is_done();
    }
    if test_alert != 0 {
        call.want_apcs();
    }
    Ok(0)
}

fn load_context(call: &mut Call<'_>, at: UserPtr) -> Result<(), crate::claim::BadPointer> {
    let size = call.nt.layouts().context.size;
    let bytes = call.read_vec(at, u64::from(size))?;
    let mut registers = call.cpu.registers();
    context::load(&bytes, call.nt.edition.bitness, &mut registers);
    call.cpu.set_registers(&registers);
    Ok(())
}

/// `NtRaiseException(record, context, first chance)`: dispatches the record to the handlers, or, on the second chance,
/// ends the process with it.
fn nt_raise_exception(call: &mut Call<'_>) -> Answer {
    let (record_at, context_at, first_chance) = (call.ptr(0), call.ptr(1), call.u32(2));
    let size = call.nt.layouts().exception_record.size;
    let record = call.read_vec(record_at, u64::from(size))?;
    if first_chance == 0 {
        call.die_of(&record);
        call.registers_loaded();
        return Ok(0);
    }
    let size = call.nt.layouts().context.size;
    let context = call.read_vec(context_at, u64::from(size))?;
    let mut registers = call.cpu.registers();
    context::load(&context, call.nt.edition.bitness, &mut registers);
    call.cpu.set_registers(&registers);
    call.dispatch_loaded(record, &context, &registers);
    call.registers_loaded();
    Ok(0)
}

impl Call<'_> {
    fn dispatch_loaded(&mut self, record: Vec<u8>, context: &[u8], at: &Registers) {
        let (kernel, cpu) = self.split();
        kernel.dispatch(cpu, record, context, at);
    }
}

/// Guest code of the dispatcher asks for the handler after the one with the given key: its key, and the function
/// stored through the pointer; 0 at the end of the list.
fn next_vectored_handler(call: &mut Call<'_>) -> Answer {
    let which = if call.u32(0) == 0 { VectoredList::Exception } else { VectoredList::Continue };
    let (previous, to) = (call.arg(1), call.ptr(2));
    let Some((key, function)) = call.nt.process_mut().vectored.after(which, previous) else { return Ok(0) };
    call.write_word(to, function)?;
    Ok(key)
}

/// Guest code of the dispatcher asks for the unhandled-exception filter; 0 for none.
fn unhandled_filter(call: &mut Call<'_>) -> Answer {
    Ok(call.nt.process().unhandled_filter)
}

/// Guest code of the dispatcher says that the filter wants to go on after the exception of this record, which nobody
/// may go on after: that is an exception of its own.
fn raise_noncontinuable(call: &mut Call<'_>) -> Answer {
    let status = NtStatus::NONCONTINUABLE_EXCEPTION;
    let record = RaisedRecord { status, flags: NONCONTINUABLE, nested: call.arg(0), parameters: &[] };
    let address = call.cpu.ip();
    let (kernel, cpu) = call.split();
    kernel.raise_record(cpu, &record, address);
    call.registers_loaded();
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handlers_are_walked_in_order_also_when_they_change_under_the_walk() {
        let mut handlers = VectoredHandlers::default();
        let which = VectoredList::Exception;
        let b = handlers.add(which, 0, 0xb);
        let c = handlers.add(which, 0, 0xc);
        let a = handlers.add(which, 1, 0xa);
        let order = |handlers: &mut VectoredHandlers| {
            let mut seen = Vec::new();
            let mut key = 0;
            while let Some((next, function)) = handlers.after(which, key) {
                seen.push(function);
                key = next;
            }
            seen
        };
        assert_eq!(order(&mut handlers), [0xa, 0xb, 0xc]);
        assert_eq!(handlers.after(which, a), Some((b, 0xb)));
        assert!(handlers.remove(which, b) && !handlers.remove(which, b));
        assert_eq!(handlers.after(which, b), Some((c, 0xc)));
        assert_eq!(handlers.after(VectoredList::Continue, 0), None);
    }

    #[test]
    fn an_old_handle_is_nobodys() {
        let mut handlers = VectoredHandlers::default();
        let (exception, resume) = (VectoredList::Exception, VectoredList::Continue);
        let old = handlers.add(exception, 0, 0xa);
        let other = handlers.add(resume, 0, 0xa);
        assert!(!handlers.remove(resume, old) && !handlers.remove(exception, other));
        assert!(handlers.remove(exception, old));
        let first = handlers.add(exception, 1, 0xa);
        let last = handlers.add(exception, 0, 0xa);
        assert!(first != old && last != old && !handlers.remove(exception, old));
        // The walk that stood at the old one goes on with what came behind it.
        assert_eq!(handlers.after(exception, old), Some((last, 0xa)));
    }
}
