//! What can be done with files, folders and the console where it is allowed.

use super::*;

#[test]
fn writable_folders_take_files_and_folders() {
    let mut world = World::new();
    for (folder, place) in [(r"out", "home/out"), (r"C:\writable\1", "apart"), (r"C:\WORK\OUT", "home/out")] {
        let path = format!(r"{folder}\new.txt");
        world.write(&path, "text");
        assert_eq!(fs::read(world.on_host(place).join("new.txt")).expect("it was written"), b"text");
        assert_eq!(world.open(&path, FileAccess::ReadWrite, Wish::CreateNew), TAKEN);
        assert_eq!(world.open(&path, FileAccess::ReadWrite, Wish::TruncateExisting), OK);
        assert_eq!(world.info(&path).expect("it is there").size, 0);
        assert_eq!(world.make(&format!(r"{folder}\d")), OK);
        assert_eq!(world.make(&format!(r"{folder}\D")), TAKEN);
        world.write(&format!(r"{folder}\d\x"), "x");
        assert_eq!(world.remove(&format!(r"{folder}\d"), FileKind::Directory), NtStatus::DIRECTORY_NOT_EMPTY);
        assert_eq!(world.remove(&format!(r"{folder}\d"), FileKind::File), FOLDER);
        assert_eq!(world.remove(&path, FileKind::Directory), NtStatus::NOT_A_DIRECTORY);
        assert_eq!(world.remove(&format!(r"{folder}\d\x"), FileKind::File), OK);
        assert_eq!(world.remove(&format!(r"{folder}\d"), FileKind::Directory), OK);
        assert_eq!(world.remove(&path, FileKind::File), OK);
        assert_eq!(world.remove(&path, FileKind::File), NAME);
        assert_eq!(world.remove(folder, FileKind::Directory), DENIED);
        assert_eq!(world.make(&format!(r"{folder}\none\d")), PATH);
    }
}

#[test]
fn a_removed_link_is_only_the_link() {
    let mut world = World::new();
    fs::create_dir(world.on_host("home/out/dir")).expect("the name is free");
    symlink("dir", world.on_host("home/out/to-dir")).expect("the name is free");
    symlink("old.txt", world.on_host("home/out/to-file")).expect("the name is free");
    assert_eq!(world.remove(r"out\to-dir", FileKind::Directory), OK);
    assert_eq!(world.remove(r"out\to-file", FileKind::File), OK);
    assert_eq!(world.names("out"), Ok(vec!["dir".to_owned(), "old.txt".to_owned()]));
}

#[test]
fn renaming_takes_a_free_name_in_a_writable_place() {
    let mut world = World::new();
    world.write(r"out\a", "a");
    world.write(r"out\b", "b");
    assert_eq!(world.rename(r"out\a", r"out\B"), TAKEN);
    assert_eq!(world.rename(r"out\a", r"out\A"), OK);
    assert_eq!(world.names("out").expect("a folder"), ["A", "b", "old.txt"]);
    assert_eq!(world.rename(r"out\A", r"C:\writable\1\moved"), OK);
    assert_eq!(world.content(r"C:\writable\1\moved"), "a");
    assert_eq!(world.rename(r"out\none", r"out\x"), NAME);
    assert_eq!(world.rename(r"out\b", r"out\none\x"), PATH);
    assert_eq!(world.rename(r"out\b", r"C:\secret\x"), PATH);
    assert_eq!(world.rename(r"out\b", r"C:\Windows\System32\ntdll.dll"), NAME);
    assert_eq!(world.rename("out", r"C:\writable\1\out"), DENIED);
    assert_eq!(world.make(r"out\d"), OK);
    assert_ne!(world.rename(r"out\d", r"out\d\e"), OK);
}

#[test]
fn files_read_write_grow_and_shrink_at_any_offset() {
    let mut world = World::new();
    let path = guest(r"out\data").expect("a path");
    let file = world.host.open(&path, FileAccess::ReadWrite, Wish::CreateNew).expect("a free name");
    world.host.write_at(file, 10, b"abc").expect("there is room");
    assert_eq!(world.host.size(file), Ok(13));
    let mut into = [9; 8];
    assert_eq!(world.host.read_at(file, 8, &mut into), Ok(5));
    assert_eq!(into, [0, 0, b'a', b'b', b'c', 9, 9, 9]);
    assert_eq!(world.host.read_at(file, 13, &mut into), Ok(0));
    world.host.set_size(file, 11).expect("it is writable");
    assert_eq!(world.host.read_at(file, 10, &mut into), Ok(1));
    assert_ne!(world.host.write_at(file, u64::MAX, b"ab"), Ok(()));
    assert_ne!(status_of(world.host.read_at(file, u64::MAX, &mut into)), OK);
    assert_ne!(world.host.set_size(file, u64::MAX), Ok(()));
    world.host.close(file);
    assert_eq!(world.host.size(file), Err(NtStatus::INVALID_HANDLE));
    world.host.close(file);
}

#[test]
fn a_guest_writes_as_much_as_it_may_and_no_more() {
    let full = Err(NtStatus::DISK_FULL);
    let mut world = World::with(|options| options.disk_limit_bytes = Some(3 * 4096 + 100));
    let path = guest(r"out\data").expect("a path");
    let file = world.host.open(&path, FileAccess::ReadWrite, Wish::CreateNew).expect("a free name");
    assert_eq!(world.host.write_at(file, 0, &[1; 4096]), Ok(()));
    assert_eq!(world.host.write_at(file, 8300, &[1]), full, "the gap counts");
    assert_eq!(world.host.set_size(file, 1 << 20), full);
    assert_eq!(world.host.set_size(file, 4100), Ok(()));
    assert_eq!(world.host.disk_space().free, 4096 + 96);
    assert_eq!(world.make(r"out\folder"), OK);
    assert_eq!(world.make(r"out\another"), NtStatus::DISK_FULL);
    assert_eq!(world.host.write_at(file, 0, &[2; 96]), Ok(()));
    assert_eq!(world.host.write_at(file, 0, &[3]), full);
    assert_eq!(fs::metadata(world.on_host("home/out/data")).expect("it is there").len(), 4100);
    assert_eq!(world.remove(r"out\folder", FileKind::Directory), OK);
    assert_eq!(world.make(r"out\folder"), NtStatus::DISK_FULL, "what is removed was written all the same");
}

#[test]
fn open_files_have_a_limit() {
    let mut world = World::new();
    let path = guest("Read.txt").expect("a path");
    let full = (0..10_000).find_map(|_| world.host.open(&path, FileAccess::Read, Wish::OpenExisting).err());
    assert_eq!(full, Some(NtStatus::INSUFFICIENT_RESOURCES));
}

#[test]
fn times_come_from_the_virtual_clock() {
    let mut world = World::new();
    let boot = world.host.boot_time();
    assert_eq!(world.info("Read.txt").expect("it is there").modified, boot);
    world.host.advance(1_000_000);
    world.write(r"out\a", "a");
    let written = world.info(r"out\A").expect("it is there").modified;
    assert!(written > boot && written < world.host.now());
    assert_eq!(world.make(r"out\d"), OK);
    assert_eq!(world.rename(r"out\a", r"out\d\b"), OK);
    assert_eq!(world.rename(r"out\d", r"C:\writable\1\d"), OK);
    assert_eq!(world.info(r"C:\writable\1\d\b").expect("it is there").modified, written);
}

/// What a guest wrote.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl io::Write for Shared {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("one thread").write(from)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A writer whose reader is gone.
struct Gone;

impl io::Write for Gone {
    fn write(&mut self, _from: &[u8]) -> io::Result<usize> {
        Err(ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_console_is_the_streams_and_a_gone_reader_is_a_status() {
    let root = TempDir::new().expect("a temporary folder");
    make_files(root.path());
    let output = Shared::default();
    let streams = Streams {
        input: Box::new(Cursor::new(b"hello".to_vec())),
        output: Box::new(output.clone()),
        error: Box::new(Gone),
    };
    let mut host = FolderHost::new(&options(root.path(), "home/prog.exe"), streams).expect("all is there");
    let mut into = [0; 4];
    assert_eq!(host.console_read(&mut into), Ok(4));
    assert_eq!(host.console_read(&mut into), Ok(1));
    assert_eq!(host.console_read(&mut into), Ok(0));
    assert_eq!(host.console_write(Console::Output, b"out"), Ok(()));
    assert_eq!(*output.0.lock().expect("one thread"), b"out");
    assert_eq!(host.console_write(Console::Error, b"err"), Err(NtStatus::PIPE_BROKEN));
    assert_eq!(host.console_write(Console::Input, b"in"), Err(DENIED));
}
