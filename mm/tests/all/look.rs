//! Looking inside: what is told of walks, frames and sections is what the processor's walk and the audit's counts say.

use crate::builder::{EXECUTE, READ, SHARED, Sample, WRITE, Width};
use crate::door::World;
use crate::paging;
use vadose_facts::addr::{PAGE_BYTES, Pfn, VirtAddr, Vpn};
use vadose_facts::ntdef::{Bitness, editions};
use vadose_facts::x86::{PagingMode, PhysicalMemory, probe};
use vadose_mm::pfn::{PageLocation, PfnFlags};
use vadose_mm::pte::{PrototypeState, PteState};
use vadose_mm::trace::PageName;
use vadose_mm::{
    AreaBacking, FrameLook, FrameOwner, FrameUser, Mm, OriginalEntry, PageWalk, ProcessId, WalkEnd,
    large_page_bytes,
};

/// Two processes with memory of every kind, all of it touched somehow.
fn busy_world(name: &str) -> World {
    let world = World::new(name);
    let width = match world.mm.edition().bitness {
        Bitness::Bits32 => Width::X86,
        Bitness::Bits64 => Width::X64,
    };
    let filled = |byte: u8, bytes: usize| vec![byte; bytes];
    let image = Sample::new(width)
        .with(".text", READ | EXECUTE, filled(0xc3, 0x1800), 0x1800)
        .with(".data", READ | WRITE, filled(0x22, 0x1200), 0x3000)
        .with(".shared", READ | WRITE | SHARED, filled(0x33, 0x200), 0x1000)
        .build();
    let mut world = world.with_image(image);
    let unit = large_page_bytes(world.mm.edition().paging);
    let steps = format!(
        "alloc 8p; write 0; write 1p; read 2p; protect 2p 1p na; decommit 1p 1p; lock 0 1p; \
         map; read 1p; write 3p; read 4p; write 6p; \
         raw 402000 rw - 64K; own 3; show 0 0,1; \
         privileged 20003000 rw - {unit:x}; write 0; \
         section 64K commit rw; view rw; write 0; read 1p; \
         process 1; map; read 1p; read 3p; view rw; write 0; write 2p; alloc 4p; write 1p"
    );
    for step in steps.split(';') {
        let answer = world.step(step.trim());
        let good = ["ok", "image-not-at-base", "was-rw"].contains(&answer.as_str());
        assert!(good || answer.starts_with('=') || answer.starts_with("own/"), "{step}: {answer} on {name}");
    }
    world
}

fn each_busy_world(check: impl Fn(&World, &str)) {
    for edition in editions() {
        check(&busy_world(edition.name), edition.name);
    }
}

/// A walk's entries are where the processor reads them, and where the kernel's map of the tables shows them.
#[track_caller]
fn check_walk<R: PhysicalMemory>(mm: &Mm<R>, process: ProcessId, seen: &PageWalk, about: &str) {
    let space = mm.translation(process);
    let names = seen.steps.iter().map(|step| step.level.shift);
    assert!(names.eq(space.mode.levels().iter().take(seen.steps.len()).map(|level| level.shift)), "{about}");
    let mut table = space.root;
    for step in &seen.steps {
        assert_eq!(step.at.raw(), table.raw() + step.level.index(seen.address) * space.mode.entry_bytes());
        if let Some(address) = step.address {
            let mapped = probe(mm.ram(), space, address);
            let through = mapped.expect("tables that are valid are in the map of tables");
            assert_eq!(through.phys, step.at, "{about}: {address:?}");
        } else {
            assert_eq!((space.mode, step.level.shift), (PagingMode::Pae, 30), "{about}");
        }
        if let PteState::Valid(valid) = step.state {
            table = valid.pfn.base();
        }
    }
    let translated = probe(mm.ram(), space, seen.address);
    match (seen.state(), seen.end) {
        (PteState::Valid(valid), WalkEnd::Entry) => {
            let there = translated.expect("a valid page translates").phys;
            assert_eq!(there.pfn(), valid.pfn, "{about}");
        }
        (PteState::Valid(valid), WalkEnd::LargePage) => {
            let there = translated.expect("a valid page translates");
            assert_eq!(valid.pfn.raw(), there.phys.raw() / there.page_bytes * there.page_bytes / PAGE_BYTES);
        }
        (_, _) => assert!(translated.is_err(), "{about}: nothing is there"),
    }
}

/// SPEC H11 H12 H14 H16 I1 I2 I3: the same entries as the processor's own walk, level by level.
#[test]
fn a_walk_shows_what_the_processor_reads() {
    each_busy_world(|world, edition| {
        let mm = &world.mm;
        for process in mm.process_ids() {
            let mut pages: Vec<Vpn> = mm.page_entries(process).iter().map(|(vpn, _)| *vpn).collect();
            pages.extend(mm.vads(process).iter().flat_map(|vad| [vad.range.start(), vad.range.last()]));
            pages.extend([0x10, 0x7ffd0].map(Vpn::new));
            assert!(pages.len() > 12, "{edition}: a busy process");
            for vpn in pages {
                let seen = mm.page_walk(process, vpn.base()).expect("a user address");
                check_walk(mm, process, &seen, &format!("{vpn:?} of {process:?} on {edition}"));
            }
        }
    });
}

/// Looking changes nothing: no Accessed bit, no table, no record.
#[test]
fn looking_leaves_everything_as_it_is() {
    each_busy_world(|world, edition| {
        let mm = &world.mm;
        let picture = || {
            let frames: Vec<FrameLook> = mm.used_frames().collect();
            let entries: Vec<_> = mm.process_ids().into_iter().map(|id| mm.page_entries(id)).collect();
            (frames, entries, mm.area_looks(), mm.frame_users(), mm.counters())
        };
        let before = picture();
        for vad in mm.vads(world.process) {
            let _walk = mm.page_walk(world.process, vad.range.base());
            let _prototype = mm.prototype_of(world.process, vad.range.base());
        }
        assert_eq!(before, picture(), "on {edition}");
        mm.audit().expect("everything agrees");
    });
}

/// SPEC H10: no walk for an address that the processor does not take.
#[test]
fn an_address_that_is_not_canonical_has_no_walk() {
    each_busy_world(|world, edition| {
        let odd = match world.mm.edition().bitness {
            Bitness::Bits32 => 1 << 32,
            Bitness::Bits64 => 0x8000_0000_0000,
        };
        assert_eq!(world.mm.page_walk(world.process, VirtAddr::new(odd)), None, "{edition}");
        let kernel = world.mm.processor_page();
        let seen = world.mm.page_walk(world.process, kernel.1).expect("a kernel address");
        assert!(matches!(seen.state(), PteState::Valid(valid) if valid.pfn == kernel.0), "{edition}");
    });
}

/// SPEC I21 I24 I25: a frame names the entry that owns it, and that entry names the frame.
#[test]
fn a_frame_and_the_entry_that_owns_it_name_each_other() {
    each_busy_world(|world, edition| {
        let mm = &world.mm;
        let mut kinds = std::collections::BTreeSet::new();
        for frame in mm.used_frames() {
            let about = format!("{frame:?} on {edition}");
            kinds.insert(kind_of(frame.owner));
            if let Some(owned) = frame.owned_by {
                assert_eq!(owned.at, frame.entry.pte, "{about}");
                if let Some(address) = owned.address {
                    let seen = probe(mm.ram(), mm.translation(world.process), address);
                    let other = mm.process_ids().into_iter().find_map(|process| {
                        let there = probe(mm.ram(), mm.translation(process), address).ok()?;
                        (there.phys == owned.at).then_some(process)
                    });
                    assert!(other.is_some(), "{about}: {seen:?}");
                }
            }
            check_owner(mm, &frame, &about);
        }
        let all = [
            "kernel-table",
            "large",
            "physical",
            "private",
            "processor",
            "prototypes",
            "section",
            "shared-data",
            "table",
            "top",
        ];
        assert!(kinds.into_iter().eq(all), "frames of every kind on {edition}");
    });
}

fn kind_of(owner: FrameOwner) -> &'static str {
    match owner {
        FrameOwner::Nobody => "nobody",
        FrameOwner::Page(PageName::Private { .. }) => "private",
        FrameOwner::Page(PageName::Table { .. }) => "table",
        FrameOwner::Page(PageName::Section { .. }) => "section",
        FrameOwner::TopTable(_) => "top",
        FrameOwner::Physical { .. } => "physical",
        FrameOwner::Large { .. } => "large",
        FrameOwner::Prototypes(_) => "prototypes",
        FrameOwner::SharedUserData => "shared-data",
        FrameOwner::Processor => "processor",
        FrameOwner::Store => "store",
        FrameOwner::KernelTable => "kernel-table",
        FrameOwner::GivenUp => "given-up",
    }
}

fn check_owner<R: PhysicalMemory>(mm: &Mm<R>, frame: &FrameLook, about: &str) {
    match frame.owner {
        FrameOwner::Page(PageName::Private { process, vpn }) => {
            let walk = mm.page_walk(process, vpn.base()).expect("a user address");
            let named = match walk.state() {
                PteState::Valid(valid) => valid.pfn,
                PteState::Transition { pfn, .. } => pfn,
                other => panic!("{about}: {other:?}"),
            };
            assert_eq!(named, frame.pfn, "{about}");
            assert!(matches!(frame.original, Some(OriginalEntry::Process(_))), "{about}");
        }
        FrameOwner::Page(PageName::Section { area, page, .. }) => {
            assert!(frame.entry.flags.contains(PfnFlags::PROTOTYPE), "{about}");
            let mapped = mm.mappings_of(area, page);
            assert_eq!(mapped.len(), frame.entry.share_count as usize, "{about}: {mapped:?}");
            for (process, vpn) in mapped {
                let prototype = mm.prototype_of(process, vpn.base()).expect("a shared page");
                assert_eq!(prototype.state, PrototypeState::Active { pfn: frame.pfn }, "{about}");
                assert_eq!((prototype.area, prototype.page), (area, page), "{about}");
            }
        }
        FrameOwner::TopTable(process) if mm.edition().paging != PagingMode::Pae => {
            assert_eq!(mm.translation(process).root, frame.pfn.base(), "{about}");
        }
        FrameOwner::Nobody
        | FrameOwner::Page(PageName::Table { .. })
        | FrameOwner::TopTable(_)
        | FrameOwner::Physical { .. }
        | FrameOwner::Large { .. }
        | FrameOwner::Prototypes(_)
        | FrameOwner::SharedUserData
        | FrameOwner::Processor
        | FrameOwner::Store
        | FrameOwner::KernelTable
        | FrameOwner::GivenUp => {}
    }
}

/// SPEC I23 I26 I29: the frames of all users and of the free lists are all frames; lists are linked both ways.
#[test]
fn users_and_free_lists_are_all_of_ram() {
    each_busy_world(|world, edition| {
        let mm = &world.mm;
        let users = mm.frame_users();
        let used: u64 = users.iter().map(|(_, count)| count.total()).sum();
        let counts = mm.frame_counts();
        assert_eq!(used + counts.zeroed + counts.free + counts.bad, counts.total(), "{edition}");
        let active: u64 = users.iter().map(|(_, count)| count.active).sum();
        assert_eq!(active, counts.active, "{edition}");
        for pfn in (0..counts.total()).map(Pfn::new) {
            let frame = mm.frame_look(pfn).expect("a frame of RAM");
            if let Some(next) = frame.next {
                let next = mm.frame_look(next).expect("a frame of RAM");
                assert_eq!((next.previous, next.entry.location), (Some(pfn), frame.entry.location));
            }
        }
        assert_eq!(mm.frame_look(Pfn::new(counts.total())), None, "{edition}");
        let of = |user| users.iter().find(|(one, _)| *one == user).map(|(_, count)| *count);
        let first = mm.process_ids()[0];
        let own = of(FrameUser::Process(first)).expect("the process has private pages");
        assert_eq!(own.locked, 1, "{edition}");
        let tables = of(FrameUser::PageTables(first)).expect("a process has tables");
        assert!(tables.active <= mm.process_counters(first).table_pages, "{edition}");
    });
}

/// SPEC I32 I38: a control area's pages are all somewhere, and its prototype entries are where they are said to be.
#[test]
fn control_areas_tell_their_pages_their_users_and_their_subsections() {
    each_busy_world(|world, edition| {
        let mm = &world.mm;
        let areas = mm.area_looks();
        assert_eq!(areas.len(), 2, "an image and a page-file section on {edition}");
        for area in &areas {
            let p = area.places;
            let frames = p.active + p.standby + p.modified + p.transition;
            let all = frames + p.page_file + p.file + p.demand_zero + p.absent;
            assert_eq!(all, area.pages, "{area:?} on {edition}");
            assert_eq!(area.segments.iter().map(|(_, pages)| pages).sum::<u32>(), area.pages);
            assert_eq!((area.sections, area.views.len()), (1, 2), "{edition}");
            assert_eq!(mm.area_look(area.id).as_ref(), Some(area));
            for part in &area.subsections {
                assert_eq!(part.first_entry.raw(), {
                    let bytes = mm.edition().paging.entry_bytes();
                    area.segments[0].0.raw() + u64::from(part.first_page) * bytes
                });
                let Some(record) = part.address else { continue };
                let at = probe(mm.ram(), mm.translation(world.process), record)
                    .expect("records are in the kernel's pool")
                    .phys;
                assert_eq!(mm.ram().read_u64(at), part.first_entry.raw(), "its first word on {edition}");
            }
        }
        let image = areas.iter().find(|area| matches!(area.backing, AreaBacking::Image { .. }));
        let image = image.expect("an image");
        assert!(image.subsections.iter().all(|part| part.address.is_some()), "{edition}");
        let names: Vec<&str> = image.subsections.iter().map(|part| part.name.as_str()).collect();
        assert_eq!(names, ["", ".text", ".data", ".shared"], "{edition}");
        assert_eq!(image.places.demand_zero, 1, "the page of zeros of .data, which nobody mapped: {edition}");
        let memory = areas.iter().find(|area| area.backing == AreaBacking::PageFile).expect("a section");
        assert_eq!((memory.places.active, memory.places.demand_zero), (3, 13), "{edition}");
        assert_eq!(memory.commit_pages, 16, "{edition}");
    });
}

/// SPEC I16 I32 I33: a page that a store made private has no prototype entry any more; a clean one has.
#[test]
fn a_private_copy_has_left_its_prototype_entry() {
    for edition in editions() {
        let mut world = busy_world(edition.name);
        let _mapped = world.step("process 2");
        let _mapped = world.step("map");
        let _touched = (world.step("read 3p"), world.step("write 4p"));
        let base = world.origin;
        let at = |page: u64| base.checked_add(page * PAGE_BYTES).expect("an address");
        let prototype = |page| world.mm.prototype_of(world.process, at(page));
        let clean = prototype(3).expect("a page of the image");
        assert!(matches!(clean.state, PrototypeState::Active { .. }), "{}", edition.name);
        assert_eq!(prototype(4), None, "{}", edition.name);
        let untouched = prototype(2).expect("a page of the image");
        assert!(untouched.file.is_some(), "{}", edition.name);
        let through = probe(world.mm.ram(), world.mm.translation(world.process), clean.address);
        assert_eq!(through.expect("in the kernel's pool").phys, clean.at);
    }
}

/// SPEC I7 I10 I14: pages that left are told with the frame or the page-file place that has them, tables too.
#[test]
fn pages_that_left_ram_are_told_with_their_places() {
    for edition in editions() {
        let mut world = paging::World::new(edition.name, vadose_mm::MINIMUM_RAM_BYTES, 64 << 20);
        let pages = 8 * world.mm.ram().frames();
        let base = world.commit(pages * PAGE_BYTES).expect("the page file has room");
        let address = |page: u64| base.checked_add(page * PAGE_BYTES).expect("an address");
        for page in 0..pages {
            world.store(address(page), page).expect("the page file has room");
        }
        let (mut waiting, mut out, mut tables_out) = (0, 0, 0);
        for page in 0..pages {
            let seen = world.mm.page_walk(world.process, address(page)).expect("a user address");
            match (seen.state(), seen.end) {
                (PteState::Transition { pfn, .. }, WalkEnd::Entry) => {
                    waiting += 1;
                    let frame = world.mm.frame_look(pfn).expect("a frame");
                    let vpn = address(page).vpn();
                    let name = PageName::Private { process: world.process, vpn };
                    assert_eq!(frame.owner, FrameOwner::Page(name), "{}", edition.name);
                    assert_ne!(frame.entry.location, PageLocation::Active);
                }
                (PteState::PageFile { file, slot, .. }, WalkEnd::Entry) => {
                    out += 1;
                    assert_eq!(file, 0, "{}", edition.name);
                    assert_eq!(world.stored(file, slot), page, "{}", edition.name);
                }
                (PteState::Zero, WalkEnd::TableOut) => tables_out += 1,
                (PteState::Valid(_), WalkEnd::Entry) => {
                    let found = probe(world.mm.ram(), world.mm.translation(world.process), address(page));
                    // A table that waits in its frame still is shown, though the processor does not use it.
                    if let Ok(found) = found {
                        assert_eq!(world.mm.ram().read_u64(found.phys), page, "{}", edition.name);
                    }
                }
                other => panic!("{other:?} on {}", edition.name),
            }
        }
        assert!(waiting > 0 && out > 0, "{waiting} wait, {out} are out on {}", edition.name);
        assert!(tables_out > 0, "the tables of some pages are out on {}", edition.name);
        assert_eq!(world.mm.take_wanted(), None, "looking wants nothing");
    }
}
