//! The list of rules: id, area and a line on each, from a table with tabs between its columns.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::citation::RuleId;

/// Every rule there is, in order.
pub(super) struct Rules {
    table: BTreeMap<RuleId, Rule>,
}

struct Rule {
    area: String,
    summary: String,
}

impl Rules {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("cannot use {}", path.display()))
    }

    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut table = BTreeMap::new();
        for (index, line) in text.lines().enumerate() {
            let number = index + 1;
            let fields: Vec<&str> = line.split('\t').collect();
            let [id, area, summary] = fields[..] else {
                bail!("line {number}: expected id, area and summary with tabs between");
            };
            let id = RuleId::parse(id)
                .with_context(|| format!("line {number}: `{id}` is not an id such as A21"))?;
            let rule = Rule { area: area.to_owned(), summary: summary.to_owned() };
            if table.insert(id, rule).is_some() {
                bail!("line {number}: {id} stands twice");
            }
        }
        Ok(Self { table })
    }

    pub(super) fn has(&self, id: RuleId) -> bool {
        self.table.contains_key(&id)
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn summary(&self, id: RuleId) -> Option<&str> {
        self.table.get(&id).map(|rule| rule.summary.as_str())
    }

    /// Each area's letter and its title.
    pub(super) fn areas(&self) -> Vec<(char, &str)> {
        let mut areas: Vec<(char, &str)> = Vec::new();
        for (id, rule) in &self.table {
            if areas.last().is_none_or(|(letter, _)| *letter != id.area) {
                areas.push((id.area, &rule.area));
            }
        }
        areas
    }

    pub(super) fn of_area(&self, letter: char) -> Vec<RuleId> {
        self.table.keys().copied().filter(|id| id.area == letter).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Rules;

    /// Areas and their rules come in order, numbers as numbers.
    #[test]
    fn rules_are_grouped_by_area() {
        let rules = Rules::parse("B1\tFree\tb\nA10\tAllocate\tj\nA9\tAllocate\ti\n").expect("legal");
        assert_eq!(rules.areas(), [('A', "Allocate"), ('B', "Free")]);
        let ids: Vec<String> = rules.of_area('A').iter().map(ToString::to_string).collect();
        assert_eq!(ids, ["A9", "A10"]);
    }

    /// Wrong and doubled lines are refused with their number.
    #[test]
    fn wrong_rules_are_named() {
        for (text, line) in [("A1\tx", "line 1"), ("A1\tx\ty\nA1\tx\tz", "line 2"), ("a1\tx\ty", "line 1")] {
            let error = Rules::parse(text).err().expect("not a table of rules");
            assert!(error.to_string().starts_with(line), "{error}");
        }
    }
}
