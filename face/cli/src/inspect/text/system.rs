//! The machine in numbers: `!vm`, `!memusage` and `!process 0 0`.

use super::{address, digits, or_empty};
use crate::quantity::{grouped, kibibytes};
use crate::table::{Side, Table};
use vadose_facts::addr::PAGE_BYTES;
use vadose_machine::inspect::{FrameNumbers, MemusageAnswer, ProcsAnswer, UserRow, VmAnswer};

fn kilobytes(pages: u64) -> String {
    kibibytes(pages * PAGE_BYTES)
}

fn counted(rows: &[(&str, u64)]) -> String {
    let mut table = Table::new(&[("", Side::Left), ("Pages", Side::Right), ("Size", Side::Right)]);
    for (what, pages) in rows {
        table.add([(*what).to_owned(), grouped(*pages), kilobytes(*pages)]);
    }
    table.text()
}

fn frames(frames: &FrameNumbers) -> [(&'static str, u64); 10] {
    [
        ("Physical memory", frames.total),
        ("Available pages", frames.available),
        ("  Zeroed", frames.zeroed),
        ("  Free", frames.free),
        ("  Standby", frames.standby),
        ("Modified", frames.modified),
        ("Modified no-write", frames.modified_no_write),
        ("Active/valid", frames.active),
        ("Transition", frames.transition),
        ("Bad", frames.bad),
    ]
}

/// As `!vm` shows it.
pub(super) fn virtual_memory(answer: &VmAnswer) -> String {
    let mut rows: Vec<(&str, u64)> = frames(&answer.frames).into();
    rows.extend([
        ("Paged pool usage", answer.kernel.paged_pool),
        ("Nonpaged usage", answer.kernel.nonpaged),
        ("Committed pages", answer.commit.charged),
        ("Commit limit", answer.commit.limit),
        ("Peak commitment", answer.commit.peak),
    ]);
    if let Some(store) = answer.compressed {
        rows.extend([("Compressed pages", store.pages), ("  in so many frames", store.frames)]);
    }
    format!("{}{}", counted(&rows), page_files(answer))
}

fn page_files(answer: &VmAnswer) -> String {
    if answer.page_files.is_empty() {
        return "\nNo page file\n".to_owned();
    }
    let mut table = Table::new(&[
        ("Page file", Side::Right),
        ("Current", Side::Right),
        ("Maximum", Side::Right),
        ("Used", Side::Right),
        ("Free", Side::Right),
        ("Peak", Side::Right),
        ("Bad", Side::Right),
    ]);
    for file in &answer.page_files {
        let size = |pages: u32| kilobytes(u64::from(pages));
        table.add([
            file.number.to_string(),
            size(file.current),
            size(file.maximum),
            size(file.used),
            size(file.current - file.used - file.bad),
            size(file.peak),
            size(file.bad),
        ]);
    }
    format!("\n{}", table.text())
}

/// As `!memusage` shows it: the lists, then who uses what, in kibibytes.
pub(super) fn memory_usage(answer: &MemusageAnswer) -> String {
    let mut table = Table::new(&[
        ("Section", Side::Right),
        ("Valid", Side::Right),
        ("Standby", Side::Right),
        ("Dirty", Side::Right),
        ("Transition", Side::Right),
        ("Shared", Side::Right),
        ("Locked", Side::Right),
        ("Name", Side::Left),
    ]);
    for user in &answer.users {
        table.add([
            or_empty(user.section, |section| section.to_string()),
            kilobytes(user.valid),
            kilobytes(user.standby),
            kilobytes(user.dirty),
            kilobytes(user.transition),
            kilobytes(user.shared),
            kilobytes(user.locked),
            user_name(user),
        ]);
    }
    format!("{}\n{}", counted(&frames(&answer.frames)), table.text())
}

fn user_name(user: &UserRow) -> String {
    match (&user.process, user.kind) {
        (Some(process), "page-tables") => format!("page tables of {process}"),
        (Some(process), _) => format!("private pages of {process}"),
        (None, _) => user.name.clone(),
    }
}

/// As `!process 0 0` lists them.
pub(super) fn processes(answer: &ProcsAnswer) -> String {
    let mut table = Table::new(&[
        ("Process", Side::Right),
        ("Parent", Side::Right),
        ("Peb", Side::Left),
        ("DirBase", Side::Right),
        ("VADs", Side::Right),
        ("Virtual", Side::Right),
        ("Commit", Side::Right),
        ("Working set", Side::Right),
        ("Peak", Side::Right),
        ("Page tables", Side::Right),
        ("Faults", Side::Right),
        ("Threads", Side::Right),
        ("Handles", Side::Right),
        ("Image", Side::Left),
    ]);
    for process in &answer.processes {
        table.add([
            process.pid.to_string(),
            process.parent.to_string(),
            address(process.peb),
            digits(process.dir_base),
            process.vads.to_string(),
            kilobytes(process.virtual_pages),
            kilobytes(process.commit_pages),
            kilobytes(process.working_set),
            kilobytes(process.peak_working_set),
            kilobytes(process.page_tables),
            grouped(process.faults),
            process.threads.to_string(),
            process.handles.to_string(),
            process.program.clone(),
        ]);
    }
    table.text()
}
