//! Guests of several processes on every edition.

use crate::support::{check_guest, on_each_edition};

#[test]
fn processes_start_each_other_inherit_share_and_reach_into_each_other() {
    on_each_edition(|edition| {
        check_guest(edition, "processes", &[], 0, PROCESSES);
    });
}

const PROCESSES: &str = "\
how processes start and end
  it has an id of its own
  it ended with 42
  and its thread with 42
  its number is its own while there is a handle
  and nobody's after that
  a suspended one is active
  a wait for it ends by time
  it was suspended so often: 1
  it was ended
  it ended with 13
  it cannot be ended twice
  a file that is not there is no program
handles
  one that inherits sets the event: 0
  it is set here too
  one that does not has no such handle: 6
  nor is any other handle inherited: 6
  a handle is made in another process
  and taken back
  they name one event
  the other process has none any more
  nor can an ended one get one
what is shared
  the other process saw 321
  and this one sees 322
  but the global of each is its own: 7
memory of another process
  memory was allocated there
  written
  and read
  it can be asked about
  its protection was changed
  a read-only page is not written
  it was released
  and is gone
  a handle without the right does not allocate
  nor read
  a thread there left 42
  its global was read
  it is 42
  and this process's own is 7
  the process ended with 42
  an ended process gets no memory
";
