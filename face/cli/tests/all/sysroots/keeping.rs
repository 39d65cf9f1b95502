//! Sysroots that are there: listed, removed, and found by a run.

use super::json;
use super::shop::{Shop, dll};
use std::fs;
use std::os::unix::fs::symlink;

#[test]
fn the_list_tells_what_is_damaged() {
    let shop = Shop::with_wine();
    assert!(shop.says("sysroot list").starts_with("No sysroot is installed"));
    assert_eq!(json(&shop.says("sysroot list --format json")), json("[]"));
    shop.nothing_is_left();
    shop.says("sysroot install --arch all");
    assert_eq!(shop.says("sysroot list").matches("complete").count(), 2);
    let system = shop.sysroots().join("wine-10.0-x86/Windows/System32");
    fs::remove_file(system.join("zlib1.dll")).expect("there");
    let mut changed = dll("x86");
    changed[200] ^= 1;
    fs::write(system.join("ntdll.dll"), changed).expect("there");
    let list = json(&shop.says("sysroot list --format json"));
    assert_eq!((&list[0]["complete"], &list[1]["complete"]), (&true.into(), &false.into()));
    assert_eq!(list[1]["damaged"], json(r#"["Windows/System32/zlib1.dll"]"#));
    let text = shop.says("sysroot list --verify");
    assert!(text.contains("2 files damaged") && text.contains("Windows/System32/ntdll.dll"), "{text}");
}

#[test]
fn only_what_was_installed_is_removed() {
    let shop = Shop::with_wine();
    shop.says("sysroot install --arch all");
    shop.says("sysroot install --name third");
    let elsewhere = shop.path("elsewhere");
    fs::rename(shop.sysroots().join("third"), &elsewhere).expect("there");
    symlink(&elsewhere, shop.sysroots().join("third")).expect("the name is free");
    fs::create_dir(shop.sysroots().join("own")).expect("a fresh name");
    symlink(&elsewhere, shop.sysroots().join("wine-10.0-x64/link")).expect("a fresh name");
    shop.fails("sysroot remove third", 125, &["third", "not made by"]);
    shop.fails("sysroot remove own", 125, &["own", "not made by"]);
    shop.fails(
        "sysroot remove wine-10.0-x64 none",
        125,
        &["no sysroot none", "wine-10.0-x64, wine-10.0-x86"],
    );
    assert!(shop.sysroots().join("wine-10.0-x64").exists(), "one wrong name and nothing is removed");
    shop.fails("sysroot install --name third --force", 125, &["third", "not made by"]);
    for name in ["../vadose", "..", ".", "a/b", "-x"] {
        assert_eq!(shop.vadose(&format!("sysroot remove {name}")).code, Some(125), "{name}");
    }
    assert!(shop.says("sysroot remove wine-10.0-x64 wine-10.0-x64").contains("wine-10.0-x64 is removed"));
    assert!(shop.says("sysroot remove --all").contains("wine-10.0-x86 is removed"));
    let mut left: Vec<_> =
        fs::read_dir(shop.sysroots()).expect("there").flatten().map(|entry| entry.file_name()).collect();
    left.sort();
    assert_eq!(left, ["own", "third"]);
    assert!(elsewhere.join("Windows/System32/ntdll.dll").exists(), "what a link leads to stays");
    fs::remove_file(shop.sysroots().join("third")).expect("there");
    fs::remove_dir(shop.sysroots().join("own")).expect("there");
    assert!(shop.says("sysroot remove --all").contains("No sysroot is installed"));
    assert!(!shop.path("cache/vadose").exists());
}

#[cfg(feature = "unicorn")]
#[test]
fn a_run_finds_a_sysroot_by_its_name() {
    let shop = Shop::with_wine();
    shop.scene.put("hello.exe", "x64/hello.exe", |_| {});
    shop.scene.put("old.exe", "x86/hello.exe", |_| {});
    shop.fails("run --sysroot wine-9 hello.exe", 127, &["wine-9", "none is", "vadose sysroot install"]);
    shop.says("sysroot install");
    shop.fails("run --sysroot wine-9 hello.exe", 127, &["wine-9", "installed: wine-10.0-x64"]);
    shop.fails("map --sysroot wine-9 hello.exe", 127, &["wine-9"]);
    shop.fails("run --sysroot ./wine-10.0-x64 hello.exe", 125, &["no such folder"]);
    shop.fails("run --sysroot wine-10.0-x64 old.exe", 126, &["ntdll.dll", "x64"]);
    fs::create_dir(shop.path("wine-10.0-x64")).expect("a fresh name");
    let folder = shop.vadose("run --sysroot wine-10.0-x64 hello.exe");
    assert!(
        folder.code != Some(0) && folder.err.contains("ntdll.dll"),
        "a folder is meant first: {}",
        folder.err
    );
}
