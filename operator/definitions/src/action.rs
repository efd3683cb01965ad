//! What a destination can do.

use std::collections::BTreeMap;

use backflow_core::change::ChangeKind;
use backflow_core::finding::Finding;
use backflow_core::plan::OnMappingChange;
use backflow_core::selection::{Selection, SyncMode};
use serde::Deserialize;
use serde_json::Value;

use crate::settings::{Setting, check_all};

/// What a destination can do. Its fields are free: whatever the Mapping maps is sent.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Action {
    /// Name for people.
    pub title: String,
    /// One sentence.
    pub description: String,
    /// The constants of `Mapping.spec.config`.
    #[serde(default)]
    pub config: BTreeMap<String, Setting>,
    /// The sync modes that it can do.
    pub sync_modes: Vec<SyncMode>,
    /// The kinds of change that `Mapping.spec.records` may name.
    pub records: Vec<ChangeKind>,
    /// Whether sending a record again leaves the destination as it is. Events are not.
    pub idempotent: bool,
    /// The field that the destination finds a record by; without one, that is the primary key.
    #[serde(default)]
    pub match_by: Option<FieldChoice>,
    /// The field that the destination groups records by: a list, an audience.
    #[serde(default)]
    pub group_by: Option<FieldChoice>,
    /// How large a request may be.
    pub batch: Batch,
}

/// Which of a record's fields.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FieldChoice {
    /// Always this one (dotted path).
    Field(String),
    /// The one that this setting of [`Action::config`] names, if it is given.
    Config(String),
}

/// How large a request may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Batch {
    /// Records.
    pub max_records: u32,
    /// Bytes of the records' data.
    pub max_bytes: u32,
}

impl Action {
    /// The field that the destination finds a record by, with this config.
    #[must_use]
    pub fn match_field(&self, config: &BTreeMap<String, Value>) -> Option<String> {
        self.chosen(self.match_by.as_ref(), config)
    }

    /// The field that the destination groups records by, with this config.
    #[must_use]
    pub fn group_field(&self, config: &BTreeMap<String, Value>) -> Option<String> {
        self.chosen(self.group_by.as_ref(), config)
    }

    fn chosen(&self, choice: Option<&FieldChoice>, config: &BTreeMap<String, Value>) -> Option<String> {
        match choice? {
            FieldChoice::Field(path) => Some(path.clone()),
            FieldChoice::Config(name) => {
                let value = config.get(name).or_else(|| self.config.get(name)?.default.as_ref())?;
                value.as_str().map(str::to_owned)
            }
        }
    }

    /// The settings of [`Action::config`] that say which records are meant: another value of one means other records at the destination.
    #[must_use]
    pub fn identity(&self, config: &BTreeMap<String, Value>) -> BTreeMap<String, String> {
        let chosen = [&self.match_by, &self.group_by].into_iter().flatten();
        let named = chosen.filter_map(|choice| match choice {
            FieldChoice::Config(name) => Some((name.clone(), self.chosen(Some(choice), config)?)),
            FieldChoice::Field(_) => None,
        });
        named.collect()
    }

    /// What is wrong with a Mapping's `syncMode` or `records`: what this action cannot do.
    #[must_use]
    pub fn check_selection(&self, selection: &Selection) -> Vec<Finding> {
        fn names<T: std::fmt::Debug>(all: &[T]) -> String {
            if all.is_empty() {
                return "none".to_owned();
            }
            all.iter().map(|one| format!("{one:?}")).collect::<Vec<_>>().join(", ")
        }
        match selection {
            Selection::SyncMode(mode) if !self.sync_modes.contains(mode) => vec![Finding::new(
                "syncMode",
                "UnsupportedSyncMode",
                format!("action \"{}\" cannot do {mode:?} (it can do: {})", self.title, names(&self.sync_modes)),
            )],
            Selection::SyncMode(_) => Vec::new(),
            Selection::Records(kinds) => kinds
                .iter()
                .filter(|kind| !self.records.contains(kind))
                .map(|kind| {
                    let known = names(&self.records);
                    let message =
                        format!("action \"{}\" cannot send {kind:?} records (it can send: {known})", self.title);
                    Finding::new("records", "UnsupportedRecords", message)
                })
                .collect(),
        }
    }

    /// What is wrong with `Mapping.spec.config`. Paths: `config.<name>`.
    #[must_use]
    pub fn check_config(&self, config: &BTreeMap<String, Value>) -> Vec<Finding> {
        let mut findings = Vec::new();
        check_all(
            "config",
            &format!("action \"{}\" has no config", self.title),
            &self.config,
            config.iter(),
            &mut findings,
        );
        findings
    }

    /// What a change of the Mapping does when `Mapping.spec.onMappingChange` is unset.
    #[must_use]
    pub fn on_mapping_change(&self) -> OnMappingChange {
        if self.idempotent { OnMappingChange::Resend } else { OnMappingChange::Keep }
    }
}
