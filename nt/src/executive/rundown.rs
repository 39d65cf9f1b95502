//! The end of a process, at whatever moment: what it has goes back to the memory manager and to the host.

use super::handle::Object;
use crate::kernel::Kernel;

impl Kernel<'_> {
    /// Takes from the process all that it has: its address space, its images, and what its handles name. What it stored
    /// to views of files reaches them (SPEC F46). Its threads may be anywhere; none of them runs again.
    ///
    /// # Panics
    ///
    /// Before a program was loaded, and if the process has been ended before.
    pub fn end_process(&mut self) {
        self.write_file_pages();
        self.write_mapped_files();
        let process = self.nt.process().id;
        let unmapped = self.mm.end_process(process);
        self.settle_unmapped(unmapped);
        for module in std::mem::take(&mut self.nt.process_mut().modules) {
            self.drop_section(module.section, module.file);
        }
        for object in self.nt.process_mut().handles.take_all() {
            match object {
                Object::File(file) => self.close_file(&file),
                Object::Section(section) => self.close_section_object(&section),
                Object::Process
                | Object::Thread(_)
                | Object::Console(_)
                | Object::Event(_)
                | Object::Mutex(_)
                | Object::Semaphore(_)
                | Object::Timer(_)
                | Object::CompletionPort(_)
                | Object::Token
                | Object::Search(_)
                | Object::Other => {}
            }
        }
        self.forget_unmapped_files();
    }
}
