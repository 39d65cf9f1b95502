//! Two instances of one program: what of it is in RAM once.

use crate::lab::catalogue::{Claim, Lab, Step, guest, plain};
use crate::lab::look::Scene;
use crate::lab::runner;

pub(crate) const LAB: Lab = Lab {
    name: "shared-dll",
    title: "two processes map one copy of a DLL's code and of a program's data, until one stores",
    about: "Two instances of a program run at once, each in its own address space. The lab looks at a function of \
            kernel32.dll and at a variable of the program, in both of them.",
    guest: guest!("lab_shared_dll"),
    instances: 2,
    machine: plain,
    steps: STEPS,
    run: runner::run,
};

fn same_frame(scene: &Scene, one: &str, other: &str) -> bool {
    let (one, other) = (scene.now(one), scene.now(other));
    one.is_valid() && other.is_valid() && one.frame_number() == other.frame_number()
}

const STEPS: &[Step] = &[
    Step {
        mark: "first-loaded",
        did: "the first instance looks a function of kernel32 up, and reads its variable",
        claims: &[
            Claim {
                words: "the function's page is in a frame of the section of kernel32.dll",
                holds: |scene| {
                    let code = scene.now("first-code");
                    code.is_valid() && code.prototype().is_some() && code.has("executable")
                },
            },
            Claim {
                words: "the variable's page is mapped once, copy-on-write",
                holds: |scene| {
                    scene.now("first-data").shares() == 1 && scene.now("first-data").has("copy-on-write")
                },
            },
        ],
        why: "Windows keeps one control area for an image file, however many processes map it. The first one to touch a \
              page has it read into a frame, and the prototype entry remembers the frame.",
    },
    Step {
        mark: "second-loaded",
        did: "the second instance does the same",
        claims: &[
            Claim {
                words: "the function is at the same address in both processes",
                holds: |scene| {
                    scene.now("first-code").region.address == scene.now("second-code").region.address
                },
            },
            Claim {
                words: "it is the same frame, mapped twice",
                holds: |scene| {
                    same_frame(scene, "first-code", "second-code") && scene.now("second-code").shares() == 2
                },
            },
            Claim {
                words: "the variable's page, too, is one frame, mapped twice",
                holds: |scene| {
                    same_frame(scene, "first-data", "second-data") && scene.now("second-data").shares() == 2
                },
            },
        ],
        why: "The two walks go through different page tables and end in one frame. No byte of the files was read again: \
              the second process only got entries. A DLL lies at one address in all processes of a boot, so that its \
              pages are the same bytes in all of them.",
    },
    Step {
        mark: "second-written",
        did: "the second instance stores 8 to its variable",
        claims: &[
            Claim {
                words: "its variable is in a frame of its own now, which no section knows",
                holds: |scene| {
                    let now = scene.now("second-data");
                    now.prototype().is_none() && now.frame_number() != scene.now("first-data").frame_number()
                },
            },
            Claim {
                words: "the code is still the shared frame",
                holds: |scene| same_frame(scene, "first-code", "second-code"),
            },
        ],
        why: "Only the page that was stored to was copied, and only for the process that stored. The rest of the program and \
              of the DLL stays shared.",
    },
    Step {
        mark: "first-after",
        did: "the first instance looks again: its variable is still 7",
        claims: &[
            Claim {
                words: "its variable is in the frame that it was in, mapped once now",
                holds: |scene| {
                    let (now, before) = (scene.now("first-data"), scene.before("first-data"));
                    now.frame_number() == before.frame_number() && now.shares() == 1
                },
            },
            Claim {
                words: "the two variables differ",
                holds: |scene| {
                    let value = |name: &str| scene.now(name).value.map(|value| value & 0xff);
                    (value("first-data"), value("second-data")) == (Some(7), Some(8))
                },
            },
        ],
        why: "The second process let go of the shared frame when it got its own. To the first one nothing has happened: that \
              is what makes sharing safe.",
    },
];
