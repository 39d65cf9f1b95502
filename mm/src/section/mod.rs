//! Sections: images, files and page-file memory that processes map, with one prototype entry a page that all share.

mod area;
mod based;
mod data;
mod extend;
mod flush;
mod image;
mod image_base;
mod look;
mod pool;
mod replace;
mod transfer;
mod unused;
mod view;

pub(crate) use area::{Backing, ControlArea, IN_TRANSFER, Section};
pub use extend::Extension;
pub use image::{ImageExecution, ImageRequest};
pub(crate) use image_base::Places;
pub use look::{AreaBacking, AreaLook, AreaPlaces, SubsectionLook};
pub(crate) use pool::Pool;
pub(crate) use transfer::{PendingTransfer, Purpose};
pub(crate) use unused::UnusedImages;
