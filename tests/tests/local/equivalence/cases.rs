//! The files of `tests/equivalence`: what is given to both, how their requests are read, and what may differ.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::compare::Listed;

/// In place of an action: the deletion of a person, whom the row names by `userId`.
pub(crate) const FORGET: &str = "forget";

/// A row, or fields by name.
pub(crate) type Row = Map<String, Value>;

/// What is compared of one tool.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Tool {
    /// Our definition: the name of the file.
    #[serde(skip)]
    pub(crate) name: String,
    /// The folder of Segment's package that has the tool.
    pub(crate) destination: String,
    /// Segment's settings; `<<secret:name>>` is the secret that our Destination has.
    #[serde(default)]
    pub(crate) settings: Value,
    /// What Segment's platform would know of an account.
    #[serde(default)]
    pub(crate) auth: Value,
    pub(crate) reads: Vec<Read>,
    pub(crate) cases: Vec<Case>,
    /// Operations of ours that Segment has no action for, and why: `action` or `action operation`.
    #[serde(default)]
    pub(crate) only_ours: BTreeMap<String, String>,
    /// Actions of Segment's that are not compared, and why.
    #[serde(default)]
    pub(crate) only_segment: BTreeMap<String, String>,
    pub(crate) differences: Vec<Listed>,
}

/// How a request is read: which step of the work it is, and where its records are.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Read {
    /// Method and URL; `*` is one segment of a path.
    pub(crate) request: String,
    /// Requests of one step are compared with each other.
    pub(crate) step: String,
    /// The list with one entry for each record, as JSON pointer into the body; or several such lists. An empty pointer is
    /// the whole body if no other is there. Absent: the request is of one record.
    #[serde(default, deserialize_with = "one_or_many")]
    pub(crate) items: Vec<String>,
    /// What records are ordered by, as JSON pointer into what was read; absent: as they come.
    pub(crate) key: Option<String>,
}

/// The same rows for both.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) name: String,
    /// What happened to the rows.
    #[serde(default)]
    pub(crate) change: Change,
    pub(crate) rows: Vec<Row>,
    /// What was in each row before it changed.
    #[serde(default)]
    pub(crate) before: Row,
    /// Another row, which stays where the others go: an empty table deletes nothing.
    pub(crate) stays: Option<Row>,
    /// The vendor has every record already.
    #[serde(default)]
    pub(crate) exists: bool,
    pub(crate) segment: Theirs,
    pub(crate) ours: Ours,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) enum Change {
    #[default]
    Added,
    Updated,
    Deleted,
}

/// How Segment gets the rows.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Theirs {
    /// Or [`FORGET`].
    pub(crate) action: String,
    pub(crate) sync_mode: Option<String>,
    /// All rows at once.
    #[serde(default)]
    pub(crate) batch: bool,
    /// Fields of a column, where their names differ; an empty one is not mapped.
    #[serde(default)]
    pub(crate) rename: BTreeMap<String, String>,
    /// Further parts of the mapping.
    #[serde(default)]
    pub(crate) fields: Row,
    /// Switches of Segment's platform that are on.
    #[serde(default)]
    pub(crate) features: Row,
    /// The vendor's answers.
    #[serde(default)]
    pub(crate) answers: Vec<Value>,
}

/// How we get them.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Ours {
    pub(crate) action: String,
    /// Absent: `records` are those that changed so.
    pub(crate) sync_mode: Option<String>,
    #[serde(default)]
    pub(crate) config: Row,
    #[serde(default)]
    pub(crate) rename: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) fields: Row,
}

/// The folder with the tools' files, the package's lock and the script that runs it.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../equivalence")
}

/// All tools, by name.
pub(crate) fn tools() -> Vec<Tool> {
    let entries = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|end| end == "yaml")).collect();
    files.sort();
    files.iter().map(|path| Tool::read(path)).collect()
}

impl Tool {
    fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap();
        let tool = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { name: path.file_stem().unwrap().to_string_lossy().into_owned(), ..tool }
    }
}

/// A value that is there, null included.
pub(crate) fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Written::deserialize(deserializer)? {
        Written::One(one) => vec![one],
        Written::Many(many) => many,
    })
}
