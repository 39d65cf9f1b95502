//! Rows of the table: our figure, the peer's, and what their ratio should be.

use serde::Serialize;
use std::time::Instant;

/// Rounds of which the median counts; ours and the peer's take turns.
pub(crate) const ROUNDS: usize = 7;

/// One comparison.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    /// What is done.
    pub(crate) work: String,
    /// Unit of both figures.
    pub(crate) unit: &'static str,
    /// Our figure.
    pub(crate) ours: f64,
    /// What it is compared with.
    pub(crate) peer: &'static str,
    /// The peer's figure.
    pub(crate) theirs: f64,
    /// `ours / theirs`.
    pub(crate) ratio: f64,
    /// What the ratio should be.
    pub(crate) goal: Goal,
    /// Whether it is.
    pub(crate) met: bool,
    /// What our figure cannot go below, where that is known.
    pub(crate) limit: Option<&'static str>,
}

/// What a ratio should be.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Goal {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
    /// Nothing: for knowing only.
    None,
}

impl Row {
    /// A row of two figures.
    pub(crate) fn new(
        work: impl Into<String>,
        unit: &'static str,
        ours: f64,
        peer: &'static str,
        theirs: f64,
        goal: Goal,
    ) -> Self {
        let ratio = ours / theirs;
        let met = match goal {
            Goal::AtMost(limit) => ratio <= limit,
            Goal::AtLeast(limit) => ratio >= limit,
            Goal::None => true,
        };
        Self { work: work.into(), unit, ours, peer, theirs, ratio, goal, met, limit: None }
    }

    /// The same, with what limits our figure: told where the goal is missed.
    pub(crate) fn limited_by(self, limit: &'static str) -> Self {
        Self { limit: Some(limit), ..self }
    }
}

/// Medians of both, measured in turns.
pub(crate) fn in_turns(mut ours: impl FnMut() -> f64, mut theirs: impl FnMut() -> f64) -> (f64, f64) {
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        a.push(ours());
        b.push(theirs());
    }
    (median(a), median(b))
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

/// Nanoseconds that each of `times` calls took.
pub(crate) fn nanoseconds_each(times: u64, mut call: impl FnMut(u64)) -> f64 {
    let began = Instant::now();
    for time in 0..times {
        call(time);
    }
    began.elapsed().as_secs_f64() * 1e9 / times as f64
}

/// The table for people.
pub(crate) fn text(rows: &[Row]) {
    println!(
        "Medians of {ROUNDS} rounds, ours and the peer's in turns. Ratio: ours divided by the peer's.\n"
    );
    println!(
        "{:<50} {:>5} {:>10}  {:<40} {:>10} {:>7}  goal",
        "work", "unit", "ours", "peer", "peer's", "ratio"
    );
    for row in rows {
        let goal = match row.goal {
            Goal::AtMost(limit) => format!("at most {limit}"),
            Goal::AtLeast(limit) => format!("at least {limit}"),
            Goal::None => "-".to_owned(),
        };
        let missed = match (row.met, row.goal) {
            (true, Goal::None) => String::new(),
            (true, Goal::AtMost(_) | Goal::AtLeast(_)) => "  met".to_owned(),
            (false, Goal::None | Goal::AtMost(_) | Goal::AtLeast(_)) => {
                row.limit.map_or("  MISSED".to_owned(), |limit| format!("  MISSED: {limit}"))
            }
        };
        println!(
            "{:<50} {:>5} {:>10.1}  {:<40} {:>10.1} {:>7.3}  {goal}{missed}",
            row.work, row.unit, row.ours, row.peer, row.theirs, row.ratio
        );
    }
}

/// The same for tools.
pub(crate) fn json(rows: &[Row]) {
    println!("{}", serde_json::to_string_pretty(rows).expect("rows are plain data"));
}
