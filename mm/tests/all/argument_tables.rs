//! Small tables, tried whole: every pair of allocation-type bits and every protection word, against rules written plainly.

use crate::door::World;
use crate::model::{legal_protection, legal_type};
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::{AllocationType, Edition, NtStatus, ParameterStatus, editions};
use vadose_mm::{AllocateForm, AllocateRequest, ExtendedRequest};

const BASE: u64 = 0x5000_0000;

fn allocate(world: &mut World, kind: u32, protection: u32) -> Result<(), NtStatus> {
    let request = AllocateRequest {
        base: Some(VirtAddr::new(BASE)),
        size: 0x1000,
        zero_bits: 0,
        kind: AllocationType::from_bits_retain(kind),
        protection,
    };
    world.mm.allocate(world.process, request).map(|made| made.stale.nothing_cached())
}

fn bad_parameter(edition: &Edition, n: u32) -> NtStatus {
    match edition.parameter_status {
        ParameterStatus::Numbered => NtStatus::invalid_parameter(n),
        ParameterStatus::Plain => NtStatus::INVALID_PARAMETER,
    }
}

/// SPEC A2 A3 A4 A5 A6: no bit, each bit, each pair and each triple of all 32.
#[test]
fn every_triple_of_type_bits_is_judged_by_the_rules() {
    for edition in editions() {
        let mut world = World::new(edition.name);
        let (mut legal, mut illegal) = (0, 0);
        let bits = || (0..32).map(|bit| 1_u32 << bit).chain([0]);
        for (a, b, c) in bits().flat_map(|a| bits().flat_map(move |b| bits().map(move |c| (a, b, c)))) {
            let kind = a | b | c;
            let answer = allocate(&mut world, kind, 0x04);
            let refused = answer == Err(bad_parameter(edition, 5));
            assert_eq!(refused, !legal_type(edition, kind), "{kind:#x}: {answer:?} on {}", edition.name);
            if refused {
                illegal += 1
            } else {
                legal += 1
            }
            if answer.is_ok() && kind & 0x2000 != 0 {
                assert_eq!(world.quietly("free 8000 @50000000 0"), "ok");
            }
        }
        assert!(legal > 100 && illegal > 1000, "both happen");
    }
}

/// SPEC A51 A52 A53: the same for the extended call, with and without access. What is legal and finds no placeholder is a
/// conflict.
#[test]
fn every_triple_of_type_bits_of_the_extended_call_is_judged_by_the_rules() {
    for edition in editions() {
        let mut world = World::new(edition.name);
        let (mut legal, mut illegal) = (0, 0);
        let bits = || (0..32).map(|bit| 1_u32 << bit).chain([0]);
        for (a, b, c) in bits().flat_map(|a| bits().flat_map(move |b| bits().map(move |c| (a, b, c)))) {
            let kind = a | b | c;
            for protection in [0x01, 0x04] {
                let answer = extended(&mut world, kind, protection);
                let refused = matches!(answer, Err(status) if status == bad_parameter(edition, 5));
                let physical = kind & 0x40_0000 != 0 && protection != 0x04;
                let wanted = !legal_extended_type(edition, kind, protection);
                let name = edition.name;
                if physical && !wanted {
                    assert_eq!(answer, Err(bad_parameter(edition, 6)), "{kind:#x}/{protection:x} on {name}");
                    continue;
                }
                assert_eq!(refused, wanted, "{kind:#x}/{protection:x}: {answer:?} on {name}");
                if refused {
                    illegal += 1
                } else {
                    legal += 1
                }
                if kind & 0x4000 != 0 && !refused {
                    assert_eq!(answer, Err(NtStatus::CONFLICTING_ADDRESSES), "{kind:#x} on {name}");
                }
                if answer.is_ok() && kind & 0x2000 != 0 {
                    assert_eq!(world.quietly("free 8000 @50000000 0"), "ok");
                }
            }
        }
        assert!(legal > 200 && illegal > 1000, "both happen");
    }
}

/// SPEC A2 to A6 and A52 A53: the same for the extended call, which knows placeholders where there are any.
fn legal_extended_type(edition: &Edition, kind: u32, protection: u32) -> bool {
    const COMMIT: u32 = 0x1000;
    const RESERVE: u32 = 0x2000;
    const REPLACE_PLACEHOLDER: u32 = 0x4000;
    const RESERVE_PLACEHOLDER: u32 = 0x4_0000;
    const TOP_DOWN: u32 = 0x10_0000;
    const WRITE_WATCH: u32 = 0x20_0000;
    let rest = kind & !(RESERVE_PLACEHOLDER | REPLACE_PLACEHOLDER);
    let may_go_along = match kind & (RESERVE_PLACEHOLDER | REPLACE_PLACEHOLDER) {
        0 => return legal_type(edition, kind),
        RESERVE_PLACEHOLDER if protection == 0x01 => TOP_DOWN,
        REPLACE_PLACEHOLDER => TOP_DOWN | COMMIT | WRITE_WATCH,
        _ => return false,
    };
    let known = edition.version.build >= 17134;
    known && rest & RESERVE != 0 && rest & !(RESERVE | may_go_along) == 0
}

fn extended(world: &mut World, kind: u32, protection: u32) -> Result<(), NtStatus> {
    let basic = AllocateRequest {
        base: Some(VirtAddr::new(BASE)),
        size: 0x1000,
        zero_bits: 0,
        kind: AllocationType::from_bits_retain(kind),
        protection,
    };
    let request = ExtendedRequest { form: AllocateForm::Extended, ..basic.into() };
    world.mm.allocate_extended(world.process, request).map(|made| made.stale.nothing_cached())
}

/// SPEC A7 A8 A9: every word of eleven bits, reserved, committed and reset; a word of higher bits is none.
#[test]
fn every_protection_word_is_judged_alike_by_reserve_commit_and_reset() {
    for edition in editions() {
        let mut world = World::new(edition.name);
        assert_eq!(world.step("reserve 64K at @50000000"), "ok");
        for word in (0..0x800).chain([0x804, 0x1004, 0x1_0004, 0x8000_0004]) {
            let legal = legal_protection(word) && word & 0x88 == 0;
            let wanted = if legal { Ok(()) } else { Err(NtStatus::INVALID_PAGE_PROTECTION) };
            assert_eq!(allocate(&mut world, 0x1000, word), wanted, "commit {word:#x} on {}", edition.name);
            assert_eq!(allocate(&mut world, 0x8_0000, word), wanted, "reset {word:#x} on {}", edition.name);
            let reserved = allocate(&mut world, 0x2000, word);
            let wanted = wanted.and(Err(NtStatus::CONFLICTING_ADDRESSES));
            assert_eq!(reserved, wanted, "reserve {word:#x} on {}", edition.name);
        }
    }
}

/// SPEC A7 A8 C1 C7 C11 D7: every word of eleven bits on a committed page: what is legal is reported back as it was set.
#[test]
fn every_protection_word_is_judged_and_kept_by_protect() {
    for edition in editions() {
        let mut world = World::new(edition.name);
        assert_eq!(world.step("alloc 1p rw+nc at @50000000"), "ok");
        assert_eq!(world.step("write 0 5"), "ok");
        for word in 0..0x800 {
            let at = VirtAddr::new(BASE);
            let changed = world.mm.protect(world.process, at, 0x1000, word);
            let wanted = match (legal_protection(word), word & 0x88 != 0) {
                (false, _) => Err(NtStatus::INVALID_PAGE_PROTECTION),
                (true, true) => Err(NtStatus::invalid_parameter(4)),
                (true, false) => Ok(()),
            };
            let answer = changed.map(|changed| changed.stale.nothing_cached());
            assert_eq!(answer, wanted, "{word:#x} on {}", edition.name);
            if wanted.is_err() {
                continue;
            }
            let told = world.mm.query(world.process, at).expect("a user address").protection;
            let always_uncached = edition.version.major == 10 && word & 0x700 == 0 && word != 0x01;
            let kept = if always_uncached { word | 0x200 } else { word };
            assert_eq!(told.map(|protection| protection.raw()), Some(kept), "on {}", edition.name);
        }
        world.mm.audit().expect("agreement");
    }
}

/// SPEC A24 A25 A26: every count of zero bits, and masks of every width: the highest place below the limit.
#[test]
fn every_zero_bits_value_bounds_the_place() {
    use vadose_facts::ntdef::Bitness;
    for edition in editions() {
        let wide = edition.bitness == Bitness::Bits64;
        for zero_bits in (0..64).chain((5..64).map(|bit| (1 << bit) | 1)) {
            let mut world = World::new(edition.name);
            let answer = world.quietly(&format!("reserve 64K top zero {zero_bits:x}"));
            let limit: u64 = match zero_bits {
                0 => u64::MAX,
                1..=20 => 0xffff_ffff >> zero_bits,
                21 => 0,
                32.. if wide => u64::MAX >> u64::leading_zeros(zero_bits),
                _ => {
                    assert_eq!(answer, show(bad_parameter(edition, 3)), "{zero_bits:#x} on {}", edition.name);
                    continue;
                }
            };
            let free = free_below(edition, limit);
            match free {
                Some(place) => {
                    assert_eq!((answer.as_str(), world.origin.raw()), ("ok", place), "{zero_bits:#x}")
                }
                None => assert_eq!(answer, "no-memory", "{zero_bits:#x} on {}", edition.name),
            }
        }
    }
}

/// The highest free 64 KiB that end at or below a limit, in an empty process.
fn free_below(edition: &Edition, limit: u64) -> Option<u64> {
    let end = (edition.max_user_address.raw() - 0xffff).min(limit.saturating_add(1));
    let place = end.checked_sub(0x1_0000)? / 0x1_0000 * 0x1_0000;
    let place = if place == 0x7ffe_0000 { 0x7ffd_0000 } else { place };
    (place >= 0x1_0000).then_some(place)
}

fn show(status: NtStatus) -> String {
    status.to_string().trim_start_matches("STATUS_").to_lowercase().replace('_', "-")
}
