//! Paging: a guest over more data than RAM beside a plain file, what it moves beside what it must, and what the memory
//! manager's own part of it costs.

mod frames;
mod guest;

use crate::report::{Goal, ROUNDS, Row, in_turns};
use frames::Manager;
use std::time::Instant;
use vadose_lab::guest::{Run, sample};
use vadose_machine::Machine;

/// Frames of 64 MiB, and of 16 GiB.
const FEW_FRAMES: u64 = 16_384;
const MANY_FRAMES: u64 = 4_194_304;
/// Pages touched in a round.
const TOUCHES: u64 = 20_000;
/// Nanoseconds that a hard fault may take beside its transfer.
const HARD_FAULT_NS: f64 = 2000.0;
/// Milliseconds that the start of a large machine may take.
const START_MS: f64 = 50.0;
/// Bytes that a frame may cost before it is touched.
const FRAME_BYTES: f64 = 64.0;

/// Guests first, then the library.
pub(crate) fn rows() -> Vec<Row> {
    let mut rows = guest::rows();
    rows.extend([hard_fault(), victim(), start(), record_bytes()]);
    rows
}

/// Faults on pages that come from a page file one by one, without the time of the transfers.
fn hard_fault() -> Row {
    let mut manager = Manager::new(FEW_FRAMES, 4 * FEW_FRAMES);
    manager.store_to_all();
    let (ours, theirs) = in_turns(|| manager.read_back(TOUCHES), || HARD_FAULT_NS);
    Row::new("hard fault without its transfer", "ns", ours, "its bound", theirs, Goal::AtMost(1.0))
}

/// Pages that are stored to for the first time while every frame has a page: one leaves its working set, is written, and
/// gives its frame, for each.
fn victim() -> Row {
    let [mut many, mut few] = [MANY_FRAMES, FEW_FRAMES].map(|frames| {
        let mut manager = Manager::new(frames, 2 * frames + ROUNDS as u64 * TOUCHES);
        manager.store_to_next(2 * frames);
        manager
    });
    let (ours, theirs) = in_turns(|| many.store_to_next(TOUCHES), || few.store_to_next(TOUCHES));
    let work = "first store, for a victim's frame, RAM of 16 GiB";
    Row::new(work, "ns", ours, "the same, RAM of 64 MiB", theirs, Goal::AtMost(1.5))
}

fn start() -> Row {
    let ours = || {
        let run = Run::new(&sample("x64", "hello"), "win10-x64").ram(16 << 30);
        let began = Instant::now();
        let started = run.start().unwrap_or_else(|error| panic!("{error}"));
        let took = began.elapsed().as_secs_f64() * 1e3;
        drop::<Machine>(started.into_parts().0);
        took
    };
    let (ours, theirs) = in_turns(ours, || START_MS);
    Row::new("start of a machine, RAM of 16 GiB", "ms", ours, "its bound", theirs, Goal::AtMost(1.0))
}

/// What the host gives for a memory manager of many frames, none of them touched.
fn record_bytes() -> Row {
    let before = resident_bytes();
    let managers: Vec<Manager> = (0..ROUNDS).map(|_| Manager::new(MANY_FRAMES, 1)).collect();
    let ours = (resident_bytes() - before) / (ROUNDS as f64 * MANY_FRAMES as f64);
    drop(managers);
    Row::new("a frame before it is touched", "B", ours, "its bound", FRAME_BYTES, Goal::AtMost(1.0))
}

/// Bytes of the host's RAM that this process has (`proc_pid_statm(5)`).
fn resident_bytes() -> f64 {
    let said = std::fs::read_to_string("/proc/self/statm").expect("Linux tells");
    let pages: f64 = said.split(' ').nth(1).expect("a second number").parse().expect("a number");
    pages * 4096.0
}
