//! Sections: images, files and page-file memory that processes map, with one prototype entry a page that all share.

mod area;
mod data;
mod flush;
mod image;
mod look;
mod pool;
mod transfer;
mod view;

pub(crate) use area::{Backing, ControlArea, IN_TRANSFER, Section};
pub use look::{AreaBacking, AreaLook, AreaPlaces, SubsectionLook};
pub(crate) use pool::Pool;
pub(crate) use transfer::{PendingTransfer, Purpose};
