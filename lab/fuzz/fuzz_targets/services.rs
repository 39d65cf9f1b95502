//! Arbitrary system calls of a guest, one after another, in a machine with a folder of the host.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| vadose_fuzz::services::run(data));
