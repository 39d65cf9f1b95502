//! A process whose `ntdll.dll` comes from a folder: mapped with the program, told where the kernel's tables are, and entered
//! in `LdrInitializeThunk`. All else is the guest's own code.

use super::folder::{Landmarks, system_path};
use crate::claim::{BadPointer, UserPtr};
use crate::executive::{Entries, ImageSection, LoaderStart};
use crate::kernel::Kernel;
use crate::loader::{LoadError, StartOptions};
use std::sync::Arc;
use vadose_cpu::Registers;
use vadose_facts::addr::VirtAddr;
use vadose_facts::ntdef::Bitness;

/// Bytes above the stack pointer in `LdrInitializeThunk` that are its caller's: the return address, which is null, and room
/// for four arguments.
const ENTRY_BYTES_64: u64 = 0x28;
const ENTRY_BYTES_32: u64 = 0x14;

impl Kernel<'_> {
    /// Fills a new process's address space for a folder's `ntdll.dll`.
    pub(crate) fn build_on_folder(
        &mut self,
        options: &StartOptions,
        section: ImageSection,
    ) -> Result<(), LoadError> {
        let landmarks = self.nt.folder.as_ref().expect("a folder is in use").landmarks;
        let image = Arc::clone(&section.image);
        self.make_environment_blocks()?;
        self.make_parameters(options)?;
        self.map_program(&options.program, section)?;
        let ntdll = self.map_system_dll(&system_path("ntdll.dll"))?;
        self.write_peb(&image)?;
        let memory = |status| LoadError::memory("tables of the process", status);
        self.map_code_pages().map_err(memory)?;
        self.map_api_sets()?;
        self.note_entries(ntdll, landmarks);
        let entered = self.fill_system_call(ntdll, landmarks);
        let entered = entered.and_then(|stubs| self.fill_wine_variables(ntdll, landmarks, stubs));
        entered.map_err(memory)?;
        self.make_stack(image.stack())?;
        self.nt.process_mut().started = true;
        Ok(())
    }

    fn note_entries(&mut self, ntdll: VirtAddr, landmarks: Landmarks) {
        let at = |rva: u32| VirtAddr::new(ntdll.raw() + u64::from(rva));
        let process = self.nt.process_mut();
        process.dispatcher = Some(at(landmarks.exception_dispatcher));
        process.entries = Entries {
            thread_start: landmarks.thread_start.map_or(VirtAddr::new(0), at),
            apc_dispatcher: landmarks.apc_dispatcher.map_or(VirtAddr::new(0), at),
            loader: Some(LoaderStart { thunk: at(landmarks.initialise_thunk), ntdll }),
            ..Entries::default()
        };
    }

    /// Has a new thread begin in `LdrInitializeThunk`, which goes on with these registers when it is done: they are a context
    /// on the thread's own stack.
    ///
    /// # Errors
    ///
    /// The stack cannot be written.
    pub(crate) fn begin_in_loader(
        &mut self,
        registers: &Registers,
        start: LoaderStart,
    ) -> Result<Registers, BadPointer> {
        let bitness = self.nt.edition.bitness;
        let mut own = registers.clone();
        // The thread's first function finds its stack as if it had been called.
        own.gpr[4] -= match bitness {
            Bitness::Bits32 => 0,
            Bitness::Bits64 => self.pointer_bytes(),
        };
        let context = crate::executive::context_bytes(&own, bitness);
        let at = (registers.gpr[4] - context.len() as u64) & !15;
        self.write(UserPtr::new(at), &context)?;
        let mut first = registers.clone();
        first.ip = start.thunk.raw();
        match bitness {
            Bitness::Bits64 => {
                first.gpr[4] = at - ENTRY_BYTES_64;
                (first.gpr[1], first.gpr[2]) = (at, start.ntdll.raw());
                self.write(UserPtr::new(first.gpr[4]), &[0; ENTRY_BYTES_64 as usize])?;
            }
            Bitness::Bits32 => {
                first.gpr[4] = at - ENTRY_BYTES_32;
                let words = [0, at as u32, start.ntdll.raw() as u32, 0, 0];
                let words: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
                self.write(UserPtr::new(first.gpr[4]), &words)?;
            }
        }
        Ok(first)
    }

    /// The API set map: the `.apiset` section of the folder's `apisetschema.dll`, seen through a view of that file.
    fn map_api_sets(&mut self) -> Result<(), LoadError> {
        const SCHEMA: &str = "apisetschema.dll";
        let Some((path, bytes)) = self.read_system_dll(SCHEMA)? else { return Ok(()) };
        let broken = |error| LoadError::NotRunnable { path: path.to_string(), error };
        let image = vadose_facts::pe::PeImage::parse(&bytes[..]).map_err(broken)?;
        let Some(section) = image.sections().iter().find(|section| section.name.as_bytes() == b".apiset")
        else {
            return Ok(());
        };
        let offset = u64::from(section.raw_offset);
        let memory = |status| LoadError::memory("the API set map", status);
        let (base, _) = self.map_system_file(&path).map_err(memory)?;
        let at = self.peb_field(self.nt.layouts().peb.api_set_map);
        self.write_word(at, base.raw() + offset).map_err(|bad| memory(bad.status))
    }

    pub(super) fn peb_field(&self, offset: u32) -> UserPtr {
        UserPtr::new(self.nt.process().peb.raw()).offset(u64::from(offset))
    }
}
