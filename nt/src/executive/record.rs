//! Guest structures being laid out: little-endian fields, each on its natural boundary, pointers as wide as the edition's.

use vadose_facts::ntdef::Edition;

/// A structure that grows field by field, as a C compiler would lay it out.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    bytes: Vec<u8>,
    width: usize,
    alignment: usize,
}

impl Record {
    /// An empty structure of an edition's programs.
    pub(crate) fn new(edition: &Edition) -> Self {
        Self { bytes: Vec::new(), width: edition.pointer_bytes() as usize, alignment: 1 }
    }

    fn field(mut self, bytes: &[u8], alignment: usize) -> Self {
        self.alignment = self.alignment.max(alignment);
        self.bytes.resize(self.bytes.len().next_multiple_of(alignment), 0);
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// A `UCHAR` or a `BOOLEAN`.
    pub(crate) fn u8(self, value: u8) -> Self {
        self.field(&[value], 1)
    }

    /// A `USHORT`.
    pub(crate) fn u16(self, value: u16) -> Self {
        self.field(&value.to_le_bytes(), 2)
    }

    /// A `ULONG`.
    pub(crate) fn u32(self, value: u32) -> Self {
        self.field(&value.to_le_bytes(), 4)
    }

    /// A `LARGE_INTEGER`, on a multiple of eight in 32-bit programs too.
    pub(crate) fn u64(self, value: u64) -> Self {
        self.field(&value.to_le_bytes(), 8)
    }

    /// A pointer, a handle, a `SIZE_T`; the top half falls off in 32-bit programs.
    pub(crate) fn word(self, value: u64) -> Self {
        let width = self.width;
        self.field(&value.to_le_bytes()[..width], width)
    }

    /// Bytes as they are, at once behind the last field.
    pub(crate) fn raw(self, bytes: &[u8]) -> Self {
        self.field(bytes, 1)
    }

    /// UTF-16 units, at once behind the last field.
    pub(crate) fn wide(self, text: &[u16]) -> Self {
        let bytes: Vec<u8> = text.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        self.field(&bytes, 1)
    }

    /// So many zero bytes, at once behind the last field.
    pub(crate) fn zeros(self, bytes: usize) -> Self {
        self.field(&vec![0; bytes], 1)
    }

    /// Fills up to a multiple of `alignment` bytes.
    pub(crate) fn aligned(mut self, alignment: usize) -> Self {
        self.bytes.resize(self.bytes.len().next_multiple_of(alignment), 0);
        self
    }

    /// Bytes so far.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The structure, filled up to a multiple of its widest field.
    pub(crate) fn finish(self) -> Vec<u8> {
        let alignment = self.alignment;
        self.aligned(alignment).bytes
    }

    /// The structure as far as it was laid out: its last member is an array of any length.
    pub(crate) fn open_end(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vadose_facts::ntdef::edition;

    #[test]
    fn fields_are_on_their_boundaries_and_the_end_is_filled_up() {
        for (name, bytes) in [("win7-x86", 32), ("win10-x64", 40)] {
            let edition = edition(name).expect("an edition");
            let record = Record::new(edition).u8(1).word(2).u16(3).u64(4).u8(5);
            assert_eq!(record.len(), bytes - 7, "{name}");
            assert_eq!(record.clone().open_end().len(), bytes - 7, "{name}");
            let whole = record.finish();
            assert_eq!((whole.len(), whole[bytes - 8]), (bytes, 5), "{name}");
        }
    }
}
