//! The process environment block.

super::offsets! {
    /// Offsets in a `PEB`.
    PebLayout {
        /// Whether a debugger is attached, 1 byte.
        being_debugged: 0x2, 0x2;
        /// Base of the program's image.
        image_base: 0x8, 0x10;
        /// `PEB_LDR_DATA`.
        loader_data: 0xc, 0x18;
        /// `RTL_USER_PROCESS_PARAMETERS`.
        process_parameters: 0x10, 0x20;
        /// The default heap.
        process_heap: 0x18, 0x30;
        /// The API set map (Windows 7 and later).
        api_set_map: 0x38, 0x68;
        /// Table of the ANSI code page.
        ansi_code_page: 0x58, 0xa0;
        /// Table of the OEM code page.
        oem_code_page: 0x5c, 0xa8;
        /// Table of upper and lower case.
        unicode_case_table: 0x60, 0xb0;
        /// Processors, 4 bytes.
        number_of_processors: 0x64, 0xb8;
        /// Global flags, 4 bytes.
        global_flag: 0x68, 0xbc;
        /// `HeapSegmentReserve` (SPEC K5).
        heap_segment_reserve: 0x78, 0xc8;
        /// `HeapSegmentCommit` (SPEC K5).
        heap_segment_commit: 0x7c, 0xd0;
        /// `HeapDeCommitTotalFreeThreshold` (SPEC K5).
        heap_decommit_total: 0x80, 0xd8;
        /// `HeapDeCommitFreeBlockThreshold` (SPEC K5).
        heap_decommit_block: 0x84, 0xe0;
        /// Heaps in use, 4 bytes.
        number_of_heaps: 0x88, 0xe8;
        /// Room for heaps, 4 bytes.
        maximum_heaps: 0x8c, 0xec;
        /// Array of heaps.
        process_heaps: 0x90, 0xf0;
        /// Major version, 4 bytes.
        os_major: 0xa4, 0x118;
        /// Minor version, 4 bytes.
        os_minor: 0xa8, 0x11c;
        /// Build, 2 bytes.
        os_build: 0xac, 0x120;
        /// Service pack in the high byte, 2 bytes.
        os_csd: 0xae, 0x122;
        /// `VER_PLATFORM_WIN32_NT` = 2, 4 bytes.
        os_platform: 0xb0, 0x124;
        /// Subsystem of the program, 4 bytes.
        image_subsystem: 0xb4, 0x128;
        /// Major version of that subsystem, 4 bytes.
        image_subsystem_major: 0xb8, 0x12c;
        /// Minor version of that subsystem, 4 bytes.
        image_subsystem_minor: 0xbc, 0x130;
        /// Processors the process may use.
        affinity_mask: 0xc0, 0x138;
        /// Session, 4 bytes.
        session_id: 0x1d4, 0x2c0;
        /// Name of the service pack, a `UNICODE_STRING`.
        csd_version: 0x1f0, 0x2e8;
        /// Bytes allocated for it: whole pages.
        size: 0x1000, 0x1000;
    }
}
