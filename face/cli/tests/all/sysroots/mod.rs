//! `vadose sysroot` on a machine whose package client and package reader are small scripts.

mod failures;
mod keeping;
mod shop;

use serde_json::Value;
use shop::{FIRST, Shop, Tar, WINE_X64, dll, everything, put_wine};
use std::fs;
use tar::EntryType;

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// A DLL that imports another one by the name of zlib's.
fn needing_zlib() -> Vec<u8> {
    let mut bytes = dll("x64");
    let (old, new) = (b"KERNEL32.dll\0", b"zlib1.dll\0\0\0\0");
    let at = bytes.windows(old.len()).position(|window| window == old).expect("it imports from kernel32");
    bytes[at..at + new.len()].copy_from_slice(new);
    bytes
}

#[test]
fn an_install_keeps_dlls_and_tables_with_a_record_and_nothing_else() {
    let shop = Shop::with_wine();
    let said = shop.says("sysroot install");
    for words in ["wine-10.0-x64", "Wine 10.0 for x64", "libwine 10.0~repack-6 of stable", "5 files"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let root = "wine-10.0-x64";
    let system = format!("{root}/Windows/System32");
    let files = ["kernel32.dll", "kernelbase.dll", "locale.nls", "ntdll.dll", "zlib1.dll"];
    let mut all = vec![root.to_owned(), format!("{root}/Windows"), system.clone()];
    all.extend(files.map(|file| format!("{system}/{file}")));
    all.push(format!("{root}/vadose-sysroot.json"));
    assert_eq!(everything(&shop.sysroots()), all);
    assert_eq!(fs::read(shop.sysroots().join(&system).join("ntdll.dll")).expect("it is there"), dll("x64"));
    let record =
        fs::read_to_string(shop.sysroots().join(root).join("vadose-sysroot.json")).expect("a record");
    let record = json(&record);
    assert_eq!(
        (&record["wine"], &record["architecture"], &record["suite"]),
        (&"10.0".into(), &"x64".into(), &"stable".into())
    );
    assert_eq!(
        (&record["packages"][0]["version"], &record["packages"][1]["name"]),
        (&"10.0~repack-6".into(), &"libz-mingw-w64".into())
    );
    let table = &record["content"]["Windows/System32/locale.nls"];
    assert_eq!(table["bytes"], 7);
    assert_eq!(table["sha256"], "ad875d4bcb7fa0fef5d27aadd709b8ca253b2a10d15e8283d4dc7823bf26918e");
}

#[test]
fn the_newest_suite_is_asked_first_and_then_the_configured_one() {
    let shop = Shop::with_wine();
    shop.says("sysroot install");
    assert_eq!(
        shop.asked(),
        [
            "update  stable",
            "download libwine:amd64 stable yes",
            "download libz-mingw-w64 stable yes",
            "download libwine:amd64 stable",
            "download libz-mingw-w64 stable"
        ]
    );
    fs::remove_dir_all(shop.path("stable")).expect("it is there");
    let older = shop.vadose("sysroot install");
    assert!(older.out.contains("wine-8.0-x64 is installed"), "{}{}", older.out, older.err);
    assert!(
        older.err.contains("stable of http://shop.example/debian: apt-get said: there is no suite stable\n")
    );
    assert_eq!(shop.asked()[..2], ["update  stable", "update  bookworm"]);
    assert!(shop.says("sysroot install --suite bookworm --arch x86").contains("wine-8.0-x86"));
    assert_eq!(shop.asked()[0], "update  bookworm");
}

#[test]
fn what_is_there_is_not_loaded_again() {
    let shop = Shop::with_wine();
    shop.says("sysroot install");
    shop.asked();
    assert!(shop.says("sysroot install").contains("wine-10.0-x64 is installed already"));
    assert!(!shop.asked().iter().any(|line| line.ends_with("libwine:amd64 stable")), "no package is loaded");
    fs::write(shop.sysroots().join("wine-10.0-x64/Windows/System32/ntdll.dll"), "cut").expect("it is there");
    shop.fails("sysroot install", 125, &["not complete", "ntdll.dll", "--force"]);
    assert!(shop.says("sysroot install --force").contains("wine-10.0-x64 is installed:"));
    assert!(shop.says("sysroot list --verify").contains("complete"));
}

#[test]
fn each_architecture_gets_its_own() {
    let shop = Shop::with_wine();
    shop.says("sysroot install --arch all");
    for bits in ["x64", "x86"] {
        let system = shop.sysroots().join(format!("wine-10.0-{bits}/Windows/System32"));
        for name in FIRST.iter().chain(&["zlib1.dll"]) {
            assert_eq!(fs::read(system.join(name)).expect("it is there"), dll(bits), "{bits} {name}");
        }
    }
    let list = json(&shop.says("sysroot list --format json"));
    let names: Vec<_> = list.as_array().expect("a list").iter().map(|row| row["name"].clone()).collect();
    assert_eq!(names, ["wine-10.0-x64", "wine-10.0-x86"]);
}

#[test]
fn packages_that_are_there_already_are_taken_without_asking() {
    let shop = Shop::with_wine();
    let from =
        "sysroot install --from stable/libwine_10.0~repack-6_amd64.deb stable/libz-mingw-w64_1.3_all.deb";
    assert!(shop.says(from).contains("Wine 10.0 for x64 (libwine 10.0~repack-6), 5 files"));
    shop.says(&from.replace("amd64", "i386"));
    shop.says(&from.replace("--from", "--name mine --from"));
    assert_eq!(shop.asked(), [""; 0]);
    shop.fails(&from.replace("--from", "--arch x86 --from"), 125, &["none of the packages is for x86"]);
    shop.fails(
        "sysroot install --from stable/libz-mingw-w64_1.3_all.deb",
        125,
        &["none of the packages has Wine"],
    );
    shop.fails("sysroot install --from none.deb", 125, &["none.deb", "No such file"]);
    shop.fails(
        "sysroot install --from sources.list",
        125,
        &["sources.list", "no package", "not a Debian format archive"],
    );
    let mut tar = Tar::wine("x64");
    tar.file(&format!("{WINE_X64}/user32.dll"), &needing_zlib());
    let wine = shop.put("stable", "libwine", "10", "amd64", tar);
    let from = format!("sysroot install --from {}", wine.display());
    shop.fails(&from, 125, &["user32.dll needs zlib1.dll", "libz-mingw-w64"]);
    shop.says(&format!("{from} stable/libz-mingw-w64_1.3_all.deb"));
    let arm = shop.put("stable", "libwine", "10", "arm64", Tar::new());
    shop.fails(&format!("sysroot install --from {}", arm.display()), 125, &["for arm64"]);
}

#[test]
fn a_name_of_ones_own_is_kept_for_what_has_it() {
    let shop = Shop::with_wine();
    assert!(shop.says("sysroot install --name mine").contains("vadose run --sysroot mine"));
    shop.fails(
        "sysroot install --name mine --suite bookworm",
        125,
        &["mine is there", "10.0~repack-6", "--force"],
    );
    shop.fails("sysroot install --name mine --arch x86", 125, &["mine is there", "for x64"]);
    assert!(shop.says("sysroot install --name mine --suite bookworm --force").contains("Wine 8.0"));
    fs::create_dir(shop.sysroots().join("own")).expect("the folder is there");
    shop.fails("sysroot install --name own --force", 125, &["own", "not made by"]);
}

#[test]
fn paths_that_lead_elsewhere_and_links_write_nothing() {
    let shop = Shop::with_wine();
    let mut tar = Tar::wine("x64");
    let up = "../../../../../../../wine/x86_64-windows/up.dll";
    tar.file(up, &dll("x64"));
    tar.file(&format!("{WINE_X64}/../../../../../up2.dll"), &dll("x64"));
    let root = format!("{}/wine/x86_64-windows/root.dll", shop.path("").display());
    tar.file(&root[..root.len().min(99)], &dll("x64"));
    tar.entry(&format!("{WINE_X64}/link.dll"), EntryType::Symlink, "/etc/passwd", b"");
    tar.entry(&format!("{WINE_X64}/hard.dll"), EntryType::Link, "/etc/passwd", b"");
    tar.entry(&format!("{WINE_X64}/pipe.dll"), EntryType::Fifo, "", b"");
    tar.entry(WINE_X64, EntryType::Symlink, "/tmp", b"");
    tar.file(&format!("{WINE_X64}/behind.dll"), &dll("x64"));
    put_wine(&shop, tar);
    let before = shop.scene.names();
    shop.says("sysroot install");
    let mut after = shop.scene.names();
    after.retain(|name| name != "cache" && name != "asked");
    assert_eq!(after, before);
    let system = shop.sysroots().join("wine-10.0-x64/Windows/System32");
    let names = ["behind.dll", "kernel32.dll", "kernelbase.dll", "locale.nls", "ntdll.dll", "zlib1.dll"];
    assert_eq!(everything(&system), names);
}

#[test]
fn the_command_line_is_explained() {
    let shop = Shop::with_wine();
    for (line, words) in [
        ("sysroot", "install"),
        ("sysroot install --arch arm", "x64"),
        ("sysroot install --suite a;b", "letters, digits"),
        ("sysroot install --name ../x", "letters, digits"),
        ("sysroot install --name n --arch all", "one sysroot"),
        ("sysroot install --suite stable --from x.deb", "cannot be used with"),
        ("sysroot remove", "NAME"),
        ("sysroot remove a --all", "cannot be used with"),
    ] {
        let done = shop.vadose(line);
        assert!(done.code == Some(125) && done.err.contains(words), "{line}: {}", done.err);
    }
    shop.nothing_is_left();
}
