//! What a page file shall be: its sizes and its place.

use std::path::{Path, PathBuf};
use vadose_facts::addr::PAGE_BYTES;

/// Page files of one machine (SPEC J14).
pub const MOST_PAGE_FILES: usize = 16;

/// Bytes of the largest page file: an entry's 32 bits of offset count its pages (SPEC I10).
pub const MOST_PAGE_FILE_BYTES: u64 = PAGE_BYTES << 32;

/// One page file as it is ordered (SPEC J14): whole pages, the maximum above zero and no less than the initial size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageFileSpec {
    initial_bytes: u64,
    maximum_bytes: u64,
    folder: Option<PathBuf>,
}

/// Sizes that no page file can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PageFileSpecError {
    /// A size that is not a multiple of a page.
    #[error("a page file is whole pages of {PAGE_BYTES} bytes, not {bytes} bytes")]
    NotPages {
        /// The size.
        bytes: u64,
    },
    /// It may never hold a page.
    #[error("a page file that may never hold a page is none: leave it out")]
    Empty,
    /// It is larger at the start than it may become.
    #[error("the maximum size of {maximum_bytes} bytes is below the initial size of {initial_bytes} bytes")]
    Shrinks {
        /// Size at the start.
        initial_bytes: u64,
        /// Largest size.
        maximum_bytes: u64,
    },
    /// It is larger than page-table entries can say.
    #[error("a page file can be {} TiB at most", MOST_PAGE_FILE_BYTES >> 40)]
    TooLarge,
}

impl PageFileSpec {
    /// A page file of `initial_bytes` that may grow to `maximum_bytes`. `folder` says where on the host: a folder, or a
    /// name that is free in one; without it the place is chosen as [`PageFiles::create`](super::PageFiles::create) says.
    ///
    /// # Errors
    ///
    /// [`PageFileSpecError`] says which size does not do.
    pub fn new(
        initial_bytes: u64,
        maximum_bytes: u64,
        folder: Option<PathBuf>,
    ) -> Result<Self, PageFileSpecError> {
        let odd = |bytes: &u64| !bytes.is_multiple_of(PAGE_BYTES);
        if let Some(bytes) = [initial_bytes, maximum_bytes].into_iter().find(odd) {
            Err(PageFileSpecError::NotPages { bytes })
        } else if maximum_bytes < initial_bytes {
            Err(PageFileSpecError::Shrinks { initial_bytes, maximum_bytes })
        } else if maximum_bytes == 0 {
            Err(PageFileSpecError::Empty)
        } else if maximum_bytes > MOST_PAGE_FILE_BYTES {
            Err(PageFileSpecError::TooLarge)
        } else {
            Ok(Self { initial_bytes, maximum_bytes, folder })
        }
    }

    /// Bytes at the start, whole pages.
    pub const fn initial_bytes(&self) -> u64 {
        self.initial_bytes
    }

    /// Bytes that it may grow to, whole pages.
    pub const fn maximum_bytes(&self) -> u64 {
        self.maximum_bytes
    }

    /// Where it shall be, if that was said.
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_whole_pages_and_do_not_shrink() {
        let said = |initial, maximum| PageFileSpec::new(initial, maximum, None).map(|_| ());
        assert_eq!(said(4096, 4096), Ok(()));
        assert_eq!(said(0, 8192), Ok(()));
        assert_eq!(said(MOST_PAGE_FILE_BYTES, MOST_PAGE_FILE_BYTES), Ok(()));
        assert_eq!(said(4096, 5000), Err(PageFileSpecError::NotPages { bytes: 5000 }));
        assert_eq!(said(1, 4096), Err(PageFileSpecError::NotPages { bytes: 1 }));
        assert_eq!(said(0, 0), Err(PageFileSpecError::Empty));
        let shrinks = PageFileSpecError::Shrinks { initial_bytes: 8192, maximum_bytes: 4096 };
        assert_eq!(said(8192, 4096), Err(shrinks));
        assert_eq!(said(0, MOST_PAGE_FILE_BYTES + 4096), Err(PageFileSpecError::TooLarge));
    }
}
