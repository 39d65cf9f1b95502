//! Conversion between code pages and UTF-16 (`MultiByteToWideChar` and its family).

use super::codepage::{ANSI, BestFit, CodePage, Malformed, OEM};
use super::text::Width;
use crate::UserPtr;
use crate::claim::MAX_COPY_BYTES;
use crate::service::{Answer, Arg, Call, Export, Failure};
use vadose_facts::ntdef::Win32Error;

use Arg::{U32, Word};

/// `MB_ERR_INVALID_CHARS`.
const REFUSE_INVALID_BYTES: u32 = 0x8;
/// `MB_PRECOMPOSED`, `MB_COMPOSITE`, `MB_USEGLYPHCHARS` and the above.
const DECODE_FLAGS: u32 = 0xf;
/// `MB_PRECOMPOSED | MB_COMPOSITE`: they exclude each other.
const BOTH_COMPOSITIONS: u32 = 0x3;
/// `WC_ERR_INVALID_CHARS`.
const REFUSE_INVALID_UNITS: u32 = 0x80;
/// `WC_NO_BEST_FIT_CHARS`.
const NO_BEST_FIT: u32 = 0x400;
/// `WC_DISCARDNS`, `WC_SEPCHARS`, `WC_DEFAULTCHAR`, `WC_COMPOSITECHECK` and no best fit.
const ENCODE_FLAGS: u32 = 0x10 | 0x20 | 0x40 | 0x200 | NO_BEST_FIT;

/// The conversion functions.
pub(crate) const EXPORTS: &[Export] = &[
    Export::library("MultiByteToWideChar", &[U32, U32, Word, U32, Word, U32], multi_byte_to_wide_char)
        .set("core-string"),
    Export::library(
        "WideCharToMultiByte",
        &[U32, U32, Word, U32, Word, U32, Word, Word],
        wide_char_to_multi_byte,
    )
    .set("core-string"),
    Export::library("GetACP", &[], get_acp).set("core-localization"),
    Export::library("GetOEMCP", &[], get_oem_cp).set("core-localization"),
    Export::library("IsValidCodePage", &[U32], is_valid_code_page).set("core-localization"),
    Export::library("GetCPInfo", &[U32, Word], get_cp_info).set("core-localization"),
    Export::library("GetCPInfoExA", &[U32, U32, Word], get_cp_info_ex_a).only_in_kernel32(),
    Export::library("GetCPInfoExW", &[U32, U32, Word], get_cp_info_ex_w).set("core-localization"),
    Export::library("IsDBCSLeadByte", &[U32], no_lead_byte).set("core-localization"),
    Export::library("IsDBCSLeadByteEx", &[U32, U32], no_lead_byte).set("core-localization"),
    Export::library("AreFileApisANSI", &[], are_file_apis_ansi).set("core-file"),
];

fn code_page(number: u32) -> Result<CodePage, Failure> {
    CodePage::of(number).ok_or(Failure::Error(Win32Error::INVALID_PARAMETER))
}

/// `MultiByteToWideChar(page, flags, text, bytes, *units, room)`: units written or, without room, needed.
fn multi_byte_to_wide_char(call: &mut Call<'_>) -> Answer {
    let (flags, from, bytes) = (call.u32(1), call.ptr(2), call.i32(3));
    let (to, room) = (call.ptr(4), call.i32(5));
    if from.is_null() || bytes == 0 || room < 0 || (room > 0 && (to.is_null() || to == from)) {
        return Err(Win32Error::INVALID_PARAMETER.into());
    }
    let page = code_page(call.u32(0))?;
    let allowed = if page.is_utf8() { REFUSE_INVALID_BYTES } else { DECODE_FLAGS };
    if flags & !allowed != 0 || flags & BOTH_COMPOSITIONS == BOTH_COMPOSITIONS {
        return Err(Win32Error::INVALID_FLAGS.into());
    }
    let mut text = match u64::try_from(bytes) {
        Ok(bytes) => call.read_vec(from, bytes)?,
        Err(_) => call.read_c_string(from)?,
    };
    if bytes < 0 {
        text.push(0);
    }
    let malformed = if flags & REFUSE_INVALID_BYTES != 0 { Malformed::Refuse } else { Malformed::Replace };
    let units = page.decode(&text, malformed).ok_or(Failure::Error(Win32Error::NO_UNICODE_TRANSLATION))?;
    if room == 0 {
        return Ok(units.len() as u64);
    }
    let fits = units.len().min(room as usize);
    call.write_wide(to, &units[..fits])?;
    if fits < units.len() {
        return Err(Win32Error::INSUFFICIENT_BUFFER.into());
    }
    Ok(units.len() as u64)
}

/// `WideCharToMultiByte(page, flags, text, units, *bytes, room, *default, *used default)`.
fn wide_char_to_multi_byte(call: &mut Call<'_>) -> Answer {
    let (from, units, to, room) = (call.ptr(2), call.i32(3), call.ptr(4), call.i32(5));
    if from.is_null() || units == 0 || room < 0 || (room > 0 && (to.is_null() || to == from)) {
        return Err(Win32Error::INVALID_PARAMETER.into());
    }
    let page = code_page(call.u32(0))?;
    let mut text = match u64::try_from(units) {
        Ok(units) => call.read_wide(from, units)?,
        Err(_) => call.read_wide_string(from)?,
    };
    if units < 0 {
        text.push(0);
    }
    let bytes = if page.is_utf8() { encode_utf8(call, &text)? } else { encode(call, page, &text)? };
    if room == 0 {
        return Ok(bytes.len() as u64);
    }
    let fits = bytes.len().min(room as usize);
    call.write(to, &bytes[..fits])?;
    if fits < bytes.len() {
        return Err(Win32Error::INSUFFICIENT_BUFFER.into());
    }
    Ok(bytes.len() as u64)
}

/// UTF-8 has every character: a default makes no sense.
fn encode_utf8(call: &mut Call<'_>, text: &[u16]) -> Result<Vec<u8>, Failure> {
    let flags = call.u32(1);
    if !call.ptr(6).is_null() || !call.ptr(7).is_null() {
        return Err(Win32Error::INVALID_PARAMETER.into());
    }
    if flags & !REFUSE_INVALID_UNITS != 0 {
        return Err(Win32Error::INVALID_FLAGS.into());
    }
    let malformed = if flags == 0 { Malformed::Replace } else { Malformed::Refuse };
    CodePage::encode_utf8(text, malformed).ok_or(Failure::Error(Win32Error::NO_UNICODE_TRANSLATION))
}

fn encode(call: &mut Call<'_>, page: CodePage, text: &[u16]) -> Result<Vec<u8>, Failure> {
    let (flags, default_at, used_at) = (call.u32(1), call.ptr(6), call.ptr(7));
    if flags & !ENCODE_FLAGS != 0 {
        return Err(Win32Error::INVALID_FLAGS.into());
    }
    let default = if default_at.is_null() { vec![b'?'] } else { call.read_vec(default_at, 1)? };
    let fit = if flags & NO_BEST_FIT != 0 { BestFit::RoundTrip } else { BestFit::Allowed };
    let encoded = page.encode(text, &default, fit);
    if !used_at.is_null() {
        call.write_u32(used_at, u32::from(encoded.used_default))?;
    }
    debug_assert!(encoded.bytes.len() as u64 <= MAX_COPY_BYTES, "a unit becomes a byte");
    Ok(encoded.bytes)
}

fn get_acp(_: &mut Call<'_>) -> Answer {
    Ok(u64::from(ANSI))
}

fn get_oem_cp(_: &mut Call<'_>) -> Answer {
    Ok(u64::from(OEM))
}

/// The pseudo numbers (`CP_ACP`) are no code pages.
fn is_valid_code_page(call: &mut Call<'_>) -> Answer {
    let number = call.u32(0);
    Ok(u64::from(CodePage::of(number).is_some_and(|page| page.number == number)))
}

/// `GetCPInfo(page, *info)`: longest character, default character, no lead bytes.
fn get_cp_info(call: &mut Call<'_>) -> Answer {
    let page = code_page(call.u32(0))?;
    let at = call.ptr(1);
    write_cp_info(call, at, page)?;
    Ok(1)
}

/// 20 bytes: the maximum, two default bytes, twelve lead-byte limits, two bytes of padding.
fn write_cp_info(call: &mut Call<'_>, at: UserPtr, page: CodePage) -> Result<(), Failure> {
    call.write_u32(at, page.max_char_bytes())?;
    let mut rest = [0; 14];
    rest[0] = b'?';
    call.write(at.offset(4), &rest)?;
    Ok(())
}

fn get_cp_info_ex_a(call: &mut Call<'_>) -> Answer {
    cp_info_ex(call, Width::Narrow)
}

fn get_cp_info_ex_w(call: &mut Call<'_>) -> Answer {
    cp_info_ex(call, Width::Wide)
}

/// `CPINFOEX`: the above, the default in Unicode, the number, the name in 260 characters.
fn cp_info_ex(call: &mut Call<'_>, width: Width) -> Answer {
    let page = code_page(call.u32(0))?;
    let at = call.ptr(2);
    write_cp_info(call, at, page)?;
    let unicode_default = if page.is_utf8() { 0xfffd } else { u16::from(b'?') };
    call.write_u16(at.offset(18), unicode_default)?;
    call.write_u32(at.offset(20), page.number)?;
    call.put_text(at.offset(24), 260, page.title, width)?;
    Ok(1)
}

/// There is no page with lead bytes on this system.
fn no_lead_byte(_: &mut Call<'_>) -> Answer {
    Ok(0)
}

fn are_file_apis_ansi(_: &mut Call<'_>) -> Answer {
    Ok(1)
}
