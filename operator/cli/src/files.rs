//! From `-f` to texts.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::problem::Problem;

/// The largest manifest that is read; the API server takes 3 MiB.
const MAX_BYTES: u64 = 16 << 20;

/// A file's text, and where relative paths in it begin.
#[derive(Debug)]
pub(crate) struct File {
    /// As findings name it.
    pub name: String,
    /// The folder that it is in.
    pub folder: PathBuf,
    /// What is in it.
    pub text: String,
}

/// Reads files, the manifests of folders (`*.yaml`, `*.yml`, `*.json`, by name), and `-` for standard input. What cannot be read is a
/// finding, and the rest is read nevertheless.
pub(crate) fn read(arguments: &[PathBuf], recursive: bool, problems: &mut Vec<Problem>) -> Vec<File> {
    let mut files = Vec::new();
    for argument in arguments {
        if argument.as_os_str() == "-" {
            files.extend(standard_input(problems));
        } else if argument.is_dir() {
            let before = files.len();
            let paths = manifests(argument, recursive, problems);
            files.extend(paths.iter().filter_map(|path| file(path, problems)));
            if files.len() == before && problems.is_empty() {
                problems.push(Problem::of_file(&shown(argument), "NoManifests", nothing_in(argument, recursive)));
            }
        } else {
            files.extend(file(argument, problems));
        }
    }
    files
}

fn nothing_in(folder: &Path, recursive: bool) -> String {
    let deeper = !recursive
        && std::fs::read_dir(folder).is_ok_and(|entries| entries.flatten().any(|entry| entry.path().is_dir()));
    if deeper {
        "no *.yaml, *.yml or *.json in this folder; add --recursive to look into the folders below it".to_owned()
    } else {
        "no *.yaml, *.yml or *.json in this folder; name the folder that holds your manifests".to_owned()
    }
}

/// The manifests of a folder, by name; files before folders.
fn manifests(folder: &Path, recursive: bool, problems: &mut Vec<Problem>) -> Vec<PathBuf> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            problems.push(unreadable(folder, &error));
            return Vec::new();
        }
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let (folders, mut files): (Vec<_>, Vec<_>) = paths.into_iter().partition(|path| path.is_dir());
    files.retain(|path| {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        !hidden && matches!(extension, "yaml" | "yml" | "json")
    });
    if recursive {
        // A link to a folder above would never end.
        for folder in folders.iter().filter(|folder| !folder.is_symlink()) {
            files.extend(manifests(folder, true, problems));
        }
    }
    files
}

fn file(path: &Path, problems: &mut Vec<Problem>) -> Option<File> {
    let name = shown(path);
    let read = std::fs::metadata(path)
        .and_then(|metadata| if metadata.len() > MAX_BYTES { Ok(None) } else { std::fs::read(path).map(Some) });
    let bytes = match read {
        Ok(Some(bytes)) => bytes,
        Ok(None) => {
            problems.push(Problem::of_file(&name, "FileTooLarge", "larger than 16 MiB; this is no manifest"));
            return None;
        }
        Err(error) => {
            problems.push(unreadable(path, &error));
            return None;
        }
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
    text(name, folder, bytes, problems)
}

fn standard_input(problems: &mut Vec<Problem>) -> Option<File> {
    let mut bytes = Vec::new();
    if let Err(error) = std::io::stdin().take(MAX_BYTES).read_to_end(&mut bytes) {
        problems.push(unreadable(Path::new("-"), &error));
        return None;
    }
    text("-".to_owned(), PathBuf::from("."), bytes, problems)
}

fn text(name: String, folder: PathBuf, bytes: Vec<u8>, problems: &mut Vec<Problem>) -> Option<File> {
    match String::from_utf8(bytes) {
        Ok(text) => {
            let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
            Some(File { name, folder, text })
        }
        Err(_) => {
            problems.push(Problem::of_file(&name, "FileUnreadable", "is not UTF-8 text; save it as UTF-8"));
            None
        }
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Problem {
    let cure = match error.kind() {
        std::io::ErrorKind::NotFound => "does not exist; mend the path after -f",
        std::io::ErrorKind::PermissionDenied => "may not be read; change its permissions (chmod u+r)",
        _ => "cannot be read; mend the path after -f",
    };
    Problem::of_file(&shown(path), "FileUnreadable", cure)
}

fn shown(path: &Path) -> String {
    path.strip_prefix(".").unwrap_or(path).display().to_string()
}
