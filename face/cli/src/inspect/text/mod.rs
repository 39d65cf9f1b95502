//! Answers as text, in the columns that users of WinDbg and VMMap know.

mod frame;
mod page;
mod sections;
mod system;

use vadose_machine::inspect::{Answer, Hex, PteAnswer};

/// An answer as lines.
pub(crate) fn text(answer: &Answer) -> String {
    match answer {
        Answer::Address(answer) => page::address(answer),
        Answer::Vad(answer) => page::vads(answer),
        Answer::Pte(answer) => page::entries(answer),
        Answer::Pfn(answer) => frame::frame(answer),
        Answer::Sections(answer) => sections::sections(answer),
        Answer::Section(answer) => sections::section(answer),
        Answer::Vm(answer) => system::virtual_memory(answer),
        Answer::Memusage(answer) => system::memory_usage(answer),
        Answer::Procs(answer) => system::processes(answer),
    }
}

/// An address: 8 digits, 12 above 4 GiB, 16 in the kernel's half of 64 bits, so that addresses of one kind line up.
fn address(number: Hex) -> String {
    let digits = match number.0 {
        0..=0xffff_ffff => 8,
        0x1_0000_0000..=0xffff_ffff_ffff => 12,
        _ => 16,
    };
    format!("{:0digits$x}", number.0)
}

/// Plain hex digits.
fn digits(number: Hex) -> String {
    format!("{:x}", number.0)
}

/// An entry with all of its digits, as wide as the widest one beside it.
fn raw(number: Hex, answer: &PteAnswer) -> String {
    let wide = answer.entries.iter().any(|entry| entry.raw.0 > u64::from(u32::MAX));
    let digits = if wide { 16 } else { 8 };
    format!("{:0digits$x}", number.0)
}

/// What is not there shows as nothing.
fn or_empty<T>(value: Option<T>, show: impl Fn(T) -> String) -> String {
    value.map_or_else(String::new, show)
}
