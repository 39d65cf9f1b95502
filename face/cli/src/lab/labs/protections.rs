//! A page through its protections.

use crate::lab::catalogue::{Claim, Lab, Step, guest, plain};
use crate::lab::look::Scene;
use crate::lab::runner;
use vadose_machine::inspect::PagePlace;

pub(crate) const LAB: Lab = Lab {
    name: "protections",
    title: "what a protection is in the page-table entry, and what becomes of a store that it refuses",
    about: "A protection is kept three times over: the VAD remembers the one that the allocation was made with, the \
            entry has what the processor can check, and the frame's record keeps the exact one.",
    guest: guest!("lab_protections"),
    instances: 1,
    machine: plain,
    steps: STEPS,
    run: runner::run,
};

fn same_frame(scene: &Scene) -> bool {
    let (now, before) = (scene.now("page"), scene.before("page"));
    now.frame_number().is_some() && now.frame_number() == before.frame_number()
}

const SAME_FRAME: Claim = Claim { words: "the frame is the same as before", holds: same_frame };

const STEPS: &[Step] = &[
    Step {
        mark: "read-write",
        did: "VirtualAlloc(NULL, 4 KiB, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE), and a store",
        claims: &[Claim {
            words: "the entry lets the program read and write, and not execute",
            holds: |scene| {
                let page = scene.now("page");
                page.has("user") && page.has("writable") && page.has("no-execute")
            },
        }],
        why: "Bit 1 of the entry allows stores, bit 2 allows the program at all, bit 63 forbids execution. The processor \
              checks them on every access without asking Windows.",
    },
    Step {
        mark: "read-only",
        did: "VirtualProtect(page, 4 KiB, PAGE_READONLY)",
        claims: &[
            Claim {
                words: "the write bit of the entry is clear",
                holds: |scene| scene.now("page").is_valid() && !scene.now("page").has("writable"),
            },
            SAME_FRAME,
            Claim {
                words: "the VAD still says READWRITE: that is what VirtualQuery calls AllocationProtect",
                holds: |scene| {
                    let page = &scene.now("page").region;
                    page.allocation_protection.as_deref() == Some("READWRITE")
                        && page.protection == "READONLY"
                },
            },
        ],
        why: "Only the entry changed, and the processor had to forget what it remembered of the old one. Content and \
              frame stay where they are.",
    },
    Step {
        mark: "repaired",
        did: "a store: an access violation, which the program's handler answers with VirtualProtect(PAGE_READWRITE); the \
              store is tried again",
        claims: &[
            Claim {
                words: "the entry is writable again, and the store is done",
                holds: |scene| scene.now("page").has("writable") && scene.now("page").has("dirty"),
            },
            SAME_FRAME,
        ],
        why: "The processor refused the store before it changed anything, so that Windows could hand the exact byte to the \
              program's handler as STATUS_ACCESS_VIOLATION. A handler that repairs the page and continues has the same \
              instruction run again.",
    },
    Step {
        mark: "execute-read",
        did: "VirtualProtect(page, 4 KiB, PAGE_EXECUTE_READ)",
        claims: &[Claim {
            words: "the no-execute bit is clear, and so is the write bit",
            holds: |scene| scene.now("page").has("executable") && !scene.now("page").has("writable"),
        }],
        why: "Execution is allowed by clearing bit 63. A page that was written and then becomes executable is how a \
              just-in-time compiler works, and how much malware does: an eye on these two bits sees both.",
    },
    Step {
        mark: "no-access",
        did: "VirtualProtect(page, 4 KiB, PAGE_NOACCESS)",
        claims: &[
            Claim {
                words: "the entry is not valid any more, though the page is committed",
                holds: |scene| !scene.now("page").is_valid() && scene.now("page").region.state == "commit",
            },
            Claim {
                words: "the content is still in its frame",
                holds: |scene| same_frame(scene) && scene.now("page").place() == PagePlace::Frame,
            },
        ],
        why: "The hardware has no bit that forbids reading, so the entry is made invalid, and Windows tells the \
              protection by its software bits. The content stays: with another protection it can be read again, which \
              the program does before it ends.",
    },
];
