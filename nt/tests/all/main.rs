//! Windows as a program sees it, tried through its services and its own DLLs in a small world.

mod bench;
mod completion;
mod console_programs;
mod exceptions;
mod extended_memory;
mod files;
mod given_up;
mod images;
mod layouts;
mod memory_services;
mod physical;
mod process_memory;
mod processes;
mod query_classes;
mod random_calls;
mod registry;
mod section_services;
mod sections;
mod shortage;
mod small_dlls;
mod starting;
mod system_information;
mod threads;
mod working_set;
mod world;
mod write_watch;
