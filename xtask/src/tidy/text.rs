//! What can be seen in a file's text: its size, its opening sentence, leftovers, and paths of one machine.

use std::fs;

use anyhow::Result;

use super::Finding;
use crate::source::Source;
use crate::workspace::Workspace;

const WARN_LINES: usize = 400;
const MAX_LINES: usize = 800;

// Written in two halves, so that this file does not find itself.
const LEFTOVERS: [&str; 4] =
    [concat!("FIX", "ME"), concat!("XX", "X"), concat!("todo", "!"), concat!("unimplemented", "!")];
const HOMES: [&str; 3] = [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Us", "ers/")];

/// Files that people write.
const TEXT_EXTENSIONS: [&str; 14] =
    ["rs", "md", "toml", "c", "h", "def", "txt", "tsv", "py", "sh", "json", "yml", "html", "js"];

/// Checks one Rust file.
pub(super) fn check_rust(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    let lines = source.text.lines().count();
    if lines > MAX_LINES {
        findings.push(Finding::error(
            &source.name,
            format!("{lines} lines, {MAX_LINES} are the limit; split it by what its parts are about"),
        ));
    } else if lines > WARN_LINES {
        findings.push(Finding::warning(&source.name, format!("{lines} lines; aim for {WARN_LINES}")));
    }
    if !opens_with_sentence(source) {
        findings.push(Finding::error(
            format!("{}:1", source.name),
            "open the file with a `//!` sentence that a stranger understands",
        ));
    }
    for (index, line) in source.text.lines().enumerate() {
        if let Some(word) = LEFTOVERS.iter().find(|word| has_word(line, word)) {
            findings.push(Finding::error(
                format!("{}:{}", source.name, index + 1),
                format!("`{word}` is left behind; finish it or leave it out"),
            ));
        }
    }
    findings
}

/// Checks that no text of the project names a folder of one person's machine.
pub(super) fn check_paths(workspace: &Workspace) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for path in workspace.files(&TEXT_EXTENSIONS)? {
        // A text file that is not UTF-8 names no path that this would find.
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        for (index, line) in text.lines().enumerate() {
            if names_home(line) {
                findings.push(Finding::error(
                    format!("{}:{}", workspace.relative(&path), index + 1),
                    "names a folder of one machine; use a path inside the project",
                ));
            }
        }
    }
    Ok(findings)
}

fn names_home(line: &str) -> bool {
    HOMES.iter().any(|home| {
        line.match_indices(home)
            .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || ".-_".contains(c)))
    })
}

/// The first paragraph starts on the first line and ends as a sentence does.
fn opens_with_sentence(source: &Source) -> bool {
    let mut last = "";
    for line in source.text.lines() {
        match line.strip_prefix("//!") {
            Some(words) if !words.trim().is_empty() => last = words.trim(),
            _ => break,
        }
    }
    last.ends_with(['.', ':', '?'])
}

fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let in_name = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        !in_name(before) && (word.ends_with('!') || !in_name(after))
    })
}

#[cfg(test)]
mod tests {
    use super::{HOMES, LEFTOVERS, check_rust, names_home};
    use crate::source::Source;

    fn found(text: &str) -> Vec<String> {
        let source = Source::parse("a.rs".to_owned(), text.to_owned()).expect("Rust");
        check_rust(&source).iter().map(ToString::to_string).collect()
    }

    /// A file opens with a whole sentence on its first line.
    #[test]
    fn files_open_with_a_sentence() {
        assert!(found("//! Counts\n//! frames.\n//!\n//! More\n").is_empty());
        for text in ["", "// A note.\n//! Late.\n", "//! Placeholder\n", "//!\n//! After a gap.\n"] {
            assert_eq!(found(text).len(), 1, "{text:?}");
        }
    }

    /// Past the first limit a file is mentioned, past the second refused.
    #[test]
    fn long_files_are_found() {
        let of_lines = |lines: usize| found(&format!("//! A.\n{}", "\n".repeat(lines - 1)));
        assert!(of_lines(400).is_empty());
        assert!(of_lines(401)[0].contains("warning"));
        assert!(of_lines(800)[0].contains("warning"));
        assert!(of_lines(801)[0].contains("error"));
    }

    /// Leftover marks are found as words, with their line.
    #[test]
    fn leftovers_are_found() {
        for word in LEFTOVERS {
            assert!(found(&format!("//! A.\n// {word}() later\n"))[0].starts_with("a.rs:2"));
            assert!(found(&format!("//! A.\n// a{word}\n")).is_empty());
        }
    }

    /// A home folder is found, the same letters inside a longer path are not.
    #[test]
    fn homes_are_found() {
        for home in HOMES {
            assert!(names_home(&format!("see {home}someone")));
            assert!(!names_home(&format!("see src{home}someone")));
        }
    }
}
