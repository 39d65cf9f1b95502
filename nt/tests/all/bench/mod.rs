//! A program on a disk in memory: functions called in both forms of text and both widths of pointers.

use crate::world::{self, World};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use vadose_facts::ntdef::{NtStatus, Win32Error};
use vadose_nt::{
    Console, DirectoryEntry, DiskSpace, FileAccess, FileIdentity, FileInfo, FileKind, GuestPath, Host,
    HostFile, Kernel, Moment, UserPtr, Wish,
};

pub(crate) const READ: u64 = 0x8000_0000;
pub(crate) const WRITE: u64 = 0x4000_0000;
pub(crate) const INVALID_HANDLE: u64 = u64::MAX;
pub(crate) const INVALID_32: u64 = 0xffff_ffff;
pub(crate) const BACKUP_SEMANTICS: u64 = 0x200_0000;
pub(crate) const DELETE_ON_CLOSE: u64 = 0x400_0000;
/// A last error that no function sets.
pub(crate) const UNTOUCHED: u32 = 0xbead;
/// Where the test's variables are in its scratch page.
pub(crate) const NAME: u64 = 0;
pub(crate) const OTHER: u64 = 0x200;
pub(crate) const OUT: u64 = 0x400;
pub(crate) const COUNT: u64 = 0x700;
pub(crate) const DATA: u64 = 0x740;
/// No process has memory there.
pub(crate) const BAD: u64 = 0x10;

/// A disk in memory: nodes by path in lower case.
#[derive(Default)]
pub(crate) struct Disk {
    pub(crate) nodes: BTreeMap<String, Node>,
    pub(crate) open: BTreeMap<u32, String>,
    pub(crate) opened: u32,
    pub(crate) clock: u64,
    pub(crate) refuse_rename: bool,
}

pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) data: Option<Vec<u8>>,
    pub(crate) access: FileAccess,
    pub(crate) modified: u64,
}

/// The path of a name below the root.
pub(crate) fn path(name: &str) -> GuestPath {
    world::path(&format!("C:\\{name}"))
}

fn key(path: &GuestPath) -> String {
    path.as_str().to_lowercase()
}

impl Disk {
    pub(crate) fn add(&mut self, name: &str, data: Option<&[u8]>, access: FileAccess) {
        let path = path(name);
        let name = path.file_name().unwrap_or("").to_owned();
        self.nodes.insert(key(&path), Node { name, data: data.map(<[u8]>::to_vec), access, modified: 1000 });
    }

    pub(crate) fn get(&self, name: &str) -> Option<&[u8]> {
        self.nodes.get(&key(&path(name))).and_then(|node| node.data.as_deref())
    }

    pub(crate) fn missing(&self, path: &GuestPath) -> NtStatus {
        match self.nodes.get(&key(&path.parent())) {
            Some(Node { data: None, .. }) => NtStatus::OBJECT_NAME_NOT_FOUND,
            _ => NtStatus::OBJECT_PATH_NOT_FOUND,
        }
    }

    pub(crate) fn node(&self, path: &GuestPath) -> Result<&Node, NtStatus> {
        self.nodes.get(&key(path)).ok_or_else(|| self.missing(path))
    }

    pub(crate) fn data(&mut self, file: HostFile) -> Result<&mut Node, NtStatus> {
        let key = self.open.get(&file.raw()).ok_or(NtStatus::INVALID_HANDLE)?;
        self.nodes.get_mut(key).ok_or(NtStatus::OBJECT_NAME_NOT_FOUND)
    }

    pub(crate) fn children(&self, folder: &GuestPath) -> Vec<String> {
        let is_child = |key: &&String| {
            let child = path(&key[3..]);
            child.file_name().is_some() && child.parent().same_file(folder)
        };
        self.nodes.keys().filter(is_child).cloned().collect()
    }
}

fn info_of(node: &Node) -> FileInfo {
    let (kind, size) = match &node.data {
        Some(data) => (FileKind::File, data.len() as u64),
        None => (FileKind::Directory, 0),
    };
    FileInfo { kind, size, modified: Moment::new(node.modified), access: node.access }
}

impl Host for Disk {
    fn open(&mut self, path: &GuestPath, access: FileAccess, wish: Wish) -> Result<HostFile, NtStatus> {
        let found = self.nodes.get(&key(path)).map(info_of);
        let makes = match (found, wish) {
            (Some(_), Wish::CreateNew) => return Err(NtStatus::OBJECT_NAME_COLLISION),
            (Some(FileInfo { kind: FileKind::Directory, .. }), _) => {
                return Err(NtStatus::FILE_IS_A_DIRECTORY);
            }
            (Some(_), Wish::CreateAlways | Wish::TruncateExisting) => true,
            (Some(_), Wish::OpenExisting | Wish::OpenAlways) => false,
            (None, Wish::OpenExisting | Wish::TruncateExisting) => return Err(self.missing(path)),
            (None, _) => match self.missing(path) {
                NtStatus::OBJECT_NAME_NOT_FOUND => true,
                status => return Err(status),
            },
        };
        let writes = makes || access == FileAccess::ReadWrite;
        if writes && found.is_some_and(|info| info.access != FileAccess::ReadWrite) {
            return Err(NtStatus::ACCESS_DENIED);
        }
        if makes {
            self.add(&path.as_str()[3..], Some(&[]), FileAccess::ReadWrite);
        }
        self.opened += 1;
        self.open.insert(self.opened, key(path));
        Ok(HostFile::new(self.opened))
    }
    fn close(&mut self, file: HostFile) {
        self.open.remove(&file.raw()).expect("closed once");
    }
    fn size(&mut self, file: HostFile) -> Result<u64, NtStatus> {
        Ok(info_of(self.data(file)?).size)
    }
    fn identity(&mut self, file: HostFile) -> Result<FileIdentity, NtStatus> {
        let mut hasher = DefaultHasher::new();
        self.data(file)?.data.hash(&mut hasher);
        let changed = (i64::from_ne_bytes(hasher.finish().to_ne_bytes()), 0);
        let mut hasher = DefaultHasher::new();
        self.open[&file.raw()].hash(&mut hasher);
        let size = info_of(self.data(file)?).size;
        Ok(FileIdentity { device: 1, index: hasher.finish(), size, changed })
    }
    fn set_size(&mut self, file: HostFile, size: u64) -> Result<(), NtStatus> {
        if size > 1 << 20 {
            return Err(NtStatus::INSUFFICIENT_RESOURCES);
        }
        self.data(file)?.data.as_mut().expect("a file").resize(size as usize, 0);
        Ok(())
    }
    fn read_at(&mut self, file: HostFile, offset: u64, into: &mut [u8]) -> Result<usize, NtStatus> {
        let data = self.data(file)?.data.as_ref().expect("a file");
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(data.len());
        let count = into.len().min(data.len() - start);
        into[..count].copy_from_slice(&data[start..start + count]);
        Ok(count)
    }
    fn write_at(&mut self, file: HostFile, offset: u64, from: &[u8]) -> Result<(), NtStatus> {
        let end = offset.checked_add(from.len() as u64).filter(|end| *end <= 1 << 20);
        let end = end.ok_or(NtStatus::INSUFFICIENT_RESOURCES)? as usize;
        self.clock += 1;
        let now = 2000 + self.clock;
        let node = self.data(file)?;
        node.modified = now;
        let data = node.data.as_mut().expect("a file");
        data.resize(data.len().max(end), 0);
        data[end - from.len()..end].copy_from_slice(from);
        Ok(())
    }
    fn info(&mut self, path: &GuestPath) -> Result<FileInfo, NtStatus> {
        self.node(path).map(info_of)
    }
    fn real_path(&mut self, path: &GuestPath) -> Result<GuestPath, NtStatus> {
        let Some(name) = path.file_name() else { return Ok(path.clone()) };
        match self.nodes.get(&key(path)) {
            Some(node) => {
                let name = node.name.clone();
                self.real_path(&path.parent())?.join(&name)
            }
            None => match self.missing(path) {
                NtStatus::OBJECT_NAME_NOT_FOUND => self.real_path(&path.parent())?.join(name),
                status => Err(status),
            },
        }
    }
    fn disk_space(&self) -> DiskSpace {
        DiskSpace { total: 1 << 30, free: 1 << 29 }
    }
    fn list(&mut self, folder: &GuestPath) -> Result<Vec<DirectoryEntry>, NtStatus> {
        if self.node(folder)?.data.is_some() {
            return Err(NtStatus::NOT_A_DIRECTORY);
        }
        let entry = |key: String| {
            let node = &self.nodes[&key];
            DirectoryEntry { name: node.name.clone(), info: info_of(node) }
        };
        Ok(self.children(folder).into_iter().map(entry).collect())
    }
    fn create_directory(&mut self, path: &GuestPath) -> Result<(), NtStatus> {
        if self.nodes.contains_key(&key(path)) {
            return Err(NtStatus::OBJECT_NAME_COLLISION);
        }
        match self.missing(path) {
            NtStatus::OBJECT_NAME_NOT_FOUND => self.add(&path.as_str()[3..], None, FileAccess::ReadWrite),
            status => return Err(status),
        }
        Ok(())
    }
    fn remove(&mut self, path: &GuestPath, _: FileKind) -> Result<(), NtStatus> {
        if self.node(path)?.access != FileAccess::ReadWrite {
            return Err(NtStatus::ACCESS_DENIED);
        }
        if !self.children(path).is_empty() {
            return Err(NtStatus::DIRECTORY_NOT_EMPTY);
        }
        self.nodes.remove(&key(path));
        Ok(())
    }
    fn rename(&mut self, from: &GuestPath, to: &GuestPath) -> Result<(), NtStatus> {
        if self.node(from)?.access != FileAccess::ReadWrite {
            return Err(NtStatus::ACCESS_DENIED);
        }
        if !from.same_file(to) && self.nodes.contains_key(&key(to)) {
            return Err(NtStatus::OBJECT_NAME_COLLISION);
        }
        if self.refuse_rename && from.as_str().contains("stuck") {
            return Err(NtStatus::NOT_SAME_DEVICE);
        }
        self.node(&to.parent()).map_err(|_| NtStatus::OBJECT_PATH_NOT_FOUND)?;
        let mut node = self.nodes.remove(&key(from)).expect("it is there");
        node.name = to.file_name().expect("not the root").to_owned();
        self.nodes.insert(key(to), node);
        Ok(())
    }
    fn console_read(&mut self, into: &mut [u8]) -> Result<usize, NtStatus> {
        into[..2].copy_from_slice(b"in");
        Ok(2)
    }
    fn console_write(&mut self, _: Console, _: &[u8]) -> Result<(), NtStatus> {
        Ok(())
    }
    fn now(&self) -> Moment {
        Moment::new(1000 + self.clock)
    }
    fn boot_time(&self) -> Moment {
        Moment::new(1000)
    }
    fn advance(&mut self, units: u64) {
        self.clock += units;
    }
    fn entropy(&mut self, into: &mut [u8]) {
        into.fill(7);
    }
}

/// The form of a function.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Form {
    A,
    W,
}

pub(crate) use Form::{A, W};

/// A started program on that disk.
pub(crate) struct Bench {
    pub(crate) world: World,
    pub(crate) disk: Disk,
    pub(crate) form: Form,
}

/// Each check runs in both widths on a fresh disk.
pub(crate) fn each_native(check: impl Fn(&mut Bench)) {
    each_of(&[W], check);
}

/// Each check runs in both forms and both widths on a fresh disk.
pub(crate) fn each(check: impl Fn(&mut Bench)) {
    each_of(&[A, W], check);
}

fn each_of(forms: &[Form], check: impl Fn(&mut Bench)) {
    for edition in ["win7-x86", "win10-x64"] {
        for &form in forms {
            let mut disk = Disk::default();
            disk.add("", None, FileAccess::Read);
            disk.add("work", None, FileAccess::ReadWrite);
            disk.add("work\\Some.txt", Some(b"0123456789"), FileAccess::ReadWrite);
            disk.add("work\\fixed.txt", Some(b"fixed"), FileAccess::Read);
            disk.add("work\\sub", None, FileAccess::ReadWrite);
            disk.add("work\\sub\\in.c", Some(b"c"), FileAccess::ReadWrite);
            check(&mut Bench { world: World::running(edition, "hello"), disk, form });
        }
    }
}

impl Bench {
    pub(crate) fn at(&self, offset: u64) -> u64 {
        self.world.scratch(offset)
    }

    pub(crate) fn kernel(&mut self) -> Kernel<'_> {
        Kernel { nt: &mut self.world.nt, mm: &mut self.world.mm, host: &mut self.disk }
    }

    pub(crate) fn bytes(&mut self, offset: u64, count: u64) -> Vec<u8> {
        let at = UserPtr::new(self.at(offset));
        self.kernel().read_vec(at, count).expect("scratch memory")
    }

    pub(crate) fn number(&mut self, offset: u64) -> u64 {
        u64::from_le_bytes(self.bytes(offset, 8).try_into().expect("eight bytes"))
    }

    pub(crate) fn small(&mut self, offset: u64) -> u32 {
        self.number(offset) as u32
    }

    pub(crate) fn put(&mut self, offset: u64, bytes: &[u8]) -> u64 {
        let at = self.at(offset);
        self.kernel().write(UserPtr::new(at), bytes).expect("scratch memory");
        at
    }

    /// Stores text in the form of the bench; answers its address.
    pub(crate) fn text(&mut self, offset: u64, text: &str) -> u64 {
        let mut bytes: Vec<u8> = match self.form {
            A => text.bytes().collect(),
            W => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        };
        bytes.extend([0, 0]);
        self.put(offset, &bytes)
    }

    pub(crate) fn text_at(&mut self, offset: u64) -> String {
        let at = UserPtr::new(self.at(offset));
        match self.form {
            A => String::from_utf8(self.kernel().read_c_string(at).expect("text")).expect("ASCII"),
            W => String::from_utf16(&self.kernel().read_wide_string(at).expect("text")).expect("UTF-16"),
        }
    }

    /// Calls a function; answers its result, -1 of either width as all ones, and the last error.
    pub(crate) fn raw(&mut self, name: &str, arguments: &[u64]) -> (u64, u32) {
        self.kernel().set_last_error(Win32Error::new(UNTOUCHED));
        let number = self.world.nt.table().number(name).unwrap_or_else(|| panic!("{name} is a service"));
        let stack = self.at(0xf00);
        let wide = self.world.nt.edition().pointer_bytes() == 8;
        let (base, width) = if wide { (stack + 8, 8) } else { (stack, 4) };
        for (slot, value) in (0..).zip(arguments) {
            let at = UserPtr::new(base + slot * width as u64);
            self.kernel().write(at, &value.to_le_bytes()[..width]).expect("the stack is there");
        }
        let argument = |index: usize| arguments.get(index).copied().unwrap_or(0);
        let gpr = &mut self.world.cpu.registers.gpr;
        gpr[0] = u64::from(number.raw());
        gpr[2] = if wide { argument(1) } else { stack };
        gpr[4] = stack;
        if wide {
            (gpr[8], gpr[9], gpr[10]) = (argument(2), argument(3), argument(0));
        }
        let World { mm, nt, cpu, .. } = &mut self.world;
        Kernel { nt, mm, host: &mut self.disk }.service(cpu);
        self.world.nt.take_stale().nothing_cached();
        let result = self.world.cpu.registers.gpr[0];
        let error = self.kernel().last_error().expect("the TEB is there").raw();
        (result, error)
    }

    /// Calls the function in the form of the bench.
    pub(crate) fn call(&mut self, name: &str, arguments: &[u64]) -> (u64, u32) {
        let name = format!("{name}{:?}", self.form);
        self.raw(&name, arguments)
    }

    /// A function whose first argument is a name: whether it failed, and the last error.
    pub(crate) fn named(&mut self, function: &str, name: &str, rest: &[u64]) -> (u64, u32) {
        let at = self.text(NAME, name);
        self.call(function, &[&[at], rest].concat())
    }

    pub(crate) fn two(&mut self, function: &str, from: &str, to: &str, rest: &[u64]) -> (u64, u32) {
        let (from, to) = (self.text(NAME, from), self.text(OTHER, to));
        self.call(function, &[&[from, to], rest].concat())
    }

    pub(crate) fn create(&mut self, name: &str, access: u64, disposition: u64, flags: u64) -> (u64, u32) {
        let (handle, error) = self.named("CreateFile", name, &[access, 7, 0, disposition, flags, 0]);
        let handle = if handle == INVALID_HANDLE || handle == INVALID_32 { INVALID_HANDLE } else { handle };
        (handle, error)
    }

    /// A handle to a file that can be opened.
    pub(crate) fn open(&mut self, name: &str, access: u64) -> u64 {
        let (handle, _) = self.create(name, access, 3, 0);
        assert_ne!(handle, INVALID_HANDLE, "{name}");
        handle
    }

    pub(crate) fn close(&mut self, handle: u64) {
        assert_eq!(self.raw("CloseHandle", &[handle]).0, 1);
    }

    pub(crate) fn attributes(&mut self, name: &str) -> u64 {
        self.named("GetFileAttributes", name, &[]).0
    }

    /// The names that a search finds, or the last error.
    pub(crate) fn search(&mut self, pattern: &str) -> Result<Vec<String>, u32> {
        let out = self.at(OUT);
        let (handle, error) = self.named("FindFirstFile", pattern, &[out]);
        if handle as u32 == u32::MAX {
            return Err(error);
        }
        let mut names = vec![self.text_at(OUT + 44)];
        loop {
            let (more, error) = self.call("FindNextFile", &[handle, out]);
            if more == 0 {
                assert_eq!(error, 18);
                break;
            }
            names.push(self.text_at(OUT + 44));
        }
        assert_eq!(self.raw("FindClose", &[handle]).0, 1);
        assert_eq!(self.raw("FindClose", &[handle]), (0, 6));
        Ok(names)
    }
}
