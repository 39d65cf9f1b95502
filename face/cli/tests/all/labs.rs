//! `vadose lab`: every lab runs, what it claims was looked up, and what it shows is what the rules say.

use crate::scene::{Scene, outcome};

/// The labs, in the order of the list.
const LABS: [&str; 7] =
    ["page-states", "protections", "guard-page", "copy-on-write", "shared-section", "mapped-file", "paging"];

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
        let steps =
            alone.lines().filter(|line| line.starts_with(|first: char| first.is_ascii_digit())).count();
        assert!(steps >= 3 && claims >= steps, "{name}: {claims} claims in {steps} steps");
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
