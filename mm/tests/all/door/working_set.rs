//! The door's steps about working sets and locks.

use super::world::World;
use super::{parse, show};
use vadose_facts::ntdef::NtStatus;
use vadose_facts::x86::Access;
use vadose_mm::{
    ContentList, ContentPlace, LimitFlags, LockKinds, LockOutcome, OfferPriority, PageAttributes, PageLock,
    PageOwner, Reclaimed,
};

impl World {
    pub(super) fn working_set_step(&mut self, words: &[&str]) -> String {
        match *words {
            ["lock", offset, size] => self.lock(offset, size, 1),
            ["lock", offset, size, kinds] => self.lock(offset, size, parse::number(kinds) as u32),
            ["unlock", offset, size] => self.unlock(offset, size, 1),
            ["unlock", offset, size, kinds] => self.unlock(offset, size, parse::number(kinds) as u32),
            ["reset", offset, size] => self.call(0x8_0000, 0x01, offset, size),
            ["undo", offset, size] => self.call(0x100_0000, 0x01, offset, size),
            ["offer", offset, size, priority] => self.offer(offset, size, priority),
            ["reclaim", offset, size] => self.reclaim(offset, size),
            ["discard", offset, size] => self.discard(offset, size),
            ["prefetch", offset] => self.prefetch(offset),
            ["rundown"] => {
                self.mm.begin_rundown(self.process).map_or_else(show::status, |()| "ok".to_owned())
            }
            ["no-code"] => {
                self.mm.prohibit_dynamic_code(self.process).map_or_else(show::status, |()| "ok".to_owned())
            }
            ["wsex", offset] => self.attributes(offset),
            ["trim"] => self.trim(),
            ["limits", minimum, maximum] => self.limits(minimum, maximum, "0"),
            ["limits", minimum, maximum, flags] => self.limits(minimum, maximum, flags),
            ["process", number] => {
                self.enter_process(parse::number(number) as usize);
                "ok".to_owned()
            }
            ["restart"] => {
                self.restart_process();
                "ok".to_owned()
            }
            _ => panic!("a step: {words:?}"),
        }
    }

    /// Touches what the memory manager asks for, as a kernel does.
    pub(super) fn lock(&mut self, offset: &str, size: &str, kinds: u32) -> String {
        let (base, size) = (self.address(offset), parse::number(size));
        let kinds = LockKinds::from_bits_retain(kinds);
        loop {
            match self.mm.lock(self.process, base, size, kinds) {
                Ok(LockOutcome::Done(locked)) if locked.status == NtStatus::SUCCESS => {
                    return "ok".to_owned();
                }
                Ok(LockOutcome::Done(locked)) => return show::status(locked.status),
                Ok(LockOutcome::Touch(range)) => {
                    for vpn in range.iter() {
                        let found = self.touch(&format!("@{:x}", vpn.base().raw()), Access::Read, 0);
                        if !found.starts_with('=') {
                            return found;
                        }
                    }
                }
                Err(status) => return show::status(status),
            }
        }
    }

    pub(super) fn unlock(&mut self, offset: &str, size: &str, kinds: u32) -> String {
        let (base, size) = (self.address(offset), parse::number(size));
        match self.mm.unlock(self.process, base, size, LockKinds::from_bits_retain(kinds)) {
            Ok(unlocked) => {
                let word = self.done(unlocked.stale);
                if unlocked.status == NtStatus::SUCCESS { word } else { show::status(unlocked.status) }
            }
            Err(status) => show::status(status),
        }
    }

    pub(super) fn trim(&mut self) -> String {
        let emptied = self.mm.empty_working_set(self.process);
        emptied.map_or_else(show::status, |stale| self.done(stale))
    }

    pub(super) fn limits(&mut self, minimum: &str, maximum: &str, flags: &str) -> String {
        let pages = |word: &str| word.parse::<u64>().expect("a number of pages");
        let flags = LimitFlags::from_bits_retain(parse::number(flags) as u32);
        let set = self.mm.set_working_set_limits(self.process, pages(minimum), pages(maximum), flags);
        set.map_or_else(show::status, |()| "ok".to_owned())
    }

    pub(super) fn offer(&mut self, offset: &str, size: &str, priority: &str) -> String {
        let priority = OfferPriority::of(parse::number(priority) as u32).expect("1 to 4");
        let (base, size) = (self.address(offset), parse::number(size));
        let offered = self.mm.offer(self.process, base, size, priority);
        offered.map_or_else(show::status, |stale| self.done(stale))
    }

    pub(super) fn reclaim(&mut self, offset: &str, size: &str) -> String {
        let (base, size) = (self.address(offset), parse::number(size));
        match self.mm.reclaim(self.process, base, size) {
            Ok(Reclaimed::Intact) => "ok".to_owned(),
            Ok(Reclaimed::Lost) => "lost".to_owned(),
            Err(status) => show::status(status),
        }
    }

    pub(super) fn discard(&mut self, offset: &str, size: &str) -> String {
        let (base, size) = (self.address(offset), parse::number(size));
        let discarded = self.mm.discard(self.process, base, size);
        discarded.map_or_else(show::status, |stale| self.done(stale))
    }

    /// `read` if the page had to be read, `there` if not.
    pub(super) fn prefetch(&mut self, offset: &str) -> String {
        let Some(transfer) = self.mm.prefetch(self.process, self.address(offset)) else {
            return "there".to_owned();
        };
        self.transfer(transfer);
        "read".to_owned()
    }

    /// Resident: protection, owner and sharers, lock. Absent: where the content is.
    pub(super) fn attributes(&self, offset: &str) -> String {
        let owner = |owner| match owner {
            PageOwner::Private => "private",
            PageOwner::Section => "section",
        };
        match self.mm.page_attributes(self.process, self.address(offset)) {
            PageAttributes::Resident(page) => {
                let lock = match page.lock {
                    PageLock::Free => "",
                    PageLock::Locked => "/locked",
                };
                let protection = show::protection(page.protection);
                format!("{protection}/{}/{}{lock}", owner(page.owner), page.share_count)
            }
            PageAttributes::Absent(page) => {
                let place = match page.place {
                    ContentPlace::Nowhere => "nowhere".to_owned(),
                    ContentPlace::Frame { priority, list: ContentList::Other } => format!("frame{priority}"),
                    ContentPlace::Frame { list: ContentList::Modified, .. } => "modified".to_owned(),
                    ContentPlace::PageFile => "page-file".to_owned(),
                };
                format!("absent/{}/{place}", owner(page.owner))
            }
        }
    }

    /// Pages that are valid and pages that are locked.
    pub(crate) fn resident_and_locked(&self) -> (u64, u64) {
        let counters = self.mm.process_counters(self.process);
        (counters.resident_pages, counters.locked_pages)
    }
}
