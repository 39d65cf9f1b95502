//! A Rust file of the project, read once and parsed once for every check that looks at it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow};

use crate::workspace::Workspace;

/// One Rust file: its name in messages, its lines, its syntax tree.
pub(crate) struct Source {
    /// Path from the project's folder.
    pub(crate) name: String,
    /// The whole text.
    pub(crate) text: String,
    /// The parsed file.
    pub(crate) tree: syn::File,
}

impl Source {
    /// Reads and parses a file.
    pub(crate) fn read(workspace: &Workspace, path: &Path) -> Result<Self> {
        let name = workspace.relative(path);
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
        Self::parse(name, text)
    }

    /// Parses a text under a name.
    pub(crate) fn parse(name: String, text: String) -> Result<Self> {
        let tree = syn::parse_file(&text).map_err(|error| {
            let start = error.span().start();
            anyhow!("{name}:{}: not Rust: {error}", start.line)
        })?;
        Ok(Self { name, text, tree })
    }

    /// The line of that number, counted from 1, or nothing past the end.
    pub(crate) fn line(&self, number: usize) -> &str {
        number.checked_sub(1).and_then(|index| self.text.lines().nth(index)).unwrap_or("")
    }
}

/// Every Rust file of the project.
pub(crate) fn all(workspace: &Workspace) -> Result<Vec<Source>> {
    workspace.files(&["rs"])?.iter().map(|path| Source::read(workspace, path)).collect()
}

/// Whether attributes make an item part of tests only: `#[test]` or a `#[cfg]` that names `test` and no `not`.
pub(crate) fn is_test_only(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        if attribute.path().is_ident("test") {
            return true;
        }
        let syn::Meta::List(list) = &attribute.meta else {
            return false;
        };
        let words = list.tokens.to_string();
        let has = |wanted: &str| words.split(|c: char| !c.is_alphanumeric()).any(|word| word == wanted);
        list.path.is_ident("cfg") && has("test") && !has("not")
    })
}
