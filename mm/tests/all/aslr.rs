//! Images that randomisation moves, where searches for free space start, and the policies that decide.

use crate::builder::{Width, at, put16};
use crate::door::World;
use crate::full::{fixup_rvas, full};
use std::collections::BTreeSet;
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::{
    Aslr, AslrMitigations, Bitness, LargeAddressAware, NtStatus, Randomization, edition, editions,
};
use vadose_facts::pe::PeImage;
use vadose_facts::x86::HeapRam;
use vadose_mm::{FileId, ImageExecution, ImageRequest, MINIMUM_RAM_BYTES, Mm, MmConfig, ViewRequest};

const PAGE: usize = 1 << 12;
const UNIT: u64 = 0x1_0000;
/// `IMAGE_FILE_DLL`.
const DLL: u16 = 0x2000;
/// `IMAGE_FILE_RELOCS_STRIPPED`.
const STRIPPED: u16 = 0x1;
/// `IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE | NX_COMPAT`.
const DYNAMIC: u16 = 0x140;

fn width_on(name: &str) -> Width {
    match edition(name).expect("an edition").bitness {
        Bitness::Bits32 => Width::X86,
        Bitness::Bits64 => Width::X64,
    }
}

/// An image with fix-ups, one of them across a border of pages; `extra` goes to its characteristics.
fn sample(width: Width, base: u64, extra: u16, dll_characteristics: u16) -> Vec<u8> {
    let mut sample = full(width);
    sample.image_base = base;
    let mut file = sample.build();
    let old = u16::from_le_bytes([file[at::CHARACTERISTICS], file[at::CHARACTERISTICS + 1]]);
    put16(&mut file, at::CHARACTERISTICS, old | extra);
    put16(&mut file, at::DLL_CHARACTERISTICS, dll_characteristics);
    file
}

/// Where images of a width want to be: below 4 GiB, and for 64-bit ones above.
fn preferred(width: Width) -> &'static [u64] {
    match width {
        Width::X86 => &[0x1000_0000],
        Width::X64 => &[0x1000_0000, 0x1_8000_0000],
    }
}

/// The image in memory at a base, computed from the file alone.
fn expected(width: Width, file: &[u8], base: u64) -> Vec<u8> {
    let image = PeImage::parse(file).expect("well formed");
    let mut memory = Vec::new();
    for page in 0..image.layout().pages() {
        let mut content = [0; PAGE];
        image.file_view(file).read_page(page, &mut content).expect("no gaps");
        memory.extend(content);
    }
    let delta = base.wrapping_sub(image.image_base());
    let places = fixup_rvas(width).into_iter().chain([width.image_base_at() as u32]);
    for place in places {
        let bytes = &mut memory[place as usize..][..width.pointer_bytes()];
        let mut number = [0; 8];
        number[..bytes.len()].copy_from_slice(bytes);
        let moved = u64::from_le_bytes(number).wrapping_add(delta).to_le_bytes();
        bytes.copy_from_slice(&moved[..bytes.len()]);
    }
    memory
}

/// Editions that move images.
fn moving() -> impl Iterator<Item = &'static str> {
    editions()
        .iter()
        .filter(|edition| edition.randomization != Randomization::Environment)
        .map(|edition| edition.name)
}

/// SPEC G28 G29 G36: every page is as a plain relocation of the whole image has it, whichever is read first, the header shows
/// the base, the view is a success there, and two processes see the same frames.
#[test]
fn a_moved_image_is_relocated_page_by_page_and_shared() {
    for name in moving() {
        let width = width_on(name);
        for backwards in [false, true] {
            for &wanted in preferred(width) {
                let file = sample(width, wanted, DLL, DYNAMIC);
                let mut world = World::randomised(name, Aslr::On, 3);
                let section = world.new_image(2, file.clone());
                let view = world.map_section(section).expect("room");
                assert_ne!(view.base.raw(), wanted, "on {name}");
                assert_eq!(view.status, NtStatus::SUCCESS);
                let info = world.mm.section_information(section).expect("it lives");
                assert_eq!(info.image_base, Some(view.base));
                let memory = expected(width, &file, view.base.raw());
                let mut pages: Vec<u64> = (0..(memory.len() / PAGE) as u64).collect();
                if backwards {
                    pages.reverse();
                }
                let mut frames = Vec::new();
                for page in pages.iter().copied() {
                    let (frame, found) = world.page(page);
                    let place = page as usize * PAGE;
                    assert!(found == memory[place..place + PAGE], "page {page} on {name}");
                    frames.push(frame);
                }
                world.start_process(LargeAddressAware::Yes);
                let again = world.map_section(section).expect("room");
                assert_eq!((again.base, again.status), (view.base, NtStatus::SUCCESS));
                let seen: Vec<_> = pages.iter().map(|page| world.page(*page).0).collect();
                assert_eq!(seen, frames, "one frame a page for both processes");
                world.mm.audit().expect("agreement");
            }
        }
    }
}

/// SPEC F18 G29: sections of one file are over one area, at one base, and the file's bytes come in once.
#[test]
fn two_sections_of_a_file_are_one_image() {
    for name in moving() {
        let width = width_on(name);
        let mut world = World::randomised(name, Aslr::On, 4);
        let file = sample(width, preferred(width)[0], 0, DYNAMIC);
        let first = world.new_image(2, file.clone());
        let base = world.map_section(first).expect("room").base;
        let (frame, _) = world.page(1);
        world.start_process(LargeAddressAware::Yes);
        let second = world.new_image(2, file);
        assert_ne!(first, second);
        world.mm.close_section(first);
        assert_eq!(world.map_section(second).expect("room").base, base);
        assert_eq!(world.page(1).0, frame);
        // A store to the section that all processes share is seen through either.
        assert_eq!(world.step("write 6000 7"), "ok");
        world.process = world.processes[0];
        assert_eq!(world.step("read 6000"), "=7", "on {name}");
        world.mm.audit().expect("agreement");
    }
}

/// SPEC G26 G30: where the chosen base is taken the view goes elsewhere, with the bytes that the others see; asked for
/// there it is refused.
#[test]
fn a_taken_base_leaves_the_bytes_as_they_are() {
    for name in moving() {
        let width = width_on(name);
        let file = sample(width, preferred(width)[0], DLL, DYNAMIC);
        let mut world = World::randomised(name, Aslr::On, 5);
        let section = world.new_image(2, file.clone());
        let chosen = world.mm.section_information(section).expect("it lives").image_base.expect("an image");
        assert_eq!(world.step(&format!("reserve 10000 at @{:x}", chosen.raw())), "ok");
        let at = ViewRequest { base: Some(chosen), ..ViewRequest::whole(0x02) };
        let refused = world.mm.map_view(world.process, section, at).map(|view| view.base);
        assert_eq!(refused, Err(NtStatus::CONFLICTING_ADDRESSES));
        let view = world.map_section(section).expect("room");
        assert_eq!(view.status, NtStatus::IMAGE_NOT_AT_BASE, "on {name}");
        assert_ne!(view.base, chosen);
        let memory = expected(width, &file, chosen.raw());
        assert!(world.page(1).1 == memory[PAGE..2 * PAGE], "relocated to the section's base on {name}");
        let again = world.map_section(section).expect("room");
        assert_eq!(again.status, NtStatus::IMAGE_NOT_AT_BASE, "a second view of one process");
    }
}

/// SPEC G12 G28 G31: without randomisation, and without the flag or the relocations, an image stays where it wants to be.
#[test]
fn images_that_do_not_ask_for_it_stay() {
    for edition in editions() {
        let (name, width) = (edition.name, width_on(edition.name));
        let policies = [(Aslr::Off, 0, DYNAMIC), (Aslr::On, 0, 0x100), (Aslr::On, STRIPPED, DYNAMIC)];
        for (aslr, extra, dll_characteristics) in policies {
            for &wanted in preferred(width) {
                let mut world = World::randomised(name, aslr, 6);
                let section = world.new_image(2, sample(width, wanted, extra, dll_characteristics));
                let view = world.map_section(section).expect("room");
                assert_eq!((view.base.raw(), view.status), (wanted, NtStatus::SUCCESS), "on {name}");
            }
        }
    }
}

/// SPEC G34 G35: forced to move, an image goes where the search leads, as if its base were taken; one without
/// relocations stays, and is refused where that is disallowed.
#[test]
fn a_process_can_make_images_move() {
    let forced = AslrMitigations::FORCE_RELOCATE_IMAGES;
    let wanted = 0x1000_0000;
    let map = |policy: AslrMitigations, extra, dll_characteristics| {
        let mut world = World::randomised("win10-x64", Aslr::On, 7);
        world.mm.set_aslr_mitigations(world.process, policy).expect("it lives");
        assert_eq!(world.mm.aslr_mitigations(world.process), policy);
        let section = world.new_image(2, sample(Width::X64, wanted, extra, dll_characteristics));
        world.map_section(section).map(|view| (view.base.raw() == wanted, view.status))
    };
    assert_eq!(map(AslrMitigations::empty(), 0, 0), Ok((true, NtStatus::SUCCESS)));
    assert_eq!(map(forced, 0, 0), Ok((false, NtStatus::IMAGE_NOT_AT_BASE)));
    assert_eq!(map(forced, 0, DYNAMIC), Ok((false, NtStatus::SUCCESS)));
    assert_eq!(map(forced, STRIPPED, 0), Ok((true, NtStatus::SUCCESS)));
    let strict = forced | AslrMitigations::DISALLOW_STRIPPED_IMAGES;
    assert_eq!(map(strict, STRIPPED, 0), Err(NtStatus::CONFLICTING_ADDRESSES));
    assert_eq!(map(AslrMitigations::DISALLOW_STRIPPED_IMAGES, STRIPPED, 0), Ok((true, NtStatus::SUCCESS)));
}

/// SPEC F16: the pages of a section without execution can be read and not fetched, and are not made executable.
#[test]
fn a_section_without_execution_shows_pages_without_it() {
    for name in ["win8-x64", "win10-x64"] {
        let mut world = World::randomised(name, Aslr::On, 8);
        let file = sample(Width::X64, preferred(Width::X64)[1], DLL, DYNAMIC);
        let plain = world.new_image(2, file.clone());
        let section = world.mm.open_image_section(FileId::new(2), ImageExecution::Removed).expect("it lives");
        let base = world.map_section(section).expect("room").base;
        for (step, answer) in [
            ("query 1p", "commit/r/2p"),
            ("read 1p", "=0"),
            ("exec 1p", "access-violation(8)+1000"),
            ("protect 1p 1p xr", "section-protection"),
            ("protect 1p 1p rw", "was-r"),
            ("write 1p", "ok"),
            ("owner 1p", "+0/wc/image"),
        ] {
            assert_eq!(world.step(step), answer, "{step} on {name}");
        }
        world.start_process(LargeAddressAware::Yes);
        assert_eq!(world.map_section(plain).expect("room").base, base, "one area for both");
        assert_eq!(world.step("exec 1p"), "ok");
    }
}

/// How the samples of a number that is drawn look.
struct Spread {
    distinct: usize,
    /// Bits that are both set and clear in some sample.
    moving_bits: u32,
}

fn spread(samples: &[u64]) -> Spread {
    let all = samples.iter().fold(u64::MAX, |all, sample| all & sample);
    let any = samples.iter().fold(0, |any, sample| any | sample);
    let distinct = samples.iter().collect::<BTreeSet<_>>().len();
    Spread { distinct, moving_bits: (any & !all).count_ones() }
}

/// How many distinct values so many draws from so many places give on average.
fn expected_distinct(places: f64, draws: f64) -> f64 {
    places * (1.0 - (1.0 - 1.0 / places).powf(draws))
}

#[track_caller]
fn check_entropy(samples: &[u64], places: f64, what: &str) {
    let found = spread(samples);
    let wanted = expected_distinct(places, samples.len() as f64);
    // Six standard deviations at most: the variance of a count of distinct values is below its mean's distance to the
    // draws, and below the number of places that stay empty.
    let slack = 6.0 * (samples.len() as f64 - wanted).min(places - wanted).max(1.0).sqrt() + 1.0;
    let off = (found.distinct as f64 - wanted).abs();
    assert!(off <= slack, "{what}: {} distinct of {wanted:.0} +- {slack:.0}", found.distinct);
    assert!(samples.iter().all(|sample| sample % UNIT == 0), "{what}: multiples of 64 KiB");
    assert!(f64::from(found.moving_bits) + 1.0 >= places.log2(), "{what}: {} bits move", found.moving_bits);
}

/// Bases of an image over many boots.
fn bases(name: &str, file: &[u8], boots: u64) -> Vec<u64> {
    let edition = edition(name).expect("an edition");
    let image = PeImage::parse(file).expect("well formed");
    let fixups = image.page_fixups(&mut image.file_view(file)).expect("well formed");
    let base = |seed| {
        let config = MmConfig { edition, page_file_bytes: 0, commit_limit_bytes: None, seed, aslr: Aslr::On };
        let ram = HeapRam::new(MINIMUM_RAM_BYTES / PAGE as u64);
        let mut mm = Mm::new(config, ram).expect("RAM enough");
        let request =
            ImageRequest { fixups: Some(fixups.clone()), ..ImageRequest::new(FileId::new(2), &image) };
        let section = mm.create_image_section(&request).expect("room");
        mm.section_information(section).expect("it lives").image_base.expect("an image").raw()
    };
    (0..boots).map(base).collect()
}

/// SPEC G32 G33: over many boots the bases of DLLs and programs take as many values as the edition has places.
#[test]
fn images_have_the_entropy_of_the_edition() {
    const BOOTS: u64 = 1500;
    let low_library = |bits: u32| 2_f64.powi(bits as i32);
    for name in moving() {
        let width = width_on(name);
        let newer = edition(name).expect("known").randomization == Randomization::HighEntropy;
        for &wanted in preferred(width) {
            let high = wanted > u64::from(u32::MAX);
            let (library, program) = match (newer, high) {
                (false, _) => (low_library(8), 254.0),
                (true, true) => (low_library(19), low_library(17)),
                (true, false) => (low_library(14), 254.0),
            };
            for (extra, places) in [(DLL, library), (0, program)] {
                let what = format!("{name} {wanted:#x} {extra:#x}");
                check_entropy(&bases(name, &sample(width, wanted, extra, DYNAMIC), BOOTS), places, &what);
            }
        }
    }
}

/// SPEC G32: a program is 1 to 254 steps of 64 KiB above where it wants to be; DLLs are below 78000000h.
#[test]
fn windows_7_keeps_near_what_an_image_wants() {
    let program = bases("win7-x86", &sample(Width::X86, 0x40_0000, 0, DYNAMIC), 300);
    let steps: Vec<u64> = program.iter().map(|base| (base - 0x40_0000) / UNIT).collect();
    assert!(steps.iter().all(|step| (1..=254).contains(step)), "{steps:?}");
    let library = bases("win7-x86", &sample(Width::X86, 0x40_0000, DLL, DYNAMIC), 300);
    assert!(library.iter().all(|base| (0x7700_0000..0x7800_0000).contains(base)), "256 places from the top");
}

/// SPEC G29: one bias a boot moves all DLLs alike, and each program has a base of its own; the same seed gives the same.
#[test]
fn dlls_move_together_and_programs_alone() {
    for name in moving() {
        let width = width_on(name);
        let wanted = *preferred(width).last().expect("one at least");
        let boot = |seed| {
            let mut world = World::randomised(name, Aslr::On, seed);
            let mut make = |file, extra| {
                let section = world.new_image(file, sample(width, wanted, extra, DYNAMIC));
                world.mm.section_information(section).expect("it lives").image_base.expect("an image").raw()
            };
            ([make(2, DLL), make(3, DLL), make(4, DLL)], [make(5, 0), make(6, 0)])
        };
        assert_eq!(boot(11), boot(11), "on {name}");
        let apart = |bases: [u64; 3]| (bases[0] - bases[1], bases[1] - bases[2]);
        let ((one, programs), (other, _)) = (boot(11), boot(12));
        assert_ne!(one[0], other[0]);
        assert_eq!(apart(one), apart(other), "on {name}");
        assert_eq!(apart(one), (UNIT, UNIT), "ten pages each, in units of 64 KiB");
        assert_ne!(programs[0], programs[1], "on {name}");
    }
}

/// SPEC G34 A38: where the search starts has 8 bits, or 24 with high entropy; without the policy it is the lowest address.
#[test]
fn a_process_starts_its_search_at_random() {
    let starts = |policy: AslrMitigations, awareness| -> Vec<u64> {
        let start = |seed| {
            let mut world = World::randomised("win10-x64", Aslr::On, seed);
            world.start_process(awareness);
            world.mm.set_aslr_mitigations(world.process, policy).expect("it lives");
            assert_eq!(world.quietly("reserve 10000"), "ok");
            world.origin.raw()
        };
        (0..600).map(start).collect()
    };
    use LargeAddressAware::{No, Yes};
    let plain = AslrMitigations::BOTTOM_UP_RANDOMIZATION;
    let high = plain | AslrMitigations::HIGH_ENTROPY;
    check_entropy(&starts(plain, Yes), 256.0, "bottom up");
    check_entropy(&starts(high, Yes), 2_f64.powi(24), "bottom up with high entropy");
    check_entropy(&starts(high, No), 256.0, "high entropy in 2 GiB");
    assert!(starts(AslrMitigations::empty(), Yes).iter().all(|start| *start == UNIT));
}

/// SPEC A38 G34: when nothing is free from the start on, what is below it is used.
#[test]
fn the_search_comes_back_to_what_is_below_its_start() {
    let mut world = World::randomised("win10-x64", Aslr::On, 9);
    world.start_process(LargeAddressAware::No);
    let policy = AslrMitigations::BOTTOM_UP_RANDOMIZATION;
    world.mm.set_aslr_mitigations(world.process, policy).expect("it lives");
    assert_eq!(world.quietly("reserve 10000"), "ok");
    let start = world.origin;
    assert!(start > VirtAddr::new(UNIT), "the seed was chosen so");
    while world.quietly("reserve 1000000") == "ok" {}
    while world.quietly("reserve 10000") == "ok" {}
    assert_eq!(world.quietly(&format!("release @{:x} 0", UNIT)), "ok", "the lowest unit was taken last");
    assert_eq!(world.step("reserve 10000"), "ok");
    assert_eq!(world.origin, VirtAddr::new(UNIT));
}
