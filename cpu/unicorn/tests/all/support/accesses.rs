//! Accesses of every width at a border of two pages, in every state of both: what each must do, in one table.

use super::{AX, BX, CX, DX};
use vadose_cpu::CpuMode;
use vadose_facts::x86::{Access, FaultCode};

/// What an instruction does to the bytes at SI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Load,
    Store,
    /// A read-modify-write, which asks for the store from the start.
    Modify,
}

/// One instruction on `width` bytes at SI.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Touch {
    pub(crate) name: &'static str,
    pub(crate) bytes: &'static [u8],
    pub(crate) kind: Kind,
    pub(crate) width: u64,
    pub(crate) only: Option<CpuMode>,
}

const fn touch(name: &'static str, bytes: &'static [u8], kind: Kind, width: u64) -> Touch {
    Touch { name, bytes, kind, width, only: None }
}

const fn touch_64(name: &'static str, bytes: &'static [u8], kind: Kind, width: u64) -> Touch {
    Touch { name, bytes, kind, width, only: Some(CpuMode::Bits64) }
}

use Kind::{Load, Modify, Store};

/// The instructions.
pub(crate) const TOUCHES: &[Touch] = &[
    touch("movzx eax, byte", &[0x0f, 0xb6, 0x06], Load, 1),
    touch("mov ax, word", &[0x66, 0x8b, 0x06], Load, 2),
    touch("mov eax, dword", &[0x8b, 0x06], Load, 4),
    touch_64("mov rax, qword", &[0x48, 0x8b, 0x06], Load, 8),
    touch("add eax, dword", &[0x03, 0x06], Load, 4),
    touch("cmp dword, eax", &[0x39, 0x06], Load, 4),
    touch("movd xmm0", &[0x66, 0x0f, 0x6e, 0x06], Load, 4),
    touch("movq xmm0", &[0xf3, 0x0f, 0x7e, 0x06], Load, 8),
    touch("movlps xmm0", &[0x0f, 0x12, 0x06], Load, 8),
    touch("movhps xmm0", &[0x0f, 0x16, 0x06], Load, 8),
    touch("movups xmm0", &[0x0f, 0x10, 0x06], Load, 16),
    touch("movdqu xmm0", &[0xf3, 0x0f, 0x6f, 0x06], Load, 16),
    touch("cvtsi2sd xmm0, dword", &[0xf2, 0x0f, 0x2a, 0x06], Load, 4),
    touch("fld m32", &[0xd9, 0x06], Load, 4),
    touch("fld m64", &[0xdd, 0x06], Load, 8),
    touch("fld m80", &[0xdb, 0x2e], Load, 10),
    touch("fild m64", &[0xdf, 0x2e], Load, 8),
    touch("mov byte, al", &[0x88, 0x06], Store, 1),
    touch("mov word, ax", &[0x66, 0x89, 0x06], Store, 2),
    touch("mov dword, eax", &[0x89, 0x06], Store, 4),
    touch_64("mov qword, rax", &[0x48, 0x89, 0x06], Store, 8),
    touch("movnti dword, eax", &[0x0f, 0xc3, 0x06], Store, 4),
    touch("movd dword, xmm0", &[0x66, 0x0f, 0x7e, 0x06], Store, 4),
    touch("movq qword, xmm0", &[0x66, 0x0f, 0xd6, 0x06], Store, 8),
    touch("movlps qword, xmm0", &[0x0f, 0x13, 0x06], Store, 8),
    touch("movhps qword, xmm0", &[0x0f, 0x17, 0x06], Store, 8),
    touch("movups m128, xmm0", &[0x0f, 0x11, 0x06], Store, 16),
    touch("movdqu m128, xmm0", &[0xf3, 0x0f, 0x7f, 0x06], Store, 16),
    touch("fst m32", &[0xd9, 0x16], Store, 4),
    touch("fstp m64", &[0xdd, 0x1e], Store, 8),
    touch("fstp m80", &[0xdb, 0x3e], Store, 10),
    touch("fistp m64", &[0xdf, 0x3e], Store, 8),
    touch("setz byte", &[0x0f, 0x94, 0x06], Store, 1),
    touch("add byte, al", &[0x00, 0x06], Modify, 1),
    touch("add word, ax", &[0x66, 0x01, 0x06], Modify, 2),
    touch("add dword, eax", &[0x01, 0x06], Modify, 4),
    touch_64("add qword, rax", &[0x48, 0x01, 0x06], Modify, 8),
    touch("inc dword", &[0xff, 0x06], Modify, 4),
    touch("not dword", &[0xf7, 0x16], Modify, 4),
    touch("shl dword, 1", &[0xd1, 0x26], Modify, 4),
    touch("adc dword, 5", &[0x83, 0x16, 0x05], Modify, 4),
    touch("lock inc dword", &[0xf0, 0xff, 0x06], Modify, 4),
    touch("xchg dword, eax", &[0x87, 0x06], Modify, 4),
    touch("lock xadd dword, eax", &[0xf0, 0x0f, 0xc1, 0x06], Modify, 4),
    touch("cmpxchg dword, ecx", &[0x0f, 0xb1, 0x0e], Modify, 4),
    touch("lock cmpxchg dword, ecx", &[0xf0, 0x0f, 0xb1, 0x0e], Modify, 4),
    touch("lock cmpxchg8b", &[0xf0, 0x0f, 0xc7, 0x0e], Modify, 8),
    touch("bts dword, 3", &[0x0f, 0xba, 0x2e, 0x03], Modify, 4),
    touch("shld dword, ecx, 4", &[0x0f, 0xa4, 0x0e, 0x04], Modify, 4),
];

/// An instruction that wants its sixteen bytes aligned.
pub(crate) const ALIGNED: &[Touch] = &[
    touch("movaps xmm0", &[0x0f, 0x28, 0x06], Load, 16),
    touch("movdqa xmm0", &[0x66, 0x0f, 0x6f, 0x06], Load, 16),
    touch("addps xmm0", &[0x0f, 0x58, 0x06], Load, 16),
    touch("movaps m128, xmm0", &[0x0f, 0x29, 0x06], Store, 16),
    touch("movntps m128, xmm0", &[0x0f, 0x2b, 0x06], Store, 16),
    touch("movntdq m128, xmm0", &[0x66, 0x0f, 0xe7, 0x06], Store, 16),
    touch_64("lock cmpxchg16b", &[0xf0, 0x48, 0x0f, 0xc7, 0x0e], Modify, 16),
];

/// Registers that every instruction starts with, besides SI.
pub(crate) const REGISTERS: [(usize, u64); 4] = [(AX, 0x11), (CX, 0x22), (DX, 0x33), (BX, 0x44)];

/// A page's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Page {
    Writable,
    ReadOnly,
    Missing,
    /// The kernel's.
    Closed,
}

pub(crate) const PAGES: [Page; 4] = [Page::Writable, Page::ReadOnly, Page::Missing, Page::Closed];

/// A fault: byte, access, error code.
pub(crate) type Fault = (u64, Access, FaultCode);

impl Touch {
    /// Whether a mode has it.
    pub(crate) fn is_in(&self, mode: CpuMode) -> bool {
        self.only.is_none_or(|only| only == mode)
    }

    /// How it looks to the pages.
    pub(crate) const fn access(&self) -> Access {
        match self.kind {
            Load => Access::Read,
            Store | Modify => Access::Write,
        }
    }

    /// What it must do at `start` where a page of state `low` ends at `edge` and one of state `high` begins: the table
    /// that every driver obeys.
    pub(crate) fn expected(&self, start: u64, edge: u64, low: Page, high: Page) -> Option<Fault> {
        first_refused(self.access(), start, self.width, edge, low, high)
    }

    /// What Unicorn's own walk says: it reads before it asks for the store.
    pub(crate) fn expected_of_a_late_store(
        &self,
        start: u64,
        edge: u64,
        low: Page,
        high: Page,
    ) -> Option<Fault> {
        let reading = match self.kind {
            Load | Modify => first_refused(Access::Read, start, self.width, edge, low, high),
            Store => None,
        };
        reading.or_else(|| self.expected(start, edge, low, high))
    }
}

/// The lowest byte of an access that lies on a page that refuses it.
fn first_refused(access: Access, start: u64, width: u64, edge: u64, low: Page, high: Page) -> Option<Fault> {
    let parts = [(start, low, start < edge), (start.max(edge), high, start + width > edge)];
    parts
        .into_iter()
        .filter(|(_, _, is_touched)| *is_touched)
        .find_map(|(byte, page, _)| refusal(access, page).map(|code| (byte, access, code)))
}

fn refusal(access: Access, page: Page) -> Option<FaultCode> {
    let wanted =
        FaultCode::USER | if access == Access::Write { FaultCode::WRITE } else { FaultCode::empty() };
    match (page, access) {
        (Page::Writable, _) | (Page::ReadOnly, Access::Read | Access::Execute) => None,
        (Page::ReadOnly, Access::Write) | (Page::Closed, _) => Some(wanted | FaultCode::PRESENT),
        (Page::Missing, _) => Some(wanted),
    }
}
