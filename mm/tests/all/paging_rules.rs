//! What paging promises: a committed page always comes in, a failed transfer hurts nobody else, and limits hold.

use crate::paging::World;
use vadose_facts::addr::{PAGE_BYTES, VirtAddr};
use vadose_facts::ntdef::{
    AllocationType, Aslr, FreeType, LargeAddressAware, NtStatus, SectionAttributes, edition, editions,
};
use vadose_facts::x86::{Access, HeapRam};
use vadose_mm::{
    AllocateRequest, LimitFlags, LockKinds, LockMemory, LockOutcome, MINIMUM_RAM_BYTES, Mm, MmConfig,
    PageAttributes, SectionBacking, SectionRequest, ViewRequest,
};

const RAM: u64 = MINIMUM_RAM_BYTES;
const FRAMES: u64 = RAM / PAGE_BYTES;

fn page(base: VirtAddr, number: u64) -> VirtAddr {
    VirtAddr::new(base.raw() + number * PAGE_BYTES)
}

/// Fills pages with their numbers.
fn fill(world: &mut World, base: VirtAddr, pages: u64) {
    for number in 0..pages {
        world.store(page(base, number), number + 1).expect("a page that was committed");
    }
}

fn check(world: &mut World, base: VirtAddr, pages: u64) {
    for number in 0..pages {
        assert_eq!(world.load(page(base, number)), Ok(number + 1), "page {number}");
    }
}

/// A section over page files, and a view of it.
fn view(world: &mut World, pages: u64, protection: u32) -> Result<VirtAddr, NtStatus> {
    let request = SectionRequest {
        backing: SectionBacking::PageFile,
        size: pages * PAGE_BYTES,
        protection: 0x04,
        attributes: SectionAttributes::COMMIT,
    };
    let process = world.process;
    let section = world.call(|mm| mm.create_section(request))?;
    let mapped = world.call(|mm| mm.map_view(process, section, ViewRequest::whole(protection)));
    world.mm.close_section(section);
    Ok(mapped?.base)
}

/// SPEC J11 J12 J38 J7: at the smallest RAM that starts, with everything in RAM that can be made to stay there, every
/// page that was promised still comes in, and every store to a shared page gets its copy.
#[test]
fn what_cannot_leave_ram_leaves_room_for_what_was_promised() {
    for edition in editions() {
        let mut world = World::new(edition.name, RAM, 8 * RAM);
        let process = world.process;
        let (data, shared) = (2 * FRAMES, 200);
        let base = world.commit(data * PAGE_BYTES).expect("page files have room");
        let copies = view(&mut world, shared, 0x08).expect("page files have room");
        let most = FRAMES - 520;
        let raised = world.call(|mm| mm.set_working_set_limits(process, most, most + 8, LimitFlags::empty()));
        let lockable = if raised.is_ok() { most - 8 } else { 42 };
        lock(&mut world, base, lockable.min(64));
        world.mm.ask_for_frames(FRAMES);
        world.work();
        let physical = world.call(|mm| mm.allocate_physical(process, FRAMES, LockMemory::Enabled));
        let physical = physical.expect("some are available");
        physical.stale.nothing_cached();
        assert!(
            physical.frames.len() as u64 > FRAMES / 2,
            "{} pages on {}",
            physical.frames.len(),
            edition.name
        );
        let more = world.call(|mm| mm.create_process(LargeAddressAware::Yes)).is_ok();
        let section = view(&mut world, 64, 0x04).is_ok();
        world.mm.audit().expect("records agree");
        fill(&mut world, base, data);
        fill(&mut world, copies, shared);
        check(&mut world, base, data);
        check(&mut world, copies, shared);
        world.mm.audit().expect("records agree");
        assert!(!more || !section || edition.name != "win10-x64", "something was refused in the end");
    }
}

fn lock(world: &mut World, base: VirtAddr, pages: u64) {
    let process = world.process;
    for _ in 0..1000 {
        let answer = world.call(|mm| mm.lock(process, base, pages * PAGE_BYTES, LockKinds::PROCESS));
        match answer.expect("within the quota") {
            LockOutcome::Done(_) => return,
            LockOutcome::Touch(range) => {
                world.touch(range.base(), Access::Read).expect("committed");
            }
        }
    }
    panic!("a lock ends");
}

/// SPEC J6 J8 J10: a locked page stays while everything else leaves.
#[test]
fn locked_pages_stay_in_ram() {
    let mut world = World::new("win7-x64", RAM, 8 * RAM);
    let base = world.commit(4 * RAM).expect("page files have room");
    lock(&mut world, base, 30);
    fill(&mut world, base, 4 * FRAMES);
    for number in 0..30 {
        let attributes = world.mm.page_attributes(world.process, page(base, number));
        assert!(matches!(attributes, PageAttributes::Resident(_)), "page {number}: {attributes:?}");
    }
    let process = world.process;
    let unlocked = world.call(|mm| mm.unlock(process, base, 30 * PAGE_BYTES, LockKinds::PROCESS));
    unlocked.expect("they were locked").stale.nothing_cached();
    fill(&mut world, base, 4 * FRAMES);
    let attributes = world.mm.page_attributes(world.process, base);
    assert!(matches!(attributes, PageAttributes::Absent(_)), "{attributes:?}");
}

/// SPEC E27: a page that cannot be read back is an in-page error for whoever touches it, each time; the pages that were
/// written beside it are read alone and are well.
#[test]
fn an_unreadable_page_hurts_nobody_else() {
    for edition in editions() {
        let mut world = World::new(edition.name, RAM, 8 * RAM);
        let pages = 3 * FRAMES;
        let base = world.commit(pages * PAGE_BYTES).expect("page files have room");
        fill(&mut world, base, pages);
        world.unreadable.insert((0, 20));
        let mut failed = Vec::new();
        for number in 0..pages {
            match world.load(page(base, number)) {
                Ok(value) => assert_eq!(value, number + 1, "page {number} on {}", edition.name),
                Err(status) => {
                    assert_eq!(status, NtStatus::IN_PAGE_ERROR);
                    assert_eq!(world.load(page(base, number)), Err(NtStatus::IN_PAGE_ERROR), "again");
                    failed.push(number);
                }
            }
        }
        assert_eq!(failed.len(), 1, "on {}", edition.name);
        world.mm.audit().expect("records agree");
        world.unreadable.clear();
        check(&mut world, base, pages);
        world.end();
        assert_eq!(world.mm.page_files()[0].used_pages, 0);
    }
}

/// SPEC J11 J15: what cannot be written stays in RAM; places that failed alone are left out from then on, and count no
/// longer for what may be promised.
#[test]
fn failed_writes_lose_no_page() {
    let mut world = World::new("win7-x64", RAM, 8 * RAM);
    let limit = world.mm.counters().commit.limit_pages();
    let pages = 3 * FRAMES;
    let base = world.commit(pages * PAGE_BYTES).expect("page files have room");
    world.failing_writes = 12;
    fill(&mut world, base, pages);
    check(&mut world, base, pages);
    world.mm.audit().expect("records agree");
    // The first write was a cluster, whose pages were tried alone then.
    assert_eq!(world.mm.page_files()[0].bad_pages, 11);
    assert_eq!(world.mm.counters().commit.limit_pages(), limit - 11);
}

/// A disk that takes nothing any more: touches fail once RAM is full, what was stored before is still there, and with
/// pages given back it goes on.
#[test]
fn a_full_disk_is_an_error_and_not_the_end() {
    let mut world = World::new("win7-x64", RAM, 2 * RAM);
    let pages = 2 * FRAMES;
    let base = world.commit(pages * PAGE_BYTES).expect("page files have room");
    world.failing_writes = u64::MAX;
    let mut stored = 0;
    let status = loop {
        match world.store(page(base, stored), stored + 1) {
            Ok(()) => stored += 1,
            Err(status) => break status,
        }
    };
    assert_eq!(status, NtStatus::IN_PAGE_ERROR);
    assert!(stored > FRAMES / 2 && stored < FRAMES, "{stored} pages fit");
    world.mm.audit().expect("records agree");
    check(&mut world, base, stored);
    assert_eq!(world.commit(RAM), Err(NtStatus::COMMITMENT_LIMIT), "the limit went down with the page file");
    let process = world.process;
    let freed = world.call(|mm| mm.free(process, page(base, 0), 100 * PAGE_BYTES, FreeType::DECOMMIT));
    freed.expect("committed").stale.nothing_cached();
    assert_eq!(world.store(page(base, stored), stored + 1), Ok(()));
    world.mm.audit().expect("records agree");
}

/// SPEC J14: commit beyond the limit makes a page file grow, up to its maximum; nothing has changed when that is not
/// enough.
#[test]
fn page_files_grow_when_commit_asks_for_it() {
    let edition = edition("win10-x64").expect("a known edition");
    let config = MmConfig { edition, page_file_bytes: 0, commit_limit_bytes: None, seed: 1, aslr: Aslr::Off };
    let mut mm = Mm::new(config, HeapRam::new(FRAMES)).expect("enough RAM");
    let start = mm.counters().commit.limit_pages();
    mm.add_page_file(100 * PAGE_BYTES, 3000 * PAGE_BYTES).expect("a good size");
    assert_eq!(mm.counters().commit.limit_pages(), start + 100);
    let process = mm.create_process(LargeAddressAware::Yes).expect("room");
    let commit = |mm: &mut Mm<HeapRam>, pages: u64| {
        let kind = AllocationType::RESERVE | AllocationType::COMMIT;
        let size = pages * PAGE_BYTES;
        let request = AllocateRequest { base: None, size, zero_bits: 0, kind, protection: 0x04 };
        mm.allocate(process, request).map(|made| made.stale.nothing_cached())
    };
    commit(&mut mm, start + 100).expect("the page file grows");
    let grown = mm.counters().commit.limit_pages();
    assert!(grown > start + 100 && grown < start + 1000, "{grown} of {start}");
    let before = mm.counters();
    assert_eq!(commit(&mut mm, 4000), Err(NtStatus::COMMITMENT_LIMIT));
    assert_eq!(mm.counters(), before, "a call that fails changes nothing");
    while commit(&mut mm, 1).is_ok() {}
    assert_eq!(mm.counters().commit.limit_pages(), start + 3000);
    mm.audit().expect("records agree");
}

/// SPEC J15: a page file's page is taken when a modified page is written, not when it is committed, and a page that is
/// stored to again gives its copy up.
#[test]
fn pages_of_page_files_are_taken_when_they_are_written() {
    let mut world = World::new("win7-x64", RAM, 8 * RAM);
    let base = world.commit(4 * RAM).expect("page files have room");
    assert_eq!(world.mm.page_files()[0].used_pages, 0);
    fill(&mut world, base, 2 * FRAMES);
    let used = world.mm.page_files()[0].used_pages;
    assert!(u64::from(used) >= FRAMES, "{used} pages are written");
    for round in 0..3 {
        fill(&mut world, base, 2 * FRAMES);
        let used = world.mm.page_files()[0].used_pages;
        assert!(u64::from(used) <= 2 * FRAMES, "{used} pages are used in round {round}");
        world.mm.audit().expect("records agree");
    }
}

/// SPEC J16: without a page file what was stored to stays in RAM, and everything else works; clean pages of files leave.
#[test]
fn without_page_files_stored_pages_stay_in_ram() {
    let mut world = World::new("win7-x64", RAM, 0);
    let room = world.mm.counters().commit.limit_pages() - world.mm.counters().commit.charged_pages();
    let base = world.commit((room - 8) * PAGE_BYTES).expect("RAM has room");
    fill(&mut world, base, room - 8);
    check(&mut world, base, room - 8);
    assert_eq!((world.reads, world.writes), (0, 0));
    assert_eq!(world.commit(16 * PAGE_BYTES), Err(NtStatus::COMMITMENT_LIMIT));
    world.mm.audit().expect("records agree");
}

/// SPEC J30 I36: a prefetched page waits in a frame, outside of the working set, and its touch is a soft fault.
#[test]
fn a_prefetched_page_needs_no_read() {
    let mut world = World::new("win10-x64", RAM, 8 * RAM);
    let base = world.commit(2 * RAM).expect("page files have room");
    fill(&mut world, base, 2 * FRAMES);
    let process = world.process;
    // Its page table is in RAM then: a prefetch does not wait for one.
    assert_eq!(world.load(page(base, 40)), Ok(41));
    let transfer = world.mm.prefetch_paged(process, base).expect("the first page was written long ago");
    world.page(&transfer);
    assert!(matches!(world.mm.page_attributes(process, base), PageAttributes::Absent(_)));
    assert_eq!(world.mm.prefetch_paged(process, base), None, "it is in a frame now");
    let reads = world.reads;
    assert_eq!((world.load(base), world.reads), (Ok(1), reads));
}

/// SPEC J3: a hard maximum holds while memory is plentiful, a soft one does not; a hard minimum holds while it is short.
#[test]
fn hard_limits_hold() {
    let mut world = World::new("win10-x64", 8 * RAM, 8 * RAM);
    let process = world.process;
    let base = world.commit(4 * RAM).expect("RAM has room");
    fill(&mut world, base, 400);
    assert!(world.mm.process_counters(process).resident_pages > 345, "the maximum is soft");
    world.mm.set_working_set_limits(process, 40, 60, LimitFlags::HARD_MAXIMUM).expect("good limits");
    world.work();
    assert!(world.mm.process_counters(process).resident_pages <= 61);
    fill(&mut world, base, 400);
    let resident = world.mm.process_counters(process).resident_pages;
    assert!(resident <= 61, "{resident} pages and the one that all processes share");
    check(&mut world, base, 400);
    world.mm.audit().expect("records agree");

    let mut world = World::new("win10-x64", RAM, 8 * RAM);
    let process = world.process;
    let base = world.commit(2 * RAM).expect("page files have room");
    world.mm.set_working_set_limits(process, 200, 300, LimitFlags::HARD_MINIMUM).expect("good limits");
    fill(&mut world, base, 150);
    let other = world.mm.create_process(LargeAddressAware::Yes).expect("room");
    world.process = other;
    let elsewhere = world.commit(2 * RAM).expect("page files have room");
    fill(&mut world, elsewhere, 2 * FRAMES);
    let resident = world.mm.process_counters(process).resident_pages;
    assert!(resident >= 150, "{resident} pages of the process with a hard minimum");
    world.mm.audit().expect("records agree");
}
