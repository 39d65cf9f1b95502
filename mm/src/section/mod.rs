//! Sections: images that processes map, with one prototype entry a page that all of them share.

mod image;
mod pool;
mod transfer;
mod view;

pub(crate) use image::Section;
pub(crate) use pool::Pool;
pub(crate) use transfer::PendingTransfer;
