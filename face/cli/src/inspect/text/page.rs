//! Answers about an address: its region, its ranges, its entries.

use super::{address as show, digits, or_empty, raw};
use crate::quantity::{grouped, kibibytes};
use crate::table::{Side, Table, pairs};
use vadose_machine::inspect::{AddressAnswer, PteAnswer, PteRow, VadAnswer, VadRow};

/// As `!address ADDRESS` shows it.
pub(super) fn address(answer: &AddressAnswer) -> String {
    let mut rows = vec![
        ("Address", format!("{} in {}", show(answer.address), answer.process)),
        ("Usage", answer.usage.clone()),
        ("Place", answer.place.clone().unwrap_or_default()),
        ("Base address", show(answer.base)),
        ("End address", show(answer.end)),
        ("Region size", region_size(answer)),
        ("State", answer.state.to_owned()),
        ("Protect", answer.protection.clone()),
        ("Type", answer.kind.to_owned()),
        ("Allocation base", or_empty(answer.allocation_base, show)),
        ("Allocation protect", answer.allocation_protection.clone().unwrap_or_default()),
        ("VAD", or_empty(answer.vad.as_ref(), vad_line)),
        ("Page", answer.page.words.clone()),
    ];
    rows.retain(|(_, value)| !value.is_empty());
    pairs(&rows)
}

/// The kernel's half is too large for its size to say anything.
fn region_size(answer: &AddressAnswer) -> String {
    match answer.state {
        "kernel" => String::new(),
        _ => format!("{} ({:#x})", kibibytes(answer.size), answer.size),
    }
}

fn vad_line(vad: &VadRow) -> String {
    let mut line = format!(
        "{} - {}, {} pages, {} charged, {}, {}",
        show(vad.start),
        show(vad.end),
        grouped(vad.pages),
        grouped(vad.commit_pages),
        vad.kind,
        vad.protection
    );
    for flag in &vad.flags {
        line.push_str(&format!(", {flag}"));
    }
    if let Some(section) = vad.section {
        line.push_str(&format!(", section {section} from page {:#x}", vad.first_page.unwrap_or_default()));
    }
    line
}

/// As `!vad` shows them.
pub(super) fn vads(answer: &VadAnswer) -> String {
    let mut table = Table::new(&[
        ("Start", Side::Left),
        ("End", Side::Left),
        ("Pages", Side::Right),
        ("Commit", Side::Right),
        ("Type", Side::Left),
        ("Protection", Side::Left),
        ("Flags", Side::Left),
        ("Section", Side::Right),
        ("Name", Side::Left),
    ]);
    for vad in &answer.vads {
        table.add([
            show(vad.start),
            show(vad.end),
            grouped(vad.pages),
            grouped(vad.commit_pages),
            vad.kind.to_owned(),
            vad.protection.clone(),
            vad.flags.join(", "),
            or_empty(vad.section, |section| section.to_string()),
            vad.name.clone(),
        ]);
    }
    format!(
        "Ranges of {}\n\n{}\n{} ranges, {} pages, {} of them charged as committed\n",
        answer.process,
        table.text(),
        answer.vads.len(),
        grouped(answer.pages),
        grouped(answer.commit_pages)
    )
}

/// As `!pte ADDRESS` shows them, a row an entry.
pub(super) fn entries(answer: &PteAnswer) -> String {
    let mut table = Table::new(&[
        ("Level", Side::Left),
        ("Entry at", Side::Left),
        ("Physical", Side::Right),
        ("Contains", Side::Left),
        ("Pfn", Side::Right),
        ("Flags", Side::Left),
        ("Meaning", Side::Left),
    ]);
    for entry in &answer.entries {
        table.add([
            entry.level.to_owned(),
            or_empty(entry.at, show),
            digits(entry.physical),
            raw(entry.raw, answer),
            or_empty(entry.frame, digits),
            entry.letters.clone().unwrap_or_default(),
            meaning(entry),
        ]);
    }
    let heading =
        format!("VA {} in {}, top table at {}", show(answer.address), answer.process, digits(answer.root));
    let physical = or_empty(answer.physical, |at| format!("Physical address {}\n", digits(at)));
    format!("{heading}\n\n{}\n{physical}Page {}\n", table.text(), answer.page.words)
}

fn meaning(entry: &PteRow) -> String {
    match entry.flags.is_empty() {
        true => entry.meaning.clone(),
        false => format!("{}: {}", entry.meaning, entry.flags.join(", ")),
    }
}
