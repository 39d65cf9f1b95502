//! The labs, a file each: its steps, what is to be seen at each, and why.

pub(super) mod aslr;
pub(super) mod copy_on_write;
pub(super) mod guard_page;
pub(super) mod mapped_file;
pub(super) mod page_states;
pub(super) mod paging;
pub(super) mod protections;
pub(super) mod shared_dll;
pub(super) mod shared_memory;
pub(super) mod shared_section;
