//! The software MMU against plain walks over the same tables.

use super::*;
use vadose_facts::x86::{FaultCode, HeapRam, NoExecute};

const USER_RW: u64 = 7;
const ROOT: u64 = 0x1000;

/// 64-bit tables whose last level, at 0x4000, maps the pages given as (index, entry).
fn mmu(pages: &[(u64, u64)]) -> SoftMmu<HeapRam> {
    let ram = HeapRam::new(32);
    for (at, entry) in [(ROOT, 0x2000), (0x2000, 0x3000), (0x3000, 0x4000)] {
        ram.write_u64(PhysAddr::new(at), entry | USER_RW);
    }
    for &(index, entry) in pages {
        ram.write_u64(PhysAddr::new(0x4000 + index * 8), entry);
    }
    let root = PhysAddr::new(ROOT);
    SoftMmu::new(ram, AddressSpace { mode: PagingMode::Long4, root, no_execute: NoExecute::Enforced })
}

fn leaf(mmu: &SoftMmu<HeapRam>, index: u64) -> u64 {
    mmu.ram().read_u64(PhysAddr::new(0x4000 + index * 8))
}

fn fault_at(done: usize, address: u64, access: Access, code: FaultCode) -> Result<(), Interruption> {
    let address = VirtAddr::new(address);
    Err(Interruption { done, cause: Refusal::Fault(FaultExit { address, access, code }) })
}

/// SPEC E1: a copy that crosses into a page that is not there stops at that page's first byte, with the rest done.
#[test]
fn a_copy_crosses_pages_and_stops_at_the_exact_byte() {
    let mmu = mmu(&[(1, 0x9000 | USER_RW), (2, 0x8000 | USER_RW)]);
    let text: Vec<u8> = (0..0x1800).map(|i| i as u8).collect();
    let user = Privilege::User;
    assert_eq!(
        mmu.write(VirtAddr::new(0x1900), &text, user),
        fault_at(0x1700, 0x3000, Access::Write, FaultCode::WRITE | FaultCode::USER)
    );
    let mut back = vec![0; 0x1700];
    assert_eq!(mmu.read(VirtAddr::new(0x1900), &mut back, user), Ok(()));
    assert_eq!(back, text[..0x1700]);
    assert_eq!(mmu.ram().read_u32(PhysAddr::new(0x8000)), u32::from_le_bytes([0, 1, 2, 3]));
}

/// SPEC E1: an instruction's access happens whole or not at all, and names the lowest byte that is refused.
#[test]
fn an_access_across_pages_is_whole_or_nothing() {
    let mut mmu = mmu(&[(1, 0x9000 | USER_RW), (2, 0x8000 | 5)]);
    let (va, user) = (VirtAddr::new(0x1ffd), Privilege::User);
    let code = FaultCode::WRITE | FaultCode::USER | FaultCode::PRESENT;
    let refused = FaultExit { address: VirtAddr::new(0x2000), access: Access::Write, code };
    assert_eq!(mmu.store(va, &[1; 8], user), Err(Refusal::Fault(refused)));
    let mut bytes = [7; 8];
    assert_eq!(mmu.load(va, &mut bytes, user), Ok(()));
    assert_eq!(bytes, [0; 8]);
    mmu.ram().write_u64(PhysAddr::new(0x4008), 0);
    mmu.drop_stale(&Stale::page(va.vpn()));
    let missing = FaultExit { address: va, access: Access::Read, code: FaultCode::USER };
    bytes = [7; 8];
    assert_eq!(mmu.load(va, &mut bytes, user), Err(Refusal::Fault(missing)));
    assert_eq!(bytes, [7; 8]);
}

/// SPEC I3: a read sets Accessed only; the first store walks again and sets Dirty.
#[test]
fn a_store_after_a_read_still_sets_dirty() {
    let mmu = mmu(&[(5, 0x9000 | USER_RW)]);
    let va = VirtAddr::new(0x5010);
    mmu.read(va, &mut [0], Privilege::User).expect("mapped");
    assert_eq!(leaf(&mmu, 5), 0x9000 | USER_RW | 0x20);
    mmu.write(va, &[1], Privilege::User).expect("mapped");
    assert_eq!(leaf(&mmu, 5), 0x9000 | USER_RW | 0x60);
}

/// SPEC E5: rights are checked on cached translations as on new ones.
#[test]
fn the_cache_does_not_widen_rights() {
    let mmu = mmu(&[(1, 0x9000 | 5), (2, 0xa000 | 3)]);
    let (read_only, kernel_page) = (VirtAddr::new(0x1000), VirtAddr::new(0x2000));
    mmu.read(read_only, &mut [0], Privilege::User).expect("readable");
    for privilege in [Privilege::User, Privilege::Kernel] {
        assert!(mmu.write(read_only, &[1], privilege).is_err(), "{privilege:?}");
    }
    mmu.write(kernel_page, &[1], Privilege::Kernel).expect("the kernel's own");
    let code = FaultCode::PRESENT | FaultCode::USER;
    assert_eq!(mmu.read(kernel_page, &mut [0], Privilege::User), fault_at(0, 0x2000, Access::Read, code));
}

#[test]
fn a_changed_entry_is_seen_after_drop_stale() {
    let mut mmu = mmu(&[(1, 0x9000 | USER_RW)]);
    let (va, mut byte) = (VirtAddr::new(0x1000), [0]);
    mmu.write(va, &[7], Privilege::User).expect("mapped");
    mmu.ram().write_u64(PhysAddr::new(0x4008), 0xb000 | USER_RW);
    mmu.drop_stale(&Stale::page(va.vpn()));
    mmu.read(va, &mut byte, Privilege::User).expect("mapped");
    assert_eq!(byte, [0]);
    mmu.ram().write_u64(PhysAddr::new(0x4008), 0);
    let mut all = Stale::page(Vpn::new(77));
    all.absorb(Stale::page(Vpn::new(78)));
    mmu.drop_stale(&all);
    assert!(mmu.read(va, &mut byte, Privilege::User).is_err());
}

/// SPEC E4 H10: an address between the halves is no page fault; 32-bit addresses wrap.
#[test]
fn odd_addresses_are_told_apart() {
    let mmu = mmu(&[]);
    let address = VirtAddr::new(1 << 47);
    assert_eq!(
        mmu.read(address, &mut [0], Privilege::User),
        Err(Interruption { done: 0, cause: Refusal::NotCanonical { address } })
    );
    assert_eq!(mmu.read(VirtAddr::new(u64::MAX), &mut [], Privilege::User), Ok(()));
}

/// Every translation through the cache equals a plain walk on a copy of the tables, marks included.
#[test]
fn random_accesses_agree_with_plain_walks() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let pages: Vec<(u64, u64)> =
        (0..512).map(|i| (i, (8 + next() % 24) << 12 | next() & 7 | (next() & 1) << 63)).collect();
    let (cached, plain) = (mmu(&pages), mmu(&pages));
    // Miri checks the same code on fewer.
    for round in 0..if cfg!(miri) { 100 } else { 20_000 } {
        let va = VirtAddr::new(next() % (512 << 12));
        let access = [Access::Read, Access::Write, Access::Execute][(next() % 3) as usize];
        let privilege = [Privilege::User, Privilege::Kernel][(next() % 2) as usize];
        let expected = walk(plain.ram(), plain.space(), va, access, privilege);
        let got = cached.translate(va, access, privilege);
        assert_eq!(got.ok(), expected.ok().map(|t| t.phys), "round {round}: {va:?} {access:?} {privilege:?}");
        assert_eq!(leaf(&cached, va.vpn().raw()), leaf(&plain, va.vpn().raw()), "round {round}: {va:?}");
    }
}
