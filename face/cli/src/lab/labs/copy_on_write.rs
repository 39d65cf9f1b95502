//! A program's variable: shared until it is stored to.

use crate::lab::catalogue::{Claim, Lab, Step, guest, plain};
use crate::lab::runner;
use vadose_machine::inspect::PagePlace;

pub(crate) const LAB: Lab = Lab {
    name: "copy-on-write",
    title: "a variable's page is the file's until the program stores to it",
    about: "Pages of a program's data come from its file and are shared by everyone who runs it, until one of them \
            stores: that one gets a copy of its own.",
    guest: guest!("lab_copy_on_write"),
    instances: 1,
    machine: plain,
    steps: STEPS,
    run: runner::run,
};

const STEPS: &[Step] = &[
    Step {
        mark: "loaded",
        did: "the program has started, and has not touched the variable",
        claims: &[
            Claim {
                words: "the page is in the file: its entry is zero, and the section's prototype entry says where",
                holds: |scene| {
                    let page = scene.now("variable");
                    page.raw() == 0 && page.prototype().is_some() && page.place() == PagePlace::File
                },
            },
            Claim {
                words: "its protection is WRITECOPY",
                holds: |scene| scene.now("variable").state() == "commit WRITECOPY",
            },
        ],
        why: "Mapping an image reads none of its pages. A prototype entry stands for each page, once for all processes; \
              the process's own entry stays empty until the first touch.",
    },
    Step {
        mark: "read",
        did: "the program reads the variable",
        claims: &[
            Claim {
                words: "the entry is valid, read-only and marked copy-on-write",
                holds: |scene| {
                    scene.now("variable").has("copy-on-write") && !scene.now("variable").has("writable")
                },
            },
            Claim {
                words: "the prototype entry names the same frame: the page is the section's",
                holds: |scene| {
                    let page = scene.now("variable");
                    let section = page.prototype().and_then(|entry| entry.frame).map(|frame| frame.0);
                    section.is_some() && section == page.frame_number()
                },
            },
        ],
        why: "The page was read from the file into a frame that belongs to the section. Another process that runs the \
              program would map this frame as well, without a read.",
    },
    Step {
        mark: "written",
        did: "the program stores to the variable",
        claims: &[
            Claim {
                words: "the page is in another frame, which no section knows",
                holds: |scene| {
                    let (now, before) = (scene.now("variable"), scene.before("variable"));
                    now.prototype().is_none() && now.frame_number() != before.frame_number()
                },
            },
            Claim {
                words: "the entry is writable and dirty, and no longer copy-on-write",
                holds: |scene| {
                    let page = scene.now("variable");
                    page.has("writable") && page.has("dirty") && !page.has("copy-on-write")
                },
            },
            Claim {
                words: "VirtualQuery says READWRITE now",
                holds: |scene| scene.now("variable").state() == "commit READWRITE",
            },
            Claim {
                words: "the section's frame is on standby, clean, for whoever wants it next",
                holds: |scene| scene.now("variable").old_location() == "standby",
            },
        ],
        why: "The store faulted on a read-only entry with the copy-on-write mark, so Windows copied the page to a frame of \
              the process's own. The charge for it was taken when the image was mapped: a store cannot fail for want of \
              memory.",
    },
];
