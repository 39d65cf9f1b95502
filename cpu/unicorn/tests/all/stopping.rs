//! Bounded runs: budgets in basic blocks, and the stop handle.

use crate::support::*;
use iced_x86::code_asm::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use vadose_cpu::{Exit, Vcpu};
use vadose_facts::x86::PagingMode;

/// Counts up for ever: one block an iteration.
fn counting_loop(guest: &mut Guest) {
    guest.load(|a| {
        let mut top = a.create_label();
        a.xor(eax, eax)?;
        a.set_label(&mut top)?;
        a.inc(eax)?;
        a.jmp(top)
    });
}

fn run_blocks(guest: &mut Guest, blocks: u64) -> (u64, u64) {
    let exit = guest.cpu.run(Some(blocks)).expect("the engine works");
    assert_eq!(exit, Exit::Interrupted);
    (guest.gpr(AX), guest.ip())
}

/// A budget stops at the same place every time, before the block that it does not cover, and the run goes on.
#[test]
fn a_budget_is_exact_and_repeats() {
    for mode in BOTH {
        let mut seen = Vec::new();
        for _ in 0..2 {
            let mut guest = Guest::new(mode);
            counting_loop(&mut guest);
            let start = guest.cpu.blocks_executed();
            let stops: Vec<_> = [1, 2, 1000, 0, 7].map(|n| run_blocks(&mut guest, n)).to_vec();
            assert_eq!(guest.cpu.blocks_executed() - start, 1010, "{mode:?}");
            seen.push(stops);
        }
        assert_eq!(seen[0], seen[1], "{mode:?}");
        let counts: Vec<u64> = seen[0].iter().map(|s| s.0).collect();
        assert_eq!(counts[4] - counts[2], 7, "a block is an iteration, {mode:?} {counts:?}");
        assert_eq!(counts[2] - counts[1], 1000, "{mode:?} {counts:?}");
        assert!(seen[0].iter().all(|s| s.1 == CODE + 2), "{mode:?} {:x?}", seen[0]);
    }
}

/// A run after budgets has no bound.
#[test]
fn a_run_without_a_budget_follows_one_with() {
    let mut guest = Guest::new(PagingMode::Long4);
    counting_loop(&mut guest);
    run_blocks(&mut guest, 10);
    guest.load(|a| {
        let mut top = a.create_label();
        a.mov(ecx, 5000)?;
        a.set_label(&mut top)?;
        a.dec(ecx)?;
        a.jnz(top)?;
        a.int(0x2e)
    });
    assert_eq!(guest.run(), Exit::Service);
}

/// A stop between runs is not lost, and is used up by one run.
#[test]
fn a_stop_between_runs_ends_the_next_one() {
    let mut guest = Guest::new(PagingMode::Long4);
    guest.load(|a| a.int(0x2e));
    guest.cpu.stop_handle().stop();
    assert_eq!((guest.run(), guest.ip()), (Exit::Interrupted, CODE));
    assert_eq!(guest.run(), Exit::Service);
}

/// A tight loop of one block stops soon, many times over, with its state intact.
#[test]
fn a_tight_loop_stops_promptly() {
    for mode in BOTH {
        let mut guest = Guest::new(mode);
        counting_loop(&mut guest);
        for round in 0..200_u64 {
            let handle = guest.cpu.stop_handle();
            let stopper = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_micros(round * 7 % 300));
                let began = Instant::now();
                handle.stop();
                began.elapsed()
            });
            assert_eq!(guest.run(), Exit::Interrupted, "{mode:?} round {round}");
            let took = stopper.join().expect("no panic");
            assert!(took < Duration::from_secs(2), "{mode:?} round {round}: {took:?}");
            assert!([CODE, CODE + 2].contains(&guest.ip()), "{mode:?} round {round}");
        }
    }
}

/// Stops that rain on a processor which faults, calls and runs: each run ends with its own exit or an interruption,
/// and nothing is lost or done twice.
#[test]
fn stops_at_any_moment_change_nothing() {
    let mut guest = Guest::new(PagingMode::Long4);
    guest.load(|a| {
        let mut top = a.create_label();
        a.xor(ebx, ebx)?;
        a.set_label(&mut top)?;
        a.inc(ebx)?;
        a.add(dword_ptr(HEAP), 1)?;
        a.syscall()?;
        a.jmp(top)
    });
    let (handle, over) = (guest.cpu.stop_handle(), Arc::new(AtomicBool::new(false)));
    let until = Arc::clone(&over);
    let rain = std::thread::spawn(move || {
        while !until.load(Ordering::Relaxed) {
            handle.stop();
        }
    });
    let (mut services, mut interruptions) = (0, 0);
    while services < 30_000 || interruptions < 100 {
        match guest.run() {
            Exit::Service => services += 1,
            Exit::Interrupted => interruptions += 1,
            other => panic!("{other:?}"),
        }
    }
    over.store(true, Ordering::Relaxed);
    rain.join().expect("no panic");
    assert_eq!(guest.tables.u64_at(HEAP_PHYS), services);
    assert_eq!(guest.gpr(BX), services);
}

/// A handle outlives its processor.
#[test]
fn a_handle_may_outlive_the_processor() {
    let guest = Guest::new(PagingMode::Long4);
    let handle = guest.cpu.stop_handle();
    drop(guest);
    handle.stop();
    assert!(handle.is_requested());
}
