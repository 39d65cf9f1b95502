//! The images of a process whose loader is its own: what its views say, read when somebody wants to know.

use crate::executive::{Module, ModuleKind, ThreadCalls};
use crate::kernel::Kernel;
use vadose_facts::addr::VirtAddr;

impl Kernel<'_> {
    /// Brings the list of the current process's images up to what its address space has now. Built-in DLLs are entered as the
    /// kernel loads them, and need nothing.
    pub fn see_images(&mut self) {
        if self.nt.folder.is_none() || !self.nt.has_process() {
            return;
        }
        let process = self.nt.process();
        let mut seen = Vec::new();
        for (range, file) in self.mm.image_views(process.id) {
            let known = process.modules.iter().find(|module| module.base == range.base());
            let known = known.filter(|module| module.file == file).cloned();
            let module = known.or_else(|| {
                let (path, image) = (self.nt.files.path(file)?.clone(), self.nt.files.image(file)?);
                Some(Module {
                    name: path.file_name().unwrap_or_default().to_owned(),
                    path,
                    base: range.base(),
                    size: range.bytes(),
                    image,
                    file,
                    section: None,
                    kind: ModuleKind::File,
                    references: 1,
                    pinned: false,
                    thread_calls: ThreadCalls::Made,
                    loader_entry: VirtAddr::new(0),
                })
            });
            seen.extend(module);
        }
        // The program first, as in every list of them; a view that was unmapped keeps its section until the process ends.
        let kept = process.modules.iter().filter(|module| module.section.is_some());
        let gone: Vec<Module> =
            kept.filter(|one| !seen.iter().any(|module| module.base == one.base)).cloned().collect();
        seen.extend(gone);
        seen.sort_by_key(|module| (module.kind != ModuleKind::Program, module.base));
        self.nt.process_mut().modules = seen;
    }
}
