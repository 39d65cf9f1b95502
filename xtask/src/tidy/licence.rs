//! Licences: permissive crates stay free of the GPL, and what links Unicorn (GPL-2.0) takes nothing it cannot be joined with.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde_json::Value;

use super::Finding;
use super::tiers::members;

/// Licences that may be joined with GPL-2.0 in one program. Apache-2.0 alone may not.
const JOINS_GPL2: [&str; 17] = [
    "MIT",
    "MIT-0",
    "0BSD",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "Unlicense",
    "CC0-1.0",
    "BSL-1.0",
    "MPL-2.0",
    "Unicode-3.0",
    "Apache-2.0 WITH LLVM-exception",
    "GPL-2.0",
    "GPL-2.0-only",
    "GPL-2.0-or-later",
    "LGPL-2.1-or-later",
];

/// Checks what each crate of the project links, by the licences its dependencies declare.
pub(super) fn check(metadata: &Value) -> Result<Vec<Finding>> {
    let graph = Graph::read(metadata)?;
    let mut findings = Vec::new();
    for package in members(metadata)? {
        let id = package["id"].as_str().context("a package without an id")?;
        let name = package["name"].as_str().unwrap_or(id);
        let manifest = package["manifest_path"].as_str().unwrap_or(name);
        let linked = graph.linked(id);
        let permissive = offers(package["license"].as_str().unwrap_or_default(), &|licence| !is_gpl(licence));
        for used in linked.iter().filter_map(|used| graph.packages.get(used)) {
            if permissive && used.is_gpl() {
                findings.push(Finding::error(
                    manifest,
                    format!(
                        "{name} is permissive but links {} ({}); move that use to a GPL crate",
                        used.name, used.licence
                    ),
                ));
            }
        }
        let joins_unicorn = linked
            .iter()
            .filter_map(|used| graph.packages.get(used))
            .any(|used| used.name.starts_with("unicorn-engine"));
        if joins_unicorn {
            findings.extend(graph.strangers_to_gpl(&linked).map(|used| {
                Finding::error(
                    manifest,
                    format!("{name} links Unicorn (GPL-2.0) and {} ({}), which do not go together; replace the latter", used.name, used.licence),
                )
            }));
        }
    }
    Ok(findings)
}

struct Package {
    name: String,
    licence: String,
    runs_at_build: bool,
}

impl Package {
    fn is_gpl(&self) -> bool {
        !offers(&self.licence, &|licence| !is_gpl(licence))
    }
}

fn is_gpl(licence: &str) -> bool {
    licence.starts_with("GPL") || licence.starts_with("AGPL")
}

/// Who is linked into whom: normal dependencies, without the crates that run in the compiler only.
struct Graph<'a> {
    packages: BTreeMap<&'a str, Package>,
    edges: BTreeMap<&'a str, Vec<&'a str>>,
}

impl<'a> Graph<'a> {
    fn read(metadata: &'a Value) -> Result<Self> {
        let mut packages = BTreeMap::new();
        for package in metadata["packages"].as_array().context("cargo metadata names no packages")? {
            let id = package["id"].as_str().context("a package without an id")?;
            let kinds = package["targets"].as_array().into_iter().flatten();
            packages.insert(
                id,
                Package {
                    name: package["name"].as_str().unwrap_or(id).to_owned(),
                    licence: package["license"].as_str().unwrap_or("none declared").to_owned(),
                    runs_at_build: kinds
                        .filter_map(|target| target["kind"].as_array())
                        .flatten()
                        .any(|kind| kind == "proc-macro"),
                },
            );
        }
        let mut edges = BTreeMap::new();
        for node in metadata["resolve"]["nodes"].as_array().context("cargo metadata resolves nothing")? {
            let id = node["id"].as_str().context("a node without an id")?;
            let normal = node["deps"].as_array().into_iter().flatten().filter(|dependency| {
                let kinds = dependency["dep_kinds"].as_array();
                kinds.into_iter().flatten().any(|kind| kind["kind"].is_null())
            });
            edges.insert(id, normal.filter_map(|dependency| dependency["pkg"].as_str()).collect());
        }
        Ok(Self { packages, edges })
    }

    /// Everything linked into a crate, itself not counted.
    fn linked(&self, id: &str) -> BTreeSet<&'a str> {
        let mut seen = BTreeSet::new();
        let mut open = vec![id];
        while let Some(at) = open.pop() {
            for next in self.edges.get(at).into_iter().flatten().copied() {
                let runs_at_build = self.packages.get(next).is_some_and(|package| package.runs_at_build);
                if !runs_at_build && seen.insert(next) {
                    open.push(next);
                }
            }
        }
        seen
    }

    fn strangers_to_gpl(&self, linked: &BTreeSet<&'a str>) -> impl Iterator<Item = &Package> {
        linked
            .iter()
            .filter_map(|id| self.packages.get(id))
            .filter(|package| !offers(&package.licence, &|licence| JOINS_GPL2.contains(&licence)))
    }
}

/// Whether a licence expression can be met with licences that `accept` takes: any side of OR, every side of AND.
fn offers(expression: &str, accept: &dyn Fn(&str) -> bool) -> bool {
    // An old way to write OR.
    let expression = expression.replace('/', " OR ");
    let spaced = expression.replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    any_of(&mut rest, accept) && rest.is_empty()
}

fn any_of(words: &mut &[&str], accept: &dyn Fn(&str) -> bool) -> bool {
    let mut met = all_of(words, accept);
    while let ["OR", rest @ ..] = *words {
        *words = rest;
        // Both sides are read even when one is met.
        met |= all_of(words, accept);
    }
    met
}

fn all_of(words: &mut &[&str], accept: &dyn Fn(&str) -> bool) -> bool {
    let mut met = one(words, accept);
    while let ["AND", rest @ ..] = *words {
        *words = rest;
        met &= one(words, accept);
    }
    met
}

fn one(words: &mut &[&str], accept: &dyn Fn(&str) -> bool) -> bool {
    match *words {
        ["(", rest @ ..] => {
            *words = rest;
            let met = any_of(words, accept);
            if let [")", rest @ ..] = *words {
                *words = rest;
            }
            met
        }
        [licence, "WITH", exception, rest @ ..] => {
            *words = rest;
            accept(&format!("{licence} WITH {exception}"))
        }
        [licence, rest @ ..] => {
            *words = rest;
            accept(licence)
        }
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{JOINS_GPL2, check, offers};

    fn joins(expression: &str) -> bool {
        offers(expression, &|licence| JOINS_GPL2.contains(&licence))
    }

    /// Expressions are read as written: OR gives a choice, AND asks for all.
    #[test]
    fn licence_expressions_are_read() {
        assert!(joins("MIT OR Apache-2.0"));
        assert!(joins("Apache-2.0/MIT"));
        assert!(joins("(MIT OR Apache-2.0) AND Unicode-3.0"));
        assert!(joins("Apache-2.0 WITH LLVM-exception"));
        assert!(joins("Apache-2.0 OR (Apache-2.0 AND BSD-3-Clause) OR MIT"));
        assert!(!joins("Apache-2.0"));
        assert!(!joins("Apache-2.0 AND MIT"));
        assert!(!joins("none declared"));
        assert!(!joins(""));
    }

    fn findings(own: &str, other: &str, kind: &Value) -> usize {
        let node = |id: &str, uses: &[&str]| {
            let deps: Vec<Value> = uses
                .iter()
                .map(|used| json!({"pkg": used, "dep_kinds": [{"kind": if *used == "other" { kind.clone() } else { Value::Null }}]}))
                .collect();
            json!({"id": id, "deps": deps})
        };
        let package = |id: &str, name: &str, licence: &str| json!({"id": id, "name": name, "license": licence, "manifest_path": "m", "targets": [{"kind": ["lib"]}]});
        let metadata = json!({
            "workspace_members": ["own"],
            "packages": [
                package("own", "own", own),
                package("cpu", "unicorn-engine-sys", "GPL-2.0"),
                package("other", "other", other),
            ],
            "resolve": {"nodes": [node("own", &["cpu", "other"]), node("cpu", &[]), node("other", &[])]},
        });
        check(&metadata).expect("well-formed").len()
    }

    /// A permissive crate links no GPL; a GPL one links nothing that GPL-2.0 excludes, but may build with it.
    #[test]
    fn linked_licences_are_checked() {
        assert_eq!(findings("GPL-2.0-or-later", "MIT", &Value::Null), 0);
        assert_eq!(findings("GPL-2.0-or-later", "Apache-2.0", &Value::Null), 1);
        assert_eq!(findings("GPL-2.0-or-later", "Apache-2.0", &json!("build")), 0);
        assert_eq!(findings("MIT OR Apache-2.0", "MIT", &Value::Null), 1);
    }
}
