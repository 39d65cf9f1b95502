//! The object manager through its services: names and where they lead, handles, and what is told of both.

use crate::native::{ALL, ANY_CASE, BAD, OPEN_IF, OUT, SELF, THREAD, status};
use crate::world::World;
use vadose_facts::ntdef::editions;
use vadose_nt::{Privilege, UserPtr};

/// Services that make objects, with what they take behind the attributes, and those that open them.
const KINDS: [(&str, &str, &[u64]); 7] = [
    ("NtCreateEvent", "NtOpenEvent", &[0, 0]),
    ("NtCreateMutant", "NtOpenMutant", &[0]),
    ("NtCreateSemaphore", "NtOpenSemaphore", &[1, 2]),
    ("NtCreateTimer", "NtOpenTimer", &[0]),
    ("NtCreateKeyedEvent", "NtOpenKeyedEvent", &[0]),
    ("NtCreateIoCompletion", "NtOpenIoCompletion", &[0]),
    ("NtCreateDirectoryObject", "NtOpenDirectoryObject", &[]),
];
const BUFFER: u64 = 0x100;

fn each(check: impl Fn(&mut World, &str)) {
    for edition in editions() {
        check(&mut World::running(edition.name, "hello"), edition.name);
    }
}

fn close(world: &mut World, handle: u64) {
    assert_eq!(world.nt("NtClose", &[handle]), 0);
}

#[test]
fn every_kind_is_made_and_opened_by_name_and_the_name_goes_with_the_last_handle() {
    each(|world, edition| {
        for (create, open, rest) in KINDS {
            let name = "\\BaseNamedObjects\\thing";
            let (made, first) = world.make(create, name, 0, rest);
            assert_eq!(made, 0, "{edition} {create}");
            let (opened, second) = world.make(open, name, 0, &[]);
            assert_eq!(opened, 0, "{edition} {open}");
            assert_ne!(first, second, "{edition} {open}");
            assert_eq!(world.make(create, name, 0, rest).0, status::NAME_COLLISION, "{edition} {create}");
            let (exists, third) = world.make(create, name, OPEN_IF, rest);
            assert_eq!(exists, status::NAME_EXISTS, "{edition} {create}");
            for handle in [first, second, third] {
                assert_eq!(world.make(open, name, 0, &[]).0, 0, "{edition} {open}");
                let extra = world.load(OUT);
                close(world, extra);
                close(world, handle);
            }
            assert_eq!(world.make(open, name, 0, &[]).0, status::NAME_NOT_FOUND, "{edition} {open}");
        }
    });
}

/// What each kind says to attributes that are none: the same words for all.
#[test]
fn names_that_are_none_are_refused_alike_for_every_kind() {
    each(|world, edition| {
        for (create, open, rest) in KINDS {
            let cases: [(&str, u32); 6] = [
                ("thing", status::PATH_SYNTAX_BAD),
                ("\\\\thing", status::NAME_INVALID),
                ("\\BaseNamedObjects\\\\thing", status::NAME_INVALID),
                ("\\nowhere\\thing", status::PATH_NOT_FOUND),
                ("\\BaseNamedObjects\\none\\", status::PATH_NOT_FOUND),
                ("\\KernelObjects\\LowMemoryCondition\\x", status::TYPE_MISMATCH),
            ];
            for (name, refusal) in cases {
                assert_eq!(world.make(create, name, 0, rest).0, refusal, "{edition} {create} {name}");
                assert_eq!(world.make(open, name, 0, &[]).0, refusal, "{edition} {open} {name}");
            }
            assert_eq!(world.make_with(open, 0, &[]).0, status::INVALID_PARAMETER, "{edition} {open}");
            let nameless = world.raw_attributes(0, 0, 0);
            assert_eq!(world.make_with(open, nameless, &[]).0, status::PATH_SYNTAX_BAD, "{edition} {open}");
            let rooted = world.raw_attributes(0x7770, 0, 0);
            assert_eq!(world.make_with(create, rooted, rest).0, status::NAME_INVALID, "{edition} {create}");
            let unknown = world.attributes(0, "\\x", 0x8000_0000);
            assert_eq!(
                world.make_with(create, unknown, rest).0,
                status::INVALID_PARAMETER,
                "{edition} {create}"
            );
            assert_eq!(world.make_with(create, BAD, rest).0, status::ACCESS_VIOLATION, "{edition} {create}");
            let short = world.attributes(0, "\\x", 0);
            world.kernel().write_u32(UserPtr::new(short), 8).expect("the stack is there");
            assert_eq!(
                world.make_with(create, short, rest).0,
                status::INVALID_PARAMETER,
                "{edition} {create}"
            );
            let arguments: Vec<u64> = [BAD, ALL, 0].iter().chain(rest).copied().collect();
            assert_eq!(world.nt(create, &arguments), status::ACCESS_VIOLATION, "{edition} {create}");
        }
    });
}

#[test]
fn a_name_is_whole_characters_and_shorter_than_the_longest_string() {
    each(|world, edition| {
        let string = world.string("\\x");
        for bytes in [3, 0xfffe] {
            world.kernel().write_u16(UserPtr::new(string), bytes).expect("the stack is there");
            let attributes = world.raw_attributes(0, string, 0);
            let (refusal, _) = world.make_with("NtCreateEvent", attributes, &[0, 0]);
            assert_eq!(refusal, status::NAME_INVALID, "{edition} {bytes}");
        }
    });
}

#[test]
fn a_root_is_a_directory_and_names_below_it_have_no_backslash_in_front() {
    each(|world, edition| {
        let (made, root) = world.make("NtCreateDirectoryObject", "\\BaseNamedObjects\\folder", 0, &[]);
        assert_eq!(made, 0, "{edition}");
        let below = world.attributes(root, "gate", 0);
        let (made, gate) = world.make_with("NtCreateEvent", below, &[0, 0]);
        assert_eq!(made, 0, "{edition}");
        assert_eq!(world.make("NtOpenEvent", "\\BaseNamedObjects\\folder\\gate", 0, &[]).0, 0, "{edition}");
        let slash = world.attributes(root, "\\gate", 0);
        assert_eq!(world.make_with("NtOpenEvent", slash, &[]).0, status::PATH_SYNTAX_BAD, "{edition}");
        let event_root = world.attributes(gate, "x", 0);
        assert_eq!(world.make_with("NtOpenEvent", event_root, &[]).0, status::TYPE_MISMATCH, "{edition}");
        let no_root = world.attributes(0x7770, "x", 0);
        assert_eq!(world.make_with("NtOpenEvent", no_root, &[]).0, status::INVALID_HANDLE, "{edition}");
        let itself = world.attributes(root, "", 0);
        assert_eq!(world.make_with("NtOpenDirectoryObject", itself, &[]).0, 0, "{edition}");
        assert_eq!(world.make_with("NtOpenEvent", itself, &[]).0, status::TYPE_MISMATCH, "{edition}");
    });
}

#[test]
fn another_kind_of_that_name_is_a_mismatch_and_on_windows_xp_a_collision() {
    each(|world, edition| {
        let name = "\\BaseNamedObjects\\thing";
        assert_eq!(world.make("NtCreateMutant", name, 0, &[0]).0, 0, "{edition}");
        let plain = if world.nt.edition().version.major >= 6 {
            status::TYPE_MISMATCH
        } else {
            status::NAME_COLLISION
        };
        assert_eq!(world.make("NtCreateEvent", name, 0, &[0, 0]).0, plain, "{edition}");
        assert_eq!(world.make("NtCreateEvent", name, OPEN_IF, &[0, 0]).0, status::TYPE_MISMATCH, "{edition}");
        assert_eq!(world.make("NtOpenEvent", name, 0, &[]).0, status::TYPE_MISMATCH, "{edition}");
    });
}

#[test]
fn case_counts_unless_the_attributes_say_not() {
    each(|world, edition| {
        assert_eq!(world.make("NtCreateEvent", "\\BaseNamedObjects\\Gate", 0, &[0, 0]).0, 0, "{edition}");
        let other = "\\BASENAMEDOBJECTS\\gATE";
        assert_eq!(world.make("NtOpenEvent", other, 0, &[]).0, status::PATH_NOT_FOUND, "{edition}");
        assert_eq!(world.make("NtOpenEvent", other, ANY_CASE, &[]).0, 0, "{edition}");
        assert_eq!(
            world.make("NtOpenEvent", "\\BaseNamedObjects\\gate", 0, &[]).0,
            status::NAME_NOT_FOUND,
            "{edition}"
        );
    });
}

#[test]
fn links_lead_from_one_name_to_another_and_win32_names_are_in_the_sessions_directory() {
    each(|world, edition| {
        let at = world.scratch(0x20);
        world.kernel().write(UserPtr::new(at), b"Local\\gate\0").expect("the stack is there");
        let event = world.call("CreateEventA", &[0, 1, 0, at]);
        assert_ne!(event, 0, "{edition}");
        for name in [
            "\\Sessions\\1\\BaseNamedObjects\\gate",
            "\\Sessions\\1\\BaseNamedObjects\\Local\\gate",
            "\\Sessions\\BNOLINKS\\1\\gate",
            "\\BaseNamedObjects\\Session\\1\\gate",
        ] {
            let (opened, handle) = world.make("NtOpenEvent", name, 0, &[]);
            assert_eq!(opened, 0, "{edition} {name}");
            assert_eq!(world.nt("NtSetEvent", &[handle, 0]), 0, "{edition} {name}");
        }
        assert_eq!(world.call("WaitForSingleObject", &[event, 0]), 0, "{edition} one and the same event");
        assert_eq!(
            world.make("NtOpenEvent", "\\BaseNamedObjects\\gate", 0, &[]).0,
            status::NAME_NOT_FOUND,
            "{edition} another session's"
        );
        world.kernel().write(UserPtr::new(at), b"Global\\all\0").expect("the stack is there");
        assert_ne!(world.call("CreateEventA", &[0, 1, 0, at]), 0, "{edition}");
        assert_eq!(world.make("NtOpenEvent", "\\BaseNamedObjects\\all", 0, &[]).0, 0, "{edition}");
    });
}

#[test]
fn a_link_is_opened_as_itself_and_says_where_it_leads() {
    each(|world, edition| {
        let (opened, link) = world.make("NtOpenSymbolicLinkObject", "\\GLOBAL??\\C:", 0, &[]);
        assert_eq!(opened, 0, "{edition}");
        let width = world.nt.edition().pointer_bytes();
        let (to, text, needed) = (world.scratch(0x20), world.scratch(BUFFER), world.scratch(0x60));
        let target = "\\Device\\HarddiskVolume1";
        let bytes = 2 * target.len() as u64;
        let mut query = |room: u64, returned: u64| {
            world.store(0x20, room << 16);
            world.store(0x20 + width, text);
            (world.nt("NtQuerySymbolicLinkObject", &[link, to, returned]), world.numbers::<1>(0x60)[0])
        };
        assert_eq!(query(bytes, needed), (status::BUFFER_TOO_SMALL, bytes as u32 + 2), "{edition}");
        assert_eq!(query(bytes + 2, needed), (0, bytes as u32 + 2), "{edition}");
        assert_eq!(query(bytes, 0).0, 0, "{edition} nobody asked for the zero");
        let read =
            world.kernel().read_wide(UserPtr::new(text), target.len() as u64).expect("the stack is there");
        assert_eq!(String::from_utf16_lossy(&read), target, "{edition}");
        assert_eq!(
            world.nt("NtQuerySymbolicLinkObject", &[SELF, to, needed]),
            status::TYPE_MISMATCH,
            "{edition}"
        );
        assert_eq!(
            world.nt("NtQuerySymbolicLinkObject", &[link, BAD, needed]),
            status::ACCESS_VIOLATION,
            "{edition}"
        );
    });
}

#[test]
fn a_program_makes_links_of_its_own_and_an_empty_target_is_none() {
    each(|world, edition| {
        let target = world.scratch(0x20);
        let width = world.nt.edition().pointer_bytes();
        let (units, text) = ("\\BaseNamedObjects".encode_utf16().collect::<Vec<_>>(), world.scratch(BUFFER));
        world.kernel().write_wide(UserPtr::new(text), &units).expect("the stack is there");
        world.store(0x20, 0);
        world.store(0x20 + width, text);
        let name = "\\BaseNamedObjects\\short";
        let empty = world.make("NtCreateSymbolicLinkObject", name, 0, &[target]).0;
        assert_eq!(empty, status::INVALID_PARAMETER, "{edition}");
        let bytes = 2 * units.len() as u64;
        world.store(0x20, bytes | bytes << 16);
        assert_eq!(world.make("NtCreateSymbolicLinkObject", name, 0, &[target]).0, 0, "{edition}");
        let through = "\\BaseNamedObjects\\short\\short\\gate";
        assert_eq!(world.make("NtCreateEvent", through, 0, &[0, 0]).0, 0, "{edition}");
        assert_eq!(world.make("NtOpenEvent", "\\BaseNamedObjects\\gate", 0, &[]).0, 0, "{edition}");
        assert_eq!(
            world.make_with("NtCreateSymbolicLinkObject", 0, &[target]).0,
            status::ACCESS_VIOLATION,
            "{edition} attributes are wanted"
        );
    });
}

/// Names and kinds of a directory, one call after another into a buffer of that size.
fn listing(world: &mut World, directory: u64, bytes: u64, single: u64) -> (Vec<(String, String)>, Vec<u32>) {
    let (width, buffer) = (world.nt.edition().pointer_bytes(), world.scratch(BUFFER));
    let (context, returned) = (world.store(0x20, 0), world.scratch(0x40));
    let (mut names, mut statuses) = (Vec::new(), Vec::new());
    loop {
        let restart = u64::from(statuses.is_empty());
        let arguments = [directory, buffer, bytes, single, restart, context, returned];
        let status = world.nt("NtQueryDirectoryObject", &arguments);
        statuses.push(status);
        if status != 0 && status != status::MORE_ENTRIES {
            return (names, statuses);
        }
        let mut string = |at: u64| {
            let length = world.kernel().read_u16(UserPtr::new(at)).expect("the stack is there");
            let text = world.kernel().read_word(UserPtr::new(at + width)).expect("the stack is there");
            let units = world.kernel().read_wide(UserPtr::new(text), u64::from(length) / 2);
            String::from_utf16_lossy(&units.unwrap_or_default())
        };
        for at in (buffer..).step_by(4 * width as usize) {
            let (name, kind) = (string(at), string(at + 2 * width));
            if name.is_empty() {
                break;
            }
            names.push((name, kind));
        }
    }
}

#[test]
fn a_directory_is_listed_in_one_call_or_in_many() {
    each(|world, edition| {
        let (_, root) = world.make("NtCreateDirectoryObject", "\\BaseNamedObjects\\folder", 0, &[]);
        for (create, name, rest) in
            [("NtCreateEvent", "b", &[0, 0][..]), ("NtCreateMutant", "A", &[0]), ("NtCreateTimer", "c", &[0])]
        {
            let attributes = world.attributes(root, name, 0);
            assert_eq!(world.make_with(create, attributes, rest).0, 0, "{edition}");
        }
        let expected: Vec<(String, String)> = [("A", "Mutant"), ("b", "Event"), ("c", "Timer")]
            .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
            .to_vec();
        let end = status::NO_MORE_ENTRIES;
        assert_eq!(listing(world, root, 0x400, 0), (expected.clone(), vec![0, end]), "{edition}");
        assert_eq!(listing(world, root, 0x400, 1), (expected.clone(), vec![0, 0, 0, end]), "{edition}");
        let width = world.nt.edition().pointer_bytes();
        let one_at_a_time = 8 * width + 0x18;
        let more = status::MORE_ENTRIES;
        assert_eq!(listing(world, root, one_at_a_time, 0), (expected, vec![more, more, 0, end]), "{edition}");
        assert_eq!(listing(world, root, 8 * width, 0).1, [status::BUFFER_TOO_SMALL], "{edition}");
        assert_eq!(listing(world, SELF, 0x400, 0).1, [status::TYPE_MISMATCH], "{edition}");
    });
}

#[test]
fn handles_and_objects_are_described_by_class() {
    each(|world, edition| {
        let width = world.nt.edition().pointer_bytes();
        let (_, event) = world.make("NtCreateEvent", "\\BaseNamedObjects\\gate", 0, &[0, 0]);
        let (buffer, returned) = (world.scratch(BUFFER), world.scratch(0x40));
        let mut query = |handle, class, bytes| {
            let status = world.nt("NtQueryObject", &[handle, class, buffer, bytes, returned]);
            (status, world.numbers::<1>(0x40)[0])
        };
        let name_bytes = (2 * width + 2 * 22 + 2) as u32;
        assert_eq!(query(event, 1, 0), (status::LENGTH_MISMATCH, name_bytes), "{edition}");
        assert_eq!(query(event, 1, u64::from(name_bytes) - 2).0, status::LENGTH_MISMATCH, "{edition}");
        assert_eq!(query(event, 0, 55), (status::LENGTH_MISMATCH, 56), "{edition}");
        assert_eq!(query(event, 9, 0x100).0, status::INVALID_CLASS, "{edition}");
        assert_eq!(query(0x7770, 0, 56).0, status::INVALID_HANDLE, "{edition}");
        assert_eq!(query(SELF, 1, 0x100), (0, 2 * width as u32), "{edition} no name");
        assert_eq!(query(event, 0, 56), (0, 56), "{edition}");
        let basic = world.numbers::<14>(BUFFER);
        assert_eq!((basic[1], basic[2]), (0x1f_0003, 1), "{edition} rights and handles");
        assert_eq!(basic[9], name_bytes, "{edition}");
        assert_eq!(
            world.nt("NtQueryObject", &[event, 1, buffer, u64::from(name_bytes), returned]),
            0,
            "{edition}"
        );
        let name =
            world.kernel().read_wide(UserPtr::new(buffer + 2 * width), 22).expect("the stack is there");
        assert_eq!(String::from_utf16_lossy(&name), "\\BaseNamedObjects\\gate", "{edition}");
        assert_eq!(world.nt("NtQueryObject", &[event, 2, buffer, 0x100, returned]), 0, "{edition}");
        let text = world.load(BUFFER + width);
        let kind = world.kernel().read_wide(UserPtr::new(text), 5).expect("the stack is there");
        assert_eq!(String::from_utf16_lossy(&kind), "Event", "{edition}");
        let mapping: [u32; 5] = world.numbers(BUFFER + 2 * width + 13 * 4);
        assert_eq!(mapping, [0x2_0001, 0x2_0002, 0x12_0000, 0x1f_0003, 0x1f_0003], "{edition}");
    });
}

#[test]
fn a_files_name_is_that_of_its_device_and_one_that_does_not_fit_is_an_overflow() {
    let edition = vadose_facts::ntdef::edition("win10-x64").expect("an edition");
    let mut world =
        World::with_files("win10-x64", &[("work\\guest.exe", crate::world::guest(edition, "hello"))]);
    world.start("work\\guest.exe", vadose_nt::Lenience::Strict).expect("a sample guest starts");
    let at = world.scratch(0x20);
    world.kernel().write(UserPtr::new(at), b"C:\\work\\guest.exe\0").expect("the stack is there");
    let file = world.call("CreateFileA", &[at, 0x8000_0000, 7, 0, 3, 0, 0]);
    let (buffer, returned) = (world.scratch(BUFFER), world.scratch(0x60));
    let name = "\\Device\\HarddiskVolume1\\work\\guest.exe";
    let needed = 16 + 2 * name.len() as u64 + 2;
    assert_eq!(world.nt("NtQueryObject", &[file, 1, buffer, 8, returned]), status::LENGTH_MISMATCH);
    assert_eq!(world.nt("NtQueryObject", &[file, 1, buffer, 16, returned]), status::BUFFER_OVERFLOW);
    assert_eq!(world.numbers::<1>(0x60), [needed as u32]);
    assert_eq!(world.nt("NtQueryObject", &[file, 1, buffer, needed, returned]), 0);
    let read =
        world.kernel().read_wide(UserPtr::new(buffer + 16), name.len() as u64).expect("the stack is there");
    assert_eq!(String::from_utf16_lossy(&read), name);
}

#[test]
fn all_kinds_are_listed_with_their_counts() {
    each(|world, edition| {
        let (buffer, returned) = (world.scratch(BUFFER), world.scratch(0x40));
        let width = world.nt.edition().pointer_bytes();
        let short = world.nt("NtQueryObject", &[0, 3, buffer, 0, returned]);
        assert_eq!(short, status::LENGTH_MISMATCH, "{edition}");
        let needed = u64::from(world.numbers::<1>(0x40)[0]);
        let (base, size) = (world.store(0x20, 0), world.store(0x28, needed));
        let committed = world.nt("NtAllocateVirtualMemory", &[SELF, base, 0, size, 0x3000, 4]);
        assert_eq!(committed, 0, "{edition}");
        let room = world.load(0x20);
        assert_eq!(world.nt("NtQueryObject", &[0, 3, room, needed, returned]), 0, "{edition}");
        let count = world.kernel().read_u32(UserPtr::new(room)).expect("committed");
        assert!(count >= 13, "{edition} {count}");
        let mut at = room + width;
        let mut names = Vec::new();
        for _ in 0..count {
            let [length, whole] = [0, 2].map(|offset| {
                u64::from(world.kernel().read_u16(UserPtr::new(at + offset)).expect("committed"))
            });
            let text = world.kernel().read_word(UserPtr::new(at + width)).expect("committed");
            let name = world.kernel().read_wide(UserPtr::new(text), length / 2).expect("committed");
            names.push(String::from_utf16_lossy(&name));
            at = (text + whole).next_multiple_of(width);
        }
        assert!(names.contains(&"KeyedEvent".to_owned()), "{edition} {names:?}");
        assert_eq!(at, room + needed, "{edition}");
    });
}

#[test]
fn a_duplicate_has_the_rights_and_flags_that_are_asked_for() {
    each(|world, edition| {
        let event = world.unnamed("NtCreateEvent", &[0, 0]);
        let to = world.scratch(OUT);
        let mut duplicate = |source, access, attributes, options| {
            let arguments = [SELF, source, SELF, to, access, attributes, options];
            (world.nt("NtDuplicateObject", &arguments), world.load(OUT))
        };
        let (made, weak) = duplicate(event, 0x10_0000, 0, 0);
        assert_eq!(made, 0, "{edition}");
        let (made, generic) = duplicate(event, ALL, 2, 0);
        assert_eq!(made, 0, "{edition}");
        let (made, same) = duplicate(weak, ALL, 0, 2);
        assert_eq!(made, 0, "{edition}");
        assert_eq!(duplicate(0x7770, 0, 0, 2).0, status::INVALID_HANDLE, "{edition}");
        let (made, moved) = duplicate(generic, 0, 0, 3 | 4);
        assert_eq!(made, 0, "{edition}");
        for (handle, answer) in
            [(weak, status::ACCESS_DENIED), (same, status::ACCESS_DENIED), (moved, 0), (event, 0)]
        {
            assert_eq!(world.nt("NtSetEvent", &[handle, 0]), answer, "{edition}");
        }
        let flags = world.scratch(0x20);
        assert_eq!(world.nt("NtQueryObject", &[moved, 4, flags, 2, 0]), 0, "{edition}");
        assert_eq!(world.numbers::<1>(0x20)[0] & 0xffff, 1, "{edition} inherited as it was");
        let nobody = world.nt("NtDuplicateObject", &[SELF, moved, 0, 0, 0, 0, 1]);
        assert_eq!(nobody, 0, "{edition} closed and given to nobody");
        assert_eq!(world.nt("NtSetEvent", &[moved, 0]), status::INVALID_HANDLE, "{edition}");
        let wrong = world.nt("NtDuplicateObject", &[event, event, SELF, to, 0, 0, 2]);
        assert_eq!(wrong, status::TYPE_MISMATCH, "{edition}");
    });
}

#[test]
fn a_protected_handle_is_not_closed_by_any_way() {
    each(|world, edition| {
        let event = world.unnamed("NtCreateEvent", &[0, 0]);
        let flags = world.scratch(0x20);
        world.kernel().write(UserPtr::new(flags), &[0, 1]).expect("the stack is there");
        assert_eq!(
            world.nt("NtSetInformationObject", &[event, 4, flags, 1]),
            status::LENGTH_MISMATCH,
            "{edition}"
        );
        assert_eq!(
            world.nt("NtSetInformationObject", &[event, 3, flags, 2]),
            status::INVALID_CLASS,
            "{edition}"
        );
        assert_eq!(world.nt("NtSetInformationObject", &[event, 4, flags, 2]), 0, "{edition}");
        assert_eq!(world.nt("NtClose", &[event]), status::NOT_CLOSABLE, "{edition}");
        assert_eq!(world.call("CloseHandle", &[event]), 0, "{edition}");
        assert_eq!(world.last_error(), 6, "{edition}");
        let moved = world.nt("NtDuplicateObject", &[SELF, event, SELF, flags, 0, 0, 3]);
        assert_eq!(moved, status::NOT_CLOSABLE, "{edition}");
        assert_eq!(world.nt("NtSetEvent", &[event, 0]), 0, "{edition} still there");
        world.kernel().write(UserPtr::new(flags), &[0, 0]).expect("the stack is there");
        assert_eq!(world.nt("NtSetInformationObject", &[event, 4, flags, 2]), 0, "{edition}");
        close(world, event);
        assert_eq!(world.nt("NtClose", &[event]), status::INVALID_HANDLE, "{edition}");
        assert_eq!(world.nt("NtClose", &[0]), status::INVALID_HANDLE, "{edition}");
    });
}

#[test]
fn only_a_privilege_makes_an_object_outlive_its_handles() {
    each(|world, edition| {
        let name = "\\BaseNamedObjects\\gate";
        let refused = world.make("NtCreateEvent", name, 0x10, &[0, 0]).0;
        assert_eq!(refused, status::PRIVILEGE_NOT_HELD, "{edition}");
        let (_, event) = world.make("NtCreateEvent", name, 0, &[0, 0]);
        assert_eq!(world.nt("NtMakePermanentObject", &[event]), status::PRIVILEGE_NOT_HELD, "{edition}");
        let mut world = World::granting(edition, "hello", &[Privilege::CreatePermanent]);
        let enabled = world.scratch(0x20);
        assert_eq!(world.nt("RtlAdjustPrivilege", &[16, 1, 0, enabled]), 0, "{edition}");
        let (made, event) = world.make("NtCreateEvent", name, 0x10, &[0, 0]);
        assert_eq!(made, 0, "{edition}");
        close(&mut world, event);
        let (opened, again) = world.make("NtOpenEvent", name, 0, &[]);
        assert_eq!(opened, 0, "{edition} without a handle it is still there");
        assert_eq!(world.nt("NtMakeTemporaryObject", &[again]), 0, "{edition}");
        close(&mut world, again);
        assert_eq!(world.make("NtOpenEvent", name, 0, &[]).0, status::NAME_NOT_FOUND, "{edition}");
    });
}

#[test]
fn handles_of_one_object_are_the_same_object() {
    let mut world = World::running("win10-x64", "hello");
    let event = world.unnamed("NtCreateEvent", &[0, 0]);
    let to = world.scratch(OUT);
    assert_eq!(world.nt("NtDuplicateObject", &[SELF, event, SELF, to, 0, 0, 2]), 0);
    let twin = world.load(OUT);
    assert_eq!(world.nt("NtCompareObjects", &[event, twin]), 0);
    assert_eq!(world.nt("NtCompareObjects", &[event, THREAD]), status::NOT_SAME_OBJECT);
    assert_eq!(world.nt("NtCompareObjects", &[event, 0x7770]), status::INVALID_HANDLE);
}

#[test]
fn sections_share_the_namespace_with_all_other_kinds() {
    each(|world, edition| {
        let size = world.scratch(0x20);
        world.kernel().write_u64(UserPtr::new(size), 0x1000).expect("the stack is there");
        let name = "\\BaseNamedObjects\\thing";
        let rest = [size, 4, 0x800_0000, 0];
        assert_eq!(world.make("NtCreateSection", name, 0, &rest).0, 0, "{edition}");
        assert_eq!(world.make("NtOpenEvent", name, 0, &[]).0, status::TYPE_MISMATCH, "{edition}");
        assert_eq!(world.make("NtOpenSection", name, 0, &[]).0, 0, "{edition}");
        assert_eq!(world.make("NtCreateSection", name, OPEN_IF, &rest).0, status::NAME_EXISTS, "{edition}");
    });
}

/// A guest that keeps long names meets the end of what is kept for it, and gets it back.
#[test]
fn names_take_no_more_than_their_share() {
    let mut world = World::running("win10-x64", "hello");
    let string = world.string("");
    let (base, size) = (world.store(0x20, 0), world.store(0x28, 0x1_0000));
    assert_eq!(world.nt("NtAllocateVirtualMemory", &[SELF, base, 0, size, 0x3000, 4]), 0);
    let text = world.load(0x20);
    let units: Vec<u16> = "\\BaseNamedObjects\\".encode_utf16().chain([u16::from(b'a'); 32_700]).collect();
    world.kernel().write_wide(UserPtr::new(text), &units).expect("committed");
    let bytes = 2 * units.len() as u64;
    world.kernel().write_u32(UserPtr::new(string), (bytes | bytes << 16) as u32).expect("the stack is there");
    world.kernel().write_word(UserPtr::new(string + 8), text).expect("the stack is there");
    let attributes = world.raw_attributes(0, string, 0);
    let mut handles = Vec::new();
    let refused = loop {
        let number = handles.len() as u64 + 0x100;
        world
            .kernel()
            .write_u64(UserPtr::new(text + bytes - 8), number | 0x61_0061_0061 << 16)
            .expect("committed");
        let (status, handle) = world.make_with("NtCreateEvent", attributes, &[0, 0]);
        if status != 0 {
            break status;
        }
        handles.push(handle);
    };
    assert_eq!(refused, 0xc000_009a, "STATUS_INSUFFICIENT_RESOURCES");
    assert!((1000..1100).contains(&handles.len()), "{}", handles.len());
    close(&mut world, handles[0]);
    assert_eq!(world.make_with("NtCreateEvent", attributes, &[0, 0]).0, 0);
}
