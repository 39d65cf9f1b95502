//! Every software form, encoded and read back in each family, and every low word decoded to exactly one state.

use super::*;
use vadose_facts::ntdef::{Protection, editions};

fn formats() -> Vec<PteFormat> {
    editions()
        .iter()
        .map(|e| PteFormat { layout: e.pte_format, tracking: e.write_tracking, pool: e.system.pool })
        .collect()
}

fn read_write() -> PteProtection {
    Protection::parse(0x04).expect("PAGE_READWRITE").to_pte()
}

/// SPEC I18 I19: the values that every kernel since NT 5 writes.
#[test]
fn demand_zero_and_decommitted_have_their_known_values() {
    for format in formats() {
        assert_eq!(format.demand_zero(read_write()), 0x80);
        assert_eq!(format.demand_zero(PteProtection::NO_ACCESS), 0x300);
        assert_eq!(format.decommitted(), 0x200);
        assert_eq!(format.decode(0x200), PteState::Decommitted);
        assert_eq!(format.decode(0x80), PteState::DemandZero { protection: read_write() });
        assert_eq!(format.decode(0), PteState::Zero);
    }
}

/// SPEC I8 I9 I10 I11 I12 I13 I14 I16: each form survives a round trip in each family.
#[test]
fn every_form_reads_back_as_it_was_written() {
    for format in formats() {
        for bits in 1..0x20 {
            let protection = PteProtection::from_bits(bits);
            let pfn = Pfn::new(0x1_2345);
            let raw = format.transition(pfn, protection);
            assert_eq!(raw & 0xc01, 0x800, "the one-line test for transition");
            assert_eq!(format.decode(raw), PteState::Transition { pfn, protection });
            assert_eq!(
                format.decode(format.page_file(3, 0x5_4321, protection)),
                PteState::PageFile { file: 3, slot: 0x5_4321, protection }
            );
            assert_eq!(
                format.decode(format.prototype_through_vad(protection)),
                PteState::Prototype(PrototypeLink::ThroughVad { protection })
            );
        }
    }
}

/// SPEC I10 I11: where the page-file number sits tells the families apart.
#[test]
fn the_page_file_number_moved_in_1803() {
    let at = |layout| PteFormat { layout, tracking: WriteTracking::Software, pool: VirtAddr::new(0) };
    let none = PteProtection::from_bits(0);
    assert_eq!(at(SoftwarePteFormat::Wide).page_file(2, 1, none), 1 << 32 | 2 << 1);
    assert_eq!(at(SoftwarePteFormat::Wide1803).page_file(2, 1, none), 1 << 32 | 2 << 12 | 1 << 4);
    assert_eq!(at(SoftwarePteFormat::X86).page_file(2, 1, none), 1 << 12 | 2 << 1);
}

/// SPEC I15 I16: bits 16 to 63 of an entry with bit 10 are the address of a prototype entry, sign-extended, but for the
/// upper half of all ones, which means the VAD.
#[test]
fn a_prototype_pointer_names_its_entry() {
    for format in formats().into_iter().filter(|format| format.pool.raw() >> 32 != 0) {
        for address in [0xffff_a801_2345_6788, 0x1234_5678, 0xffff_fffe_ffff_0008] {
            let link = PrototypeLink::At { address: VirtAddr::new(address) };
            assert_eq!(format.decode(address << 16 | PROTOTYPE), PteState::Prototype(link), "{address:#x}");
        }
        let through_vad = PrototypeLink::ThroughVad { protection: read_write() };
        assert_eq!(format.decode(0xffff_ffff << 32 | PROTOTYPE | 0x80), PteState::Prototype(through_vad));
    }
}

/// SPEC I17: a subsection's address survives in each family.
#[test]
fn a_prototype_entry_remembers_its_subsection() {
    for format in formats() {
        let address = VirtAddr::new(format.pool.raw() + 0x12_3450);
        let raw = format.subsection(address, read_write());
        assert_eq!(
            format.decode_prototype(raw),
            PrototypeState::Subsection { address, protection: read_write() },
            "{format:?}"
        );
        let pfn = Pfn::new(77);
        assert_eq!(format.decode_prototype(format.active_prototype(pfn)), PrototypeState::Active { pfn });
        assert_eq!(format.decode_prototype(0), PrototypeState::Absent);
    }
}

/// SPEC I7: valid wins over prototype, prototype over transition, transition over the page file.
#[test]
fn every_low_word_decodes_in_the_order_of_the_format() {
    for format in formats() {
        for low in 0..=0xffff_u64 {
            for high in [0, 1 << 16, 1 << 31, 1 << 32, 1 << 51] {
                let raw = if format.layout == SoftwarePteFormat::X86 {
                    (high | low) as u32 as u64
                } else {
                    high | low
                };
                let state = format.decode(raw);
                let want_valid = raw & 1 != 0;
                assert_eq!(matches!(state, PteState::Valid(_)), want_valid, "{raw:#x}");
                let want_prototype = !want_valid && raw & PROTOTYPE != 0;
                assert_eq!(matches!(state, PteState::Prototype(_)), want_prototype, "{raw:#x}");
                let want_transition = !want_valid && !want_prototype && raw & TRANSITION != 0;
                assert_eq!(matches!(state, PteState::Transition { .. }), want_transition, "{raw:#x}");
            }
        }
    }
}

/// SPEC I17: the pool ends where a 4-byte entry no longer reaches, so that every record in it can be named.
#[test]
fn every_record_of_the_pool_can_be_named() {
    for (format, edition) in formats().into_iter().zip(editions()) {
        let bytes = edition.system.pool_bytes.min(format.subsection_reach());
        let last = VirtAddr::new(format.pool.raw() + bytes - 64);
        let raw = format.subsection(last, read_write());
        let named = PrototypeState::Subsection { address: last, protection: read_write() };
        assert_eq!(format.decode_prototype(raw), named, "on {}", edition.name);
    }
}

/// SPEC A50 J28: a dropped page reads as a page of zeros, keeps that it was dropped when its protection changes, and no
/// other entry says so.
#[test]
fn a_dropped_page_is_a_page_of_zeros_that_tells_itself_apart() {
    for format in formats() {
        let (first, second) = (read_write(), Protection::parse(0x02).expect("PAGE_READONLY").to_pte());
        let lost = format.lost(first);
        assert_eq!(format.decode(lost), PteState::DemandZero { protection: first });
        assert!(format.is_lost(lost) && format.is_lost(format.with_protection(lost, second)));
        assert_eq!(
            format.decode(format.with_protection(lost, second)),
            PteState::DemandZero { protection: second }
        );
        for other in [0, format.demand_zero(first), format.decommitted(), format.page_file(1, 5, first)] {
            assert!(!format.is_lost(other), "{other:#x}");
        }
    }
}
