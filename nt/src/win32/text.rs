//! Text of arguments and results, for functions that come in an ANSI and a wide form.

use super::codepage::{ansi_to_text, text_to_ansi};
use crate::claim::{BadPointer, UserPtr};
use crate::path::GuestPath;
use crate::service::{Answer, Call, Failure};
use vadose_facts::ntdef::Win32Error;

/// Which form a function has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    /// Bytes in the ANSI code page.
    Narrow,
    /// UTF-16.
    Wide,
}

impl Width {
    /// Bytes of a character.
    pub(super) const fn bytes(self) -> u64 {
        match self {
            Self::Narrow => 1,
            Self::Wide => 2,
        }
    }

    /// Text as the bytes of this form, without a zero.
    pub(super) fn encode(self, text: &str) -> Vec<u8> {
        match self {
            Self::Narrow => text_to_ansi(text),
            Self::Wide => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        }
    }
}

impl Call<'_> {
    /// Zero-terminated text. Lone surrogates become replacement characters.
    pub(super) fn text(&mut self, at: UserPtr, width: Width) -> Result<String, BadPointer> {
        Ok(match width {
            Width::Narrow => ansi_to_text(&self.read_c_string(at)?),
            Width::Wide => String::from_utf16_lossy(&self.read_wide_string(at)?),
        })
    }

    /// Text that may be a null pointer.
    pub(super) fn optional_text(&mut self, at: UserPtr, width: Width) -> Result<Option<String>, BadPointer> {
        if at.is_null() { Ok(None) } else { self.text(at, width).map(Some) }
    }

    /// A file's name, resolved against the current folder.
    pub(super) fn path(&mut self, at: UserPtr, width: Width) -> Result<GuestPath, Failure> {
        if at.is_null() {
            return Err(Win32Error::PATH_NOT_FOUND.into());
        }
        let name = self.text(at, width)?;
        self.resolve(&name)
    }

    /// A name as an absolute path.
    pub(super) fn resolve(&self, name: &str) -> Result<GuestPath, Failure> {
        if name.is_empty() {
            return Err(Win32Error::PATH_NOT_FOUND.into());
        }
        Ok(GuestPath::resolve(&self.nt.process().current_directory, name)?)
    }

    /// Stores text with its zero in a buffer of `room` characters and answers its length without the zero; if it does
    /// not fit, nothing is stored and the answer is the room that it needs, zero included.
    pub(super) fn put_text(&mut self, to: UserPtr, room: u32, text: &str, width: Width) -> Answer {
        let mut bytes = width.encode(text);
        let length = bytes.len() as u64 / width.bytes();
        if u64::from(room) <= length {
            return Ok(length + 1);
        }
        bytes.extend([0, 0].iter().take(width.bytes() as usize));
        self.write(to, &bytes)?;
        Ok(length)
    }
}
