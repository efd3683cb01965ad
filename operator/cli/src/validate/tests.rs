//! This command and a real API server say the same of the case files of the CRDs: those files were tried on one.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;

fn cases(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crds/tests/cases").join(folder);
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn shape_of(path: &Path) -> Vec<Problem> {
    let mut problems = Vec::new();
    let files = files::read(&[path.to_owned()], false, &mut problems);
    let manifests = Manifests::read(files, "default", &mut problems);
    for resource in &manifests.resources {
        shape::check(resource, &mut problems);
    }
    problems.retain(Problem::is_error);
    problems
}

#[test]
fn what_an_api_server_accepts_has_no_error_of_shape() {
    let all = cases("accept");
    assert!(all.len() > 30);
    for path in all {
        let problems = shape_of(&path);
        // An API server never sees the file: equal keys and odd ones are found before.
        assert!(
            problems.is_empty(),
            "{}: {}",
            path.display(),
            problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        );
    }
}

#[test]
fn what_an_api_server_refuses_is_an_error_here_too_and_repeats_no_secret() {
    let all = cases("refuse");
    assert!(all.len() > 50);
    let mut changes = 0;
    for path in all {
        let text = fs::read_to_string(&path).unwrap();
        let header = |name: &str| -> Vec<&str> {
            let prefix = format!("# {name}: ");
            text.lines().filter_map(|line| line.strip_prefix(&prefix)).collect()
        };
        // Rules about changes need the object as it was before.
        if text.split("\n---").filter(|document| document.contains("kind: ")).count() > 1 {
            changes += 1;
            continue;
        }
        let problems = shape_of(&path);
        let said = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        assert!(!problems.is_empty(), "{} is accepted", path.display());
        assert!(problems.iter().all(|problem| problem.line > 0 && problem.column > 0), "{said}");
        for never in header("never") {
            assert!(!said.contains(never), "{}: {said}", path.display());
        }
        // The sentences of rules are the same; those of types and limits are our own.
        for expected in header("expect")
            .into_iter()
            .filter(|expected| expected.contains("must be set") && !expected.contains("spec."))
        {
            assert!(said.contains(expected), "{}: {expected:?} is not in {said}", path.display());
        }
    }
    assert!(changes < 15, "{changes}");
}
