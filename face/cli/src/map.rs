//! `vadose map`: a program's address space before its first instruction.

use crate::arguments::{Format, MachineArguments, MapArguments};
use crate::failure::{Failure, VADOSE_FAILED};
use crate::page_file::page_files;
use crate::program::{Purpose, choose_edition};
use crate::{listing, output, report};
use serde::Serialize;
use std::path::{Path, PathBuf};
use vadose_facts::ntdef::Edition;
use vadose_machine::host::{FolderHost, Streams};
use vadose_machine::report::AddressSpaceMap;
use vadose_machine::{FailPlan, Machine, MachineOptions};

/// The listing for tools.
#[derive(Serialize)]
struct MapReport<'a> {
    vadose: &'static str,
    edition: &'static str,
    program: String,
    seed: u64,
    #[serde(flatten)]
    map: &'a AddressSpaceMap,
}

/// Loads the program and lists where everything lies.
pub(crate) fn map(arguments: MapArguments) -> Result<u8, Failure> {
    let edition = choose_edition(&arguments.program, arguments.machine.edition, Purpose::List)?;
    let options = machine_options(edition, &arguments.machine, arguments.program)?;
    let host = FolderHost::new(&options, Streams::inherited())?;
    let program = host.program_path().to_string();
    let map = Machine::load_for_listing(&options, host)?.map();
    let seed = options.seed;
    let bytes = match arguments.format {
        Format::Text => format!("{program} on {}\n\n{}", edition.title, listing::text(&map)).into_bytes(),
        Format::Json => {
            let vadose = env!("CARGO_PKG_VERSION");
            report::json(&MapReport { vadose, edition: edition.name, program, seed, map: &map })?
        }
    };
    output::print(&bytes)?;
    Ok(0)
}

/// A machine in the current folder, with nothing writable and no arguments.
pub(crate) fn machine_options(
    edition: &'static Edition,
    machine: &MachineArguments,
    program: PathBuf,
) -> Result<MachineOptions, Failure> {
    let folder = std::env::current_dir().map_err(|error| {
        Failure::new(VADOSE_FAILED, format!("the current folder cannot be used: {error}"))
    })?;
    Ok(MachineOptions {
        edition,
        ram_bytes: machine.ram,
        page_files: page_files(&machine.pagefile)?,
        compression: machine.compression.compression(),
        commit_limit_bytes: machine.commit_limit,
        seed: machine.seed,
        aslr: machine.aslr.policy(),
        allocation: machine.preference(),
        large_address_aware: machine.awareness(),
        fragment: machine.fragment,
        failures: FailPlan::default(),
        privileges: Vec::new(),
        limits: Default::default(),
        program,
        arguments: Vec::new(),
        beside: Vec::new(),
        folder,
        writable: Vec::new(),
        disk_limit_bytes: None,
        sysroot: machine.sysroot()?,
    })
}

/// A program's file name, for messages.
pub(crate) fn short_name(program: &Path) -> String {
    program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned()
}
