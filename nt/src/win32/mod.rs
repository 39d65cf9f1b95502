//! kernel32's and kernelbase's functions, one file per group; each file declares its exports in a table.

mod codepage;
mod codepage_tables;
mod completion;
mod console;
mod counters;
mod create_process;
mod critical;
mod environment;
mod error;
mod errorreport;
mod exception;
mod file;
mod fileattr;
mod fileinfo;
mod filename;
mod find;
mod handles;
mod heap;
mod heap_blocks;
mod local;
mod locale;
mod memory;
mod memory_ex;
mod message;
mod mitigation;
mod module;
mod multibyte;
mod multimedia;
mod offer;
mod open;
mod privilege;
mod probe;
mod process;
mod process_memory;
mod random;
mod section;
mod section_ex;
mod slist;
mod sockets;
mod state;
mod stream;
mod string;
mod sync;
mod system;
mod text;
mod thread;
mod time;
mod timer;
mod tls;
mod unwind;
mod working_set;
mod working_set_query;

pub(crate) use locale::info as locale_text;
pub use state::Win32State;
pub(crate) use string::upper;
pub(crate) use system::COMPUTER_NAME;

use crate::service::Export;

/// The tables of Win32 functions. A new file adds its `EXPORTS` here.
pub(crate) const TABLES: &[&[Export]] = &[
    memory::EXPORTS,
    memory_ex::EXPORTS,
    counters::EXPORTS,
    mitigation::EXPORTS,
    offer::EXPORTS,
    open::EXPORTS,
    probe::EXPORTS,
    process_memory::EXPORTS,
    working_set::EXPORTS,
    working_set_query::EXPORTS,
    module::EXPORTS,
    process::EXPORTS,
    create_process::EXPORTS,
    privilege::EXPORTS,
    exception::EXPORTS,
    error::EXPORTS,
    errorreport::EXPORTS,
    stream::EXPORTS,
    file::EXPORTS,
    fileattr::EXPORTS,
    fileinfo::EXPORTS,
    find::EXPORTS,
    completion::EXPORTS,
    console::EXPORTS,
    critical::EXPORTS,
    environment::EXPORTS,
    filename::EXPORTS,
    handles::EXPORTS,
    heap::EXPORTS,
    local::EXPORTS,
    locale::EXPORTS,
    message::EXPORTS,
    multibyte::EXPORTS,
    multimedia::EXPORTS,
    random::EXPORTS,
    sockets::EXPORTS,
    section::EXPORTS,
    section_ex::EXPORTS,
    slist::EXPORTS,
    string::EXPORTS,
    sync::EXPORTS,
    system::EXPORTS,
    thread::EXPORTS,
    time::EXPORTS,
    timer::EXPORTS,
    tls::EXPORTS,
    unwind::EXPORTS,
];
