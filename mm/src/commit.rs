//! The system-wide commit charge: pages promised to programs, against what RAM and page files can hold (SPEC J11, J12).

use vadose_facts::ntdef::NtStatus;

/// Commit charge of the whole machine, in pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    charged: u64,
    peak: u64,
    limit: u64,
    /// The most that may be charged, whatever there is.
    ceiling: u64,
    /// Pages that page files may grow by still (SPEC J14).
    growable: u64,
    /// Pages that the limit rose by, and page files have not grown by yet.
    growth: u64,
    charges: Charges,
}

/// Whether anything can be charged: a shortage that was ordered refuses the charges of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charges {
    /// As far as the limit goes.
    Granted,
    /// None at all, as if the limit were reached.
    Refused,
}

impl Commit {
    pub(crate) const fn new(limit_pages: u64) -> Self {
        Self {
            charged: 0,
            peak: 0,
            limit: limit_pages,
            ceiling: u64::MAX,
            growable: 0,
            growth: 0,
            charges: Charges::Granted,
        }
    }

    /// The same with a limit that is never passed.
    pub(crate) const fn below(self, ceiling_pages: u64) -> Self {
        Self { ceiling: ceiling_pages, ..self }
    }

    /// Pages charged now.
    pub const fn charged_pages(self) -> u64 {
        self.charged
    }

    /// The most that was ever charged (SPEC J13).
    pub const fn peak_pages(self) -> u64 {
        self.peak
    }

    /// The most that can be charged before page files grow.
    pub const fn limit_pages(self) -> u64 {
        if self.limit < self.ceiling { self.limit } else { self.ceiling }
    }

    /// What a page file adds: pages now, and pages that it may grow by (SPEC J11, J14).
    pub(crate) fn add_page_file(&mut self, pages: u64, growable: u64) {
        self.limit += pages;
        self.growable += growable;
    }

    /// Pages that page files have to grow by, for the limit has risen.
    pub(crate) const fn growth_pages(self) -> u64 {
        self.growth
    }

    /// What page files have to grow by now, for the limit has risen.
    pub(crate) fn take_growth(&mut self) -> u64 {
        std::mem::take(&mut self.growth)
    }

    /// Pages of page files turned out bad.
    pub(crate) fn lose(&mut self, pages: u64) {
        self.limit = self.limit.saturating_sub(pages);
    }

    /// Pages that can be charged still.
    pub(crate) const fn room_pages(self) -> u64 {
        match self.charges {
            Charges::Granted => self.most().saturating_sub(self.charged),
            Charges::Refused => 0,
        }
    }

    /// The limit once page files have grown as far as they may.
    const fn most(self) -> u64 {
        let most = self.limit + self.growable;
        if most < self.ceiling { most } else { self.ceiling }
    }

    pub(crate) const fn set_charges(&mut self, charges: Charges) {
        self.charges = charges;
    }

    /// Charges pages, all or none.
    ///
    /// # Errors
    ///
    /// `STATUS_COMMITMENT_LIMIT` (SPEC A37).
    #[inline]
    pub(crate) fn charge(&mut self, pages: u64) -> Result<(), NtStatus> {
        // The limit falls below what is charged when pages of page files turn out bad.
        if pages == 0 {
            return Ok(());
        }
        let total = self.charged.checked_add(pages).ok_or(NtStatus::COMMITMENT_LIMIT)?;
        if self.charges == Charges::Refused || total > self.ceiling {
            return Err(NtStatus::COMMITMENT_LIMIT);
        }
        if total > self.limit {
            self.grow(total - self.limit)?;
        }
        self.charged = total;
        self.peak = self.peak.max(total);
        Ok(())
    }

    /// Page files grow when commit asks for more than there is: by what is missing, in steps of a size (SPEC J14).
    fn grow(&mut self, missing: u64) -> Result<(), NtStatus> {
        const STEP_PAGES: u64 = 256;
        if missing > self.growable {
            return Err(NtStatus::COMMITMENT_LIMIT);
        }
        let step = missing.next_multiple_of(STEP_PAGES).min(self.growable);
        self.growable -= step;
        self.growth += step;
        self.limit += step;
        Ok(())
    }

    /// Gives pages back.
    #[inline]
    pub(crate) fn give_back(&mut self, pages: u64) {
        assert!(pages <= self.charged, "no more is given back than was charged");
        self.charged -= pages;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SPEC A37 J13: over the limit nothing is charged, and the peak is kept.
    #[test]
    fn a_charge_over_the_limit_changes_nothing() {
        let mut commit = Commit::new(10);
        assert_eq!(commit.charge(8), Ok(()));
        let before = commit;
        assert_eq!(commit.charge(3), Err(NtStatus::COMMITMENT_LIMIT));
        assert_eq!(commit.charge(u64::MAX), Err(NtStatus::COMMITMENT_LIMIT));
        assert_eq!(commit, before);
        commit.give_back(8);
        assert_eq!((commit.charged_pages(), commit.peak_pages()), (0, 8));
    }

    #[test]
    fn nothing_can_be_charged_over_a_limit_that_fell() {
        let mut commit = Commit::new(10);
        assert_eq!(commit.charge(8), Ok(()));
        commit.lose(5);
        assert_eq!((commit.charge(1), commit.charge(0)), (Err(NtStatus::COMMITMENT_LIMIT), Ok(())));
        assert_eq!((commit.charged_pages(), commit.room_pages()), (8, 0));
    }

    #[test]
    fn while_charges_are_refused_only_nothing_can_be_charged() {
        let mut commit = Commit::new(10);
        commit.set_charges(Charges::Refused);
        assert_eq!((commit.charge(1), commit.room_pages()), (Err(NtStatus::COMMITMENT_LIMIT), 0));
        assert_eq!((commit.charge(0), commit.charged_pages()), (Ok(()), 0));
        commit.set_charges(Charges::Granted);
        assert_eq!((commit.charge(10), commit.room_pages()), (Ok(()), 0));
    }
}
