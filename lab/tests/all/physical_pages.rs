//! Privileges, physical pages and large pages as a guest meets them, with the account's privilege and without.

use crate::support::{bits_of, check_guest, finish, on_each_edition, tell};
use vadose_lab::guest::{Run, sample};
use vadose_machine::Privilege;
use vadose_machine::report::RunEnding;

/// SPEC A14 J38 J43: an ordinary user's account.
#[test]
fn without_the_privilege_both_kinds_of_pages_are_refused() {
    on_each_edition(|edition| {
        check_guest(edition, "physical_pages", &[], 0, WITHOUT);
    });
}

const WITHOUT: &str = "\
the privilege is not held
own 8 physical pages: error 1314
half a large page: error 1314
a large page: error 1314
";

/// SPEC A6 J38 J39 J40 J41 J42 J43 J44: an account that holds the privilege, which the program enables.
#[test]
fn windows_swap_their_contents_and_a_large_page_holds_its_own() {
    on_each_edition(|edition| {
        let program = sample(bits_of(edition), "physical_pages");
        let outcome = finish(Run::new(&program, edition.name).privileges(&[Privilege::LockMemory]));
        let ending = &outcome.report.ending;
        assert_eq!(*ending, RunEnding::Exit { code: 0 }, "{}: {}", edition.name, outcome.output);
        tell(edition, "physical_pages", outcome, WITH);
    });
}

const WITH: &str = "\
the privilege is enabled
own 8 physical pages: done
a window that is read-only: error 87
first A 0 0 0 0
A 10 11 12 13
B 20 21 22 23
map a page twice: error 87
unmap A: done
unmap B: done
map B's pages at A: done
map A's pages at B, backwards: done
A 20 21 22 23
B 13 12 11 10
unmap B: done
read where nothing is mapped: 10, violations 1
protect a window: error 487
release window A: done
free the pages: done
free one again: error 87
release window B: done
half a large page: error 87
a large page: done
it is zero, aligned, and holds what is written
it is commit readwrite
decommit a part: error 87
release it: done
";
