//! Page files as the command line orders them: `SIZE[-MAXIMUM][:FOLDER]`, some of them, or `0` for none.

use crate::failure::{Failure, VADOSE_FAILED};
use crate::quantity::parse_size;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use vadose_machine::page_file::{MOST_PAGE_FILES, PageFileSpec};

/// One `--pagefile`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PageFileOrder {
    /// `0`: there is none.
    None,
    /// There is this one.
    File(PageFileSpec),
}

/// Reads one `--pagefile`. Only the folder may be other than Unicode.
pub(crate) fn parse_page_file(text: OsString) -> Result<PageFileOrder, String> {
    let (sizes, folder) = split_at_colon(&text);
    let sizes = sizes.to_str().ok_or_else(form)?;
    let (initial, maximum) = match sizes.split_once('-') {
        Some((initial, maximum)) => (parse(initial)?, parse(maximum)?),
        None => (parse(sizes)?, parse(sizes)?),
    };
    match folder {
        Some(folder) if folder.is_empty() => {
            Err(format!("the folder after the colon is missing; {}", form()))
        }
        None if maximum == 0 && initial == 0 => Ok(PageFileOrder::None),
        folder => PageFileSpec::new(initial, maximum, folder.map(Into::into))
            .map(PageFileOrder::File)
            .map_err(|refusal| refusal.to_string()),
    }
}

/// The page files of all `--pagefile` together.
pub(crate) fn page_files(orders: &[PageFileOrder]) -> Result<Vec<PageFileSpec>, Failure> {
    let refuse = |reason: String| Err(Failure::new(VADOSE_FAILED, reason));
    let files: Vec<PageFileSpec> = orders.iter().filter_map(PageFileOrder::file).cloned().collect();
    if !files.is_empty() && files.len() < orders.len() {
        return refuse(
            "--pagefile 0 says that there is no page file, and another --pagefile orders one".into(),
        );
    }
    if files.len() > MOST_PAGE_FILES {
        let given = files.len();
        return refuse(format!(
            "--pagefile is given {given} times; Windows has {MOST_PAGE_FILES} page files at most"
        ));
    }
    Ok(files)
}

impl PageFileOrder {
    const fn file(&self) -> Option<&PageFileSpec> {
        match self {
            Self::None => None,
            Self::File(spec) => Some(spec),
        }
    }
}

/// What is before the first colon, and what is after it if there is one.
fn split_at_colon(text: &OsStr) -> (&OsStr, Option<OsString>) {
    let bytes = text.as_bytes();
    match bytes.iter().position(|byte| *byte == b':') {
        Some(at) => (OsStr::from_bytes(&bytes[..at]), Some(OsString::from_vec(bytes[at + 1..].to_vec()))),
        None => (text, None),
    }
}

fn parse(size: &str) -> Result<u64, String> {
    parse_size(size).map_err(|reason| format!("{reason}; {}", form()))
}

fn form() -> String {
    "a page file is SIZE, SIZE-MAXIMUM, or either with :FOLDER behind it: 1G, 256M-4G, 1G:/big/disk"
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn spec(initial: u64, maximum: u64, folder: Option<&[u8]>) -> PageFileSpec {
        let folder = folder.map(|folder| OsStr::from_bytes(folder).into());
        PageFileSpec::new(initial, maximum, folder).expect("sizes in order")
    }

    fn parsed(text: impl AsRef<[u8]>) -> Result<PageFileOrder, String> {
        parse_page_file(OsString::from_vec(text.as_ref().to_vec()))
    }

    #[test]
    fn a_page_file_is_its_sizes_and_its_folder() {
        for (text, spec) in [
            (&b"64M"[..], spec(64 * MIB, 64 * MIB, None)),
            (b"1M-2G", spec(MIB, 2048 * MIB, None)),
            (b"0-4K", spec(0, 4096, None)),
            (b"4096:/data", spec(4096, 4096, Some(b"/data"))),
            (b"1m-1m:page.sys", spec(MIB, MIB, Some(b"page.sys"))),
            (b"1M:/a:b-c/", spec(MIB, MIB, Some(b"/a:b-c/"))),
            (b"1M:\xff\xfe", spec(MIB, MIB, Some(b"\xff\xfe"))),
        ] {
            assert_eq!(parsed(text), Ok(PageFileOrder::File(spec)), "{text:?}");
        }
        assert_eq!(parsed("0"), Ok(PageFileOrder::None));
        assert_eq!(parsed("0-0"), Ok(PageFileOrder::None));
    }

    #[test]
    fn what_is_no_page_file_is_explained() {
        for (text, words) in [
            (&b""[..], "256M-4G"),
            (b"lots", "256M-4G"),
            (b"-1", "256M-4G"),
            (b"1G-", "256M-4G"),
            (b"1G-2G-3G", "256M-4G"),
            (b":/data", "256M-4G"),
            (b"/data:1G", "256M-4G"),
            (b"\xff", "256M-4G"),
            (b"1G:", "folder after the colon"),
            (b"5000", "4096"),
            (b"2G-1G", "below the initial size"),
            (b"0:/data", "leave it out"),
            (b"17T", "16 TiB at most"),
            (b"1G-99999999T", "64 bits"),
        ] {
            let refusal = parsed(text).expect_err("nonsense");
            assert!(refusal.contains(words), "{text:?}: {refusal}");
        }
    }

    #[test]
    fn none_and_some_do_not_go_together_and_sixteen_are_the_most() {
        let (none, some) = (PageFileOrder::None, PageFileOrder::File(spec(MIB, MIB, None)));
        let count = |orders: &[PageFileOrder]| page_files(orders).map(|files| files.len());
        let all = |number| vec![some.clone(); number];
        assert_eq!(count(&[]).expect("none"), 0);
        assert_eq!(count(&[none.clone(), none.clone()]).expect("none, said twice"), 0);
        assert_eq!(count(&all(16)).expect("as many as Windows has"), 16);
        assert!(count(&all(17)).expect_err("one more").to_string().contains("17 times"));
        assert!(count(&[some, none]).expect_err("both").to_string().contains("--pagefile 0"));
    }
}
