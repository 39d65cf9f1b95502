//! An image mapped by the memory manager, held against a reading of the file that knows nothing of page tables.
//!
//! The last byte of an input says how many three-byte steps stand before it; what is before them is the file.

mod model;
mod script;
mod world;

use script::Script;
use vadose_facts::ntdef::{Bitness, Edition, editions};
use vadose_facts::pe::{Magic, PeImage};
use world::World;

/// Images with more pages than this are made into a section and not mapped: their records alone would fill the RAM.
const MAX_PAGES: u32 = 1 << 11;

/// Steps between two audits.
const AUDIT_EVERY: usize = 8;

/// Runs one input to its end.
///
/// # Panics
///
/// If the memory manager breaks a promise: that is what the fuzzer looks for.
pub fn run(data: &[u8]) {
    let (file, script) = Script::split(data);
    let Ok(image) = PeImage::parse(file) else { return };
    let mut world = World::new(edition_for(&image, script.choice), file, &image);
    if image.layout().pages() <= MAX_PAGES {
        for (number, step) in script.steps().enumerate() {
            world.step(step);
            if number % AUDIT_EVERY == 0 {
                world.audit();
            }
        }
    }
    world.end();
}

/// One of the editions that run such an image, by the script's choice.
fn edition_for(image: &PeImage, choice: u8) -> &'static Edition {
    let bitness = match image.magic() {
        Magic::Pe32 => Bitness::Bits32,
        Magic::Pe32Plus => Bitness::Bits64,
    };
    let fitting: Vec<_> = editions().iter().filter(|edition| edition.bitness == bitness).collect();
    fitting[usize::from(choice) % fitting.len()]
}
