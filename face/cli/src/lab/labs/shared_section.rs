//! Two views of one section.

use crate::lab::catalogue::{Claim, Lab, Step, guest, plain};
use crate::lab::look::Scene;
use crate::lab::runner;
use vadose_machine::inspect::PagePlace;

pub(crate) const LAB: Lab = Lab {
    name: "shared-section",
    title: "two views of a section are one page",
    about: "A section over the page file is memory that has no address until it is mapped, and may have several. Its \
            prototype entries say where its pages are; every view asks them.",
    guest: guest!("lab_shared_section"),
    instances: 1,
    machine: plain,
    steps: STEPS,
    run: runner::run,
};

fn share_one_frame(scene: &Scene) -> bool {
    let (first, second) = (scene.now("first"), scene.now("second"));
    first.is_valid() && second.is_valid() && first.frame_number() == second.frame_number()
}

const STEPS: &[Step] = &[
    Step {
        mark: "mapped",
        did: "CreateFileMapping(INVALID_HANDLE_VALUE, PAGE_READWRITE, 64 KiB), and MapViewOfFile twice: first to write, \
              second to read",
        claims: &[
            Claim {
                words: "the two views lie at different addresses, with different protections",
                holds: |scene| {
                    let (first, second) = (scene.now("first"), scene.now("second"));
                    first.region.base != second.region.base
                        && first.state() == "commit READWRITE"
                        && second.state() == "commit READONLY"
                },
            },
            Claim {
                words: "both have the same prototype entry, which says demand zero",
                holds: |scene| {
                    let entry = |name| scene.now(name).prototype().map(|entry| (entry.at, entry.raw));
                    entry("first").is_some()
                        && entry("first") == entry("second")
                        && scene.now("first").place() == PagePlace::DemandZero
                },
            },
        ],
        why: "The section was charged for all of its pages when it was made. Nothing was touched, so that neither view has \
              an entry and the section has no frame.",
    },
    Step {
        mark: "written",
        did: "the program stores a byte through the first view",
        claims: &[
            Claim {
                words: "the first view's entry and the prototype entry name one frame",
                holds: |scene| {
                    let first = scene.now("first");
                    let section = first.prototype().and_then(|entry| entry.frame).map(|frame| frame.0);
                    first.is_valid() && section == first.frame_number()
                },
            },
            Claim {
                words: "the second view has no entry yet, but its prototype entry is valid",
                holds: |scene| {
                    let second = scene.now("second");
                    !second.is_valid() && second.prototype().is_some_and(|entry| entry.valid)
                },
            },
        ],
        why: "The fault went through the view's range to the prototype entry, gave that a frame of zeros, and then wrote the \
              view's own entry.",
    },
    Step {
        mark: "read",
        did: "the program reads the byte through the second view",
        claims: &[
            Claim { words: "both entries name the same frame", holds: share_one_frame },
            Claim {
                words: "the frame is mapped twice: its share count is 2",
                holds: |scene| scene.now("first").shares() == 2,
            },
            Claim {
                words: "the first entry allows stores, the second does not",
                holds: |scene| scene.now("first").has("writable") && !scene.now("second").has("writable"),
            },
        ],
        why: "There is one page and it is seen at two addresses: nothing is copied, so that nothing can differ. What each \
              view may do is its own entry's affair.",
    },
    Step {
        mark: "unmapped",
        did: "UnmapViewOfFile, both views",
        claims: &[
            Claim {
                words: "both address ranges are free",
                holds: |scene| ["first", "second"].iter().all(|name| scene.now(name).region.state == "free"),
            },
            Claim {
                words: "the frame is on the modified list: nobody maps it, and its content is nowhere else",
                holds: |scene| scene.now("first").old_location() == "modified",
            },
        ],
        why: "The section's handle keeps the page. With a page file it would be written there and its frame used for \
              something else; a section's memory goes with its last handle and view, not with its views.",
    },
    Step {
        mark: "mapped-again",
        did: "MapViewOfFile once more, and a read, which finds the byte",
        claims: &[Claim {
            words: "the new view shows the frame that the old ones showed",
            holds: |scene| {
                let old = scene.now("first").old_frame.as_ref().map(|frame| frame.frame.0);
                old.is_some() && scene.now("third").frame_number() == old
            },
        }],
        why: "The prototype entry said in which frame the page waits. Taking it back is a soft fault: no read, no copy.",
    },
];
