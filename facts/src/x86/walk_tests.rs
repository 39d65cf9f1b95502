//! The walk against hand-built tables, one paging mode each.

use super::*;
use crate::x86::HeapRam;

const USER_RW: u64 = 7;

fn long4(entries: &[(u64, u64)]) -> (HeapRam, AddressSpace) {
    space(PagingMode::Long4, entries)
}

fn space(mode: PagingMode, entries: &[(u64, u64)]) -> (HeapRam, AddressSpace) {
    let ram = HeapRam::new(16);
    for &(at, entry) in entries {
        match mode.entry_bytes() {
            4 => ram.write_u32(PhysAddr::new(at), entry as u32),
            _ => ram.write_u64(PhysAddr::new(at), entry),
        }
    }
    (ram, AddressSpace { mode, root: PhysAddr::new(0x1000), no_execute: NoExecute::Enforced })
}

fn user(ram: &HeapRam, s: AddressSpace, va: u64, access: Access) -> Result<u64, Miss> {
    walk(ram, s, VirtAddr::new(va), access, Privilege::User).map(|t| t.phys.raw())
}

/// SPEC I3: rights combine over the levels, and the store sets Dirty in the last entry only.
#[test]
fn four_levels_translate_and_mark() {
    let (ram, s) = long4(&[
        (0x1000, 0x2000 | USER_RW),
        (0x2000, 0x3000 | USER_RW),
        (0x3008, 0x4000 | USER_RW),
        (0x4018, 0x5000 | USER_RW),
    ]);
    assert_eq!(user(&ram, s, 0x20_3abc, Access::Write), Ok(0x5abc));
    assert_eq!(ram.read_u64(PhysAddr::new(0x1000)), 0x2000 | USER_RW | 0x20);
    assert_eq!(ram.read_u64(PhysAddr::new(0x4018)), 0x5000 | USER_RW | 0x60);
}

/// SPEC I3: a level that refuses stores refuses them for all below; NX anywhere stops fetches.
#[test]
fn one_strict_level_is_enough_to_refuse() {
    let nx = 1 << 63;
    let (ram, s) = long4(&[
        (0x1000, 0x2000 | USER_RW),
        (0x2000, 0x3000 | 5),
        (0x3000, 0x4000 | USER_RW | nx),
        (0x4000, 0x5000 | USER_RW),
    ]);
    let fault = |code| Err(Miss::PageFault(code));
    assert_eq!(user(&ram, s, 0, Access::Read), Ok(0x5000));
    assert_eq!(
        user(&ram, s, 0, Access::Write),
        fault(FaultCode::PRESENT | FaultCode::WRITE | FaultCode::USER)
    );
    assert_eq!(
        user(&ram, s, 0, Access::Execute),
        fault(FaultCode::PRESENT | FaultCode::FETCH | FaultCode::USER)
    );
    assert_eq!(user(&ram, s, 1 << 39, Access::Read), fault(FaultCode::USER));
}

/// SPEC E2 E4: without NX a fetch reports as a read, and a non-canonical address is not a page fault.
#[test]
fn odd_addresses_and_missing_nx_are_told_apart() {
    let (ram, mut s) = long4(&[]);
    assert_eq!(user(&ram, s, 1 << 47, Access::Read), Err(Miss::NotCanonical));
    s.no_execute = NoExecute::Off;
    assert_eq!(user(&ram, s, 0, Access::Execute), Err(Miss::PageFault(FaultCode::USER)));
}

/// SPEC I1 I2: two-level and PAE walks, with a 4 MiB and a 2 MiB page.
#[test]
fn thirty_two_bit_modes_translate_small_and_large_pages() {
    let (ram, s) = space(
        PagingMode::Legacy,
        &[(0x1000, 0x2000 | USER_RW), (0x1004, 0x0040_0087), (0x2ffc, 0x7000 | USER_RW)],
    );
    assert_eq!(user(&ram, s, 0x003f_f123, Access::Read), Ok(0x7123));
    assert_eq!(user(&ram, s, 0x0051_2345, Access::Read), Ok(0x0051_2345));

    let (ram, s) = space(
        PagingMode::Pae,
        &[(0x1018, 0x2001), (0x2000, 0x3000 | USER_RW), (0x2008, 0x0060_0087), (0x3010, 0x8000 | USER_RW)],
    );
    assert_eq!(user(&ram, s, 0xc000_2010, Access::Read), Ok(0x8010));
    assert_eq!(user(&ram, s, 0xc021_0000, Access::Write), Ok(0x0061_0000));
    assert_eq!(ram.read_u64(PhysAddr::new(0x1018)), 0x2001, "directory pointers have no A bit");
}

/// A tool that looks leaves no trace.
#[test]
fn a_probe_marks_nothing() {
    let (ram, s) =
        long4(&[(0x1000, 0x2000 | 3), (0x2000, 0x3000 | 3), (0x3000, 0x4000 | 3), (0x4000, 0x5000 | 1)]);
    let found = probe(&ram, s, VirtAddr::new(0x10)).expect("mapped");
    assert_eq!((found.phys.raw(), found.permissions.user), (0x5010, false));
    assert_eq!(ram.read_u64(PhysAddr::new(0x1000)), 0x2003);
}
