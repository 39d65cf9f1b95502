//! Control areas: the list, and one in full as `!ca` shows it.

use super::{address, digits, or_empty};
use crate::quantity::grouped;
use crate::table::{Side, Table, pairs};
use vadose_machine::inspect::{SectionAnswer, SectionPlaces, SectionsAnswer};

/// The list.
pub(super) fn sections(answer: &SectionsAnswer) -> String {
    let mut table = Table::new(&[
        ("Section", Side::Right),
        ("Type", Side::Left),
        ("Pages", Side::Right),
        ("Active", Side::Right),
        ("Standby", Side::Right),
        ("Modified", Side::Right),
        ("Commit", Side::Right),
        ("Objects", Side::Right),
        ("Views", Side::Right),
        ("Name", Side::Left),
    ]);
    for row in &answer.sections {
        table.add([
            row.section.to_string(),
            row.kind.to_owned(),
            grouped(u64::from(row.pages)),
            grouped(u64::from(row.places.active)),
            grouped(u64::from(row.places.standby)),
            grouped(u64::from(row.places.modified)),
            grouped(row.commit_pages),
            row.section_count.to_string(),
            row.view_count.to_string(),
            row.name.clone(),
        ]);
    }
    table.text()
}

/// One of them.
pub(super) fn section(answer: &SectionAnswer) -> String {
    let row = &answer.section;
    let mut rows = vec![
        ("Section", format!("{}, {}", row.section, row.name)),
        ("Type", row.kind.to_owned()),
        ("File size", or_empty(answer.file_bytes, |bytes| format!("{} bytes", grouped(bytes)))),
        ("Preferred base", or_empty(answer.preferred_base, address)),
        ("Pages", format!("{}: {}", grouped(u64::from(row.pages)), places(&row.places))),
        ("Commit", format!("{} pages", grouped(row.commit_pages))),
        ("Section objects", row.section_count.to_string()),
        ("Views", row.view_count.to_string()),
    ];
    rows.extend(answer.segments.iter().map(|run| {
        let end = grouped(u64::from(run.entries));
        ("Prototype PTEs", format!("{end} from {}", address(run.base_pte)))
    }));
    rows.retain(|(_, value)| !value.is_empty());
    format!("{}\n{}{}", pairs(&rows), subsections(answer), views(answer))
}

/// Where its pages are, those places that have some.
fn places(places: &SectionPlaces) -> String {
    let all = [
        (places.active, "active"),
        (places.standby, "standby"),
        (places.modified, "modified"),
        (places.transition, "in transfer"),
        (places.page_file, "in page files"),
        (places.file, "in the file"),
        (places.demand_zero, "demand zero"),
        (places.absent, "not there"),
    ];
    let some = all.into_iter().filter(|(count, _)| *count > 0);
    some.map(|(count, words)| format!("{} {words}", grouped(u64::from(count)))).collect::<Vec<_>>().join(", ")
}

fn subsections(answer: &SectionAnswer) -> String {
    let mut table = Table::new(&[
        ("Subsection", Side::Left),
        ("Name", Side::Left),
        ("First page", Side::Right),
        ("Pages", Side::Right),
        ("Base PTE", Side::Left),
        ("Protection", Side::Left),
        ("Shared", Side::Left),
        ("File offset", Side::Right),
        ("File bytes", Side::Right),
    ]);
    for part in &answer.subsections {
        table.add([
            or_empty(part.at, address),
            part.name.clone(),
            format!("{:x}", part.first_page),
            grouped(u64::from(part.pages)),
            address(part.base_pte),
            part.protection.clone(),
            if part.shared { "shared" } else { "copied" }.to_owned(),
            or_empty(part.file_offset, digits),
            or_empty(part.file_bytes, grouped),
        ]);
    }
    table.text()
}

fn views(answer: &SectionAnswer) -> String {
    if answer.views.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&[
        ("View", Side::Left),
        ("End", Side::Left),
        ("First page", Side::Right),
        ("Process", Side::Left),
    ]);
    for view in &answer.views {
        table.add([
            address(view.start),
            address(view.end),
            format!("{:x}", view.first_page),
            view.process.to_string(),
        ]);
    }
    format!("\n{}", table.text())
}

#[cfg(test)]
mod tests {
    use super::*;
    use vadose_machine::inspect::SectionRow;

    #[test]
    fn only_places_with_pages_are_told() {
        let some = SectionPlaces { active: 2, file: 1, ..SectionPlaces::default() };
        assert_eq!(places(&some), "2 active, 1 in the file");
        let row = |kind| SectionRow {
            section: 3,
            kind,
            pages: 3,
            section_count: 1,
            view_count: 0,
            commit_pages: 0,
            places: some,
            name: "n".to_owned(),
        };
        let listed = sections(&SectionsAnswer { sections: vec![row("image")] });
        assert!(listed.lines().nth(1).is_some_and(|line| line.contains("image      3       2")), "{listed}");
    }
}
