//! The TLS directory: each thread's own copy of some data, and functions called when threads come and go.

use super::error::PeError;
use super::fields::{Directory, Magic};
use super::header::PeImage;
use super::limits::MAX_TLS_CALLBACKS;
use super::rva::{RvaReader, entry, read_pointer, read_struct};
use crate::addr::VirtAddr;
use object::LittleEndian as LE;
use object::pe::{ImageTlsDirectory32, ImageTlsDirectory64};

/// A TLS directory. Addresses are as stored: relative to the preferred base in a file, real in a relocated image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsDirectory {
    /// First byte of the template each thread gets a copy of.
    pub raw_start: VirtAddr,
    /// Bytes in the template.
    pub raw_bytes: u64,
    /// Where the loader stores the module's TLS index, 4 bytes.
    pub index_address: VirtAddr,
    /// Functions to call, in order.
    pub callbacks: Vec<VirtAddr>,
    /// Zero bytes that follow the template in each copy.
    pub zero_fill_bytes: u32,
    /// Alignment of the copies in bits 20 to 23, as in section flags.
    pub characteristics: u32,
}

impl PeImage {
    /// The TLS directory, if there is one. `pointer_base` is what pointers in the bytes read are relative to: the
    /// preferred base in a file, the actual base in a relocated image.
    ///
    /// # Errors
    ///
    /// `STATUS_INVALID_IMAGE_FORMAT` if the directory or its callbacks are outside the image, the template ends before
    /// it starts, or there are too many callbacks; or the reader's own error.
    pub fn tls(
        &self,
        reader: &mut impl RvaReader,
        pointer_base: VirtAddr,
    ) -> Result<Option<TlsDirectory>, PeError> {
        let directory = self.directory(Directory::Tls);
        if !directory.is_present() {
            return Ok(None);
        }
        let raw = read_directory(reader, directory.rva, self.magic())?;
        let raw_bytes = raw
            .end
            .checked_sub(raw.start)
            .ok_or_else(|| PeError::format("has a TLS template that ends before it starts"))?;
        Ok(Some(TlsDirectory {
            raw_start: VirtAddr::new(raw.start),
            raw_bytes,
            index_address: VirtAddr::new(raw.index),
            callbacks: read_callbacks(reader, raw.callbacks, pointer_base, self.magic())?,
            zero_fill_bytes: raw.zero_fill,
            characteristics: raw.characteristics,
        }))
    }
}

/// The directory of either width.
struct RawTls {
    start: u64,
    end: u64,
    index: u64,
    callbacks: u64,
    zero_fill: u32,
    characteristics: u32,
}

macro_rules! raw_tls {
    ($raw:expr) => {{
        let raw = $raw;
        RawTls {
            start: raw.start_address_of_raw_data.get(LE).into(),
            end: raw.end_address_of_raw_data.get(LE).into(),
            index: raw.address_of_index.get(LE).into(),
            callbacks: raw.address_of_call_backs.get(LE).into(),
            zero_fill: raw.size_of_zero_fill.get(LE),
            characteristics: raw.characteristics.get(LE),
        }
    }};
}

fn read_directory(reader: &mut impl RvaReader, rva: u32, magic: Magic) -> Result<RawTls, PeError> {
    Ok(match magic {
        Magic::Pe32 => raw_tls!(read_struct::<ImageTlsDirectory32>(reader, rva)?),
        Magic::Pe32Plus => raw_tls!(read_struct::<ImageTlsDirectory64>(reader, rva)?),
    })
}

/// The list of pointers at `list`, up to its null; no list at all is an empty one.
fn read_callbacks(
    reader: &mut impl RvaReader,
    list: u64,
    pointer_base: VirtAddr,
    magic: Magic,
) -> Result<Vec<VirtAddr>, PeError> {
    let mut callbacks = Vec::new();
    if list == 0 {
        return Ok(callbacks);
    }
    let rva =
        list.checked_sub(pointer_base.raw()).and_then(|rva| u32::try_from(rva).ok()).ok_or_else(|| {
            PeError::format(format!("has TLS callbacks at {list:#x}, which is not in the image"))
        })?;
    loop {
        let at = entry(rva, callbacks.len() as u32, magic.pointer_bytes())?;
        match read_pointer(reader, at, magic)? {
            0 => return Ok(callbacks),
            _ if callbacks.len() == MAX_TLS_CALLBACKS => {
                return Err(PeError::format(format!("has more than {MAX_TLS_CALLBACKS} TLS callbacks")));
            }
            callback => callbacks.push(VirtAddr::new(callback)),
        }
    }
}
