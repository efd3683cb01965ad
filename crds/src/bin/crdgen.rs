//! `crdgen` writes the CRDs that are made from the Rust types, plain and as the templates of the chart `backflow-crds`.
//! `crdgen --check` only says which files differ, and fails if any does.

use std::{env, error::Error, fs, path::Path, process::ExitCode};

use backflow_crds::manifest;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let check = match env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => return Err("usage: crdgen [--check]".into()),
    };
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut stale = false;
    for (path, text) in manifest::generated()? {
        let path = crate_dir.join(path);
        if fs::read_to_string(&path).is_ok_and(|present| present == text) {
            continue;
        }
        stale = true;
        if check {
            eprintln!("{} is not what the types say: run crdgen", path.display());
        } else {
            fs::write(&path, text)?;
            println!("wrote {}", path.display());
        }
    }
    Ok(if check && stale { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
