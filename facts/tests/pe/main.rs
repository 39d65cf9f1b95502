//! The PE reader against small files built here, each whole or broken in one way.

mod acceptance;
mod builder;
mod cross_check;
mod full;
mod layout;
mod never_panics;
mod relocation;
mod tables;
