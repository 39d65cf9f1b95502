//! What loads, stores and fetches find in the model (SPEC E1 to E13, E29).

use super::space::{Kind, PAGE, Page};
use super::stack::Growth;
use super::{
    Access, EXECUTE_READWRITE, EXECUTE_WRITECOPY, GUARD, Model, NOACCESS, READWRITE, Seen, WRITECOPY,
};
use vadose_facts::x86::NoExecute;

impl Model {
    pub(super) fn touch(&mut self, access: Access, at: u64, byte: u8, seen: &Seen) -> String {
        let no_execute = self.edition.no_execute;
        let code = match (access, no_execute) {
            (Access::Write, _) => 1,
            (Access::Execute, NoExecute::Enforced) => 8,
            (Access::Read, _) | (Access::Execute, NoExecute::Off) => 0,
        };
        let raised = |name: &str, origin: u64| format!("{name}({code})+{:x}", at.wrapping_sub(origin));
        let origin = self.origin;
        let number = at / PAGE;
        let space = self.space();
        let Some((first, allocation)) = space.owner(number) else {
            return raised("access-violation", origin);
        };
        let Some(page) = space.committed.get(&number) else {
            return raised("access-violation", origin);
        };
        if page.protection & GUARD != 0 {
            let plain = page.protection & !GUARD;
            let scoped = self.scoped(&allocation, plain);
            self.page_mut(number).protection = scoped;
            match self.grown(number, seen) {
                Growth::None => return raised("guard-page-violation", origin),
                Growth::Overflow => return raised("stack-overflow", origin),
                Growth::Done => {}
            }
        }
        let page = self.page_mut(number);
        let base = page.protection & 0xff;
        let writable = READWRITE | WRITECOPY | EXECUTE_READWRITE | EXECUTE_WRITECOPY;
        let allowed = match (access, no_execute) {
            (Access::Write, _) => base & writable != 0,
            (Access::Execute, NoExecute::Enforced) => base & 0xf0 != 0,
            (Access::Read, _) | (Access::Execute, NoExecute::Off) => base != NOACCESS,
        };
        let empty = allocation.kind == Kind::Image && self.image.page(number - first).gap;
        if !allowed || empty {
            return raised("access-violation", origin);
        }
        let home = Home::of(self, allocation.kind, number - first, first);
        self.page_mut(number).meet_loss();
        if let Some(byte) = seen.byte() {
            self.page_mut(number).observe(at % PAGE, byte);
        }
        match access {
            Access::Execute => "ok".to_owned(),
            Access::Read => format!("={:x}", self.byte(at, home)),
            Access::Write => {
                self.store(at, home, byte);
                "ok".to_owned()
            }
        }
    }

    pub(super) fn page_mut(&mut self, number: u64) -> &mut Page {
        self.space().committed.get_mut(&number).expect("a committed page")
    }

    fn byte(&mut self, at: u64, home: Home) -> u8 {
        let own = self.page_mut(at / PAGE).bytes.get(&(at % PAGE)).copied();
        match home {
            Home::Own => own.unwrap_or(0),
            Home::Copied { base } => own.unwrap_or_else(|| self.image.byte(at - base)),
            Home::Shared { base } => {
                self.shared.get(&(at - base)).copied().unwrap_or_else(|| self.image.byte(at - base))
            }
        }
    }

    fn store(&mut self, at: u64, home: Home, byte: u8) {
        if let Home::Shared { base } = home {
            self.shared.insert(at - base, byte);
            return;
        }
        let page = self.page_mut(at / PAGE);
        page.keep_with(at % PAGE, byte);
        page.written = true;
        if let Home::Copied { .. } = home {
            page.private = true;
            page.protection = match page.protection {
                WRITECOPY => READWRITE,
                EXECUTE_WRITECOPY => EXECUTE_READWRITE,
                other => other,
            };
        }
    }
}

/// Whose bytes a page holds.
#[derive(Clone, Copy)]
enum Home {
    /// The process's.
    Own,
    /// The image's until the process stores to them.
    Copied { base: u64 },
    /// The image's, for all processes.
    Shared { base: u64 },
}

impl Home {
    fn of(model: &Model, kind: Kind, number: u64, first: u64) -> Self {
        let base = first * PAGE;
        match kind {
            Kind::Private | Kind::Fixed => Self::Own,
            Kind::Image if model.image.page(number).shared => Self::Shared { base },
            Kind::Image => Self::Copied { base },
        }
    }
}
