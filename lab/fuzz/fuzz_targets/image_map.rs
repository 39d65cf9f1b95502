//! Arbitrary bytes as an image that two processes map, touch, protect and unmap in an order that the input chooses.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| vadose_fuzz::image_map::run(data));
