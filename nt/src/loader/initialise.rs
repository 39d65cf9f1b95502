//! Which functions of modules the guest calls when a process or a DLL starts and ends, and in which order.

use super::error::LoadError;
use crate::executive::{Initialiser, ModuleKind, ThreadCalls};
use crate::kernel::Kernel;
use std::sync::Arc;
use vadose_facts::addr::VirtAddr;

const ATTACH: u32 = 1;
const DETACH: u32 = 0;
const THREAD_ATTACH: u32 = 2;
const THREAD_DETACH: u32 = 3;

impl Kernel<'_> {
    /// Completes the modules from index `first` on: list entries, static TLS, and their initialisers in the queue.
    /// `reserved` is their third argument: not 0 while the process starts.
    pub(super) fn finish_modules(&mut self, first: usize, reserved: u64) -> Result<(), LoadError> {
        self.enter_modules(first)?;
        self.add_tls(first)?;
        let mut calls = Vec::new();
        let mut files = Vec::new();
        for index in self.initialisation_order(first)? {
            calls.extend(self.initialisers_of(index, ATTACH, reserved)?);
            let module = &self.nt.process().modules[index];
            files.extend((module.kind == ModuleKind::File).then_some(module.base));
        }
        // Only now that nothing can fail any more: a load that fails queues nothing.
        let initialisers = &mut self.nt.current_thread_mut().initialisers;
        initialisers.extend(calls);
        initialisers.brought(files);
        Ok(())
    }

    /// Modules after those that they import; the program last.
    fn initialisation_order(&mut self, first: usize) -> Result<Vec<usize>, LoadError> {
        let count = self.nt.process().modules.len();
        let mut imports = vec![Vec::new(); count];
        for (index, list) in imports.iter_mut().enumerate().skip(first) {
            for dll in self.imports_of(index)? {
                let name = String::from_utf8_lossy(dll.name.as_bytes()).into_owned();
                list.extend(self.loaded(&super::images::with_extension(&name)));
            }
        }
        let mut order = Vec::new();
        let mut seen = vec![false; count];
        seen[..first].fill(true);
        for start in first..count {
            visit(start, &imports, &mut seen, &mut order);
        }
        Ok(order)
    }

    /// TLS callbacks, then the entry point of a DLL.
    fn initialisers_of(
        &mut self,
        index: usize,
        reason: u32,
        reserved: u64,
    ) -> Result<Vec<Initialiser>, LoadError> {
        let module = self.nt.process().modules[index].clone();
        if module.kind == ModuleKind::BuiltIn {
            return Ok(Vec::new());
        }
        let image = Arc::clone(&module.image);
        let refused = |error| LoadError::NotRunnable { path: module.path.to_string(), error };
        let tls = image.tls(&mut self.image_at(module.base), module.base).map_err(refused)?;
        let callbacks = tls.map(|tls| tls.callbacks).unwrap_or_default();
        let call = |function: VirtAddr, must_succeed: bool| Initialiser {
            function,
            module: module.base,
            reason,
            reserved,
            must_succeed,
        };
        let mut calls: Vec<Initialiser> = callbacks.into_iter().map(|f| call(f, false)).collect();
        if module.kind == ModuleKind::File && image.entry_rva() != 0 {
            calls.push(call(self.module_address(index, image.entry_rva()).address(), true));
        }
        Ok(calls)
    }

    /// Queues the terminators of all modules, last loaded first. Once per process.
    pub(crate) fn queue_terminators(&mut self) {
        if std::mem::replace(&mut self.nt.process_mut().exiting, true) {
            return;
        }
        // What was still to be initialised is not terminated either.
        self.nt.current_thread_mut().initialisers.clear();
        self.queue_fiber_callbacks();
        for index in (0..self.nt.process().modules.len()).rev() {
            // A module whose tables the program has overwritten meanwhile is left alone.
            let Ok(calls) = self.initialisers_of(index, DETACH, 1) else { continue };
            self.nt.current_thread_mut().initialisers.extend(calls);
        }
    }

    /// Queues the terminators of a module whose entry point refused, and of those that came with it and agreed.
    pub(crate) fn queue_terminators_after_refusal(&mut self, module: VirtAddr) {
        for base in self.nt.current_thread_mut().initialisers.refused(module) {
            let index = self.nt.process().modules.iter().position(|module| module.base == base);
            if let Some(index) = index {
                self.queue_terminators_of(index);
            }
        }
    }

    /// Queues the terminators of one module that is unloaded.
    pub(crate) fn queue_terminators_of(&mut self, index: usize) {
        if let Ok(calls) = self.initialisers_of(index, DETACH, 0) {
            self.nt.current_thread_mut().initialisers.extend(calls);
        }
    }

    /// Queues what a new thread calls first: DLLs in load order, then the program's TLS callbacks.
    pub(crate) fn queue_thread_initialisers(&mut self) {
        let thread = self.nt.current_thread_mut();
        thread.attaching = false;
        thread.initialisers.begin();
        let modules = 1..self.nt.process().modules.len();
        self.queue_thread_calls(modules.chain([0]), THREAD_ATTACH);
    }

    /// Queues what a thread calls last: its fiber-local callbacks, DLLs in reverse order, the program's TLS callbacks.
    pub(crate) fn queue_thread_terminators(&mut self) {
        self.nt.current_thread_mut().initialisers.begin();
        self.queue_fiber_callbacks();
        let modules = (0..self.nt.process().modules.len()).rev();
        self.queue_thread_calls(modules, THREAD_DETACH);
    }

    fn queue_thread_calls(&mut self, modules: impl Iterator<Item = usize>, reason: u32) {
        for index in modules {
            if self.nt.process().modules[index].thread_calls == ThreadCalls::Disabled {
                continue;
            }
            // A module whose tables the program has overwritten meanwhile is left alone.
            let Ok(calls) = self.initialisers_of(index, reason, 0) else { continue };
            self.nt.current_thread_mut().initialisers.extend(calls);
        }
    }
}

/// Depth first: imports, then the module. Iterative, for the depth is the guest's.
fn visit(start: usize, imports: &[Vec<usize>], seen: &mut [bool], order: &mut Vec<usize>) {
    if std::mem::replace(&mut seen[start], true) {
        return;
    }
    let mut path = vec![(start, 0)];
    while let Some((module, next)) = path.last_mut() {
        match imports[*module].get(*next) {
            Some(&import) => {
                *next += 1;
                if !std::mem::replace(&mut seen[import], true) {
                    path.push((import, 0));
                }
            }
            None => {
                order.push(*module);
                path.pop();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(imports: &[&[usize]]) -> Vec<usize> {
        let imports: Vec<Vec<usize>> = imports.iter().map(|list| list.to_vec()).collect();
        let (mut seen, mut order) = (vec![false; imports.len()], Vec::new());
        (0..imports.len()).for_each(|start| visit(start, &imports, &mut seen, &mut order));
        order
    }

    #[test]
    fn modules_are_initialised_after_what_they_import_and_cycles_end() {
        assert_eq!(order(&[&[1, 2], &[2], &[]]), [2, 1, 0]);
        assert_eq!(order(&[&[1], &[2], &[1]]), [2, 1, 0]);
        assert_eq!(order(&[&[0], &[]]), [0, 1]);
    }
}
