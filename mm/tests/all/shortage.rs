//! Shortage that was ordered: a lower commit limit, and calls whose charges are refused.

use crate::door::World;
use vadose_facts::ntdef::{Aslr, LargeAddressAware, NtStatus, edition, editions};
use vadose_facts::x86::HeapRam;
use vadose_mm::{Charges, Mm, MmConfig};

const PAGE: u64 = 0x1000;

/// SPEC J11: the limit is what was asked for, or what RAM and page files can hold if that is less.
#[test]
fn the_commit_limit_can_be_lowered_and_not_raised() {
    let limit = |page_file_bytes, commit_limit_bytes| {
        let edition = edition("win10-x64").expect("known");
        let config = MmConfig { edition, page_file_bytes, commit_limit_bytes, seed: 1, aslr: Aslr::Off };
        Mm::new(config, HeapRam::new(4096)).expect("RAM enough").counters().commit.limit_pages()
    };
    let holds = limit(0, None);
    assert_eq!(limit(0, Some(100 * PAGE)), 100);
    assert_eq!(limit(1 << 30, Some(100 * PAGE)), 100);
    assert_eq!(limit(100 * PAGE, None), holds + 100);
    assert_eq!(limit(100 * PAGE, Some(1 << 40)), holds + 100);
    assert_eq!(limit(0, Some(0)), 0);
}

/// SPEC A37: at a limit far below RAM, a process is refused, or its commit; what it has, it keeps.
#[test]
fn a_low_limit_refuses_commits_while_there_is_ram() {
    for edition in editions() {
        let config = MmConfig {
            edition,
            page_file_bytes: 0,
            commit_limit_bytes: Some(64 * PAGE),
            seed: 1,
            aslr: Aslr::Off,
        };
        let mut mm = Mm::new(config, HeapRam::new(4096)).expect("RAM enough");
        let made = std::iter::from_fn(|| mm.create_process(LargeAddressAware::Yes).ok()).count();
        assert!(made > 3, "{made} on {}", edition.name);
        let refused = mm.create_process(LargeAddressAware::Yes);
        assert_eq!(refused, Err(NtStatus::COMMITMENT_LIMIT), "on {}", edition.name);
        mm.audit().expect("agreement");
    }
}

/// Every kind of call that needs a charge, with what makes it possible before it.
const CHARGED: [(&str, &str); 7] = [
    ("", "alloc 4p"),
    ("reserve 64K", "commit 0 1p"),
    ("reserve 64K", "commit 1p 3p r"),
    ("", "section 3p commit rw"),
    ("section 3p commit rw", "view wc"),
    ("section 64K reserve rw; view rw", "commit 0 2p"),
    ("section 3p commit rw; view r", "protect 0 1p wc"),
];

/// SPEC A37 J12: a refused charge fails the call as at the limit and changes nothing, as the door sees to; granted
/// again, the same call is done.
#[test]
fn calls_that_need_a_charge_fail_while_charges_are_refused() {
    for edition in editions() {
        for (before, call) in CHARGED {
            let mut world = World::new(edition.name);
            for step in before.split("; ").filter(|step| !step.is_empty()) {
                assert_eq!(world.step(step), "ok", "{step} on {}", edition.name);
            }
            world.mm.set_commit_charges(Charges::Refused);
            assert_eq!(world.step(call), "commitment-limit", "{call} on {}", edition.name);
            world.mm.set_commit_charges(Charges::Granted);
            let done = world.step(call);
            assert!(done == "ok" || done == "was-r", "{call} on {}: {done}", edition.name);
        }
    }
}

/// What needs no charge is done all the same.
#[test]
fn calls_that_need_no_charge_are_done_while_charges_are_refused() {
    for edition in editions() {
        let mut world = World::new(edition.name);
        assert_eq!(world.step("alloc 4p"), "ok");
        world.mm.set_commit_charges(Charges::Refused);
        for (step, answer) in [
            ("write 0 5", "ok"),
            ("protect 0 1p r", "was-rw"),
            ("commit 0 4p", "ok"),
            ("decommit 1p 1p", "ok"),
            ("read 0", "=5"),
            ("release 0 0", "ok"),
            ("reserve 64K", "ok"),
        ] {
            assert_eq!(world.step(step), answer, "{step} on {}", edition.name);
        }
    }
}
