//! Finds the citations in the project's Rust files and scenario files, and tells those that a test stands for from the rest.

use std::collections::BTreeSet;
use std::fmt;

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::citation::{self, RuleId};
use crate::source::{Source, is_test_only};

/// A line of a file.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Place {
    file: String,
    line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// Everything cited, and whether it counts as tested there.
#[derive(Default)]
pub(super) struct Citations {
    pub(super) found: Vec<(RuleId, Place, bool)>,
    pub(super) errors: Vec<String>,
}

/// Reads every file's citations.
pub(super) fn citations(sources: &[Source]) -> Citations {
    let modules: BTreeSet<String> = sources.iter().flat_map(test_module_stems).collect();
    let mut citations = Citations::default();
    for source in sources {
        read_file(source, &modules, &mut citations);
    }
    citations
}

fn read_file(source: &Source, modules: &BTreeSet<String>, citations: &mut Citations) {
    let whole_file = is_test_file(&source.name, modules);
    let spans = TestSpans::of(&source.tree);
    for (index, text) in source.text.lines().enumerate() {
        let line = index + 1;
        let place = Place { file: source.name.clone(), line };
        // A file's opening words are about all its tests, so no single test stands for them.
        let counts = !text.trim_start().starts_with("//!") && (whole_file || spans.contain(line));
        match citation::cited(text) {
            Ok(ids) => citations.found.extend(ids.into_iter().map(|id| (id, place.clone(), counts))),
            Err(error) => citations.errors.push(format!("{place}: {error}")),
        }
    }
}

/// Reads the rules that scenarios show: the lines of a block that start with the word. They count when a test names
/// the file, for then it runs all of it.
pub(super) fn scenario_citations(files: &[(String, String)], sources: &[Source]) -> Citations {
    let mut citations = Citations::default();
    for (file, text) in files {
        let name = file.rsplit('/').next().unwrap_or(file);
        let is_run = sources.iter().any(|source| names_in_a_test(source, name));
        for (index, line) in text.lines().enumerate().filter(|(_, line)| line.starts_with("SPEC ")) {
            let place = Place { file: file.clone(), line: index + 1 };
            match citation::cited(line) {
                Ok(ids) => citations.found.extend(ids.into_iter().map(|id| (id, place.clone(), is_run))),
                Err(error) => citations.errors.push(format!("{place}: {error}")),
            }
        }
    }
    citations
}

/// Whether a test function of a file has this text as a literal.
fn names_in_a_test(source: &Source, text: &str) -> bool {
    let literal = format!("\"{text}\"");
    let spans = TestSpans::of(&source.tree);
    (1..).zip(source.text.lines()).any(|(line, text)| text.contains(&literal) && spans.contain(line))
}

/// Whether all of a file is test code: by its folder, or as a module declared for tests only.
fn is_test_file(name: &str, modules: &BTreeSet<String>) -> bool {
    let in_folder = name.starts_with("lab/") || name.split('/').rev().skip(1).any(|folder| folder == "tests");
    let stem = name.trim_end_matches(".rs");
    let as_module = |stem: &str| modules.contains(stem) || modules.contains(stem.trim_end_matches("/mod"));
    let mut ancestors = stem.match_indices('/').map(|(at, _)| &stem[..at]).chain(std::iter::once(stem));
    in_folder || ancestors.any(as_module)
}

/// Where the `#[cfg(test)] mod name;` of a file put their code, without the ending.
fn test_module_stems(source: &Source) -> Vec<String> {
    let stem = source.name.trim_end_matches(".rs");
    let (folder, own) = stem.rsplit_once('/').unwrap_or(("", stem));
    let base = match own {
        "mod" | "lib" | "main" => folder,
        _ => stem,
    };
    let declared = source.tree.items.iter().filter_map(|item| match item {
        syn::Item::Mod(module) if module.content.is_none() && is_test_only(&module.attrs) => Some(module),
        _ => None,
    });
    declared.map(|module| format!("{base}/{}", module.ident)).collect()
}

/// The lines of a file that are test code: modules, functions and other items for tests only.
#[derive(Default)]
struct TestSpans {
    lines: Vec<(usize, usize)>,
}

impl TestSpans {
    fn of(tree: &syn::File) -> Self {
        let mut spans = Self::default();
        spans.visit_file(tree);
        spans
    }

    fn contain(&self, line: usize) -> bool {
        self.lines.iter().any(|(first, last)| (*first..=*last).contains(&line))
    }

    fn add(&mut self, item: &impl Spanned) {
        let span = item.span();
        self.lines.push((span.start().line, span.end().line));
    }
}

impl<'tree> Visit<'tree> for TestSpans {
    fn visit_item_mod(&mut self, module: &'tree syn::ItemMod) {
        if is_test_only(&module.attrs) {
            self.add(module);
        } else {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_fn(&mut self, function: &'tree syn::ItemFn) {
        if is_test_only(&function.attrs) {
            self.add(function);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{citations, scenario_citations};
    use crate::source::Source;

    // Ids are put in late, so that this file's own text cites no rule.
    fn cited(files: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<Source> = files
            .iter()
            .map(|(name, text)| Source::parse((*name).to_owned(), text.replace('@', "SPEC")).expect("Rust"))
            .collect();
        let found = citations(&sources).found;
        found.iter().filter(|(_, _, counts)| *counts).map(|(id, place, _)| format!("{id} {place}")).collect()
    }

    /// A test's doc comment, a table row in a test and a comment in a test module count.
    #[test]
    fn citations_in_tests_count() {
        let text = "\
//! Opens, @ A1.
/// @ A2
fn implementation() {} // @ A3
#[cfg(test)]
mod tests {
    // @ A4
    /// @ A5 A6
    #[test]
    fn a() { let table = [(\"@ A7\", 1)]; }
}
#[cfg(not(test))]
mod real { /* @ A8 */ }
";
        assert_eq!(
            cited(&[("mm/src/a.rs", text)]),
            ["A4 mm/src/a.rs:6", "A5 mm/src/a.rs:7", "A6 mm/src/a.rs:7", "A7 mm/src/a.rs:9"]
        );
    }

    /// A module declared for tests only is test code in its own file and below, a neighbour is not.
    #[test]
    fn test_modules_in_their_own_files_count() {
        let files = [
            ("mm/src/verb/mod.rs", "#[cfg(test)]\nmod scenarios;\nmod reserve;\n"),
            ("mm/src/verb/scenarios.rs", "// @ B1\n"),
            ("mm/src/verb/scenarios/deep.rs", "// @ B2\n"),
            ("mm/src/verb/reserve.rs", "// @ B3\n"),
            ("mm/src/vad.rs", "#[cfg(test)]\nmod trees;\n"),
            ("mm/src/vad/trees/mod.rs", "// @ B4\n"),
        ];
        assert_eq!(
            cited(&files),
            [
                "B1 mm/src/verb/scenarios.rs:1",
                "B2 mm/src/verb/scenarios/deep.rs:1",
                "B4 mm/src/vad/trees/mod.rs:1"
            ]
        );
    }

    /// Folders of integration tests and the lab are test code throughout, but for their opening words.
    #[test]
    fn test_folders_count() {
        let files = [
            ("nt/tests/services.rs", "//! @ C1\n// @ C2\n"),
            ("lab/src/scenario.rs", "// @ C3\n"),
            ("tests.rs", "// @ C4\n"),
        ];
        assert_eq!(cited(&files), ["C2 nt/tests/services.rs:2", "C3 lab/src/scenario.rs:1"]);
    }

    /// A scenario's heading counts when a test names its file; other lines of the file, and other files, do not.
    #[test]
    fn scenarios_that_a_test_runs_count() {
        let heading = "SPEC";
        let file = |name: &str, rule: &str| {
            (
                format!("lab/scenarios/{name}"),
                format!("# {heading} Z1\n\nA name, {heading} Z2\n{heading} {rule} X3\n  read 0 -> ok\n"),
            )
        };
        let files = [file("run.txt", "D1"), file("named.txt", "D2"), file("forgotten.txt", "D3")];
        let text = "#[test]\nfn a() { check_file(\"run.txt\"); }\nfn b() { check_file(\"named.txt\"); }\n";
        let source = Source::parse("lab/tests/scenarios.rs".to_owned(), text.to_owned()).expect("Rust");
        let found = scenario_citations(&files, &[source]).found;
        let counted: Vec<String> = found
            .iter()
            .filter(|(_, _, counts)| *counts)
            .map(|(id, place, _)| format!("{id} {place}"))
            .collect();
        assert_eq!(counted, ["D1 lab/scenarios/run.txt:4", "X3 lab/scenarios/run.txt:4"]);
        assert_eq!(found.len(), 6);
    }
}
