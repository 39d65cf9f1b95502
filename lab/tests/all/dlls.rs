//! A program that loads, calls and unloads DLLs while it runs, on every edition.

use crate::support::{check_guest, on_each_edition};
use vadose_facts::ntdef::Bitness;

/// SPEC G25 G30: a DLL whose place is taken is moved, and every pointer in it with it, also one that lies on two pages;
/// entry points are called in their order, also from within one another; after the last reference the pages are free.
#[test]
fn a_library_that_loads_another_comes_and_goes() {
    on_each_edition(|edition| {
        let told = check_guest(edition, "load_library", &[], 0, LOAD_LIBRARY);
        let map = &told.outcome.report.map;
        let left: Vec<_> = map.modules.iter().filter(|module| module.name.starts_with("plugin")).collect();
        assert!(left.is_empty(), "{} keeps {left:?}", edition.name);
        let place = match edition.bitness {
            Bitness::Bits32 => 0x6f00_0000,
            Bitness::Bits64 => 0x6_f000_0000,
        };
        assert!(map.regions.iter().all(|region| region.address != place), "{}", edition.name);
    });
}

const LOAD_LIBRARY: &str = "\
before
  kernel32 is there, by each spelling
  it has ExitProcess
  the program is at its handle
  plugin.dll: null, error 126
plugin.dll
  is C:\\work\\plugin.dll
  is where it prefers to be
  add(40, 2) is 42
  ordinal 7 of 6 and 7 is 42
  count of entry point calls is 1
  reason is 1
  it was told that the process was running already
  count of the other's calls by then is 1
plugin2.dll
  is the one that plugin.dll loaded
  is not where it prefers to be
  count of entry point calls is 1
  reason is 1
  its constant pointers are right
  sum by its function pointer is 66
  its text is a text
  its variable pointers are right
  sum by its function pointer is 66
  its text is a text
  its pointer on two pages is right
  number there is 22
  constants are readonly
pages of plugin.dll
  header: commit readonly, image, allocated as execute_writecopy at the handle
  code: commit execute_read, image, allocated as execute_writecopy at the handle
  written variable: commit readwrite, image, allocated as execute_writecopy at the handle
missing
  missing.dll: null, error 126
  subtract: null, error 127
  ADD: null, error 127
unloading
  loaded again, it is the same
  freed once, it is still there
  entry point of DLL 1 called with reason 0
  entry point of DLL 2 called with reason 0
  plugin.dll: null, error 126
  plugin2.dll: null, error 126
  their pages are free
loaded anew by its path
  is where it prefers to be
  count of entry point calls is 1
loading refusing.dll
  refusing.dll, reason 1
  refusing.dll, reason 0
  LoadLibraryA: null, error 1114
  refusing.dll: null, error 126
  relying.dll: null, error 126
loading relying.dll
  refusing.dll, reason 1
  refusing.dll, reason 0
  LoadLibraryA: null, error 1114
  refusing.dll: null, error 126
  relying.dll: null, error 126
";
