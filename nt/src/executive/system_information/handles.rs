//! The handles of all processes. Objects have no addresses that a program is told.

use crate::executive::Object;
use crate::executive::record::Record;
use crate::kernel::Kernel;

/// `OBJ_INHERIT`, as handles' attributes have it.
const INHERIT: u32 = 0x2;

/// One handle.
struct Entry {
    pid: u32,
    handle: u64,
    access: u32,
    attributes: u32,
    kind: u16,
}

/// What the types of objects are numbered by.
fn type_index(object: &Object) -> u16 {
    match object {
        Object::Token(_) => 5,
        Object::Job(_) => 6,
        Object::Process(_) => 7,
        Object::Thread(_) => 8,
        Object::Event(_) => 16,
        Object::Mutex(_) => 17,
        Object::Semaphore(_) => 19,
        Object::Timer(_) => 21,
        Object::CompletionPort(_) => 35,
        Object::File(_) | Object::Console(_) | Object::Pipe(_) | Object::Search(_) => 37,
        Object::Section(_) => 42,
        Object::Key(_) => 44,
        _other_kinds => 2,
    }
}

fn all(kernel: &Kernel<'_>) -> Vec<Entry> {
    let processes = kernel.nt.living_processes();
    let handles = processes.flat_map(|process| process.handles.iter().map(|entry| (process.pid, entry)));
    handles
        .map(|(pid, (handle, object, access, inherit))| Entry {
            pid,
            handle: handle.raw(),
            access,
            attributes: if inherit { INHERIT } else { 0 },
            kind: type_index(kernel.nt.objects.get(object)),
        })
        .collect()
}

/// `SYSTEM_HANDLE_INFORMATION`: numbers of 16 bits.
pub(super) fn plain(kernel: &Kernel<'_>) -> Vec<u8> {
    let entries = all(kernel);
    let record = Record::new(kernel.nt.edition).u32(entries.len() as u32);
    let width = kernel.pointer_bytes() as usize;
    let put = |record: Record, entry: &Entry| {
        let record = record.aligned(width).u16(entry.pid as u16).u16(0).u8(entry.kind as u8);
        record.u8(entry.attributes as u8).u16(entry.handle as u16).word(0).u32(entry.access)
    };
    entries.iter().fold(record, put).finish()
}

/// `SYSTEM_HANDLE_INFORMATION_EX`.
pub(super) fn extended(kernel: &Kernel<'_>) -> Vec<u8> {
    let entries = all(kernel);
    let record = Record::new(kernel.nt.edition).word(entries.len() as u64).word(0);
    let put = |record: Record, entry: &Entry| {
        let record = record.word(0).word(entry.pid.into()).word(entry.handle).u32(entry.access);
        record.u16(0).u16(entry.kind).u32(entry.attributes).u32(0)
    };
    entries.iter().fold(record, put).finish()
}
