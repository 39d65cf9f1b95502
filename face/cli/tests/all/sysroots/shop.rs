//! A machine whose package client and package reader are small scripts, with a shop of packages.

use crate::scene::{Outcome, Scene, guest, outcome};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use tar::{EntryType, Header};

/// Says where the configuration is.
pub(super) const APT_CONFIG: &str = "#!/bin/sh
printf \"root='%s/'\\nlist='%s/sources.list'\\nparts='%s/sources.d/'\\n\" \"$SHOP\" \"$SHOP\" \"$SHOP\"
";

/// A client of a shop with a folder for each suite. It notes what it is asked.
pub(super) const APT_GET: &str = "#!/bin/sh
while [ $# -gt 0 ]; do
    case \"$1\" in
    -c) shift ;;
    -o)
        shift
        case \"$1\" in
        Dir::Etc::SourceParts=*) parts=${1#*=} ;;
        APT::Architecture=*) arch=${1#*=} ;;
        esac
        ;;
    -qq) ;;
    --print-uris) print=yes ;;
    *) if [ -z \"$verb\" ]; then verb=$1; else package=$1; fi ;;
    esac
    shift
done
suite=$(sed -n 's/^Suites: //p' \"$parts\"/*.sources)
echo \"$verb $package $suite $print\" >> \"$SHOP/asked\"
if [ \"$suite\" = slow ]; then echo $$ > \"$SHOP/slow\"; exec sleep 600; fi
if [ ! -d \"$SHOP/$suite\" ]; then echo \"E: there is no suite $suite\" >&2; exit 100; fi
if [ \"$verb\" = update ]; then exit 0; fi
name=${package%:*}
for file in \"$SHOP/$suite/$name\"_*_\"$arch\".deb \"$SHOP/$suite/$name\"_*_all.deb; do
    if [ -f \"$file\" ]; then found=$file; fi
done
if [ -z \"$found\" ]; then echo \"E: Unable to locate package $name\" >&2; exit 100; fi
base=$(basename \"$found\")
if [ \"$print\" ]; then echo \"'http://shop.example/$base' $base $(wc -c < \"$found\") SHA256:0\"; exit 0; fi
if [ -e \"$SHOP/is closed\" ]; then echo 'E: the shop is closed' >&2; exit 100; fi
cp \"$found\" .
";

/// A reader of packages that are three lines and an archive.
pub(super) const DPKG_DEB: &str = "#!/bin/sh
case \"$(head -n 1 \"$2\")\" in
Package:*) ;;
*) echo 'dpkg-deb: error: not a Debian format archive' >&2; exit 2 ;;
esac
case \"$1\" in
--field) head -n 3 \"$2\" ;;
--fsys-tarfile) tail -n +4 \"$2\" ;;
esac
";

pub(super) const WINE_X64: &str = "./usr/lib/x86_64-linux-gnu/wine/x86_64-windows";
pub(super) const WINE_X86: &str = "./usr/lib/i386-linux-gnu/wine/i386-windows";
pub(super) const FIRST: [&str; 3] = ["ntdll.dll", "kernel32.dll", "kernelbase.dll"];

/// An archive under construction.
pub(super) struct Tar(tar::Builder<Vec<u8>>);

impl Tar {
    pub(super) fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    /// Wine's first DLLs for an architecture, and a table.
    pub(super) fn wine(bits: &str) -> Self {
        let folder = if bits == "x64" { WINE_X64 } else { WINE_X86 };
        let mut tar = Self::new();
        for name in FIRST {
            tar.file(&format!("{folder}/{name}"), &dll(bits));
        }
        tar.file("./usr/share/wine/nls/locale.nls", b"a table");
        tar.file("./usr/share/doc/libwine/copyright", b"words");
        tar.file(&format!("{folder}/cmd.exe"), b"a program");
        tar
    }

    pub(super) fn file(&mut self, path: &str, bytes: &[u8]) {
        self.entry(path, EntryType::Regular, "", bytes);
    }

    /// An entry with any path, as no well-meant archive has it.
    pub(super) fn entry(&mut self, path: &str, kind: EntryType, target: &str, bytes: &[u8]) {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        let old = header.as_old_mut();
        old.name[..path.len()].copy_from_slice(path.as_bytes());
        old.linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_cksum();
        self.0.append(&header, bytes).expect("memory takes all");
    }

    pub(super) fn bytes(self) -> Vec<u8> {
        self.0.into_inner().expect("memory takes all")
    }
}

pub(super) fn dll(bits: &str) -> Vec<u8> {
    fs::read(guest(&format!("{bits}/plugin.dll"))).expect("the samples are in the repository")
}

/// A machine with a shop of packages.
pub(super) struct Shop {
    pub(super) scene: Scene,
}

impl Shop {
    /// One that has no package. Bookworm is configured.
    pub(super) fn empty() -> Self {
        let shop = Self { scene: Scene::new() };
        for folder in ["bin", "etc", "stable", "bookworm"] {
            fs::create_dir(shop.path(folder)).expect("a fresh folder");
        }
        for (name, script) in [("apt-config", APT_CONFIG), ("apt-get", APT_GET), ("dpkg-deb", DPKG_DEB)] {
            let path = shop.path("bin").join(name);
            fs::write(&path, script).expect("a fresh folder");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("our file");
        }
        fs::write(shop.path("etc/os-release"), "ID=debian\nVERSION_ID=12\nVERSION_CODENAME=bookworm\n")
            .expect("a fresh folder");
        fs::write(shop.path("sources.list"), "deb http://shop.example/debian bookworm main\n")
            .expect("a fresh folder");
        shop
    }

    /// One that has Wine 10 in its newest suite and Wine 8 in the configured one.
    pub(super) fn with_wine() -> Self {
        let shop = Self::empty();
        for (suite, version) in [("stable", "10.0~repack-6"), ("bookworm", "8.0~repack-4")] {
            shop.put(suite, "libwine", version, "amd64", Tar::wine("x64"));
            shop.put(suite, "libwine", version, "i386", Tar::wine("x86"));
            shop.put_zlib(suite);
        }
        shop
    }

    pub(super) fn put_zlib(&self, suite: &str) {
        let mut tar = Tar::new();
        tar.file("./usr/x86_64-w64-mingw32/lib/zlib1.dll", &dll("x64"));
        tar.file("./usr/i686-w64-mingw32/lib/zlib1.dll", &dll("x86"));
        self.put(suite, "libz-mingw-w64", "1.3", "all", tar);
    }

    pub(super) fn put(&self, suite: &str, name: &str, version: &str, arch: &str, tar: Tar) -> PathBuf {
        let mut bytes = format!("Package: {name}\nVersion: {version}\nArchitecture: {arch}\n").into_bytes();
        bytes.extend(tar.bytes());
        let path = self.path(suite).join(format!("{name}_{version}_{arch}.deb"));
        fs::write(&path, bytes).expect("the suite is there");
        path
    }

    pub(super) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.scene.path(name)
    }

    pub(super) fn sysroots(&self) -> PathBuf {
        self.path("cache/vadose/sysroots")
    }

    pub(super) fn command(&self, line: &str) -> Command {
        let mut command = self.scene.command(line);
        let path = format!("{}:/usr/bin:/bin", self.path("bin").display());
        command.env("PATH", path).env("XDG_CACHE_HOME", self.path("cache")).env("SHOP", self.path(""));
        command
    }

    pub(super) fn vadose(&self, line: &str) -> Outcome {
        outcome(&mut self.command(line))
    }

    /// What a command says that does what it should.
    #[track_caller]
    pub(super) fn says(&self, line: &str) -> String {
        let done = self.vadose(line);
        assert_eq!(done.code, Some(0), "{line}: {}{}", done.out, done.err);
        done.out
    }

    /// A command fails with these words in its last line.
    #[track_caller]
    pub(super) fn fails(&self, line: &str, code: i32, words: &[&str]) {
        failed(&self.vadose(line), code, words);
    }

    /// What the client was asked, without what it was asked before.
    pub(super) fn asked(&self) -> Vec<String> {
        let path = self.path("asked");
        let text = fs::read_to_string(&path).unwrap_or_default();
        let _gone = fs::remove_file(path);
        text.lines().map(|line| line.trim_end().to_owned()).collect()
    }

    #[track_caller]
    pub(super) fn nothing_is_left(&self) {
        assert!(!self.path("cache").exists(), "{:?}", everything(&self.path("cache")));
    }
}

pub(super) fn put_wine(shop: &Shop, tar: Tar) {
    shop.put("stable", "libwine", "10.0~repack-6", "amd64", tar);
}

#[track_caller]
pub(super) fn failed(done: &Outcome, code: i32, words: &[&str]) {
    assert_eq!((done.code, done.out.as_str()), (Some(code), ""), "{}", done.err);
    let last = done.err.lines().last().expect("it says why");
    for word in words {
        assert!(last.contains(word), "{word:?} is not in: {last}");
    }
}

/// Every file and folder below one, by its path there.
pub(super) fn everything(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in fs::read_dir(&at).into_iter().flatten().flatten() {
            let path = entry.path();
            found.push(path.strip_prefix(folder).expect("below it").to_string_lossy().into_owned());
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            }
        }
    }
    found.sort();
    found
}
