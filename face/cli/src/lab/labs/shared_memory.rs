//! Two instances that count: in a plain global, and in one that they share.

use crate::lab::catalogue::{Claim, Lab, Step, guest, plain};
use crate::lab::runner;

pub(crate) const LAB: Lab = Lab {
    name: "shared-memory",
    title: "a plain global is each process's own; one in a shared section is one for both",
    about: "Two instances of a program count to 1000, taking turns. Each counts in two globals: `plain` in the program's \
            data, and `common` in a section of the program that is marked shared (IMAGE_SCN_MEM_SHARED).",
    guest: guest!("lab_shared_memory"),
    instances: 2,
    machine: plain,
    steps: STEPS,
    run: runner::run,
};

const STEPS: &[Step] = &[
    Step {
        mark: "first-started",
        did: "the first instance starts, and has read both globals",
        claims: &[
            Claim {
                words: "plain is copy-on-write, common is not: a store goes to the frame that all processes map",
                holds: |scene| {
                    scene.now("first-plain").has("copy-on-write")
                        && !scene.now("first-common").has("copy-on-write")
                },
            },
            Claim {
                words: "plain's page is WRITECOPY, common's is READWRITE",
                holds: |scene| {
                    scene.now("first-plain").state() == "commit WRITECOPY"
                        && scene.now("first-common").state() == "commit READWRITE"
                },
            },
        ],
        why: "The section table of the program says which is which. Both pages come from the file at first.",
    },
    Step {
        mark: "second-started",
        did: "the second instance starts",
        claims: &[Claim {
            words: "both globals are at the same addresses in both processes, and in the same frames",
            holds: |scene| {
                let same = |one: &str, other: &str| {
                    let (one, other) = (scene.now(one), scene.now(other));
                    one.region.address == other.region.address && one.frame_number() == other.frame_number()
                };
                same("first-plain", "second-plain") && same("first-common", "second-common")
            },
        }],
        why: "Nobody has stored yet, so that even the plain global is in RAM once. An address says nothing about whether memory \
              is shared: only the page tables do.",
    },
    Step {
        mark: "first-counted",
        did: "both count, with plain++ and InterlockedIncrement(&common), and give up the processor every 50 turns; the first \
              one looks",
        claims: &[
            Claim {
                words: "plain is 1000, in a frame of the first process alone",
                holds: |scene| {
                    let plain = scene.now("first-plain");
                    plain.value == Some(1000) && plain.prototype().is_none() && plain.shares() == 1
                },
            },
            Claim {
                words: "common is 2000, in a frame that both map",
                holds: |scene| {
                    let common = scene.now("first-common");
                    common.value == Some(2000) && common.shares() == 2
                },
            },
        ],
        why: "The first store to plain gave each process a copy of its own: they count side by side and never meet. Every store to \
              common is seen by the other at once, and as the increments are interlocked none is lost.",
    },
    Step {
        mark: "second-counted",
        did: "the second one looks",
        claims: &[
            Claim {
                words: "its plain is 1000 as well, in another frame",
                holds: |scene| {
                    let (one, other) = (scene.now("first-plain"), scene.now("second-plain"));
                    other.value == Some(1000) && one.frame_number() != other.frame_number()
                },
            },
            Claim {
                words: "its common is the very frame of the first one's",
                holds: |scene| {
                    let (one, other) = (scene.now("first-common"), scene.now("second-common"));
                    other.value == Some(2000) && one.frame_number() == other.frame_number()
                },
            },
        ],
        why: "One program, two processes: the same address is two variables in one page and one variable in the other. What decides \
              is which frame the page-table entry names.",
    },
];
