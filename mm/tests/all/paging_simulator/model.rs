//! The plain model: which pages a process has, what they allow, and what the guest wrote to them.

use std::collections::{BTreeMap, BTreeSet};
use vadose_mm::{ProcessId, SectionId};

/// Where in a page its token is, twice.
pub(super) const WORDS: [u64; 2] = [0x128, 0x8f8];

/// What a page allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rights {
    NoAccess,
    ReadOnly,
    ReadWrite,
    Guard,
    WriteCopy,
}

impl Rights {
    /// Its `PAGE_*` word.
    pub(super) const fn raw(self) -> u32 {
        match self {
            Self::NoAccess => 0x01,
            Self::ReadOnly => 0x02,
            Self::ReadWrite => 0x04,
            Self::Guard => 0x104,
            Self::WriteCopy => 0x08,
        }
    }
}

/// What a page holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Exactly(u64),
    /// The program does without it: it may become zeros at any time (SPEC A47, J27).
    Given(u64),
    /// It is that or zeros, for good (SPEC J28).
    Either(u64),
}

pub(super) const ZEROS: Content = Content::Exactly(0);

impl Content {
    /// Whether a load may find a token, and what the page is then known to hold.
    pub(super) fn seen(self, found: u64) -> Option<Self> {
        match self {
            Self::Exactly(token) => (token == found).then_some(self),
            Self::Given(token) if found == token => Some(self),
            Self::Either(token) if found == token => Some(Self::Exactly(token)),
            Self::Given(_) | Self::Either(_) => (found == 0).then_some(ZEROS),
        }
    }

    pub(super) const fn token(self) -> u64 {
        match self {
            Self::Exactly(token) | Self::Given(token) | Self::Either(token) => token,
        }
    }

    /// Given up: the program says that it may go.
    pub(super) const fn given(self) -> Self {
        match self {
            Self::Exactly(token) | Self::Given(token) => Self::Given(token),
            // Zeros or the token: whichever it is may become zeros.
            Self::Either(token) => Self::Given(token),
        }
    }
}

/// A page of a private region, or a private copy of a view's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page {
    /// `None` if it is reserved.
    pub(super) rights: Option<Rights>,
    pub(super) content: Content,
}

/// What a region is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Private {
        watched: bool,
    },
    /// A view of an area's pages from the first one on.
    View {
        area: usize,
        first: u64,
    },
    /// For frames that the program owns.
    Window,
}

/// A region of a process.
#[derive(Clone, Debug)]
pub(super) struct Region {
    /// Its first page.
    pub(super) first: u64,
    pub(super) pages: u64,
    /// Distance of the pages that are used.
    pub(super) stride: u64,
    pub(super) kind: Kind,
    /// Pages that have no entry of their own.
    pub(super) usual: Option<Rights>,
    pub(super) own: BTreeMap<u64, Page>,
    /// Watched pages that were stored to.
    pub(super) written: BTreeSet<u64>,
    /// Frames that a window shows, by their place in the process's list.
    pub(super) shown: BTreeMap<u64, u64>,
    /// It is being given back: nobody knows what is in it.
    pub(super) doomed: bool,
}

impl Region {
    pub(super) fn new(first: u64, pages: u64, kind: Kind, usual: Option<Rights>) -> Self {
        Self {
            first,
            pages,
            stride: 1,
            kind,
            usual,
            own: BTreeMap::new(),
            written: BTreeSet::new(),
            shown: BTreeMap::new(),
            doomed: false,
        }
    }

    pub(super) fn is_private(&self) -> bool {
        matches!(self.kind, Kind::Private { .. })
    }

    pub(super) fn is_watched(&self) -> bool {
        self.kind == Kind::Private { watched: true }
    }

    pub(super) fn is_view(&self) -> bool {
        matches!(self.kind, Kind::View { .. })
    }

    /// Whether stores make pages private.
    pub(super) fn copies(&self) -> bool {
        self.usual == Some(Rights::WriteCopy)
    }

    /// What a page allows.
    pub(super) fn rights(&self, index: u64) -> Option<Rights> {
        self.own.get(&index).map_or(self.usual, |page| page.rights)
    }

    /// A private page, to be changed.
    pub(super) fn page(&mut self, index: u64) -> &mut Page {
        let rights = self.usual;
        self.own.entry(index).or_insert(Page { rights, content: ZEROS })
    }

    /// A page that a number chooses: half of them are among the first few.
    pub(super) fn spot(&self, number: u64) -> u64 {
        const FEW: u64 = 24;
        if self.stride > 1 {
            return number % (self.pages / self.stride) * self.stride + (number >> 40) % 2;
        }
        let among = if number.is_multiple_of(2) { self.pages.min(FEW) } else { self.pages };
        (number >> 8) % among
    }
}

/// What one process has.
#[derive(Clone, Debug)]
pub(super) struct Space {
    pub(super) process: ProcessId,
    pub(super) regions: Vec<Region>,
    pub(super) locked: BTreeSet<u64>,
    /// Frames that it owns, with what they hold; `None` after they were given back.
    pub(super) frames: Vec<Option<(u64, u64)>>,
    /// Reads that failed and that it may still learn of.
    pub(super) failed_reads: u64,
}

/// Whether an access is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Allowed,
    Violation,
    Guard,
    /// The region is being given back.
    Unknown,
}

impl Space {
    pub(super) fn new(process: ProcessId) -> Self {
        Self { process, regions: Vec::new(), locked: BTreeSet::new(), frames: Vec::new(), failed_reads: 0 }
    }

    /// The region of a page, and its number there.
    pub(super) fn find(&self, vpn: u64) -> Option<(usize, u64)> {
        let holds = |region: &Region| (region.first..region.first + region.pages).contains(&vpn);
        let index = self.regions.iter().position(holds)?;
        Some((index, vpn - self.regions[index].first))
    }

    /// The region that holds a whole run of pages, and its first one's number there.
    pub(super) fn find_run(&self, vpn: u64, pages: u64) -> Option<(usize, u64)> {
        let (index, first) = self.find(vpn)?;
        (first + pages <= self.regions[index].pages).then_some((index, first))
    }

    /// A region that a number chooses among those that are fit.
    pub(super) fn pick(&self, number: u64, fit: impl Fn(&Region) -> bool) -> Option<&Region> {
        let found: Vec<&Region> =
            self.regions.iter().filter(|region| !region.doomed && fit(region)).collect();
        let index = usize::try_from(number % (found.len() as u64).max(1)).expect("few regions");
        found.get(index).copied()
    }

    pub(super) fn verdict(&self, vpn: u64, stores: bool) -> Verdict {
        let Some((index, page)) = self.find(vpn) else { return Verdict::Violation };
        let region = &self.regions[index];
        if region.doomed {
            return Verdict::Unknown;
        }
        let rights = match region.kind {
            Kind::Window => region.shown.contains_key(&page).then_some(Rights::ReadWrite),
            Kind::Private { .. } | Kind::View { .. } => region.rights(page),
        };
        match rights {
            None | Some(Rights::NoAccess) => Verdict::Violation,
            Some(Rights::Guard) => Verdict::Guard,
            Some(Rights::ReadOnly) if stores => Verdict::Violation,
            Some(Rights::ReadOnly | Rights::ReadWrite | Rights::WriteCopy) => Verdict::Allowed,
        }
    }

    /// Takes locks off pages that can no longer be valid.
    pub(super) fn forget_locks(&mut self, first: u64, pages: u64) {
        self.locked.retain(|vpn| !(first..first + pages).contains(vpn));
    }
}

/// What is behind sections and views.
#[derive(Clone, Debug, Default)]
pub(super) struct Area {
    pub(super) pages: u64,
    pub(super) tokens: BTreeMap<u64, u64>,
}

/// A section that can be mapped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    pub(super) id: Option<SectionId>,
    pub(super) area: usize,
}

/// Everything that the guest may rely on.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    pub(super) spaces: Vec<Option<Space>>,
    pub(super) areas: Vec<Area>,
    pub(super) sections: Vec<Open>,
}

impl Model {
    pub(super) fn space(&self, number: usize) -> &Space {
        self.spaces[number].as_ref().expect("the process lives")
    }

    pub(super) fn space_mut(&mut self, number: usize) -> &mut Space {
        self.spaces[number].as_mut().expect("the process lives")
    }

    /// What a load of a page finds.
    pub(super) fn content(&self, number: usize, vpn: u64) -> Content {
        let space = self.space(number);
        let (index, page) = space.find(vpn).expect("the page is in a region");
        let region = &space.regions[index];
        let own = region.own.get(&page).map(|page| page.content);
        match region.kind {
            Kind::Private { .. } => own.unwrap_or(ZEROS),
            Kind::View { area, first } => own.unwrap_or_else(|| {
                Content::Exactly(self.areas[area].tokens.get(&(first + page)).copied().unwrap_or(0))
            }),
            Kind::Window => {
                let (_, token) = space.frames[region.shown[&page] as usize].expect("a shown frame is owned");
                Content::Exactly(token)
            }
        }
    }

    /// A load has found this.
    pub(super) fn note_content(&mut self, number: usize, vpn: u64, content: Content) {
        let space = self.space_mut(number);
        let (index, page) = space.find(vpn).expect("the page is in a region");
        if let Some(own) = space.regions[index].own.get_mut(&page) {
            own.content = content;
        }
    }

    /// A store has put this there.
    pub(super) fn store(&mut self, number: usize, vpn: u64, token: u64) {
        let space = self.space_mut(number);
        let (index, page) = space.find(vpn).expect("the page is in a region");
        let region = &mut space.regions[index];
        let content = Content::Exactly(token);
        match region.kind {
            Kind::Private { watched } => {
                region.page(page).content = content;
                if watched {
                    region.written.insert(page);
                }
            }
            Kind::View { .. } if region.copies() => {
                region.own.insert(page, Page { rights: Some(Rights::ReadWrite), content });
            }
            Kind::View { area, first } => {
                self.areas[area].tokens.insert(first + page, token);
            }
            Kind::Window => {
                let frame = region.shown[&page] as usize;
                space.frames[frame].as_mut().expect("a shown frame is owned").1 = token;
            }
        }
    }
}
