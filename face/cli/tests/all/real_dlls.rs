//! Unmodified system DLLs from a folder: samples that need more than the built-in DLLs have, and what
//! a bad folder gets.

use crate::scene::{Outcome, Scene, guest};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::{env, fs};

/// The environment variable that forbids the network.
const OFFLINE: &str = "VADOSE_OFFLINE";

/// Wine's DLLs of one version for one processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wine {
    X64,
    X86,
    OldX64,
    OldX86,
}

const BOTH: [Wine; 2] = [Wine::X64, Wine::X86];
const ALL: [Wine; 4] = [Wine::X64, Wine::X86, Wine::OldX64, Wine::OldX86];

impl Wine {
    const fn bits(self) -> &'static str {
        match self {
            Self::X64 | Self::OldX64 => "x64",
            Self::X86 | Self::OldX86 => "x86",
        }
    }

    /// The version, and the suite of Debian that has it.
    const fn version(self) -> (&'static str, &'static str) {
        match self {
            Self::X64 | Self::X86 => ("10.0", "trixie"),
            Self::OldX64 | Self::OldX86 => ("8.0", "bookworm"),
        }
    }

    /// The folder, installed now if it is not there. `None` where the network is forbidden and it is not there.
    fn folder(self) -> Option<&'static Path> {
        static FOLDERS: [OnceLock<Option<PathBuf>>; 4] = [const { OnceLock::new() }; 4];
        FOLDERS[self as usize].get_or_init(|| install(self)).as_deref()
    }
}

/// `sysroots` in cargo's target folder.
fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a folder in the target folder").join("sysroots")
}

/// Installs a sysroot as a user would, once for all tests; answers its folder.
fn install(wine: Wine) -> Option<PathBuf> {
    let (cache, bits, (version, suite)) = (cache(), wine.bits(), wine.version());
    fs::create_dir_all(&cache).expect("the target folder is ours");
    let folder = cache.join("vadose/sysroots").join(format!("wine-{version}-{bits}"));
    let offline = env::var_os(OFFLINE).is_some_and(|value| value == "1");
    if !folder.exists() && offline {
        use std::io::Write as _;
        // Past the test harness, which would swallow it: a test that checked nothing must say so.
        writeln!(std::io::stderr(), "skipped: no system DLLs in {}, and {OFFLINE} is set", folder.display())
            .expect("standard error is there");
        return None;
    }
    if !folder.exists() {
        let lock = fs::File::create(cache.join("lock")).expect("the folder is ours");
        lock.lock().expect("a lock");
        let mut command = Command::new(env!("CARGO_BIN_EXE_vadose"));
        command.args(["sysroot", "install", "--suite", suite, "--arch", bits]).env("XDG_CACHE_HOME", &cache);
        let done = command.output().expect("vadose starts");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
    assert!(folder.join("Windows/System32/ntdll.dll").is_file(), "{}", folder.display());
    Some(folder)
}

fn run(scene: &Scene, wine: &Path, line: &str) -> Outcome {
    scene.vadose(&format!("run --timeout 100 --sysroot {} {line}", wine.display()))
}

/// The dispatcher, the unwinder and the filters are the guest's; the faults, the stack and the contexts are ours.
#[test]
fn structured_exceptions_are_handled_by_the_guests_own_ntdll() {
    const WORDS: &str = "\
a filter repairs a fault, and the store is done
  the frame is asked about 0xc0000005
  value 42
a fault is caught
  the frame is asked about 0xc0000005
  value 7
a division is caught
  the frame is asked about 0xc0000094
  value 8
an exception of the program's own is caught
  the frame is asked about 0xe0000042
  value 9
frames are left from the inside out
  the innermost frame is asked about 0xc0000005
  the outermost frame is asked about 0xc0000005
  finally in the innermost frame
  finally in the middle frame
  value 11
a fault in a filter
  the frame is asked about 0xc0000005
  a frame in the filter is asked about 0xc0000094
  value 15
a fault while frames are left
  the outer frame is asked about 0xc0000005
  finally in the inner frame
  a frame in what is done finally is asked about 0xc0000094
  value 12
a stack overflow is caught
  the frame is asked about 0xc00000fd
  value 13
";
    for wine in ALL {
        let Some(folder) = wine.folder() else { return };
        let scene = Scene::with(&format!("{}/seh.exe", wine.bits()));
        let outcome = run(&scene, folder, "seh.exe");
        assert_eq!(
            (outcome.code, outcome.out.as_str(), outcome.err.as_str()),
            (Some(0), WORDS, ""),
            "{wine:?}"
        );
    }
}

/// SPEC K1 K4 K8 K10: a heap's handle is its first segment; segments are reserved and committed as blocks need them, and given
/// back; a large block is memory of its own; a heap of code can be executed.
#[test]
fn a_real_heap_grows_and_gives_back() {
    const WORDS: &str = "\
a heap that may grow
  its handle is where its first segment begins, on 64 KiB: yes
  first block in a region commit readwrite private
  one block: segments 1, committed 65536
  all blocks: segments 4, committed 4063232
  one left: segments 1, committed 65536
  destroyed: free
a large block
  an allocation of its own: yes
  its pages are committed: yes
  freed: free
a heap that may not grow
  full: yes
  one segment: yes
a heap of code
  its blocks are execute_readwrite
";
    for wine in BOTH {
        let Some(folder) = wine.folder() else { return };
        let scene = Scene::with(&format!("{}/real_heap.exe", wine.bits()));
        let outcome = run(&scene, folder, "real_heap.exe");
        assert_eq!(
            (outcome.code, outcome.out.as_str(), outcome.err.as_str()),
            (Some(0), WORDS, ""),
            "{wine:?}"
        );
    }
}

/// What the built-in DLLs and real ones must agree on: everything that these programs print, and how they end.
#[test]
fn samples_do_the_same_on_built_in_and_on_real_dlls() {
    const SAMPLES: [&str; 10] = [
        "hello",
        "page_states",
        "write_copy",
        "stack_growth",
        "thread_stacks",
        "tls_callbacks",
        "sort",
        "hash_map",
        "matrix",
        "scarce",
    ];
    for wine in BOTH {
        let Some(folder) = wine.folder() else { return };
        for name in SAMPLES {
            let scene = Scene::with(&format!("{}/{name}.exe", wine.bits()));
            let built_in = scene.vadose(&format!("run --aslr off {name}.exe"));
            let real = run(&scene, folder, &format!("--aslr off {name}.exe"));
            assert_eq!((real.code, real.out), (built_in.code, built_in.out), "{wine:?} {name}: {}", real.err);
        }
    }
}

/// The loader is the guest's own code: what it did is seen from outside as for any program.
#[test]
fn a_look_inside_names_the_images_that_the_guest_loaded_itself() {
    let Some(folder) = Wine::X64.folder() else { return };
    let scene = Scene::with("x64/hello.exe");
    let line = format!("inspect --sysroot {} -q vad -q procs hello.exe", folder.display());
    let outcome = scene.vadose(&line);
    assert_eq!(outcome.code, Some(0), "{}", outcome.err);
    for name in ["hello.exe", "ntdll.dll", "kernel32.dll", "kernelbase.dll", "locale.nls"] {
        assert!(outcome.out.contains(name), "{name}: {}", outcome.out);
    }
}

fn refused(scene: &Scene, folder: &Path, line: &str, code: i32, words: &[&str]) {
    let outcome = run(scene, folder, line);
    assert_eq!(outcome.code, Some(code), "{}", outcome.err);
    for word in words {
        assert!(outcome.err.contains(word), "`{word}` is not in: {}", outcome.err);
    }
    assert_eq!(outcome.err.lines().count(), 1, "one line: {}", outcome.err);
}

#[test]
fn a_folder_without_an_ntdll_is_not_found() {
    let scene = Scene::with("x64/hello.exe");
    fs::create_dir(scene.path("empty")).expect("a fresh folder");
    refused(&scene, Path::new("empty"), "hello.exe", 127, &["ntdll.dll"]);
}

#[test]
fn dlls_for_another_processor_are_refused_by_name() {
    let Some(x64) = Wine::X64.folder() else { return };
    let scene = Scene::with("x86/hello.exe");
    refused(&scene, x64, "hello.exe", 126, &["ntdll.dll", "x86"]);
}

#[test]
fn a_broken_ntdll_is_refused_by_name() {
    let Some(x64) = Wine::X64.folder() else { return };
    let scene = Scene::with("x64/hello.exe");
    let broken = scene.path("broken");
    fs::create_dir(&broken).expect("a fresh folder");
    let whole = fs::read(x64.join("Windows/System32/ntdll.dll")).expect("it is installed");
    for (bytes, what) in
        [(&whole[..100], "cut short"), (&[b'x'; 5000][..], "no image"), (&guest_bytes()[..], "no stubs")]
    {
        fs::write(broken.join("ntdll.dll"), bytes).expect("the folder is ours");
        let outcome = run(&scene, &broken, "hello.exe");
        assert_eq!(outcome.code, Some(126), "{what}: {}", outcome.err);
        assert!(outcome.err.contains("ntdll.dll"), "{what}: {}", outcome.err);
    }
}

fn guest_bytes() -> Vec<u8> {
    fs::read(guest("x64/hello.exe")).expect("the sample guests are in the repository")
}

/// The guest's loader tells a status; the names are found out when it has given up.
#[test]
fn a_dll_that_is_missing_is_named() {
    let Some(x64) = Wine::X64.folder() else { return };
    let scene = Scene::new();
    scene.put("needy.exe", "x64/hello.exe", |bytes| {
        let name = b"KERNEL32.dll\0";
        let at = bytes.windows(name.len()).position(|window| window == name).expect("it imports kernel32");
        bytes[at..at + 8].copy_from_slice(b"nowhere1");
    });
    refused(&scene, x64, "needy.exe", 127, &["nowhere1.dll", "needed by needy.exe"]);
}
