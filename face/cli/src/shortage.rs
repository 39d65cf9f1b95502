//! Shortage on the command line: failures and fragments as people order them, and what became of the orders.

use crate::quantity::{grouped, parse_size};
use vadose_machine::report::{CodePlace, FailureReport, ShortageReport};
use vadose_machine::{BadRule, FailKind, FailRule, FailTurn, FragmentPattern, Spacing};

/// Blocks lie on multiples of this.
const UNIT_BYTES: u64 = 64 << 10;
/// Failures that text tells of one by one; JSON has [`MAX_LISTED_FAILURES`](vadose_machine::MAX_LISTED_FAILURES).
const FAILURES_SHOWN: usize = 20;
/// Callers that text tells of; JSON has them all.
const CALLERS_SHOWN: usize = 8;

/// A failure such as `alloc:3`.
pub(crate) fn parse_failure(text: &str) -> Result<FailRule, String> {
    text.parse().map_err(|error: BadRule| error.to_string())
}

/// What `--find-failures` tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FindOrder {
    /// What fails.
    pub(crate) kind: FailKind,
    /// Which requests, `None` for all.
    pub(crate) turn: Option<FailTurn>,
}

/// `alloc` for all requests, or as for [`parse_failure`] for some.
pub(crate) fn parse_find_order(text: &str) -> Result<FindOrder, String> {
    if text.contains(':') {
        let FailRule { kind, turn } = parse_failure(text)?;
        return Ok(FindOrder { kind, turn: Some(turn) });
    }
    let kind = text.parse().map_err(|error: BadRule| error.to_string())?;
    Ok(FindOrder { kind, turn: None })
}

/// `64M`: blocks so far apart; `64M:random`: at most so far.
pub(crate) fn parse_fragment(text: &str) -> Result<FragmentPattern, String> {
    let (size, spacing) = match text.split_once(':') {
        None => (text, Spacing::Even),
        Some((size, "random")) => (size, Spacing::Random),
        Some((_, other)) => {
            return Err(format!("`{other}` is no spacing: write the size alone, or with :random behind it"));
        }
    };
    match parse_size(size)? {
        0 => Err("some free range must be left: the least is 64K".to_owned()),
        bytes if !bytes.is_multiple_of(UNIT_BYTES) => {
            Err("blocks lie on multiples of 64 KiB: give a multiple of 64K".to_owned())
        }
        largest_bytes => Ok(FragmentPattern { largest_bytes, spacing }),
    }
}

/// What failed and who asked, and which orders nothing came up for. Empty if nothing was ordered.
pub(crate) fn text(name: &str, report: &ShortageReport) -> String {
    let mut text = String::new();
    if report.failed > 0 {
        let failures = if report.failed == 1 { "request" } else { "requests" };
        text.push_str(&format!(
            "vadose: {} {failures} of {name} failed as ordered\n",
            grouped(report.failed)
        ));
    }
    for failure in report.failures.iter().take(FAILURES_SHOWN) {
        text.push_str(&format!("  {}\n", line(failure)));
    }
    let more = report.failed.saturating_sub(FAILURES_SHOWN as u64);
    if more > 0 {
        text.push_str(&format!("  and {} more\n", grouped(more)));
    }
    for order in &report.unused {
        let kind = order.split(':').next().unwrap_or_default();
        let count = report.requests.iter().find(|one| one.kind == kind).map_or(0, |one| one.count);
        text.push_str(&format!(
            "vadose: nothing failed for --fail {order}: {name} made {} such requests\n",
            grouped(count)
        ));
    }
    text
}

/// `alloc 3: HeapAlloc, STATUS_NO_MEMORY, called from app.exe+0x1234, app.exe+0x1310`.
fn line(failure: &FailureReport) -> String {
    let what = what(failure);
    let callers: Vec<String> = failure.stack.iter().take(CALLERS_SHOWN).map(place).collect();
    let more = if failure.stack.len() > CALLERS_SHOWN { ", ..." } else { "" };
    let place = match (failure.call, callers.is_empty()) {
        (_, true) => String::new(),
        (Some(_), false) => format!(", called from {}{more}", callers.join(", ")),
        (None, false) => format!(", at {}{more}", callers.join(", ")),
    };
    format!("{} {}: {what}, {}{place}", failure.kind, failure.number, failure.name)
}

/// The call, what was to be read or written, or both.
pub(crate) fn what(failure: &FailureReport) -> String {
    match (failure.call, failure.subject.as_str()) {
        (Some(call), "") => call.to_owned(),
        (Some(call), subject) => format!("{subject} in {call}"),
        (None, subject) => subject.to_owned(),
    }
}

/// Image and offset, or the bare address.
pub(crate) fn place(code: &CodePlace) -> String {
    code.place.clone().unwrap_or_else(|| format!("{:#x}", code.address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragments_are_a_size_and_a_spacing() {
        let pattern = |largest_bytes, spacing| Ok(FragmentPattern { largest_bytes, spacing });
        assert_eq!(parse_fragment("64M"), pattern(64 << 20, Spacing::Even));
        assert_eq!(parse_fragment("64K:random"), pattern(64 << 10, Spacing::Random));
        for (text, words) in [
            ("", "64M"),
            ("lots", "64M"),
            ("0", "the least is 64K"),
            ("4K", "a multiple of 64K"),
            ("100K", "a multiple of 64K"),
            ("64M:", "`` is no spacing"),
            ("64M:7", "`7` is no spacing"),
            (":random", "64M"),
        ] {
            let error = parse_fragment(text).expect_err(text);
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn all_requests_of_a_kind_are_tried_or_some() {
        let order = |kind, turn| Ok(FindOrder { kind, turn });
        assert_eq!(parse_find_order("alloc"), order(FailKind::Alloc, None));
        assert_eq!(parse_find_order("commit:every=7"), order(FailKind::Commit, Some(FailTurn::Every(7))));
        for text in ["", "all", "alloc:", "alloc:0"] {
            assert!(parse_find_order(text).is_err(), "{text}");
        }
    }

    fn failure(call: Option<&'static str>, subject: &str, frames: u64) -> FailureReport {
        let frame = |at| CodePlace { address: at, place: (at != 2).then(|| format!("a.exe+{at:#x}")) };
        FailureReport {
            kind: "alloc",
            number: 3,
            code: 0xc000_0017,
            name: "STATUS_NO_MEMORY".to_owned(),
            call,
            subject: subject.to_owned(),
            thread: Some(4),
            stack: (1..=frames).map(frame).collect(),
        }
    }

    #[test]
    fn a_failure_is_a_line() {
        assert_eq!(
            line(&failure(Some("HeapAlloc"), "", 2)),
            "alloc 3: HeapAlloc, STATUS_NO_MEMORY, called from a.exe+0x1, 0x2"
        );
        assert_eq!(
            line(&failure(None, "a.exe at 0x400", 1)),
            "alloc 3: a.exe at 0x400, STATUS_NO_MEMORY, at a.exe+0x1"
        );
        assert_eq!(line(&failure(Some("HeapAlloc"), "", 0)), "alloc 3: HeapAlloc, STATUS_NO_MEMORY");
        assert!(line(&failure(Some("HeapAlloc"), "", 9)).ends_with("a.exe+0x8, ..."));
        assert!(
            line(&failure(Some("Sleep"), "page file 1 at 0x0", 0)).contains(": page file 1 at 0x0 in Sleep,")
        );
    }

    #[test]
    fn many_failures_are_told_in_short() {
        let failures = vec![failure(Some("HeapAlloc"), "", 1); 30];
        let text = text("a.exe", &ShortageReport { failed: 1234, failures, ..ShortageReport::default() });
        assert!(text.starts_with("vadose: 1,234 requests of a.exe failed as ordered\n"), "{text}");
        assert_eq!(text.lines().count(), 1 + FAILURES_SHOWN + 1);
        assert!(text.ends_with("  and 1,214 more\n"), "{text}");
    }
}
