//! Writing to the two output streams without falling over when nobody reads them.

use crate::failure::{Failure, VADOSE_FAILED};
use std::io::{ErrorKind, Write as _, stderr, stdout};

/// Writes results to standard output. A reader that has seen enough, as `head` does, is no failure.
pub(crate) fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new(VADOSE_FAILED, format!("standard output cannot be written: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes a message to standard error.
pub(crate) fn tell(text: &str) {
    // There is no place left to complain in.
    let _told = stderr().lock().write_all(text.as_bytes());
}
