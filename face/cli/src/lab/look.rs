//! What was seen of an address at a step, and of all addresses at all steps so far: what claims are checked against.

use crate::failure::{Failure, VADOSE_FAILED};
use std::collections::BTreeMap;
use vadose_facts::addr::PhysAddr;
use vadose_facts::x86::PhysicalMemory as _;
use vadose_machine::Machine;
use vadose_machine::inspect::{
    AddressAnswer, Answer, FrameAnswer, Hex, NoAnswer, PagePlace, Place, PteAnswer, PteRow, Query,
};

/// An address at one moment.
#[derive(Clone, Debug)]
pub(super) struct Look {
    /// Its region and its range.
    pub(super) region: AddressAnswer,
    /// How it is translated.
    pub(super) pte: PteAnswer,
    /// The frame of its page.
    pub(super) frame: Option<FrameAnswer>,
    /// The 32-bit number at the address, if the processor finds it.
    pub(super) value: Option<u32>,
    /// The frame that its page was in at the step before, as that frame is now.
    pub(super) old_frame: Option<FrameAnswer>,
}

/// All that was seen so far.
#[derive(Debug, Default)]
pub(super) struct Scene {
    /// The looks at each named address, oldest first.
    seen: BTreeMap<String, Vec<Look>>,
}

impl Look {
    /// Looks at an address of a process.
    pub(super) fn at(
        machine: &mut Machine,
        pid: u32,
        address: u64,
        before: Option<&Self>,
    ) -> Result<Self, Failure> {
        let place = Place::At(address);
        let (region, pte) = match (
            ask(machine, Some(pid), &Query::Address(place.clone()))?,
            ask(machine, Some(pid), &Query::Pte(place))?,
        ) {
            (Answer::Address(region), Answer::Pte(pte)) => (region, pte),
            other => unreachable!("a query gets its own answer: {other:?}"),
        };
        let frame = pte.page.frame.map(|frame| frame_of(machine, frame)).transpose()?;
        let old = before.and_then(|before| before.pte.page.frame);
        let old_frame = old.map(|frame| frame_of(machine, frame)).transpose()?;
        let ram = machine.ram();
        let value = pte.physical.map(|at| ram.read_u32(PhysAddr::new(at.0 & !3)));
        Ok(Self { region, pte, frame, value, old_frame })
    }

    /// The page's own entry; `None` while there is no table for it.
    pub(super) fn entry(&self) -> Option<&PteRow> {
        self.pte.entries.iter().find(|entry| entry.level == "PTE")
    }

    /// The section's entry of the page.
    pub(super) fn prototype(&self) -> Option<&PteRow> {
        self.pte.entries.iter().find(|entry| entry.level == "prototype")
    }

    /// The bits of the page's entry, 0 while there is no table for it.
    pub(super) fn raw(&self) -> u64 {
        self.entry().map_or(0, |entry| entry.raw.0)
    }

    /// Whether the processor finds the page.
    pub(super) fn is_valid(&self) -> bool {
        self.entry().is_some_and(|entry| entry.valid)
    }

    /// Whether a valid entry has a flag: `dirty`, `writable`, `copy-on-write`.
    pub(super) fn has(&self, flag: &str) -> bool {
        self.is_valid() && self.entry().is_some_and(|entry| entry.flags.contains(&flag))
    }

    /// The number of the page's frame.
    pub(super) fn frame_number(&self) -> Option<u64> {
        self.pte.page.frame.map(|frame| frame.0)
    }

    /// Where the page is.
    pub(super) fn place(&self) -> PagePlace {
        self.pte.page.place
    }

    /// `commit READWRITE`, `reserve`, `free`.
    pub(super) fn state(&self) -> String {
        format!("{} {}", self.region.state, self.region.protection).trim_end().to_owned()
    }

    /// Pages of its range that are charged.
    pub(super) fn charged(&self) -> u64 {
        self.region.vad.as_ref().map_or(0, |vad| vad.commit_pages)
    }

    /// How many entries map its frame.
    pub(super) fn shares(&self) -> u32 {
        self.frame.as_ref().map_or(0, |frame| frame.share_count)
    }

    /// The list of the frame that the page had before.
    pub(super) fn old_location(&self) -> &'static str {
        self.old_frame.as_ref().map_or("", |frame| frame.location)
    }
}

impl Scene {
    /// The last look at a name but those at this step.
    pub(super) fn last(&self, name: &str) -> Option<&Look> {
        self.seen.get(name).and_then(|looks| looks.last())
    }

    /// Adds a look.
    pub(super) fn add(&mut self, name: &str, look: Look) {
        self.seen.entry(name.to_owned()).or_default().push(look);
    }

    /// The look at a name at this step.
    ///
    /// # Panics
    ///
    /// If the program never told the name: a lab and its program belong together.
    pub(super) fn now(&self, name: &str) -> &Look {
        self.last(name).unwrap_or_else(|| panic!("the program tells {name}"))
    }

    /// The look before that.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub(super) fn before(&self, name: &str) -> &Look {
        let looks = self.seen.get(name).map_or(&[][..], Vec::as_slice);
        looks.iter().nth_back(1).unwrap_or_else(|| panic!("the program told {name} before"))
    }
}

fn frame_of(machine: &mut Machine, frame: Hex) -> Result<FrameAnswer, Failure> {
    match ask(machine, None, &Query::Pfn(frame.0))? {
        Answer::Pfn(answer) => Ok(answer),
        other => unreachable!("a query gets its own answer: {other:?}"),
    }
}

fn ask(machine: &mut Machine, pid: Option<u32>, query: &Query) -> Result<Answer, Failure> {
    machine.inspect(pid, query).map_err(|none: NoAnswer| Failure::new(VADOSE_FAILED, none.to_string()))
}
