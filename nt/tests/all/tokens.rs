//! Tokens and security descriptors through the system-call door, on every edition.

use crate::world::World;
use vadose_facts::ntdef::{Edition, editions};
use vadose_nt::UserPtr;

const SUCCESS: u32 = 0;
const NOT_ALL_ASSIGNED: u32 = 0x106;
const INVALID_INFO_CLASS: u32 = 0xc000_0003;
const INFO_LENGTH_MISMATCH: u32 = 0xc000_0004;
const INVALID_PARAMETER: u32 = 0xc000_000d;
const ACCESS_DENIED: u32 = 0xc000_0022;
const BUFFER_TOO_SMALL: u32 = 0xc000_0023;
const TYPE_MISMATCH: u32 = 0xc000_0024;
const INVALID_OWNER: u32 = 0xc000_005a;
const NO_IMPERSONATION_TOKEN: u32 = 0xc000_005c;
const CANT_DISABLE_MANDATORY: u32 = 0xc000_005d;
const NO_SUCH_LOGON_SESSION: u32 = 0xc000_005f;
const NO_TOKEN: u32 = 0xc000_007c;
const BAD_LEVEL: u32 = 0xc000_00a5;
const BAD_TOKEN_TYPE: u32 = 0xc000_00a8;

const SELF: u64 = u64::MAX;
const THREAD: u64 = u64::MAX - 1;
const ALL: u64 = 0xf_01ff;
const QUERY: u64 = 0x8;
const PRIMARY: u64 = 1;
const IMPERSONATION: u64 = 2;
/// `ThreadImpersonationToken`.
const THREAD_TOKEN: u64 = 5;
const HANDLE: u64 = 0x0;
const LENGTH: u64 = 0x10;
const BUFFER: u64 = 0x200;
const ROOM: u64 = 0x400;
/// The account's own identifier.
const ACCOUNT: [u32; 5] = [21, 1_004_336_348, 1_177_238_915, 682_003_330, 1000];

fn each(check: impl Fn(&mut World, &'static Edition)) {
    for edition in editions() {
        check(&mut World::running(edition.name, "hello"), edition);
    }
}

fn sid(authority: u8, parts: &[u32]) -> Vec<u8> {
    let mut bytes = vec![1, parts.len() as u8, 0, 0, 0, 0, 0, authority];
    bytes.extend(parts.iter().flat_map(|part| part.to_le_bytes()));
    bytes
}

fn number(bytes: &[u8], at: usize, width: usize) -> u64 {
    bytes[at..at + width].iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

fn write(world: &mut World, offset: u64, bytes: &[u8]) -> u64 {
    let at = world.scratch(offset);
    world.kernel().write(UserPtr::new(at), bytes).expect("scratch memory");
    at
}

fn own_token(world: &mut World, access: u64) -> u64 {
    let to = world.store(HANDLE, 0);
    assert_eq!(world.call("NtOpenProcessToken", &[SELF, access, to]), 0);
    world.load(HANDLE)
}

fn query(world: &mut World, token: u64, class: u64, room: u64) -> (u32, Vec<u8>) {
    let (to, needed) = (write(world, BUFFER, &[0xa5; ROOM as usize]), world.store(LENGTH, 0));
    let status = world.call("NtQueryInformationToken", &[token, class, to, room, needed]) as u32;
    let length = world.load(LENGTH) & 0xffff_ffff;
    (status, world.kernel().read_vec(UserPtr::new(to), length.min(ROOM)).expect("scratch memory"))
}

/// An `OBJECT_ATTRIBUTES` with a level of impersonation.
fn quality(world: &mut World, level: u32) -> u64 {
    let width = world.nt.edition().pointer_bytes();
    let quality = [12_u32, level, 0].iter().flat_map(|field| field.to_le_bytes()).collect::<Vec<u8>>();
    let quality = write(world, 0x80, &quality);
    let fields = [6 * width, 0, 0, 0, 0, quality];
    let raw: Vec<u8> =
        fields.iter().flat_map(|field| field.to_le_bytes()[..width as usize].to_vec()).collect();
    write(world, 0xa0, &raw)
}

fn duplicate(world: &mut World, token: u64, level: u32, kind: u64) -> (u32, u64) {
    let (attributes, to) = (quality(world, level), world.store(HANDLE, 0));
    let status = world.call("NtDuplicateToken", &[token, ALL, attributes, 0, kind, to]) as u32;
    (status, world.load(HANDLE))
}

#[test]
fn a_token_tells_whose_it_is_and_which_groups_he_is_in() {
    each(|world, edition| {
        let token = own_token(world, QUERY);
        let width = edition.pointer_bytes() as usize;
        let at = world.scratch(BUFFER);
        let (status, user) = query(world, token, 1, ROOM);
        assert_eq!(status, SUCCESS, "{}", edition.name);
        assert_eq!(
            number(&user, 0, width),
            at + 2 * width as u64,
            "{}: a pointer into the buffer",
            edition.name
        );
        assert_eq!(user[2 * width..], sid(5, &ACCOUNT), "{}", edition.name);
        assert_eq!(query(world, token, 1, user.len() as u64 - 1).0, BUFFER_TOO_SMALL);
        let (_, groups) = query(world, token, 2, ROOM);
        let count = number(&groups, 0, 4) as usize;
        let sids: Vec<&[u8]> = (0..count)
            .map(|index| number(&groups, width + index * 2 * width, width) - at)
            .map(|offset| &groups[offset as usize..])
            .collect();
        for wanted in [sid(1, &[0]), sid(5, &[32, 545]), sid(5, &[11])] {
            assert!(sids.iter().any(|sid| sid.starts_with(&wanted)), "{}: {wanted:?}", edition.name);
        }
        let levels = edition.version.major >= 6;
        let (status, level) = query(world, token, 25, ROOM);
        assert_eq!(status, if levels { SUCCESS } else { INVALID_INFO_CLASS }, "{}", edition.name);
        assert!(!levels || level[2 * width..] == sid(16, &[0x2000]), "{}", edition.name);
    });
}

#[test]
fn numbers_of_a_token_have_their_sizes() {
    each(|world, edition| {
        let token = own_token(world, QUERY);
        let since_vista = [(18, 4, 1), (20, 4, 0), (21, 4, 0), (24, 4, 0), (26, 4, 0)];
        for (class, bytes, value) in [(8, 4, 1), (12, 4, 1), (15, 4, 0)].into_iter().chain(since_vista) {
            let (status, answer) = query(world, token, class, bytes);
            if class > 17 && edition.version.major < 6 {
                assert_eq!(status, INVALID_INFO_CLASS, "{class} on {}", edition.name);
                continue;
            }
            assert_eq!((status, number(&answer, 0, 4)), (SUCCESS, value), "{class} on {}", edition.name);
            let short = if class == 12 { INFO_LENGTH_MISMATCH } else { BUFFER_TOO_SMALL };
            assert_eq!(query(world, token, class, bytes - 1).0, short, "{class} on {}", edition.name);
        }
        assert_eq!(query(world, token, 12, 5).0, INFO_LENGTH_MISMATCH, "a session's number is exact");
        assert_eq!(query(world, token, 10, 56).1.len(), 56, "{}", edition.name);
        assert_eq!(query(world, token, 9, ROOM).0, INVALID_INFO_CLASS, "a process acts for nobody");
        if edition.version.major >= 6 {
            assert_eq!(query(world, token, 19, ROOM).0, NO_SUCH_LOGON_SESSION);
        }
        assert_eq!(query(world, SELF, 1, ROOM).0, TYPE_MISMATCH);
    });
}

#[test]
fn a_thread_acts_with_a_token_of_its_own_until_it_goes_back() {
    each(|world, edition| {
        let token = own_token(world, ALL);
        let to = world.store(LENGTH, 0);
        let open = |world: &mut World| world.call("NtOpenThreadToken", &[THREAD, ALL, 1, to]) as u32;
        assert_eq!(open(world), NO_TOKEN, "{}", edition.name);
        let set = |world: &mut World, token: u64| {
            let width = world.nt.edition().pointer_bytes();
            let at = world.store(0x20, token);
            world.call("NtSetInformationThread", &[THREAD, THREAD_TOKEN, at, width]) as u32
        };
        assert_eq!(set(world, token), BAD_TOKEN_TYPE, "{}: a process's", edition.name);
        let (status, copy) = duplicate(world, token, 2, IMPERSONATION);
        assert_eq!(status, SUCCESS, "{}", edition.name);
        assert_eq!(query(world, copy, 9, 4).1, 2_u32.to_le_bytes());
        assert_eq!(set(world, copy), SUCCESS);
        assert_eq!(open(world), SUCCESS, "{}", edition.name);
        // It outlives its handles while the thread has it.
        assert_eq!(world.call("NtClose", &[copy]), 0);
        let opened = world.load(LENGTH);
        assert_eq!(world.call("NtClose", &[opened]), 0);
        assert_eq!(open(world), SUCCESS);
        assert_eq!(set(world, 0), SUCCESS);
        assert_eq!(open(world), NO_TOKEN, "{}", edition.name);
    });
}

#[test]
fn a_token_is_not_made_to_allow_more_than_it_did() {
    each(|world, _| {
        let token = own_token(world, ALL);
        let (_, weak) = duplicate(world, token, 1, IMPERSONATION);
        assert_eq!(duplicate(world, weak, 2, IMPERSONATION).0, BAD_LEVEL);
        assert_eq!(duplicate(world, weak, 0, PRIMARY).0, BAD_LEVEL);
        assert_eq!(duplicate(world, token, 0, 3).0, INVALID_PARAMETER);
        assert_eq!(duplicate(world, token, 9, IMPERSONATION).0, INVALID_PARAMETER);
        let read_only = own_token(world, QUERY);
        assert_eq!(duplicate(world, read_only, 2, IMPERSONATION).0, ACCESS_DENIED);
        let (_, own) = duplicate(world, token, 0, PRIMARY);
        let equal = world.scratch(0x30);
        assert_eq!(world.call("NtCompareTokens", &[token, own, equal]), 0);
        assert_eq!(world.kernel().read_vec(UserPtr::new(equal), 1), Ok(vec![1]));
    });
}

#[test]
fn defaults_of_a_token_are_set_within_the_account() {
    each(|world, edition| {
        let token = own_token(world, ALL);
        let width = edition.pointer_bytes();
        let set = |world: &mut World, class: u64, sid: &[u8]| {
            let at = write(world, 0x100, sid);
            let at = world.store(0x20, at);
            world.call("NtSetInformationToken", &[token, class, at, width]) as u32
        };
        assert_eq!(set(world, 4, &sid(5, &ACCOUNT)), SUCCESS, "{}", edition.name);
        assert_eq!(set(world, 4, &sid(5, &[18])), INVALID_OWNER);
        assert_eq!(set(world, 5, &sid(1, &[0])), SUCCESS);
        let (_, group) = query(world, token, 5, ROOM);
        assert_eq!(group[width as usize..], sid(1, &[0]), "{}", edition.name);
        let groups = [&2_u32.to_le_bytes()[..], &[0; 4]].concat();
        let groups_at = write(world, 0x140, &groups[..width as usize]);
        let everyone = write(world, 0x100, &sid(1, &[0]));
        let stranger = write(world, 0x180, &sid(5, &[21, 1, 2, 3, 4]));
        for (index, (sid, attributes)) in [(stranger, 0_u64), (everyone, 4)].into_iter().enumerate() {
            let entry = 0x140 + width + index as u64 * 2 * width;
            world.store(entry, sid);
            world.store(entry + width, attributes);
        }
        let adjust =
            |world: &mut World| world.call("NtAdjustGroupsToken", &[token, 0, groups_at, 0, 0, 0]) as u32;
        assert_eq!(adjust(world), NOT_ALL_ASSIGNED, "{}", edition.name);
        world.store(0x140 + width + 3 * width, 0);
        assert_eq!(adjust(world), CANT_DISABLE_MANDATORY, "{}", edition.name);
    });
}

/// An absolute descriptor: the account's, with a list that lets everybody do one thing.
fn descriptor(world: &mut World, mask: u32) -> u64 {
    let width = world.nt.edition().pointer_bytes();
    let everyone = sid(1, &[0]);
    let mut list = vec![2, 0, 8 + 8 + everyone.len() as u8, 0, 1, 0, 0, 0, 0, 0, 8 + everyone.len() as u8, 0];
    list.extend(mask.to_le_bytes());
    list.extend(everyone);
    let list = write(world, 0x300, &list);
    let owner = write(world, 0x340, &sid(5, &[18]));
    write(world, 0x380, &[1, 0, 4, 0, 0, 0, 0, 0]);
    for (index, part) in [owner, owner, 0, list].into_iter().enumerate() {
        world.store(0x380 + 4_u64.next_multiple_of(width) + index as u64 * width, part);
    }
    world.scratch(0x380)
}

#[test]
fn an_access_check_reads_the_list_for_a_client() {
    each(|world, edition| {
        let own = own_token(world, ALL);
        let (_, client) = duplicate(world, own, 1, IMPERSONATION);
        let descriptor = descriptor(world, 0x1);
        let mapping = write(world, 0x3c0, &[1_u32, 2, 4, 7].map(u32::to_le_bytes).concat());
        let (set, set_bytes) = (world.scratch(0x400), write(world, 0x3e0, &20_u32.to_le_bytes()));
        let (granted, status) = (write(world, 0x3e4, &[0xa5; 4]), write(world, 0x3e8, &[0xa5; 4]));
        let check = |world: &mut World, token: u64, wanted: u64| {
            let arguments = [descriptor, token, wanted, mapping, set, set_bytes, granted, status];
            let answer = world.call("NtAccessCheck", &arguments) as u32;
            let read = world.kernel().read_vec(UserPtr::new(granted), 8).expect("scratch memory");
            (answer, number(&read, 0, 4) as u32, number(&read, 4, 4) as u32)
        };
        assert_eq!(check(world, client, 0x1), (SUCCESS, 0x1, SUCCESS), "{}", edition.name);
        assert_eq!(check(world, client, 0x3), (SUCCESS, 0, ACCESS_DENIED), "{}", edition.name);
        assert_eq!(check(world, client, 0x0200_0000), (SUCCESS, 0x1, SUCCESS), "as much as there is");
        assert_eq!(check(world, client, 0x8000_0000).0, 0xc000_00e6, "{}", edition.name);
        assert_eq!(check(world, own, 0x1).0, NO_IMPERSONATION_TOKEN, "{}", edition.name);
    });
}

#[test]
fn an_object_tells_the_descriptor_that_was_set() {
    each(|world, edition| {
        let event = world.call("CreateEventA", &[0, 0, 0, 0]);
        let needed = world.store(LENGTH, 0);
        let query = |world: &mut World, parts: u64, room: u64| {
            let to = write(world, BUFFER, &[0xa5; 0x100]);
            let status = world.call("NtQuerySecurityObject", &[event, parts, to, room, needed]) as u32;
            let length = world.load(LENGTH) & 0xffff_ffff;
            (status, world.kernel().read_vec(UserPtr::new(to), length).expect("scratch memory"))
        };
        let (status, owner) = query(world, 1, 0x100);
        assert_eq!((status, owner.len()), (SUCCESS, 20 + 28), "{}", edition.name);
        assert_eq!(owner[20..], sid(5, &ACCOUNT), "{}", edition.name);
        assert_eq!(query(world, 1, 47).0, BUFFER_TOO_SMALL);
        let descriptor = descriptor(world, 0x1f);
        assert_eq!(world.call("NtSetSecurityObject", &[event, 4, descriptor]), 0);
        let (_, list) = query(world, 4, 0x100);
        assert_eq!((number(&list, 16, 4), number(&list, 32, 4)), (20, 0x1f), "{}", edition.name);
        assert_eq!(query(world, 1, 0x100).1, owner, "{}: the rest is as it was", edition.name);
        assert_eq!(world.call("NtSetSecurityObject", &[event, 1, descriptor]) as u32, INVALID_OWNER);
    });
}

#[test]
fn local_identifiers_are_never_the_same() {
    each(|world, edition| {
        let at = world.scratch(0x40);
        let mut next = || {
            assert_eq!(world.call("NtAllocateLocallyUniqueId", &[at]), 0);
            number(&world.kernel().read_vec(UserPtr::new(at), 8).expect("scratch memory"), 0, 8)
        };
        let numbers = [next(), next(), next()];
        assert!(numbers.is_sorted_by(|a, b| a < b), "{}: {numbers:?}", edition.name);
        let places = [0x50, 0x58, 0x5c, 0x60].map(|offset| world.scratch(offset));
        let mut time = || {
            assert_eq!(world.call("NtAllocateUuids", &places), 0);
            number(&world.kernel().read_vec(UserPtr::new(places[0]), 8).expect("scratch memory"), 0, 8)
        };
        let (first, second) = (time(), time());
        assert!(second >= first + 10_000, "{}: each call has its own times", edition.name);
    });
}
