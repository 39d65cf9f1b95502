//! Waiting for changes of keys, on every edition.

use crate::world::World;
use vadose_facts::ntdef::{Edition, editions};
use vadose_nt::UserPtr;

const SUCCESS: u32 = 0;
const PENDING: u32 = 0x103;
const NOTIFY_CLEANUP: u64 = 0x10b;
const NOTIFY_ENUM_DIR: u64 = 0x10c;
const INVALID_PARAMETER: u32 = 0xc000_000d;
const ACCESS_DENIED: u32 = 0xc000_0022;
const TIMEOUT: u64 = 0x102;

const NAME: u64 = 1;
const LAST_SET: u64 = 4;
const HANDLE: u64 = 0x0;
const BLOCK: u64 = 0x20;
const ATTRIBUTES: u64 = 0x40;
const STRING: u64 = 0x80;
const TEXT: u64 = 0x100;
const USER: &str = "\\Registry\\User\\S-1-5-21-1004336348-1177238915-682003330-1000";

fn each(check: impl Fn(&mut World, &'static Edition)) {
    for edition in editions() {
        check(&mut World::running(edition.name, "hello"), edition);
    }
}

fn string(world: &mut World, text: &str) -> u64 {
    let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let at = world.scratch(TEXT);
    world.kernel().write(UserPtr::new(at), &bytes).expect("scratch memory");
    let width = world.nt.edition().pointer_bytes();
    world.store(STRING, bytes.len() as u64 | (bytes.len() as u64) << 16);
    world.store(STRING + width, at);
    world.scratch(STRING)
}

fn create(world: &mut World, root: u64, name: &str, access: u64) -> u64 {
    let (name, width) = (string(world, name), world.nt.edition().pointer_bytes());
    for (index, field) in (0..).zip([6 * width, root, name, 0x40, 0, 0]) {
        world.store(ATTRIBUTES + index * width, field);
    }
    let (to, attributes) = (world.store(HANDLE, 0), world.scratch(ATTRIBUTES));
    assert_eq!(world.call("NtCreateKey", &[to, access, attributes, 0, 0, 0, 0]), 0);
    world.load(HANDLE)
}

fn set(world: &mut World, key: u64) {
    let (name, data) = (string(world, "value"), world.scratch(0x600));
    assert_eq!(world.call("NtSetValueKey", &[key, name, 0, 3, data, 4]), 0);
}

/// Wishes to be told by an event and a status block.
fn watch(world: &mut World, key: u64, event: u64, filter: u64, subtree: u64) -> u32 {
    let block = world.store(BLOCK, 0xeeee);
    world.call("NtNotifyChangeKey", &[key, event, 0, 0, block, filter, subtree, 0, 0, 1]) as u32
}

fn is_set(world: &mut World, event: u64) -> bool {
    world.call("WaitForSingleObject", &[event, 0]) != TIMEOUT
}

fn status(world: &mut World) -> u64 {
    world.load(BLOCK) & 0xffff_ffff
}

const ALL: u64 = 0xf_003f;

#[test]
fn the_first_change_that_is_meant_is_told_once() {
    each(|world, edition| {
        let key = create(world, 0, &format!("{USER}\\Watched"), ALL);
        let event = world.call("CreateEventA", &[0, 1, 1, 0]);
        assert_eq!(watch(world, key, event, LAST_SET, 0), PENDING, "{}", edition.name);
        assert!(!is_set(world, event), "{}: it begins unset", edition.name);
        let child = create(world, key, "child", ALL);
        set(world, child);
        assert!(!is_set(world, event), "{}: a name, and a value further down", edition.name);
        assert_eq!(status(world), 0xeeee);
        set(world, key);
        assert!(is_set(world, event), "{}", edition.name);
        assert_eq!(status(world), NOTIFY_ENUM_DIR, "{}", edition.name);
        world.call("ResetEvent", &[event]);
        set(world, key);
        assert!(!is_set(world, event), "{}: only once", edition.name);
    });
}

#[test]
fn names_and_what_is_further_down_are_told_if_they_are_meant() {
    each(|world, edition| {
        let key = create(world, 0, &format!("{USER}\\Watched"), ALL);
        let event = world.call("CreateEventA", &[0, 1, 0, 0]);
        assert_eq!(watch(world, key, event, NAME, 0), PENDING);
        let child = create(world, key, "child", ALL);
        assert!(is_set(world, event), "{}: a new one", edition.name);
        assert_eq!(watch(world, key, event, LAST_SET, 1), PENDING);
        set(world, child);
        assert!(is_set(world, event), "{}: a value further down", edition.name);
        assert_eq!(watch(world, key, event, NAME, 0), PENDING);
        assert_eq!(world.call("NtDeleteKey", &[child]), 0);
        assert!(is_set(world, event), "{}: one less", edition.name);
    });
}

#[test]
fn a_wish_ends_with_the_handle_that_it_was_made_with() {
    each(|world, edition| {
        let key = create(world, 0, &format!("{USER}\\Watched"), ALL);
        let event = world.call("CreateEventA", &[0, 1, 0, 0]);
        assert_eq!(watch(world, key, event, LAST_SET, 0), PENDING);
        assert_eq!(world.call("NtClose", &[key]), 0);
        assert!(is_set(world, event), "{}", edition.name);
        assert_eq!(status(world), NOTIFY_CLEANUP, "{}", edition.name);
    });
}

#[test]
fn what_cannot_be_watched_is_refused() {
    each(|world, edition| {
        let key = create(world, 0, &format!("{USER}\\Watched"), ALL);
        for filter in [0, 0x20, 0x100] {
            assert_eq!(watch(world, key, 0, filter, 0), INVALID_PARAMETER, "{filter} on {}", edition.name);
        }
        let weak = create(world, 0, &format!("{USER}\\Watched"), 1);
        assert_eq!(watch(world, weak, 0, NAME, 0), ACCESS_DENIED, "{}", edition.name);
        for _ in 0..4096 {
            assert_eq!(watch(world, key, 0, NAME, 0), PENDING);
        }
        assert_eq!(watch(world, key, 0, NAME, 0), 0xc000_009a, "{}: there is a limit", edition.name);
        assert_eq!(world.call("NtClose", &[key]) as u32, SUCCESS);
    });
}

#[test]
fn who_waits_in_the_call_goes_on_with_the_change() {
    each(|world, edition| {
        let key = create(world, 0, &format!("{USER}\\Watched"), ALL);
        let entry = world.nt.process().program().base.raw() + 0x1000;
        assert_ne!(world.call("CreateThread", &[0, 0, entry, 0, 0, 0]), 0);
        let first = world.nt.threads().current().expect("a thread").tid;
        let block = world.store(BLOCK, 0xeeee);
        world.call("NtNotifyChangeKey", &[key, 0, 0, 0, block, LAST_SET, 0, 0, 0, 0]);
        let second = world.nt.threads().current().expect("a thread").tid;
        assert_ne!(first, second, "{}: the other thread runs", edition.name);
        set(world, key);
        assert_eq!(status(world), NOTIFY_ENUM_DIR, "{}", edition.name);
        let waiter = world.nt.threads().get(first).expect("it lives");
        assert!(waiter.can_run(), "{}", edition.name);
    });
}
