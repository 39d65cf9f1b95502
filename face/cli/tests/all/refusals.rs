//! What cannot be run or listed gets one clear line, the right exit code and no file.

use crate::scene::{Scene, guest, outcome};
use std::os::unix::ffi::OsStrExt as _;

fn pe_offset(bytes: &[u8]) -> usize {
    u32::from_le_bytes(bytes[0x3c..0x40].try_into().expect("four bytes")) as usize
}

fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    assert_eq!(from.len(), to.len());
    let at = bytes.windows(from.len()).position(|window| window == from).expect("the guest has it");
    bytes[at..at + to.len()].copy_from_slice(to);
}

/// Files that are no programs, and the words that say why.
fn bad_programs(scene: &Scene) -> Vec<(&'static str, i32, Vec<&'static str>)> {
    let hello = "x64/hello.exe";
    scene.put("cut.exe", hello, |bytes| bytes.truncate(200));
    scene.put("half.exe", hello, |bytes| bytes.truncate(0x600));
    scene.put("empty.exe", hello, Vec::clear);
    scene.put("garbage.exe", hello, |bytes| bytes.iter_mut().for_each(|byte| *byte ^= 0x5a));
    scene.put("arm.exe", hello, |bytes| {
        let at = pe_offset(bytes) + 4;
        bytes[at..at + 2].copy_from_slice(&0xaa64_u16.to_le_bytes());
    });
    scene.put("net.exe", hello, |bytes| make_dotnet(bytes));
    scene.put("missing.exe", hello, |bytes| replace(bytes, b"KERNEL32.dll", b"NOSUCH32.dll"));
    std::fs::create_dir(scene.path("folder.exe")).expect("a fresh folder");
    vec![
        ("cut.exe", 126, vec!["ends inside its PE optional header"]),
        ("half.exe", 126, vec!["past the end of the file"]),
        ("empty.exe", 126, vec!["shorter than a DOS header"]),
        ("garbage.exe", 126, vec!["MZ"]),
        ("arm.exe", 126, vec!["ARM64", "x86 and x64"]),
        ("net.exe", 126, vec![".NET"]),
        ("folder.exe", 126, vec!["this is a folder"]),
        ("none.exe", 127, vec!["there is no such file"]),
        ("none/x.exe", 127, vec!["there is no such file"]),
    ]
}

/// A CLR header at the start of the second section, with the flag that there is no native code.
fn make_dotnet(bytes: &mut [u8]) {
    let pe = pe_offset(bytes);
    let optional = pe + 24;
    let section = optional + usize::from(u16::from_le_bytes([bytes[pe + 20], bytes[pe + 21]])) + 40;
    let rva: [u8; 4] = bytes[section + 12..section + 16].try_into().expect("four bytes");
    let file: [u8; 4] = bytes[section + 20..section + 24].try_into().expect("four bytes");
    let directory = optional + 112 + 14 * 8;
    bytes[directory..directory + 4].copy_from_slice(&rva);
    bytes[directory + 4..directory + 8].copy_from_slice(&72_u32.to_le_bytes());
    let header = u32::from_le_bytes(file) as usize;
    for (index, word) in [72_u32, 0x0005_0002, 0, 0, 1].into_iter().enumerate() {
        let at = header + index * 4;
        bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
    }
}

#[test]
fn files_that_are_no_programs_are_named_with_the_reason() {
    let scene = Scene::new();
    for (file, code, words) in bad_programs(&scene) {
        let words: Vec<&str> = words.into_iter().chain([file]).collect();
        scene.vadose(&format!("map {file}")).fails(code, &words);
        scene.vadose(&format!("run {file}")).fails(code, &words);
    }
}

#[test]
fn programs_for_another_windows_are_refused_with_the_way_out() {
    let scene = Scene::with("x64/hello.exe");
    scene.put("old.exe", "x86/hello.exe", |_| {});
    scene
        .vadose("map --edition winxp-x86 hello.exe")
        .fails(126, &["64-bit program", "win10-x64", "hello.exe"]);
    scene.vadose("map --edition win10-x64 old.exe").fails(126, &["32-bit program", "WoW64", "win7-x86"]);
}

#[test]
fn a_forgotten_extension_is_pointed_out() {
    Scene::with("x64/hello.exe").vadose("map hello").fails(127, &["no such file; there is hello.exe"]);
}

#[test]
fn a_missing_dll_is_listed_by_map() {
    let scene = Scene::new();
    bad_programs(&scene);
    let listed = scene.vadose("map missing.exe");
    assert!(
        listed.is_quiet(0).out.contains("Missing DLL   Needed by\nNOSUCH32.dll  missing.exe\n"),
        "{}",
        listed.out
    );
    assert!(listed.out.contains("missing.exe .text"), "the listing goes on: {}", listed.out);
}

const MANY_PAGE_FILES: &str = "map --pagefile 4K --pagefile 4K --pagefile 4K --pagefile 4K --pagefile 4K --pagefile 4K \
    --pagefile 4K --pagefile 4K --pagefile 4K --pagefile 4K --pagefile 4K --pagefile 4K --pagefile 4K --pagefile 4K \
    --pagefile 4K --pagefile 4K --pagefile 4K hello.exe";

#[test]
fn wrong_command_lines_are_explained_and_exit_with_125() {
    let scene = Scene::with("x64/hello.exe");
    for (line, words) in [
        ("run --edition win95 hello.exe", vec!["win95", "winxp-x86"]),
        ("run --ram 5000 hello.exe", vec!["5000", "4096"]),
        ("run --ram 0 hello.exe", vec!["--ram"]),
        ("run --max-processes 0 hello.exe", vec!["--max-processes", "from 1 to 65536"]),
        ("run --max-threads many hello.exe", vec!["--max-threads", "many"]),
        ("run --ram lots hello.exe", vec!["lots", "64M"]),
        ("run --ram 99999999999G hello.exe", vec!["64 bits"]),
        ("run --pagefile -1 hello.exe", vec!["-1"]),
        ("run --pagefile 2G-1G hello.exe", vec!["2G-1G", "below"]),
        ("run --pagefile 1G: hello.exe", vec!["folder after the colon", "1G:/big/disk"]),
        ("run --pagefile 1G --pagefile 0 hello.exe", vec!["--pagefile 0"]),
        (MANY_PAGE_FILES, vec!["17 times", "16"]),
        ("run --commit-limit 1.5M hello.exe", vec!["--commit-limit", "1.5M", "64M"]),
        ("run --seed x hello.exe", vec!["seed"]),
        ("run --fragment lots hello.exe", vec!["--fragment", "lots", "64M"]),
        ("run --fragment 0 hello.exe", vec!["the least is 64K"]),
        ("run --fragment 100K hello.exe", vec!["a multiple of 64K"]),
        ("map --fragment 64M:often hello.exe", vec!["`often` is no spacing", ":random"]),
        (
            "map --fragment 64M hello.exe",
            vec!["at most 65536", "give --fragment 2G", "--large-address-aware off"],
        ),
        ("map --fragment 64M:random hello.exe", vec!["give --fragment 4G"]),
        ("run --large-address-aware maybe hello.exe", vec!["maybe", "on", "off"]),
        ("run --fail alloc hello.exe", vec!["--fail", "alloc:3 is the third"]),
        ("run --fail malloc:1 hello.exe", vec!["`malloc`", "image-read"]),
        ("run --fail alloc:0 hello.exe", vec!["counting begins at 1"]),
        ("run --fail alloc:-1 hello.exe", vec!["`-1` is no number"]),
        ("run --fail commit:every=x hello.exe", vec!["`every=x` is no number", "every=K"]),
        ("run --find-failures all hello.exe", vec!["`all`", "image-read"]),
        ("run --find-failures alloc --fail alloc:1 hello.exe", vec!["--fail", "cannot be used with"]),
        ("run --find-failures alloc --map hello.exe", vec!["--map", "cannot be used with"]),
        ("map --fail alloc:1 hello.exe", vec!["--fail"]),
        ("run --timeout 0 hello.exe", vec!["longer than 0"]),
        ("run --timeout -1 hello.exe", vec!["above 0"]),
        ("run --format xml hello.exe", vec!["xml", "json"]),
        ("run", vec!["PROGRAM"]),
        ("map", vec!["PROGRAM"]),
        ("map hello.exe extra", vec!["extra"]),
        ("frobnicate", vec!["frobnicate"]),
        ("completions tcsh", vec!["tcsh", "bash"]),
    ] {
        scene.vadose(line).fails(125, &words);
    }
}

#[test]
fn a_machine_that_is_too_small_says_how_much_it_needs() {
    let scene = Scene::with("x64/hello.exe");
    scene.vadose("map --ram 64K hello.exe").fails(125, &["64 KiB", "too small", "at least"]);
    scene
        .vadose("map --commit-limit 8K hello.exe")
        .fails(125, &["COMMITMENT_LIMIT", "more with --commit-limit"]);
}

#[test]
fn names_that_are_not_unicode_are_no_trouble() {
    let scene = Scene::with("x64/hello.exe");
    let odd = std::ffi::OsStr::from_bytes(b"odd\xff\xfe.exe");
    outcome(scene.command("map").arg(odd)).fails(127, &["there is no such file"]);
    std::fs::copy(guest("x64/hello.exe"), scene.path(odd)).expect("the host allows it");
    let listed = outcome(scene.command("map").arg(odd));
    assert!(listed.is_quiet(0).out.contains(r"C:\app\program.exe"), "{}", listed.out);
}

#[cfg(feature = "unicorn")]
mod run {
    use super::*;

    #[test]
    fn what_is_needed_to_run_is_named() {
        let scene = Scene::with("x64/hello.exe");
        bad_programs(&scene);
        scene.put("lib.dll", "x64/hello.exe", |bytes| {
            let at = pe_offset(bytes) + 23;
            bytes[at] |= 0x20;
        });
        scene.vadose("run lib.dll").fails(126, &["lib.dll", "DLL", "vadose map"]);
        scene.vadose("run missing.exe").fails(127, &["NOSUCH32.dll", "missing.exe", "program's folder"]);
        scene.vadose("run --writable none hello.exe").fails(125, &["none", "no such folder"]);
        scene.vadose("run --writable hello.exe hello.exe").fails(125, &["hello.exe", "not a folder"]);
        let argument = std::ffi::OsStr::from_bytes(b"a\xff");
        outcome(scene.command("run hello.exe").arg(argument)).fails(125, &["argument 1", "UTF-8"]);
    }

    #[test]
    fn a_function_that_no_dll_has_ends_the_run_by_name() {
        let scene = Scene::new();
        scene.put("new.exe", "x64/hello.exe", |bytes| replace(bytes, b"GetStdHandle", b"GetStdTickle"));
        scene.vadose("run new.exe").fails(125, &["GetStdTickle", "kernel32.dll", "new.exe"]);
    }

    #[test]
    fn a_report_that_cannot_be_written_is_found_out_before_the_program_runs() {
        let scene = Scene::with("x64/hello.exe");
        std::fs::create_dir(scene.path("folder")).expect("a fresh folder");
        let before = scene.names();
        scene
            .vadose("run --report none/r.json hello.exe")
            .fails(125, &["none/r.json", "folder does not exist"]);
        scene.vadose("run --report folder hello.exe").fails(125, &["folder", "name a file"]);
        scene.vadose("run --report hello.exe/r hello.exe").fails(125, &["hello.exe/r", "is a file"]);
        assert_eq!(scene.names(), before);
    }

    #[test]
    fn a_run_that_fails_leaves_the_old_report_alone() {
        let scene = Scene::new();
        bad_programs(&scene);
        std::fs::write(scene.path("r.json"), "old").expect("a fresh folder");
        let before = scene.names();
        assert_eq!(scene.vadose("run --report r.json missing.exe").code, Some(127));
        assert_eq!(std::fs::read(scene.path("r.json")).expect("it is there"), b"old");
        assert_eq!(scene.names(), before);
    }
}

#[cfg(not(feature = "unicorn"))]
#[test]
fn a_build_without_an_engine_says_how_to_get_one() {
    Scene::with("x64/hello.exe").vadose("run hello.exe").fails(125, &["no engine", "--features unicorn"]);
}
