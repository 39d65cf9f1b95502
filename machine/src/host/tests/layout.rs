//! What lies where on the drive, under which names.

use super::*;

#[test]
fn a_name_is_first_itself_and_then_any_in_another_case() {
    let mut world = World::new();
    assert_eq!(world.content("README"), "home/README");
    assert_eq!(world.content("readme"), "home/readme");
    assert_eq!(world.content("ReadMe"), "home/README", "the first in byte order");
    assert_eq!(world.content(r"SUB\DEEP.TXT"), "home/sub/deep.txt");
    assert_eq!(world.open("read.TXT", FileAccess::ReadWrite, Wish::CreateNew), TAKEN);
    assert_eq!(world.open(r"OUT\OLD.TXT", FileAccess::ReadWrite, Wish::OpenExisting), OK);
    assert_eq!(world.open(r"Out\NEW", FileAccess::ReadWrite, Wish::CreateNew), OK);
    assert!(world.on_host("home/out/NEW").exists());
}

#[test]
fn listings_are_sorted_and_show_what_can_be_opened() {
    let mut world = World::new();
    fs::write(world.on_host("home/a:b"), "").expect("the host allows it");
    fs::write(world.on_host("home/con"), "").expect("the host allows it");
    let names = world.names(r"C:\work").expect("a folder");
    assert_eq!(names, ["file-in", "link-in", "out", "prog.exe", "Read.txt", "README", "readme", "sub"]);
    assert_eq!(world.names(r"C:\").expect("the root"), ["app", "Windows", "work", "writable"]);
    assert_eq!(world.names(r"C:\writable").expect("a folder"), ["1"]);
    assert_eq!(world.names(r"C:\Windows").expect("a folder"), ["System32"]);
    assert_eq!(world.names(r"C:\windows\system32").expect("a folder"), [""; 0]);
    assert_eq!(world.names("Read.txt"), Err(NtStatus::NOT_A_DIRECTORY));
    assert_eq!(world.names("none"), Err(NAME));
    for entry in world.host.list(&guest(r"C:\work").expect("a path")).expect("a folder") {
        let writable = entry.info.access == FileAccess::ReadWrite;
        assert_eq!(writable, entry.name == "out", "{}", entry.name);
    }
}

#[test]
fn a_program_in_the_folder_is_where_it_lies() {
    let world = World::with(|options| options.program = options.folder.join("sub/../prog.exe"));
    assert_eq!(world.host.program_path().as_str(), r"C:\work\prog.exe");
    assert_eq!(world.host.working_folder().as_str(), r"C:\work");
}

#[test]
fn a_program_whose_name_windows_cannot_have_gets_one() {
    let mut world = World::with(|options| {
        options.program = options.folder.join("a:b?.exe");
        fs::write(&options.program, "odd").expect("the host allows it");
    });
    assert_eq!(world.host.program_path().as_str(), r"C:\app\program.exe");
    assert_eq!(world.open(r"C:\app\program.exe", FileAccess::Image, Wish::OpenExisting), OK);
}

#[test]
fn writable_folders_may_nest_repeat_and_hold_the_guests_own_folder() {
    let all = |options: &mut MachineOptions| {
        let home = options.folder.clone();
        options.writable = vec![home.join("out"), home.join("sub/../out"), home.join(".."), home.join("sub")];
    };
    let mut world = World::with(all);
    assert_eq!(world.open("new", FileAccess::ReadWrite, Wish::CreateNew), OK);
    assert_eq!(world.open(r"C:\writable\1\secret\key", FileAccess::ReadWrite, Wish::OpenExisting), OK);
    assert_eq!(world.names(r"C:\writable").expect("a folder"), ["1"]);
    let mut world = World::with(|options| options.writable = vec![options.folder.clone()]);
    assert_eq!(world.open("new", FileAccess::ReadWrite, Wish::CreateNew), OK);
    assert_eq!(world.names(r"C:\").expect("the root"), ["Windows", "work"]);
}

#[test]
fn what_is_not_there_is_named_before_anything_starts() {
    let root = TempDir::new().expect("a temporary folder");
    make_files(root.path());
    let refused = |change: &dyn Fn(&mut MachineOptions)| {
        let mut options = options(root.path(), "home/prog.exe");
        change(&mut options);
        FolderHost::new(&options, no_streams()).err().expect("it is not there")
    };
    let missing = refused(&|options| options.program = options.folder.join("none.exe"));
    assert!(matches!(missing, MachineError::ProgramNotFound(_)), "{missing}");
    let below_a_file = refused(&|options| options.program = options.folder.join("prog.exe/x.exe"));
    assert!(matches!(below_a_file, MachineError::ProgramNotFound(_)), "{below_a_file}");
    let folder = refused(&|options| options.program = options.folder.clone());
    assert!(matches!(folder, MachineError::Unreadable { .. }), "{folder}");
    let no_folder = refused(&|options| options.writable = vec![options.folder.join("none")]);
    assert!(matches!(no_folder, MachineError::Folder { .. }), "{no_folder}");
    let a_file = refused(&|options| options.writable = vec![options.folder.join("prog.exe")]);
    assert!(a_file.to_string().ends_with("not a folder"), "{a_file}");
}
