//! Rows and Mappings, made of a definition's fixtures.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use backflow_core::change::ChangeKind;
use backflow_core::selection::{Operation, Selection, SyncMode};
use backflow_definitions::schema::Role;
use backflow_definitions::{Action, Definition, builtin};
use backflow_expressions::{Json, hash};
use backflow_tests::destinations::definitions;
use serde_json::{Map, Value, json};

/// An action with records that its fixtures deliver.
pub(crate) struct Fixture {
    pub(crate) definition: &'static Definition,
    pub(crate) name: String,
    pub(crate) action: String,
    pub(crate) selection: Selection,
    pub(crate) config: BTreeMap<String, Value>,
    pub(crate) destination: Value,
    /// Fields of records that are delivered.
    templates: Vec<Map<String, Value>>,
    /// The paths of what tells records apart.
    keys: BTreeSet<String>,
    /// Where a row stays: the lists, audiences, objects that it is put into. If these changed, it would be two records.
    groups: BTreeSet<String>,
    /// The one that the action finds records by.
    match_by: Option<String>,
}

pub(crate) fn yaml(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap();
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The folder of a definition's fixtures.
pub(crate) fn folder(name: &str) -> PathBuf {
    definitions().join(name).join("fixtures")
}

/// The cases of a definition's check, if it has one: `check.yaml`.
pub(crate) fn check(definition: &Definition) -> Option<Value> {
    definition.http()?.check.as_ref()?;
    let path = folder(&definition.id).join("check.yaml");
    assert!(path.exists(), "{}: its check has no fixtures/check.yaml", definition.id);
    Some(yaml(&path))
}

/// The actions of a definition, each with the widest selection that it has.
pub(crate) fn fixtures(name: &str) -> Vec<Fixture> {
    let definition = builtin(name).unwrap_or_else(|| panic!("{name} is not built in"));
    definition.actions.iter().filter_map(|(id, action)| fixture(name, definition, id, action)).collect()
}

fn fixture(name: &str, definition: &'static Definition, id: &str, action: &Action) -> Option<Fixture> {
    let wide = [
        (Selection::SyncMode(SyncMode::Mirror), Operation::Upsert),
        (Selection::SyncMode(SyncMode::Upsert), Operation::Upsert),
        (Selection::Records(vec![ChangeKind::Added, ChangeKind::Updated, ChangeKind::Deleted]), Operation::Insert),
        (Selection::Records(vec![ChangeKind::Added, ChangeKind::Updated]), Operation::Insert),
        (Selection::SyncMode(SyncMode::Insert), Operation::Insert),
        (Selection::Records(vec![ChangeKind::Added]), Operation::Insert),
    ];
    let (selection, operation) =
        wide.into_iter().find(|(selection, _)| action.check_selection(selection).is_empty())?;
    // An event may be written by another operation than the one that its fixture is named after.
    let names = [operation.as_str(), "insert", "upsert"];
    let path = names.iter().map(|op| folder(name).join(format!("{id}-{op}.yaml"))).find(|path| path.exists())?;
    let file = yaml(&path);
    let own = |case: &Value| ["records", "config", "destination"].iter().any(|member| !case[*member].is_null());
    let cases = file["cases"].as_array()?.iter().filter(|case| !own(case));
    let mut delivered = BTreeSet::new();
    for case in cases {
        for (at, outcome) in case["outcomes"].as_array().into_iter().flatten().enumerate() {
            if outcome == "delivered" || outcome == "unverified" {
                delivered.insert(at);
            }
        }
    }
    let records = file["records"].as_array().cloned().unwrap_or_default();
    let templates: Vec<_> =
        delivered.iter().filter_map(|at| records.get(*at)?["fields"].as_object().cloned()).collect();
    let config: BTreeMap<String, Value> = serde_json::from_value(file["config"].clone()).unwrap_or_default();
    let destination = match &file["destination"] {
        Value::Null => yaml(&folder(name).join("destination.yaml")),
        own => own.clone(),
    };
    if templates.is_empty() {
        return None;
    }
    let mut keys: BTreeSet<String> = action.with_role(Role::MatchKey).into_iter().collect();
    let match_by = action.match_field(&config, &|path| templates.iter().any(|fields| at(fields, path).is_some()));
    keys.extend(match_by.clone());
    let mut groups: BTreeSet<String> = action.with_role(Role::GroupKey).into_iter().collect();
    groups.extend(action.group_field(&config, &|path| templates.iter().any(|fields| at(fields, path).is_some())));
    Some(Fixture {
        definition,
        name: name.to_owned(),
        action: id.to_owned(),
        selection,
        config,
        destination,
        templates,
        keys,
        groups,
        match_by,
    })
}

/// What is at a dotted path, if it is not null.
fn at<'a>(fields: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    let mut names = path.split('.');
    let first = fields.get(names.next()?)?;
    names.try_fold(first, |at, name| at.get(name)).filter(|value| !value.is_null())
}

impl Fixture {
    /// Texts of which a record of row `n` has one in it and no other row's has: what it is found by, as the destination takes it.
    pub(crate) fn needles(&self, n: usize) -> Option<Vec<String>> {
        let fields = self.action().fields.conform(Json::from(&Value::Object(self.row(n, 0)))).ok()?;
        let fields: Map<String, Value> = serde_json::from_str(&fields.to_string()).unwrap();
        let value = at(&fields, self.match_by.as_ref()?)?;
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        // Google hashes addresses of its own without their dots.
        let google = text.strip_suffix("@gmail.com").map(|user| format!("{}@gmail.com", user.replace('.', "")));
        let hashes = [hash::md5(&text), hash::sha256(&text), google.and_then(|text| hash::sha256(&text))];
        Some(hashes.into_iter().flatten().chain([text]).collect())
    }

    pub(crate) fn action(&self) -> &'static Action {
        self.definition.action(&self.action).unwrap()
    }

    /// The fields that a Mapping sets.
    pub(crate) fn columns(&self) -> BTreeSet<String> {
        self.templates.iter().flat_map(|fields| fields.keys().cloned()).collect()
    }

    pub(crate) fn has(&self, path: &str) -> bool {
        self.templates.iter().any(|fields| at(fields, path).is_some())
    }

    /// Whether a row can change without becoming another record.
    pub(crate) fn can_change(&self) -> bool {
        (0..self.templates.len()).any(|n| self.row(n, 0) != self.row(n, 1))
    }

    /// The fields of row `n` in its version `version`.
    pub(crate) fn row(&self, n: usize, version: usize) -> Map<String, Value> {
        let all = self.templates.len();
        let first = &self.templates[n % all];
        let mut fields = self.templates[(n + version) % all].clone();
        for path in &self.groups {
            let top = path.split('.').next().unwrap();
            match first.get(top) {
                Some(value) => fields.insert(top.to_owned(), value.clone()),
                None => fields.remove(top),
            };
        }
        for path in &self.keys {
            let (top, rest) = path.split_once('.').map_or((path.as_str(), ""), |(top, rest)| (top, rest));
            let value = first.get(top).cloned();
            match value {
                None => {
                    fields.remove(top);
                }
                Some(mut value) => {
                    let pointer = rest.split('.').filter(|name| !name.is_empty()).map(|name| format!("/{name}"));
                    if let Some(leaf) = value.pointer_mut(&pointer.collect::<String>()) {
                        *leaf = told_apart(leaf, n);
                    }
                    fields.insert(top.to_owned(), value);
                }
            }
        }
        fields
    }
}

/// A value of the same kind for row `n` that is part of no other row's.
fn told_apart(value: &Value, n: usize) -> Value {
    let apart = 1_000_000 + u64::try_from(n).unwrap();
    match value {
        Value::Number(number) => json!(number.as_u64().unwrap_or_default() * 10_000_000 + apart),
        Value::String(text) => json!(told_apart_text(text.trim(), apart)),
        other => other.clone(),
    }
}

fn told_apart_text(text: &str, apart: u64) -> String {
    let hexadecimal = |char: char| char.is_ascii_hexdigit() || char == '-';
    if let Some((user, host)) = text.split_once('@') {
        return format!("{user}{apart}@{host}");
    }
    // A hash, a UUID, a telephone number: as long as it was.
    let digits = text.trim_start_matches('+');
    if text.len() >= 32 && text.chars().all(hexadecimal) || digits.len() > 8 && digits.parse::<u64>().is_ok() {
        return format!("{}{apart}", &text[..text.len() - 7]);
    }
    if digits.parse::<u64>().is_ok() { format!("{text}{apart}") } else { format!("{text}-{apart}") }
}
