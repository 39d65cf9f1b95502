//! The loader's lists of modules, as debuggers, runtimes and hand-written import code walk them.

super::offsets! {
    /// Offsets in a `PEB_LDR_DATA`.
    LoaderDataLayout {
        /// Length of the structure, 4 bytes.
        length: 0x0, 0x0;
        /// Whether the lists are ready, 1 byte.
        initialized: 0x4, 0x4;
        /// List head: modules as they were loaded.
        in_load_order: 0xc, 0x10;
        /// List head: the same order, other links.
        in_memory_order: 0x14, 0x20;
        /// List head: modules as they are initialised; the program is not in it.
        in_initialization_order: 0x1c, 0x30;
        /// Bytes.
        size: 0x30, 0x58;
    }
}

super::offsets! {
    /// Offsets in an `LDR_DATA_TABLE_ENTRY`, the part that is the same from Windows XP to 10.
    LoaderEntryLayout {
        /// Links of the load-order list.
        in_load_order: 0x0, 0x0;
        /// Links of the memory-order list.
        in_memory_order: 0x8, 0x10;
        /// Links of the initialisation-order list.
        in_initialization_order: 0x10, 0x20;
        /// Base of the image.
        base: 0x18, 0x30;
        /// Entry point, 0 for none.
        entry_point: 0x1c, 0x38;
        /// Bytes of the image, 4 bytes.
        size_of_image: 0x20, 0x40;
        /// Path, a `UNICODE_STRING`.
        full_name: 0x24, 0x48;
        /// File name, a `UNICODE_STRING`.
        base_name: 0x2c, 0x58;
        /// Flags, 4 bytes.
        flags: 0x34, 0x68;
        /// References, 2 bytes; FFFFh for a module that stays.
        load_count: 0x38, 0x6c;
        /// TLS index, 2 bytes.
        tls_index: 0x3a, 0x6e;
        /// Links of a hash bucket.
        hash_links: 0x3c, 0x70;
        /// Time stamp of the image, 4 bytes.
        time_stamp: 0x44, 0x80;
        /// Bytes that are allocated for an entry.
        size: 0xa8, 0x120;
    }
}
