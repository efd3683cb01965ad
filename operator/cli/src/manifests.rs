//! The resources of a folder: documents, their kinds, and the typed specs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use backflow_core::finding::nearest;
use backflow_crds::v1alpha1::{DestinationSpec, GROUP, MappingSpec, ModelSpec, SourceSpec, SyncSpec, VERSION};
use backflow_plan::{DefinitionProblem, Definitions};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;
use serde::de::DeserializeOwned;

use crate::files::File;
use crate::problem::{Problem, Severity};
use backflow_yaml::{Kind, Node};

/// The kinds of the API.
pub(crate) const KINDS: [&str; 6] = ["Source", "Model", DEFINITION, "Destination", "Mapping", "Sync"];
/// The kind that is in no namespace.
const DEFINITION: &str = "DestinationDefinition";

/// One resource of the API.
#[derive(Debug)]
pub(crate) struct Resource {
    /// The file that it is in.
    pub file: String,
    /// The folder of that file: relative paths begin here.
    pub folder: PathBuf,
    /// The whole manifest.
    pub node: Node,
    /// One of [`KINDS`].
    pub kind: &'static str,
    /// Its namespace; empty for what is in none.
    pub namespace: String,
    /// Its name; empty if it has none.
    pub name: String,
    /// Its spec, if it has the types of the API.
    pub spec: Option<Spec>,
}

/// A typed spec.
#[derive(Debug)]
pub(crate) enum Spec {
    /// Of a Source.
    Source(Box<SourceSpec>),
    /// Of a Model.
    Model(ModelSpec),
    /// Of a DestinationDefinition: what is wrong with it.
    DestinationDefinition(Vec<DefinitionProblem>),
    /// Of a Destination.
    Destination(DestinationSpec),
    /// Of a Mapping.
    Mapping(Box<MappingSpec>),
    /// Of a Sync.
    Sync(Box<SyncSpec>),
}

/// The keys of a Secret with their values, by namespace and name.
pub(crate) type Secrets = BTreeMap<(String, String), BTreeMap<String, SecretString>>;

/// Everything that was read.
#[derive(Debug, Default)]
pub(crate) struct Manifests {
    /// In the order of the files.
    pub resources: Vec<Resource>,
    /// The definitions among them, read.
    pub definitions: Definitions,
    /// Secrets beside them.
    pub secrets: Secrets,
    /// Documents of other kinds.
    pub ignored: usize,
}

impl Manifests {
    /// Takes over the documents of files. What has no `metadata.namespace` is in `namespace`.
    pub(crate) fn read(files: Vec<File>, namespace: &str, problems: &mut Vec<Problem>) -> Self {
        let mut manifests = Self::default();
        for file in files {
            let stream = backflow_yaml::read(&file.text);
            for document in stream.documents {
                manifests.document(&file, document, namespace, problems);
            }
            if let Some((at, message)) = stream.error {
                problems.push(Problem::at(&file.name, at, "InvalidYaml", message));
            }
        }
        manifests
    }

    /// The resource of this kind and name in a namespace.
    #[must_use]
    pub(crate) fn find(&self, kind: &str, namespace: &str, name: &str) -> Option<&Resource> {
        let wanted = (kind, namespace, name);
        self.resources.iter().find(|resource| (resource.kind, &*resource.namespace, &*resource.name) == wanted)
    }

    /// All resources of a kind, in the order of the files.
    pub(crate) fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Resource> {
        self.resources.iter().filter(move |resource| resource.kind == kind)
    }

    fn document(&mut self, file: &File, node: Node, namespace: &str, problems: &mut Vec<Problem>) {
        if !matches!(node.kind, Kind::Map(_)) {
            let message =
                format!("a manifest is an object with apiVersion, kind, metadata and spec; this is {}", node.noun());
            problems.push(Problem::at(&file.name, node.at, "InvalidManifest", message));
            return;
        }
        let text = |key: &str| node.get(key).and_then(Node::text);
        let (api_version, kind) = match (text("apiVersion"), text("kind")) {
            (Some(api_version), Some(kind)) => (api_version.to_owned(), kind.to_owned()),
            (api_version, _) => {
                let missing = if api_version.is_none() { "apiVersion" } else { "kind" };
                let message = format!(
                    "{missing} is missing; write apiVersion: {GROUP}/{VERSION} and a kind ({})",
                    KINDS.join(", ")
                );
                problems.push(Problem::at(&file.name, node.at, "InvalidManifest", message));
                return;
            }
        };
        if api_version == "v1" && kind == "List" {
            if let Some(Kind::List(items)) = node.get("items").map(|items| items.kind.clone()) {
                items.into_iter().for_each(|item| self.document(file, item, namespace, problems));
            }
            return;
        }
        let namespace = node
            .get("metadata")
            .and_then(|metadata| metadata.get("namespace"))
            .and_then(Node::text)
            .unwrap_or(namespace)
            .to_owned();
        if api_version == "v1" && kind == "Secret" {
            self.secret(file, &node, namespace, problems);
            return;
        }
        match kind_of(&api_version, &kind) {
            Ok(Some(kind)) => {
                let name = node
                    .get("metadata")
                    .and_then(|metadata| metadata.get("name"))
                    .and_then(Node::text)
                    .unwrap_or_default()
                    .to_owned();
                let in_none = kind == DEFINITION;
                let spec = if in_none { self.definition(&name, &node) } else { spec(kind, &node) };
                let namespace = if in_none { String::new() } else { namespace };
                let (file, folder) = (file.name.clone(), file.folder.clone());
                self.resources.push(Resource { file, folder, node, kind, namespace, name, spec });
            }
            Ok(None) => self.ignored += 1,
            Err((path, message)) => {
                let mut problem = Problem::at(&file.name, node.locate(path), "InvalidManifest", message);
                problem.path = path.to_owned();
                problems.push(problem);
            }
        }
    }

    fn definition(&mut self, name: &str, node: &Node) -> Option<Spec> {
        match backflow_plan::definition(name, node.get("spec")?) {
            Ok(supplied) => {
                self.definitions.put(name, Some(Arc::new(supplied)));
                Some(Spec::DestinationDefinition(Vec::new()))
            }
            Err(problems) => {
                self.definitions.put(name, None);
                Some(Spec::DestinationDefinition(problems))
            }
        }
    }

    fn secret(&mut self, file: &File, node: &Node, namespace: String, problems: &mut Vec<Problem>) {
        let Some(name) = node.get("metadata").and_then(|metadata| metadata.get("name")).and_then(Node::text) else {
            problems.push(Problem::at(
                &file.name,
                node.at,
                "InvalidManifest",
                "this Secret has no metadata.name; give it one",
            ));
            return;
        };
        let mut keys = BTreeMap::new();
        // As in Kubernetes, stringData goes before data.
        for field in ["data", "stringData"] {
            for entry in node.get(field).map(Node::entries).unwrap_or_default() {
                let value = match (field, entry.value.text()) {
                    ("stringData", Some(text)) => Ok(text.to_owned()),
                    ("data", Some(text)) => decode(text),
                    _ => Err("must be text; put quotes around it"),
                };
                match value {
                    Ok(value) => drop(keys.insert(entry.key.clone(), SecretString::from(value))),
                    Err(message) => problems.push(Problem {
                        resource: format!("Secret/{name}"),
                        path: format!("{field}.{}", entry.key),
                        ..Problem::at(&file.name, entry.at, "InvalidSecret", message)
                    }),
                }
            }
        }
        let place = (namespace, name.to_owned());
        if self.secrets.contains_key(&place) {
            let message = "there are two Secrets of this name, and the last one counts; remove one";
            problems.push(Problem {
                severity: Severity::Warning,
                resource: format!("Secret/{name}"),
                ..Problem::at(&file.name, node.at, "DuplicateName", message)
            });
        }
        self.secrets.insert(place, keys);
    }
}

fn decode(text: &str) -> Result<String, &'static str> {
    let compact: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let bytes = STANDARD
        .decode(compact)
        .map_err(|_| "is not base64, which data wants; write the value itself under stringData instead")?;
    String::from_utf8(bytes).map_err(|_| "is not UTF-8 text; only text can be used here")
}

/// The kind, if the resource is ours; none if it is somebody else's; an error if it was probably meant to be ours.
fn kind_of(api_version: &str, kind: &str) -> Result<Option<&'static str>, (&'static str, String)> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let ours = KINDS.into_iter().find(|known| *known == kind);
    if group == GROUP {
        if version != VERSION {
            return Err(("apiVersion", format!("there is no version \"{version}\" of {GROUP}; use {GROUP}/{VERSION}")));
        }
        return match ours {
            Some(kind) => Ok(Some(kind)),
            None => {
                let hint = backflow_core::finding::hint(kind, KINDS);
                Err(("kind", format!("there is no kind \"{kind}\" {hint}")))
            }
        };
    }
    let meant = ours.is_some() && (group.is_empty() || nearest(group, [GROUP]).is_some());
    if meant {
        return Err(("apiVersion", format!("{kind} is not a kind of \"{api_version}\"; use {GROUP}/{VERSION}")));
    }
    Ok(None)
}

fn spec(kind: &str, node: &Node) -> Option<Spec> {
    fn typed<T: DeserializeOwned>(node: &Node) -> Option<T> {
        serde_json::from_value(node.get("spec")?.to_json()).ok()
    }
    match kind {
        "Source" => typed(node).map(Spec::Source),
        "Model" => typed(node).map(Spec::Model),
        "Destination" => typed(node).map(Spec::Destination),
        "Mapping" => typed(node).map(Spec::Mapping),
        _ => typed(node).map(Spec::Sync),
    }
}

impl Resource {
    /// `Mapping/crm`.
    #[must_use]
    pub(crate) fn title(&self) -> String {
        if self.name.is_empty() { self.kind.to_owned() } else { format!("{}/{}", self.kind, self.name) }
    }

    /// Of a Destination: the title of the definition that is its type.
    #[must_use]
    pub(crate) fn definition(&self) -> Option<String> {
        let name = self.node.get("spec")?.get("type").and_then(Node::text).filter(|_| self.kind == "Destination")?;
        Some(format!("{DEFINITION}/{name}"))
    }

    /// A finding about this resource, at the place of `path`.
    #[must_use]
    pub(crate) fn problem(&self, path: impl Into<String>, code: &str, message: impl Into<String>) -> Problem {
        let path = path.into();
        let mut problem = Problem::at(&self.file, self.node.locate(&path), code, message);
        problem.resource = self.title();
        problem.path = path;
        problem
    }

    /// The name that `spec.<member>.name` refers to.
    #[must_use]
    pub(crate) fn refers_to(&self, path: &[&str]) -> Option<&str> {
        path.iter().try_fold(self.node.get("spec")?, |node, key| node.get(key))?.get("name")?.text()
    }
}
