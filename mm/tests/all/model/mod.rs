//! A plain model of address spaces: a map of allocations and a map of committed pages, written from the rules alone.
//!
//! It says what every step must answer, so that the memory manager's tables, lists and lazy entries are compared with
//! something that has none of them.

mod access;
mod allocate;
mod arguments;
mod free;
mod image;
mod lock;
mod placeholder;
mod protect;
mod room;
mod space;
mod stack;
mod step;
mod view;
mod watch;

pub(crate) use arguments::{legal_protection, legal_type};
pub(crate) use image::Image;
pub(crate) use placeholder::Requirements;
pub(crate) use room::Seen;
pub(crate) use space::{Kind, Run};
pub(crate) use step::{Access, Step};

use space::{Allocation, PAGE, Space, Stack};
use std::collections::BTreeMap;
use step::Wish;
use vadose_facts::ntdef::{Edition, NoCacheScope, ParameterStatus};

const COMMIT: u32 = 0x1000;
const RESERVE: u32 = 0x2000;
const RESET: u32 = 0x8_0000;
const TOP_DOWN: u32 = 0x10_0000;
const WRITE_WATCH: u32 = 0x20_0000;
const RESET_UNDO: u32 = 0x100_0000;

const NOACCESS: u32 = 0x01;
const READWRITE: u32 = 0x04;
const WRITECOPY: u32 = 0x08;
const EXECUTE_READWRITE: u32 = 0x40;
const EXECUTE_WRITECOPY: u32 = 0x80;
const GUARD: u32 = 0x100;
const NOCACHE: u32 = 0x200;
const WRITECOMBINE: u32 = 0x400;

/// Address spaces, and the image that they map.
pub(crate) struct Model {
    edition: &'static Edition,
    image: Image,
    /// What was stored into shared sections of the image, by byte of the image.
    shared: BTreeMap<u64, u8>,
    /// Pages that can be charged at most.
    limit: u64,
    pub(crate) spaces: Vec<Space>,
    pub(crate) now: usize,
    /// The current thread's stack.
    stack: Option<Stack>,
    origin: u64,
}

/// What a step answers, or that it may be refused for want of memory.
type Answer = Result<String, &'static str>;

impl Model {
    /// So many processes, with so many pages to charge.
    pub(crate) fn new(edition: &'static Edition, image: Image, processes: usize, limit: u64) -> Self {
        let spaces = vec![Space::new(edition); processes];
        Self { edition, image, shared: BTreeMap::new(), limit, spaces, now: 0, stack: None, origin: 0 }
    }

    /// Where the last region was put.
    pub(crate) fn origin(&self) -> u64 {
        self.origin
    }

    /// First pages and pages of what the current process allocated and mapped.
    pub(crate) fn allocations(&self) -> Vec<(u64, u64)> {
        let own = self.spaces[self.now].allocations.iter().filter(|(_, a)| a.kind != Kind::Fixed);
        own.map(|(first, allocation)| (*first, allocation.pages)).collect()
    }

    /// The same of the regions whose stores are watched.
    pub(crate) fn watched_regions(&self) -> Vec<(u64, u64)> {
        let own = self.spaces[self.now].allocations.iter().filter(|(_, allocation)| allocation.watched);
        own.map(|(first, allocation)| (*first, allocation.pages)).collect()
    }

    /// What the memory manager must answer, where the rules leave room, given what it did.
    pub(crate) fn step(&mut self, step: &Step, seen: &Seen) -> String {
        let done = || Ok("ok".to_owned());
        let answer = match *step {
            Step::Allocate { kind, protection, at, size, zero_bits } => {
                self.allocate(&Wish { kind, protection, at, size, zero_bits }, seen)
            }
            Step::Extended { kind, protection, at, size, asked } => {
                let wish = Wish { kind, protection, at, size, zero_bits: 0 };
                self.allocate_extended(&wish, asked, seen)
            }
            Step::Free { kind, at, size } => self.free(kind, at, size, seen),
            Step::Protect { at, size, protection } => self.protect(at, size, protection, seen),
            Step::Map { at } => self.map(at, seen),
            Step::Unmap { at } => self.unmap(at),
            Step::Touch { access, at, byte } => Ok(self.touch(access, at, byte, seen)),
            Step::Query { at } => Ok(self.query(at)),
            Step::Lock { at, size, kinds } => Ok(self.lock(at, size, kinds, seen)),
            Step::Unlock { at, size, kinds } => Ok(self.unlock(at, size, kinds)),
            Step::Watch { at, size, limit, forget } => Ok(self.watch(at, size, limit, forget)),
            Step::Unwatch { at, size } => Ok(self.unwatch(at, size)),
            Step::Trim => done(),
            Step::Process { number } => {
                self.now = number;
                done()
            }
            Step::Restart => {
                self.spaces[self.now] = Space::new(self.edition);
                done()
            }
            Step::Stack { at, pages, guarantee } => {
                let bottom = at / PAGE;
                self.stack = Some(Stack { bottom, top: bottom + pages, guarantee });
                done()
            }
        };
        answer.unwrap_or_else(str::to_owned)
    }

    fn space(&mut self) -> &mut Space {
        &mut self.spaces[self.now]
    }

    /// SPEC A41: where caching belongs to the allocation, `PAGE_NOCACHE` cannot be changed.
    fn scoped(&self, allocation: &Allocation, asked: u32) -> u32 {
        let whole = allocation.protection & NOCACHE != 0;
        match self.edition.no_cache_scope {
            NoCacheScope::Page => asked,
            NoCacheScope::Allocation if asked & (GUARD | WRITECOMBINE) != 0 || asked == NOACCESS => asked,
            NoCacheScope::Allocation if whole => asked | NOCACHE,
            NoCacheScope::Allocation => asked & !NOCACHE,
        }
    }
}

/// The short word of a `PAGE_*` number, as the door shows it.
fn word(protection: u32) -> String {
    let base = match protection & 0xff {
        0x01 => "na",
        0x02 => "r",
        0x04 => "rw",
        0x08 => "wc",
        0x10 => "x",
        0x20 => "xr",
        0x40 => "xrw",
        0x80 => "xwc",
        other => panic!("a base protection: {other:#x}"),
    };
    let modifier = match protection & !0xff {
        0 => "",
        GUARD => "+g",
        NOCACHE => "+nc",
        WRITECOMBINE => "+cb",
        other => panic!("a modifier: {other:#x}"),
    };
    format!("{base}{modifier}")
}
