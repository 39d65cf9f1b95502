//! Protections in the model (SPEC C1 to C21).

use super::space::{Allocation, Kind};
use super::{Answer, EXECUTE_WRITECOPY, Model, NOCACHE, Seen, WRITECOMBINE, WRITECOPY, arguments, word};
use std::ops::Range;

impl Model {
    /// SPEC C1 C3 to C7 C10 C17 C18 C19.
    pub(super) fn protect(&mut self, at: u64, size: u64, protection: u32, seen: &Seen) -> Answer {
        if !arguments::legal_protection(protection) {
            return Err("invalid-page-protection");
        }
        let max = self.edition.max_user_address.raw();
        if at > max {
            return Err("invalid-parameter-2");
        }
        if size == 0 || size > max - at {
            return Err("invalid-parameter-3");
        }
        let (first, allocation, range) = self.space().inside(at, size).ok_or("conflicting-addresses")?;
        match allocation.kind {
            Kind::Private if protection & (WRITECOPY | EXECUTE_WRITECOPY) != 0 => {
                return Err("invalid-parameter-4");
            }
            Kind::Image if protection & (NOCACHE | WRITECOMBINE) != 0 => return Err("invalid-parameter-4"),
            Kind::Private | Kind::Image => {}
            Kind::Fixed => return Err("invalid-page-protection"),
        }
        let protection = self.scoped(&allocation, protection);
        if self.space().uncommitted(&range) > 0 {
            return Err("not-committed");
        }
        let changed = self.protected(first, &allocation, &range, protection);
        let copies = |protection: u32| protection & (WRITECOPY | EXECUTE_WRITECOPY) != 0;
        if allocation.kind == Kind::Image {
            let new = |(number, protection): (u64, &u32)| {
                let page = &self.spaces[self.now].committed[&number];
                !page.private && !copies(page.protection) && copies(*protection)
            };
            let need = range.clone().zip(&changed).filter(|one| new(*one)).count() as u64;
            self.afford(need, &range, seen)?;
        }
        let old = self.space().committed[&range.start].protection;
        for (number, protection) in range.zip(changed) {
            self.page_mut(number).protect(protection);
        }
        Ok(format!("was-{}", word(old)))
    }

    /// What each page of a range gets when a protection is asked for.
    fn protected(&self, first: u64, allocation: &Allocation, range: &Range<u64>, asked: u32) -> Vec<u32> {
        let one = |number: u64| match allocation.kind {
            Kind::Image => {
                let private = self.spaces[self.now].committed[&number].private;
                self.image.effective(number - first, private, asked)
            }
            Kind::Private | Kind::Fixed => asked,
        };
        range.clone().map(one).collect()
    }
}
