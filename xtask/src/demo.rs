//! The first thing a newcomer runs: builds Vadose and shows a Windows program on it.

use std::time::Instant;

use anyhow::{Context, Result};

use crate::command::{Step, cargo};
use crate::setup;
use crate::workspace::Workspace;

const GUEST: &str = "lab/guests/bin/x64/demo.exe";

/// Sets up, builds release, and runs the demo's guest with its map and its statistics.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let begun = Instant::now();
    setup::run()?;
    println!("demo: building Vadose; the first time takes a minute or two");
    cargo(workspace.root()).args(["build", "--release", "-p", "vadose"]).run()?;

    let vadose = workspace.target_folder()?.join("release/vadose");
    println!();
    println!(
        "demo: {GUEST} is a Windows program. No Windows is here: every page it touches is handled by Vadose."
    );
    println!("demo: first its own words, then the map of its address space, then what its faults were.");
    println!("demo: $ vadose run --map --stats {GUEST}");
    println!();
    Step::new(&vadose)
        .args(["run", "--map", "--stats", GUEST])
        .folder(workspace.root())
        .run()
        .with_context(|| format!("the guest {GUEST} did not end well"))?;
    println!();
    println!(
        "demo: that was {} seconds, set-up and build included. Try your own: {} run PROGRAM.exe",
        begun.elapsed().as_secs(),
        workspace.relative(&vadose)
    );
    Ok(())
}
