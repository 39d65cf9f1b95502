//! Where a run stops to be looked at, before it goes on or is over.

use crate::machine::Machine;
use crate::report::{CrashAccess, RunReport};
use crate::summary;
use std::fmt;
use std::str::FromStr;
use vadose_cpu::Vcpu;
use vadose_mm::ExceptionParameters;
use vadose_nt::{Crash, DebugText, FaultDelivery, HeldFault};

/// Where to stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BreakAt {
    /// Where the program has ended, by itself or of an exception: its memory is still as it left it. Of several processes
    /// that is the last one; those that end before it are taken apart.
    Exit,
    /// At the first access of the program that ends in `STATUS_ACCESS_VIOLATION` or `STATUS_IN_PAGE_ERROR`, before any
    /// handler of the program hears of it: nothing of the exception is on its stack yet. An access of a service on behalf
    /// of the program counts if it becomes an exception of the program, and not if the service answers with a status.
    /// Guard pages, stacks that grow and stacks that are full are no such faults.
    Fault,
    /// After so many calls of Windows services.
    Calls(u64),
    /// Behind a call of `OutputDebugStringA` or `OutputDebugStringW` whose text begins so; an empty one stands for any.
    DebugText(String),
}

/// Why a run stands still.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The program has ended, or the time limit was reached.
    Ended(Box<RunReport>),
    /// At the fault that it was to stop at.
    Fault(StoppedFault),
    /// After so many service calls.
    Calls(u64),
    /// Behind the debug text that it was to stop at, with the process that wrote it.
    DebugText(DebugText),
}

/// A fault that the program has not heard of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoppedFault {
    /// The process.
    pub pid: u32,
    /// The exception that it becomes: `STATUS_ACCESS_VIOLATION`.
    pub name: String,
    /// Address of the instruction.
    pub instruction: u64,
    /// Where that is: `app.exe+0x1234`.
    pub place: Option<String>,
    /// What it did and to which byte, and what lies there; nothing for an access that does not know its address.
    pub access: Option<CrashAccess>,
}

/// Text that is no place to stop at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no place to stop at: write exit, fault, a number of service calls such as 100, or debug:TEXT"
)]
pub struct BadBreak(String);

impl FromStr for BreakAt {
    type Err = BadBreak;

    fn from_str(text: &str) -> Result<Self, BadBreak> {
        match text {
            "exit" => return Ok(Self::Exit),
            "fault" => return Ok(Self::Fault),
            _ => {}
        }
        if let Some(start) = text.strip_prefix("debug:") {
            return Ok(Self::DebugText(start.to_owned()));
        }
        let calls = text.parse().ok().filter(|calls| *calls > 0 && !text.starts_with('+'));
        calls.map(Self::Calls).ok_or_else(|| BadBreak(text.to_owned()))
    }
}

impl fmt::Display for BreakAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit => f.write_str("exit"),
            Self::Fault => f.write_str("fault"),
            Self::Calls(calls) => write!(f, "{calls}"),
            Self::DebugText(start) => write!(f, "debug:{start}"),
        }
    }
}

impl Machine {
    /// Begins, or goes on from where the machine stood still.
    pub(crate) fn resume(&mut self, cpu: &mut dyn Vcpu, stop: &BreakAt) {
        if self.entered {
            self.kernel().deliver_held_fault(cpu);
        } else {
            self.kernel().enter(cpu);
            self.entered = true;
        }
        self.nt.set_fault_delivery(match stop {
            BreakAt::Fault => FaultDelivery::Held,
            BreakAt::Exit | BreakAt::Calls(_) | BreakAt::DebugText(_) => FaultDelivery::AtOnce,
        });
    }

    /// Whether the machine is where it is to stop.
    pub(crate) fn stopped(&mut self, stop: &BreakAt) -> Option<Stop> {
        let text = self.nt.take_debug_text();
        match stop {
            BreakAt::Exit => None,
            BreakAt::Fault => self.nt.held_fault().cloned().map(|held| Stop::Fault(self.describe(&held))),
            BreakAt::Calls(calls) => {
                (self.nt.service_calls() >= *calls).then(|| Stop::Calls(self.nt.service_calls()))
            }
            BreakAt::DebugText(start) => {
                text.filter(|told| told.text.starts_with(start)).map(Stop::DebugText)
            }
        }
    }

    fn describe(&mut self, held: &HeldFault) -> StoppedFault {
        let HeldFault { status, address, parameters } = held;
        let parameters = match *parameters.as_slice() {
            [code, at, ..] => ExceptionParameters::access(code, vadose_facts::addr::VirtAddr::new(at)),
            _ => ExceptionParameters::none(),
        };
        let crash = Crash { status: *status, address: *address, parameters };
        let process = self.nt.process();
        let (regions, last) = (self.mm.regions(process.id), self.mm.user_limit(process.id).raw());
        let report = summary::crash_report(&regions, last, process, &crash);
        StoppedFault {
            pid: process.pid,
            name: report.name,
            instruction: report.address,
            place: report.place,
            access: report.access.filter(|access| access.address != unknown_address(self.cpu_mode())),
        }
    }
}

/// What an access violation has for an address that it does not know.
const fn unknown_address(mode: vadose_cpu::CpuMode) -> u64 {
    match mode {
        vadose_cpu::CpuMode::Bits32 => u32::MAX as u64,
        vadose_cpu::CpuMode::Bits64 => u64::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_to_stop_at_are_read_as_they_are_written() {
        for text in ["exit", "fault", "1", "250", "debug:", "debug:step 2"] {
            let read: BreakAt = text.parse().expect("a place to stop at");
            assert_eq!(read.to_string(), text);
        }
        for text in ["", "0", "-1", "+1", "1.5", "Exit", "return", "99999999999999999999"] {
            let told = text.parse::<BreakAt>().expect_err("no place").to_string();
            assert!(told.contains("exit, fault") && told.contains(text), "{told}");
        }
    }
}
