//! Relocation, page by page and in any order.

use super::builder::{READ, Sample, Width};
use super::full::{fixup_rvas, full};
use super::tables::mapped;
use vadose_facts::addr::PAGE_BYTES;
use vadose_facts::ntdef::NtStatus;
use vadose_facts::pe::{
    Directory, Fixup, FixupKind, MAX_STRADDLE_BYTES, Neighbours, PeError, PeImage, Relocations, Straddle,
};

const PAGE: usize = PAGE_BYTES as usize;

/// Relocates one page of unrelocated memory.
fn relocate(relocations: &Relocations, memory: &[u8], page: u32, delta: u64) -> [u8; PAGE] {
    let start = page as usize * PAGE;
    let mut content: [u8; PAGE] = memory[start..start + PAGE].try_into().expect("a page");
    let mut neighbours = Neighbours::default();
    if relocations.straddle(page).before {
        neighbours.before.copy_from_slice(&memory[start - MAX_STRADDLE_BYTES..start]);
    }
    if relocations.straddle(page).after {
        neighbours.after.copy_from_slice(&memory[start + PAGE..start + PAGE + MAX_STRADDLE_BYTES]);
    }
    relocations.apply_to_page(page, delta, &mut content, &neighbours);
    content
}

/// Patches the whole image at once: the plain reading of the format.
fn relocate_whole(relocations: &Relocations, memory: &mut [u8], delta: u64) {
    for fixup in relocations.fixups() {
        let at = fixup.rva as usize;
        let bytes = fixup.kind.bytes() as usize;
        let old = memory[at..at + bytes].iter().rev().fold(0_u64, |n, &byte| n << 8 | u64::from(byte));
        let new = match fixup.kind {
            FixupKind::High => old.wrapping_add(delta >> 16 & 0xffff),
            FixupKind::Low => old.wrapping_add(delta & 0xffff),
            FixupKind::HighLow => old.wrapping_add(delta & 0xffff_ffff),
            FixupKind::Dir64 => old.wrapping_add(delta),
        };
        memory[at..at + bytes].copy_from_slice(&new.to_le_bytes()[..bytes]);
    }
}

/// SPEC G36: pages relocated one by one are the image relocated at once, a fix-up across a border included.
#[test]
fn pages_are_relocated_alone() {
    for width in Width::BOTH {
        let file = full(width).build();
        let image = PeImage::parse(&file).expect("good");
        let memory = mapped(&image, &file);
        let relocations = image.relocations(&mut image.file_view(&file)).expect("good");
        let rvas: Vec<u32> = relocations.fixups().iter().map(|f| f.rva).collect();
        assert_eq!(rvas, fixup_rvas(width));
        assert_eq!(relocations.straddle(1), Straddle { before: false, after: true });
        assert_eq!(relocations.straddle(2), Straddle { before: true, after: false });
        assert_eq!(relocations.straddle(3), Straddle::default());
        for delta in [0x1_0000, 0x7ff6_1234_0000, (-0x3_0000_i64) as u64] {
            let mut whole = memory.clone();
            relocate_whole(&relocations, &mut whole, delta);
            for page in (0..image.layout().pages()).rev() {
                let start = page as usize * PAGE;
                let alone = relocate(&relocations, &memory, page, delta);
                assert!(alone == whole[start..start + PAGE], "{width:?}: page {page} by {delta:#x}");
            }
        }
    }
}

/// SPEC G28: the mapped header of an image that the kernel moved shows the base it is at.
#[test]
fn a_moved_header_shows_the_new_base() {
    for (width, new_base) in [(Width::X86, 0x6543_0000_u64), (Width::X64, 0x7ff6_1234_0000)] {
        let file = full(width).build();
        let image = PeImage::parse(&file).expect("good");
        let mut view = image.file_view(&file);
        let plain = image.relocations(&mut view).expect("good");
        let relocations = image.kernel_relocations(&mut view).expect("good");
        assert_eq!(relocations.fixups()[1..], *plain.fixups());
        let delta = new_base.wrapping_sub(image.image_base());
        let header = relocate(&relocations, &mapped(&image, &file), 0, delta);
        let mut file = file;
        file[..0x400].copy_from_slice(&header[..0x400]);
        assert_eq!(PeImage::parse(&file).expect("still good").image_base(), new_base);
    }
}

/// An image of one zero page whose relocation directory holds these bytes.
fn relocations_of(table: &[u8], directory_bytes: u32) -> Result<Relocations, PeError> {
    let mut sample = Sample::new(Width::X86).with(".text", READ, vec![0; 16], 0x1000).with(
        ".reloc",
        READ,
        table.to_vec(),
        0x1000,
    );
    sample.directories[Directory::Relocation as usize] = (0x2000, directory_bytes);
    let file = sample.build();
    let image = PeImage::parse(&file).expect("good");
    image.relocations(&mut image.file_view(&file))
}

/// A block of the given page, size and entries.
fn block(page_rva: u32, size: u32, entries: &[u16]) -> Vec<u8> {
    let mut bytes = [page_rva.to_le_bytes(), size.to_le_bytes()].concat();
    bytes.extend(entries.iter().flat_map(|entry| entry.to_le_bytes()));
    bytes
}

#[test]
fn each_kind_adds_its_part_of_the_move() {
    let table = block(0x1000, 20, &[0x1000, 0x2010, 0x3020, 0xa030, 0x0040, 0]);
    let relocations = relocations_of(&table, 20).expect("good");
    let kinds: Vec<_> = relocations.fixups().iter().map(|f| (f.rva, f.kind)).collect();
    assert_eq!(
        kinds,
        [
            (0x1000, FixupKind::High),
            (0x1010, FixupKind::Low),
            (0x1020, FixupKind::HighLow),
            (0x1030, FixupKind::Dir64),
        ]
    );
    let page = relocate(&relocations, &[0; 3 * PAGE], 1, 0x1122_3344_5566_7788);
    assert_eq!(page[0x00..0x02], 0x5566_u16.to_le_bytes());
    assert_eq!(page[0x10..0x12], 0x7788_u16.to_le_bytes());
    assert_eq!(page[0x20..0x24], 0x5566_7788_u32.to_le_bytes());
    assert_eq!(page[0x30..0x38], 0x1122_3344_5566_7788_u64.to_le_bytes());
    assert_eq!(page.iter().filter(|&&byte| byte != 0).count(), 16);
}

#[test]
fn fixups_are_sorted_whatever_the_order_of_blocks() {
    let table = [block(0x2000, 12, &[0x3004, 0]), block(0x1000, 12, &[0x3008, 0x3004])].concat();
    let relocations = relocations_of(&table, 24).expect("good");
    let at = |rva| Fixup { rva, kind: FixupKind::HighLow };
    assert_eq!(relocations.fixups(), [at(0x1004), at(0x1008), at(0x2004)]);
}

#[test]
fn a_broken_table_is_refused() {
    let refused = [
        ("unknown kind", block(0x1000, 12, &[0x5000, 0]), 12),
        ("kind with a parameter", block(0x1000, 12, &[0x4000, 0]), 12),
        ("block smaller than its head", block(0x1000, 4, &[0x3000, 0]), 12),
        ("block larger than the table", block(0x1000, 14, &[0x3000, 0]), 12),
        ("place outside the image", block(0x3000, 12, &[0x3000, 0]), 12),
        ("place half outside", block(0x2000, 12, &[0x3ffd, 0]), 12),
        ("place past 4 GiB", block(0xffff_f800, 12, &[0x3fff, 0]), 12),
        ("table outside the image", block(0x1000, 0x1100, &[]), 0x1100),
        ("table too large", block(0x1000, 12, &[0x3000, 0]), 0x0200_0001),
    ];
    for (what, table, bytes) in refused {
        let status = relocations_of(&table, bytes).map_err(|error| error.status);
        assert_eq!(status, Err(NtStatus::INVALID_IMAGE_FORMAT), "{what}");
    }
}

#[test]
fn padding_ends_the_table() {
    let table = [block(0x1000, 12, &[0x3000, 0]), vec![0; 16]].concat();
    assert_eq!(relocations_of(&table, 28).expect("good").fixups().len(), 1);
    assert!(relocations_of(&table, 7).expect("no room for a block").is_empty());
}
