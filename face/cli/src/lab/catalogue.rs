//! What a lab is made of, and which labs there are.

use super::labs;
use super::look::Scene;
use crate::failure::Failure;
use vadose_machine::MachineOptions;

/// One lab.
pub(super) struct Lab {
    /// As it is called on the command line.
    pub(super) name: &'static str,
    /// What it shows, in a line.
    pub(super) title: &'static str,
    /// What there is to know first.
    pub(super) about: &'static str,
    /// Its program: a file name, and the bytes.
    pub(super) guest: (&'static str, &'static [u8]),
    /// How many of it run at once; each is told its number, from 1 on.
    pub(super) instances: u32,
    /// What is different about its machine.
    pub(super) machine: fn(&mut MachineOptions),
    /// Where its program stops, in order.
    pub(super) steps: &'static [Step],
    /// Runs it; its text comes back.
    pub(super) run: fn(&Self) -> Result<String, Failure>,
}

/// A place where the program stops.
#[derive(Clone, Copy)]
pub(super) struct Step {
    /// The program's own word for it.
    pub(super) mark: &'static str,
    /// What the program did since the last one.
    pub(super) did: &'static str,
    /// What is to be seen now: each is looked up before it is told.
    pub(super) claims: &'static [Claim],
    /// Why that is so.
    pub(super) why: &'static str,
}

/// Something to be seen.
#[derive(Clone, Copy)]
pub(super) struct Claim {
    /// In words.
    pub(super) words: &'static str,
    /// Whether it is so.
    pub(super) holds: fn(&Scene) -> bool,
}

/// A program in the repository.
macro_rules! guest {
    ($name:literal) => {
        (
            concat!($name, ".exe"),
            include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../lab/guests/bin/x64/", $name, ".exe")),
        )
    };
}
pub(super) use guest;

/// All labs, in the order in which they build on each other.
pub(super) const LABS: [Lab; 10] = [
    labs::page_states::LAB,
    labs::protections::LAB,
    labs::guard_page::LAB,
    labs::copy_on_write::LAB,
    labs::shared_section::LAB,
    labs::mapped_file::LAB,
    labs::paging::LAB,
    labs::shared_dll::LAB,
    labs::shared_memory::LAB,
    labs::aslr::LAB,
];

/// A machine as any other.
pub(super) const fn plain(_: &mut MachineOptions) {}
