//! What a run did, in plain words: faults by how they were resolved, services, memory.

use crate::quantity::{grouped, readable};
use vadose_machine::report::{Activity, MemoryReport, RunReport};

/// The summary.
pub(crate) fn text(report: &RunReport) -> String {
    format!("{}\n{}", activity(&report.activity), memory(&report.memory))
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
    let paged = [
        (
            "page files",
            format!(
                "{} of {} used at the end, {} at the most",
                readable(memory.paging.used),
                readable(memory.paging.size),
                readable(memory.paging.used_peak)
            ),
        ),
        ("paged out", moved(memory.paging.pages_written, memory.paging.writes, "writes")),
        ("paged in", moved(memory.paging.pages_read, memory.paging.reads, "reads")),
    ];
    let has_page_files = memory.paging.size > 0;
    let rows = rows.into_iter().chain(paged.into_iter().filter(|_| has_page_files));
    let compressed = memory.paging.compressed.filter(|used| used.stored + used.refused > 0).map(|used| {
        let text = format!(
            "{} pages stored, {} refused, {} came back; {} pages in {} at the end",
            grouped(used.stored),
            grouped(used.refused),
            grouped(used.loaded),
            grouped(used.pages),
            readable(used.ram)
        );
        ("compressed", text)
    });
    let rows = rows.chain(compressed);
    let mut text = "Memory\n".to_owned();
    for (what, how_much) in rows {
        text.push_str(&format!("  {what:<13}  {how_much}\n"));
    }
    text
}

fn moved(pages: u64, transfers: u64, what: &str) -> String {
    format!("{} pages in {} {what}", grouped(pages), grouped(transfers))
}

fn at_end_and_most(end: u64, most: u64) -> String {
    format!("{} at the end, {} at the most", readable(end), readable(most))
}
