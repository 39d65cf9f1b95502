//! Files, folders and searches as a program sees them, in both forms of text and both widths of pointers.

use crate::bench::{
    BACKUP_SEMANTICS, BAD, Bench, COUNT, DATA, DELETE_ON_CLOSE, INVALID_32, INVALID_HANDLE, NAME, OUT, READ,
    UNTOUCHED, W, WRITE, each, path,
};
use vadose_nt::FileAccess;

#[test]
fn each_disposition_does_its_part_and_tells_what_was_there() {
    each(|bench| {
        // Name, disposition, access; what is answered: a handle or not, the last error.
        for (name, disposition, access, works, error) in [
            ("some.txt", 1, WRITE, false, 80),
            ("some.txt", 2, WRITE, true, 183),
            ("some.txt", 3, READ, true, 0),
            ("some.txt", 4, READ, true, 183),
            ("some.txt", 5, WRITE, true, 0),
            ("some.txt", 5, READ, false, 87),
            ("new1", 1, WRITE, true, 0),
            ("new2", 2, WRITE, true, 0),
            ("new3", 3, READ, false, 2),
            ("new4", 4, READ, true, 0),
            ("new5", 5, WRITE, false, 2),
            ("none\\x", 1, WRITE, false, 3),
            ("none\\x", 3, READ, false, 3),
            ("some.txt", 0, READ, false, 87),
            ("some.txt", 6, READ, false, 87),
            ("sub", 3, READ, false, 5),
            ("sub", 2, WRITE, false, 5),
            ("sub", 1, WRITE, false, 80),
            ("fixed.txt", 3, WRITE, false, 5),
            ("fixed.txt", 2, WRITE, false, 5),
            ("fixed.txt", 3, READ, true, 0),
            ("a*b", 3, READ, false, 123),
            ("D:\\x", 3, READ, false, 3),
            ("", 3, READ, false, 3),
        ] {
            let (handle, last) = bench.create(name, access, disposition, 0);
            assert_eq!(
                (handle != INVALID_HANDLE, last),
                (works, error),
                "{name:?} {disposition} {access:#x}"
            );
            if works {
                bench.close(handle);
            }
        }
        assert_eq!(bench.disk.get("work\\some.txt"), Some(&b""[..]));
        assert!(bench.disk.open.is_empty());
    });
}

#[test]
fn a_folder_is_opened_only_with_backup_semantics() {
    each(|bench| {
        let (folder, error) = bench.create("sub", READ, 3, BACKUP_SEMANTICS);
        assert_eq!(error, 0);
        let out = bench.at(OUT);
        assert_eq!(bench.raw("GetFileInformationByHandle", &[folder, out]).0, 1);
        assert_eq!(bench.small(OUT), 0x10);
        assert_eq!(bench.raw("GetFileSizeEx", &[folder, out]).0, 0);
        bench.close(folder);
    });
}

#[test]
fn a_bad_pointer_beside_the_name_leaves_nothing_open_and_makes_nothing() {
    each(|bench| {
        let name = bench.text(NAME, "fresh");
        let (handle, error) = bench.call("CreateFile", &[name, WRITE, 0, BAD, 2, 0, 0]);
        assert_eq!((handle as u32, error), (u32::MAX, 998));
        assert!(bench.disk.open.is_empty(), "a host file stays open");
        assert_eq!(bench.disk.get("work\\fresh"), None);
        assert_eq!(bench.call("CreateFile", &[BAD, WRITE, 0, 0, 2, 0, 0]).1, 998);
    });
}

#[test]
fn a_read_only_file_is_not_emptied_written_or_removed() {
    each(|bench| {
        assert_eq!(bench.named("SetFileAttributes", "some.txt", &[1]).0, 1);
        assert_eq!(bench.attributes("some.txt"), 1);
        for (access, disposition, flags) in
            [(WRITE, 3, 0), (READ, 2, 0), (WRITE, 2, 0), (WRITE, 5, 0), (READ, 3, DELETE_ON_CLOSE)]
        {
            let answer = bench.create("some.txt", access, disposition, flags);
            assert_eq!(answer, (INVALID_HANDLE, 5), "{access:#x} {disposition} {flags:#x}");
        }
        assert_eq!(bench.named("DeleteFile", "some.txt", &[]), (0, 5));
        assert_eq!(bench.disk.get("work\\some.txt"), Some(&b"0123456789"[..]));
        assert_eq!(bench.named("SetFileAttributes", "some.txt", &[0x80]).0, 1);
        assert_eq!(bench.attributes("some.txt"), 0x80);
        assert_eq!(bench.named("DeleteFile", "some.txt", &[]).0, 1);
    });
}

#[test]
fn the_console_and_the_null_device_are_opened_by_name() {
    each(|bench| {
        let (out, data, count) = (bench.at(OUT), bench.at(DATA), bench.at(COUNT));
        for (name, access, kind) in [("CONIN$", READ, 3), ("conout$", WRITE, 3), ("nul", READ | WRITE, 2)] {
            let (handle, error) = bench.create(name, access, 3, 0);
            assert_ne!(handle, INVALID_HANDLE, "{name} {error}");
            assert_eq!(bench.raw("GetFileType", &[handle]).0, kind, "{name}");
            if access & WRITE != 0 {
                assert_eq!(bench.raw("WriteFile", &[handle, data, 4, count, 0]).0, 1, "{name}");
                assert_eq!(bench.small(COUNT), 4, "{name}");
            }
            if access & READ != 0 {
                assert_eq!(bench.raw("ReadFile", &[handle, out, 4, count, 0]).0, 1, "{name}");
                assert_eq!(bench.small(COUNT), if kind == 2 { 0 } else { 2 }, "{name}");
            }
            bench.close(handle);
        }
    });
}

#[test]
fn positions_move_as_asked_and_stay_where_they_were_when_refused() {
    each(|bench| {
        let file = bench.open("some.txt", READ | WRITE);
        let high = bench.put(OUT, &[0; 8]);
        let seek = |bench: &mut Bench, distance: u64, high: u64, method: u64| {
            bench.raw("SetFilePointer", &[file, distance, high, method])
        };
        assert_eq!(seek(bench, 4, 0, 0), (4, 0));
        assert_eq!(seek(bench, 3, 0, 1), (7, 0));
        assert_eq!(seek(bench, -2_i32 as u32 as u64, 0, 2), (8, 0));
        for (distance, high, method, error) in
            [(-9_i32 as u32 as u64, 0, 1, 131), (0, 0, 3, 87), (0, BAD, 0, 998)]
        {
            assert_eq!(seek(bench, distance, high, method), (INVALID_32, error), "{distance} {method}");
        }
        assert_eq!(seek(bench, 0, 0, 1), (8, 0));
        bench.put(OUT, &1_u32.to_le_bytes());
        assert_eq!(seek(bench, 5, high, 0), (5, 0));
        assert_eq!(bench.small(OUT), 1);
        // The position would need its high half: refused, and it does not move.
        assert_eq!(seek(bench, 1, 0, 0), (1, 0));
        bench.put(OUT, &0_u32.to_le_bytes());
        assert_eq!(seek(bench, 0xffff_ffff, high, 0), (INVALID_32, 0));
        assert_eq!(seek(bench, 1, 0, 1), (INVALID_32, 87));
        assert_eq!(seek(bench, 0, high, 1), (INVALID_32, 0), "the refused move moved it");
        bench.close(file);
        assert_eq!(bench.raw("SetFilePointer", &[file, 0, 0, 0]), (INVALID_32, 6));
    });
}

#[test]
fn a_64_bit_distance_is_one_argument_on_x64_and_two_on_x86() {
    each(|bench| {
        let file = bench.open("some.txt", READ | WRITE);
        let out = bench.at(OUT);
        let wide = bench.world.nt.edition().pointer_bytes() == 8;
        let seek = |bench: &mut Bench, distance: i64, method: u64| {
            let distance = distance as u64;
            let halves = [distance & INVALID_32, distance >> 32];
            let distance = if wide { &[distance][..] } else { &halves[..] };
            bench.raw("SetFilePointerEx", &[&[file], distance, &[out, method]].concat())
        };
        assert_eq!(seek(bench, 0x1_0000_0002, 0).0, 1);
        assert_eq!(bench.number(OUT), 0x1_0000_0002);
        assert_eq!(seek(bench, -0x1_0000_0000, 1).0, 1);
        assert_eq!(bench.number(OUT), 2);
        assert_eq!(seek(bench, -3, 1), (0, 131));
        assert_eq!(bench.raw("SetEndOfFile", &[file]).0, 1);
        assert_eq!(bench.disk.get("work\\some.txt"), Some(&b"01"[..]));
        assert_eq!(bench.raw("GetFileSize", &[file, 0]), (2, 0));
        assert_eq!(bench.raw("GetFileSizeEx", &[file, out]).0, 1);
        assert_eq!(bench.number(OUT), 2);
        bench.close(file);
        let reader = bench.open("some.txt", READ);
        assert_eq!(bench.raw("SetEndOfFile", &[reader]), (0, 5));
        assert_eq!(bench.raw("FlushFileBuffers", &[reader]), (0, 5));
        bench.close(reader);
    });
}

#[test]
fn reads_and_writes_go_through_the_position() {
    each(|bench| {
        let (data, out, count) = (bench.put(DATA, b"abcd"), bench.at(OUT), bench.at(COUNT));
        let file = bench.open("some.txt", READ | WRITE);
        assert_eq!(bench.raw("WriteFile", &[file, data, 4, count, 0]).0, 1);
        assert_eq!(bench.raw("ReadFile", &[file, out, 100, count, 0]).0, 1);
        assert_eq!((bench.small(COUNT), bench.bytes(OUT, 6)), (6, b"456789".to_vec()));
        assert_eq!(bench.raw("ReadFile", &[file, out, 100, count, 0]).0, 1);
        assert_eq!(bench.small(COUNT), 0);
        bench.close(file);
        assert_eq!(bench.disk.get("work\\some.txt"), Some(&b"abcd456789"[..]));
    });
}

#[test]
fn a_file_that_is_deleted_on_close_goes_with_its_last_handle() {
    each(|bench| {
        let (file, _) = bench.create("some.txt", READ, 3, DELETE_ON_CLOSE);
        let out = bench.at(OUT);
        assert_eq!(bench.raw("DuplicateHandle", &[u64::MAX, file, u64::MAX, out, 0, 0, 2]).0, 1);
        let second = u64::from(bench.small(OUT));
        bench.close(file);
        assert!(bench.disk.get("work\\some.txt").is_some());
        bench.close(second);
        assert!(bench.disk.get("work\\some.txt").is_none());
    });
}

#[test]
fn the_information_of_a_file_has_windows_layout_in_both_widths() {
    each(|bench| {
        let file = bench.open("some.txt", READ);
        let out = bench.put(OUT, &[0xcc; 64]);
        assert_eq!(bench.raw("GetFileInformationByHandle", &[file, out]).0, 1);
        let by_handle = bench.bytes(OUT, 53);
        assert_eq!(by_handle[..4], 0x20_u32.to_le_bytes());
        for time in [4, 12, 20] {
            assert_eq!(by_handle[time..time + 8], 1000_u64.to_le_bytes());
        }
        assert_eq!((by_handle[36], by_handle[40], by_handle[52]), (10, 1, 0xcc));
        bench.close(file);
        bench.put(OUT, &[0xcc; 64]);
        assert_eq!(bench.named("GetFileAttributesEx", "some.txt", &[0, out]).0, 1);
        let by_name = bench.bytes(OUT, 37);
        assert_eq!((&by_name[..28], by_name[32], by_name[36]), (&by_handle[..28], 10, 0xcc));
        assert_eq!(bench.named("GetFileAttributesEx", "some.txt", &[1, out]), (0, 87));
        assert_eq!(bench.named("GetFileAttributesEx", "some.txt", &[0, BAD]), (0, 998));
        for (name, error) in [("none", 2), ("none\\x", 3), ("a|b", 123), ("", 3)] {
            assert_eq!(bench.named("GetFileAttributes", name, &[]), (INVALID_32, error), "{name}");
        }
        assert_eq!(bench.attributes("sub"), 0x10);
        assert_eq!(bench.attributes("fixed.txt"), 0x21);
    });
}

#[test]
fn times_that_are_set_are_told_everywhere_until_the_file_changes() {
    each(|bench| {
        let file = bench.open("some.txt", READ | WRITE);
        let (out, count) = (bench.at(OUT), bench.at(COUNT));
        let times =
            bench.put(DATA, &[7_u64.to_le_bytes(), 0_u64.to_le_bytes(), 9_u64.to_le_bytes()].concat());
        assert_eq!(bench.raw("SetFileTime", &[file, times, times + 8, times + 16]).0, 1);
        assert_eq!(bench.raw("GetFileTime", &[file, out, out + 8, out + 16]).0, 1);
        assert_eq!([OUT, OUT + 8, OUT + 16].map(|at| bench.number(at)), [7, 1000, 9]);
        assert_eq!(bench.named("GetFileAttributesEx", "some.txt", &[0, out]).0, 1);
        assert_eq!([OUT + 4, OUT + 12, OUT + 20].map(|at| bench.number(at)), [7, 1000, 9]);
        assert_eq!(bench.raw("WriteFile", &[file, out, 1, count, 0]).0, 1);
        assert_eq!(bench.raw("GetFileTime", &[file, out, 0, out + 16]).0, 1);
        assert_eq!((bench.number(OUT), bench.number(OUT + 16)), (7, 2001));
        bench.put(DATA, &u64::MAX.wrapping_sub(1).to_le_bytes());
        assert_eq!(bench.raw("SetFileTime", &[file, times, 0, 0]), (0, 87));
        assert_eq!(bench.raw("SetFileTime", &[file, BAD, 0, 0]), (0, 998));
        bench.close(file);
        let reader = bench.open("some.txt", READ);
        assert_eq!(bench.raw("SetFileTime", &[reader, times, 0, 0]), (0, 5));
    });
}

#[test]
fn names_are_deleted_and_folders_made_and_removed_or_the_reason_is_told() {
    each(|bench| {
        for (function, name, rest, answer) in [
            ("DeleteFile", "none", &[][..], (0, 2)),
            ("DeleteFile", "none\\x", &[], (0, 3)),
            ("DeleteFile", "sub", &[], (0, 5)),
            ("DeleteFile", "fixed.txt", &[], (0, 5)),
            ("DeleteFile", "some.txt", &[], (1, UNTOUCHED)),
            ("DeleteFile", "some.txt", &[], (0, 2)),
            ("RemoveDirectory", "sub", &[], (0, 145)),
            ("RemoveDirectory", "fixed.txt", &[], (0, 267)),
            ("RemoveDirectory", "none", &[], (0, 2)),
            ("CreateDirectory", "made", &[0], (1, UNTOUCHED)),
            ("CreateDirectory", "MADE", &[0], (0, 183)),
            ("CreateDirectory", "none\\x", &[0], (0, 3)),
            ("SetCurrentDirectory", "made", &[], (1, UNTOUCHED)),
            ("RemoveDirectory", "C:\\work\\made", &[], (0, 32)),
            ("SetCurrentDirectory", "..", &[], (1, UNTOUCHED)),
            ("RemoveDirectory", "made", &[], (1, UNTOUCHED)),
            ("SetFileAttributes", "fixed.txt", &[2], (0, 5)),
            ("SetFileAttributes", "none", &[2], (0, 2)),
        ] {
            assert_eq!(bench.named(function, name, rest), answer, "{function} {name}");
        }
        assert_eq!(bench.call("DeleteFile", &[BAD]), (0, 998));
    });
}

#[test]
fn a_move_replaces_only_when_asked_and_never_loses_the_target() {
    each(|bench| {
        bench.disk.add("work\\stuck", Some(b"s"), FileAccess::ReadWrite);
        bench.disk.refuse_rename = true;
        assert_eq!(bench.two("MoveFileEx", "none", "x", &[0]), (0, 2));
        assert_eq!(bench.two("MoveFile", "some.txt", "sub\\in.c", &[]), (0, 183));
        assert_eq!(bench.two("MoveFileEx", "some.txt", "none\\x", &[0]), (0, 3));
        assert_eq!(bench.two("MoveFileEx", "some.txt", "sub", &[1]), (0, 5));
        assert_eq!(bench.two("MoveFileEx", "sub", "some.txt", &[1]), (0, 5));
        assert_eq!(bench.two("MoveFileEx", "some.txt", "x", &[4]), (0, 5));
        assert_eq!(bench.two("MoveFileEx", "fixed.txt", "sub\\in.c", &[1]), (0, 5));
        assert_eq!(bench.disk.get("work\\sub\\in.c"), Some(&b"c"[..]), "a refused move lost its target");
        assert_eq!(bench.two("MoveFileEx", "stuck", "sub\\in.c", &[1]), (0, 17));
        assert_eq!(bench.disk.get("work\\sub\\in.c"), Some(&b"c"[..]), "a failed move lost its target");
        assert_eq!(bench.disk.children(&path("work\\sub")).len(), 1);
        assert_eq!(bench.two("MoveFileEx", "some.txt", "sub\\in.c", &[1]), (1, UNTOUCHED));
        assert_eq!(bench.disk.get("work\\sub\\in.c"), Some(&b"0123456789"[..]));
        assert_eq!(bench.disk.get("work\\some.txt"), None);
        assert_eq!(bench.disk.children(&path("work\\sub")).len(), 1);
        assert_eq!(bench.two("MoveFile", "sub\\in.c", "sub\\IN.C", &[]), (1, UNTOUCHED));
    });
}

#[test]
fn a_copy_has_the_bytes_and_attributes_of_its_source() {
    each(|bench| {
        assert_eq!(bench.named("SetFileAttributes", "some.txt", &[2]).0, 1);
        assert_eq!(bench.two("CopyFile", "some.txt", "copy", &[1]).0, 1);
        assert_eq!(bench.disk.get("work\\copy"), Some(&b"0123456789"[..]));
        assert_eq!(bench.attributes("copy"), 2);
        assert_eq!(bench.two("CopyFile", "some.txt", "copy", &[1]), (0, 80));
        assert_eq!(bench.two("CopyFile", "fixed.txt", "sub\\in.c", &[0]).0, 1);
        assert_eq!(bench.disk.get("work\\sub\\in.c"), Some(&b"fixed"[..]));
        for (from, to, error) in [
            ("none", "x", 2),
            ("some.txt", "none\\x", 3),
            ("some.txt", "SOME.txt", 32),
            ("sub", "x", 5),
            ("some.txt", "sub", 5),
            ("some.txt", "fixed.txt", 5),
        ] {
            assert_eq!(bench.two("CopyFile", from, to, &[0]), (0, error), "{from} {to}");
        }
        assert!(bench.disk.open.is_empty());
    });
}

#[test]
fn searches_find_what_fits_in_order_dots_first() {
    each(|bench| {
        bench.disk.add("work\\noext", Some(b""), FileAccess::ReadWrite);
        let all = [".", "..", "fixed.txt", "noext", "Some.txt", "sub"];
        for (pattern, found) in [
            ("*", &all[..]),
            ("*.*", &all),
            ("*.txt", &["fixed.txt", "Some.txt"]),
            ("SOME.TXT", &["Some.txt"]),
            ("noext.*", &["noext"]),
            ("s??", &["sub"]),
            ("?????????.txt", &["fixed.txt", "Some.txt"]),
            ("sub\\*.c", &["in.c"]),
            ("C:\\*", &["work"]),
        ] {
            let found: Vec<String> = found.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(bench.search(pattern), Ok(found), "{pattern}");
        }
        for (pattern, error) in [
            ("*.zip", 2),
            ("none", 2),
            ("none\\*", 3),
            ("none\\x", 3),
            ("sub\\", 2),
            ("fixed.txt\\*", 267),
            ("", 3),
        ] {
            assert_eq!(bench.search(pattern), Err(error), "{pattern:?}");
        }
    });
}

#[test]
fn an_entry_has_windows_layout_and_no_byte_behind_it_is_touched() {
    each(|bench| {
        let out = bench.put(OUT, &[0xcc; 0x260]);
        let (handle, _) = bench.named("FindFirstFileEx", "some.*", &[0, out, 0, 0, 0]);
        let size = if bench.form == W { 592 } else { 318 };
        let entry = bench.bytes(OUT, size + 2);
        assert_eq!(entry[..4], 0x20_u32.to_le_bytes());
        assert_eq!((entry[28], entry[32], bench.text_at(OUT + 44).as_str()), (0, 10, "Some.txt"));
        assert_eq!(entry[size as usize - 14], 0, "the short name is empty");
        assert_eq!(entry[size as usize..], [0xcc; 2]);
        assert_eq!(bench.call("FindNextFile", &[handle, out]), (0, 18));
        assert_eq!(bench.raw("FindClose", &[handle]).0, 1);
        for rest in [[2, out, 0, 0, 0], [0, out, 3, 0, 0], [0, out, 0, out, 0]] {
            assert_eq!(bench.named("FindFirstFileEx", "*", &rest).1, 87, "{rest:?}");
        }
        assert_eq!(bench.named("FindFirstFile", "*", &[BAD]).1, 998);
    });
}

#[test]
fn an_entry_that_could_not_be_stored_is_not_skipped() {
    each(|bench| {
        let out = bench.at(OUT);
        let (handle, _) = bench.named("FindFirstFile", "*", &[out]);
        assert_eq!(bench.call("FindNextFile", &[handle, BAD]), (0, 998));
        assert_eq!(bench.call("FindNextFile", &[handle, out]).0, 1);
        assert_eq!(bench.text_at(OUT + 44), "..");
        let file = bench.open("some.txt", READ);
        for wrong in [0, u64::MAX, 0x4000, file] {
            assert_eq!(bench.call("FindNextFile", &[wrong, out]), (0, 6));
            assert_eq!(bench.raw("FindClose", &[wrong]), (0, 6));
        }
    });
}

#[test]
fn a_path_is_told_whole_or_the_room_it_needs() {
    each(|bench| {
        let (out, part) = (bench.at(OUT), bench.at(COUNT));
        let name = bench.text(NAME, "sub\\..\\x.txt");
        assert_eq!(bench.call("GetFullPathName", &[name, 0, 0, 0]).0, 14);
        assert_eq!(bench.call("GetFullPathName", &[name, 13, out, part]).0, 14);
        assert_eq!(bench.call("GetFullPathName", &[name, 14, out, part]).0, 13);
        assert_eq!(bench.text_at(OUT), "C:\\work\\x.txt");
        let width = if bench.form == W { 2 } else { 1 };
        let pointer = bench.world.load(COUNT);
        assert_eq!(pointer, out + 8 * width);
        assert_eq!(bench.call("GetCurrentDirectory", &[7, out]).0, 8);
        assert_eq!(bench.call("GetCurrentDirectory", &[8, out]).0, 7);
        assert_eq!(bench.text_at(OUT), "C:\\work");
        assert_eq!(bench.named("SetCurrentDirectory", "fixed.txt", &[]), (0, 267));
        assert_eq!(bench.named("SetCurrentDirectory", "none", &[]), (0, 2));
    });
}

#[test]
fn the_volume_describes_itself() {
    each(|bench| {
        let (label, serial, longest, flags, system) =
            (bench.at(OUT), bench.at(COUNT), bench.at(COUNT + 8), bench.at(COUNT + 16), bench.at(DATA));
        let rest = [label, 32, serial, longest, flags, system, 32];
        assert_eq!(bench.named("GetVolumeInformation", "C:\\", &rest).0, 1);
        assert_eq!((bench.text_at(OUT).as_str(), bench.text_at(DATA).as_str()), ("", "NTFS"));
        assert_eq!((bench.small(COUNT + 8), bench.small(COUNT + 16)), (255, 0x6));
        let file = bench.open("some.txt", READ);
        assert_eq!(bench.raw("GetFileInformationByHandle", &[file, label]).0, 1);
        assert_eq!(bench.small(COUNT), bench.small(OUT + 28), "one serial number");
        assert_eq!(bench.named("GetVolumeInformation", "C:\\", &[0; 7]).0, 1);
        assert_eq!(bench.call("GetVolumeInformation", &[0; 8]).0, 1);
        for (name, error) in [("D:\\", 3), ("C:", 123), ("C:\\work", 123), ("sub", 123)] {
            assert_eq!(bench.named("GetVolumeInformation", name, &rest), (0, error), "{name}");
        }
        let short = [0, 0, 0, 0, 0, system, 4];
        assert_eq!(bench.named("GetVolumeInformation", "C:\\", &short), (0, 234));
    });
}
