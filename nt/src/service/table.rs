//! The service table: numbers to exports, by array index.

use super::export::{Body, Export, Handler, Style};
use std::collections::HashMap;

/// First number of the Win32 table; native services are below.
const WIN32_BASE: u32 = 0x1000;
/// First number of the stubs that stand for functions no DLL has.
pub(crate) const MISSING_BASE: u32 = 0x2000;

/// A service number: what a stub loads into EAX.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Number(u32);

impl Number {
    /// Wraps what a guest had in EAX.
    pub const fn new(raw: u32) -> Self {
        Self(raw)
    }

    /// The number.
    pub const fn raw(self) -> u32 {
        self.0
    }
}

/// One row of the table.
#[derive(Clone, Copy)]
pub struct Service {
    /// Its declaration.
    pub export: &'static Export,
    /// The host's code.
    pub handler: Handler,
    /// How it fails.
    pub style: Style,
}

/// Every export of the built-in DLLs, and the services among them by number. Built from the `EXPORTS` tables in a fixed
/// order, so that numbers and generated DLLs are the same in every run.
pub struct ServiceTable {
    exports: Vec<&'static Export>,
    native: Vec<Service>,
    win32: Vec<Service>,
    numbers: HashMap<&'static str, Number>,
}

impl ServiceTable {
    /// Gathers the tables.
    ///
    /// # Panics
    ///
    /// If two exports have one name, or a table outgrows its range of numbers.
    pub fn new() -> Self {
        let mut table =
            Self { exports: Vec::new(), native: Vec::new(), win32: Vec::new(), numbers: HashMap::new() };
        let groups = crate::executive::TABLES.iter().chain(crate::win32::TABLES);
        for export in groups.flat_map(|group| group.iter()) {
            table.add(export);
        }
        table
    }

    fn add(&mut self, export: &'static Export) {
        self.exports.push(export);
        let Body::Service { handler, style } = export.body else { return };
        let service = Service { export, handler, style };
        let (list, base) = match style {
            Style::Native => (&mut self.native, 0),
            Style::System { .. } | Style::Library { .. } => (&mut self.win32, WIN32_BASE),
        };
        let index = u32::try_from(list.len()).expect("few services");
        assert!(index < WIN32_BASE, "a service table has {WIN32_BASE} numbers");
        list.push(service);
        let old = self.numbers.insert(export.name, Number(base + index));
        assert!(old.is_none(), "{} is declared twice", export.name);
    }

    /// The service of a number, `None` outside the tables.
    pub fn get(&self, number: Number) -> Option<&Service> {
        let index = usize::try_from(number.0 % WIN32_BASE).ok()?;
        match number.0 / WIN32_BASE {
            0 => self.native.get(index),
            1 => self.win32.get(index),
            _ => None,
        }
    }

    /// The number of a service's stub.
    pub fn number(&self, name: &str) -> Option<Number> {
        self.numbers.get(name).copied()
    }

    /// Every export, in declaration order.
    pub fn exports(&self) -> &[&'static Export] {
        &self.exports
    }

    /// Every service number that is in use.
    pub fn all_numbers(&self) -> impl Iterator<Item = Number> {
        let native = (0..).map(Number).take(self.native.len());
        native.chain((WIN32_BASE..).map(Number).take(self.win32.len()))
    }
}

impl Default for ServiceTable {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::Dll;

    #[test]
    fn every_number_finds_its_own_service_and_no_other_number_finds_one() {
        let table = ServiceTable::new();
        for number in table.all_numbers() {
            let service = table.get(number).expect("a number in use");
            assert_eq!(table.number(service.export.name), Some(number));
        }
        let native = table.native.len() as u32;
        for wrong in [native, WIN32_BASE - 1, MISSING_BASE, 0x3000, u32::MAX] {
            assert!(table.get(Number(wrong)).is_none(), "{wrong:#x}");
        }
    }

    #[test]
    fn a_dll_exports_each_name_once() {
        let table = ServiceTable::new();
        for dll in Dll::ALL {
            let mut names: Vec<&str> =
                table.exports().iter().filter(|e| e.is_exported_by(dll)).map(|e| e.name).collect();
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count, "{dll:?}");
        }
    }
}
