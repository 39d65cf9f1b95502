//! Files that change through native services: deleting, renaming, cutting, locks; and pipes between two ends.

use crate::bench::{Bench, DATA, OUT, each_native};
use crate::native_files::{BLOCK, DELETE, HANDLE, NO_FOLDER, OPEN, READ, SYNCHRONIZE, WRITE, u32_at};
use vadose_facts::ntdef::NtStatus;

const SOME: &str = "\\??\\C:\\work\\some.txt";
/// Structures that a change is described in.
const CHANGE: u64 = 0x500;

impl Bench {
    /// Changes a class of an open file.
    fn set_file(&mut self, file: u64, class: u64, bytes: &[u8]) -> Result<(), NtStatus> {
        let block = self.at(BLOCK);
        let from = self.put(CHANGE, bytes);
        self.nt("NtSetInformationFile", &[file, block, from, bytes.len() as u64, class])
    }

    fn rename(&mut self, file: u64, to: &str, replace: u8) -> Result<(), NtStatus> {
        let width = self.width() as usize;
        let name: Vec<u8> = to.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let mut bytes = vec![0; 2 * width];
        bytes[0] = replace;
        bytes.extend((name.len() as u32).to_le_bytes());
        bytes.extend(name);
        bytes.resize(bytes.len().max(24), 0);
        self.set_file(file, 10, &bytes)
    }

    fn open_some(&mut self, access: u64) -> u64 {
        self.nt_open(SOME, access, NO_FOLDER).expect("it is there")
    }

    fn transfer(&mut self, service: &str, file: u64, at: u64, bytes: u64) -> Result<u64, NtStatus> {
        let (block, at) = (self.words(BLOCK, &[77, 77]), self.at(at));
        self.nt(service, &[file, 0, 0, 0, block, at, bytes, 0, 0])?;
        Ok(self.information())
    }

    /// Both ends of a new pipe.
    fn pipe(&mut self, name: &str, share: u64, options: u64) -> (u64, u64) {
        let server = self.pipe_server(name, share, options).expect("a free name");
        let client = self.nt_open(name, WRITE, NO_FOLDER).expect("the server waits");
        (server, client)
    }

    fn pipe_server(&mut self, name: &str, share: u64, options: u64) -> Result<u64, NtStatus> {
        let attributes = self.attributes_below(0, name);
        let (handle, block) = (self.words(HANDLE, &[0]), self.words(BLOCK, &[77, 77]));
        let timeout = self.put(DATA, &(-500_000_i64).to_le_bytes());
        let access = 0x8000_0000 | 0x100 | SYNCHRONIZE;
        let numbers = [share, 3, options, 0, 0, 0, 1, 4096, 4096, timeout];
        self.nt("NtCreateNamedPipeFile", &[&[handle, access, attributes, block], &numbers[..]].concat())?;
        Ok(self.pointer_at(HANDLE))
    }

    fn fs_control(&mut self, file: u64, event: u64, code: u64, room: u64) -> Result<(), NtStatus> {
        let (block, out) = (self.words(BLOCK, &[77, 77]), self.at(OUT));
        self.nt("NtFsControlFile", &[file, event, 0, 0, block, code, 0, 0, out, room])
    }
}

#[test]
fn a_disposition_counts_for_all_handles_and_can_be_taken_back() {
    each_native(|bench| {
        let (first, second) = (bench.open_some(DELETE), bench.open_some(READ));
        assert_eq!(bench.set_file(second, 13, &[1]), Err(NtStatus::ACCESS_DENIED));
        assert_eq!(bench.set_file(first, 13, &[1]), Ok(()));
        assert_eq!(bench.query_file(second, 5, 24).expect("open")[20], 1);
        assert_eq!(bench.nt_open(SOME, READ, NO_FOLDER), Err(NtStatus::DELETE_PENDING));
        assert_eq!(bench.set_file(first, 13, &[0]), Ok(()));
        let third = bench.open_some(READ);
        assert_eq!(bench.set_file(first, 64, &1_u32.to_le_bytes()), Ok(()));
        for handle in [first, third, second] {
            assert!(bench.disk.get("work\\some.txt").is_some());
            bench.nt_close(handle);
        }
        assert_eq!(bench.disk.get("work\\some.txt"), None);
        let folder = bench.nt_open("\\??\\C:\\work\\sub", DELETE, 0x21).expect("a folder");
        assert_eq!(bench.set_file(folder, 13, &[1]), Err(NtStatus::DIRECTORY_NOT_EMPTY));
        bench.nt_close(folder);
        let attributes = bench.attributes_below(0, "\\??\\C:\\work\\sub\\in.c");
        assert_eq!(bench.nt("NtDeleteFile", &[attributes]), Ok(()));
        assert_eq!(bench.disk.get("work\\sub\\in.c"), None);
        let attributes = bench.attributes_below(0, "\\??\\C:\\work\\fixed.txt");
        assert_eq!(bench.nt("NtDeleteFile", &[attributes]), Err(NtStatus::ACCESS_DENIED));
    });
}

#[test]
fn a_file_is_renamed_under_its_handles() {
    each_native(|bench| {
        let (file, other) = (bench.open_some(DELETE), bench.open_some(READ));
        assert_eq!(bench.rename(file, "\\??\\C:\\work\\fixed.txt", 0), Err(NtStatus::OBJECT_NAME_COLLISION));
        assert_eq!(bench.rename(file, "..\\x", 0), Err(NtStatus::OBJECT_NAME_INVALID));
        assert_eq!(bench.rename(file, "\\??\\NUL", 0), Err(NtStatus::NOT_SAME_DEVICE));
        assert_eq!(bench.rename(file, "New.txt", 0), Ok(()));
        assert_eq!(bench.disk.get("work\\new.txt"), Some(&b"0123456789"[..]));
        let name = bench.query_file(other, 9, 100).expect("open");
        assert_eq!(u32_at(&name, 0), 26, "the other handle has the new name");
        assert_eq!(bench.rename(file, "\\??\\C:\\work\\sub\\in.c", 1), Ok(()), "it replaces");
        assert_eq!(bench.disk.get("work\\sub\\in.c"), Some(&b"0123456789"[..]));
        let folder = bench.nt_open("\\??\\C:\\work\\sub", DELETE, 0x21).expect("a folder");
        assert_eq!(
            bench.rename(folder, "\\??\\C:\\work\\sub2", 0),
            Err(NtStatus::ACCESS_DENIED),
            "open inside"
        );
        bench.nt_close(file);
        bench.nt_close(other);
        assert_eq!(bench.rename(folder, "\\??\\C:\\work\\sub2", 0), Ok(()));
        bench.nt_close(folder);
    });
}

#[test]
fn size_position_times_and_attributes_are_set() {
    each_native(|bench| {
        let file = bench.open_some(READ | WRITE);
        assert_eq!(bench.set_file(file, 20, &4_u64.to_le_bytes()), Ok(()));
        assert_eq!(bench.disk.get("work\\some.txt"), Some(&b"0123"[..]));
        assert_eq!(bench.set_file(file, 19, &9_u64.to_le_bytes()), Ok(()), "more room is not seen");
        assert_eq!(bench.disk.get("work\\some.txt"), Some(&b"0123"[..]));
        assert_eq!(bench.set_file(file, 19, &2_u64.to_le_bytes()), Ok(()));
        assert_eq!(bench.set_file(file, 14, &1_u64.to_le_bytes()), Ok(()));
        assert_eq!(bench.transfer("NtReadFile", file, OUT, 8), Ok(1));
        assert_eq!(bench.bytes(OUT, 1), b"1");
        assert_eq!(bench.set_file(file, 14, &u64::MAX.to_le_bytes()), Err(NtStatus::INVALID_PARAMETER));
        let times = [7_u64, 0, u64::MAX, 0].map(u64::to_le_bytes).concat();
        let basic = [&times[..], &0x3_u32.to_le_bytes(), &[0; 4]].concat();
        assert_eq!(bench.set_file(file, 4, &basic), Ok(()));
        let told = bench.query_file(file, 4, 40).expect("open");
        assert_eq!((u32_at(&told, 0), u32_at(&told, 32)), (7, 0x3));
        assert_eq!(bench.set_file(file, 99, &[0; 64]), Err(NtStatus::INVALID_INFO_CLASS));
        assert_eq!(bench.set_file(file, 11, &[0; 64]), Err(NtStatus::INVALID_INFO_CLASS), "no links");
        bench.nt_close(file);
        assert_eq!(
            bench.nt_open(SOME, WRITE, NO_FOLDER),
            Err(NtStatus::ACCESS_DENIED),
            "it is read-only now"
        );
    });
}

#[test]
fn a_locked_range_is_its_owners_alone() {
    each_native(|bench| {
        let (mine, other) = (bench.open_some(READ | WRITE), bench.open_some(READ | WRITE));
        let range = bench.put(CHANGE, &[2_u64, 3].map(u64::to_le_bytes).concat());
        let block = bench.at(BLOCK);
        let lock = |bench: &mut Bench, file: u64, exclusive: u64| {
            let arguments = [file, 0, 0, 0, block, range, range + 8, 0, 1, exclusive];
            bench.nt("NtLockFile", &arguments)
        };
        let unlock =
            |bench: &mut Bench, file: u64| bench.nt("NtUnlockFile", &[file, block, range, range + 8, 0]);
        assert_eq!(lock(bench, mine, 1), Ok(()));
        assert_eq!(lock(bench, other, 0), Err(NtStatus::LOCK_NOT_GRANTED));
        assert_eq!(bench.transfer("NtReadFile", other, OUT, 2), Ok(2), "before the range");
        assert_eq!(bench.transfer("NtReadFile", other, OUT, 1), Err(NtStatus::FILE_LOCK_CONFLICT));
        assert_eq!(bench.transfer("NtReadFile", mine, OUT, 8), Ok(8));
        assert_eq!(unlock(bench, other), Err(NtStatus::RANGE_NOT_LOCKED));
        assert_eq!(unlock(bench, mine), Ok(()));
        assert_eq!((lock(bench, mine, 0), lock(bench, other, 0)), (Ok(()), Ok(())), "both may share");
        assert_eq!(bench.transfer("NtReadFile", other, OUT, 1), Ok(1));
        assert_eq!(bench.transfer("NtWriteFile", other, OUT, 1), Err(NtStatus::FILE_LOCK_CONFLICT));
        bench.nt_close(mine);
        assert_eq!(unlock(bench, other), Ok(()));
        assert_eq!(bench.transfer("NtWriteFile", other, OUT, 1), Ok(1), "the other lock went with its file");
        bench.nt_close(other);
    });
}

#[test]
fn what_one_end_of_a_pipe_writes_the_other_reads_until_it_is_closed() {
    each_native(|bench| {
        let (reader, writer) = bench.pipe("\\??\\pipe\\Plain", 2, 0x20);
        bench.put(DATA, b"abcdef");
        assert_eq!(bench.transfer("NtWriteFile", writer, DATA, 4), Ok(4));
        assert_eq!(bench.transfer("NtWriteFile", writer, DATA, 2), Ok(2));
        assert_eq!(bench.fs_control(reader, 0, 0x11_400c, 64), Ok(()));
        let told = bench.bytes(OUT, 22);
        assert_eq!((u32_at(&told, 0), u32_at(&told, 4), &told[16..]), (3, 6, &b"abcdab"[..]));
        assert_eq!(bench.transfer("NtReadFile", reader, OUT, 5), Ok(5));
        assert_eq!(bench.bytes(OUT, 5), b"abcda");
        assert_eq!(bench.transfer("NtReadFile", writer, OUT, 1), Err(NtStatus::ACCESS_DENIED));
        let kind = bench.query("NtQueryVolumeInformationFile", reader, 4, 8).expect("a device");
        assert_eq!(u32_at(&kind, 0), 0x11);
        let local = bench.query_file(reader, 24, 40).expect("a pipe");
        assert_eq!((u32_at(&local, 20), u32_at(&local, 32), u32_at(&local, 36)), (1, 3, 1));
        bench.nt_close(writer);
        assert_eq!(bench.transfer("NtReadFile", reader, OUT, 5), Ok(1), "what was on its way arrives");
        assert_eq!(bench.transfer("NtReadFile", reader, OUT, 5), Err(NtStatus::PIPE_BROKEN));
        bench.nt_close(reader);
        let (reader, writer) = bench.pipe("\\??\\PIPE\\plain", 2, 0x20);
        bench.nt_close(reader);
        assert_eq!(bench.transfer("NtWriteFile", writer, DATA, 4), Err(NtStatus::PIPE_CLOSING));
        bench.nt_close(writer);
    });
}

#[test]
fn a_pipe_has_a_name_a_direction_and_so_many_instances() {
    each_native(|bench| {
        let name = "\\Device\\NamedPipe\\one";
        assert_eq!(bench.nt_open(name, READ, NO_FOLDER), Err(NtStatus::OBJECT_NAME_NOT_FOUND));
        let server = bench.pipe_server(name, 2, 0x20).expect("a free name");
        assert_eq!(bench.pipe_server("\\??\\pipe\\ONE", 2, 0x20), Err(NtStatus::INSTANCE_NOT_AVAILABLE));
        assert_eq!(bench.pipe_server(name, 1, 0x20), Err(NtStatus::ACCESS_DENIED), "another direction");
        assert_eq!(bench.nt_open(name, READ, NO_FOLDER), Err(NtStatus::ACCESS_DENIED), "clients only write");
        assert_eq!(bench.transfer("NtReadFile", server, OUT, 1), Err(NtStatus::PIPE_LISTENING));
        let client = bench.nt_open(name, WRITE, NO_FOLDER).expect("the server waits");
        assert_eq!(bench.nt_open(name, WRITE, NO_FOLDER), Err(NtStatus::PIPE_NOT_AVAILABLE));
        assert_eq!(bench.fs_control(server, 0, 0x11_0008, 0), Err(NtStatus::PIPE_CONNECTED));
        assert_eq!(bench.fs_control(server, 0, 0x11_0004, 0), Ok(()));
        assert_eq!(bench.transfer("NtWriteFile", client, DATA, 1), Err(NtStatus::PIPE_DISCONNECTED));
        bench.nt_close(client);
        bench.nt_close(server);
        assert_eq!(bench.nt_open(name, WRITE, NO_FOLDER), Err(NtStatus::OBJECT_NAME_NOT_FOUND));
        for wrong in ["\\??\\C:\\work\\x", "\\??\\pipe\\"] {
            assert_eq!(bench.pipe_server(wrong, 2, 0x20), Err(NtStatus::OBJECT_NAME_INVALID), "{wrong}");
        }
        assert_eq!(bench.pipe_server(name, 4, 0x20), Err(NtStatus::INVALID_PARAMETER));
    });
}

#[test]
fn an_asynchronous_read_is_over_when_the_other_end_writes() {
    each_native(|bench| {
        let (event, _) = bench.raw("CreateEventW", &[0, 1, 0, 0]);
        let server = bench.pipe_server("\\??\\pipe\\later", 2, 0).expect("a free name");
        assert_eq!(bench.fs_control(server, event, 0x11_0008, 0), Err(NtStatus::PENDING));
        assert_eq!(bench.raw("WaitForSingleObject", &[event, 0]).0, 258);
        let attributes = bench.attributes_below(0, "\\??\\pipe\\later");
        let (handle, other_block) = (bench.at(HANDLE), bench.at(CHANGE));
        let arguments = [handle, WRITE, attributes, other_block, 7, NO_FOLDER];
        assert_eq!(bench.nt("NtOpenFile", &arguments), Ok(()));
        let client = bench.pointer_at(HANDLE);
        assert_eq!((bench.pointer_at(BLOCK) as u32, bench.information()), (0, 0), "the client is there");
        assert_eq!(bench.raw("WaitForSingleObject", &[event, 0]).0, 0);

        let (block, out) = (bench.words(BLOCK, &[77, 77]), bench.at(OUT));
        let read = [server, event, 0, 0, block, out, 8, 0, 0];
        assert_eq!(bench.nt("NtReadFile", &read), Err(NtStatus::PENDING));
        assert_eq!(bench.raw("WaitForSingleObject", &[event, 0]).0, 258);
        bench.put(DATA, b"late");
        let data = bench.at(DATA);
        let write = [client, 0, 0, 0, other_block, data, 4, 0, 0];
        assert_eq!(bench.nt("NtWriteFile", &write), Ok(()));
        assert_eq!((bench.pointer_at(BLOCK) as u32, bench.information()), (0, 4));
        assert_eq!(bench.bytes(OUT, 4), b"late");
        assert_eq!(bench.raw("WaitForSingleObject", &[event, 0]).0, 0);

        assert_eq!(bench.nt("NtReadFile", &read), Err(NtStatus::PENDING));
        assert_eq!(
            bench.nt("NtCancelIoFileEx", &[server, other_block, other_block]),
            Err(NtStatus::NOT_FOUND)
        );
        assert_eq!(bench.nt("NtCancelIoFileEx", &[server, block, other_block]), Ok(()));
        assert_eq!(bench.pointer_at(BLOCK) as u32, 0xc000_0120);
        assert_eq!(bench.nt("NtReadFile", &read), Err(NtStatus::PENDING));
        bench.nt_close(client);
        assert_eq!(bench.pointer_at(BLOCK) as u32, 0xc000_014b, "nobody writes any more");
        bench.nt_close(server);
    });
}

#[test]
fn relative_names_of_pipes_and_requests_that_nobody_knows() {
    each_native(|bench| {
        let device = bench.nt_open("\\Device\\NamedPipe\\", READ, 0x20).expect("the device of pipes");
        let missing = bench.nt_create((device, "none"), WRITE, 7, (OPEN, NO_FOLDER));
        assert_eq!(missing, Err(NtStatus::OBJECT_NAME_NOT_FOUND));
        let (server, client) = bench.pipe("\\??\\pipe\\known", 2, 0x20);
        assert_eq!(bench.fs_control(server, 0, 0x11_c017, 0), Err(NtStatus::NOT_SUPPORTED));
        assert_eq!(bench.fs_control(client, 0, 0x11_0004, 0), Err(NtStatus::INVALID_PARAMETER));
        assert_eq!(bench.fs_control(device, 0, 0x11_400c, 64), Err(NtStatus::INVALID_DEVICE_REQUEST));
        let file = bench.open_some(READ);
        assert_eq!(bench.fs_control(file, 0, 0x9_00a8, 64), Err(NtStatus::NOT_A_REPARSE_POINT));
        assert_eq!(bench.fs_control(file, 0, 0x9_1234, 64), Err(NtStatus::INVALID_DEVICE_REQUEST));
        for handle in [device, server, client, file] {
            bench.nt_close(handle);
        }
    });
}

#[test]
fn what_waits_in_the_console_can_be_looked_at_before_it_is_read() {
    each_native(|bench| {
        let input = bench.nt_open("\\??\\CONIN$", READ, 0x20).expect("the console");
        for _ in 0..2 {
            assert_eq!(bench.fs_control(input, 0, 0x11_400c, 18), Ok(()));
            let told = bench.bytes(OUT, 18);
            assert_eq!((u32_at(&told, 0), u32_at(&told, 4), &told[16..]), (3, 2, &b"in"[..]));
        }
        assert_eq!(bench.fs_control(input, 0, 0x11_400c, 15), Err(NtStatus::INFO_LENGTH_MISMATCH));
        assert_eq!(bench.transfer("NtReadFile", input, OUT, 1), Ok(1));
        assert_eq!(bench.fs_control(input, 0, 0x11_400c, 16), Ok(()));
        assert_eq!(u32_at(&bench.bytes(OUT, 8), 4), 1);
        assert_eq!(bench.transfer("NtReadFile", input, OUT, 5), Ok(1));
        assert_eq!(bench.bytes(OUT, 1), b"n");
        let modes = bench.query_file(input, 23, 8).expect("a pipe of bytes");
        assert_eq!(bench.set_file(input, 23, &modes), Err(NtStatus::ACCESS_DENIED), "it may not be changed");
        bench.nt_close(input);
    });
}
