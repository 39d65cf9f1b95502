//! Scenario files: steps in words with the answers that Windows gives, for every driver that can do them.
//!
//! The format is told in `lab/scenarios/README.md`.

use vadose_facts::ntdef::Edition;

/// Instructions that a step can name, with their bytes, which mean the same on x86 and x64.
pub const INSTRUCTIONS: &[(&str, &str)] = &[
    ("rep-movsb", "f3a4"),
    ("rep-movsd", "f3a5"),
    ("rep-stosb", "f3aa"),
    ("rep-stosd", "f3ab"),
    ("rep-lodsb", "f3ac"),
    ("repe-cmpsb", "f3a6"),
    ("repe-scasb", "f3ae"),
    ("movsb", "a4"),
    ("xlat", "d7"),
    ("lock-xadd", "f00fc106"),
    ("lock-cmpxchg", "f00fb10e"),
    ("xchg", "8706"),
    ("bts", "0fab0e"),
    ("movaps-load", "0f2806"),
    ("movaps-store", "0f2906"),
    ("movnti", "0fc306"),
    ("fld-m80", "db2e"),
    ("fldz-fstp-m80", "d9eedb3e"),
    ("fxsave", "0fae06"),
    ("cmpxchg8b", "0fc70e"),
];

/// A few steps that show some rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// What it shows, as a sentence.
    pub name: String,
    /// Line of the name in its file, from 1.
    pub line: usize,
    /// The steps in order.
    pub steps: Vec<Step>,
    /// Editions it is for; all if empty.
    editions: Vec<Selector>,
    /// Who can do it; everybody if empty.
    drivers: Vec<Driver>,
}

/// Who does the steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// The memory manager as a library, with an MMU in software.
    Library,
    /// The library, with an engine that walks its page tables by itself.
    Oracle,
    /// A program inside the machine, by system calls and instructions.
    Guest,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its line in the file, from 1.
    pub line: usize,
    /// What to do.
    pub words: String,
    answer: String,
    exceptions: Vec<(Vec<Selector>, String)>,
}

/// A name of an edition, or a part of one between dashes: `x64`, `win7`, `winxp-x86-pae`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Selector(String);

impl Selector {
    fn matches(&self, edition: &Edition) -> bool {
        edition.name == self.0 || edition.name.split('-').any(|part| part == self.0)
    }
}

/// What is wrong with a scenario file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct ScenarioError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: &'static str,
}

impl Scenario {
    /// Whether it says anything of this edition.
    pub fn is_for(&self, edition: &Edition) -> bool {
        self.editions.is_empty() || self.editions.iter().any(|one| one.matches(edition))
    }

    /// Whether this driver can do its steps.
    pub fn is_by(&self, driver: Driver) -> bool {
        self.drivers.is_empty() || self.drivers.contains(&driver)
    }
}

impl Step {
    /// What Windows of this edition answers: the last exception that names it, or what all others say.
    pub fn answer(&self, edition: &Edition) -> &str {
        let named = |(who, _): &&(Vec<Selector>, String)| who.iter().any(|one| one.matches(edition));
        self.exceptions.iter().rev().find(named).map_or(&self.answer, |(_, answer)| answer)
    }
}

/// Reads a file of scenarios.
///
/// # Errors
///
/// [`ScenarioError`] at the first line that fits no place, or at a block without rules or steps.
pub fn parse(text: &str) -> Result<Vec<Scenario>, ScenarioError> {
    let mut scenarios: Vec<Scenario> = Vec::new();
    let mut open: Option<Block> = None;
    for (line, text) in (1..).zip(text.lines()) {
        if text.starts_with('#') {
            continue;
        }
        if text.trim().is_empty() {
            scenarios.extend(open.take().map(Block::close).transpose()?);
            continue;
        }
        match &mut open {
            None => open = Some(Block::begin(line, text)?),
            Some(block) => block.add(line, text)?,
        }
    }
    scenarios.extend(open.map(Block::close).transpose()?);
    Ok(scenarios)
}

/// A scenario of which more lines may come.
struct Block {
    scenario: Scenario,
    has_rules: bool,
}

impl Block {
    fn begin(line: usize, text: &str) -> Result<Self, ScenarioError> {
        if text.starts_with(' ') {
            return Err(ScenarioError { line, what: "a step outside a scenario" });
        }
        let name = text.to_owned();
        let scenario = Scenario { name, line, steps: Vec::new(), editions: Vec::new(), drivers: Vec::new() };
        Ok(Self { scenario, has_rules: false })
    }

    fn add(&mut self, line: usize, text: &str) -> Result<(), ScenarioError> {
        let scenario = &mut self.scenario;
        if text.starts_with(' ') {
            scenario.steps.push(read_step(line, text)?);
            return Ok(());
        }
        if !scenario.steps.is_empty() {
            return Err(ScenarioError { line, what: "a heading behind steps; an empty line goes between" });
        }
        let (key, rest) = text.split_once(' ').unwrap_or((text, ""));
        match key {
            "SPEC" => self.has_rules = true,
            "on" => scenario.editions.extend(selectors(rest)),
            "by" => {
                for word in rest.split_whitespace() {
                    scenario.drivers.push(match word {
                        "library" => Driver::Library,
                        "oracle" => Driver::Oracle,
                        "guest" => Driver::Guest,
                        _ => {
                            let what = "drivers are `library`, `oracle` and `guest`";
                            return Err(ScenarioError { line, what });
                        }
                    });
                }
            }
            _ => return Err(ScenarioError { line, what: "a heading is `SPEC`, `on` or `by`" }),
        }
        Ok(())
    }

    fn close(self) -> Result<Scenario, ScenarioError> {
        let Self { scenario, has_rules } = self;
        let line = scenario.line;
        if !has_rules {
            return Err(ScenarioError { line, what: "a scenario that shows no rule" });
        }
        if scenario.steps.is_empty() {
            return Err(ScenarioError { line, what: "a scenario without steps" });
        }
        Ok(scenario)
    }
}

fn selectors(words: &str) -> Vec<Selector> {
    words.split_whitespace().map(|word| Selector(word.to_owned())).collect()
}

/// `WORDS -> ANSWER | EDITIONS: ANSWER | ...`.
fn read_step(line: usize, text: &str) -> Result<Step, ScenarioError> {
    let no_answer = ScenarioError { line, what: "a step without `->` and an answer" };
    let (words, answers) = text.split_once("->").ok_or(no_answer.clone())?;
    let mut answers = answers.split('|');
    let answer = answers.next().unwrap_or("").trim().to_owned();
    let mut exceptions = Vec::new();
    for text in answers {
        let what = "an exception is `EDITIONS: ANSWER`";
        let (who, answer) = text.split_once(':').ok_or(ScenarioError { line, what })?;
        exceptions.push((selectors(who), answer.trim().to_owned()));
    }
    if answer.is_empty() || exceptions.iter().any(|(_, answer)| answer.is_empty()) {
        return Err(no_answer);
    }
    let words = with_bytes(words.trim()).ok_or(ScenarioError { line, what: "an instruction of no table" })?;
    Ok(Step { line, words, answer, exceptions })
}

/// `run NAME ...` with the bytes in the name's place.
fn with_bytes(words: &str) -> Option<String> {
    let Some(rest) = words.strip_prefix("run ") else { return Some(words.to_owned()) };
    let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let (_, bytes) = INSTRUCTIONS.iter().find(|(known, _)| *known == name)?;
    Some(format!("run {bytes} {rest}"))
}

#[cfg(test)]
mod tests {
    use super::{Driver, parse};
    use vadose_facts::ntdef::edition;

    const TEXT: &str = "\
# A file.

One thing
SPEC-like words are a heading's name
";

    #[test]
    fn blocks_are_read() {
        let text = "# words\n\nFirst\nSPEC none\non x64 winxp-x86\nby guest\n  a 1 -> ok | x64: no | win10: so so\n\nSecond\nSPEC none\n  b -> =0\n";
        let found = parse(text).expect("two scenarios");
        assert_eq!(
            found.iter().map(|one| (one.name.as_str(), one.line)).collect::<Vec<_>>(),
            [("First", 3), ("Second", 9)]
        );
        let on = |name| edition(name).expect("an edition");
        let (first, second) = (&found[0], &found[1]);
        assert!(
            first.is_for(on("win7-x64")) && first.is_for(on("winxp-x86")) && !first.is_for(on("win7-x86"))
        );
        assert!(first.is_by(Driver::Guest) && !first.is_by(Driver::Library) && second.is_by(Driver::Library));
        let answers = ["winxp-x86", "win7-x64", "win10-x64"].map(|name| first.steps[0].answer(on(name)));
        assert_eq!((first.steps[0].words.as_str(), answers), ("a 1", ["ok", "no", "so so"]));
    }

    #[test]
    fn wrong_lines_are_named() {
        for (text, line) in [
            (TEXT, 4),
            ("  read 0 -> ok\n", 1),
            ("Name\nSPEC none\n", 1),
            ("Name\n  read 0 -> ok\n", 1),
            ("Name\nSPEC none\n  read 0\n", 3),
            ("Name\nSPEC none\n  read 0 -> ok | win10 no\n", 3),
            ("Name\nSPEC none\n  read 0 -> ok\nby guest\n", 4),
            ("Name\nSPEC none\n  run magic si=0 -> ok\n", 3),
            ("Name\nSPEC none\nby magic\n  read 0 -> ok\n", 3),
        ] {
            assert_eq!(parse(text).map_err(|error| error.line), Err(line), "{text}");
        }
    }
}
