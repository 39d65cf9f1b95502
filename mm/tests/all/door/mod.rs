//! The one door of the memory manager's tests: a scenario in words goes in, one word a step comes out.
//!
//! A scenario is a list of steps split by `;`. Sizes and offsets are hexadecimal bytes (`10000`), pages (`3p`) or KiB
//! (`64K`); offsets count from the last region reserved or mapped, `@` starts an absolute address.
//!
//! ```text
//! reserve SIZE [PROT] [at ADDR] [top] [zero N]     commit OFF SIZE [PROT]     alloc SIZE [PROT] [at ADDR] [top] [zero N]
//! decommit OFF SIZE   release OFF SIZE   protect OFF SIZE PROT   query OFF   read OFF   write OFF [BYTE]   exec OFF
//! extended TYPE PROT OFF SIZE [low ADDR] [high ADDR] [align BYTES] [node N] [privileged 0] (the Ex form of raw)
//! watch OFF SIZE [LIMIT]   take OFF SIZE [LIMIT] (watch and reset)   unwatch OFF SIZE
//! own COUNT   own-unprivileged COUNT   disown LIST   show OFF LIST   hide OFF COUNT   scatter OFF:PAGE,OFF:-   privileged
//! TYPE PROT OFF SIZE (raw with the right to lock memory)
//! map [at ADDR]       unmap OFF          raw TYPE PROT OFF SIZE [zero N] (a call with any bits; OFF - is anywhere)
//! reset OFF SIZE   undo OFF SIZE   offer OFF SIZE PRIORITY   reclaim OFF SIZE   discard OFF SIZE   prefetch OFF   wsex OFF
//! rundown   no-code (the process ends; it may not make code)
//! lock OFF SIZE [KINDS]   unlock OFF SIZE [KINDS]   trim   limits MIN MAX [FLAGS] (pages, flags in hex)
//! process N (the next steps are about it)   restart (it ends, another takes its place)   stack OFF SIZE [GUARANTEE]
//! read4 OFF   write16 OFF   add8 OFF (1 to 16 bytes by one instruction)   base OFF (moves the origin)
//! run HEX [cx=N] [si=+OFF] (an instruction with registers, where the driver executes)
//!
//! section SIZE (commit|reserve|RAW) PROT [nc] [fixed] [based]   file N SIZE (a file of bytes N)   filesection N SIZE PROT
//! use N (a section made before)   close   view PROT [from OFF] [size SIZE] [at ADDR] [top] [commit SIZE] [fixed] [reserve]
//! [round] [replace] [extended] [low ADDR] [high ADDR] [align BYTES]   unmap OFF preserve   extend SIZE   limit SIZE   size
//! flush OFF SIZE   filebyte N OFF   store N OFF BYTE (into the file)   cut N SIZE (the file by another route)
//! ```
//!
//! After every step the audit runs, and a step that was refused must have left everything as it was.
//!
//! Answers: `ok`, a status in lower case with dashes, what a read found (`=41`), a query's words
//! (`commit/rw/3p`), the old protection (`was-rw`), a fault (`access-violation(1)+1fff`).

mod awe;
mod extended;
pub(crate) mod mmu;
mod parse;
mod processor;
mod sections;
mod show;
mod snapshot;
mod working_set;
pub(crate) mod world;
mod write_watch;

pub(crate) use world::World;

/// Runs a scenario on a fresh process of an edition and compares the answers; audits after every step.
#[track_caller]
pub(crate) fn check_on(edition: &str, scenario: &str, answers: &str) {
    let mut world = World::new(edition);
    let got: Vec<String> = scenario.split(';').map(|step| world.step(step.trim())).collect();
    let want: Vec<&str> = answers.split_whitespace().collect();
    assert_eq!(got, want, "on {edition}: {scenario}");
}

/// The same on every edition.
#[track_caller]
pub(crate) fn check(scenario: &str, answers: &str) {
    for edition in vadose_facts::ntdef::editions() {
        check_on(edition.name, scenario, answers);
    }
}
