//! Programs on real system DLLs: how long the start of one takes, and a program that computes beside the same under Wine, where Wine
//! is installed.

use crate::memory::vadose_binary;
use crate::report::{Goal, Row, in_turns};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;
use vadose_lab::download::{fetch, pin};
use vadose_lab::guest::sample;
use vadose_lab::sysroot::system_dlls;

/// What the start should take at most, ms.
const START_GOAL: f64 = 60.0;
/// Bytes that 7za compresses.
const PACKED_BYTES: usize = 20 << 20;

/// The start of hello, and 7za at work.
pub(crate) fn rows() -> Vec<Row> {
    let measured = start().and_then(|start| Ok([vec![start], packing()?].concat()));
    measured.unwrap_or_else(|reason| {
        eprintln!("programs on real system DLLs are not measured: {reason}");
        Vec::new()
    })
}

fn start() -> Result<Row, String> {
    let (vadose, folder) = (vadose_binary()?, system_dlls("x64").map_err(|error| error.to_string())?);
    let hello = sample("x64", "hello");
    let run = || {
        let mut command = Command::new(&vadose);
        milliseconds(command.args(["run", "--sysroot"]).arg(&folder).arg(&hello))
    };
    // Once for the host's file cache.
    run()?;
    let work = "start and end of hello.exe on Wine's DLLs";
    match wine() {
        Some(wine) => {
            let theirs = || milliseconds(Command::new(wine).arg(&hello)).unwrap_or(f64::NAN);
            let (ours, theirs) = in_turns(|| run().unwrap_or(f64::NAN), theirs);
            Ok(Row::new(work, "ms", ours, "Wine itself", theirs, Goal::None))
        }
        None => {
            let (ours, _) = in_turns(|| run().unwrap_or(f64::NAN), || START_GOAL);
            Ok(Row::new(work, "ms", ours, "the goal; Wine takes 35 to 49", START_GOAL, Goal::AtMost(1.0)))
        }
    }
}

/// Nothing without Wine: there is nothing to compare with.
fn packing() -> Result<Vec<Row>, String> {
    let Some(wine) = wine() else { return Ok(Vec::new()) };
    let (vadose, folder) = (vadose_binary()?, system_dlls("x64").map_err(|error| error.to_string())?);
    let program = fetch(pin("7zip-bin", "win_amd64")).map_err(|error| error.to_string())?;
    let work = tempfile::tempdir().map_err(|error| error.to_string())?;
    let text: Vec<u8> = (0_u32..)
        .flat_map(|n| format!("line {}\n", n.wrapping_mul(2_654_435_761)).into_bytes())
        .take(PACKED_BYTES)
        .collect();
    std::fs::write(work.path().join("data.txt"), text).map_err(|error| error.to_string())?;
    let arguments = ["a", "-mx=1", "-mmt=1", "-bd", "packed.7z", "data.txt"];
    let once = |command: &mut Command| {
        // What is there already would be updated.
        let _none_yet = std::fs::remove_file(work.path().join("packed.7z"));
        milliseconds(command.args(arguments).current_dir(work.path())).unwrap_or(f64::NAN)
    };
    let ours = || {
        let mut command = Command::new(&vadose);
        once(command.args(["run", "--writable", ".", "--sysroot"]).arg(&folder).arg(&program))
    };
    let (ours, theirs) = in_turns(ours, || once(Command::new(wine).arg(&program)));
    Ok(vec![Row::new("7za packs 20 MiB", "ms", ours, "Wine itself", theirs, Goal::None)])
}

fn wine() -> Option<&'static Path> {
    ["/usr/bin/wine64", "/usr/bin/wine", "/usr/lib/wine/wine64"]
        .map(Path::new)
        .into_iter()
        .find(|path| path.is_file())
}

/// How long a command took that has to end well.
fn milliseconds(command: &mut Command) -> Result<f64, String> {
    let began = Instant::now();
    let status =
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().map_err(|error| error.to_string())?;
    if status.success() {
        Ok(began.elapsed().as_secs_f64() * 1e3)
    } else {
        Err(format!("{command:?} ended with {status}"))
    }
}
