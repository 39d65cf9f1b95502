//! What a system service costs a program: from its call through the stub, the dispatch and the answer, and back.

#[path = "../../../../facts/tests/pe/builder.rs"]
#[expect(dead_code, reason = "the builder can do more than one small program needs")]
mod builder;

use crate::bare::{Bare, CODE};
use crate::report::{Goal, Row, in_turns, nanoseconds_each};
use builder::{Blob, EXECUTE, READ, Sample, WRITE, Width};
use iced_x86::IcedError;
use iced_x86::code_asm::*;
use std::path::Path;
use std::time::Instant;
use vadose_facts::ntdef::Bitness;
use vadose_lab::guest::Run;
use vadose_machine::report::RunEnding;

/// Calls of a run.
const CALLS: u32 = 200_000;

/// A handle that nobody has: the service looks it up and says so.
const NO_HANDLE: u32 = 0x4444;

const TABLES_RVA: u32 = 0x2000;

/// `NtClose` of a handle that is not there, beside a bare system call.
pub(crate) fn rows() -> Vec<Row> {
    let folder = tempfile::tempdir().expect("a place for a program");
    let program = |calls: u32| {
        let path = folder.path().join(format!("calls-{calls}.exe"));
        std::fs::write(&path, image(calls)).expect("the folder is ours");
        path
    };
    let (many, one) = (program(CALLS), program(1));
    let mut bare = Bare::flat(Bitness::Bits64);
    bare.load_service_loop();
    let ours = || (seconds(&many) - seconds(&one)) * 1e9 / f64::from(CALLS - 1);
    let mut at = CODE;
    let theirs = || nanoseconds_each(CALLS.into(), |_| at = bare.one_service(at));
    let (ours, theirs) = in_turns(ours, theirs);
    let work = "service: NtClose of no handle, win10-x64";
    vec![Row::new(work, "ns", ours, "Unicorn: exit and resume", theirs, Goal::None)]
}

fn seconds(program: &Path) -> f64 {
    let started = Run::new(program, "win10-x64").start().unwrap_or_else(|error| panic!("{error}"));
    let began = Instant::now();
    let outcome = started.finish().unwrap_or_else(|error| panic!("{error}"));
    let took = began.elapsed().as_secs_f64();
    assert_eq!(outcome.report.ending, RunEnding::Exit { code: 0 });
    took
}

/// A program that calls `NtClose` so many times and ends with 0.
fn image(calls: u32) -> Vec<u8> {
    build(&[("kernel32.dll", "ExitProcess"), ("ntdll.dll", "NtClose")], |slots| {
        code(calls, slots[1], slots[0])
    })
}

/// A program made of code, which gets the places of pointers to `ExitProcess` and then to other functions of kernel32.
pub(crate) fn program(
    functions: &[&'static str],
    code: impl FnOnce(&[u64]) -> Result<Vec<u8>, IcedError>,
) -> Vec<u8> {
    let imports: Vec<_> =
        ["ExitProcess"].iter().chain(functions).map(|name| ("kernel32.dll", *name)).collect();
    build(&imports, code)
}

fn build(functions: &[(&str, &str)], code: impl FnOnce(&[u64]) -> Result<Vec<u8>, IcedError>) -> Vec<u8> {
    let mut sample = Sample::new(Width::X64);
    let mut tables = Blob::new(Width::X64, TABLES_RVA);
    let (directory, slots) = imports(&mut tables, functions);
    sample.directories[1] = directory;
    let slots: Vec<u64> = slots.iter().map(|rva| sample.image_base + u64::from(*rva)).collect();
    let code = code(&slots).expect("the program can be encoded");
    let (code_bytes, table_bytes) = (code.len() as u32, tables.bytes.len() as u32);
    sample
        .with(".text", 0x20 | EXECUTE | READ, code, code_bytes)
        .with(".idata", 0x40 | READ | WRITE, tables.bytes, table_bytes)
        .build()
}

fn code(calls: u32, close: u64, exit: u64) -> Result<Vec<u8>, IcedError> {
    let mut a = CodeAssembler::new(64)?;
    let mut top = a.create_label();
    a.sub(rsp, 0x28)?;
    a.mov(rsi, close)?;
    a.mov(ebx, calls)?;
    a.set_label(&mut top)?;
    a.mov(ecx, NO_HANDLE)?;
    a.call(qword_ptr(rsi))?;
    a.dec(ebx)?;
    a.jnz(top)?;
    a.xor(ecx, ecx)?;
    a.mov(rsi, exit)?;
    a.call(qword_ptr(rsi))?;
    a.assemble(0)
}

/// The import directory, and the slot of each function: every one has a line of its own.
fn imports(tables: &mut Blob, functions: &[(&str, &str)]) -> ((u32, u32), Vec<u32>) {
    let mut words = Vec::new();
    let mut slots = Vec::new();
    for (dll, function) in functions {
        let name = tables.hint_name(0, function);
        let [lookup, slot] = [(); 2].map(|()| tables.pointers(&[name.into(), 0]));
        words.extend([lookup, 0, 0, tables.name(dll), slot]);
        slots.push(slot);
    }
    words.extend([0; 5]);
    ((tables.words(&words), words.len() as u32 * 4), slots)
}
