//! Paging under pressure.

use crate::lab::catalogue::{Claim, Lab, Step, guest};
use crate::lab::runner;
use vadose_machine::MachineOptions;
use vadose_machine::inspect::PagePlace;
use vadose_machine::page_file::PageFileSpec;

pub(crate) const LAB: Lab = Lab {
    name: "paging",
    title: "with more data than RAM a page goes to the page file and comes back",
    about: "The machine has 8 MiB of RAM and a page file of 64 MiB. The program stores to one page, then to 16 MiB of \
            others, and then reads the first page again.",
    guest: guest!("lab_paging"),
    instances: 1,
    machine: small,
    steps: STEPS,
    run: runner::run,
};

fn small(options: &mut MachineOptions) {
    options.ram_bytes = 8 << 20;
    options.page_files = vec![page_file()];
}

fn page_file() -> PageFileSpec {
    PageFileSpec::new(64 << 20, 64 << 20, None).expect("a size of whole pages")
}

const STEPS: &[Step] = &[
    Step {
        mark: "written",
        did: "the program stores a byte to a page",
        claims: &[Claim {
            words: "the page is in a frame and dirty; no page file knows of it",
            holds: |scene| {
                scene.now("page").has("dirty") && scene.now("page").place() == PagePlace::WorkingSet
            },
        }],
        why: "The page is in the working set of the process: those pages that the processor finds without a fault.",
    },
    Step {
        mark: "pushed-out",
        did: "the program stores to 16 MiB of other pages, twice what there is of RAM",
        claims: &[
            Claim {
                words: "the page is in the page file: its entry has the file's number and the place in it",
                holds: |scene| {
                    scene.now("page").place() == PagePlace::PageFile && !scene.now("page").is_valid()
                },
            },
            Claim {
                words: "the charge is the same as before: it was for RAM or page file from the start",
                holds: |scene| scene.now("page").charged() == scene.before("page").charged(),
            },
        ],
        why: "When frames grew short, the oldest pages left the working set (the entry said transition then), were written to \
              the page file as they differed from any copy, and went to standby. Another page took the frame, and only then \
              did the entry get the page file's place.",
    },
    Step {
        mark: "back",
        did: "the program reads the byte, and finds what it stored",
        claims: &[
            Claim {
                words: "the page is in a frame again, and the processor finds it",
                holds: |scene| scene.now("page").place() == PagePlace::WorkingSet,
            },
            Claim {
                words: "its entry is not dirty, for frame and page file agree",
                holds: |scene| scene.now("page").is_valid() && !scene.now("page").has("dirty"),
            },
        ],
        why: "A hard fault: the program waited while the page was read, with its neighbours. The copy in the page file stays: \
              as long as nobody stores to the page, it can leave again without a write.",
    },
];
