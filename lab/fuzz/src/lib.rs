//! What fuzz targets do with their input, apart from the fuzzer, so that an input can also be replayed without it.

pub mod image_map;
pub mod services;
