//! The long list of real programs on real system DLLs.

use anyhow::{Context, Result};

use crate::command::{Step, cargo};
use crate::setup;
use crate::workspace::Workspace;

/// Where the system DLLs are kept that tests use, below cargo's target folder.
const CACHE: &str = "sysroots";
/// The suite of Debian that has them.
const SUITE: &str = "trixie";
/// The sysroots, by the processor that they are for.
const SYSROOTS: [(&str, &str); 2] = [("x64", "wine-10.0-x64"), ("x86", "wine-10.0-x86")];

/// Builds Vadose, has it install system DLLs, and runs every program on them.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    setup::run()?;
    let (root, target) = (workspace.root(), workspace.target_folder()?);
    cargo(root)
        .args([
            "build",
            "--release",
            "-p",
            "vadose",
            "-p",
            "vadose-lab",
            "--bin",
            "vadose",
            "--bin",
            "programs",
        ])
        .run()?;
    let cache = target.join(CACHE);
    let cache = cache.to_str().context("the target folder's path is not UTF-8")?;
    let vadose = target.join("release/vadose");
    Step::new(&vadose)
        .args(["sysroot", "install", "--suite", SUITE, "--arch", "all"])
        .env("XDG_CACHE_HOME", cache)
        .run()?;
    let mut programs = Step::new(target.join("release/programs")).folder(root);
    for (arch, name) in SYSROOTS {
        programs = programs.args([format!("--{arch}"), format!("{cache}/vadose/sysroots/{name}")]);
    }
    programs.run()
}
