//! The build lines of the sample guests, as `lab/guests/build.txt` has them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::command::Step;

/// The architectures each guest is built for, which are also folder names.
pub(super) const ARCHITECTURES: [&str; 2] = ["x64", "x86"];

const BUILD_LINES: &str = "build.txt";

/// Everything needed to build the guests of a folder.
pub(super) struct Recipe {
    folder: PathBuf,
    lines: Vec<Line>,
    guests: Vec<String>,
}

struct Line {
    architecture: String,
    when: When,
    words: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    /// Once for the architecture.
    Once,
    /// For each program.
    Each,
    /// For each library.
    Dll,
}

impl When {
    /// Whether a guest is built by a line for this time.
    fn covers(self, guest: &str) -> bool {
        match self {
            Self::Once => false,
            Self::Each => !is_library(guest),
            Self::Dll => is_library(guest),
        }
    }
}

/// `NAME.dll.c` is the source of a library, whose guest name has the extension already.
fn is_library(guest: &str) -> bool {
    guest.ends_with(".dll")
}

fn binary_name(guest: &str) -> String {
    if is_library(guest) { guest.to_owned() } else { format!("{guest}.exe") }
}

impl Recipe {
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(BUILD_LINES);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let lines = parse(&text).with_context(|| format!("cannot use {}", path.display()))?;
        let guests = names_with_extensions(folder, &["c"])?
            .iter()
            .map(|name| name.trim_end_matches(".c").to_owned())
            .collect();
        Ok(Self { folder: folder.to_owned(), lines, guests })
    }

    /// Every file a binary depends on.
    pub(super) fn sources(&self) -> Result<Vec<String>> {
        names_with_extensions(&self.folder, &["c", "h", "def", "txt"])
    }

    /// Every binary there should be, from the guests' folder.
    pub(super) fn binaries(&self) -> Vec<String> {
        let mut names: Vec<String> = ARCHITECTURES
            .iter()
            .flat_map(|architecture| {
                self.guests.iter().map(move |guest| format!("bin/{architecture}/{}", binary_name(guest)))
            })
            .collect();
        names.sort();
        names
    }

    /// The first line of `--version` of each tool; an error when one is not installed.
    pub(super) fn tool_versions(&self) -> Result<BTreeMap<String, String>> {
        let mut versions = BTreeMap::new();
        for program in self.lines.iter().filter_map(|line| line.words.first()) {
            let mut tools = vec![program.clone()];
            // The compiler calls the linker and the assembler of the same prefix.
            if let Some(prefix) = program.strip_suffix("gcc") {
                tools.extend([format!("{prefix}ld"), format!("{prefix}as")]);
            }
            for tool in tools {
                let text = Step::new(&tool).args(["--version"]).output_text()?;
                let first = text.lines().next().unwrap_or_default();
                versions.insert(tool, first.to_owned());
            }
        }
        Ok(versions)
    }

    /// Builds every guest into `output/bin/<architecture>`.
    pub(super) fn build(&self, output: &Path) -> Result<()> {
        for architecture in ARCHITECTURES {
            let place = output.join("bin").join(architecture);
            fs::create_dir_all(&place).with_context(|| format!("cannot make {}", place.display()))?;
            for line in self.lines.iter().filter(|line| line.architecture == architecture) {
                match line.when {
                    When::Once => self.run(line, "", &place)?,
                    When::Each | When::Dll => {
                        for guest in self.guests.iter().filter(|guest| line.when.covers(guest)) {
                            self.run(line, guest, &place)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn run(&self, line: &Line, guest: &str, place: &Path) -> Result<()> {
        let place = place.to_string_lossy();
        let words: Vec<String> =
            line.words.iter().map(|word| word.replace("{name}", guest).replace("{out}", &place)).collect();
        let (program, arguments) = words.split_first().expect("a build line has a program");
        Step::new(program).args(arguments).folder(&self.folder).run()
    }
}

fn parse(text: &str) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let mut words = line.split_whitespace().map(str::to_owned);
        let Some(architecture) = words.next().filter(|word| !word.starts_with('#')) else {
            continue;
        };
        if !ARCHITECTURES.contains(&architecture.as_str()) {
            bail!("line {}: `{architecture}` is not {}", index + 1, ARCHITECTURES.join(" or "));
        }
        let when = match words.next().as_deref() {
            Some("once") => When::Once,
            Some("each") => When::Each,
            Some("dll") => When::Dll,
            _ => bail!("line {}: the second word is `once`, `each` or `dll`", index + 1),
        };
        let words: Vec<String> = words.collect();
        if words.is_empty() {
            bail!("line {}: no program to run", index + 1);
        }
        lines.push(Line { architecture, when, words });
    }
    Ok(lines)
}

/// Names of the files in a folder that end in one of `extensions`, sorted.
pub(super) fn names_with_extensions(folder: &Path, extensions: &[&str]) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("cannot list {}", folder.display()))?.path();
        let matches = path.extension().is_some_and(|own| extensions.iter().any(|wanted| own == *wanted));
        if let (true, Some(name)) = (matches, path.file_name()) {
            names.push(name.to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::{When, binary_name, parse};

    /// Comments and blank lines are passed over; the rest is architecture, time, program.
    #[test]
    fn build_lines_are_read() {
        let lines = parse("# words\n\nx64 each gcc -o {out}/{name}\nx86 once tool\n").expect("legal");
        assert_eq!(lines.len(), 2);
        assert!(lines[0].when == When::Each && lines[1].when == When::Once);
        assert_eq!(lines[0].words, ["gcc", "-o", "{out}/{name}"]);
    }

    /// Programs and libraries have lines of their own, and names of their own.
    #[test]
    fn libraries_are_told_from_programs() {
        assert!(When::Each.covers("plugin") && When::Dll.covers("plugin.dll"));
        assert!(!When::Each.covers("plugin.dll") && !When::Dll.covers("plugin"));
        assert_eq!(
            (binary_name("plugin"), binary_name("plugin.dll")),
            ("plugin.exe".into(), "plugin.dll".into())
        );
    }

    /// A wrong line is refused with its number.
    #[test]
    fn wrong_build_lines_are_named() {
        for text in ["arm each gcc", "x64 often gcc", "x64 each"] {
            let error = parse(text).err().expect("not a build line");
            assert!(error.to_string().starts_with("line 1"), "{error}");
        }
    }
}
