//! The import table: which functions of which DLLs an image needs, and where their addresses go.

use super::error::PeError;
use super::fields::{Directory, Magic};
use super::header::PeImage;
use super::limits::{MAX_DLL_NAME_BYTES, MAX_IMPORT_DLLS, MAX_IMPORTS, MAX_IMPORTS_PER_DLL, MAX_NAME_BYTES};
use super::name::AnsiName;
use super::rva::{NameBudget, RvaReader, add, entry, read_pointer, read_struct, read_u16};
use object::LittleEndian as LE;
use object::pe::ImageImportDescriptor;
use std::fmt;

/// A DLL and what an image takes from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedDll {
    /// The DLL's file name.
    pub name: AnsiName,
    /// The import address table: the first of the slots.
    pub slots_rva: u32,
    /// The functions, in the order of their slots.
    pub functions: Vec<ImportedFunction>,
}

/// A function an image takes from a DLL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedFunction {
    /// Which function.
    pub symbol: ImportSymbol,
    /// Where the loader stores its address: a pointer of the image's width.
    pub slot_rva: u32,
}

/// How an image names a function of a DLL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ImportSymbol {
    /// By name.
    ByName {
        /// Where the linker saw the name in the DLL's sorted name table: try there first.
        hint: u16,
        /// The name.
        name: AnsiName,
    },
    /// By ordinal.
    ByOrdinal(u16),
}

impl fmt::Display for ImportSymbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByName { name, .. } => name.fmt(f),
            Self::ByOrdinal(ordinal) => write!(f, "#{ordinal}"),
        }
    }
}

impl PeImage {
    /// The DLLs that must be there before the program starts. The table ends at a descriptor without a name or without
    /// slots, whatever size the directory claims.
    ///
    /// # Errors
    ///
    /// `STATUS_INVALID_IMAGE_FORMAT` if a table is outside the image or over a limit, or the reader's own error.
    pub fn imports(&self, reader: &mut impl RvaReader) -> Result<Vec<ImportedDll>, PeError> {
        let directory = self.directory(Directory::Import);
        let mut dlls = Vec::new();
        if !directory.is_present() {
            return Ok(dlls);
        }
        let mut thunks = ThunkReader::new(reader, self.magic());
        loop {
            let at = entry(directory.rva, dlls.len() as u32, size_of::<ImageImportDescriptor>() as u32)?;
            let raw: ImageImportDescriptor = read_struct(thunks.reader, at)?;
            let (name, slots_rva) = (raw.name.get(LE), raw.first_thunk.get(LE));
            if name == 0 || slots_rva == 0 {
                return Ok(dlls);
            }
            check_dll_count(dlls.len())?;
            let names_rva = match raw.original_first_thunk.get(LE) {
                0 => slots_rva,
                rva => rva,
            };
            let name = thunks.dll_name(name)?;
            let functions = thunks.functions(names_rva, slots_rva, Ok)?;
            dlls.push(ImportedDll { name, slots_rva, functions });
        }
    }
}

/// Refuses one more DLL than the limit.
pub(super) fn check_dll_count(count: usize) -> Result<(), PeError> {
    if count == MAX_IMPORT_DLLS {
        return Err(PeError::format(format!("imports from more than {MAX_IMPORT_DLLS} DLLs")));
    }
    Ok(())
}

/// Reads lists of imported functions, and counts what they add up to.
pub(super) struct ThunkReader<'r, R> {
    pub(super) reader: &'r mut R,
    magic: Magic,
    names: NameBudget,
    functions: usize,
}

impl<'r, R: RvaReader> ThunkReader<'r, R> {
    pub(super) fn new(reader: &'r mut R, magic: Magic) -> Self {
        Self { reader, magic, names: NameBudget::default(), functions: 0 }
    }

    pub(super) fn dll_name(&mut self, rva: u32) -> Result<AnsiName, PeError> {
        self.names.read(self.reader, rva, MAX_DLL_NAME_BYTES)
    }

    /// The list of names at `names_rva`, up to its null; `to_rva` turns an entry that is no ordinal into an RVA.
    pub(super) fn functions(
        &mut self,
        names_rva: u32,
        slots_rva: u32,
        to_rva: impl Fn(u64) -> Result<u64, PeError>,
    ) -> Result<Vec<ImportedFunction>, PeError> {
        let mut functions = Vec::new();
        loop {
            let index = functions.len() as u32;
            let raw =
                read_pointer(self.reader, entry(names_rva, index, self.magic.pointer_bytes())?, self.magic)?;
            if raw == 0 {
                return Ok(functions);
            }
            if functions.len() == MAX_IMPORTS_PER_DLL || self.functions == MAX_IMPORTS {
                return Err(PeError::format(format!(
                    "imports more than {MAX_IMPORTS_PER_DLL} functions from a DLL, or {MAX_IMPORTS} in all"
                )));
            }
            self.functions += 1;
            let slot_rva = entry(slots_rva, index, self.magic.pointer_bytes())?;
            functions.push(ImportedFunction { symbol: self.symbol(raw, &to_rva)?, slot_rva });
        }
    }

    fn symbol(
        &mut self,
        raw: u64,
        to_rva: &impl Fn(u64) -> Result<u64, PeError>,
    ) -> Result<ImportSymbol, PeError> {
        let by_ordinal = match self.magic {
            Magic::Pe32 => 1 << 31,
            Magic::Pe32Plus => 1 << 63,
        };
        if raw & by_ordinal != 0 {
            return Ok(ImportSymbol::ByOrdinal(raw as u16));
        }
        let rva = u32::try_from(to_rva(raw)?).map_err(|_| {
            PeError::format(format!("imports a function by a name outside the image ({raw:#x})"))
        })?;
        let hint = read_u16(self.reader, rva)?;
        let name = self.names.read(self.reader, add(rva, 2)?, MAX_NAME_BYTES)?;
        Ok(ImportSymbol::ByName { hint, name })
    }
}
