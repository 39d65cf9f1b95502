//! Keeps the sample Windows programs in `lab/guests` and their sources in step.

mod manifest;
mod recipe;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use sha2::{Digest, Sha256};

use crate::workspace::Workspace;
use manifest::{MANIFEST, Manifest};
use recipe::Recipe;

/// What `cargo xtask guests` takes.
#[derive(Args)]
pub(crate) struct Options {
    /// Change nothing: check that sources and binaries match the manifest, and rebuild to compare where the same
    /// compiler is installed
    #[arg(long)]
    check: bool,
}

const FOLDER: &str = "lab/guests";

/// Debian packages that have the compilers.
const PACKAGES: &str = "gcc-mingw-w64-x86-64-win32 gcc-mingw-w64-i686-win32";

/// Rebuilds the guests, or checks them.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    if options.check { check(workspace) } else { rebuild(workspace) }
}

/// Fails when a source, a binary and the manifest do not belong together.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let folder = workspace.path(FOLDER);
    let recorded = Manifest::read(&folder.join(MANIFEST))?;
    let recipe = Recipe::read(&folder)?;
    let mut wrong = Vec::new();
    compare("source", &recorded.sources, &hashes(&folder, &recipe.sources()?)?, &mut wrong);
    compare("binary", &recorded.binaries, &hashes(&folder, &committed_binaries(&folder)?)?, &mut wrong);
    if !wrong.is_empty() {
        bail!("{FOLDER}: {}\nrebuild with: cargo xtask guests", wrong.join("\n  "));
    }
    let count = recorded.binaries.len();
    if recipe.tool_versions().ok().as_ref() != Some(&recorded.tools) {
        println!(
            "guests: {count} binaries match; not rebuilt, for the compiler of the manifest is not installed"
        );
        return Ok(());
    }
    let built = build(workspace, &recipe)?;
    let fresh = hashes(&built, &recipe.binaries())?;
    compare("rebuilt binary", &recorded.binaries, &fresh, &mut wrong);
    if !wrong.is_empty() {
        bail!("{FOLDER}: the build is not repeatable: {}", wrong.join("\n  "));
    }
    println!("guests: {count} binaries match, and a rebuild gives the same bytes");
    Ok(())
}

fn rebuild(workspace: &Workspace) -> Result<()> {
    let folder = workspace.path(FOLDER);
    let recipe = Recipe::read(&folder)?;
    let tools = recipe
        .tool_versions()
        .with_context(|| format!("the guests need mingw-w64: apt-get install -y {PACKAGES}"))?;
    let built = build(workspace, &recipe)?;
    let names = recipe.binaries();
    for stale in committed_binaries(&folder)?.iter().filter(|name| !names.contains(name)) {
        fs::remove_file(folder.join(stale)).with_context(|| format!("cannot remove {FOLDER}/{stale}"))?;
    }
    for name in &names {
        let (from, to) = (built.join(name), folder.join(name));
        fs::create_dir_all(to.parent().unwrap_or(&folder))
            .with_context(|| format!("cannot make the folder of {FOLDER}/{name}"))?;
        let bytes = fs::read(&from).with_context(|| format!("cannot read {}", from.display()))?;
        fs::write(&to, bytes).with_context(|| format!("cannot write {FOLDER}/{name}"))?;
    }
    let manifest =
        Manifest { tools, sources: hashes(&folder, &recipe.sources()?)?, binaries: hashes(&folder, &names)? };
    manifest.write(&folder.join(MANIFEST))?;
    println!("guests: {} binaries built", names.len());
    Ok(())
}

fn build(workspace: &Workspace, recipe: &Recipe) -> Result<PathBuf> {
    let output = workspace.target_folder()?.join("guests");
    recipe.build(&output)?;
    Ok(output)
}

/// The binaries that are in the folder, whether or not they should be.
fn committed_binaries(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for architecture in recipe::ARCHITECTURES {
        let place = folder.join("bin").join(architecture);
        if place.is_dir() {
            let own = recipe::names_with_extensions(&place, &["dll", "exe"])?;
            names.extend(own.iter().map(|name| format!("bin/{architecture}/{name}")));
        }
    }
    names.sort();
    Ok(names)
}

fn hashes(folder: &Path, names: &[String]) -> Result<BTreeMap<String, String>> {
    names
        .iter()
        .map(|name| {
            let path = folder.join(name);
            let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let digest = Sha256::digest(&bytes);
            let text = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            Ok((name.clone(), text))
        })
        .collect()
}

fn compare(
    what: &str,
    recorded: &BTreeMap<String, String>,
    found: &BTreeMap<String, String>,
    wrong: &mut Vec<String>,
) {
    for (name, hash) in recorded {
        match found.get(name) {
            None => wrong.push(format!("{what} {name} is missing")),
            Some(own) if own != hash => wrong.push(format!("{what} {name} is not the one of the manifest")),
            Some(_) => {}
        }
    }
    for name in found.keys().filter(|name| !recorded.contains_key(*name)) {
        wrong.push(format!("{what} {name} is not in the manifest"));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::compare;

    fn map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        entries.iter().map(|(name, hash)| ((*name).to_owned(), (*hash).to_owned())).collect()
    }

    /// A changed, a missing and a new file are each named.
    #[test]
    fn differences_are_named() {
        let mut wrong = Vec::new();
        let recorded = map(&[("same", "1"), ("changed", "2"), ("gone", "3")]);
        let found = map(&[("same", "1"), ("changed", "9"), ("new", "4")]);
        compare("source", &recorded, &found, &mut wrong);
        assert_eq!(
            wrong,
            [
                "source changed is not the one of the manifest",
                "source gone is missing",
                "source new is not in the manifest"
            ]
        );
    }
}
