//! The fields of each event: the same in every format.

use super::object::Object;
use super::{Names, words};
use crate::summary;
use std::collections::HashMap;
use vadose_facts::addr::Vpn;
use vadose_mm::trace::{
    Content, FaultTrace, FrameSource, PageName, RegionTrace, TraceEvent, TracedOutcome, TracedTransfer,
    TransferPlace, TransferTrace, TrimReason, WalkStep,
};
use vadose_mm::{RegionBacking, Slot, TransferDirection};

/// Numbers of the transfers that are under way, from 1 on.
#[derive(Debug, Default)]
pub(super) struct Transfers {
    under_way: HashMap<TracedTransfer, u64>,
    begun: u64,
}

impl Transfers {
    fn begin(&mut self, id: TracedTransfer) -> u64 {
        self.begun += 1;
        self.under_way.insert(id, self.begun);
        self.begun
    }

    /// The number that the next transfer gets.
    pub(super) const fn next(&self) -> u64 {
        self.begun + 1
    }

    /// The number of a transfer; 0 for one whose beginning was lost.
    pub(super) fn number(&self, id: TracedTransfer) -> u64 {
        self.under_way.get(&id).copied().unwrap_or_default()
    }

    fn end(&mut self, id: TracedTransfer) -> u64 {
        self.under_way.remove(&id).unwrap_or_default()
    }
}

/// The name of an event.
pub(super) const fn name(event: &TraceEvent) -> &'static str {
    match event {
        TraceEvent::Fault(_) => "fault",
        TraceEvent::FaultEnd { .. } => "fault-end",
        TraceEvent::FrameTaken { .. } => "frame-taken",
        TraceEvent::FrameMoved { .. } => "frame-moved",
        TraceEvent::PageTrimmed { .. } => "page-trimmed",
        TraceEvent::TableTrimmed { .. } => "table-trimmed",
        TraceEvent::TableBack { .. } => "table-back",
        TraceEvent::TransferBegin(_) => "transfer",
        TraceEvent::TransferEnd { .. } => "transfer-end",
        TraceEvent::SlotsTaken { .. } => "slots-taken",
        TraceEvent::SlotFreed { .. } => "slot-freed",
        TraceEvent::SlotBad { .. } => "slot-bad",
        TraceEvent::Compressed { .. } => "compressed",
        TraceEvent::CompressionRefused { .. } => "compression-refused",
        TraceEvent::Decompressed { .. } => "decompressed",
        TraceEvent::Charged { .. } => "charged",
        TraceEvent::GivenBack { .. } => "given-back",
        TraceEvent::Lost { .. } => "lost",
    }
}

// tidy: table
/// Writes the fields of an event.
pub(super) fn fields(event: &TraceEvent, names: &Names<'_>, transfers: &mut Transfers, to: &mut Object<'_>) {
    match event {
        TraceEvent::Fault(found) => fault(found, names, to),
        TraceEvent::FaultEnd { process, address, outcome } => {
            to.number("process", names.process(*process));
            to.hex("address", address.raw());
            fault_end(*outcome, transfers, to);
        }
        TraceEvent::FrameTaken { frame, from } => {
            to.number("frame", frame.raw());
            source(*from, names, to);
        }
        TraceEvent::FrameMoved { frame, to: place, priority, page: owner } => {
            to.number("frame", frame.raw());
            to.text("to", words::location(*place));
            if *place == vadose_mm::pfn::PageLocation::Standby {
                to.number("priority", *priority);
            }
            page("page", *owner, names, to);
        }
        TraceEvent::PageTrimmed { process, vpn, frame, reason, content } => {
            to.number("process", names.process(*process));
            to.hex("page", base(*vpn));
            to.number("frame", frame.raw());
            trim(*reason, *content, to);
        }
        TraceEvent::TableTrimmed { process, vpn, frame } | TraceEvent::TableBack { process, vpn, frame } => {
            to.number("process", names.process(*process));
            to.hex("maps", base(*vpn));
            to.number("frame", frame.raw());
        }
        TraceEvent::TransferBegin(begun) => transfer(begun, names, transfers, to),
        TraceEvent::TransferEnd { id, result } => {
            to.number("transfer", transfers.end(*id));
            to.text("result", &result.map_or_else(|status| status.to_string(), |()| "done".to_owned()));
        }
        TraceEvent::SlotsTaken { first, pages } => {
            to.number("page_file", first.file);
            to.number("first", first.page);
            to.number("pages", *pages);
        }
        TraceEvent::SlotFreed { slot: freed } | TraceEvent::SlotBad { slot: freed } => slot(*freed, to),
        TraceEvent::Compressed { frame, page: owner, slot: into } => {
            to.number("frame", frame.raw());
            page("page", *owner, names, to);
            slot(*into, to);
        }
        TraceEvent::CompressionRefused { frame, page: owner } => {
            to.number("frame", frame.raw());
            page("page", *owner, names, to);
        }
        TraceEvent::Decompressed { frame, slot: from } => {
            to.number("frame", frame.raw());
            slot(*from, to);
        }
        TraceEvent::Charged { process, pages, total_pages }
        | TraceEvent::GivenBack { process, pages, total_pages } => {
            to.number("process", names.process(*process));
            to.number("pages", *pages);
            to.number("commit", *total_pages);
        }
        TraceEvent::Lost { events } => to.number("events", *events),
    }
}

fn fault(fault: &FaultTrace, names: &Names<'_>, to: &mut Object<'_>) {
    to.number("process", names.process(fault.process));
    to.text("access", words::access(fault.access));
    to.hex("address", fault.address.raw());
    to.list("walk", &fault.walk, |entry, step| walk_step(*step, entry));
    if let Some(found) = &fault.region {
        to.object("region", |to| region(found, names, to));
    }
    if let Some(entry) = &fault.prototype {
        to.object("prototype", |to| {
            to.hex("at", entry.at.raw());
            to.hex("entry", entry.raw);
            to.text("means", &words::prototype(entry.state));
        });
    }
    to.text("plan", words::plan(fault.plan));
    to.text("why", &words::reason(fault));
}

fn walk_step(step: WalkStep, to: &mut Object<'_>) {
    to.text("table", words::level(step.shift));
    to.hex("at", step.at.raw());
    to.hex("entry", step.raw);
    if let Some(state) = step.state {
        to.text("means", &words::entry(step.shift, state));
    }
}

fn region(region: &RegionTrace, names: &Names<'_>, to: &mut Object<'_>) {
    to.hex("from", region.range.base().raw());
    to.hex("to", region.range.base().raw() + region.range.bytes() - 1);
    to.text("kind", words::backing(region.backing));
    match region.backing {
        RegionBacking::Image(file) | RegionBacking::File(file) => to.text("file", &names.file(file)),
        RegionBacking::Private
        | RegionBacking::PageFile
        | RegionBacking::SharedUserData
        | RegionBacking::Placeholder
        | RegionBacking::PhysicalWindow
        | RegionBacking::LargePages => {}
    }
    to.text("protection", &region.protection.to_string());
    to.text("page", &words::page(region));
}

fn fault_end(outcome: TracedOutcome, transfers: &Transfers, to: &mut Object<'_>) {
    match outcome {
        TracedOutcome::Resumed { kind, stack_limit } => {
            to.text("outcome", "resumed");
            to.text("kind", summary::words(kind).0);
            if let Some(limit) = stack_limit {
                to.hex("stack_limit", limit.raw());
            }
        }
        TracedOutcome::Waits { id } => {
            to.text("outcome", "waits");
            to.number("transfer", transfers.number(id));
        }
        TracedOutcome::Short => to.text("outcome", "no-frame"),
        TracedOutcome::Raised { status, parameters } => {
            to.text("outcome", "raised");
            to.text("status", &status.to_string());
            to.list("parameters", parameters.as_slice(), |to, value| to.hex("value", *value));
        }
    }
}

fn source(from: FrameSource, names: &Names<'_>, to: &mut Object<'_>) {
    match from {
        FrameSource::Zeroed => to.text("from", "zeroed"),
        FrameSource::Free => to.text("from", "free"),
        FrameSource::NeverUsed => to.text("from", "never-used"),
        FrameSource::Standby { priority, page: owner, copy } => {
            to.text("from", "standby");
            to.number("priority", priority);
            page("was", owner, names, to);
            if let Some(copy) = copy {
                to.object("copy", |to| slot(copy, to));
            }
        }
    }
}

fn trim(reason: TrimReason, content: Content, to: &mut Object<'_>) {
    let (short, long) = words::trim(reason);
    to.text(
        "content",
        match content {
            Content::Modified => "modified",
            Content::Clean => "clean",
        },
    );
    to.text("reason", short);
    to.text("why", long);
}

/// A page of a page file, or of the compressed store.
fn slot(slot: Slot, to: &mut Object<'_>) {
    if slot.is_compressed() {
        to.number("compressed_page", slot.page);
    } else {
        to.number("page_file", slot.file);
        to.number("file_page", slot.page);
    }
}

fn transfer(begun: &TransferTrace, names: &Names<'_>, transfers: &mut Transfers, to: &mut Object<'_>) {
    to.number("transfer", transfers.begin(begun.id));
    to.text(
        "direction",
        match begun.direction {
            TransferDirection::Read => "read",
            TransferDirection::Write => "write",
        },
    );
    match begun.place {
        TransferPlace::PageFile(first) => {
            to.number("page_file", first.file);
            to.number("first", first.page);
        }
        TransferPlace::File { file, offset, bytes } => {
            to.text("file", &names.file(file));
            to.number("offset", offset);
            to.number("bytes", bytes);
        }
    }
    if let Some((process, vpn)) = begun.wanted {
        to.object("wanted", |to| {
            to.number("process", names.process(process));
            to.hex("page", base(vpn));
        });
    }
    to.list("frames", &begun.frames, |to, (frame, owner)| {
        to.number("frame", frame.raw());
        page("page", *owner, names, to);
    });
}

/// Whose page something is, if it is known.
fn page(key: &str, owner: Option<PageName>, names: &Names<'_>, to: &mut Object<'_>) {
    let Some(owner) = owner else { return };
    to.object(key, |to| match owner {
        PageName::Private { process, vpn } => {
            to.text("kind", "private");
            to.number("process", names.process(process));
            to.hex("page", base(vpn));
        }
        PageName::Table { process, vpn } => {
            to.text("kind", "page table");
            to.number("process", names.process(process));
            to.hex("maps", base(vpn));
        }
        PageName::Section { area, page, file } => {
            to.text("kind", "section");
            match file {
                Some(file) => to.text("file", &names.file(file)),
                None => to.number("section", area.slot()),
            }
            to.number("page", page);
        }
    });
}

fn base(vpn: Vpn) -> u64 {
    vpn.base().raw()
}
