//! Names of keys and values: kept as they were written, compared without case.

/// A name. Order and equality do not look at case.
#[derive(Clone, Debug, Default)]
pub(super) struct Name {
    text: Box<[u16]>,
    folded: Box<[u16]>,
}

impl Name {
    pub(super) fn new(text: &[u16]) -> Self {
        let folded = text.iter().map(|unit| crate::win32::upper(*unit)).collect();
        Self { text: text.into(), folded }
    }

    /// As it was written.
    pub(super) fn text(&self) -> &[u16] {
        &self.text
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Self::new(&text.encode_utf16().collect::<Vec<u16>>())
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.folded == other.folded
    }
}

impl Eq for Name {}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.folded.cmp(&other.folded)
    }
}
