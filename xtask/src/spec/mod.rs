//! Tells which rules of the specification the tests check, and which not yet.

mod citation;
mod collect;
mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::source;
use crate::workspace::Workspace;
use citation::RuleId;
use collect::Place;
use rules::Rules;

/// What `cargo xtask spec` takes.
#[derive(Args)]
pub(crate) struct Options {
    /// Also tell where each rule is tested, as file:line
    #[arg(long = "where")]
    places: bool,
    /// Tell of this area only, such as A
    #[arg(value_name = "AREA")]
    area: Option<char>,
}

/// The rules, one line each: id, area, summary.
const RULES: &str = "docs/spec/rules.tsv";

/// The folder of scenario files.
const SCENARIOS: &str = "lab/scenarios";

/// Prints the coverage; a citation of a rule that does not exist is an error.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let rules = Rules::read(&workspace.path(RULES))?;
    let mut sources = source::all(workspace)?;
    // The chores' own tests are full of made-up citations.
    sources.retain(|source| !source.name.starts_with("xtask/"));
    let in_code = collect::citations(&sources);
    let in_scenarios = collect::scenario_citations(&scenario_files(workspace)?, &sources);

    let mut errors = in_code.errors;
    errors.extend(in_scenarios.errors);
    let mut tested: BTreeMap<RuleId, BTreeSet<Place>> = BTreeMap::new();
    for (id, place, counts) in in_code.found.into_iter().chain(in_scenarios.found) {
        if !rules.has(id) {
            errors.push(format!("{place}: SPEC {id} is not a rule of {RULES}"));
        } else if counts {
            tested.entry(id).or_default().insert(place);
        }
    }
    print!("{}", report(&rules, &tested, options));
    if !errors.is_empty() {
        bail!("{}", errors.join("\n       "));
    }
    Ok(())
}

/// Names and texts of the scenario files.
fn scenario_files(workspace: &Workspace) -> Result<Vec<(String, String)>> {
    let folder = workspace.path(SCENARIOS);
    let paths = workspace.files(&["txt"])?.into_iter().filter(|path| path.parent() == Some(folder.as_path()));
    paths
        .map(|path| {
            let name = workspace.relative(&path);
            let text = fs::read_to_string(&path).with_context(|| format!("cannot read {name}"))?;
            Ok((name, text))
        })
        .collect()
}

fn report(rules: &Rules, tested: &BTreeMap<RuleId, BTreeSet<Place>>, options: &Options) -> String {
    let mut lines = Vec::new();
    let wanted = options.area.map(|area| area.to_ascii_uppercase());
    let areas = rules.areas();
    for (letter, title) in &areas {
        if wanted.is_some_and(|wanted| wanted != *letter) {
            continue;
        }
        let ids = rules.of_area(*letter);
        let missing: Vec<RuleId> = ids.iter().copied().filter(|id| !tested.contains_key(id)).collect();
        lines.push(format!(
            "{letter}  {title:<12} {:>3} of {:>3}   {}",
            ids.len() - missing.len(),
            ids.len(),
            if missing.is_empty() {
                "all covered".to_owned()
            } else {
                format!("not yet: {}", citation::compress(&missing))
            }
        ));
        if options.places {
            lines.extend(ids.iter().filter_map(|id| where_tested(rules, *id, tested.get(id)?)));
        }
    }
    lines.push(format!("all {:>16} of {:>3} rules are tested", tested.len(), rules.len()));
    lines.join("\n") + "\n"
}

fn where_tested(rules: &Rules, id: RuleId, places: &BTreeSet<Place>) -> Option<String> {
    let places: Vec<String> = places.iter().map(ToString::to_string).collect();
    let summary = rules.summary(id)?;
    Some(format!("     {id}  {summary}\n          {}", places.join("\n          ")))
}
