//! `vadose map`, `vadose editions` and `vadose completions` on good input.

use crate::scene::{Scene, guest, outcome};
use serde_json::Value;
use std::process::Stdio;

/// The middle of a table's line: from the word that begins a column to the line's end.
fn lines_with<'t>(text: &'t str, word: &str) -> Vec<&'t str> {
    text.lines().filter(|line| line.contains(word)).collect()
}

/// SPEC G19: a section's pages get the protection of its flags, and what can be written is copy-on-write.
#[test]
fn a_map_shows_images_stack_and_shared_data_with_their_protections() {
    for (guest, edition) in
        [("x64/hello.exe", "win10-x64"), ("x86/hello.exe", "win7-x86"), ("x86/hello.exe", "winxp-x86")]
    {
        let scene = Scene::with(guest);
        let listed = scene.vadose(&format!("map --edition {edition} hello.exe"));
        let text = &listed.is_quiet(0).out;
        for (what, words) in [
            ("hello.exe header", "READONLY"),
            ("hello.exe .text", "EXECUTE_READ"),
            ("hello.exe .bss", "WRITECOPY"),
            ("shared user data", "READONLY"),
            ("kernel32.dll .text", "EXECUTE_READ"),
            ("PEB", "READWRITE"),
        ] {
            let lines = lines_with(text, what);
            assert!(lines.iter().any(|line| line.contains(words)), "{edition} {what}: {lines:?}");
        }
        let stack = lines_with(text, "  stack");
        assert!(stack.len() >= 3 && stack[0].contains("reserve"), "{edition}: {stack:?}");
        assert!(stack.iter().any(|line| line.contains("READWRITE|GUARD")), "{edition}: {stack:?}");
        assert!(text.starts_with(r"C:\work\hello.exe on Windows"), "{text}");
        assert!(text.lines().all(|line| !line.ends_with(' ')), "no spaces at a line's end");
    }
}

#[test]
fn the_edition_follows_from_the_program() {
    let scene = Scene::with("x64/hello.exe");
    scene.put("old.exe", "x86/hello.exe", |_| {});
    for (file, edition) in [("hello.exe", "win10-x64"), ("old.exe", "win7-x86")] {
        let listed = scene.vadose(&format!("map --format json {file}"));
        let json: Value = serde_json::from_str(&listed.is_quiet(0).out).expect("one JSON object");
        assert_eq!(json["edition"], edition);
    }
}

#[test]
fn the_json_map_is_consistent() {
    let scene = Scene::with("x64/demo.exe");
    let listed = scene.vadose("map --format json demo.exe");
    let json: Value = serde_json::from_str(&listed.is_quiet(0).out).expect("one JSON object");
    let regions = json["regions"].as_array().expect("a list");
    let number = |region: &Value, key: &str| region[key].as_u64().expect("a number");
    for pair in regions.windows(2) {
        let end = number(&pair[0], "address") + number(&pair[0], "size");
        assert!(end <= number(&pair[1], "address"), "regions are in order: {pair:?}");
    }
    for region in regions {
        assert_eq!(number(region, "address") % 4096, 0);
        assert!(number(region, "resident") <= number(region, "committed"), "{region}");
        assert!(number(region, "committed") <= number(region, "size"), "{region}");
        assert_eq!(region["state"] == "reserve", region["protection"] == "", "{region}");
    }
    let totals = json["totals"].as_array().expect("a list");
    let space: u64 = totals.iter().map(|total| number(total, "size")).sum();
    let (first, last) = (json["user_space"][0].as_u64(), json["user_space"][1].as_u64());
    assert_eq!((first, last), (Some(0x10000), Some(0x7fff_fffe_ffff)));
    assert_eq!(space, 0x7fff_ffff_0000 - 0x10000, "types and free space are the whole");
    for key in ["committed", "resident"] {
        let all: u64 = regions.iter().map(|region| number(region, key)).sum();
        assert_eq!(all, totals.iter().map(|total| number(total, key)).sum::<u64>(), "{key}");
    }
}

#[test]
fn the_same_options_give_the_same_map() {
    let scene = Scene::with("x64/hello.exe");
    let map = || scene.vadose("map --seed 9 hello.exe").is_quiet(0).out.clone();
    assert_eq!(map(), map());
}

#[test]
fn dlls_can_be_listed_too() {
    let scene = Scene::with("x64/hello.exe");
    scene.put("lib.dll", "x64/hello.exe", |bytes| {
        let pe = u32::from_le_bytes(bytes[0x3c..0x40].try_into().expect("four bytes")) as usize;
        bytes[pe + 23] |= 0x20;
    });
    assert!(scene.vadose("map lib.dll").is_quiet(0).out.contains("lib.dll .text"));
}

#[test]
fn a_program_from_elsewhere_is_listed_as_an_app() {
    let scene = Scene::new();
    let program = guest("x64/hello.exe");
    let listed = outcome(scene.command("map").arg(program));
    assert!(listed.is_quiet(0).out.starts_with(r"C:\app\hello.exe on "), "{}", listed.out);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let scene = Scene::with("x64/hello.exe");
    for line in ["map hello.exe", "editions", "completions bash", "map --format json hello.exe"] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let child =
            scene.command(line).stdout(writer).stderr(Stdio::piped()).spawn().expect("vadose is built");
        let output = child.wait_with_output().expect("vadose ends");
        assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()), "{line}");
    }
}

#[test]
fn every_edition_is_in_the_table_and_the_defaults_are_marked() {
    let scene = Scene::new();
    let text = scene.vadose("editions").is_quiet(0).out.clone();
    for name in ["winxp-x86", "winxp-x86-pae", "win7-x86", "win7-x64", "win8-x64", "win10-x64"] {
        let row = text.lines().find(|line| line.split_whitespace().next() == Some(name));
        let row = row.expect("a row of that name");
        assert_eq!(row.contains("default for"), ["win7-x86", "win10-x64"].contains(&name), "{row}");
    }
    let json: Value =
        serde_json::from_str(&scene.vadose("editions --format json").is_quiet(0).out).expect("JSON");
    assert_eq!(json.as_array().map(Vec::len), Some(6));
    assert_eq!(json[5]["default_for"], "64-bit programs");
}

#[test]
fn help_and_completions_go_to_standard_output() {
    let scene = Scene::new();
    for line in ["--help", "run --help", "map -h", "help editions", "--version"] {
        assert!(!scene.vadose(line).is_quiet(0).out.is_empty(), "{line}");
    }
    let help = scene.vadose("run --help").out;
    for word in ["124", "125", "126", "127", "139", "low 8 bits", "[default: 1G]", r"C:\work", "Examples:"] {
        assert!(help.contains(word), "{word}: {help}");
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(
            scene.vadose(&format!("completions {shell}")).is_quiet(0).out.contains("editions"),
            "{shell}"
        );
    }
}
