//! Why the machine stands still, in a line or two on standard error.

use crate::quantity::grouped;
use crate::run;
use std::time::Duration;
use vadose_machine::report::RunEnding;
use vadose_machine::{BreakAt, DebugText, Stop, StoppedFault};

/// The words.
pub(super) fn text(name: &str, stop: &Stop, asked: &BreakAt, limit: Option<Duration>) -> String {
    match stop {
        Stop::Ended(report) => {
            let told = match &report.ending {
                RunEnding::Exit { code } => format!("vadose: {name} has ended with exit code {code}\n"),
                other => run::ending(name, other, limit).1,
            };
            format!("{told}{}", not_reached(name, asked))
        }
        Stop::Fault(fault) => fault_text(name, fault),
        Stop::Calls(calls) => {
            format!("vadose: {name} stands still after {} service calls\n", grouped(*calls))
        }
        Stop::DebugText(DebugText { pid, text }) => {
            let text = text.trim_end().escape_debug();
            format!("vadose: {name} stands still after the debug text `{text}` of process {pid}\n")
        }
    }
}

fn not_reached(name: &str, asked: &BreakAt) -> String {
    let what = match asked {
        BreakAt::Exit => return String::new(),
        BreakAt::Fault => "no fault".to_owned(),
        BreakAt::Calls(calls) => format!("fewer than {} service calls", grouped(*calls)),
        BreakAt::DebugText(_) => "no such debug text".to_owned(),
    };
    format!("vadose: {name} made {what}; this is its memory at the end\n")
}

fn fault_text(name: &str, fault: &StoppedFault) -> String {
    let place = fault.place.as_deref().unwrap_or("in no image");
    let mut text = format!("vadose: {name} stands still at {}, before it hears of it\n", fault.name);
    text.push_str(&format!("  process      {}\n", fault.pid));
    text.push_str(&format!("  instruction  {:#x}, {place}\n", fault.instruction));
    if let Some(access) = &fault.access {
        text.push_str(&format!("  access       {} of {:#x}\n", access.verb, access.address));
        text.push_str(&format!("  region       {}\n", access.region));
    }
    text
}
