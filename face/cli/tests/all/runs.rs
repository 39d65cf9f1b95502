//! `vadose run` on the sample guests: output, exit codes, reports, limits.
#![cfg(feature = "unicorn")]

use crate::scene::{Scene, outcome};
use serde_json::Value;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Guests and editions that a whole run is tried on.
const MACHINES: [(&str, &str); 3] = [("x64", "win10-x64"), ("x86", "win7-x86"), ("x86", "winxp-x86")];

fn scene_of(bits: &str, guests: &[&str]) -> Scene {
    let scene = Scene::new();
    for name in guests {
        scene.put(&format!("{name}.exe"), &format!("{bits}/{name}.exe"), |_| {});
    }
    scene
}

#[test]
fn a_program_prints_and_ends_with_its_own_exit_code() {
    for (bits, edition) in MACHINES {
        let scene = scene_of(bits, &["hello", "exit_code"]);
        let hello = scene.vadose(&format!("run --edition {edition} hello.exe"));
        assert_eq!(hello.is_quiet(0).out, "Hello from a Windows program.\n");
        for code in [0, 1, 42, 255] {
            scene.vadose(&format!("run --edition {edition} exit_code.exe {code}")).is_quiet(code);
        }
        let large = scene.vadose(&format!("run --edition {edition} exit_code.exe 259"));
        assert_eq!(large.code, Some(3));
        assert!(large.err.contains("259 (0x103), of which a shell sees 3"), "{}", large.err);
    }
}

/// The guests check themselves and end with 1 if something is wrong.
#[test]
fn guests_that_check_their_own_memory_find_nothing_wrong() {
    let checks = [
        ("page_states", "the page committed again is zero"),
        ("guard_page", "handler removed"),
        ("write_copy", "variable written"),
        ("stack_growth", "limit moved by 200 KiB"),
        ("tls_callbacks", "3: entry point"),
    ];
    for (bits, edition) in MACHINES {
        let scene = scene_of(bits, &checks.map(|(name, _)| name));
        for (name, words) in checks {
            let run = scene.vadose(&format!("run --aslr off --timeout 60 --edition {edition} {name}.exe"));
            assert!(run.is_quiet(0).out.contains(words), "{edition} {name}: {}", run.out);
        }
    }
}

/// What would be one more is refused, the program goes on, and both it and the report are told.
#[test]
fn no_more_processes_and_threads_run_than_there_may_be() {
    for (bits, edition) in MACHINES {
        let scene = scene_of(bits, &["processes", "threads"]);
        for (line, own, told, field) in [
            (
                "--max-processes 1 --report a.json processes.exe",
                "1816",
                "1 process, for there were 1",
                "processes",
            ),
            ("--max-threads 2 --report a.json threads.exe", "1450", "1 thread, for there were 2", "threads"),
        ] {
            let run = scene.vadose(&format!("run --edition {edition} --timeout 60 {line}"));
            assert_eq!(run.code, Some(1), "{edition} {line}: {}", run.err);
            assert!(run.out.contains(&format!("failed, last error {own}")), "{edition}: {}", run.out);
            assert!(run.err.contains(told), "{edition}: {}", run.err);
            let report = std::fs::read(scene.path("a.json")).expect("a report");
            let report: Value = serde_json::from_slice(&report).expect("JSON");
            assert_eq!(report["refused"][field], 1, "{edition}");
            std::fs::remove_file(scene.path("a.json")).expect("it is there");
        }
    }
}

/// A guest that starts threads without end, or processes that each start the next, ends at its limit as it sees fit.
#[test]
fn a_guest_that_multiplies_without_end_ends_at_its_limit() {
    for (bits, edition) in MACHINES {
        let scene = scene_of(bits, &["swarm"]);
        for (limit, line, count) in [
            ("--max-threads 40", "swarm.exe", "threads started: 39"),
            ("--max-processes 12", "swarm.exe 1", "processes in a row: 12"),
        ] {
            let run = scene.vadose(&format!("run --edition {edition} --timeout 60 {limit} {line}"));
            assert_eq!(run.code, Some(3), "{edition} {line}: {}", run.err);
            assert!(run.out.contains(count), "{edition}: {}", run.out);
            assert!(run.err.contains("was refused 1 "), "{edition}: {}", run.err);
        }
    }
}

#[test]
fn standard_input_reaches_the_program_to_its_end() {
    let bytes: Vec<u8> = (0..300_000_u32).map(|number| (number % 251) as u8 & 0x7f).collect();
    for (bits, edition) in MACHINES {
        let scene = scene_of(bits, &["cat"]);
        let line = format!("run --edition {edition} --timeout 60 cat.exe");
        let text = String::from_utf8_lossy(&bytes).replace("\r\n", "\n");
        assert_eq!(scene.vadose_reading(&line, &bytes).is_quiet(0).out, text);
        assert_eq!(scene.vadose_reading(&line, b"").is_quiet(0).out, "");
    }
}

/// SPEC E1 E5: a write to a read-only page raises an access violation that names the write and its exact byte.
#[test]
fn a_crash_tells_what_where_and_the_region_it_hit() {
    for (bits, edition) in MACHINES {
        let scene = scene_of(bits, &["crash"]);
        let run = scene.vadose(&format!("run --edition {edition} crash.exe"));
        assert_eq!(run.code, Some(139));
        let byte = run.out.trim().rsplit(' ').next().expect("the guest says which byte").to_owned();
        assert!(byte.starts_with("0x") && byte.ends_with("123"), "{}", run.out);
        for words in [
            "crash.exe died",
            "STATUS_ACCESS_VIOLATION (0xc0000005)",
            "crash.exe+0x",
            &format!("write of {byte}\n"),
            "committed READONLY, private",
        ] {
            assert!(run.err.contains(words), "{edition} {words:?}: {}", run.err);
        }
    }
}

#[test]
fn a_time_limit_ends_a_loop_and_a_wait_for_input() {
    for (bits, edition) in MACHINES {
        let scene = scene_of(bits, &["spin", "cat"]);
        for name in ["spin.exe", "cat.exe"] {
            let started = Instant::now();
            let mut command = scene.command(&format!("run --edition {edition} --timeout 0.5 {name}"));
            let (reader, _writer) = std::io::pipe().expect("a pipe");
            let run = outcome(command.stdin(reader));
            assert_eq!(run.code, Some(124), "{}", run.err);
            assert!(run.err.contains("0.5 seconds"), "{}", run.err);
            let took = started.elapsed();
            assert!(took > Duration::from_millis(500) && took < Duration::from_secs(20), "{took:?}");
        }
    }
}

#[test]
fn a_time_limit_ends_a_wait_for_a_reader_that_does_not_read() {
    let scene = scene_of("x64", &["cat"]);
    let (_reader, writer) = std::io::pipe().expect("a pipe");
    let zeros = std::fs::File::open("/dev/zero").expect("a device of every Linux");
    let mut command = scene.command("run --timeout 0.5 cat.exe");
    let child = command.stdin(zeros).stdout(writer).stderr(Stdio::piped()).spawn().expect("vadose is built");
    assert_eq!(child.wait_with_output().expect("vadose ends").status.code(), Some(124));
}

#[test]
fn stats_sum_up_what_paging_did() {
    let scene = scene_of("x64", &["big_data"]);
    let line = "run --edition win7-x64 --ram 8M --pagefile 64M --stats --report report.json big_data.exe 24";
    let run = scene.vadose(line);
    assert_eq!(run.code, Some(0), "{}", run.err);
    for words in [
        "Paging\n",
        " without a read, ",
        " not used for a while",
        " page tables",
        " writes, ",
        " a write\n",
        " read along, ",
    ] {
        assert!(run.err.contains(words), "{words:?}: {}", run.err);
    }
    let report = std::fs::read(scene.path("report.json")).expect("the report is there");
    let report: Value = serde_json::from_slice(&report).expect("an object");
    let paging = |name: &str| report["memory"]["paging"][name].as_u64().expect("a number");
    assert!(paging("read_along_used") > 0 && paging("read_along_used") <= paging("read_along"), "{report}");
    assert_eq!(paging("pages_read"), paging("reads") + paging("read_along"), "{report}");
    assert!(paging("trimmed_not_used") > paging("pages_written"), "more was trimmed than had to be written");
    assert!(
        paging("repurposed") > 4096 && paging("hard_faults") >= paging("reads") - paging("tables_trimmed"),
        "{report}"
    );
}

#[test]
fn map_and_stats_are_text_on_standard_error() {
    let scene = scene_of("x64", &["hello"]);
    let run = scene.vadose("run --map --stats hello.exe");
    assert_eq!((run.code, run.out.as_str()), (Some(0), "Hello from a Windows program.\n"));
    for words in
        ["Address ", "hello.exe .text", "What the program did", "first touches", "guest RAM", "1 GiB"]
    {
        assert!(run.err.contains(words), "{words}: {}", run.err);
    }
}

/// SPEC J11: what page files hold now counts, not what they may grow to.
#[test]
fn the_commit_limit_is_ram_and_the_initial_sizes_of_all_page_files() {
    let scene = Scene::with("x64/hello.exe");
    let limit = |options: &str| {
        let run = scene.vadose(&format!("run {options} --report r.json hello.exe"));
        assert_eq!(run.code, Some(0), "{}", run.err);
        let text = std::fs::read_to_string(scene.path("r.json")).expect("the report");
        let json: Value = serde_json::from_str(&text).expect("one JSON object");
        json["memory"]["commit_limit"].as_u64().expect("bytes")
    };
    let with = limit("--pagefile 1M-2G --pagefile 0-1G:. --pagefile 3M:.");
    assert_eq!(with - limit("--pagefile 0"), 4 << 20);
    assert_eq!(scene.names(), ["hello.exe", "r.json"], "no page file is seen");
}

#[test]
fn the_json_report_is_the_last_thing_on_standard_output() {
    let scene = scene_of("x64", &["hello"]);
    let run = scene.vadose("run --format json hello.exe");
    let json =
        run.is_quiet(0).out.strip_prefix("Hello from a Windows program.\n").expect("its own output first");
    let json: Value = serde_json::from_str(json).expect("one JSON object");
    assert_eq!(json["exit_code"], 0);
    assert_eq!(json["edition"], "win10-x64");
    assert_eq!(json["ending"]["kind"], "exit");
    assert_eq!(json["memory"]["ram"], 1_u64 << 30);
    assert!(json["map"]["regions"].as_array().is_some_and(|regions| regions.len() > 10));
}

#[test]
fn the_report_file_appears_whole_and_alone() {
    let scene = scene_of("x64", &["crash"]);
    std::fs::write(scene.path("r.json"), "old").expect("a fresh folder");
    let run = scene.vadose("run --report r.json crash.exe");
    assert_eq!(run.code, Some(139));
    assert!(!run.out.contains('{'), "{}", run.out);
    let text = std::fs::read_to_string(scene.path("r.json")).expect("the report");
    let json: Value = serde_json::from_str(&text).expect("one JSON object");
    assert_eq!(json["ending"]["kind"], "crash");
    assert_eq!(json["ending"]["name"], "STATUS_ACCESS_VIOLATION");
    assert_eq!(json["ending"]["access"]["verb"], "write");
    assert_eq!(scene.names(), ["crash.exe", "r.json"]);
}

#[test]
fn a_report_may_go_into_a_pipe_or_a_device() {
    let scene = scene_of("x64", &["hello"]);
    let run = scene.vadose("run --report /dev/stderr hello.exe");
    assert_eq!(run.code, Some(0), "{}", run.err);
    assert!(serde_json::from_str::<Value>(&run.err).is_ok(), "{}", run.err);
    scene.vadose("run --report /dev/null hello.exe").is_quiet(0);
}

#[test]
fn two_runs_with_one_seed_are_the_same_to_the_last_byte() {
    for (bits, edition) in MACHINES {
        let scene = scene_of(bits, &["page_states"]);
        let run = |seed| {
            scene.vadose(&format!("run --edition {edition} --seed {seed} --format json page_states.exe"))
        };
        assert_eq!(run(7).out, run(7).out);
    }
}

#[test]
fn a_reader_of_the_programs_output_that_goes_away_stops_nobody_but_the_program() {
    let scene = scene_of("x64", &["demo"]);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let child = scene
        .command("run --timeout 60 demo.exe")
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()
        .expect("vadose is built");
    let output = child.wait_with_output().expect("vadose ends");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code().is_some() && !told.contains("panicked"), "{told}");
}

#[test]
fn a_small_machine_runs_a_small_program() {
    for (bits, edition) in MACHINES {
        let scene = scene_of(bits, &["hello"]);
        scene.vadose(&format!("run --edition {edition} --ram 8M hello.exe")).is_quiet(0);
    }
}

/// SPEC A14: `--privilege` lets the account hold the privilege, and the program enables it; without it there is none.
#[test]
fn a_privilege_is_held_if_the_command_line_says_so() {
    for (bits, edition) in MACHINES {
        let scene = scene_of(bits, &["physical_pages"]);
        let without = scene.vadose(&format!("run --edition {edition} physical_pages.exe"));
        assert!(without.is_quiet(0).out.contains("a large page: error 1314\n"), "{}", without.out);
        let line = format!("run --edition {edition} --privilege lock-memory physical_pages.exe");
        let with = scene.vadose(&line);
        assert!(with.is_quiet(0).out.contains("a large page: done\n"), "{}", with.out);
    }
    let unknown = Scene::new().vadose("run --privilege debug a.exe");
    unknown.fails(125, &["debug", "lock-memory"]);
}

/// SPEC A40: `--top-down` puts what a program leaves open above what it gets otherwise.
#[test]
fn memory_comes_from_the_top_if_the_command_line_says_so() {
    for (bits, edition) in MACHINES {
        let scene = scene_of(bits, &["crash"]);
        let page = |options: &str| {
            let run = scene.vadose(&format!("run --edition {edition} {options} crash.exe"));
            let byte = run.out.trim().rsplit("0x").next().expect("the guest says which byte").to_owned();
            u64::from_str_radix(&byte, 16).expect("a number")
        };
        let (low, high) = (page(""), page("--top-down"));
        let top = if bits == "x64" { 0x7ff0_0000_0000 } else { 0x7000_0000 };
        assert!(low < top && high > top, "{edition}: {low:#x} {high:#x}");
    }
}

/// Two programs at once: both are heard, the exit code is the first one's, and the second one's is told.
#[test]
fn programs_with_and_between_them_run_together() {
    let scene = scene_of("x64", &["hello", "exit_code", "spin"]);
    let both = scene.vadose("run --stats hello.exe --and exit_code.exe 7");
    assert_eq!((both.code, both.out.as_str()), (Some(0), "Hello from a Windows program.\n"));
    assert!(both.err.contains("exit_code.exe (process 1488) ended with exit code 7"), "{}", both.err);
    assert!(both.err.contains("Other processes"), "{}", both.err);
    assert_eq!(scene.vadose("run exit_code.exe 9 --and hello.exe").code, Some(9));
    let stopped = scene.vadose("run --timeout 0.5 hello.exe --and spin.exe");
    assert_eq!(stopped.code, Some(124), "one that goes on is stopped: {}", stopped.err);
    for line in ["run hello.exe --and", "run --and hello.exe"] {
        let refused = scene.vadose(line);
        assert_eq!(refused.code, Some(125), "{line}: {}", refused.err);
    }
    assert!(scene.vadose("run hello.exe --and").err.contains("missing before or after --and"));
    assert_eq!(scene.vadose("run hello.exe --and nothing.exe").code, Some(127));
}
