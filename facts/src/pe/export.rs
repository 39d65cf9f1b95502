//! The export table: functions by name and by ordinal, and names that lead to another DLL.

use super::error::PeError;
use super::fields::{DataDirectory, Directory};
use super::header::PeImage;
use super::import::ImportSymbol;
use super::limits::{MAX_DLL_NAME_BYTES, MAX_EXPORTS, MAX_NAME_BYTES};
use super::name::AnsiName;
use super::rva::{NameBudget, RvaReader, compare_name, entry, read_name, read_struct, read_u16, read_u32};
use object::LittleEndian as LE;
use object::pe::ImageExportDirectory;
use std::cmp::Ordering;

/// The head of an export table; lookups read the rest as they need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportTable {
    directory: DataDirectory,
    dll_name_rva: u32,
    ordinal_base: u32,
    functions: u32,
    names: u32,
    functions_rva: u32,
    names_rva: u32,
    name_indexes_rva: u32,
}

/// An exported function or variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// Ordinal, the table's base included.
    pub ordinal: u32,
    /// Name, if it has one.
    pub name: Option<AnsiName>,
    /// Where it is.
    pub target: ExportTarget,
}

/// Where an export is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExportTarget {
    /// In this image.
    Rva(u32),
    /// In another DLL.
    Forwarder(Forwarder),
}

/// An export that is another DLL's: `NTDLL.RtlAllocateHeap` or `OTHER.#12`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarder {
    /// The other DLL, without `.dll`.
    pub dll: AnsiName,
    /// The function there; a name has hint 0.
    pub symbol: ImportSymbol,
}

impl PeImage {
    /// The head of the export table; `None` if the image exports nothing.
    ///
    /// # Errors
    ///
    /// `STATUS_INVALID_IMAGE_FORMAT` if the table is outside the image or over a limit, or the reader's own error.
    pub fn exports(&self, reader: &mut impl RvaReader) -> Result<Option<ExportTable>, PeError> {
        let directory = self.directory(Directory::Export);
        if !directory.is_present() {
            return Ok(None);
        }
        let raw: ImageExportDirectory = read_struct(reader, directory.rva)?;
        let table = ExportTable {
            directory,
            dll_name_rva: raw.name.get(LE),
            ordinal_base: raw.base.get(LE),
            functions: raw.number_of_functions.get(LE),
            names: raw.number_of_names.get(LE),
            functions_rva: raw.address_of_functions.get(LE),
            names_rva: raw.address_of_names.get(LE),
            name_indexes_rva: raw.address_of_name_ordinals.get(LE),
        };
        if table.functions > MAX_EXPORTS || table.names > MAX_EXPORTS {
            return Err(PeError::format(format!(
                "says that it exports {} functions by {} names; {MAX_EXPORTS} is the limit",
                table.functions, table.names
            )));
        }
        Ok(Some(table))
    }
}

impl ExportTable {
    /// Functions in the table, empty entries included.
    pub const fn function_count(&self) -> u32 {
        self.functions
    }

    /// Names in the table.
    pub const fn name_count(&self) -> u32 {
        self.names
    }

    /// The lowest ordinal.
    pub const fn ordinal_base(&self) -> u32 {
        self.ordinal_base
    }

    /// The name the DLL was linked as.
    ///
    /// # Errors
    ///
    /// If the name is outside the image or too long, or the reader's own error.
    pub fn dll_name(&self, reader: &mut impl RvaReader) -> Result<AnsiName, PeError> {
        read_name(reader, self.dll_name_rva, MAX_DLL_NAME_BYTES)
    }

    /// An export by its exact name: by halving, for linkers sort the names, and one by one if that finds nothing.
    ///
    /// # Errors
    ///
    /// If a table is outside the image, or the reader's own error.
    pub fn by_name(&self, reader: &mut impl RvaReader, name: &[u8]) -> Result<Option<Export>, PeError> {
        let found = match self.find_sorted(reader, name)? {
            Some(index) => Some(index),
            None => self.find_unsorted(reader, name)?,
        };
        let Some(index) = found else {
            return Ok(None);
        };
        let function = self.function_of_name(reader, index)?;
        self.export(reader, function, Some(AnsiName::new(name)))
    }

    /// An export by name, looking first where the importer's hint says.
    ///
    /// # Errors
    ///
    /// As [`ExportTable::by_name`].
    pub fn by_hint(
        &self,
        reader: &mut impl RvaReader,
        hint: u16,
        name: &[u8],
    ) -> Result<Option<Export>, PeError> {
        if u32::from(hint) < self.names && self.compare(reader, hint.into(), name)?.is_eq() {
            let function = self.function_of_name(reader, hint.into())?;
            return self.export(reader, function, Some(AnsiName::new(name)));
        }
        self.by_name(reader, name)
    }

    /// An export by its ordinal, the table's base included. The answer has no name.
    ///
    /// # Errors
    ///
    /// If a table is outside the image, or the reader's own error.
    pub fn by_ordinal(&self, reader: &mut impl RvaReader, ordinal: u32) -> Result<Option<Export>, PeError> {
        self.export(reader, ordinal.wrapping_sub(self.ordinal_base), None)
    }

    /// Every export: those with names in the order of the names, then those without by ordinal.
    ///
    /// # Errors
    ///
    /// If a table is outside the image or over a limit, or the reader's own error.
    pub fn enumerate(&self, reader: &mut impl RvaReader) -> Result<Vec<Export>, PeError> {
        let mut budget = NameBudget::default();
        let mut named = vec![false; self.functions as usize];
        let mut exports = Vec::new();
        for index in 0..self.names {
            let function = self.function_of_name(reader, index)?;
            let rva = read_u32(reader, entry(self.names_rva, index, 4)?)?;
            let name = budget.read(reader, rva, MAX_NAME_BYTES)?;
            if let Some(seen) = named.get_mut(function as usize) {
                *seen = true;
            }
            exports.extend(self.export_within(reader, function, Some(name), &mut budget)?);
        }
        for function in (0..self.functions).filter(|&f| !named[f as usize]) {
            exports.extend(self.export_within(reader, function, None, &mut budget)?);
        }
        Ok(exports)
    }

    /// How a name of the table sorts against `name`.
    fn compare(&self, reader: &mut impl RvaReader, index: u32, name: &[u8]) -> Result<Ordering, PeError> {
        let rva = read_u32(reader, entry(self.names_rva, index, 4)?)?;
        compare_name(reader, rva, name)
    }

    fn function_of_name(&self, reader: &mut impl RvaReader, index: u32) -> Result<u32, PeError> {
        read_u16(reader, entry(self.name_indexes_rva, index, 2)?).map(u32::from)
    }

    fn find_sorted(&self, reader: &mut impl RvaReader, name: &[u8]) -> Result<Option<u32>, PeError> {
        let (mut low, mut high) = (0, self.names);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.compare(reader, middle, name)? {
                Ordering::Equal => return Ok(Some(middle)),
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
            }
        }
        Ok(None)
    }

    fn find_unsorted(&self, reader: &mut impl RvaReader, name: &[u8]) -> Result<Option<u32>, PeError> {
        for index in 0..self.names {
            if self.compare(reader, index, name)?.is_eq() {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    fn export(
        &self,
        reader: &mut impl RvaReader,
        function: u32,
        name: Option<AnsiName>,
    ) -> Result<Option<Export>, PeError> {
        self.export_within(reader, function, name, &mut NameBudget::default())
    }

    /// The function of an index; `None` for an index past the table and for an empty entry.
    fn export_within(
        &self,
        reader: &mut impl RvaReader,
        function: u32,
        name: Option<AnsiName>,
        budget: &mut NameBudget,
    ) -> Result<Option<Export>, PeError> {
        if function >= self.functions {
            return Ok(None);
        }
        let rva = read_u32(reader, entry(self.functions_rva, function, 4)?)?;
        if rva == 0 {
            return Ok(None);
        }
        let target = if self.directory.contains(rva) {
            ExportTarget::Forwarder(Forwarder::parse(&budget.read(reader, rva, MAX_NAME_BYTES)?)?)
        } else {
            ExportTarget::Rva(rva)
        };
        Ok(Some(Export { ordinal: self.ordinal_base.wrapping_add(function), name, target }))
    }
}

impl Forwarder {
    /// Splits `DLL.Function` or `DLL.#ordinal` at its last dot.
    fn parse(text: &AnsiName) -> Result<Self, PeError> {
        let bad = || {
            PeError::format(format!("has an export that leads to {text}, which names no function of a DLL"))
        };
        let bytes = text.as_bytes();
        let dot = bytes.iter().rposition(|&byte| byte == b'.').ok_or_else(bad)?;
        let (dll, symbol) = (&bytes[..dot], &bytes[dot + 1..]);
        if dll.is_empty() || symbol.is_empty() {
            return Err(bad());
        }
        let symbol = match symbol.strip_prefix(b"#") {
            Some(digits) => ImportSymbol::ByOrdinal(
                str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).ok_or_else(bad)?,
            ),
            None => ImportSymbol::ByName { hint: 0, name: AnsiName::new(symbol) },
        };
        Ok(Self { dll: AnsiName::new(dll), symbol })
    }
}
