//! Looking inside a machine that stands still: what the three records say of an address, a page, a frame or a section,
//! in the terms of WinDbg and VMMap. Nothing is changed by looking, and nothing is kept beside the records.

mod address;
mod frame;
mod hex;
mod page;
mod place;
mod query;
mod sections;
mod system;
mod tables;
mod vads;
mod words;

pub use address::AddressAnswer;
pub use frame::{FrameAnswer, FrameMapping};
pub use hex::Hex;
pub use page::{PagePlace, PageState};
pub use query::{BadQuery, Place, QUERIES, Query};
pub use sections::{
    SectionAnswer, SectionPlaces, SectionRow, SectionsAnswer, SegmentRow, SubsectionRow, ViewRow,
};
pub use system::{
    CommitNumbers, FrameNumbers, KernelNumbers, MemusageAnswer, PageFileRow, ProcessRow, ProcsAnswer,
    StoreNumbers, UserRow, VmAnswer,
};
pub use tables::{PteAnswer, PteRow};
pub use vads::{VadAnswer, VadRow};

use crate::machine::Machine;
use serde::Serialize;
use std::sync::Arc;
use vadose_cpu::ram::GuestRam;
use vadose_mm::{FileId, Mm, ProcessId};
use vadose_nt::{Nt, Process};

/// What a query is answered with. JSON has the query's word as `query`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "query", rename_all = "kebab-case")]
pub enum Answer {
    /// To `address`.
    Address(AddressAnswer),
    /// To `vad`.
    Vad(VadAnswer),
    /// To `pte`.
    Pte(PteAnswer),
    /// To `pfn`.
    Pfn(FrameAnswer),
    /// To `section` without a number.
    Sections(SectionsAnswer),
    /// To `section` with one.
    Section(SectionAnswer),
    /// To `vm`.
    Vm(VmAnswer),
    /// To `memusage`.
    Memusage(MemusageAnswer),
    /// To `procs`.
    Procs(ProcsAnswer),
}

/// A query that has no answer, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// There is no such process.
    #[error("there is no process {pid}; `procs` lists those there are")]
    NoProcess {
        /// The number that was given.
        pid: u32,
    },
    /// The image is not loaded in the process.
    #[error("{name} is not loaded in {process}; there is {loaded}")]
    NoModule {
        /// The name that was given.
        name: String,
        /// The process.
        process: ProcessRef,
        /// What is loaded.
        loaded: String,
    },
    /// The image has no such export.
    #[error("{module} exports no {name}")]
    NoExport {
        /// The image.
        module: String,
        /// The name that was given.
        name: String,
    },
    /// The processor takes no such address.
    #[error("{address} is no address: the processor takes {range}")]
    NotCanonical {
        /// The number that was given.
        address: Hex,
        /// What it takes.
        range: &'static str,
    },
    /// RAM has fewer frames.
    #[error("there is no frame {frame}: RAM has frames 0x0 to {last}")]
    NoFrame {
        /// The number that was given.
        frame: Hex,
        /// The last frame of RAM.
        last: Hex,
    },
    /// There is no such control area.
    #[error("there is no section {number}; `section` lists those there are")]
    NoSection {
        /// The number that was given.
        number: u32,
    },
}

/// A process as answers name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ProcessRef {
    /// Its number.
    pub pid: u32,
    /// The file name of its program.
    pub program: String,
}

impl std::fmt::Display for ProcessRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (process {})", self.program, self.pid)
    }
}

impl Machine {
    fn see_all_images(&mut self) {
        let living: Vec<u32> = self.nt.living_processes().map(|process| process.pid).collect();
        for pid in living {
            let before = self.nt.look_at(pid);
            self.kernel().see_images();
            self.nt.look_at(before);
        }
    }

    /// Answers a query about the process of that number, or the first program, or who is left after its end.
    ///
    /// # Errors
    ///
    /// [`NoAnswer`] for what is not there.
    pub fn inspect(&mut self, pid: Option<u32>, query: &Query) -> Result<Answer, NoAnswer> {
        self.see_all_images();
        let first = self.programs.first().copied();
        let inspector = Inspector::new(&self.mm, &self.nt, pid, first)?;
        Ok(match query {
            Query::Address(place) => {
                Answer::Address(inspector.address(inspector.resolve(place, &mut self.host)?))
            }
            Query::Vad => Answer::Vad(inspector.vads()),
            Query::Pte(place) => {
                Answer::Pte(inspector.page_tables(inspector.resolve(place, &mut self.host)?))
            }
            Query::Pfn(number) => Answer::Pfn(inspector.frame(*number)?),
            Query::Section(None) => Answer::Sections(inspector.sections()),
            Query::Section(Some(number)) => Answer::Section(inspector.section(*number)?),
            Query::Vm => Answer::Vm(inspector.virtual_memory()),
            Query::Memusage => Answer::Memusage(inspector.memory_usage()),
            Query::Procs => Answer::Procs(inspector.processes()),
        })
    }
}

/// Everything that is looked at, and the process that a query is about.
pub(crate) struct Inspector<'a> {
    mm: &'a Mm<Arc<GuestRam>>,
    nt: &'a Nt,
    process: &'a Process,
}

impl<'a> Inspector<'a> {
    /// About the process that was asked for; without one the first program, or who is left after its end.
    fn new(
        mm: &'a Mm<Arc<GuestRam>>,
        nt: &'a Nt,
        asked: Option<u32>,
        first: Option<u32>,
    ) -> Result<Self, NoAnswer> {
        let living = |pid: u32| nt.living_processes().find(|process| process.pid == pid);
        let process = match asked {
            Some(pid) => living(pid).ok_or(NoAnswer::NoProcess { pid })?,
            None => first.and_then(living).unwrap_or_else(|| nt.process()),
        };
        Ok(Self { mm, nt, process })
    }

    /// All processes that have an address space.
    fn all(&self) -> impl Iterator<Item = &'a Process> {
        self.nt.living_processes()
    }

    fn about(&self) -> ProcessRef {
        reference(self.process)
    }

    /// The process of an address space. One whose address space is being taken down has no other name any more.
    fn named(&self, id: ProcessId) -> ProcessRef {
        let known = self.all().find(|process| process.id == id);
        known.map_or_else(|| ProcessRef { pid: 0, program: "an ended process".to_owned() }, reference)
    }

    fn file_name(&self, file: FileId) -> String {
        let path = self.nt.files().path(file);
        path.map_or_else(|| format!("file {}", file.raw()), ToString::to_string)
    }
}

fn reference(process: &Process) -> ProcessRef {
    let program = process.image_path.file_name().unwrap_or_default().to_owned();
    ProcessRef { pid: process.pid, program }
}
