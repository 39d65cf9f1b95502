//! How a line of source names rules: the word SPEC, then ids, with commas, `and`, `to` or a dash between.

use std::fmt;

/// The id of a rule: the letter of its area and its number there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct RuleId {
    pub(super) area: char,
    pub(super) number: u32,
}

impl RuleId {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let area = text.chars().next().filter(char::is_ascii_uppercase)?;
        let digits = &text[1..];
        if digits.is_empty() || digits.starts_with('0') || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let number = digits.parse().ok()?;
        Some(Self { area, number })
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.area, self.number)
    }
}

/// The longest range one citation may name.
const MAX_RANGE: u32 = 100;

/// What one line cites, or what is wrong with it.
pub(super) fn cited(line: &str) -> Result<Vec<RuleId>, String> {
    let mut ids = Vec::new();
    for (at, word) in line.match_indices("SPEC") {
        let after = &line[at + word.len()..];
        let whole_word = !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        if whole_word && after.starts_with(' ') {
            read_list(after, &mut ids)?;
        }
    }
    Ok(ids)
}

fn read_list(text: &str, ids: &mut Vec<RuleId>) -> Result<(), String> {
    let mut range_open = false;
    for word in (Words { rest: text }) {
        match word {
            Word::Id(id) if range_open => {
                extend_range(id, ids)?;
                range_open = false;
            }
            Word::Id(id) => ids.push(id),
            Word::And => range_open = false,
            Word::To => range_open = true,
        }
    }
    Ok(())
}

fn extend_range(last: RuleId, ids: &mut Vec<RuleId>) -> Result<(), String> {
    let Some(first) = ids.last().copied() else {
        ids.push(last);
        return Ok(());
    };
    let ordered = first.area == last.area && first.number < last.number;
    if !ordered || last.number - first.number > MAX_RANGE {
        return Err(format!("{first}-{last} is not a range of rules"));
    }
    ids.extend((first.number + 1..=last.number).map(|number| RuleId { number, ..first }));
    Ok(())
}

enum Word {
    Id(RuleId),
    And,
    To,
}

/// Splits off one word of a citation after another; ends at the first that is none.
struct Words<'a> {
    rest: &'a str,
}

impl Iterator for Words<'_> {
    type Item = Word;

    fn next(&mut self) -> Option<Word> {
        self.rest = self.rest.trim_start_matches([' ', ',']);
        for (dash, bytes) in [("-", 1), ("\u{2013}", 3), ("..", 2)] {
            if self.rest.starts_with(dash) {
                self.rest = &self.rest[bytes..];
                return Some(Word::To);
            }
        }
        let end = self.rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        match word {
            "and" => Some(Word::And),
            "to" => Some(Word::To),
            other => RuleId::parse(other).map(Word::Id),
        }
    }
}

/// Writes ids in order with runs shortened, such as `A1-A3, A7`.
pub(super) fn compress(ids: &[RuleId]) -> String {
    let mut runs: Vec<(RuleId, RuleId)> = Vec::new();
    for id in ids {
        match runs.last_mut() {
            Some((_, last)) if last.area == id.area && last.number + 1 == id.number => *last = *id,
            _ => runs.push((*id, *id)),
        }
    }
    let texts: Vec<String> = runs
        .iter()
        .map(|(first, last)| if first == last { first.to_string() } else { format!("{first}-{last}") })
        .collect();
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::{RuleId, cited, compress};

    fn check(line: &str, expected: &str) {
        let found = match cited(line) {
            Ok(ids) => ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
            Err(error) => error,
        };
        assert_eq!(found, expected, "{line}");
    }

    /// Each way to name rules, and what is no citation.
    #[test]
    fn citations_are_read() {
        check("/// Rounds down (SPEC A21).", "A21");
        check("/// SPEC A21 A22", "A21 A22");
        check("/// SPEC A21, A23 and I5: so", "A21 A23 I5");
        check("/// SPEC A21-A24.", "A21 A22 A23 A24");
        check("/// SPEC A21 to A23, B1", "A21 A22 A23 B1");
        check("(\"SPEC E1 E5\", \"SPEC K2\"),", "E1 E5 K2");
        check("/// as SPEC A21 says in A22", "A21");
        check("/// MYSPEC A21", "");
        check("/// the SPEC of areas A and B", "");
        check("/// SPEC A, B", "");
        check("/// SPEC A021 A2x", "");
    }

    /// A range over two areas or backwards is an error, not a guess.
    #[test]
    fn wrong_ranges_are_refused() {
        check("/// SPEC A9-B2", "A9-B2 is not a range of rules");
        check("/// SPEC A9-A2", "A9-A2 is not a range of rules");
        check("/// SPEC A1-A4000000000", "A1-A4000000000 is not a range of rules");
    }

    /// Runs are shortened, areas kept apart.
    #[test]
    fn runs_are_shortened() {
        let ids: Vec<RuleId> =
            ["A1", "A2", "A3", "A7", "B8"].iter().filter_map(|text| RuleId::parse(text)).collect();
        assert_eq!(compress(&ids), "A1-A3, A7, B8");
    }
}
