//! How far an install is, on standard error: a line that is written over on a terminal, and elsewhere one for each step.

use crate::output;
use crate::quantity::grouped;
use crate::screen::{CLEAR_LINE, Screen};
use std::cell::RefCell;

/// The steps of an install.
pub(super) struct Progress {
    screen: Screen,
    /// The line that stands on a terminal.
    shown: RefCell<String>,
}

impl Progress {
    pub(super) fn start() -> Self {
        Self { screen: Screen::of_stderr(), shown: RefCell::default() }
    }

    /// A step begins.
    pub(super) fn step(&self, words: &str) {
        match self.screen {
            Screen::Terminal => self.show(words),
            Screen::Plain => output::tell(&format!("vadose: {words}\n")),
        }
    }

    /// Something that is worth a line which stays.
    pub(super) fn note(&self, words: &str) {
        self.clear();
        output::tell(&format!("vadose: {}\n", one_line(words)));
    }

    /// A step has come so far: bytes that are done, and all of them if that is known.
    pub(super) fn amount(&self, words: &str, done: u64, all: Option<u64>) {
        if self.screen == Screen::Terminal {
            self.show(&format!("{words}: {}", amount(done, all)));
        }
    }

    /// Takes the line away, so that something else can be written.
    pub(super) fn clear(&self) {
        if !self.shown.take().is_empty() {
            output::tell(CLEAR_LINE);
        }
    }

    fn show(&self, words: &str) {
        if self.shown.replace(words.to_owned()) != words {
            output::tell(&format!("{CLEAR_LINE}vadose: {words}"));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// What another program said may hold anything.
fn one_line(words: &str) -> String {
    words.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

fn amount(done: u64, all: Option<u64>) -> String {
    const MEGABYTE: u64 = 1_000_000;
    match all {
        Some(all) => format!("{} of {} MB", grouped(done / MEGABYTE), grouped(all / MEGABYTE)),
        None => format!("{} MB", grouped(done / MEGABYTE)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_told_in_megabytes() {
        assert_eq!(amount(0, None), "0 MB");
        assert_eq!(amount(1_999_999, Some(111_365_028)), "1 of 111 MB");
        assert_eq!(amount(111_365_028, Some(111_365_028)), "111 of 111 MB");
    }
}
