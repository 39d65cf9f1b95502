//! Base relocations: the places an image must be patched at when it is not at its preferred base, page by page.

use super::error::PeError;
use super::fields::{Directory, Magic};
use super::header::PeImage;
use super::limits::{MAX_RELOCATION_BLOCKS, MAX_RELOCATION_BYTES};
use super::rva::{RvaReader, add, read_struct};
use crate::addr::{PAGE_BYTES, PAGE_SHIFT};
use object::LittleEndian as LE;
use object::pe::ImageBaseRelocation;

/// What a fix-up adds the move to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FixupKind {
    /// 16 bits get the upper half of the low 32 bits of the move.
    High,
    /// 16 bits get the low half.
    Low,
    /// 32 bits.
    HighLow,
    /// 64 bits.
    Dir64,
}

/// One place to patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fixup {
    /// First byte to patch, relative to the image's base.
    pub rva: u32,
    /// What to patch.
    pub kind: FixupKind,
}

/// All fix-ups of an image, by ascending place.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Relocations {
    fixups: Vec<Fixup>,
}

/// Bytes of a fix-up that can lie beyond its page.
pub const MAX_STRADDLE_BYTES: usize = 7;

/// Unpatched bytes around a page, for fix-ups that cross its borders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Neighbours {
    /// The last bytes of the page before.
    pub before: [u8; MAX_STRADDLE_BYTES],
    /// The first bytes of the page after.
    pub after: [u8; MAX_STRADDLE_BYTES],
}

/// Which neighbours a page's fix-ups reach into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Straddle {
    /// A fix-up starts in the page before.
    pub before: bool,
    /// A fix-up ends in the page after.
    pub after: bool,
}

const BLOCK_HEAD_BYTES: u32 = size_of::<ImageBaseRelocation>() as u32;
const ENTRY_BYTES: usize = 2;

impl FixupKind {
    /// Bytes it patches.
    pub const fn bytes(self) -> u32 {
        match self {
            Self::High | Self::Low => 2,
            Self::HighLow => 4,
            Self::Dir64 => 8,
        }
    }

    /// Patches a number at the start of a slice that holds all of it.
    fn apply(self, at: &mut [u8], delta: u64) {
        let at = &mut at[..self.bytes() as usize];
        let mut wide = [0; 8];
        wide[..at.len()].copy_from_slice(at);
        let addend = match self {
            Self::High => delta >> 16,
            Self::Low | Self::HighLow | Self::Dir64 => delta,
        };
        let patched = u64::from_le_bytes(wide).wrapping_add(addend).to_le_bytes();
        at.copy_from_slice(&patched[..at.len()]);
    }
}

impl Fixup {
    const fn end(self) -> u64 {
        self.rva as u64 + self.kind.bytes() as u64
    }
}

impl PeImage {
    /// All fix-ups; none if the image has no relocation directory.
    ///
    /// # Errors
    ///
    /// `STATUS_INVALID_IMAGE_FORMAT` for a kind that x86 and x64 images do not have, a broken or oversized table, or a
    /// place outside the image; or the reader's own error.
    pub fn relocations(&self, reader: &mut impl RvaReader) -> Result<Relocations, PeError> {
        let directory = self.directory(Directory::Relocation);
        if !directory.is_present() {
            return Ok(Relocations::default());
        }
        if directory.size > MAX_RELOCATION_BYTES {
            return Err(PeError::format(format!("has {} bytes of relocations", directory.size)));
        }
        let image_bytes = u64::from(self.layout().pages()) * PAGE_BYTES;
        let mut fixups = Vec::new();
        let mut done = 0;
        let mut blocks = 0;
        while directory.size - done >= BLOCK_HEAD_BYTES {
            let at = add(directory.rva, done)?;
            match read_block(reader, at, directory.size - done, image_bytes, &mut fixups)? {
                0 => break,
                bytes => done += bytes,
            }
            blocks += 1;
            if blocks > MAX_RELOCATION_BLOCKS {
                return Err(PeError::format(format!(
                    "has more than {MAX_RELOCATION_BLOCKS} relocation blocks"
                )));
            }
        }
        fixups.sort_by_key(|fixup: &Fixup| fixup.rva);
        Ok(Relocations { fixups })
    }

    /// The fix-ups of an image that the kernel moves: those of [`PeImage::relocations`], and the `ImageBase` field of the
    /// mapped header, which then shows the base the image is at (SPEC G28).
    ///
    /// # Errors
    ///
    /// As [`PeImage::relocations`].
    pub fn kernel_relocations(&self, reader: &mut impl RvaReader) -> Result<Relocations, PeError> {
        let mut relocations = self.relocations(reader)?;
        if let Some(rva) = self.image_base_rva() {
            let kind = match self.magic() {
                Magic::Pe32 => FixupKind::HighLow,
                Magic::Pe32Plus => FixupKind::Dir64,
            };
            let after = relocations.fixups.partition_point(|fixup| fixup.rva <= rva);
            relocations.fixups.insert(after, Fixup { rva, kind });
        }
        Ok(relocations)
    }
}

/// Reads a block and answers its size; 0 is the padding some linkers end the table with.
fn read_block(
    reader: &mut impl RvaReader,
    at: u32,
    rest_bytes: u32,
    image_bytes: u64,
    fixups: &mut Vec<Fixup>,
) -> Result<u32, PeError> {
    let head: ImageBaseRelocation = read_struct(reader, at)?;
    let (page_rva, size) = (head.virtual_address.get(LE), head.size_of_block.get(LE));
    if size == 0 {
        return Ok(0);
    }
    if size < BLOCK_HEAD_BYTES || size > rest_bytes {
        return Err(PeError::format(format!(
            "has a relocation block of {size} bytes where {rest_bytes} are left"
        )));
    }
    let mut buffer = [0; PAGE_BYTES as usize];
    let mut done = BLOCK_HEAD_BYTES;
    while size - done >= ENTRY_BYTES as u32 {
        let count = (size - done).min(buffer.len() as u32) & !1;
        let chunk = &mut buffer[..count as usize];
        reader.read_rva(add(at, done)?, chunk)?;
        for entry in chunk.as_chunks::<ENTRY_BYTES>().0 {
            fixups.extend(decode_entry(page_rva, u16::from_le_bytes(*entry), image_bytes)?);
        }
        done += count;
    }
    Ok(size)
}

/// An entry: kind in the top four bits, offset in the others; `None` for padding.
fn decode_entry(page_rva: u32, entry: u16, image_bytes: u64) -> Result<Option<Fixup>, PeError> {
    let kind = match entry >> 12 {
        0 => return Ok(None),
        1 => FixupKind::High,
        2 => FixupKind::Low,
        3 => FixupKind::HighLow,
        10 => FixupKind::Dir64,
        other => return Err(PeError::format(format!("has a relocation of unknown kind {other}"))),
    };
    let fixup = Fixup { rva: add(page_rva, (entry & 0xfff).into())?, kind };
    if fixup.end() > image_bytes {
        return Err(PeError::format(format!("has a relocation at {:#x}, outside the image", fixup.rva)));
    }
    Ok(Some(fixup))
}

impl Relocations {
    /// All fix-ups, by ascending place.
    pub fn fixups(&self) -> &[Fixup] {
        &self.fixups
    }

    /// Whether there is nothing to patch.
    pub fn is_empty(&self) -> bool {
        self.fixups.is_empty()
    }

    /// The fix-ups with a byte in a page, counted from the image's base.
    pub fn touching(&self, page: u32) -> impl Iterator<Item = Fixup> + '_ {
        let start = u64::from(page) << PAGE_SHIFT;
        let low = start.saturating_sub(MAX_STRADDLE_BYTES as u64);
        let first = self.fixups.partition_point(|fixup| u64::from(fixup.rva) < low);
        let end = self.fixups.partition_point(|fixup| u64::from(fixup.rva) < start + PAGE_BYTES);
        self.fixups[first..end].iter().copied().filter(move |fixup| fixup.end() > start)
    }

    /// Which neighbours must be given to [`Relocations::apply_to_page`].
    pub fn straddle(&self, page: u32) -> Straddle {
        let start = u64::from(page) << PAGE_SHIFT;
        self.touching(page).fold(Straddle::default(), |seen, fixup| Straddle {
            before: seen.before || u64::from(fixup.rva) < start,
            after: seen.after || fixup.end() > start + PAGE_BYTES,
        })
    }

    /// Patches one page for a move of `delta` bytes (new base less preferred base, wrapping). A fix-up across a border
    /// patches this page's part of it, so that pages come out the same in whichever order they are read (SPEC G36).
    pub fn apply_to_page(
        &self,
        page: u32,
        delta: u64,
        content: &mut [u8; PAGE_BYTES as usize],
        neighbours: &Neighbours,
    ) {
        const PAGE: usize = PAGE_BYTES as usize;
        const WINDOW: usize = MAX_STRADDLE_BYTES + PAGE + MAX_STRADDLE_BYTES;
        let mut window = [0; WINDOW];
        let (before, rest) = window.split_at_mut(MAX_STRADDLE_BYTES);
        let (middle, after) = rest.split_at_mut(PAGE);
        before.copy_from_slice(&neighbours.before);
        middle.copy_from_slice(content);
        after.copy_from_slice(&neighbours.after);
        let start = u64::from(page) << PAGE_SHIFT;
        for fixup in self.touching(page) {
            let at = u64::from(fixup.rva) + MAX_STRADDLE_BYTES as u64 - start;
            fixup.kind.apply(&mut window[at as usize..], delta);
        }
        content.copy_from_slice(&window[MAX_STRADDLE_BYTES..MAX_STRADDLE_BYTES + PAGE]);
    }
}
