//! `vadose sysroot list`: what is installed, as a table or as JSON.

use super::arguments::ListArguments;
use super::install::megabytes;
use super::record::Look;
use super::store::{Installed, Store};
use crate::arguments::Format;
use crate::failure::Failure;
use crate::quantity::grouped;
use crate::table::{Side, Table};
use crate::{output, report};
use serde::Serialize;
use std::path::Path;

/// Damaged files that are named.
const MAX_NAMED: usize = 20;

/// One row.
#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    wine: &'a str,
    architecture: String,
    package: String,
    suite: Option<&'a str>,
    files: usize,
    bytes: u64,
    path: &'a Path,
    complete: bool,
    damaged: Vec<&'a str>,
}

/// Prints the list.
pub(super) fn list(arguments: &ListArguments) -> Result<(), Failure> {
    let store = Store::of_user()?;
    let installed = store.installed()?;
    let look = if arguments.verify { Look::Bytes } else { Look::Sizes };
    let rows: Vec<Row<'_>> = installed.iter().map(|installed| row(installed, look)).collect();
    match arguments.format {
        Format::Json => output::print(&report::json(&rows)?),
        Format::Text if rows.is_empty() => {
            let folder = store.folder().display();
            output::print(
                format!("No sysroot is installed in {folder}; `vadose sysroot install` gets one.\n")
                    .as_bytes(),
            )
        }
        Format::Text => output::print(text(&rows).as_bytes()),
    }
}

fn row(installed: &Installed, look: Look) -> Row<'_> {
    let Installed { path, record, .. } = installed;
    let damaged = record.damage(path, look);
    Row {
        name: &record.name,
        wine: &record.wine,
        architecture: record.architecture.to_string(),
        package: record.wine_package(),
        suite: record.suite.as_deref(),
        files: record.files,
        bytes: record.bytes,
        path,
        complete: damaged.is_empty(),
        damaged,
    }
}

fn text(rows: &[Row<'_>]) -> String {
    let mut table = Table::new(&[
        ("Name", Side::Left),
        ("Wine", Side::Left),
        ("For", Side::Left),
        ("Files", Side::Right),
        ("Size", Side::Right),
        ("State", Side::Left),
        ("Package", Side::Left),
        ("Path", Side::Left),
    ]);
    for row in rows {
        let state = match row.damaged.len() {
            0 => "complete".to_owned(),
            1 => "1 file damaged".to_owned(),
            count => format!("{} files damaged", grouped(count as u64)),
        };
        let suite = row.suite.map(|suite| format!(" ({suite})")).unwrap_or_default();
        table.add([
            row.name.to_owned(),
            row.wine.to_owned(),
            row.architecture.clone(),
            grouped(row.files as u64),
            megabytes(row.bytes),
            state,
            format!("{}{suite}", row.package),
            row.path.display().to_string(),
        ]);
    }
    let mut text = table.text();
    for row in rows.iter().filter(|row| !row.complete) {
        let more = row.damaged.len().saturating_sub(MAX_NAMED);
        let named = row.damaged[..row.damaged.len().min(MAX_NAMED)].join(", ");
        let more = if more == 0 { String::new() } else { format!(" and {} more", grouped(more as u64)) };
        text.push_str(&format!(
            "\n{} has files that are missing or not as they were installed: {named}{more}\n\
             `vadose sysroot install --force` installs it anew.\n",
            row.name
        ));
    }
    text
}
