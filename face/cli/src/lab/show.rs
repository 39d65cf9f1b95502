//! A lab as text: each address before and after a step, what is to be seen, and why.

use super::catalogue::{Lab, Step};
use super::look::Look;
use crate::quantity::grouped;
use crate::table::{Side, Table};
use vadose_machine::inspect::{FrameAnswer, PteRow};

/// Columns of prose.
const WIDTH: usize = 100;

/// The lab's name, and what there is to know first.
pub(super) fn heading(lab: &Lab) -> String {
    format!("{}: {}\n\n{}", lab.name, lab.title, wrapped("", lab.about))
}

/// What the program did.
pub(super) fn step(number: usize, step: &Step) -> String {
    format!("\n{}", wrapped(&format!("{number}. "), step.did))
}

/// An address before and after.
pub(super) fn change(name: &str, before: Option<&Look>, now: &Look) -> String {
    let title = format!("{name} {:x}", now.region.address.0);
    let mut table = Table::new(&[(&title, Side::Left), ("before", Side::Left), ("now", Side::Left)]);
    for (what, tell) in ROWS {
        let (old, new) = (before.map_or_else(String::new, tell), tell(now));
        if !(old.is_empty() && new.is_empty()) {
            table.add([(*what).to_owned(), old, new]);
        }
    }
    let mut text = String::from("\n");
    for line in table.text().lines() {
        text.push_str(&format!("   {line}\n"));
    }
    text
}

/// What is to be seen after a step, all of it looked up, and why.
pub(super) fn reason(step: &Step) -> String {
    let words: Vec<&str> = step.claims.iter().map(|claim| claim.words).collect();
    conclusion(&words, step.why)
}

/// What is to be seen, and why.
pub(super) fn conclusion(seen: &[&str], why: &str) -> String {
    let seen: String = seen.iter().map(|words| wrapped("   - ", words)).collect();
    format!("\n{seen}{}", wrapped("   ", why))
}

/// What is told of an address, and how.
type Row = (&'static str, fn(&Look) -> String);

const ROWS: &[Row] = &[
    ("VAD", vad),
    ("region", Look::state),
    ("PTE", |look| look.entry().map_or_else(|| "no page table".to_owned(), entry)),
    ("prototype", |look| look.prototype().map_or_else(String::new, prototype)),
    ("frame", |look| look.frame.as_ref().map_or_else(String::new, frame)),
    ("value", |look| look.value.map_or_else(String::new, |value| value.to_string())),
    ("content", |look| look.pte.page.words.clone()),
    ("old frame", |look| {
        look.old_frame.as_ref().filter(|old| has_left(look, old)).map_or_else(String::new, frame)
    }),
];

fn vad(look: &Look) -> String {
    look.region.vad.as_ref().map_or_else(
        || "none".to_owned(),
        |vad| {
            let (pages, charged) = (count(vad.pages), grouped(vad.commit_pages));
            format!("{} {}, {pages}, {charged} charged", vad.kind, vad.protection)
        },
    )
}

fn count(pages: u64) -> String {
    if pages == 1 { "1 page".to_owned() } else { format!("{} pages", grouped(pages)) }
}

fn entry(entry: &PteRow) -> String {
    match &entry.letters {
        Some(letters) => format!("{:x} {letters}", entry.raw.0),
        None => format!("{:x} {}", entry.raw.0, entry.meaning),
    }
}

fn prototype(entry: &PteRow) -> String {
    let meaning = entry.meaning.split_once(": ").map_or(entry.meaning.as_str(), |(_, says)| says);
    format!("{:x} {meaning}", entry.raw.0)
}

fn frame(frame: &FrameAnswer) -> String {
    let modified = if frame.flags.contains(&"modified") { ", modified" } else { "" };
    match frame.location {
        "active" => format!("{:x}, active, mapped {}{modified}", frame.frame.0, times(frame.share_count)),
        list => format!("{:x}, on the {list} list", frame.frame.0),
    }
}

fn times(count: u32) -> String {
    match count {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        more => format!("{more} times"),
    }
}

fn has_left(look: &Look, old: &FrameAnswer) -> bool {
    look.frame.as_ref().is_none_or(|frame| frame.frame != old.frame)
}

/// Prose in lines; those after the first are set in as far as the lead is wide.
fn wrapped(lead: &str, prose: &str) -> String {
    let indent = " ".repeat(lead.chars().count());
    let (mut text, mut line) = (String::new(), lead.to_owned());
    let mut empty = true;
    for word in prose.split_whitespace() {
        if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            text.push_str(&format!("{}\n", line.trim_end()));
            line = indent.clone();
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    text.push_str(&format!("{}\n", line.trim_end()));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_keeps_to_its_width_and_its_lead() {
        let text = wrapped("   - ", &"word ".repeat(40));
        let mut lines = text.lines();
        assert!(lines.next().is_some_and(|line| line.starts_with("   - word ")));
        assert!(lines.clone().count() > 0 && lines.all(|line| line.starts_with("     word")));
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH && !line.ends_with(' ')), "{text}");
    }
}
