//! `vadose run --trace`: what it writes, that it writes the same again, and what it refuses.
#![cfg(feature = "unicorn")]

use crate::scene::Scene;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::time::Duration;

/// An edition of each kind of page tables.
const MACHINES: [(&str, &str); 3] = [("x64", "win10-x64"), ("x86", "winxp-x86"), ("x86", "winxp-x86-pae")];
/// A guest that goes over more memory than there is, three times.
const GUEST: &str = "big_data.exe 10";
const SMALL: &str = "--ram 8M --pagefile 64M";

fn traced(scene: &Scene, edition: &str, options: &str, file: &str) -> String {
    let line = format!("run --edition {edition} {SMALL} --trace {file} {options} {GUEST}");
    scene.vadose(&line).is_quiet(0);
    std::fs::read_to_string(scene.path(file)).expect("the trace is there")
}

fn scene(bits: &str) -> Scene {
    Scene::with(&format!("{bits}/big_data.exe"))
}

fn lines(trace: &str) -> Vec<Value> {
    trace.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect()
}

fn named<'a>(events: &'a [Value], name: &'a str) -> impl Iterator<Item = &'a Value> {
    events.iter().filter(move |event| event["event"] == name)
}

#[test]
fn the_same_program_seed_and_options_give_the_same_trace_byte_for_byte() {
    for (bits, edition) in MACHINES {
        let scene = scene(bits);
        for format in ["lines", "chrome"] {
            let options = format!("--seed 7 --trace-format {format}");
            let one = traced(&scene, edition, &options, "one");
            assert!(one.len() > 1_000_000, "paging was at work");
            // Not `assert_eq`, which would print both of them.
            assert!(one == traced(&scene, edition, &options, "two"), "{edition} as {format}");
        }
    }
}

#[test]
fn a_page_can_be_followed_out_of_ram_and_back() {
    for (bits, edition) in MACHINES {
        let events = lines(&traced(&scene(bits), edition, "--compression off", "trace"));
        let numbers: Vec<u64> = events.iter().map(|event| event["seq"].as_u64().expect("a number")).collect();
        assert!(numbers.into_iter().eq(1..=events.len() as u64), "{edition}: events are numbered");
        let read = named(&events, "fault").find(|fault| fault["plan"] == "page-file");
        let read = read.unwrap_or_else(|| panic!("{edition}: a page came back"));
        let address = read["address"].as_str().expect("an address");
        let page = format!("{}000", &address[..address.len() - 3]);
        let before = &events[..read["seq"].as_u64().expect("a number") as usize - 1];
        let trimmed = named(before, "page-trimmed").rfind_page(&page);
        assert_eq!((&trimmed["reason"], &trimmed["content"]), (&"not-used".into(), &"modified".into()));
        let frame = &trimmed["frame"];
        let written = named(before, "transfer").filter(|one| one["direction"] == "write");
        let holds = |one: &&Value| {
            one["frames"].as_array().is_some_and(|all| all.iter().any(|it| &it["frame"] == frame))
        };
        let written = written.filter(holds).last().expect("it was written");
        let taken =
            named(before, "frame-taken").filter(|taken| &taken["frame"] == frame).last().expect("and taken");
        assert_eq!((&taken["from"], &taken["was"]["page"]), (&"standby".into(), &page.as_str().into()));
        assert_eq!(taken["copy"]["page_file"], written["page_file"]);
        let why = read["why"].as_str().expect("words");
        assert!(why.contains(&format!("page {}", taken["copy"]["file_page"])), "{edition}: {why}");
        let last = read["walk"].as_array().and_then(|walk| walk.last()).expect("a walk has entries");
        assert!(last["means"].as_str().expect("words").contains("not valid, content in page file"), "{last}");
    }
}

trait LastPage<'a> {
    fn rfind_page(self, page: &str) -> &'a Value;
}

impl<'a, I: Iterator<Item = &'a Value>> LastPage<'a> for I {
    fn rfind_page(self, page: &str) -> &'a Value {
        self.filter(|event| event["page"] == page).last().expect("an event of the page")
    }
}

#[test]
fn every_fault_and_every_transfer_that_begins_ends() {
    for (bits, edition) in MACHINES {
        let events = lines(&traced(&scene(bits), edition, "", "trace"));
        let mut open: Option<&Value> = None;
        let mut moving = BTreeSet::new();
        for event in &events {
            match event["event"].as_str().expect("a name") {
                "fault" => assert!(open.replace(event).is_none(), "{edition}: one fault after the other"),
                "fault-end" => {
                    let fault = open.take().expect("a fault that began");
                    assert_eq!(
                        (&fault["address"], &fault["process"]),
                        (&event["address"], &event["process"])
                    );
                }
                "transfer" => assert!(moving.insert(event["transfer"].as_u64()), "{event}"),
                "transfer-end" => assert!(moving.remove(&event["transfer"].as_u64()), "{event}"),
                _ => {}
            }
        }
        assert!(open.is_none() && moving.is_empty(), "{edition}");
    }
}

/// The shape that `chrome://tracing` and Perfetto ask for: required keys, spans of a thread that nest, pairs of
/// asynchronous events, numbers in counters.
#[test]
fn a_chrome_trace_has_the_shape_that_tracing_pages_read() {
    for (bits, edition) in MACHINES {
        let trace = traced(&scene(bits), edition, "--trace-format chrome", "trace");
        let events: Vec<Value> = serde_json::from_str(&trace).expect("one array");
        let (mut open, mut pairs, mut last) = (BTreeMap::<u64, Vec<String>>::new(), BTreeSet::new(), 0);
        let mut inside = false;
        for event in &events {
            let name = event["name"].as_str().expect("a name").to_owned();
            let (time, _process) =
                (event["ts"].as_u64().expect("a time"), event["pid"].as_u64().expect("a process"));
            assert!(time > last, "{event}");
            last = time;
            let stack = open.entry(event["tid"].as_u64().expect("a thread")).or_default();
            match event["ph"].as_str().expect("a phase") {
                "B" => {
                    inside |= name == "read" && stack.last().is_some_and(|span| span == "fault: page-file");
                    stack.push(name);
                }
                "E" => assert!(stack.pop().is_some(), "{event}"),
                "b" => assert!(pairs.insert(event["id"].as_u64()), "{event}"),
                "e" => assert!(pairs.remove(&event["id"].as_u64()), "{event}"),
                "i" => assert_eq!(event["s"], "t"),
                "C" => {
                    assert!(event["args"].as_object().expect("args").values().all(Value::is_u64), "{event}")
                }
                "M" => assert!(event["args"]["name"].is_string(), "{event}"),
                other => panic!("{other} is no phase: {event}"),
            }
        }
        assert!(open.values().all(Vec::is_empty) && pairs.is_empty(), "{edition}: what begins ends");
        assert!(inside, "{edition}: a fault contains its read");
    }
}

#[test]
fn a_killed_run_leaves_whole_lines() {
    let scene = Scene::with("x64/spin.exe");
    let mut run =
        scene.command("run --trace trace spin.exe").stdout(Stdio::null()).spawn().expect("vadose is built");
    let file = scene.path("trace");
    for _ in 0..600 {
        if std::fs::metadata(&file).is_ok_and(|found| found.len() > 0) {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    run.kill().expect("it runs");
    run.wait().expect("it ends");
    let trace = std::fs::read_to_string(&file).expect("a trace");
    assert!(trace.ends_with('\n') && named(&lines(&trace), "fault").count() > 0, "{trace}");
}

#[test]
fn a_trace_that_cannot_be_written_is_told_and_the_program_still_runs() {
    let scene = Scene::with("x64/hello.exe");
    let full = scene.vadose("run --trace /dev/full hello.exe");
    assert_eq!((full.code, full.out.as_str()), (Some(125), "Hello from a Windows program.\n"));
    assert!(full.err.contains("/dev/full") && full.err.contains("No space left"), "{}", full.err);
}

#[test]
fn places_for_a_trace_are_refused_before_anything_runs() {
    let scene = Scene::with("x64/hello.exe");
    std::fs::create_dir(scene.path("folder")).expect("a fresh folder");
    let before = scene.names();
    scene.vadose("run --trace none/trace hello.exe").fails(125, &["none/trace", "folder does not exist"]);
    scene.vadose("run --trace folder hello.exe").fails(125, &["folder", "name a file in it"]);
    scene.vadose("run --trace hello.exe hello.exe").fails(125, &["the program itself"]);
    scene.vadose("run --trace-format chrome hello.exe").fails(125, &["--trace <FILE>"]);
    scene.vadose("run --trace trace --trace-format xml hello.exe").fails(125, &["xml", "lines", "chrome"]);
    scene.vadose("run --trace trace none.exe").fails(127, &["there is no such file"]);
    assert_eq!(scene.names(), before, "nothing is left behind");
}
