//! Tiers: a crate may use only those that stand above it, so that each can be read and tested without the rest.

use anyhow::{Context, Result};
use serde_json::Value;

use super::Finding;

/// One crate and the crates of this project it may use.
struct Tier {
    name: &'static str,
    uses: &'static [&'static str],
}

/// Top to bottom. The memory manager and the CPU do not know each other: they meet in the bits of guest RAM.
const TIERS: [Tier; 9] = [
    Tier { name: "vadose-facts", uses: &[] },
    Tier { name: "vadose-mm", uses: &["vadose-facts"] },
    Tier { name: "vadose-cpu", uses: &["vadose-facts"] },
    Tier { name: "vadose-unicorn", uses: &["vadose-facts", "vadose-cpu"] },
    Tier { name: "vadose-nt", uses: &["vadose-facts", "vadose-mm", "vadose-cpu"] },
    Tier {
        name: "vadose-machine",
        uses: &["vadose-facts", "vadose-mm", "vadose-cpu", "vadose-unicorn", "vadose-nt"],
    },
    Tier {
        name: "vadose",
        uses: &["vadose-facts", "vadose-mm", "vadose-cpu", "vadose-unicorn", "vadose-nt", "vadose-machine"],
    },
    Tier {
        name: "vadose-lab",
        uses: &[
            "vadose-facts",
            "vadose-mm",
            "vadose-cpu",
            "vadose-unicorn",
            "vadose-nt",
            "vadose-machine",
            "vadose",
        ],
    },
    // Set-up must build before cmake and libclang are there.
    Tier { name: "xtask", uses: &[] },
];

/// Compares every path dependency with the table, dependencies of tests included.
pub(super) fn check(metadata: &Value) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for package in members(metadata)? {
        let name = package["name"].as_str().context("a package without a name")?;
        let manifest = package["manifest_path"].as_str().unwrap_or(name);
        let Some(tier) = TIERS.iter().find(|tier| tier.name == name) else {
            findings.push(Finding::error(
                manifest,
                format!("crate {name} is in no tier; add it to TIERS in xtask/src/tidy/tiers.rs"),
            ));
            continue;
        };
        let dependencies = package["dependencies"].as_array().into_iter().flatten();
        for dependency in dependencies.filter(|dependency| dependency["path"].is_string()) {
            let used = dependency["name"].as_str().unwrap_or_default();
            if !tier.uses.contains(&used) {
                findings.push(Finding::error(
                    manifest,
                    format!("{name} uses {used}, which is not above it; move the code down or the need up"),
                ));
            }
        }
    }
    Ok(findings)
}

/// The crates of this project.
pub(super) fn members(metadata: &Value) -> Result<Vec<&Value>> {
    let ids = metadata["workspace_members"].as_array().context("cargo metadata names no members")?;
    let packages = metadata["packages"].as_array().context("cargo metadata names no packages")?;
    Ok(packages.iter().filter(|package| ids.contains(&package["id"])).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::check;

    fn findings(name: &str, uses: &str) -> usize {
        let metadata = json!({
            "workspace_members": ["it"],
            "packages": [{
                "id": "it", "name": name, "manifest_path": "it/Cargo.toml",
                "dependencies": [{"name": uses, "path": "/x"}, {"name": "libc"}],
            }],
        });
        check(&metadata).expect("well-formed").len()
    }

    /// A crate may use what is above it, nothing beside or below.
    #[test]
    fn tiers_go_one_way() {
        assert_eq!(findings("vadose-nt", "vadose-mm"), 0);
        assert_eq!(findings("vadose-mm", "vadose-cpu"), 1);
        assert_eq!(findings("vadose-cpu", "vadose-mm"), 1);
        assert_eq!(findings("vadose-facts", "vadose-nt"), 1);
        assert_eq!(findings("xtask", "vadose-unicorn"), 1);
    }

    /// A crate nobody placed is an error.
    #[test]
    fn unknown_crates_are_refused() {
        assert_eq!(findings("vadose-new", "libc"), 1);
    }
}
