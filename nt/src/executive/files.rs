//! The files behind image sections: built-in DLLs that are bytes here, and files of the host.

use crate::host::{Host, HostFile};
use std::sync::Arc;
use vadose_facts::ntdef::NtStatus;
use vadose_mm::FileId;

/// Files by the [`FileId`] that the memory manager repeats in its transfers. They stay open as long as their sections
/// live; a number is not used again.
#[derive(Debug, Default)]
pub struct ImageFiles {
    files: Vec<Option<Backing>>,
}

#[derive(Clone, Debug)]
enum Backing {
    Memory(Arc<[u8]>),
    Host(HostFile),
}

impl ImageFiles {
    /// Adds a file whose bytes are here.
    pub fn add_bytes(&mut self, bytes: Arc<[u8]>) -> FileId {
        self.add(Backing::Memory(bytes))
    }

    /// Adds an open file of the host.
    pub fn add_host(&mut self, file: HostFile) -> FileId {
        self.add(Backing::Host(file))
    }

    fn add(&mut self, backing: Backing) -> FileId {
        self.files.push(Some(backing));
        FileId::new(u32::try_from(self.files.len() - 1).expect("few image files"))
    }

    /// Forgets a file whose section is gone; answers the host's file, to be closed.
    pub fn remove(&mut self, file: FileId) -> Option<HostFile> {
        match self.files.get_mut(file.raw() as usize)?.take()? {
            Backing::Memory(_) => None,
            Backing::Host(file) => Some(file),
        }
    }

    /// Fills all of `into` from a file.
    ///
    /// # Errors
    ///
    /// The host's status; `END_OF_FILE` if the file is shorter than it was.
    ///
    /// # Panics
    ///
    /// If the id is not one of these files: the memory manager repeats ids of live sections.
    pub fn read(
        &self,
        host: &mut dyn Host,
        file: FileId,
        offset: u64,
        into: &mut [u8],
    ) -> Result<(), NtStatus> {
        let backing = self.files.get(file.raw() as usize).and_then(Option::as_ref);
        match backing.expect("the memory manager repeats our ids") {
            Backing::Memory(bytes) => {
                let start = usize::try_from(offset).map_err(|_| NtStatus::END_OF_FILE)?;
                let end = start.checked_add(into.len()).ok_or(NtStatus::END_OF_FILE)?;
                into.copy_from_slice(bytes.get(start..end).ok_or(NtStatus::END_OF_FILE)?);
                Ok(())
            }
            Backing::Host(file) => match host.read_at(*file, offset, into)? {
                done if done == into.len() => Ok(()),
                _ => Err(NtStatus::END_OF_FILE),
            },
        }
    }
}
