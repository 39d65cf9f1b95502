//! Whatever is in a file, reading it ends with an answer.

use super::builder::Width;
use super::full::{TEXT_RVA, full};
use proptest::prelude::*;
use vadose_facts::addr::{PAGE_BYTES, VirtAddr};
use vadose_facts::pe::{HeaderRules, Neighbours, PeImage};

/// Reads everything there is to read; only the absence of a panic counts.
fn read_all(file: &Vec<u8>, rules: HeaderRules) {
    let Ok(image) = PeImage::parse_by(file, rules) else { return };
    let base = VirtAddr::new(image.image_base());
    let mut view = image.file_view(file);
    let runs = image.layout().subsections();
    let ends: Vec<u32> = runs.iter().map(|run| run.page_range().end).collect();
    let starts: Vec<u32> = runs.iter().map(|run| run.first_page).collect();
    assert_eq!(starts[1..], ends[..ends.len() - 1], "runs cover the image without holes");
    assert_eq!((starts[0], ends.last()), (0, Some(&image.layout().pages())));
    let _ = image.imports(&mut view);
    let _ = image.delay_imports(&mut view, base);
    let _ = image.tls(&mut view, base);
    if let Ok(Some(table)) = image.exports(&mut view) {
        let _ = table.dll_name(&mut view);
        let _ = table.enumerate(&mut view);
        let _ = table.by_name(&mut view, b"Gamma");
        let _ = table.by_hint(&mut view, 2, b"Gamma");
        let _ = table.by_ordinal(&mut view, 7);
    }
    for rva in [0, TEXT_RVA, TEXT_RVA + 0x40, u32::MAX] {
        if let Ok(Some(function)) = image.function_at(&mut view, rva) {
            let _ = function.unwind_info(&mut view);
        }
    }
    let Ok(relocations) = image.relocations(&mut view) else { return };
    for fixup in relocations.fixups().iter().take(64) {
        let mut page = [0; PAGE_BYTES as usize];
        relocations.apply_to_page(fixup.rva >> 12, u64::MAX / 3, &mut page, &Neighbours::default());
    }
}

/// A place to change: in the headers most of the time.
fn place() -> impl Strategy<Value = usize> {
    prop_oneof![3 => 0..0x400_usize, 1 => 0..0x5000_usize]
}

/// A number that is at an edge of something most of the time.
fn number() -> impl Strategy<Value = u32> {
    let edges = prop::sample::select(vec![
        0,
        1,
        7,
        8,
        0x1ff,
        0x200,
        0xfff,
        0x1000,
        0x7fff_ffff,
        0x8000_0000,
        0xffff_f000,
        0xffff_fff8,
        u32::MAX,
    ]);
    prop_oneof![edges, 0..0xb000_u32, any::<u32>()]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_file_is_read_to_an_answer(
        width in prop::sample::select(Width::BOTH.to_vec()),
        changes in prop::collection::vec((place(), number()), 1..6),
        cut in prop::option::weighted(0.2, 0..0x6000_usize),
    ) {
        let mut file = full(width).build();
        for (place, number) in changes {
            let at = (place & !1).min(file.len() - 4);
            file[at..at + 4].copy_from_slice(&number.to_le_bytes());
        }
        if let Some(length) = cut {
            file.truncate(length);
        }
        read_all(&file, HeaderRules::SinceWindows10_1809);
        read_all(&file, HeaderRules::BeforeWindows10_1809);
    }

    #[test]
    fn arbitrary_bytes_are_read_to_an_answer(mut file in prop::collection::vec(any::<u8>(), 0..600), mz in any::<bool>()) {
        if mz && file.len() > 0x44 {
            file[..2].copy_from_slice(b"MZ");
            file[0x3c..0x44].copy_from_slice(b"\x40\0\0\0PE\0\0");
        }
        read_all(&file, HeaderRules::BeforeWindows10_1809);
    }
}
