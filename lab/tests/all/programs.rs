//! Programs that nobody here wrote: ninja runs, and executables and DLLs of four languages are mapped and listed.

use crate::support::{downloaded, finish, region_at};
use vadose_facts::ntdef::Protection;
use vadose_facts::pe::PeImage;
use vadose_lab::download::{Language, PINS, Pin, Role, pin};
use vadose_lab::guest::Run;
use vadose_machine::report::{AddressSpaceMap, RunEnding};

/// What this version of ninja calls itself, with the line end of its C runtime.
const NINJA_VERSION: &str = "1.11.1.git.kitware.jobserver-1\r\n";

#[track_caller]
fn check_ninja(platform: &str, edition: &str) {
    let Some(program) = downloaded(pin("ninja", platform)) else { return };
    let outcome = finish(Run::new(&program, edition).arguments(&["--version"]));
    let words = (outcome.output.as_str(), outcome.error.as_str());
    assert_eq!(outcome.report.ending, RunEnding::Exit { code: 0 }, "{edition}: {words:?}");
    assert_eq!(words, (NINJA_VERSION, ""), "{edition}");
}

#[test]
fn ninja_tells_its_version_on_64_bit_editions() {
    for edition in ["win7-x64", "win8-x64", "win10-x64"] {
        check_ninja("win_amd64", edition);
    }
}

#[test]
fn ninja_tells_its_version_on_32_bit_editions() {
    for edition in ["winxp-x86", "winxp-x86-pae", "win7-x86"] {
        check_ninja("win32", edition);
    }
}

/// It reads a build file from the folder it is started in, looks at the files' times, and plans.
#[test]
fn ninja_plans_a_build_without_doing_it() {
    let build =
        "rule cc\n  command = echo $in\nbuild b.o: cc b.c\nbuild a.o: cc a.c | b.o\nbuild all: phony a.o\n";
    let folder = tempfile::tempdir().expect("a place for files");
    for (name, content) in [("build.ninja", build), ("a.c", ""), ("b.c", "")] {
        std::fs::write(folder.path().join(name), content).expect("the folder is ours");
    }
    for (platform, edition) in [("win_amd64", "win10-x64"), ("win32", "winxp-x86"), ("win32", "win7-x86")] {
        let Some(program) = downloaded(pin("ninja", platform)) else { return };
        let run = Run::new(&program, edition).folder(folder.path()).arguments(&["-n", "all"]);
        let outcome = finish(run);
        assert_eq!(outcome.report.ending, RunEnding::Exit { code: 0 }, "{edition}: {}", outcome.output);
        assert_eq!(outcome.output, "[1/2] echo b.c\r\n[2/2] echo a.c\r\n", "{edition}");
    }
}

/// SPEC G13 G19: a view as long as the image, a run for each section with the protection of its flags.
#[test]
fn programs_and_dlls_of_four_languages_are_listed() {
    let mut listed = Vec::new();
    for pin in PINS.iter().filter(|pin| pin.package != "ninja") {
        let Some(path) = downloaded(pin) else { return };
        let edition = if pin.is_x64() { "win10-x64" } else { "win7-x86" };
        let map = Run::new(&path, edition).list().unwrap_or_else(|error| panic!("{}: {error}", pin.folder()));
        let bytes = std::fs::read(&path).expect("the file is there");
        check_listing(pin, &map, &bytes);
        listed.push(pin);
    }
    assert!(listed.len() >= 8, "only {} are listed", listed.len());
    for language in [Language::C, Language::Cpp, Language::Go, Language::Rust] {
        assert!(listed.iter().any(|pin| pin.language == language), "nothing in {language:?}");
    }
    for (role, x64) in
        [(Role::Program, true), (Role::Program, false), (Role::Library, true), (Role::Library, false)]
    {
        assert!(
            listed.iter().any(|pin| pin.role == role && pin.is_x64() == x64),
            "no {role:?}, 64-bit {x64}"
        );
    }
}

fn check_listing(pin: &Pin, map: &AddressSpaceMap, bytes: &[u8]) {
    let what = pin.folder();
    let image = PeImage::parse(bytes).unwrap_or_else(|error| panic!("{what}: {error}"));
    let module =
        map.modules.iter().find(|module| module.origin == "program").expect("the program is a module");
    assert_eq!(module.size, u64::from(image.layout().pages()) << 12, "{what}");
    let view = module.base..module.base + module.size;
    let regions: Vec<_> = map.regions.iter().filter(|region| view.contains(&region.address)).collect();
    assert!(
        regions.iter().all(|region| region.allocation == module.base && region.kind == "image"),
        "{what}"
    );
    assert_eq!(regions.iter().map(|region| region.size).sum::<u64>(), module.size, "{what}: no holes");
    for run in image.layout().subsections() {
        let region = region_at(map, module.base + (u64::from(run.first_page) << 12));
        // The loader stores into some pages: those are copies, and no longer write-copy.
        let before_and_after =
            [run.protection, run.protection.after_copy()].map(|base| Protection::plain(base).to_string());
        assert!(before_and_after.contains(&region.protection), "{what} {}: {}", run.name, region.protection);
    }
    let wanted = match pin.role {
        Role::Library => true,
        Role::Program => false,
    };
    let python = map.missing.iter().any(|missing| missing.dll.to_lowercase().starts_with("python3"));
    assert_eq!(
        python, wanted,
        "{what}: a module of Python's misses Python, a program does not: {:?}",
        map.missing
    );
}
