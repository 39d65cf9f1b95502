//! The image that the model maps: what each page is and which bytes it starts with.

use crate::builder::{EXECUTE, READ, SHARED, Sample, WRITE, Width};
use vadose_facts::ntdef::{Bitness, Edition};

/// A page of the image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ImagePage {
    pub(super) protection: u32,
    pub(super) shared: bool,
    /// Between two sections, with nothing behind it.
    pub(super) gap: bool,
}

/// The image: headers and four sections on borders of 8 KiB, so that some pages belong to none.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) base: u64,
    pub(crate) pages: Vec<ImagePage>,
    pub(crate) file: Vec<u8>,
}

/// First page, pages, `PAGE_*`, shared, filling byte and bytes of content of each section.
const SECTIONS: [(u64, u64, u32, bool, u8, u64); 4] = [
    (2, 2, 0x20, false, 0xc3, 0x1800),
    (4, 1, 0x02, false, 0x11, 0x200),
    (6, 3, 0x08, false, 0x22, 0x1200),
    (10, 1, 0x04, true, 0x33, 0x200),
];
const PAGES: u64 = 12;

impl Image {
    pub(crate) fn new(edition: &Edition) -> Self {
        let (width, base) = match edition.bitness {
            Bitness::Bits32 => (Width::X86, 0x40_0000),
            Bitness::Bits64 => (Width::X64, 0x1_4000_0000),
        };
        let gap = ImagePage { protection: 0x01, shared: false, gap: true };
        let mut pages = vec![gap; PAGES as usize];
        pages[0] = ImagePage { protection: 0x02, shared: false, gap: false };
        for (first, count, protection, shared, ..) in SECTIONS {
            let page = ImagePage { protection, shared, gap: false };
            pages[first as usize..(first + count) as usize].fill(page);
        }
        Self { base, pages, file: file(width) }
    }

    pub(super) fn page(&self, number: u64) -> ImagePage {
        self.pages[usize::try_from(number).expect("a small image")]
    }

    /// A byte as the file has it.
    pub(super) fn byte(&self, offset: u64) -> u8 {
        if offset < 0x1000 {
            return self.file[..HEADERS].get(offset as usize).copied().unwrap_or(0);
        }
        let page = offset / 0x1000;
        let section = SECTIONS.iter().find(|(first, count, ..)| (*first..first + count).contains(&page));
        match section {
            Some((first, _, _, _, byte, bytes)) if offset - first * 0x1000 < *bytes => *byte,
            Some(_) | None => 0,
        }
    }
}

/// Bytes of the headers, rounded to the file's alignment.
const HEADERS: usize = 0x400;

fn file(width: Width) -> Vec<u8> {
    let flags = [READ | EXECUTE, READ, READ | WRITE, READ | WRITE | SHARED];
    let names = [".text", ".rdata", ".data", ".shared"];
    let mut sample = Sample::new(width);
    sample.section_alignment = 0x2000;
    for (((_, count, _, _, byte, bytes), flags), name) in SECTIONS.into_iter().zip(flags).zip(names) {
        sample = sample.with(name, flags, vec![byte; bytes as usize], count as u32 * 0x1000);
    }
    assert_eq!(sample.header_bytes() as usize, HEADERS);
    sample.build()
}
