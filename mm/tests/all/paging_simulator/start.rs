//! From a step's numbers to what a thread does.

use super::call::{Call, Span, base};
use super::disk::Place;
use super::model::{Kind, Region, Rights, WORDS};
use super::run::{Op, Run};
use super::step::{Step, Verb};
use super::{FILE, FILE_PAGES};
use vadose_facts::addr::{GRANULARITY_PAGES, PAGE_BYTES};
use vadose_facts::ntdef::AllocationType;
use vadose_mm::{FileId, LimitFlags, OfferPriority, WatchReset};

/// Regions of a process, above which none is added.
const MOST_REGIONS: usize = 12;
/// Pages of most calls.
const FEW_PAGES: u64 = 12;
/// Frames that a process may own.
const MOST_FRAMES: usize = 24;

impl Run<'_> {
    /// What a step means now; nothing if there is nothing to do it to.
    pub(super) fn start(&mut self, number: usize, step: &Step) -> Option<Op> {
        let (a, b) = (step.a, step.b);
        let call = match step.verb {
            Verb::Load => return self.start_touch(number, step, None),
            Verb::Store => {
                let token = self.new_token();
                return self.start_touch(number, step, Some(token));
            }
            Verb::Sweep => {
                let region = self.model.space(number).pick(a, |region| region.kind != Kind::Window)?;
                let first = (b >> 8) % region.pages;
                let left = (16 + b % 112).min(region.pages - first);
                let stores = (b >> 50) % 3 > 0;
                return Some(Op::Sweep { vpn: region.first + first, left, stores });
            }
            Verb::Lock => {
                let space = self.model.space(number);
                let region = space.pick(a, |region| region.kind != Kind::Window && !region.copies())?;
                let (vpn, pages) = spots(region, b, 4);
                return Some(Op::Lock { vpn, pages });
            }
            Verb::Delete => return (a % 3 == 0).then_some(Op::Delete),
            Verb::WriteFile => {
                self.write_file_as_kernel(a);
                return None;
            }
            Verb::Complete | Verb::Work => return None,
            Verb::Allocate | Verb::Sparse | Verb::Window => self.start_region(number, step)?,
            Verb::MapShared | Verb::MapCopy | Verb::MapFile => self.start_view(number, step)?,
            Verb::Remake => self.start_remake(a)?,
            Verb::Unmap => {
                let region = self.model.space(number).pick(a, Region::is_view)?;
                (b % 3 == 0).then_some(Call::Unmap { vpn: region.first })?
            }
            Verb::Flush => {
                let file = self.model.sections.last().expect("the file has a section").area;
                let of_file =
                    |region: &Region| matches!(region.kind, Kind::View { area, .. } if area == file);
                let fit = |region: &Region| region.is_view() && (b.is_multiple_of(8) || of_file(region));
                Call::Flush { at: self.span(number, step, FILE_PAGES, fit)? }
            }
            Verb::Query => {
                let region = self.model.space(number).pick(a, |region| region.kind != Kind::Window)?;
                Call::Query { vpn: region.first + region.spot(b) }
            }
            Verb::Empty => Call::Empty,
            Verb::Limits => self.start_limits(number, step)?,
            Verb::Unlock => self.start_unlock(number, step)?,
            Verb::Own | Verb::Disown | Verb::Show => self.start_physical(number, step)?,
            Verb::Watch => {
                let at = self.span(number, step, 64, Region::is_watched)?;
                let reset = if b % 2 == 0 { WatchReset::Reset } else { WatchReset::Keep };
                Call::Watch { at, reset }
            }
            _ => self.start_private(number, step)?,
        };
        Some(Op::Call(call))
    }

    fn start_touch(&self, number: usize, step: &Step, token: Option<u64>) -> Option<Op> {
        let region = self.model.space(number).pick(step.a, |_| true)?;
        let vpn = region.first + region.spot(step.b);
        let offset = WORDS[(step.b % 2) as usize];
        Some(Op::Touch { at: base(vpn).checked_add(offset)?, token })
    }

    /// Some pages of a region that is fit.
    fn span(&self, number: usize, step: &Step, most: u64, fit: impl Fn(&Region) -> bool) -> Option<Span> {
        let region = self.model.space(number).pick(step.a, fit)?;
        let (vpn, pages) = spots(region, step.b, most);
        Some(Span { vpn, pages })
    }

    fn start_private(&self, number: usize, step: &Step) -> Option<Call> {
        let few = self.span(number, step, FEW_PAGES, Region::is_private);
        let rights = match step.b >> 60 {
            0 => Rights::NoAccess,
            1..=3 => Rights::ReadOnly,
            4 => Rights::Guard,
            _ => Rights::ReadWrite,
        };
        let at = few?;
        Some(match step.verb {
            Verb::Commit => {
                let at = Span { pages: at.pages * (1 + step.b % 4), ..at };
                let plain = if rights == Rights::ReadOnly { rights } else { Rights::ReadWrite };
                Call::Commit { at: self.clipped(number, at)?, rights: plain }
            }
            Verb::Decommit => Call::Decommit { at },
            Verb::Protect => Call::Protect { at, rights },
            Verb::Reset => Call::Reset { at },
            Verb::Undo => Call::Undo { at },
            Verb::Reclaim => Call::Reclaim { at },
            Verb::Discard => Call::Discard { at },
            Verb::Offer => {
                let priority = OfferPriority::of(1 + (step.b >> 20) as u32 % 4)?;
                Call::Offer { at, priority }
            }
            Verb::Release => {
                let region = self.model.space(number).pick(step.a, |region| !region.is_view())?;
                Call::Release { vpn: region.first }
            }
            _ => return None,
        })
    }

    /// The part of a run that lies in the region of its first page.
    fn clipped(&self, number: usize, at: Span) -> Option<Span> {
        let space = self.model.space(number);
        let (index, first) = space.find(at.vpn)?;
        Some(Span { pages: at.pages.min(space.regions[index].pages - first), ..at })
    }

    fn start_region(&self, number: usize, step: &Step) -> Option<Call> {
        use AllocationType as T;
        let (a, b) = (step.a, step.b);
        if self.model.space(number).regions.len() >= MOST_REGIONS {
            return None;
        }
        let rights = Rights::ReadWrite;
        Some(match step.verb {
            Verb::Allocate => {
                let pages = match a % 4 {
                    0 => 1 + b % 16,
                    1 | 2 => 16 + b % 200,
                    _ => 200 + b % self.setting.frames,
                };
                let watch = if (a >> 8) % 4 == 0 { T::WRITE_WATCH } else { T::empty() };
                let commit = if (a >> 16) % 3 == 0 { T::empty() } else { T::COMMIT };
                Call::Allocate { pages, stride: 1, kind: T::RESERVE | watch | commit, rights }
            }
            Verb::Window => Call::Allocate { pages: 16, stride: 1, kind: T::RESERVE | T::PHYSICAL, rights },
            _ => {
                let levels = self.setting.edition.paging.levels();
                let stride = levels[levels.len() - 2].span_bytes() / PAGE_BYTES;
                Call::Allocate { pages: stride * (4 + b % 60), stride, kind: T::RESERVE, rights }
            }
        })
    }

    fn start_view(&self, number: usize, step: &Step) -> Option<Call> {
        let (a, b) = (step.a, step.b);
        if self.model.space(number).regions.len() >= MOST_REGIONS {
            return None;
        }
        let section = match step.verb {
            Verb::MapShared => (a % 2) as usize,
            Verb::MapCopy => (a % 3) as usize,
            _ => 2,
        };
        let rights = match (step.verb, a >> 60) {
            (Verb::MapCopy, _) => Rights::WriteCopy,
            (_, 0..=2) => Rights::ReadOnly,
            _ => Rights::ReadWrite,
        };
        let all = self.model.areas[self.model.sections[section].area].pages;
        let first = if b % 3 == 0 && all > GRANULARITY_PAGES { GRANULARITY_PAGES } else { 0 };
        // The file's last page is a part of one.
        let pages = if self.is_of_file(section) { all - first - b % 2 } else { all - first };
        Some(Call::Map { section, first, pages: pages.min(FILE_PAGES * 4), rights })
    }

    /// What was stored to a file and could not be written is lost with its area: that one stays then.
    fn start_remake(&self, a: u64) -> Option<Call> {
        let section = (a % 3) as usize;
        let keep = self.is_of_file(section) && self.setting.failed_writes > 0;
        (!keep).then_some(Call::Remake { section })
    }

    fn start_limits(&self, number: usize, step: &Step) -> Option<Call> {
        const FLAGS: [u32; 6] = [0, 0xa, 0x6, 0x5, 0x6, 0xa];
        let minimum = 20 + step.a % 40;
        let held = self.model.space(number).locked.len() as u64;
        let flags = LimitFlags::from_bits_retain(FLAGS[(step.b % 6) as usize]);
        let maximum = minimum + (step.a >> 16) % 100;
        (held + 8 <= minimum).then_some(Call::Limits { minimum, maximum, flags })
    }

    /// Mostly pages that are locked.
    fn start_unlock(&self, number: usize, step: &Step) -> Option<Call> {
        let space = self.model.space(number);
        let locked = space.locked.iter().nth(usize::try_from(step.a % 8).expect("a small number"));
        match locked {
            Some(vpn) if !step.b.is_multiple_of(4) => {
                Some(Call::Unlock { at: Span { vpn: *vpn, pages: 1 + step.b % 2 } })
            }
            Some(_) | None => {
                let at = self.span(number, step, 4, |region| region.kind != Kind::Window)?;
                Some(Call::Unlock { at })
            }
        }
    }

    fn start_physical(&self, number: usize, step: &Step) -> Option<Call> {
        let space = self.model.space(number);
        let (a, b) = (step.a, step.b);
        let frame = usize::try_from(b % space.frames.len().max(1) as u64).expect("few frames");
        Some(match step.verb {
            Verb::Own => {
                let room = space.frames.iter().flatten().count() < MOST_FRAMES;
                room.then_some(Call::Own { count: 1 + a % 8 })?
            }
            Verb::Disown => Call::Disown { frame },
            _ => {
                let window = space.pick(a, |region| region.kind == Kind::Window)?;
                let frame = (b % 5 > 0).then_some(frame);
                Call::Show { vpn: window.first + (b >> 8) % window.pages, frame }
            }
        })
    }

    /// The kernel writes to the file while it is mapped (SPEC F48).
    fn write_file_as_kernel(&mut self, a: u64) {
        let page = a % FILE_PAGES;
        let token = self.new_token();
        for offset in WORDS {
            self.machine.disk.set_word(Place::File(FILE, page), offset, token);
            let at = page * PAGE_BYTES + offset;
            let stale = self.machine.mm.file_written(FileId::new(FILE), at, &token.to_le_bytes());
            self.machine.processor.drop_stale(stale);
        }
        let area = self.model.sections.last().expect("the file has a section").area;
        self.model.areas[area].tokens.insert(page, token);
    }
}

/// Some pages of a region, from a page that a number chooses.
fn spots(region: &Region, number: u64, most: u64) -> (u64, u64) {
    let first = region.spot(number);
    let pages = (1 + (number >> 32) % most).min(region.pages - first);
    (region.first + first, pages)
}
