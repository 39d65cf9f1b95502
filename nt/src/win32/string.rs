//! Strings: kinds of characters, comparison, mapping to upper and lower case, and the `lstr` functions.

use super::codepage::{CodePage, Malformed, base_letter};
use super::locale::{known_locale, named_locale};
use super::text::Width;
use crate::UserPtr;
use crate::service::{Answer, Arg, Call, Export, Failure};
use std::cmp::Ordering;
use vadose_facts::ntdef::Win32Error;

use Arg::{U32, Word};

/// `LCMAP_LOWERCASE`, `LCMAP_UPPERCASE`, `LCMAP_SORTKEY`, `LCMAP_BYTEREV`.
const LOWER: u32 = 0x100;
const UPPER: u32 = 0x200;
const SORT_KEY: u32 = 0x400;
const BYTE_REVERSE: u32 = 0x800;
/// `NORM_IGNORECASE` and `LINGUISTIC_IGNORECASE`.
const IGNORE_CASE: u32 = 0x1 | 0x10;
/// `NORM_IGNORENONSPACE` and `LINGUISTIC_IGNOREDIACRITIC`.
const IGNORE_ACCENTS: u32 = 0x2 | 0x20;
/// `NORM_IGNORESYMBOLS`.
const IGNORE_SYMBOLS: u32 = 0x4;
/// All flags that `CompareString` knows: the above, kana, width, linguistic casing, string sort, digits as numbers.
const COMPARE_FLAGS: u32 = 0x37 | 0x8 | 0x1000 | 0x1_0000 | 0x2_0000 | 0x800_0000 | 0x1000_0000;
/// Kinds of characters, `CT_CTYPE1`: upper, lower, digit, space, punctuation, control, blank, hexadecimal digit, letter.
const C1_UPPER: u16 = 0x1;
const C1_LOWER: u16 = 0x2;
const C1_DIGIT: u16 = 0x4;
const C1_SPACE: u16 = 0x8;
const C1_PUNCTUATION: u16 = 0x10;
const C1_CONTROL: u16 = 0x20;
const C1_BLANK: u16 = 0x40;
const C1_HEX: u16 = 0x80;
const C1_ALPHA: u16 = 0x100;
const C1_DEFINED: u16 = 0x200;

/// The string functions.
pub(crate) const EXPORTS: &[Export] = &[
    Export::library("GetStringTypeW", &[U32, Word, U32, Word], string_type_w).set("core-string"),
    Export::library("GetStringTypeExW", &[U32, U32, Word, U32, Word], string_type_ex_w).set("core-string"),
    Export::library("GetStringTypeA", &[U32, U32, Word, U32, Word], string_type_a).only_in_kernel32(),
    Export::library("GetStringTypeExA", &[U32, U32, Word, U32, Word], string_type_a).only_in_kernel32(),
    Export::library("CompareStringA", &[U32, U32, Word, U32, Word, U32], compare_string_a).set("core-string"),
    Export::library("CompareStringW", &[U32, U32, Word, U32, Word, U32], compare_string_w).set("core-string"),
    Export::library(
        "CompareStringEx",
        &[Word, U32, Word, U32, Word, U32, Word, Word, Word],
        compare_string_ex,
    )
    .set("core-string"),
    Export::library("CompareStringOrdinal", &[Word, U32, Word, U32, U32], compare_ordinal).set("core-string"),
    Export::library("LCMapStringA", &[U32, U32, Word, U32, Word, U32], map_string_a).set("core-localization"),
    Export::library("LCMapStringW", &[U32, U32, Word, U32, Word, U32], map_string_w).set("core-localization"),
    Export::library("LCMapStringEx", &[Word, U32, Word, U32, Word, U32, Word, Word, Word], map_string_ex)
        .set("core-localization"),
    Export::library("lstrlenA", &[Word], length_a).set("core-string-obsolete"),
    Export::library("lstrlenW", &[Word], length_w).set("core-string-obsolete"),
    Export::library("lstrcmpA", &[Word, Word], lstrcmp_a).set("core-string-obsolete"),
    Export::library("lstrcmpW", &[Word, Word], lstrcmp_w).set("core-string-obsolete"),
    Export::library("lstrcmpiA", &[Word, Word], lstrcmpi_a).set("core-string-obsolete"),
    Export::library("lstrcmpiW", &[Word, Word], lstrcmpi_w).set("core-string-obsolete"),
    Export::library("lstrcpyA", &[Word, Word], copy_a).set("core-string-obsolete"),
    Export::library("lstrcpyW", &[Word, Word], copy_w).set("core-string-obsolete"),
    Export::library("lstrcpynA", &[Word, Word, U32], copy_n_a).set("core-string-obsolete"),
    Export::library("lstrcpynW", &[Word, Word, U32], copy_n_w).set("core-string-obsolete"),
    Export::library("lstrcatA", &[Word, Word], append_a).set("core-string-obsolete"),
    Export::library("lstrcatW", &[Word, Word], append_w).set("core-string-obsolete"),
];

/// `CT_CTYPE1` bits of a unit.
fn kind1(unit: u16) -> u16 {
    let Some(letter) = char::from_u32(u32::from(unit)) else { return 0 };
    let mut kind = C1_DEFINED;
    let mut add = |bits: u16, has: bool| {
        if has {
            kind |= bits;
        }
    };
    let is_space = matches!(unit, 9..=13 | 0x85) || letter.is_whitespace();
    add(C1_UPPER, letter.is_uppercase());
    add(C1_LOWER, letter.is_lowercase());
    add(C1_ALPHA, letter.is_alphabetic());
    add(C1_DIGIT, letter.is_ascii_digit() || matches!(unit, 0xb2 | 0xb3 | 0xb9));
    add(C1_HEX, letter.is_ascii_hexdigit());
    add(C1_SPACE, is_space);
    add(C1_BLANK, matches!(unit, 9 | 0x20 | 0xa0 | 0x3000));
    add(C1_CONTROL, letter.is_control() || unit == 0xad);
    add(C1_PUNCTUATION, is_punctuation(letter));
    kind
}

/// ASCII punctuation, and what is neither letter, number, space nor control above it.
fn is_punctuation(letter: char) -> bool {
    if letter.is_ascii() {
        return letter.is_ascii_punctuation();
    }
    !letter.is_alphanumeric() && !letter.is_whitespace() && !letter.is_control()
}

/// `CT_CTYPE2`: the direction of a unit in bidirectional text.
fn kind2(unit: u16) -> u16 {
    match unit {
        0x30..=0x39 | 0xb2 | 0xb3 | 0xb9 => 3,
        0x2b | 0x2d | 0x2f => 4,
        0x23..=0x25 | 0xa2..=0xa5 | 0xb0 | 0xb1 | 0x20ac => 5,
        0x660..=0x669 => 6,
        0x2c | 0x2e | 0x3a | 0xa0 => 7,
        0xa | 0xd | 0x1c..=0x1e | 0x85 | 0x2029 => 8,
        0x9 | 0xb | 0x1f => 9,
        0x20 | 0xc | 0x2000..=0x200a | 0x2028 | 0x3000 => 10,
        0x590..=0x65f | 0x66a..=0x8ff | 0xfb1d..=0xfdff | 0xfe70..=0xfeff => 2,
        _ => match char::from_u32(u32::from(unit)) {
            Some(letter) if letter.is_alphanumeric() => 1,
            Some(letter) if letter.is_control() => 0,
            Some(_) => 11,
            None => 0,
        },
    }
}

/// `CT_CTYPE3`: non-spacing 1, symbol 8, katakana 10h, hiragana 20h, half width 40h, full width 80h, ideograph 100h,
/// letter 8000h.
fn kind3(unit: u16) -> u16 {
    let script = match unit {
        0x300..=0x36f => return 0x1 | 0x2,
        0x3041..=0x309f => 0x20 | 0x80,
        0x30a0..=0x30ff => 0x10 | 0x80,
        0xff61..=0xff9f => 0x10 | 0x40,
        0xff01..=0xff5e => 0x80,
        0x4e00..=0x9fff => 0x100 | 0x80,
        0xd800..=0xdbff => return 0x800,
        0xdc00..=0xdfff => return 0x1000,
        0x20..=0x7e => 0x40,
        _ => 0,
    };
    match char::from_u32(u32::from(unit)) {
        Some(letter) if letter.is_alphabetic() => script | 0x8000,
        Some(letter) if is_punctuation(letter) => script | 0x8,
        Some(_) | None => script,
    }
}

fn string_type_w(call: &mut Call<'_>) -> Answer {
    string_type(call, 0, Width::Wide)
}

fn string_type_ex_w(call: &mut Call<'_>) -> Answer {
    string_type(call, 1, Width::Wide)
}

fn string_type_a(call: &mut Call<'_>) -> Answer {
    string_type(call, 1, Width::Narrow)
}

/// Arguments from `first` on: what to tell, text, length, result.
fn string_type(call: &mut Call<'_>, first: usize, width: Width) -> Answer {
    let (what, from, length, to) =
        (call.u32(first), call.ptr(first + 1), call.i32(first + 2), call.ptr(first + 3));
    let kind = match what {
        1 => kind1,
        2 => kind2,
        4 => kind3,
        _ => return Err(Win32Error::INVALID_PARAMETER.into()),
    };
    if from.is_null() || to.is_null() || length == 0 || from == to {
        return Err(Win32Error::INVALID_PARAMETER.into());
    }
    let units = counted(call, from, length, width)?;
    let kinds: Vec<u16> = units.into_iter().map(kind).collect();
    call.write_wide(to, &kinds)?;
    Ok(1)
}

/// Text of a length, or up to its zero, which counts, if the length is negative.
fn counted(call: &mut Call<'_>, from: UserPtr, length: i32, width: Width) -> Result<Vec<u16>, Failure> {
    let with_zero = length < 0;
    let mut units = match (u64::try_from(length), width) {
        (Ok(length), Width::Wide) => call.read_wide(from, length)?,
        (Ok(length), Width::Narrow) => decode_ansi(&call.read_vec(from, length)?),
        (Err(_), Width::Wide) => call.read_wide_string(from)?,
        (Err(_), Width::Narrow) => decode_ansi(&call.read_c_string(from)?),
    };
    if with_zero {
        units.push(0);
    }
    Ok(units)
}

fn decode_ansi(bytes: &[u8]) -> Vec<u16> {
    CodePage::ansi().decode(bytes, Malformed::Replace).expect("nothing is refused")
}

/// Lower case as Windows' table has it: one unit to one unit.
fn lower(unit: u16) -> u16 {
    // Dotted I has no lower case of one unit.
    if unit == 0x130 { unit } else { one_to_one(unit, |letter| letter.to_lowercase().collect()) }
}

/// Upper case of one unit: the micro sign, dotless i and long s stay, for they would not come back.
pub(crate) fn upper(unit: u16) -> u16 {
    match unit {
        0xb5 | 0x131 | 0x17f => unit,
        unit => one_to_one(unit, |letter| letter.to_uppercase().collect()),
    }
}

fn one_to_one(unit: u16, map: impl Fn(char) -> Vec<char>) -> u16 {
    let Some(letter) = char::from_u32(u32::from(unit)) else { return unit };
    match map(letter)[..] {
        [mapped] => u16::try_from(u32::from(mapped)).unwrap_or(unit),
        _ => unit,
    }
}

/// What a character weighs in a comparison: its class and letter first, its accent and its case later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Weight {
    class: u8,
    letter: u16,
    accent: u16,
    case: u8,
}

/// Classes in rising order: punctuation, symbols and spaces, digits, letters. Hyphen and apostrophe and controls weigh
/// nothing at first (word sort).
fn weight(unit: u16) -> Option<Weight> {
    if unit < 0x20 && !matches!(unit, 9..=13) || matches!(unit, 0x7f | 0x27 | 0x2d | 0xad) {
        return None;
    }
    let small = lower(unit);
    let base = base_letter(small).unwrap_or(small);
    let kind = kind1(unit);
    let class = match kind {
        kind if kind & C1_ALPHA != 0 => 4,
        kind if kind & C1_DIGIT != 0 => 3,
        kind if kind & C1_SPACE != 0 => 1,
        _ => 2,
    };
    let accent = if base == small { 0 } else { small };
    Some(Weight { class, letter: base, accent, case: u8::from(kind & C1_UPPER != 0) })
}

/// Three passes over all characters: letters, accents, case; then what weighs nothing.
fn sort_key(units: &[u16], flags: u32) -> [Vec<u16>; 4] {
    let mut weights: Vec<Weight> = units.iter().filter_map(|unit| weight(*unit)).collect();
    if flags & IGNORE_SYMBOLS != 0 {
        weights.retain(|weight| weight.class > 2);
    }
    let letters = weights.iter().flat_map(|w| [u16::from(w.class), w.letter]).collect();
    let accents = match flags & IGNORE_ACCENTS {
        0 => weights.iter().map(|w| w.accent).collect(),
        _ => Vec::new(),
    };
    let cases = match flags & IGNORE_CASE {
        0 => weights.iter().map(|w| u16::from(w.case)).collect(),
        _ => Vec::new(),
    };
    let rest = if flags & IGNORE_SYMBOLS != 0 {
        Vec::new()
    } else {
        let light = units.iter().enumerate().filter(|(_, unit)| weight(**unit).is_none() && **unit >= 0x20);
        light.flat_map(|(at, unit)| [at as u16, *unit]).collect()
    };
    [letters, accents, cases, rest]
}

fn compare(a: &[u16], b: &[u16], flags: u32) -> Ordering {
    sort_key(a, flags).cmp(&sort_key(b, flags))
}

/// `CSTR_LESS_THAN` 1, `CSTR_EQUAL` 2, `CSTR_GREATER_THAN` 3.
fn compared(order: Ordering) -> u64 {
    match order {
        Ordering::Less => 1,
        Ordering::Equal => 2,
        Ordering::Greater => 3,
    }
}

fn compare_string_a(call: &mut Call<'_>) -> Answer {
    known_locale(call.u32(0)).ok_or(Failure::Error(Win32Error::INVALID_PARAMETER))?;
    compare_string(call, Width::Narrow)
}

fn compare_string_w(call: &mut Call<'_>) -> Answer {
    known_locale(call.u32(0)).ok_or(Failure::Error(Win32Error::INVALID_PARAMETER))?;
    compare_string(call, Width::Wide)
}

fn compare_string_ex(call: &mut Call<'_>) -> Answer {
    let at = call.ptr(0);
    named_locale(call, at)?;
    compare_string(call, Width::Wide)
}

/// `CompareString(locale, flags, a, length, b, length)`.
fn compare_string(call: &mut Call<'_>, width: Width) -> Answer {
    let (flags, a, b) = (call.u32(1), call.ptr(2), call.ptr(4));
    if a.is_null() || b.is_null() {
        return Err(Win32Error::INVALID_PARAMETER.into());
    }
    if flags & !COMPARE_FLAGS != 0 {
        return Err(Win32Error::INVALID_FLAGS.into());
    }
    let (a_length, b_length) = (call.i32(3), call.i32(5));
    let a = counted(call, a, a_length, width)?;
    let b = counted(call, b, b_length, width)?;
    Ok(compared(compare(&a, &b, flags)))
}

/// `CompareStringOrdinal(a, length, b, length, ignore case)`.
fn compare_ordinal(call: &mut Call<'_>) -> Answer {
    let (a, a_length, b, b_length, ignore_case) =
        (call.ptr(0), call.i32(1), call.ptr(2), call.i32(3), call.u32(4) != 0);
    if a.is_null() || b.is_null() {
        return Err(Win32Error::INVALID_PARAMETER.into());
    }
    let mut a = counted(call, a, a_length, Width::Wide)?;
    let mut b = counted(call, b, b_length, Width::Wide)?;
    if ignore_case {
        for unit in a.iter_mut().chain(&mut b) {
            *unit = upper(*unit);
        }
    }
    Ok(compared(a.cmp(&b)))
}

fn map_string_a(call: &mut Call<'_>) -> Answer {
    known_locale(call.u32(0)).ok_or(Failure::Error(Win32Error::INVALID_PARAMETER))?;
    map_string(call, Width::Narrow)
}

fn map_string_w(call: &mut Call<'_>) -> Answer {
    known_locale(call.u32(0)).ok_or(Failure::Error(Win32Error::INVALID_PARAMETER))?;
    map_string(call, Width::Wide)
}

fn map_string_ex(call: &mut Call<'_>) -> Answer {
    let at = call.ptr(0);
    named_locale(call, at)?;
    map_string(call, Width::Wide)
}

/// `LCMapString(locale, flags, text, length, *result, room)`.
fn map_string(call: &mut Call<'_>, width: Width) -> Answer {
    let (flags, from, length, to, room) = (call.u32(1), call.ptr(2), call.i32(3), call.ptr(4), call.i32(5));
    let room = usize::try_from(room).map_err(|_| Win32Error::INVALID_PARAMETER)?;
    if from.is_null() || length == 0 || (room > 0 && to.is_null()) {
        return Err(Win32Error::INVALID_PARAMETER.into());
    }
    if flags & (LOWER | UPPER) == LOWER | UPPER {
        return Err(Win32Error::INVALID_FLAGS.into());
    }
    let units = counted(call, from, length, width)?;
    let result = if flags & SORT_KEY != 0 {
        key_bytes(&units, flags)
    } else {
        let mapped: Vec<u16> = units.into_iter().map(|unit| map_unit(unit, flags)).collect();
        match width {
            Width::Wide => mapped.into_iter().flat_map(u16::to_le_bytes).collect(),
            Width::Narrow => width.encode(&String::from_utf16_lossy(&mapped)),
        }
    };
    // A sort key is counted in bytes.
    let unit = if flags & SORT_KEY != 0 { 1 } else { width.bytes() as usize };
    let length = result.len() / unit;
    if room == 0 {
        return Ok(length as u64);
    }
    if room < length {
        return Err(Win32Error::INSUFFICIENT_BUFFER.into());
    }
    call.write(to, &result)?;
    Ok(length as u64)
}

fn map_unit(unit: u16, flags: u32) -> u16 {
    let unit = match flags & (LOWER | UPPER) {
        LOWER => lower(unit),
        UPPER => upper(unit),
        _ => unit,
    };
    if flags & BYTE_REVERSE != 0 { unit.swap_bytes() } else { unit }
}

/// The passes with a separator between them and a zero at the end; bytes compare as the strings do.
fn key_bytes(units: &[u16], flags: u32) -> Vec<u8> {
    let mut key = Vec::new();
    for pass in sort_key(units, flags) {
        // Two is added, so that nothing in a pass is as low as a separator.
        key.extend(pass.iter().flat_map(|value| {
            let value = u32::from(*value) + 0x202;
            [(value >> 16) as u8 + 2, (value >> 8) as u8, value as u8]
        }));
        key.push(1);
    }
    key.push(0);
    key
}

fn length_a(call: &mut Call<'_>) -> Answer {
    let at = call.ptr(0);
    Ok(call.read_c_string(at).map_or(0, |text| text.len() as u64))
}

/// A pointer that cannot be read has length zero.
fn length_w(call: &mut Call<'_>) -> Answer {
    let at = call.ptr(0);
    Ok(call.read_wide_string(at).map_or(0, |text| text.len() as u64))
}

fn lstrcmp_a(call: &mut Call<'_>) -> Answer {
    lstrcmp(call, Width::Narrow, 0)
}

fn lstrcmp_w(call: &mut Call<'_>) -> Answer {
    lstrcmp(call, Width::Wide, 0)
}

fn lstrcmpi_a(call: &mut Call<'_>) -> Answer {
    lstrcmp(call, Width::Narrow, IGNORE_CASE)
}

fn lstrcmpi_w(call: &mut Call<'_>) -> Answer {
    lstrcmp(call, Width::Wide, IGNORE_CASE)
}

/// -1, 0 or 1; a null pointer is less than any text.
fn lstrcmp(call: &mut Call<'_>, width: Width, flags: u32) -> Answer {
    let (a, b) = (call.ptr(0), call.ptr(1));
    let mut texts = Vec::new();
    for at in [a, b] {
        texts.push(if at.is_null() { None } else { Some(counted(call, at, -1, width)?) });
    }
    let order = match (&texts[0], &texts[1]) {
        (Some(a), Some(b)) => compare(a, b, flags),
        (a, b) => a.is_some().cmp(&b.is_some()),
    };
    Ok(u64::from((order as i32).cast_unsigned()))
}

/// Raw bytes up to the zero of a text, zero excluded.
fn raw_text(call: &mut Call<'_>, at: UserPtr, width: Width) -> Result<Vec<u8>, Failure> {
    Ok(match width {
        Width::Narrow => call.read_c_string(at)?,
        Width::Wide => call.read_wide_string(at)?.into_iter().flat_map(u16::to_le_bytes).collect(),
    })
}

fn copy_a(call: &mut Call<'_>) -> Answer {
    copy(call, Width::Narrow, None)
}

fn copy_w(call: &mut Call<'_>) -> Answer {
    copy(call, Width::Wide, None)
}

fn copy_n_a(call: &mut Call<'_>) -> Answer {
    let room = call.u32(2);
    copy(call, Width::Narrow, Some(room))
}

fn copy_n_w(call: &mut Call<'_>) -> Answer {
    let room = call.u32(2);
    copy(call, Width::Wide, Some(room))
}

/// `lstrcpy(to, from)`, `lstrcpyn(to, from, room)`: the target, or null if a pointer is bad.
fn copy(call: &mut Call<'_>, width: Width, room: Option<u32>) -> Answer {
    let (to, from) = (call.ptr(0), call.ptr(1));
    store(call, to, from, width, room)?;
    Ok(to.raw())
}

fn store(
    call: &mut Call<'_>,
    to: UserPtr,
    from: UserPtr,
    width: Width,
    room: Option<u32>,
) -> Result<(), Failure> {
    let bad = |_: Failure| Failure::Error(Win32Error::INVALID_PARAMETER);
    let mut text = raw_text(call, from, width).map_err(bad)?;
    if let Some(room) = room {
        let Some(last) = u64::from(room).checked_sub(1) else { return Ok(()) };
        text.truncate(usize::try_from(last * width.bytes()).unwrap_or(usize::MAX));
    }
    text.extend(&[0, 0][..width.bytes() as usize]);
    call.write(to, &text).map_err(|_| Failure::Error(Win32Error::INVALID_PARAMETER))
}

fn append_a(call: &mut Call<'_>) -> Answer {
    append(call, Width::Narrow)
}

fn append_w(call: &mut Call<'_>) -> Answer {
    append(call, Width::Wide)
}

fn append(call: &mut Call<'_>, width: Width) -> Answer {
    let (to, from) = (call.ptr(0), call.ptr(1));
    let bad = |_: Failure| Failure::Error(Win32Error::INVALID_PARAMETER);
    let length = raw_text(call, to, width).map_err(bad)?.len() as u64;
    store(call, to.offset(length), from, width, None)?;
    Ok(to.raw())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(text: &str) -> Vec<u16> {
        text.encode_utf16().collect()
    }

    #[test]
    fn characters_have_the_kinds_that_c_runtimes_expect() {
        for (letter, kind) in [
            ('A', 0x381),
            ('z', 0x302),
            ('f', 0x382),
            ('7', 0x284),
            (' ', 0x248),
            ('\t', 0x268),
            ('\n', 0x228),
            ('\u{7f}', 0x220),
            ('_', 0x210),
            ('$', 0x210),
            ('\u{a0}', 0x248),
            ('é', 0x302),
            ('×', 0x210),
        ] {
            assert_eq!(kind1(letter as u16), kind, "{letter:?}");
        }
    }

    #[test]
    fn letters_change_case_one_to_one() {
        let mapped = |text: &str, map: fn(u16) -> u16| {
            String::from_utf16_lossy(&units(text).into_iter().map(map).collect::<Vec<u16>>())
        };
        assert_eq!(mapped("aé ßÿµıſ1", upper), "AÉ ßŸµıſ1");
        assert_eq!(mapped("AÉŸİ1", lower), "aéÿİ1");
    }

    #[test]
    fn strings_sort_by_letter_then_accent_then_case() {
        let order = ["", "_", "1", "10", "2", "a", "A", "á", "ab", "b", "B", "coop", "co-op", "cooper"];
        for pair in order.windows(2) {
            let (a, b) = (units(pair[0]), units(pair[1]));
            assert_eq!(compare(&a, &b, 0), Ordering::Less, "{pair:?}");
            assert_eq!(compare(&b, &a, 0), Ordering::Greater, "{pair:?}");
            assert_eq!(key_bytes(&a, 0).cmp(&key_bytes(&b, 0)), Ordering::Less, "{pair:?}");
        }
        assert_eq!(compare(&units("ÁB"), &units("ab"), IGNORE_CASE | IGNORE_ACCENTS), Ordering::Equal);
        assert_eq!(compare(&units("a\0"), &units("a\0"), 0), Ordering::Equal);
    }
}
