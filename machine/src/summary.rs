//! A run in numbers and words: its ending, its faults, its memory.

use crate::map;
use crate::paging::PageTraffic;
use crate::report::{
    Activity, CodePlace, CompressedReport, CrashAccess, CrashReport, FailureReport, FaultCount, MapMissing,
    MemoryReport, PagingReport, RequestCount, RunEnding, ShortageReport, WaitingThread,
};
use std::sync::Arc;
use vadose_cpu::ram::GuestRam;
use vadose_facts::addr::PAGE_BYTES;
use vadose_facts::ntdef::NtStatus;
use vadose_facts::x86::PhysicalMemory;
use vadose_mm::trace::TrimReason;
use vadose_mm::{FaultCounts, FaultKind, Mm, PageFileUse, Region};
use vadose_nt::{
    Caller, Crash, Ending, FailKind, FailedLoad, InjectedFailure, MissingDll, Nt, PageOrders, Process, Stuck,
};

/// How the process ended, with the regions that it had then and its last address.
pub(crate) fn ending(regions: &[Region], last: u64, process: &Process, ending: &Ending) -> RunEnding {
    match ending {
        Ending::Exit(code) => RunEnding::Exit { code: *code },
        Ending::Crash(crash) => RunEnding::Crash(crash_report(regions, last, process, crash)),
        Ending::MissingFunction(missing) => {
            RunEnding::MissingFunction { dll: missing.dll.clone(), function: missing.name.clone() }
        }
        Ending::UnimplementedService(service) => RunEnding::UnimplementedService { service: service.clone() },
        Ending::Deadlock(threads) => {
            let threads = threads.iter().map(|thread| waiting_thread(process, thread)).collect();
            RunEnding::Deadlock { threads }
        }
    }
}

/// A loader that gave up.
pub(crate) fn failed_load(failed: &FailedLoad) -> RunEnding {
    let entry = |dll: &MissingDll| MapMissing { dll: dll.name.clone(), needed_by: dll.wanted_by.clone() };
    RunEnding::NotLoaded {
        status: failed.status.to_string(),
        missing: failed.missing.iter().map(entry).collect(),
    }
}

fn waiting_thread(process: &Process, thread: &Stuck) -> WaitingThread {
    WaitingThread {
        id: thread.tid,
        waits_for: thread.waits_for.clone(),
        place: process.place_of(thread.address),
    }
}

pub(crate) fn crash_report(regions: &[Region], last: u64, process: &Process, crash: &Crash) -> CrashReport {
    CrashReport {
        code: crash.status.raw(),
        name: crash.status.to_string(),
        address: crash.address.raw(),
        place: process.place_of(crash.address),
        access: crash_access(regions, last, process, crash),
        parameters: crash.parameters.as_slice().to_vec(),
    }
}

fn crash_access(regions: &[Region], last: u64, process: &Process, crash: &Crash) -> Option<CrashAccess> {
    let memory = [
        NtStatus::ACCESS_VIOLATION,
        NtStatus::GUARD_PAGE_VIOLATION,
        NtStatus::IN_PAGE_ERROR,
        NtStatus::STACK_OVERFLOW,
    ];
    let [code, address, ..] = *crash.parameters.as_slice() else { return None };
    if !memory.contains(&crash.status) {
        return None;
    }
    let verb = match code {
        0 => "read",
        1 => "write",
        8 => "execute",
        _ => return None,
    };
    Some(CrashAccess { verb, address, region: map::describe(regions, last, process, address) })
}

/// Names and meanings of the ways in which faults are resolved.
pub(crate) const fn words(kind: FaultKind) -> (&'static str, &'static str) {
    match kind {
        FaultKind::DemandZero => ("demand-zero", "first touches of a page that got a frame of zeros"),
        FaultKind::ImagePageShared => ("image-shared", "pages of images and files that were in RAM already"),
        FaultKind::ImagePageRead => ("image-read", "pages of images and files that were read from them"),
        FaultKind::CopyOnWrite => {
            ("copy-on-write", "first stores to a shared page, which got a private copy")
        }
        FaultKind::Transition => ("transition", "pages taken back from a frame they had left"),
        FaultKind::PageFileRead => ("page-file-read", "pages that were read back from a page file"),
        FaultKind::Decompressed => ("decompressed", "pages that were compressed in RAM"),
        FaultKind::StackGrowth => ("stack-growth", "touches of a stack's guard page, which moved down"),
        FaultKind::FirstStore => ("first-store", "first stores to a clean page, which became dirty"),
        FaultKind::Spurious => ("spurious", "accesses that were allowed when looked at again"),
    }
}

/// Faults, exceptions and services of the run.
pub(crate) fn activity(counts: &FaultCounts, exceptions: u64, services: u64) -> Activity {
    let faults: Vec<FaultCount> = FaultKind::ALL
        .into_iter()
        .map(|kind| {
            let (name, meaning) = words(kind);
            FaultCount { kind: name, meaning, count: counts.of(kind) }
        })
        .collect();
    Activity { faults, exceptions, services, pages_read: counts.of(FaultKind::ImagePageRead) }
}

/// Failures that were ordered.
pub(crate) fn shortage(nt: &Nt, pages: &PageOrders) -> ShortageReport {
    let plan = nt.fail_plan();
    let asked = |kind: FailKind| if kind.is_of_page_files() { pages.plan() } else { plan }.asked(kind);
    let unused = plan.rules().iter().filter(|rule| !rule.turn.has_come(asked(rule.kind)));
    ShortageReport {
        requests: plan
            .counts()
            .map(|(kind, _)| RequestCount { kind: kind.name(), count: asked(kind) })
            .collect(),
        failed: nt.injected_count() + pages.failed(),
        failures: nt.injected_failures().iter().map(failure_report).collect(),
        unused: unused.map(ToString::to_string).collect(),
    }
}

fn failure_report(failure: &InjectedFailure) -> FailureReport {
    let code_place =
        |caller: &Caller| CodePlace { address: caller.address.raw(), place: caller.place.clone() };
    FailureReport {
        kind: failure.kind.name(),
        number: failure.number,
        code: failure.status.raw(),
        name: failure.status.to_string(),
        call: failure.call,
        subject: failure.subject.clone(),
        thread: failure.tid,
        stack: failure.stack.iter().map(code_place).collect(),
    }
}

/// Memory of the machine and of the process, in bytes.
pub(crate) fn memory(mm: &Mm<Arc<GuestRam>>, process: &Process, traffic: PageTraffic) -> MemoryReport {
    let system = mm.counters();
    let process = mm.process_counters(process.id);
    MemoryReport {
        ram: mm.ram().frames() * PAGE_BYTES,
        ram_available: system.frames.available() * PAGE_BYTES,
        commit: system.commit.charged_pages() * PAGE_BYTES,
        commit_peak: system.commit.peak_pages() * PAGE_BYTES,
        commit_limit: system.commit.limit_pages() * PAGE_BYTES,
        private: process.commit_pages * PAGE_BYTES,
        private_peak: process.peak_commit_pages * PAGE_BYTES,
        working_set: process.resident_pages * PAGE_BYTES,
        working_set_peak: process.peak_resident_pages * PAGE_BYTES,
        page_tables: process.table_pages * PAGE_BYTES,
        paging: paging(mm, &process.faults, traffic),
    }
}

fn paging(mm: &Mm<Arc<GuestRam>>, faults: &FaultCounts, traffic: PageTraffic) -> PagingReport {
    let (files, moved) = (mm.page_files(), mm.counters().movements);
    let hard_faults = faults.of(FaultKind::PageFileRead) + faults.of(FaultKind::ImagePageRead);
    let trimmed = |reason| moved.trimmed(reason);
    let (not_used, at_maximum) = (trimmed(TrimReason::NotUsed), trimmed(TrimReason::HardMaximum));
    let sum =
        |pages: fn(&PageFileUse) -> u32| files.iter().map(|file| u64::from(pages(file)) * PAGE_BYTES).sum();
    PagingReport {
        size: sum(|file| file.current_pages),
        used: sum(|file| file.used_pages),
        used_peak: sum(|file| file.peak_used_pages),
        bad: sum(|file| file.bad_pages),
        pages_written: traffic.pages_written,
        writes: traffic.writes,
        pages_read: traffic.pages_read,
        reads: traffic.reads,
        failed: traffic.failed,
        soft_faults: faults.resolved() - hard_faults,
        hard_faults,
        trimmed_not_used: not_used,
        trimmed_hard_maximum: at_maximum,
        trimmed_by_calls: moved.trimmed_in_all() - not_used - at_maximum,
        tables_trimmed: moved.tables_trimmed,
        repurposed: moved.repurposed,
        read_along: moved.read_along,
        read_along_used: moved.read_along_used,
        compressed: mm.compressed().map(|used| CompressedReport {
            pages: used.pages,
            ram: used.frames * PAGE_BYTES,
            stored: used.stored_pages,
            refused: used.refused_pages,
            loaded: used.loaded_pages,
        }),
    }
}
