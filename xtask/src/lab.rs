//! Chores that run what the lab holds: benches and fuzz targets.

use std::fs;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::command::{Step, cargo};
use crate::setup;
use crate::workspace::Workspace;

/// What `cargo xtask fuzz` takes.
#[derive(Args)]
pub(crate) struct FuzzOptions {
    /// How long each target runs
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1440))]
    minutes: u64,
    /// The target to run; without one, each of lab/fuzz in turn
    target: Option<String>,
}

/// What `cargo xtask sim` takes.
#[derive(Args)]
pub(crate) struct SimOptions {
    /// Simulate paging: programs with more data than RAM, and transfers that end late or fail
    #[arg(long)]
    paging: bool,
    /// Simulate sections: processes that share files, images and page-file memory
    #[arg(long, conflicts_with = "paging")]
    sections: bool,
    /// Steps of a run
    #[arg(long, default_value_t = 2000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    steps: u64,
    /// The one seed to run; without it, seeds from 0 on
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// The one edition to simulate; without it, each in turn
    #[arg(long, value_name = "E")]
    edition: Option<String>,
    /// How long seeds are tried
    #[arg(long, default_value_t = 1, value_name = "M", value_parser = clap::value_parser!(u64).range(1..=1440))]
    minutes: u64,
}

/// Seconds after which one input counts as a hang.
const HANG_SECONDS: u32 = 10;

/// Builds and runs the bench program of the lab.
pub(crate) fn bench(workspace: &Workspace) -> Result<()> {
    setup::run()?;
    cargo(workspace.root()).args(["run", "--release", "-p", "vadose-lab", "--bin", "bench"]).run()
}

/// Builds and runs the simulator of the memory manager's calls. It prints what differs.
pub(crate) fn sim(workspace: &Workspace, options: &SimOptions) -> Result<()> {
    let mut step = cargo(workspace.root())
        .args(["run", "--quiet", "--release", "-p", "vadose-mm", "--example", "sim", "--"])
        .args([format!("--steps={}", options.steps), format!("--minutes={}", options.minutes)]);
    if options.paging {
        step = step.args(["--simulator=paging"]);
    }
    if options.sections {
        step = step.args(["--simulator=sections"]);
    }
    if let Some(seed) = options.seed {
        step = step.args([format!("--seed={seed}")]);
    }
    if let Some(edition) = &options.edition {
        step = step.args([format!("--edition={edition}")]);
    }
    step.run()
}

/// Runs fuzz targets one after another; the first that finds something ends the run.
pub(crate) fn fuzz(workspace: &Workspace, options: &FuzzOptions) -> Result<()> {
    setup::run()?;
    ensure_fuzzer()?;
    let known = targets(workspace)?;
    let wanted = match &options.target {
        Some(target) if known.contains(target) => vec![target.clone()],
        Some(target) => bail!("no fuzz target `{target}`; lab/fuzz has: {}", known.join(", ")),
        None => known,
    };
    plant_seeds(workspace)?;
    let seconds = options.minutes * 60;
    for target in wanted {
        println!("fuzz: {target} for {} minutes", options.minutes);
        cargo_fuzz(workspace)
            .args(["run", &target, "--"])
            .args([format!("-max_total_time={seconds}"), format!("-timeout={HANG_SECONDS}")])
            .run()
            .with_context(|| {
                format!("{target} found something; the input is in lab/fuzz/artifacts/{target}")
            })?;
    }
    Ok(())
}

/// Puts small well-formed files into the corpora: from nothing a fuzzer never gets past the first signature.
fn plant_seeds(workspace: &Workspace) -> Result<()> {
    println!("fuzz: planting the first inputs");
    cargo(workspace.root())
        .folder(&workspace.path("lab/fuzz"))
        .args(["run", "--quiet", "--bin", "seed_corpus", "--", "corpus"])
        .run()
}

/// A target is a file in the folder of targets; the crate has other programs too.
fn targets(workspace: &Workspace) -> Result<Vec<String>> {
    let folder = workspace.path("lab/fuzz/fuzz_targets");
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut targets: Vec<String> = entries
        .flatten()
        .filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".rs")?.to_owned()))
        .collect();
    targets.sort();
    if targets.is_empty() {
        bail!("lab/fuzz/fuzz_targets has no targets");
    }
    Ok(targets)
}

/// cargo-fuzz under nightly: the variables of the stable toolchain that runs this program must not reach it.
fn cargo_fuzz(workspace: &Workspace) -> Step {
    Step::new("rustup")
        .args(["run", "nightly", "cargo", "fuzz"])
        .folder(&workspace.path("lab"))
        .without_env("CARGO")
        .without_env("RUSTUP_TOOLCHAIN")
        .without_env("CARGO_TARGET_DIR")
}

fn ensure_fuzzer() -> Result<()> {
    if !Step::new("rustup").args(["run", "nightly", "rustc", "-V"]).succeeds() {
        bail!("fuzzing needs the nightly toolchain: rustup toolchain install nightly");
    }
    if Step::new("cargo").args(["fuzz", "--version"]).succeeds() {
        return Ok(());
    }
    println!("fuzz: installing cargo-fuzz");
    Step::new("cargo").args(["install", "cargo-fuzz", "--locked"]).run()
}
