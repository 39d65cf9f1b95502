//! The door's steps about working sets and locks.

use super::world::World;
use super::{parse, show};
use vadose_facts::ntdef::NtStatus;
use vadose_facts::x86::Access;
use vadose_mm::{LimitFlags, LockKinds, LockOutcome};

impl World {
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

    /// Pages that are valid and pages that are locked.
    pub(crate) fn resident_and_locked(&self) -> (u64, u64) {
        let counters = self.mm.process_counters(self.process);
        (counters.resident_pages, counters.locked_pages)
    }
}
