//! Locked pages in the model (SPEC J5 to J10, E15, B15).

use super::space::PAGE;
use super::{Access, Model, NOACCESS, Seen};
use std::ops::Range;

/// Pages that a process with the default minimum working set can lock: 50 but for 8 (SPEC J1, J7).
const LOCKABLE: u64 = 42;
/// Lock of a process's working set, the other kind being the system's (SPEC J9).
const PROCESS: u8 = 1;

impl Model {
    /// Where two checks fail, the rules do not say which comes first.
    pub(super) fn lock(&mut self, at: u64, size: u64, kinds: u8, seen: &Seen) -> String {
        let Some(range) = self.lockable_range(at, size, kinds) else { return "invalid-parameter".to_owned() };
        let quota = kinds & PROCESS != 0 && self.locks_after(&range) > LOCKABLE;
        if quota && seen.answer == "working-set-quota" {
            return seen.answer.clone();
        }
        let plain = |page: &u64| {
            self.spaces[self.now].committed.get(page).is_some_and(|page| page.protection & 0x1ff != NOACCESS)
        };
        let before_guard = range.clone().take_while(|page| !self.is_guarded(*page));
        if !before_guard.clone().all(|page| plain(&page)) {
            return "access-violation".to_owned();
        }
        if quota {
            return "working-set-quota".to_owned();
        }
        if let Err(met) = self.touch_all(&range, seen) {
            return met;
        }
        let mut answer = "ok";
        for page in range {
            let page = self.page_mut(page);
            if page.locks & kinds != 0 {
                answer = "was-locked";
            }
            page.locks |= kinds;
        }
        answer.to_owned()
    }

    /// A stack that grows may put its guard on a page that was touched before: it is touched again (SPEC J6).
    fn touch_all(&mut self, range: &Range<u64>, seen: &Seen) -> Result<(), String> {
        loop {
            for page in range.clone() {
                let met = self.touch(Access::Read, page * PAGE, 0, seen);
                if !met.starts_with('=') {
                    return Err(met);
                }
            }
            if !range.clone().any(|page| self.is_guarded(page)) {
                return Ok(());
            }
        }
    }

    pub(super) fn unlock(&mut self, at: u64, size: u64, kinds: u8) -> String {
        let Some(range) = self.lockable_range(at, size, kinds) else { return "invalid-parameter".to_owned() };
        let locks = |page: &u64| self.spaces[self.now].committed.get(page).map_or(0, |page| page.locks);
        if range.end - range.start > self.limit || !range.clone().all(|page| locks(&page) & kinds == kinds) {
            return "not-locked".to_owned();
        }
        for page in range {
            self.page_mut(page).locks &= !kinds;
        }
        "ok".to_owned()
    }

    fn lockable_range(&self, at: u64, size: u64, kinds: u8) -> Option<Range<u64>> {
        let room = self.edition.max_user_address.raw().checked_sub(at)?;
        let legal = size != 0 && size <= room && matches!(kinds, 1..=3);
        legal.then(|| at / PAGE..(at + size - 1) / PAGE + 1)
    }

    fn locks_after(&self, range: &Range<u64>) -> u64 {
        let others = self.spaces[self.now].committed.iter();
        let others = others.filter(|(number, page)| page.locks & PROCESS != 0 && !range.contains(number));
        others.count() as u64 + range.end - range.start
    }

    fn is_guarded(&self, page: u64) -> bool {
        self.spaces[self.now].committed.get(&page).is_some_and(|page| page.protection & super::GUARD != 0)
    }
}
