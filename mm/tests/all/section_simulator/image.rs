//! The images that can be mapped: what each page is and holds, and where its pointers are.

use crate::builder::{SHARED, Width};
use crate::full::{fixup_rvas, full};
use vadose_facts::addr::PAGE_BYTES;
use vadose_facts::ntdef::{Bitness, Edition};

use super::model::Page;

/// A page of an image.
#[derive(Clone, Debug)]
pub(super) struct ImagePage {
    /// `PAGE_*` before any store.
    pub(super) protection: u32,
    /// Stored to in place, by every process.
    pub(super) shared: bool,
    /// As the file has it.
    content: Page,
}

/// An image file.
#[derive(Clone, Debug)]
pub(super) struct Image {
    pub(super) file: Vec<u8>,
    pub(super) preferred: u64,
    pub(super) pages: Vec<ImagePage>,
    fixups: Vec<u64>,
    pointer_bytes: usize,
}

/// Whether an image has a section that all processes store to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CommonData {
    Present,
    Absent,
}

impl Image {
    pub(super) fn new(edition: &Edition, common: CommonData) -> Self {
        let width = match edition.bitness {
            Bitness::Bits32 => Width::X86,
            Bitness::Bits64 => Width::X64,
        };
        let mut sample = full(width);
        if common == CommonData::Absent {
            sample.sections.iter_mut().for_each(|section| section.flags &= !SHARED);
        }
        let file = sample.build();
        let mut pages = vec![page(0x02, false, &file[..sample.header_bytes() as usize])];
        for section in &sample.sections {
            let (protection, shared) = match (section.flags >> 28) & 0xf {
                0x6 => (0x20, false),
                0x4 => (0x02, false),
                0xc => (0x08, false),
                0xd => (0x04, true),
                other => panic!("a section of the sample with rights {other:x}"),
            };
            let count = u64::from(section.virtual_size).div_ceil(PAGE_BYTES);
            for number in 0..count {
                let start = section.content.len().min((number * PAGE_BYTES) as usize);
                let end = section.content.len().min(start + PAGE_BYTES as usize);
                pages.push(page(protection, shared, &section.content[start..end]));
            }
        }
        // The header's own base is moved with the rest.
        let mut fixups = vec![width.image_base_at() as u64];
        fixups.extend(fixup_rvas(width).map(u64::from));
        Self { file, preferred: sample.image_base, pages, fixups, pointer_bytes: width.pointer_bytes() }
    }

    /// A page of the image at a base: as the file has it, with every pointer moved.
    pub(super) fn at_base(&self, number: u64, base: u64) -> Page {
        let mut content = self.pages[number as usize].content.clone();
        let delta = base.wrapping_sub(self.preferred);
        for rva in &self.fixups {
            let bytes: Vec<u64> = (*rva..rva + self.pointer_bytes as u64).collect();
            let file = |at: u64| {
                u64::from(self.pages[(at / PAGE_BYTES) as usize].content[(at % PAGE_BYTES) as usize])
            };
            let old = bytes.iter().rev().fold(0, |value, at| value << 8 | file(*at));
            let moved = old.wrapping_add(delta).to_le_bytes();
            for (at, byte) in bytes.iter().zip(moved) {
                if at / PAGE_BYTES == number {
                    content[(at % PAGE_BYTES) as usize] = byte;
                }
            }
        }
        content
    }
}

fn page(protection: u32, shared: bool, content: &[u8]) -> ImagePage {
    let mut bytes = super::model::zeros();
    bytes[..content.len()].copy_from_slice(content);
    ImagePage { protection, shared, content: bytes }
}
