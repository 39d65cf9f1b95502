//! What is wrong with an image: the status a program gets and the reason a person reads.

use crate::ntdef::NtStatus;
use std::borrow::Cow;
use std::fmt;

/// Why an image, or a table in it, is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeError {
    /// What the service or the loader returns (SPEC G1 to G10).
    pub status: NtStatus,
    /// What is wrong, in plain words, as the end of a sentence that starts with the image's name.
    pub reason: Cow<'static, str>,
}

impl PeError {
    /// A refusal with the given status.
    pub fn new(status: NtStatus, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { status, reason: reason.into() }
    }

    /// `STATUS_INVALID_IMAGE_FORMAT`: a PE file whose content is broken (SPEC G4).
    pub fn format(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::new(NtStatus::INVALID_IMAGE_FORMAT, reason)
    }
}

impl fmt::Display for PeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.reason, self.status)
    }
}

impl std::error::Error for PeError {}
