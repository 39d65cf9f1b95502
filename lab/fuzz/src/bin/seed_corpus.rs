//! Writes the first inputs of the fuzz targets: the small PE files that the tests of `vadose-facts` build, for
//! `image_map` with a script at their end, and for `services` calls as programs make them.
//!
//! Usage: `cargo run --bin seed_corpus -- corpus`

#[allow(dead_code, missing_docs)]
#[path = "../../../../facts/tests/pe/builder.rs"]
mod builder;
#[allow(dead_code, missing_docs)]
#[path = "../../../../facts/tests/pe/full.rs"]
mod full;

use builder::{EXECUTE, READ, Sample, WRITE, Width};
use std::path::{Path, PathBuf};

/// Scripts of `image_map`, three bytes a step: both processes map, then each page is read or written in both, some are
/// protected, reads fail or stay under way, views go.
const SCRIPTS: [&[u8]; 3] = [
    &[
        12, 0, 0, 0x2c, 0, 0, 0, 0, 1, 0x20, 1, 9, 2, 3, 4, 0x22, 3, 8, 0, 3, 4, 4, 1, 0, 2, 5, 1, 14, 0, 0,
        0x20, 5, 1,
    ],
    &[
        0x4c, 0, 0, 5, 1, 0, 0, 1, 0, 11, 3, 0x4a, 2, 3, 1, 11, 1, 0x2d, 0, 1, 2, 0, 1, 2, 0x6c, 0, 0, 0x62,
        6, 0, 0x60, 6, 0, 0x0f, 0, 0, 0x70, 0, 0,
    ],
    &[
        0x8c, 0, 0, 0xac, 0, 0, 7, 1, 0, 0x27, 1, 0, 8, 3, 0, 14, 0, 0, 9, 0, 0, 10, 0, 0, 0x20, 1, 0, 0x22,
        3, 1, 15, 0, 0, 0x30, 0, 0,
    ],
];

fn main() -> std::io::Result<()> {
    let Some(corpus) = std::env::args_os().nth(1).map(PathBuf::from) else {
        return Err(std::io::Error::other("say which folder the inputs go to"));
    };
    for (name, file) in files() {
        write(&corpus.join("pe_parse"), &name, &file)?;
        for (number, script) in SCRIPTS.iter().enumerate() {
            let steps = u8::try_from(script.len() / 3).expect("a short script");
            write(
                &corpus.join("image_map"),
                &format!("{name}-{number}"),
                &[&file, *script, &[steps]].concat(),
            )?;
        }
    }
    for (name, script) in vadose_fuzz::services::seeds() {
        write(&corpus.join("services"), &name, &script)?;
    }
    Ok(())
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join(name), bytes)
}

fn files() -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for width in Width::BOTH {
        let mut flat = Sample::new(width);
        (flat.section_alignment, flat.file_alignment) = (0x20, 0x20);
        let mut wide = Sample::new(width);
        wide.section_alignment = 0x10000;
        let seeds = [
            ("full", full::full(width)),
            ("empty", Sample::new(width)),
            ("flat", flat.with(".text", EXECUTE | READ, vec![0xc3; 0x40], 0x40)),
            ("wide", wide.with(".a", READ, vec![1; 16], 16).with(".b", READ | WRITE, vec![], 0x2000)),
            ("dotnet", dotnet(width)),
        ];
        files.extend(seeds.map(|(name, sample)| (format!("{width:?}-{name}"), sample.build())));
    }
    for (name, signature) in [("ne", b"NE\0\0"), ("le", b"LE\0\0")] {
        let mut file = Sample::new(Width::X86).build();
        file[builder::at::PE..][..4].copy_from_slice(signature);
        files.push((name.to_owned(), file));
    }
    files
}

/// A program with a .NET header.
fn dotnet(width: Width) -> Sample {
    let mut header = vec![0; 72];
    builder::put32(&mut header, 0, 72);
    builder::put32(&mut header, 16, 1);
    let mut sample = Sample::new(width).with(".text", EXECUTE | READ, header, 0x100);
    sample.directories[14] = (0x1000, 72);
    sample
}
