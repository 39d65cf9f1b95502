//! Where things are, boot after boot.

use crate::lab::boots;
use crate::lab::catalogue::{Lab, guest, plain};

pub(crate) const LAB: Lab = Lab {
    name: "aslr",
    title: "each boot puts programs and DLLs elsewhere, each process its stack and heap",
    about: "Four machines are booted with four seeds, and a program runs twice at once on each. It tells where it is itself, where \
            kernel32.dll is, and where its stack, its heap and a block from VirtualAlloc are. Then one boot is repeated, and two are \
            made without randomisation.",
    guest: guest!("lab_aslr"),
    instances: 2,
    machine: plain,
    steps: &[],
    run: boots::run,
};
