//! The smaller DLLs through the system-call door: random numbers, timers, sockets without a network, error reports.

use crate::world::World;
use vadose_nt::UserPtr;

const EDITIONS: [&str; 3] = ["winxp-x86", "win7-x86", "win10-x64"];

fn each(check: impl Fn(&mut World)) {
    for edition in EDITIONS {
        check(&mut World::running(edition, "hello"));
    }
}

#[test]
fn random_bytes_are_the_runs_own() {
    each(|world| {
        let at = world.store(0, 0);
        for function in ["ProcessPrng", "SystemFunction036"] {
            world.kernel().write(UserPtr::new(at), &[0; 16]).expect("the stack is there");
            assert_eq!(world.call(function, &[at, 8]) & 0xff, 1);
            let bytes = world.kernel().read_vec(UserPtr::new(at), 16).expect("readable");
            assert_eq!(bytes, [[0x5a; 8], [0; 8]].concat(), "{function}: what the host gives, and no more");
        }
    });
}

#[test]
fn a_timer_period_is_checked() {
    each(|world| {
        for (period, answer) in [(0, 97), (1, 0), (16, 0), (1_000_000, 0), (1_000_001, 97)] {
            assert_eq!(world.call("timeBeginPeriod", &[period]), answer);
            assert_eq!(world.call("timeEndPeriod", &[period]), answer);
        }
        let before = world.call("timeGetTime", &[]);
        world.call("Sleep", &[250]);
        assert!(world.call("timeGetTime", &[]) >= before + 250);
    });
}

/// Winsock starts and agrees on a version; a socket there is none.
#[test]
fn sockets_say_that_the_network_is_down() {
    each(|world| {
        let socket = |world: &mut World| {
            let made = world.call("WSASocketW", &[2, 1, 6, 0, 0, 0]) as u32;
            (made, world.call("WSAGetLastError", &[]))
        };
        assert_eq!(socket(world), (u32::MAX, 10093), "not started");
        let data = world.scratch(0x40);
        assert_eq!(world.call("WSAStartup", &[0x0200, data]), 10092);
        for (wanted, agreed) in [(0x0202, 0x0202), (0x0101, 0x0101), (0x0002, 0x0002), (0x0009, 0x0202)] {
            assert_eq!(world.call("WSAStartup", &[wanted, data]), 0);
            assert_eq!(world.kernel().read_u32(UserPtr::new(data)).expect("readable"), 0x0202_0000 | agreed);
        }
        assert_eq!(socket(world), (u32::MAX, 10050));
        assert_eq!(world.call("closesocket", &[4]) as u32, u32::MAX);
        assert_eq!(world.call("WSAGetLastError", &[]), 10038);
        let ends = [0; 5].map(|_| world.call("WSACleanup", &[]) as u32);
        assert_eq!(ends, [0, 0, 0, 0, u32::MAX]);
        assert_eq!(socket(world), (u32::MAX, 10093));
    });
}

#[test]
fn settings_are_told_back() {
    each(|world| {
        let (at, own) =
            (world.store(0, 0), if world.nt.edition().pointer_bytes() == 8 { u64::MAX } else { 0xffff_ffff });
        assert_eq!(world.call("WerSetFlags", &[0x20]), 0);
        assert_eq!((world.call("WerGetFlags", &[own, at]), world.load(0)), (0, 0x20));
        assert_eq!(world.call("WerGetFlags", &[0x7770, at]), 0x8007_0006);
        assert_eq!(world.call("SetProcessPriorityBoost", &[own, 1]), 1);
        assert_eq!((world.call("GetProcessPriorityBoost", &[own, at]), world.load(0)), (1, 1));
    });
}

#[test]
fn versions_are_the_editions() {
    for (edition, numbers) in
        [("winxp-x86", [5, 1, 2600]), ("win7-x86", [6, 1, 7601]), ("win10-x64", [10, 0, 19044])]
    {
        let mut world = World::running(edition, "hello");
        let at = world.scratch(0x100);
        world.kernel().write_u32(UserPtr::new(at), 284).expect("the stack is there");
        assert_eq!(world.call("RtlGetVersion", &[at]), 0);
        let told =
            [4, 8, 12].map(|place| world.kernel().read_u32(UserPtr::new(at + place)).expect("readable"));
        assert_eq!(told, numbers, "{edition}");
        world.call("RtlGetNtVersionNumbers", &[at, 0, at + 8]);
        let told = [0, 8].map(|place| world.kernel().read_u32(UserPtr::new(at + place)).expect("readable"));
        assert_eq!(told, [numbers[0], numbers[2] | 0xf000_0000], "{edition}");
        assert_eq!(world.call("RtlGetCurrentPeb", &[]), world.nt.process().peb.raw(), "{edition}");
    }
}
