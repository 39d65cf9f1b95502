//! What a console program and its C runtime ask of kernel32, through the system-call door: results and last errors.

use crate::world::World;
use vadose_nt::{Ending, UserPtr};

const EDITIONS: [&str; 3] = ["winxp-x86", "win7-x86", "win10-x64"];
const GENERIC_READ: u64 = 0x8000_0000;
const OPEN_EXISTING: u64 = 3;

fn each(check: impl Fn(&mut World)) {
    for edition in EDITIONS {
        check(&mut World::running(edition, "hello"));
    }
}

/// `INVALID_HANDLE_VALUE` and other minus ones as the program's register has them.
fn minus_one(world: &World) -> u64 {
    if world.nt.edition().pointer_bytes() == 8 { u64::MAX } else { 0xffff_ffff }
}

/// Zero-terminated ANSI text among the test's variables.
fn put(world: &mut World, offset: u64, text: &str) -> u64 {
    let at = world.scratch(offset);
    let bytes: Vec<u8> = text.bytes().chain([0]).collect();
    world.kernel().write(UserPtr::new(at), &bytes).expect("the stack is there");
    at
}

fn put_wide(world: &mut World, offset: u64, text: &str) -> u64 {
    let at = world.scratch(offset);
    let units: Vec<u16> = text.encode_utf16().chain([0]).collect();
    world.kernel().write_wide(UserPtr::new(at), &units).expect("the stack is there");
    at
}

fn get(world: &mut World, at: u64) -> String {
    let bytes = world.kernel().read_c_string(UserPtr::new(at)).expect("readable");
    String::from_utf8(bytes).expect("ASCII")
}

fn get_wide(world: &mut World, at: u64) -> String {
    String::from_utf16(&world.kernel().read_wide_string(UserPtr::new(at)).expect("readable")).expect("UTF-16")
}

fn bytes(world: &mut World, at: u64, count: u64) -> Vec<u8> {
    world.kernel().read_vec(UserPtr::new(at), count).expect("readable")
}

/// SPEC K1 K15: a heap's handle is its region's base; blocks are aligned to 8 bytes, to 16 in 64-bit programs.
#[test]
fn random_heap_blocks_keep_their_contents() {
    each(|world| {
        let granule = 2 * world.nt.edition().pointer_bytes();
        let heap = world.call("HeapCreate", &[0, 0, 0]);
        assert_eq!(heap % 0x1_0000, 0);
        let mut live: Vec<(u64, u64, u8)> = Vec::new();
        let mut state = 1_u64;
        let mut dice = |limit: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
            (state >> 33) % limit
        };
        for step in 0..600_u64 {
            let size = if dice(40) == 0 { 0x8_0000 + dice(0x18_0000) } else { dice(3000) };
            let mark = step as u8;
            match dice(3) {
                0 if !live.is_empty() => {
                    let (at, size, mark) = live.swap_remove(dice(live.len() as u64) as usize);
                    assert!(bytes(world, at, size).iter().all(|byte| *byte == mark), "step {step}");
                    assert_eq!(world.call("HeapFree", &[heap, 0, at]), 1);
                }
                1 if !live.is_empty() => {
                    let index = dice(live.len() as u64) as usize;
                    let (at, old, mark) = live[index];
                    let moved = world.call("HeapReAlloc", &[heap, 0, at, size]);
                    assert_ne!(moved, 0);
                    let kept = bytes(world, moved, old.min(size));
                    assert!(kept.iter().all(|byte| *byte == mark), "step {step}");
                    let fill = vec![mark; size as usize];
                    world.kernel().write(UserPtr::new(moved), &fill).expect("a block is writable");
                    live[index] = (moved, size, mark);
                }
                _ => {
                    let at = world.call("HeapAlloc", &[heap, 8, size]);
                    assert!(at != 0 && at % granule == 0, "step {step}");
                    assert!(bytes(world, at, size).iter().all(|byte| *byte == 0), "step {step}");
                    assert_eq!(world.call("HeapSize", &[heap, 0, at]), size);
                    let fill = vec![mark; size as usize];
                    world.kernel().write(UserPtr::new(at), &fill).expect("a block is writable");
                    live.push((at, size, mark));
                }
            }
        }
        assert_eq!(world.call("HeapDestroy", &[heap]), 1);
        assert_eq!(world.call("HeapAlloc", &[heap, 0, 1]), 0);
        assert_eq!(world.last_error(), 6);
        world.mm.audit().expect("the memory manager's books are in order");
    });
}

/// SPEC K3 K9: a fixed heap does not grow and has no large blocks; the default heap cannot be destroyed.
#[test]
fn fixed_heaps_end_and_the_default_heap_stays() {
    each(|world| {
        let heap = world.call("HeapCreate", &[0, 0, 0x10_0000]);
        assert_eq!(world.call("HeapAlloc", &[heap, 0, 0x10_0000]), 0);
        assert_eq!(world.last_error(), 8);
        let mut count = 0;
        while world.call("HeapAlloc", &[heap, 0, 0x8000]) != 0 {
            count += 1;
        }
        assert!((28..32).contains(&count), "{count} blocks");
        let default = world.call("GetProcessHeap", &[]);
        assert_eq!(world.call("HeapDestroy", &[default]), 0);
        assert_ne!(world.call("HeapAlloc", &[default, 0, 8]), 0);
        assert_eq!(world.call("HeapFree", &[default, 0, 0]), 1);
    });
}

/// SPEC K6 K7: a block above the threshold has an allocation of its own, which goes when it is freed.
#[test]
fn large_blocks_have_regions_of_their_own() {
    each(|world| {
        let heap = world.call("GetProcessHeap", &[]);
        let before = world.mm.process_counters(world.nt.process().id).virtual_pages;
        let at = world.call("HeapAlloc", &[heap, 0, 0x20_0000]);
        let info = world.kernel().query(vadose_facts::addr::VirtAddr::new(at)).expect("user space");
        let base = info.allocation_base.expect("allocated").raw();
        assert!(at - base <= 0x40 && base % 0x1_0000 == 0);
        assert_eq!(world.call("HeapFree", &[heap, 0, at]), 1);
        let after = world.mm.process_counters(world.nt.process().id).virtual_pages;
        assert_eq!(before, after);
    });
}

#[test]
fn movable_memory_is_locked_by_its_handle() {
    each(|world| {
        let handle = world.call("LocalAlloc", &[0x42, 100]);
        let memory = world.call("LocalLock", &[handle]);
        assert_eq!(bytes(world, memory, 100), [0; 100]);
        assert_eq!(world.call("LocalHandle", &[memory]), handle);
        assert_eq!(world.call("LocalSize", &[handle]), 100);
        assert_eq!(world.call("LocalFlags", &[handle]), 1);
        assert_eq!((world.call("LocalUnlock", &[handle]), world.last_error()), (0, 0));
        assert_eq!((world.call("LocalUnlock", &[handle]), world.last_error()), (0, 158));
        assert_eq!(world.call("LocalFree", &[handle]), 0);
        assert_eq!(world.call("LocalFree", &[handle]), handle);
    });
}

#[test]
fn duplicates_of_a_handle_share_its_position_and_close_one_by_one() {
    each(|world| {
        let before = world.host.open_files();
        let name = put(world, 0, "C:\\work\\guest.exe");
        let file = world.call("CreateFileA", &[name, GENERIC_READ, 3, 0, OPEN_EXISTING, 0, 0]);
        let second = world.store(0x220, 0);
        let own = minus_one(world);
        assert_eq!(world.call("DuplicateHandle", &[own, file, own, second, 0, 0, 2]), 1);
        let second = world.load(0x220);
        assert_eq!(world.call("SetFilePointer", &[second, 2, 0, 0]), 2);
        assert_eq!(world.call("SetFilePointer", &[file, 0, 0, 1]), 2);
        assert_eq!(world.call("CompareObjectHandles", &[file, second]), 1);
        assert_eq!(world.call("SetHandleInformation", &[second, 2, 2]), 1);
        assert_eq!(world.call("CloseHandle", &[file]), 1);
        assert_eq!((world.call("CloseHandle", &[file]), world.last_error()), (0, 6));
        assert_eq!((world.call("CloseHandle", &[second]), world.last_error()), (0, 6));
        assert_eq!(world.call("SetHandleInformation", &[second, 2, 0]), 1);
        assert_eq!(world.call("SetFilePointer", &[second, 0, 0, 1]), 2);
        assert_eq!(world.call("CloseHandle", &[second]), 1);
        assert_eq!(world.host.open_files(), before);
    });
}

#[test]
fn full_paths_tell_where_their_last_part_begins() {
    each(|world| {
        let (name, path, part) =
            (put_wide(world, 0x300, "..\\x.y"), world.scratch(0x400), world.scratch(0x380));
        assert_eq!(world.call("GetFullPathNameW", &[name, 6, path, part]), 7);
        assert_eq!(world.call("GetFullPathNameW", &[name, 7, path, part]), 6);
        assert_eq!(get_wide(world, path), "C:\\x.y");
        assert_eq!(world.load(0x380), path + 6);
        assert_eq!(world.call("GetCurrentDirectoryW", &[3, path]), 8);
        assert_eq!(world.call("GetCurrentDirectoryW", &[8, path]), 7);
        assert_eq!(get_wide(world, path), "C:\\work");
    });
}

#[test]
fn variables_are_set_read_expanded_and_removed() {
    each(|world| {
        let (name, value, to) =
            (put_wide(world, 0, "New"), put_wide(world, 0x100, "valué"), world.scratch(0x200));
        assert_eq!(world.call("SetEnvironmentVariableW", &[name, value]), 1);
        let upper = put(world, 0x180, "NEW");
        assert_eq!(world.call("GetEnvironmentVariableA", &[upper, to, 5]), 6);
        assert_eq!(world.call("GetEnvironmentVariableA", &[upper, to, 6]), 5);
        assert_eq!(bytes(world, to, 6), b"valu\xe9\0");
        let template = put_wide(world, 0x180, "%new%-%a%-%none%");
        assert_eq!(world.call("ExpandEnvironmentStringsW", &[template, to, 100]), 15);
        assert_eq!(get_wide(world, to), "valué-1-%none%");
        assert_eq!(world.call("SetEnvironmentVariableW", &[name, 0]), 1);
        assert_eq!(world.call("GetEnvironmentVariableW", &[name, to, 100]), 0);
        assert_eq!(world.last_error(), 203);
        let block = world.call("GetEnvironmentStringsW", &[]);
        assert_eq!(get_wide(world, block), "A=1");
        assert_eq!(get_wide(world, block + 8), "Path=C:\\");
        assert_eq!(bytes(world, block + 8 + 18, 2), [0, 0]);
        assert_eq!(world.call("FreeEnvironmentStringsW", &[block]), 1);
    });
}

#[test]
fn conversions_count_refuse_and_replace_as_windows_does() {
    each(|world| {
        let (from, to, used) = (put_wide(world, 0, "aé€中"), world.scratch(0x100), world.store(0x80, 0));
        let minus = 0xffff_ffff;
        assert_eq!(world.call("WideCharToMultiByte", &[65001, 0, from, minus, 0, 0, 0, 0]), 10);
        assert_eq!(world.call("WideCharToMultiByte", &[1252, 0, from, 4, to, 100, 0, used]), 4);
        assert_eq!((bytes(world, to, 4), world.load(0x80) & 1), (b"a\xe9\x80?".to_vec(), 1));
        assert_eq!(world.call("WideCharToMultiByte", &[1252, 0, from, 4, to, 3, 0, 0]), 0);
        assert_eq!(world.last_error(), 122);
        assert_eq!(world.call("WideCharToMultiByte", &[65001, 0, from, 4, to, 100, 0, used]), 0);
        assert_eq!(world.last_error(), 87);
        assert_eq!(world.call("WideCharToMultiByte", &[65001, 0x400, from, 4, to, 100, 0, 0]), 0);
        assert_eq!(world.last_error(), 1004);
        let broken = put(world, 0, "x\u{e9}");
        assert_eq!(world.call("MultiByteToWideChar", &[65001, 8, broken, 2, to, 100]), 0);
        assert_eq!(world.last_error(), 1113);
        assert_eq!(world.call("MultiByteToWideChar", &[65001, 0, broken, 2, to, 100]), 2);
        assert_eq!(bytes(world, to, 4), [b'x', 0, 0xfd, 0xff]);
        assert_eq!(world.call("MultiByteToWideChar", &[932, 0, broken, 2, to, 100]), 0);
        assert_eq!(world.last_error(), 87);
        assert_eq!(world.call("GetACP", &[]), 1252);
    });
}

#[test]
fn critical_sections_have_windows_fields_and_never_let_the_only_thread_wait() {
    each(|world| {
        let at = world.scratch(0);
        let width = world.nt.edition().pointer_bytes();
        let new = world.nt.edition().version.major >= 6;
        let count = |world: &mut World| bytes(world, at + width, 4);
        world.call("InitializeCriticalSection", &[at]);
        assert_eq!(count(world), [0xff; 4]);
        world.call("EnterCriticalSection", &[at]);
        world.call("EnterCriticalSection", &[at]);
        let locked = if new { [0xfe, 0xff, 0xff, 0xff] } else { [1, 0, 0, 0] };
        assert_eq!(count(world), locked);
        let recursion = bytes(world, at + width + 4, 4);
        assert_eq!(recursion, [2, 0, 0, 0]);
        world.call("LeaveCriticalSection", &[at]);
        assert_eq!(world.call("TryEnterCriticalSection", &[at]), 1);
        world.call("LeaveCriticalSection", &[at]);
        world.call("LeaveCriticalSection", &[at]);
        assert_eq!(count(world), [0xff; 4]);
    });
}

#[test]
fn waits_pass_time_out_or_end_the_run_as_a_deadlock() {
    each(|world| {
        let event = world.call("CreateEventW", &[0, 0, 1, 0]);
        let now = |world: &mut World| world.call("GetTickCount", &[]);
        assert_eq!(world.call("WaitForSingleObject", &[event, 0]), 0);
        let before = now(world);
        assert_eq!(world.call("WaitForSingleObject", &[event, 1000]), 258);
        assert!((984..=1016).contains(&(now(world) - before)));
        assert_eq!(world.call("SetEvent", &[event]), 1);
        let handles = world.store(0, event);
        assert_eq!(world.call("WaitForMultipleObjects", &[1, handles, 0, 0xffff_ffff]), 0);
        world.call("WaitForSingleObject", &[event, 0xffff_ffff]);
        let Some(Ending::Deadlock(stuck)) = world.nt.ending() else { panic!("nothing can end the wait") };
        let waits: Vec<(u32, &str)> = stuck.iter().map(|one| (one.tid, one.waits_for.as_str())).collect();
        assert_eq!(waits, [(0x5cc, "an event")]);
    });
}

#[test]
fn named_objects_are_shared_and_have_one_kind() {
    each(|world| {
        let name = put(world, 0, "Local\\gate");
        let first = world.call("CreateSemaphoreA", &[0, 1, 2, name]);
        assert_eq!(world.last_error(), 0);
        let second = world.call("OpenSemaphoreA", &[0x1f_0003, 0, name]);
        assert_eq!(world.call("WaitForSingleObject", &[first, 0]), 0);
        assert_eq!(world.call("WaitForSingleObject", &[second, 0]), 258);
        assert_eq!(world.call("CreateSemaphoreA", &[0, 1, 2, name]) % 4, 0);
        assert_eq!(world.last_error(), 183);
        assert_eq!((world.call("CreateMutexA", &[0, 0, name]), world.last_error()), (0, 6));
        assert_eq!((world.call("ReleaseSemaphore", &[first, 3, 0]), world.last_error()), (0, 298));
        let other = put(world, 0, "other");
        assert_eq!((world.call("OpenSemaphoreA", &[2, 0, other]), world.last_error()), (0, 2));
    });
}

#[test]
fn thread_local_slots_are_in_the_teb_and_behind_it() {
    each(|world| {
        let teb = world.nt.threads().current().expect("a thread").teb.raw();
        let (slots, width) = (world.nt.layouts().teb.tls_slots, world.nt.edition().pointer_bytes());
        let first = world.call("TlsAlloc", &[]);
        assert_eq!(world.call("TlsSetValue", &[first, 0x1234]), 1);
        let at = UserPtr::new(teb + u64::from(slots) + first * width);
        assert_eq!(world.kernel().read_word(at), Ok(0x1234));
        let last = (0..1087).map(|_| world.call("TlsAlloc", &[])).last();
        assert_eq!(last, Some(first + 1087));
        assert_eq!(world.call("TlsAlloc", &[]) & 0xffff_ffff, 0xffff_ffff);
        assert_eq!(world.call("TlsSetValue", &[1087, 7]), 1);
        assert_eq!(world.call("TlsGetValue", &[1087]), 7);
        assert_eq!(world.call("TlsFree", &[1087]), 1);
        assert_eq!((world.call("TlsFree", &[1087]), world.last_error()), (0, 87));
        assert_eq!(world.call("TlsAlloc", &[]), 1087);
        assert_eq!(world.call("TlsGetValue", &[1087]), 0);
    });
}

#[test]
fn system_messages_are_formatted_with_their_inserts() {
    each(|world| {
        let to = world.scratch(0x100);
        let text = "The system cannot find the file specified.\r\n";
        assert_eq!(world.call("FormatMessageA", &[0x1200, 0, 2, 0, to, 100, 0]), text.len() as u64);
        assert_eq!(get(world, to), text);
        assert_eq!(
            (world.call("FormatMessageA", &[0x1200, 0, 2, 0, to, 10, 0]), world.last_error()),
            (0, 122)
        );
        let template = put(world, 0, "%1!04x! is %2%%%n");
        let word = put(world, 0x40, "bad");
        world.store(0x80, 0xab);
        let width = world.nt.edition().pointer_bytes();
        world.store(0x80 + width, word);
        let inserts = world.scratch(0x80);
        let pointer = world.scratch(0xc0);
        let length = world.call("FormatMessageA", &[0x2500, template, 0, 0, pointer, 0, inserts]);
        assert_eq!(length, 14);
        let made = world.load(0xc0);
        assert_eq!(get(world, made), "00ab is bad%\r\n");
        assert_eq!(world.call("LocalFree", &[made]), 0);
    });
}

#[test]
fn encoded_pointers_differ_and_come_back() {
    each(|world| {
        let code = world.call("EncodePointer", &[0x1234_5678]);
        assert_ne!(code, 0x1234_5678);
        assert_eq!(world.call("DecodePointer", &[code]), 0x1234_5678);
    });
}
