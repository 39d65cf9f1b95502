//! Tables of code pages, of case and of locales: files of the system folder that the kernel maps for a process.
//!
//! `NtGetNlsSectionPtr` and `NtInitializeNlsFiles` as Wine's tests of them (`dlls/ntdll/tests/rtlstr.c` and
//! `dlls/kernelbase/tests/locale.c`) and Geoff Chappell's notes describe them.

use super::folder::system_path;
use crate::claim::UserPtr;
use crate::executive::RegionUse;
use crate::host::FileAccess;
use crate::kernel::Kernel;
use crate::path::GuestPath;
use crate::service::{Answer, Arg, Call, Export, Failure};
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::{NtStatus, SectionAttributes};
use vadose_mm::{SectionBacking, SectionRequest, ViewRequest};

use Arg::{U32, Word};

/// `PAGE_READONLY`.
const READ_ONLY: u32 = 0x02;
/// Where Windows keeps the table of sort keys.
const SORT_FOLDER: &str = "Windows\\Globalization\\Sorting";
/// The system's code pages: Western European for programs and, as on consoles, the original PC's.
const ANSI_CODE_PAGE: u32 = 1252;
const OEM_CODE_PAGE: u32 = 437;
/// English as spoken in the United States.
const SYSTEM_LOCALE: u32 = 0x409;
const CASE_TABLE: &str = "l_intl.nls";

/// The services.
pub(crate) const EXPORTS: &[Export] = &[
    Export::native("NtGetNlsSectionPtr", &[U32, U32, Word, Word, Word], get_nls_section),
    Export::native("NtInitializeNlsFiles", &[Word, Word, Word], initialize_nls_files),
];

/// Kinds of tables by the numbers that `NtGetNlsSectionPtr` knows them by.
fn table_name(kind: u32, id: u32) -> Result<String, NtStatus> {
    match (kind, id) {
        (9, 0) => Ok("sortdefault.nls".to_owned()),
        (9, _) => Err(NtStatus::invalid_parameter(1)),
        (10, 0) => Ok(CASE_TABLE.to_owned()),
        (10, _) => Err(NtStatus::UNSUCCESSFUL),
        (11, page) => Ok(code_page_file(page)),
        (12, form) => {
            let form = match form {
                1 => "nfc",
                2 => "nfd",
                5 => "nfkc",
                6 => "nfkd",
                13 => "idna",
                _ => return Err(NtStatus::OBJECT_NAME_NOT_FOUND),
            };
            Ok(format!("norm{form}.nls"))
        }
        _ => Err(NtStatus::invalid_parameter(1)),
    }
}

fn code_page_file(page: u32) -> String {
    format!("c_{page:03}.nls")
}

/// `NtGetNlsSectionPtr(kind, id, context, *table, *size)`.
fn get_nls_section(call: &mut Call<'_>) -> Answer {
    let (kind, id, table_at, size_at) = (call.u32(0), call.u32(1), call.ptr(3), call.ptr(4));
    let name = table_name(kind, id)?;
    let width = call.pointer_bytes();
    call.probe_write(table_at, width)?;
    call.probe_write(size_at, width)?;
    let (base, size) = call.map_nls_file(&name)?;
    call.write_word(table_at, base.raw())?;
    call.write_word(size_at, size)?;
    Ok(0)
}

/// `NtInitializeNlsFiles(*table, *locale, *size)`: the table of locales, the default one, and the table's bytes.
fn initialize_nls_files(call: &mut Call<'_>) -> Answer {
    let (table_at, locale_at, size_at) = (call.ptr(0), call.ptr(1), call.ptr(2));
    let width = call.pointer_bytes();
    call.probe_write(table_at, width)?;
    call.probe_write(locale_at, 4)?;
    let (base, size) = call.map_nls_file("locale.nls")?;
    call.write_word(table_at, base.raw())?;
    call.write_u32(locale_at, SYSTEM_LOCALE)?;
    if !size_at.is_null() {
        call.write_u64(size_at, size)?;
    }
    Ok(0)
}

impl Kernel<'_> {
    /// Maps a table for the process; answers its place and its bytes.
    fn map_nls_file(&mut self, name: &str) -> Result<(VirtAddr, u64), Failure> {
        let sorting = GuestPath::resolve(&GuestPath::root(), SORT_FOLDER).expect("a plain path");
        let places = [system_path(name), sorting.join(name).expect("a plain name")];
        for path in places {
            match self.map_system_file(&path) {
                Err(NtStatus::OBJECT_NAME_NOT_FOUND | NtStatus::OBJECT_PATH_NOT_FOUND) => {}
                other => return Ok(other?),
            }
        }
        Err(NtStatus::OBJECT_NAME_NOT_FOUND.into())
    }

    /// Maps all of a file for the process, to be read; answers its place and its bytes.
    ///
    /// # Errors
    ///
    /// It is not there, or there is no room for it.
    pub(super) fn map_system_file(&mut self, path: &GuestPath) -> Result<(VirtAddr, u64), NtStatus> {
        let file = self.nt.files.of_path(self.host, path, FileAccess::Read)?;
        let bytes = self.nt.files.size(self.host, file)?;
        let request = SectionRequest {
            backing: SectionBacking::File { file, bytes },
            size: 0,
            protection: READ_ONLY,
            attributes: SectionAttributes::COMMIT,
        };
        let process = self.nt.process().id;
        let section = self.mm.create_section(request)?;
        let view = self.mm.map_view(process, section, ViewRequest::whole(READ_ONLY));
        self.mm.close_section(section);
        let view = view.inspect_err(|_| self.forget_unmapped_files())?;
        self.nt.process_mut().uses.push((view.base, RegionUse::SystemTable));
        Ok((view.base, bytes))
    }

    /// Maps the tables that a process has from its start, and tells the PEB of them.
    pub(super) fn map_code_pages(&mut self) -> Result<(), NtStatus> {
        let layout = self.nt.layouts().peb;
        let tables = [
            (layout.ansi_code_page, code_page_file(ANSI_CODE_PAGE)),
            (layout.oem_code_page, code_page_file(OEM_CODE_PAGE)),
            (layout.unicode_case_table, CASE_TABLE.to_owned()),
        ];
        for (field, name) in tables {
            // A folder without tables is one for programs that do without.
            let Ok((base, _)) = self.map_nls_file(&name) else { continue };
            let at: UserPtr = self.peb_field(field);
            self.write_word(at, base.raw()).map_err(|bad| bad.status)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_found_by_kind_and_id_and_wrong_ones_refused_by_their_status() {
        assert_eq!(table_name(11, 37), Ok("c_037.nls".to_owned()));
        assert_eq!(table_name(12, 13), Ok("normidna.nls".to_owned()));
        assert_eq!(table_name(9, 1), Err(NtStatus::invalid_parameter(1)));
        assert_eq!(table_name(10, 1), Err(NtStatus::UNSUCCESSFUL));
        assert_eq!(table_name(12, 3), Err(NtStatus::OBJECT_NAME_NOT_FOUND));
        assert_eq!(table_name(8, 0), Err(NtStatus::invalid_parameter(1)));
    }
}
