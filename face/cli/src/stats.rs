//! What a run did, in plain words: faults by how they were resolved, services, memory.

use crate::quantity::{grouped, readable};
use crate::table::{Side, Table};
use vadose_machine::report::{
    Activity, CompressedReport, MemoryReport, PagingReport, ProcessReport, RunEnding, RunReport,
};

/// The summary.
pub(crate) fn text(report: &RunReport) -> String {
    let (activity, memory) = (activity(&report.activity), memory(&report.memory));
    format!("{activity}\n{memory}{}{}", paging(&report.memory.paging), others(&report.others))
}

/// The other processes of the run, a line each, in the order of their ends.
fn others(processes: &[ProcessReport]) -> String {
    if processes.is_empty() {
        return String::new();
    }
    let right = |heading| (heading, Side::Right);
    let left = |heading| (heading, Side::Left);
    let mut table = Table::new(&[
        right("Id"),
        right("Parent"),
        right("Private peak"),
        right("Working set peak"),
        right("Faults"),
        left("Ended"),
        left("Program"),
    ]);
    for process in processes {
        let faults: u64 = process.faults.iter().map(|fault| fault.count).sum();
        table.add([
            process.id.to_string(),
            if process.parent == 0 { "-".to_owned() } else { process.parent.to_string() },
            readable(process.private_peak),
            readable(process.working_set_peak),
            grouped(faults),
            in_a_word(&process.ending),
            process.program.clone(),
        ]);
    }
    format!("\nOther processes\n{}", table.text())
}

fn in_a_word(ending: &RunEnding) -> String {
    match ending {
        RunEnding::Exit { code } => format!("exit {code}"),
        RunEnding::Crash(crash) => crash.name.clone(),
        RunEnding::MissingFunction { .. } => "missing function".to_owned(),
        RunEnding::UnimplementedService { .. } => "missing service".to_owned(),
        RunEnding::NotLoaded { .. } => "not loaded".to_owned(),
        RunEnding::TimedOut => "stopped".to_owned(),
        RunEnding::Deadlock { .. } => "hangs".to_owned(),
    }
}

fn activity(activity: &Activity) -> String {
    let total: u64 = activity.faults.iter().map(|fault| fault.count).sum();
    let mut text = format!(
        "What the program did\n  {} calls of Windows services, {} exceptions, {} faults resolved{}\n",
        grouped(activity.services),
        grouped(activity.exceptions),
        grouped(total),
        if total == 0 { "" } else { ":" }
    );
    let width = activity.faults.iter().map(|fault| grouped(fault.count).len()).max().unwrap_or_default();
    for fault in activity.faults.iter().filter(|fault| fault.count > 0) {
        text.push_str(&format!("  {:>width$}  {}\n", grouped(fault.count), fault.meaning));
    }
    text
}

fn memory(memory: &MemoryReport) -> String {
    let rows = [
        (
            "guest RAM",
            format!("{}, {} available at the end", readable(memory.ram), readable(memory.ram_available)),
        ),
        (
            "commit charge",
            format!(
                "{} of {} at the end, {} at the most",
                readable(memory.commit),
                readable(memory.commit_limit),
                readable(memory.commit_peak)
            ),
        ),
        ("private bytes", at_end_and_most(memory.private, memory.private_peak)),
        ("working set", at_end_and_most(memory.working_set, memory.working_set_peak)),
        ("page tables", readable(memory.page_tables)),
    ];
    table("Memory", rows)
}

/// What left RAM and came back; empty if nothing did and nothing could.
fn paging(paging: &PagingReport) -> String {
    let trimmed = paging.trimmed_not_used + paging.trimmed_hard_maximum + paging.trimmed_by_calls;
    let has_page_files = paging.size > 0;
    if !has_page_files && trimmed == 0 {
        return String::new();
    }
    let rows = [
        Some(("faults", faults(paging))),
        Some(("trimmed", trims(paging, trimmed))),
        Some(("repurposed", format!("{} frames, from pages on standby", grouped(paging.repurposed)))),
        has_page_files.then(|| ("page files", use_of(paging))),
        has_page_files.then(|| ("paged out", moved(paging.pages_written, paging.writes, "write"))),
        has_page_files.then(|| ("paged in", moved(paging.pages_read, paging.reads, "read"))),
        (paging.read_along > 0).then(|| ("read ahead", read_ahead(paging))),
        (paging.failed > 0).then(|| ("failed", format!("{} transfers", grouped(paging.failed)))),
        paging.compressed.filter(|used| used.stored + used.refused > 0).map(compressed),
    ];
    format!("\n{}", table("Paging", rows.into_iter().flatten()))
}

fn faults(paging: &PagingReport) -> String {
    format!("{} without a read, {} with one", grouped(paging.soft_faults), grouped(paging.hard_faults))
}

fn trims(paging: &PagingReport, pages: u64) -> String {
    let reasons = [
        (paging.trimmed_not_used, "not used for a while"),
        (paging.trimmed_hard_maximum, "over a hard maximum"),
        (paging.trimmed_by_calls, "by calls"),
    ];
    let words: Vec<String> = reasons
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, words)| format!("{} {words}", grouped(count)))
        .collect();
    let tables = format!("{} page tables", grouped(paging.tables_trimmed));
    match words.is_empty() {
        true => format!("no pages, {tables}"),
        false => format!("{} pages ({}), {tables}", grouped(pages), words.join(", ")),
    }
}

fn use_of(paging: &PagingReport) -> String {
    format!(
        "{} of {} used at the end, {} at the most",
        readable(paging.used),
        readable(paging.size),
        readable(paging.used_peak)
    )
}

fn read_ahead(paging: &PagingReport) -> String {
    format!(
        "{} pages read along, {} of them used ({}%)",
        grouped(paging.read_along),
        grouped(paging.read_along_used),
        paging.read_along_used * 100 / paging.read_along
    )
}

fn compressed(used: CompressedReport) -> (&'static str, String) {
    let text = format!(
        "{} pages stored, {} refused, {} came back; {} pages in {} at the end",
        grouped(used.stored),
        grouped(used.refused),
        grouped(used.loaded),
        grouped(used.pages),
        readable(used.ram)
    );
    ("compressed", text)
}

fn table(heading: &str, rows: impl IntoIterator<Item = (&'static str, String)>) -> String {
    let mut text = format!("{heading}\n");
    for (what, how_much) in rows {
        text.push_str(&format!("  {what:<13}  {how_much}\n"));
    }
    text
}

/// Pages, and how many went at once: the size of a cluster.
fn moved(pages: u64, transfers: u64, what: &str) -> String {
    let each = (pages * 10).checked_div(transfers).unwrap_or_default();
    let (pages, transfers) = (grouped(pages), grouped(transfers));
    format!("{pages} pages in {transfers} {what}s, {}.{} a {what}", each / 10, each % 10)
}

fn at_end_and_most(end: u64, most: u64) -> String {
    format!("{} at the end, {} at the most", readable(end), readable(most))
}
