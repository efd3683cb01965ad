//! Finding Helm and kubectl, and reading what they print.

use std::{
    collections::VecDeque,
    env,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// The oldest Kubernetes that the charts allow, and what everything is rendered for.
pub(crate) const KUBE_VERSION: &str = "1.33.0";
/// The namespace of the installation in `deploy/`.
pub(crate) const NAMESPACE: &str = "backflow-system";

/// The root of the project.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("the suites are a folder of the tests")
        .to_path_buf()
}

/// The text of a file of the project.
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All files under a folder of the project, by path.
pub(crate) fn files_under(folder: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = VecDeque::from([root().join(folder)]);
    while let Some(folder) = folders.pop_front() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("a readable folder").path();
            if path.is_dir() { folders.push_back(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}

/// The documents of a YAML text, without the empty ones.
pub(crate) fn documents(yaml: &str) -> Vec<Value> {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(yaml).unwrap_or_else(|error| panic!("not YAML: {error}\n{yaml}"));
    documents.into_iter().filter(|document| !document.is_null()).collect()
}

/// What `helm template` prints for a chart, or what it refuses with.
pub(crate) fn helm_template(chart: &str, arguments: &[&str]) -> Result<String, String> {
    run(Command::new(tool("helm", "BACKFLOW_HELM"))
        .args(["template", chart])
        .arg(root().join("charts").join(chart))
        .args(["--namespace", NAMESPACE])
        .args(arguments))
}

/// The objects of the controller's chart with these values, each as `key=value`.
pub(crate) fn rendered(values: &[&str]) -> Vec<Value> {
    let mut arguments = vec!["--kube-version", KUBE_VERSION];
    for value in values {
        arguments.extend(["--set", value]);
    }
    documents(&helm_template("backflow", &arguments).unwrap_or_else(|refused| panic!("{values:?}: {refused}")))
}

/// What `kubectl kustomize` makes of a folder of the project.
pub(crate) fn kustomize(folder: &str) -> Vec<Value> {
    let text = run(Command::new(tool("kubectl", "BACKFLOW_KUBECTL")).arg("kustomize").arg(root().join(folder)));
    documents(&text.unwrap_or_else(|refused| panic!("{folder}: {refused}")))
}

/// The only object of a kind.
pub(crate) fn only<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    let mut found = objects.iter().filter(|object| object["kind"] == kind);
    let first = found.next().unwrap_or_else(|| panic!("no {kind} among {:?}", identities(objects)));
    assert!(found.next().is_none(), "several {kind} among {:?}", identities(objects));
    first
}

/// Kind, namespace and name of each object, in order.
pub(crate) fn identities(objects: &[Value]) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let mut identities: Vec<String> = objects
        .iter()
        .map(|object| {
            let metadata = &object["metadata"];
            format!("{} {}/{}", text(&object["kind"]), text(&metadata["namespace"]), text(&metadata["name"]))
        })
        .collect();
    identities.sort();
    identities
}

fn run(command: &mut Command) -> Result<String, String> {
    // No cluster and no setting of this user takes part.
    let output = command.env_remove("KUBECONFIG").output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).expect("UTF-8"))
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// The program that a variable names, or the one in `PATH`, or the one that `cargo xtask cluster` has built.
fn tool(name: &str, variable: &str) -> PathBuf {
    if let Some(path) = env::var_os(variable) {
        let path = PathBuf::from(path);
        assert!(path.is_file(), "{variable} is {}, and no such file is there", path.display());
        return path;
    }
    let in_path = env::var_os("PATH")
        .and_then(|folders| env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| path.is_file()));
    in_path.or_else(|| built(name)).unwrap_or_else(|| {
        panic!(
            "the chart tests need {name}: `cargo xtask cluster up` builds one, or install it, or set {variable} to its path"
        )
    })
}

fn built(name: &str) -> Option<PathBuf> {
    let cache = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")))?;
    let mut folders = vec![cache.join("backflow/cluster")];
    while let Some(folder) = folders.pop() {
        let program = folder.join(name);
        if folder.file_name() == Some(OsStr::new("bin")) && program.is_file() {
            return Some(program);
        }
        // Containers and modules live deeper; programs are in `bin`, at most two folders down.
        let depth = folder.components().count() - cache.components().count();
        let inner = fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
        folders.extend(inner.filter(|path| depth < 5 && path.is_dir() && !path.is_symlink()));
    }
    None
}
