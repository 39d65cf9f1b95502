//! The process parameters: command line, folders, standard handles, environment.

super::offsets! {
    /// Offsets in an `RTL_USER_PROCESS_PARAMETERS`.
    ParametersLayout {
        /// Bytes allocated, 4 bytes.
        maximum_length: 0x0, 0x0;
        /// Bytes used, 4 bytes.
        length: 0x4, 0x4;
        /// Flags, 4 bytes; bit 0: pointers are pointers, not offsets.
        flags: 0x8, 0x8;
        /// Console handle.
        console: 0x10, 0x10;
        /// Standard input handle.
        standard_input: 0x18, 0x20;
        /// Standard output handle.
        standard_output: 0x1c, 0x28;
        /// Standard error handle.
        standard_error: 0x20, 0x30;
        /// Current folder, a `UNICODE_STRING` that ends with a backslash.
        current_directory: 0x24, 0x38;
        /// Handle of the current folder.
        current_directory_handle: 0x2c, 0x48;
        /// DLL search path, a `UNICODE_STRING`.
        dll_path: 0x30, 0x50;
        /// The program's path, a `UNICODE_STRING`.
        image_path: 0x38, 0x60;
        /// Command line, a `UNICODE_STRING`.
        command_line: 0x40, 0x70;
        /// The environment block.
        environment: 0x48, 0x80;
        /// `STARTF_*` flags, 4 bytes.
        window_flags: 0x68, 0xa4;
        /// How the first window is shown, 4 bytes.
        show_window: 0x6c, 0xa8;
        /// Window title, a `UNICODE_STRING`.
        window_title: 0x70, 0xb0;
        /// Desktop, a `UNICODE_STRING`.
        desktop: 0x78, 0xc0;
        /// Shell information, a `UNICODE_STRING`.
        shell_info: 0x80, 0xd0;
        /// Data for a C runtime, a `UNICODE_STRING`.
        runtime_data: 0x88, 0xe0;
        /// Bytes of the environment block (Vista and later).
        environment_size: 0x290, 0x3f0;
        /// Bytes of the structure; strings follow it.
        size: 0x298, 0x410;
    }
}
