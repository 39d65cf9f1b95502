//! The delay-import table: functions a program looks up when it first calls them.

use super::error::PeError;
use super::fields::Directory;
use super::header::PeImage;
use super::import::{ImportedFunction, ThunkReader, check_dll_count};
use super::name::AnsiName;
use super::rva::{RvaReader, entry, read_struct};
use crate::addr::VirtAddr;
use object::LittleEndian as LE;
use object::pe::ImageDelayloadDescriptor;

/// A DLL that is loaded at the first call into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DelayedDll {
    /// The DLL's file name.
    pub name: AnsiName,
    /// Where the program keeps the DLL's base once it is loaded.
    pub module_rva: u32,
    /// The delayed import address table: the first of the slots.
    pub slots_rva: u32,
    /// The functions, in the order of their slots.
    pub functions: Vec<ImportedFunction>,
}

/// Bit 0 of `Attributes`: the descriptor's fields are RVAs. Old linkers clear it and store pointers.
const FIELDS_ARE_RVAS: u32 = 1;

impl PeImage {
    /// The DLLs that are loaded when first used. `pointer_base` is what pointers in the bytes read are relative to: the
    /// preferred base in a file, the actual base in a relocated image.
    ///
    /// # Errors
    ///
    /// `STATUS_INVALID_IMAGE_FORMAT` if a table is outside the image or over a limit, or the reader's own error.
    pub fn delay_imports(
        &self,
        reader: &mut impl RvaReader,
        pointer_base: VirtAddr,
    ) -> Result<Vec<DelayedDll>, PeError> {
        let directory = self.directory(Directory::DelayImport);
        let mut dlls = Vec::new();
        if !directory.is_present() {
            return Ok(dlls);
        }
        let mut thunks = ThunkReader::new(reader, self.magic());
        loop {
            let at = entry(directory.rva, dlls.len() as u32, size_of::<ImageDelayloadDescriptor>() as u32)?;
            let raw: ImageDelayloadDescriptor = read_struct(thunks.reader, at)?;
            if raw.dll_name_rva.get(LE) == 0 || raw.import_name_table_rva.get(LE) == 0 {
                return Ok(dlls);
            }
            check_dll_count(dlls.len())?;
            let base = match raw.attributes.get(LE) & FIELDS_ARE_RVAS {
                0 => pointer_base.raw(),
                _ => 0,
            };
            dlls.push(read_dll(&mut thunks, &raw, base)?);
        }
    }
}

fn read_dll<R: RvaReader>(
    thunks: &mut ThunkReader<'_, R>,
    raw: &ImageDelayloadDescriptor,
    base: u64,
) -> Result<DelayedDll, PeError> {
    let to_rva = |pointer: u64| {
        pointer.checked_sub(base).ok_or_else(|| {
            PeError::format(format!("has a delayed import at {pointer:#x}, which is below the image"))
        })
    };
    let field = |raw: object::U32<LE>| {
        to_rva(raw.get(LE).into())
            .map(|rva| u32::try_from(rva).expect("a 32-bit number less another fits 32 bits"))
    };
    let slots_rva = field(raw.import_address_table_rva)?;
    Ok(DelayedDll {
        name: thunks.dll_name(field(raw.dll_name_rva)?)?,
        module_rva: if raw.module_handle_rva.get(LE) == 0 { 0 } else { field(raw.module_handle_rva)? },
        slots_rva,
        functions: thunks.functions(field(raw.import_name_table_rva)?, slots_rva, to_rva)?,
    })
}
