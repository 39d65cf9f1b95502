//! One frame, as `!pfn` shows it.

use super::{address, digits, or_empty};
use crate::table::pairs;
use vadose_machine::inspect::FrameAnswer;

/// Everything that is known of the frame.
pub(super) fn frame(answer: &FrameAnswer) -> String {
    let mut rows = vec![
        ("PFN", format!("{}, physical address {}", digits(answer.frame), digits(answer.physical))),
        ("Owner", answer.owner.clone()),
        ("Location", answer.location.to_owned()),
        ("Share count", answer.share_count.to_string()),
        ("Reference count", answer.reference_count.to_string()),
        ("Used entries", or_empty(answer.used_entries, |count| count.to_string())),
        ("Priority", answer.priority.to_string()),
        ("Flags", answer.flags.join(", ")),
        ("Flink", or_empty(answer.flink, digits)),
        ("Blink", or_empty(answer.blink, digits)),
        ("PteAddress", entry(answer)),
        ("Containing page", or_empty(answer.containing_frame, digits)),
        ("OriginalPte", original(answer)),
    ];
    let mapped = answer.mappings.iter().map(|one| format!("{} in {}", address(one.address), one.process));
    rows.extend(mapped.map(|place| ("Mapped at", place)));
    rows.retain(|(_, value)| !value.is_empty());
    pairs(&rows)
}

fn entry(answer: &FrameAnswer) -> String {
    or_empty(answer.pte_physical, |physical| {
        let seen = answer.pte_address.map_or_else(|| "not mapped".to_owned(), address);
        format!("{seen}, physical address {}", digits(physical))
    })
}

fn original(answer: &FrameAnswer) -> String {
    or_empty(answer.original_pte, |raw| {
        format!("{}, {}", digits(raw), answer.original.as_deref().unwrap_or_default())
    })
}
