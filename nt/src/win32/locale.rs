//! The one locale of this system, English of the United States, as programs ask for it.

use super::text::Width;
use crate::UserPtr;
use crate::builtin::Assembler;
use crate::executive::ENGLISH_US;
use crate::service::{Answer, Arg, Call, CodeBody, Export, Failure};
use iced_x86::IcedError;
use iced_x86::code_asm::{dword_ptr, eax, esp, rax, rbx, rcx, rsp};
use vadose_facts::ntdef::{Bitness, Win32Error};

use Arg::{U32, Word};

/// English, whatever the country.
const ENGLISH: u32 = 0x9;
/// `LOCALE_INVARIANT`.
const INVARIANT: u32 = 0x7f;
/// `LOCALE_USER_DEFAULT`, `LOCALE_SYSTEM_DEFAULT`, `LOCALE_NEUTRAL`.
const DEFAULTS: [u32; 3] = [0x400, 0x800, 0];
/// `LOCALE_RETURN_NUMBER`, and the flags that change nothing here.
const RETURN_NUMBER: u32 = 0x2000_0000;
const FLAGS: u32 = 0xf000_0000;
/// `LOCALE_ILANGUAGE` and `LOCALE_IDEFAULTLANGUAGE`: their numbers are hexadecimal.
const HEXADECIMAL: [u32; 2] = [0x1, 0x9];
/// First types of the runs of names in [`DAYS`] and [`MONTHS`]: full and abbreviated.
const DAY_TYPES: [u32; 2] = [0x2a, 0x31];
const MONTH_TYPES: [u32; 2] = [0x38, 0x44];

const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

const ENUM_LOCALES_A: CodeBody =
    CodeBody { emit: |a| call_with_text(a, "VdsLocaleNumberA"), calls: &["VdsLocaleNumberA"] };
const ENUM_LOCALES_W: CodeBody =
    CodeBody { emit: |a| call_with_text(a, "VdsLocaleNumberW"), calls: &["VdsLocaleNumberW"] };

/// The locale functions.
pub(crate) const EXPORTS: &[Export] = &[
    Export::library("GetLocaleInfoA", &[U32, U32, Word, U32], locale_info_a).set("core-localization"),
    Export::library("GetLocaleInfoW", &[U32, U32, Word, U32], locale_info_w).set("core-localization"),
    Export::library("GetLocaleInfoEx", &[Word, U32, Word, U32], locale_info_ex).set("core-localization"),
    Export::library("GetUserDefaultLCID", &[], default_locale).set("core-localization"),
    Export::library("GetSystemDefaultLCID", &[], default_locale).set("core-localization"),
    Export::library("GetThreadLocale", &[], thread_locale).set("core-localization"),
    Export::library("SetThreadLocale", &[U32], set_thread_locale).set("core-localization"),
    Export::library("GetUserDefaultLangID", &[], default_locale).set("core-localization"),
    Export::library("GetSystemDefaultLangID", &[], default_locale).set("core-localization"),
    Export::library("GetUserDefaultUILanguage", &[], default_locale).set("core-localization"),
    Export::library("GetSystemDefaultUILanguage", &[], default_locale).set("core-localization"),
    Export::library("GetUserDefaultLocaleName", &[Word, U32], default_locale_name).set("core-localization"),
    Export::library("GetSystemDefaultLocaleName", &[Word, U32], default_locale_name).set("core-localization"),
    Export::library("LCIDToLocaleName", &[U32, Word, U32, U32], number_to_name).set("core-localization"),
    Export::library("LocaleNameToLCID", &[Word, U32], name_to_number).set("core-localization"),
    Export::library("IsValidLocale", &[U32, U32], is_valid_locale).set("core-localization"),
    Export::library("IsValidLocaleName", &[Word], is_valid_locale_name).set("core-localization"),
    Export::library("ConvertDefaultLocale", &[U32], convert_default_locale).set("core-localization"),
    Export::code("EnumSystemLocalesA", &[Word, U32], ENUM_LOCALES_A).set("core-localization"),
    Export::code("EnumSystemLocalesW", &[Word, U32], ENUM_LOCALES_W).set("core-localization"),
    Export::library("VdsLocaleNumberA", &[], locale_number_a).hidden(),
    Export::library("VdsLocaleNumberW", &[], locale_number_w).hidden(),
];

/// Types, in rising order, and their texts.
const TEXTS: &[(u32, &str)] = &[
    (0x1, "0409"),
    (0x2, "English (United States)"),
    (0x3, "ENU"),
    (0x4, "English"),
    (0x5, "1"),
    (0x6, "United States"),
    (0x7, "USA"),
    (0x8, "United States"),
    (0x9, "0409"),
    (0xa, "1"),
    (0xb, "437"),
    (0xc, ","),
    (0xd, "1"),
    (0xe, "."),
    (0xf, ","),
    (0x10, "3;0"),
    (0x11, "2"),
    (0x12, "1"),
    (0x13, "0123456789"),
    (0x14, "$"),
    (0x15, "USD"),
    (0x16, "."),
    (0x17, ","),
    (0x18, "3;0"),
    (0x19, "2"),
    (0x1a, "2"),
    (0x1b, "0"),
    (0x1c, "0"),
    (0x1d, "/"),
    (0x1e, ":"),
    (0x1f, "M/d/yyyy"),
    (0x20, "dddd, MMMM d, yyyy"),
    (0x21, "0"),
    (0x22, "0"),
    (0x23, "0"),
    (0x24, "1"),
    (0x25, "0"),
    (0x26, "0"),
    (0x27, "0"),
    (0x28, "AM"),
    (0x29, "PM"),
    (0x50, ""),
    (0x51, "-"),
    (0x52, "3"),
    (0x53, "0"),
    (0x54, "1"),
    (0x55, "0"),
    (0x56, "1"),
    (0x57, "0"),
    (0x59, "en"),
    (0x5a, "US"),
    (0x5b, "244"),
    (0x5c, "en-US"),
    (0x67, "eng"),
    (0x68, "USA"),
    (0x6d, "en"),
    (0x6e, "en-US"),
    (0x70, "0"),
    (0x71, "0"),
    (0x72, "English (United States)"),
    (0x73, "English (United States)"),
    (0x79, "h:mm tt"),
    (0x1001, "English"),
    (0x1002, "United States"),
    (0x1003, "h:mm:ss tt"),
    (0x1004, "1252"),
    (0x1005, "0"),
    (0x1006, "MMMM yyyy"),
    (0x1007, "US Dollar"),
    (0x1008, "US Dollar"),
    (0x1009, "1"),
    (0x100a, "1"),
    (0x100b, "0"),
    (0x100c, "6"),
    (0x100d, "0"),
    (0x100e, ""),
    (0x1010, "1"),
    (0x1011, "10000"),
    (0x1012, "037"),
    (0x1014, "1"),
];

/// The text of a type; `None` if the locale has no such thing.
pub(crate) fn info(kind: u32) -> Option<String> {
    let names = |starts: [u32; 2], names: &[&str]| {
        starts.iter().enumerate().find_map(|(form, start)| {
            let name = names.get(kind.checked_sub(*start)? as usize)?;
            Some(if form == 0 { (*name).to_owned() } else { name[..3].to_owned() })
        })
    };
    let listed = || {
        let index = TEXTS.binary_search_by_key(&kind, |(known, _)| *known).ok()?;
        Some(TEXTS[index].1.to_owned())
    };
    names(DAY_TYPES, &DAYS).or_else(|| names(MONTH_TYPES, &MONTHS)).or_else(listed)
}

/// A locale number in full; `None` if this system does not have it.
pub(super) fn known_locale(number: u32) -> Option<u32> {
    match number {
        ENGLISH | ENGLISH_US => Some(ENGLISH_US),
        INVARIANT => Some(INVARIANT),
        number if DEFAULTS.contains(&number) => Some(ENGLISH_US),
        _ => None,
    }
}

/// A locale's number by its name; the empty name is the invariant locale.
fn number_of(name: &str) -> Option<u32> {
    match name.to_ascii_lowercase().as_str() {
        "en-us" | "!x-sys-default-locale" => Some(ENGLISH_US),
        "en" => Some(ENGLISH),
        "" => Some(INVARIANT),
        _ => None,
    }
}

fn invalid() -> Failure {
    Win32Error::INVALID_PARAMETER.into()
}

/// The locale that a name argument means; null is the user's own.
pub(super) fn named_locale(call: &mut Call<'_>, at: UserPtr) -> Result<u32, Failure> {
    match call.optional_text(at, Width::Wide)? {
        None => Ok(ENGLISH_US),
        Some(name) => number_of(&name).ok_or_else(invalid),
    }
}

fn locale_info_a(call: &mut Call<'_>) -> Answer {
    known_locale(call.u32(0)).ok_or_else(invalid)?;
    locale_info(call, Width::Narrow)
}

fn locale_info_w(call: &mut Call<'_>) -> Answer {
    known_locale(call.u32(0)).ok_or_else(invalid)?;
    locale_info(call, Width::Wide)
}

fn locale_info_ex(call: &mut Call<'_>) -> Answer {
    let at = call.ptr(0);
    named_locale(call, at)?;
    locale_info(call, Width::Wide)
}

/// `GetLocaleInfo(locale, type, *text, room)`: characters with the zero; needed ones without room.
fn locale_info(call: &mut Call<'_>, width: Width) -> Answer {
    let (kind, to, room) = (call.u32(1), call.ptr(2), call.i32(3));
    let room = u32::try_from(room).map_err(|_| invalid())?;
    let text = info(kind & !FLAGS).ok_or(Failure::Error(Win32Error::INVALID_FLAGS))?;
    if kind & RETURN_NUMBER != 0 {
        let radix = if HEXADECIMAL.contains(&(kind & !FLAGS)) { 16 } else { 10 };
        let number = u32::from_str_radix(&text, radix);
        let number = number.map_err(|_| Failure::Error(Win32Error::INVALID_FLAGS))?;
        let characters = 4 / width.bytes() as u32;
        if room >= characters {
            call.write_u32(to, number)?;
        }
        return sized(u64::from(characters), room);
    }
    let length = width.encode(&text).len() as u64 / width.bytes() + 1;
    call.put_text(to, room, &text, width)?;
    sized(length, room)
}

/// The characters of a result; an error if there is room, but not enough.
fn sized(needed: u64, room: u32) -> Answer {
    if room != 0 && u64::from(room) < needed {
        return Err(Win32Error::INSUFFICIENT_BUFFER.into());
    }
    Ok(needed)
}

fn default_locale(_: &mut Call<'_>) -> Answer {
    Ok(u64::from(ENGLISH_US))
}

fn locale_field(call: &Call<'_>) -> UserPtr {
    let layout = call.nt.layouts().teb;
    UserPtr::new(call.thread().teb.raw()).offset(u64::from(layout.current_locale))
}

fn thread_locale(call: &mut Call<'_>) -> Answer {
    let at = locale_field(call);
    Ok(u64::from(call.read_u32(at)?))
}

fn set_thread_locale(call: &mut Call<'_>) -> Answer {
    let locale = known_locale(call.u32(0)).ok_or_else(invalid)?;
    let at = locale_field(call);
    call.write_u32(at, locale)?;
    Ok(1)
}

/// `GetUserDefaultLocaleName(*name, room)`.
fn default_locale_name(call: &mut Call<'_>) -> Answer {
    let (to, room) = (call.ptr(0), call.u32(1));
    let length = call.put_text(to, room, "en-US", Width::Wide)?;
    if length < u64::from(room) { Ok(length + 1) } else { Err(Win32Error::INSUFFICIENT_BUFFER.into()) }
}

/// `LCIDToLocaleName(locale, *name, room, flags)`.
fn number_to_name(call: &mut Call<'_>) -> Answer {
    let (number, to, room) = (call.u32(0), call.ptr(1), call.u32(2));
    let name = match known_locale(number).ok_or_else(invalid)? {
        INVARIANT => "",
        _ if number == ENGLISH => "en",
        _ => "en-US",
    };
    let length = call.put_text(to, room, name, Width::Wide)?;
    if room != 0 && length >= u64::from(room) {
        return Err(Win32Error::INSUFFICIENT_BUFFER.into());
    }
    Ok(name.len() as u64 + 1)
}

fn name_to_number(call: &mut Call<'_>) -> Answer {
    let at = call.ptr(0);
    Ok(u64::from(named_locale(call, at)?))
}

fn is_valid_locale(call: &mut Call<'_>) -> Answer {
    let number = call.u32(0);
    Ok(u64::from(known_locale(number).is_some() && !DEFAULTS.contains(&number)))
}

fn is_valid_locale_name(call: &mut Call<'_>) -> Answer {
    let at = call.ptr(0);
    let name = call.optional_text(at, Width::Wide)?;
    Ok(u64::from(name.is_some_and(|name| number_of(&name).is_some())))
}

fn convert_default_locale(call: &mut Call<'_>) -> Answer {
    let number = call.u32(0);
    Ok(u64::from(known_locale(number).unwrap_or(number)))
}

fn locale_number_a(call: &mut Call<'_>) -> Answer {
    locale_number(call, Width::Narrow)
}

fn locale_number_w(call: &mut Call<'_>) -> Answer {
    locale_number(call, Width::Wide)
}

/// The locale's number as eight digits, for `EnumSystemLocales` to show to the program.
fn locale_number(call: &mut Call<'_>, width: Width) -> Answer {
    let at = call.pool(32)?;
    call.put_text(at, 9, &format!("{ENGLISH_US:08X}"), width)?;
    Ok(at.raw())
}

/// `EnumSystemLocales(function, flags)`: calls the function once, with the text that a service makes.
fn call_with_text(a: &mut Assembler, service: &'static str) -> Result<(), IcedError> {
    match a.bitness() {
        Bitness::Bits64 => {
            a.code.push(rbx)?;
            a.code.sub(rsp, 0x20)?;
            a.code.mov(rbx, rcx)?;
            a.call_service(service)?;
            a.code.mov(rcx, rax)?;
            a.code.call(rbx)?;
            a.code.mov(eax, 1)?;
            a.code.add(rsp, 0x20)?;
            a.code.pop(rbx)?;
            a.code.ret()
        }
        Bitness::Bits32 => {
            a.call_service(service)?;
            a.code.push(eax)?;
            a.code.call(dword_ptr(esp + 8))?;
            a.code.mov(eax, 1)?;
            a.code.ret_1(8)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_in_order_and_have_the_texts_of_english() {
        assert!(TEXTS.is_sorted_by(|a, b| a.0 < b.0));
        for (kind, text) in [
            (0xe, "."),
            (0x2a, "Monday"),
            (0x30, "Sunday"),
            (0x31, "Mon"),
            (0x37, "Sun"),
            (0x38, "January"),
            (0x43, "December"),
            (0x44, "Jan"),
            (0x4f, "Dec"),
            (0x1004, "1252"),
        ] {
            assert_eq!(info(kind).as_deref(), Some(text), "{kind:#x}");
        }
        assert_eq!(info(0x58), None);
        assert_eq!(info(0xffff), None);
    }

    #[test]
    fn only_english_and_the_invariant_locale_are_known() {
        assert_eq!([0x409, 0x9, 0x400, 0x800, 0].map(known_locale), [Some(0x409); 5]);
        assert_eq!(known_locale(0x7f), Some(0x7f));
        assert_eq!(known_locale(0x407), None);
        assert_eq!(["EN-us", "", "de-DE"].map(number_of), [Some(0x409), Some(0x7f), None]);
    }
}
