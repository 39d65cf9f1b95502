//! How far many runs are, on standard error: a line that is written over on a terminal, and elsewhere one for each tenth.

use crate::output;
use crate::quantity::grouped;
use crate::screen::{CLEAR_LINE, Screen};

/// Lines that are written where none can be written over.
const LINES: usize = 10;

/// Runs that are done, and all.
pub(super) struct Progress {
    done: usize,
    all: usize,
    screen: Screen,
}

impl Progress {
    /// Nothing is done yet.
    pub(super) fn start(all: usize) -> Self {
        let progress = Self { done: 0, all, screen: Screen::of_stderr() };
        output::tell(&progress.begun());
        progress
    }

    /// One more is done.
    pub(super) fn step(&mut self) {
        self.done += 1;
        output::tell(&self.line());
    }

    /// All is done, or given up.
    pub(super) fn end(self) {
        if self.screen == Screen::Terminal {
            output::tell(CLEAR_LINE);
        }
    }

    fn begun(&self) -> String {
        match self.screen {
            Screen::Terminal => self.line(),
            Screen::Plain => {
                format!("vadose: {} runs, a request failing in each\n", grouped(self.all as u64))
            }
        }
    }

    fn line(&self) -> String {
        let words = format!("vadose: {} of {} runs", grouped(self.done as u64), grouped(self.all as u64));
        let tenth = |done: usize| done * LINES / self.all;
        match self.screen {
            Screen::Terminal => format!("{CLEAR_LINE}{words}"),
            Screen::Plain if tenth(self.done) > tenth(self.done - 1) => format!("{words}\n"),
            Screen::Plain => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(all: usize, screen: Screen) -> Vec<String> {
        let mut progress = Progress { done: 0, all, screen };
        let mut lines = vec![progress.begun()];
        for done in 1..=all {
            progress.done = done;
            lines.push(progress.line());
        }
        lines.retain(|line| !line.is_empty());
        lines
    }

    #[test]
    fn a_file_gets_a_line_for_each_tenth() {
        let many = lines(1234, Screen::Plain);
        assert_eq!(many.len(), 11);
        assert_eq!(many[0], "vadose: 1,234 runs, a request failing in each\n");
        assert_eq!(
            (many[1].as_str(), many[10].as_str()),
            ("vadose: 124 of 1,234 runs\n", "vadose: 1,234 of 1,234 runs\n")
        );
        assert_eq!(lines(3, Screen::Plain).len(), 4);
    }

    #[test]
    fn a_terminal_has_one_line_that_changes() {
        let all = lines(2, Screen::Terminal);
        assert_eq!(
            all,
            ["\r\x1b[Kvadose: 0 of 2 runs", "\r\x1b[Kvadose: 1 of 2 runs", "\r\x1b[Kvadose: 2 of 2 runs"]
        );
    }
}
