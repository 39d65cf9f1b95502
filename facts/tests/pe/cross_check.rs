//! The same files read by two other PE libraries must say the same.

use super::builder::Width;
use super::full::full;
use super::tables::mapped;
use goblin::pe::exception::{ExceptionData, UnwindCode};
use object::read::pe::{ImageNtHeaders, ImageOptionalHeader, PeFile, PeFile32, PeFile64};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use vadose_facts::pe::{
    Export, ExportTarget, ImportSymbol, Machine, Magic, PeImage, UnwindOperation, UnwindStep,
};

/// Imports as "dll!symbol", in order.
fn our_imports(image: &PeImage, file: &Vec<u8>) -> Vec<String> {
    let dlls = image.imports(&mut image.file_view(file)).expect("a linker made the table");
    let name = |dll: &str, symbol: &ImportSymbol| format!("{dll}!{symbol}");
    dlls.iter()
        .flat_map(|dll| {
            dll.functions.iter().map(|f| name(&dll.name.to_string(), &f.symbol)).collect::<Vec<_>>()
        })
        .collect()
}

fn against_goblin(file: &Vec<u8>) {
    let image = PeImage::parse(file).expect("a linker made the file");
    let theirs = goblin::pe::PE::parse(file).expect("goblin reads it");
    assert_eq!(image.image_base(), theirs.image_base);
    assert_eq!(u64::from(image.entry_rva()), u64::from(theirs.entry));
    let sections: Vec<_> = theirs.sections.iter().map(|s| (s.virtual_address, s.size_of_raw_data)).collect();
    assert_eq!(image.sections().iter().map(|s| (s.rva, s.raw_size)).collect::<Vec<_>>(), sections);
    let imports: Vec<String> =
        theirs
            .imports
            .iter()
            .map(|i| {
                if i.rva == 0 { format!("{}!#{}", i.dll, i.ordinal) } else { format!("{}!{}", i.dll, i.name) }
            })
            .collect();
    assert_eq!(our_imports(&image, file), imports);
    if let (Machine::Amd64, Some(functions)) = (image.machine(), &theirs.exception_data) {
        functions_against_goblin(&image, file, &theirs, functions);
    }
}

/// Every function's extent, and every step of its prologue.
fn functions_against_goblin(
    image: &PeImage,
    file: &Vec<u8>,
    theirs: &goblin::pe::PE<'_>,
    functions: &ExceptionData<'_>,
) {
    let mut view = image.file_view(file);
    for function in functions.functions() {
        let function = function.expect("goblin reads it");
        let info = functions.get_unwind_info(function, &theirs.sections).expect("goblin reads it");
        let ours = image.function_at(&mut view, function.begin_address).expect("readable").expect("there");
        assert_eq!((ours.begin_rva, ours.end_rva), (function.begin_address, function.end_address));
        let ours = ours.unwind_info(&mut view).expect("readable");
        let steps: Vec<UnwindStep> =
            info.unwind_codes().map(|code| their_step(code.expect("goblin reads it"))).collect();
        assert_eq!(ours.steps, steps, "the function at {:#x}", function.begin_address);
        assert_eq!(ours.chained.is_some(), info.chained_info.is_some());
        let frame =
            (info.frame_register.0 != 0).then_some((info.frame_register.0, info.frame_register_offset));
        assert_eq!(ours.frame, frame);
    }
}

fn their_step(code: UnwindCode) -> UnwindStep {
    use goblin::pe::exception::{StackFrameOffset as Offset, UnwindOperation as Theirs};
    let operation = match code.operation {
        Theirs::PushNonVolatile(register) => UnwindOperation::Push(register.0),
        Theirs::Alloc(bytes) => UnwindOperation::Allocate(bytes),
        Theirs::SetFPRegister => UnwindOperation::SetFrame,
        Theirs::SaveNonVolatile(register, Offset::RSP(offset) | Offset::FP(offset)) => {
            UnwindOperation::Save { register: register.0, offset }
        }
        Theirs::PushMachineFrame(error) => UnwindOperation::MachineFrame(if error { 8 } else { 0 }),
        _ => UnwindOperation::Other,
    };
    UnwindStep { prolog_offset: code.code_offset, operation }
}

fn against_object<'a, H>(ours: &PeImage, file: &'a Vec<u8>, theirs: &PeFile<'a, H>)
where
    H: ImageNtHeaders,
{
    let data = file.as_slice();
    let header = theirs.nt_headers().optional_header();
    assert_eq!(ours.size_of_image(), header.size_of_image());
    assert_eq!(ours.stack().reserve, header.size_of_stack_reserve());
    assert_eq!(ours.dll_characteristics().bits(), header.dll_characteristics().0);
    let mut view = ours.file_view(file);
    let relocations = ours.relocations(&mut view).expect("a linker made the table");
    let mut places = BTreeSet::new();
    let blocks =
        theirs.data_directories().relocation_blocks(data, &theirs.section_table()).expect("readable");
    if let Some(mut blocks) = blocks {
        while let Some(block) = blocks.next().expect("readable") {
            places.extend(block.filter(|entry| entry.typ.0 != 0).map(|entry| entry.virtual_address));
        }
    }
    assert_eq!(relocations.fixups().iter().map(|f| f.rva).collect::<BTreeSet<_>>(), places);
    let exports = ours.exports(&mut view).expect("a linker made the table");
    let ours = exports.as_ref().map_or(vec![], |table| table.enumerate(&mut view).expect("readable"));
    let theirs = theirs.export_table().expect("readable").map_or(vec![], |t| t.exports().expect("readable"));
    let ours: BTreeSet<String> = ours.iter().map(describe_ours).collect();
    let entries = theirs.iter().filter(|e| !matches!(e.target, object::read::pe::ExportTarget::Address(0)));
    assert_eq!(ours, entries.map(describe_theirs).collect());
}

fn describe_ours(export: &Export) -> String {
    let target = match &export.target {
        ExportTarget::Rva(rva) => format!("{rva:#x}"),
        ExportTarget::Forwarder(to) => format!("{}.{}", to.dll, to.symbol),
    };
    let name = export.name.as_ref().map_or(String::new(), ToString::to_string);
    format!("{} {name} {target}", export.ordinal)
}

fn describe_theirs(export: &object::read::pe::Export<'_>) -> String {
    use object::read::pe::ExportTarget as Target;
    let text = String::from_utf8_lossy;
    let target = match export.target {
        Target::Address(rva) => format!("{rva:#x}"),
        Target::ForwardByOrdinal(dll, ordinal) => format!("{}.#{ordinal}", text(dll)),
        Target::ForwardByName(dll, name) => format!("{}.{}", text(dll), text(name)),
    };
    format!("{} {} {target}", export.ordinal, text(export.name.unwrap_or_default()))
}

fn check(file: &Vec<u8>) {
    let image = PeImage::parse(file).expect("a linker made the file");
    against_goblin(file);
    match image.magic() {
        Magic::Pe32 => {
            against_object(&image, file, &PeFile32::parse(file.as_slice()).expect("object reads it"))
        }
        Magic::Pe32Plus => {
            against_object(&image, file, &PeFile64::parse(file.as_slice()).expect("object reads it"))
        }
    }
    assert_eq!(mapped(&image, file).len(), image.layout().pages() as usize * 4096);
}

#[test]
fn the_built_files_read_the_same_elsewhere() {
    for width in Width::BOTH {
        check(&full(width).build());
    }
}

/// Windows programs below a folder, a few levels deep.
fn programs_below(folder: &Path, levels: usize, found: &mut Vec<PathBuf>) {
    const MANY: usize = 256;
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if levels > 0 && path.is_dir() {
            programs_below(&path, levels - 1, found);
        } else if found.len() < MANY && path.extension().is_some_and(|e| e == "exe" || e == "dll") {
            found.push(path);
        }
    }
}

/// Real files: the sample guests of this repository, and the folders that `VADOSE_PE_FILES` lists, separated by colons.
#[test]
fn real_files_read_the_same_elsewhere() {
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../lab/guests/bin");
    let more = std::env::var_os("VADOSE_PE_FILES").unwrap_or_default();
    let mut found = Vec::new();
    for folder in std::iter::once(guests).chain(std::env::split_paths(&more)) {
        programs_below(&folder, 8, &mut found);
    }
    for path in found {
        let file = std::fs::read(&path).expect("the file was just listed");
        std::panic::catch_unwind(|| check(&file))
            .unwrap_or_else(|_| panic!("{} reads otherwise", path.display()));
    }
}
