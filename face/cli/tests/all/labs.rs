//! `vadose lab`: every lab runs, what it claims was looked up, and what it shows is what the rules say.

use crate::scene::{Scene, outcome};

/// The labs, in the order of the list.
const LABS: [&str; 10] = [
    "page-states",
    "protections",
    "guard-page",
    "copy-on-write",
    "shared-section",
    "mapped-file",
    "paging",
    "shared-dll",
    "shared-memory",
    "aslr",
];

fn lab(name: &str) -> String {
    let scene = Scene::new();
    scene.vadose(&format!("lab {name}")).is_quiet(0).out.clone()
}

/// The rows of one kind in a lab's tables, each as before and now, in the order of the steps. A table's columns are told
/// apart by where its heading has `before` and `now`.
fn rows(text: &str, address: &str, what: &str) -> Vec<(String, String)> {
    let (mut found, mut columns) = (Vec::new(), None);
    for line in text.lines().map(|line| line.strip_prefix("   ").unwrap_or(line)) {
        let heading = line.find("  before").filter(|_| line.ends_with("  now"));
        if let Some(before) = heading {
            columns = line.starts_with(&format!("{address} ")).then(|| (before + 2, line.len() - 3));
        }
        if line.is_empty() {
            columns = None;
        }
        if let (Some((before, now)), true) = (columns, line.starts_with(&format!("{what}  "))) {
            let cell = |from: usize, to: usize| line.get(from..to.min(line.len())).unwrap_or_default().trim();
            found.push((cell(before, now).to_owned(), cell(now, line.len()).to_owned()));
        }
    }
    found
}

fn now(text: &str, address: &str, what: &str) -> Vec<String> {
    rows(text, address, what).into_iter().map(|(_, now)| now).collect()
}

#[test]
fn labs_are_listed_and_every_one_runs() {
    let listed = lab("");
    let names: Vec<&str> = listed
        .lines()
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(names, LABS);
    let all = lab("all");
    for name in LABS {
        let alone = lab(name);
        assert!(all.contains(&alone), "{name} is part of all, and the same");
        let claims = alone.lines().filter(|line| line.starts_with("   - ")).count();
        let is_step =
            |line: &&str| line.split_once(". ").is_some_and(|(number, _)| number.parse::<u32>().is_ok());
        let steps = alone.lines().filter(is_step).count();
        assert!(claims >= 5 && claims >= steps, "{name}: {claims} claims in {steps} steps");
        assert_eq!(steps == 0, name == "aslr", "{name} goes in steps");
        assert!(alone.lines().all(|line| !line.ends_with(' ')), "{name}: no spaces at a line's end");
    }
}

/// SPEC A24 A37 B9 I18 I19 I28 I31: what a page's entry is in each of its states.
#[test]
fn the_lab_of_page_states_shows_each_states_entry() {
    let text = lab("page-states");
    let entries = now(&text, "page", "PTE");
    assert_eq!(entries.len(), 5, "{text}");
    for (entry, start) in entries.iter().zip(["0 ", "80 demand zero, READWRITE", "80000000000", "0 ", "0 "]) {
        assert!(entry.starts_with(start), "{entry} and {start}");
    }
    assert!(entries[2].ends_with("867 ---DA--UW-V"), "{}", entries[2]);
    let states = now(&text, "page", "region");
    assert_eq!(states, ["reserve", "commit READWRITE", "commit READWRITE", "reserve", "free"]);
    let frames = now(&text, "page", "old frame");
    assert!(frames[0].ends_with("on the free list"), "{frames:?}");
}

/// SPEC I4 I5: the write bit and the no-execute bit follow the protection; without access there is no valid entry.
#[test]
fn the_lab_of_protections_shows_the_processors_bits() {
    let text = lab("protections");
    let entries = now(&text, "page", "PTE");
    let ends = ["---DA--UW-V", "---DA--UR-V", "---DA--UW-V", "---DA--UREV", "NOACCESS"];
    assert_eq!(entries.len(), ends.len(), "{text}");
    for (entry, end) in entries.iter().zip(ends) {
        assert!(entry.ends_with(end), "{entry} and {end}");
    }
}

/// SPEC E11 E16 E17 I19: a guard is demand zero with the guard bit, and is gone after the touch.
#[test]
fn the_lab_of_guard_pages_shows_both_kinds() {
    let text = lab("guard-page");
    assert_eq!(now(&text, "page", "region"), ["commit READWRITE|GUARD", "commit READWRITE"]);
    assert_eq!(now(&text, "guard", "region"), ["commit READWRITE|GUARD", "commit READWRITE"]);
    assert_eq!(now(&text, "below", "region"), ["reserve", "commit READWRITE|GUARD"]);
    assert!(now(&text, "guard", "PTE")[0].starts_with("280 demand zero"), "{text}");
}

/// SPEC C17 I4 I5 I33: file, shared copy-on-write page, private copy.
#[test]
fn the_lab_of_copy_on_write_ends_with_a_frame_of_its_own() {
    let text = lab("copy-on-write");
    let entries = now(&text, "variable", "PTE");
    assert!(entries[1].ends_with("C---A--UR-V") && entries[2].ends_with("---DA--UW-V"), "{entries:?}");
    assert_eq!(
        now(&text, "variable", "region"),
        ["commit WRITECOPY", "commit WRITECOPY", "commit READWRITE"]
    );
    let frames = now(&text, "variable", "frame");
    assert_eq!(frames.len(), 2, "{text}");
    assert_ne!(frames[0].split(',').next(), frames[1].split(',').next(), "{frames:?}");
}

/// SPEC F31 I24 I32 I39: two views name one frame, and it outlives them.
#[test]
fn the_lab_of_shared_sections_has_one_frame_for_two_views() {
    let text = lab("shared-section");
    let (first, second) = (now(&text, "first", "frame"), now(&text, "second", "frame"));
    let read = first.iter().position(|frame| frame.contains("mapped twice")).expect("it is mapped twice");
    assert_eq!(first[read], second[read], "{text}");
    let number = first[read].split(',').next().expect("a number");
    assert_eq!(now(&text, "first", "old frame")[0], format!("{number}, on the modified list"));
    assert!(now(&text, "third", "frame")[0].starts_with(&format!("{number}, active, mapped once")), "{text}");
}

/// SPEC F46 I17 I24 I35: in the file, clean, dirty, clean again, on standby.
#[test]
fn the_lab_of_mapped_files_follows_the_dirty_bit() {
    let text = lab("mapped-file");
    let entries = now(&text, "view", "PTE");
    let ends = ["----A--UR-V", "---DA--UW-V", "----A--UR-V"];
    assert!(entries[1..4].iter().zip(ends).all(|(entry, end)| entry.ends_with(end)), "{entries:?}");
    assert!(now(&text, "view", "old frame")[0].ends_with("on the standby list"), "{text}");
}

/// SPEC I10 I25 J12: the entry of a page that is out names its place, and the charge stays.
#[test]
fn the_lab_of_paging_shows_the_page_files_place() {
    let text = lab("paging");
    let entries = rows(&text, "page", "PTE");
    let (out, back) = (&entries[1].1, &entries[2]);
    assert!(out.contains("page file 0, offset 0x") && out.ends_with("READWRITE"), "{out}");
    assert_eq!(&back.0, out, "a step begins where the last one ended");
    assert!(back.1.ends_with("----A--UR-V"), "{}", back.1);
    let charges = now(&text, "page", "VAD");
    assert!(charges.iter().all(|vad| vad.ends_with("1 charged")), "{charges:?}");
}

/// SPEC G15 I24 I33: one frame for two processes, until one stores.
#[test]
fn the_lab_of_shared_dlls_has_one_frame_for_two_processes() {
    let text = lab("shared-dll");
    let (first, second) = (now(&text, "first-code", "frame"), now(&text, "second-code", "frame"));
    assert!(
        first[0].ends_with("active, mapped once") && second[0].ends_with("active, mapped twice"),
        "{text}"
    );
    let number = |frame: &str| frame.split(',').next().unwrap_or_default().to_owned();
    assert_eq!(number(&first[0]), number(&second[0]));
    let data = now(&text, "second-data", "frame");
    assert!(data[0].ends_with("mapped twice") && number(&data[0]) != number(&data[1]), "{data:?}");
    assert_eq!(now(&text, "first-data", "value"), ["7", "7"], "nothing happened to the first one");
    assert_eq!(now(&text, "second-data", "value"), ["7", "8"]);
}

/// SPEC G21 G24: a plain global is each process's own, one in a shared section is both's, and no increment is lost.
#[test]
fn the_lab_of_shared_memory_counts_to_1000_alone_and_to_2000_together() {
    let text = lab("shared-memory");
    for instance in ["first", "second"] {
        let plain = now(&text, &format!("{instance}-plain"), "value");
        assert_eq!(plain, ["0", "1000"], "{instance}: {text}");
        let common = now(&text, &format!("{instance}-common"), "value");
        assert_eq!(common.last().map(String::as_str), Some("2000"), "{instance}: {text}");
    }
    let number = |address: &str| {
        let frames = now(&text, address, "frame");
        frames.last().and_then(|frame| frame.split(',').next()).expect("a frame").to_owned()
    };
    assert_ne!(number("first-plain"), number("second-plain"));
    assert_eq!(number("first-common"), number("second-common"));
}

/// SPEC G29 G34: one place a boot for images, another one the next boot; without randomisation always the same.
#[test]
fn the_lab_of_aslr_compares_boots() {
    let text = lab("aslr");
    let rows: Vec<Vec<&str>> = text
        .lines()
        .skip_while(|line| !line.starts_with("Seed"))
        .skip(1)
        .take_while(|line| !line.is_empty())
        .map(|line| line.split_whitespace().rev().take(5).collect())
        .collect();
    assert_eq!(rows.len(), 14, "two processes of seven boots: {text}");
    let program = |row: usize| rows[row][4];
    let stack = |row: usize| rows[row][2];
    for boot in 0..7 {
        assert_eq!(program(2 * boot), program(2 * boot + 1), "boot {boot}: {text}");
    }
    for boot in 0..4 {
        assert_ne!(stack(2 * boot), stack(2 * boot + 1), "boot {boot}: {text}");
    }
    let mut places: Vec<&str> = (0..4).map(|boot| program(2 * boot)).collect();
    places.sort_unstable();
    places.dedup();
    assert_eq!(places.len(), 4, "four boots, four places: {text}");
    assert_eq!(rows[0..2], rows[8..10], "the first boot again: {text}");
    assert!(program(10) == "140000000" && rows[10..12] == rows[12..14], "without: {text}");
}

#[test]
fn a_lab_that_is_not_there_is_refused_with_those_that_are() {
    let scene = Scene::new();
    scene.vadose("lab nothing").fails(125, &["no lab `nothing`", "page-states", "paging", "`all`"]);
    scene.vadose("lab paging all").fails(125, &["all"]);
}

#[test]
fn a_lab_leaves_no_file_behind() {
    let scene = Scene::new();
    for name in ["mapped-file", "paging"] {
        let run = outcome(scene.command(&format!("lab {name}")).env("TMPDIR", scene.path("")));
        run.is_quiet(0);
        assert_eq!(scene.names(), Vec::<String>::new(), "{name}");
    }
}
