//! What the system calls back in a program: initialisers, slots, exception handlers; and the process heap.

use crate::support::{check_guest, on_each_edition};

/// SPEC E1 E11: a filter repairs a page, and a handler that meets a guard page is interrupted and goes on.
#[test]
fn callbacks_run_where_windows_runs_them() {
    let words = format!("{CALLBACKS}{}the end\n  slot's callback with 333\n", heap_words());
    on_each_edition(|edition| {
        let told = check_guest(edition, "callbacks", &[], 0, &words);
        // An access violation, three that are raised, and a guard page within a handler.
        assert_eq!(told.outcome.report.activity.exceptions, 5, "{}", edition.name);
    });
}

fn heap_words() -> String {
    [24, 100 << 10, 2 << 20].iter().map(|bytes| format!("heap block of {bytes}\n{HEAP_BLOCK}")).collect()
}

const CALLBACKS: &str = "\
initialise once
  called with 1
  turn 1 refused, no context
  called with 2
  turn 2 done, context given
  turn 3 done, context given
  turn 4 done, context given
  calls 2
fiber-local storage
  three slots
  value 111
  slot's callback with 111
  freed the first
  freed one without a value
  not freed twice
  the third still has 333
thread-local storage
  wrong answers of 80 slots: 0
locales
  enumerated
  English of the United States is among them
unhandled exception filter
  there was none
  filter: code 0xc0000005, access 1, byte 5
  wrote 119
  taken back
raised exceptions
  handler: code 0xe0000001, flags 0, 0x1 0x22 0x333
  went on after the first
  handler: code 0xe0000001, flags 0,
  went on after the second
  handler: touching a guard page
  handler: guard page met at depth 2
  handler: touched
  went on after the third
  depth 2
  guarded byte 85
  the guard is gone
  handler removed
captured context
  the instruction is the right one
  the stack pointer is the right one
  it is whole
";

const HEAP_BLOCK: &str = "  \
  it has its size
  it is aligned
  bytes not zero: 0
  wrong bytes of the larger one: 0
  bytes of its rest not zero: 0
  the smaller one has its size
  wrong bytes of the smaller one: 0
  freed
";
