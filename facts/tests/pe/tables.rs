//! Imports, exports and TLS, from the file and from a mapped copy.

use super::builder::{Width, put32, put64};
use super::full::{DATA_RVA, TABLES_RVA, TEXT_RVA, full};
use vadose_facts::addr::{PAGE_BYTES, VirtAddr};
use vadose_facts::ntdef::NtStatus;
use vadose_facts::pe::{
    Directory, Export, ExportTarget, ImportSymbol, ImportedDll, MappedView, PageSource, PeImage, RvaReader,
    UnwindInfo, UnwindOperation,
};

/// The image as it is in memory.
pub(crate) fn mapped(image: &PeImage, file: &Vec<u8>) -> Vec<u8> {
    let view = image.file_view(file);
    let mut memory = vec![0; image.layout().pages() as usize * PAGE_BYTES as usize];
    for (page, bytes) in (0..).zip(memory.as_chunks_mut().0) {
        if image.layout().page_source(page) != Some(PageSource::Nothing) {
            view.read_page(page, bytes).expect("a page of the image");
        }
    }
    memory
}

fn describe(dlls: &[ImportedDll]) -> Vec<String> {
    dlls.iter()
        .flat_map(|dll| {
            dll.functions.iter().map(move |f| format!("{}!{} at {:x}", dll.name, f.symbol, f.slot_rva))
        })
        .collect()
}

#[test]
fn imports_are_listed_by_dll_with_their_slots() {
    for width in Width::BOTH {
        let file = full(width).build();
        let image = PeImage::parse(&file).expect("good");
        let dlls = image.imports(&mut image.file_view(&file)).expect("good");
        let [first, second] = &dlls[..] else { panic!("two DLLs: {dlls:?}") };
        let pointer = width.pointer_bytes() as u32;
        let expected = [
            format!("kernel32.dll!VirtualAlloc at {:x}", first.slots_rva),
            format!("kernel32.dll!VirtualFree at {:x}", first.slots_rva + pointer),
            format!("other.dll!#42 at {:x}", second.slots_rva),
            format!("other.dll!VirtualAlloc at {:x}", second.slots_rva + pointer),
        ];
        assert_eq!(describe(&dlls), expected);
        assert!(matches!(first.functions[0].symbol, ImportSymbol::ByName { hint: 3, .. }));
        let memory = mapped(&image, &file);
        assert_eq!(image.imports(&mut MappedView(&memory)).expect("good"), dlls);
    }
}

#[test]
fn delayed_imports_are_listed_apart() {
    for width in Width::BOTH {
        let file = full(width).build();
        let image = PeImage::parse(&file).expect("good");
        let base = VirtAddr::new(image.image_base());
        let dlls = image.delay_imports(&mut image.file_view(&file), base).expect("good");
        let [dll] = &dlls[..] else { panic!("one DLL: {dlls:?}") };
        assert!(dll.name.is_ignoring_case(b"LATE.DLL"));
        let [function] = &dll.functions[..] else { panic!("one function") };
        assert_eq!(function.symbol.to_string(), "Later");
        assert_eq!(function.slot_rva, dll.slots_rva);
        assert!(dll.module_rva > dll.slots_rva);
    }
}

/// Old linkers stored pointers in the delay-import table; they are taken relative to the base given.
#[test]
fn delayed_imports_may_be_pointers() {
    let file = full(Width::X86).build();
    let image = PeImage::parse(&file).expect("good");
    let base = VirtAddr::new(image.image_base());
    let by_rva = image.delay_imports(&mut image.file_view(&file), base).expect("good");
    let mut memory = mapped(&image, &file);
    let at = image.directory(Directory::DelayImport).rva as usize;
    let word = |memory: &[u8], at: usize| u32::from_le_bytes(memory[at..at + 4].try_into().expect("4 bytes"));
    put32(&mut memory, at, 0);
    let names = word(&memory, at + 16) as usize;
    for place in [at + 4, at + 8, at + 12, at + 16, names] {
        let rva = word(&memory, place);
        put32(&mut memory, place, rva + 0x70_0000);
    }
    let by_pointer = image.delay_imports(&mut MappedView(&memory), VirtAddr::new(0x70_0000)).expect("good");
    assert_eq!(by_pointer, by_rva);
    let wrong = image.delay_imports(&mut MappedView(&memory), VirtAddr::new(0x80_0000));
    assert_eq!(wrong.map_err(|error| error.status), Err(NtStatus::INVALID_IMAGE_FORMAT));
}

fn show(export: Option<Export>) -> String {
    let Some(export) = export else { return "none".into() };
    let target = match export.target {
        ExportTarget::Rva(rva) => format!("{rva:x}"),
        ExportTarget::Forwarder(to) => format!("{} / {}", to.dll, to.symbol),
    };
    format!("{} -> {target}", export.ordinal)
}

const LONG: &str = "Beta_with_a_name_that_is_longer_than_one_chunk_of_reading_ahead_of_its_end";

#[test]
fn exports_are_found_by_name_and_by_ordinal() {
    for width in Width::BOTH {
        let file = full(width).build();
        let image = PeImage::parse(&file).expect("good");
        let mut view = image.file_view(&file);
        let table = image.exports(&mut view).expect("good").expect("it exports");
        assert_eq!(table.dll_name(&mut view).expect("good").to_string(), "full.dll");
        let mut by_name = |name: &str| show(table.by_name(&mut view, name.as_bytes()).expect("good"));
        assert_eq!(by_name("Alpha"), "8 -> 1200");
        assert_eq!(by_name(LONG), "5 -> 1100");
        assert_eq!(by_name("Gamma"), "6 -> OTHER.Target.Of / Dots");
        assert_eq!(by_name("Zeta"), "9 -> api.dll / #77");
        for missing in ["", "A", "alpha", "Alpha ", "Beta", "Zetaa", &LONG[..64], &format!("{LONG}!")] {
            assert_eq!(by_name(missing), "none", "{missing}");
        }
        let mut by_ordinal = |ordinal| show(table.by_ordinal(&mut view, ordinal).expect("good"));
        assert_eq!(by_ordinal(10), "10 -> 1300");
        for missing in [0, 4, 7, 11, u32::MAX] {
            assert_eq!(by_ordinal(missing), "none", "{missing}");
        }
    }
}

#[test]
fn a_hint_is_only_a_hint() {
    let file = full(Width::X64).build();
    let image = PeImage::parse(&file).expect("good");
    let mut view = image.file_view(&file);
    let table = image.exports(&mut view).expect("good").expect("it exports");
    for hint in [0, 1, 2, 3, 4, u16::MAX] {
        assert_eq!(show(table.by_hint(&mut view, hint, b"Alpha").expect("good")), "8 -> 1200");
        assert_eq!(show(table.by_hint(&mut view, hint, b"Alph").expect("good")), "none");
    }
}

#[test]
fn every_export_is_enumerated_once() {
    let file = full(Width::X86).build();
    let image = PeImage::parse(&file).expect("good");
    let mut view = image.file_view(&file);
    let table = image.exports(&mut view).expect("good").expect("it exports");
    let all = table.enumerate(&mut view).expect("good");
    let names: Vec<_> = all.iter().map(|e| e.name.as_ref().map_or("-".into(), ToString::to_string)).collect();
    assert_eq!(names, ["Alpha", LONG, "Gamma", "Zeta", "-"]);
    assert_eq!(all.iter().map(|e| e.ordinal).collect::<Vec<_>>(), [8, 5, 6, 9, 10]);
}

/// A base so high that ordinals pass 32 bits: they wrap, the same way in both directions.
#[test]
fn what_is_enumerated_is_found_by_ordinal() {
    let file = full(Width::X64).build();
    let image = PeImage::parse(&file).expect("good");
    let mut memory = mapped(&image, &file);
    put32(&mut memory, image.directory(Directory::Export).rva as usize + 16, 0xffff_fffd);
    let mut view = MappedView(&memory);
    let table = image.exports(&mut view).expect("good").expect("it exports");
    let all = table.enumerate(&mut view).expect("good");
    assert_eq!(all.iter().map(|e| e.ordinal).collect::<Vec<_>>(), [0, 0xffff_fffd, 0xffff_fffe, 1, 2]);
    for export in all {
        let found = table.by_ordinal(&mut view, export.ordinal).expect("good");
        assert_eq!(found.map(|f| f.target), Some(export.target));
    }
}

#[test]
fn unsorted_names_are_found_too() {
    let file = full(Width::X64).build();
    let image = PeImage::parse(&file).expect("good");
    let mut memory = mapped(&image, &file);
    let head = image.directory(Directory::Export).rva as usize;
    let names = u32::from_le_bytes(memory[head + 32..head + 36].try_into().expect("4 bytes")) as usize;
    let (first, rest) = memory[names..].split_at_mut(4);
    first.swap_with_slice(&mut rest[8..12]);
    let mut view = MappedView(&memory);
    let table = image.exports(&mut view).expect("good").expect("it exports");
    assert_eq!(show(table.by_name(&mut view, b"Zeta").expect("good")), "8 -> 1200");
    assert_eq!(show(table.by_name(&mut view, b"Alpha").expect("good")), "9 -> api.dll / #77");
}

#[test]
fn tls_is_read_with_its_callbacks() {
    for width in Width::BOTH {
        let file = full(width).build();
        let image = PeImage::parse(&file).expect("good");
        let base = VirtAddr::new(image.image_base());
        let address = |rva: u32| base.checked_add(rva.into()).expect("in the address space");
        let tls = image.tls(&mut image.file_view(&file), base).expect("good").expect("it has TLS");
        assert_eq!((tls.raw_start, tls.raw_bytes), (address(DATA_RVA + 0x40), 0x10));
        assert_eq!(tls.index_address, address(DATA_RVA + 0x60));
        assert_eq!(tls.callbacks, [address(TEXT_RVA + 0x40), address(TEXT_RVA + 0x80)]);
        assert_eq!((tls.zero_fill_bytes, tls.characteristics), (32, 0x30_0000));
        let elsewhere = image.tls(&mut image.file_view(&file), VirtAddr::new(0x7000_0000_0000));
        assert_eq!(elsewhere.map_err(|error| error.status), Err(NtStatus::INVALID_IMAGE_FORMAT));
    }
}

#[test]
fn an_image_without_tables_has_none() {
    let file = super::builder::Sample::new(Width::X64).build();
    let image = PeImage::parse(&file).expect("good");
    let base = VirtAddr::new(image.image_base());
    let mut view = image.file_view(&file);
    assert_eq!(image.imports(&mut view), Ok(vec![]));
    assert_eq!(image.delay_imports(&mut view, base), Ok(vec![]));
    assert_eq!(image.exports(&mut view), Ok(None));
    assert_eq!(image.tls(&mut view, base), Ok(None));
    assert!(image.relocations(&mut view).expect("good").is_empty());
}

/// Points a table of the mapped image at itself or outside, and expects the reader to refuse it.
#[test]
fn broken_tables_are_refused() {
    let file = full(Width::X64).build();
    let image = PeImage::parse(&file).expect("good");
    let good = mapped(&image, &file);
    let base = VirtAddr::new(image.image_base());
    let at = |directory: Directory| image.directory(directory).rva as usize;
    type Read = fn(&PeImage, &mut MappedView<'_>, VirtAddr) -> Option<NtStatus>;
    let exports: Read = |image, view, _| {
        image.exports(view).and_then(|t| t.expect("present").enumerate(view)).err().map(|e| e.status)
    };
    let imports: Read = |image, view, _| image.imports(view).err().map(|e| e.status);
    let tls: Read = |image, view, base| image.tls(view, base).err().map(|e| e.status);
    let table: [(&str, Read, usize, u64); 8] = [
        ("too many functions", exports, at(Directory::Export) + 20, 0x1_0001),
        ("too many names", exports, at(Directory::Export) + 24, 0x1_0001),
        ("names outside", exports, at(Directory::Export) + 32, 0xffff_fff0),
        ("DLL name outside", imports, at(Directory::Import) + 12, 0xffff_ffff),
        ("lookup table outside", imports, at(Directory::Import), 0x7fff_ffff),
        ("template ends first", tls, at(Directory::Tls), u64::MAX),
        ("callbacks outside", tls, at(Directory::Tls) + 24, u64::MAX),
        ("callbacks without end", tls, at(Directory::Tls) + 24, base.raw() + u64::from(TEXT_RVA)),
    ];
    for (what, read, place, value) in table {
        let mut memory = good.clone();
        memory[TEXT_RVA as usize..][..0x2000].fill(0x11);
        if value >> 32 == 0 {
            put32(&mut memory, place, value as u32);
        } else {
            put64(&mut memory, place, value);
        }
        let status = read(&image, &mut MappedView(&memory), base);
        assert_eq!(status, Some(NtStatus::INVALID_IMAGE_FORMAT), "{what}");
    }
}

/// A reader with its own failures: what a guest's memory answers comes through unchanged.
#[test]
fn a_readers_own_error_comes_through() {
    struct Torn;
    impl RvaReader for Torn {
        fn read_rva(&mut self, rva: u32, _: &mut [u8]) -> Result<(), vadose_facts::pe::PeError> {
            assert!(rva >= TABLES_RVA);
            Err(vadose_facts::pe::PeError::new(NtStatus::IN_PAGE_ERROR, "cannot be read"))
        }
    }
    let image = PeImage::parse(&full(Width::X86).build()).expect("good");
    assert_eq!(image.imports(&mut Torn).map_err(|e| e.status), Err(NtStatus::IN_PAGE_ERROR));
    assert_eq!(image.exports(&mut Torn).map_err(|e| e.status), Err(NtStatus::IN_PAGE_ERROR));
    assert_eq!(image.relocations(&mut Torn).map_err(|e| e.status), Err(NtStatus::IN_PAGE_ERROR));
}

/// What the address's function has in the full sample.
fn unwind(file: &Vec<u8>, rva: u32) -> Option<UnwindInfo> {
    let image = PeImage::parse(file).expect("good");
    let mut view = image.file_view(file);
    let function = image.function_at(&mut view, rva).expect("good")?;
    assert!(function.begin_rva <= rva && rva < function.end_rva, "{rva:#x}: {function:x?}");
    Some(function.unwind_info(&mut view).expect("good"))
}

#[test]
fn a_function_is_found_by_any_of_its_bytes() {
    let file = full(Width::X64).build();
    let framed = unwind(&file, TEXT_RVA).expect("the first function");
    assert_eq!((framed.frame, framed.chained), (Some((5, 0x20)), None));
    let operations: Vec<UnwindOperation> = framed.steps.iter().map(|step| step.operation).collect();
    let [set, take, push, first] = operations[..] else { panic!("four steps: {operations:?}") };
    assert_eq!((set, take), (UnwindOperation::SetFrame, UnwindOperation::Allocate(0x40)));
    assert_eq!((push, first), (UnwindOperation::Push(5), UnwindOperation::Push(3)));
    assert_eq!(unwind(&file, TEXT_RVA + 0x3f).as_ref(), Some(&framed));
    let part = unwind(&file, TEXT_RVA + 0x5f).expect("the part");
    assert_eq!(part.chained.map(|whole| (whole.begin_rva, whole.end_rva)), Some((TEXT_RVA, TEXT_RVA + 0x40)));
    assert_eq!(unwind(&file, TEXT_RVA + 0x80).as_ref(), Some(&framed), "described by another entry");
    for rva in [0, TEXT_RVA - 1, TEXT_RVA + 0x60, TEXT_RVA + 0x7f, TEXT_RVA + 0x90, u32::MAX] {
        assert_eq!(unwind(&file, rva), None, "{rva:#x}");
    }
    assert_eq!(unwind(&full(Width::X86).build(), TEXT_RVA), None, "x86 has no such table");
}
