//! `definition-schema` writes the JSON Schema of destination definitions, which editors use.
//! `definition-schema --check` only says whether the file differs, and fails if it does.

use std::{env, error::Error, fs, path::Path, process::ExitCode};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let check = match env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => return Err("usage: definition-schema [--check]".into()),
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(backflow_definitions::SCHEMA_FILE);
    let text = backflow_definitions::schema_text();
    if fs::read_to_string(&path).is_ok_and(|present| present == text) {
        return Ok(ExitCode::SUCCESS);
    }
    if check {
        eprintln!("{} is not what the language says: run definition-schema", path.display());
        return Ok(ExitCode::FAILURE);
    }
    fs::write(&path, text)?;
    println!("wrote {}", path.display());
    Ok(ExitCode::SUCCESS)
}
