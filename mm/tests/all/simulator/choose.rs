//! What happens next: most steps are about something that exists, and about its edges.

use super::pair::PROCESSES;
use super::random::Random;
use super::{PLENTY_FRAMES, Setting};
use crate::model::{Access, Model, Requirements, Step, legal_type};
use vadose_facts::ntdef::{Bitness, Edition};

const PAGE: u64 = 0x1000;

const PROTECTIONS: [u32; 14] =
    [0x01, 0x02, 0x04, 0x04, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0x102, 0x104, 0x204, 0x404];
/// Protections that private memory can have, the usual ones more often.
const PRIVATE: [u32; 12] = [0x04, 0x04, 0x04, 0x04, 0x04, 0x02, 0x40, 0x20, 0x01, 0x104, 0x204, 0x404];
const KINDS: [u32; 12] = [
    0x1000, 0x1000, 0x1000, 0x1000, 0x2000, 0x2000, 0x3000, 0x3000, 0x10_3000, 0x8_0000, 0x20_2000, 0x20_3000,
];

/// Addresses at which something ends: the first allocation unit, the shared page, 2 GiB, 4 GiB.
const EDGES: [u64; 8] =
    [0, 0xffff, 0x1_0000, 0x7ffe_0000, 0x7ffd_ffff, 0x7ffe_ffff, 0x8000_0000, 0xffff_ffff];
/// Where regions are put by address: the lowest place, one in the middle, and below borders of page tables of each level.
const PLACES_32: [u64; 4] = [0x1_0000, 0x1fe_0000, 0x3fe_0000, 0x3ffe_0000];
const PLACES_64: [u64; 4] = [0x1_0000, 0x1fe_0000, 0x3ffe_0000, 0x7f_fffe_0000];

pub(super) struct Chooser {
    random: Random,
    edition: &'static Edition,
    scarce: bool,
    /// Where this run puts regions by address.
    places: [u64; 2],
    /// The address of the last step: often the next step is about it too.
    last: u64,
}

impl Chooser {
    pub(super) fn new(setting: Setting) -> Self {
        let salt = setting
            .edition
            .name
            .bytes()
            .fold(setting.seed, |salt, byte| salt.wrapping_mul(31).wrapping_add(u64::from(byte)));
        let mut random = Random::new(salt);
        let known = match setting.edition.bitness {
            Bitness::Bits32 => &PLACES_32,
            Bitness::Bits64 => &PLACES_64,
        };
        let places = [0x5000_0000, random.pick(known)];
        let scarce = setting.frames < PLENTY_FRAMES;
        Self { random, edition: setting.edition, scarce, places, last: 0x5000_0000 }
    }

    /// The next step of a machine in this state.
    pub(super) fn next(&mut self, model: &Model) -> Step {
        let at = self.address(model);
        match self.random.below(64) {
            0..=12 => self.allocation(model, at),
            13..=20 => self.free(model, at),
            21..=29 => {
                let protection = if self.random.once_in(4) {
                    self.random.pick(&PROTECTIONS)
                } else {
                    self.random.pick(&PRIVATE)
                };
                Step::Protect { at, size: self.size(model, at), protection }
            }
            30..=32 => {
                let place = self.place();
                let at = self.random.pick(&[None, None, None, Some(place), Some(at)]);
                Step::Map { at }
            }
            33 | 34 => Step::Unmap { at },
            35 | 36 => Step::Process { number: self.random.below(PROCESSES as u64) as usize },
            37 => self.rare(model, at),
            38 => Step::Query { at },
            39 => self.watching(model, at),
            40 | 41 => self.locking(model, at),
            42..=47 => Step::Touch { access: Access::Read, at, byte: 0 },
            48 | 49 => Step::Touch { access: Access::Execute, at, byte: 0 },
            _ => Step::Touch { access: Access::Write, at, byte: self.random.below(255) as u8 + 1 },
        }
    }

    /// Half of the time about a whole region that is watched, so that what other calls made of its pages is seen.
    fn watching(&mut self, model: &Model, at: u64) -> Step {
        let watched = model.watched_regions();
        if !watched.is_empty() && self.random.once_in(2) {
            let (first, pages) = self.random.pick(&watched);
            let (at, size) = (first * PAGE, pages * PAGE);
            return Step::Watch { at, size, limit: None, forget: self.random.once_in(4) };
        }
        let size = self.size(model, at);
        match self.random.below(4) {
            0 => Step::Unwatch { at, size },
            _ => {
                let limit = self.random.pick(&[None, None, Some(1), Some(3), Some(0)]);
                Step::Watch { at, size, limit, forget: self.random.once_in(2) }
            }
        }
    }

    fn locking(&mut self, model: &Model, at: u64) -> Step {
        let (size, kinds) = (self.size(model, at), self.random.pick(&[1, 1, 1, 1, 2, 3, 0, 4]));
        match self.random.below(4) {
            0 => Step::Trim,
            1 => Step::Unlock { at, size, kinds },
            _ => Step::Lock { at, size, kinds },
        }
    }

    fn rare(&mut self, model: &Model, at: u64) -> Step {
        if self.random.once_in(4) {
            return Step::Restart;
        }
        let held = model.allocations();
        let (first, pages) = if held.is_empty() { (at / PAGE, 16) } else { self.random.pick(&held) };
        let guarantee = self.random.pick(&[0, 0, 1, 0x1000, 0x2001, 0x8000]);
        Step::Stack { at: first * PAGE, pages: pages.min(64), guarantee }
    }

    fn allocation(&mut self, model: &Model, at: u64) -> Step {
        if model.has_extended() && self.random.once_in(4) {
            return self.extended(model, at);
        }
        let (protection, kind) = (self.random.pick(&PRIVATE), self.random.pick(&KINDS));
        match self.random.below(16) {
            0 => {
                let (any, protection) =
                    (self.random.next() as u32 & 0x2178_f000, self.random.pick(&PROTECTIONS));
                // Of windows and large pages the model knows only which calls are refused.
                let kind = if legal_type(self.edition, any) { any & !0x2040_0000 } else { any };
                Step::Allocate { kind, protection, at: Some(at), size: self.size(model, at), zero_bits: 0 }
            }
            1..=3 => {
                let zero_bits = self.random.pick(&[0, 0, 0, 1, 12, 21, 22, 0x1234_5678]);
                Step::Allocate { kind, protection, at: None, size: self.fresh_size(), zero_bits }
            }
            4..=6 => {
                let at = Some(self.place() + self.random.below(3));
                let kind = self.random.pick(&[0x2000, 0x3000, 0x20_3000]);
                Step::Allocate { kind, protection, at, size: self.fresh_size(), zero_bits: 0 }
            }
            _ => Step::Allocate { kind, protection, at: Some(at), size: self.size(model, at), zero_bits: 0 },
        }
    }

    /// Calls with extended parameters, most of them about placeholders.
    fn extended(&mut self, model: &Model, at: u64) -> Step {
        let protection = self.random.pick(&PRIVATE);
        let held = model.allocations();
        let nothing = Requirements::NONE;
        match self.random.below(8) {
            0..=2 => {
                let at = if self.random.once_in(2) { Some(self.place()) } else { None };
                let kind = self.random.pick(&[0x4_2000, 0x4_2000, 0x14_2000, 0x4_3000]);
                Step::Extended { kind, protection: 0x01, at, size: self.fresh_size(), asked: nothing }
            }
            3..=5 if !held.is_empty() => {
                let (first, pages) = self.random.pick(&held);
                let size = self.random.pick(&[pages, pages, pages, pages + 1, 1]) * PAGE;
                let kind = self.random.pick(&[0x6000, 0x7000, 0x7000, 0x20_7000, 0x5000]);
                Step::Extended { kind, protection, at: Some(first * PAGE), size, asked: nothing }
            }
            6 => Step::Extended {
                kind: 0x3000,
                protection,
                at: Some(at),
                size: PAGE,
                asked: self.requirements(),
            },
            _ => {
                let kind = self.random.pick(&[0x2000, 0x3000, 0x10_2000, 0x1000, 0x4_2000]);
                let protection = if kind == 0x4_2000 { 0x01 } else { protection };
                Step::Extended {
                    kind,
                    protection,
                    at: None,
                    size: self.fresh_size(),
                    asked: self.requirements(),
                }
            }
        }
    }

    fn requirements(&mut self) -> Requirements {
        let low = self.random.pick(&[0, 0, 0x5000_0000, 0x1234_0000, 0x1000]);
        let high = self.random.pick(&[0, 0, 0x5003_ffff, 0x500f_cfff, 0x5000_0fff, 0x6000_0000]);
        let align = self.random.pick(&[0, 0, 0x1_0000, 0x20_0000, 0x8000, 0x3_0000]);
        Requirements { low, high, align }
    }

    fn free(&mut self, model: &Model, at: u64) -> Step {
        let held = model.allocations();
        if held.len() > 10 || (self.scarce && held.len() > 5) {
            let (first, _) = self.random.pick(&held);
            return Step::Free { kind: 0x8000, at: first * PAGE, size: 0 };
        }
        let size = self.size(model, at);
        match self.random.below(16) {
            0 => Step::Free { kind: self.random.pick(&[0, 0xc000, 0x8001, 0x1000, 0x8003]), at, size },
            1 | 2 => Step::Free { kind: 0x8002, at, size },
            3 if !held.is_empty() => {
                let at = self.random.pick(&held).0;
                let more = held
                    .iter()
                    .filter(|(first, _)| *first > at)
                    .take(1 + usize::from(self.random.once_in(2)));
                let end = more.last().map_or(at + 1, |(first, pages)| first + pages);
                Step::Free { kind: 0x8001, at: at * PAGE, size: (end - at) * PAGE }
            }
            3..=10 => Step::Free { kind: 0x4000, at, size },
            11 | 12 => Step::Free { kind: 0x4000, at: at / PAGE * PAGE, size: 0 },
            _ => Step::Free { kind: 0x8000, at, size: self.random.pick(&[0, size]) },
        }
    }

    /// Most addresses are in something that the process has, near its ends; some where regions are put, and a few at the
    /// edges of the address space.
    fn address(&mut self, model: &Model) -> u64 {
        let held = model.allocations();
        self.last = match self.random.below(40) {
            0 => self.random.pick(&EDGES),
            1 => {
                self.edition.max_user_address.raw()
                    - self.random.pick(&[0, 0xffff, 0x1_0000, 0x1_0fff, 0x2_0000])
            }
            2..=4 => self.place() + self.random.below(32) * PAGE + self.byte(),
            5..=24 if !held.is_empty() => {
                let (first, pages) = self.random.pick(&held);
                (first + self.page_of(pages)) * PAGE + self.byte()
            }
            25 | 26 => self.last.wrapping_add(PAGE),
            27 => self.last.saturating_sub(PAGE),
            _ => self.last,
        };
        self.last &= self.pointers();
        self.last
    }

    /// All ones of a program's pointer.
    fn pointers(&self) -> u64 {
        match self.edition.bitness {
            Bitness::Bits32 => 0xffff_ffff,
            Bitness::Bits64 => u64::MAX,
        }
    }

    fn page_of(&mut self, pages: u64) -> u64 {
        match self.random.below(8) {
            0 => 0,
            1 => pages - 1,
            // The page behind it, whatever is there.
            2 => pages,
            3 => self.random.below(pages),
            _ => self.random.below(pages.min(12)),
        }
    }

    /// An offset in a page: few, so that bytes are met again.
    fn byte(&mut self) -> u64 {
        self.random.pick(&[0, 0, 0, 1, 2, 0xfff])
    }

    fn place(&mut self) -> u64 {
        if self.random.once_in(16) {
            return (self.edition.max_user_address.raw() - 0x3_ffff) & !0xffff;
        }
        let place = self.places[usize::from(self.random.once_in(2))];
        place + self.random.below(4) * 0x1_0000
    }

    /// Bytes of a range at an address: to the end of what is there, one page or byte more or less, or a little.
    fn size(&mut self, model: &Model, at: u64) -> u64 {
        self.size_at(model, at) & self.pointers()
    }

    fn size_at(&mut self, model: &Model, at: u64) -> u64 {
        let page = at / PAGE;
        let held = model.allocations();
        let rest = held
            .iter()
            .find(|(first, pages)| (*first..first + pages).contains(&page))
            .map_or(PAGE, |(first, pages)| (first + pages) * PAGE - at);
        match self.random.below(24) {
            0 => 0,
            1 => rest + 1,
            2 => rest + PAGE,
            3 => self.random.pick(&[0xffff_ffff, u64::MAX, 1 << 20, 1 << 31]),
            4 | 5 => rest,
            6 => rest.saturating_sub(PAGE),
            7 => rest / 2,
            8..=10 => self.random.below(12 * PAGE),
            11 => PAGE - at % PAGE + 1,
            12..=17 => PAGE,
            _ => self.random.below(2 * PAGE) + 1,
        }
    }

    /// Bytes of something new: mostly some pages, at times more than one page table has entries for.
    fn fresh_size(&mut self) -> u64 {
        let size = match self.random.below(32) {
            0 => 0,
            1 => self.random.pick(&[0xffff_ffff, u64::MAX, 1 << 40]),
            2 => (512 + self.random.below(600)) * PAGE,
            3 => 1 << 20,
            4..=8 => 0x1_0000,
            _ => self.random.below(20 * PAGE) + 1,
        };
        size & self.pointers()
    }
}
