//! `vadose inspect` as its user meets it: where a program stops, what is asked there, and what cannot be answered.

use crate::scene::{Outcome, Scene, outcome};
use serde_json::Value;

/// Programs and the editions that they run on: every paging mode.
const MACHINES: [(&str, &str); 4] =
    [("x64", "win10-x64"), ("x64", "win7-x64"), ("x86", "win7-x86"), ("x86", "winxp-x86")];

fn ask(scene: &Scene, line: &str, queries: &[&str], program: &str) -> Outcome {
    let mut command = scene.command(&format!("inspect {line}"));
    for query in queries {
        command.args(["-q", query]);
    }
    outcome(command.arg(program))
}

/// The JSON answers to queries after a run of a guest.
fn answers(bits: &str, edition: &str, guest: &str, line: &str, queries: &[&str]) -> Vec<Value> {
    let scene = Scene::with(&format!("{bits}/{guest}.exe"));
    let line = format!("--json --edition {edition} {line}");
    let asked = ask(&scene, &line, queries, &format!("{guest}.exe"));
    let json = asked.out.lines().filter(|line| line.starts_with('{'));
    json.map(|line| serde_json::from_str(line).expect("a line is one JSON object")).collect()
}

fn hex(value: &Value) -> u64 {
    let digits = value.as_str().and_then(|text| text.strip_prefix("0x")).expect("hex text");
    u64::from_str_radix(digits, 16).expect("hex digits")
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("a number: {value}"))
}

fn list<'v>(value: &'v Value, key: &str) -> &'v Vec<Value> {
    value[key].as_array().unwrap_or_else(|| panic!("a list {key}: {value}"))
}

/// SPEC I23 I29: each list is part of RAM, and all of them together are RAM; users and free lists are, too.
#[test]
fn frames_of_all_lists_and_of_all_users_are_ram() {
    for (bits, edition) in MACHINES {
        let told = answers(bits, edition, "demo", "--ram 64M --pagefile 16M", &["vm", "memusage", "procs"]);
        let [vm, memusage, procs] = told.as_slice() else { panic!("three answers: {told:?}") };
        let count = |key: &str| number(&vm["frames"][key]);
        let lists =
            ["zeroed", "free", "standby", "modified", "modified_no_write", "active", "transition", "bad"];
        assert_eq!(lists.map(count).iter().sum::<u64>(), 64 << 8, "{edition}: {vm}");
        assert_eq!(count("available"), count("zeroed") + count("free") + count("standby"), "{edition}");
        assert_eq!(memusage["frames"], vm["frames"], "{edition}: one truth");
        let users = list(memusage, "users");
        let valid: u64 = users.iter().map(|user| number(&user["valid"])).sum();
        assert_eq!(valid, count("active"), "{edition}: {memusage}");
        let own = users.iter().find(|user| user["type"] == "process").expect("the program's pages");
        let process = &list(procs, "processes")[0];
        assert_eq!(own["process"]["pid"], process["pid"], "{edition}");
        assert!(number(&own["valid"]) <= number(&process["working_set"]), "{edition}: {procs}");
        let files = list(vm, "page_files");
        assert_eq!((files.len(), number(&files[0]["current"])), (1, 16 << 8), "{edition}");
    }
}

/// SPEC I1 I2 I3 I20 I21 I25: the entry that a walk ends at, the frame that it names, and the frame's own account agree.
#[test]
fn an_entry_and_its_frame_tell_the_same_story() {
    for (bits, edition) in MACHINES {
        let vads = answers(bits, edition, "hello", "", &["vad"]);
        let rows = list(&vads[0], "vads");
        let stack_row = rows.iter().find(|row| row["name"] == "stack").expect("a stack");
        let top = hex(&stack_row["end"]) & !0xfff;
        assert!(rows.iter().all(|row| hex(&row["start"]) <= hex(&row["end"])), "{edition}");
        let pte = &answers(bits, edition, "hello", "", &[&format!("pte {top:x}")])[0];
        let entries = list(pte, "entries");
        let levels: Vec<&str> = entries.iter().filter_map(|entry| entry["level"].as_str()).collect();
        let all = ["PXE", "PPE", "PDE", "PTE"];
        let depth = match edition {
            "winxp-x86" => 2,
            "win7-x86" => 3,
            _ => 4,
        };
        assert_eq!(levels, all[4 - depth..], "{edition}");
        for pair in entries.windows(2) {
            assert_eq!(hex(&pair[0]["frame"]), hex(&pair[1]["physical"]) >> 12, "{edition}: {pair:?}");
        }
        let last = entries.last().expect("an entry");
        assert_eq!(hex(&last["frame"]), hex(&pte["physical"]) >> 12, "{edition}");
        let frame = last["frame"].as_str().expect("a frame");
        let pfn = &answers(bits, edition, "hello", "", &[&format!("pfn {frame}")])[0];
        assert_eq!(pfn["pte_physical"], last["physical"], "{edition}: {pfn}");
        assert_eq!(pfn["pte_address"], last["at"], "{edition}");
        assert_eq!(hex(&pfn["address"]), top, "{edition}");
        assert_eq!((&pfn["location"], number(&pfn["share_count"])), (&Value::from("active"), 1));
        assert_eq!(pfn["original"], "demand zero, READWRITE", "{edition}");
        assert_eq!(pfn["process"]["program"], "hello.exe", "{edition}");
    }
}

/// SPEC I32 I38: an image's page that nobody touched is in its file, one that ran is in a frame that its section names.
#[test]
fn an_images_pages_are_found_through_their_section() {
    for (bits, edition) in MACHINES {
        let told = answers(bits, edition, "hello", "", &["section", "section 0", "pte hello.exe+0x1000"]);
        let [all, first, pte] = told.as_slice() else { panic!("three answers: {told:?}") };
        let row = &list(all, "sections")[0];
        assert_eq!(row["name"], r"C:\work\hello.exe", "{edition}");
        let places = row["places"].as_object().expect("places");
        let pages: u64 = places.values().map(number).sum();
        assert_eq!(pages, number(&row["pages"]), "{edition}: {row}");
        assert_eq!((&first["places"], &first["name"]), (&row["places"], &row["name"]), "{edition}");
        let text = list(first, "subsections").iter().find(|part| part["name"] == ".text").expect("code");
        assert_eq!(
            (text["protection"].as_str(), text["shared"].as_bool()),
            (Some("EXECUTE_READ"), Some(false))
        );
        let view = &list(first, "views")[0];
        assert_eq!(hex(&view["start"]) + 0x1000, hex(&pte["address"]), "{edition}");
        let prototype = list(pte, "entries").last().expect("entries");
        assert_eq!(
            (&prototype["level"], prototype["valid"].as_bool()),
            (&Value::from("prototype"), Some(true))
        );
        assert_eq!(hex(&prototype["at"]) - hex(&text["base_pte"]), 0, "{edition}: .text begins at page 1");
        assert_eq!(pte["page"]["place"], "working-set", "{edition}");
    }
}

#[test]
fn an_address_is_told_with_its_region_its_range_and_its_page() {
    for (bits, edition) in MACHINES {
        let queries =
            ["address hello.exe+0x1000", "address 0", "address 7ffe0000", "address kernel32!WriteFile"];
        let told = answers(bits, edition, "hello", "", &queries);
        let [code, null, shared, function] = told.as_slice() else { panic!("four answers: {told:?}") };
        assert_eq!((&code["state"], &code["protection"]), (&"commit".into(), &"EXECUTE_READ".into()));
        assert_eq!((&code["usage"], &code["place"]), (&"hello.exe .text".into(), &"hello.exe+0x1000".into()));
        assert_eq!(code["vad"]["section"], 0, "{edition}");
        assert_eq!((&null["state"], &null["vad"]), (&"free".into(), &Value::Null), "{edition}");
        assert_eq!(hex(&null["base"]), 0, "{edition}");
        assert_eq!((&shared["usage"], &shared["type"]), (&"shared user data".into(), &"private".into()));
        assert_eq!(function["usage"], "kernel32.dll .text", "{edition}: {function}");
    }
}

/// SPEC E1: at the fault nothing of it has reached the program: the guest's handler has not said a word.
#[test]
fn a_run_stops_at_its_first_fault_before_the_program_hears_of_it() {
    for (bits, edition) in MACHINES {
        let scene = Scene::with(&format!("{bits}/guard_page.exe"));
        let whole = scene.vadose(&format!("run --edition {edition} guard_page.exe"));
        let line = format!("--edition {edition} --break-at fault");
        let stopped = ask(&scene, &line, &["procs"], "guard_page.exe");
        assert_eq!(stopped.code, Some(0), "{}", stopped.err);
        let told = "stands still at STATUS_ACCESS_VIOLATION, before it hears of it";
        assert!(stopped.err.contains(told) && stopped.err.contains("write of 0x"), "{}", stopped.err);
        let said = stopped.out.split("Process").next().expect("what the program said");
        assert!(whole.out.starts_with(said) && said.len() < whole.out.len(), "{edition}: {said}");
    }
}

#[test]
fn a_crash_is_looked_at_where_it_happened() {
    let scene = Scene::with("x64/crash.exe");
    let stopped = ask(&scene, "--break-at fault --json", &["procs"], "crash.exe");
    let address = stopped.err.split("write of ").nth(1).and_then(|rest| rest.split_whitespace().next());
    let address = address.expect("the byte is told");
    let query = format!("address {address}");
    let told = &answers("x64", "win10-x64", "crash", "--break-at fault", &[&query])[0];
    assert_eq!((&told["state"], &told["protection"]), (&"commit".into(), &"READONLY".into()));
    assert_eq!(told["page"]["place"], "demand-zero", "nobody has read it before: {told}");
}

#[test]
fn a_run_stops_after_so_many_service_calls() {
    let scene = Scene::with("x64/hello.exe");
    let stopped = ask(&scene, "--break-at 1", &["vm"], "hello.exe");
    assert!(stopped.err.contains("stands still after 1 service calls"), "{}", stopped.err);
    assert!(!stopped.out.contains("Hello"), "it has not come to that: {}", stopped.out);
    let never = ask(&scene, "--break-at 100000", &["procs"], "hello.exe");
    assert_eq!(never.code, Some(0));
    for words in ["ended with exit code 0", "fewer than 100,000 service calls", "its memory at the end"] {
        assert!(never.err.contains(words), "{words}: {}", never.err);
    }
    let no_fault = ask(&scene, "--break-at fault", &["procs"], "hello.exe");
    assert!(no_fault.err.contains("made no fault"), "{}", no_fault.err);
    let run = scene.vadose("run --break-at 1 -q procs hello.exe");
    assert!(
        run.code == Some(0) && run.out.contains("hello.exe") && !run.out.contains("Hello"),
        "{}",
        run.out
    );
}

/// SPEC G15 I38: two programs at once are two address spaces, each with its own tables, over the same sections.
#[test]
fn each_of_several_processes_can_be_asked_about() {
    let scene = Scene::with("x64/hello.exe");
    scene.put("spin.exe", "x64/spin.exe", |_| {});
    let mut command = scene.command("inspect --json --break-at 1 --process 1480");
    let asked =
        outcome(command.args(["-q", "procs", "-q", "pte 7ffe0000", "hello.exe", "--and", "spin.exe"]));
    assert_eq!(asked.code, Some(0), "{}", asked.err);
    let told: Vec<Value> = asked.out.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let processes = list(&told[0], "processes");
    let names: Vec<&str> = processes.iter().filter_map(|one| one["program"].as_str()).collect();
    assert_eq!(names, ["hello.exe", "spin.exe"]);
    let other = number(&processes[1]["pid"]);
    let mut command = scene.command(&format!("inspect --json --break-at 1 --process {other}"));
    let asked = outcome(command.args(["-q", "pte 7ffe0000", "hello.exe", "--and", "spin.exe"]));
    let second: Value = serde_json::from_str(asked.out.lines().last().expect("a line")).expect("JSON");
    let first = &told[1];
    assert_eq!(
        (&first["process"]["program"], &second["process"]["program"]),
        (&"hello.exe".into(), &"spin.exe".into())
    );
    assert_ne!(first["root"], second["root"], "two top tables");
    assert_eq!(first["physical"], second["physical"], "the page that all processes share");
}

#[test]
fn queries_come_from_standard_input_until_quit() {
    let scene = Scene::with("x64/cat.exe");
    let input = b"procs\n\n  vm\nquit\nvad\n";
    let asked = scene.vadose_reading("inspect cat.exe", input);
    assert_eq!(asked.code, Some(0), "{}", asked.err);
    assert!(asked.out.starts_with("Process "), "nothing is left for the program: {}", asked.out);
    assert!(asked.out.contains("Commit limit") && !asked.out.contains("Ranges of"), "{}", asked.out);
    assert!(!asked.out.contains('>'), "a prompt is for people: {}", asked.out);
    let read = scene.vadose_reading("inspect -q procs cat.exe", input);
    assert!(read.out.starts_with("procs\n\n  vm\n"), "with -q the program reads it: {}", read.out);
    let help = scene.vadose_reading("inspect cat.exe", b"help\n");
    assert!(help.out.contains("pte VA") && help.out.contains("quit"), "{}", help.out);
}

#[test]
fn what_has_no_answer_is_told_and_the_others_are_answered() {
    let scene = Scene::with("x64/hello.exe");
    for (query, words) in [
        ("frobnicate", "`frobnicate` is no query; there is `address VA`, `vad`"),
        ("pte", "`pte` needs an address"),
        ("pte zz", "zz is not loaded in hello.exe"),
        ("pte 8000000000000000", "0x8000000000000000 is no address: the processor takes 48 bits"),
        ("pte hello.exe+800000000000", "is no address: the processor takes 48 bits"),
        ("pfn 40000", "there is no frame 0x40000: RAM has frames 0x0 to 0x3ffff"),
        ("pfn -1", "`-1` is no frame number"),
        ("section 99", "there is no section 99"),
        ("section x", "`x` is no section's number"),
        ("vm now", "`vm` takes no `now`"),
        ("address nope.dll", "nope.dll is not loaded in hello.exe"),
        ("address kernel32!Nope", "kernel32.dll exports no Nope"),
    ] {
        let asked =
            scene.vadose_reading("inspect --aslr off hello.exe", format!("{query}\nprocs\n").as_bytes());
        assert_eq!(asked.code, Some(125), "{query}: {}", asked.err);
        assert!(
            asked.err.lines().any(|line| line.starts_with("vadose: ") && line.contains(words)),
            "{}",
            asked.err
        );
        assert!(asked.out.contains("DirBase"), "the next query is answered: {}", asked.out);
    }
    let json = scene.vadose_reading("inspect --json hello.exe", b"pfn 40000\n");
    let told = json.out.lines().last().expect("a line");
    let told: Value = serde_json::from_str(told).expect("JSON");
    assert_eq!((&told["asked"], json.code), (&"pfn 40000".into(), Some(125)));
}

#[test]
fn wrong_command_lines_are_refused_before_anything_runs() {
    let scene = Scene::with("x64/hello.exe");
    for (line, words) in [
        ("inspect -q frobnicate hello.exe", ["frobnicate", "`memusage`"]),
        ("inspect --break-at sometime -q vm hello.exe", ["sometime", "exit, fault"]),
        ("inspect --break-at 0 -q vm hello.exe", ["`0`", "service calls"]),
        ("inspect", ["PROGRAM", "required"]),
        ("run -q vm hello.exe", ["--break-at", "required"]),
        ("run --break-at exit --map hello.exe", ["--map", "cannot be used with"]),
    ] {
        scene.vadose(line).fails(125, &words);
    }
    scene.vadose("inspect -q vm none.exe").fails(127, &["there is no such file"]);
    let other = ask(&scene, "--process 77", &["vm"], "hello.exe");
    assert!(other.code == Some(125) && other.err.contains("no process 77"), "{}", other.err);
}

/// The columns that users of WinDbg and VMMap look for, each over its values.
#[test]
fn texts_have_their_columns_in_line() {
    let scene = Scene::with("x64/hello.exe");
    for (query, headings) in [
        ("vad", "Start End Pages Commit Type Protection Flags Section Name"),
        ("pte hello.exe", "Level Entry at Physical Contains Pfn Flags Meaning"),
        ("section", "Section Type Pages Active Standby Modified Commit Objects Views Name"),
        ("memusage", "Section Valid Standby Dirty Transition Shared Locked Name"),
        (
            "procs",
            "Process Parent Peb DirBase VADs Virtual Commit Working set Peak Page tables Faults Threads Handles Image",
        ),
    ] {
        let asked = ask(&scene, "", &[query], "hello.exe");
        let squeezed = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let heading = asked.out.lines().position(|line| squeezed(line) == headings);
        let heading = heading.unwrap_or_else(|| panic!("{headings} in {}", asked.out));
        assert!(asked.out.lines().count() > heading + 1, "{query} has rows");
        assert!(asked.out.lines().all(|line| !line.ends_with(' ')), "{query}: no spaces at a line's end");
    }
}

#[test]
fn the_same_options_give_the_same_answers() {
    let scene = Scene::with("x64/demo.exe");
    let asked = || ask(&scene, "--json --seed 3", &["vad", "memusage", "section"], "demo.exe").out;
    assert_eq!(asked(), asked());
}
