//! Writes the first inputs of the fuzz targets: the small PE files that the tests of `vadose-facts` build.
//!
//! Usage: `cargo run --bin seed_corpus -- corpus/pe_parse`

#[allow(dead_code, missing_docs)]
#[path = "../../../../facts/tests/pe/builder.rs"]
mod builder;
#[allow(dead_code, missing_docs)]
#[path = "../../../../facts/tests/pe/full.rs"]
mod full;

use builder::{EXECUTE, READ, Sample, WRITE, Width};
use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        return Err(std::io::Error::other("say which folder the inputs go to"));
    };
    std::fs::create_dir_all(&folder)?;
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
        for (name, sample) in seeds {
            std::fs::write(folder.join(format!("{width:?}-{name}")), sample.build())?;
        }
    }
    for (name, signature) in [("ne", b"NE\0\0"), ("le", b"LE\0\0")] {
        let mut file = Sample::new(Width::X86).build();
        file[builder::at::PE..][..4].copy_from_slice(signature);
        std::fs::write(folder.join(name), file)?;
    }
    Ok(())
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
