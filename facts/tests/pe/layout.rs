//! How files become pages.

use super::builder::{EXECUTE, READ, SHARED, Sample, WRITE, Width, at, put32};
use super::full::full;
use vadose_facts::addr::PAGE_BYTES;
use vadose_facts::ntdef::{BaseProtection as B, NtStatus};
use vadose_facts::pe::{
    Mapping, PageSource, PeImage, RvaReader, SectionFlags, Sharing, Subsection, SubsectionKind,
};

fn runs(file: &Vec<u8>) -> Vec<Subsection> {
    PeImage::parse(file).expect("good").layout().subsections().to_vec()
}

/// One section with these flags, at page 1.
fn only_section(flags: u32) -> Subsection {
    runs(&Sample::new(Width::X64).with(".x", flags, vec![7; 16], 16).build()).swap_remove(1)
}

/// SPEC G19 G22: the protection follows from three bits; no other bit matters but SHARED.
#[test]
fn a_section_is_protected_by_its_flags() {
    let table = [
        (0, B::NoAccess),
        (READ, B::ReadOnly),
        (WRITE, B::WriteCopy),
        (READ | WRITE, B::WriteCopy),
        (EXECUTE, B::Execute),
        (EXECUTE | READ, B::ExecuteRead),
        (EXECUTE | WRITE, B::ExecuteWriteCopy),
        (EXECUTE | READ | WRITE, B::ExecuteWriteCopy),
    ];
    let others = (0..32).map(|bit| 1_u32 << bit).filter(|bit| bit & (READ | WRITE | EXECUTE | SHARED) == 0);
    let others: Vec<u32> = others.chain([0, 0x0200_0002, 0x0fff_ffff]).collect();
    for (memory, protection) in table {
        for other in &others {
            let section = only_section(memory | other);
            let seen = (section.protection, section.sharing);
            assert_eq!(seen, (protection, Sharing::Private), "{:#x}", memory | other);
        }
    }
}

/// SPEC G21: a shared section is written in place.
#[test]
fn a_shared_section_is_not_copied_on_write() {
    let table = [
        (0, B::NoAccess),
        (READ, B::ReadOnly),
        (WRITE, B::ReadWrite),
        (READ | WRITE, B::ReadWrite),
        (EXECUTE, B::Execute),
        (EXECUTE | READ, B::ExecuteRead),
        (EXECUTE | WRITE, B::ExecuteReadWrite),
        (EXECUTE | READ | WRITE, B::ExecuteReadWrite),
    ];
    for (memory, protection) in table {
        let section = only_section(memory | SHARED);
        assert_eq!((section.protection, section.sharing), (protection, Sharing::Shared));
    }
    assert!(SectionFlags::from_bits_retain(SHARED).contains(SectionFlags::SHARED));
}

/// SPEC G13 G14 G15: runs cover the view from the headers to the end.
#[test]
fn a_file_becomes_headers_and_sections() {
    for width in Width::BOTH {
        let runs = runs(&full(width).build());
        let seen: Vec<_> =
            runs.iter().map(|r| (r.name.to_string(), r.page_range(), r.file_bytes, r.protection)).collect();
        let expected = [
            ("", 0..1, 0x400, B::ReadOnly),
            (".text", 1..3, 0x1800, B::ExecuteRead),
            (".data", 3..6, 0x600, B::WriteCopy),
            (".shared", 6..7, 0x200, B::ReadWrite),
            (".rdata", 7..9, seen[4].2, B::ReadOnly),
            (".reloc", 9..10, 0x200, B::ReadOnly),
        ];
        assert_eq!(seen, expected.map(|(name, pages, bytes, p)| (name.to_string(), pages, bytes, p)));
    }
}

/// SPEC G13: the view is SizeOfImage rounded up, and what no section takes is a gap.
#[test]
fn the_view_reaches_to_the_size_of_the_image() {
    let mut file = Sample::new(Width::X86).with(".x", READ, vec![1; 16], 16).build();
    put32(&mut file, at::SIZE_OF_IMAGE, 0x4001);
    let image = PeImage::parse(&file).expect("good");
    assert_eq!(image.layout().pages(), 5);
    let last = image.layout().subsection_of(4).expect("a page of the image");
    assert_eq!((last.kind, last.page_range(), last.protection), (SubsectionKind::Gap, 2..5, B::NoAccess));
    assert_eq!(image.layout().page_source(4), Some(PageSource::Nothing));
    assert_eq!(image.layout().page_source(5), None);
}

/// SPEC G14: header bytes past SizeOfHeaders are zero although the file has bytes there.
#[test]
fn the_header_page_ends_with_the_headers() {
    let mut file = full(Width::X64).build();
    file[0x3fe..0x400].fill(0xee);
    put32(&mut file, at::SIZE_OF_HEADERS, 0x300);
    let image = PeImage::parse(&file).expect("good");
    assert_eq!(image.layout().page_source(0), Some(PageSource::File { offset: 0, bytes: 0x300 }));
    let mut seen = [0xff; 2];
    image.file_view(&file).read_rva(0x3fe, &mut seen).expect("in the header page");
    assert_eq!(seen, [0, 0]);
}

/// SPEC G15 G16: a section's span is its virtual size, or its raw size if that is 0; past the raw data it is zero.
#[test]
fn content_is_followed_by_zeros() {
    let sample = Sample::new(Width::X64).with(".x", READ | WRITE, vec![9; 0x1234], 0x3001);
    let image = PeImage::parse(&sample.build()).expect("good");
    let start = u64::from(sample.header_bytes());
    let sources: Vec<_> =
        (1..5).map(|page| image.layout().page_source(page).expect("in the image")).collect();
    assert_eq!(
        sources,
        [
            PageSource::File { offset: start, bytes: 0x1000 },
            PageSource::File { offset: start + 0x1000, bytes: 0x400 },
            PageSource::Zero,
            PageSource::Zero,
        ]
    );
    let unsized_section = Sample::new(Width::X64).with(".x", READ, vec![9; 0x2200], 0).build();
    assert_eq!(runs(&unsized_section)[1].page_range(), 1..4);
    let mut no_content = Sample::new(Width::X64).with(".bss", READ | WRITE, Vec::new(), 0x1800).build();
    put32(&mut no_content, Width::X64.section_at(0) + 20, 0xffff_fe00);
    assert_eq!(runs(&no_content)[1].file_offset, 0);
    let image = PeImage::parse(&no_content).expect("good");
    assert_eq!(image.layout().page_source(2), Some(PageSource::Zero));
}

/// SPEC G16: file bytes after the raw data are not seen, not even up to the page's end.
#[test]
fn a_partial_page_ends_in_zeros() {
    let sample = Sample::new(Width::X64).with(".a", READ, vec![1; 0x200], 0x1000).with(
        ".b",
        READ,
        vec![2; 0x1000],
        0x1000,
    );
    let file = sample.build();
    let image = PeImage::parse(&file).expect("good");
    let mut page = [0xff; PAGE_BYTES as usize];
    image.file_view(&file).read_page(1, &mut page).expect("a page of .a");
    assert!(page[..0x200].iter().all(|&b| b == 1) && page[0x200..].iter().all(|&b| b == 0));
}

/// SPEC G17: raw data is cut at the last page of the virtual size, not at its last byte.
#[test]
fn long_content_is_cut_at_a_page() {
    let file = Sample::new(Width::X86).with(".x", READ, vec![3; 0x3000], 0x1001).build();
    let section = runs(&file).swap_remove(1);
    assert_eq!((section.pages, section.file_bytes), (2, 0x2000));
    assert_eq!(
        section.source_of(2),
        PageSource::File { offset: section.file_offset + 0x1000, bytes: 0x1000 }
    );
}

/// SPEC G18: pages between a section and the next alignment unit are there and untouchable.
#[test]
fn wide_alignment_leaves_gaps() {
    let mut sample = Sample::new(Width::X64);
    sample.section_alignment = 0x4000;
    let file = sample.with(".a", READ, vec![1; 16], 16).with(".b", READ, vec![1; 16], 0x4000).build();
    let seen: Vec<_> = runs(&file).iter().map(|r| (r.kind, r.page_range())).collect();
    assert_eq!(
        seen,
        [
            (SubsectionKind::Headers, 0..1),
            (SubsectionKind::Gap, 1..4),
            (SubsectionKind::Section(0), 4..5),
            (SubsectionKind::Gap, 5..8),
            (SubsectionKind::Section(1), 8..12),
        ]
    );
    let image = PeImage::parse(&file).expect("good");
    assert!(image.file_view(&file).read_rva(0x5000, &mut [0]).is_err());
}

/// A file whose sections are aligned at 20h, in the file and in memory.
fn low_alignment() -> Vec<u8> {
    let mut sample = Sample::new(Width::X64);
    sample.section_alignment = 0x20;
    sample.file_alignment = 0x20;
    sample
        .with(".text", EXECUTE | READ, vec![1; 0x60], 0x60)
        .with(".data", READ | WRITE, vec![2; 0x40], 0x40)
        .build()
}

/// SPEC G7 G12 G23: a file with small alignments is one run, executable and writable, and the kernel does not move it.
#[test]
fn a_low_alignment_image_is_mapped_flat() {
    let file = low_alignment();
    let image = PeImage::parse(&file).expect("good");
    assert_eq!(image.layout().mapping(), Mapping::Flat);
    let [run] = image.layout().subsections() else { panic!("one run") };
    assert_eq!(
        (run.kind, run.page_range(), run.protection),
        (SubsectionKind::Flat, 0..1, B::ExecuteWriteCopy)
    );
    assert_eq!(run.source_of(0), PageSource::File { offset: 0, bytes: file.len() as u32 });
    let mut seen = vec![0; file.len()];
    image.file_view(&file).read_rva(0, &mut seen).expect("the file fits the view");
    assert_eq!(seen, file);
    assert!(!image.is_moved_by_kernel());
}

/// SPEC G23: in a flat image a section is where it is in the file.
#[test]
fn a_flat_image_does_not_move_its_sections() {
    let mut file = low_alignment();
    let field = Width::X64.section_at(0) + 12;
    let rva = u32::from_le_bytes(file[field..][..4].try_into().expect("4 bytes"));
    put32(&mut file, field, rva + 0x20);
    let error = PeImage::parse(&file).expect_err("moved");
    assert_eq!(error.status, NtStatus::INVALID_IMAGE_FORMAT);
}
