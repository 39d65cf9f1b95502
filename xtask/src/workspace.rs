//! Where the project is, which files it has, and what Cargo knows of its crates.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::command;

/// The project's folder, from which every path in a message starts.
pub(crate) struct Workspace {
    root: PathBuf,
}

/// Folders that hold nothing anyone wrote.
const NOT_SOURCE: [&str; 4] = ["target", "corpus", "artifacts", "node_modules"];

impl Workspace {
    /// Finds the project from where this program was built.
    pub(crate) fn find() -> Result<Self> {
        let chores = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = chores.parent().with_context(|| format!("{} has no parent folder", chores.display()))?;
        Ok(Self { root: root.to_owned() })
    }

    /// The project's folder.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A path inside the project.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// How a message names a file: from the project's folder.
    pub(crate) fn relative(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).display().to_string()
    }

    /// Every file of the project whose name ends in one of `extensions`, sorted.
    pub(crate) fn files(&self, extensions: &[&str]) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        collect(&self.root, extensions, &mut found)?;
        found.sort();
        Ok(found)
    }

    /// What `cargo metadata` says, without the crates this machine does not build.
    pub(crate) fn metadata(&self) -> Result<Value> {
        let host = host_triple()?;
        let text = command::cargo(&self.root)
            .args(["metadata", "--format-version", "1", "--filter-platform", &host])
            .output_text()?;
        serde_json::from_str(&text).context("cargo metadata did not print JSON")
    }

    /// The folder Cargo builds into.
    pub(crate) fn target_folder(&self) -> Result<PathBuf> {
        let text = command::cargo(&self.root)
            .args(["metadata", "--format-version", "1", "--no-deps"])
            .output_text()?;
        let metadata: Value = serde_json::from_str(&text).context("cargo metadata did not print JSON")?;
        metadata["target_directory"]
            .as_str()
            .map(PathBuf::from)
            .context("cargo metadata names no target_directory")
    }
}

fn host_triple() -> Result<String> {
    let text = command::Step::new("rustc").args(["-vV"]).output_text()?;
    text.lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .context("rustc -vV names no host")
}

fn collect(folder: &Path, extensions: &[&str], found: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot list {}", folder.display()))?;
        let path = entry.path();
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let kind = entry.file_type().with_context(|| format!("cannot look at {}", path.display()))?;
        if kind.is_dir() {
            if !name.starts_with('.') && !NOT_SOURCE.contains(&name.as_ref()) {
                collect(&path, extensions, found)?;
            }
        } else if kind.is_file() && has_extension(&path, extensions) {
            found.push(path);
        }
    }
    Ok(())
}

fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    path.extension().is_some_and(|own| extensions.iter().any(|wanted| own == *wanted))
}
