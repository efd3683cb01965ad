//! `definition-files` writes what is made from the definition language and the built-in definitions: the JSON Schema that editors use, and
//! the documentation's reference and catalogue. `definition-files --check` only says which files are stale, and fails if one is.

use std::{env, error::Error, fs, path::Path, process::ExitCode};

use backflow_definitions::{CATALOGUE_FOLDER, REFERENCE_FILE, SCHEMA_FILE, catalogue, reference_page, schema_text};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let check = match env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => return Err("usage: definition-files [--check]".into()),
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec![(root.join(SCHEMA_FILE), schema_text()), (root.join(REFERENCE_FILE), reference_page())];
    files.extend(catalogue().into_iter().map(|(path, text)| (root.join(CATALOGUE_FOLDER).join(path), text)));
    let mut stale = false;
    for (path, text) in files {
        if fs::read_to_string(&path).is_ok_and(|present| present == text) {
            continue;
        }
        if check {
            eprintln!("{} is stale: run definition-files", path.display());
            stale = true;
        } else {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::write(&path, text)?;
            println!("wrote {}", path.display());
        }
    }
    Ok(if stale { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
