//! Installs that fail, at each step, and those that are stopped.

use super::shop::{Shop, Tar, WINE_X64, dll, failed, put_wine};
use crate::scene::outcome;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Something that does not happen within this time does not happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is wrong, how it comes about, and the words that say so.
type Step = (&'static str, fn(&Shop), &'static [&'static str]);

const STEPS: [Step; 10] = [
    (
        "no suite",
        |shop| {
            for suite in ["stable", "bookworm"] {
                fs::remove_dir_all(shop.path(suite)).expect("there");
            }
        },
        &["stable of http://shop.example/debian", "bookworm of", "there is no suite"],
    ),
    ("no package", |shop| shop_without(shop, "libwine"), &["Unable to locate package libwine"]),
    ("no second package", |shop| shop_without(shop, "libz"), &["Unable to locate package libz-mingw-w64"]),
    (
        "no answer",
        |shop| fs::write(shop.path("is closed"), "").expect("a fresh name"),
        &["libwine:amd64 cannot be loaded", "the shop is closed"],
    ),
    (
        "no archive configured",
        |shop| fs::remove_file(shop.path("sources.list")).expect("there"),
        &["no Debian archive is configured", "--from"],
    ),
    ("no DLLs", |shop| put_wine(shop, Tar::new()), &["no ntdll.dll for x64"]),
    (
        "other DLLs",
        |shop| {
            let mut tar = Tar::wine("x64");
            tar.file(&format!("{WINE_X64}/user32.dll"), &dll("x86"));
            put_wine(shop, tar);
        },
        &["user32.dll", "not for x64"],
    ),
    (
        "no DLL in a DLL's place",
        |shop| {
            let mut tar = Tar::wine("x64");
            tar.file(&format!("{WINE_X64}/user32.dll"), b"no image");
            put_wine(shop, tar);
        },
        &["user32.dll", "no DLL"],
    ),
    (
        "twice the same",
        |shop| {
            let mut tar = Tar::wine("x64");
            tar.file(&format!("{WINE_X64}/NTDLL.dll"), &dll("x64"));
            put_wine(shop, tar);
        },
        &["NTDLL.dll", "twice"],
    ),
    (
        "an archive that is cut",
        |shop| {
            let path = shop.path("stable/libwine_10.0~repack-6_amd64.deb");
            let mut bytes = fs::read(&path).expect("there");
            bytes.truncate(bytes.len() / 2);
            fs::write(path, bytes).expect("our file");
        },
        &["libwine 10.0~repack-6 cannot be read"],
    ),
];

#[test]
fn each_step_that_fails_is_named_and_leaves_nothing() {
    for (what, change, words) in STEPS {
        let shop = Shop::with_wine();
        change(&shop);
        let done = shop.vadose("sysroot install");
        assert_eq!(done.code, Some(125), "{what}: {}", done.err);
        failed(&done, 125, words);
        shop.nothing_is_left();
    }
}

fn shop_without(shop: &Shop, name: &str) {
    for suite in ["stable", "bookworm"] {
        let entries = fs::read_dir(shop.path(suite)).expect("there").flatten();
        for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(name)) {
            fs::remove_file(entry.path()).expect("our file");
        }
    }
}

#[test]
fn programs_that_are_missing_are_named_with_the_way_out() {
    let shop = Shop::with_wine();
    let mut command = shop.command("sysroot install");
    failed(
        &outcome(command.env("PATH", shop.path("etc"))),
        125,
        &["apt-config is not on this machine", "--from"],
    );
    fs::remove_file(shop.path("bin/dpkg-deb")).expect("there");
    fs::create_dir(shop.path("tools")).expect("a fresh folder");
    for tool in ["sed", "cp", "wc", "basename", "sh"] {
        let place = ["/bin", "/usr/bin"]
            .map(|folder| Path::new(folder).join(tool))
            .into_iter()
            .find(|path| path.exists());
        symlink(place.expect("every Linux has it"), shop.path("tools").join(tool)).expect("a fresh name");
    }
    let path = format!("{}:{}", shop.path("bin").display(), shop.path("tools").display());
    let mut command = shop.command("sysroot install");
    failed(&outcome(command.env("PATH", path)), 125, &["dpkg-deb is not on this machine", "dpkg"]);
    shop.nothing_is_left();
}

#[test]
fn a_place_that_cannot_be_used_is_named() {
    let shop = Shop::with_wine();
    let mut command = shop.command("sysroot install");
    let done = outcome(command.env("XDG_CACHE_HOME", shop.path("sources.list")));
    failed(&done, 125, &["the folder of sysroots cannot be used", "sources.list/vadose/sysroots"]);
    let mut command = shop.command("sysroot install");
    let done = outcome(command.env_remove("HOME").env_remove("XDG_CACHE_HOME"));
    failed(&done, 125, &["neither XDG_CACHE_HOME nor HOME"]);
    let home = shop.path("");
    let mut command = shop.command("sysroot install");
    let done = outcome(command.env("HOME", &home).env("XDG_CACHE_HOME", "relative"));
    assert!(
        done.out.contains(&format!("{}.cache/vadose/sysroots/wine-10.0-x64", home.display())),
        "{}",
        done.out
    );
}

#[test]
fn a_full_disk_is_told_and_leaves_nothing() {
    let shop = Shop::with_wine();
    let mut tar = Tar::wine("x64");
    let mut large = dll("x64");
    large.resize(1 << 20, 1);
    tar.file(&format!("{WINE_X64}/user32.dll"), &large);
    put_wine(&shop, tar);
    let full = "trap '' XFSZ; ulimit -f 64; exec \"$0\" sysroot install --from stable/libwine_*_amd64.deb";
    let mut command = Command::new("sh");
    command.args(["-c", full, env!("CARGO_BIN_EXE_vadose")]).current_dir(shop.path("")).stdin(Stdio::null());
    let path = format!("{}:/usr/bin:/bin", shop.path("bin").display());
    command.env("PATH", path).env("XDG_CACHE_HOME", shop.path("cache"));
    failed(&outcome(&mut command), 125, &["Windows/System32/user32.dll cannot be written", "too large"]);
    shop.nothing_is_left();
}

/// Waits for a file that a script makes.
#[track_caller]
fn wait_for(path: &Path) -> String {
    let began = Instant::now();
    loop {
        match fs::read_to_string(path) {
            Ok(text) if text.ends_with('\n') => return text.trim().to_owned(),
            Ok(_) | Err(_) => assert!(began.elapsed() < PATIENCE, "{} does not come", path.display()),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn an_install_that_is_interrupted_leaves_nothing_and_nobody() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let shop = Shop::with_wine();
        let mut command = shop.command("sysroot install --suite slow");
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("vadose is built");
        let client = wait_for(&shop.path("slow"));
        kill_process(Pid::from_child(&child), signal).expect("it runs");
        let done = child.wait_with_output().expect("it ends");
        assert_eq!(done.status.code(), Some(code), "{}", String::from_utf8_lossy(&done.stderr));
        shop.nothing_is_left();
        assert!(!Path::new("/proc").join(client).exists(), "the client has ended too");
    }
}

#[test]
fn what_a_killed_install_leaves_is_swept_by_the_next() {
    let shop = Shop::with_wine();
    let mut command = shop.command("sysroot install --suite slow");
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("vadose is built");
    let client = wait_for(&shop.path("slow")).parse().expect("a number");
    shop.fails("sysroot install", 125, &["another `vadose sysroot` is at work"]);
    shop.fails("sysroot remove --all", 125, &["another `vadose sysroot` is at work"]);
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    kill_process(Pid::from_raw(client).expect("a process"), Signal::KILL).expect("it runs on");
    assert_eq!(fs::read_dir(shop.sysroots()).expect("there").count(), 1, "what it left");
    assert!(shop.says("sysroot list").contains("No sysroot is installed"));
    shop.says("sysroot install");
    let names: Vec<_> =
        fs::read_dir(shop.sysroots()).expect("there").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(names, ["wine-10.0-x64"]);
}
