//! The buffer of a query: where the caller wants its answer, and where the answer's length.

use crate::claim::UserPtr;
use crate::service::{Answer, Call, Failure};

/// Where an answer goes, how much room there is, and where its length is told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Buffer {
    pub(super) to: UserPtr,
    pub(super) room: u32,
    pub(super) returned: UserPtr,
}

impl Buffer {
    pub(super) fn probe(self, call: &mut Call<'_>) -> Result<(), Failure> {
        call.probe_write(self.to, u64::from(self.room))?;
        if !self.returned.is_null() {
            call.probe_write(self.returned, 4)?;
        }
        Ok(())
    }

    pub(super) fn tell_length(self, call: &mut Call<'_>, bytes: usize) -> Result<(), Failure> {
        if !self.returned.is_null() {
            call.write_u32(self.returned, bytes as u32)?;
        }
        Ok(())
    }

    pub(super) fn store(self, call: &mut Call<'_>, bytes: &[u8]) -> Answer {
        call.write(self.to, bytes)?;
        self.tell_length(call, bytes.len())?;
        Ok(0)
    }
}
