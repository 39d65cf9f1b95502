//! The thread environment block: what a thread finds at FS:0 (x86) or GS:0 (x64).

super::offsets! {
    /// Offsets in a `TEB`.
    TebLayout {
        /// Head of the x86 chain of exception handlers; -1 ends it.
        exception_list: 0x0, 0x0;
        /// First byte above the stack.
        stack_base: 0x4, 0x8;
        /// Lowest committed byte of the stack (SPEC E17).
        stack_limit: 0x8, 0x10;
        /// The current fiber.
        fiber_data: 0x10, 0x20;
        /// The TEB's own address.
        self_pointer: 0x18, 0x30;
        /// Process id.
        process_id: 0x20, 0x40;
        /// Thread id.
        thread_id: 0x24, 0x48;
        /// Array of the thread's copies of static TLS, by TLS index.
        tls_pointer: 0x2c, 0x58;
        /// The process environment block.
        peb: 0x30, 0x60;
        /// What `GetLastError` returns, 4 bytes.
        last_error: 0x34, 0x68;
        /// `WOW32Reserved`: where some 32-bit stubs of system calls jump through.
        system_call: 0xc0, 0x100;
        /// The thread's locale, 4 bytes.
        current_locale: 0xc4, 0x108;
        /// The activation context stack (Windows 8 and later).
        activation_stack: 0x184, 0x290;
        /// Pointer to it.
        activation_stack_pointer: 0x1a8, 0x2c8;
        /// A `UNICODE_STRING` over the buffer below it.
        static_unicode_string: 0xbf8, 0x1258;
        /// Its buffer, 522 bytes.
        static_unicode_buffer: 0xc00, 0x1268;
        /// Lowest byte of the stack's reservation.
        deallocation_stack: 0xe0c, 0x1478;
        /// The first 64 dynamic TLS slots.
        tls_slots: 0xe10, 0x1480;
        /// Bytes of stack kept for a stack overflow's handler, 4 bytes.
        guaranteed_stack_bytes: 0xf78, 0x1748;
        /// The dynamic TLS slots after the first 64.
        tls_expansion_slots: 0xf94, 0x1780;
        /// The fiber-local storage array.
        fls_data: 0xfb4, 0x17c8;
        /// Bytes allocated for it: whole pages.
        size: 0x1000, 0x2000;
    }
}
