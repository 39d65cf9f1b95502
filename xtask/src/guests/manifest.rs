//! The manifest of the sample guests: which compiler made which binary from which source.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// The manifest's name in the folder of the guests.
pub(super) const MANIFEST: &str = "manifest";

const HEADING: &str = "\
# Which tools made the binaries here, and the SHA-256 of each source and binary.
# Written by `cargo xtask guests`, checked by `cargo xtask guests --check`.
";

/// What the manifest holds: names to versions and names to hashes.
#[derive(PartialEq, Eq, Debug, Default)]
pub(super) struct Manifest {
    pub(super) tools: BTreeMap<String, String>,
    pub(super) sources: BTreeMap<String, String>,
    pub(super) binaries: BTreeMap<String, String>,
}

impl Manifest {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("cannot use {}", path.display()))
    }

    pub(super) fn write(&self, path: &Path) -> Result<()> {
        fs::write(path, self.format()).with_context(|| format!("cannot write {}", path.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let mut manifest = Self::default();
        for (index, line) in text.lines().enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let fields: Vec<&str> = line.split('\t').collect();
            let [kind, name, value] = fields[..] else {
                bail!("line {}: expected three fields with tabs between", index + 1);
            };
            let table = match kind {
                "tool" => &mut manifest.tools,
                "source" => &mut manifest.sources,
                "binary" => &mut manifest.binaries,
                other => bail!("line {}: `{other}` is not tool, source or binary", index + 1),
            };
            table.insert(name.to_owned(), value.to_owned());
        }
        Ok(manifest)
    }

    fn format(&self) -> String {
        let mut text = HEADING.to_owned();
        let tables = [("tool", &self.tools), ("source", &self.sources), ("binary", &self.binaries)];
        for (kind, table) in tables {
            for (name, value) in table {
                writeln!(text, "{kind}\t{name}\t{value}").expect("a String takes every write");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::Manifest;

    /// What is written is read back the same.
    #[test]
    fn manifest_reads_what_it_wrote() {
        let mut manifest = Manifest::default();
        manifest.tools.insert("gcc".into(), "gcc (GCC) 12".into());
        manifest.sources.insert("a.c".into(), "00ff".into());
        manifest.binaries.insert("bin/x64/a.exe".into(), "ff00".into());
        let read = Manifest::parse(&manifest.format()).expect("own format");
        assert_eq!(read, manifest);
    }

    /// A line that is no entry is refused with its number.
    #[test]
    fn wrong_lines_are_named() {
        for text in ["source\ta.c", "sources\ta.c\t00"] {
            let error = Manifest::parse(text).expect_err("not an entry");
            assert!(error.to_string().starts_with("line 1"), "{error}");
        }
    }
}
