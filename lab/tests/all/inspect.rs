//! What a look inside tells of a machine that stands still, against the processor's own walk and the audit.

use crate::support::bits_of;
use std::collections::BTreeMap;
use vadose_facts::addr::{PAGE_BYTES, PhysAddr, VirtAddr};
use vadose_facts::ntdef::{Edition, editions};
use vadose_facts::x86::{Access, AddressSpace, Privilege, probe, walk};
use vadose_lab::guest::{Run, sample};
use vadose_machine::inspect::{Answer, FrameAnswer, PagePlace, Place, PteAnswer, Query, VadAnswer, VmAnswer};
use vadose_machine::page_file::PageFileSpec;
use vadose_machine::{BreakAt, Machine, Stop};
use vadose_unicorn::UnicornCpu;

/// RAM that the sorting program has twice as much data as.
const RAM_BYTES: u64 = 6 << 20;
/// Pages looked at in each range: its first ones and its last ones.
const PAGES_EACH: u64 = 24;

fn start(guest: &str, argument: &str, edition: &Edition) -> (Machine, UnicornCpu) {
    let file = PageFileSpec::new(64 << 20, 64 << 20, None).expect("whole pages");
    let run = Run::new(&sample(bits_of(edition), guest), edition.name).ram(RAM_BYTES).page_file(file);
    let started = run.arguments(&[argument]).start();
    started.unwrap_or_else(|error| panic!("the guest did not start: {error}")).into_parts()
}

fn ask(machine: &mut Machine, query: &Query) -> Answer {
    machine.inspect(None, query).unwrap_or_else(|none| panic!("{query}: {none}"))
}

fn entries(machine: &mut Machine, address: u64) -> PteAnswer {
    match ask(machine, &Query::Pte(Place::At(address))) {
        Answer::Pte(answer) => answer,
        other => panic!("{other:?}"),
    }
}

fn ranges(machine: &mut Machine) -> VadAnswer {
    match ask(machine, &Query::Vad) {
        Answer::Vad(answer) => answer,
        other => panic!("{other:?}"),
    }
}

fn numbers(machine: &mut Machine) -> VmAnswer {
    match ask(machine, &Query::Vm) {
        Answer::Vm(answer) => answer,
        other => panic!("{other:?}"),
    }
}

fn frame(machine: &mut Machine, number: u64) -> FrameAnswer {
    match ask(machine, &Query::Pfn(number)) {
        Answer::Pfn(answer) => answer,
        other => panic!("{other:?}"),
    }
}

/// Addresses in every range of the program.
fn addresses(machine: &mut Machine) -> Vec<u64> {
    let ranges = ranges(machine);
    let mut addresses = Vec::new();
    for vad in &ranges.vads {
        let pages = vad.pages;
        let some = (0..pages.min(PAGES_EACH)).chain(pages.saturating_sub(PAGES_EACH)..pages);
        addresses.extend(some.map(|page| vad.start.0 + page * PAGE_BYTES + 0x123));
    }
    addresses
}

/// The control registers, by the root that the answer tells.
fn space(edition: &Edition, answer: &PteAnswer) -> AddressSpace {
    let root = PhysAddr::new(answer.root.0);
    AddressSpace { mode: edition.paging, root, no_execute: edition.no_execute }
}

fn check_walks(machine: &mut Machine, edition: &Edition) -> BTreeMap<PagePlace, u64> {
    let ram = machine.ram();
    let mut places = BTreeMap::new();
    for address in addresses(machine) {
        let answer = entries(machine, address);
        let space = space(edition, &answer);
        let about = format!("{address:x} on {}", edition.name);
        let found = probe(&*ram, space, VirtAddr::new(address)).ok();
        assert_eq!(answer.physical.map(|at| at.0), found.map(|found| found.phys.raw()), "{about}");
        let found = found.map(|found| found.phys.pfn().raw());
        let told = answer.page.frame.map(|frame| frame.0);
        assert!(found.is_none() || found == told, "{about}: {answer:?}");
        // As long as all tables above it are valid, the kernel sees an entry where it is said to be.
        let tables = answer.entries.iter().filter(|entry| entry.level != "prototype");
        for entry in tables.scan(true, |seen, entry| std::mem::replace(seen, entry.valid).then_some(entry)) {
            let Some(at) = entry.at else { continue };
            let through = probe(&*ram, space, VirtAddr::new(at.0)).expect("the map of the tables is mapped");
            assert_eq!(through.phys.raw(), entry.physical.0, "{about}: {entry:?}");
        }
        let Answer::Address(region) = ask(machine, &Query::Address(Place::At(address))) else {
            panic!("{about}")
        };
        assert_eq!(region.page, answer.page, "{about}");
        assert_eq!(region.state == "unknown", answer.page.place == PagePlace::Unknown, "{about}: {region:?}");
        assert!(region.base.0 <= address && address <= region.end.0, "{about}: {region:?}");
        *places.entry(answer.page.place).or_default() += 1;
    }
    places
}

/// Frames one by one are what the lists count.
fn check_frames(machine: &mut Machine) {
    let told = numbers(machine).frames;
    let mut counted: BTreeMap<&str, u64> = BTreeMap::new();
    for number in 0..told.total {
        let frame = frame(machine, number);
        *counted.entry(frame.location).or_default() += 1;
        let listed = !["active", "transition"].contains(&frame.location);
        assert!(listed || frame.flink.is_none(), "{frame:?}");
    }
    let count = |list: &str| counted.get(list).copied().unwrap_or_default();
    let all = [
        ("zeroed", told.zeroed),
        ("free", told.free),
        ("standby", told.standby),
        ("modified", told.modified),
        ("modified-no-write", told.modified_no_write),
        ("active", told.active),
        ("transition", told.transition),
        ("bad", told.bad),
    ];
    for (list, frames) in all {
        assert_eq!(count(list), frames, "{list}");
    }
}

/// SPEC I1 I2 I3 I7 I23 I29: on every edition, while a program pages and at its end.
#[test]
fn what_is_told_is_what_the_processor_and_the_audit_find() {
    for edition in editions() {
        let (mut machine, mut cpu) = start("sort", "12288", edition);
        let mut seen: BTreeMap<PagePlace, u64> = BTreeMap::new();
        for stop in [BreakAt::Calls(3), BreakAt::Exit] {
            let stopped = machine.run_until(&mut cpu, None, &stop).expect("the processor works");
            assert_eq!(matches!(stopped, Stop::Ended(_)), stop == BreakAt::Exit, "{stopped:?}");
            machine.audit().expect("the records agree before the look");
            let before = numbers(&mut machine);
            for (place, count) in check_walks(&mut machine, edition) {
                *seen.entry(place).or_default() += count;
            }
            check_frames(&mut machine);
            machine.audit().expect("the records agree after the look");
            assert_eq!(numbers(&mut machine), before, "a look moves nothing on {}", edition.name);
        }
        let places: Vec<PagePlace> = seen.keys().copied().collect();
        for place in [PagePlace::WorkingSet, PagePlace::PageFile, PagePlace::None, PagePlace::DemandZero] {
            let also = place == PagePlace::PageFile && places.contains(&PagePlace::Compressed);
            assert!(places.contains(&place) || also, "pages in {place:?} on {}: {seen:?}", edition.name);
        }
        machine.shut_down().unwrap_or_else(|left| panic!("{left}"));
    }
}

/// SPEC I1 I5: where a page is in the working set, the processor's walk in user mode comes to the same byte.
#[test]
fn pages_of_the_working_set_are_those_that_the_processor_reaches() {
    for edition in editions() {
        let (mut machine, mut cpu) = start("demo", "", edition);
        let _stopped = machine.run_until(&mut cpu, None, &BreakAt::Exit).expect("the processor works");
        let answers: Vec<PteAnswer> =
            addresses(&mut machine).into_iter().map(|address| entries(&mut machine, address)).collect();
        let ram = machine.ram();
        for answer in answers {
            let address = VirtAddr::new(answer.address.0);
            let found = walk(&*ram, space(edition, &answer), address, Access::Read, Privilege::User).ok();
            let reached = found.map(|found| found.phys.raw());
            assert_eq!(reached, answer.physical.map(|at| at.0), "{answer:?}");
            assert_eq!(reached.is_some(), answer.page.place == PagePlace::WorkingSet, "{answer:?}");
        }
        machine.shut_down().unwrap_or_else(|left| panic!("{left}"));
    }
}

/// A stop changes nothing of what the program does.
#[test]
fn a_run_with_stops_ends_like_one_without() {
    for edition in editions() {
        let (mut whole, mut cpu) = start("exceptions", "", edition);
        let expected = whole.run(&mut cpu, None).expect("the processor works");
        let (mut stepped, mut cpu) = start("exceptions", "", edition);
        for stop in [BreakAt::Calls(5), BreakAt::Fault, BreakAt::Calls(60)] {
            let stopped = stepped.run_until(&mut cpu, None, &stop).expect("the processor works");
            assert!(!matches!(stopped, Stop::Ended(_)), "{stop} comes up on {}", edition.name);
            let _looked = ranges(&mut stepped);
        }
        let report = stepped.run(&mut cpu, None).expect("the processor works");
        assert_eq!(report, expected, "on {}", edition.name);
        stepped.shut_down().unwrap_or_else(|left| panic!("{left}"));
    }
}
