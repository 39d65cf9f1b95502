//! One program with a bit of everything: imports, delayed imports, exports, TLS, relocations and, on x64, unwind tables.

use super::builder::{Blob, EXECUTE, READ, SHARED, Sample, WRITE, Width};

pub(crate) const TEXT_RVA: u32 = 0x1000;
pub(crate) const DATA_RVA: u32 = 0x3000;
pub(crate) const TABLES_RVA: u32 = 0x7000;
pub(crate) const RELOC_RVA: u32 = 0x9000;

/// Where the fix-ups are: one a page, one across the border of `.text`'s two pages.
pub(crate) fn fixup_rvas(width: Width) -> [u32; 3] {
    [TEXT_RVA + 0x10, TEXT_RVA + 0x1000 - width.pointer_bytes() as u32 / 2, DATA_RVA + 0x20]
}

/// The program: `.text` of two pages, `.data` with two zero pages after its content, a shared section, tables, `.reloc`.
pub(crate) fn full(width: Width) -> Sample {
    let mut sample = Sample::new(width);
    let mut tables = Blob::new(width, TABLES_RVA);
    let base = sample.image_base;
    sample.directories[0] = exports(&mut tables);
    sample.directories[1] = imports(&mut tables, width);
    sample.directories[13] = delay_imports(&mut tables);
    sample.directories[9] = tls(&mut tables, width, base);
    if width == Width::X64 {
        sample.directories[3] = functions(&mut tables);
    }
    let relocations = relocations(width);
    sample.directories[5] = (RELOC_RVA, relocations.len() as u32);
    let text: Vec<u8> = (0..0x1800_u32).map(|at| ((at * 7) >> 3) as u8).collect();
    let data: Vec<u8> = (0..0x600_u32).map(|at| ((at * 13) >> 2) as u8 | 1).collect();
    assert!(tables.bytes.len() <= 0x2000);
    sample
        .with(".text", 0x20 | EXECUTE | READ, text, 0x1800)
        .with(".data", 0x40 | READ | WRITE, data, 0x2800)
        .with(".shared", 0x40 | READ | WRITE | SHARED, vec![0x5a; 0x100], 0x100)
        .with(".rdata", 0x40 | READ, tables.bytes, 0x2000)
        .with(".reloc", 0x0200_0040 | READ, relocations, 0x200)
}

/// Three functions by name, in order; one without a name; two forwarders; a hole. The base is 5.
fn exports(tables: &mut Blob) -> (u32, u32) {
    let start = tables.push(&[0; 40]);
    let dll = tables.name("full.dll");
    let to_name = tables.name("OTHER.Target.Of.Dots");
    let to_ordinal = tables.name("api.dll.#77");
    let functions = tables.words(&[0x1100, to_name, 0, 0x1200, to_ordinal, 0x1300]);
    let names: Vec<u32> = [
        "Alpha",
        "Beta_with_a_name_that_is_longer_than_one_chunk_of_reading_ahead_of_its_end",
        "Gamma",
        "Zeta",
    ]
    .map(|name| tables.name(name))
    .to_vec();
    let names = tables.words(&names);
    let indexes = tables.halves(&[3, 0, 1, 4]);
    let end = tables.here();
    let head = [0, 0x1234_5678, 0, dll, 5, 6, 4, functions, names, indexes];
    let at = (start - tables.rva) as usize;
    for (index, word) in head.into_iter().enumerate() {
        tables.bytes[at + 4 * index..][..4].copy_from_slice(&u32::to_le_bytes(word));
    }
    (start, end - start)
}

/// Two DLLs: `kernel32.dll` by names, `other.dll` by ordinal and without a table of names.
fn imports(tables: &mut Blob, width: Width) -> (u32, u32) {
    let by_ordinal = match width {
        Width::X86 => 1 << 31,
        Width::X64 => 1 << 63,
    };
    let kernel32 = tables.name("kernel32.dll");
    let other = tables.name("other.dll");
    let names = [tables.hint_name(3, "VirtualAlloc"), tables.hint_name(9, "VirtualFree")];
    let thunks = [names[0].into(), names[1].into(), 0];
    let lookup = tables.pointers(&thunks);
    let slots = tables.pointers(&thunks);
    let other_slots = tables.pointers(&[by_ordinal | 42, names[0].into(), 0]);
    let start = tables.words(&[lookup, 0, 0, kernel32, slots, 0, 0, 0, other, other_slots, 0, 0, 0, 0, 0]);
    (start, 60)
}

/// One DLL with one function.
fn delay_imports(tables: &mut Blob) -> (u32, u32) {
    let dll = tables.name("late.dll");
    let function = tables.hint_name(0, "Later");
    let names = tables.pointers(&[function.into(), 0]);
    let slots = tables.pointers(&[0, 0]);
    let module = tables.pointers(&[0]);
    let start = tables.words(&[1, dll, module, slots, names, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    (start, 64)
}

/// A template of 16 bytes, two callbacks, 32 zero bytes.
fn tls(tables: &mut Blob, width: Width, base: u64) -> (u32, u32) {
    let data = base + u64::from(DATA_RVA);
    let text = base + u64::from(TEXT_RVA);
    let callbacks = tables.pointers(&[text + 0x40, text + 0x80, 0]);
    let start = tables.pointers(&[data + 0x40, data + 0x50, data + 0x60, base + u64::from(callbacks)]);
    tables.bytes.extend_from_slice(&32_u32.to_le_bytes());
    tables.bytes.extend_from_slice(&0x0030_0000_u32.to_le_bytes());
    (start, (4 * width.pointer_bytes() + 8) as u32)
}

/// Three functions: one with a frame, a part of it elsewhere, and one that another entry describes. A hole before the last.
fn functions(tables: &mut Blob) -> (u32, u32) {
    // Version 1, a prologue of 10 bytes, 4 codes; the frame is RBP, 20h above the stack.
    let framed = tables.words(&[0x2504_0a01, 0x7205_030a, 0x3001_5002]);
    let chained = tables.words(&[0x0001_0421, 0x2204, TEXT_RVA, TEXT_RVA + 0x40, framed]);
    let first = tables.here().next_multiple_of(8);
    let start = tables.words(&[
        TEXT_RVA,
        TEXT_RVA + 0x40,
        framed,
        TEXT_RVA + 0x40,
        TEXT_RVA + 0x60,
        chained,
        TEXT_RVA + 0x80,
        TEXT_RVA + 0x90,
        first | 1,
    ]);
    (start, 36)
}

/// A block a page, each padded to 4 bytes.
fn relocations(width: Width) -> Vec<u8> {
    let kind = match width {
        Width::X86 => 3 << 12,
        Width::X64 => 10 << 12,
    };
    let [first, straddling, data] = fixup_rvas(width);
    let mut bytes = Vec::new();
    for (page, places) in [(TEXT_RVA, vec![first, straddling]), (DATA_RVA, vec![data])] {
        let mut entries: Vec<u16> = places.iter().map(|place| kind | (place - page) as u16).collect();
        entries.resize(entries.len().next_multiple_of(2), 0);
        bytes.extend_from_slice(&page.to_le_bytes());
        bytes.extend_from_slice(&(8 + 2 * entries.len() as u32).to_le_bytes());
        bytes.extend(entries.iter().flat_map(|e| e.to_le_bytes()));
    }
    bytes
}
