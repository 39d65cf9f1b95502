//! Where the bytes of an image file come from, and how a fixed structure is read from them.

use object::pod::{Pod, from_bytes};

/// The bytes of an image file, by offset.
pub trait ImageBytes {
    /// Length of the file, in bytes.
    fn length_bytes(&self) -> u64;

    /// Copies bytes from `offset` on; answers how many there were, less than `into` holds at the end of the file.
    fn read(&self, offset: u64, into: &mut [u8]) -> usize;
}

impl ImageBytes for [u8] {
    fn length_bytes(&self) -> u64 {
        self.len() as u64
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> usize {
        let from = usize::try_from(offset).ok().and_then(|at| self.get(at..)).unwrap_or(&[]);
        let count = from.len().min(into.len());
        into[..count].copy_from_slice(&from[..count]);
        count
    }
}

impl ImageBytes for Vec<u8> {
    fn length_bytes(&self) -> u64 {
        self.as_slice().length_bytes()
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> usize {
        self.as_slice().read(offset, into)
    }
}

impl<B: ImageBytes + ?Sized> ImageBytes for &B {
    fn length_bytes(&self) -> u64 {
        (**self).length_bytes()
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> usize {
        (**self).read(offset, into)
    }
}

/// The largest structure read in one piece: `IMAGE_OPTIONAL_HEADER64` without its directories.
pub(super) const MAX_STRUCT_BYTES: usize = 112;

/// A structure at a file offset, and how many of its bytes the file holds; the missing ones read as zero.
pub(super) fn read_padded<T: Pod>(bytes: &(impl ImageBytes + ?Sized), offset: u64) -> (T, usize) {
    let mut buffer = [0; MAX_STRUCT_BYTES];
    let into = &mut buffer[..size_of::<T>()];
    let present = bytes.read(offset, into);
    (decode(into), present)
}

/// A structure at a file offset, or `None` if the file ends inside it.
pub(super) fn read_whole<T: Pod>(bytes: &(impl ImageBytes + ?Sized), offset: u64) -> Option<T> {
    let (value, present) = read_padded(bytes, offset);
    (present == size_of::<T>()).then_some(value)
}

/// A structure from its bytes.
pub(super) fn decode<T: Pod>(bytes: &[u8]) -> T {
    let (value, _) =
        from_bytes::<T>(bytes).expect("PE structures have alignment 1 and the buffer holds all of it");
    *value
}
