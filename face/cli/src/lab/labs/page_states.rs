//! A page from reserved to released.

use crate::lab::catalogue::{Claim, Lab, Step, guest, plain};
use crate::lab::runner;
use vadose_machine::inspect::PagePlace;

pub(crate) const LAB: Lab = Lab {
    name: "page-states",
    title: "a page is reserved, committed, touched, decommitted, released",
    about: "A page of an address space is free, reserved or committed. Reserving takes addresses, committing takes a \
            promise of memory, and only a touch takes memory.",
    guest: guest!("lab_page_states"),
    instances: 1,
    machine: plain,
    steps: STEPS,
    run: runner::run,
};

const STEPS: &[Step] = &[
    Step {
        mark: "reserved",
        did: "VirtualAlloc(NULL, 64 KiB, MEM_RESERVE, PAGE_READWRITE)",
        claims: &[
            Claim {
                words: "there is a range, a VAD, of 16 pages, and nothing of it is charged",
                holds: |scene| {
                    let page = scene.now("page");
                    page.region.vad.as_ref().is_some_and(|vad| vad.pages == 16) && page.charged() == 0
                },
            },
            Claim {
                words: "the page has no entry and no frame",
                holds: |scene| scene.now("page").raw() == 0 && scene.now("page").frame.is_none(),
            },
        ],
        why: "A reservation is a record that these addresses are taken, so that nothing else is put there. It costs \
              no memory and promises none: a touch would be an access violation.",
    },
    Step {
        mark: "committed",
        did: "VirtualAlloc(page, 4 KiB, MEM_COMMIT, PAGE_READWRITE)",
        claims: &[
            Claim {
                words: "one page is charged against the commit limit",
                holds: |scene| scene.now("page").charged() == scene.before("page").charged() + 1,
            },
            Claim {
                words: "the entry is 80: not valid, demand zero, and the protection in bits 5 to 9",
                holds: |scene| scene.now("page").raw() == 0x80 && !scene.now("page").is_valid(),
            },
            Claim { words: "there is still no frame", holds: |scene| scene.now("page").frame.is_none() },
        ],
        why: "Windows has promised that RAM or a page file will hold the page, and counts the promise now, so that a \
              touch later cannot fail for want of memory. Which frame it will be is left open.",
    },
    Step {
        mark: "touched",
        did: "the program stores a byte to the page",
        claims: &[
            Claim {
                words: "the entry is valid, writable and dirty",
                holds: |scene| scene.now("page").has("writable") && scene.now("page").has("dirty"),
            },
            Claim {
                words: "the page has a frame, mapped by this one entry",
                holds: |scene| {
                    scene.now("page").shares() == 1 && scene.now("page").place() == PagePlace::WorkingSet
                },
            },
            Claim {
                words: "nothing more is charged",
                holds: |scene| scene.now("page").charged() == scene.before("page").charged(),
            },
        ],
        why: "The processor found no valid entry and raised a page fault. Windows took a frame of zeros, wrote the entry, \
              and let the instruction run again: the program never noticed.",
    },
    Step {
        mark: "decommitted",
        did: "VirtualFree(page, 4 KiB, MEM_DECOMMIT)",
        claims: &[
            Claim {
                words: "the charge is given back",
                holds: |scene| scene.now("page").charged() + 1 == scene.before("page").charged(),
            },
            Claim {
                words: "the entry is zero again, which in this range means reserved",
                holds: |scene| scene.now("page").raw() == 0 && scene.now("page").state() == "reserve",
            },
            Claim {
                words: "the frame is on the free list, its content is lost",
                holds: |scene| scene.now("page").old_location() == "free",
            },
        ],
        why: "Decommitting gives memory and promise back and keeps the addresses. What an entry of zero means, the range \
              decides: in one that was reserved and committed in one call it would mean committed, so that a page that is \
              decommitted there gets an entry of 200.",
    },
    Step {
        mark: "released",
        did: "VirtualFree(page, 0, MEM_RELEASE)",
        claims: &[
            Claim {
                words: "the range is gone, and the addresses are free",
                holds: |scene| {
                    scene.now("page").region.vad.is_none() && scene.now("page").region.state == "free"
                },
            },
            Claim {
                words: "the entry is zero again, or its page table is gone with it",
                holds: |scene| scene.now("page").raw() == 0,
            },
        ],
        why: "Releasing takes the whole reservation away; that is why its size must be 0. Page tables that have nothing \
              left to say go back to the machine as well.",
    },
];
