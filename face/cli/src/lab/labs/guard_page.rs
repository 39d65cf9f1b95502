//! Guard pages: a program's own, and a stack's.

use crate::lab::catalogue::{Claim, Lab, Step, guest, plain};
use crate::lab::runner;
use vadose_machine::inspect::PagePlace;

pub(crate) const LAB: Lab = Lab {
    name: "guard-page",
    title: "a guard page rings once; a stack grows by one",
    about: "PAGE_GUARD makes the first touch of a page an alarm. A program can set one, and every thread's stack has one \
            below its committed pages.",
    guest: guest!("lab_guard_page"),
    instances: 1,
    machine: plain,
    steps: STEPS,
    run: runner::run,
};

const STEPS: &[Step] = &[
    Step {
        mark: "guarded",
        did: "VirtualAlloc(NULL, 4 KiB, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE | PAGE_GUARD)",
        claims: &[
            Claim {
                words: "the page is committed with READWRITE|GUARD",
                holds: |scene| scene.now("page").state() == "commit READWRITE|GUARD",
            },
            Claim {
                words: "the entry is not valid, so that any touch comes to Windows",
                holds: |scene| !scene.now("page").is_valid(),
            },
        ],
        why: "The hardware knows no guard pages. Windows leaves the entry invalid and remembers the guard among the \
              protection bits.",
    },
    Step {
        mark: "touched",
        did: "two stores to the page",
        claims: &[
            Claim {
                words: "the guard is gone: the page is plain READWRITE",
                holds: |scene| scene.now("page").state() == "commit READWRITE",
            },
            Claim { words: "the entry is valid and dirty", holds: |scene| scene.now("page").has("dirty") },
        ],
        why: "The first store took the guard off and raised STATUS_GUARD_PAGE_VIOLATION; the program's handler had nothing \
              to do but go on. The second store met an ordinary page: the alarm rings once.",
    },
    Step {
        mark: "stack",
        did: "the program looks at its stack: its guard page, and the page below that",
        claims: &[
            Claim {
                words: "the guard page is committed with a guard",
                holds: |scene| scene.now("guard").state() == "commit READWRITE|GUARD",
            },
            Claim {
                words: "the page below it is only reserved",
                holds: |scene| scene.now("below").state() == "reserve",
            },
        ],
        why: "A stack reserves a megabyte and commits little of it. The guard page marks the end of what is committed.",
    },
    Step {
        mark: "stack-grown",
        did: "the program calls functions that need more stack, down into the guard page",
        claims: &[
            Claim {
                words: "the old guard page is an ordinary page of the stack now",
                holds: |scene| {
                    scene.now("guard").state() == "commit READWRITE"
                        && scene.now("guard").place() == PagePlace::WorkingSet
                },
            },
            Claim {
                words: "the page below it has become committed, and is the guard",
                holds: |scene| scene.now("below").state() == "commit READWRITE|GUARD",
            },
            Claim {
                words: "more of the stack is charged than before",
                holds: |scene| scene.now("below").charged() > scene.before("below").charged(),
            },
        ],
        why: "Windows knows the bounds of the thread's stack: a touch of the guard inside them is no exception. It commits \
              what lies below as the new guard, and the program goes on without hearing of it.",
    },
];
