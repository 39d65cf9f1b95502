//! The first bytes of a file: whether it is a PE image at all, and which kind of program it is if not (SPEC G1, G2, G3).

use super::bytes::{ImageBytes, read_whole};
use super::error::PeError;
use crate::ntdef::NtStatus;
use object::LittleEndian as LE;
use object::pe::ImageDosHeader;

/// How strict an edition is about headers that were made as small as can be (SPEC G10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeaderRules {
    /// Before Windows 10 1809: the PE headers may lie inside the DOS header and end with the file.
    BeforeWindows10_1809,
    /// Windows 10 1809 and later: the PE headers come after the DOS header and are whole.
    SinceWindows10_1809,
}

impl HeaderRules {
    /// The rules of a build of Windows.
    pub const fn of_build(build: u32) -> Self {
        match build {
            17763.. => Self::SinceWindows10_1809,
            _ => Self::BeforeWindows10_1809,
        }
    }
}

/// Offset of `ne_exetyp` in a 16-bit header.
const NE_EXE_TYPE_OFFSET: u64 = 0x36;
/// Bytes of the PE signature.
pub(super) const SIGNATURE_BYTES: u64 = 4;

/// Offset of the PE signature (SPEC G1, G2, G3).
pub(super) fn pe_offset(bytes: &(impl ImageBytes + ?Sized), rules: HeaderRules) -> Result<u64, PeError> {
    let not_mz = |reason| PeError::new(NtStatus::INVALID_IMAGE_NOT_MZ, reason);
    let dos: ImageDosHeader =
        read_whole(bytes, 0).ok_or_else(|| not_mz("is no program: it is shorter than a DOS header"))?;
    if dos.e_magic.get(LE) != u16::from_le_bytes(*b"MZ") {
        return Err(not_mz("is no program: it does not start with \"MZ\""));
    }
    let start = u64::from(dos.e_lfanew.get(LE));
    let mut signature = [0; SIGNATURE_BYTES as usize];
    let present = bytes.read(start, &mut signature);
    match &signature {
        b"PE\0\0" if present == signature.len() => {}
        [b'N', b'E', ..] if present >= 2 => return Err(sixteen_bit(bytes, start)),
        [b'L', b'E', ..] if present >= 2 => {
            return Err(PeError::new(NtStatus::INVALID_IMAGE_LE_FORMAT, "is an OS/2 or driver program (LE)"));
        }
        _ => {
            return Err(PeError::new(
                NtStatus::INVALID_IMAGE_PROTECT,
                "is a DOS program: it has no PE header",
            ));
        }
    }
    if rules == HeaderRules::SinceWindows10_1809 && start < size_of::<ImageDosHeader>() as u64 {
        return Err(PeError::format("has its PE header inside the DOS header"));
    }
    Ok(start)
}

/// Which 16-bit system a program with an "NE" header is for (SPEC G3).
fn sixteen_bit(bytes: &(impl ImageBytes + ?Sized), start: u64) -> PeError {
    let mut exe_type = [0];
    bytes.read(start + NE_EXE_TYPE_OFFSET, &mut exe_type);
    match exe_type {
        [2] => PeError::new(NtStatus::INVALID_IMAGE_WIN_16, "is a 16-bit Windows program"),
        [5] => PeError::new(NtStatus::INVALID_IMAGE_PROTECT, "is a DOS program with an NE header"),
        _ => PeError::new(NtStatus::INVALID_IMAGE_NE_FORMAT, "is a 16-bit program (NE) not for Windows"),
    }
}
