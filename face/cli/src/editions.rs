//! `vadose editions`: the versions of Windows as a table.

use crate::arguments::{EditionsArguments, Format};
use crate::failure::Failure;
use crate::output;
use crate::program::default_edition;
use crate::report;
use crate::table::{Side, Table};
use serde::Serialize;
use vadose_facts::ntdef::{Bitness, Edition, editions as all};
use vadose_facts::x86::{NoExecute, PagingMode};

/// One row.
#[derive(Serialize)]
struct Row {
    name: &'static str,
    title: &'static str,
    build: String,
    bits: u32,
    paging: &'static str,
    no_execute: bool,
    highest_user_address: u64,
    highest_user_address_without_large_address_aware: u64,
    default_for: Option<&'static str>,
    notes: String,
}

/// Prints the table.
pub(crate) fn editions(arguments: &EditionsArguments) -> Result<u8, Failure> {
    let rows: Vec<Row> = all().iter().map(row).collect();
    match arguments.format {
        Format::Text => output::print(text(&rows).as_bytes())?,
        Format::Json => output::print(&report::json(&rows)?)?,
    }
    Ok(0)
}

fn row(edition: &Edition) -> Row {
    let (bits, programs) = match edition.bitness {
        Bitness::Bits32 => (32, "32-bit programs"),
        Bitness::Bits64 => (64, "64-bit programs"),
    };
    let version = edition.version;
    Row {
        name: edition.name,
        title: edition.title,
        build: format!("{}.{}.{}", version.major, version.minor, version.build),
        bits,
        paging: paging(edition.paging),
        no_execute: edition.no_execute == NoExecute::Enforced,
        highest_user_address: edition.max_user_address.raw(),
        highest_user_address_without_large_address_aware: edition.max_user_address_small.raw(),
        default_for: (default_edition(edition.bitness).name == edition.name).then_some(programs),
        notes: notes(edition),
    }
}

const fn paging(mode: PagingMode) -> &'static str {
    match mode {
        PagingMode::Legacy => "2 levels",
        PagingMode::Pae => "PAE, 3 levels",
        PagingMode::Long4 => "4 levels",
        PagingMode::Long5 => "5 levels",
    }
}

fn notes(edition: &Edition) -> String {
    let mut notes = Vec::new();
    if default_edition(edition.bitness).name == edition.name {
        notes.push(match edition.bitness {
            Bitness::Bits32 => "default for 32-bit programs".to_owned(),
            Bitness::Bits64 => "default for 64-bit programs".to_owned(),
        });
    }
    match edition.no_execute {
        NoExecute::Off => notes.push("every readable page can be executed".to_owned()),
        NoExecute::Enforced => {}
    }
    if edition.max_user_address_small != edition.max_user_address {
        notes.push("below 2 GiB without LARGEADDRESSAWARE".to_owned());
    }
    notes.join("; ")
}

fn text(rows: &[Row]) -> String {
    let mut table = Table::new(&[
        ("Edition", Side::Left),
        ("Windows", Side::Left),
        ("Build", Side::Left),
        ("Bits", Side::Right),
        ("Page tables", Side::Left),
        ("Highest user address", Side::Right),
        ("Notes", Side::Left),
    ]);
    for row in rows {
        table.add([
            row.name.to_owned(),
            row.title.to_owned(),
            row.build.clone(),
            row.bits.to_string(),
            row.paging.to_owned(),
            format!("{:#x}", row.highest_user_address),
            row.notes.clone(),
        ]);
    }
    table.text()
}
