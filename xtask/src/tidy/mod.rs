//! Checks that the source keeps the project's own rules, and says where it does not and what to do.

mod functions;
mod licence;
mod text;
mod tiers;
mod unsafety;

use std::fmt;

use anyhow::{Result, bail};

use crate::source;
use crate::workspace::Workspace;

/// Something found in a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Finding {
    level: Level,
    place: String,
    what: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Level {
    Warning,
    Error,
}

impl Finding {
    fn error(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { level: Level::Error, place: place.into(), what: what.into() }
    }

    fn warning(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { level: Level::Warning, ..Self::error(place, what) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Warning => "warning",
            Level::Error => "error",
        };
        write!(f, "{}: {level}: {}", self.place, self.what)
    }
}

/// Prints everything found; errors make it fail.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let metadata = workspace.metadata()?;
    let sources = source::all(workspace)?;
    let mut findings = tiers::check(&metadata)?;
    findings.extend(licence::check(&metadata)?);
    for source in &sources {
        findings.extend(text::check_rust(source));
        findings.extend(functions::check(source));
        findings.extend(unsafety::check(source));
    }
    findings.extend(text::check_paths(workspace)?);

    for finding in &findings {
        println!("{finding}");
    }
    let errors = findings.iter().filter(|finding| finding.level == Level::Error).count();
    let warnings = findings.len() - errors;
    if errors > 0 {
        bail!("tidy found {errors} errors and {warnings} warnings");
    }
    println!("tidy: {} Rust files in order, {warnings} warnings", sources.len());
    Ok(())
}
