//! Queries one after the other: those of the command line, or lines of standard input.

use super::text;
use crate::arguments::Format;
use crate::failure::{Failure, VADOSE_FAILED};
use crate::output;
use serde::Serialize;
use std::io::{BufRead as _, IsTerminal as _, stdin};
use vadose_machine::Machine;
use vadose_machine::inspect::{QUERIES, Query};

/// Whether every query had an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// It had.
    All,
    /// One had none, and that was told.
    NotAll,
}

/// A query without an answer, for tools.
#[derive(Serialize)]
struct Refusal<'a> {
    asked: &'a str,
    error: String,
}

struct Session<'a> {
    machine: &'a mut Machine,
    pid: Option<u32>,
    format: Format,
    answered: Answered,
    /// Whether something was printed: texts have an empty line between them.
    printed: bool,
}

/// Answers all queries.
pub(super) fn answer(
    machine: &mut Machine,
    queries: &[Query],
    pid: Option<u32>,
    format: Format,
) -> Result<Answered, Failure> {
    let mut session = Session { machine, pid, format, answered: Answered::All, printed: false };
    if queries.is_empty() {
        session.converse()?;
    }
    for query in queries {
        session.ask(&query.to_string(), query)?;
    }
    Ok(session.answered)
}

impl Session<'_> {
    /// Lines of standard input, until its end or `quit`. A person at a terminal is prompted, and may mistype.
    fn converse(&mut self) -> Result<(), Failure> {
        let person = stdin().is_terminal();
        loop {
            if person {
                output::print(b"> ")?;
            }
            let mut line = String::new();
            let read = stdin().lock().read_line(&mut line).map_err(|error| {
                Failure::new(VADOSE_FAILED, format!("standard input cannot be read: {error}"))
            })?;
            let asked = line.trim();
            match asked {
                _ if read == 0 => break,
                "" => continue,
                "quit" | "exit" | "q" => break,
                "help" | "?" => output::print(help().as_bytes())?,
                _ => match asked.parse::<Query>() {
                    Ok(query) => self.ask(asked, &query)?,
                    Err(bad) => self.refuse(asked, bad.to_string())?,
                },
            }
            if person {
                (self.answered, self.printed) = (Answered::All, false);
            }
        }
        Ok(())
    }

    fn ask(&mut self, asked: &str, query: &Query) -> Result<(), Failure> {
        let answer = match self.machine.inspect(self.pid, query) {
            Ok(answer) => answer,
            Err(none) => return self.refuse(asked, none.to_string()),
        };
        match self.format {
            Format::Text => {
                let between = if self.printed { "\n" } else { "" };
                self.printed = true;
                output::print(format!("{between}{}", text(&answer)).as_bytes())
            }
            Format::Json => output::print(&line(&answer)?),
        }
    }

    fn refuse(&mut self, asked: &str, error: String) -> Result<(), Failure> {
        self.answered = Answered::NotAll;
        let failure = Failure::new(VADOSE_FAILED, error.as_str());
        output::tell(&format!("vadose: {failure}\n"));
        match self.format {
            Format::Text => Ok(()),
            Format::Json => output::print(&line(&Refusal { asked, error })?),
        }
    }
}

/// One line of JSON.
fn line(value: &impl Serialize) -> Result<Vec<u8>, Failure> {
    let mut bytes = serde_json::to_vec(value).map_err(|error| {
        Failure::new(VADOSE_FAILED, format!("the answer cannot be put into JSON: {error}"))
    })?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn help() -> String {
    let width = QUERIES.iter().map(|(form, _)| form.len()).max().unwrap_or_default();
    let mut text = String::new();
    for (form, meaning) in QUERIES {
        text.push_str(&format!("{form:<width$}  {meaning}\n"));
    }
    text.push_str(&format!("{:<width$}  ends\n", "quit"));
    text
}
