//! Packs the folders of `builtin`, so that adding a destination is adding a folder.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR").unwrap_or_default()).join("builtin");
    let out = env::var("OUT_DIR").unwrap_or_default();
    let out = Path::new(&out);
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut names: Vec<String> = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let entry = entry?;
        if entry.path().join("definition.yaml").is_file() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    let mut list = String::from("&[\n");
    for name in names {
        let text = fs::read(folder.join(&name).join("definition.yaml"))?;
        let packed = out.join(format!("{name}.zst"));
        fs::write(&packed, zstd::bulk::compress(&text, 19)?)?;
        let _ = writeln!(list, "    ({name:?}, include_bytes!({:?})),", packed.display().to_string());
    }
    list.push_str("]\n");
    fs::write(out.join("builtin.rs"), list)
}
