//! Which requests of a guest fail although there is memory: rules in words, and the counters that apply them.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// What can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FailKind {
    /// A call by which the program asks for memory: an allocation, a heap block, a view.
    Alloc,
    /// A commit charge that a call of the program needs.
    Commit,
    /// A read of an image's page from its file.
    ImageRead,
    /// A read of a page from a page file.
    PagefileRead,
    /// A write of a page to a page file.
    PagefileWrite,
}

impl FailKind {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Alloc, Self::Commit, Self::ImageRead, Self::PagefileRead, Self::PagefileWrite];

    /// Its name in a rule.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alloc => "alloc",
            Self::Commit => "commit",
            Self::ImageRead => "image-read",
            Self::PagefileRead => "pagefile-read",
            Self::PagefileWrite => "pagefile-write",
        }
    }
}

impl FailKind {
    /// Whether it is a transfer between RAM and a page file: nobody's, while the others are requests of the program.
    pub const fn is_of_page_files(self) -> bool {
        match self {
            Self::Alloc | Self::Commit | Self::ImageRead => false,
            Self::PagefileRead | Self::PagefileWrite => true,
        }
    }
}

impl fmt::Display for FailKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for FailKind {
    type Err = BadRule;

    fn from_str(text: &str) -> Result<Self, BadRule> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| BadRule::Kind(text.to_owned()))
    }
}

/// Which requests of a kind fail, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailTurn {
    /// The one with this number.
    Nth(u64),
    /// Every one whose number is a multiple of this.
    Every(u64),
}

impl FailTurn {
    /// Whether a request with that number fails.
    pub const fn hits(self, number: u64) -> bool {
        match self {
            Self::Nth(wanted) => number == wanted,
            Self::Every(step) => number.is_multiple_of(step),
        }
    }

    /// Whether one of the first `count` requests failed.
    pub const fn has_come(self, count: u64) -> bool {
        let (Self::Nth(first) | Self::Every(first)) = self;
        count >= first
    }
}

/// A rule such as `alloc:3` or `alloc:every=10`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FailRule {
    /// What fails.
    pub kind: FailKind,
    /// When.
    pub turn: FailTurn,
}

impl fmt::Display for FailRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.turn {
            FailTurn::Nth(number) => write!(f, "{}:{number}", self.kind),
            FailTurn::Every(step) => write!(f, "{}:every={step}", self.kind),
        }
    }
}

/// Why a text is no rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRule {
    /// No number.
    #[error("say which one: {0}:3 is the third, {0}:every=3 every third")]
    NoTurn(FailKind),
    /// Nothing of that name can fail.
    #[error(
        "nothing is called `{0}`: write alloc, commit, image-read, pagefile-read or pagefile-write, then a colon and a number"
    )]
    Kind(String),
    /// The number is none.
    #[error("`{0}` is no number: write which one fails, from 1 on, or every=K for each K-th")]
    Turn(String),
    /// Nothing has the number 0.
    #[error("counting begins at 1")]
    Zero,
}

impl FromStr for FailRule {
    type Err = BadRule;

    fn from_str(text: &str) -> Result<Self, BadRule> {
        let Some((kind, turn)) = text.split_once(':') else {
            return Err(BadRule::NoTurn(text.parse()?));
        };
        let kind: FailKind = kind.parse()?;
        let (digits, step) = match turn.strip_prefix("every=") {
            Some(digits) => (digits, true),
            None => (turn, false),
        };
        // A sign is no digit: `+3` is refused.
        let plain = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
        let number = digits.parse().ok().filter(|_| plain).ok_or_else(|| BadRule::Turn(turn.to_owned()))?;
        match (number, step) {
            (0, _) => Err(BadRule::Zero),
            (number, true) => Ok(Self { kind, turn: FailTurn::Every(number) }),
            (number, false) => Ok(Self { kind, turn: FailTurn::Nth(number) }),
        }
    }
}

/// Rules, and how often each kind that they name was asked for so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FailPlan {
    rules: Vec<FailRule>,
    asked: BTreeMap<FailKind, u64>,
}

impl FailPlan {
    /// A plan that fails what the rules say.
    pub fn new(rules: Vec<FailRule>) -> Self {
        let asked = rules.iter().map(|rule| (rule.kind, 0)).collect();
        Self { rules, asked }
    }

    /// A plan that fails nothing and counts the requests of a kind.
    pub fn counting(kind: FailKind) -> Self {
        Self { rules: Vec::new(), asked: [(kind, 0)].into() }
    }

    /// The part of the plan that is about some kinds, with nothing counted.
    #[must_use]
    pub fn about(&self, of_interest: impl Fn(FailKind) -> bool) -> Self {
        let rules = self.rules.iter().copied().filter(|rule| of_interest(rule.kind)).collect();
        let asked =
            self.asked.keys().copied().filter(|kind| of_interest(*kind)).map(|kind| (kind, 0)).collect();
        Self { rules, asked }
    }

    /// The rules, as they were given.
    pub fn rules(&self) -> &[FailRule] {
        &self.rules
    }

    /// Whether the plan fails or counts anything.
    pub fn is_empty(&self) -> bool {
        self.asked.is_empty()
    }

    /// Whether requests of a kind are counted: those that a rule names are.
    pub fn watches(&self, kind: FailKind) -> bool {
        self.asked.contains_key(&kind)
    }

    /// Counts one more request of a kind and says whether it is to fail. A kind that no rule names is not counted.
    pub fn should_fail(&mut self, kind: FailKind) -> bool {
        let Some(asked) = self.asked.get_mut(&kind) else { return false };
        *asked += 1;
        self.rules.iter().any(|rule| rule.kind == kind && rule.turn.hits(*asked))
    }

    /// Requests of a kind so far, 0 for one that is not watched.
    pub fn asked(&self, kind: FailKind) -> u64 {
        self.asked.get(&kind).copied().unwrap_or_default()
    }

    /// The kinds that are watched, with their requests so far.
    pub fn counts(&self) -> impl Iterator<Item = (FailKind, u64)> {
        self.asked.iter().map(|(kind, asked)| (*kind, *asked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> FailRule {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn a_rule_reads_back_as_it_was_written() {
        for kind in FailKind::ALL {
            for turn in ["1", "18446744073709551615", "every=1", "every=10"] {
                let text = format!("{kind}:{turn}");
                assert_eq!(rule(&text).to_string(), text);
            }
        }
        assert_eq!(rule("alloc:3"), FailRule { kind: FailKind::Alloc, turn: FailTurn::Nth(3) });
        assert_eq!(rule("alloc:003"), rule("alloc:3"));
    }

    #[test]
    fn what_is_no_rule_is_told_why() {
        for (text, words) in [
            ("", "nothing is called ``"),
            ("malloc:1", "nothing is called `malloc`"),
            ("Alloc:1", "nothing is called `Alloc`"),
            ("alloc", "alloc:3 is the third"),
            ("alloc:", "`` is no number"),
            ("alloc:x", "`x` is no number"),
            ("alloc:+3", "`+3` is no number"),
            ("alloc:-1", "`-1` is no number"),
            ("alloc:1,2", "`1,2` is no number"),
            ("alloc:every", "`every` is no number"),
            ("alloc:every=", "`every=` is no number"),
            ("alloc:18446744073709551616", "is no number"),
            ("alloc:0", "begins at 1"),
            ("commit:every=0", "begins at 1"),
        ] {
            let error = text.parse::<FailRule>().expect_err(text).to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    /// Numbers of the first `count` requests of a kind that fail.
    fn failing(plan: &mut FailPlan, kind: FailKind, count: u64) -> Vec<u64> {
        (1..=count).filter(|_| plan.should_fail(kind)).collect()
    }

    #[test]
    fn each_kind_is_counted_by_itself() {
        let rules = ["alloc:2", "alloc:every=5", "commit:1"].map(rule);
        let mut plan = FailPlan::new(rules.to_vec());
        assert_eq!(failing(&mut plan, FailKind::Alloc, 11), [2, 5, 10]);
        assert_eq!(failing(&mut plan, FailKind::Commit, 3), [1]);
        assert_eq!(failing(&mut plan, FailKind::ImageRead, 3), []);
        let counts: Vec<_> = plan.counts().collect();
        assert_eq!(counts, [(FailKind::Alloc, 11), (FailKind::Commit, 3)]);
        assert!(!plan.watches(FailKind::ImageRead) && plan.asked(FailKind::ImageRead) == 0);
    }

    #[test]
    fn a_part_of_a_plan_is_about_its_kinds_alone() {
        let rules = ["alloc:1", "pagefile-read:1", "pagefile-write:every=2"].map(rule);
        let plan = FailPlan::new(rules.to_vec());
        let mut pages = plan.about(FailKind::is_of_page_files);
        assert_eq!(pages.rules(), &rules[1..]);
        assert_eq!(failing(&mut pages, FailKind::Alloc, 2), []);
        assert_eq!(failing(&mut pages, FailKind::PagefileRead, 2), [1]);
        assert_eq!(failing(&mut pages, FailKind::PagefileWrite, 4), [2, 4]);
        let counted = FailPlan::counting(FailKind::PagefileRead).about(FailKind::is_of_page_files);
        assert!(counted.watches(FailKind::PagefileRead) && !counted.is_empty());
    }

    #[test]
    fn a_plan_without_rules_counts_and_fails_nothing() {
        let mut plan = FailPlan::counting(FailKind::Commit);
        assert_eq!(failing(&mut plan, FailKind::Commit, 4), []);
        assert_eq!((plan.asked(FailKind::Commit), plan.is_empty()), (4, false));
        assert!(FailPlan::default().is_empty());
    }
}
