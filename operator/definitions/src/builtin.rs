//! The definitions that are part of the program.

use std::collections::BTreeMap;
use std::sync::{LazyLock, OnceLock};

use crate::definition::Definition;
use crate::load::load;

/// Name and packed text of each, by name: the texts would be a hundredth of the image.
const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/builtin.rs"));

/// The longest text of a definition.
const LONGEST: usize = 1 << 20;

/// Each is read when it is asked for first: a worker needs one of many.
static LOADED: LazyLock<BTreeMap<&str, OnceLock<Option<Definition>>>> =
    LazyLock::new(|| FILES.iter().map(|(name, _)| (*name, OnceLock::new())).collect());

/// The built-in definition of this name.
#[must_use]
pub fn builtin(id: &str) -> Option<&'static Definition> {
    let (name, packed) = FILES.iter().find(|(name, _)| *name == id)?;
    // A test proves that each file loads, so none is ever left out.
    LOADED.get(name)?.get_or_init(|| load(&text(packed)?).ok()).as_ref()
}

fn text(packed: &[u8]) -> Option<String> {
    String::from_utf8(zstd::bulk::decompress(packed, LONGEST).ok()?).ok()
}

/// Names of the built-in definitions.
pub fn builtin_ids() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_built_in_definition_loads_without_problems_under_its_own_name() {
        for (name, packed) in FILES {
            let definition = load(&text(packed).unwrap()).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(definition.id, *name);
            assert!(!definition.provenance.is_empty(), "{name} says where its facts are from");
        }
        assert!(builtin("webhook").is_some() && builtin("webhok").is_none());
    }

    #[test]
    fn every_folder_has_a_readme_with_its_verification_and_fixtures() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("builtin");
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            assert!(FILES.iter().any(|(known, _)| *known == name), "{name} has no definition.yaml");
            let readme =
                fs::read_to_string(path.join("README.md")).unwrap_or_else(|_| panic!("{name} has no README.md"));
            assert!(readme.contains("Verification"), "{name}: the README does not say what it was verified against");
            // Requests and answers are those of HTTP; what is none is tested with the server itself.
            if builtin(&name).is_some_and(|definition| definition.http().is_none()) {
                continue;
            }
            let fixtures = fs::read_dir(path.join("fixtures")).map(|files| files.count()).unwrap_or_default();
            assert!(fixtures > 0, "{name} has no fixtures");
        }
    }
}
