//! Arbitrary bytes as an image file: everything the PE reader offers must end with an answer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vadose_facts::addr::{PAGE_BYTES, VirtAddr};
use vadose_facts::ntdef::Bitness;
use vadose_facts::pe::{ExportTable, FileView, HeaderRules, Neighbours, PeImage, Relocations};

/// Exports looked up by name per input: a name that only a walk of the whole table finds is slow.
const LOOKUPS: usize = 4;

/// Pages whose content is read, and fix-ups that are applied, per input: enough to reach all code, not all pages.
const PROBES: usize = 64;

fuzz_target!(|data: &[u8]| {
    let lenient = PeImage::parse_by(data, HeaderRules::BeforeWindows10_1809);
    if let Ok(strict) = PeImage::parse(data) {
        assert_eq!(Some(&strict), lenient.as_ref().ok(), "the strict rules accept less and read the same");
    }
    match lenient {
        Ok(image) => read_tables(&image, data),
        Err(error) => assert!(!error.status.is_success() && !error.reason.is_empty()),
    }
});

fn read_tables(image: &PeImage, data: &[u8]) {
    let _ = (image.check_runnable(), image.check_kernel(Bitness::Bits32), image.is_moved_by_kernel());
    let base = VirtAddr::new(image.image_base());
    let mut view = image.file_view(data);
    check_layout(image, data, &view);
    let _ = image.imports(&mut view);
    let _ = image.delay_imports(&mut view, base);
    let _ = image.tls(&mut view, base);
    for rva in [image.entry_rva(), image.size_of_code(), u32::MAX] {
        if let Ok(Some(function)) = image.function_at(&mut view, rva) {
            assert!(function.begin_rva <= rva && rva < function.end_rva);
            let _ = function.unwind_info(&mut view);
        }
    }
    if let Ok(Some(table)) = image.exports(&mut view) {
        read_exports(&table, &mut view);
    }
    if let Ok(relocations) = image.kernel_relocations(&mut view) {
        relocate(&relocations, image.layout().pages());
    }
}

/// The runs cover the image without holes and take from the file what it has.
fn check_layout(image: &PeImage, data: &[u8], view: &FileView<'_, [u8]>) {
    let mut next = 0;
    for run in image.layout().subsections() {
        assert_eq!(run.first_page, next);
        assert!(run.pages > 0 && run.file_offset + run.file_bytes <= data.len() as u64);
        next = run.page_range().end;
        for page in run.page_range().take(PROBES) {
            let _ = view.read_page(page, &mut [0; PAGE_BYTES as usize]);
        }
    }
    assert_eq!(next, image.layout().pages());
}

/// What enumeration shows is found by ordinal, and looking for its name ends with an answer (of two equal names, one
/// may be of an empty entry).
fn read_exports(table: &ExportTable, view: &mut FileView<'_, [u8]>) {
    let _ = table.dll_name(view);
    let _ = table.by_hint(view, 1, b"Alpha");
    let Ok(exports) = table.enumerate(view) else { return };
    for export in exports.iter().take(PROBES) {
        let by_ordinal = table.by_ordinal(view, export.ordinal).expect("enumeration read the entry");
        assert_eq!(by_ordinal.map(|found| found.target).as_ref(), Some(&export.target));
    }
    for name in exports.iter().filter_map(|export| export.name.as_ref()).take(LOOKUPS) {
        assert!(table.by_name(view, name.as_bytes()).is_ok(), "enumeration read all that a lookup reads");
    }
}

fn relocate(relocations: &Relocations, pages: u32) {
    for fixup in relocations.fixups().iter().take(PROBES) {
        let page = fixup.rva / PAGE_BYTES as u32;
        assert!(page < pages);
        let _ = relocations.straddle(page);
        let mut content = [0; PAGE_BYTES as usize];
        relocations.apply_to_page(page, 0x7ff6_1234_0000, &mut content, &Neighbours::default());
    }
}
