//! Changes of files that several services ask for: deleting, renaming, cutting.

use super::open::{Disposition, Options, Request};
use super::rights::{self, SYNCHRONIZE};
use crate::executive::objects::{Object, ObjectId, OpenFile, Uses};
use crate::host::FileKind;
use crate::kernel::Kernel;
use crate::path::GuestPath;
use vadose_facts::ntdef::NtStatus;

/// Names that are tried for a file that is put aside.
const MAX_ASIDE: u32 = 1000;

impl Kernel<'_> {
    /// Says whether an open file goes with its last handle. `forced` deletes a read-only one too.
    ///
    /// # Errors
    ///
    /// `CANNOT_DELETE` for a file that is read-only or runs; `DIRECTORY_NOT_EMPTY`; `ACCESS_DENIED` for what may only be
    /// read.
    pub(crate) fn set_delete_pending(
        &mut self,
        open: &OpenFile,
        delete: bool,
        forced: bool,
    ) -> Result<(), NtStatus> {
        if delete {
            let read_only = self.is_read_only(&open.path) && !forced;
            if read_only || open.file.is_some() && self.is_running(&open.path) {
                return Err(NtStatus::CANNOT_DELETE);
            }
            if open.file.is_none() && !self.host.list(&open.path)?.is_empty() {
                return Err(NtStatus::DIRECTORY_NOT_EMPTY);
            }
        }
        for id in self.ids_at(&open.path) {
            if let Object::File(open) = self.nt.objects.get_mut(id) {
                open.delete_pending = delete;
            }
        }
        Ok(())
    }

    /// Deletes by name: opens to delete, says so, and closes. The file is gone at once if nobody else has it open.
    ///
    /// # Errors
    ///
    /// As [`open_path`](Self::open_path) and [`set_delete_pending`](Self::set_delete_pending).
    pub(crate) fn delete_path(&mut self, path: &GuestPath, kind: Option<FileKind>) -> Result<(), NtStatus> {
        let options = Options(match kind {
            Some(FileKind::File) => Options::NO_FOLDER,
            Some(FileKind::Directory) => Options::FOLDER,
            None => 0,
        });
        let access = rights::DELETE | SYNCHRONIZE;
        let disposition = Disposition::Open;
        let request = Request { access, shares: Uses::ALL, disposition, options, attributes: 0 };
        let opened = self.open_path(path, &request)?;
        let allowed = self.set_delete_pending(&opened.file, true, false);
        self.close_file(&OpenFile { delete_on_close: allowed.is_ok(), ..opened.file });
        allowed
    }

    /// Renames a file or a folder, open or not. Whoever has it open has it by its new name.
    ///
    /// # Errors
    ///
    /// `OBJECT_NAME_COLLISION` for a name that is taken, unless it may be replaced; `ACCESS_DENIED` for a folder in which
    /// something is open, and for a target that is a folder, read-only, runs, or is open; the host's.
    pub(crate) fn rename_path(
        &mut self,
        from: &GuestPath,
        to: &GuestPath,
        replace: bool,
    ) -> Result<(), NtStatus> {
        let source = self.host.info(from)?;
        if source.kind == FileKind::Directory && self.is_open_below(from) {
            return Err(NtStatus::ACCESS_DENIED);
        }
        match self.host.info(to) {
            Ok(_) if from.same_file(to) => self.host.rename(from, to)?,
            Ok(_) if !replace => return Err(NtStatus::OBJECT_NAME_COLLISION),
            Ok(target) => {
                let folder = [source.kind, target.kind].contains(&FileKind::Directory);
                let used = self.is_read_only(to) || self.is_running(to) || self.files_at(to).next().is_some();
                if folder || used {
                    return Err(NtStatus::ACCESS_DENIED);
                }
                self.replace(from, to)?;
            }
            Err(_) => self.host.rename(from, to)?,
        }
        self.follow_rename(from, to);
        Ok(())
    }

    /// Whether something in a folder, or below, is open.
    fn is_open_below(&self, folder: &GuestPath) -> bool {
        let below = format!("{}\\", folder.as_str().to_lowercase());
        self.nt.objects.iter().any(|(_, object)| match object {
            Object::File(open) => open.path.as_str().to_lowercase().starts_with(&below),
            _other_kinds => false,
        })
    }

    fn follow_rename(&mut self, from: &GuestPath, to: &GuestPath) {
        for id in self.ids_at(from) {
            if let Object::File(open) = self.nt.objects.get_mut(id) {
                open.path = to.clone();
            }
        }
        self.nt.files.rename(from, to);
        if !from.same_file(to) {
            self.nt.file_notes.forget(to);
            self.nt.file_notes.rename(from, to);
        }
    }

    fn ids_at(&self, path: &GuestPath) -> Vec<ObjectId> {
        self.files_at(path).map(|(id, _)| id).collect()
    }

    /// Puts a file in the place of another, which is put aside until that has worked.
    fn replace(&mut self, from: &GuestPath, to: &GuestPath) -> Result<(), NtStatus> {
        let aside = self.aside(to)?;
        self.host.rename(to, &aside)?;
        match self.host.rename(from, to) {
            Ok(()) => self.host.remove(&aside, FileKind::File),
            Err(status) => {
                self.host.rename(&aside, to)?;
                Err(status)
            }
        }
    }

    /// A name beside a file that nothing has.
    fn aside(&mut self, path: &GuestPath) -> Result<GuestPath, NtStatus> {
        for number in 0..MAX_ASIDE {
            let candidate = path.parent().join(&format!("~replaced{number}.tmp"))?;
            match self.host.info(&candidate) {
                Err(NtStatus::OBJECT_NAME_NOT_FOUND | NtStatus::NO_SUCH_FILE) => return Ok(candidate),
                Ok(_) => {}
                Err(status) => return Err(status),
            }
        }
        Err(NtStatus::OBJECT_NAME_COLLISION)
    }

    /// Cuts or extends an open file.
    ///
    /// # Errors
    ///
    /// `INVALID_PARAMETER` for a folder; `USER_MAPPED_FILE` for a file that runs, or that sections and views show beyond
    /// the new end (SPEC F50); the host's.
    pub(crate) fn resize_file(&mut self, open: &OpenFile, size: u64) -> Result<(), NtStatus> {
        let file = open.file.ok_or(NtStatus::INVALID_PARAMETER)?;
        let mapped = self.nt.files.data_at(&open.path);
        let shown = mapped.and_then(|mapped| self.mm.mapped_bytes(mapped));
        if self.is_running(&open.path) || shown.is_some_and(|bytes| size < bytes) {
            return Err(NtStatus::USER_MAPPED_FILE);
        }
        self.host.set_size(file, size)?;
        self.forget_images_at(&open.path);
        if let Some(mapped) = mapped {
            self.mm.file_resized(mapped, size);
        }
        Ok(())
    }
}
