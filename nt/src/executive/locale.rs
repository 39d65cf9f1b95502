//! The locale of the system and of the account: English of the United States is all that there is.

use crate::service::{Answer, Arg, Call, Export};
use vadose_facts::ntdef::NtStatus;

use Arg::{U32, Word};

/// `en-US`, as a locale and as a language.
pub(crate) const ENGLISH_US: u32 = 0x409;

/// The services.
pub(crate) const EXPORTS: &[Export] = &[
    Export::native("NtQueryDefaultLocale", &[U32, Word], query_default_locale),
    Export::native("NtSetDefaultLocale", &[U32, U32], set_default_locale),
    Export::native("NtQueryDefaultUILanguage", &[Word], query_language),
    Export::native("NtSetDefaultUILanguage", &[U32], set_default_language),
    Export::native("NtQueryInstallUILanguage", &[Word], query_language),
    Export::native("NtIsUILanguageComitted", &[], language_committed).since(6, 0),
    Export::native("NtFlushInstallUILanguage", &[U32, U32], flush_install_language).since(6, 0),
];

/// Sets what there is: nothing changes. What there is not is refused.
fn set(wanted: u32) -> Answer {
    if wanted == ENGLISH_US { Ok(0) } else { Err(NtStatus::INVALID_PARAMETER.into()) }
}

/// `NtQueryDefaultLocale(of the account, *locale)`.
fn query_default_locale(call: &mut Call<'_>) -> Answer {
    let at = call.ptr(1);
    call.write_u32(at, ENGLISH_US)?;
    Ok(0)
}

/// `NtSetDefaultLocale(of the account, locale)`.
fn set_default_locale(call: &mut Call<'_>) -> Answer {
    set(call.u32(1))
}

/// `NtQueryDefaultUILanguage(*language)` and `NtQueryInstallUILanguage(*language)`: two bytes.
fn query_language(call: &mut Call<'_>) -> Answer {
    let at = call.ptr(0);
    call.write_u16(at, ENGLISH_US as u16)?;
    Ok(0)
}

/// `NtSetDefaultUILanguage(language)`.
fn set_default_language(call: &mut Call<'_>) -> Answer {
    set(call.u32(0) & 0xffff)
}

/// `NtIsUILanguageComitted()`: no change of the language is under way.
fn language_committed(_: &mut Call<'_>) -> Answer {
    Ok(0)
}

/// `NtFlushInstallUILanguage(language, committed)`.
fn flush_install_language(call: &mut Call<'_>) -> Answer {
    set(call.u32(0) & 0xffff)
}
