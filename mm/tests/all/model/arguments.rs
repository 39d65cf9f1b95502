//! What an allocate call checks before it looks at the address space (SPEC A1 to A12, A23 to A26).

use super::step::Wish;
use super::{ParameterStatus, READWRITE, RESERVE, RESET, RESET_UNDO, TOP_DOWN, WRITE_WATCH};
use vadose_facts::ntdef::{Bitness, Edition};

const COMMIT: u32 = super::COMMIT;
const PHYSICAL: u32 = 0x40_0000;
const LARGE_PAGES: u32 = 0x2000_0000;

/// The status of bad parameter number `n`, as the door shows it.
pub(super) fn bad(edition: &Edition, n: u32) -> &'static str {
    match (edition.parameter_status, n) {
        (ParameterStatus::Plain, _) => "invalid-parameter",
        (ParameterStatus::Numbered, 2) => "invalid-parameter-2",
        (ParameterStatus::Numbered, 3) => "invalid-parameter-3",
        (ParameterStatus::Numbered, 4) => "invalid-parameter-4",
        (ParameterStatus::Numbered, 5) => "invalid-parameter-5",
        (ParameterStatus::Numbered, _) => "invalid-parameter-6",
    }
}

pub(super) fn check(edition: &Edition, wish: &Wish) -> Result<(), &'static str> {
    let &Wish { kind, protection, at, size, zero_bits } = wish;
    let mask = zero_bits >= 32 && edition.bitness == Bitness::Bits64;
    if zero_bits > 21 && !mask {
        return Err(bad(edition, 3));
    }
    if !legal_type(edition, kind) {
        return Err(bad(edition, 5));
    }
    if !legal_protection(protection) || protection & 0x88 != 0 {
        return Err("invalid-page-protection");
    }
    if kind & PHYSICAL != 0 && protection != READWRITE {
        return Err(bad(edition, 6));
    }
    let last = edition.max_user_address.raw() - 0x1_0000;
    if at.is_some_and(|at| at > last || at < 0x1_0000) {
        return Err(bad(edition, 2));
    }
    if size == 0 || at.unwrap_or(0).checked_add(size - 1).is_none_or(|end| end > last) {
        return Err(bad(edition, 4));
    }
    Ok(())
}

/// SPEC A2 A3 A4 A5 A6: which sets of type bits make sense, one sentence a line.
pub(crate) fn legal_type(edition: &Edition, kind: u32) -> bool {
    let has = |bits: u32| kind & bits != 0;
    let undo = if edition.version.build >= 9200 { RESET_UNDO } else { 0 };
    let known = COMMIT | RESERVE | RESET | TOP_DOWN | WRITE_WATCH | PHYSICAL | LARGE_PAGES | undo;
    let says_what = has(COMMIT | RESERVE | RESET | undo);
    let reset_alone = !has(RESET | undo) || kind == RESET || kind == undo;
    let large_commits = !has(LARGE_PAGES) || has(COMMIT) && !has(PHYSICAL | RESET | WRITE_WATCH);
    let watch_reserves = !has(WRITE_WATCH) || has(RESERVE);
    let window_reserves = !has(PHYSICAL) || has(RESERVE) && kind & !(PHYSICAL | RESERVE | TOP_DOWN) == 0;
    kind & !known == 0 && says_what && reset_alone && large_commits && watch_reserves && window_reserves
}

/// SPEC A7 A8: one base, at most one modifier, none on `PAGE_NOACCESS`.
pub(crate) fn legal_protection(protection: u32) -> bool {
    let modifiers = (protection & 0x700).count_ones();
    let known = protection & !0x7ff == 0;
    known
        && (protection & 0xff).count_ones() == 1
        && modifiers <= 1
        && (modifiers == 0 || protection & 1 == 0)
}

/// SPEC A24 A25 A26.
pub(super) fn highest_address(zero_bits: u64) -> u64 {
    match zero_bits {
        0 => u64::MAX,
        1..=20 => (1 << (32 - zero_bits)) - 1,
        21..=31 => 0,
        mask => [1, 2, 4, 8, 16, 32].into_iter().fold(mask, |filled, shift| filled | filled >> shift),
    }
}
