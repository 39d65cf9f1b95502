//! Keys and values through the system-call door, on every edition.

use crate::world::World;
use vadose_facts::ntdef::{Bitness, editions};
use vadose_nt::UserPtr;

const SUCCESS: u32 = 0;
const NO_MORE_ENTRIES: u32 = 0x8000_001a;
const BUFFER_OVERFLOW: u32 = 0x8000_0005;
const ACCESS_VIOLATION: u32 = 0xc000_0005;
const INVALID_HANDLE: u32 = 0xc000_0008;
const INVALID_PARAMETER: u32 = 0xc000_000d;
const ACCESS_DENIED: u32 = 0xc000_0022;
const BUFFER_TOO_SMALL: u32 = 0xc000_0023;
const TYPE_MISMATCH: u32 = 0xc000_0024;
const NAME_INVALID: u32 = 0xc000_0033;
const NOT_FOUND: u32 = 0xc000_0034;
const COLLISION: u32 = 0xc000_0035;
const PATH_SYNTAX_BAD: u32 = 0xc000_003b;
const PRIVILEGE_NOT_HELD: u32 = 0xc000_0061;
const CANNOT_DELETE: u32 = 0xc000_0121;
const KEY_DELETED: u32 = 0xc000_017c;
const CHILD_MUST_BE_VOLATILE: u32 = 0xc000_0181;
const QUOTA_LIMIT: u32 = 0xc000_0256;

const KEY_READ: u64 = 0x2_0019;
const ALL_ACCESS: u64 = 0xf_003f;
const GENERIC_ALL: u64 = 0x1000_0000;
const VOLATILE: u64 = 1;
const CREATE_LINK: u64 = 2;
const OPEN_LINK: u64 = 8;
const SZ: u32 = 1;
const DWORD: u32 = 4;
const LINK: u32 = 6;

const CURRENT_VERSION: &str = "\\Registry\\Machine\\Software\\Microsoft\\Windows NT\\CurrentVersion";
const USER: &str = "\\Registry\\User\\S-1-5-21-1004336348-1177238915-682003330-1000";

/// Where things are in the scratch page.
const HANDLE: u64 = 0x0;
const LENGTH: u64 = 0x10;
const ATTRIBUTES: u64 = 0x40;
const STRING: u64 = 0x80;
const TEXT: u64 = 0x100;
const BUFFER: u64 = 0x600;
const ROOM: u64 = 0x800;

/// A world and what tests of keys do in it.
struct Desk {
    world: World,
    edition: &'static str,
}

fn each(check: impl Fn(&mut Desk)) {
    for edition in editions() {
        check(&mut Desk { world: World::running(edition.name, "hello"), edition: edition.name });
    }
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

impl Desk {
    fn width(&self) -> u64 {
        self.world.nt.edition().pointer_bytes()
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> u64 {
        let at = self.world.scratch(offset);
        self.world.kernel().write(UserPtr::new(at), bytes).expect("scratch memory");
        at
    }

    /// A `UNICODE_STRING`.
    fn string(&mut self, text: &str) -> u64 {
        let bytes = utf16(text);
        let length = (bytes.len() as u16).to_le_bytes();
        let buffer = self.write(TEXT, &bytes);
        let width = self.width() as usize;
        let mut raw = [length, length].concat();
        raw.resize(width, 0);
        raw.extend(&buffer.to_le_bytes()[..width]);
        self.write(STRING, &raw)
    }

    /// An `OBJECT_ATTRIBUTES`.
    fn attributes(&mut self, root: u64, name: &str, attributes: u64) -> u64 {
        let name = self.string(name);
        let width = self.width();
        let fields = [6 * width, root, name, attributes, 0, 0];
        let raw: Vec<u8> =
            fields.iter().flat_map(|field| field.to_le_bytes()[..width as usize].to_vec()).collect();
        self.write(ATTRIBUTES, &raw)
    }

    fn call(&mut self, name: &str, arguments: &[u64]) -> u32 {
        self.world.call(name, arguments) as u32
    }

    fn handle(&mut self) -> u64 {
        self.world.load(HANDLE)
    }

    fn length(&mut self) -> usize {
        self.world.load(LENGTH) as u32 as usize
    }

    fn open(&mut self, root: u64, name: &str, access: u64) -> u32 {
        let (attributes, to) = (self.attributes(root, name, 0x40), self.world.store(HANDLE, 0));
        self.call("NtOpenKey", &[to, access, attributes])
    }

    fn opened(&mut self, name: &str) -> u64 {
        let status = self.open(0, name, ALL_ACCESS);
        assert_eq!(status, SUCCESS, "{name} on {}", self.edition);
        self.handle()
    }

    fn create(&mut self, root: u64, name: &str, options: u64) -> u32 {
        let (attributes, to) = (self.attributes(root, name, 0x40), self.world.store(HANDLE, 0));
        let disposition = self.world.store(LENGTH, 0);
        self.call("NtCreateKey", &[to, ALL_ACCESS, attributes, 0, 0, options, disposition])
    }

    fn created(&mut self, root: u64, name: &str) -> u64 {
        assert_eq!(self.create(root, name, 0), SUCCESS, "{name} on {}", self.edition);
        self.handle()
    }

    fn set(&mut self, key: u64, name: &str, kind: u32, data: &[u8]) -> u32 {
        let (name, at) = (self.string(name), self.write(BUFFER, data));
        self.call("NtSetValueKey", &[key, name, 0, u64::from(kind), at, data.len() as u64])
    }

    /// Asks something into a buffer of so many bytes; the status and what was stored.
    fn ask(&mut self, service: &str, first: &[u64], room: u64) -> (u32, Vec<u8>) {
        let to = self.write(BUFFER, &[0xa5; ROOM as usize]);
        let length = self.world.store(LENGTH, 0xeeee);
        let status = self.call(service, &[first, &[to, room, length]].concat());
        let stored = self.world.kernel().read_vec(UserPtr::new(to), ROOM).expect("scratch memory");
        assert!(stored[room as usize..].iter().all(|byte| *byte == 0xa5), "{service}: past its room");
        (status, stored)
    }

    fn value(&mut self, key: u64, name: &str) -> Option<(u32, Vec<u8>)> {
        let name = self.string(name);
        let (status, stored) = self.ask("NtQueryValueKey", &[key, name, 2], ROOM);
        if status == NOT_FOUND {
            return None;
        }
        assert_eq!(status, SUCCESS, "{}", self.edition);
        let bytes = number(&stored, 8) as usize;
        assert_eq!(self.length(), 12 + bytes);
        Some((number(&stored, 4), stored[12..12 + bytes].to_vec()))
    }

    fn text(&mut self, key: u64, name: &str) -> Option<String> {
        let (kind, data) = self.value(key, name)?;
        assert!(kind == 1 || kind == 2, "{name} is text");
        Some(wide(&data).trim_end_matches('\0').to_owned())
    }

    fn subkeys(&mut self, key: u64) -> Vec<String> {
        let mut names = Vec::new();
        loop {
            let (status, stored) = self.ask("NtEnumerateKey", &[key, names.len() as u64, 0], ROOM);
            if status == NO_MORE_ENTRIES {
                return names;
            }
            assert_eq!(status, SUCCESS, "{}", self.edition);
            names.push(wide(&stored[16..16 + number(&stored, 12) as usize]));
        }
    }
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn wide(bytes: &[u8]) -> String {
    let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    String::from_utf16_lossy(&units)
}

#[test]
fn the_version_in_the_registry_is_the_editions_own() {
    each(|desk| {
        let version = desk.world.nt.edition().version;
        let key = desk.opened(CURRENT_VERSION);
        let build = desk.text(key, "currentbuildnumber");
        assert_eq!(build, Some(version.build.to_string()), "{}: no case", desk.edition);
        let major = desk.value(key, "CurrentMajorVersionNumber").map(|(_, data)| number(&data, 0));
        assert_eq!(major, (version.major >= 10).then_some(10), "{}", desk.edition);
        let pack = (version.service_pack > 0).then(|| format!("Service Pack {}", version.service_pack));
        assert_eq!(desk.text(key, "CSDVersion"), pack, "{}", desk.edition);
    });
}

#[test]
fn the_account_has_settings_of_its_own_and_the_control_set_is_found_by_its_link() {
    each(|desk| {
        let key = desk.opened(&format!("{USER}\\Control Panel\\International"));
        assert_eq!(desk.text(key, "Locale").as_deref(), Some("00000409"));
        assert_eq!(desk.text(key, "sShortDate").as_deref(), Some("M/d/yyyy"));
        let key = desk.opened("\\REGISTRY\\machine\\system\\currentcontrolset\\Control\\Nls\\CodePage");
        assert_eq!(desk.text(key, "ACP").as_deref(), Some("1252"));
        let (status, stored) = desk.ask("NtQueryKey", &[key, 3], ROOM);
        assert_eq!(status, SUCCESS);
        let path = wide(&stored[4..4 + number(&stored, 0) as usize]);
        assert_eq!(path, "\\REGISTRY\\MACHINE\\SYSTEM\\ControlSet001\\Control\\Nls\\CodePage");
        for absent in ["Session Manager\\KnownDLLs", "Nls\\Absent\\Deeper"] {
            let name = format!("\\Registry\\Machine\\System\\CurrentControlSet\\Control\\{absent}");
            assert_eq!(desk.open(0, &name, KEY_READ), NOT_FOUND, "{absent}");
        }
    });
}

#[test]
fn one_seed_is_one_machine() {
    let identity = || {
        let mut desk = Desk { world: World::running("win10-x64", "hello"), edition: "win10-x64" };
        let key = desk.opened("\\Registry\\Machine\\Software\\Microsoft\\Cryptography");
        desk.text(key, "MachineGuid").expect("a machine has one")
    };
    let guid = identity();
    assert_eq!(guid, identity());
    assert_eq!((guid.len(), &guid[14..15]), (36, "4"), "{guid}");
}

#[test]
fn a_key_is_made_opened_filled_and_deleted() {
    each(|desk| {
        let user = desk.opened(USER);
        let key = desk.created(user, "Software\\Test");
        assert_eq!(desk.length(), 1, "a new key");
        let again = desk.created(user, "SOFTWARE\\test\\");
        assert_eq!(desk.length(), 2, "the same key");
        assert_eq!(desk.set(key, "Answer", DWORD, &42_u32.to_le_bytes()), SUCCESS);
        assert_eq!(desk.value(again, "ANSWER"), Some((DWORD, vec![42, 0, 0, 0])));
        assert_eq!(desk.set(again, "answer", SZ, &utf16("yes")), SUCCESS);
        assert_eq!(desk.value(key, "Answer"), Some((SZ, utf16("yes"))));
        for name in ["zebra", "Ant", "mole"] {
            desk.created(key, name);
        }
        assert_eq!(desk.subkeys(key), ["Ant", "mole", "zebra"]);
        assert_eq!(desk.call("NtDeleteKey", &[key]), CANNOT_DELETE);
        for name in ["zebra", "Ant", "mole"] {
            assert_eq!(desk.open(key, name, ALL_ACCESS), SUCCESS);
            let child = desk.handle();
            assert_eq!(desk.call("NtDeleteKey", &[child]), SUCCESS);
            assert_eq!(desk.call("NtDeleteKey", &[child]), KEY_DELETED);
        }
        let name = desk.string("Answer");
        assert_eq!(desk.call("NtDeleteValueKey", &[again, name]), SUCCESS);
        assert_eq!(desk.call("NtDeleteValueKey", &[again, name]), NOT_FOUND);
        assert_eq!(desk.call("NtDeleteKey", &[key]), SUCCESS);
        assert_eq!(desk.value_status(again), KEY_DELETED, "for every handle");
        assert_eq!(desk.open(user, "Software\\Test", KEY_READ), NOT_FOUND);
    });
}

impl Desk {
    fn value_status(&mut self, key: u64) -> u32 {
        let name = self.string("Answer");
        self.ask("NtQueryValueKey", &[key, name, 2], ROOM).0
    }
}

/// What Windows' own tests of buffers expect: the whole length always, the fixed part or nothing.
#[test]
fn a_buffer_takes_the_fixed_part_or_nothing_and_the_whole_length_is_always_told() {
    each(|desk| {
        let user = desk.opened(USER);
        let key = desk.created(user, "Buffers");
        assert_eq!(desk.set(key, "deletetest", DWORD, &711_u32.to_le_bytes()), SUCCESS);
        // Class, fixed bytes, all bytes.
        for (class, fixed, all) in [(0, 12, 32), (1, 20, 44), (2, 12, 16), (3, 20, 44), (4, 8, 12)] {
            for room in 0..=48 {
                let name = desk.string("deletetest");
                let by_name = desk.ask("NtQueryValueKey", &[key, name, class], room);
                assert_eq!(desk.length(), all, "class {class}, {room} bytes");
                let by_index = desk.ask("NtEnumerateValueKey", &[key, 0, class], room);
                assert_eq!(by_name, by_index, "class {class}, {room} bytes");
                let expected = match room as usize {
                    room if room < fixed => BUFFER_TOO_SMALL,
                    room if room < all => BUFFER_OVERFLOW,
                    _ => SUCCESS,
                };
                assert_eq!(by_name.0, expected, "class {class}, {room} bytes");
                let untouched = by_name.1.iter().all(|byte| *byte == 0xa5);
                assert_eq!(untouched, expected == BUFFER_TOO_SMALL, "class {class}, {room} bytes");
            }
        }
        let (_, full) = desk.ask("NtEnumerateValueKey", &[key, 0, 1], ROOM);
        assert_eq!([4, 8, 12, 16].map(|at| number(&full, at)), [DWORD, 40, 4, 20]);
        assert_eq!(number(&full, 40), 711);
        assert_eq!(desk.ask("NtEnumerateValueKey", &[key, 1, 1], ROOM).0, NO_MORE_ENTRIES);
        assert_eq!(desk.ask("NtEnumerateValueKey", &[key, 0, 9], ROOM).0, INVALID_PARAMETER);
    });
}

#[test]
fn a_key_tells_of_itself_in_every_class() {
    each(|desk| {
        let user = desk.opened(USER);
        let parent = desk.created(user, "Parent");
        let class = {
            let (attributes, to) = (desk.attributes(parent, "Child", 0x40), desk.world.store(HANDLE, 0));
            let text = desk.write(0xc80, &utf16("kind"));
            let width = desk.width() as usize;
            let mut raw = vec![8, 0, 8, 0];
            raw.resize(width, 0);
            raw.extend(&text.to_le_bytes()[..width]);
            let class = desk.write(0xc40, &raw);
            desk.call("NtCreateKey", &[to, ALL_ACCESS, attributes, 0, class, 0, 0])
        };
        assert_eq!(class, SUCCESS);
        let child = desk.handle();
        assert_eq!(desk.set(parent, "long name", SZ, &[0; 24]), SUCCESS);
        let (_, full) = desk.ask("NtQueryKey", &[parent, 2], ROOM);
        let fields = [12, 16, 20, 24, 28, 32, 36, 40].map(|at| number(&full, at));
        assert_eq!(fields, [u32::MAX, 0, 1, 10, 8, 1, 18, 24], "{}", desk.edition);
        assert_eq!(desk.length(), 44);
        let (_, node) = desk.ask("NtEnumerateKey", &[parent, 0, 1], ROOM);
        assert_eq!([12, 16, 20].map(|at| number(&node, at)), [36, 8, 10]);
        assert_eq!((wide(&node[24..34]), wide(&node[36..44])), ("Child".to_owned(), "kind".to_owned()));
        assert_eq!(desk.length(), 44);
        let (status, cached) = desk.ask("NtQueryKey", &[parent, 4], 40);
        assert_eq!((status, number(&cached, 12), number(&cached, 20)), (SUCCESS, 1, 1));
        assert_eq!(desk.ask("NtQueryKey", &[parent, 4], 39).0, BUFFER_TOO_SMALL);
        assert_eq!(desk.ask("NtQueryKey", &[child, 99], ROOM).0, INVALID_PARAMETER);
        assert_eq!(desk.ask("NtEnumerateKey", &[parent, 0, 3], ROOM).0, INVALID_PARAMETER);
        let time = u64::from_le_bytes(full[..8].try_into().expect("eight bytes"));
        assert!(time > 132_223_104_000_000_000, "written after the machine was installed");
    });
}

#[test]
fn what_is_no_name_of_a_key_is_refused() {
    each(|desk| {
        for (name, status) in [
            ("Registry\\Machine", PATH_SYNTAX_BAD),
            ("", PATH_SYNTAX_BAD),
            ("\\Device", NOT_FOUND),
            ("\\Device\\Null", 0xc000_003a),
            ("\\Registry\\Nowhere", NOT_FOUND),
            ("\\Registry\\Machine\\Software\\Nowhere\\Deeper", NOT_FOUND),
        ] {
            assert_eq!(desk.open(0, name, KEY_READ), status, "{name:?} on {}", desk.edition);
            assert_eq!(desk.handle(), 0, "{name:?}");
        }
        let machine = desk.opened("\\Registry\\Machine");
        assert_eq!(desk.open(machine, "\\Software", KEY_READ), PATH_SYNTAX_BAD);
        assert_eq!(desk.open(machine, "", KEY_READ), SUCCESS, "the key itself");
        assert_eq!(desk.open(0x7ff0, "Software", KEY_READ), INVALID_HANDLE);
        let event = desk.call("CreateEventA", &[0, 0, 0, 0]);
        assert_eq!(desk.open(u64::from(event), "Software", KEY_READ), TYPE_MISMATCH);
        let long = format!("Software\\{}", "x".repeat(256));
        assert_eq!(desk.create(machine, &long, 0), INVALID_PARAMETER);
        assert_eq!(desk.create(machine, &long[..long.len() - 1], 0), SUCCESS);
        let (attributes, to) = (desk.attributes(0, CURRENT_VERSION, 0), desk.world.store(HANDLE, 0));
        desk.write(STRING, &[3]);
        assert_eq!(desk.call("NtOpenKey", &[to, KEY_READ, attributes]), NAME_INVALID);
        desk.write(ATTRIBUTES, &[99]);
        assert_eq!(desk.call("NtOpenKey", &[to, KEY_READ, attributes]), INVALID_PARAMETER);
        assert_eq!(desk.call("NtOpenKey", &[to, KEY_READ, 0]), ACCESS_VIOLATION);
        assert_eq!(desk.call("NtOpenKey", &[0, KEY_READ, attributes]), ACCESS_VIOLATION);
    });
}

#[test]
fn a_handle_allows_what_it_was_opened_for() {
    each(|desk| {
        assert_eq!(desk.open(0, USER, KEY_READ), SUCCESS);
        let read = desk.handle();
        assert_eq!(desk.set(read, "x", SZ, &[]), ACCESS_DENIED);
        assert_eq!(desk.call("NtDeleteKey", &[read]), ACCESS_DENIED);
        assert_eq!(desk.open(0, USER, 2), SUCCESS);
        let write = desk.handle();
        assert_eq!(desk.set(write, "x", SZ, &[]), SUCCESS);
        assert_eq!(desk.ask("NtEnumerateKey", &[write, 0, 0], ROOM).0, ACCESS_DENIED);
        assert_eq!(desk.ask("NtQueryKey", &[write, 3], ROOM).0, SUCCESS, "its name everyone may ask");
        assert_eq!(desk.open(0, USER, GENERIC_ALL), SUCCESS);
        let all = desk.handle();
        assert_eq!(desk.value(all, "x"), Some((SZ, vec![])));
        assert_eq!(desk.call("NtFlushKey", &[all]), SUCCESS);
        assert_eq!(desk.call("NtFlushKey", &[0]), INVALID_HANDLE);
        assert_eq!(desk.call("NtSaveKey", &[all, 0]), PRIVILEGE_NOT_HELD);
    });
}

#[test]
fn a_link_is_followed_unless_it_is_meant_itself() {
    each(|desk| {
        let user = desk.opened(USER);
        let place = desk.created(user, "Place");
        assert_eq!(desk.create(user, "Way", CREATE_LINK), SUCCESS);
        let link = desk.handle();
        assert_eq!(desk.create(user, "Way", CREATE_LINK), COLLISION);
        assert_eq!(desk.open(user, "Way", KEY_READ), NOT_FOUND, "it leads nowhere yet");
        assert_eq!(desk.create(user, "Way", 0), NOT_FOUND);
        assert_eq!(desk.set(link, "Other", SZ, &[]), ACCESS_DENIED);
        assert_eq!(desk.create(link, "below", 0), ACCESS_DENIED);
        let target = utf16(&format!("{USER}\\Place"));
        assert_eq!(desk.set(link, "SymbolicLinkValue", LINK, &target), SUCCESS);
        assert_eq!(desk.set(place, "here", SZ, &[1]), SUCCESS);
        assert_eq!(desk.open(user, "Way", KEY_READ), SUCCESS);
        let through = desk.handle();
        assert_eq!(desk.value(through, "here"), Some((SZ, vec![1])));
        desk.created(user, "Way\\Child");
        assert_eq!(desk.subkeys(place), ["Child"]);
        assert_eq!(desk.create(user, "Way", OPEN_LINK), SUCCESS);
        let itself = desk.handle();
        assert_eq!(desk.value(itself, "SymbolicLinkValue"), Some((LINK, target)));
        let own = utf16(&format!("{USER}\\Way"));
        assert_eq!(desk.set(itself, "SymbolicLinkValue", LINK, &own), SUCCESS);
        assert_eq!(desk.open(user, "Way", KEY_READ), NOT_FOUND, "round and round");
    });
}

#[test]
fn below_a_volatile_key_all_are_volatile() {
    each(|desk| {
        let user = desk.opened(USER);
        assert_eq!(desk.create(user, "Passing", VOLATILE), SUCCESS);
        let passing = desk.handle();
        assert_eq!(desk.create(passing, "stable", 0), CHILD_MUST_BE_VOLATILE);
        assert_eq!(desk.create(passing, "passing", VOLATILE), SUCCESS);
        let (_, flags) = desk.ask("NtQueryKey", &[passing, 5], ROOM);
        assert_eq!(number(&flags, 4), 1);
    });
}

#[test]
fn a_renamed_key_keeps_what_is_in_it() {
    each(|desk| {
        let user = desk.opened(USER);
        let key = desk.created(user, "Old");
        desk.created(key, "Child");
        desk.created(user, "Taken");
        for (name, status) in [("Taken", COLLISION), ("a\\b", INVALID_PARAMETER), ("", INVALID_PARAMETER)] {
            let name_at = desk.string(name);
            assert_eq!(desk.call("NtRenameKey", &[key, name_at]), status, "{name:?}");
        }
        let name = desk.string("NEW");
        assert_eq!(desk.call("NtRenameKey", &[key, name]), SUCCESS);
        assert_eq!(desk.open(user, "Old", KEY_READ), NOT_FOUND);
        assert_eq!(desk.open(user, "new\\child", KEY_READ), SUCCESS);
    });
}

/// A program that fills the registry gets a status; what it deletes is given back.
#[test]
fn the_registry_has_a_limit() {
    let mut desk = Desk { world: World::running("win10-x64", "hello"), edition: "win10-x64" };
    let user = desk.opened(USER);
    let key = desk.created(user, "Big");
    let big = desk.world.call("VirtualAlloc", &[0, 1 << 20, 0x3000, 4]);
    let mut set = 0;
    let status = loop {
        let name = desk.string(&format!("value {set}"));
        let status = desk.call("NtSetValueKey", &[key, name, 0, 3, big, 1 << 20]);
        if status != SUCCESS {
            break status;
        }
        set += 1;
        assert!(set < 100, "there is a limit");
    };
    assert_eq!(status, QUOTA_LIMIT);
    assert!(set > 16, "{set} values of a mebibyte fit");
    let name = desk.string("value 0");
    assert_eq!(desk.call("NtSetValueKey", &[key, name, 0, 3, big, u64::from(u32::MAX)]), QUOTA_LIMIT);
    assert_eq!(desk.call("NtDeleteKey", &[key]), SUCCESS);
    let again = desk.created(user, "Big");
    let status = desk.call("NtSetValueKey", &[again, name, 0, 3, big, 1 << 20]);
    assert_eq!(status, QUOTA_LIMIT, "the deleted key is still open");
    assert_eq!(desk.call("NtClose", &[key]), SUCCESS);
    assert_eq!(desk.call("NtSetValueKey", &[again, name, 0, 3, big, 1 << 20]), SUCCESS);
}

#[test]
fn several_values_are_asked_for_at_once() {
    each(|desk| {
        let user = desk.opened(USER);
        let key = desk.created(user, "Many");
        assert_eq!(desk.set(key, "a", SZ, &[1; 5]), SUCCESS);
        let wide_entries = desk.world.nt.edition().bitness == Bitness::Bits64;
        let (width, bytes) = if wide_entries { (8, 24) } else { (4, 16) };
        let name = desk.string("a");
        for index in 0..2 {
            desk.write(0x20 + index * bytes, &name.to_le_bytes()[..width]);
        }
        let (entries, room_at) = (desk.world.scratch(0x20), desk.world.store(LENGTH, 13));
        let (to, needed) = (desk.write(BUFFER, &[0xa5; 16]), desk.world.store(HANDLE, 0));
        let arguments = [key, entries, 2, to, room_at, needed];
        assert_eq!(desk.call("NtQueryMultipleValueKey", &arguments), SUCCESS);
        assert_eq!((desk.length(), desk.handle() as u32), (13, 13));
        let fields = desk.world.kernel().read_vec(UserPtr::new(entries + bytes + width as u64), 12);
        let fields = fields.expect("scratch memory");
        assert_eq!([0, 4, 8].map(|at| number(&fields, at)), [5, 8, SZ]);
        desk.world.store(LENGTH, 12);
        assert_eq!(desk.call("NtQueryMultipleValueKey", &arguments), BUFFER_OVERFLOW);
        assert_eq!((desk.length(), desk.handle() as u32), (5, 13));
    });
}
