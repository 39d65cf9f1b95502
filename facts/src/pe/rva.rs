//! Reading an image by relative virtual address: from a file through its layout, or from a mapped copy.

use super::bytes::{ImageBytes, MAX_STRUCT_BYTES, decode};
use super::error::PeError;
use super::layout::{Layout, PageSource};
use super::limits::MAX_NAMES_TOTAL_BYTES;
use super::name::AnsiName;
use crate::addr::{PAGE_BYTES, PAGE_SHIFT};
use object::pod::Pod;
use std::cmp::Ordering;

/// A source of an image's bytes as they are in memory, by bytes from the image's base.
pub trait RvaReader {
    /// Fills all of `into` from `rva` on.
    ///
    /// # Errors
    ///
    /// If a byte is not in the image or cannot be read; the status is the reader's own.
    fn read_rva(&mut self, rva: u32, into: &mut [u8]) -> Result<(), PeError>;
}

impl<R: RvaReader + ?Sized> RvaReader for &mut R {
    fn read_rva(&mut self, rva: u32, into: &mut [u8]) -> Result<(), PeError> {
        (**self).read_rva(rva, into)
    }
}

/// An image file seen through its section table, as it would be in memory before relocation.
#[derive(Debug)]
pub struct FileView<'a, B: ?Sized> {
    bytes: &'a B,
    layout: &'a Layout,
}

/// An image that is in memory already: byte 0 is the image's base.
#[derive(Clone, Copy, Debug)]
pub struct MappedView<'a>(pub &'a [u8]);

fn outside(rva: u32) -> PeError {
    PeError::format(format!("has a table at {rva:#x}, which is not in the image"))
}

impl<'a, B: ImageBytes + ?Sized> FileView<'a, B> {
    pub(super) const fn new(bytes: &'a B, layout: &'a Layout) -> Self {
        Self { bytes, layout }
    }

    /// Fills `page` with a page of the image, counted from its base.
    ///
    /// # Errors
    ///
    /// If the image has no such page, the page is of a gap, or the file is shorter than it was.
    pub fn read_page(&self, page: u32, into: &mut [u8; PAGE_BYTES as usize]) -> Result<(), PeError> {
        self.read_in_page(page, 0, into)
    }

    /// Fills `into` from inside one page.
    fn read_in_page(&self, page: u32, start: usize, into: &mut [u8]) -> Result<(), PeError> {
        let at = || u64::from(page) << PAGE_SHIFT;
        let missing = || PeError::format(format!("has no content at {:#x}", at()));
        let (offset, bytes) = match self.layout.page_source(page).ok_or_else(missing)? {
            PageSource::File { offset, bytes } => (offset, bytes as usize),
            PageSource::Zero => (0, 0),
            PageSource::Nothing => return Err(missing()),
        };
        let from_file = bytes.saturating_sub(start).min(into.len());
        let (content, zero) = into.split_at_mut(from_file);
        zero.fill(0);
        if self.bytes.read(offset + start as u64, content) < from_file {
            return Err(PeError::format(format!("is shorter than it was: no byte at {:#x}", at())));
        }
        Ok(())
    }
}

impl<B: ImageBytes + ?Sized> RvaReader for FileView<'_, B> {
    fn read_rva(&mut self, rva: u32, into: &mut [u8]) -> Result<(), PeError> {
        let mut at = u64::from(rva);
        let mut rest = into;
        while !rest.is_empty() {
            let page = u32::try_from(at >> PAGE_SHIFT).map_err(|_| outside(rva))?;
            let start = (at % PAGE_BYTES) as usize;
            let count = rest.len().min(PAGE_BYTES as usize - start);
            let (now, later) = rest.split_at_mut(count);
            self.read_in_page(page, start, now)?;
            rest = later;
            at += count as u64;
        }
        Ok(())
    }
}

impl RvaReader for MappedView<'_> {
    fn read_rva(&mut self, rva: u32, into: &mut [u8]) -> Result<(), PeError> {
        let start = usize::try_from(rva).map_err(|_| outside(rva))?;
        let end = start.checked_add(into.len()).ok_or_else(|| outside(rva))?;
        into.copy_from_slice(self.0.get(start..end).ok_or_else(|| outside(rva))?);
        Ok(())
    }
}

/// `rva + bytes`, or an error past 4 GiB.
pub(super) fn add(rva: u32, bytes: u32) -> Result<u32, PeError> {
    rva.checked_add(bytes)
        .ok_or_else(|| PeError::format(format!("has a table at {rva:#x} that passes 4 GiB")))
}

/// The RVA of entry `index` of a table.
pub(super) fn entry(table: u32, index: u32, entry_bytes: u32) -> Result<u32, PeError> {
    let offset = index.checked_mul(entry_bytes);
    offset
        .and_then(|offset| table.checked_add(offset))
        .ok_or_else(|| PeError::format(format!("has a table at {table:#x} that passes 4 GiB")))
}

/// A structure at an RVA.
pub(super) fn read_struct<T: Pod>(reader: &mut impl RvaReader, rva: u32) -> Result<T, PeError> {
    let mut buffer = [0; MAX_STRUCT_BYTES];
    let into = &mut buffer[..size_of::<T>()];
    reader.read_rva(rva, into)?;
    Ok(decode(into))
}

pub(super) fn read_u16(reader: &mut impl RvaReader, rva: u32) -> Result<u16, PeError> {
    let mut bytes = [0; 2];
    reader.read_rva(rva, &mut bytes)?;
    Ok(u16::from_le_bytes(bytes))
}

pub(super) fn read_u32(reader: &mut impl RvaReader, rva: u32) -> Result<u32, PeError> {
    let mut bytes = [0; 4];
    reader.read_rva(rva, &mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

/// A pointer of 4 or 8 bytes.
pub(super) fn read_pointer(
    reader: &mut impl RvaReader,
    rva: u32,
    magic: super::fields::Magic,
) -> Result<u64, PeError> {
    let mut bytes = [0; 8];
    reader.read_rva(rva, &mut bytes[..magic.pointer_bytes() as usize])?;
    Ok(u64::from_le_bytes(bytes))
}

/// Bytes read ahead of a NUL. A chunk never crosses a border of this size, so it never leaves the page it starts in.
const NAME_CHUNK_BYTES: u32 = 64;

/// The bytes before the NUL at an RVA.
pub(super) fn read_name(
    reader: &mut impl RvaReader,
    rva: u32,
    limit_bytes: usize,
) -> Result<AnsiName, PeError> {
    let mut name = Vec::new();
    let mut at = rva;
    while name.len() <= limit_bytes {
        let count = NAME_CHUNK_BYTES - at % NAME_CHUNK_BYTES;
        let mut buffer = [0; NAME_CHUNK_BYTES as usize];
        let chunk = &mut buffer[..count as usize];
        reader.read_rva(at, chunk)?;
        if let Some(end) = chunk.iter().position(|&byte| byte == 0) {
            name.extend_from_slice(&chunk[..end]);
            break;
        }
        name.extend_from_slice(chunk);
        at = add(at, count)?;
    }
    if name.len() > limit_bytes {
        return Err(PeError::format(format!("has a name at {rva:#x} longer than {limit_bytes} bytes")));
    }
    Ok(AnsiName::new(name))
}

/// How the name at an RVA sorts against `name`; reads no further than the first difference.
pub(super) fn compare_name(reader: &mut impl RvaReader, rva: u32, name: &[u8]) -> Result<Ordering, PeError> {
    let mut at = rva;
    let mut rest = name;
    loop {
        let count = NAME_CHUNK_BYTES - at % NAME_CHUNK_BYTES;
        let mut buffer = [0; NAME_CHUNK_BYTES as usize];
        let chunk = &mut buffer[..count as usize];
        reader.read_rva(at, chunk)?;
        let end = chunk.iter().position(|&byte| byte == 0);
        let here = &chunk[..end.unwrap_or(chunk.len())];
        let (now, later) = rest.split_at(rest.len().min(here.len()));
        match here.cmp(now) {
            Ordering::Equal if end.is_some() && !later.is_empty() => return Ok(Ordering::Less),
            Ordering::Equal if end.is_none() => {}
            decided => return Ok(decided),
        }
        rest = later;
        at = add(at, count)?;
    }
}

/// Keeps the names of one table within [`MAX_NAMES_TOTAL_BYTES`].
#[derive(Default)]
pub(super) struct NameBudget {
    used: usize,
}

impl NameBudget {
    /// [`read_name`], counted.
    pub(super) fn read(
        &mut self,
        reader: &mut impl RvaReader,
        rva: u32,
        limit_bytes: usize,
    ) -> Result<AnsiName, PeError> {
        let name = read_name(reader, rva, limit_bytes)?;
        self.used = self.used.saturating_add(name.as_bytes().len());
        if self.used > MAX_NAMES_TOTAL_BYTES {
            return Err(PeError::format(format!(
                "has more than {MAX_NAMES_TOTAL_BYTES} bytes of names in a table"
            )));
        }
        Ok(name)
    }
}
