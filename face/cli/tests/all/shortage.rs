//! Shortage on the command line: failures that were ordered, address spaces in pieces, and the search for what a program
//! survives.

use crate::scene::{Outcome, Scene};
use serde_json::Value;

/// Guests and editions that a whole run is tried on.
const MACHINES: [(&str, &str); 3] = [("x64", "win10-x64"), ("x86", "win7-x86"), ("x86", "winxp-x86")];

fn scene(bits: &str) -> Scene {
    let scene = Scene::new();
    for name in ["scarce", "crash", "hello"] {
        scene.put(&format!("{name}.exe"), &format!("{bits}/{name}.exe"), |_| {});
    }
    scene
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn a_failure_is_told_with_its_callers() {
    for (bits, edition) in MACHINES {
        let scene = scene(bits);
        let line = format!("run --edition {edition} --fail alloc:1 scarce.exe 1");
        let run = scene.vadose(&line);
        assert_eq!(run.code, Some(0), "{}", run.err);
        for words in [
            "vadose: 1 request of scarce.exe failed as ordered\n",
            "  alloc 1: VirtualAlloc, STATUS_NO_MEMORY, called from scarce.exe+0x",
        ] {
            assert!(run.err.contains(words), "{edition}: {}", run.err);
        }
        for returns_to in run.out.lines().map(|line| line.rsplit(' ').next().expect("an address")) {
            assert!(run.err.contains(&format!("scarce.exe+{returns_to}")), "{edition}: {}", run.err);
        }
        assert_eq!(scene.vadose(&line).err, run.err);
    }
}

#[test]
fn failures_are_in_the_json_report_and_so_are_orders_that_came_to_nothing() {
    let scene = scene("x64");
    let orders = "--fail alloc:6 --fail alloc:50 --fail image-read:50";
    let run = scene.vadose(&format!("run {orders} --format json --report r.json scarce.exe"));
    assert_eq!(run.code, Some(0), "{}", run.err);
    assert!(run.err.contains("nothing failed for --fail alloc:50: scarce.exe made 8 such requests\n"));
    let report = json(&std::fs::read_to_string(scene.path("r.json")).expect("the report"));
    let shortage = &report["shortage"];
    assert_eq!(shortage["requests"][0], serde_json::json!({ "kind": "alloc", "count": 8 }));
    assert_eq!(shortage["failed"], 1);
    assert_eq!(shortage["unused"], serde_json::json!(["alloc:50", "image-read:50"]));
    let alloc = &shortage["failures"][0];
    assert_eq!((&alloc["call"], &alloc["name"]), (&"HeapReAlloc".into(), &"STATUS_NO_MEMORY".into()));
    assert!(alloc["stack"][0]["place"].as_str().is_some_and(|place| place.starts_with("scarce.exe+0x")));
    let run = scene.vadose("run --fail image-read:2 --report r.json scarce.exe 2");
    assert_eq!(run.code, Some(0), "{}", run.err);
    let report = json(&std::fs::read_to_string(scene.path("r.json")).expect("the report"));
    let read = &report["shortage"]["failures"][0];
    assert_eq!(
        (&read["kind"], &read["call"], &read["number"]),
        (&"image-read".into(), &Value::Null, &2.into())
    );
    assert!(read["subject"].as_str().is_some_and(|subject| subject.contains("scarce.exe at 0x")));
}

#[test]
fn commit_fails_with_the_status_of_the_limit() {
    let scene = scene("x64");
    let run = scene.vadose("run --fail commit:1 scarce.exe");
    assert_eq!(run.code, Some(139));
    assert!(run.err.contains("commit 1: VirtualAlloc, STATUS_COMMITMENT_LIMIT, called from"), "{}", run.err);
    assert!(run.err.contains("reserved, not committed"), "{}", run.err);
}

/// What `--find-failures` says of the guest, with the addresses left out.
const FOUND: [(&str, &str, &str); 8] = [
    ("1", "HeapAlloc", "survived"),
    ("2", "VirtualAlloc", "ended with exit code 3"),
    ("3", "VirtualAlloc", "crashed: STATUS_ACCESS_VIOLATION at scarce.exe+0x"),
    ("4", "HeapAlloc", "crashed: STATUS_ACCESS_VIOLATION at scarce.exe+0x"),
    ("5", "HeapAlloc", "ended with exit code 1"),
    ("6", "HeapReAlloc", "survived, with other output"),
    ("7", "HeapAlloc", "survived"),
    ("8", "VirtualAlloc", "hung: the time limit was reached"),
];

fn check_table(found: &Outcome) {
    assert_eq!(found.code, Some(1), "{}", found.err);
    let lines: Vec<&str> = found.out.lines().collect();
    assert!(lines[0].contains("requests (alloc) 8, exit code without a failure 0"), "{}", found.out);
    assert!(lines[2].starts_with("Request"), "{}", found.out);
    for (line, (number, call, outcome)) in lines[3..].iter().zip(FOUND) {
        let mut words = line.split_whitespace();
        assert_eq!((words.next(), words.next()), (Some(number), Some(call)), "{line}");
        assert!(words.next().is_some_and(|place| place.starts_with("scarce.exe+0x")), "{line}");
        let rest: Vec<&str> = words.collect();
        assert!(rest.join(" ").starts_with(outcome), "{line}");
    }
    let sum = "survived 5 of 8 (2 as ever, 2 with another exit code, 1 with other output), 2 crashed, 1 hung";
    assert_eq!(lines.last(), Some(&sum));
    assert!(found.err.starts_with("vadose: 8 runs, a request failing in each\n"), "{}", found.err);
    assert!(found.err.ends_with("vadose: 8 of 8 runs\n"), "{}", found.err);
}

#[test]
fn what_a_program_survives_is_found_out_and_told_the_same_each_time() {
    for (bits, edition) in MACHINES {
        let scene = scene(bits);
        let line = format!("run --edition {edition} --timeout 2 --find-failures alloc scarce.exe");
        let found = scene.vadose(&line);
        check_table(&found);
        let again = scene.vadose(&line);
        assert_eq!((again.out, again.err), (found.out, found.err), "{edition}");
    }
}

#[test]
fn what_was_found_is_json_for_tools() {
    let scene = scene("x64");
    let line = "run --timeout 2 --find-failures alloc:every=4 --format json scarce.exe";
    let found = scene.vadose(line);
    assert_eq!((found.code, scene.vadose(line).out), (Some(1), found.out.clone()));
    let found = json(&found.out);
    assert_eq!((&found["kind"], &found["requests"]), (&"alloc".into(), &8.into()));
    let summary = &found["summary"];
    assert_eq!((&summary["runs"], &summary["crashed"], &summary["hung"]), (&2.into(), &1.into(), &1.into()));
    let trial = &found["trials"][0];
    assert_eq!((&trial["number"], &trial["outcome"]), (&4.into(), &"crashed".into()));
    assert_eq!(trial["failure"]["call"], "HeapAlloc");
    assert_eq!(trial["ending"]["access"]["address"], 0);
    assert_eq!(found["trials"][1]["outcome"], "hung");
}

#[test]
fn a_program_that_survives_everything_is_a_success() {
    let scene = scene("x64");
    let survived = scene.vadose("run --find-failures alloc:7 --report r.json scarce.exe");
    assert_eq!(survived.code, Some(0), "{}", survived.err);
    assert!(survived.out.ends_with("survived 1 of 1 (1 as ever)\n"), "{}", survived.out);
    let report = std::fs::read_to_string(scene.path("r.json")).expect("the report");
    assert_eq!(json(&report)["summary"]["same"], 1);
    let nothing = scene.vadose("run --find-failures commit hello.exe");
    assert_eq!(nothing.is_quiet(0).out.lines().last(), Some("there is no request to fail"));
}

#[test]
fn a_program_that_fails_by_itself_is_not_tried() {
    let crash = scene("x64").vadose("run --find-failures alloc crash.exe");
    assert_eq!((crash.code, crash.out.as_str()), (Some(139), ""));
    assert!(
        crash.err.ends_with("no failure was tried, for crash.exe does this without any\n"),
        "{}",
        crash.err
    );
}

/// Each run reads what the first one read.
#[test]
fn every_run_has_the_same_input() {
    let scene = Scene::with("x64/scenario.exe");
    let input = b"Steps\n    reserve 64K -> ok\n    commit 0 1p -> ok\n    query 0 -> any\n";
    let run = scene.vadose_reading("run scenario.exe", input);
    assert_eq!(run.code, Some(0), "{}", run.err);
    let found = scene.vadose_reading("run --find-failures alloc --timeout 10 scenario.exe", input);
    assert!(found.out.contains("exit code without a failure 0"), "{}{}", found.out, found.err);
    // The guest's own buffer, then the two steps: their answers are others, and the steps behind them are read and done.
    assert!(
        found.out.contains("survived 3 of 3 (1 with another exit code, 2 with other output)"),
        "{}",
        found.out
    );
    std::fs::write(scene.path("input"), input).expect("a fresh folder");
    let file = std::fs::File::open(scene.path("input")).expect("it was just written");
    let mut command = scene.command("run --find-failures alloc --timeout 10 scenario.exe");
    let of_file = crate::scene::outcome(command.stdin(file));
    assert_eq!(of_file.out, found.out);
}

/// A page that cannot be written stays in RAM; one that cannot be read is an in-page error where it is touched, or is
/// read again.
#[test]
fn transfers_of_page_files_fail_too() {
    for (bits, edition) in MACHINES {
        let scene = Scene::with(&format!("{bits}/big_data.exe"));
        let machine = format!("--edition {edition} --ram 8M --pagefile 64M --compression off");
        let good = scene.vadose(&format!("run {machine} big_data.exe 24"));
        let orders = "--fail pagefile-write:1 --fail pagefile-write:every=3";
        let run = scene.vadose(&format!("run {machine} {orders} --report r.json big_data.exe 24"));
        assert_eq!((run.code, &run.out), (Some(0), &good.is_quiet(0).out), "{edition}: {}", run.err);
        assert!(
            run.err.contains(
                "  pagefile-write 1: page file 1 at 0x0, STATUS_IO_DEVICE_ERROR, at big_data.exe+0x"
            )
        );
        let report = json(&std::fs::read_to_string(scene.path("r.json")).expect("the report"));
        let count = |key: &str| report["shortage"][key].as_u64().expect("a number");
        assert!(count("failed") > 3 && report["shortage"]["unused"] == serde_json::json!([]));
        let line =
            format!("run {machine} --find-failures pagefile-read:every=90 --format json big_data.exe 24");
        let found = json(&scene.vadose(&line).out);
        let trials = found["trials"].as_array().expect("a list");
        assert!(trials.len() > 3, "{edition}: {found}");
        for trial in trials {
            assert!(["same", "crashed"].contains(&trial["outcome"].as_str().expect("a word")), "{trial}");
            assert!(
                trial["outcome"] == "same" || trial["ending"]["name"] == "STATUS_IN_PAGE_ERROR",
                "{trial}"
            );
            assert!(
                trial["failure"]["subject"]
                    .as_str()
                    .is_some_and(|subject| subject.starts_with("page file 1 at 0x"))
            );
        }
    }
}

#[test]
fn an_address_space_comes_in_pieces() {
    for (bits, edition) in MACHINES {
        let scene = scene(bits);
        let options = format!("--edition {edition} --large-address-aware off");
        let map = scene.vadose(&format!("map {options} --fragment 64M --format json hello.exe"));
        let map = json(&map.is_quiet(0).out);
        let regions = map["regions"].as_array().expect("a list");
        let number = |region: &Value, key: &str| region[key].as_u64().expect("a number");
        let blocks: Vec<&Value> = regions.iter().filter(|region| region["purpose"] == "fragment").collect();
        assert!(blocks.len() > 25, "{edition}: {}", blocks.len());
        assert!(blocks.iter().all(|block| block["state"] == "reserve" && number(block, "size") <= 0x1_0000));
        let largest = regions
            .windows(2)
            .map(|pair| number(&pair[1], "address") - number(&pair[0], "address") - number(&pair[0], "size"))
            .max();
        assert_eq!(largest, Some(64 << 20), "{edition}");
        let drawn =
            |seed| scene.vadose(&format!("map {options} --fragment 1M:random --seed {seed} hello.exe")).out;
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
        let run = scene.vadose(&format!("run {options} --fragment 512K scarce.exe"));
        assert_eq!(run.is_quiet(3).out, "careful: done\nhonest: no table, last error 8\n", "{edition}");
    }
}
