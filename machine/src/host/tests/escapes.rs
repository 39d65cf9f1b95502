//! Every way out of the guest's folders, tried.

use super::*;

#[test]
fn the_guest_reads_what_is_in_its_folder_and_nothing_else() {
    let mut world = World::new();
    for (path, status) in [
        ("Read.txt", OK),
        (r"sub\deep.txt", OK),
        (r"C:\work\out\old.txt", OK),
        (r"C:\writable\1\x", NAME),
        ("none.txt", NAME),
        (r"none\x.txt", PATH),
        (r"Read.txt\x", PATH),
        ("sub", FOLDER),
        (r"C:\", FOLDER),
        (r"C:\work", FOLDER),
        (r"C:\writable", FOLDER),
        (r"C:\Windows\System32", FOLDER),
        (r"C:\Windows\System32\ntdll.dll", NAME),
        (r"C:\Windows\none\x", PATH),
        (r"C:\secret\key", PATH),
        (r"C:\etc\passwd", PATH),
        (r"C:\etc", NAME),
        (r"..\secret\key", PATH),
        (r"..\..\..\..\..\etc\passwd", PATH),
        (r"sub\..\..\secret\key", PATH),
        (r"/etc/passwd", PATH),
        (r"\\?\C:\etc\passwd", PATH),
        (r"\\.\C:\work\Read.txt", PATH),
        (r"C:\writable\3\x", PATH),
        (r"C:\writable\01", NAME),
    ] {
        assert_eq!(world.read(path), status, "{path}");
    }
}

#[test]
fn links_may_lead_to_the_same_folder_and_nowhere_else() {
    let mut world = World::new();
    assert_eq!(world.content("file-in"), "home/sub/deep.txt");
    assert_eq!(world.content(r"LINK-IN\DEEP.TXT"), "home/sub/deep.txt");
    for path in
        ["file-out", r"link-out\key", r"link-abs\key", r"LINK-OUT\KEY", r"out\link-up", r"link-out\none\x"]
    {
        assert_eq!(world.read(path), DENIED, "{path}");
        assert_eq!(world.open(path, FileAccess::Image, Wish::OpenExisting), DENIED, "{path}");
        assert_eq!(status_of(world.info(path)), DENIED, "{path}");
    }
    assert_eq!(status_of(world.names("link-out")), DENIED);
    assert_ne!(world.read("link-loop"), OK);
    assert_ne!(world.read("link-nowhere"), OK);
}

#[test]
fn links_that_appear_while_the_guest_runs_are_refused_too() {
    let mut world = World::new();
    assert_eq!(world.make(r"out\dir"), OK);
    world.write(r"out\dir\mine", "mine");
    fs::rename(world.on_host("home/out/dir"), world.on_host("home/out/dir2")).expect("both in one folder");
    symlink("../../secret", world.on_host("home/out/dir")).expect("the name is free");
    symlink("../../secret/new", world.on_host("home/out/dangling")).expect("the name is free");
    assert_eq!(world.read(r"out\dir\key"), DENIED);
    for wish in WISHES {
        assert_ne!(world.open(r"out\dir\new", FileAccess::ReadWrite, wish), OK, "{wish:?}");
        assert_ne!(world.open(r"out\dir\key", FileAccess::ReadWrite, wish), OK, "{wish:?}");
        assert_ne!(world.open(r"out\dangling", FileAccess::ReadWrite, wish), OK, "{wish:?}");
    }
    assert_eq!(world.make(r"out\dir\new"), DENIED);
    assert_eq!(world.remove(r"out\dir\key", FileKind::File), DENIED);
    assert_eq!(world.rename(r"out\dir\key", r"out\key"), DENIED);
    assert_eq!(world.rename(r"out\old.txt", r"out\dir\stolen"), DENIED);
    assert_eq!(fs::read_dir(world.on_host("secret")).expect("a folder").count(), 1);
    assert_eq!(fs::read(world.on_host("secret/key")).expect("it is still there"), b"secret/key");
}

#[test]
fn nothing_is_written_but_in_writable_folders() {
    let mut world = World::new();
    for path in [
        "new.txt",
        r"sub\new.txt",
        r"link-in\new.txt",
        r"out2",
        r"C:\writable\3\x",
        r"C:\new",
        r"C:\app\x.dll",
    ] {
        for wish in [Wish::CreateNew, Wish::CreateAlways, Wish::OpenAlways] {
            assert_ne!(world.open(path, FileAccess::ReadWrite, wish), OK, "{path} {wish:?}");
            assert_ne!(world.open(path, FileAccess::Read, wish), OK, "{path} {wish:?}");
        }
        assert_ne!(world.make(path), OK, "{path}");
    }
    for path in ["Read.txt", r"sub\deep.txt", "file-in", "prog.exe"] {
        assert_eq!(world.open(path, FileAccess::ReadWrite, Wish::OpenExisting), DENIED, "{path}");
        assert_eq!(world.open(path, FileAccess::Read, Wish::CreateAlways), DENIED, "{path}");
        assert_eq!(world.open(path, FileAccess::Read, Wish::TruncateExisting), DENIED, "{path}");
        assert_eq!(world.open(path, FileAccess::ReadWrite, Wish::CreateNew), TAKEN, "{path}");
        assert_eq!(world.remove(path, FileKind::File), DENIED, "{path}");
        assert_eq!(world.rename(path, r"out\taken"), DENIED, "{path}");
        assert_eq!(world.rename(r"out\old.txt", path), DENIED, "{path}");
    }
    let (read_only, path) = (FileAccess::Read, guest("Read.txt").expect("a path"));
    let file = world.host.open(&path, read_only, Wish::OpenExisting).expect("it is there");
    assert_eq!(world.host.write_at(file, 0, b"x"), Err(DENIED));
    assert_eq!(world.host.set_size(file, 0), Err(DENIED));
    assert_eq!(world.content("Read.txt"), "home/Read.txt");
    assert_eq!(world.open("new.txt", FileAccess::ReadWrite, Wish::CreateNew), DENIED);
}

#[test]
fn a_program_from_elsewhere_can_be_loaded_with_its_dlls_and_not_read() {
    let mut world = World::new();
    assert_eq!(world.host.program_path().as_str(), r"C:\app\tool.exe");
    assert_eq!(world.names(r"C:\app").expect("a folder"), ["tool.exe"]);
    let image = |world: &mut World, path| world.open(path, FileAccess::Image, Wish::OpenExisting);
    assert_eq!(image(&mut world, r"C:\app\tool.exe"), OK);
    assert_eq!(image(&mut world, r"C:\APP\HELP.DLL"), OK);
    assert_eq!(image(&mut world, r"C:\app\none.dll"), NAME);
    assert_eq!(image(&mut world, r"C:\app\out.dll"), DENIED);
    assert_eq!(image(&mut world, r"C:\app\plugins\p.dll"), PATH);
    assert_eq!(image(&mut world, r"C:\app\plugins"), DENIED);
    assert_eq!(world.info(r"C:\app\tool.exe").map(|info| info.access), Ok(FileAccess::Image));
    assert_eq!(status_of(world.info(r"C:\app\notes.txt")), NAME);
    for path in [r"C:\app\tool.exe", r"C:\app\notes.txt"] {
        for wish in WISHES {
            assert_eq!(world.open(path, FileAccess::Read, wish), DENIED, "{path} {wish:?}");
            assert_eq!(world.open(path, FileAccess::ReadWrite, wish), DENIED, "{path} {wish:?}");
        }
        assert_eq!(world.remove(path, FileKind::File), DENIED);
        assert_eq!(world.rename(path, r"out\x"), DENIED);
        assert_eq!(world.rename(r"out\old.txt", path), DENIED);
    }
}

#[test]
fn pipes_and_sockets_in_the_folder_are_no_files_and_hold_nobody_up() {
    let mut world = World::new();
    let _socket =
        std::os::unix::net::UnixListener::bind(world.on_host("home/out/socket")).expect("a free name");
    let pipe = world.on_host("home/out/pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo is everywhere");
    assert!(made.success());
    for path in [r"out\socket", r"out\pipe"] {
        for wish in [Wish::OpenExisting, Wish::OpenAlways, Wish::CreateAlways] {
            assert_eq!(world.open(path, FileAccess::ReadWrite, wish), DENIED, "{path} {wish:?}");
        }
        assert_eq!(world.read(path), DENIED);
    }
    assert_eq!(world.names("out").expect("a folder"), ["old.txt"]);
}

/// Names that lead in, out, up and nowhere, in every combination that a few thousand draws give.
pub(super) const NAMES: [&str; 22] = [
    "C:",
    "work",
    "out",
    "OUT",
    "sub",
    "..",
    ".",
    "link-out",
    "link-abs",
    "link-in",
    "link-up",
    "link-nowhere",
    "writable",
    "1",
    "app",
    "key",
    "new",
    "old.txt",
    "file-out",
    "to-secret",
    "tool.exe",
    "Read.txt",
];

fn draw_path(random: &mut Entropy) -> String {
    let mut bytes = [0; 6];
    random.fill(&mut bytes);
    let count = 1 + usize::from(bytes[0]) % 5;
    let names: Vec<&str> =
        bytes[1..=count].iter().map(|&byte| NAMES[usize::from(byte) % NAMES.len()]).collect();
    names.join("\\")
}

fn try_anything(world: &mut World, random: &mut Entropy) {
    let (Ok(path), Ok(other)) = (guest(&draw_path(random)), guest(&draw_path(random))) else { return };
    let mut choice = [0; 3];
    random.fill(&mut choice);
    let wish = WISHES[usize::from(choice[1]) % WISHES.len()];
    let access = [FileAccess::Read, FileAccess::ReadWrite, FileAccess::Image][usize::from(choice[2]) % 3];
    match choice[0] % 8 {
        0..=2 => {
            let Ok(file) = world.host.open(&path, access, wish) else { return };
            let mut bytes = [0; 32];
            let read = world.host.read_at(file, 0, &mut bytes).expect("a plain file");
            assert!(!bytes[..read].starts_with(b"secret"), "{path} gave the secret away");
            let _refused = world.host.write_at(file, 0, b"written");
            world.host.close(file);
        }
        3 => _ = world.host.create_directory(&path),
        4 => _ = world.host.remove(&path, FileKind::File),
        5 => _ = world.host.remove(&path, FileKind::Directory),
        6 => _ = world.host.rename(&path, &other),
        _ => {
            let names = world.host.list(&path).unwrap_or_default();
            assert!(names.iter().all(|entry| entry.name != "unlisted"), "{path} shows the secret folder");
        }
    }
}

#[test]
fn nothing_that_a_guest_tries_reaches_what_is_not_its_own() {
    let mut world = World::new();
    symlink("../../secret", world.on_host("home/out/to-secret")).expect("the name is free");
    symlink("../secret", world.on_host("apart/to-secret")).expect("the name is free");
    fs::write(world.on_host("secret/unlisted"), "secret").expect("the name is free");
    let count = |world: &World, folder| fs::read_dir(world.on_host(folder)).expect("a folder").count();
    let before = ["secret", "home", "home/sub", "apps"].map(|folder| (folder, count(&world, folder)));
    let mut random = Entropy::new(2022);
    for _ in 0..20_000 {
        try_anything(&mut world, &mut random);
    }
    for (folder, names) in before {
        assert_eq!(count(&world, folder), names, "{folder}");
    }
    for file in ["secret/key", "home/Read.txt", "home/sub/deep.txt", "apps/tool.exe", "apps/notes.txt"] {
        assert_eq!(fs::read(world.on_host(file)).expect("it is still there"), file.as_bytes(), "{file}");
    }
}
