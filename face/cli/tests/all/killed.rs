//! A run that is killed while it pages: its page file is gone with it, whatever the signal.

use crate::scene::Scene;
use rustix::process::{Pid, Signal, kill_process};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// The run is slow to come so far only where it never does.
const PATIENCE: Duration = Duration::from_secs(60);
/// Blocks of the page file, 512 bytes each, that say that pages have gone there.
const SOME_BLOCKS: u64 = 2048;

/// Files of a folder that a process has open and that have no name any more, as `/proc` tells them.
fn nameless_files(pid: u32, folder: &Path) -> Vec<PathBuf> {
    let Ok(open) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    let in_folder = |descriptor: &PathBuf| {
        let target = std::fs::read_link(descriptor).unwrap_or_default();
        target.starts_with(folder) && target.to_string_lossy().ends_with(" (deleted)")
    };
    open.flatten().map(|descriptor| descriptor.path()).filter(in_folder).collect()
}

/// Waits until pages have gone to the page file of a run.
#[track_caller]
fn wait_until_it_pages(run: &mut Child, folder: &Path) {
    let began = Instant::now();
    loop {
        let files = nameless_files(run.id(), folder);
        assert!(files.len() <= 1, "one page file was ordered: {files:?}");
        let blocks = files.first().and_then(|file| file.metadata().ok()).map_or(0, |seen| seen.blocks());
        if blocks >= SOME_BLOCKS {
            return;
        }
        assert_eq!(run.try_wait().expect("a child"), None, "the run ended before it was killed");
        assert!(began.elapsed() < PATIENCE, "{blocks} blocks in {files:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_killed_run_leaves_no_page_file() {
    let scene = Scene::with("x64/big_data.exe");
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path().canonicalize().expect("it is there");
    let size = format!("--pagefile=4G:{}", folder.display());
    for signal in [Signal::INT, Signal::TERM, Signal::KILL] {
        let mut command = scene.command("run --ram 8M --compression off");
        command.args([&size, "big_data.exe", "2048"]).stdout(Stdio::null());
        let mut run = command.spawn().expect("vadose is built");
        wait_until_it_pages(&mut run, &folder);
        let pid = Pid::from_raw(run.id().cast_signed()).expect("a child");
        kill_process(pid, signal).expect("it runs");
        let ended = run.wait().expect("a child");
        assert_eq!(ended.signal(), Some(signal.as_raw()), "{ended}");
        let left = std::fs::read_dir(&folder).expect("it is there").count();
        assert_eq!(left, 0, "files left after {signal:?}");
    }
}
