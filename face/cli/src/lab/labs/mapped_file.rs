//! A file as memory.

use crate::lab::catalogue::{Claim, Lab, Step, guest, plain};
use crate::lab::runner;
use vadose_machine::inspect::PagePlace;

pub(crate) const LAB: Lab = Lab {
    name: "mapped-file",
    title: "a file's page comes in with a read, and goes back with a flush",
    about: "A view of a file is the file: its bytes are read when they are touched, and what is stored to them is \
            written back to it, never to a page file.",
    guest: guest!("lab_mapped_file"),
    instances: 1,
    machine: plain,
    steps: STEPS,
    run: runner::run,
};

const STEPS: &[Step] = &[
    Step {
        mark: "mapped",
        did: "CreateFileMapping and MapViewOfFile of a file of 4096 bytes",
        claims: &[
            Claim {
                words: "the page is in the file, and its prototype entry says so",
                holds: |scene| {
                    scene.now("view").place() == PagePlace::File && scene.now("view").prototype().is_some()
                },
            },
            Claim {
                words: "nothing is charged: the file itself is where the page can always go",
                holds: |scene| scene.now("view").charged() == 0,
            },
        ],
        why: "The prototype entry names a subsection, which knows the file and the place in it. No byte was read yet.",
    },
    Step {
        mark: "read",
        did: "the program reads a byte",
        claims: &[Claim {
            words: "the page is in a frame, and its entry is not dirty",
            holds: |scene| scene.now("view").is_valid() && !scene.now("view").has("dirty"),
        }],
        why: "A hard fault: Windows read the page from the file into a frame of the section, and mapped it. Clean, it can be \
              dropped at any time without a write.",
    },
    Step {
        mark: "written",
        did: "the program stores a byte",
        claims: &[
            Claim {
                words: "the entry is dirty: the processor says that frame and file differ",
                holds: |scene| scene.now("view").has("dirty"),
            },
            Claim {
                words: "the frame is the same, still the section's",
                holds: |scene| {
                    let (now, before) = (scene.now("view"), scene.before("view"));
                    now.frame_number() == before.frame_number() && now.prototype().is_some()
                },
            },
        ],
        why: "This is no copy: who else maps the file, or reads it, sees the new byte at once. The file on disk is old until \
              somebody writes the page.",
    },
    Step {
        mark: "flushed",
        did: "FlushViewOfFile",
        claims: &[Claim {
            words: "the entry is not dirty any more, and the page is still there",
            holds: |scene| scene.now("view").is_valid() && !scene.now("view").has("dirty"),
        }],
        why: "The page was written to the file, and its Dirty bit cleared first, so that a store during the write would be \
              noticed. A run that is killed now leaves the new byte in the file.",
    },
    Step {
        mark: "unmapped",
        did: "UnmapViewOfFile",
        claims: &[Claim {
            words: "the frame is on standby: clean, and found again by the next view or read of the file",
            holds: |scene| scene.now("view").old_location() == "standby",
        }],
        why: "Standby pages are both free memory and a cache of files. The frame is used for something else only when the \
              frames that hold nothing have run out.",
    },
];
