//! Page tables that are in page files: those that cannot be read when their region goes, and those of a stack that grows.

use crate::paging::World;
use vadose_facts::addr::{PAGE_BYTES, VirtAddr};
use vadose_facts::ntdef::{AllocationType, Edition, FreeType, MemoryState, NtStatus, editions};
use vadose_mm::{AllocateRequest, MINIMUM_RAM_BYTES, ThreadStack};

/// Bytes that one page table spans.
fn span(edition: &Edition) -> u64 {
    let levels = edition.paging.levels();
    levels[levels.len() - 2].span_bytes()
}

/// A region that begins and ends on a border of page tables, of so many tables, with a stored page in each.
fn region(world: &mut World, tables: u64) -> VirtAddr {
    let span = span(world.mm.edition());
    let base = VirtAddr::new(16 * span);
    let base = allocate(world, base, tables * span, AllocationType::RESERVE | AllocationType::COMMIT);
    for table in 0..tables {
        world.store(page(base, table, span), table + 1).expect("a page");
    }
    base
}

fn page(base: VirtAddr, table: u64, span: u64) -> VirtAddr {
    VirtAddr::new(base.raw() + table * span + 0x3000)
}

fn allocate(world: &mut World, base: VirtAddr, size: u64, kind: AllocationType) -> VirtAddr {
    let request = AllocateRequest { base: Some(base), size, zero_bits: 0, kind, protection: 0x04 };
    let process = world.process;
    world.call(|mm| mm.allocate(process, request)).expect("room").base
}

/// Pushes what was stored before out of RAM, its page tables too.
fn push_out(world: &mut World) {
    let pages = 2 * MINIMUM_RAM_BYTES / PAGE_BYTES;
    let other = world.commit(pages * PAGE_BYTES).expect("page files have room");
    for number in 0..pages {
        world.store(VirtAddr::new(other.raw() + number * PAGE_BYTES), number).expect("a page");
    }
}

fn release(world: &mut World, base: VirtAddr) -> Result<u64, NtStatus> {
    let process = world.process;
    let freed = world.call(|mm| mm.free(process, base, 0, FreeType::RELEASE))?;
    freed.stale.nothing_cached();
    Ok(freed.size)
}

/// SPEC B4: a region is released although its page tables cannot be read any more; what lies elsewhere is not touched.
#[test]
fn a_region_whose_tables_are_lost_is_released() {
    for edition in editions() {
        let mut world = World::new(edition.name, MINIMUM_RAM_BYTES, 64 << 20);
        let base = region(&mut world, 8);
        let kept = world.commit(PAGE_BYTES).expect("room");
        world.store(kept, 77).expect("a page");
        push_out(&mut world);
        world.lose_page_files();
        assert_eq!(release(&mut world, base), Ok(8 * span(edition)), "on {}", edition.name);
        world.mm.audit().expect("records agree");
        let info = world.mm.query(world.process, base).expect("a user address");
        assert_eq!(info.state, MemoryState::Free, "on {}", edition.name);
        world.unreadable.clear();
        assert_eq!(world.load(kept), Ok(77), "on {}", edition.name);
        let again = region(&mut world, 8);
        let fresh = VirtAddr::new(page(again, 5, span(edition)).raw() + PAGE_BYTES);
        assert_eq!(world.load(fresh), Ok(0), "on {}", edition.name);
        world.end();
    }
}

/// SPEC B4: where another region needs the table that cannot be read, the release fails and nothing is gone.
#[test]
fn a_lost_table_that_a_neighbour_needs_fails_the_release() {
    for edition in editions() {
        let mut world = World::new(edition.name, MINIMUM_RAM_BYTES, 64 << 20);
        let span = span(edition);
        let base = VirtAddr::new(16 * span + 0x10_0000);
        let kind = AllocationType::RESERVE | AllocationType::COMMIT;
        let base = allocate(&mut world, base, 6 * span, kind);
        for table in 0..6 {
            world.store(page(base, table, span), table + 1).expect("a page");
        }
        let beside = allocate(&mut world, VirtAddr::new(base.raw() + 6 * span), PAGE_BYTES, kind);
        world.store(beside, 9).expect("a page");
        push_out(&mut world);
        world.lose_page_files();
        assert_eq!(release(&mut world, base), Err(NtStatus::NO_MEMORY), "on {}", edition.name);
        world.mm.audit().expect("records agree");
        world.unreadable.clear();
        for table in 0..6 {
            assert_eq!(
                world.load(page(base, table, span)),
                Ok(table + 1),
                "table {table} on {}",
                edition.name
            );
        }
        assert_eq!(release(&mut world, base), Ok(6 * span));
        assert_eq!(world.load(beside), Ok(9), "on {}", edition.name);
        world.end();
        assert_eq!(world.mm.page_files()[0].used_pages, 0, "nothing is left behind");
    }
}

/// SPEC E22 E17: a stack whose guaranteed pages lie in page tables that are in page files grows all the same.
#[test]
fn a_stack_grows_over_tables_that_are_out() {
    for edition in editions() {
        let mut world = World::new(edition.name, MINIMUM_RAM_BYTES, 64 << 20);
        let span = span(edition);
        let guarantee_pages = 200;
        let bottom = allocate(&mut world, VirtAddr::new(16 * span), 2 * span, AllocationType::RESERVE);
        // The lowest pages have content, so that their table is one that can leave.
        let commit = AllocationType::COMMIT;
        allocate(&mut world, bottom, PAGE_BYTES, commit);
        world.store(bottom, 5).expect("a page");
        let guard = VirtAddr::new(bottom.raw() + span + 100 * PAGE_BYTES);
        let process = world.process;
        let request = AllocateRequest {
            base: Some(guard),
            size: PAGE_BYTES,
            zero_bits: 0,
            kind: commit,
            protection: 0x104,
        };
        let made = world.call(|mm| mm.allocate(process, request)).expect("room");
        made.stale.nothing_cached();
        push_out(&mut world);
        world.stack = Some(ThreadStack {
            reserve_base: bottom,
            top: VirtAddr::new(bottom.raw() + 2 * span),
            guarantee_bytes: guarantee_pages * PAGE_BYTES,
        });
        assert_eq!(world.store(guard, 1), Ok(()), "on {}", edition.name);
        let next = VirtAddr::new(guard.raw() - PAGE_BYTES);
        let info = world.mm.query(process, next).expect("a user address");
        assert!(info.protection.is_some_and(|protection| protection.is_guard()), "on {}", edition.name);
        world.end();
    }
}
