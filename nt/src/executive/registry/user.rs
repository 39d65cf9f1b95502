//! `HKEY_CURRENT_USER` of a new machine: the account's settings.

use super::machine::users_folder;
use super::startup::Filler;
use crate::win32::locale_text;
use vadose_facts::ntdef::Edition;

/// Settings of `Control Panel\International`, each with the `LOCALE_*` type that it overrides.
const INTERNATIONAL: [(&str, u32); 33] = [
    ("iCalendarType", 0x1009),
    ("iCountry", 0x5),
    ("iCurrDigits", 0x19),
    ("iCurrency", 0x1b),
    ("iDate", 0x21),
    ("iDigits", 0x11),
    ("NumShape", 0x1014),
    ("iFirstDayOfWeek", 0x100c),
    ("iFirstWeekOfYear", 0x100d),
    ("iLZero", 0x12),
    ("iMeasure", 0xd),
    ("iNegCurr", 0x1c),
    ("iNegNumber", 0x1010),
    ("iTime", 0x23),
    ("iTimePrefix", 0x1005),
    ("iTLZero", 0x25),
    ("s1159", 0x28),
    ("s2359", 0x29),
    ("sCountry", 0x6),
    ("sCurrency", 0x14),
    ("sDate", 0x1d),
    ("sDecimal", 0xe),
    ("sGrouping", 0x10),
    ("sLanguage", 0x3),
    ("sList", 0xc),
    ("sLongDate", 0x20),
    ("sMonDecimalSep", 0x16),
    ("sMonGrouping", 0x18),
    ("sMonThousandSep", 0x17),
    ("sNativeDigits", 0x13),
    ("sNegativeSign", 0x51),
    ("sPositiveSign", 0x50),
    ("sThousand", 0xf),
];
/// Those whose text is not a setting of every edition.
const FORMATS: [(&str, u32); 4] =
    [("sShortDate", 0x1f), ("sShortTime", 0x79), ("sTime", 0x1e), ("sTimeFormat", 0x1003)];

/// Fills the hive of one account.
pub(super) fn fill(to: &mut Filler<'_>, edition: &Edition) {
    international(to, edition);
    environment(to, edition);
    to.key("Console").number("QuickEdit", 1).number("HistoryBufferSize", 50);
    to.key("Control Panel\\Desktop").text("ScreenSaveActive", "0").text("WallPaper", "");
    to.key("Control Panel\\Colors");
    to.key("Keyboard Layout\\Preload").text("1", "00000409");
    to.key("Keyboard Layout\\Substitutes");
    to.key("Software\\Classes");
    to.key("Software\\Policies");
    to.key("Software\\Microsoft\\Windows NT\\CurrentVersion\\Winlogon");
    to.key("Software\\Microsoft\\Windows\\CurrentVersion\\Internet Settings").number("ProxyEnable", 0);
    to.key("Software\\Microsoft\\Windows\\CurrentVersion\\Run");
    shell_folders(to, edition);
}

fn international(to: &mut Filler<'_>, edition: &Edition) {
    to.key("Control Panel\\International").text("Locale", "00000409");
    if edition.version.major >= 6 {
        to.text("LocaleName", "en-US");
    }
    for (name, kind) in INTERNATIONAL.into_iter().chain(FORMATS) {
        // The locale has no text for types that it does not know.
        if let Some(text) = locale_text(kind) {
            to.text(name, &text);
        }
    }
    to.key("Control Panel\\International\\Geo").text("Nation", "244").text("Name", "US");
}

/// Where the account keeps its data: roaming, and of this machine.
fn data_folders(edition: &Edition) -> [&'static str; 2] {
    if edition.version.major >= 6 {
        ["AppData\\Roaming", "AppData\\Local"]
    } else {
        ["Application Data", "Local Settings\\Application Data"]
    }
}

fn environment(to: &mut Filler<'_>, edition: &Edition) {
    let temporary = if edition.version.major >= 6 { "AppData\\Local\\Temp" } else { "Local Settings\\Temp" };
    let temporary = format!("%USERPROFILE%\\{temporary}");
    to.key("Environment").expanding("TEMP", &temporary).expanding("TMP", &temporary);
    let home = format!("{}\\user", users_folder(edition));
    let [roaming, local] = data_folders(edition).map(|folder| format!("{home}\\{folder}"));
    to.key("Volatile Environment")
        .text("APPDATA", &roaming)
        .text("HOMEDRIVE", "C:")
        .text("HOMEPATH", home.trim_start_matches("C:"))
        .text("LOCALAPPDATA", &local)
        .text("LOGONSERVER", &format!("\\\\{}", crate::win32::COMPUTER_NAME))
        .text("USERDOMAIN", crate::win32::COMPUTER_NAME)
        .text("USERNAME", "user")
        .text("USERPROFILE", &home);
}

fn shell_folders(to: &mut Filler<'_>, edition: &Edition) {
    const KEY: &str = "Software\\Microsoft\\Windows\\CurrentVersion\\Explorer";
    let home = format!("{}\\user", users_folder(edition));
    let [roaming, local] = data_folders(edition);
    let documents = if edition.version.major >= 6 { "Documents" } else { "My Documents" };
    let folders =
        [("AppData", roaming), ("Desktop", "Desktop"), ("Local AppData", local), ("Personal", documents)];
    to.key(&format!("{KEY}\\Shell Folders"));
    for (name, folder) in folders {
        to.text(name, &format!("{home}\\{folder}"));
    }
    to.key(&format!("{KEY}\\User Shell Folders"));
    for (name, folder) in folders {
        to.expanding(name, &format!("%USERPROFILE%\\{folder}"));
    }
}
