//! Real programs and DLLs moved by the memory manager, held against a relocation that another reader of PE files makes.

use crate::support::downloaded;
use object::LittleEndian as LE;
use object::pe::{ImageNtHeaders32, ImageNtHeaders64};
use object::read::pe::{ImageNtHeaders, ImageOptionalHeader as _, PeFile};
use vadose_facts::addr::{PAGE_BYTES, Pfn, VirtAddr};
use vadose_facts::ntdef::{Aslr, LargeAddressAware, NtStatus, edition};
use vadose_facts::pe::{PageSource, PeImage};
use vadose_facts::x86::{Access, HeapRam, PhysicalMemory as _, Privilege, walk};
use vadose_lab::download::PINS;
use vadose_mm::{FaultOutcome, FaultRequest, FileId, ImageRequest, Mm, MmConfig, ProcessId, ViewRequest};

/// Guest RAM: more than any of these images has.
const FRAMES: u64 = 1 << 16;
/// `PAGE_READONLY`.
const READ_ONLY: u32 = 0x02;
/// Faults until a page is there.
const MOST_FAULTS: usize = 4;

/// The image as it must be in memory at a base, read by the `object` crate alone. The header's `ImageBase` is at a place
/// and has a width.
fn moved<H: ImageNtHeaders>(file: &[u8], base: u64, (at, width): (usize, usize)) -> Vec<u8> {
    let pe = PeFile::<H>::parse(file).expect("an image");
    let optional = pe.nt_headers().optional_header();
    let mut memory = vec![0; optional.size_of_image().next_multiple_of(0x1000) as usize];
    let headers = optional.size_of_headers() as usize;
    memory[..headers].copy_from_slice(&file[..headers]);
    for section in pe.section_table().iter() {
        let (raw, bytes) = section.pe_file_range();
        let place = section.virtual_address.get(LE) as usize;
        let span = match section.virtual_size.get(LE) {
            0 => bytes,
            size => size,
        };
        let bytes = bytes.min(span.next_multiple_of(0x1000)) as usize;
        memory[place..place + bytes].copy_from_slice(&file[raw as usize..raw as usize + bytes]);
    }
    let delta = base.wrapping_sub(optional.image_base());
    let mut add = |rva: usize, width: usize| {
        let mut number = [0; 8];
        number[..width].copy_from_slice(&memory[rva..rva + width]);
        let moved = u64::from_le_bytes(number).wrapping_add(delta).to_le_bytes();
        memory[rva..rva + width].copy_from_slice(&moved[..width]);
    };
    if let (Some(table), true) = (relocations::<H>(&pe, file), delta != 0) {
        for (rva, width) in fixups(table) {
            add(rva, width);
        }
    }
    add(at, width);
    memory
}

/// The bytes of the relocation table, where the `object` crate finds them.
fn relocations<'a, H: ImageNtHeaders>(pe: &PeFile<'a, H>, file: &'a [u8]) -> Option<&'a [u8]> {
    let directory = pe.data_directories().get(object::pe::IMAGE_DIRECTORY_ENTRY_BASERELOC)?;
    (directory.size.get(LE) > 0).then(|| directory.data(file, &pe.section_table()).expect("in the file"))
}

/// Places and widths of the fix-ups of a table, as the PE format describes it: blocks of a page's address, a size, and
/// two bytes a fix-up. The `object` crate's own reader refuses sizes that are no multiple of four, which linkers write.
fn fixups(mut table: &[u8]) -> Vec<(usize, usize)> {
    let word = |at: usize, table: &[u8]| -> u32 {
        u32::from_le_bytes([table[at], table[at + 1], table[at + 2], table[at + 3]])
    };
    let mut places = Vec::new();
    while table.len() >= 8 {
        let (page, size) = (word(0, table) as usize, word(4, table) as usize);
        if size < 8 {
            break;
        }
        for entry in table[8..size].chunks_exact(2) {
            let entry = u16::from_le_bytes([entry[0], entry[1]]);
            let width = match entry >> 12 {
                0 => continue,
                3 => 4,
                10 => 8,
                other => panic!("relocations of kind {other}"),
            };
            places.push((page + usize::from(entry & 0xfff), width));
        }
        table = &table[size..];
    }
    places
}

/// A machine with one image file.
struct World<'a> {
    mm: Mm<HeapRam>,
    file: &'a [u8],
}

impl World<'_> {
    /// The frame of a page that can be read, and what it holds.
    fn page(&mut self, process: ProcessId, at: VirtAddr) -> (Pfn, [u8; PAGE_BYTES as usize]) {
        for _ in 0..MOST_FAULTS {
            let space = self.mm.translation(process);
            if let Ok(found) = walk(self.mm.ram(), space, at, Access::Read, Privilege::User) {
                let mut content = [0; PAGE_BYTES as usize];
                self.mm.ram().read_bytes(found.phys.pfn().base(), &mut content);
                return (found.phys.pfn(), content);
            }
            match self.mm.fault(process, FaultRequest { address: at, access: Access::Read, stack: None }) {
                FaultOutcome::Resume(resume) => resume.stale.nothing_cached(),
                FaultOutcome::Wait(transfer) => {
                    let start = usize::try_from(transfer.offset).expect("a small file");
                    let bytes = &self.file[start..start + transfer.bytes as usize];
                    self.mm.ram().write_bytes(transfer.frame.base(), bytes);
                    self.mm.complete_transfer(transfer.id, Ok(())).stale.nothing_cached();
                }
                other => panic!("{at:?}: {other:?}"),
            }
        }
        panic!("{at:?} never comes in");
    }
}

/// Maps a file in two processes of an edition and compares every page; whether it was moved.
fn check(what: &str, file: &[u8], edition_name: &str, seed: u64) -> bool {
    let edition = edition(edition_name).expect("an edition");
    let config = MmConfig { edition, page_file_bytes: 0, commit_limit_bytes: None, seed, aslr: Aslr::On };
    let mut world = World { mm: Mm::new(config, HeapRam::new(FRAMES)).expect("RAM enough"), file };
    let image = PeImage::parse(file).unwrap_or_else(|error| panic!("{what}: {error}"));
    let fixups = Some(image.page_fixups(&mut image.file_view(file)).expect("a whole table"));
    let request = ImageRequest { fixups, ..ImageRequest::new(FileId::new(1), &image) };
    let section = world.mm.create_image_section(&request).expect("room");
    let base = world.mm.section_information(section).expect("it lives").image_base.expect("an image");
    assert!(
        image.is_moved_by_kernel() || base.raw() == image.image_base(),
        "{what}: it does not ask to move"
    );
    let header = image.image_base_rva().expect("in the header") as usize;
    let memory = if edition.pointer_bytes() == 8 {
        moved::<ImageNtHeaders64>(file, base.raw(), (header, 8))
    } else {
        moved::<ImageNtHeaders32>(file, base.raw(), (header, 4))
    };
    let processes = [(); 2].map(|()| world.mm.create_process(LargeAddressAware::Yes).expect("room"));
    for process in processes {
        let view = world.mm.map_view(process, section, ViewRequest::whole(READ_ONLY)).expect("room");
        assert_eq!((view.base, view.status), (base, NtStatus::SUCCESS), "{what} on {edition_name}");
    }
    for page in 0..image.layout().pages() {
        let content = image.layout().page_source(page).filter(|source| *source != PageSource::Nothing);
        let run = image.layout().subsection_of(page).expect("in the image");
        if content.is_none() || !run.protection.allows_read() {
            continue;
        }
        let place = u64::from(page) * PAGE_BYTES;
        let at = base.checked_add(place).expect("an address");
        let [(frame, found), (other, _)] = processes.map(|process| world.page(process, at));
        let wanted = &memory[place as usize..][..PAGE_BYTES as usize];
        assert!(found == *wanted, "{what} on {edition_name}: page {page:#x}");
        assert_eq!(frame, other, "{what} on {edition_name}: page {page:#x} is one frame for both");
    }
    world.mm.audit().expect("agreement");
    base.raw() != image.image_base()
}

/// SPEC G28 G29 G36: every page of every downloaded program and DLL is what an independent relocation makes of it, and both
/// processes see the same frame.
#[test]
fn real_images_are_relocated_as_another_reader_does_it() {
    let (mut moved, mut stayed) = (0, 0);
    for pin in PINS {
        let Some(path) = downloaded(pin) else { return };
        let file = std::fs::read(&path).expect("the file is there");
        let editions: &[&str] = if pin.is_x64() { &["win7-x64", "win10-x64"] } else { &["win7-x86"] };
        for edition in editions {
            if check(&pin.folder(), &file, edition, 7) { moved += 1 } else { stayed += 1 }
        }
    }
    assert!(moved > 4, "{moved} were moved and {stayed} stayed");
}
