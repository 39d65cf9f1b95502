//! The guest that locks, counts and empties its working set, word for word on every edition.

use crate::support::{check_guest, on_each_edition};

/// SPEC J1 J2 J5 J6 J7 J8 J10 J19 J21 X11 X12 D34 E15: limits, locks, counters and an emptied working set as a program
/// sees them; the program finds its functions in kernel32 or, on Windows XP, in psapi.
#[test]
fn working_set_counts_locks_and_touches() {
    on_each_edition(|edition| {
        let told = check_guest(edition, "working_set", &[], 0, WORDS);
        let memory = &told.outcome.report.memory;
        assert!(memory.working_set_peak > 400 << 12, "{memory:?}");
    });
}

const WORDS: &str = "\
limits 50 to 345 pages
lock 30 pages: done
lock them again: done
lock 400 pages: error 1453
unlock 31 pages: error 158
unlock 30 pages: done
unlock them again: error 158
lock nothing: error 87
minimum above maximum: error 87
500 to 1000 pages: done
limits 500 to 1000 pages
lock 400 pages: done
lock a guard page: error 2147483649
and once more: done
lock a page that is gone: error 998
reserve 256 pages: private +0, working set +0, faults +0
commit 16 pages: private +16, working set +0, faults +0
touch 16 pages: private +0, working set +16, faults +16
touch them again: private +0, working set +0, faults +0
decommit 16 pages: private -16, working set -16, faults +0
counters without room: error 122
lock 4 of 16 pages: done
16 of 16 are resident
empty the working set: done
4 of 16 are resident
16 of 16 hold what was written
16 of 16 are resident
no limits at all: done
4 of 16 are resident
limits 500 to 1000 pages
";
