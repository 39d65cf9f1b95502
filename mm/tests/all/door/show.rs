//! Results to the words of an answer.

use vadose_facts::ntdef::{BaseProtection, MemoryState, NtStatus, PageModifier, Protection};
use vadose_mm::BasicInformation;

/// `STATUS_ACCESS_VIOLATION` becomes `access-violation`.
pub(crate) fn status(status: NtStatus) -> String {
    let name = status.to_string();
    name.trim_start_matches("STATUS_").to_lowercase().replace('_', "-")
}

/// The short word of a protection.
pub(crate) fn protection(protection: Protection) -> String {
    let base = match protection.base() {
        BaseProtection::NoAccess => "na",
        BaseProtection::ReadOnly => "r",
        BaseProtection::ReadWrite => "rw",
        BaseProtection::WriteCopy => "wc",
        BaseProtection::Execute => "x",
        BaseProtection::ExecuteRead => "xr",
        BaseProtection::ExecuteReadWrite => "xrw",
        BaseProtection::ExecuteWriteCopy => "xwc",
    };
    let modifier = match protection.modifier() {
        PageModifier::Plain => "",
        PageModifier::Guard => "+g",
        PageModifier::NoCache => "+nc",
        PageModifier::WriteCombine => "+cb",
    };
    format!("{base}{modifier}")
}

/// State, protection and pages: `commit/rw/3p`.
pub(crate) fn information(info: &BasicInformation) -> String {
    let pages = info.size / 0x1000;
    match (info.state, info.protection) {
        (MemoryState::Free, _) => "free".to_owned(),
        (MemoryState::Reserved, _) => format!("reserve/{pages}p"),
        (MemoryState::Committed, Some(p)) => format!("commit/{}/{pages}p", protection(p)),
        (MemoryState::Committed, None) => panic!("a committed page has a protection"),
    }
}
