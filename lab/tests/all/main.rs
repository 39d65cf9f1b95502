//! Whole machines: sample guests, programs that nobody here wrote, and scenarios done in three ways, on every edition.

mod callbacks;
mod determinism;
mod dlls;
#[path = "../../../mm/tests/all/door/mod.rs"]
#[expect(dead_code, reason = "scenario files need a part of the door")]
mod door;
mod drivers;
mod exceptions;
mod go_programs;
mod guests;
mod inspect;
mod killed;
mod paging;
mod physical_pages;
mod processes;
mod programs;
mod real_programs;
mod relocation;
mod scenarios;
mod shortage;
mod support;
mod threads;
mod working_set;
