//! Whole machines over four times their RAM.

use crate::page_file::Plain;
use crate::report::{Goal, Row, in_turns};
use crate::service::program;
use iced_x86::IcedError;
use iced_x86::code_asm::*;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;
use tempfile::TempDir;
use vadose_facts::addr::PAGE_BYTES;
use vadose_lab::guest::Run;
use vadose_machine::Compression;
use vadose_machine::page_file::{PageFileSpec, PageFiles};
use vadose_machine::report::{PagingReport, RunEnding};

const RAM_BYTES: u64 = 64 << 20;
const DATA_BYTES: u64 = 256 << 20;
const DATA_PAGES: u64 = DATA_BYTES / PAGE_BYTES;
const FILE_BYTES: u64 = 512 << 20;
/// Accesses to random pages.
const ACCESSES: u32 = 400_000;
/// The generator of random pages: `state = state * FACTOR + TERM`.
const FACTOR: u64 = 6_364_136_223_846_793_005;
const TERM: u64 = 1_442_695_040_888_963_407;
/// Bits of the state below the page's number, and the bit that says whether the page is stored to.
const PAGE_SHIFT: u32 = 40;
const STORE_BIT: u32 = 32;

/// Sequential speed, and transfers of a random pattern.
pub(super) fn rows() -> Vec<Row> {
    let folder = tempfile::tempdir().expect("a place for programs");
    vec![sequential(&folder), random(&folder)]
}

/// Every page is stored to, then every page is read, in order: all bytes go out, and come in.
fn sequential(folder: &TempDir) -> Row {
    let path = folder.path().join("sequential.exe");
    let write =
        |bytes: u64| std::fs::write(&path, program(&["VirtualAlloc"], |slots| sequential_code(bytes, slots)));
    let page_files = page_file_folder();
    let ours = || {
        write(PAGE_BYTES).expect("the folder is ours");
        let (rest, _) = run(&path);
        write(DATA_BYTES).expect("the folder is ours");
        let (seconds, paging) = run(&path);
        let least = DATA_PAGES - RAM_BYTES / PAGE_BYTES;
        assert!(paging.pages_written >= least && paging.pages_read >= least, "{paging:?}");
        ((2 * DATA_BYTES) >> 20) as f64 / (seconds - rest)
    };
    // A new file each time, as the page file is.
    let (ours, theirs) = in_turns(ours, || Plain::in_folder(&page_files).round());
    let work = "guest stores to 256 MiB and reads them, RAM 64 MiB";
    Row::new(work, "MiB/s", ours, "a new plain file, 256 KiB at a time", theirs, Goal::AtLeast(0.7))
}

/// Pages at random, half of them stored to. What must move is what a manager moves that has all of RAM for the data and
/// gives up the page that was used longest ago: of a uniformly random pattern nobody who does not know the future can
/// keep a better choice. A page that is not there is one read, one that was stored to and is given up is one write.
fn random(folder: &TempDir) -> Row {
    let path = folder.path().join("random.exe");
    let image = program(&["VirtualAlloc"], random_code);
    std::fs::write(&path, image).expect("the folder is ours");
    let needed = least_transfers();
    let ours = || {
        let (_, paging) = run(&path);
        (paging.pages_read + paging.pages_written) as f64
    };
    let (ours, theirs) = in_turns(ours, || needed);
    let work = "pages moved, 400,000 random accesses to 256 MiB";
    Row::new(work, "", ours, "exact LRU over all RAM", theirs, Goal::AtMost(1.3))
}

/// The folder that page files go to when nobody names one.
fn page_file_folder() -> std::path::PathBuf {
    let spec = PageFileSpec::new(PAGE_BYTES, PAGE_BYTES, None).expect("whole pages");
    let files = PageFiles::create(&[spec]).unwrap_or_else(|error| panic!("{error}"));
    files.folder(0).to_owned()
}

fn run(program: &Path) -> (f64, PagingReport) {
    let file = PageFileSpec::new(FILE_BYTES, FILE_BYTES, None).expect("whole pages");
    let run = Run::new(program, "win10-x64").ram(RAM_BYTES).page_file(file).compression(Compression::Off);
    let (mut machine, mut cpu) = run.start().unwrap_or_else(|error| panic!("{error}")).into_parts();
    let began = Instant::now();
    let report = machine.run(&mut cpu, None).unwrap_or_else(|error| panic!("{error}"));
    let took = began.elapsed().as_secs_f64();
    assert_eq!(report.ending, RunEnding::Exit { code: 0 });
    (took, report.memory.paging)
}

/// Commits so many bytes: RSI is their address.
fn allocate(a: &mut CodeAssembler, bytes: u64, virtual_alloc: u64) -> Result<(), IcedError> {
    a.sub(rsp, 0x28)?;
    a.xor(ecx, ecx)?;
    a.mov(rdx, bytes)?;
    a.mov(r8d, 0x3000)?;
    a.mov(r9d, 0x04)?;
    a.mov(rax, virtual_alloc)?;
    a.call(qword_ptr(rax))?;
    a.mov(rsi, rax)
}

fn exit(a: &mut CodeAssembler, exit_process: u64) -> Result<(), IcedError> {
    a.xor(ecx, ecx)?;
    a.mov(rax, exit_process)?;
    a.call(qword_ptr(rax))
}

fn sequential_code(bytes: u64, slots: &[u64]) -> Result<Vec<u8>, IcedError> {
    let mut a = CodeAssembler::new(64)?;
    allocate(&mut a, bytes, slots[1])?;
    for stores in [true, false] {
        let mut top = a.create_label();
        a.mov(rdi, rsi)?;
        a.mov(rcx, bytes / PAGE_BYTES)?;
        a.set_label(&mut top)?;
        if stores {
            a.mov(qword_ptr(rdi), rcx)?;
        } else {
            a.add(rdx, qword_ptr(rdi))?;
        }
        a.add(rdi, PAGE_BYTES as i32)?;
        a.dec(rcx)?;
        a.jnz(top)?;
    }
    exit(&mut a, slots[0])?;
    a.assemble(0)
}

fn random_code(slots: &[u64]) -> Result<Vec<u8>, IcedError> {
    let mut a = CodeAssembler::new(64)?;
    let (mut top, mut load, mut next) = (a.create_label(), a.create_label(), a.create_label());
    allocate(&mut a, DATA_BYTES, slots[1])?;
    a.xor(ebx, ebx)?;
    a.mov(ebp, ACCESSES)?;
    a.mov(r12, FACTOR)?;
    a.mov(r13, TERM)?;
    a.set_label(&mut top)?;
    a.imul_2(rbx, r12)?;
    a.add(rbx, r13)?;
    a.mov(rdi, rbx)?;
    a.shr(rdi, PAGE_SHIFT)?;
    a.and(rdi, DATA_PAGES as i32 - 1)?;
    a.shl(rdi, PAGE_BYTES.trailing_zeros())?;
    a.bt(rbx, STORE_BIT)?;
    a.jnc(load)?;
    a.mov(qword_ptr(rsi + rdi), rbx)?;
    a.jmp(next)?;
    a.set_label(&mut load)?;
    a.add(rdx, qword_ptr(rsi + rdi))?;
    a.set_label(&mut next)?;
    a.dec(ebp)?;
    a.jnz(top)?;
    exit(&mut a, slots[0])?;
    a.assemble(0)
}

/// A page in RAM.
struct Kept {
    used: u32,
    modified: bool,
}

/// Page transfers of the random guest under exact LRU. A page that was never stored to is zeros: it is neither written
/// nor read.
fn least_transfers() -> f64 {
    let mut kept: BTreeMap<u64, Kept> = BTreeMap::new();
    let mut by_use: BTreeMap<u32, u64> = BTreeMap::new();
    let mut in_file = vec![false; usize::try_from(DATA_PAGES).expect("few pages")];
    let (mut state, mut moved) = (0_u64, 0_u64);
    for now in 0..ACCESSES {
        state = state.wrapping_mul(FACTOR).wrapping_add(TERM);
        let page = (state >> PAGE_SHIFT) & (DATA_PAGES - 1);
        let stores = state >> STORE_BIT & 1 != 0;
        if let Some(known) = kept.get(&page) {
            by_use.remove(&known.used);
        } else {
            if kept.len() as u64 == RAM_BYTES / PAGE_BYTES {
                let (_, oldest) = by_use.pop_first().expect("every page was used once");
                let gone = kept.remove(&oldest).expect("it is kept");
                moved += u64::from(gone.modified);
                in_file[usize::try_from(oldest).expect("few pages")] |= gone.modified;
            }
            moved += u64::from(in_file[usize::try_from(page).expect("few pages")]);
        }
        let entry = kept.entry(page).or_insert(Kept { used: now, modified: false });
        entry.used = now;
        entry.modified |= stores;
        by_use.insert(now, page);
    }
    moved as f64
}
