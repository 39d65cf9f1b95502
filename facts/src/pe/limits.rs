//! How much of each table a reader takes, so that a hostile image costs bounded time and memory.

/// Sections in an image: the documented limit of the Windows loader.
pub const MAX_SECTIONS: usize = 96;
/// DLLs in an import or a delay-import table.
pub const MAX_IMPORT_DLLS: usize = 4096;
/// Functions imported from one DLL: as many as there are ordinals.
pub const MAX_IMPORTS_PER_DLL: usize = 1 << 16;
/// Functions imported from all DLLs of one table.
pub const MAX_IMPORTS: usize = 1 << 18;
/// Functions, and names, in an export table: ordinals of names have 16 bits.
pub const MAX_EXPORTS: u32 = 1 << 16;
/// Bytes in the name of a function; linkers stop at 4,095.
pub const MAX_NAME_BYTES: usize = 4096;
/// Bytes in the name of a DLL.
pub const MAX_DLL_NAME_BYTES: usize = 512;
/// Bytes of all names of one table together.
pub const MAX_NAMES_TOTAL_BYTES: usize = 16 << 20;
/// Bytes in a relocation directory.
pub const MAX_RELOCATION_BYTES: u32 = 32 << 20;
/// Blocks in a relocation directory: a block for each page of 4 GiB.
pub const MAX_RELOCATION_BLOCKS: usize = 1 << 20;
/// Callbacks in a TLS directory.
pub const MAX_TLS_CALLBACKS: usize = 1024;
/// Forwarders a loader follows from one export before it calls the chain a circle.
pub const MAX_FORWARDER_DEPTH: usize = 32;
