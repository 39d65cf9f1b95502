//! Which files are images, and which status the others get.

use super::builder::{EXECUTE, READ, Sample, Width, at, put16, put32, put64};
use super::full::full;
use vadose_facts::ntdef::{Bitness, NtStatus};
use vadose_facts::pe::{
    ClrFlags, Directory, HeaderRules, MAX_SECTIONS, Machine, Magic, Mapping, PeImage, Reserve, Subsystem,
    Version,
};

/// Breaks a good file and checks the status.
fn check(width: Width, what: &str, status: NtStatus, break_it: impl FnOnce(&mut Vec<u8>)) {
    let mut file = full(width).build();
    PeImage::parse(&file).expect("the file is good before it is broken");
    break_it(&mut file);
    match PeImage::parse(&file) {
        Ok(_) => panic!("{width:?}, {what}: accepted"),
        Err(error) => assert_eq!(error.status, status, "{width:?}, {what}: {error}"),
    }
}

/// SPEC G1 G2: no "MZ", too short for a DOS header, a PE offset outside the file.
#[test]
fn a_file_without_a_dos_header_is_no_image() {
    for width in Width::BOTH {
        check(width, "ZM", NtStatus::INVALID_IMAGE_NOT_MZ, |file| file[..2].copy_from_slice(b"ZM"));
        check(width, "one letter", NtStatus::INVALID_IMAGE_NOT_MZ, |file| file[1] = 0);
        check(width, "empty", NtStatus::INVALID_IMAGE_NOT_MZ, Vec::clear);
        check(width, "63 bytes", NtStatus::INVALID_IMAGE_NOT_MZ, |file| file.truncate(63));
        check(width, "64 bytes", NtStatus::INVALID_IMAGE_PROTECT, |file| file.truncate(64));
        for offset in [0x7fff_fff0, 0xffff_fff0, u32::MAX] {
            check(width, "e_lfanew far out", NtStatus::INVALID_IMAGE_PROTECT, |file| {
                put32(file, at::LFANEW, offset);
            });
        }
        check(width, "e_lfanew at the end", NtStatus::INVALID_IMAGE_PROTECT, |file| {
            let end = file.len() as u32;
            put32(file, at::LFANEW, end);
        });
    }
}

/// SPEC G3: what is not "PE" is a 16-bit, an OS/2 or a DOS program.
#[test]
fn another_signature_names_the_kind_of_program() {
    let ne = |exe_type: u8| {
        move |file: &mut Vec<u8>| {
            file[at::PE..at::PE + 4].copy_from_slice(b"NE\0\0");
            file[at::PE + 0x36] = exe_type;
        }
    };
    let signature =
        |bytes: &'static [u8; 4]| move |file: &mut Vec<u8>| file[at::PE..at::PE + 4].copy_from_slice(bytes);
    for width in Width::BOTH {
        check(width, "NE for Windows", NtStatus::INVALID_IMAGE_WIN_16, ne(2));
        check(width, "NE of type 5", NtStatus::INVALID_IMAGE_PROTECT, ne(5));
        for other in [0, 1, 3, 4, 6, 0xff] {
            check(width, "NE of another type", NtStatus::INVALID_IMAGE_NE_FORMAT, ne(other));
        }
        check(width, "LE", NtStatus::INVALID_IMAGE_LE_FORMAT, signature(b"LE\0\0"));
        check(width, "PE without its zeros", NtStatus::INVALID_IMAGE_PROTECT, signature(b"PE\0\x01"));
        check(width, "LX", NtStatus::INVALID_IMAGE_PROTECT, signature(b"LX\0\0"));
        check(width, "zeros", NtStatus::INVALID_IMAGE_PROTECT, signature(b"\0\0\0\0"));
        check(width, "cut in the signature", NtStatus::INVALID_IMAGE_PROTECT, |file| {
            file.truncate(at::PE + 3)
        });
    }
}

/// SPEC G4: the magic, the machine, and that they belong together.
#[test]
fn machine_and_magic_must_be_known_and_fit() {
    let bad = NtStatus::INVALID_IMAGE_FORMAT;
    for width in Width::BOTH {
        for magic in [0, 0x107, 0x10c, 0xffff] {
            check(width, "magic", bad, |file| put16(file, at::OPTIONAL, magic));
        }
        for machine in [0, 1, 0x14d, 0x166, 0x1f0, 0x5064, 0xffff] {
            check(width, "machine", bad, |file| put16(file, at::MACHINE, machine));
        }
    }
    check(Width::X86, "PE32 for x64", bad, |file| put16(file, at::MACHINE, 0x8664));
    check(Width::X86, "PE32 for ARM64", bad, |file| put16(file, at::MACHINE, 0xaa64));
    check(Width::X64, "PE32+ for x86", bad, |file| put16(file, at::MACHINE, 0x14c));
    check(Width::X64, "PE32+ for ARM", bad, |file| put16(file, at::MACHINE, 0x1c4));
}

/// SPEC G5: a 64-bit image on a 32-bit kernel; every other pair is fine.
#[test]
fn a_32_bit_kernel_takes_no_64_bit_image() {
    let status = |width, kernel| {
        let image = PeImage::parse(&full(width).build()).expect("good");
        image.check_kernel(kernel).map_err(|error| error.status)
    };
    assert_eq!(status(Width::X86, Bitness::Bits32), Ok(()));
    assert_eq!(status(Width::X86, Bitness::Bits64), Ok(()));
    assert_eq!(status(Width::X64, Bitness::Bits64), Ok(()));
    assert_eq!(status(Width::X64, Bitness::Bits32), Err(NtStatus::INVALID_IMAGE_WIN_64));
}

/// SPEC G6: alignments, base and size.
#[test]
fn alignments_base_and_size_must_be_sound() {
    let bad = NtStatus::INVALID_IMAGE_FORMAT;
    let alignments = [
        (0x1800, 0x200, "section alignment no power of two"),
        (0, 0x200, "section alignment 0"),
        (0x1000, 0x300, "file alignment no power of two"),
        (0x1000, 0, "file alignment 0"),
        (0x1000, 0x2000, "section alignment below file alignment"),
        (0x800, 0x200, "below a page and not the file alignment"),
    ];
    for width in Width::BOTH {
        for (section, file_alignment, what) in alignments {
            check(width, what, bad, |file| {
                put32(file, at::SECTION_ALIGNMENT, section);
                put32(file, at::FILE_ALIGNMENT, file_alignment);
            });
        }
        check(width, "base off by a page", bad, |file| match width {
            Width::X86 => put32(file, width.image_base_at(), 0x40_1000),
            Width::X64 => put64(file, width.image_base_at(), 0x1_4000_1000),
        });
        check(width, "no size", bad, |file| put32(file, at::SIZE_OF_IMAGE, 0));
        check(width, "size before the last section's end", bad, |file| {
            put32(file, at::SIZE_OF_IMAGE, 0x9000)
        });
    }
}

/// SPEC G7: an alignment below a page is for files that are mapped as they are, so it must be the file's own.
#[test]
fn a_low_alignment_must_be_the_files_own() {
    let status = |section: u32, file_alignment: u32| {
        let mut file = Sample::new(Width::X64).build();
        put32(&mut file, at::SIZE_OF_IMAGE, 0x1000);
        put32(&mut file, at::SECTION_ALIGNMENT, section);
        put32(&mut file, at::FILE_ALIGNMENT, file_alignment);
        PeImage::parse(&file).map(|image| image.layout().mapping()).map_err(|error| error.status)
    };
    assert_eq!(status(0x800, 0x800), Ok(Mapping::Flat));
    assert_eq!(status(0x800, 0x200), Err(NtStatus::INVALID_IMAGE_FORMAT));
    assert_eq!(status(0x1000, 0x200), Ok(Mapping::Sections));
}

/// SPEC G6: the size counts in whole pages, so a last section that ends in the last page is inside.
#[test]
fn a_size_in_the_last_page_is_enough() {
    let mut file = full(Width::X64).build();
    put32(&mut file, at::SIZE_OF_IMAGE, 0x9001);
    let image = PeImage::parse(&file).expect("good");
    assert_eq!(image.layout().pages(), 10);
}

/// SPEC G8: sections ascend without holes, the first after the headers, with their data in the file.
#[test]
fn sections_must_follow_each_other() {
    let bad = NtStatus::INVALID_IMAGE_FORMAT;
    for width in Width::BOTH {
        let field = |index: usize, offset: usize| width.section_at(index) + offset;
        check(width, "hole before the first", bad, |file| put32(file, field(0, 12), 0x2000));
        check(width, "first over the headers", bad, |file| put32(file, field(0, 12), 0));
        check(width, "hole between", bad, |file| put32(file, field(1, 12), 0x4000));
        check(width, "overlap", bad, |file| put32(file, field(1, 12), 0x2000));
        check(width, "not on a page", bad, |file| put32(file, field(1, 12), 0x3010));
        check(width, "descending", bad, |file| {
            put32(file, field(1, 12), 0x6000);
            put32(file, field(2, 12), 0x3000);
        });
        check(width, "span wraps", bad, |file| put32(file, field(4, 8), 0xffff_ffff));
        check(width, "data past the end", bad, |file| put32(file, field(4, 16), 0x400));
        check(width, "data far past the end", bad, |file| put32(file, field(4, 20), 0xffff_fe00));
        check(width, "data one sector late", bad, |file| {
            let offset = u32::from_le_bytes(file[field(4, 20)..][..4].try_into().expect("4 bytes"));
            put32(file, field(4, 20), offset + 0x200);
        });
        check(width, "file cut by a byte", bad, |file| {
            file.pop();
        });
        check(width, "too many", bad, |file| put16(file, at::SECTION_COUNT, MAX_SECTIONS as u16 + 1));
        check(width, "table past the end", bad, |file| put16(file, at::OPTIONAL_SIZE, 0xffff));
    }
}

/// SPEC G8: the low nine bits of a position do not count, neither for the check nor for the content.
#[test]
fn a_position_in_the_file_counts_in_sectors() {
    let mut file = full(Width::X64).build();
    let field = Width::X64.section_at(4) + 20;
    let offset = u32::from_le_bytes(file[field..][..4].try_into().expect("4 bytes"));
    put32(&mut file, field, offset + 0x1ff);
    let image = PeImage::parse(&file).expect("the last section still ends at the file's end");
    assert_eq!(image.sections()[4].file_offset(), u64::from(offset));
}

/// A 268-byte file: its PE header starts at 4 and its optional header ends with the file.
fn tiny() -> Vec<u8> {
    let mut file = vec![0; 268];
    file[..2].copy_from_slice(b"MZ");
    file[4..8].copy_from_slice(b"PE\0\0");
    put16(&mut file, 8, 0x8664);
    put16(&mut file, 26, 2);
    put16(&mut file, 28, 0x20b);
    put32(&mut file, 28 + 16, 0x100);
    put64(&mut file, 28 + 24, 0x40_0000);
    put32(&mut file, 28 + 32, 4);
    put32(&mut file, 28 + 36, 4);
    put32(&mut file, 28 + 56, 268);
    put32(&mut file, 28 + 60, 268);
    file
}

/// SPEC G10: old kernels take a tiny flat image, newer ones do not.
#[test]
fn tiny_headers_are_a_matter_of_the_version() {
    let old = PeImage::parse_by(&tiny(), HeaderRules::BeforeWindows10_1809).expect("old kernels take it");
    assert_eq!((old.machine(), old.entry_rva(), old.layout().pages()), (Machine::Amd64, 0x100, 1));
    let error = PeImage::parse_by(&tiny(), HeaderRules::SinceWindows10_1809).expect_err("newer ones do not");
    assert_eq!(error.status, NtStatus::INVALID_IMAGE_FORMAT);

    let mut cut = full(Width::X86).build();
    put16(&mut cut, at::SECTION_COUNT, 0);
    put32(&mut cut, at::SECTION_ALIGNMENT, 4);
    put32(&mut cut, at::FILE_ALIGNMENT, 4);
    cut.truncate(at::OPTIONAL + 70);
    PeImage::parse_by(&cut, HeaderRules::BeforeWindows10_1809).expect("missing fields read as zero");
    let error = PeImage::parse(&cut).expect_err("the optional header is cut");
    assert_eq!(error.status, NtStatus::INVALID_IMAGE_FORMAT);
}

/// SPEC G11: what the section's image information is made of.
#[test]
fn the_headers_are_read_field_by_field() {
    for width in Width::BOTH {
        let mut file = full(width).build();
        put32(&mut file, at::CHECKSUM, 0x1234_5678);
        let image = PeImage::parse(&file).expect("good");
        assert_eq!(image.checksum(), 0x1234_5678);
        let (machine, magic) = match width {
            Width::X86 => (Machine::I386, Magic::Pe32),
            Width::X64 => (Machine::Amd64, Magic::Pe32Plus),
        };
        assert_eq!((image.machine(), image.magic()), (machine, magic));
        assert_eq!(image.entry_rva(), 0x1000);
        assert_eq!(image.stack(), Reserve { reserve: 0x10_0000, commit: 0x2000 });
        assert_eq!(image.heap(), Reserve { reserve: 0x20_0000, commit: 0x3000 });
        assert_eq!(image.subsystem(), Subsystem::WindowsConsole);
        assert_eq!(image.subsystem_version(), Version { major: 6, minor: 0 });
        assert_eq!(image.file_bytes(), file.len() as u64);
        assert_eq!(image.loader_flags(), 0);
        assert!(image.contains_code());
        assert_eq!(image.section_name_at(0x17ff).map(|n| n.to_string()).as_deref(), Some(".text"));
        assert_eq!(image.section_name_at(0x2800), None);
    }
}

/// SPEC G11: code is there if the header says so, an entry point is, or a section is executable.
#[test]
fn an_image_contains_code_by_any_of_three_signs() {
    let contains_code = |entry: u32, code: u32, flags: u32| {
        let mut file = Sample::new(Width::X64).with(".x", flags, vec![1; 16], 16).build();
        put32(&mut file, at::ENTRY, entry);
        put32(&mut file, at::SIZE_OF_CODE, code);
        PeImage::parse(&file).expect("good").contains_code()
    };
    assert!(!contains_code(0, 0, READ));
    assert!(contains_code(0x1000, 0, READ));
    assert!(contains_code(0, 1, READ));
    assert!(contains_code(0, 0, EXECUTE));
}

/// A program with a .NET header that has these flags.
fn dotnet(flags: u32) -> Vec<u8> {
    let mut header = vec![0; 72];
    put32(&mut header, 0, 72);
    put16(&mut header, 4, 2);
    put16(&mut header, 6, 5);
    put32(&mut header, 16, flags);
    let mut sample = Sample::new(Width::X86).with(".text", EXECUTE | READ, header, 0x100);
    sample.directories[Directory::ComDescriptor as usize] = (0x1000, 72);
    sample.build()
}

/// SPEC G11 G12: a .NET header shows in the loader flags; a program of .NET code only cannot run and is not moved.
#[test]
fn a_program_of_dotnet_code_only_is_refused_by_name() {
    let mixed = PeImage::parse(&dotnet(0)).expect("good");
    assert_eq!(mixed.loader_flags(), 1);
    assert!(mixed.check_runnable().is_ok() && mixed.is_moved_by_kernel());
    let pure = PeImage::parse(&dotnet(1)).expect("good");
    assert!(pure.clr().is_some_and(|clr| clr.flags.contains(ClrFlags::IL_ONLY)));
    let error = pure.check_runnable().expect_err("nothing can run it");
    assert!(error.to_string().contains(".NET"), "{error}");
    assert!(!pure.is_moved_by_kernel());
}

/// SPEC G12 G31: randomisation moves an image that allows it and kept its relocations.
#[test]
fn only_a_willing_image_with_relocations_is_moved() {
    let image = |dll_characteristics: u16, characteristics: u16| {
        let mut file = full(Width::X64).build();
        put16(&mut file, at::DLL_CHARACTERISTICS, dll_characteristics);
        put16(&mut file, at::CHARACTERISTICS, characteristics);
        PeImage::parse(&file).expect("good")
    };
    assert!(image(0x140, 0x22).is_moved_by_kernel());
    assert!(!image(0x100, 0x22).is_moved_by_kernel());
    let stripped = image(0x140, 0x23);
    assert!(!stripped.is_moved_by_kernel() && !stripped.is_movable());
}

#[test]
fn another_processor_is_recognised_and_refused_by_name() {
    for machine in [Machine::Arm, Machine::ArmNt, Machine::Arm64, Machine::Ia64] {
        let width = if machine.magic() == Magic::Pe32 { Width::X86 } else { Width::X64 };
        let mut file = full(width).build();
        put16(&mut file, at::MACHINE, machine.raw());
        let image = PeImage::parse(&file).expect("an image section can be made of it");
        let error = image.check_runnable().expect_err("it cannot run");
        assert_eq!(error.status, NtStatus::INVALID_IMAGE_FORMAT);
        assert!(error.reason.contains(&machine.to_string()), "{error}");
    }
}
