//! The duty that comes with a changed page table: cached translations and translated code that must be dropped.

use crate::addr::{Pfn, Vpn};

/// Cached state of the processor that no longer matches memory. Whoever changes a page-table entry or a frame's bytes
/// hands one of these to the processor before the guest runs on.
#[must_use = "page tables or frames changed: give this to the processor, or the guest sees old memory"]
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Stale {
    translations: StaleTranslations,
    rewritten: Rewritten,
}

/// Which cached translations are wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StaleTranslations {
    /// None.
    #[default]
    None,
    /// One page's.
    Page(Vpn),
    /// All user pages'.
    All,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Rewritten {
    #[default]
    None,
    One(Pfn),
    Many(Vec<Pfn>),
}

impl Stale {
    /// Nothing is stale.
    #[inline]
    pub const fn none() -> Self {
        Self { translations: StaleTranslations::None, rewritten: Rewritten::None }
    }

    /// One page's translation changed from valid to something else.
    #[inline]
    pub const fn page(vpn: Vpn) -> Self {
        Self { translations: StaleTranslations::Page(vpn), rewritten: Rewritten::None }
    }

    /// A frame's bytes were replaced by someone other than the guest.
    #[inline]
    pub const fn frame(pfn: Pfn) -> Self {
        Self { translations: StaleTranslations::None, rewritten: Rewritten::One(pfn) }
    }

    /// Notes that a page's translation changed.
    #[inline]
    pub fn add_page(&mut self, vpn: Vpn) {
        self.translations = match self.translations {
            StaleTranslations::None => StaleTranslations::Page(vpn),
            StaleTranslations::Page(old) if old == vpn => StaleTranslations::Page(vpn),
            StaleTranslations::Page(_) | StaleTranslations::All => StaleTranslations::All,
        };
    }

    /// Notes that the translations of many pages changed.
    pub fn add_all(&mut self) {
        self.translations = StaleTranslations::All;
    }

    /// Notes that a frame's bytes were replaced.
    #[inline]
    pub fn add_frame(&mut self, pfn: Pfn) {
        self.rewritten = match std::mem::take(&mut self.rewritten) {
            Rewritten::None => Rewritten::One(pfn),
            Rewritten::One(first) => Rewritten::Many(vec![first, pfn]),
            Rewritten::Many(mut list) => {
                list.push(pfn);
                Rewritten::Many(list)
            }
        };
    }

    /// Takes over another's duties.
    #[inline]
    pub fn absorb(&mut self, other: Self) {
        match other.translations {
            StaleTranslations::None => {}
            StaleTranslations::Page(vpn) => self.add_page(vpn),
            StaleTranslations::All => self.translations = StaleTranslations::All,
        }
        for pfn in other.frames() {
            self.add_frame(*pfn);
        }
    }

    /// Which translations to drop.
    #[inline]
    pub const fn translations(&self) -> StaleTranslations {
        self.translations
    }

    /// Frames whose bytes changed under the processor.
    #[inline]
    pub fn frames(&self) -> &[Pfn] {
        match &self.rewritten {
            Rewritten::None => &[],
            Rewritten::One(pfn) => std::slice::from_ref(pfn),
            Rewritten::Many(list) => list,
        }
    }

    /// Whether there is nothing to do.
    #[inline]
    pub fn is_none(&self) -> bool {
        self.translations == StaleTranslations::None && self.frames().is_empty()
    }

    /// Ends the duty where no processor caches anything: a memory manager used without one.
    #[inline]
    pub fn nothing_cached(self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_different_pages_mean_all_and_frames_add_up() {
        let mut stale = Stale::page(Vpn::new(1));
        stale.absorb(Stale::frame(Pfn::new(7)));
        stale.absorb(Stale::frame(Pfn::new(8)));
        assert_eq!(stale.translations(), StaleTranslations::Page(Vpn::new(1)));
        stale.add_page(Vpn::new(2));
        assert_eq!(stale.translations(), StaleTranslations::All);
        assert_eq!(stale.frames(), [Pfn::new(7), Pfn::new(8)]);
        assert!(!stale.is_none() && Stale::none().is_none());
        stale.nothing_cached();
    }
}
